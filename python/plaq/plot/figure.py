"""Where plots are drawn: figures that need no pyplot in scripts and show in notebooks."""

import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

from plaq.ground.arguments import instance
from plaq.ground.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["axes", "dress", "new_figure"]


def dress(ax: "Axes") -> "Axes":
    """Thin axes on two sides only."""
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_linewidth(0.6)
    ax.tick_params(width=0.6, length=3, labelsize=9)
    return ax


def axes(ax: "Axes | None") -> "Axes":
    """The given axes, or those of a new figure.

    Raises
    ------
    TypeError
        No axes of matplotlib.
    ImportError
        Without matplotlib.
    """
    if ax is not None:
        require("matplotlib", "plot")
        from matplotlib.axes import Axes

        given: Axes = instance("ax", ax, Axes, "axes of matplotlib, as plt.gca(), or None for a new figure")
        return given
    single: Axes = new_figure((5.2, 3.4), shown=True).subplots()
    return single


def new_figure(size: tuple[float, float], *, shown: bool = False) -> "Figure":
    """A figure of its own, or one of pyplot if pyplot is in use, so that plt.show() finds it.

    A notebook shows returned figures by their rich display; only for returned Axes (`shown`) does it need pyplot.
    """
    require("matplotlib", "plot")
    if shown if "ipykernel" in sys.modules else "matplotlib.pyplot" in sys.modules:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    figure: Figure = _figure_class()(figsize=size, layout="constrained")
    return figure


def _figure_class() -> Any:
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        """A figure that notebooks show without pyplot."""

        def _repr_png_(self) -> bytes:
            content = BytesIO()
            self.savefig(content, format="png", dpi=110)
            return content.getvalue()

    return ShownFigure
