"""The two-dimensional Ising model with Metropolis and Wolff cluster updates, as data for machines and as a sampler
test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import ising_run
from plaq.chains.sampler import Sampler
from plaq.ground.arguments import number, one_of, require_memory, whole_number, whole_numbers
from plaq.ground.rng import Rng, counter, seed_of

__all__ = ["CRITICAL_BETA", "Metropolis", "Wolff", "energy", "magnetization", "onsager_energy", "sample"]

CRITICAL_BETA = 0.5 * math.log1p(math.sqrt(2.0))
"""Inverse critical temperature of the infinite lattice, ln(1 + sqrt 2)/2."""
Spins = NDArray[np.int8]


def _checked(state: ArrayLike) -> Spins:
    values = np.asarray(state)
    if values.ndim != 2 or not np.all(np.abs(values) == 1):
        raise ValueError(f"spins of shape {values.shape}; they must be a two-dimensional array of -1 and +1")
    return np.ascontiguousarray(values, dtype=np.int8)


def _beta(beta: float) -> float:
    return number("beta", beta, 0.0)


def magnetization(spins: ArrayLike) -> float:
    """Mean spin.

    Examples
    --------
    >>> magnetization([[1, 1], [1, -1]])
    0.5
    """
    return float(np.mean(_checked(spins)))


def energy(spins: ArrayLike) -> float:
    """Energy per site, minus the sum of neighbour products over the number of sites (periodic).

    Examples
    --------
    >>> energy(np.ones((4, 4)))
    -2.0
    """
    s = _checked(spins).astype(int)
    return float(-np.mean(s * (np.roll(s, -1, 0) + np.roll(s, -1, 1))))


def onsager_energy(beta: float) -> float:
    r"""Energy per site of the infinite lattice (Onsager 1944).

    :math:`-\coth 2\beta\,[1 + \frac2\pi (2\tanh^2 2\beta - 1) F(k)]`, :math:`k = 2\sinh 2\beta/\cosh^2 2\beta`, with
    the complete elliptic integral F by the arithmetic-geometric mean; below 0.001 by the first terms of the
    high-temperature series, :math:`-2 v - 4 v^3`, :math:`v = \tanh\beta`.

    Examples
    --------
    >>> round(onsager_energy(0.3), 5)
    -0.7045
    >>> onsager_energy(0.0), onsager_energy(1e6)
    (0.0, -2.0)
    """
    b = _beta(beta)
    if b < 1e-3:
        v = math.tanh(b)
        return 0.0 - 2.0 * v - 4.0 * v**3
    if b > 100.0:  # the lowest excitation costs 8
        return -2.0
    modulus = 2.0 * math.sinh(2 * b) / math.cosh(2 * b) ** 2
    one, two = 1.0, math.sqrt(max(1.0 - modulus**2, 0.0))
    if two == 0.0:
        return -math.sqrt(2.0)
    while abs(one - two) > 1e-15:
        one, two = 0.5 * (one + two), math.sqrt(one * two)
    elliptic = math.pi / (2.0 * one)
    return -1.0 / math.tanh(2 * b) * (1.0 + 2.0 / math.pi * (2.0 * math.tanh(2 * b) ** 2 - 1.0) * elliptic)


class _IsingSampler(Sampler[Any]):
    def __init__(self, beta: float, clusters: int | None) -> None:
        self.beta = _beta(beta)
        self.clusters = clusters

    def advance(self, state: ArrayLike, seed: int, sweep: int) -> tuple[Spins, dict[str, float | bool | int]]:
        """One update; see :class:`plaq.Sampler`."""
        spins, _, (_, _, flipped) = ising_run(_checked(state), self.beta, self.clusters, 1, 1, *counter(seed, sweep))
        return spins, {"flipped": float(flipped[0])}

    def fingerprint(self) -> dict[str, Any]:
        """Physics input."""
        return {"beta": self.beta, "clusters": self.clusters}

    def default_observables(self, state: ArrayLike) -> dict[str, Any]:
        """Energy and magnetisation per site."""
        return {"energy": energy, "magnetization": magnetization}


class Wolff(_IsingSampler):
    r"""Cluster updates of :math:`e^{\beta \sum_{\langle xy\rangle} s_x s_y}` (U. Wolff, PRL 62, 361 (1989)).

    Parameters
    ----------
    beta : float
        Inverse temperature, coupling one.
    clusters : int
        Clusters an update. ``info["flipped"]`` is the number of flipped sites.

    Examples
    --------
    >>> import plaq as pq
    >>> spins, info = pq.ising.Wolff(0.4).step(np.ones((8, 8)), rng=1)
    >>> spins.shape
    (8, 8)
    """

    def __init__(self, beta: float, clusters: int = 1) -> None:
        super().__init__(beta, whole_number("clusters", clusters))


class Metropolis(_IsingSampler):
    r"""Sweeps of single-spin flips over all sites, accepted with :math:`1/(1 + e^{\beta \Delta E})` (R. J. Glauber,
    J. Math. Phys. 4, 294 (1963)).

    Every flip is drawn from the exact conditional law, so the sweep is exact on every lattice. The rule
    :math:`\min(1, e^{-\beta \Delta E})` in a fixed order is not: flips with :math:`\Delta E \le 0` are then certain,
    and some states are never reached.

    Parameters
    ----------
    beta : float
        Inverse temperature, coupling one.

    Examples
    --------
    >>> import plaq as pq
    >>> chain = pq.ising.Metropolis(0.3).run(np.ones((8, 8)), 10, rng=1, progress=False)
    >>> len(chain)
    10
    """

    def __init__(self, beta: float) -> None:
        super().__init__(beta, None)


def sample(
    shape: tuple[int, int], beta: float, n: int, *, thin: int = 10, warmup: int = 200, method: str = "wolff", rng: Rng
) -> Spins:
    """Configurations of one chain from a cold start, in one call without Python between the updates.

    Parameters
    ----------
    shape : tuple of two int
        Extents, each at least 2.
    beta : float
        Inverse temperature.
    n : int
        Configurations to keep.
    thin, warmup : int
        Updates between them and before them.
    method : {"wolff", "metropolis"}
        One cluster, or one sweep, an update.
    rng : int, Generator or SeedSequence
        Randomness.

    Returns
    -------
    ndarray of int8, shape (n, *shape)

    Raises
    ------
    TypeError, ValueError
        Extents, numbers or a method that are not allowed; no memory for so many configurations.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.ising.sample((8, 8), 0.44, 5, rng=1).shape
    (5, 8, 8)
    """
    clusters = {"wolff": 1, "metropolis": None}[one_of("method", method, ("wolff", "metropolis"))]
    n, thin, warmup = whole_number("n", n), whole_number("thin", thin), whole_number("warmup", warmup, 0)
    extents = whole_numbers("shape", shape, 2, 2**31 - 1, "give two extents, as in (8, 8)")
    if len(extents) != 2:
        raise ValueError(f"shape = {tuple(extents)}: give two extents, as in (8, 8)")
    seed, sites = seed_of(rng), math.prod(extents)
    require_memory(f"{n} configurations of {sites} spins", (n + 10) * sites, 1)
    spins = np.ones(extents, dtype=np.int8)
    if warmup:
        spins, _, _ = ising_run(spins, _beta(beta), clusters, warmup, warmup, seed, 0)
    _, kept, _ = ising_run(spins, _beta(beta), clusters, n * thin, thin, seed, warmup)
    configurations: Spins = kept
    return configurations
