"""The two-dimensional Ising model with Metropolis and Wolff cluster updates, as data for machines and as a sampler
test."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import ising_run
from plaq.sampler import Rng, Sampler, seed_of

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
    value = float(beta)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"beta = {beta}: the inverse temperature is a finite number, at least 0")
    return value


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
    the complete elliptic integral F by the arithmetic-geometric mean.

    Examples
    --------
    >>> round(onsager_energy(0.3), 5)
    -0.7045
    """
    b = _beta(beta)
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
        spins, _, (_, _, flipped) = ising_run(_checked(state), self.beta, self.clusters, 1, 1, seed, sweep)
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
        if clusters < 1:
            raise ValueError(f"clusters = {clusters}: at least 1 is needed")
        super().__init__(beta, int(clusters))


class Metropolis(_IsingSampler):
    """Metropolis sweeps over all sites in the order of storage.

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

    Examples
    --------
    >>> import plaq as pq
    >>> pq.ising.sample((8, 8), 0.44, 5, rng=1).shape
    (5, 8, 8)
    """
    clusters = {"wolff": 1, "metropolis": None}.get(method, 0)
    if clusters == 0:
        raise ValueError(f'method = "{method}" is not known; use "wolff" or "metropolis"')
    if n < 1 or thin < 1 or warmup < 0:
        raise ValueError(f"n = {n}, thin = {thin}, warmup = {warmup}: n and thin are at least 1, warmup at least 0")
    seed = seed_of(rng)
    spins = np.ones(shape, dtype=np.int8)
    if warmup:
        spins, _, _ = ising_run(spins, _beta(beta), clusters, warmup, warmup, seed, 0)
    _, kept, _ = ising_run(spins, _beta(beta), clusters, n * thin, thin, seed, warmup)
    configurations: Spins = kept
    return configurations
