"""Dirac operators, solvers and propagators."""

from plaq.dirac.families import Family, Staggered, Wilson
from plaq.dirac.operator import Adjoint, Operator, SolveInfo, Spectrum

__all__ = ["Adjoint", "Family", "Operator", "SolveInfo", "Spectrum", "Staggered", "Wilson"]
