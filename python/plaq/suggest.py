"""Messages for names that do not exist: what was given, the nearest valid name, and all that are known."""

import difflib
from collections.abc import Iterable


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
    lower = {each.lower(): each for each in reversed(names)}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f'; did you mean "{lower[near[0]]}"?' if near else ";"
    return f'unknown {kind} "{name}"{hint} known: {", ".join(names) or "none"}'
