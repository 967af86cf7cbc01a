"""The transformations of arXiv 2201.01862 (2D U(1)) and 2405.19692 (4D SU(3))."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from plaq.fields.loops import Loop
from plaq.ground.arguments import whole_number
from plaq.transform.field import FieldTransform
from plaq.transform.masked import StoutMask

__all__ = ["su3_4d", "u1_2d"]


def u1_2d(coefficients: ArrayLike = 0.0, *, loops: Sequence[Loop] = ("plaquette",), sweeps: int = 2) -> FieldTransform:
    r"""Sweeps over the links of 2D U(1), eight updates each: two directions, four sublattices (arXiv 2201.01862).

    Parameters
    ----------
    coefficients : float or sequence of float
        For each loop, in every sweep; the bound is :math:`1/n`, n = 2 for plaquettes, 6 with rectangles.
    loops : sequence of str or list of int
        ``["plaquette"]`` or ``["plaquette", "rectangle"]``.
    sweeps : int
        The trained models have 2, 16 updates.

    Returns
    -------
    FieldTransform

    Examples
    --------
    >>> u1_2d(0.1).layers
    [StoutMask(plaquette 0.1; 2 dimensions, sublattices), StoutMask(plaquette 0.1; 2 dimensions, sublattices)]
    """
    return _repeated(StoutMask(coefficients, loops, ndim=2), sweeps)


def su3_4d(coefficients: ArrayLike = 0.0, *, loops: Sequence[Loop] = ("plaquette",), sweeps: int = 1) -> FieldTransform:
    r"""Sweeps over the links of 4D SU(N), eight updates each: four directions, even and odd (arXiv 2405.19692).

    Parameters
    ----------
    coefficients : float or sequence of float
        For each loop, in every sweep; a masked stout step with this :math:`\rho`. The bound is :math:`3/(4n)`: 0.125
        for plaquettes (n = 6), with chairs n = 54.
    loops : sequence of str or list of int
        ``["plaquette"]`` or ``["plaquette", "chair"]``.
    sweeps : int

    Returns
    -------
    FieldTransform

    Examples
    --------
    >>> su3_4d(0.1).layers
    [StoutMask(plaquette 0.1; 4 dimensions, parity)]
    """
    return _repeated(StoutMask(coefficients, loops, ndim=4), sweeps)


def _repeated(layer: StoutMask, sweeps: int) -> FieldTransform:
    return FieldTransform([layer] * whole_number("sweeps", sweeps, 1, 1000))
