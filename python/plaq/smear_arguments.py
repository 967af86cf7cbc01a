"""Arguments that smearing, flow and covariant networks share."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.gauge import GaugeField


def gauge_field(U: object, dimensions: int = 2) -> GaugeField:
    """The argument, if it is a gauge field of enough dimensions."""
    if not isinstance(U, GaugeField):
        raise TypeError(f"a GaugeField is needed; got {type(U).__name__}")
    if U.ndim < dimensions:
        raise ValueError(f"this smearing needs at least {dimensions} dimensions; the lattice has {U.ndim}")
    return U


def number(name: str, value: object) -> float:
    """A finite float."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        raise TypeError(f"{name} is a number; got {value!r}")
    if not math.isfinite(float(value)):
        raise ValueError(f"{name} = {value}; it must be finite")
    return float(value)


def levels(n: object) -> int:
    """A number of smearing levels."""
    if not isinstance(n, int | np.integer) or isinstance(n, bool):
        raise TypeError(f"n is an int; got {n!r}")
    if not 0 <= n <= 100_000:
        raise ValueError(f"n = {n}: allowed are 0 to 100000 levels")
    return int(n)


def directions_of(U: GaugeField, directions: Iterable[int] | None) -> list[int]:
    """Sorted directions of the lattice, by default all."""
    if directions is None:
        return list(range(U.ndim))
    chosen = sorted({int(mu) % U.ndim if -U.ndim <= int(mu) < U.ndim else -1 for mu in directions})
    if not chosen or chosen[0] < 0:
        raise ValueError(f"directions {directions}: allowed are 0 to {U.ndim - 1} (or -1 for time)")
    return chosen


def vector(name: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    """Finite float64 numbers of given length."""
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a sequence of {length} numbers; got {values!r}") from None
    if numbers.shape != (length,):
        raise ValueError(f"{name} has shape {numbers.shape}; {length} numbers are needed")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} holds NaN or infinity: {numbers}")
    return numbers
