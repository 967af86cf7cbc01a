"""Samplers of discrete systems against the sum over all their states."""

import itertools

import numpy as np
import plaq as pq
import pytest

BETAS = (0.0, 0.2, 0.44, 0.8)


def states(size):
    return np.array(list(itertools.product((-1, 1), repeat=size)), dtype=np.int8)


def pull(counts, weights, draws_per_independent):
    """Chi square of a histogram of states, in standard deviations of its law for so many draws a independent one."""
    keep = weights > 0
    n = counts.sum() / draws_per_independent
    chi2 = float(np.sum((counts[keep] / counts.sum() - weights[keep]) ** 2 / weights[keep]) * n)
    degrees = keep.sum() - 1
    return (chi2 - degrees) / np.sqrt(2 * degrees)


@pytest.mark.parametrize("method", ["wolff", "metropolis"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 3)])
@pytest.mark.parametrize("beta", BETAS)
def test_ising_visits_every_state_with_its_weight(shape, beta, method):
    every = states(shape[0] * shape[1])
    energies = np.array([pq.ising.energy(s.reshape(shape)) for s in every]) * len(every[0])
    weights = np.exp(-beta * (energies - energies.min()))
    weights /= weights.sum()
    spins = pq.ising.sample(shape, beta, 20_000, thin=40, warmup=400, method=method, rng=7)
    codes = (spins.reshape(len(spins), -1) > 0) @ (1 << np.arange(every.shape[1])[::-1])
    counts = np.bincount(codes, minlength=len(every))
    # Rare states make chi square long-tailed: levels of the energy and signs are pooled.
    rest = 4.0 if method == "metropolis" and beta > 0.5 else 1.0
    levels = np.unique(np.round(energies).astype(int) * 2 + (every.sum(1) > 0), return_inverse=True)[1]
    pooled = np.bincount(levels, weights), np.bincount(levels, counts)
    assert pull(pooled[1], pooled[0], rest) < 5.0
    if beta <= 0.2:
        assert (counts > 0).all() if len(every) < 100 else pull(counts, weights, 1.0) < 5.0


@pytest.mark.parametrize("visible", ["bernoulli", "spin"])
@pytest.mark.parametrize("hidden", ["bernoulli", "spin"])
def test_binary_machines_visit_every_state_with_its_weight(visible, hidden):
    machine = pq.BernoulliRBM(4, 3, visible=visible, hidden=hidden, weight_scale=0.7, rng=3)
    machine.visible_bias, machine.hidden_bias = np.array([0.3, -0.2, 0.1, 0.5]), np.array([-0.4, 0.2, 0.1])
    every = states(4) if visible == "spin" else (states(4) + 1) // 2
    weights = np.exp(-machine.free_energy(every.astype(float)))
    assert weights.sum() == pytest.approx(np.exp(machine.log_partition()))
    draws = machine.sample(40_000, steps=60, rng=5)
    counts = np.bincount(((draws > 0) @ np.array([8, 4, 2, 1])).astype(int), minlength=16)
    assert pull(counts, weights / weights.sum(), 1.0) < 5.0
