"""Figures of correlators, their effective masses, and spectra of Dirac operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import array, one_of, text
from plaq.ground.correlators import FORMS, effective_mass, effective_mass_error
from plaq.plot.figure import axes, dress
from plaq.plot.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["correlator", "spectrum"]

KINDS = ("correlator", "mass")


def correlator(
    correlators: ArrayLike,
    *,
    kind: str = "correlator",
    form: str = "cosh",
    label: str | None = None,
    color: str = COLORS[0],
    ax: Axes | None = None,
) -> Axes:
    """A correlator on a logarithmic axis, or its effective mass; errors from several configurations.

    Parameters
    ----------
    correlators : array_like, shape (L_t,) or (configurations, L_t)
        Real, as ``chain["C"]``; of several configurations the mean is drawn, with its error or the jackknife error of
        the mass (they are taken as independent). Where the correlator is negative, its absolute value is drawn with an
        open marker.
    kind : {"correlator", "mass"}
        What is drawn.
    form : {"log", "cosh", "sinh"}
        Of the effective mass.
    label : str, optional
        Name in a legend.
    color : str
        Any matplotlib colour.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        No real correlator of at least two times; unknown kind or form.

    Examples
    --------
    >>> import plaq as pq
    >>> C = np.cosh(0.7 * (np.arange(8) - 4)) * (1 + 0.01 * np.random.default_rng(1).normal(size=(20, 8)))
    >>> axes = pq.plot.correlator(C, kind="mass")
    """
    one_of("kind", kind, KINDS)
    one_of("form", form, FORMS)
    if label is not None:
        text("label", label)
    C = np.atleast_2d(array("correlators", correlators))
    if C.ndim != 2 or C.shape[-1] < 2 or not len(C):
        raise ValueError(f"correlators have shape (L_t,) or (configurations, L_t); got {np.shape(correlators)}")
    ax, several = axes(ax), len(C) > 1
    below: NDArray[np.bool_]
    if kind == "mass":
        values = effective_mass(C, form)
        errors = effective_mass_error(C, form) if several else None
        ax.set(xlabel="$t$", ylabel=r"$m_\mathrm{eff}(t)$")
        t, below = np.arange(len(values)) + 0.5, np.zeros(len(values), bool)
    else:
        values, t = C.mean(axis=0), np.arange(C.shape[-1], dtype=np.float64)
        errors = C.std(axis=0, ddof=1) / np.sqrt(len(C)) if several else None
        falling = bool((values > 0).any())
        below = (values < 0) & falling
        ax.set(xlabel="$t$", ylabel="$|C(t)|$ (open where negative)" if below.any() else "$C(t)$")
        if falling:
            ax.set_yscale("log")
            values = np.where(values == 0, np.nan, np.abs(values))
    style: dict[str, Any] = {"ms": 3.5, "capsize": 2, "color": color}
    if kind != "mass":
        ax.plot(t, values, "-", lw=0.8, color=color)
    for chosen, face, name in ((~below, color, label), (below, "white", None)):
        if chosen.any():
            error = None if errors is None else errors[chosen]
            ax.errorbar(t[chosen], values[chosen], error, fmt="o", mfc=face, elinewidth=0.8, label=name, **style)
    if label is not None:
        ax.legend()
    ax.locator_params(axis="x", integer=True)
    return dress(ax)


def spectrum(values: ArrayLike, *, label: str | None = None, color: str = COLORS[0], ax: Axes | None = None) -> Axes:
    """Eigenvalues: real ones by their number, complex ones in the plane.

    Parameters
    ----------
    values : array_like, shape (k,)
        As ``D.eigenvalues(k)`` or its ``.values``.
    label, color, ax
        As for :func:`correlator`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        No series of finite numbers.

    Examples
    --------
    >>> import plaq as pq
    >>> axes = pq.plot.spectrum([0.1, 0.1, 0.4])
    """
    if label is not None:
        text("label", label)
    values = getattr(values, "values", values)
    plane = np.asarray(values).dtype.kind == "c"
    parts = [
        array("values", part, shape=(None,)) for part in ((np.real(values), np.imag(values)) if plane else (values,))
    ]
    ax = axes(ax)
    if plane:
        ax.plot(*parts, "o", ms=2.5, color=color, label=label)
        ax.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$")
        ax.set_aspect("equal", adjustable="datalim")
    else:
        ax.plot(np.arange(1, len(parts[0]) + 1), parts[0], "o", ms=3.5, color=color, label=label)
        ax.set(xlabel="number", ylabel="eigenvalue")
        ax.locator_params(axis="x", integer=True)
    if label is not None:
        ax.legend()
    return dress(ax)
