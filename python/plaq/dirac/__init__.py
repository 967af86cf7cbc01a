"""Dirac operators, solvers and propagators."""

from plaq.dirac.families import Family, Staggered, Wilson
from plaq.dirac.files import read_propagator, write_propagator
from plaq.dirac.operator import Adjoint, Operator, SolveInfo, Spectrum
from plaq.dirac.wall import DomainWall, DomainWallOperator, EffectiveOperator

__all__ = [
    "Adjoint",
    "DomainWall",
    "DomainWallOperator",
    "EffectiveOperator",
    "Family",
    "Operator",
    "SolveInfo",
    "Spectrum",
    "Staggered",
    "Wilson",
    "read_propagator",
    "write_propagator",
]
