r"""Monotone maps of the eigenvalues of SU(N): the alcove, in the coordinates that break a stick of length 2 pi.

Eigenvalues :math:`e^{i\theta_j}` of SU(N), :math:`\theta_1\ge\dots\ge\theta_N`, :math:`\sum\theta = 0`,
:math:`\theta_1-\theta_N\le 2\pi`, have gaps :math:`g_j = \theta_j-\theta_{j+1}\ge 0`. With what is left of the stick,
:math:`r_1 = 2\pi, r_{j+1} = r_j - g_j`, the numbers :math:`u_j = g_j/r_j` fill a cube, and each moves by
:math:`\pi u_j\to h_j(\pi u_j)` of :class:`Projections`, which leaves the walls of the alcove where they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaq.flows.circle import Projections, inverse

Array = NDArray[np.float64]

SMALLEST = 1e-12
"""Least number that is divided by; the Haar measure has no weight there."""


def canonical(theta: Array) -> tuple[Array, NDArray[np.intp]]:
    """Angles with sum zero in the order of the alcove, and which eigenvalue each is; eigenvalues on the last axis."""
    order = np.argsort(-theta, axis=-1, kind="stable")
    sorted_angles = np.take_along_axis(theta, order, -1)
    winding = np.rint(sorted_angles.sum(axis=-1, keepdims=True) / (2 * np.pi))
    count, place = theta.shape[-1], np.arange(theta.shape[-1])
    sorted_angles = sorted_angles - 2 * np.pi * ((place < winding) * 1.0 - (place >= count + winding) * 1.0)
    again = np.argsort(-sorted_angles, axis=-1, kind="stable")
    final: Array = np.take_along_axis(sorted_angles, again, -1)
    return final, np.take_along_axis(order, again, -1)


def from_gaps(gaps: Array) -> Array:
    r""":math:`\theta` of gaps, with sum zero."""
    sums = np.cumsum(gaps[..., ::-1], axis=-1)[..., ::-1]
    theta = np.concatenate([sums, np.zeros_like(sums[..., :1])], axis=-1)
    centred: Array = theta - theta.mean(axis=-1, keepdims=True)
    return centred


def to_gaps_transposed(dgaps: Array) -> Array:
    """Derivatives with respect to angles from those with respect to gaps."""
    none = np.zeros_like(dgaps[..., :1])
    dtheta: Array = np.concatenate([dgaps, none], axis=-1) - np.concatenate([none, dgaps], axis=-1)
    return dtheta


def from_gaps_transposed(dtheta: Array) -> Array:
    """Derivatives with respect to gaps from those with respect to angles."""
    centred = dtheta - dtheta.mean(axis=-1, keepdims=True)
    sums: Array = np.cumsum(centred, axis=-1)[..., :-1]
    return sums


def log_vandermonde(theta: Array) -> Array:
    r""":math:`\sum_{i<j}\ln\sin^2\frac{\theta_i-\theta_j}{2}`, the Haar measure of the eigenvalues."""
    i, j = np.triu_indices(theta.shape[-1], 1)
    logs: Array = 2 * np.log(np.maximum(np.abs(np.sin((theta[..., i] - theta[..., j]) / 2)), SMALLEST)).sum(axis=-1)
    return logs


def vandermonde_slope(theta: Array) -> Array:
    """Derivative of :func:`log_vandermonde`."""
    half = (theta[..., :, np.newaxis] - theta[..., np.newaxis, :]) / 2
    sine = np.sin(half)
    safe = np.where(np.abs(sine) < SMALLEST, np.inf, sine)
    slope: Array = (np.cos(half) / safe).sum(axis=-1)
    return slope


@dataclass(frozen=True)
class Stick:
    """One map at its argument; gaps and what is left, before and after, on the last axis."""

    gaps: Array
    left: Array
    images: Array
    left_after: Array
    maps: list[Projections]

    @classmethod
    def at(cls, gaps: Array, s: Array, w: Array) -> Stick:
        """The map of gaps; `s` and `w` are ``[term, gap, ...]``."""
        left, after = [np.full(gaps.shape[:-1], 2 * np.pi)], [np.full(gaps.shape[:-1], 2 * np.pi)]
        images, maps = [], []
        for j in range(gaps.shape[-1]):
            maps.append(Projections.at(np.pi * np.clip(gaps[..., j] / left[j], 0, 1), s[:, j], w[:, j]))
            images.append(after[j] * maps[j].value / np.pi)
            left.append(np.maximum(left[j] - gaps[..., j], SMALLEST))
            after.append(np.maximum(after[j] - images[j], SMALLEST))
        return cls(gaps, np.stack(left, -1), np.stack(images, -1), np.stack(after, -1), maps)

    @property
    def log_det(self) -> Array:
        """Logarithm of the determinant of d images / d gaps."""
        logs = np.log(self.left_after[..., :-1] / self.left[..., :-1]).sum(axis=-1)
        total: Array = logs + np.sum([np.log(each.slope) for each in self.maps], axis=0)
        return total

    def pullback(self, dimages: Array, dlog: Array) -> tuple[Array, Array, Array]:
        """Derivatives with respect to gaps, s and w of a function with those of images and of log det."""
        dgaps, ds, dw = np.empty_like(dimages), [], []
        dleft = dafter = np.zeros(dimages.shape[:-1])
        for j in reversed(range(len(self.maps))):
            here, left, after = self.maps[j], self.left[..., j], self.left_after[..., j]
            dimage = dimages[..., j] - dafter
            dafter = dafter + here.value / np.pi * dimage + dlog / after
            dx, each_s, each_w = here.pullback(after * dimage / np.pi, dlog)
            dgaps[..., j] = np.pi * dx / left - dleft
            dleft = dleft - here.x * dx / left - dlog / left
            ds.append(each_s)
            dw.append(each_w)
        return dgaps, np.stack(ds[::-1], axis=1), np.stack(dw[::-1], axis=1)

    def push(self, dgaps: Array) -> Array:
        """The derivatives with respect to images for which :meth:`pullback` with dlog = 1 gives these."""
        dimages = np.empty_like(dgaps)
        dleft = dafter = np.zeros(dgaps.shape[:-1])
        for j in reversed(range(len(self.maps))):
            here, left, after = self.maps[j], self.left[..., j], self.left_after[..., j]
            dx = (dgaps[..., j] + dleft) * left / np.pi
            dimage = (dx - here.curvature / here.slope) / here.slope * np.pi / after
            dimages[..., j] = dimage + dafter
            dafter = dafter + here.value / np.pi * dimage + 1 / after
            dleft = dleft - here.x * dx / left - 1 / left
        return dimages


def gaps_before(images: Array, s: Array, w: Array) -> Array:
    """Gaps whose images are given."""
    after = left = np.full(images.shape[:-1], 2 * np.pi)
    gaps = np.empty_like(images)
    for j in range(images.shape[-1]):
        u = inverse(np.pi * np.clip(images[..., j] / after, 0, 1), s[:, j], w[:, j]) / np.pi
        gaps[..., j] = left * u
        left = np.maximum(left - gaps[..., j], SMALLEST)
        after = np.maximum(after - images[..., j], SMALLEST)
    return gaps
