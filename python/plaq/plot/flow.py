"""Figure of a gradient flow: t^2 E(t) with its scale, and the topological charge."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import instance, number
from plaq.plot.figure import axes, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flow"]


@runtime_checkable
class Flowed(Protocol):
    """What is drawn of a gradient flow."""

    @property
    def t(self) -> NDArray[np.float64]:
        """Flow times."""

    @property
    def energy(self) -> NDArray[np.float64]:
        """Energy density at these times."""

    @property
    def charge(self) -> NDArray[np.float64]:
        """Topological charge at these times, NaN where there is none."""

    def t0(self, level: float) -> float:
        """Flow time at which t^2 E reaches `level`; ValueError if it does not."""


def flow(flow: Flowed, *, level: float = 0.3, color: str = "#0072B2", ax: "Axes | None" = None) -> "Axes":
    r""":math:`t^2 E(t)` of a gradient flow, :math:`t_0` where it reaches `level`, and the charge on a second axis.

    Parameters
    ----------
    flow : Flow
        From :func:`plaq.smear.flow`.
    level : float
        Level that defines t0; nothing is marked when the flow does not reach it.
    color : str
        Any matplotlib colour.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of t^2 E.

    Raises
    ------
    TypeError, ValueError
        `flow` is no flow, `level` no finite number, `ax` no axes.

    Examples
    --------
    >>> import plaq as pq
    >>> result = pq.smear.flow(pq.datasets.gauge("lat.sample.l4448"), 0.4, step=0.1)
    >>> axes = pq.plot.flow(result, level=0.05)
    """
    instance("flow", flow, Flowed, "a plaq.smear.Flow, as plaq.smear.flow returns it")
    level = number("level", level)
    ax = axes(ax)
    ax.plot(flow.t, flow.t**2 * flow.energy, color=color, lw=1.4)
    ax.set(xlabel=r"flow time $t/a^2$", ylabel=r"$t^2 E(t)$", xlim=(0, flow.t[-1]), ylim=(0, None))
    ax.yaxis.label.set_color(color)
    try:
        scale = flow.t0(level)
    except ValueError:
        scale = None
    if scale is not None:
        ax.plot([0, scale, scale], [level, level, 0], color="#555555", lw=0.8, ls=":")
        ax.set_title(rf"$t_0({level:g}) = {scale:.4f}\,a^2$", fontsize=10)
    if np.isfinite(flow.charge).any():
        _charge(flow, ax)
    return dress(ax)


def _charge(flow: Flowed, ax: "Axes") -> None:
    twin = ax.twinx()
    twin.plot(flow.t, flow.charge, color="#D55E00", lw=1.4, ls="--")
    twin.set_ylabel("topological charge $Q$", color="#D55E00")
    for name in ("top", "left", "bottom"):
        twin.spines[name].set_visible(False)
    twin.spines["right"].set_linewidth(0.6)
    twin.tick_params(width=0.6, length=3, labelsize=9)
