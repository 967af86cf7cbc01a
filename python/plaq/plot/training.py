"""Figures of training records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import columns as checked_columns
from plaq.plot.figure import dress, new_figure
from plaq.plot.style import COLORS, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["training"]


def training(history: Mapping[str, NDArray[Any]]) -> Figure:
    """One panel for each array of a training record, against its `epoch` (or record number).

    Parameters
    ----------
    history : History

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No mapping of names to arrays of one length; no records.

    Examples
    --------
    >>> import plaq as pq
    >>> figure = pq.plot.training(pq.History({"loss": [1.0, 0.5, 0.25]}))
    """
    history = checked_columns("history", history)
    records = len(next(iter(history.values()), ()))
    names = [name for name in history if name not in ("epoch", "step") and history[name].ndim <= 2]
    names = [name for name in names if not _constant(history[name])] or names
    if not names or not records:
        raise ValueError(f"nothing to plot: the record has {list(history)} with {records} entries")
    x = history["epoch"] if "epoch" in history else np.arange(records)
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure((4.2 * columns, 2.9 * rows))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(grid, names, strict=False):
        _curves(ax, x, history[name])
        ax.set(xlabel="epoch" if "epoch" in history else "record", ylabel=name_of(name))
        ax.locator_params(axis="x", integer=True)
        if name in FALLING and _spans_decades(history[name]):
            ax.set_yscale("log")
        dress(ax)
    for ax in grid[len(names) :]:
        ax.set_axis_off()
    return figure


FALLING = ("loss", "validation", "kl", "gradient_norm")
"""What a training makes small: on a logarithmic axis where it falls by more than a factor of three."""


def _constant(values: NDArray[Any]) -> bool:
    """Whether there is nothing to see."""
    return len(values) > 1 and bool(np.all(values == values[0]))


def _spans_decades(values: NDArray[Any]) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 3 * finite.min())


def _curves(ax: Axes, x: NDArray[Any], values: NDArray[Any]) -> None:
    lines = values.reshape(len(values), -1).T
    if len(lines) == 1:
        ax.plot(x, lines[0], color=COLORS[0], lw=1.4)
        return
    import matplotlib

    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(lines)))
    for line, shade in zip(lines, shades, strict=True):
        ax.plot(x, line, color=shade, lw=1.0)
