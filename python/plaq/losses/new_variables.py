"""Sizes of forces in new variables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaq.concepts import Action, Loss, Vector
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import number, sequence, shown
from plaq.losses.action import checked_action
from plaq.transform.field import FieldTransform

__all__ = ["TransformedForce"]


@dataclass(frozen=True, eq=False)
class TransformedForce(Loss):
    r"""Size of the force of :math:`S(F(V)) - \ln\det F_*(V)`, less that of a target action at V, :math:`V = F^{-1}(U)`.

    :math:`L = \sum_p w_p (\langle f^p\rangle)^{1/p} + w_\infty \max f + w_e \ln \langle e^f\rangle`, f the norms of the
    difference of forces on the links, each configuration on its own (arXiv 2201.01862, 2405.19692). Configurations are
    pulled back with the parameters of the moment; the gradient is that at fixed V.

    Parameters
    ----------
    action : Action
        S; made of loops (of a `Custom` action the second derivative is not known).
    target : Action, optional
        Its force at V is the target, for example :class:`plaq.actions.Wilson` at a smaller beta, to which the
        transformation is to lead; by default 0.
    norms : mapping of float to float
        :math:`w_p` by p, p from 1 to 64.
    largest : float
        :math:`w_\infty`.
    log_mean_exp : float
        :math:`w_e`.

    Raises
    ------
    TypeError, ValueError
        No action of gauge fields, powers out of range, negative weights, all weights 0.

    Examples
    --------
    >>> import plaq as pq
    >>> loss = TransformedForce(pq.actions.Wilson(3.0), pq.actions.Wilson(2.5), norms={2: 1.0, 4: 1.0})
    >>> U = [pq.GaugeField.hot((4, 4), "U(1)", rng=1)]
    >>> value, gradient = loss.of_batch(pq.transform.u1_2d(0.05), U, loss.targets(U))
    >>> value > 0, gradient.shape
    (True, (2,))
    """

    action: Action
    target: Action | None = None
    norms: Mapping[float, float] = field(default_factory=lambda: {2: 1.0})
    largest: float = 0.0
    log_mean_exp: float = 0.0

    def __post_init__(self) -> None:
        checked_action("action", self.action)
        if self.target is not None:
            checked_action("target", self.target)
        if not isinstance(self.norms, Mapping):
            raise TypeError(f"norms is a dict of power: weight; got {shown(self.norms)}")
        powers = {number("power", p, 1.0, 64.0): number("weight", w, 0.0) for p, w in self.norms.items()}
        object.__setattr__(self, "norms", powers)
        for name in ("largest", "log_mean_exp"):
            object.__setattr__(self, name, number(name, getattr(self, name), 0.0))
        if not any([*powers.values(), self.largest, self.log_mean_exp]):
            raise ValueError("all weights of norms, largest and log_mean_exp are 0; give one above 0")

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """Nothing: the target is a force at V, which moves with the parameters."""
        return [None] * len(fields)

    def of_batch(self, net: Any, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Mean loss of some configurations and its derivative with respect to the parameters."""
        transformation(net, type(self).__name__)
        given = sequence("fields", fields, GaugeField, "GaugeField")
        cores, size = [each._core for each in given], json.dumps(self._size())
        target = None if self.target is None else self.target._core
        values, gradients = net._core.force_size(cores, net.parameters, self.action._core, target, size)
        return float(values.mean()), gradients.mean(axis=0)

    def _size(self) -> dict[str, Any]:
        norms = [[p, w] for p, w in self.norms.items()]
        return {"norms": norms, "largest": self.largest, "log_mean_exp": self.log_mean_exp}

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        target = None if self.target is None else self.target.spec()
        return {"loss": "TransformedForce", "size": self._size(), "action": self.action.spec(), "target": target}


def transformation(net: object, loss: str) -> None:
    """Refuses other networks."""
    if not isinstance(net, FieldTransform):
        raise TypeError(f"{loss} is a loss of a FieldTransform; got {type(net).__name__}")
