"""Chains of the machines: autocorrelation, collective samplers, CD and PCD, binary units, Ising."""

import math
from itertools import product

import numpy as np
import plaq as pq
import pytest

SIZE = 10
KERNEL = pq.rbm.free_field_kernel(SIZE, 4.0)
KAPPA, MODES = np.linalg.eigh(KERNEL)


def soft_machine(lowest=0.3, mu2=9.0):
    """A machine with a slow mode: eigenvalues of K from `lowest` to mu2."""
    machine = pq.GaussianRBM(SIZE, SIZE, mu2=mu2, rng=1)
    levels = np.geomspace(lowest, mu2, SIZE)
    machine.weights = MODES * np.sqrt(mu2 - levels)
    return machine, levels


def test_gibbs_is_ar1_in_every_mode():
    machine, levels = soft_machine(1.0)
    chains, steps = 200, 2000
    series = (
        machine.sample(chains, steps=steps, every=1, start=machine.sample(chains, rng=9, method="modes"), rng=2) @ MODES
    )
    r = pq.rbm.gibbs_coefficient(levels, 9.0)
    lag = np.mean(series[1:] * series[:-1], axis=(0, 1)) * levels
    variance = np.mean(series**2, axis=(0, 1)) * levels
    n = chains * steps
    tau = (1 + r**2) / (1 - r**2)  # of the squares, which enter both averages
    assert np.all(np.abs(variance - 1) < 4 * np.sqrt(2 * tau / n))
    assert np.all(np.abs(lag - r * variance) < 4 * np.sqrt((1 - r**2) * tau / n))
    measured = pq.statistics.estimate(series[:, 0, 0]).tau
    assert measured == pytest.approx(pq.rbm.gibbs_tau(levels[0], 9.0), rel=0.3)


@pytest.mark.parametrize("method", ["gibbs", "overrelaxed", "modes"])
def test_samplers_have_the_exact_covariance(method):
    machine, levels = soft_machine(1.0)
    machine.eta = np.linspace(-0.5, 0.5, SIZE)
    n = 20_000
    rows = (machine.sample(n, steps=100, rng=3, method=method) - machine.mean()) @ MODES
    scaled = rows * np.sqrt(levels)
    covariance = scaled.T @ scaled / n
    spread = np.sqrt((1 + np.eye(SIZE)) / n)
    assert np.abs((covariance - np.eye(SIZE)) / spread).max() < 4.5
    assert np.abs(scaled.mean(0)).max() < 4.5 / math.sqrt(n)
    assert np.mean(scaled**4) == pytest.approx(3.0, abs=4 * math.sqrt(96 / (n * SIZE)))


def test_collective_samplers_beat_critical_slowing_down():
    machine, levels = soft_machine(0.02)
    gibbs = pq.rbm.gibbs_tau(levels[0], 9.0)
    omega, factor = pq.rbm.overrelaxation(levels, 9.0)
    assert gibbs == pytest.approx(449.5)
    assert 1 < omega < 2
    start = machine.sample(64, rng=9, method="modes")
    found = {}
    for method in ("overrelaxed", "modes"):
        series = machine.sample(64, steps=3000, every=1, start=start, rng=4, method=method) @ MODES[:, 0]
        assert np.mean(series**2) * levels[0] == pytest.approx(1.0, abs=0.1)
        found[method] = np.mean([pq.statistics.estimate(series[:, c]).tau for c in range(16)])
    assert found["modes"] == pytest.approx(0.5, abs=0.05)
    assert found["overrelaxed"] < gibbs / 15
    assert -1 / math.log(factor) < 12


def test_overrelaxation_converges_at_the_predicted_rate():
    """The mean of the slow mode after n sweeps from a displaced start falls like n (omega - 1)^n."""
    machine, levels = soft_machine(0.05)
    omega, factor = pq.rbm.overrelaxation(levels, 9.0)
    rho2 = pq.rbm.gibbs_coefficient(levels[0], 9.0)
    rho = math.sqrt(rho2)
    step = np.array([[1 - omega, 0], [0, 1]]) + np.array([[0, omega * rho], [0, 0]])
    step = np.array([[1, 0], [omega * rho, 1 - omega]]) @ step
    assert np.abs(np.linalg.eigvals(step)).max() == pytest.approx(factor, rel=1e-3)
    start = 1000 * MODES[:, 0]
    rows = machine.sample(20_000, steps=60, every=30, start=start, rng=5, method="overrelaxed") @ MODES[:, 0]
    drop, noise = rows[1].mean() / rows[0].mean(), rows[1].std() / np.sqrt(20_000) / rows[0].mean()
    expected = factor**30 * 60 / 30
    assert noise < 0.1 * expected
    assert abs(drop - expected) < 4 * noise + 0.05 * expected


@pytest.mark.parametrize("k", [1, 2, 5])
def test_cd_gradient_is_the_exact_one_times_its_factor(k):
    """Expected CD-k step at aligned weights: (1 - r^2k) times the exact gradient, mode by mode."""
    n, levels = 200_000, np.linspace(3.0, 8.0, SIZE)
    machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=1)
    xi = np.sqrt(9.0 - levels)
    machine.weights = MODES * xi
    start = machine.weights.copy()
    data = pq.rbm.free_field(SIZE, 4.0, n, rng=7)
    machine.fit(data, epochs=1, method="cd", k=k, batch=n, learning_rate=1.0, safe=True, progress=False, rng=8)
    gradient = np.diag(MODES.T @ (machine.weights - start)) / xi
    data_modes = np.mean((data @ MODES) ** 2, axis=0)
    r = pq.rbm.gibbs_coefficient(levels, 9.0)
    expected = pq.rbm.cd_factor(levels, 9.0, k) * (data_modes - 1 / levels)
    end = r ** (2 * k) / KAPPA + (1 - r ** (2 * k)) / levels
    assert np.all(np.abs(gradient - expected) < 4 * np.sqrt(4 * end / KAPPA / n))


def test_pcd_finds_the_spectrum_and_its_chains_the_covariance():
    machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=1)
    options = {"method": "pcd", "k": 3, "chains": 2048, "learning_rate": 0.3, "record_every": 1500, "progress": False}
    machine.fit(kernel=KERNEL, epochs=1500, decay=0.998, rng=2, **options)
    np.testing.assert_allclose(machine.spectrum()[:5], KAPPA[:5], rtol=0.06)
    assert machine.chains.shape == (2048, SIZE)
    covariance = machine.chains.T @ machine.chains / 2048
    assert np.abs(covariance - np.linalg.inv(machine.kernel())).max() < 0.03


def test_supervised_training_on_samples_in_two_dimensions():
    kernel = pq.rbm.free_field_kernel((4, 4), 1.0)
    data = pq.rbm.free_field((4, 4), 1.0, 4000, rng=1)
    machine = pq.GaussianRBM(16, 16, mu2=10.0, rng=2)
    options = {"method": "pcd", "batch": 200, "learning_rate": 0.05, "record_every": 60, "progress": False}
    history = machine.fit(data, epochs=60, decay=0.95, rng=3, **options)
    assert machine.spectrum()[0] == pytest.approx(np.linalg.eigvalsh(kernel)[0], rel=0.12)
    assert history.log_likelihood[-1] > history.log_likelihood[0] + 1
    assert history.log_likelihood[-1] == pytest.approx(machine.log_likelihood(data), rel=1e-10)


def all_states(low, n):
    return np.array(list(product([low, 1.0], repeat=n)))


@pytest.mark.parametrize(
    ("visible", "hidden"),
    [
        ("bernoulli", "bernoulli"),
        ("spin", "spin"),
        ("spin", "gaussian"),
        ("bernoulli", "gaussian"),
        ("gaussian", "bernoulli"),
    ],
)
def test_other_machines_sample_their_law(visible, hidden):
    machine = pq.BernoulliRBM(3, 2, visible=visible, hidden=hidden, mu2=2.0, sigma2_h=0.6, weight_scale=1.2, rng=3)
    machine.visible_bias, machine.hidden_bias = np.array([0.3, -0.2, 0.5]), np.array([-0.4, 0.2])
    n = 200_000
    rows = machine.sample(n, steps=50, rng=4)
    if visible == "gaussian":
        h = all_states(0.0, 2)
        field = h @ machine.weights.T + machine.visible_bias
        weight = np.exp(np.sum(field**2 / 4.0, axis=1) + h @ machine.hidden_bias)
        mean = (weight / weight.sum()) @ (field / 2.0)
        assert np.abs((rows.mean(0) - mean) / rows.std(0)).max() < 4 / math.sqrt(n)
        grid = np.linspace(-12, 12, 81)
        points = np.array(list(product(grid, repeat=3)))
        total = np.exp(-machine.free_energy(points)).sum() * (grid[1] - grid[0]) ** 3
        assert math.log(total) == pytest.approx(machine.log_partition(), abs=1e-6)
        return
    states = all_states(-1.0 if visible == "spin" else 0.0, 3)
    p = np.exp(-machine.free_energy(states) - machine.log_partition())
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    seen = np.array([np.mean(np.all(rows == state, axis=1)) for state in states])
    assert np.all(np.abs(seen - p) < 4 * np.sqrt(p * (1 - p) / n))


@pytest.mark.parametrize(("hidden", "reach"), [("bernoulli", 0.15), ("gaussian", 0.35)])
def test_binary_machines_learn(hidden, reach):
    """Two opposite patterns with noise: the exact likelihood comes near minus the entropy of the data."""
    random = np.random.default_rng(5)
    data = np.where(random.random((600, 1)) < 0.5, [[0, 0, 0, 1, 1, 1]], [[1, 1, 1, 0, 0, 0]])
    data = np.where(random.random(data.shape) < 0.05, 1 - data, data)
    machine = pq.BernoulliRBM(6, 4, hidden=hidden, rng=1)
    options = {"method": "pcd", "k": 2, "batch": 100, "learning_rate": 0.1, "record_every": 300, "progress": False}
    history = machine.fit(data, epochs=300, chains=400, decay=0.995, rng=2, **options)
    _, counts = np.unique(data, axis=0, return_counts=True)
    entropy = -np.sum(counts / 600 * np.log(counts / 600))
    assert history.log_likelihood[0] == pytest.approx(-6 * math.log(2), abs=0.05)
    assert -entropy - reach < history.log_likelihood[-1] < -entropy


def test_ising_samplers_agree_with_onsager():
    beta, size = 0.3, 32
    for sampler, draws in ((pq.ising.Wolff(beta, clusters=20), 1500), (pq.ising.Metropolis(beta), 3000)):
        chain = sampler.run(np.ones((size, size)), draws, warmup=100, rng=6, progress=False)
        estimate = chain.estimate("energy")
        assert abs(estimate.mean - pq.ising.onsager_energy(beta)) < 4 * estimate.error
        assert estimate.error < 0.006


def test_cluster_beats_metropolis_at_the_critical_point():
    size, tau = 16, {}
    for name, sampler in (
        ("metropolis", pq.ising.Metropolis(pq.ising.CRITICAL_BETA)),
        ("wolff", pq.ising.Wolff(pq.ising.CRITICAL_BETA)),
    ):
        observables = {"m2": lambda s: pq.ising.magnetization(s) ** 2}
        chain = sampler.run(np.ones((size, size)), 20_000, warmup=200, observables=observables, rng=2, progress=False)
        work = chain.info["flipped"].mean() / size**2 if name == "wolff" else 1.0
        tau[name] = chain.estimate("m2").tau * work
    assert tau["metropolis"] > 5 * tau["wolff"]


def test_binary_machine_learns_ising_configurations():
    data = pq.ising.sample((4, 4), 0.3, 2000, thin=5, rng=1).reshape(-1, 16).astype(float)
    machine = pq.BernoulliRBM(16, 12, visible="spin", hidden="spin", rng=2)
    options = {"method": "pcd", "k": 3, "chains": 500, "batch": 200, "learning_rate": 0.05, "record_every": 150}
    machine.fit(data, epochs=150, decay=0.985, progress=False, rng=3, **options)
    rows = machine.sample(5000, steps=200, rng=4)
    energies = [np.mean([pq.ising.energy(np.sign(s).reshape(4, 4)) for s in part[:2000]]) for part in (data, rows)]
    assert energies[1] == pytest.approx(energies[0], abs=0.1)


def test_hopfield_retrieval():
    assert pq.rbm.retrieval(0.0, 0.5) == pytest.approx(0.957504, abs=1e-6)
    assert np.all(pq.rbm.retrieval([0.13, 0.15], 0.02) > [0.9, -1])
    assert pq.rbm.retrieval(0.15, 0.02) == 0
    assert pq.rbm.retrieval(0.05, 1.2) == 0
    spins, load, temperature = 400, 0.03, 0.4
    patterns = np.sign(np.random.default_rng(1).standard_normal((spins, round(load * spins))))
    machine = pq.BernoulliRBM(spins, patterns.shape[1], visible="spin", hidden="gaussian", rng=1)
    machine.weights = patterns / math.sqrt(spins * temperature)
    rows = machine.sample(100, steps=200, start=patterns[:, 0], rng=2)
    assert np.mean(rows @ patterns[:, 0]) / spins == pytest.approx(pq.rbm.retrieval(load, temperature), abs=0.02)
