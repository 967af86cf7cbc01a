"""What Python shows of modules and objects: public names, what a misspelled one may mean, the call of an object."""

import difflib
import functools
import importlib.util
import inspect
import sys
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from plaq.ground.arguments import unknown

__all__ = [
    "Completed",
    "Explained",
    "call_text",
    "explain_names",
    "meant",
    "not_an_attribute",
    "outside",
    "show_public_names",
]

PACKAGE = __name__.partition(".")[0]
MANY = 20
"""Names that are not listed beside a good guess."""


ALIASES = (
    ("seed", "random_state", "generator", "key", "rng"),
    ("n", "count", "size", "samples", "n_samples", "num_samples", "configs", "n_configs", "draws"),
    ("burn_in", "burnin", "thermalization", "n_warmup", "warmup"),
    ("skip", "interval", "stride", "thin"),
    ("lr", "eta", "step_size", "learning_rate"),
    ("n_epochs", "num_epochs", "iterations", "epochs"),
    ("n_steps", "num_steps", "nsteps", "md_steps", "steps"),
    ("tau", "trajectory_length", "traj_length", "length"),
    ("batch_size", "minibatch", "batch"),
    ("nf", "flavors", "flavours", "n_f", "n_flavors"),
    ("m", "m0", "quark_mass", "mass"),
    ("dims", "extents", "lattice", "volume", "shape"),
    ("gauge_group", "n_colors", "nc", "group"),
    ("file", "filename", "fname", "path"),
    ("verbose", "quiet", "show", "progress"),
    ("measure", "measurements", "observable", "observables"),
    ("timeout", "max_time", "time_limit", "max_seconds"),
    ("maxiter", "max_iter", "iterations", "max_iterations"),
    ("tolerance", "eps", "rtol", "tol"),
    ("optim", "optimiser", "optimizer"),
    ("csw", "c_sw", "clover"),
    ("lr", "learning_rate", "rate", "optimizer"),
    ("beta", "temp", "temperature", "T"),
)
"""Names of arguments that mean the same in this and other packages."""

SAME = (
    ("mean", "value", "val", "average", "central"),
    ("error", "err", "dvalue", "std", "stderr", "sigma", "sd"),
    ("tau", "tau_int", "autocorrelation_time"),
    ("read", "load", "open", "from_file", "from_path"),
    ("write", "save", "dump", "to_file"),
    ("cold", "unit", "identity", "zeros", "ones"),
    ("hot", "random", "noise", "normal", "randn"),
    ("sample", "run", "draw", "generate", "simulate"),
    ("fit", "train", "learn", "minimize"),
    ("from_numpy", "from_array", "asarray", "array"),
    ("value", "evaluate", "energy", "compute", "__call__"),
)
"""Names of methods that mean the same here and elsewhere."""


ELSEWHERE = {
    **dict.fromkeys(["write_gauge", "save_gauge", "write", "save"], "GaugeField.write"),
    **dict.fromkeys(["load_gauge", "load", "read"], "plaq.read_gauge"),
    **dict.fromkeys(
        ["jackknife", "bootstrap", "tau_int", "gamma_method", "autocorrelation_time", "uwerr"],
        "plaq.statistics.estimate (mean, error, tau by the Gamma method; functions of means by f=)",
    ),
    **dict.fromkeys(
        ["solve", "solvers", "cg", "bicgstab", "invert"], "D.solve of an operator D = plaq.dirac.Wilson(..).on(U)"
    ),
}
"""Where functions of other packages are."""


class Explained(ABCMeta):
    """The class of public classes: an attribute that a class does not have is answered with what may be meant."""

    # Instances of classes that were no ABCs are found as quickly as before.
    __instancecheck__ = type.__instancecheck__
    __subclasscheck__ = type.__subclasscheck__

    if not TYPE_CHECKING:  # which would believe every attribute

        def __getattr__(cls, name: str) -> Any:
            return _refuse(cls, name)


class Completed(metaclass=Explained):
    """Objects whose completion leaves out the methods named in ``_unlisted``, which only the package itself calls."""

    _unlisted: ClassVar[tuple[str, ...]] = ()

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in self._unlisted]


def _refuse(cls: type, name: str) -> Any:
    plain = f"type object {cls.__name__!r} has no attribute {name!r}"
    if name.startswith("_") or not cls.__module__.startswith(PACKAGE):
        raise AttributeError(plain)
    raise AttributeError(f"{plain}; {meant(cls, name)}")


def meant(cls: type, name: str, known: Iterable[str] | None = None) -> str:
    """What a name may mean that a class does not have, or an object with attributes `known`.

    Examples
    --------
    >>> import plaq as pq
    >>> meant(pq.GaugeField, "load"), meant(pq.GaugeField, "plaquette")
    ('did you mean plaq.read_gauge?', 'did you mean plaq.observables.plaquette?')
    """
    known = [each for each in (dir(cls) if known is None else known) if not each.startswith("_")]
    alike = {other for group in SAME if name in group for other in group}
    found = [f"{cls.__name__}.{each}" for each in known if each in alike]
    found += [
        f"{where}.{each}"
        for where, each, returned in _functions()
        if returned == cls.__name__ and each.partition("_")[0] in alike
    ]
    if not found and "__call__" in alike and "__call__" in dir(cls):
        found.append(f"{cls.__name__}(..)(..)")
    if not found and name in inspect.signature(cls).parameters:
        return f"it is an attribute of the object that {cls.__name__}(..) makes"
    found = found or [f"{cls.__name__}.{each}" for each in difflib.get_close_matches(name, known, n=1, cutoff=0.6)]
    found = found or [f"{where}.{each}" for where, each, _ in _functions() if each == name]
    return f"did you mean {' or '.join(dict.fromkeys(found))}?" if found else f"known: {', '.join(known)}"


@functools.cache
def _functions() -> list[tuple[str, str, str]]:
    """Where the public functions and classes are, their names, and what they return."""

    def walk(module: ModuleType) -> Iterable[tuple[str, str, str]]:
        for name in module.__all__:
            obj = getattr(module, name)
            if isinstance(obj, ModuleType):
                yield from walk(obj)
            elif isinstance(obj, FunctionType):
                yield module.__name__, name, str(obj.__annotations__.get("return", ""))
            elif isinstance(obj, type) and module.__name__ != PACKAGE:
                yield module.__name__, name, name

    return list(dict.fromkeys(walk(sys.modules[PACKAGE])))


def explain_names(package: ModuleType) -> None:
    """Public names as all that is shown of a package, and "did you mean" for attributes and keyword arguments.

    Call it once, when everything is imported. It takes a hundredth of the import; a call of a public function takes
    0.2 microseconds more. Names, signatures, docstrings and pickles of functions are those of the functions.
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
    """Renew the methods that users call, in the class that has them; objects answer a name that they do not have."""
    if not any("__getattr__" in vars(owner) for owner in cls.__mro__) and not issubclass(cls, BaseException):
        cls.__getattr__ = not_an_attribute  # type: ignore[attr-defined]
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
            setattr(owner, name, kind(_explained(function)) if kind else _explained(function, owner))


def outside() -> int:
    """The `stacklevel` of a warning of the function that calls this, at which the code of the user stands."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    return level


def not_an_attribute(self: Any, name: str) -> Any:
    """What an object answers that has no attribute of a name, with what its class says ``_beside`` that.

    Raises
    ------
    AttributeError
        Always; it asks what was meant.

    Examples
    --------
    >>> import plaq as pq
    >>> not_an_attribute(pq.Heatbath(pq.actions.Wilson(2.0)), "sample")
    Traceback (most recent call last):
    AttributeError: 'Heatbath' object has no attribute 'sample'; did you mean Heatbath.run?
    """
    cls = type(self)
    plain = f"{cls.__name__!r} object has no attribute {name!r}"
    if name.startswith("_") or not cls.__module__.startswith(PACKAGE):
        raise AttributeError(plain)
    if hasattr(cls, name):  # a property whose own error brought us here
        return object.__getattribute__(self, name)
    known = {*dir(cls), *getattr(self, "__dict__", ())}
    raise AttributeError(
        f"{plain}; {meant(cls, name, sorted(known))}{getattr(cls, '_beside', '').format(cls=cls.__name__)}"
    )


def _explained(function: Any, owner: type = object) -> Any:
    """The function, or method of a class, with an answer to keyword arguments that it does not have, and to calls of a
    method on its class.
    """
    code = function.__code__
    if hasattr(function, "_plaq_explained"):
        return function
    first, count = code.co_posonlyargcount, code.co_argcount + code.co_kwonlyargcount
    takes_all = bool(code.co_flags & inspect.CO_VARKEYWORDS)
    known = frozenset(code.co_varnames[first:count]) - {"self", "cls"}
    title = function.__qualname__.removesuffix(".__init__")
    bound = code.co_varnames[:1] in (("self",), ("cls",))
    by_position = code.co_varnames[bound : code.co_argcount]
    by_name = code.co_varnames[code.co_argcount : count]
    most = None if code.co_flags & inspect.CO_VARARGS else code.co_argcount

    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # IPython and pytest leave this frame out
        try:
            return function(*args, **kwargs)
        except (TypeError, AttributeError) as error:
            if not takes_all and not known.issuperset(kwargs):
                raise TypeError(f"{title}: {answer(kwargs, known)}") from None
            if args and not test(args[0], owner):
                raise TypeError(on_class(title, args[0])) from error
            if most is not None and len(args) > most:
                raise TypeError(f"{title}: {too_many(args[bound:], by_position, by_name)}") from None
            raise

    # The globals of the original: doctest and help() ask for them to know where a function is from. So the builtins
    # are those of any module, and everything else is in the closure.
    answer, test, on_class, too_many = _unknown_argument, isinstance, _on_class, _too_many
    made = FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    functools.update_wrapper(made, function)
    made._plaq_explained = True  # type: ignore[attr-defined]
    return made


def _unknown_argument(given: Mapping[str, Any], known: frozenset[str]) -> str:
    name = next(key for key in given if key not in known)
    shown = sorted(key for key in known if not key.startswith("_"))
    for group in ALIASES:
        same = [key for key in group if key in shown and key not in given]
        if name.lower() in group and same:
            return f'unknown argument "{name}"; did you mean "{same[-1]}"? known: {", ".join(shown)}'
    return unknown("argument", name, shown)


def _too_many(given: tuple[Any, ...], by_position: tuple[str, ...], by_name: tuple[str, ...]) -> str:
    order, others = ", ".join(by_position) or "none", ", ".join(by_name) or "none"
    return f"{len(given)} arguments are given by position; known by position: {order}; by name alone: {others}"


def _on_class(title: str, given: Any) -> str:
    owner, _, name = title.rpartition(".")
    return (
        f"{title} is a method of an object: make a {owner} first, as in {owner}(..).{name}(..); it was called on the "
        f"class, with {type(given).__name__} in the place of the object"
    )


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
    found = sorted((f"{where}.{each}" for where, each, _ in _functions() if each == name), key=lambda n: ".plot." in n)
    if elsewhere := ELSEWHERE.get(name) or " or ".join(found):
        raise AttributeError(f'unknown name of {module} "{name}"; did you mean {elsewhere}?')
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
