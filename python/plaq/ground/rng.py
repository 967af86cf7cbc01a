"""Where a run gets its seed from: the keyword `rng=` (SPEC 7)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import one_of

__all__ = ["NOISE", "Rng", "counter", "noise_vectors", "seed_of"]

Rng = int | np.integer[Any] | np.random.Generator | np.random.SeedSequence


def seed_of(rng: Rng) -> int:
    """The 64-bit seed that fixes a run (keyword convention of SPEC 7).

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        An int from 0 to 2^64 - 1 is the seed itself; a Generator draws one, so that the next run gets another.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        Not one of these; an int out of range.

    Examples
    --------
    >>> seed_of(7)
    7
    """
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0])
    if not isinstance(rng, int | np.integer) or isinstance(rng, bool):
        raise TypeError(f"rng is an int, a numpy Generator or a SeedSequence; got {rng!r}, give for example rng=1")
    if not 0 <= rng < 2**64:
        raise ValueError(f"rng = {rng}: a seed is an int from 0 to 2**64 - 1")
    return int(rng)


NOISE = {"Z2": np.array([1, -1]), "Z4": np.array([1, 1j, -1, -1j])}
"""Components of noise vectors: mean zero, size one."""


def noise_vectors(shape: tuple[int, ...], count: int, kind: str, rng: Rng | None) -> NDArray[np.complex128]:
    """Independent vectors of noise.

    Raises
    ------
    TypeError, ValueError
        Unknown noise, no `rng`.
    """
    values = NOISE[one_of("noise", kind, NOISE)]
    if rng is None:
        raise ValueError("noise needs rng, for example rng=1")
    return np.random.default_rng(seed_of(rng)).choice(values, size=(count, *shape)).astype(np.complex128)


def counter(seed: int, sweep: int) -> tuple[int, int]:
    """The seed and the number of an update, both from 0 to 2^64 - 1.

    Raises
    ------
    TypeError, ValueError
        No int, or one out of range.

    Examples
    --------
    >>> counter(7, 0)
    (7, 0)
    """
    for name, value in (("seed", seed), ("sweep", sweep)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise TypeError(f"{name} is an int from 0 to 2**64 - 1; got {value!r}")
        if not 0 <= value < 2**64:
            raise ValueError(f"{name} is an int from 0 to 2**64 - 1; {'less' if value < 0 else 'more'} was given")
    return int(seed), int(sweep)
