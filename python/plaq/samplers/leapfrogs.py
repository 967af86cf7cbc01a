r"""Generalised leapfrog steps of 2D U(1) with networks, their inverse and reverse pass (arXiv 1711.09268, 2105.03418).

Arrays are ``[sample, mu, x_0, x_1]``: angles :math:`\theta` and momenta v. With the force F and a mask m of links,

.. math:: v &\to e^{\epsilon s/2} v - \tfrac{\epsilon}{2}(e^{\epsilon q} F + t),\\
    \theta_m &\to h(\theta_m) + \epsilon(e^{\epsilon q} v + t),\quad h(\theta) = 2\arctan(e^{\epsilon s}
    \tan\tfrac{\theta}{2}),

s, q, t outputs of networks: of the plaquettes for v, of v and of the links that stand still for :math:`\theta`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.flows.circle import Projections, wrapped
from plaq.flows.coupling import from_plaquettes, per_sample, plaquettes, rows
from plaq.nn.sequential import Sequential

Array = NDArray[np.float64]
Tape = dict[str, Any]


def action(beta: float, theta: Array) -> Array:
    """Wilson action of every sample."""
    return rows(beta * (1 - np.cos(plaquettes(theta))))


def force(beta: float, theta: Array) -> Array:
    """Its derivative."""
    return from_plaquettes(beta * np.sin(plaquettes(theta)))


def charge_slope(theta: Array) -> Array:
    """The derivative of :func:`charge`."""
    return from_plaquettes(np.cos(plaquettes(theta))) / (2 * np.pi)


def charge(theta: Array) -> Array:
    """The sum of sin P over 2 pi, a charge with a derivative."""
    return rows(np.sin(plaquettes(theta))) / (2 * np.pi)


def mask(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Links ``[mu, x_0, x_1]`` that move first."""
    even: NDArray[np.bool_] = np.indices((2, *shape)).sum(axis=0) % 2 == 0
    return even


@dataclass(frozen=True)
class Said:
    """s, q, t of a network, and what its reverse pass needs; s and q are bounded by `bound`."""

    network: Sequential
    inputs: Array
    squeezed: Array
    t: Array
    bound: float

    @classmethod
    def of(cls, network: Sequential, inputs: Array, bound: float) -> Said:
        """The outputs for these inputs."""
        outputs = network(inputs)
        return cls(network, inputs, np.tanh(outputs[:, :4]), outputs[:, 4:], bound)

    @property
    def s(self) -> Array:
        """Exponents of scales."""
        return self.bound * self.squeezed[:, :2]

    @property
    def q(self) -> Array:
        """Exponents of forces and momenta."""
        return self.bound * self.squeezed[:, 2:]

    def pullback(self, ds: Array, dq: Array, dt: Array) -> tuple[Array, Array]:
        """Derivatives with respect to inputs and parameters."""
        raw = self.bound * (1 - self.squeezed**2) * np.concatenate([ds, dq], axis=1)
        return self.network.pullback(self.inputs, np.concatenate([raw, dt], axis=1))


@dataclass(frozen=True)
class Kick:
    """The update of momenta."""

    network: Sequential
    beta: float
    bound: float

    def _said(self, theta: Array) -> tuple[Array, Said]:
        angles = plaquettes(theta)
        return angles, Said.of(self.network, np.stack([np.cos(angles), np.sin(angles)], axis=1), self.bound)

    def _parts(self, theta: Array, eps: float) -> tuple[Array, Said, Array, Array]:
        angles, said = self._said(theta)
        pushed = from_plaquettes(self.beta * np.sin(angles)) * np.exp(eps * said.q)
        return angles, said, pushed, np.exp(eps * said.s / 2)

    def forward(self, theta: Array, v: Array, eps: float) -> tuple[Array, Array, Array, Tape]:
        """Angles, momenta, log det and tape."""
        angles, said, pushed, scale = self._parts(theta, eps)
        tape = {"angles": angles, "said": said, "pushed": pushed, "scale": scale, "v": v}
        return theta, scale * v - eps / 2 * (pushed + said.t), rows(eps * said.s / 2), tape

    def backward(self, theta: Array, v: Array, eps: float) -> tuple[Array, Array, Array]:
        """The inverse and its log det."""
        _, said, pushed, scale = self._parts(theta, eps)
        return theta, (v + eps / 2 * (pushed + said.t)) / scale, -rows(eps * said.s / 2)

    def pullback(
        self, tape: Tape, eps: float, dtheta: Array, dv: Array, dlog: Array
    ) -> tuple[Array, Array, Array, float]:
        """Derivatives with respect to angles, momenta, parameters and the step size, of a function with these of the
        results and of log det.
        """
        said, pushed, moved = tape["said"], tape["pushed"], tape["scale"] * tape["v"]
        weight = per_sample(dlog, 4)
        ds, dq = eps / 2 * (dv * moved + weight), -(eps**2) / 2 * dv * pushed
        below, gradient = said.pullback(ds, dq, -eps / 2 * dv)
        sine, cosine = np.sin(tape["angles"]), np.cos(tape["angles"])
        dangles = cosine * below[:, 1] - sine * below[:, 0]
        dangles += self.beta * cosine * plaquettes(-eps / 2 * dv * np.exp(eps * said.q))
        slope = dv * (moved * said.s / 2 - (pushed * (1 + eps * said.q) + said.t) / 2) + weight * said.s / 2
        return dtheta + from_plaquettes(dangles), tape["scale"] * dv, gradient, float(slope.sum())


@dataclass(frozen=True)
class Drift:
    """The update of the angles of a mask."""

    network: Sequential
    mask: NDArray[np.bool_]
    bound: float

    def _parts(self, theta: Array, v: Array, eps: float) -> tuple[Said, Array]:
        still = ~self.mask
        inputs = np.concatenate([np.cos(theta) * still, np.sin(theta) * still, v], axis=1)
        said = Said.of(self.network, inputs, self.bound)
        return said, v * np.exp(eps * said.q)

    def forward(self, theta: Array, v: Array, eps: float) -> tuple[Array, Array, Array, Tape]:
        """Angles, momenta, log det and tape."""
        said, pushed = self._parts(theta, v, eps)
        here = Projections.at(wrapped(theta), eps * said.s[np.newaxis], np.ones((1, 1, 1, 1, 1)))
        image = np.where(self.mask, theta + (here.value - here.x) + eps * (pushed + said.t), theta)
        logs = rows(np.where(self.mask, np.log(here.slope), 0.0))
        return image, v, logs, {"said": said, "pushed": pushed, "here": here, "theta": theta, "v": v}

    def backward(self, theta: Array, v: Array, eps: float) -> tuple[Array, Array, Array]:
        """The inverse and its log det."""
        said, pushed = self._parts(theta, v, eps)
        there = wrapped(theta - eps * (pushed + said.t))
        here = Projections.at(there, -eps * said.s[np.newaxis], np.ones((1, 1, 1, 1, 1)))
        return np.where(self.mask, here.value, theta), v, rows(np.where(self.mask, np.log(here.slope), 0.0))

    def pullback(
        self, tape: Tape, eps: float, dtheta: Array, dv: Array, dlog: Array
    ) -> tuple[Array, Array, Array, float]:
        """As of :meth:`Kick.pullback`."""
        said, pushed, here, theta = tape["said"], tape["pushed"], tape["here"], tape["theta"]
        moving = np.where(self.mask, dtheta, 0.0)
        dx, ds, _ = here.pullback(moving, np.where(self.mask, per_sample(dlog, 4), 0.0))
        below, gradient = said.pullback(eps * ds[0], eps**2 * moving * pushed, eps * moving)
        dstill = np.cos(theta) * below[:, 2:4] - np.sin(theta) * below[:, :2]
        slope = ds[0] * said.s + moving * (pushed * (1 + eps * said.q) + said.t)
        dmomenta = dv + below[:, 4:] + eps * moving * np.exp(eps * said.q)
        return np.where(self.mask, dx, dtheta + dstill), dmomenta, gradient, float(slope.sum())
