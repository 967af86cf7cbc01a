"""HMC of 2D U(1) with generalised leapfrog steps that are trained (arXiv 1711.09268, 2105.03418)."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.actions.links import Wilson
from plaq.chains.sampler import Info
from plaq.concepts import Vector
from plaq.fields.gauge import GaugeField
from plaq.flows.coupling import rows
from plaq.ground.arguments import instance, number, one_of, sequence, vector, whole_number, whole_numbers
from plaq.ground.rng import Rng, counter, seed_of
from plaq.nn.layers import Conv, Layer, Tanh
from plaq.nn.sequential import Sequential
from plaq.samplers.field import FieldSampler
from plaq.samplers.leapfrogs import Drift, Kick, Tape, action, charge, charge_slope, force, mask
from plaq.training.batches import Descent
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize
from plaq.training.optimizers import Adam, Optimizer, Schedule, scheduled

__all__ = ["L2HMC"]

Array = NDArray[np.float64]

PURPOSE, TRAINING = 4, 5
"""Last words of the counters of random numbers (those of flows are 0 to 3)."""
JUMPS = ["charge", "angles"]
MOST = 1000


class L2HMC(FieldSampler):
    r"""HMC of 2D U(1) with networks in the leapfrog steps, exact by the log det of the trajectory (arXiv 2105.03418).

    A step kicks the momenta v by half a step, moves one half of the links, then the other, and kicks again, with the
    maps

    .. math:: v \to e^{\epsilon s/2} v - \tfrac{\epsilon}{2}(e^{\epsilon q} F + t),\qquad
        \theta \to 2\arctan(e^{\epsilon s}\tan\tfrac{\theta}{2}) + \epsilon(e^{\epsilon q} v + t),

    where s, q, t are outputs of networks of the plaquettes (for v), of v and of the links that stand still (for
    :math:`\theta`). A coin decides whether the trajectory is that map or its inverse; with the Jacobian J it is
    accepted with :math:`\min(1, e^{H - H' + \ln\det J})`, :math:`H = S + v^2/2`: exact for all parameters. New networks
    say s = q = t = 0: HMC with leapfrog steps.

    Parameters
    ----------
    action : Wilson
        S.
    length : float
        Sum of the step sizes at the start.
    steps : int
        Leapfrog steps, each with a trainable step size :math:`\epsilon` and two networks of its own.
    hidden : sequence of int
        Channels of the hidden layers of the convolutional networks.
    size : int
        Sites to a side of their windows.
    activation : Layer
        Between convolutions.
    bound : float
        Largest s and q.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        First parameters of the hidden layers.

    Attributes
    ----------
    parameters : ndarray
        Logarithms of the step sizes, then the networks, step by step; can be set.

    Raises
    ------
    TypeError, ValueError
        Another action, settings out of range; at the first update a field that is not U(1) in two dimensions with even
        extents.

    Notes
    -----
    ``info``: ``accepted``, ``delta_h`` (:math:`H' - H - \ln\det J`), ``exp_minus_delta_h`` (its mean is 1),
    ``log_det``, ``action``. Networks of links are not gauge covariant; the distribution of the chain is.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = L2HMC(pq.actions.Wilson(2.0), length=1.0, steps=4, hidden=(4,))
    >>> chain = sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), 20, rng=1, progress=False)
    >>> sorted(chain.info)[:3], chain.acceptance > 0.5
    (['accepted', 'action', 'delta_h'], True)
    """

    _compiled = ("_updates",)

    def __init__(
        self,
        action: Wilson,
        *,
        length: float = 1.0,
        steps: int = 8,
        hidden: Sequence[int] = (8,),
        size: int = 3,
        activation: Layer = Tanh(),  # noqa: B008
        bound: float = 1.0,
        rng: Rng = 0,
    ) -> None:
        super().__init__(instance("action", action, Wilson, "pq.actions.Wilson(beta)"))
        self._beta = float(action.beta)
        self.length = number("length", length, above=0.0)
        self.steps = whole_number("steps", steps, 1, MOST)
        self.hidden = tuple(whole_numbers("hidden", hidden, 1, 4096, "channels of the hidden layers, as in (8, 8)"))
        self.size = whole_number("size", size, 1, 1000)
        self.activation = instance("activation", activation, Layer, "a layer of plaq.nn such as pq.nn.Tanh()")
        self.bound = number("bound", bound, 1e-6, 20.0)
        seeds = np.random.default_rng(seed_of(rng))
        self._networks = [self._network(channels, seeds) for _ in range(self.steps) for channels in (2, 6)]
        self._sizes = np.full(self.steps, math.log(self.length / self.steps))
        self._rebuild()

    def _network(self, channels: int, seeds: np.random.Generator) -> Sequential:
        """With s, q, t of both directions as outputs, which start at zero."""
        layers: list[Layer] = []
        for width in self.hidden:
            layers += [Conv(self.size, channels, width), self.activation]
            channels = width
        network = Sequential([*layers, Conv(self.size, channels, 6)], rng=seeds)
        parameters = network.parameters
        parameters[-(channels * self.size**2 + 1) * 6 :] = 0.0
        network.parameters = parameters
        return network

    def _rebuild(self) -> None:
        self._updates: dict[tuple[int, ...], list[tuple[int, Kick | Drift]]] = {}

    @property
    def parameters(self) -> Vector:
        """Logarithms of the step sizes and the networks, step by step."""
        return np.concatenate([self._sizes, *(network.parameters for network in self._networks)])

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        left = vector("parameters", values, self.n_parameters)
        self._sizes, left = left[: self.steps], left[self.steps :]
        for network in self._networks:
            network.parameters, left = left[: network.n_parameters], left[network.n_parameters :]

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.steps + sum(network.n_parameters for network in self._networks)

    def copy(self) -> L2HMC:
        """The same sampler with parameters of its own."""
        return copy.deepcopy(self)

    def _trajectory(self, shape: tuple[int, ...]) -> list[tuple[int, Kick | Drift]]:
        """The updates in turn, with the number of their step."""
        if shape not in self._updates:
            first, found = mask(shape), list[tuple[int, Kick | Drift]]()
            for k in range(self.steps):
                kick = Kick(self._networks[2 * k], self._beta, self.bound)
                drifts = [Drift(self._networks[2 * k + 1], part, self.bound) for part in (first, ~first)]
                found += [(k, kick), *((k, drift) for drift in drifts), (k, kick)]
            self._updates[shape] = found
        return self._updates[shape]

    def _forward(self, theta: Array, v: Array) -> tuple[Array, Array, Array, list[Tape]]:
        eps, log_det, tapes = np.exp(self._sizes), np.zeros(len(theta)), list[Tape]()
        for k, update in self._trajectory(theta.shape[2:]):
            theta, v, more, tape = update.forward(theta, v, eps[k])
            log_det = log_det + more
            tapes.append(tape)
        return theta, v, log_det, tapes

    def _backward(self, theta: Array, v: Array) -> tuple[Array, Array, Array]:
        eps, log_det = np.exp(self._sizes), np.zeros(len(theta))
        for k, update in reversed(self._trajectory(theta.shape[2:])):
            theta, v, more = update.backward(theta, v, eps[k])
            log_det = log_det + more
        return theta, v, log_det

    def _energy(self, theta: Array, v: Array) -> Array:
        return action(self._beta, theta) + 0.5 * rows(v**2)

    def _checked(self, state: Any) -> GaugeField:
        field: GaugeField = super()._checked(state)
        if field.group != "U(1)" or field.ndim != 2 or any(extent % 2 for extent in field.shape):
            raise ValueError(
                f"the field is {field!r}; L2HMC is for U(1) in two dimensions with even extents, of which every second "
                "link moves at once"
            )
        return field

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[GaugeField, Info]:
        """One trajectory; see :meth:`plaq.Sampler.advance`."""
        seed, sweep = counter(seed, sweep)
        theta = _angles(self._checked(state))[np.newaxis]
        stream = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, sweep, PURPOSE]))
        v, coin, level = stream.standard_normal(theta.shape), stream.random() < 0.5, 1.0 - stream.random()
        there, momenta, log_det = self._forward(theta, v)[:3] if coin else self._backward(theta, v)
        delta = float((self._energy(there, momenta) - self._energy(theta, v) - log_det)[0])
        accepted = math.isfinite(delta) and math.log(level) < -delta
        field = _field(there[0]) if accepted else state
        value = action(self._beta, there if accepted else theta)
        weight = math.exp(min(-delta, 700.0)) if math.isfinite(delta) else 0.0
        info: Info = {"accepted": accepted, "delta_h": delta, "exp_minus_delta_h": weight}
        return field, info | {"log_det": float(log_det[0]), "action": float(value[0])}

    def fingerprint(self) -> dict[str, Any]:
        """The physics input: the action, the networks and a hash of the parameters."""
        networks = [network.spec()["layers"] for network in self._networks[:2]]
        parameters = hashlib.sha256(self.parameters.tobytes()).hexdigest()
        facts = {"action": self.action.spec(), "steps": self.steps, "bound": self.bound}
        return facts | {"networks": networks, "parameters": parameters}

    def _jump_and_gradient(self, theta: Array, v: Array, jump: str) -> tuple[Array, Array, Array, Array, Vector]:
        """Ends, acceptances, accepted squared jumps, energy changes, and the derivative of minus the mean jump."""
        with np.errstate(over="ignore", invalid="ignore"):
            there, momenta, log_det, tapes = self._forward(theta, v)
            delta = self._energy(there, momenta) - self._energy(theta, v) - log_det
            accepted = np.exp(np.minimum(-delta, 0.0))
            if jump == "charge":
                change = charge(there) - charge(theta)
                size, slope = change**2, charge_slope(there) * (2 * change)[:, None, None, None]
            else:
                size = (1 - np.cos(there - theta)).reshape(len(theta), -1).sum(axis=1)
                slope = np.sin(there - theta)
            # d(-A j) = -A dj + A j d(delta) where delta > 0
            weight = np.where(delta > 0, accepted * size, 0.0) / len(theta)
            dv = weight[:, None, None, None] * momenta
            dtheta = weight[:, None, None, None] * force(self._beta, there)
            dtheta -= (accepted / len(theta))[:, None, None, None] * slope
            deps = np.zeros(self.steps)
            eps, of_network = np.exp(self._sizes), dict[int, Vector]()
            for (k, update), tape in zip(reversed(self._trajectory(theta.shape[2:])), reversed(tapes), strict=True):
                dtheta, dv, gradient, deps_k = update.pullback(tape, eps[k], dtheta, dv, -weight)
                place = 2 * k + isinstance(update, Drift)
                of_network[place] = gradient + of_network.get(place, 0.0)
                deps[k] += deps_k
            gradients = [of_network[n] for n in range(2 * self.steps)]
        return there, accepted, accepted * size, delta, np.concatenate([deps * eps, *gradients])

    def _returned(self, theta: Array, v: Array) -> tuple[Array, Array]:
        """Ends and acceptances of the inverse trajectory."""
        with np.errstate(over="ignore", invalid="ignore"):
            there, momenta, log_det = self._backward(theta, v)
            delta = self._energy(there, momenta) - self._energy(theta, v) - log_det
            return there, np.exp(np.minimum(-delta, 0.0))

    def fit(
        self,
        fields: Sequence[GaugeField],
        *,
        steps: int = 1000,
        jump: str = "charge",
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        record_every: int = 1,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> History:
        r"""Maximise the expected squared jump :math:`\langle A\,\delta^2\rangle`, A the acceptance of a trajectory.

        Every step of the optimiser takes one forward trajectory of each of the chains (the mean over their inverses is
        the same, by detailed balance); then each goes on by it or its inverse.

        Parameters
        ----------
        fields : sequence of GaugeField
            Where the chains start, in equilibrium; all on one lattice.
        steps : int
            Last step of the optimiser; a resumed training goes on to it.
        jump : {"charge", "angles"}
            :math:`\delta = Q' - Q` with :math:`Q = \sum\sin P/2\pi` (arXiv 2105.03418), or
            :math:`\delta^2 = \sum(1 - \cos(\theta' - \theta))` of the links.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            By default ``Adam(1e-3)``.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate.
        record_every : int
            Steps between records.
        checkpoint : path, optional
            File from which the same training goes on to the same bits.
        progress : bool
            Show progress.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed.

        Returns
        -------
        History
            ``step, loss`` (minus the mean of the accepted squared jump), ``acceptance``, ``delta_h``,
            ``gradient_norm``, ``learning_rate``.

        Raises
        ------
        TypeError, ValueError
            Wrong arguments, a loss that is not finite: the parameters of the smallest loss are kept.
        CheckpointError, OSError
            As of :meth:`plaq.CovariantNet.fit`.

        Examples
        --------
        >>> import plaq as pq
        >>> S = pq.actions.Wilson(2.0)
        >>> sampler = L2HMC(S, length=0.5, steps=2, hidden=(2,))
        >>> U = pq.HMC(S, steps=5).run(pq.GaugeField.cold((4, 4), "U(1)"), 20, rng=1, progress=False).state
        >>> rule = pq.optimizers.Adam(0.02)
        >>> history = sampler.fit([U] * 16, steps=60, jump="angles", optimizer=rule, rng=2, progress=False)
        >>> bool(history.loss[-20:].mean() < history.loss[:20].mean())
        True
        """
        checkpoint_path(checkpoint)
        one_of("jump", jump, JUMPS)
        given = [self._checked(field) for field in sequence("fields", fields, GaugeField, "GaugeField")]
        shapes = sorted({field.shape for field in given})
        if len(shapes) > 1:
            raise ValueError(f"fields have shapes {shapes}; chains are on one lattice")
        theta = np.stack([_angles(field) for field in given])
        rule, seed = scheduled(optimizer, schedule, Adam(1e-3)), seed_of(rng)

        def keep(parameters: Vector) -> None:
            self.parameters = parameters

        digest = hashlib.sha256(theta.tobytes()).hexdigest()
        facts = self.fingerprint() | {"fields": digest, "jump": jump, "optimizer": repr(rule), "seed": seed}
        del facts["parameters"]
        _, history = minimize(
            Jumps(self.copy(), theta, jump, rule, seed, keep),
            epochs=whole_number("steps", steps, 1),
            every=whole_number("record_every", record_every, 1),
            checkpoint=checkpoint,
            progress=progress,
            facts=facts,
        )
        return history


class Jumps(Descent):
    """Steps of an optimiser, each on one trajectory of every chain with the present parameters."""

    unit = "steps"

    def __init__(self, sampler: L2HMC, theta: Array, jump: str, rule: Optimizer, seed: int, keep: Any) -> None:
        super().__init__(sampler.parameters, rule, None, keep)
        self._sampler, self._theta, self._jump, self._seed = sampler, theta, jump, seed

    def _unit(self) -> None:
        parameters, rate, theta = self._parameters.copy(), self._optimizer.learning_rate, self._theta
        self._sampler.parameters = parameters
        stream = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, self._done, TRAINING]))
        v, coins, levels = stream.standard_normal(theta.shape), stream.random(len(theta)), stream.random(len(theta))
        there, accepted, jumps, delta, gradient = self._sampler._jump_and_gradient(theta, v, self._jump)
        rates, back = accepted.copy(), coins < 0.5
        if back.any():
            there[back], rates[back] = self._sampler._returned(theta[back], v[back])
        loss = -float(np.mean(jumps))
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            self._diverged = True
            raise ValueError(f"the loss is {loss} in step {self._done}; lower the learning rate or take smaller steps")
        self._update(parameters, gradient)
        self._finish(parameters, loss)
        self._theta = np.where((levels < rates)[:, None, None, None], there, theta)
        self._row = {
            "step": self._done,
            "loss": loss,
            "acceptance": float(np.mean(accepted)),
            "delta_h": float(np.mean(delta)),
            "gradient_norm": float(np.linalg.norm(gradient)),
            "learning_rate": rate,
        }

    def score(self) -> None:
        """The last parameters are kept."""
        return

    def state(self) -> Mapping[str, ArrayLike]:
        """Parameters, optimiser, counters and chains."""
        return {**super().state(), "theta": self._theta}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        if state["theta"].shape != self._theta.shape:
            raise ValueError(f"chains of shape {state['theta'].shape}")
        super().restore(state)
        self._theta = state["theta"]


def _angles(field: GaugeField) -> Array:
    angles: Array = np.angle(np.asarray(field)[..., 0, 0])
    return angles


def _field(theta: Array) -> GaugeField:
    return GaugeField.from_numpy(np.exp(1j * theta)[..., np.newaxis, np.newaxis])
