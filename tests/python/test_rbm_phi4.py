"""The machine on a phi^4 field that the package's own HMC samples: the sampler is not tied to links."""

import math

import numpy as np
import plaq as pq
import pytest

SHAPE, SITES, MASS2 = (6, 6), 36, 0.6


def sampled(lam, draws, rng):
    action = pq.actions.Scalar(MASS2, lam)
    observables = {"field": lambda field: np.asarray(field).ravel()}
    start = pq.ScalarField.zeros(SHAPE)
    sampler = pq.HMC(action, length=0.8, steps=5)
    return sampler.run(start, draws, warmup=200, observables=observables, rng=rng, progress=False)


def inverse_propagator(rows):
    """1 / <|phi(k)|^2> by momentum, averaged over the two directions and signs of each class of equal momentum."""
    power = np.abs(np.fft.fft2(rows.reshape(-1, *SHAPE), norm="ortho")) ** 2
    classes = np.unique(pq.rbm.momenta_squared(SHAPE).round(9))
    groups = [power[:, np.isclose(pq.rbm.momenta_squared(SHAPE), value)] for value in classes]
    return classes, np.array([1 / group.mean() for group in groups]), groups


def test_hmc_of_the_free_field_gives_the_exact_spectrum():
    chain = sampled(0.0, 6000, rng=3)
    classes, kappa, groups = inverse_propagator(chain["field"])
    assert chain.acceptance > 0.8
    weight = np.exp(-chain.info["delta_h"])
    assert abs(weight.mean() - 1) < 4 * weight.std() / math.sqrt(len(weight))
    for value, found, group in zip(classes, kappa, groups, strict=True):
        error = pq.statistics.estimate(group.mean(1)).error * found**2
        assert abs(found - (MASS2 + value)) < 4 * error


def test_the_interaction_raises_the_mass_that_the_machine_learns():
    rows = sampled(0.5, 6000, rng=4)["field"]
    _, kappa, _ = inverse_propagator(rows)
    correlation = rows.T @ rows / len(rows)
    machine = pq.GaussianRBM(SITES, SITES, mu2=14.0, weight_scale=0.05, rng=1)
    machine.fit(correlation=correlation, epochs=600, method="em", record_every=600, progress=False, rng=1)
    target = np.sort(1 / np.linalg.eigvalsh(correlation))
    np.testing.assert_allclose(machine.spectrum(), pq.rbm.fixed_points(target, 14.0), rtol=2e-3)
    assert kappa[0] > MASS2 + 0.5
    assert machine.spectrum()[0] == pytest.approx(kappa[0], rel=0.1)
    free = machine.optimum(np.linalg.inv(pq.rbm.free_field_kernel(SHAPE, MASS2)))
    assert machine.log_likelihood(rows) > free.log_likelihood(rows)
