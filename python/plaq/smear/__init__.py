"""Smearing, gradient flow, and networks that are smearing with trainable coefficients."""

from plaq.smear.fat import asqtad, hisq
from plaq.smear.fixed import ape, hyp, stout
from plaq.smear.flow import Flow, flow, t0, w0
from plaq.smear.layers import APELayer, AttentionLayer, HYPLayer, StoutLayer
from plaq.smear.network import CovariantNet

__all__ = [
    "APELayer",
    "AttentionLayer",
    "CovariantNet",
    "Flow",
    "HYPLayer",
    "StoutLayer",
    "ape",
    "asqtad",
    "flow",
    "hisq",
    "hyp",
    "stout",
    "t0",
    "w0",
]
