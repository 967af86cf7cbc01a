"""Samplers of your own, and the function that runs any sampler."""

from plaq.chains.loop import ObservableError
from plaq.chains.sampler import Sampler, run
from plaq.ground.rng import seed_of

__all__ = ["ObservableError", "Sampler", "run", "seed_of"]
