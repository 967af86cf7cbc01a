"""Open worms of known number and ends, as the counting of worms by networks needs them (arXiv 2112.12474)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import flux_open_worms
from plaq.fields.flux import pair
from plaq.ground.arguments import require_memory, shown, whole_number
from plaq.ground.names import Explained
from plaq.ground.rng import Rng, seed_of

__all__ = ["OpenWorms", "open_worms"]


@dataclass(frozen=True)
class OpenWorms(metaclass=Explained):
    """Fluxes with open worms; unpacks as ``k, l = open_worms(...)``.

    Attributes
    ----------
    k, l : ndarray of int32, shape (..., D, x_0, ..., x_{D-1})
        Fluxes; l is as it was.
    tails, heads : ndarray of int, shape (worms, lead + D)
        Site of each worm's tail, where div k = 1, and head, where it is -1; with a leading index of the configuration
        if there are several.

    Examples
    --------
    >>> import plaq as pq
    >>> found = pq.flux.open_worms(np.zeros((2, 4, 4), int), np.zeros((2, 4, 4), int), 2, rng=1)
    >>> found.tails.shape
    (2, 2)
    """

    k: NDArray[np.int32]
    l: NDArray[np.int32]
    tails: NDArray[np.int64]
    heads: NDArray[np.int64]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return iter((self.k, self.l))


def open_worms(
    k: ArrayLike, l: ArrayLike, n: Any, rng: Rng, *, steps: int | None = None, ndim: int | None = None
) -> OpenWorms:
    """Closed fluxes with `n` open worms added.

    A tail is a random site, its head walks at random and leaves flux behind. No two ends share a site, so
    ``abs(divergence(k)).sum()`` is 2 n.

    Parameters
    ----------
    k, l : array_like of int, shape (..., D, x_0, ..., x_{D-1})
        Closed fluxes; leading axes count configurations.
    n : int or array_like of int
        Worms of every configuration, or of each.
    rng : int, Generator or SeedSequence
        Seed.
    steps : int, optional
        Steps of a walk (more, if it ends on another end); by default the sum of the extents.
    ndim : int, optional
        D, where the shape alone does not tell it.

    Returns
    -------
    OpenWorms

    Raises
    ------
    TypeError, ValueError
        No integers, fluxes that are not conserved, more ends than sites.

    Examples
    --------
    >>> empty = np.zeros((2, 8, 8), int)
    >>> worms = open_worms(empty, empty, 3, rng=1)
    >>> k, l = worms
    >>> from plaq.fields.flux import divergence
    >>> int(abs(divergence(k)).sum()), worms.heads.shape
    (6, (3, 2))
    """
    fluxes, pairs, axes = pair(k, l, ndim)
    lead, shape = fluxes.shape[: -axes - 1], fluxes.shape[-axes:]
    steps = whole_number("steps", sum(shape) if steps is None else steps, 1, 10**9)
    counts = np.asarray(n)
    if counts.dtype.kind not in "iu" or isinstance(n, bool):
        raise TypeError(f"n is an int, or one for each configuration; got {shown(n)}")
    if counts.shape not in ((), lead):
        raise ValueError(f"n has shape {counts.shape}; one int, or one for each of {lead} configurations")
    if counts.size and int(counts.min()) < 0:
        raise ValueError(f"n = {counts.min()}: at least 0 worms")
    wanted = np.broadcast_to(counts, lead).ravel()
    most = int(wanted.max(initial=0))
    if 2 * most > np.prod(shape):
        raise ValueError(f"n = {most}: {most} worms have {2 * most} ends; a lattice {shape} has fewer sites")
    require_memory("open worms", int(wanted.sum()) * 16 + 2 * fluxes.size * 4, 1)
    found, ends = flux_open_worms(list(shape), fluxes.ravel(), wanted.tolist(), steps, seed_of(rng))
    sites = np.stack(np.unravel_index(np.array(ends, np.int64).reshape(-1, 2), shape), axis=-1)
    owner = np.stack(np.unravel_index(np.repeat(np.arange(len(wanted)), wanted), lead or (1,)), axis=-1)
    tails, heads = (np.concatenate([owner[:, : len(lead)], sites[:, end]], axis=1).astype(np.int64) for end in (0, 1))
    return OpenWorms(found.reshape(fluxes.shape), pairs.copy(), tails, heads)
