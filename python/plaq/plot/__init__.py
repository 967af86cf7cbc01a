"""Figures of chains, configurations and training. Every function takes `ax=None` and leaves global state alone."""

from plaq.plot.chains import chain, chains
from plaq.plot.correlators import correlator, spectrum
from plaq.plot.flow import flow
from plaq.plot.fluxes import fluxes
from plaq.plot.lattice import slice, spins
from plaq.plot.series import autocorrelation, histogram, history
from plaq.plot.style import COLORS as COLORS
from plaq.plot.training import training

__all__ = [
    "autocorrelation",
    "chain",
    "chains",
    "correlator",
    "flow",
    "fluxes",
    "histogram",
    "history",
    "slice",
    "spectrum",
    "spins",
    "training",
]
