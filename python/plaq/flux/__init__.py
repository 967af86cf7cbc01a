"""Complex scalar field at chemical potential as fluxes: observables, exact references (arXiv 1206.2954, 2103.14686)."""

from plaq.fields.flux import FluxField, charge, density, divergence, log_weight, occupation, phi_squared
from plaq.flux import exact
from plaq.flux.field import field_phi_squared, neutral_action
from plaq.flux.worms import OpenWorms, open_worms
from plaq.samplers.ensemble import FluxEnsemble, Reweighted

__all__ = [
    "FluxEnsemble",
    "FluxField",
    "OpenWorms",
    "Reweighted",
    "charge",
    "density",
    "divergence",
    "exact",
    "field_phi_squared",
    "log_weight",
    "neutral_action",
    "occupation",
    "open_worms",
    "phi_squared",
]
