"""Figures of flux configurations: lines along links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from plaq.ground.arguments import shown
from plaq.plot.figure import axes, dress
from plaq.plot.style import COLORS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fluxes"]


def fluxes(k: ArrayLike, l: ArrayLike | None = None, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Fluxes of a two-dimensional lattice: arrows along links, wider for larger k; l as grey lines; ends of open worms.

    Time runs upwards. A source (div k > 0) is a filled circle, a sink an open one, both larger for larger abs(div k).

    Parameters
    ----------
    k : array_like of whole numbers, shape (2, x_0, x_1), or FluxField
        Fluxes of the links from x to x + nu; a field has its l with it.
    l : array_like of whole numbers, same shape, optional
        Pairs of opposite hops.
    title : str
        Title of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        No whole numbers, another shape.

    Examples
    --------
    >>> import plaq as pq
    >>> k = np.zeros((2, 6, 8), int)
    >>> k[1, 2] = 1
    >>> ax = fluxes(k)
    """
    field: Any = k
    if l is None and hasattr(field, "k") and hasattr(field, "l"):
        k, l = field.k, field.l
    arrays: list[Any] = [np.asarray(each) for each in ((k,) if l is None else (k, l))]
    for name, array in zip("kl", arrays, strict=False):
        if array.dtype.kind not in "iuf" or (array != np.round(array)).any():
            raise TypeError(f"{name} is an array of whole numbers; got {shown(array)}")
        if array.ndim != 3 or array.shape[0] != 2 or array.shape != arrays[0].shape or not array.size:
            raise ValueError(f"{name} has shape {array.shape}; one configuration in two dimensions is (2, x_0, x_1)")
    flux = arrays[0].astype(np.int64)
    ax = axes(ax)
    steps = np.array([[1.0, 0.0], [0.0, 1.0]])
    if l is not None:
        _lines(ax, arrays[1], steps)
    for sign, color in ((1, COLORS[0]), (-1, COLORS[1])):
        nu, x, y = np.nonzero(sign * flux > 0)
        start = np.stack([x, y], axis=1) + (sign < 0) * steps[nu]
        length = sign * 0.96 * steps[nu]
        width = 0.04 * np.minimum(np.abs(flux[nu, x, y]), 6)
        for from_, along, thick in zip(start, length, width, strict=True):
            ax.arrow(*from_, *along, width=thick, head_width=thick + 0.16, length_includes_head=True, color=color, lw=0)
    divergence = sum(flux[nu] - np.roll(flux[nu], 1, axis=nu) for nu in (0, 1))
    for sign, face in ((1, COLORS[2]), (-1, "white")):
        x, y = np.nonzero(sign * divergence > 0)
        ax.scatter(x, y, s=60 * np.abs(divergence[x, y]), facecolor=face, edgecolor=COLORS[2], linewidth=1.5, zorder=3)
    ax.set(
        xlabel="$x$", ylabel="$t$", aspect="equal", xlim=(-0.6, flux.shape[1] + 0.2), ylim=(-0.6, flux.shape[2] + 0.2)
    )
    ax.set_title(title, fontsize=10, color=GREY)
    ax.locator_params(integer=True)
    return dress(ax)


def _lines(ax: Axes, pairs: Any, steps: Any) -> None:
    nu, x, y = np.nonzero(pairs)
    for direction, here, above, count in zip(nu, x, y, pairs[nu, x, y], strict=True):
        end = np.array([here, above]) + steps[direction]
        ax.plot([here, end[0]], [above, end[1]], color="0.8", lw=2.0 * min(count, 6), solid_capstyle="butt", zorder=0)
