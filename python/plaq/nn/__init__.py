"""Convolutional networks on periodic lattices, translation equivariant or not (arXiv 2103.14686).

A network is a list of layers, plain data; ``docs/nn.md`` has the formulas, :data:`zoo` the published networks.
"""

from plaq.nn.layers import (
    GELU,
    Arctan,
    AvgPool,
    Conv,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    GlobalSumPool,
    GroupConv,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool,
    ReLU,
    Residual,
    Sigmoid,
    SumPool,
    Swish,
    Tanh,
)
from plaq.nn.loss import MSE, BinaryCrossEntropy, Huber
from plaq.nn.sequential import Sequential
from plaq.nn.torch import from_torch, to_torch
from plaq.nn.zoo import Zoo, zoo

__all__ = [
    "GELU",
    "MSE",
    "Arctan",
    "AvgPool",
    "BinaryCrossEntropy",
    "Conv",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalSumPool",
    "GroupConv",
    "Huber",
    "Layer",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SumPool",
    "Swish",
    "Tanh",
    "Zoo",
    "from_torch",
    "to_torch",
    "zoo",
]
