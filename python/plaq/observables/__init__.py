"""Observables of gauge fields, as means over the lattice, with ``*_density`` for their values site by site."""

from plaq.observables.hadrons import (
    chiral_condensate,
    effective_mass,
    effective_mass_error,
    meson_correlator,
    nucleon_correlator,
    pcac_mass,
    pion_correlator,
    residual_mass,
    staggered_correlator,
)
from plaq.observables.links import (
    loop,
    loop_density,
    plaquette,
    plaquette_density,
    plaquettes,
    polyakov,
    polyakov_density,
    rectangle,
    rectangle_density,
    wilson_loop,
)
from plaq.observables.topology import (
    energy_density,
    energy_density_density,
    topological_charge,
    topological_charge_density,
)

__all__ = [
    "chiral_condensate",
    "effective_mass",
    "effective_mass_error",
    "energy_density",
    "energy_density_density",
    "loop",
    "loop_density",
    "meson_correlator",
    "nucleon_correlator",
    "pcac_mass",
    "pion_correlator",
    "plaquette",
    "plaquette_density",
    "plaquettes",
    "polyakov",
    "polyakov_density",
    "rectangle",
    "rectangle_density",
    "residual_mass",
    "staggered_correlator",
    "topological_charge",
    "topological_charge_density",
    "wilson_loop",
]
