"""The transformations of arXiv 2201.01862 (2D U(1)), 2405.19692 (4D SU(3)) and 0907.5491 (leading order)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from plaq.fields.gauge import colors_of
from plaq.fields.loops import Loop
from plaq.ground.arguments import number, whole_number
from plaq.ground.rng import Rng, seed_of
from plaq.nn.layers import GELU, Conv, Layer
from plaq.nn.sequential import Sequential
from plaq.transform.field import FieldTransform
from plaq.transform.masked import StoutMask

__all__ = ["su3_4d", "trivializing", "u1_2d"]


def u1_2d(
    coefficients: ArrayLike | None = None,
    *,
    loops: Sequence[Loop] = ("plaquette",),
    sweeps: int = 2,
    channels: int | None = None,
    rng: Rng = 0,
) -> FieldTransform:
    r"""Sweeps over the links of 2D U(1), eight updates each: two directions, four sublattices (arXiv 2201.01862).

    Parameters
    ----------
    coefficients : float or sequence of float
        For each loop, in every sweep; the bound is :math:`1/n`, n = 2 for plaquettes, 6 with rectangles.
    loops : sequence of str or list of int
        ``["plaquette"]`` or ``["plaquette", "rectangle"]``.
    sweeps : int
        The trained models have 2, 16 updates.
    channels : int, optional
        Coefficients by networks, one for each update: of plaquettes and rectangles, three convolutions of 3 x 3 sites
        with this many channels and GELU between. (In the article the first convolution sees plaquettes in 3 x 2 sites
        and rectangles apart; with 2 channels for 16^2, 4 for 64^2.) The weights of the last one start at a tenth of
        the usual size, close to the identity.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Initial weights of the networks.

    Returns
    -------
    FieldTransform

    Examples
    --------
    >>> u1_2d(0.1).layers
    [StoutMask(plaquette 0.1; 2 dimensions, sublattices), StoutMask(plaquette 0.1; 2 dimensions, sublattices)]
    >>> u1_2d(loops=["plaquette", "rectangle"], channels=2, rng=1).n_parameters
    2112
    """
    if channels is None:
        return _repeated(StoutMask(coefficients, loops, ndim=2), sweeps)
    width, updates = whole_number("channels", channels, 1, 1000), 8 * whole_number("sweeps", sweeps, 1, 1000)
    layers: list[Layer] = [Conv(3, 3, width), GELU(), Conv(3, width, width), GELU()]
    last, masks = Conv(3, width, len(loops)), []
    for n, seed in enumerate(np.random.SeedSequence(seed_of(rng)).spawn(updates)):
        network = Sequential([*layers, last], rng=seed)
        weights = network.parameters
        weights[-width * 9 * len(loops) - len(loops) :] *= 0.1
        network.parameters = weights
        masks.append(StoutMask(coefficients, loops, ndim=2, direction=n // 4 % 2, subset=n % 4, network=network))
    return FieldTransform(masks)


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


def trivializing(beta: float, group: str = "SU(3)", ndim: int = 4, *, sweeps: int = 1) -> FieldTransform:
    r"""The trivialising map of the Wilson action at leading order in beta (arXiv 0907.5491), as masked sweeps.

    A flow :math:`\dot U = -\partial\tilde S\,U` from the Haar measure at t = 0 to :math:`e^{-S}` at t = 1 has
    :math:`-\partial^2\tilde S = S` at leading order. A plaquette is an eigenfunction, :math:`-\partial^2` = 4 for U(1),
    :math:`4 C_F = 2(N^2-1)/N` for SU(N), so that every link moves by a stout step with the plaquettes and

    .. math:: c = \frac{\beta}{4}\ \text{for U(1)},\qquad c = \frac{\beta}{4(N^2-1)}\ \text{for SU(N)}

    in all: c/n in each of n sweeps. Then :math:`S(F(V)) - \ln\det F_*(V)` is a constant up to :math:`O(\beta^2)`.

    Parameters
    ----------
    beta : float
        Of :class:`plaq.actions.Wilson`.
    group : str
        ``"U(1)"`` or ``"SU(N)"``.
    ndim : int
        Dimensions, 2 to 4.
    sweeps : int
        n; more allow larger beta: c/n has the bound of :class:`StoutMask`.

    Returns
    -------
    FieldTransform

    Raises
    ------
    TypeError, ValueError
        Wrong arguments; c/n past its bound, which is named.

    Examples
    --------
    >>> trivializing(1.0, "SU(2)").layers
    [StoutMask(plaquette 0.0833333; 4 dimensions, parity)]
    """
    colors, count = colors_of(group), whole_number("sweeps", sweeps, 1, 1000)
    whole = number("beta", beta) / (4 if colors == 1 else 4 * (colors**2 - 1))
    return _repeated(StoutMask(whole / count, ndim=ndim), count)


def _repeated(layer: StoutMask, sweeps: int) -> FieldTransform:
    return FieldTransform([layer] * whole_number("sweeps", sweeps, 1, 1000))
