"""States as plain trees of arrays, never pickled: classes by their names, and how two descriptions differ."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import CheckpointError
from plaq.ground.arguments import shown
from plaq.ground.names import Explained, not_an_attribute

__all__ = ["Arrays", "Rebuilt", "decode", "describe", "differences", "encode", "register_state"]

MISSING = object()
SHORT, MOST = 8, 12
"""Entries of a list that is shown whole; differences that are told."""
Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")
_STATES: dict[str, type] = {}


class Rebuilt(metaclass=Explained):
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
        return not_an_attribute(self, name)


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


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], this: str = "this run") -> list[str]:
    """One line for each entry that differs between two fingerprints, however deep it stands.

    Parameters
    ----------
    stored, given : mapping
        Plain data of the file, and of the run.
    this : str
        What the lines call the run.

    Examples
    --------
    >>> a, b = ({"action": {"beta": beta, "terms": [{"c": 1}, {"c": beta}]}} for beta in (2, 3))
    >>> differences(a, b)
    ['action.beta: the file has 2, this run 3', 'action.terms[1].c: the file has 2, this run 3']
    """
    lines: list[str] = []
    _compare("", dict(stored), json.loads(json.dumps(given)), this, lines)
    more = len(lines) - MOST
    return lines if more <= 1 else [*lines[:MOST], f"and {more} more entries"]


def _compare(name: str, old: Any, new: Any, this: str, lines: list[str]) -> None:
    if old == new or (old != old and new != new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            inner = f"{name}.{key}" if name else str(key)
            _compare(inner, old.get(key, MISSING), new.get(key, MISSING), this, lines)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and _is_long(old, new):
        for k, pair in enumerate(zip(old, new, strict=True)):
            _compare(f"{name}[{k}]", *pair, this, lines)
    else:
        lines.append(f"{name}: the file has {_told(old)}, {this} {_told(new)}")


def _is_long(*lists: list[Any]) -> bool:
    """Whether lists are told entry by entry: they hold tables or lists, or are not read at a glance."""
    return any(len(each) > SHORT or any(isinstance(item, dict | list) for item in each) for each in lists)


def _told(value: Any) -> str:
    return "(absent)" if value is MISSING else shown(value)


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
