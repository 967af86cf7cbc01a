"""plaq: lattice field theory with learned maps."""

from plaq._plaq import CheckpointError, ConvergenceError, FormatError, __version__
from plaq._plaq import PlaqError as Error

__all__ = ["CheckpointError", "ConvergenceError", "Error", "FormatError", "__version__"]
