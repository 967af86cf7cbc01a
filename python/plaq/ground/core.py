"""Whether the compiled core beside this package is there and is its own: asked once, at import."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["__version__", "checked_core", "disagreements"]

STUB = Path(__file__).parents[1] / "_plaq.pyi"
"""What the core offers and of which version it is; written with it by scripts/stubs.py."""
REMEDY = (
    "install plaq again (pip install --force-reinstall plaq; in a checkout: make demo, and make stubs after a change "
    "of the binding)"
)
NAME = re.compile(r"^(class|def) (\w+)|^    def (\w+)", re.MULTILINE)


def checked_core() -> ModuleType:
    """The core; one that is missing or of another version than the files around it is refused.

    Raises
    ------
    ImportError
        Which says what is wrong and what to do.
    """
    try:
        core = import_module("plaq._plaq")
    except ImportError as error:
        raise ImportError(f"the compiled core of plaq cannot be loaded ({error}); {REMEDY}") from error
    found = disagreements(core, STUB.read_text(encoding="utf-8")) if STUB.exists() else []
    if found:
        raise ImportError(
            f"the compiled core {core.__file__} (plaq {getattr(core, '__version__', 'of unknown version')}) does not "
            f"belong to the Python files in {STUB.parent}: {'; '.join(found)}. One of them is stale; {REMEDY}"
        )
    return core


def disagreements(core: ModuleType, stub: str) -> list[str]:
    """The version, if it is another, and the first names of the stub that the core does not have.

    Examples
    --------
    >>> core = ModuleType("core")
    >>> core.__version__, core.start = "1.0", print
    >>> stub = "'''The compiled module of plaq 1.1''' \\ndef start(): ...\\ndef stop(): ..."
    >>> disagreements(core, stub)
    ['the files are of plaq 1.1', 'it has no stop']
    """
    version = re.search(r"of plaq ([\w.+-]+\w)", stub.partition("\n")[0])
    found = []
    if version and version[1] != getattr(core, "__version__", None):
        found.append(f"the files are of plaq {version[1]}")
    owner: Any = core
    missing: list[str] = []
    for kind, name, method in NAME.findall(stub):
        where = owner if method else core
        if kind == "class":
            owner = getattr(core, name, None)
        if where is not None and not hasattr(where, name or method):
            missing.append(name or f"{where.__name__}.{method}")
    return found + ([f"it has no {', '.join(missing[:3])}"] if missing else [])


__version__ = str(checked_core().__version__)
"""Version of the package."""
