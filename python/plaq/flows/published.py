"""Flows as in the articles: real NVP of scalar fields (arXiv 1904.12072), of plaquettes of 2D U(1) (2003.06413) and 2D
SU(N) (2008.05456).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from plaq.flows.coupling import AffineCoupling, Coupling, PlaquetteCoupling
from plaq.flows.flow import Flow
from plaq.flows.priors import FreeField, Haar, Normal
from plaq.flows.spectral import SpectralCoupling
from plaq.ground.arguments import instance, whole_number
from plaq.ground.rng import Rng, seed_of
from plaq.nn.layers import Layer, Tanh

__all__ = ["real_nvp", "su_2d", "u1_2d"]

MOST = 1000


def real_nvp(
    prior: Normal | FreeField,
    *,
    couplings: int = 8,
    symmetric: bool = True,
    hidden: Sequence[int] = (8, 8),
    size: int = 3,
    activation: Layer = Tanh(),  # noqa: B008
    dtype: str = "float64",
    rng: Rng,
) -> Flow:
    r"""Affine couplings of scalar fields, even and odd sites in turn.

    Parameters
    ----------
    prior : Normal or FreeField
        Where the flow starts; even extents.
    couplings : int
        How many.
    symmetric : bool
        Commute with :math:`\phi\to-\phi` or O(N), see :class:`AffineCoupling`.
    hidden, size, activation, dtype
        Of the networks.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        First parameters. The flow starts as the identity.

    Returns
    -------
    Flow

    Raises
    ------
    TypeError, ValueError
        Settings out of range.

    Examples
    --------
    >>> real_nvp(Normal((6, 6), width=0.5), couplings=4, rng=1)
    <Flow of Normal((6, 6), width=0.5), 4 x AffineCoupling, 6708 parameters>
    """
    instance("prior", prior, (Normal, FreeField), "Normal(...) or FreeField(...) of plaq.flows")
    seeds = np.random.default_rng(seed_of(rng))
    layers = [
        AffineCoupling(
            n % 2,
            ndim=len(prior.shape),
            components=prior.components,
            symmetric=symmetric,
            hidden=hidden,
            size=size,
            activation=activation,
            dtype=dtype,
            rng=seeds,
        )
        for n in range(whole_number("couplings", couplings, 1, MOST))
    ]
    return Flow(prior, layers)


def u1_2d(
    shape: Sequence[int],
    *,
    sweeps: int = 2,
    period: int = 4,
    terms: int = 6,
    hidden: Sequence[int] = (8, 8),
    size: int = 3,
    activation: Layer = Tanh(),  # noqa: B008
    dtype: str = "float64",
    rng: Rng,
) -> Flow:
    r"""Plaquette couplings of 2D U(1) from the Haar measure; a sweep moves every link once by 2 `period` couplings.

    Parameters
    ----------
    shape : sequence of int
        Two extents, multiples of `period`.
    sweeps : int
        How many.
    period, terms, hidden, size, activation, dtype
        As of :class:`PlaquetteCoupling`.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        First parameters.

    Returns
    -------
    Flow

    Raises
    ------
    TypeError, ValueError
        Settings out of range.

    Examples
    --------
    >>> u1_2d((8, 8), sweeps=1, rng=1)
    <Flow of Haar((8, 8)), 8 x PlaquetteCoupling, 13480 parameters>
    """
    settings = (terms, hidden, size, activation, dtype)
    return _swept(PlaquetteCoupling, Haar(shape), sweeps, period, settings, rng)


def su_2d(
    shape: Sequence[int],
    group: str = "SU(3)",
    *,
    sweeps: int = 2,
    period: int = 4,
    terms: int = 6,
    hidden: Sequence[int] = (8, 8),
    size: int = 3,
    activation: Layer = Tanh(),  # noqa: B008
    dtype: str = "float64",
    rng: Rng,
) -> Flow:
    r"""Spectral couplings of 2D SU(N) from the Haar measure; a sweep moves every link once by 2 `period` couplings.

    Parameters
    ----------
    shape : sequence of int
        Two extents, multiples of `period`.
    group : {"SU(2)", "SU(3)", "SU(4)"}
    sweeps : int
        How many.
    period, terms, hidden, size, activation, dtype
        As of :class:`SpectralCoupling`.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        First parameters.

    Returns
    -------
    Flow

    Raises
    ------
    TypeError, ValueError
        Settings out of range.

    Examples
    --------
    >>> su_2d((8, 8), "SU(2)", sweeps=1, rng=1)
    <Flow of Haar((8, 8), group='SU(2)'), 8 x SpectralCoupling, 12320 parameters>
    """
    settings = (terms, hidden, size, activation, dtype)
    return _swept(partial(SpectralCoupling, group), Haar(shape, group), sweeps, period, settings, rng)


def _swept(
    kind: Callable[..., Coupling],
    prior: Haar,
    sweeps: int,
    period: int,
    settings: tuple[int, Sequence[int], int, Layer, str],
    rng: Rng,
) -> Flow:
    """Couplings of all lines and both directions in turn."""
    seeds, lines = np.random.default_rng(seed_of(rng)), whole_number("period", period, 3, 2**16)
    terms, hidden, size, activation, dtype = settings
    layers = [
        kind(
            direction,
            offset,
            period=lines,
            terms=terms,
            hidden=hidden,
            size=size,
            activation=activation,
            dtype=dtype,
            rng=seeds,
        )
        for _ in range(whole_number("sweeps", sweeps, 1, MOST))
        for offset in range(lines)
        for direction in (0, 1)
    ]
    return Flow(prior, layers)
