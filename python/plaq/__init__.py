"""plaq: lattice field theory with learned maps.

Fields are :class:`GaugeField`; actions live in :mod:`plaq.actions`, observables in :mod:`plaq.observables`. Samplers
(:class:`Heatbath`, :class:`HMC`, :class:`SelfLearningMC`) make a :class:`Chain`, whose estimates print as physicists
write them.
"""

import sys

from plaq.ground.core import __version__  # first of all, for it refuses a core that is not ours

# isort: split
from plaq import (
    actions,
    datasets,
    dirac,
    flows,
    flux,
    ising,
    lcnn,
    losses,
    nn,
    observables,
    optimizers,
    plot,
    rbm,
    smear,
    spin,
    statistics,
    transform,
)
from plaq._plaq import CheckpointError, ConvergenceError, FormatError
from plaq._plaq import PlaqError as Error
from plaq.chains.chain import Chain, merge
from plaq.chains.loop import ObservableError
from plaq.chains.sampler import Sampler
from plaq.fields.files import read_gauge, read_header
from plaq.fields.gauge import GaugeField
from plaq.fields.scalar import ScalarField
from plaq.ground.names import explain_names
from plaq.ground.threads import num_threads, set_num_threads
from plaq.lcnn import LCNN
from plaq.rbm import BernoulliRBM, GaussianRBM
from plaq.samplers.flow import FlowProposal
from plaq.samplers.heatbath import Heatbath
from plaq.samplers.hmc import HMC
from plaq.samplers.l2hmc import L2HMC
from plaq.samplers.langevin import ComplexLangevin
from plaq.samplers.many import Job, run_many
from plaq.samplers.metropolis import ScalarMetropolis
from plaq.samplers.self_learning import SelfLearningHMC
from plaq.samplers.transformed import FieldTransformHMC
from plaq.samplers.worm import Worm
from plaq.smear import AttentionLayer, CovariantNet, StoutLayer
from plaq.spin import EquivariantAttention, LinearSpinModel, SpinFermion
from plaq.spin.metropolis import SpinMetropolis
from plaq.spin.self_learning import SelfLearningMC
from plaq.statistics import Estimate, StatisticsWarning
from plaq.training.history import History
from plaq.transform import FieldTransform

__all__ = [
    "HMC",
    "L2HMC",
    "LCNN",
    "AttentionLayer",
    "BernoulliRBM",
    "Chain",
    "CheckpointError",
    "ComplexLangevin",
    "ConvergenceError",
    "CovariantNet",
    "EquivariantAttention",
    "Error",
    "Estimate",
    "FieldTransform",
    "FieldTransformHMC",
    "FlowProposal",
    "FormatError",
    "GaugeField",
    "GaussianRBM",
    "Heatbath",
    "History",
    "Job",
    "LinearSpinModel",
    "ObservableError",
    "Sampler",
    "ScalarField",
    "ScalarMetropolis",
    "SelfLearningHMC",
    "SelfLearningMC",
    "SpinFermion",
    "SpinMetropolis",
    "StatisticsWarning",
    "StoutLayer",
    "Worm",
    "__version__",
    "actions",
    "datasets",
    "dirac",
    "flows",
    "flux",
    "ising",
    "lcnn",
    "losses",
    "merge",
    "nn",
    "num_threads",
    "observables",
    "optimizers",
    "plot",
    "rbm",
    "read_gauge",
    "read_header",
    "run_many",
    "set_num_threads",
    "smear",
    "spin",
    "statistics",
    "transform",
]

explain_names(sys.modules[__name__])
