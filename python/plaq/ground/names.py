"""What Python shows of modules and objects: public names, and the call that makes an object."""

import inspect
from types import ModuleType
from typing import Any

__all__ = ["call_text", "show_public_names"]


def show_public_names(module: ModuleType) -> None:
    """Let ``dir`` and tab completion of a module and of its public submodules list ``__all__`` alone.

    Examples
    --------
    >>> module = ModuleType("module")
    >>> module.__all__, module.inside = ["outside"], 1
    >>> show_public_names(module)
    >>> dir(module)
    ['outside']
    """
    names = sorted(module.__all__)
    setattr(module, "__dir__", lambda: list(names))  # noqa: B010 - of a module, which mypy refuses to assign
    for name in names:
        inner = getattr(module, name, None)
        if isinstance(inner, ModuleType):
            show_public_names(inner)


def call_text(obj: Any) -> str:
    """The call of the class with the attributes that have the names of its arguments, defaults left out.

    Examples
    --------
    >>> class Walk:
    ...     def __init__(self, start, *, step=1.0, seed=0):
    ...         self.start, self.step, self.seed = start, step, seed
    >>> call_text(Walk(3, seed=2))
    'Walk(3, seed=2)'
    """
    parts = []
    for name, parameter in inspect.signature(type(obj)).parameters.items():
        value = getattr(obj, name, parameter.default)
        if value is parameter.empty or value is parameter.default or _same(value, parameter.default):
            continue
        parts.append(repr(value) if parameter.default is parameter.empty else f"{name}={value!r}")
    return f"{type(obj).__name__}({', '.join(parts)})"


def _same(value: Any, default: Any) -> bool:
    if default is None:
        return isinstance(value, list | tuple | dict) and not value
    return type(value) is type(default) and isinstance(value, int | float | str | list | tuple) and value == default
