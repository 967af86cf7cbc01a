"""What Python shows of modules and objects: public names, what a misspelled one may mean, the call of an object."""

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, ClassVar

from plaq.ground.arguments import unknown

__all__ = ["Completed", "call_text", "explain_names", "show_public_names"]

PACKAGE = __name__.partition(".")[0]
MANY = 20
"""Names that are not listed beside a good guess."""


class Completed:
    """Objects whose completion leaves out the methods named in ``_unlisted``, which only the package itself calls."""

    _unlisted: ClassVar[tuple[str, ...]] = ()

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in self._unlisted]


def explain_names(package: ModuleType) -> None:
    """Public names as all that is shown of a package, and "did you mean" for attributes and keyword arguments.

    Call it once, when everything is imported.
    """
    show_public_names(package)
    seen: set[int] = set()
    renewed: dict[int, Any] = {}
    for obj in _public(package):
        if id(obj) in seen or not getattr(obj, "__module__", "").startswith(PACKAGE):
            continue
        seen.add(id(obj))
        if isinstance(obj, FunctionType):
            renewed[id(obj)] = _explained(obj)
        elif isinstance(obj, type) and not issubclass(obj, Exception):
            _explain_class(obj)
    _renew(renewed)


def _public(module: ModuleType) -> Iterable[Any]:
    for name in module.__all__:
        obj = getattr(module, name)
        yield from _public(obj) if isinstance(obj, ModuleType) else (obj,)


def _renew(renewed: dict[int, Any]) -> None:
    """Give all modules of the package the new functions, also where they import the old ones by name."""
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] != PACKAGE:
            continue
        for key, value in list(vars(module).items()):
            if id(value) in renewed:
                setattr(module, key, renewed[id(value)])


def _explain_class(cls: type) -> None:
    """Renew the methods that users call, in the class that has them."""
    for owner in cls.__mro__:
        if not owner.__module__.startswith(PACKAGE):
            continue
        for name, method in list(vars(owner).items()):
            if name.startswith("_") and name != "__init__":
                continue
            kind = type(method) if isinstance(method, classmethod | staticmethod) else None
            function = method.__func__ if kind else method
            if not isinstance(function, FunctionType) or hasattr(function, "_plaq_explained"):
                continue
            setattr(owner, name, kind(_explained(function)) if kind else _explained(function))


def _explained(function: Any) -> Any:
    """The function with an answer to keyword arguments that it does not have; itself if it takes all."""
    code = function.__code__
    if code.co_flags & inspect.CO_VARKEYWORDS or hasattr(function, "_plaq_explained"):
        return function
    first, count = code.co_posonlyargcount, code.co_argcount + code.co_kwonlyargcount
    known = frozenset(code.co_varnames[first:count]) - {"self", "cls"}
    title = function.__qualname__.removesuffix(".__init__")

    def call(*args: Any, **kwargs: Any) -> Any:
        if not known.issuperset(kwargs):
            name = next(key for key in kwargs if key not in known)
            shown = sorted(key for key in known if not key.startswith("_"))
            raise TypeError(f"{title}: {answer('argument', name, shown)}")
        return function(*args, **kwargs)

    # The globals of the original: doctest and help() ask for them to know where a function is from.
    answer = unknown
    made = FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    functools.update_wrapper(made, function)
    made._plaq_explained = True  # type: ignore[attr-defined]
    return made


def show_public_names(module: ModuleType) -> None:
    """Let ``dir`` and tab completion of a module and of its public submodules list ``__all__`` alone.

    Another name is an AttributeError that asks what was meant.

    Examples
    --------
    >>> module = ModuleType("module")
    >>> module.__all__, module.inside = ["outside"], 1
    >>> show_public_names(module)
    >>> dir(module)
    ['outside']
    >>> module.outsid
    Traceback (most recent call last):
    AttributeError: unknown name of module "outsid"; did you mean "outside"? known: outside
    """
    names = sorted(module.__all__)
    listed: Callable[[], list[str]] = lambda: list(names)  # noqa: E731
    vars(module).update(__dir__=listed, __getattr__=functools.partial(_not_there, module.__name__, names))
    for name in names:
        inner = getattr(module, name, None)
        if isinstance(inner, ModuleType):
            show_public_names(inner)


def _not_there(module: str, names: list[str], name: str) -> Any:
    if name.startswith("__"):  # asked for by Python itself
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    inner = f"{module}.{name}"
    if module == PACKAGE and not name.startswith("_") and importlib.util.find_spec(inner) is not None:
        raise AttributeError(f"{inner} is imported by name: import {inner}")
    text = unknown(f"name of {module}", name, names)
    raise AttributeError(text.partition(" known:")[0] if len(names) > MANY and "did you mean" in text else text)


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
