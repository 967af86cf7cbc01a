"""The checks of arguments that everything shares, with their messages, and the question "did you mean"."""

from __future__ import annotations

import difflib
import math
import numbers
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "aligned",
    "array",
    "columns",
    "complex_array",
    "fraction",
    "function",
    "instance",
    "number",
    "one_of",
    "real",
    "require_memory",
    "sequence",
    "shown",
    "text",
    "unknown",
    "vector",
    "whole_number",
    "whole_numbers",
]

MOST = 2**31 - 1
"""Largest count unless a function says otherwise: more sweeps, draws or sites to a side are a slip."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlist = _SHORT.maxtuple = 8


def shown(value: object) -> str:
    """What was given, in at most about 60 letters, for a message."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    try:
        return _SHORT.repr(value)
    except ValueError:
        return f"a {type(value).__name__} of very many digits"


def whole_number(name: str, value: Any, least: int = 1, most: int = MOST) -> int:
    """An int from `least` to `most`.

    Raises
    ------
    TypeError, ValueError
        No int (bools are none), or one outside of the range.

    Examples
    --------
    >>> whole_number("steps", 3)
    3
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is an int of at least {least}; got {shown(value)}")
    if value < least:
        raise ValueError(f"{name} = {shown(value)}: at least {least} is needed")
    if value > most:
        allowed = f"at most {most} is allowed" if most >= 10**9 else f"allowed are {least} to {most}"
        raise ValueError(f"{name} = {shown(value)}: {allowed}")
    return int(value)


def whole_numbers(name: str, values: Any, least: int, most: int, remedy: str) -> list[int]:
    """Ints from `least` to `most`, as a list.

    Raises
    ------
    TypeError, ValueError
        No sequence of ints, or one outside of the range.
    """
    found: list[Any] = list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else [None]
    if not all(isinstance(each, int | np.integer) and not isinstance(each, bool) for each in found):
        raise TypeError(f"{name} is a sequence of ints; got {shown(values)}: {remedy}")
    for each in found:
        if not least <= each <= most:
            raise ValueError(f"{name} = {shown(values)}: {shown(each)} is outside of {least} to {most}; {remedy}")
    return [int(each) for each in found]


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Message for an unknown name, with the nearest valid one.

    Parameters
    ----------
    kind : str
        What the name stands for, as in ``unknown loop``.
    name : object
        What was given.
    known : iterable of str
        The valid names.

    Examples
    --------
    >>> unknown("loop", "plaquete", ["plaquette", "chair"])
    'unknown loop "plaquete"; did you mean "plaquette"? known: plaquette, chair'
    """
    names = list(known)
    given = name if isinstance(name, str) else shown(name)
    # A name that begins with all that was given is meant by it: "hist" of histogram, "pion" of pion_correlator.
    # So is one that ends it: "gradient_flow".
    wanted, lower = given.lower(), sorted(each.lower() for each in names)
    is_long = len(wanted) > 3
    begun = [each for each in lower if each.startswith(wanted if is_long else f"{wanted}_")]
    near = begun if is_long else []
    near = near or difflib.get_close_matches(wanted, lower, n=1, cutoff=0.5)
    near = near or begun or [each for each in lower if wanted.endswith(f"_{each}")]
    same = [each for each in names if each.lower() == near[0]] if near else []
    hint = f'; did you mean "{difflib.get_close_matches(given, same, n=1, cutoff=0.0)[0]}"?' if near else ";"
    return f'unknown {kind} "{given}"{hint} known: {", ".join(names) or "none"}'


def one_of(kind: str, name: Any, known: Iterable[str]) -> str:
    """A name that is known.

    Raises
    ------
    ValueError
        It is not one of them; the message asks whether the nearest was meant.

    Examples
    --------
    >>> one_of("definition", "clover", ["clover", "plaquette"])
    'clover'
    """
    names = list(known)
    if not isinstance(name, str) or name not in names:
        raise ValueError(unknown(kind, name, names))
    return name


def instance(name: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> Any:
    """An object of one of some classes (or protocols that can be checked).

    Raises
    ------
    TypeError
        It is none.

    Examples
    --------
    >>> instance("group", "SU(3)", str, "a string")
    'SU(3)'
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name} is {wanted}; got {shown(value)}")
    return value


def text(name: str, value: Any) -> str:
    """A str.

    Raises
    ------
    TypeError
        It is none.
    """
    found: str = instance(name, value, str, "text")
    return found


def columns(name: str, values: Any, *, wanted: str = "arrays") -> dict[str, NDArray[Any]]:
    """Arrays by name, all with the same number of entries along the first axis.

    Raises
    ------
    TypeError, ValueError
        No mapping, a name that is no text, something that is no array, or different lengths.

    Examples
    --------
    >>> columns("draws", {"x": [1, 2]})
    {'x': array([1, 2])}
    """
    remedy = f'{name} is a mapping of names to {wanted}, as {{"x": [1.0, 2.0]}}'
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise TypeError(f"{remedy}; got {shown(values)}")
    found = {key: np.asarray(value) for key, value in values.items()}
    shapes = {key: value.shape for key, value in found.items()}
    if not all(shapes.values()) or len({shape[0] for shape in shapes.values()}) > 1:
        raise ValueError(f"{remedy}, all of one length; got shapes {shapes}")
    return found


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    finite: bool = True,
) -> float:
    """A finite float from `least` to `most`, or above `above`; without `finite` also NaN and infinities.

    Raises
    ------
    TypeError, ValueError
        No real number (bools and text are none), NaN, infinite, or outside of the range.

    Examples
    --------
    >>> number("beta", 6, least=0.0)
    6.0
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is a number; got {shown(value)}")
    try:
        found = float(value)
    except OverflowError:
        raise ValueError(f"{name} = {shown(value)}; it must be below {np.finfo(float).max:.3g}") from None
    if not math.isfinite(found):
        if not finite:
            return found
        raise ValueError(f"{name} = {found}; it must be finite")
    if found < least or found <= above:
        wanted = f"at least {least:g}" if least > above else f"greater than {above:g}"
        raise ValueError(f"{name} = {found:g}: it must be {wanted}")
    if found > most:
        raise ValueError(f"{name} = {found:g}: at most {most:g} is allowed")
    return found


def array(
    name: str,
    values: Any,
    *,
    shape: tuple[int | None, ...] | None = None,
    finite: bool = True,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> NDArray[np.float64]:
    """Real numbers as float64; None in `shape` stands for any extent above 0.

    Raises
    ------
    TypeError, ValueError
        Text, objects, masked or complex values (whose imaginary parts would be lost), another shape, NaN or infinity,
        or numbers outside of the range.

    Examples
    --------
    >>> array("x", [1, 2], shape=(2,))
    array([1., 2.])
    """
    found = real(name, values)
    if shape is not None:
        fits = len(shape) == found.ndim and all(
            have == want or (want is None and have) for have, want in zip(found.shape, shape, strict=True)
        )
        if not fits:
            if found.ndim == 0 and shape == (None,):
                raise ValueError(f"{name} is a sequence of numbers; got one: [{float(found):g}] is a sequence")
            wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
            raise ValueError(f"{name} has shape {found.shape}; ({wanted}) is needed")
    if finite and not np.isfinite(found).all():
        raise ValueError(f"{name} holds NaN or infinity; remove them first")
    if found.size and not (found.min() >= least and found.max() <= most and found.min() > above):
        wanted = f"at least {least:g}" if least > above else f"greater than {above:g}"
        limit = "" if most == math.inf else f" and at most {most:g}"
        raise ValueError(f"{name} runs from {found.min():g} to {found.max():g}; it must be {wanted}{limit}")
    return found


def real(name: str, values: Any) -> NDArray[np.float64]:
    """Real numbers as float64, of any shape, NaN and infinity included.

    Raises
    ------
    TypeError
        Text, objects, masked or complex values.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill or select its values first, as in {name}.filled(0)")
    try:
        found = np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is an array of numbers; got {shown(values)}") from None
    if found.dtype.kind == "c":
        raise TypeError(f"{name} is complex; real numbers are needed: give its .real, .imag or np.abs()")
    if found.dtype.kind not in "iuf" and found.size:
        raise TypeError(f"{name} is an array of numbers; got {shown(values)} of dtype {found.dtype}")
    return found.astype(np.float64)


def aligned(values: Any, dtype: Any) -> NDArray[Any]:
    """The values as the compiled core takes them: one block, in order, at an address that fits their type.

    Arrays over the bytes of a message or of a file often begin at odd addresses.

    Examples
    --------
    >>> odd = np.frombuffer(bytes(9), np.float64, offset=1)
    >>> odd.flags.aligned, aligned(odd, np.float64).flags.aligned
    (False, True)
    """
    return np.require(values, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def complex_array(name: str, values: Any) -> NDArray[np.complex128]:
    """Real or complex numbers as a contiguous complex128 array, of any shape.

    Raises
    ------
    TypeError
        Text, objects or masked values.
    """
    if not isinstance(values, np.ma.MaskedArray) and np.asarray(values).dtype.kind == "c":
        return aligned(values, np.complex128)
    return aligned(real(name, values), np.complex128)


def fraction(name: str, value: object, else_give: str) -> float:
    """A float between 0 and 1, both excluded."""
    if not isinstance(value, float | np.floating) or not 0 < value < 1:
        raise ValueError(f"{name} = {value}: give a fraction between 0 and 1, or {else_give}")
    return float(value)


def vector(name: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    """Finite float64 numbers of given length."""
    try:
        found = np.array(values)
        if found.dtype.kind not in "biufO" and found.size:
            raise TypeError
        if any(isinstance(each, str | bytes) for each in found.ravel().tolist()):
            raise TypeError
        found = found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is a sequence of {length} numbers; got {shown(values)}") from None
    if found.shape == () and length == 1:
        found = found.reshape(1)
    if found.shape != (length,):
        raise ValueError(f"{name} has shape {found.shape}; {length} numbers are needed")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} holds NaN or infinity: {found}")
    return found


def sequence(name: str, values: Any, kind: type | tuple[type, ...], wanted: str, least: int = 1) -> list[Any]:
    """At least `least` objects of one kind, as a list.

    Raises
    ------
    TypeError
        No sequence, too short a one, or something else in it.
    """
    found = list(values) if isinstance(values, Sequence) and not isinstance(values, str | bytes) else None
    if found is None or len(found) < least or not all(isinstance(each, kind) for each in found):
        raise TypeError(f"{name} is a list of {wanted}, at least {least}; got {shown(values)}")
    return found


def function(name: str, value: Any, wanted: str) -> Any:
    """Something that can be called.

    Raises
    ------
    TypeError
        It cannot.
    """
    if not callable(value):
        raise TypeError(f"{name} is {wanted}; got {shown(value)}")
    return value


SMALL = 2**20
"""Bytes that are there: to ask the system takes longer than a pass through a small network."""


def require_memory(what: str, count: int, size: int = 8) -> None:
    """Refuses `count` items of `size` bytes that do not fit into the memory that is there, before it is taken.

    Raises
    ------
    ValueError
        More than the free memory would be needed; the message says how much.

    Examples
    --------
    >>> require_memory("a kernel of 4 x 4", 16)
    """
    needed = int(count) * size
    if needed <= SMALL:
        return
    free = _available()
    if needed > free:
        raise ValueError(f"{what} needs {_gib(needed)}; {_gib(free)} of memory are free: ask for less")


def _available() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**36


def _gib(size: int) -> str:
    if size >= 2**80:
        return "far more than 2^80 bytes"
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
