"""plaq: lattice field theory with learned maps."""

from plaq import plot, statistics
from plaq._plaq import CheckpointError, ConvergenceError, FormatError, __version__
from plaq._plaq import PlaqError as Error
from plaq.chain import Chain
from plaq.sampler import ObservableError, Sampler
from plaq.statistics import Estimate
from plaq.train import History

__all__ = [
    "Chain",
    "CheckpointError",
    "ConvergenceError",
    "Error",
    "Estimate",
    "FormatError",
    "History",
    "ObservableError",
    "Sampler",
    "__version__",
    "plot",
    "statistics",
]
