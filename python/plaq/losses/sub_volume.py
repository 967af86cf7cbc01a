"""Sizes of forces in new variables on a part of the lattice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plaq.concepts import Links, Vector, one_target_each
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import sequence, shown, whole_number, whole_numbers
from plaq.ground.rng import Rng, seed_of
from plaq.losses.new_variables import TransformedForce, transformation
from plaq.transform.field import FieldTransform

__all__ = ["SubVolumeForce"]

ANGLE = 3e-3
"""Largest angle of the five points of a derivative: error ANGLE^4 against rounding 1e-16/ANGLE."""
ORDER = 8
"""Of the exponential of so small an angle."""


@dataclass(frozen=True, eq=False)
class SubVolumeForce(TransformedForce):
    r"""As :class:`TransformedForce`, of the links that begin in a block of the lattice.

    Force and gradient are computed on a window, the block with `margin` more sites on every side, closed periodically:
    cost and memory are those of the window. Of what happens a distance r away a link hears through r masked updates,
    whose coefficients are small, so that the force on the block is that of the whole lattice up to an error that falls
    exponentially with the margin and vanishes where the margin is the range of the transformation. A direction in which
    the window would be as long as the lattice is taken whole.

    Each field of a training has one block, at a place drawn by `rng` and its number in the list; a list with a field
    several times has several blocks of it. The gradient is :math:`d/d\epsilon\,\partial S_{FT}/\partial\theta` at
    :math:`e^{\epsilon G} V`, :math:`G = \partial L/\partial F`, from five points, to about eight digits.

    Parameters
    ----------
    action, target, norms, largest, log_mean_exp
        As of :class:`TransformedForce`; means are over the links of the block. `action` can be any action of gauge
        fields without auxiliary fields.
    block : sequence of int
        Extents of the block.
    margin : int
        Sites around the block; fewer than the loops of the action reach (1 for plaquettes, 2 for rectangles) is a bias.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Seed of the places.

    Raises
    ------
    TypeError, ValueError
        As of :class:`TransformedForce`; a block that is no list of extents of the lattice, windows of odd extent.

    Examples
    --------
    >>> import plaq as pq
    >>> S, F = pq.actions.Wilson(4.0), pq.transform.u1_2d(0.05)
    >>> loss = pq.losses.SubVolumeForce(S, pq.actions.Wilson(2.5), block=(4, 4), margin=4)
    >>> U = [pq.GaugeField.hot((32, 32), "U(1)", rng=1)]
    >>> windows = loss.targets(U)
    >>> value, gradient = loss.of_batch(F, U, windows)
    >>> windows[0].shape, value > 0, gradient.shape
    ((12, 12), True, (2,))
    """

    block: Sequence[int] = field(kw_only=True)
    margin: int = field(default=2, kw_only=True)
    rng: Rng = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(action is not None and action.auxiliaries for action in (self.action, self.target)):
            raise ValueError("action and target have no pseudofermions: a block has no part of those of a lattice")
        extents = whole_numbers("block", self.block, 1, 2**20, "the extents of the block, such as (4, 4, 4, 4)")
        object.__setattr__(self, "block", tuple(extents))
        object.__setattr__(self, "margin", whole_number("margin", self.margin, 0))
        object.__setattr__(self, "rng", seed_of(self.rng))

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """The window of each field."""
        given = sequence("fields", fields, GaugeField, "GaugeField")
        windows = []
        for n, U in enumerate(given):
            shape = self._window(U.shape)
            places = np.random.default_rng((seed_of(self.rng), n)).integers(0, np.array(U.shape) // 2)
            around = [0 if w == L else 2 * (self.margin // 2) for w, L in zip(shape, U.shape, strict=True)]
            starts = 2 * places - around
            cut = [np.arange(s, s + w) % L for s, w, L in zip(starts, shape, U.shape, strict=True)]
            windows.append(GaugeField.from_numpy(np.asarray(U)[np.ix_(np.arange(U.ndim), *cut)]))
        return windows

    def of_batch(self, net: Any, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Mean loss of some configurations and its derivative with respect to the parameters.

        Parameters
        ----------
        net : FieldTransform
        fields : sequence of GaugeField
            The lattices that the windows are of.
        targets : sequence of GaugeField
            The windows, as :meth:`targets` cuts them.
        """
        transformation(net, type(self).__name__)
        given = sequence("fields", fields, GaugeField, "GaugeField")
        found = [self._of(net, U, W) for U, W in zip(given, one_target_each(given, targets), strict=True)]
        return float(np.mean([value for value, _ in found])), np.mean([gradient for _, gradient in found], axis=0)

    def _window(self, shape: Sequence[int]) -> list[int]:
        if len(shape) != len(self.block) or any(b > L for b, L in zip(self.block, shape, strict=True)):
            raise ValueError(f"block = {shown(self.block)} on a lattice {shown(shape)}: at most the lattice is allowed")
        window = [min(b + 2 * self.margin, L) for b, L in zip(self.block, shape, strict=True)]
        if any(w % 2 for w in window):
            raise ValueError(f"the window {shown(window)} has an odd extent: masks need even ones; take an even block")
        return window

    def _inside(self, window: Sequence[int], shape: Sequence[int]) -> list[slice]:
        """Where the block is in its window: the same sites of the lattice for all even margins, and all odd ones."""
        whole = [self.margin % 2 if b < L else 0 for b, L in zip(self.block, shape, strict=True)]
        starts = [s if w == L else self.margin for s, w, L in zip(whole, window, shape, strict=True)]
        return [slice(s, s + b) for s, b in zip(starts, self.block, strict=True)]

    def _of(self, F: FieldTransform, U: GaugeField, window: Any) -> tuple[float, Vector]:
        wanted = tuple(self._window(U.shape))
        if not isinstance(window, GaugeField) or window.shape != wanted:
            raise ValueError(f"a target is a window {shown(wanted)}, as targets(fields) cuts it; got {shown(window)}")
        V = F.inverse(window)
        force, _ = self._reverse(F, V)
        if self.target is not None:
            force = force - self.target.force(V)
        inside = (slice(None), *self._inside(wanted, U.shape))
        part = force[inside]
        f = sizes(part) * (1.0 if U.n_colors == 1 else math.sqrt(2.0))
        value, slope = self._sized(f)
        if not np.isfinite(value):
            raise ValueError("the force in the new variables is not finite: links hold NaN or are not unitary")
        G = (slope / np.where(f > 0.0, f, 1.0))[..., None, None] * part
        steepest = sizes(G).max()
        gradient = np.zeros(F.n_parameters)
        if steepest == 0.0:
            return value, gradient
        h, links = ANGLE / steepest, np.asarray(V)
        for n, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
            moved = links.copy()
            moved[inside] = exponential(n * h * G) @ moved[inside]
            gradient += weight / (12.0 * h) * self._reverse(F, GaugeField.from_numpy(moved))[1]
        return value, gradient

    def _sized(self, f: Vector) -> tuple[float, Vector]:
        """The size of norms f, and its derivative with respect to each of them."""
        top = float(f.max())
        slope = np.zeros_like(f)
        if top == 0.0 or not math.isfinite(top):
            return top, slope
        size, g = self.largest * top, f / top
        slope.flat[f.argmax()] = self.largest
        for p, weight in self.norms.items():
            mean = float((g**p).mean())
            size += weight * top * mean ** (1.0 / p)
            slope += weight * mean ** (1.0 / p - 1.0) / f.size * g ** (p - 1.0)
        if self.log_mean_exp:
            above = np.exp(f - top)
            size += self.log_mean_exp * (top + math.log(above.mean()))
            slope += self.log_mean_exp * above / above.sum()
        return size, slope

    def _reverse(self, F: FieldTransform, V: GaugeField) -> tuple[Links, Vector]:
        """Force of S(F(V)) - ln det and derivative with respect to the parameters."""
        return F.pullback(V, self.action.force(F(V)), log_det=-1.0)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        part = {"block": list(self.block), "margin": self.margin, "rng": self.rng}
        return super().facts() | {"loss": type(self).__name__} | part


def sizes(matrices: Links) -> Vector:
    """Frobenius norm of each."""
    found: Vector = np.sqrt((np.abs(matrices) ** 2).sum(axis=(-2, -1)))
    return found


def exponential(matrices: Links) -> Links:
    """Of small ones, by Horner's rule for its series."""
    one = np.eye(matrices.shape[-1])
    found: Links = one + matrices / ORDER
    for k in range(ORDER - 1, 0, -1):
        found = one + matrices @ found / k
    return found
