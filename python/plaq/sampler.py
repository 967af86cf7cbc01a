"""Samplers of your own, the function that runs any sampler, and what tuning one finds."""

from plaq.chains.loop import ObservableError
from plaq.chains.sampler import Sampler, run
from plaq.ground.rng import seed_of
from plaq.samplers.tuning import TunedTerm, Tuning

__all__ = ["ObservableError", "Sampler", "TunedTerm", "Tuning", "run", "seed_of"]
