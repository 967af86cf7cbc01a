"""What all demonstrations have in common.

A demonstration takes `say`, which receives each line of text, the sizes and the seed of what it does, and `figure`,
where its figure goes; it returns what it made. Without matplotlib it raises an ImportError before it begins, and a
figure without a name gets one of its own, so that none is replaced.
"""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from plaq.ground.extras import require

__all__ = ["OWN", "Say", "demonstration"]

Say = Callable[[str], None]
OWN = Path()
"""Stands for a name of the demonstration's own."""

F = TypeVar("F", bound=Callable[..., Any])


def demonstration(function: F) -> F:
    """A function that draws a figure and tells what it does, as one of the command line."""

    @functools.wraps(function)
    def begun(say: Say, *, figure: str | Path = OWN, **sizes: Any) -> Any:
        require("matplotlib", "plot")
        return function(say, figure=free_name(function.__name__) if figure == OWN else figure, **sizes)

    return cast(F, begun)


def free_name(demo: str) -> Path:
    """``plaq-demo-NAME.png``, or with a number behind it the first that is not there."""
    stem = f"plaq-demo-{demo.replace('_', '-')}"
    names = itertools.chain([f"{stem}.png"], (f"{stem}-{k}.png" for k in itertools.count(2)))
    return next(path for path in map(Path, names) if not path.exists())
