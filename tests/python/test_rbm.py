"""The Gaussian machine against its closed forms (shared/reference/rbm.md, arXiv 2309.15002)."""

import math

import numpy as np
import plaq as pq
import pytest

SIZE, M2 = 10, 4.0
KERNEL = pq.rbm.free_field_kernel(SIZE, M2)
KAPPA = np.linalg.eigvalsh(KERNEL)
TABLE = [(9.0, 10), (9.0, 8), (9.0, 5), (9.0, 4), (9.0, 1), (7.0, 10), (6.0, 10), (5.0, 10)]
KL = {(9.0, 4): 0.149843923459, (9.0, 1): 0.563029709551, (6.0, 10): 0.049857212377, (5.0, 10): 0.163435724234}
DENSITY = {
    (9.0, 10): (0.50000, 0.22361),
    (9.0, 8): (0.48677, 0.21802),
    (9.0, 5): (0.45262, 0.20377),
    (9.0, 4): (0.43252, 0.19573),
    (9.0, 1): (0.36111, 0.16574),
    (7.0, 10): (0.51597, 0.23103),
    (6.0, 10): (0.55393, 0.24935),
    (5.0, 10): (0.62236, 0.28305),
}


def rng(seed=1):
    return np.random.default_rng(seed)


def trained(mu2, n_hidden, epochs=3000, **options):
    machine = pq.GaussianRBM(SIZE, n_hidden, mu2=mu2, rng=3)
    options = {"learning_rate": 0.5, "record_every": epochs, "progress": False, "rng": 4} | options
    return machine, machine.fit(kernel=KERNEL, epochs=epochs, **options)


@pytest.mark.parametrize("shape", [7, (10,), (4, 3), (3, 4, 5), (2, 2, 3, 2)])
def test_free_field_kernel_has_lattice_momenta(shape):
    kappa = np.linalg.eigvalsh(pq.rbm.free_field_kernel(shape, 0.7))
    np.testing.assert_allclose(kappa, np.sort(0.7 + pq.rbm.momenta_squared(shape).ravel()), rtol=0, atol=1e-13)


def test_free_field_samples_have_the_propagator():
    shape, n = (4, 5), 40_000
    data = pq.rbm.free_field(shape, 0.8, n, rng=5)
    exact = np.linalg.inv(pq.rbm.free_field_kernel(shape, 0.8))
    spread = np.sqrt((exact**2 + np.outer(np.diag(exact), np.diag(exact))) / n)
    assert np.abs((data.T @ data / n - exact) / spread).max() < 4.5
    kappa, modes = np.linalg.eigh(pq.rbm.free_field_kernel(shape, 0.8))
    power = np.mean((data @ modes) ** 2, axis=0) * kappa
    assert np.abs(power - 1).max() < 4 * math.sqrt(2 / n)


@pytest.mark.parametrize(("mu2", "n_hidden"), TABLE)
def test_training_ends_at_the_fixed_points(mu2, n_hidden):
    epochs = 9000 if mu2 == 9.0 and n_hidden > 8 else 5000
    machine, history = trained(mu2, n_hidden, epochs)
    np.testing.assert_allclose(machine.spectrum(), pq.rbm.fixed_points(KAPPA, mu2, n_hidden), atol=1e-10)
    np.testing.assert_allclose(history.eigenvalues[-1], machine.spectrum(), atol=1e-12)
    assert history.kl[-1] == pytest.approx(pq.rbm.fixed_point_kl(KAPPA, mu2, n_hidden), abs=1e-12)
    if (
        mu2,
        n_hidden,
    ) in KL:  # the reference prints 12 digits; at mu2 = 5 its eleventh one is off (40-digit arithmetic)
        assert history.kl[-1] == pytest.approx(KL[mu2, n_hidden], abs=2e-11)
    mean, width = pq.rbm.action_density(KERNEL, machine.kernel())
    assert (round(mean, 5), round(width, 5)) == DENSITY[mu2, n_hidden]


@pytest.mark.parametrize("mu2", [5.0, 9.0])
def test_a_cut_kernel_keeps_its_hidden_rank(mu2):
    machine, _ = trained(mu2, 4, 400)
    assert np.linalg.matrix_rank(machine.kernel()) == SIZE
    assert np.sum(np.abs(machine.spectrum() - mu2) < 1e-12) >= SIZE - 4


@pytest.mark.parametrize(
    ("kappa", "mu2", "xi0"), [(4.0, 9.0, 0.1), (4.0, 9.0, 2.9), (8.0, 9.0, 0.3), (12.0, 9.0, 1.0), (9.0, 9.0, 0.5)]
)
def test_flow_solves_the_implicit_equation_and_its_derivative(kappa, mu2, xi0):
    t = np.array([0.0, 0.3, 2.0, 11.0])
    x, x0, a = pq.rbm.flow(kappa, mu2, xi0, t) ** 2, xi0**2, mu2 - kappa
    if a:
        left = mu2 * np.log(x / x0) - kappa * np.log((a - x) / (a - x0))
        np.testing.assert_allclose(left, 2 * a * t / kappa, atol=1e-10)
    h = 1e-4
    slope = (pq.rbm.flow(kappa, mu2, xi0, t[1:] + h) - pq.rbm.flow(kappa, mu2, xi0, t[1:] - h)) / (2 * h)
    xi = np.sqrt(x[1:])
    np.testing.assert_allclose(slope, (1 / kappa - 1 / (mu2 - xi**2)) * xi, atol=1e-8)


def test_gradient_flow_of_aligned_modes_is_the_implicit_solution():
    """Small steps from an aligned start: the error of Euler's rule is halved with the step."""
    vectors = np.linalg.eigh(KERNEL)[1]
    errors = []
    for rate in (0.02, 0.01):
        machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=1)
        machine.weights = 0.3 * vectors
        history = machine.fit(kernel=KERNEL, epochs=round(4 / rate), learning_rate=rate, progress=False, rng=1)
        exact = 9.0 - pq.rbm.flow(KAPPA, 9.0, 0.3, history.epoch[:, None] * rate) ** 2
        errors.append(np.abs(history.eigenvalues - exact).max())
    assert errors[0] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


def test_infrared_modes_are_learnt_first():
    _, history = trained(9.0, 10, 400, record_every=1, learning_rate=0.2)
    halfway = [np.argmax(history.eigenvalues[:, a] < 0.5 * (9.0 + KAPPA[a])) for a in (0, 3, 6)]
    assert 0 < halfway[0] < halfway[1] < halfway[2]


def test_the_exact_gradient_is_the_derivative_of_the_likelihood():
    """One small step against finite differences of log_likelihood: weights, eta and local masses."""
    size, hidden = 5, 3
    random = rng(3)
    second = random.standard_normal((40, size))
    mean = second.mean(0)
    second = second.T @ second / 40
    options = {"mu2": [3.0, 4.0, 5.0, 6.0, 7.0], "mass": "local", "eta": [0.3, -0.2, 0.1], "sigma2_h": 1.3, "rng": 5}
    machine = pq.GaussianRBM(size, hidden, weight_scale=0.4, **options)
    start = {"w": machine.weights.copy(), "eta": machine.eta.copy(), "mu": np.sqrt(machine.mu2)}

    def likelihood(w, eta, mu):
        k = np.diag(mu**2) - 1.3 * w @ w.T
        j = w @ eta
        log_z = 0.5 * (size * math.log(2 * math.pi) - np.linalg.slogdet(k)[1] + j @ np.linalg.solve(k, j))
        return -0.5 * np.trace(k @ second) + j @ mean - log_z

    rate = 1e-3
    machine.fit(correlation=second, mean=mean, epochs=1, learning_rate=rate, train_eta=True, progress=False, rng=1)
    end = {"w": machine.weights, "eta": machine.eta, "mu": np.sqrt(machine.mu2)}
    for name, value in start.items():
        for index in np.ndindex(value.shape):
            shifted = {key: array.copy() for key, array in start.items()}
            shifted[name][index] += 1e-5
            up = likelihood(**shifted)
            shifted[name][index] -= 2e-5
            numeric = (up - likelihood(**shifted)) / 2e-5
            assert (end[name][index] - value[index]) / rate == pytest.approx(numeric, abs=1e-7)


def test_a_global_mass_reaches_the_best_mass():
    """With one mass trained, the optimum of probabilistic PCA with free noise: 1/mu2 = mean of the cut eigenvalues."""
    machine = pq.GaussianRBM(SIZE, 3, mu2=9.0, mass="global", rng=2)
    machine.fit(kernel=KERNEL, epochs=20_000, learning_rate=0.2, record_every=20_000, progress=False, rng=1)
    assert 1 / machine.mu2 == pytest.approx(np.mean(1 / KAPPA[3:]), abs=1e-10)
    np.testing.assert_allclose(machine.spectrum()[:3], KAPPA[:3], atol=1e-9)


def test_a_local_mass_beats_a_global_one():
    target = np.diag([2.0, 5.0, 9.0]) - 0.5
    found = {}
    for mass in ("fixed", "local"):
        machine = pq.GaussianRBM(3, 1, mu2=[6.0] * 3 if mass == "local" else 6.0, mass=mass, rng=2)
        history = machine.fit(kernel=target, epochs=4000, learning_rate=0.3, record_every=4000, progress=False, rng=1)
        found[mass] = history.kl[-1]
    assert found["local"] < 1e-9 < found["fixed"]


def test_eta_learns_the_mean():
    random = rng(8)
    mean = np.linalg.eigh(KERNEL)[1][:, 0] * 0.5
    correlation = np.linalg.inv(KERNEL) + np.outer(mean, mean)
    machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, eta=0.1 * random.standard_normal(SIZE), rng=2)
    options = {"learning_rate": 0.2, "train_eta": True, "record_every": 20_000, "progress": False, "rng": 1}
    history = machine.fit(correlation=correlation, mean=mean, epochs=20_000, **options)
    np.testing.assert_allclose(machine.mean(), mean, atol=1e-7)
    assert history.kl[-1] < 1e-10


@pytest.mark.parametrize("n_hidden", [1, 4, 10])
def test_closed_form_is_probabilistic_pca(n_hidden):
    correlation = np.linalg.inv(KERNEL)
    best = pq.GaussianRBM(SIZE, n_hidden, mu2=9.0, rng=1).optimum(correlation)
    w, s = best.weights, best.singular_values()
    identity = (np.eye(SIZE) + w @ np.linalg.solve(9.0 * np.eye(n_hidden) - w.T @ w, w.T)) / 9.0
    np.testing.assert_allclose(np.linalg.inv(best.kernel()), identity, atol=1e-14)
    np.testing.assert_allclose((correlation - identity) @ w, 0.0, atol=1e-14)
    np.testing.assert_allclose(s**2, 9.0 - KAPPA[:n_hidden], atol=1e-12)
    history = best.fit(correlation=correlation, epochs=1, progress=False, rng=1)
    assert history.step_norm[-1] < 1e-13
    turned = pq.GaussianRBM(SIZE, n_hidden, mu2=9.0, rng=1)
    turned.weights = w @ np.linalg.qr(rng().standard_normal((n_hidden, n_hidden)))[0]
    np.testing.assert_allclose(turned.kernel(), best.kernel(), atol=1e-13)


def test_the_kernel_is_invariant_under_rotations_and_shifts_of_the_whole_run():
    """W -> W R leaves the trajectory of K alone; a relabelling of sites leaves its spectrum alone."""
    turn = np.linalg.qr(rng(4).standard_normal((SIZE, SIZE)))[0]
    first = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=3)
    kernels, spectra = [], []
    for weights in (first.weights, first.weights @ turn, np.roll(first.weights, 3, axis=0)):
        machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=3)
        machine.weights = weights
        history = machine.fit(kernel=KERNEL, epochs=50, learning_rate=0.5, progress=False, rng=1)
        kernels.append(machine.kernel())
        spectra.append(history.eigenvalues)
    np.testing.assert_allclose(kernels[1], kernels[0], atol=1e-11)
    np.testing.assert_allclose(spectra[2], spectra[0], atol=1e-11)


@pytest.mark.parametrize("kappa", [(1.0, 4.0), (4.0, 1.0)])
def test_two_visible_one_hidden(kappa):
    """tan law and the flow of xi; always the smaller eigenvalue is learnt."""
    angle, xi, rate = 0.9, 0.4, 2e-4
    machine = pq.GaussianRBM(2, 1, mu2=9.0, rng=1)
    machine.weights = xi * np.array([[math.cos(angle)], [math.sin(angle)]])
    epochs = 40_000
    machine.fit(kernel=np.diag(kappa), epochs=epochs, learning_rate=rate, record_every=epochs, progress=False, rng=1)
    w = machine.weights[:, 0]
    angles, values = pq.rbm.two_node_flow([0.0, epochs * rate], angle, xi, kappa, 9.0)
    assert math.atan2(w[1], w[0]) == pytest.approx(angles[-1], abs=2e-4)
    assert np.linalg.norm(w) == pytest.approx(values[-1], abs=2e-3)
    late_angle, late_xi = pq.rbm.two_node_flow([0.0, 60.0], angle, xi, kappa, 9.0)
    assert 9.0 - late_xi[-1] ** 2 == pytest.approx(min(kappa), abs=1e-10)
    assert late_angle[-1] == pytest.approx(0.0 if kappa[0] < kappa[1] else math.pi / 2, abs=1e-10)
    law = math.tan(angle) * math.exp((1 / kappa[1] - 1 / kappa[0]) * 3.0)
    assert np.tan(pq.rbm.two_node_angle(3.0, angle, kappa)) == pytest.approx(law, rel=1e-12)


def test_em_reaches_the_closed_form_monotonically():
    data = pq.datasets.digits()
    correlation = data.T @ data / len(data)
    for n_hidden, value, error in (
        (64, 0.51749, 0.00176),
        (16, 0.19323, 0.01123),
        (4, -1.63059, 0.04171),
        (1, -3.62777, 0.07123),
    ):
        machine = pq.GaussianRBM(64, n_hidden, mu2=144.0, rng=1)
        best = machine.optimum(correlation)
        assert best.log_likelihood(data) / 64 == pytest.approx(value, abs=5e-6)
        assert np.mean((best.reconstruct(data) - data) ** 2) == pytest.approx(error, abs=1e-5)
        if n_hidden in (1, 4, 16):
            history = machine.fit(correlation=correlation, epochs=300, method="em", progress=False, rng=1)
            assert history.log_likelihood[-1] / 64 == pytest.approx(value, abs=6e-6)
            assert np.all(np.diff(history.log_likelihood) > -1e-9)
            assert history.kl[-1] == math.inf  # three pixels are always empty: no density exists


@pytest.mark.parametrize("n_hidden", [1, 4, 10])
def test_em_ends_at_the_fixed_points(n_hidden):
    machine = pq.GaussianRBM(SIZE, n_hidden, mu2=9.0, sigma2_h=1.3, rng=1)
    machine.fit(kernel=KERNEL, epochs=600, method="em", record_every=600, progress=False, rng=1)
    np.testing.assert_allclose(machine.spectrum(), pq.rbm.fixed_points(KAPPA, 9.0, n_hidden), atol=1e-10)


def test_spectrum_of_the_digits():
    data = pq.datasets.digits()
    values = np.linalg.eigvalsh(data.T @ data / len(data))[::-1]
    np.testing.assert_allclose(values[:6], [10.4553, 0.69883, 0.63858, 0.5525, 0.39373, 0.27121], atol=5e-5)
    assert values.sum() == pytest.approx(15.0142, abs=5e-5)
    assert np.sum(np.abs(values) < 1e-12) == 3
    assert values[60] == pytest.approx(1.61e-6, abs=5e-9)
    assert [int(np.sum(values > 1 / mu2)) for mu2 in (9, 25, 144, 400)] == [11, 21, 43, 49]


def test_exact_steps_are_stable_up_to_the_bound():
    best = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=1).optimum(np.linalg.inv(KERNEL))
    assert pq.rbm.stability_bound(KAPPA, 9.0) == pytest.approx(3.2)
    moved = {}
    for rate in (3.1, 3.3):
        machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, rng=1)
        machine.weights = best.weights * 1.0001
        if rate > 3.2:
            with pytest.warns(pq.rbm.StabilityWarning, match=r"bound 3\.2 "):
                history = machine.fit(kernel=KERNEL, epochs=100, learning_rate=rate, progress=False, rng=1)
        else:
            history = machine.fit(kernel=KERNEL, epochs=100, learning_rate=rate, progress=False, rng=1)
        moved[rate] = abs(history.eigenvalues[-1, 0] - 4.0) / abs(history.eigenvalues[0, 0] - 4.0)
    assert moved[3.1] < 0.01
    assert moved[3.3] > 100


@pytest.mark.parametrize("momentum", [0.5, 0.8])
def test_the_bound_with_momentum(momentum):
    """Multipliers of the two-step recursion are inside the unit circle exactly below the bound."""
    bound = pq.rbm.stability_bound(4.0, 9.0, 1.0, momentum)
    for factor, stable in ((0.999, True), (1.001, False)):
        pull = 2 * 5.0 / 16.0 * bound * factor
        step = np.array([[1 - (1 - momentum) * pull, momentum], [-(1 - momentum) * pull, momentum]])
        assert (np.abs(np.linalg.eigvals(step)).max() < 1) == stable


def test_float32_follows_float64():
    spectra = []
    for dtype in ("float32", "float64"):
        machine = pq.GaussianRBM(SIZE, SIZE, mu2=9.0, dtype=dtype, rng=1)
        machine.fit(kernel=KERNEL, epochs=500, learning_rate=0.5, record_every=500, progress=False, rng=1)
        assert machine.weights.dtype == dtype
        spectra.append(machine.spectrum())
    np.testing.assert_allclose(spectra[0], spectra[1], atol=2e-4)


def test_log_likelihood_is_the_normalised_density():
    """One visible unit: the integral of exp(log p) over a grid is one, and the mean is K^-1 J."""
    machine = pq.GaussianRBM(1, 1, mu2=3.0, eta=[0.7], sigma2_h=0.5, weight_scale=0.8, rng=4)
    x = np.linspace(-12, 12, 4001)
    p = np.array([math.exp(machine.log_likelihood([[v]])) for v in x])
    assert np.trapezoid(p, x) == pytest.approx(1.0, abs=1e-10)
    assert np.trapezoid(p * x, x) == pytest.approx(machine.mean()[0], abs=1e-10)


def test_weight_decay_and_decay_of_the_rate():
    """At zero weights' growth: one step of the exact recursion, written out."""
    machine = pq.GaussianRBM(SIZE, 3, mu2=9.0, rng=5)
    w, v, c = machine.weights.copy(), 0.0, np.linalg.inv(KERNEL)
    rate = 0.4
    for epoch in range(4):
        k = 9.0 * np.eye(SIZE) - w @ w.T
        v = 0.8 * v + 0.2 * (c - np.linalg.inv(k)) @ w
        now = rate * 0.9 ** (epoch // 2)
        w = w + now * v - now * 0.01 * w
    options = {"learning_rate": rate, "momentum": 0.8, "weight_decay": 0.01, "decay": 0.9, "decay_every": 2}
    machine.fit(kernel=KERNEL, epochs=4, progress=False, rng=1, **options)
    np.testing.assert_allclose(machine.weights, w, atol=1e-14)
