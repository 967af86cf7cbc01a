"""Norms of forces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaq.concepts import Action, Loss, Map, Vector, checked_batch
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import sequence
from plaq.losses.action import checked_action

__all__ = ["ForceNorm"]


@dataclass(frozen=True, eq=False)
class ForceNorm(Loss):
    r"""p-norm of the force of an action after the map, or of its difference to another force.

    :math:`L = \langle |F_\mu(x) - T_\mu(x)|^p \rangle` over links, F the force of :math:`S(\mathrm{net}(U))` with
    respect to U, :math:`|F|^2 = -2\,\mathrm{tr} F^2` (U(1): :math:`-\mathrm{tr} F^2`).
    For fields of U(1) and SU(2) to SU(4).

    Parameters
    ----------
    action : Action
        S; made of loops (of a `Custom` action the second derivative is not known).
    target : Action, optional
        Its force on the field itself is T; by default 0: the force is made small.
    power : int
        p, even, 2 to 16.

    Raises
    ------
    TypeError, ValueError
        No action, an odd power.

    Examples
    --------
    >>> import plaq as pq
    >>> loss = ForceNorm(pq.actions.Wilson(2.0), power=4)
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.01])])
    >>> U = [pq.GaugeField.hot((4, 4), "SU(2)", rng=1)]
    >>> value, gradient = loss.of_batch(net, U, loss.targets(U))
    >>> value > 0, gradient.shape
    (True, (1,))
    """

    action: Action
    target: Action | None = None
    power: int = 2

    def __post_init__(self) -> None:
        checked_action("action", self.action)
        if self.target is not None:
            checked_action("target", self.target)
        if isinstance(self.power, bool) or not isinstance(self.power, int | np.integer):
            raise TypeError(f"power is an int; got {self.power!r}")
        if not 2 <= self.power <= 16 or self.power % 2:
            raise ValueError(f"power = {self.power}: allowed are the even numbers 2 to 16")

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """T of every configuration, left in the storage of the field."""
        fields = sequence("fields", fields, GaugeField, "GaugeField")
        return [None if self.target is None else self.target._core.kept_force(field._core) for field in fields]

    def of_batch(self, net: Map, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Loss of some configurations and its derivative; see :meth:`plaq.losses.Loss.of_batch`."""
        checked_batch(net, fields, targets)
        cores, power = [field._core for field in fields], int(self.power)
        values, gradients = net._core.force_norm(cores, net.parameters, self.action._core, list(targets), power)
        return float(values.mean()), gradients.mean(axis=0)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        target = None if self.target is None else self.target.spec()
        return {"loss": "ForceNorm", "power": int(self.power), "action": self.action.spec(), "target": target}
