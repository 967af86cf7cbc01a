"""Field strength: topological charge and energy density."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plaq import _plaq
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import unknown
from plaq.observables.links import (
    checked,
)

__all__ = ["energy_density", "energy_density_density", "topological_charge", "topological_charge_density"]


def topological_charge(U: GaugeField, definition: str | None = None) -> float:
    r"""Topological charge.

    Parameters
    ----------
    U : GaugeField
        Four dimensions, or U(1) in two.
    definition : str, optional
        By default ``"geometric"`` in two dimensions and ``"clover"`` in four.
        ``"plaquette"``, ``"clover"``: :math:`Q = -\frac{1}{32\pi^2}\sum_x \epsilon_{\mu\nu\rho\sigma}
        \mathrm{tr} F_{\mu\nu}F_{\rho\sigma}` with F the traceless anti-Hermitian part of the plaquette or of the mean
        of the four clover leaves; ``"improved"``: (5/3) Q_clover - (1/12) Q_rectangle, Q_rectangle twice the charge
        of the mean of the eight 2x1 leaves (de Forcrand et al., hep-lat/9701012); ``"geometric"``: sum of the plaquette
        angles in (-pi, pi] over 2 pi, an integer. With open boundaries in time ``"clover"`` and ``"plaquette"`` count
        the leaves that exist (openQCD's field tensor).

    Raises
    ------
    ValueError
        Unknown definition, or one that this group or dimension does not have.

    Examples
    --------
    >>> import plaq as pq
    >>> Q = pq.observables.topological_charge(pq.GaugeField.hot((8, 8), "U(1)", rng=1))
    >>> abs(Q - round(Q)) < 1e-9
    True
    """
    return float(topological_charge_density(U, definition).sum())


def topological_charge_density(U: GaugeField, definition: str | None = None) -> NDArray[np.float64]:
    """Charge density whose sum is :func:`topological_charge`; shape ``U.shape``.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
    >>> pq.observables.topological_charge_density(U, "geometric").shape
    (8, 8)
    """
    if definition is None:
        definition = "geometric" if checked(U).ndim == 2 else "clover"
    if definition not in _plaq.CHARGES:
        raise ValueError(unknown("definition", definition, _plaq.CHARGES))
    core = checked(U).inside("the topological charge", open_too=definition in ("plaquette", "clover"))
    density: NDArray[np.float64] = core.charge_density(definition)
    return density


def energy_density(U: GaugeField, definition: str = "clover") -> float:
    r"""Energy density per site, :math:`E = -\frac12 \sum_{\mu\nu} \mathrm{tr} F_{\mu\nu}F_{\mu\nu}`.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    definition : str
        ``"clover"`` (F from the mean of four leaves) or ``"plaquette"``: :math:`2\sum_{\mu<\nu}\mathrm{Re\,tr}(1-P)`.

    Raises
    ------
    ValueError
        Unknown definition; one dimension.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.energy_density(pq.GaugeField.cold((4, 4, 4, 4)))
    0.0
    """
    return float(energy_density_density(U, definition).mean())


def energy_density_density(U: GaugeField, definition: str = "clover") -> NDArray[np.float64]:
    """Energy density at each site, whose mean is :func:`energy_density`; shape ``U.shape``.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((4, 4, 4, 4), rng=1)
    >>> density = pq.observables.energy_density_density(U)
    >>> bool(np.isclose(density.mean(), pq.observables.energy_density(U)))
    True
    """
    if definition not in _plaq.ENERGIES:
        raise ValueError(unknown("definition", definition, _plaq.ENERGIES))
    core = checked(U, 2).inside("the energy density", open_too=True)
    density: NDArray[np.float64] = core.energy_density(definition)
    return density
