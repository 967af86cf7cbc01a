"""Normalising flows: densities, inverses, gradients, symmetries, exact sampling, training, files, wrong input."""

import copy
import itertools
import math
import pickle

import numpy as np
import plaq as pq
import pytest
from plaq.flows.matrices import adjoint, as_matrices, as_numbers, hermitian
from plaq.statistics import estimate

flows, obs = pq.flows, pq.observables
SIGMA = 3.0


pytestmark = pytest.mark.usefixtures("one_thread")


def shaken(flow, width=0.3, seed=5):
    """With random parameters."""
    flow.parameters = flow.parameters + width * np.random.default_rng(seed).normal(size=flow.n_parameters)
    return flow


def affine(shape, components, symmetric, width=0.1, **options):
    settings = {"ndim": len(shape), "components": components, "symmetric": symmetric, "hidden": (4,), **options}
    layers = [flows.AffineCoupling(n % 2, rng=n, **settings) for n in range(3)]
    return shaken(flows.Flow(flows.Normal(shape, components, width=0.8), layers), width)


CASES = {
    "phi4": affine((4, 4), 1, False),
    "phi4 symmetric": affine((4, 4), 1, True),
    "O(2)": affine((4, 2), 2, True),
    "vector": affine((4, 2), 2, False),
    "O(3), 3D": affine((2, 2, 4), 3, True, width=0.03),
    "chain": affine((6,), 1, True),
    "free prior": flows.Flow(flows.FreeField((4, 4), 0.7), affine((4, 4), 1, True).layers),
    "U(1)": shaken(flows.u1_2d((4, 4), sweeps=1, terms=3, hidden=(4,), rng=3), 0.2),
    "SU(2)": shaken(flows.su_2d((3, 3), "SU(2)", sweeps=1, period=3, terms=3, hidden=(4,), rng=3), 0.2),
    "SU(3)": shaken(flows.su_2d((3, 3), "SU(3)", sweeps=1, period=3, terms=2, hidden=(3,), rng=3), 0.2),
    "U(1), period 3": shaken(flows.u1_2d((3, 6), sweeps=1, period=3, terms=2, hidden=(4,), rng=4), 0.2),
}
ACTIONS = {name: pq.actions.Wilson(1.5) if "U(" in name else pq.actions.Scalar(0.5, 0.2) for name in CASES}
ALL = pytest.mark.parametrize("name", CASES)


def derivative(function, x, h=2e-4):
    """Rows of the Jacobian d f / d x_i, to fourth order."""
    rows = []
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        rows.append(8 * (function(x + step) - function(x - step)) - function(x + 2 * step) + function(x - 2 * step))
    return np.array(rows) / (12 * h)


def generators(n):
    """Hermitian traceless matrices with tr T_a T_b = delta_ab."""
    found = []
    for a in range(n):
        for b in range(a):
            for phase in (1, 1j):
                found.append(np.zeros((n, n), complex))
                found[-1][a, b], found[-1][b, a] = np.conj(phase) / math.sqrt(2), phase / math.sqrt(2)
    for k in range(1, n):
        diagonal = np.array([1.0] * k + [-k] + [0] * (n - k - 1))
        found.append(np.diag(diagonal / np.linalg.norm(diagonal)).astype(complex))
    return np.array(found)


def chart(flow, base):
    """Fields near one as functions of small numbers, small numbers of fields, and the numbers of the field itself."""
    if getattr(flow.prior, "group", "U(1)") == "U(1)":
        return lambda d: base + d, lambda y: y - base, np.zeros_like(base)
    T = generators(flow.prior._colors)

    def there(d):
        angles, vectors = np.linalg.eigh(np.einsum("...k,kab->...ab", d, T))
        turn = (vectors * np.exp(1j * angles)[..., None, :]) @ adjoint(vectors)
        return as_numbers(turn @ as_matrices(base))

    def back(y):
        return components(T, -1j * as_matrices(y) @ adjoint(as_matrices(base)))

    return there, back, np.zeros((*base.shape[:-2], len(T)))


def components(T, matrix):
    return np.einsum("kab,...ba->...k", T, hermitian(matrix)).real


@ALL
def test_log_det_is_that_of_the_dense_jacobian(name):
    flow = CASES[name]
    z = flow.prior._sampled(1, 7)
    there, _, zero = chart(flow, z)
    _, back, _ = chart(flow, flow._forward(z)[0])
    jacobian = derivative(lambda d: back(flow._forward(there(d))[0]).ravel(), zero)
    sign, log_det = np.linalg.slogdet(jacobian)
    assert sign == 1
    assert flow._forward(z)[1][0] == pytest.approx(log_det, abs=1e-8)
    assert abs(log_det) > 0.05


@ALL
def test_inverse_undoes_and_densities_agree(name):
    flow = CASES[name]
    z = flow.prior._array_of(flow.prior._sampled(5, 3))
    x = flow(z)
    assert np.abs(x - z).max() > 0.05
    assert np.abs(flow.inverse(x) - z).max() < 1e-12
    assert np.abs(flow(flow.inverse(z)) - z).max() < 1e-12
    forward = flow.prior._log_density(flow.prior._sampled(5, 3)) - flow.log_det(z)
    assert np.allclose(flow.log_prob(x), forward, rtol=0, atol=1e-10)
    field = flow.prior._field(x[1])
    assert flow.log_prob(field) == flow.log_prob([field, field])[1] == flow.log_prob(x)[1]
    assert np.allclose(flow.sample(5, rng=3), x, rtol=0, atol=1e-12)
    assert np.array_equal(flow.sample(2, rng=3), flow.sample(5, rng=3)[:2])


@ALL
def test_the_score_is_the_derivative_of_the_log_density(name):
    """What path gradients use: pushed forward through the couplings, against differences of the inverse."""
    flow = CASES[name]
    z = flow.prior._sampled(2, 11)
    x, score = z, flow.prior._score(z)
    for layer in flow.layers:
        x, _, tape = layer._record(x)
        score = layer._push(tape, score)
    there, _, zero = chart(flow, x)
    if name.startswith("SU"):
        score = components(generators(flow.prior._colors), 1j * as_matrices(x) @ adjoint(as_matrices(score)))
    directions = np.random.default_rng(3).normal(size=(12, *zero.shape))
    size = np.abs(score).max()
    for direction in directions / np.sqrt(zero.size):
        slope = derivative(lambda h, d=direction: flow._log_density(there(h[0] * d)).sum(), np.zeros(1))[0]
        assert abs((score * direction).sum() - slope) < 1e-8 * max(1.0, size)


@ALL
def test_gradient_of_the_divergence_is_its_derivative(name):
    flow, action = CASES[name].copy(), ACTIONS[name]
    z, theta = flow.prior._sampled(3, 13), flow.parameters
    direction = np.random.default_rng(1).normal(size=theta.size)

    def loss(h):
        flow.parameters = theta + h * direction
        return float(np.mean(flow._excess(action, z)))

    slope = (8 * (loss(1e-4) - loss(-1e-4)) - (loss(2e-4) - loss(-2e-4))) / 12e-4
    flow.parameters = theta
    excess, gradient = flow._excess_and_gradient(action, z, path=False)
    assert gradient @ direction == pytest.approx(slope, rel=1e-7)
    assert np.allclose(excess, flow._excess(action, z))
    first = int(np.argmax(np.abs(gradient)))
    step = np.eye(theta.size)[first]
    flow.parameters = theta + 1e-5 * step
    above = np.mean(flow._excess(action, z))
    flow.parameters = theta - 1e-5 * step
    assert gradient[first] == pytest.approx((above - np.mean(flow._excess(action, z))) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("name", ["phi4 symmetric", "U(1)", "SU(3)"])
def test_both_gradients_have_the_same_mean(name):
    """Their difference is the mean of the derivative of ln q, zero within errors; the gradient itself is not."""
    flow, action = CASES[name], ACTIONS[name]
    direction = flow._excess_and_gradient(action, flow.prior._sampled(200, 1), False)[1]
    pairs = []
    for k in range(60):
        z = flow.prior._sampled(16, 100 + k)
        pairs.append([flow._excess_and_gradient(action, z, path)[1] @ direction for path in (True, False)])
    path, plain = np.array(pairs).T
    error = (path - plain).std() / math.sqrt(len(path))
    assert abs((path - plain).mean()) < SIGMA * error
    assert abs(plain.mean()) > 4 * plain.std() / math.sqrt(len(plain))


def test_the_path_gradient_vanishes_where_the_flow_is_exact():
    """Each sample has gradient zero (its logarithm of the weight is constant), the other gradient does not."""
    flow, action = flows.real_nvp(flows.FreeField((4, 4), 0.8), couplings=2, rng=1), pq.actions.Scalar(0.8)
    z = flow.prior._sampled(8, 3)
    path, plain = (flow._excess_and_gradient(action, z, path)[1] for path in (True, False))
    assert np.abs(path).max() < 1e-13
    assert np.abs(plain).max() > 0.1


def test_identity_with_the_free_prior_is_exact():
    for shape, components in (((4, 6), 1), ((4,), 2), ((2, 4, 2), 3)):
        flow = flows.real_nvp(flows.FreeField(shape, 0.4, components), couplings=2, rng=1)
        samples = flow.reweight(pq.actions.Scalar(0.4), 20, rng=1)
        assert samples.efficiency == pytest.approx(1, abs=1e-12)
        kernel = dense_kernel(shape, 0.4)
        log_z = -0.5 * components * np.linalg.slogdet(kernel / (2 * np.pi))[1]
        assert np.allclose(samples.log_weights, log_z, rtol=1e-12)


def dense_kernel(shape, mass2):
    """S = phi K phi / 2 from differences of basis fields."""
    size = math.prod(shape)
    basis = np.eye(size).reshape(size, *shape)
    rows = mass2 * basis
    for axis in range(1, len(shape) + 1):
        rows = rows + 2 * basis - np.roll(basis, 1, axis) - np.roll(basis, -1, axis)
    return rows.reshape(size, size)


def test_symmetric_couplings_commute_with_rotations_and_plain_ones_do_not():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    flow = CASES["O(3), 3D"]
    z = flow.prior._sampled(4, 1)
    assert np.allclose(flow(z @ turn), flow(z) @ turn, rtol=0, atol=1e-12)
    assert np.allclose(flow.log_det(z @ turn), flow.log_det(z), rtol=0, atol=1e-12)
    phi = CASES["phi4 symmetric"].sample(4, rng=1)
    assert np.allclose(CASES["phi4 symmetric"](-phi), -CASES["phi4 symmetric"](phi), rtol=0, atol=1e-13)
    assert not np.allclose(CASES["phi4"](-phi), -CASES["phi4"](phi), rtol=0, atol=1e-2)


def test_translations_by_the_period_of_the_masks():
    flow = CASES["phi4"]
    z = flow.sample(3, rng=2)
    assert np.allclose(flow(np.roll(z, (1, 1), (1, 2))), np.roll(flow(z), (1, 1), (1, 2)), rtol=0, atol=1e-13)
    assert not np.allclose(flow(np.roll(z, 1, 1)), np.roll(flow(z), 1, 1), rtol=0, atol=1e-2)
    layer = flows.PlaquetteCoupling(0, 1, terms=2, rng=1)
    flow = shaken(flows.Flow(flows.Haar((8, 8)), [layer]))
    z = flow.prior._sampled(2, 1)
    image, log_det = flow._forward(z)
    for moves in ((1, 0), (3, 4), (0, 4)):
        moved, same = flow._forward(np.roll(z, moves, (2, 3)))
        assert np.allclose(moved, np.roll(image, moves, (2, 3)), rtol=0, atol=1e-12)
        assert np.allclose(same, log_det, rtol=0, atol=1e-11)
    assert not np.allclose(flow._forward(np.roll(z, 1, 3))[0], np.roll(image, 1, 3), rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", ["U(1)", "SU(2)", "SU(3)"])
def test_flows_of_links_commute_with_gauge_transformations(name):
    flow = CASES[name]
    U = pq.GaugeField.hot(flow.prior.shape, name, rng=5)
    g = np.asarray(pq.GaugeField.hot(flow.prior.shape, name, rng=6))[0]
    V = U.gauge_transform(g)
    image = pq.GaugeField.from_numpy(flow(U))
    assert np.abs(flow(V) - np.asarray(image.gauge_transform(g))).max() < 1e-12
    assert flow.log_det(V) == pytest.approx(flow.log_det(U), abs=1e-11)
    assert flow.log_prob(V) == pytest.approx(flow.log_prob(U), abs=1e-11)


def test_one_coupling_moves_every_fourth_line_and_a_sweep_every_link():
    z = flows.Haar((8, 8))._sampled(1, 1)
    for direction in (0, 1):
        flow = shaken(flows.Flow(flows.Haar((8, 8)), [flows.PlaquetteCoupling(direction, 2)]))
        moved = np.abs(flow._forward(z)[0] - z)[0] > 1e-12
        wanted = np.zeros((2, 8, 8), bool)
        wanted[direction][(slice(None), slice(2, None, 4)) if direction == 0 else slice(2, None, 4)] = True
        assert np.array_equal(moved, wanted)
    sweep = shaken(flows.u1_2d((8, 8), sweeps=1, rng=1))
    assert np.all(np.abs(sweep._forward(z)[0] - z) > 1e-12)


def bessel(n, x):
    phi = np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    return float(np.mean(np.exp(x * (np.cos(phi) - 1)) * np.cos(n * phi)))


def torus(beta, volume):
    """ln Z (over the Haar measure) and plaquette of 2D U(1): Z = sum_n [I_n(beta) e^-beta]^V."""
    weights = np.array([bessel(n, beta) for n in range(-30, 31)])
    slopes = np.array([(bessel(n + 1, beta) + bessel(n - 1, beta)) / 2 for n in range(-30, 31)])
    z = (weights**volume).sum()
    return math.log(z), float((slopes * weights ** (volume - 1)).sum() / z)


def trained_u1(beta, steps=60):
    flow = flows.u1_2d((4, 4), sweeps=1, terms=3, hidden=(6,), rng=1)
    rule = pq.optimizers.Adam(0.01, schedule=pq.optimizers.Cosine(steps))
    history = flow.fit(pq.actions.Wilson(beta), steps=steps, batch=32, optimizer=rule, rng=3, progress=False)
    return flow, history


@pytest.fixture(scope="module")
def u1():
    return trained_u1(1.0)


def test_u1_chain_and_weights_give_the_exact_plaquette_and_partition_function(u1):
    flow, history = u1
    log_z, plaquette = torus(1.0, 16)
    S = pq.actions.Wilson(1.0)
    assert np.mean(history.efficiency[-10:]) > 3 * np.mean(
        flows.Flow(flow.prior, []).reweight(S, 2000, rng=1).efficiency
    )
    samples = flow.reweight(S, 2000, rng=5)
    assert samples.efficiency > 0.3
    found = samples.log_z()
    assert abs(found.mean - log_z) < SIGMA * found.error < 0.3
    mean = samples.mean(lambda U: obs.plaquette(pq.GaugeField.from_numpy(U)))
    assert abs(mean.mean - plaquette) < SIGMA * mean.error < 0.05
    sampler = pq.FlowProposal(flow, S)
    q2 = {"plaquette": obs.plaquette, "q": lambda U: obs.topological_charge(U, "geometric")}
    chain = sampler.run(sampler.start(rng=2), 2500, warmup=20, rng=3, observables=q2, progress=False)
    assert chain.acceptance > 0.3
    found = chain.estimate("plaquette")
    assert abs(found.mean - plaquette) < SIGMA * found.error < 0.05
    assert len(np.unique(np.rint(chain["q"]))) >= 3
    assert chain.estimate("q").tau < 10


def log_z_of_characters(n, beta, volume):
    """ln sum_r (c_r/d_r)^V of SU(N): c = sum_k det I_(lambda_j + i - j + k)(beta/N) (Bars, Green, PRD 20, 3311)."""
    values = {k: bessel(k, beta / n) for k in range(-30, 31)}
    total = 0.0
    for rows in itertools.combinations_with_replacement(range(9), n - 1):
        weights = [*sorted(rows, reverse=True), 0]
        lines = [[[values[weights[j] + i - j + k] for j in range(n)] for i in range(n)] for k in range(-14, 15)]
        c = float(np.linalg.det(np.array(lines)).sum())
        pairs = itertools.combinations(range(n), 2)
        dimension = math.prod((weights[i] - weights[j] + j - i) / (j - i) for i, j in pairs)
        total += (c / dimension) ** volume
    return math.log(total)


@pytest.mark.parametrize(("group", "beta", "steps"), [("SU(2)", 2.0, 60), ("SU(3)", 2.0, 50)])
def test_chains_and_weights_of_su_n_give_the_exact_plaquette_and_partition_function(group, beta, steps):
    n, shape = int(group[3]), (3, 3)
    log_z = log_z_of_characters(n, beta, 9)
    slope = (log_z_of_characters(n, beta + 1e-4, 9) - log_z_of_characters(n, beta - 1e-4, 9)) / 2e-4
    S, flow = pq.actions.Wilson(beta), flows.su_2d(shape, group, sweeps=1, period=3, terms=3, hidden=(4,), rng=1)
    rule = pq.optimizers.Adam(0.02, schedule=pq.optimizers.Cosine(steps))
    flow.fit(S, steps=steps, batch=32, optimizer=rule, rng=3, progress=False)
    samples = flow.reweight(S, 1500, rng=5)
    assert samples.efficiency > 0.4
    found = samples.log_z()
    assert abs(found.mean - log_z) < SIGMA * found.error < 0.2
    sampler = pq.FlowProposal(flow, S)
    chain = sampler.run(sampler.start(rng=2), 1500, warmup=20, rng=3, progress=False)
    found = chain.estimate("plaquette")
    assert abs(found.mean - (1 + slope / 9)) < SIGMA * found.error < 0.06


def test_free_field_chain_has_the_exact_propagator():
    """An untrained, wrong flow: the chain is exact anyway, the proposals are not."""
    shape, mass2 = (4, 4), 1.0
    flow = shaken(flows.real_nvp(flows.FreeField(shape, 1.4), couplings=2, rng=1), 0.02)
    action = pq.actions.Scalar(mass2)
    propagator = np.linalg.inv(dense_kernel(shape, mass2)).reshape(4, 4, 4, 4)[0, 0]

    def correlation(phi, steps):
        values = np.asarray(phi)[..., 0]
        return float((values * np.roll(values, steps, (0, 1))).mean())

    sampler = pq.FlowProposal(flow, action)
    measured = {f"{a}{b}": (lambda phi, s=(a, b): correlation(phi, s)) for a, b in ((0, 0), (0, 1), (1, 1), (2, 0))}
    chain = sampler.run(sampler.start(rng=1), 4000, warmup=50, observables=measured, rng=4, progress=False)
    assert 0.2 < chain.acceptance < 0.95
    for name in measured:
        found, exact = chain.estimate(name), propagator[int(name[0]), int(name[1])]
        assert abs(found.mean - exact) < SIGMA * found.error, (name, found, exact)
    wrong = np.mean(flow.sample(6000, rng=1) ** 2)
    assert abs(wrong - propagator[0, 0]) > 0.02


def phi4_on_two_sites(mass2, lam):
    """ln Z, <phi^2> and <phi_0 phi_1> of phi^4 on two sites, each the other's neighbour twice, by quadrature."""
    x = np.linspace(-5, 5, 1001)
    a, b = x[:, None], x[None]
    weight = np.exp(-((a - b) ** 2) - mass2 / 2 * (a**2 + b**2) - lam * (a**4 + b**4))
    area = (x[1] - x[0]) ** 2
    total = weight.sum()
    return math.log(total * area), float((weight * a**2).sum() / total), float((weight * a * b).sum() / total)


def test_phi4_on_two_sites_against_quadrature():
    mass2, lam = -1.0, 0.5
    log_z, phi2, neighbours = phi4_on_two_sites(mass2, lam)
    action, flow = pq.actions.Scalar(mass2, lam), flows.real_nvp(flows.Normal((2,)), couplings=4, hidden=(6,), rng=1)
    rule = pq.optimizers.Adam(0.01, schedule=pq.optimizers.Cosine(150))
    flow.fit(action, steps=150, batch=64, optimizer=rule, rng=2, progress=False)
    samples = flow.reweight(action, 3000, rng=3)
    assert samples.efficiency > 0.7
    found = samples.log_z()
    assert abs(found.mean - log_z) < SIGMA * found.error < 0.1
    sampler = pq.FlowProposal(flow, action)
    measured = {
        "phi2": lambda phi: float((np.asarray(phi) ** 2).mean()),
        "nn": lambda phi: float(np.asarray(phi).prod()),
        "left": lambda phi: float(np.asarray(phi)[0, 0] < -0.5),
    }
    chain = sampler.run(sampler.start(rng=1), 4000, observables=measured, rng=4, progress=False)
    for name, exact in (("phi2", phi2), ("nn", neighbours)):
        estimated = chain.estimate(name)
        assert abs(estimated.mean - exact) < SIGMA * estimated.error, (name, estimated, exact)
    # distribution of one value, by chi-square over quarters of its range, with draws thinned to independence
    x = np.linspace(-5, 5, 2001)
    joint = np.exp(-((x[:, None] - x) ** 2) - (mass2 / 2 * x**2 + lam * x**4)[:, None] - mass2 / 2 * x**2 - lam * x**4)
    cumulated = np.cumsum(joint.sum(axis=1)) / joint.sum()
    edges = np.interp([0.25, 0.5, 0.75], cumulated, x)
    thinned = sampler.run(
        sampler.start(rng=7), 1000, thin=4, rng=8, observables={"x": lambda phi: np.asarray(phi)[0, 0]}, progress=False
    )
    counts = np.bincount(np.digitize(thinned["x"], edges), minlength=4)
    chi2 = float(((counts - len(thinned) / 4) ** 2).sum() / (len(thinned) / 4))
    assert chi2 < 16.3, "0.1 % of chi-square with 3 degrees of freedom"


def test_both_estimators_train(u1):
    action = pq.actions.Scalar(0.5, 0.3)
    for gradient in ("path", "reparameterised"):
        flow = flows.real_nvp(flows.Normal((4, 4)), couplings=2, hidden=(4,), rng=1)
        before = flow.reweight(action, 2000, rng=1).efficiency
        history = flow.fit(
            action, steps=40, batch=32, gradient=gradient, optimizer=pq.optimizers.Adam(0.02), rng=2, progress=False
        )
        assert history.loss[-5:].mean() < history.loss[0] - 0.5
        assert flow.reweight(action, 2000, rng=1).efficiency > 1.5 * before


def test_the_density_integrates_to_one():
    """<p/q> = 1 for a density p that is known and narrower than q."""
    flow, other = CASES["phi4 symmetric"], flows.Normal((4, 4), width=0.5)
    x = flow.sample(4000, rng=9)
    weight = np.exp(other._log_density(x) - flow.log_prob(x))
    found = estimate(weight)
    assert abs(found.mean - 1) < SIGMA * found.error < 0.5


# chains and training are reproducible


def small():
    return shaken(flows.u1_2d((4, 4), sweeps=1, terms=2, hidden=(3,), rng=1), 0.1)


@pytest.mark.parametrize("kind", ["U(1)", "SU(3)", "phi4"])
def test_a_resumed_chain_has_the_same_bits(kind, tmp_path):
    flow, action = (small(), pq.actions.Wilson(1.0)) if kind == "U(1)" else (CASES[kind], pq.actions.Scalar(0.5, 0.2))
    action = pq.actions.Wilson(0.5) if kind == "SU(3)" else action
    sampler = pq.FlowProposal(flow, action, block=16)
    start = sampler.start(rng=1)
    whole = sampler.run(start, 60, rng=3, progress=False)
    assert 0 < whole.acceptance < 1
    path = tmp_path / "run"
    other = pq.FlowProposal(flow, action, block=7)
    other.run(start, 23, rng=3, checkpoint=path, progress=False)
    rest = copy.deepcopy(sampler).run(start, 60, rng=3, checkpoint=path, progress=False)
    for name in ("accepted", "log_weight", "action"):
        assert np.array_equal(rest.info[name], whole.info[name])
    assert rest.state == whole.state
    changed = flow.copy()
    changed.parameters = changed.parameters * 1.01
    with pytest.raises(pq.CheckpointError, match="parameters"):
        pq.FlowProposal(changed, action).run(start, 60, rng=3, checkpoint=path, progress=False)


def test_an_update_is_a_function_of_state_seed_and_number():
    sampler = pq.FlowProposal(small(), pq.actions.Wilson(1.0))
    start = sampler.start(rng=1)
    states = [sampler.advance(start, 5, sweep) for sweep in range(10)]
    for sweep in (7, 2):
        state, info = pickle.loads(pickle.dumps(sampler)).advance(start.copy(), 5, sweep)
        assert state == states[sweep][0]
        assert info == states[sweep][1]
    pq.set_num_threads(2)
    state, info = pq.FlowProposal(small(), pq.actions.Wilson(1.0)).advance(start, 5, 3)
    pq.set_num_threads(1)
    assert (state, info) == states[3]


def test_training_afterwards_does_not_change_a_sampler():
    flow = small()
    sampler = pq.FlowProposal(flow, pq.actions.Wilson(1.0))
    before = sampler.fingerprint()
    flow.parameters = flow.parameters * 2
    assert sampler.fingerprint() == before


FIT = {"batch": 8, "progress": False, "rng": 3, "optimizer": pq.optimizers.Adam(0.01)}


@pytest.mark.parametrize("validation", [None, 16])
def test_ctrl_c_and_resume_of_a_training(validation, tmp_path, monkeypatch):
    from plaq.flows.training import ReverseKL

    action, path = pq.actions.Wilson(1.0), tmp_path / "training"
    whole, part = small(), small()
    options = {**FIT, "validation": validation, "record_every": 2}
    history = whole.fit(action, steps=8, **options)
    honest, calls = ReverseKL._unit, []

    def stops(self):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        honest(self)

    with monkeypatch.context() as patch:
        patch.setattr(ReverseKL, "_unit", stops)
        broken = part.fit(action, steps=8, checkpoint=path, **options)
    assert broken.interrupted
    resumed = part.fit(action, steps=8, checkpoint=path, **options)
    assert np.array_equal(resumed.loss, history.loss)
    assert np.array_equal(part.parameters, whole.parameters)
    assert history.records == 4
    with pytest.raises(pq.CheckpointError, match="action"):
        small().fit(pq.actions.Wilson(1.1), steps=8, checkpoint=path, **options)


def test_the_best_parameters_are_kept_of_which_the_start_is_one():
    flow = small()
    before = flow.parameters
    history = flow.fit(pq.actions.Wilson(1.0), steps=5, **{**FIT, "optimizer": pq.optimizers.SGD(3.0)}, validation=64)
    assert np.array_equal(flow.parameters, before)
    assert history.kept == 0
    stopped = small().fit(
        pq.actions.Wilson(1.0), steps=50, **{**FIT, "optimizer": pq.optimizers.SGD(3.0)}, validation=64, patience=2
    )
    assert stopped.records == 2


def test_a_training_that_diverges_says_so_and_keeps_what_was_good():
    flow = CASES["phi4"].copy()
    with pytest.raises(ValueError, match=r"loss is .* lower the learning rate|not finite|NaN") as caught:
        flow.fit(pq.actions.Scalar(0.5, 0.2), steps=200, **{**FIT, "optimizer": pq.optimizers.SGD(1e6)})
    assert caught.value.history.records >= 1
    assert np.isfinite(flow.parameters).all()


@ALL
def test_files_pickles_and_copies(name, tmp_path):
    flow = CASES[name]
    flow.save(tmp_path / "flow.safetensors")
    x = flow.sample(2, rng=1)
    for twin in (
        flows.Flow.load(tmp_path / "flow.safetensors"),
        pickle.loads(pickle.dumps(flow)),
        copy.deepcopy(flow),
        flow.copy(),
    ):
        assert np.array_equal(twin.log_prob(x), flow.log_prob(x))
        twin.parameters = twin.parameters * 1.5
        assert not np.array_equal(twin.log_prob(x), flow.log_prob(x))


def test_weights_go_to_another_lattice_but_not_to_other_couplings(tmp_path):
    path = tmp_path / "flow.safetensors"
    small().save(path)
    larger = flows.u1_2d((8, 12), sweeps=1, terms=2, hidden=(3,), rng=9)
    larger.load_parameters(path)
    assert np.array_equal(larger.parameters, small().parameters)
    with pytest.raises(ValueError, match=r"layer 0 is .*'terms': 2.* in this network"):
        flows.u1_2d((4, 4), sweeps=1, terms=3, hidden=(3,), rng=9).load_parameters(path)
    pq.nn.zoo["task3/EQ2"].save(path)
    with pytest.raises(pq.FormatError, match="holds no flow"):
        flows.Flow.load(path)


# perfect maps


def plaquettes_of_a_line(beta):
    """beta (1 - cos P) of the plaquettes at x_1 = 0 alone, so that they are independent: open boundaries."""

    def value_and_force(U):
        theta = np.angle(U[..., 0, 0])
        P = theta[0, :, 0] + np.roll(theta[1, :, 0], -1) - theta[0, :, 1] - theta[1, :, 0]
        slope, force = beta * np.sin(P), np.zeros(U.shape[:-2])
        force[0, :, 0], force[0, :, 1], force[1, :, 0] = slope, -slope, np.roll(slope, 1) - slope
        return float((beta * (1 - np.cos(P))).sum()), 1j * force[..., None, None]

    return pq.actions.Custom(value_and_force)


def test_a_coupling_learns_the_trivialising_map_of_one_plaquette():
    """The exact one takes the distribution function of the uniform angle to that of exp(beta cos P)."""
    beta = 2.0
    layer = flows.PlaquetteCoupling(0, 0, period=3, terms=4, hidden=(), size=1)  # sees nothing: biases alone
    flow = flows.Flow(flows.Haar((3, 3)), [layer])
    x = np.linspace(-np.pi, np.pi, 4001)
    density = np.exp(beta * np.cos(x))
    cumulated = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    exact = np.interp(np.linspace(0, 1, 21), cumulated / cumulated[-1], x)
    theta = np.zeros((21, 2, 3, 3))
    theta[:, 0, 0, 0] = np.linspace(-np.pi, np.pi, 21)

    def distance():
        moved = flow._forward(theta)[0]
        return float(np.abs(np.sin((moved[:, 0, 0, 0] - exact) / 2)).max() * 2)

    action = plaquettes_of_a_line(beta)
    assert distance() > 0.5
    rule = pq.optimizers.Adam(0.05, schedule=pq.optimizers.Cosine(400))
    flow.fit(action, steps=400, batch=64, optimizer=rule, rng=4, progress=False)
    assert distance() < 0.15
    samples = flow.reweight(action, 2000, rng=1)
    assert samples.efficiency > 0.97
    assert samples.log_z().mean == pytest.approx(3 * math.log(bessel(0, beta)), abs=0.02)


@pytest.mark.parametrize(
    ("group", "shape", "beta", "count"),
    [("U(1)", (8, 8), 0.2, 40), ("SU(2)", (4, 4, 4), 0.3, 30), ("SU(3)", (4,) * 4, 0.6, 10)],
)
def test_the_leading_order_of_the_trivialising_map(group, shape, beta, count):
    """S(F(V)) - ln det over the Haar measure: its spread is O(beta^2), that of S is O(beta), and the coefficient is
    the one that makes it smallest.
    """
    V = [pq.GaugeField.hot(shape, group, rng=k) for k in range(count)]

    def spread(beta, factor=1.0, sweeps=1):
        F, S = pq.transform.trivializing(beta * factor, group, len(shape), sweeps=sweeps), pq.actions.Wilson(beta)
        new = pq.transform.Transformed(S, F)
        return float(np.std([new(v) for v in V]) / np.std([S(v) for v in V]))

    whole, half = spread(beta), spread(beta / 2)
    assert whole < 0.2
    assert half == pytest.approx(whole / 2, rel=0.25)
    assert spread(beta, sweeps=2) < 1.5 * whole
    factors = np.array([0.6, 0.8, 1.0, 1.2, 1.4])
    curve = np.polyfit(factors, [spread(beta, factor) ** 2 for factor in factors], 2)
    assert -curve[1] / (2 * curve[0]) == pytest.approx(1, abs=0.05)


def test_a_diverged_trajectory_is_infinite_and_an_error_of_the_action_is_none():
    """Couplings say that fields overflow; what an action refuses, also of large fields, is never taken for that."""
    flow, action = CASES["phi4"], pq.actions.Scalar(0.5, 0.2)
    shape = (*flow.prior.shape, 1)
    for size in (1e75, 1e200):
        value, force = flow._value_and_force(action, np.full(shape, size))
        assert value == math.inf
        assert not force.any()
    value, force = flow._value_and_force(action, np.full(shape, 100.0))
    assert math.isfinite(value)
    assert np.abs(force).max() > 1e3

    def refuse(phi):
        raise ValueError("no such field")

    for size in (1.0, 100.0):
        with pytest.raises(ValueError, match="no such field"):
            flow._value_and_force(pq.actions.Custom(refuse, field_class=pq.ScalarField), np.full(shape, size))


WRONG = {
    "odd extents": (lambda: flows.real_nvp(flows.Normal((3, 4)), rng=1), "even extents"),
    "no multiple of the period": (lambda: flows.u1_2d((6, 8), rng=1), "extent 6 must be a multiple of 4"),
    "components": (
        lambda: flows.Flow(flows.Normal((4, 4), 2), [flows.AffineCoupling()]),
        r"2 dimensions and 1 components.*Normal\(\(4, 4\), components=2\)",
    ),
    "links for scalars": (lambda: flows.Flow(flows.Haar((4, 4)), [flows.AffineCoupling()]), "is for scalar fields"),
    "scalars for links": (
        lambda: flows.Flow(flows.Normal((4, 4)), [flows.PlaquetteCoupling()]),
        r"U\(1\) links in two dimensions",
    ),
    "links of another group": (
        lambda: flows.Flow(flows.Haar((4, 4)), [flows.SpectralCoupling("SU(2)")]),
        r"is for SU\(2\) links",
    ),
    "another group": (lambda: flows.Haar((4, 4), "SU(5)"), 'unknown group "SU\\(5\\)"'),
    "action of other fields": (lambda: small().fit(pq.actions.Scalar(1.0), rng=1), "action of GaugeField"),
    "proposal of other fields": (lambda: pq.FlowProposal(small(), pq.actions.Scalar(1.0)), "action of GaugeField"),
    "a field of another shape": (lambda: small().log_prob(pq.GaugeField.cold((4, 8), "U(1)")), r"\(2, 4, 4, 1, 1\)"),
    "a field of another group": (lambda: small().log_prob(pq.GaugeField.cold((4, 4), "SU(2)")), r"\(2, 4, 4, 1, 1\)"),
    "angles for links": (lambda: small().log_prob(np.zeros((2, 4, 4, 1, 1))), "complex links"),
    "links off the circle": (lambda: small().inverse(2 * np.ones((2, 4, 4, 1, 1), complex)), "not in the group"),
    "NaN": (lambda: CASES["phi4"].log_prob(np.full((4, 4, 1), np.nan)), "NaN"),
    "no couplings": (lambda: flows.Flow(flows.Haar((4, 4)), []).fit(pq.actions.Wilson(1.0), rng=1), "nothing to train"),
    "unknown gradient": (
        lambda: small().fit(pq.actions.Wilson(1.0), gradient="paths", rng=1),
        'unknown gradient "paths"; did you mean "path"',
    ),
    "patience alone": (lambda: small().fit(pq.actions.Wilson(1.0), patience=3, rng=1), "give validation"),
    "past the bound": (lambda: pq.transform.trivializing(5.0, "SU(3)"), "0.125"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_says_what_is_allowed(name):
    call, message = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_rejected_updates_leave_the_state_and_a_step_makes_one_proposal():
    sampler = pq.FlowProposal(small(), pq.actions.Wilson(4.0))
    state = pq.GaugeField.cold((4, 4), "U(1)")
    after, info = sampler.step(state, rng=1)
    assert not info["accepted"]
    assert after is state
    assert len(sampler._made[3]) == 1
    sampler.advance(state, 1, 1)
    sampler.advance(state, 1, 2)
    assert len(sampler._made[3]) == 2
