"""Arguments that smearing, flow and covariant networks share."""

from __future__ import annotations

from collections.abc import Iterable

from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import whole_number, whole_numbers


def gauge_field(U: object, dimensions: int = 2, *, open_too: bool = False) -> GaugeField:
    """The argument, if it is a gauge field of enough dimensions in the group, with boundaries that are known here."""
    if not isinstance(U, GaugeField):
        raise TypeError(f"a GaugeField is needed; got {type(U).__name__}")
    if U.ndim < dimensions:
        raise ValueError(f"this smearing needs at least {dimensions} dimensions; the lattice has {U.ndim}")
    U.inside("this flow" if open_too else "smearing", open_too=open_too)
    return U


def levels(n: object) -> int:
    """A number of smearing levels."""
    return whole_number("n", n, 0, 100_000)


def directions_of(U: GaugeField, directions: Iterable[int] | None) -> list[int]:
    """Sorted directions of the lattice, by default all."""
    if directions is None:
        return list(range(U.ndim))
    remedy = f"allowed are 0 to {U.ndim - 1} (or -1 for time)"
    chosen = whole_numbers("directions", directions, -U.ndim, U.ndim - 1, remedy)
    if not chosen:
        raise ValueError(f"directions is empty: {remedy}")
    return sorted({mu % U.ndim for mu in chosen})
