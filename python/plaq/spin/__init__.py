"""The O(3) spin-fermion model (arXiv 2306.11527) and effective models of its weight: linear, attention, local."""

from plaq.fields.spins import (
    ferromagnet,
    magnetization,
    neel,
    random,
    shells,
    spiral,
    staggered_magnetization,
)
from plaq.spin.attention import EquivariantAttention
from plaq.spin.effective import LinearSpinModel, predicted_acceptance
from plaq.spin.fermions import SpinFermion

__all__ = [
    "EquivariantAttention",
    "LinearSpinModel",
    "SpinFermion",
    "ferromagnet",
    "magnetization",
    "neel",
    "predicted_acceptance",
    "random",
    "shells",
    "spiral",
    "staggered_magnetization",
]
