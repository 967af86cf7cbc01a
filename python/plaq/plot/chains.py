"""Figures of chains: history, autocorrelation and histogram of each observable."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import instance, sequence, text
from plaq.plot.figure import new_figure
from plaq.plot.series import autocorrelation, common_bins, histogram, history
from plaq.plot.style import COLORS, GREY
from plaq.statistics import MINIMUM_DRAWS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["chain", "chains"]


@runtime_checkable
class Draws(Protocol):
    """What is drawn of a chain."""

    @property
    def names(self) -> list[str]:
        """Names of the observables."""

    def __getitem__(self, name: str) -> NDArray[Any]: ...

    def __len__(self) -> int: ...


def chain(chain: Draws, names: Sequence[str] | str | None = None) -> "Figure":
    """History, autocorrelation and histogram of each scalar observable of a chain, one row each.

    Parameters
    ----------
    chain : Chain
    names : str or sequence of str, optional
        Observables to show.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    KeyError, TypeError, ValueError
        As for :func:`chains`.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.Heatbath(pq.actions.Wilson(2.0))
    >>> drawn = sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), 20, rng=1, progress=False)
    >>> figure = pq.plot.chain(drawn)
    """
    return chains({"": chain}, names)


def chains(
    chains: Mapping[str, Draws] | Sequence[Draws], names: Sequence[str] | str | None = None, title: str = ""
) -> "Figure":
    """Several chains of the same observables: histories one behind the other, the rest over each other.

    Parameters
    ----------
    chains : mapping of str to Chain, or sequence of Chain
        Chains by the label of the legend; without labels they are numbered.
    names : str or sequence of str, optional
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
    KeyError
        A chain has no observable of that name.
    TypeError
        `chains` are no chains, `names` no list of names, `title` no text.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.Heatbath(pq.actions.Wilson(2.0))
    >>> drawn = sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), 20, rng=1, progress=False)
    >>> figure = pq.plot.chains({"heatbath": drawn}, title="U(1)")
    >>> figure = pq.plot.chains([drawn, drawn], "plaquette")
    """
    numbered = {f"chain {k}": each for k, each in enumerate(chains, 1)} if isinstance(chains, list | tuple) else chains
    labelled: Mapping[str, Draws] = instance(
        "chains", numbered, Mapping, 'a list of chains, or labels and chains as {"heat bath": chain}'
    )
    for label, each in labelled.items():
        text("the label of a chain", label)
        instance(f"chain {label!r}", each, Draws, "a plaq.Chain")
    text("title", title)
    if not labelled:
        raise ValueError("chains is empty: there is nothing to plot")
    first = next(iter(labelled.values()))
    if names is None:
        shown = [name for name in first.names if first[name].ndim == 1]
    else:
        shown = [names] if isinstance(names, str) else sequence("names", names, str, "names of observables", 0)
    if not shown or any(len(each) < MINIMUM_DRAWS for each in labelled.values()):
        raise ValueError(f"nothing to plot: {len(first)} draws of {shown}; at least {MINIMUM_DRAWS} needed")
    figure = new_figure((12.5, 2.7 * len(shown) + 0.5 * bool(title)))
    grid = figure.subplots(len(shown), 3, width_ratios=[2.2, 1.2, 1.2], squeeze=False)
    figure.get_layout_engine().set(wspace=0.04, hspace=0.04)  # type: ignore[union-attr, call-arg]
    for row, name in zip(grid, shown, strict=True):
        start, bins = 0, common_bins([each[name].real for each in labelled.values()])
        for k, (label, each) in enumerate(labelled.items()):
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


def _explain_gaussian(ax: "Axes") -> None:
    from matplotlib.lines import Line2D

    dashed = Line2D([], [], color=GREY, ls="--", lw=1.2, label="Gaussian of same\nmean and variance")
    ax.legend(handles=[dashed], loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8.5)
