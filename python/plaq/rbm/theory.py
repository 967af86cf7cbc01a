"""Exact statements about the Gaussian machine: spectra, fixed points, flows, autocorrelation (arXiv 2309.15002)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import array, number, real, require_memory, whole_number, whole_numbers
from plaq.ground.rng import Rng, seed_of
from plaq.rbm.machine import checked_number

Array = NDArray[np.float64]
MOST_STEPS = 100_000
"""Steps of an integration in Python, a few seconds."""


def _shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    remedy = "a lattice has one or more extents, each at least 1"
    if isinstance(shape, int | np.integer):
        return (whole_number("shape", shape),)
    extents = whole_numbers("shape", shape, 1, 2**31 - 1, remedy)
    if not extents:
        raise ValueError(f"shape = {shape!r}: {remedy}")
    return tuple(extents)


def _mass(m2: float) -> float:
    """Mass squared of a free field that can be normalised."""
    return number("m2", m2, above=0.0)


def generator(rng: Rng) -> np.random.Generator:
    """A numpy Generator from any of the three forms of `rng`."""
    return np.random.Generator(np.random.Philox(key=seed_of(rng)))


def momenta_squared(shape: int | tuple[int, ...]) -> Array:
    r"""Lattice momenta :math:`\hat p^2 = \sum_\mu 4 \sin^2(k_\mu / 2)`, :math:`k_\mu = 2 \pi n / L_\mu`, one a site.

    Parameters
    ----------
    shape : int or tuple of int
        Extents of the periodic lattice.

    Returns
    -------
    ndarray, shape `shape`

    Examples
    --------
    >>> momenta_squared(4).round(12).tolist()
    [0.0, 2.0, 4.0, 2.0]
    """
    extents = _shape(shape)
    require_memory(f"the momenta of a lattice of {math.prod(extents)} sites", (len(extents) + 2) * math.prod(extents))
    axes = [4.0 * np.sin(np.pi * np.arange(extent) / extent) ** 2 for extent in extents]
    total: Array = np.sum(np.meshgrid(*axes, indexing="ij"), axis=0)
    return total


def free_field_kernel(shape: int | tuple[int, ...], m2: float) -> Array:
    r"""Kernel of the free field, :math:`S = \frac12 \phi^T K_\phi \phi`, eq. (29) of arXiv 2309.15002 in any dimension.

    :math:`K_\phi = (m^2 + 2 D) 1 - \sum_\mu (T_\mu + T_\mu^T)`; its eigenvalues are :math:`m^2 + \hat p^2`.

    Parameters
    ----------
    shape : int or tuple of int
        Extents of the periodic lattice; sites are numbered in C order.
    m2 : float
        Mass squared; positive for a normalisable field.

    Returns
    -------
    ndarray, shape (sites, sites)

    Raises
    ------
    ValueError
        `m2` is not positive or not finite, or a wrong shape.

    Examples
    --------
    >>> np.linalg.eigvalsh(free_field_kernel(10, 4.0)).round(6).tolist()[:3]
    [4.0, 4.381966, 4.381966]
    """
    extents, m2 = _shape(shape), _mass(m2)
    require_memory(f"a kernel of {math.prod(extents)} sites", math.prod(extents) ** 2)
    sites = np.arange(math.prod(extents)).reshape(extents)
    kernel = (m2 + 2.0 * len(extents)) * np.eye(sites.size)
    for axis in range(len(extents)):
        neighbour = np.roll(sites, -1, axis).ravel()
        np.add.at(kernel, (sites.ravel(), neighbour), -1.0)
        np.add.at(kernel, (neighbour, sites.ravel()), -1.0)
    return kernel


def free_field(shape: int | tuple[int, ...], m2: float, n: int, *, rng: Rng) -> Array:
    """Independent exact samples of the free field (white noise filtered in momentum space).

    Parameters
    ----------
    shape : int or tuple of int
        Extents of the periodic lattice.
    m2 : float
        Mass squared, positive.
    n : int
        Number of samples.
    rng : int, Generator or SeedSequence
        Randomness.

    Returns
    -------
    ndarray, shape (n, sites)

    Examples
    --------
    >>> free_field((4, 4), 1.0, 3, rng=1).shape
    (3, 16)
    """
    extents, m2, n = _shape(shape), _mass(m2), whole_number("n", n, 0)
    require_memory(f"{n} fields of {math.prod(extents)} sites", 6 * n * math.prod(extents))
    axes = tuple(range(1, len(extents) + 1))
    noise = np.fft.fftn(generator(rng).standard_normal((n, *extents)), axes=axes)
    field = np.fft.ifftn(noise / np.sqrt(m2 + momenta_squared(extents)), axes=axes).real
    return np.ascontiguousarray(field.reshape(n, -1))


def _positive(name: str, values: ArrayLike) -> Array:
    """Positive finite numbers, at least one."""
    numbers = real(name, values)
    if not numbers.size or not np.all(np.isfinite(numbers) & (numbers > 0)):
        raise ValueError(f"{name} = {values!r}: positive finite numbers are needed")
    return numbers


def fixed_points(kappa: ArrayLike, mu2: float, n_hidden: int | None = None) -> Array:
    r"""Eigenvalues of K after training: :math:`\lambda = \min(\kappa, \mu^2)`, at most `n_hidden` of them learnt.

    Eqs. (11), (14), (15): the lowest modes are learnt, all others stay at :math:`\mu^2`.

    Parameters
    ----------
    kappa : array_like
        Eigenvalues of the target kernel, in any order.
    mu2 : float
        Mass squared of the machine.
    n_hidden : int, optional
        Number of hidden units; by default as many as visible ones.

    Returns
    -------
    ndarray
        Eigenvalues, ascending.

    Examples
    --------
    >>> fixed_points([4.0, 5.0, 8.0], mu2=6.0, n_hidden=1).tolist()
    [4.0, 6.0, 6.0]
    """
    mu2 = checked_number("mu2", mu2, 0.0)
    n_hidden = None if n_hidden is None else whole_number("n_hidden", n_hidden, 0)
    levels = np.sort(_positive("kappa", kappa))
    learnt = np.arange(levels.size) < (levels.size if n_hidden is None else n_hidden)
    result: Array = np.where(learnt, np.minimum(levels, mu2), mu2)
    return result


def fixed_point_kl(kappa: ArrayLike, mu2: float, n_hidden: int | None = None) -> float:
    r"""KL(target || model) at the fixed point, :math:`\sum g(\lambda_\alpha/\kappa_\alpha)`, :math:`g(x) = (x - 1 -
    \ln x)/2`.

    Parameters
    ----------
    kappa, mu2, n_hidden
        As for :func:`fixed_points`.

    Returns
    -------
    float

    Examples
    --------
    >>> kappa = np.linalg.eigvalsh(free_field_kernel(10, 4.0))
    >>> round(fixed_point_kl(kappa, 9.0, 4), 12)
    0.149843923459
    """
    ratio = fixed_points(kappa, mu2, n_hidden) / np.sort(real("kappa", kappa))
    return float(0.5 * np.sum(ratio - 1.0 - np.log(ratio)))


def flow(kappa: ArrayLike, mu2: ArrayLike, xi0: ArrayLike, t: ArrayLike) -> Array:
    r"""Exact singular value :math:`\xi(t)` of one aligned mode under gradient flow, sigma_h = 1, eq. (10).

    :math:`\dot\xi = [1/\kappa - 1/(\mu^2 - \xi^2)]\,\xi`. With :math:`x = \xi^2`, :math:`a = \mu^2 - \kappa` the
    solution is implicit: :math:`\mu^2 \ln(x/x_0) - \kappa \ln[(a-x)/(a-x_0)] = 2 a t/\kappa`, solved to rounding.

    Parameters
    ----------
    kappa, mu2, xi0, t : array_like
        Eigenvalue of the target kernel, mass squared, first singular value, time; broadcast together.

    Returns
    -------
    ndarray
        :math:`\xi(t)`, between `xi0` and the fixed point.

    Raises
    ------
    ValueError
        Not ``0 < xi0**2 < mu2``, `kappa` or `mu2` not positive, or `t` negative.

    Examples
    --------
    >>> float(flow(4.0, 9.0, 0.1, [0.0, 1000.0])[1].round(12)) == round(5**0.5, 12)
    True
    """
    given = (real(*each) for each in (("kappa", kappa), ("mu2", mu2), ("xi0", xi0), ("t", t)))
    k, m, start, time = np.broadcast_arrays(*given)
    positive = all(np.all(each > 0) for each in (k, m, start, start**2))  # the square may underflow
    if not (positive and np.all(start**2 < m) and np.all(time >= 0)):
        raise ValueError("flow needs kappa > 0, mu2 > 0, 0 < xi0**2 < mu2 and t >= 0")
    x: Array = np.vectorize(_mode, otypes=[float])(k, m, start**2, time)
    return np.sqrt(x)


def _mode(kappa: float, mu2: float, x0: float, t: float) -> float:
    """x(t) by bisection in u, where x runs from x0 to its end as exp(-exp(u)) or an exponential."""
    a = mu2 - kappa
    end = max(a, 0.0)
    if t == 0 or x0 == end:
        return x0
    # x = end + (x0 - end) q with q falling from 1 to 0 when the end is not zero; else x = x0 q. Unknown: s = -ln q.
    slope = 2.0 * a / kappa

    def excess(s: float) -> float:
        if a > 0:
            x_ratio = math.log1p((a - x0) / x0 * -math.expm1(-s))
            return mu2 * x_ratio + kappa * s - slope * t
        if a < 0:
            gap = math.log1p(x0 * -math.expm1(-s) / (a - x0))
            return -(-mu2 * s - kappa * gap - slope * t)
        return mu2 / x0 * math.expm1(s) - s - 2.0 * t / mu2

    low, high = 0.0, 1.0
    while excess(high) < 0 and high < 700:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    s = 0.5 * (low + high)
    return end + (x0 - end) * math.exp(-s) if a > 0 else x0 * math.exp(-s)


def relaxation_rate(kappa: ArrayLike, mu2: float, sigma2_h: float = 1.0) -> Array:
    r"""Late relaxation rate of :math:`\xi` and :math:`\xi^2`: :math:`2 \sigma_h^2 (\mu^2 - \kappa)/\kappa^2` for
    kappa < mu2.

    The talk's :math:`\lambda_1 \sim (\mu^2-\kappa)/\kappa^2` belongs to its eq. (17), which leaves out the factor 2.

    Parameters
    ----------
    kappa : array_like
        Eigenvalues of the target kernel.
    mu2, sigma2_h : float
        Mass squared and hidden variance.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(relaxation_rate(4.0, 9.0))
    0.625
    """
    k, mu2, sigma2_h = _positive("kappa", kappa), number("mu2", mu2, above=0.0), number("sigma2_h", sigma2_h, above=0.0)
    return np.asarray(2.0 * sigma2_h * (mu2 - k) / k**2)


def stability_bound(kappa: ArrayLike, mu2: float, sigma2_h: float = 1.0, momentum: float = 0.0) -> float:
    r"""Largest learning rate at which gradient ascent is stable at the fixed point of the stiffest mode.

    :math:`\frac{1+\beta}{1-\beta}\,\frac{\kappa^2}{\sigma_h^2 (\mu^2 - \kappa)}` for the smallest kappa: the
    multiplier of a deviation is :math:`1 - 2\,\mathrm{lr}\,\sigma_h^2(\mu^2-\kappa)/\kappa^2`. Infinite if no mode is
    learnt.

    Parameters
    ----------
    kappa : array_like
        Eigenvalues of the target kernel.
    mu2, sigma2_h, momentum : float
        Mass squared, hidden variance, running-mean coefficient beta.

    Returns
    -------
    float

    Examples
    --------
    >>> stability_bound(4.0, 9.0)
    3.2
    """
    lowest = float(np.min(_positive("kappa", kappa)))
    mu2, sigma2_h = number("mu2", mu2, above=0.0), number("sigma2_h", sigma2_h, above=0.0)
    momentum = checked_number("momentum", momentum, 0.0, 1.0, closed=True)
    if lowest >= mu2:
        return math.inf
    return (1 + momentum) / (1 - momentum) * lowest**2 / (sigma2_h * (mu2 - lowest))


def gibbs_coefficient(eigenvalue: ArrayLike, mu2: float) -> Array:
    r"""AR(1) coefficient of a mode of K under block Gibbs sampling, :math:`r = 1 - \lambda/\mu^2`.

    Parameters
    ----------
    eigenvalue : array_like
        Eigenvalues :math:`\lambda` of K.
    mu2 : float
        Mass squared.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(gibbs_coefficient(4.5, 9.0))
    0.5
    """
    return 1.0 - real("eigenvalue", eigenvalue) / number("mu2", mu2, above=0.0)


def gibbs_tau(eigenvalue: ArrayLike, mu2: float) -> Array:
    r"""Integrated autocorrelation time of a mode under block Gibbs sampling, :math:`(2\mu^2 - \lambda)/(2\lambda)`.

    Parameters
    ----------
    eigenvalue, mu2
        As for :func:`gibbs_coefficient`.

    Returns
    -------
    ndarray
        In Gibbs steps, 1/2 for white noise.

    Examples
    --------
    >>> float(gibbs_tau(9.0, 9.0))
    0.5
    """
    lam = _positive("eigenvalue", eigenvalue)
    mu2 = number("mu2", mu2, above=0.0)
    return np.asarray((2.0 * mu2 - lam) / (2.0 * lam))


def overrelaxation(eigenvalue: ArrayLike, mu2: float) -> tuple[float, float]:
    r"""Best overrelaxation parameter and its convergence factor for the slowest mode.

    With :math:`r = 1 - \lambda_{\min}/\mu^2`: :math:`\omega = 2/(1 + \sqrt{1-r})`, factor :math:`\omega - 1` a sweep
    instead of r (Young's theory of successive overrelaxation, with noise: Adler, PRD 23, 2901 (1981)).

    Parameters
    ----------
    eigenvalue, mu2
        Spectrum of K and mass squared.

    Returns
    -------
    omega, factor : float

    Examples
    --------
    >>> overrelaxation(0.09, 9.0)
    (1.8181818181818181, 0.8181818181818181)
    """
    mu2 = number("mu2", mu2, above=0.0)
    root = math.sqrt(float(np.min(_positive("eigenvalue", eigenvalue))) / mu2)
    omega = 2.0 / (1.0 + root)
    return omega, omega - 1.0


def cd_factor(eigenvalue: ArrayLike, mu2: float, k: int) -> Array:
    r"""Expected CD-k gradient divided by the exact one, :math:`1 - r^{2k}`, mode by mode: the fixed points are the
    same.

    Parameters
    ----------
    eigenvalue, mu2
        As for :func:`gibbs_coefficient`.
    k : int
        Gibbs steps.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(cd_factor(4.5, 9.0, 1))
    0.75
    """
    return np.asarray(1.0 - gibbs_coefficient(eigenvalue, mu2) ** (2 * whole_number("k", k, 0)))


def action_density(target: ArrayLike, kernel: ArrayLike) -> tuple[float, float]:
    r"""Mean and width of :math:`s = \phi^T K_\phi \phi/(2N)` when phi is drawn from a machine with kernel K and zero
    mean.

    :math:`\langle s\rangle = \mathrm{tr}(K_\phi K^{-1})/2N`, :math:`\sigma_s^2 = \mathrm{tr}(K_\phi K^{-1})^2/2N^2`;
    a perfect machine has 1/2 and :math:`1/\sqrt{2N}`.

    Parameters
    ----------
    target, kernel : array_like, shape (N, N)
        Kernel of the target and of the machine.

    Returns
    -------
    mean, width : float

    Examples
    --------
    >>> K = free_field_kernel(10, 4.0)
    >>> [round(x, 5) for x in action_density(K, K)]
    [0.5, 0.22361]
    """
    ratio = np.linalg.solve(real("kernel", kernel), real("target", target))
    sites = len(ratio)
    return float(np.trace(ratio) / (2 * sites)), float(math.sqrt(np.sum(ratio * ratio.T) / 2) / sites)


def two_node_angle(t: ArrayLike, angle: float, kappa: tuple[float, float], sigma2_h: float = 1.0) -> Array:
    r"""Angle between W and the first eigenvector of the target for N_v = 2, N_h = 1.

    :math:`\tan\Delta\theta(t) = \tan\Delta\theta(0)\, e^{\tilde\rho t}`, :math:`\tilde\rho = \sigma_h^2(1/\kappa_2 -
    1/\kappa_1)`.

    Parameters
    ----------
    t : array_like
        Times.
    angle : float
        First angle, between 0 and pi/2.
    kappa : tuple of two floats
        Target eigenvalues; the angle is measured from the eigenvector of the first.
    sigma2_h : float
        Hidden variance.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> float(two_node_angle(50.0, 1.0, (1.0, 4.0)).round(12))
    0.0
    """
    levels, times = array("kappa", kappa, shape=(2,), above=0.0), real("t", t)
    return np.asarray(_angle(times, number("angle", angle), levels, number("sigma2_h", sigma2_h, above=0.0)))


def _angle(t: Any, angle: float, kappa: Array, sigma2_h: float) -> Any:
    """Angle at one time or several."""
    rate = sigma2_h * (1.0 / kappa[1] - 1.0 / kappa[0])
    return np.arctan2(np.sin(angle) * np.exp(rate * t), np.cos(angle))


def two_node_flow(
    t: ArrayLike, angle: float, xi: float, kappa: tuple[float, float], mu2: float, sigma2_h: float = 1.0
) -> tuple[Array, Array]:
    r"""Angle and singular value for N_v = 2, N_h = 1; the smaller of the two eigenvalues is the one that is learnt.

    :math:`\dot\xi = \sigma_h^2\xi[\cos^2\Delta\theta/\kappa_1 + \sin^2\Delta\theta/\kappa_2 - 1/(\mu^2 -
    \sigma_h^2\xi^2)]`, with the angle of :func:`two_node_angle`; integrated by the classical Runge-Kutta rule.

    Parameters
    ----------
    t : array_like, shape (times,)
        Ascending times, the first one that of the starting values.
    angle, xi : float
        Starting values.
    kappa, mu2, sigma2_h
        Target eigenvalues, mass squared, hidden variance.

    Returns
    -------
    angle, xi : ndarray, shape (times,)

    Examples
    --------
    >>> _, xi = two_node_flow([0.0, 200.0], 1.2, 0.1, (1.0, 4.0), 9.0)
    >>> round(9.0 - float(xi[-1]) ** 2, 9)
    1.0
    """
    mu2, sigma2_h, xi = (
        number(name, value, above=0.0) for name, value in (("mu2", mu2), ("sigma2_h", sigma2_h), ("xi", xi))
    )
    levels, times = array("kappa", kappa, shape=(2,), above=0.0), array("t", t, shape=(None,))
    angle, (first, second) = number("angle", angle), levels.tolist()
    angles = np.asarray(_angle(times - times[0], angle, levels, sigma2_h))
    limit = 0.02 * float(levels.min()) ** 2 / sigma2_h / mu2
    span = float(np.abs(np.diff(times)).sum())
    if not span <= limit * MOST_STEPS:
        raise ValueError(
            f"times over {span:g} need Runge-Kutta steps of {limit:.3g}, more than {MOST_STEPS}: give a shorter time "
            "or smaller mu2 and sigma2_h"
        )

    def rate(time: float, x: float) -> float:
        theta = float(_angle(time - times[0], angle, levels, sigma2_h))
        pull = math.cos(theta) ** 2 / first + math.sin(theta) ** 2 / second
        slope: float = sigma2_h * x * (pull - 1.0 / (mu2 - sigma2_h * x * x))
        return slope

    values = [xi]
    for start, stop in itertools.pairwise(times):
        steps = max(1, math.ceil((stop - start) / limit))
        h, x = (stop - start) / steps, values[-1]
        for step in range(steps):
            now = start + step * h
            k1 = rate(now, x)
            k2 = rate(now + h / 2, x + h / 2 * k1)
            k3 = rate(now + h / 2, x + h / 2 * k2)
            k4 = rate(now + h, x + h * k3)
            x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        values.append(x)
    return angles, np.asarray(values)
