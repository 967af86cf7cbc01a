"""Lattice gauge equivariant convolutional networks (Favoni, Ipp, Mueller and Schuh, arXiv 2012.12901).

A network is a list of layers; what flows through it are links and channels of site matrices
:math:`W_i(x) \\to \\Omega(x) W_i(x) \\Omega(x)^\\dagger`, then invariant numbers. Formulas: ``docs/lcnn.md``.
"""

from plaq.lcnn.layers import LCB, Dense, LAct, Layer, LBilin, LConv, LExp, Loops, Mean, Trace
from plaq.lcnn.network import LCNN

__all__ = ["LCB", "LCNN", "Dense", "LAct", "LBilin", "LConv", "LExp", "Layer", "Loops", "Mean", "Trace"]
