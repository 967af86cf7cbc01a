"""Spins on a periodic square lattice: shells, ordered and random configurations, magnetizations."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import spin_random, spin_shells
from plaq.ground.arguments import aligned, array, real, require_memory, whole_number
from plaq.ground.rng import Rng, seed_of

__all__ = ["ferromagnet", "magnetization", "neel", "random", "shells", "spiral", "staggered_magnetization"]

Array = NDArray[np.float64]
Shape = Sequence[int]
Shells = int | Sequence[tuple[int, int]]


def extents_of(shape: Shape) -> tuple[int, int]:
    """The two extents as ints."""
    remedy = "the spin-fermion model lives on a square lattice (L_x, L_y), for example (6, 6)"
    if isinstance(shape, str) or not isinstance(shape, Sequence | np.ndarray):
        raise TypeError(f"shape = {shape!r}: {remedy}")
    if len(shape) != 2 or not all(isinstance(extent, int | np.integer) for extent in shape):
        raise ValueError(f"shape = {tuple(shape)}: {remedy}")
    if min(shape) < 1:
        raise ValueError(f"shape = {tuple(shape)}: extents are at least 1")
    return int(shape[0]), int(shape[1])


def rows_of(spins: ArrayLike, shape: tuple[int, int]) -> tuple[Array, tuple[int, ...]]:
    """Spins as (configurations, 3 N) and the leading shape."""
    array = np.asarray(spins)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"spins are real numbers; got an array of {array.dtype}")
    if array.shape[-3:] != (*shape, 3) or array.ndim < 3:
        raise ValueError(f"spins of shape {array.shape}: this lattice needs (..., {shape[0]}, {shape[1]}, 3)")
    lead = array.shape[:-3]
    count = int(np.prod(lead, dtype=int))
    return aligned(array, np.float64).reshape(count, 3 * shape[0] * shape[1]), lead


def scalars(values: Array, lead: tuple[int, ...]) -> Any:
    """One number for each configuration; a float if there is no configuration axis."""
    return values.reshape(lead) if lead else float(values[0])


def shells(shape: Shape) -> list[tuple[int, int]]:
    """Shells of equivalent displacements on a periodic lattice, nearest first.

    A shell is named by its smallest image (a, b), a >= b >= 0, up to reflections and rotation by 90 degrees.

    Examples
    --------
    >>> shells((4, 4))
    [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    """
    return spin_shells(extents_of(shape))


def shell_list(spec: Shells, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The first so many shells, or the named ones."""
    known = spin_shells(shape)
    if isinstance(spec, int | np.integer) and not isinstance(spec, bool):
        if not 0 <= spec <= len(known):
            raise ValueError(f"{spec} shells: a {shape[0]}x{shape[1]} lattice has {len(known)}: {known}")
        return known[: int(spec)]
    try:
        shells = [(operator.index(a), operator.index(b)) for a, b in spec]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        raise TypeError(f"shells = {spec!r}: give a number of shells, or names such as [(1, 0), (1, 1)]") from None
    for shell in shells:
        if not 0 <= min(shell) <= max(shell) < max(shape):
            raise ValueError(f"shell {shell}: a {shape[0]}x{shape[1]} lattice has {known}")
    return shells


def random(shape: Shape, *, rng: Rng, count: int | None = None) -> Array:
    """Independent uniform unit spins.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y).
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of the seed.
    count : int, optional
        Number of configurations; without it there is no configuration axis.

    Returns
    -------
    ndarray, shape ([count,] L_x, L_y, 3)

    Examples
    --------
    >>> S = random((4, 4), rng=1)
    >>> bool(np.allclose(np.linalg.norm(S, axis=-1), 1))
    True
    """
    extents = extents_of(shape)
    number = 1 if count is None else whole_number("count", count, 0)
    spins = spin_random(extents, number, seed_of(rng)).reshape(-1, *extents, 3)
    return spins[0] if count is None else spins


def ferromagnet(shape: Shape, direction: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """All spins along `direction`.

    Examples
    --------
    >>> ferromagnet((2, 2), (0, 0, 2))[1, 1]
    array([0., 0., 1.])
    """
    axis, extents = real("direction", direction), extents_of(shape)
    _require_memory(extents)
    if axis.shape != (3,) or not 0 < np.linalg.norm(axis) < np.inf:
        raise ValueError(f"direction = {axis.tolist()}: give three numbers that are not all zero")
    return np.broadcast_to(axis / np.linalg.norm(axis), (*extents, 3)).copy()


def neel(shape: Shape, direction: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """Spins along ``(-1)^(x + y) direction``.

    Examples
    --------
    >>> neel((2, 2))[0, 1]
    array([-0., -0., -1.])
    """
    field = ferromagnet(shape, direction)
    return _signs(field.shape[:2])[..., None] * field


def spiral(shape: Shape, wave: ArrayLike) -> Array:
    """Spins ``(cos q.r, sin q.r, 0)`` with ``q = 2 pi wave / shape``, `wave` two integers.

    Examples
    --------
    >>> spiral((4, 4), (1, 0))[1, 0].round(12)
    array([0., 1., 0.])
    """
    extents = extents_of(shape)
    _require_memory(extents)
    q = 2 * np.pi * array("wave", wave, shape=(2,)) / extents
    angle = np.tensordot(q, np.indices(extents), axes=1)
    return np.stack([np.cos(angle), np.sin(angle), np.zeros(extents)], axis=-1)


def _require_memory(extents: tuple[int, int]) -> None:
    require_memory(f"a lattice of {extents[0]} x {extents[1]} spins", 8 * extents[0] * extents[1])


def _spins(values: ArrayLike) -> Array:
    """Spins of any lattice."""
    found = real("spins", values)
    if found.ndim < 3 or found.shape[-1] != 3:
        raise ValueError(f"spins of shape {found.shape}: (..., L_x, L_y, 3) is needed")
    return found


def _signs(extents: tuple[int, ...]) -> Array:
    return np.where(np.indices(extents).sum(axis=0) % 2, -1.0, 1.0)


def magnetization(spins: ArrayLike) -> Any:
    """``|sum_x S(x)| / N`` of spins of shape (..., L_x, L_y, 3); a float, or an array of shape (...).

    Examples
    --------
    >>> magnetization(ferromagnet((4, 4))), magnetization(neel((4, 4)))
    (1.0, 0.0)
    """
    mean = _spins(spins).mean(axis=(-3, -2))
    length = np.linalg.norm(mean, axis=-1)
    return length if length.ndim else float(length)


def staggered_magnetization(spins: ArrayLike) -> Any:
    """``|sum_x (-1)^(x + y) S(x)| / N`` of spins of shape (..., L_x, L_y, 3); a float, or an array of shape (...).

    Examples
    --------
    >>> staggered_magnetization(neel((4, 4)))
    1.0
    """
    found = _spins(spins)
    return magnetization(_signs(found.shape[-3:-1])[..., None] * found)
