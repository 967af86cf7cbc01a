"""plaq: lattice field theory with learned maps.

Fields are :class:`GaugeField`; actions live in :mod:`plaq.actions`, observables in :mod:`plaq.observables`. Samplers
(:class:`Heatbath`, :class:`HMC`, :class:`SelfLearningMC`) make a :class:`Chain`, whose estimates print as physicists
write them.
"""

from plaq import actions, datasets, ising, lcnn, losses, observables, optimizers, plot, rbm, smear, spin, statistics
from plaq._plaq import CheckpointError, ConvergenceError, FormatError, __version__
from plaq._plaq import PlaqError as Error
from plaq.chain import Chain
from plaq.gauge import GaugeField, read_gauge, read_header
from plaq.gauge_samplers import HMC, Heatbath
from plaq.lcnn import LCNN
from plaq.rbm import BernoulliRBM, GaussianRBM
from plaq.runner import ObservableError
from plaq.sampler import Sampler
from plaq.scalar_field import ScalarField
from plaq.self_learning_mc import SelfLearningMC
from plaq.smear import AttentionLayer, CovariantNet, StoutLayer
from plaq.spin import EquivariantAttention, LinearSpinModel, SpinFermion
from plaq.spin_metropolis import SpinMetropolis
from plaq.statistics import Estimate
from plaq.threads import num_threads, set_num_threads
from plaq.train import History

__all__ = [
    "HMC",
    "LCNN",
    "AttentionLayer",
    "BernoulliRBM",
    "Chain",
    "CheckpointError",
    "ConvergenceError",
    "CovariantNet",
    "EquivariantAttention",
    "Error",
    "Estimate",
    "FormatError",
    "GaugeField",
    "GaussianRBM",
    "Heatbath",
    "History",
    "LinearSpinModel",
    "ObservableError",
    "Sampler",
    "ScalarField",
    "SelfLearningMC",
    "SpinFermion",
    "SpinMetropolis",
    "StoutLayer",
    "__version__",
    "actions",
    "datasets",
    "ising",
    "lcnn",
    "losses",
    "num_threads",
    "observables",
    "optimizers",
    "plot",
    "rbm",
    "read_gauge",
    "read_header",
    "set_num_threads",
    "smear",
    "spin",
    "statistics",
]
