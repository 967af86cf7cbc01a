r"""Monotone maps of the circle: weighted means of non-compact projections (arXiv 2002.02428, 2003.06413).

:math:`h(x) = \sum_k w_k\, 2\arctan(e^{s_k}\tan\frac{x}{2})` on [-pi, pi), :math:`w_k > 0`, :math:`\sum_k w_k = 1`;
:math:`h'(x) = \sum_k w_k / D_k`, :math:`D_k = e^{-s_k}\cos^2\frac{x}{2} + e^{s_k}\sin^2\frac{x}{2}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 200
"""More than bisection needs."""


def wrapped(x: Array) -> Array:
    """Angles from -pi to pi."""
    return x - 2 * np.pi * np.round(x / (2 * np.pi))


@dataclass(frozen=True)
class Projections:
    """Values and derivatives at x; arrays with the components k on the first axis, and x."""

    x: Array
    s: Array
    w: Array
    each: Array
    """:math:`h_k`."""
    slopes: Array
    """:math:`h_k'`."""

    @classmethod
    def at(cls, x: Array, s: Array, w: Array) -> Projections:
        """The map at x."""
        sine, cosine = np.sin(x / 2), np.cos(x / 2)
        grown = np.exp(s)
        each = 2 * np.arctan2(grown * sine, cosine)
        return cls(x, s, w, each, 1 / (cosine**2 / grown + grown * sine**2))

    @cached_property
    def value(self) -> Array:
        """h."""
        found: Array = (self.w * self.each).sum(axis=0)
        return found

    @cached_property
    def slope(self) -> Array:
        """h'."""
        found: Array = (self.w * self.slopes).sum(axis=0)
        return found

    @cached_property
    def curvature(self) -> Array:
        """h''."""
        found: Array = -(self.w * np.sinh(self.s) * self.slopes**2).sum(axis=0) * np.sin(self.x)
        return found

    def pullback(self, dh: Array, dlog: Array) -> tuple[Array, Array, Array]:
        """Derivatives with respect to x, s and w of a function with those `dh` of h and `dlog` of ln h'."""
        ratio = dlog / self.slope
        dx = dh * self.slope + ratio * self.curvature
        half = np.cos(self.x / 2) ** 2 * np.exp(-self.s) - np.sin(self.x / 2) ** 2 * np.exp(self.s)
        ds = self.w * self.slopes * (dh * np.sin(self.x) + ratio * half * self.slopes)
        return dx, ds, dh * self.each + ratio * self.slopes


def inverse(y: Array, s: Array, w: Array) -> Array:
    """x with h(x) = y, by Newton steps inside of a bracket that shrinks, to the last digits."""
    low, high = np.full_like(y, -np.pi), np.full_like(y, np.pi)
    x, moves = np.zeros_like(y), np.ones(y.shape, bool)
    for _ in range(STEPS):
        here = Projections.at(x, s, w)
        error = here.value - y
        low, high = np.where(error < 0, x, low), np.where(error > 0, x, high)
        step = x - error / here.slope
        new = np.where((step > low) & (step < high), step, (low + high) / 2)
        new = np.where(moves & (error != 0), new, x)  # what has converged stays: a sample does not know its batch
        moves &= np.abs(new - x) > 4e-16 * np.maximum(np.abs(x), 1e-3)
        x = new
        if not moves.any():
            break
    return x
