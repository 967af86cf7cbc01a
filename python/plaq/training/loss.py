"""Training of a map on configurations by a loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.concepts import Loss, Trainable, Vector
from plaq.fields.gauge import GaugeField
from plaq.training.batches import held_back
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize

Validation = float | Sequence[GaugeField] | tuple[Sequence[GaugeField], Sequence[Any]]

Samples = tuple[list[GaugeField], list[Any]]


def train(
    net: Trainable, fields: Sequence[GaugeField], loss: Loss, validation: Validation | None, **settings: Any
) -> History:
    """Minimises a loss over configurations; `net` ends with the best coefficients. Settings are those of `minimize`."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is one of plaq.losses; got {loss!r}")
    checkpoint_path(settings["checkpoint"])
    fields, twin = _checked_fields("fields", fields), net.copy()
    samples, held = _with_targets(fields, loss, validation)
    fields, targets = samples
    of_batch = _of_batch(loss)

    def gradient(parameters: Vector, chosen: NDArray[np.int64]) -> tuple[float, Vector]:
        twin.parameters = parameters
        return of_batch(twin, [fields[k] for k in chosen], [targets[k] for k in chosen])

    def error(parameters: Vector) -> float:
        twin.parameters = parameters
        assert held is not None
        return of_batch(twin, *held)[0]

    def keep(parameters: Vector) -> None:
        net.parameters = parameters

    facts = {
        "network": net.spec(),
        "data": digest(*samples),
        "validation": None if held is None else digest(*held),
        **loss.facts(),
    }
    settings |= {"facts": facts, "keep": keep}
    _, history = minimize(gradient, net.parameters, len(fields), validation=held and error, **settings)
    return history


def _of_batch(loss: Loss) -> Callable[[Any, list[GaugeField], list[Any]], tuple[float, Vector]]:
    """The method that counts: a class that gives the loss of one field means it, whatever those above it do."""
    for cls in type(loss).__mro__:
        if "of_batch" in vars(cls):
            break
        if "of_field" in vars(cls):
            return partial(Loss.of_batch, loss)
    return loss.of_batch


def _with_targets(
    fields: list[GaugeField], loss: Loss, validation: Validation | None
) -> tuple[Samples, Samples | None]:
    """Fields and targets to train with and to validate."""
    targets = loss.targets(fields)
    if validation is None:
        return (fields, targets), None
    if isinstance(validation, float | int):
        cut = held_back(len(fields), validation)
        return (fields[:cut], targets[:cut]), (fields[cut:], targets[cut:])
    if isinstance(validation, tuple) and len(validation) == 2 and not isinstance(validation[1], GaugeField):
        others = _checked_fields("validation[0]", validation[0])
        if not is_dataclass(loss) or not hasattr(loss, "target"):
            raise TypeError(f"validation is a fraction or a list of fields: {loss!r} has no targets to give with them")
        return (fields, targets), (others, replace(loss, target=validation[1]).targets(others))
    others = _checked_fields("validation", validation)
    if isinstance(getattr(loss, "target", None), np.ndarray | list | tuple):
        raise ValueError(
            "validation needs a target that is an action or a function: a list belongs to the fields; give a fraction, "
            "or a pair (fields, targets)"
        )
    return (fields, targets), (others, loss.targets(others))


def _checked_fields(name: str, fields: Sequence[GaugeField]) -> list[GaugeField]:
    if not isinstance(fields, GaugeField | Sequence):
        raise TypeError(
            f"{name} is a list of GaugeField; got {type(fields).__name__}. Fields of a chain: record them with "
            "observables={'links': numpy.asarray} and make them with GaugeField.from_numpy"
        )
    chosen: list[GaugeField] = list(fields) if not isinstance(fields, GaugeField) else [fields]
    for field in chosen:
        if isinstance(field, GaugeField):
            field.inside("training")
    if not chosen or not all(isinstance(field, GaugeField) for field in chosen):
        raise TypeError(f"{name} is a list of GaugeField, at least one")
    kinds = {(field.group, field.shape) for field in chosen}
    if len(kinds) > 1:
        raise ValueError(f"{name} are of different kinds: {sorted(kinds)}; one training takes one kind")
    return chosen


def digest(fields: Sequence[GaugeField], targets: Sequence[Any] = ()) -> str:
    """What a checkpoint remembers of configurations and their targets."""
    found = hashlib.sha256()
    for field in fields:
        found.update(np.ascontiguousarray(field).tobytes())
    for target in targets:
        values = np.ascontiguousarray(target)
        if not values.dtype.hasobject:  # what stays in the core was made from the field by the loss, which has facts
            found.update(values.tobytes())
    return found.hexdigest()
