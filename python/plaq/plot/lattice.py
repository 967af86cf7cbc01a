"""Figures of configurations: planes of a density, spins as arrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import real, text
from plaq.plot.figure import axes, dress
from plaq.plot.style import GREY, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["slice", "spins"]


def slice(
    density: ArrayLike,
    *,
    plane: tuple[int, int] = (0, 1),
    at: Sequence[int] | None = None,
    name: str = "",
    ax: Axes | None = None,
) -> Axes:
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
        Name of the density, for the colour bar; colours are centred at zero where it has both signs.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        Not 2 to 4 dimensions, not real, or `plane` or `at` do not fit; a `name` that is no text.

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
    label = name_of(text("name", name)) or "density"
    values = np.asarray(density)
    site = _check_plane(values, plane, at)
    index: list[Any] = list(site)
    index[plane[0]] = index[plane[1]] = np.s_[:]
    sheet = values[tuple(index)] if plane[0] < plane[1] else values[tuple(index)].T
    ax = axes(ax)
    # Zero stays white for a density of both signs, also on a plane of one.
    signed = bool(values.min() < 0 < values.max())
    top = float(np.abs(sheet).max()) or 1.0
    colors = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} if signed else {"cmap": "viridis"}
    image = ax.imshow(sheet.T, origin="lower", interpolation="nearest", **colors)
    figure = ax.get_figure(root=False)
    if figure is not None:
        bar = figure.colorbar(image, ax=ax, label=label, shrink=0.85)
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
    ax: Axes | None = None,
) -> Axes:
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
    TypeError, ValueError
        No real numbers or another shape; a `title` that is no text.

    Examples
    --------
    >>> import plaq as pq
    >>> ax = spins(pq.spin.spiral((6, 6), (1, 1)))
    """
    text("title", title)
    values = real("spins", spins)
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
