"""Figures of one series of draws: history, autocorrelation, histogram."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import array, one_of, text, whole_number
from plaq.plot.figure import axes, dress
from plaq.plot.style import COLORS, GREY, name_of
from plaq.statistics import Estimate, estimate
from plaq.statistics import autocorrelation as autocorrelation_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["autocorrelation", "common_bins", "histogram", "history"]

MOST_BINS = 100_000
"""More are slips: no figure shows them."""
RULES = ("doane", "sqrt", "sturges", "rice")
"""Rules of numpy whose number of bins depends on the number of draws, not on how far the farthest one lies."""


def history(
    series: ArrayLike,
    *,
    name: str = "",
    start: int = 0,
    label: str | None = None,
    color: str = COLORS[0],
    ax: Axes | None = None,
) -> Axes:
    """Draws against their number, with the band of mean and error.

    Parameters
    ----------
    series : array_like, shape (draws,)
        Real draws.
    name : str
        Name of the observable, for the axis.
    start : int
        Number of the first draw, to show one chain behind another.
    label : str, optional
        Name of the chain, shown with its result.
    color : str
        Any matplotlib colour.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install plaq[plot]``.
    TypeError, ValueError
        No series of real numbers; a `name` that is no text, a `start` that is no count, an `ax` that is no axes.

    Examples
    --------
    >>> import plaq as pq
    >>> draws = np.random.default_rng(1).normal(size=200)
    >>> axes = pq.plot.history(draws, name="plaquette")
    """
    first, axis_name = whole_number("start", start, 0), name_of(text("name", name))
    draws, ax = _series(series), axes(ax)
    x = np.arange(first, first + len(draws))
    ax.plot(x, draws, color=color, lw=0.6, alpha=0.7, label=label, rasterized=len(draws) > 20000)
    result = _estimate(draws)
    if result is not None:
        low, high = result.mean - result.error, result.mean + result.error
        ax.fill_between([x[0], x[-1]], [low] * 2, [high] * 2, color="black", alpha=0.35, lw=0, zorder=3)
        ax.plot([x[0], x[-1]], [result.mean] * 2, color="black", lw=1.0, zorder=3)
        _title(ax, label, str(result), color)
    ax.set(xlabel="draw", ylabel=axis_name, xlim=(0, max(x[-1], 1)))
    ax.locator_params(axis="x", integer=True)
    return dress(ax)


def autocorrelation(
    series: ArrayLike,
    *,
    lags: int | None = None,
    label: str | None = None,
    color: str = COLORS[0],
    ax: Axes | None = None,
) -> Axes:
    """Autocorrelation function with errors (hep-lat/0409106) and the integrated time in the title.

    Parameters
    ----------
    series : array_like, shape (draws,)
        Real draws.
    lags : int, optional
        Largest lag shown.
    label, color, ax
        As for :func:`history`.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import plaq as pq
    >>> draws = np.random.default_rng(1).normal(size=200)
    >>> axes = pq.plot.autocorrelation(draws)
    """
    draws, ax = _series(series), axes(ax)
    rho, error = autocorrelation_of(draws, lags)
    lag = np.arange(len(rho))
    ax.axhline(0, color=GREY, lw=0.6)
    ax.fill_between(lag, rho - error, rho + error, color=color, alpha=0.2, lw=0)
    ax.plot(lag, rho, "o-", color=color, ms=3 if len(rho) < 40 else 1.5, lw=1.0, label=label)
    result = _estimate(draws)
    if result is not None:
        tau = Estimate(result.tau, result.tau_error, 0.5, 0)
        _title(ax, label, rf"$\tau_\mathrm{{int}}$ = {tau}", color)
    low = min(-0.15, float((rho - error).min()))
    ax.set(xlabel="lag $t$ (draws)", ylabel=r"autocorrelation $\rho(t)$", ylim=(low, 1.05))
    ax.set_xlim(0, max(ax.dataLim.x1, 1))
    ax.locator_params(axis="x", integer=True)
    return dress(ax)


def histogram(
    series: ArrayLike,
    *,
    name: str = "",
    bins: int | ArrayLike | None = None,
    label: str | None = None,
    color: str = COLORS[0],
    ax: Axes | None = None,
) -> Axes:
    """Distribution of the draws (normalised to area 1) with the Gaussian of the same mean and variance.

    Parameters
    ----------
    series : array_like, shape (draws,)
        Real draws; whole numbers get one bin each.
    bins : int or array_like, optional
        Number of bins, at most 100000, their edges, or the name of a rule of ``numpy.histogram_bin_edges``.
    name, label, color, ax
        As for :func:`history`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        No series of real numbers; a `name` that is no text; more than 100000 bins, or edges that do not ascend.

    Examples
    --------
    >>> import plaq as pq
    >>> draws = np.random.default_rng(1).normal(size=200)
    >>> axes = pq.plot.histogram(draws, name="plaquette")
    """
    draws, axis_name = _series(series), name_of(text("name", name))
    counts, edges = np.histogram(draws, _bins(draws) if bins is None else _checked_bins(bins), density=True)
    ax = axes(ax)
    ax.stairs(counts, edges, fill=True, color=color, alpha=0.3)
    ax.stairs(counts, edges, color=color, lw=1.0, label=label)
    width = float(draws.std())
    if width > 0:
        x = np.linspace(edges[0], edges[-1], 200)
        gauss = np.exp(-0.5 * ((x - draws.mean()) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        ax.plot(x, gauss, color=color, lw=1.2, ls="--")
    elif len(draws) > 1:
        ax.set_title(f"all {len(draws)} draws are {draws[0]:g}", fontsize=10, color=GREY)
    ax.set(xlabel=axis_name, ylabel="density")
    return dress(ax)


def _series(series: ArrayLike) -> NDArray[np.float64]:
    if hasattr(series, "estimate") and hasattr(series, "plot"):
        raise TypeError('a plot shows one series, as chain["plaquette"]; chain.plot() draws all of a chain')
    draws = np.asarray(series)
    if draws.ndim != 1 or draws.dtype.kind not in "biuf" or not len(draws):
        raise ValueError(
            f"a plot needs a series of real numbers; got {draws.dtype} of shape {draws.shape}: "
            "choose a column, or .real, .imag or np.abs()"
        )
    return draws.astype(np.float64)


def _estimate(draws: NDArray[np.float64]) -> Estimate | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return estimate(draws)
    except ValueError:
        return None


def _checked_bins(bins: int | ArrayLike) -> int | str | NDArray[np.float64]:
    """A number of bins, edges, or the name of a rule, in what memory and eyes bear."""
    if isinstance(bins, str):
        return one_of("rule of bins", bins, RULES)
    if isinstance(bins, int | np.integer):
        return whole_number("bins", bins, 1, MOST_BINS)
    edges = array("bins", bins, shape=(None,))
    if not 2 <= len(edges) <= MOST_BINS + 1:
        raise ValueError(f"bins: {len(edges)} edges; 2 to {MOST_BINS + 1} are allowed")
    return edges


def _bins(draws: NDArray[np.float64]) -> NDArray[np.float64] | int:
    low, high = draws.min(), draws.max()
    # Charges are whole numbers up to rounding.
    if np.allclose(draws, np.round(draws), rtol=0.0, atol=1e-9) and high - low < 200:
        return np.arange(np.round(low) - 0.5, np.round(high) + 1.0)
    spread = np.subtract(*np.percentile(draws, [75, 25]))
    if spread <= 0:
        return 10
    return int(np.clip((high - low) / (2 * spread) * len(draws) ** (1 / 3), 5, 100))


def common_bins(series: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Edges for histograms that lie over each other, as fine as the shortest series bears."""
    together = np.concatenate(series).astype(np.float64)
    bins = _bins(together)
    if isinstance(bins, int):
        bins = max(5, round(bins * (min(map(len, series)) / len(together)) ** (1 / 3)))
    return np.histogram_bin_edges(together, bins)


def _title(ax: Axes, label: str | None, text: str, color: str) -> None:
    """The result above the axes; the results of further chains go below it."""
    from matplotlib.text import Annotation

    for earlier in ax.texts:
        if isinstance(earlier, Annotation):
            earlier.xyann = (0, earlier.xyann[1] + 13)
    ax.annotate(
        f"{label}: {text}" if label else text,
        (0.0, 1.0),
        xytext=(0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        color=color,
        fontsize=10.5,
        ha="left",
        va="bottom",
    )
