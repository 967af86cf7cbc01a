"""Loops as arguments: families by name, or paths as signed directions; coefficients of improved actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from plaq import _plaq
from plaq.ground.arguments import unknown

__all__ = ["RECTANGLES", "Loop", "checked_loop"]

Loop: TypeAlias = str | Sequence[int]
RECTANGLES = {"wilson": 0.0, "symanzik": -1.0 / 12.0, "iwasaki": -0.331, "dbw2": -1.4088}
"""Coefficients c1 of rectangles beside plaquettes with c0 = 1 - 8 c1 (references: :mod:`plaq.actions`)."""


def checked_loop(loop: object) -> str | tuple[int, ...]:
    """The name of a family, or the steps of a path, if it is one."""
    if isinstance(loop, str):
        if loop not in _plaq.LOOP_FAMILIES:
            raise ValueError(unknown("loop", loop, _plaq.LOOP_FAMILIES))
        return loop
    steps = list(loop) if isinstance(loop, Iterable) else []
    if not steps or not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in steps):
        raise TypeError(f"a loop is a name or a list of steps +-(mu+1); got {loop!r}")
    if not all(1 <= abs(int(s)) <= 4 for s in steps):
        raise ValueError(f"loop {steps}: steps are +-1 to +-4 (direction mu is +-(mu+1))")
    return tuple(int(s) for s in steps)
