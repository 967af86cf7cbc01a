"""What covariant networks are trained on: differences of actions, norms of forces, distances of fields.

A loss of a batch is a mean over its configurations; its gradient with respect to the coefficients is exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.gauge import GaugeField
from plaq.optimizers import Optimizer
from plaq.train import History, minimize

if TYPE_CHECKING:
    from plaq.actions import Action
    from plaq.covariant_net import CovariantNet

__all__ = ["ActionDifference", "FieldDistance", "ForceNorm", "Loss"]

Vector = NDArray[np.float64]


class Loss:
    """A function of a network and configurations; the base of the losses below.

    Examples
    --------
    >>> import plaq as pq
    >>> isinstance(pq.losses.ForceNorm(pq.actions.Wilson(2.0)), Loss)
    True
    """

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """What each configuration is compared with; computed once for a training."""
        raise NotImplementedError

    def of_batch(self, net: CovariantNet, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Loss of some configurations and its derivative with respect to the coefficients."""
        terms = [self.of_field(net, field, target) for field, target in zip(fields, targets, strict=True)]
        return float(np.mean([value for value, _ in terms])), np.mean([gradient for _, gradient in terms], axis=0)

    def of_field(self, net: CovariantNet, field: GaugeField, target: Any) -> tuple[float, Vector]:
        """Loss of one configuration and its derivative."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        raise NotImplementedError


def _checked_action(name: str, action: object) -> Any:
    from plaq.actions import Action

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
        _checked_action("action", self.action)
        if self.form not in ("mean_square", "variance"):
            raise ValueError(f"form {self.form!r}: allowed are 'mean_square' and 'variance'")
        if not hasattr(self.target, "core_terms"):
            numbers = np.array(self.target, np.float64)
            if numbers.ndim != 1 or not np.isfinite(numbers).all():
                raise ValueError("target is an action or a list of finite numbers, one per configuration")
            object.__setattr__(self, "target", numbers)

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """T of every configuration."""
        if isinstance(self.target, np.ndarray):
            if len(self.target) != len(fields):
                raise ValueError(f"{len(self.target)} target numbers for {len(fields)} configurations")
            return [float(t) for t in self.target]
        action = _checked_action("target", self.target)
        return [action(field) for field in fields]

    def of_batch(self, net: CovariantNet, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Loss of some configurations and its derivative with respect to the coefficients."""
        terms = self.action.core_terms()
        pairs = [_plaq.network_action(field._core, terms, net.core()) for field in fields]
        differences = np.array([value for value, _ in pairs]) - np.array(targets)
        gradients = np.array([gradient for _, gradient in pairs])
        if self.form == "variance":
            if len(differences) < 2:
                raise ValueError("a variance needs batches of at least 2 configurations; the smallest has 1")
            differences -= differences.mean()
        with np.errstate(over="ignore"):
            return float(np.mean(differences**2)), 2.0 * differences @ gradients / len(differences)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        target = "numbers" if isinstance(self.target, np.ndarray) else self.target.fingerprint()  # type: ignore[union-attr]
        return {"loss": "ActionDifference", "form": self.form, "action": self.action.fingerprint(), "target": target}


@dataclass(frozen=True, eq=False)
class ForceNorm(Loss):
    r"""p-norm of the force of an action after the map, or of its difference to another force.

    :math:`L = \langle |F_\mu(x) - T_\mu(x)|^p \rangle` over links, F the force of :math:`S(\mathrm{net}(U))` with
    respect to U, :math:`|F|^2 = -2\,\mathrm{tr} F^2` (U(1): :math:`-\mathrm{tr} F^2`).

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
        _checked_action("action", self.action)
        if self.target is not None:
            _checked_action("target", self.target)
        if isinstance(self.power, bool) or not isinstance(self.power, int | np.integer):
            raise TypeError(f"power is an int; got {self.power!r}")
        if not 2 <= self.power <= 16 or self.power % 2:
            raise ValueError(f"power = {self.power}: allowed are the even numbers 2 to 16")

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """T of every configuration."""
        return [None if self.target is None else self.target.force(field) for field in fields]

    def of_field(self, net: CovariantNet, field: GaugeField, target: Any) -> tuple[float, Vector]:
        """Loss of one configuration and its derivative."""
        terms, power = self.action.core_terms(), int(self.power)
        value, gradient = _plaq.network_force_norm(field._core, terms, net.core(), target, power)
        return value, np.array(gradient)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        target = None if self.target is None else self.target.fingerprint()
        return {"loss": "ForceNorm", "power": int(self.power), "action": self.action.fingerprint(), "target": target}


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

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """V of every configuration."""
        made = [self.target(field) for field in fields] if callable(self.target) else list(self.target)
        if len(made) != len(fields):
            raise ValueError(f"{len(made)} target fields for {len(fields)} configurations")
        for field, target in zip(fields, made, strict=True):
            if not isinstance(target, GaugeField):
                raise TypeError(f"a target is a GaugeField; got {type(target).__name__}")
            if (target.group, target.shape) != (field.group, field.shape):
                kinds = f"{target.group} on {target.shape}, its configuration {field.group} on {field.shape}"
                raise ValueError(f"a target is a field of {kinds}; they must be the same")
        return made

    def of_field(self, net: CovariantNet, field: GaugeField, target: Any) -> tuple[float, Vector]:
        """Loss of one configuration and its derivative."""
        value, gradient = _plaq.network_distance(field._core, net.core(), target._core)
        return value, np.array(gradient)

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        return {"loss": "FieldDistance"}


def train(
    net: CovariantNet,
    fields: Sequence[GaugeField],
    loss: Loss,
    optimizer: Optimizer | None,
    epochs: int,
    batch: int | None,
    validation: Sequence[GaugeField] | None,
    patience: int | None,
    seed: int,
    checkpoint: str | PathLike[str] | None,
    progress: bool,
) -> History:
    """Minimises a loss over configurations; the coefficients of `net` are set at the end."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is one of plaq.losses; got {loss!r}")
    fields, twin = _checked_fields("fields", fields), type(net)(net.layers, recompute=net.recompute)
    targets = loss.targets(fields)

    def gradient(parameters: Vector, chosen: NDArray[np.int64]) -> tuple[float, Vector]:
        twin.parameters = parameters
        return loss.of_batch(twin, [fields[k] for k in chosen], [targets[k] for k in chosen])

    held_fields = [] if validation is None else _checked_fields("validation", validation)
    held = _held_out(loss, twin, held_fields) if held_fields else None
    facts = {
        "architecture": net.architecture(),
        "data": _digest(fields, targets),
        "validation": _digest(held_fields, [None] * len(held_fields)),
        **loss.facts(),
    }
    best, history = minimize(
        gradient,
        net.parameters,
        len(fields),
        optimizer=optimizer,
        epochs=epochs,
        batch=batch,
        seed=seed,
        validation=held,
        patience=patience,
        checkpoint=checkpoint,
        facts=facts,
        progress=progress,
    )
    net.parameters = best
    return history


def _held_out(loss: Loss, net: CovariantNet, fields: list[GaugeField]) -> Callable[[Vector], float]:
    if isinstance(getattr(loss, "target", None), np.ndarray | list | tuple):
        raise ValueError("validation needs a target that is an action or a function: a list belongs to the fields")
    targets = loss.targets(fields)

    def error(parameters: Vector) -> float:
        net.parameters = parameters
        return loss.of_batch(net, fields, targets)[0]

    return error


def _checked_fields(name: str, fields: Sequence[GaugeField]) -> list[GaugeField]:
    if not isinstance(fields, GaugeField | Sequence):
        raise TypeError(
            f"{name} is a list of GaugeField; got {type(fields).__name__}. Fields of a chain: record them with "
            "observables={'links': numpy.asarray} and make them with GaugeField.from_numpy"
        )
    chosen: list[GaugeField] = list(fields) if not isinstance(fields, GaugeField) else [fields]
    if not chosen or not all(isinstance(field, GaugeField) for field in chosen):
        raise TypeError(f"{name} is a list of GaugeField, at least one")
    kinds = {(field.group, field.shape) for field in chosen}
    if len(kinds) > 1:
        raise ValueError(f"{name} are of different kinds: {sorted(kinds)}; one training takes one kind")
    return chosen


def _digest(fields: list[GaugeField], targets: list[Any]) -> str:
    digest = hashlib.sha256()
    for field, target in zip(fields, targets, strict=True):
        digest.update(np.ascontiguousarray(field).tobytes())
        digest.update(b"" if target is None else np.ascontiguousarray(target).tobytes())
    return digest.hexdigest()
