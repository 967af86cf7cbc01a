"""Distances of fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from plaq.concepts import Loss, Map, Vector, checked_batch
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import sequence

__all__ = ["FieldDistance"]


@dataclass(frozen=True, eq=False)
class FieldDistance(Loss):
    r"""Distance of the mapped field to a target field, :math:`\langle |U'_\mu(x) - V_\mu(x)|_F^2 \rangle` over links.

    Parameters
    ----------
    target : sequence of GaugeField or callable
        V for every configuration, or a function that makes it (covariant, so that the loss is gauge invariant), for
        example ``lambda U: pq.smear.flow(U, 0.5).field``.

    Raises
    ------
    TypeError, ValueError
        Targets that are no fields, or of another number or kind than the configurations.

    Examples
    --------
    >>> import plaq as pq
    >>> loss = FieldDistance(lambda U: pq.smear.ape(U, 0.3))
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.01])])
    >>> U = [pq.GaugeField.hot((4, 4), "SU(2)", rng=1)]
    >>> value, gradient = loss.of_batch(net, U, loss.targets(U))
    >>> value > 0, gradient.shape
    (True, (1,))
    """

    target: Sequence[GaugeField] | Callable[[GaugeField], GaugeField]

    def __post_init__(self) -> None:
        if not callable(self.target):
            sequence("target", self.target, GaugeField, "GaugeField, one for each configuration, or a function")

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """V of every configuration."""
        fields = sequence("fields", fields, GaugeField, "GaugeField")
        made = [self.target(field) for field in fields] if callable(self.target) else list(self.target)
        if len(made) != len(fields):
            raise ValueError(f"{len(made)} target fields for {len(fields)} configurations")
        _check_alike(fields, made)
        return made

    def of_batch(self, net: Map, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Loss of some configurations and its derivative; see :meth:`plaq.losses.Loss.of_batch`."""
        checked_batch(net, fields, targets)
        _check_alike(fields, targets)
        cores, fixed = [field._core for field in fields], [target._core for target in targets]
        values, gradients = net._core.distance(cores, net.parameters, fixed)
        return float(values.mean()), gradients.mean(axis=0)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        return {"loss": "FieldDistance"}


def _check_alike(fields: Sequence[GaugeField], targets: Sequence[Any]) -> None:
    for field, target in zip(fields, targets, strict=True):
        if not isinstance(target, GaugeField):
            raise TypeError(f"a target is a GaugeField; got {type(target).__name__}")
        if (target.group, target.shape) != (field.group, field.shape):
            kinds = f"{target.group} on {target.shape}, its configuration {field.group} on {field.shape}"
            raise ValueError(f"a target is a field of {kinds}; they must be the same")
