"""States as plain trees of arrays, never pickled: classes by their names, and how two descriptions differ."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import CheckpointError

__all__ = ["Arrays", "Rebuilt", "decode", "describe", "differences", "encode", "register_state"]

MISSING = "(absent)"
Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")
_STATES: dict[str, type] = {}


class Rebuilt:
    """Objects with compiled parts, which are left out of pickles and copies and made anew when first used.

    A class names the attributes in `_compiled` and sets them all in `_rebuild`.
    """

    _compiled: ClassVar[tuple[str, ...]] = ("_core",)

    def _rebuild(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._compiled}

    def __getattr__(self, name: str) -> Any:
        if name in type(self)._compiled and vars(self):
            self._rebuild()
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def register_state(cls: type[T]) -> type[T]:
    """Let states of this class be restored from chain files (usable as a decorator).

    Needed only to load a file in a process that has not yet sampled such a state; classes of plaq are known.
    A class can be stored if it has one of: ``to_checkpoint() -> dict[str, ndarray]`` with the classmethod
    ``from_checkpoint(dict)``; ``__array__`` with the classmethod ``from_numpy(array)``; or dataclass fields that can
    be stored. Arrays, numbers, strings and tuples, lists and dicts of all these need no class.

    Parameters
    ----------
    cls : type

    Returns
    -------
    type
        `cls` itself.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @register_state
    ... @dataclass
    ... class Walker:
    ...     position: float
    """
    _STATES[cls.__qualname__] = cls
    return cls


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line for each key whose value differs between two fingerprints."""
    old, new = _flat(stored), _flat(json.loads(json.dumps(given)))
    return [
        f"{key}: the file has {old.get(key, MISSING)!r}, this run {new.get(key, MISSING)!r}"
        for key in {**old, **new}
        if old.get(key, MISSING) != new.get(key, MISSING)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def describe(state: Any) -> dict[str, Any]:
    """Class, shape and group of a state, for the fingerprint."""
    facts: dict[str, Any] = {"class": type(state).__qualname__}
    if hasattr(state, "shape"):
        facts["shape"] = [int(extent) for extent in state.shape]
    if hasattr(state, "group"):
        facts["group"] = str(state.group)
    return facts


def encode(value: Any, name: str, arrays: Arrays) -> dict[str, Any]:
    """JSON tree of a state; its arrays go to `arrays` under names that begin with `name`."""
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, np.ndarray | np.generic | complex):
        return {"array": _put(np.asarray(value), name, arrays), "scalar": not isinstance(value, np.ndarray)}
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        items = [encode(item, f"{name}/{k}", arrays) for k, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": _encode_items(value, name, arrays)}
    named: dict[str, Any] = {"class": type(value).__qualname__}
    return named | _encode_object(value, name, arrays)


def _encode_items(items: Mapping[str, Any], name: str, arrays: Arrays) -> dict[str, Any]:
    return {key: encode(item, f"{name}/{key}", arrays) for key, item in items.items()}


def _encode_object(value: Any, name: str, arrays: Arrays) -> dict[str, Any]:
    cls = type(value)
    if hasattr(cls, "to_checkpoint") and hasattr(cls, "from_checkpoint"):
        tree: dict[str, Any] = {"checkpoint": _encode_items(value.to_checkpoint(), name, arrays)}
    elif hasattr(cls, "__array__") and hasattr(cls, "from_numpy"):
        tree = {"numpy": _put(np.asarray(value), name, arrays)}
    elif is_dataclass(cls):
        tree = {"fields": _encode_items({f.name: getattr(value, f.name) for f in fields(cls)}, name, arrays)}
    else:
        raise TypeError(
            f"a state of type {cls.__qualname__} cannot be stored in a chain file; give it to_checkpoint() and the "
            "classmethod from_checkpoint(dict), or from_numpy(array) with __array__, or make it a dataclass"
        )
    register_state(cls)
    return tree


def _put(values: NDArray[Any], name: str, arrays: Arrays) -> str:
    if values.dtype.hasobject:
        raise TypeError("a state with an array of Python objects cannot be stored in a chain file; use numbers")
    arrays[name] = values
    return name


def decode(tree: Mapping[str, Any], arrays: Arrays) -> Any:
    """The inverse of :func:`encode`."""

    def items(part: Mapping[str, Any]) -> dict[str, Any]:
        return {key: decode(item, arrays) for key, item in part.items()}

    if "class" in tree:
        cls = _state_class(tree["class"])
        if "checkpoint" in tree:
            return cls.from_checkpoint(items(tree["checkpoint"]))
        return cls.from_numpy(arrays[tree["numpy"]]) if "numpy" in tree else cls(**items(tree["fields"]))
    decoders: dict[str, Callable[[Any], Any]] = {
        "value": lambda value: value,
        "array": lambda name: arrays[name][()] if tree["scalar"] else arrays[name],
        "tuple": lambda parts: tuple(decode(part, arrays) for part in parts),
        "list": lambda parts: [decode(part, arrays) for part in parts],
        "dict": items,
    }
    kind = next(iter(tree))
    return decoders[kind](tree[kind])


def _state_class(name: str) -> Any:
    cls = _STATES.get(name)
    if cls is None:
        raise CheckpointError(
            f'the state is of class "{name}", which is not known here; import its module and call '
            "plaq.checkpoint.register_state on the class before reading the file"
        )
    return cls
