"""Chains of anything: the sampler, its loop, what it draws, and the files that continue it."""
