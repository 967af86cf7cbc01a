"""The figure of a running chain in a notebook: drawn anew in its place, without ipywidgets."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import shown
from plaq.ground.progress import in_notebook
from plaq.plot.figure import new_figure
from plaq.plot.series import history
from plaq.plot.style import COLORS

__all__ = ["PLOT", "LivePlot", "checked_progress"]

PLOT = "plot"
"""The value of `progress` that asks for the figure."""
SECONDS = 1.0
"""Least time between two figures."""
SHARE = 20
"""A figure is due when so many times the seconds of the last one have passed: it costs a twentieth of the run."""
MOST = 4
"""Observables that are drawn."""

Columns = Mapping[str, NDArray[Any]]


def checked_progress(progress: Any) -> tuple[bool, bool]:
    """Whether the counter and whether the figure is shown.

    Raises
    ------
    TypeError, ValueError
        Neither True nor False nor ``"plot"``.

    Examples
    --------
    >>> checked_progress("plot"), checked_progress(False)
    ((True, True), (False, False))
    """
    if isinstance(progress, str):
        if progress != PLOT:
            raise ValueError(f'progress is True, False or "{PLOT}"; got {shown(progress)}')
        return True, True
    if not isinstance(progress, bool | np.bool_):
        raise TypeError(f'progress is True, False or "{PLOT}"; got {shown(progress)}')
    return bool(progress), False


class LivePlot:
    """Histories of the first scalar observables with their means and errors, refreshed while a chain runs.

    Parameters
    ----------
    columns : callable
        The draws so far by observable.
    enabled : bool
        Nothing is shown elsewhere than in a notebook.
    """

    def __init__(self, columns: Callable[[], Columns], *, enabled: bool) -> None:
        self._columns, self._handle = columns, None
        self._next = time.perf_counter() + SECONDS if enabled and in_notebook() else float("inf")

    def update(self, *, last: bool = False) -> None:
        """Draw, if a figure is due; `last` ends the run."""
        start = time.perf_counter()
        if start < self._next and not (last and self._next < float("inf")):
            return
        figure = _figure(self._columns())
        if figure is not None:
            self._show(figure)
        now = time.perf_counter()
        self._next = float("inf") if last else now + max(SECONDS, SHARE * (now - start))

    def _show(self, figure: Any) -> None:
        tools: Any = importlib.import_module("IPython.display")
        image = tools.Image(_png(figure))
        if self._handle is None:
            self._handle = tools.display(image, display_id=True)
        else:
            self._handle.update(image)


def _figure(columns: Columns) -> Any:
    """One panel for each observable; None before there is anything to see."""
    scalar = {name: np.asarray(values.real) for name, values in columns.items() if values.ndim == 1 and len(values) > 1}
    names = list(scalar)[:MOST]
    if not names:
        return None
    figure = new_figure((7.0, 1.9 * len(names)))
    panels = figure.subplots(len(names), squeeze=False)[:, 0]
    for k, name in enumerate(names):
        history(scalar[name], name=name, color=COLORS[k % len(COLORS)], ax=panels[k])
    return figure


def _png(figure: Any) -> bytes:
    """The picture; a figure of pyplot is closed, for the notebook would show it once more."""
    from io import BytesIO

    content = BytesIO()
    figure.savefig(content, format="png", dpi=90)
    if getattr(figure, "number", None) is not None:
        importlib.import_module("matplotlib.pyplot").close(figure)
    return content.getvalue()
