"""Stochastic normalising flows: couplings with updates by HMC between (arXiv 2002.06707, 2201.08862)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.concepts import Action, Vector
from plaq.flows.flow import CHUNK, Flow, checked_action
from plaq.flows.training import Draw, fitted
from plaq.flows.weighted import WeightedSamples
from plaq.ground.arguments import instance, number, unknown, vector, whole_number
from plaq.ground.names import Explained
from plaq.ground.rng import Rng, seed_of
from plaq.training.history import History
from plaq.training.optimizers import Optimizer, Schedule

__all__ = ["StochasticFlow"]

Array = NDArray[np.float64]

MOST = 10_000
"""Most stages."""
KEY = 0x9E3779B97F4A7C15
"""Takes the random numbers of training and validation out of those of :meth:`StochasticFlow.reweight`."""


class StochasticFlow(metaclass=Explained):
    r"""Couplings of a flow in stages, each followed by updates by HMC (arXiv 2002.06707, 2201.08862).

    With p the prior, S the action and :math:`S_k = -(1-c_k)\ln p + c_k S`, :math:`0 = c_0 < c_1 < \dots < c_n = 1`,
    stage k = 1 .. n takes x to :math:`f_k(x)` by its share of the couplings, then updates it by HMC with the action
    :math:`S_k`, whose equilibrium it leaves as it is. The weight of a path,

    .. math:: \ln w = \sum_{k=1}^n \bigl[S_{k-1}(x_{k-1}) - S_k(f_k(x_{k-1})) + \ln\det f_k'(x_{k-1})\bigr],

    :math:`x_{k-1}` the field in front of the stage, is minus the work less the heat: :math:`\langle w\rangle = Z`,
    :math:`\langle w\,O(x_n)\rangle/\langle w\rangle = \langle O\rangle`, for any couplings and any number of updates
    (Jarzynski, cond-mat/9610209). Without couplings this is annealed importance sampling, without updates (``updates =
    0``) the flow itself.

    Parameters
    ----------
    flow : Flow
        Prior and couplings, divided evenly among the stages; it may have none. Copied; :meth:`fit` trains the copy,
        ``stochastic.flow``.
    action : Action
        S, of the fields of the flow.
    fractions : int or sequence of float
        Number n of stages with :math:`c_k = k/n`, or the :math:`c_k` themselves, which increase to 1.
    updates : int
        Trajectories after the couplings of a stage.
    length : float
        Length of a trajectory in molecular dynamics time.
    steps : int
        Steps of a trajectory.
    integrator : str
        As of :class:`plaq.HMC`.

    Raises
    ------
    TypeError, ValueError
        No flow, an action of other fields, fractions that do not increase to 1, settings out of range.

    Notes
    -----
    The weight belongs to the path from z to x, not to x alone: there is no ``log_prob`` and no chain of independent
    proposals; means and ln Z come from :meth:`reweight`.

    Examples
    --------
    >>> import plaq as pq
    >>> S, haar = pq.actions.Wilson(1.0), pq.flows.Flow(pq.flows.Haar((4, 4)), [])
    >>> annealed = pq.flows.StochasticFlow(haar, S, 8, length=1.0, steps=4)
    >>> samples = annealed.reweight(300, rng=1)
    >>> samples.efficiency > 3 * haar.reweight(S, 300, rng=1).efficiency
    True
    """

    def __init__(
        self,
        flow: Flow,
        action: Action,
        fractions: int | Sequence[float] = 10,
        *,
        updates: int = 1,
        length: float = 1.0,
        steps: int = 5,
        integrator: str = "omelyan2",
    ) -> None:
        self.flow: Flow = instance("flow", flow, Flow, "a plaq.flows.Flow").copy()
        self.action: Action = checked_action(flow, action)
        self.fractions: list[float] = _fractions(fractions)
        self.updates = whole_number("updates", updates, 0, 10**6)
        self.length = number("length", length, above=0.0)
        self.steps = whole_number("steps", steps, 1, 10**6)
        if integrator not in _plaq.INTEGRATORS:
            raise ValueError(unknown("integrator", integrator, _plaq.INTEGRATORS))
        self.integrator = integrator
        self._cores: list[_plaq.SamplerCore] = []

    def __repr__(self) -> str:
        return (
            f"<StochasticFlow of {self.flow!r}, {self.action!r}, {len(self.fractions)} stages with {self.updates} "
            f"trajectories of length {self.length:g}>"
        )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_cores": []}

    def copy(self) -> StochasticFlow:
        """The same again, with parameters of its own."""
        return StochasticFlow(
            self.flow,
            self.action,
            self.fractions,
            updates=self.updates,
            length=self.length,
            steps=self.steps,
            integrator=self.integrator,
        )

    @property
    def parameters(self) -> Vector:
        """Those of the couplings, as of :class:`Flow`; can be set."""
        return self.flow.parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        self.flow.parameters = values

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.flow.n_parameters

    def spec(self) -> dict[str, Any]:
        """Flow, fractions and updates as plain data; parameters are apart from it."""
        names = ("fractions", "updates", "length", "steps", "integrator")
        return {"kind": "stochastic flow", "flow": self.flow.spec()} | {name: getattr(self, name) for name in names}

    def _stages(self) -> list[slice]:
        """The couplings of each stage."""
        ends = [len(self.flow.layers) * k // len(self.fractions) for k in range(len(self.fractions) + 1)]
        return [slice(first, last) for first, last in pairwise(ends)]

    def _between(self, c: float) -> Action:
        """(1 - c)(-ln p) + c S up to a constant."""
        prior = self.flow.prior._action()
        return c * self.action if prior is None or c == 1 else (1 - c) * prior + c * self.action

    def _samplers(self) -> list[_plaq.SamplerCore]:
        """HMC of every stage."""
        if not self._cores:
            for action in map(self._between, self.fractions):
                level = {"terms": [0], "steps": self.steps, "integrator": self.integrator}
                spec = {"kind": "hmc", "terms": [{"action": action.spec()}], "levels": [level], "length": self.length}
                self._cores.append(_plaq.SamplerCore(json.dumps(spec | {"on_failure": "raise"}), action.functions()))
        return self._cores

    def _updated(self, x: Array, stage: int, draw: Draw) -> tuple[Array, float]:
        """After the updates of a stage, and how many were accepted."""
        prior, core = self.flow.prior, self._samplers()[stage]
        moved, accepted, seed = np.empty_like(x), 0, (draw.seed + KEY * draw.purpose) % 2**64
        for k, array in enumerate(prior._array_of(x)):
            field = prior._field(array)._core
            number_of = ((draw.first + k) * len(self.fractions) + stage) * self.updates
            for update in range(self.updates):
                field, info = core.step(field, seed, number_of + update)
                accepted += bool(info["accepted"])
            moved[k] = prior._coordinates_of(np.asarray(prior.field_class(field)))
        return moved, accepted / (len(x) * self.updates)

    def _run(self, draw: Draw, learn: bool = False) -> tuple[Array, Array, Array, list[float], Vector]:
        """Fields, their action, -ln w, acceptances, and the derivative of the mean of -ln w with every x_k fixed."""
        prior = self.flow.prior
        x = prior._sampled(draw.count, draw.seed, draw.first, draw.purpose)
        before, actions, loss = -prior._log_density(x), np.zeros(draw.count), np.zeros(draw.count)
        acceptances, gradients = list[float](), [np.zeros(0)]
        for stage, (part, c) in enumerate(zip(self._stages(), self.fractions, strict=True)):
            x, log_det, tapes = self.flow._through(x, part)
            actions, slopes = self.flow._finite(self.action, x, force=learn)
            loss += self._interpolated(c, x, actions) - before - log_det
            if learn and tapes:
                cotangent = c * slopes if c == 1 else c * slopes - (1 - c) * prior._score(x)
                gradients.append(self.flow._back_through(tapes, cotangent, np.full(len(x), -1.0), part)[1] / len(x))
            if self.updates and np.isfinite(loss).all():
                x, acceptance = self._updated(x, stage, draw)
                acceptances.append(acceptance)
                actions = self.flow._finite(self.action, x)[0]
            before = self._interpolated(c, x, actions)
        return x, actions, loss, acceptances, np.concatenate(gradients)

    def _interpolated(self, c: float, x: Array, actions: Array) -> Array:
        return actions if c == 1 else c * actions - (1 - c) * self.flow.prior._log_density(x)

    def reweight(self, n: int, *, rng: Rng) -> WeightedSamples:
        r"""Independent paths with their weights.

        Parameters
        ----------
        n : int
            How many.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed; path k depends on it and on k alone.

        Returns
        -------
        WeightedSamples
            The last field of each path, S there, and as ``log_prob`` the number :math:`-S - \ln w`; effective sample
            size, ln Z and means are those of the weights. ``acceptance`` is that of the updates of each stage.

        Raises
        ------
        TypeError, ValueError
            No count, no rng; weights that are not finite.

        Examples
        --------
        >>> import plaq as pq
        >>> free = pq.flows.Flow(pq.flows.FreeField((4, 4), 2.0), [])
        >>> samples = StochasticFlow(free, pq.actions.Scalar(1.0), 5, steps=4).reweight(200, rng=1)
        >>> len(samples), samples.acceptance.shape
        (200, (5,))
        """
        count, seed = self.flow._count(n), seed_of(rng)
        arrays, actions, losses, rates = [], [], [], []
        for first in range(0, count, CHUNK):
            x, action, loss, acceptances, _ = self._run(Draw(seed, first, min(CHUNK, count - first), 0))
            arrays.append(self.flow.prior._array_of(x))
            actions.append(action)
            losses.append(loss)
            rates.append(len(x) / count * np.array(acceptances))
        action, loss = np.concatenate(actions), np.concatenate(losses)
        acceptance = np.sum(rates, axis=0) if self.updates else None
        return WeightedSamples(np.concatenate(arrays), loss - action, action, acceptance)

    def _losses(self, action: Action, draw: Draw) -> Array:
        return self._run(draw)[2]

    def _losses_and_gradient(self, action: Action, gradient: str, draw: Draw) -> tuple[Array, Vector]:
        with np.errstate(over="ignore", invalid="ignore"):
            _, _, loss, _, slope = self._run(draw, learn=True)
        return loss, slope

    def fit(
        self,
        *,
        steps: int = 1000,
        batch: int = 64,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: int | None = None,
        patience: int | None = None,
        record_every: int = 1,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng,
    ) -> History:
        r"""Minimise :math:`\langle-\ln w\rangle`, the mean work less heat, an upper bound of -ln Z.

        Every stage has its own term :math:`\langle S_k(f_k(x)) - \ln\det f_k' - S_{k-1}(x)\rangle`, the
        Kullback-Leibler divergence of :math:`f_k` of the fields in front of it from :math:`e^{-S_k}`; the gradient of
        each is taken with these fields fixed (arXiv 2201.13117), so that nothing is differentiated through an accept
        and reject step and memory does not grow with the number of stages.

        Parameters
        ----------
        steps, batch, optimizer, schedule, validation, patience, record_every, checkpoint, progress, rng
            As of :meth:`Flow.fit`.

        Returns
        -------
        History
            As of :meth:`Flow.fit`; ``loss`` is the mean of -ln w.

        Raises
        ------
        TypeError, ValueError, CheckpointError, OSError
            As of :meth:`Flow.fit`.

        Examples
        --------
        >>> import plaq as pq
        >>> flow = pq.flows.real_nvp(pq.flows.Normal((4, 4)), couplings=4, hidden=(4,), rng=1)
        >>> stochastic = StochasticFlow(flow, pq.actions.Scalar(0.5, 0.1), 2, steps=3)
        >>> rule = pq.optimizers.Adam(0.02)
        >>> history = stochastic.fit(steps=20, batch=16, optimizer=rule, rng=2, progress=False)
        >>> bool(history.loss[-5:].mean() < history.loss[:5].mean())
        True
        """
        return fitted(
            self,
            self.action,
            "reparameterised",
            facts={"flow": self.spec(), "action": self.action.spec()},
            steps=steps,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            validation=validation,
            patience=patience,
            record_every=record_every,
            checkpoint=checkpoint,
            progress=progress,
            rng=rng,
        )


def _fractions(given: Any) -> list[float]:
    """Increasing numbers up to 1."""
    if not isinstance(given, Sequence | np.ndarray):
        count = whole_number("fractions", given, 1, MOST)
        return [k / count for k in range(1, count + 1)]
    values = vector("fractions", given, len(given)).tolist()
    if (
        not 0 < len(values) <= MOST
        or values[-1] != 1
        or any(b <= a for a, b in zip([0.0, *values], values, strict=False))
    ):
        raise ValueError(f"fractions = {values}: 1 to {MOST} numbers that increase from above 0 to 1 are needed")
    return list(values)
