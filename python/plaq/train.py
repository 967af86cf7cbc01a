"""The loop that all trainers of networks share, and its record (:mod:`plaq.training`)."""

from plaq.training.history import History, Recorder
from plaq.training.minimize import minimize

__all__ = ["History", "Recorder", "minimize"]
