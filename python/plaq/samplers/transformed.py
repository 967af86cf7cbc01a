"""Hybrid Monte Carlo in new variables (arXiv 0907.5491, 2201.01862)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from plaq.chains.sampler import Info
from plaq.concepts import Action, Function
from plaq.fields.gauge import GaugeField
from plaq.flows.flow import Flow
from plaq.ground.rng import Rng, counter
from plaq.losses.new_variables import TransformedForce
from plaq.samplers.hmc import HMC
from plaq.training.history import History
from plaq.training.loss import Validation, train
from plaq.training.optimizers import Optimizer, Schedule
from plaq.transform.action import Transformed
from plaq.transform.field import FieldTransform

__all__ = ["FieldTransformHMC"]


class FieldTransformHMC(HMC):
    r"""Field-transformation HMC: molecular dynamics of V with :math:`S(F(V)) - \ln\det F_*(V)`, states U = F(V).

    Every trajectory starts at :math:`V = F^{-1}(U)` with new momenta of V. States, observables and checkpoints are of
    U, whose distribution is :math:`e^{-S(U)}` whatever F is.

    With a flow of ``plaq.flows`` as F this is flowed HMC (arXiv 2302.08408): molecular dynamics in the variables of
    its prior, of links or of a scalar field.

    Parameters
    ----------
    action : Action
        S, any action of gauge fields, with a flow any of its fields.
    transform : FieldTransform or Flow
        F. Copied; :meth:`train` changes the copy, ``sampler.transform``.
    length : float
        Trajectory length in molecular dynamics time.
    steps : int, optional
        As of :class:`plaq.HMC`: None chooses them in the warm-up.
    integrator : str
        As of :class:`plaq.HMC`.

    Raises
    ------
    TypeError, ValueError
        Wrong arguments; at the first trajectory: odd extents, another number of dimensions, SU(4) and above.

    Notes
    -----
    Cost: the force in new variables takes 10 to 20 times the plain one (docs/transform.md), the inverse as long as a
    few forces; with a flow, one pass through its networks and back. ``info`` is that of :class:`plaq.HMC`, its
    ``action`` the action in new variables.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = FieldTransformHMC(pq.actions.Wilson(3.0), pq.transform.u1_2d(0.1), length=1.0, steps=8)
    >>> U, info = sampler.step(pq.GaugeField.cold((8, 8), "U(1)"), rng=1)
    >>> sorted(info)
    ['accepted', 'action', 'delta_h', 'exp_minus_delta_h', 'force_0', 'largest_force_0']
    """

    _compiled = ("_core", "_transformed")

    def __init__(
        self,
        action: Action,
        transform: FieldTransform | Flow,
        *,
        length: float = 1.0,
        steps: int | None = None,
        integrator: str = "omelyan2",
    ) -> None:
        self.transform: FieldTransform | Flow = Transformed(action, transform).transform
        super().__init__(action, length=length, steps=steps, integrator=integrator)

    def _rebuild(self) -> None:
        self._transformed = Transformed(self.action, self.transform)
        super()._rebuild()

    def _spec(self) -> dict[str, Any]:
        return super()._spec() | {"terms": [{"action": self._transformed.spec()}]}

    def _functions(self) -> list[tuple[Function, str]]:
        return self._transformed.functions()

    def _time_scales(self) -> list[tuple[list[int], int | None, str]]:
        return [([0], self.steps, self.integrator)]

    def _term_names(self) -> list[str]:
        return [f"{self.action!r} in new variables"]

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[Any, Info]:
        """One trajectory; see :meth:`plaq.Sampler.advance`."""
        seed, sweep = counter(seed, sweep)
        tuning = self.tuning(state, seed)
        if tuning is not None:
            return self.tuned(tuning).advance(state, seed, sweep)
        start = self._transformed._new(self._checked(state))
        core, info = self._core.step(start._core, seed, sweep)
        return (self._transformed._old(self.action.field_class(core)) if info["accepted"] else state), info

    def fingerprint(self) -> dict[str, Any]:
        """The physics input; the transformation is part of it."""
        transform = {"layers": self.transform.spec()["layers"], "parameters": self.transform.parameters.tolist()}
        return super().fingerprint() | {"transform": transform}

    def train(
        self,
        fields: Sequence[GaugeField],
        loss: TransformedForce | None = None,
        *,
        epochs: int = 100,
        batch: int | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: Validation | None = None,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng | None = None,
    ) -> History:
        """Train the transformation so that forces get small, on configurations of the action.

        The sampler is left with the best parameters that were met, on the validation fields if there are some; the
        last record of the history can be worse.

        Parameters
        ----------
        fields : sequence of GaugeField
            Configurations U; pulled back to V by the inverse at every step.
        loss : TransformedForce, optional
            By default ``TransformedForce(action)``: the root of the mean square force. With few configurations that is
            soon overtrained; the articles take the force of a smaller beta as target, as in
            ``TransformedForce(action, Wilson(2.5))``.
        epochs, batch, optimizer, schedule, validation, patience, checkpoint, progress, rng
            As of :meth:`plaq.CovariantNet.fit`.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            As of :meth:`plaq.CovariantNet.fit`; a loss of another kind; a flow (:meth:`plaq.flows.Flow.fit` trains it).
        CheckpointError, OSError
            As of :meth:`plaq.CovariantNet.fit`.

        Examples
        --------
        >>> import plaq as pq
        >>> sampler = FieldTransformHMC(pq.actions.Wilson(2.0), pq.transform.u1_2d(), steps=8)
        >>> U = sampler.run(pq.GaugeField.cold((8, 8), "U(1)"), 20, rng=1, progress=False).state
        >>> history = sampler.train([U], optimizer=pq.optimizers.Adam(0.02), epochs=20, progress=False)
        >>> bool(history["loss"][-1] < history["loss"][0])
        True
        """
        if isinstance(self.transform, Flow):
            raise TypeError("a flow is trained by flow.fit(action, ...), before the sampler is made")
        if loss is not None and not isinstance(loss, TransformedForce):
            raise TypeError(f"loss is a plaq.losses.TransformedForce; got {loss!r}")
        history = train(
            self.transform,
            fields,
            TransformedForce(self.action) if loss is None else loss,
            validation,
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            rng=rng,
        )
        self._chosen = None
        self._rebuild()
        return history
