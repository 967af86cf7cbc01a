"""Smearing with given coefficients: APE, HYP and stout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from plaq.fields.gauge import GaugeField
from plaq.fields.loops import Loop
from plaq.smear.arguments import directions_of, gauge_field, levels
from plaq.smear.layers import APELayer, HYPLayer, Layer, StoutLayer
from plaq.smear.network import CovariantNet

__all__ = ["ape", "hyp", "stout"]


def ape(U: GaugeField, alpha: float, n: int = 1, directions: Iterable[int] | None = None) -> GaugeField:
    r"""APE smearing :math:`U' = \mathrm{Proj}[(1-\alpha) U + \frac{\alpha}{2(d-1)} \sum \mathrm{staples}]`.

    Source: Albanese et al., Phys. Lett. B 192 (1987) 163. The projection is the unitary polar factor, divided by the
    N-th root of its determinant. :class:`APELayer` is the same as a layer of networks, with its reverse pass.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    alpha : float
        Weight of the staples, 0 to 1.
    n : int
        Number of levels.
    directions : iterable of int, optional
        Directions of the links that are smeared, with staples in these directions only (for example ``range(3)`` for
        spatial links); d is their number. By default all.

    Returns
    -------
    GaugeField

    Raises
    ------
    TypeError, ValueError
        Wrong arguments.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.datasets.gauge()
    >>> round(pq.observables.plaquette(pq.smear.ape(U, 0.5)), 3) > 0.8
    True
    """
    chosen = directions_of(gauge_field(U), directions)
    if len(chosen) < 2:
        raise ValueError(f"APE smearing needs at least two directions; got {chosen}")
    return _repeated(APELayer(alpha, chosen), U, n)


def hyp(U: GaugeField, alphas: Sequence[float] = (0.75, 0.6, 0.3), n: int = 1) -> GaugeField:
    """HYP smearing: APE steps within the hypercubes attached to a link (Hasenfratz and Knechtli, hep-lat/0103029).

    :class:`HYPLayer` is the same as a layer of networks, with its reverse pass.

    Parameters
    ----------
    U : GaugeField
        Three or four dimensions.
    alphas : sequence of float
        Coefficients from the outermost level inwards, each 0 to 1: (alpha_1, alpha_2, alpha_3) in four dimensions, two
        in three.
    n : int
        Number of levels.

    Returns
    -------
    GaugeField

    Raises
    ------
    TypeError, ValueError
        Wrong number of coefficients, another dimension.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.datasets.gauge()
    >>> pq.observables.plaquette(pq.smear.hyp(U)) > 0.85
    True
    """
    gauge_field(U, 3)
    if U.ndim > 4 or len(alphas) != U.ndim - 1:
        raise ValueError(f"HYP smearing in {U.ndim} dimensions takes {U.ndim - 1} coefficients; got {alphas}")
    return _repeated(HYPLayer(alphas), U, n)


def stout(
    U: GaugeField,
    rho: float | Sequence[float],
    n: int = 1,
    loops: Sequence[Loop] = ("plaquette",),
    directions: Iterable[int] | None = None,
) -> GaugeField:
    r"""Stout smearing :math:`U' = e^{A} U`, :math:`A = \mathrm{TA}(\sum_i \rho_i C_i U^\dagger)`.

    Source: Morningstar and Peardon, hep-lat/0311018. The :math:`C_i` are the staples of the loops, with the orientation
    of U.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    rho : float or sequence of float
        Coefficient of each loop.
    n : int
        Number of levels.
    loops : sequence of str or list of int
        Loop families by name, or paths.
    directions : iterable of int, optional
        Directions of the links that are changed (staples run in all directions). By default all.

    Returns
    -------
    GaugeField

    Raises
    ------
    TypeError, ValueError
        Wrong arguments, unknown loops.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((8, 8), "SU(2)", rng=1)
    >>> pq.observables.plaquette(pq.smear.stout(U, 0.1)) > pq.observables.plaquette(U)
    True
    """
    coefficients = [rho] * len(loops) if isinstance(rho, int | float | np.number) else list(rho)
    chosen = None if directions is None else directions_of(gauge_field(U), directions)
    return _repeated(StoutLayer(loops, coefficients, directions=chosen), gauge_field(U), n)


def _repeated(layer: Layer, U: GaugeField, n: int) -> GaugeField:
    net, image = CovariantNet([layer]), U
    for _ in range(levels(n)):
        image = net(image)
    return image.copy()
