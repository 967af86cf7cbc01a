"""Figures of chains, configurations and training. Every function takes `ax=None` and leaves global state alone."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import statistics
from plaq.figure import axes, dress, new_figure
from plaq.plot_flow import flow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from plaq.chain import Chain
    from plaq.train import History

__all__ = ["autocorrelation", "chain", "chains", "flow", "histogram", "history", "slice", "spins", "training"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe-Ito colours, which colour-blind people tell apart."""
GREY = "#555555"

LABELS = {
    "plaquette": r"plaquette $P$",
    "rectangle": r"rectangle $R$",
    "polyakov": r"Polyakov loop $L$",
    "abs_polyakov": r"Polyakov loop $|L|$",
    "topological_charge": r"topological charge $Q$",
    "energy_density": r"energy density $E$",
    "delta_h": r"$\Delta H$",
    "magnetization": r"magnetization $m$",
    "staggered_magnetization": r"staggered magnetization $m_s$",
    "loss": r"loss",
    "log_likelihood": r"log-likelihood",
    "kl": r"Kullback-Leibler divergence",
    "eigenvalues": r"eigenvalues of $K$",
    "singular_values": r"singular values of $W$",
}


def history(
    series: ArrayLike,
    *,
    name: str = "",
    start: int = 0,
    label: str | None = None,
    color: str = COLORS[0],
    ax: "Axes | None" = None,
) -> "Axes":
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

    Examples
    --------
    >>> import plaq as pq
    >>> draws = np.random.default_rng(1).normal(size=200)
    >>> axes = pq.plot.history(draws, name="plaquette")
    """
    draws, ax = _series(series), axes(ax)
    x = np.arange(start, start + len(draws))
    ax.plot(x, draws, color=color, lw=0.6, alpha=0.7, label=label, rasterized=len(draws) > 20000)
    result = _estimate(draws)
    if result is not None:
        low, high = result.mean - result.error, result.mean + result.error
        ax.fill_between([x[0], x[-1]], [low] * 2, [high] * 2, color="black", alpha=0.35, lw=0, zorder=3)
        ax.plot([x[0], x[-1]], [result.mean] * 2, color="black", lw=1.0, zorder=3)
        _title(ax, label, str(result), color)
    ax.set(xlabel="draw", ylabel=_name(name), xlim=(0, max(x[-1], 1)))
    return dress(ax)


def autocorrelation(
    series: ArrayLike,
    *,
    lags: int | None = None,
    label: str | None = None,
    color: str = COLORS[0],
    ax: "Axes | None" = None,
) -> "Axes":
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
    rho, error = statistics.autocorrelation(draws, lags)
    lag = np.arange(len(rho))
    ax.axhline(0, color=GREY, lw=0.6)
    ax.fill_between(lag, rho - error, rho + error, color=color, alpha=0.2, lw=0)
    ax.plot(lag, rho, "o-", color=color, ms=3 if len(rho) < 40 else 1.5, lw=1.0, label=label)
    result = _estimate(draws)
    if result is not None:
        tau = statistics.Estimate(result.tau, result.tau_error, 0.5, 0)
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
    ax: "Axes | None" = None,
) -> "Axes":
    """Distribution of the draws (normalised to area 1) with the Gaussian of the same mean and variance.

    Parameters
    ----------
    series : array_like, shape (draws,)
        Real draws; whole numbers get one bin each.
    bins : int or array_like, optional
        As for ``numpy.histogram``.
    name, label, color, ax
        As for :func:`history`.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import plaq as pq
    >>> draws = np.random.default_rng(1).normal(size=200)
    >>> axes = pq.plot.histogram(draws, name="plaquette")
    """
    draws, ax = _series(series), axes(ax)
    counts, edges = np.histogram(draws, _bins(draws) if bins is None else np.asarray(bins)[()], density=True)
    ax.stairs(counts, edges, fill=True, color=color, alpha=0.3)
    ax.stairs(counts, edges, color=color, lw=1.0, label=label)
    width = float(draws.std())
    if width > 0:
        x = np.linspace(edges[0], edges[-1], 200)
        gauss = np.exp(-0.5 * ((x - draws.mean()) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        ax.plot(x, gauss, color=color, lw=1.2, ls="--")
    ax.set(xlabel=_name(name), ylabel="density")
    return dress(ax)


def slice(
    density: ArrayLike,
    *,
    plane: tuple[int, int] = (0, 1),
    at: Sequence[int] | None = None,
    name: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """A plane of a lattice density as a colour map.

    Parameters
    ----------
    density : array_like, shape (L_0, ..., L_{D-1})
        One real number per site, D = 2 to 4; the last axis is time.
    plane : (int, int)
        Directions drawn to the right and upwards.
    at : sequence of int, optional
        Site (D numbers) through which the plane is cut; by default the site with the largest absolute value.
    name : str
        Name of the density, for the colour bar.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Not 2 to 4 dimensions, not real, or `plane` or `at` do not fit.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.datasets.gauge("lat.sample.l4448")
    >>> axes = pq.plot.slice(pq.observables.topological_charge_density(U), plane=(0, 3), name="q")
    """
    if hasattr(density, "_core"):
        raise TypeError(
            "slice draws one number per site; give a density, such as plaq.observables.plaquette_density(U)"
        )
    values = np.asarray(density)
    site = _check_plane(values, plane, at)
    index: list[Any] = list(site)
    index[plane[0]] = index[plane[1]] = np.s_[:]
    sheet = values[tuple(index)] if plane[0] < plane[1] else values[tuple(index)].T
    ax = axes(ax)
    signed = bool(sheet.min() < 0 < sheet.max())
    top = float(np.abs(sheet).max())
    colors = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} if signed else {"cmap": "viridis"}
    image = ax.imshow(sheet.T, origin="lower", interpolation="nearest", **colors)
    figure = ax.get_figure(root=False)
    if figure is not None:
        bar = figure.colorbar(image, ax=ax, label=_name(name), shrink=0.85)
        bar.outline.set_linewidth(0.6)
    names = _direction_names(values.ndim)
    others = [f"{names[k]} = {site[k]}" for k in range(values.ndim) if k not in plane]
    ax.set(xlabel=names[plane[0]], ylabel=names[plane[1]])
    ax.set_title(", ".join(others), fontsize=10, color=GREY)
    ax.locator_params(integer=True)
    return dress(ax)


def spins(
    spins: ArrayLike,
    *,
    staggered: bool = False,
    title: str = "",
    colorbar: bool = True,
    ax: "Axes | None" = None,
) -> "Axes":
    """Spins of a square lattice as arrows: x and y component as direction and length, z component as colour.

    Parameters
    ----------
    spins : array_like, shape (L_x, L_y, 3)
        Unit spins.
    staggered : bool
        Show ``(-1)^(x + y) S``, so that antiferromagnetic order looks uniform.
    title : str
        Title of the panel.
    colorbar : bool
        Draw the colour bar of the z component.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Another shape.

    Examples
    --------
    >>> import plaq as pq
    >>> ax = spins(pq.spin.spiral((6, 6), (1, 1)))
    """
    values = np.asarray(spins, dtype=float)
    if values.ndim != 3 or values.shape[2] != 3:
        raise ValueError(f"spins of shape {values.shape}: one configuration has shape (L_x, L_y, 3)")
    x, y = np.indices(values.shape[:2])
    if staggered:
        values = values * np.where((x + y) % 2, -1.0, 1.0)[..., None]
    ax = axes(ax)
    arrows: dict[str, Any] = {
        "pivot": "mid",
        "scale": 1.0,
        "scale_units": "xy",
        "angles": "xy",
        "width": 0.012,
        "cmap": "coolwarm",
    }
    drawn = ax.quiver(x, y, 0.9 * values[..., 0], 0.9 * values[..., 1], values[..., 2], clim=(-1, 1), **arrows)
    figure = ax.get_figure(root=False) if colorbar else None
    if figure is not None:
        bar = figure.colorbar(drawn, ax=ax, label=r"$S^z$", shrink=0.85)
        bar.outline.set_linewidth(0.6)
    ax.set(xlabel="x", ylabel="y", aspect="equal", xlim=(-0.7, x.max() + 0.7), ylim=(-0.7, y.max() + 0.7))
    ax.set_title(title, fontsize=10, color=GREY)
    ax.locator_params(integer=True)
    return dress(ax)


def chain(chain: "Chain", names: Sequence[str] | None = None) -> "Figure":
    """History, autocorrelation and histogram of each scalar observable of a chain, one row each.

    Parameters
    ----------
    chain : Chain
    names : sequence of str, optional
        Observables to show.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.Heatbath(pq.actions.Wilson(2.0))
    >>> drawn = sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), 20, rng=1, progress=False)
    >>> figure = pq.plot.chain(drawn)
    """
    return chains({"": chain}, names)


def chains(chains: Mapping[str, "Chain"], names: Sequence[str] | None = None, title: str = "") -> "Figure":
    """Several chains of the same observables: histories one behind the other, the rest over each other.

    Parameters
    ----------
    chains : mapping of str to Chain
        Chains by the label of the legend.
    names : sequence of str, optional
        Observables to show; by default those with one number per draw (complex ones by real part).
    title : str
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is nothing to show, or there are too few draws.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.Heatbath(pq.actions.Wilson(2.0))
    >>> drawn = sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), 20, rng=1, progress=False)
    >>> figure = pq.plot.chains({"heatbath": drawn}, title="U(1)")
    """
    first = next(iter(chains.values()))
    shown = [name for name in first.names if first[name].ndim == 1] if names is None else list(names)
    if not shown or any(len(each) < statistics.MINIMUM_DRAWS for each in chains.values()):
        raise ValueError(f"nothing to plot: {len(first)} draws of {shown}; at least {statistics.MINIMUM_DRAWS} needed")
    figure = new_figure((12.5, 2.7 * len(shown) + 0.5 * bool(title)))
    grid = figure.subplots(len(shown), 3, width_ratios=[2.2, 1.2, 1.2], squeeze=False)
    figure.get_layout_engine().set(wspace=0.04, hspace=0.04)  # type: ignore[union-attr, call-arg]
    for row, name in zip(grid, shown, strict=True):
        start, bins = 0, _common_bins([each[name].real for each in chains.values()])
        for k, (label, each) in enumerate(chains.items()):
            series, axis_name = each[name].real, f"Re {name}" if np.iscomplexobj(each[name]) else name
            style: dict[str, Any] = {"label": label or None, "color": COLORS[k % len(COLORS)]}
            history(series, name=axis_name, start=start, ax=row[0], **style)
            start += len(each)
            autocorrelation(series, ax=row[1], **style)
            histogram(series, name=axis_name, bins=bins, ax=row[2], **style)
    _explain_gaussian(grid[0, 2])
    if title:
        figure.suptitle(title, fontsize=13)
    return figure


def training(history: "History") -> "Figure":
    """One panel for each array of a training record, against its `epoch` (or record number).

    Parameters
    ----------
    history : History

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import plaq as pq
    >>> figure = pq.plot.training(pq.History({"loss": [1.0, 0.5, 0.25]}))
    """
    names = [name for name in history if name != "epoch" and history[name].ndim <= 2]
    if not names or not history.records:
        raise ValueError(f"nothing to plot: the record has {list(history)} with {history.records} entries")
    x = history["epoch"] if "epoch" in history else np.arange(history.records)
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure((4.2 * columns, 2.9 * rows))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(grid, names, strict=False):
        _curves(ax, x, history[name])
        ax.set(xlabel="epoch" if "epoch" in history else "record", ylabel=_name(name))
        dress(ax)
    for ax in grid[len(names) :]:
        ax.set_axis_off()
    return figure


def _curves(ax: "Axes", x: NDArray[Any], values: NDArray[Any]) -> None:
    lines = values.reshape(len(values), -1).T
    if len(lines) == 1:
        ax.plot(x, lines[0], color=COLORS[0], lw=1.4)
        return
    import matplotlib

    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(lines)))
    for line, shade in zip(lines, shades, strict=True):
        ax.plot(x, line, color=shade, lw=1.0)


def _series(series: ArrayLike) -> NDArray[np.float64]:
    draws = np.asarray(series)
    if draws.ndim != 1 or draws.dtype.kind not in "biuf" or not len(draws):
        raise ValueError(
            f"a plot needs a series of real numbers; got {draws.dtype} of shape {draws.shape}: "
            "choose a column, or .real, .imag or np.abs()"
        )
    return draws.astype(np.float64)


def _estimate(draws: NDArray[np.float64]) -> statistics.Estimate | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return statistics.estimate(draws)
    except ValueError:
        return None


def _bins(draws: NDArray[np.float64]) -> NDArray[np.float64] | int:
    low, high = draws.min(), draws.max()
    if np.array_equal(draws, np.round(draws)) and high - low < 200:
        return np.arange(low - 0.5, high + 1.0)
    spread = np.subtract(*np.percentile(draws, [75, 25]))
    if spread <= 0:
        return 10
    return int(np.clip((high - low) / (2 * spread) * len(draws) ** (1 / 3), 5, 100))


def _common_bins(series: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Edges for histograms that lie over each other, as fine as the shortest series bears."""
    together = np.concatenate(series).astype(np.float64)
    bins = _bins(together)
    if isinstance(bins, int):
        bins = max(5, round(bins * (min(map(len, series)) / len(together)) ** (1 / 3)))
    return np.histogram_bin_edges(together, bins)


def _explain_gaussian(ax: "Axes") -> None:
    from matplotlib.lines import Line2D

    dashed = Line2D([], [], color=GREY, ls="--", lw=1.2, label="Gaussian of same\nmean and variance")
    ax.legend(handles=[dashed], loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8.5)


def _check_plane(values: NDArray[Any], plane: tuple[int, int], at: Sequence[int] | None) -> list[int]:
    ndim = values.ndim
    if not 2 <= ndim <= 4 or values.dtype.kind not in "biuf":
        raise ValueError(f"a density has 2 to 4 dimensions and real values; got {values.dtype}, shape {values.shape}")
    if len(plane) != 2 or plane[0] == plane[1] or not all(0 <= mu < ndim for mu in plane):
        raise ValueError(f"plane = {plane}: two different directions from 0 to {ndim - 1} are needed")
    site = np.unravel_index(np.abs(values).argmax(), values.shape) if at is None else at
    if len(site) != ndim or not all(0 <= x < extent for x, extent in zip(site, values.shape, strict=True)):
        raise ValueError(f"at = {at}: a site of the lattice {values.shape} is needed")
    return [int(x) for x in site]


def _direction_names(ndim: int) -> list[str]:
    return [*("$x$", "$y$", "$z$")[: ndim - 1], "$t$"]


def _name(name: str) -> str:
    if name.startswith(("Re ", "Im ")):
        return f"{name[:3]}{_name(name[3:])}"
    return LABELS.get(name, name.replace("_", " "))


def _title(ax: "Axes", label: str | None, text: str, color: str) -> None:
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
