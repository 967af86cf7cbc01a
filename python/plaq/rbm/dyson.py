"""Random-matrix statistics of training: Dyson Brownian motion of the spectrum (arXiv 2407.16427, 2412.20496)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import rbm_ensemble
from plaq.ground.arguments import number, real, require_memory, whole_number
from plaq.ground.rng import Rng, seed_of
from plaq.rbm.gaussian import GaussianRBM
from plaq.rbm.machine import checked_kernel
from plaq.rbm.theory import generator, gibbs_coefficient

Array = NDArray[np.float64]


def wigner(spacing: ArrayLike) -> Array:
    r"""Wigner surmise of the orthogonal ensemble for spacings of mean one, :math:`\frac{\pi}{2} s\, e^{-\pi s^2/4}`.

    Parameters
    ----------
    spacing : array_like
        Spacings divided by their mean.

    Returns
    -------
    ndarray
        Density; its second moment is 4/pi.

    Examples
    --------
    >>> float(wigner(1.0).round(4))
    0.7162
    """
    s = real("spacing", spacing)
    return np.asarray(0.5 * np.pi * s * np.exp(-0.25 * np.pi * s**2))


def wigner_pair(x: ArrayLike, centre: float, sigma: float) -> Array:
    r"""Density of the two eigenvalues of a 2x2 orthogonal Gaussian matrix (normalised to one).

    :math:`\rho(x) = \frac{e^{-u^2/2}}{4\sqrt\pi\,\sigma}\{2 e^{-u^2/2} + \sqrt{2\pi}\,u\,\mathrm{erf}(u/\sqrt2)\}`,
    :math:`u = (x - x_0)/\sigma`; the mean spacing is :math:`\sqrt\pi\,\sigma`.

    Parameters
    ----------
    x : array_like
        Where.
    centre, sigma : float
        Centre and scale.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(wigner_pair(0.0, 0.0, 1.0).round(4))
    0.2821
    """
    centre, sigma = number("centre", centre), number("sigma", sigma, above=0.0)
    u = (real("x", x) - centre) / sigma
    gauss = np.exp(-0.5 * u**2)
    erf = np.vectorize(math.erf, otypes=[float])(u / math.sqrt(2.0))
    return np.asarray(gauss / (4.0 * math.sqrt(math.pi) * sigma) * (2.0 * gauss + math.sqrt(2.0 * math.pi) * u * erf))


def semicircle(x: ArrayLike, radius: float) -> Array:
    r"""Wigner's semicircle, :math:`2\sqrt{R^2 - x^2}/(\pi R^2)`.

    Parameters
    ----------
    x : array_like
        Where.
    radius : float
        Radius R.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(semicircle(0.0, 2.0).round(4))
    0.3183
    """
    values, radius = real("x", x), number("radius", radius, above=0.0)
    return np.asarray(2.0 / (np.pi * radius) * np.sqrt(np.maximum(1.0 - (values / radius) ** 2, 0.0)))


def chain_memory(kappa: ArrayLike, mu2: float, k: int | None) -> Array:
    r"""Noise of persistent chains over that of fresh ones, :math:`(1 + r^{2k})/(1 - r^{2k})`, :math:`r = 1 -
    \kappa/\mu^2`.

    Slow modes of W average over many updates, and after k Gibbs steps a chain remembers :math:`r^{2k}` of its square.
    """
    if k is None:
        return np.ones_like(real("kappa", kappa))
    memory = gibbs_coefficient(kappa, mu2) ** (2 * whole_number("k", k))
    return np.asarray((1.0 + memory) / (1.0 - memory))


def spread_prediction(kappa: ArrayLike, mu2: float, learning_rate: float, batch: int, k: int | None = None) -> Array:
    r"""Stationary width of a non-degenerate eigenvalue, :math:`\sqrt{2(\alpha/|B|)(\mu^2-\kappa)}`, no free parameter.

    Leading order in alpha/B, for noise of the model average over `batch` independent chains. Persistent chains with k
    Gibbs steps an update remember their last state: the variance grows by :math:`(1 + r^{2k})/(1 - r^{2k})`,
    :math:`r = 1 - \kappa/\mu^2`.

    Parameters
    ----------
    kappa : array_like
        Target eigenvalues below `mu2`.
    mu2, learning_rate : float
        Mass squared and learning rate alpha.
    batch : int
        Chains B.
    k : int, optional
        Gibbs steps an update of persistent chains; by default the chains are taken as independent (k to infinity).

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(spread_prediction(4.0, 9.0, 0.1, 64).round(4))
    0.125
    """
    rate, mass = number("learning_rate", learning_rate, 0.0), number("mu2", mu2, above=0.0)
    width = 2.0 * rate / whole_number("batch", batch) * (mass - real("kappa", kappa))
    return np.asarray(np.sqrt(width * chain_memory(kappa, mu2, k)))


def spacing_prediction(kappa: ArrayLike, mu2: float, learning_rate: float, batch: int, k: int | None = None) -> Array:
    r"""Mean spacing of a doubly degenerate eigenvalue, :math:`\sqrt{2\pi(\alpha/|B|)(\mu^2-\kappa)}`, no free
    parameter.

    Parameters
    ----------
    kappa, mu2, learning_rate, batch, k
        As for :func:`spread_prediction`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(spacing_prediction(4.381966, 9.0, 0.1, 64).round(4))
    0.2129
    """
    return math.sqrt(math.pi) * spread_prediction(kappa, mu2, learning_rate, batch, k)


def dyson(
    kernel: ArrayLike,
    *,
    mu2: float,
    learning_rate: float,
    batch: int,
    members: int,
    records: int,
    every: int = 1,
    warmup: int = 0,
    k: int = 3,
    sigma2_h: float = 1.0,
    rng: Rng,
) -> Array:
    """Spectra of many machines with ``n_hidden = n_visible`` trained by PCD-k at constant rate, in parallel.

    All start at the maximum of the likelihood and differ by their noise only; `warmup` epochs lead to the stationary
    state (a few times ``kappa**2 / (2 learning_rate (mu2 - kappa))`` of the slowest mode).

    Parameters
    ----------
    kernel : array_like, shape (N, N)
        Target kernel.
    mu2, sigma2_h : float
        Mass squared and hidden variance.
    learning_rate : float
        Constant alpha.
    batch : int
        Persistent chains (the size of the batch B) of one machine.
    members, records, every, warmup : int
        Machines, spectra of each, epochs between spectra, epochs before the first.
    k : int
        Gibbs steps an epoch.
    rng : int, Generator or SeedSequence
        Randomness.

    Returns
    -------
    ndarray, shape (members, records, N)
        Eigenvalues of K, ascending.

    Examples
    --------
    >>> from plaq.rbm import free_field_kernel
    >>> kernel = free_field_kernel(10, 4.0)
    >>> dyson(kernel, mu2=9.0, learning_rate=0.1, batch=64, members=2, records=3, rng=1).shape
    (2, 3, 10)
    """
    target = checked_kernel(kernel, "kernel", None)
    correlation = np.linalg.inv(target)
    machine = GaussianRBM(len(target), len(target), mu2=mu2, sigma2_h=sigma2_h, rng=0).optimum(correlation)
    batch, members, records = (
        whole_number(name, value) for name, value in (("batch", batch), ("members", members), ("records", records))
    )
    require_memory(f"{records} spectra of {members} machines", members * records * len(target))
    eigenvalues: Array = rbm_ensemble(
        machine.weights,
        np.ascontiguousarray(0.5 * (correlation + correlation.T)),
        mu2=number("mu2", mu2),
        sigma2_h=number("sigma2_h", sigma2_h),
        k=whole_number("k", k),
        chains=batch,
        learning_rate=number("learning_rate", learning_rate),
        warmup=whole_number("warmup", warmup, 0),
        records=records,
        every=whole_number("every", every),
        members=members,
        seed=seed_of(rng),
    )
    return eigenvalues


def teacher_student(
    *,
    learning_rate: float,
    batch: int,
    noise: float = 0.1,
    teacher: float = 2.0,
    size: int = 2,
    members: int = 200,
    steps: int = 2000,
    every: int = 10,
    warmup: int = 500,
    rng: Rng,
) -> Array:
    r"""Eigenvalues of linear students of the teacher :math:`W_t = \tau 1` with orthogonal-ensemble gradient noise.

    :math:`W_s \leftarrow W_s + \alpha[(W_t - W_s)\,\overline{x x^T} + a]_\mathrm{sym}` with unit Gaussian inputs
    averaged over the batch and a symmetric noise a of width ``noise / sqrt(batch)`` (its diagonal larger by sqrt 2):
    near the teacher the off-diagonal part diffuses with :math:`\sigma^2 = \alpha\,\mathrm{noise}^2/(2 |B|)` at
    leading order.

    Parameters
    ----------
    learning_rate, noise, teacher : float
        Step, noise level and the teacher's degenerate eigenvalue.
    batch, size, members : int
        Batch size, matrix size and number of students.
    steps, every, warmup : int
        Recorded length, steps between records, steps before.
    rng : int, Generator or SeedSequence
        Randomness.

    Returns
    -------
    ndarray, shape (members, steps // every, size)
        Eigenvalues, ascending.

    Examples
    --------
    >>> teacher_student(learning_rate=0.1, batch=16, members=3, steps=20, warmup=5, rng=1).shape
    (3, 2, 2)
    """
    batch, size, members, every = (
        whole_number(name, value)
        for name, value in (("batch", batch), ("size", size), ("members", members), ("every", every))
    )
    warmup, steps = whole_number("warmup", warmup, 0), whole_number("steps", steps, every)
    learning_rate, noise = number("learning_rate", learning_rate), number("noise", noise)
    teacher = number("teacher", teacher)
    require_memory(f"{members} students of {size} x {size}", members * size * (batch + 4 * size))
    require_memory(f"{steps // every} records", steps // every * members * size)
    random = generator(rng)
    student = np.tile(teacher * np.eye(size), (members, 1, 1))
    target = teacher * np.eye(size)
    kept = []
    for step in range(warmup + steps):
        x = random.standard_normal((members, batch, size))
        gradient = (target - student) @ (np.swapaxes(x, 1, 2) @ x / batch)
        a = random.standard_normal((members, size, size)) * noise / math.sqrt(batch)
        symmetric = (gradient + np.swapaxes(gradient, 1, 2)) / 2 + (a + np.swapaxes(a, 1, 2)) / math.sqrt(2.0)
        student = student + learning_rate * symmetric
        if step >= warmup and (step - warmup + 1) % every == 0:
            kept.append(np.linalg.eigvalsh(student))
    return np.stack(kept, axis=1)
