"""Gauge-equivariant couplings of 2D SU(N): the eigenvalues of plaquettes move (arXiv 2008.05456)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.fields.gauge import colors_of
from plaq.flows.alcove import (
    Stick,
    canonical,
    from_gaps,
    from_gaps_transposed,
    gaps_before,
    log_vandermonde,
    to_gaps_transposed,
    vandermonde_slope,
)
from plaq.flows.coupling import Array, LineCoupling, Tape, per_sample, rows
from plaq.flows.matrices import adjoint, as_matrices, as_numbers, from_loops, hermitian, loops
from plaq.ground.arguments import one_of
from plaq.ground.rng import Rng
from plaq.nn.layers import Layer, Tanh

__all__ = ["SpectralCoupling"]

Complex = NDArray[np.complex128]


class SpectralCoupling(LineCoupling):
    r"""Gauge-equivariant coupling of 2D SU(N) (arXiv 2008.05456): links move so that eigenvalues of plaquettes do.

    Links of one direction on every `period`-th line move, as of :class:`PlaquetteCoupling`. The active plaquette
    :math:`P = V\,\mathrm{diag}(e^{i\theta_j})\,V^\dagger` goes to :math:`P' = V\,\mathrm{diag}(e^{i\theta'_j})\,
    V^\dagger` and the link to :math:`P' P^\dagger U`. The angles, sorted, have gaps that break a stick of length
    :math:`2\pi`; the fraction u that each takes of what is left goes to :math:`h(\pi u)/\pi`,
    :math:`h(x) = \sum_k w_k\,2\arctan(e^{s_k}\tan\frac x2)`, with terms of its own. (For SU(2), :math:`P = e^{i\alpha
    n\sigma}`, that is :math:`\alpha\to h(\alpha)`.) The network sees the traces of the plaquettes without any link that
    moves. With respect to the Haar measure

    .. math:: \ln\det = \sum\Bigl[\ln\Bigl|\frac{\partial\theta'}{\partial\theta}\Bigr| + \sum_{i<j}\ln
        \frac{\sin^2\frac12(\theta'_i-\theta'_j)}{\sin^2\frac12(\theta_i-\theta_j)}\Bigr].

    Parameters
    ----------
    group : {"SU(2)", "SU(3)", "SU(4)"}
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
    >>> SpectralCoupling("SU(2)", 1, 2, terms=4).network.n_parameters
    1248
    """

    _kind, _shifts = "spectral", 0

    def __init__(
        self,
        group: str = "SU(3)",
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
        self.group = self._group = one_of("group", group, ["SU(2)", "SU(3)", "SU(4)"])
        self._rank = self._maps = colors_of(group) - 1
        self._inputs = min(self._rank, 2)
        super().__init__(direction, offset, period, terms, hidden, size, activation, bound, dtype, rng)

    def spec(self) -> dict[str, Any]:
        """The coupling as plain data; parameters are apart from it."""
        return super().spec() | {"group": self.group}

    def _moved(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        lines = super()._moved(shape[:3])
        moved: NDArray[np.bool_] = np.broadcast_to(lines[..., np.newaxis, np.newaxis], shape)
        return moved

    def _active(self, values: Complex) -> Complex:
        """Of ``[sample, x_0, x_1, a, b]`` those on the lines."""
        return values[(slice(None), *self._lines[1:])]

    def _parts(self, x: Array) -> tuple[Tape, Array, Array]:
        links = as_matrices(x)
        loop, factors = loops(links, self.direction)
        frozen = self._frozen(x.shape[2:4])
        trace = np.trace(loop, axis1=-2, axis2=-1) / (self._rank + 1)
        inputs = np.stack([trace.real, trace.imag][: self._inputs], axis=1) * frozen
        tape, s, w, _ = self._heard(inputs)
        active = self._active(loop)
        # Real and imaginary part commute; a generic sum of them has the eigenvectors of both.
        _, vectors = np.linalg.eigh(hermitian(active) + np.sqrt(2) * hermitian(-1j * active))
        eigenvalues = np.einsum("...ji,...jk,...ki->...i", vectors.conj(), active, vectors)
        theta, order = canonical(np.angle(eigenvalues))
        vectors = np.take_along_axis(vectors, order[..., np.newaxis, :], -1)
        tape |= {"factors": factors, "frozen": frozen, "theta": theta, "vectors": vectors, "links": links}
        return tape, s, w

    def _turned(self, tape: Tape, by: Array) -> tuple[Array, Complex]:
        """Links that move times V exp(i by) V^dagger, and that matrix."""
        vectors, moved = tape["vectors"], tape["links"].copy()
        rotation = (vectors * np.exp(1j * by)[..., np.newaxis, :]) @ adjoint(vectors)
        self._put(moved, rotation @ self._active(moved[:, self.direction]))
        return as_numbers(moved), rotation

    def _put(self, links: Complex, values: Complex) -> None:
        """Sets the links that move."""
        links[:, self.direction][(slice(None), *self._lines[1:])] = values

    def _record(self, x: Array) -> tuple[Array, Array, Tape]:
        tape, s, w = self._parts(x)
        stick = Stick.at(-np.diff(tape["theta"], axis=-1), s, w)
        image = from_gaps(stick.images)
        y, rotation = self._turned(tape, image - tape["theta"])
        logs = stick.log_det + log_vandermonde(image) - log_vandermonde(tape["theta"])
        return y, rows(logs), tape | {"stick": stick, "image": image, "y": y, "rotation": rotation}

    def _inverse(self, y: Array) -> tuple[Array, Array]:
        tape, s, w = self._parts(y)
        gaps = gaps_before(-np.diff(tape["theta"], axis=-1), s, w)
        theta = from_gaps(gaps)
        x, _ = self._turned(tape, theta - tape["theta"])
        logs = Stick.at(gaps, s, w).log_det + log_vandermonde(tape["theta"]) - log_vandermonde(theta)
        return x, rows(logs)

    def _pullback(self, tape: Tape, dy: Array, dlog: Array) -> tuple[Array, Array]:
        stick: Stick = tape["stick"]
        vectors, theta, image, rotation = (tape[name] for name in ("vectors", "theta", "image", "rotation"))
        cotangents = as_matrices(dy).copy()
        moving, links = self._active(cotangents[:, self.direction]), self._active(tape["links"][:, self.direction])
        weight = np.broadcast_to(per_sample(dlog, 3), theta.shape[:-1])
        turned = np.exp(1j * (image - theta))
        drotation = adjoint(vectors) @ (moving @ adjoint(links)) @ vectors
        dturn = -(np.diagonal(drotation, axis1=-2, axis2=-1).conj() * turned).imag
        dimage = dturn + weight[..., np.newaxis] * vandermonde_slope(image)
        dgaps, ds, dw = stick.pullback(from_gaps_transposed(dimage), weight)
        dtheta = to_gaps_transposed(dgaps) - dturn - weight[..., np.newaxis] * vandermonde_slope(theta)
        # Off the diagonal dR_ij = i X_ij l_j (r_j - r_i)/(l_j - l_i) for P -> exp(iX) P, in the basis of V.
        ratio = np.exp(1j * theta)[..., np.newaxis, :] * quotient(turned, np.exp(1j * theta))
        tangent = hermitian(np.swapaxes(1j * drotation.conj() * ratio, -1, -2))
        tangent[..., range(self._rank + 1), range(self._rank + 1)] = dtheta
        dloop = np.zeros(dy.shape[:1] + dy.shape[2:4] + links.shape[-2:], complex)
        loop = (vectors * np.exp(1j * theta)[..., np.newaxis, :]) @ adjoint(vectors)
        dloop[(slice(None), *self._lines[1:])] = 1j * (vectors @ tangent @ adjoint(vectors)) @ loop
        below, dparameters = self._said(tape, ds, dw, None, dy.shape[2:4])
        seen = np.einsum("nc...,c->n...", below * tape["frozen"], np.array([1, 1j])[: self._inputs])
        dloop += (seen / (self._rank + 1))[..., np.newaxis, np.newaxis] * np.eye(self._rank + 1)
        self._put(cotangents, adjoint(rotation) @ moving)
        return as_numbers(cotangents + from_loops(dloop, tape["factors"], self.direction)), dparameters

    def _push(self, tape: Tape, score: Array) -> Array:
        r"""As of :meth:`Coupling._push`; in tangents :math:`U\to e^{iX}U` and in the basis of V the Jacobian of a link
        is that of the angles on the diagonal and a number off it.
        """
        stick: Stick = tape["stick"]
        vectors, theta, image = tape["vectors"], tape["theta"], tape["image"]
        links = self._active(tape["links"][:, self.direction])
        given = self._active(as_matrices(score)[:, self.direction])
        tangent = adjoint(vectors) @ hermitian(1j * links @ adjoint(given)) @ vectors
        diagonal = np.diagonal(tangent, axis1=-2, axis2=-1).real + vandermonde_slope(theta)
        dimage = to_gaps_transposed(stick.push(from_gaps_transposed(diagonal))) - vandermonde_slope(image)
        before, after = np.exp(1j * theta), np.exp(1j * image)
        factor = quotient(after, before) * (before / after)[..., np.newaxis, :]
        tangent = tangent / np.swapaxes(np.where(factor == 0, 1, factor), -1, -2)
        tangent[..., range(self._rank + 1), range(self._rank + 1)] = dimage
        images = self._active(as_matrices(tape["y"])[:, self.direction])
        cotangents = np.zeros_like(tape["links"])
        self._put(cotangents, 1j * (vectors @ tangent @ adjoint(vectors)) @ images)
        dy = as_numbers(cotangents)
        dx, _ = self._pullback(tape, dy, np.ones(len(score)))
        return np.where(self._moved(score.shape[1:]), dy, score - dx)


def quotient(after: Complex, before: Complex) -> Complex:
    """(a_j - a_i)/(b_j - b_i), 0 on the diagonal."""
    above = after[..., np.newaxis, :] - after[..., :, np.newaxis]
    below = before[..., np.newaxis, :] - before[..., :, np.newaxis]
    found: Complex = above / np.where(np.abs(below) < 1e-14, np.inf, below)
    return found
