"""Noise along training: Langevin equation of a squared singular value and its Fokker-Planck operator (arXiv
2407.16427)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import array, number, real, require_memory, whole_number
from plaq.ground.names import Explained, call_text
from plaq.ground.rng import Rng
from plaq.rbm.dyson import chain_memory
from plaq.rbm.theory import generator

Array = NDArray[np.floating[Any]]
Noise = float | Callable[[Array], Array]


MOST_CELLS = 100_000


def _diffusion(noise: Noise) -> Callable[[Array], Array]:
    """D as a function of an array of x."""
    if callable(noise):
        return noise
    level = number("noise", noise, above=0.0)
    return lambda x: np.full_like(x, level)


def drift(x: ArrayLike, kappa: float, mu2: float) -> Array:
    r"""Gradient flow of :math:`x = \xi^2` at sigma_h = 1: :math:`2x[1/\kappa - 1/(\mu^2 - x)]`."""
    values = real("x", x)
    return np.asarray(2.0 * values * (1.0 / kappa - 1.0 / (mu2 - values)))


def minibatch_noise(
    kappa: float, mu2: float, learning_rate: float, batch: int, k: int | None = None
) -> Callable[[Array], Array]:
    r"""Diffusion of x in training time (learning rate times steps) from a model average over `batch` chains.

    The sampled second moment has variance :math:`2/(\lambda^2 B)`, so :math:`D(x) = 4 x^2 \alpha/(B (\mu^2-x)^2)`,
    times the memory :math:`(1 + r^{2k})/(1 - r^{2k})` of persistent chains with k Gibbs steps an update, taken at the
    fixed point.

    Parameters
    ----------
    kappa, mu2, learning_rate, batch
        Target eigenvalue, mass squared, alpha and number of chains.
    k : int, optional
        Gibbs steps an update; by default the chains are taken as independent.

    Returns
    -------
    callable
        D of an array of x, for :class:`FokkerPlanck` and :func:`langevin`.

    Examples
    --------
    >>> float(minibatch_noise(4.0, 9.0, 0.1, 64)(np.array([5.0]))[0].round(6))
    0.009766
    """
    kappa, mu2 = number("kappa", kappa, above=0.0), number("mu2", mu2, above=0.0)
    learning_rate, batch = number("learning_rate", learning_rate, 0.0), whole_number("batch", batch)
    memory = float(chain_memory(kappa, mu2, k))
    return lambda x: 4.0 * memory * x**2 * learning_rate / (batch * (mu2 - x) ** 2)


class FokkerPlanck(metaclass=Explained):
    r"""Fokker-Planck operator :math:`\partial_t P = \partial_x[-f P + \partial_x(D P)]` of one mode on 0 < x < mu2
    (Ito).

    f is the gradient flow of :math:`x = \xi^2` (:math:`2x[1/\kappa - 1/(\mu^2-x)]`, sigma_h = 1) and D the diffusion.
    The operator is put on cells of equal width with the exact stationary density as weight, so that it is symmetric
    and conserves probability; its spectrum is real.

    Parameters
    ----------
    kappa, mu2 : float
        Eigenvalue of the target kernel (below `mu2`) and mass squared.
    noise : float or callable
        Diffusion D, constant or a function of an array of x.
    cells : int
        Number of cells.
    support : tuple of two floats, optional
        Interval, reflecting at both ends; by default chosen around the fixed point.

    Attributes
    ----------
    x, density : ndarray, shape (cells,)
        Cell centres and normalised stationary density.

    Raises
    ------
    TypeError, ValueError
        Not 0 < kappa < mu2, a noise that is not positive, a `support` that is no interval, too many cells.

    Examples
    --------
    >>> operator = FokkerPlanck(4.0, 9.0, 1e-3)
    >>> float(operator.rates(1)[0].round(2))  # 2 (mu2 - kappa) / kappa^2 = 0.625
    0.62
    """

    __repr__ = call_text

    def __init__(
        self,
        kappa: float,
        mu2: float,
        noise: Noise,
        *,
        cells: int = 400,
        support: tuple[float, float] | None = None,
    ) -> None:
        kappa, mu2 = number("kappa", kappa), number("mu2", mu2)
        if not 0 < kappa < mu2:
            raise ValueError(f"kappa = {kappa} must lie between 0 and mu2 = {mu2}: other modes are not learnt")
        cells, self._noise = whole_number("cells", cells, 2, MOST_CELLS), _diffusion(noise)
        self.kappa, self.mu2, self.noise, self.cells = kappa, mu2, noise, cells
        fixed = mu2 - kappa
        if not np.all(self._noise(np.array([fixed])) > 0):
            raise ValueError("noise: the diffusion must be positive")
        width = kappa * float(np.sqrt(self._noise(np.array([fixed]))[0] / (2.0 * fixed)))
        low, high = (max(fixed - 8 * width, 1e-3 * fixed), min(fixed + 8 * width, mu2 * (1 - 1e-6)))
        if support is not None:
            low, high = array("support", support, shape=(2,), least=0.0, most=mu2)
            if not low < high:
                raise ValueError(f"support = ({low:g}, {high:g}): the lower end comes first")
        # Where the density is below e^-40 of its maximum nothing happens, but the matrix would lose its digits.
        for _ in range(2):
            self.h = (high - low) / cells
            edges = low + self.h * np.arange(cells + 1)
            self._log_centre, log_edge = self._potential(kappa, mu2, low, cells)
            bulk = np.flatnonzero(self._log_centre > -40.0)
            if not bulk.size:
                raise ValueError(
                    f"the stationary density between {low:g} and {high:g} is no number for kappa = {kappa:g} and "
                    f"mu2 = {mu2:g}: give another noise or support"
                )
            low, high = edges[bulk[0]], edges[bulk[-1] + 1]
        edges, log_edge = edges[bulk[0] : bulk[-1] + 2], log_edge[bulk[0] : bulk[-1]]
        self._log_centre = self._log_centre[bulk]
        self.x = 0.5 * (edges[1:] + edges[:-1])
        weight = np.exp(self._log_centre)
        self.density = weight / (weight.sum() * self.h)
        inner = self._noise(edges[1:-1]) * np.exp(log_edge) / self.h**2
        self._diagonal = -(np.append(inner, 0.0) + np.append(0.0, inner)) / weight
        self._off = inner / np.sqrt(weight[1:] * weight[:-1])

    def _potential(self, kappa: float, mu2: float, low: float, cells: int) -> tuple[Array, Array]:
        """Logarithm of the stationary density, -ln D + integral of f/D (Simpson), at centres and inner edges."""
        fine = low + 0.5 * self.h * np.arange(2 * cells + 1)
        ratio = drift(fine, kappa, mu2) / self._noise(fine)
        halfway = fine[:-1] + 0.25 * self.h
        middle = drift(halfway, kappa, mu2) / self._noise(halfway)
        steps = 0.5 * self.h / 6.0 * (ratio[:-1] + 4.0 * middle + ratio[1:])
        log = np.append(0.0, np.cumsum(steps)) - np.log(self._noise(fine))
        log -= log[1::2].max()
        return log[1::2], log[2:-1:2]

    def rates(self, n: int = 1) -> Array:
        """The `n` lowest relaxation rates above zero, ascending.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            `n` is no int from 1 to the number of cells; no memory for the matrix.
        """
        n = whole_number("n", n, 1, len(self.x))
        rates: Array = np.linalg.eigvalsh(self._matrix())[1 : n + 1]
        return rates

    def modes(self, n: int = 1) -> tuple[Array, Array]:
        r"""The `n` lowest rates above zero and the functions of x that decay with them on average.

        Along a run :math:`\langle f_n(x_t) f_n(x_0)\rangle = e^{-\lambda_n t}` in the stationary state.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        rates : ndarray, shape (n,)
        functions : ndarray, shape (n, cells)
            Eigenfunctions of the backward operator at ``x``, of mean zero and variance one.
        """
        n = whole_number("n", n, 1, len(self.x))
        rates, vectors = np.linalg.eigh(self._matrix())
        functions = vectors.T[1 : n + 1] / np.sqrt(self.density * self.h)
        return rates[1 : n + 1], functions

    def _matrix(self) -> Array:
        require_memory(f"a matrix of {len(self.x)} cells", 2 * len(self.x) ** 2)
        matrix: Array = np.diag(-self._diagonal) - np.diag(self._off, 1) - np.diag(self._off, -1)
        return matrix

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the stationary density."""
        mean = float(np.sum(self.x * self.density) * self.h)
        return mean, float(np.sqrt(np.sum((self.x - mean) ** 2 * self.density) * self.h))


def langevin(
    kappa: float,
    mu2: float,
    noise: Noise,
    *,
    walkers: int,
    steps: int,
    step: float,
    rng: Rng,
    start: float | None = None,
    every: int = 1,
) -> Array:
    r"""Euler-Maruyama runs of :math:`dx = f(x)\,dt + \sqrt{2 D(x)}\,dW` for :math:`x = \xi^2`, reflected at 0 and mu2.

    Parameters
    ----------
    kappa, mu2, noise
        As for :class:`FokkerPlanck`.
    walkers, steps : int
        Independent runs and their length.
    step : float
        Time step.
    rng : int, Generator or SeedSequence
        Randomness.
    start : float, optional
        First x, by default the fixed point.
    every : int
        Steps between records.

    Returns
    -------
    ndarray, shape (steps // every, walkers)

    Examples
    --------
    >>> langevin(4.0, 9.0, 0.01, walkers=5, steps=10, step=0.01, rng=1).shape
    (10, 5)
    """
    kappa, mu2, step = number("kappa", kappa, above=0.0), number("mu2", mu2, above=0.0), number("step", step, above=0.0)
    walkers, every = whole_number("walkers", walkers), whole_number("every", every)
    steps, diffusion = whole_number("steps", steps), _diffusion(noise)
    require_memory(f"{steps // every} records of {walkers} walkers", (steps // every + 8) * walkers)
    start = mu2 - kappa if start is None else number("start", start, 0.0, mu2)
    random = generator(rng)
    x = np.full(walkers, start)
    kept = np.empty((steps // every, walkers))
    for n in range(steps):
        x = x + step * drift(x, kappa, mu2) + np.sqrt(2.0 * step * diffusion(x)) * random.standard_normal(walkers)
        x = np.abs(x)
        x = np.where(x < mu2, x, 2.0 * mu2 - x)
        if (n + 1) % every == 0:
            kept[(n + 1) // every - 1] = x
    return kept
