"""Accept/reject steps where many proposals are rejected, against reweighting, quadrature and each other."""

import math

import numpy as np
import plaq as pq
import pytest
from plaq import actions
from plaq.statistics import estimate


@pytest.fixture(scope="module")
def uniform_spins():
    """Independent uniform spins on 4x4, log W of a model away from half filling at low temperature."""
    model = pq.SpinFermion((4, 4), J=4.0, mu=-2.0, T=0.07)
    spins = pq.spin.random((4, 4), rng=21, count=30_000)
    return model, spins, model.log_weight(spins)


def test_a_coarse_pole_sum_is_corrected_with_the_right_sign(uniform_spins):
    """Two poles only. A missing or opposite correction samples another weight and has <exp(-correction)> != 1."""
    model, spins, log_weight = uniform_spins
    weight = np.exp(log_weight - log_weight.max())
    sampler = pq.SpinMetropolis(model, sweeps=6, tolerance=3.0)
    values = {"m2": lambda S: pq.spin.magnetization(S) ** 2, "log W": model.log_weight}
    chain = sampler.run(spins[0], 6000, warmup=100, observables=values, rng=3, progress=False)
    assert 0.6 < chain.acceptance < 0.9
    factor = estimate(np.exp(-chain.info["correction"]))
    assert abs(factor.mean - 1) < 4 * factor.error
    for name, observed in (("m2", pq.spin.magnetization(spins) ** 2), ("log W", log_weight)):
        pair = np.stack([observed * weight, weight], axis=1)
        expected, found = estimate(pair, lambda m: m[0] / m[1]), chain.estimate(name)
        assert abs(found.mean - expected.mean) < 3.5 * math.hypot(found.error, expected.error), (name, found, expected)


def test_u1_on_two_by_two_at_half_acceptance():
    """Four links a direction, beta = 1: the plaquette of the 2x2 torus is a sum of Bessel functions, exactly."""
    from scipy.special import ive

    beta = 1.0
    n = np.arange(-60, 61)
    # Z = sum_n I_n(beta)^4; <cos> = (1/4) d ln Z / d beta = sum_n I_n^3 I_n' / sum_n I_n^4
    derivative = 0.5 * (ive(n - 1, beta) + ive(n + 1, beta))
    exact = (ive(n, beta) ** 3 * derivative).sum() / (ive(n, beta) ** 4).sum()
    sampler = pq.HMC(actions.Wilson(beta), steps=1, length=0.8, integrator="leapfrog")
    start = pq.GaugeField.hot((2, 2), "U(1)", rng=1)
    chain = sampler.run(start, 40_000, warmup=100, rng=4, progress=False)
    assert 0.3 < chain.acceptance < 0.7
    found = chain.estimate("plaquette")
    assert abs(found.mean - exact) < 3.5 * found.error, (found, exact)
    assert found.error < 0.01
    weight = estimate(np.exp(-chain.info["delta_h"]))
    assert abs(weight.mean - 1) < 4 * weight.error
