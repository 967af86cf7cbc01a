"""Gauge-equivariant couplings of 2D SU(2): the eigenvalues of plaquettes move (arXiv 2008.05456)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plaq.flows.circle import Projections, inverse
from plaq.flows.coupling import Array, LineCoupling, Tape, per_sample, rows
from plaq.flows.quaternions import conjugate, from_loops, loops, pure, times
from plaq.ground.rng import Rng
from plaq.nn.layers import Layer, Tanh

__all__ = ["SpectralCoupling"]

SMALLEST = 1e-12
"""Least sine of an angle that is divided by; the Haar measure has no weight there."""


class SpectralCoupling(LineCoupling):
    r"""Gauge-equivariant coupling of 2D SU(2) (arXiv 2008.05456): links move so that eigenvalues of plaquettes do.

    Links of one direction on every `period`-th line move, as of :class:`PlaquetteCoupling`. The active plaquette
    :math:`P = \exp(i\alpha\,\hat n\cdot\sigma)` with eigenvalues :math:`e^{\pm i\alpha}`, :math:`\alpha\in[0,\pi]`,
    goes to :math:`P' = \exp(i\,h(\alpha)\,\hat n\cdot\sigma)` and the link to :math:`P' P^\dagger U`, with
    :math:`h(\alpha) = \sum_k w_k\,2\arctan(e^{s_k}\tan\frac\alpha2)`. The network sees the traces of the plaquettes
    without any link that moves. With respect to the Haar measure
    :math:`\ln\det = \sum\ln[h'(\alpha)\sin^2 h(\alpha)/\sin^2\alpha]`.

    Parameters
    ----------
    direction : int
        0 or 1, that of the links.
    offset, period, terms, hidden, size, activation, bound, dtype, rng
        As of :class:`PlaquetteCoupling`.

    Raises
    ------
    TypeError, ValueError
        Settings out of range; in a flow: extents that are no multiples of the period, another group.

    Examples
    --------
    >>> SpectralCoupling(1, 2, terms=4).network.n_parameters
    1248
    """

    _kind, _group, _inputs, _shifts = "spectral", "SU(2)", 1, 0

    def __init__(
        self,
        direction: int = 0,
        offset: int = 0,
        *,
        period: int = 4,
        terms: int = 6,
        hidden: Sequence[int] = (8, 8),
        size: int = 3,
        activation: Layer = Tanh(),  # noqa: B008
        bound: float = 4.0,
        dtype: str = "float64",
        rng: Rng = 0,
    ) -> None:
        super().__init__(direction, offset, period, terms, hidden, size, activation, bound, dtype, rng)

    def _moved(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        moved: NDArray[np.bool_] = np.broadcast_to(super()._moved(shape[:-1])[..., np.newaxis], shape)
        return moved

    def _active(self, values: Array) -> Array:
        """Of the active plaquettes, ``[sample, x_0, x_1, 4]`` in C order of the lines."""
        return np.moveaxis(np.moveaxis(values, -1, 1)[self._lines], 1, -1)

    def _parts(self, x: Array) -> tuple[Tape, Array, Array]:
        loop, factors = loops(x, self.direction)
        frozen = self._frozen(x.shape[2:4])
        inputs = (loop[..., 0] * frozen)[:, np.newaxis]
        tape, s, w, _ = self._heard(inputs)
        active = self._active(loop)
        size = np.sqrt((active[..., 1:] ** 2).sum(axis=-1))
        axis = active[..., 1:] / np.maximum(size, SMALLEST)[..., np.newaxis]
        tape |= {"factors": factors, "frozen": frozen, "angle": np.arctan2(size, active[..., 0]), "axis": axis}
        return tape, s, w

    @staticmethod
    def _log_density(before: Array, here: Projections) -> Array:
        sines = np.maximum(np.sin(here.value), SMALLEST) / np.maximum(np.sin(before), SMALLEST)
        return rows(np.log(here.slope) + 2 * np.log(sines))

    def _turned(self, x: Array, by: Array, axis: Array) -> tuple[Array, Array]:
        """Links that move times exp(i by axis.sigma), and that rotation."""
        rotation = np.concatenate([np.cos(by)[..., np.newaxis], np.sin(by)[..., np.newaxis] * axis], axis=-1)
        y = x.copy()
        self._put(y, times(rotation, self._active(x[:, self.direction])))
        return y, rotation

    def _put(self, links: Array, values: Array) -> None:
        """Sets the links that move."""
        np.moveaxis(links[:, self.direction], -1, 1)[self._lines] = np.moveaxis(values, -1, 1)

    def _record(self, x: Array) -> tuple[Array, Array, Tape]:
        tape, s, w = self._parts(x)
        here = Projections.at(tape["angle"], s, w)
        y, rotation = self._turned(x, here.value - here.x, tape["axis"])
        return y, self._log_density(here.x, here), tape | {"here": here, "x": x, "y": y, "rotation": rotation}

    def _inverse(self, y: Array) -> tuple[Array, Array]:
        tape, s, w = self._parts(y)
        before = inverse(tape["angle"], s, w)
        x, _ = self._turned(y, before - tape["angle"], tape["axis"])
        return x, self._log_density(before, Projections.at(before, s, w))

    def _pullback(self, tape: Tape, dy: Array, dlog: Array) -> tuple[Array, Array]:
        here: Projections = tape["here"]
        axis, rotation = tape["axis"], tape["rotation"]
        moving = self._active(dy[:, self.direction])
        links = self._active(tape["x"][:, self.direction])
        weight = np.broadcast_to(per_sample(dlog, 3), here.x.shape)
        drotation = times(moving, conjugate(links))
        along = (drotation[..., 1:] * axis).sum(axis=-1)
        dturn = rotation[..., 0] * along - (rotation[..., 1:] * axis).sum(axis=-1) * drotation[..., 0]
        sine, image = np.maximum(np.sin(here.x), SMALLEST), np.maximum(np.sin(here.value), SMALLEST)
        dimage = dturn + 2 * weight * np.cos(here.value) / image
        dangle, ds, dw = here.pullback(dimage, weight)
        dangle = dangle - dturn - 2 * weight * np.cos(here.x) / sine
        turn = np.sin(here.value - here.x) / sine
        across = turn[..., np.newaxis] * (drotation[..., 1:] - along[..., np.newaxis] * axis)
        dloop = np.zeros(dy.shape[:1] + dy.shape[2:])
        active = np.concatenate(
            [
                -(sine * dangle)[..., np.newaxis],
                (np.cos(here.x) * dangle)[..., np.newaxis] * axis + across,
            ],
            axis=-1,
        )
        np.moveaxis(dloop, -1, 1)[self._lines] = np.moveaxis(active, -1, 1)
        below, dtheta = self._said(tape, here, ds, dw, None, dy.shape[2:4])
        dloop[..., 0] += below[:, 0] * tape["frozen"]
        dx = dy.copy()
        self._put(dx, times(conjugate(rotation), moving))
        return dx + from_loops(dloop, tape["factors"], self.direction), dtheta

    def _push(self, tape: Tape, score: Array) -> Array:
        r"""As of :meth:`Coupling._push`; in tangents :math:`U \to e^{i d\cdot\sigma}U` the Jacobian of a link is
        :math:`h'` along the axis and across it :math:`\sin h/\sin\alpha` times a rotation by :math:`h - \alpha`.
        """
        here: Projections = tape["here"]
        axis = tape["axis"]
        sine, image = np.maximum(np.sin(here.x), SMALLEST), np.maximum(np.sin(here.value), SMALLEST)
        bend = here.curvature / here.slope + 2 * here.slope * np.cos(here.value) / image - 2 * np.cos(here.x) / sine
        links = self._active(tape["x"][:, self.direction])
        rest = times(self._active(score[:, self.direction]), conjugate(links))[..., 1:] - bend[..., np.newaxis] * axis
        along = (rest * axis).sum(axis=-1, keepdims=True)
        across, turn = rest - along * axis, (here.value - here.x)[..., np.newaxis]
        turned = np.cos(turn) * across - np.sin(turn) * np.cross(axis, across)
        tangent = along / here.slope[..., np.newaxis] * axis + turned * (sine / image)[..., np.newaxis]
        moving = times(pure(tangent), self._active(tape["y"][:, self.direction]))
        dy = np.zeros_like(score)
        self._put(dy, moving)
        dx, _ = self._pullback(tape, dy, np.ones(len(score)))
        return np.where(self._moved(score.shape[1:]), dy, score - dx)
