"""Normalising flows of scalar fields, 2D U(1) and SU(N) links, for :class:`plaq.FlowProposal` (``docs/flows.md``)."""

from plaq.flows.coupling import AffineCoupling, Coupling, PlaquetteCoupling
from plaq.flows.flow import Flow
from plaq.flows.priors import FreeField, Haar, Normal
from plaq.flows.published import real_nvp, su_2d, u1_2d
from plaq.flows.spectral import SpectralCoupling
from plaq.flows.stochastic import StochasticFlow
from plaq.flows.weighted import WeightedSamples

__all__ = [
    "AffineCoupling",
    "Coupling",
    "Flow",
    "FreeField",
    "Haar",
    "Normal",
    "PlaquetteCoupling",
    "SpectralCoupling",
    "StochasticFlow",
    "WeightedSamples",
    "real_nvp",
    "su_2d",
    "u1_2d",
]
