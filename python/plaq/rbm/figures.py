"""Figures of machines: spectrum along training, images, spacings. Every function takes `ax=None` and returns the
Axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from plaq.ground.arguments import instance, number, real, whole_number, whole_numbers
from plaq.plot.figure import axes as new_axes
from plaq.plot.figure import dress
from plaq.plot.style import COLORS, GREY
from plaq.rbm.dyson import wigner
from plaq.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["images", "spacings", "spectrum"]


def spectrum(
    history: History,
    kappa: ArrayLike | None = None,
    mu2: float | None = None,
    *,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    r"""Eigenvalues of K along training, with the target's spectrum (dotted) and :math:`\mu^2` (dashed).

    Parameters
    ----------
    history : History
        With ``epoch`` and ``eigenvalues``, as :meth:`plaq.GaussianRBM.fit` returns it.
    kappa : array_like, optional
        Eigenvalues of the target kernel.
    mu2 : float, optional
        Mass squared, the ultraviolet cut-off.
    log : bool
        Logarithmic epochs.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        No record of a training with ``epoch`` and ``eigenvalues``, no numbers, `ax` is no axes.

    Examples
    --------
    >>> import plaq as pq
    >>> kernel = pq.rbm.free_field_kernel((6,), 4.0)
    >>> machine = pq.GaussianRBM(6, 6, mu2=9.0, rng=1)
    >>> history = machine.fit(kernel=kernel, epochs=20, learning_rate=0.1, progress=False, rng=1)
    >>> axes = spectrum(history, np.linalg.eigvalsh(kernel), 9.0)
    """
    import matplotlib

    instance("history", history, History, "a plaq.History, as GaussianRBM.fit returns it")
    if "epoch" not in history or "eigenvalues" not in history:
        raise ValueError(f"history has {list(history)}; epoch and eigenvalues are needed, as GaussianRBM.fit records")
    levels = np.unique(np.round(real("kappa", [] if kappa is None else kappa), 9))
    mu2 = None if mu2 is None else number("mu2", mu2)
    axes = new_axes(ax)
    epoch, lines = history["epoch"], history["eigenvalues"].T
    first = 1 if log and epoch[0] == 0 else 0
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(lines)))
    for line, shade in zip(lines, shades, strict=True):
        axes.plot(epoch[first:], line[first:], color=shade, lw=1.3)
    for level in levels:
        axes.axhline(level, color=GREY, lw=0.8, ls=":")
    if mu2 is not None:
        axes.axhline(mu2, color=COLORS[1], lw=1.0, ls="--")
        axes.annotate(
            r"$\mu^2$",
            (1, mu2),
            xycoords=("axes fraction", "data"),
            color=COLORS[1],
            va="center",
            xytext=(3, 0),
            textcoords="offset points",
        )
    if log:
        axes.set_xscale("log")
    axes.set(xlabel="epoch", ylabel=r"eigenvalues of $K$")
    return dress(axes)


def images(rows: ArrayLike, shape: tuple[int, int], *, columns: int = 10, ax: Axes | None = None) -> Axes:
    """Configurations as one mosaic of grey pictures.

    Parameters
    ----------
    rows : array_like, shape (n, pixels)
        Configurations.
    shape : tuple of two int
        Height and width of one picture.
    columns : int
        Pictures in a row.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axes = images(np.eye(4), (2, 2), columns=2)
    """
    extents = whole_numbers("shape", shape, 1, 2**31 - 1, "give height and width")
    if len(extents) != 2:
        raise ValueError(f"shape = {tuple(extents)}: give height and width of one picture")
    height, width = extents
    columns = whole_number("columns", columns)
    pictures = real("rows", rows).reshape(-1, height, width)
    count = math.ceil(len(pictures) / columns)
    mosaic = np.full((count * (height + 1) - 1, min(columns, len(pictures)) * (width + 1) - 1), np.nan)
    for n, picture in enumerate(pictures):
        top, left = (n // columns) * (height + 1), (n % columns) * (width + 1)
        mosaic[top : top + height, left : left + width] = picture
    axes = new_axes(ax)
    axes.imshow(mosaic, cmap="gray", interpolation="nearest")
    axes.set_axis_off()
    return axes


def spacings(values: ArrayLike, *, label: str | None = None, color: str = COLORS[0], ax: Axes | None = None) -> Axes:
    """Histogram of level spacings in units of their mean, with the Wigner surmise.

    Parameters
    ----------
    values : array_like
        Spacings.
    label : str, optional
        For the legend.
    color : str
        Colour of the histogram.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axes = spacings(np.random.default_rng(1).rayleigh(size=1000), label="spacings")
    """
    axes = new_axes(ax)
    s = real("values", values).ravel()
    axes.hist(s / s.mean(), bins=40, range=(0, 4), density=True, color=color, alpha=0.45, label=label)
    grid = np.linspace(0, 4, 200)
    axes.plot(grid, wigner(grid), color=GREY, lw=1.4)
    axes.set(xlabel=r"$S/\langle S\rangle$", ylabel="density", xlim=(0, 4))
    return dress(axes)
