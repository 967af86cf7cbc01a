"""Differences of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plaq.concepts import Action, Loss, Map, Vector, checked_batch
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import array, sequence

__all__ = ["ActionDifference"]


def checked_action(name: str, action: object) -> Any:
    """The argument, if it is an action of gauge fields."""
    if not isinstance(action, Action) or getattr(action, "field_class", GaugeField) is not GaugeField:
        raise TypeError(f"{name} is an action of gauge fields (plaq.actions); got {action!r}")
    return action


@dataclass(frozen=True, eq=False)
class ActionDifference(Loss):
    r"""Difference between an action of the mapped field and a target, :math:`d = S(\mathrm{net}(U)) - T`.

    Parameters
    ----------
    action : Action
        S, evaluated on the mapped field; made of any gauge actions, so also an observable such as a sum of loops.
    target : Action or array_like
        T: another action, evaluated on the field itself, or one number per configuration (regression of an observable).
    form : {"mean_square", "variance"}
        Mean of :math:`d^2` over the batch, or its variance, which does not see a constant: Metropolis steps only know
        differences of actions. Batches of B configurations estimate (B - 1)/B of the variance; B is at least 2.

    Raises
    ------
    TypeError, ValueError
        No action, an unknown form, NaN among the numbers.

    Examples
    --------
    >>> import plaq as pq
    >>> loss = ActionDifference(pq.actions.Wilson(2.0), pq.actions.Wilson(2.2), form="variance")
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.01])])
    >>> U = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(3)]
    >>> value, gradient = loss.of_batch(net, U, loss.targets(U))
    >>> value > 0, gradient.shape
    (True, (1,))
    """

    action: Action
    target: Action | ArrayLike
    form: str = "mean_square"

    def __post_init__(self) -> None:
        checked_action("action", self.action)
        if self.form not in ("mean_square", "variance"):
            raise ValueError(f"form {self.form!r}: allowed are 'mean_square' and 'variance'")
        if not isinstance(self.target, Action):
            object.__setattr__(
                self, "target", array("target (an action or one number a configuration)", self.target, shape=(None,))
            )

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """T of every configuration."""
        fields = sequence("fields", fields, GaugeField, "GaugeField")
        if isinstance(self.target, np.ndarray):
            if len(self.target) != len(fields):
                raise ValueError(f"{len(self.target)} target numbers for {len(fields)} configurations")
            return [float(t) for t in self.target]
        action = checked_action("target", self.target)
        return [action(field) for field in fields]

    def of_batch(self, net: Map, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Loss of some configurations and its derivative; see :meth:`plaq.losses.Loss.of_batch`."""
        checked_batch(net, fields, targets)
        wanted = array("targets", targets, shape=(len(fields),))
        values, gradients = net._core.action([field._core for field in fields], net.parameters, self.action._core)
        differences = values - wanted
        if self.form == "variance":
            if len(differences) < 2:
                raise ValueError("a variance needs batches of at least 2 configurations; the smallest has 1")
            differences -= differences.mean()
        with np.errstate(over="ignore"):
            return float(np.mean(differences**2)), 2.0 * differences @ gradients / len(differences)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        target = "numbers" if isinstance(self.target, np.ndarray) else self.target.spec()  # type: ignore[union-attr]
        return {"loss": "ActionDifference", "form": self.form, "action": self.action.spec(), "target": target}
