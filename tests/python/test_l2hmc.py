"""Generalised leapfrog steps with networks: exact for all parameters, HMC without them, trained by jumps."""

import copy
import math
import pickle

import numpy as np
import plaq as pq
import pytest
from test_flows import SIGMA, torus

obs = pq.observables
RULE = pq.optimizers.Adam(0.01)


pytestmark = pytest.mark.usefixtures("one_thread")


def shaken(width=0.15, beta=2.0, **options):
    sampler = pq.L2HMC(pq.actions.Wilson(beta), **{"length": 0.8, "steps": 3, "hidden": (3,), "rng": 1, **options})
    sampler.parameters = sampler.parameters + width * np.random.default_rng(2).normal(size=sampler.n_parameters)
    return sampler


def points(count=3, shape=(4, 6)):
    stream = np.random.default_rng(5)
    return stream.uniform(-np.pi, np.pi, (count, 2, *shape)), stream.normal(size=(count, 2, *shape))


def apart(a, b):
    return np.abs(np.exp(1j * np.asarray(a)) - np.exp(1j * np.asarray(b))).max()


def test_the_inverse_trajectory_undoes_the_trajectory():
    sampler, (theta, v) = shaken(0.3), points()
    there, momenta, log_det, _ = sampler._forward(theta, v)
    back, before, other = sampler._backward(there, momenta)
    assert apart(back, theta) < 1e-12
    assert np.abs(before - v).max() < 1e-12
    assert np.allclose(other, -log_det, rtol=0, atol=1e-11)
    assert np.abs(log_det).min() > 0.05
    assert apart(there, theta) > 0.5


def test_log_det_is_that_of_the_dense_jacobian():
    sampler, (theta, v) = shaken(0.3, steps=2), points(1, (2, 4))
    size, h = theta.size, 1e-4

    def image(x):
        there, momenta, _, _ = sampler._forward(x[:size].reshape(theta.shape), x[size:].reshape(v.shape))
        return np.concatenate([there.ravel(), momenta.ravel()])

    x = np.concatenate([theta.ravel(), v.ravel()])
    steps = h * np.eye(len(x))
    rows = [8 * (image(x + e) - image(x - e)) - image(x + 2 * e) + image(x - 2 * e) for e in steps]
    sign, exact = np.linalg.slogdet(np.array(rows) / (12 * h))
    log_det = sampler._forward(theta, v)[2][0]
    assert sign == 1
    assert log_det == pytest.approx(exact, abs=1e-7)
    assert abs(log_det) > 0.02


def test_without_networks_it_is_the_leapfrog_trajectory():
    """theta and v as by the plain formulas, energy changes that fall with the square of the step, no Jacobian."""
    S, (theta, v) = pq.actions.Wilson(2.0), points(2)
    sampler = pq.L2HMC(S, length=1.0, steps=5, hidden=(3,))
    there, momenta, log_det, _ = sampler._forward(theta, v)
    assert np.abs(log_det).max() < 1e-12
    x, p, eps = theta.copy(), v.copy(), 1.0 / 5

    def force(x):
        fields = [pq.GaugeField.from_numpy(np.exp(1j * each)[..., None, None]) for each in x]
        return np.stack([S.force(U)[..., 0, 0].imag for U in fields])

    for _ in range(5):
        p = p - eps / 2 * force(x)
        x = x + eps * p
        p = p - eps / 2 * force(x)
    assert apart(there, x) < 1e-13
    assert np.abs(momenta - p).max() < 1e-13


@pytest.mark.parametrize("width", [0.0, 0.06])
def test_plaquette_is_exact_and_the_weight_has_mean_one(width):
    sampler = shaken(width, beta=1.5)
    start = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    measured = {"plaquette": obs.plaquette, "q2": lambda U: obs.topological_charge(U, "geometric") ** 2}
    chain = sampler.run(start, 1000, warmup=30, observables=measured, rng=3, progress=False)
    assert 0.3 < chain.acceptance <= 1
    found = chain.estimate("plaquette")
    assert abs(found.mean - torus(1.5, 16)[1]) < SIGMA * found.error < 0.05
    weight = chain.info["exp_minus_delta_h"]
    assert abs(weight.mean() - 1) < SIGMA * weight.std() / math.sqrt(len(weight)) < 0.3
    plain = pq.Heatbath(pq.actions.Wilson(1.5)).run(start, 4000, observables=measured, rng=3, progress=False)
    a, b = chain.estimate("q2"), plain.estimate("q2")
    assert abs(a.mean - b.mean) < SIGMA * math.hypot(a.error, b.error)


def test_flow_from_one_region_to_another_is_the_flow_back():
    """Detailed balance: in equilibrium as many updates go from small to large plaquettes as the other way."""
    sampler, S = shaken(0.12, beta=1.0), pq.actions.Wilson(1.0)
    heatbath, U = pq.Heatbath(S), pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    moves = np.zeros((2, 2))
    for k in range(1000):
        U = heatbath.step(U, rng=k)[0]
        W = sampler.advance(U, 9, k)[0]
        moves[int(obs.plaquette(U) > 0.45), int(obs.plaquette(W) > 0.45)] += 1
    there, back = moves[0, 1], moves[1, 0]
    assert min(there, back) > 60
    assert abs(there - back) < SIGMA * math.sqrt(there + back)


@pytest.mark.parametrize("jump", ["charge", "angles"])
def test_the_gradient_of_the_jump_is_its_derivative(jump):
    sampler, (theta, v) = shaken(0.3), points(4, (4, 4))
    x = sampler.parameters
    _, accepted, jumps, _, gradient = sampler._jump_and_gradient(theta, v, jump)
    assert (accepted < 1).any()
    assert (jumps > 0).all()

    def loss(y):
        sampler.parameters = y
        return -sampler._jump_and_gradient(theta, v, jump)[2].mean()

    directions = [np.eye(len(x))[0], *np.random.default_rng(1).normal(size=(3, len(x)))]
    for direction in directions:
        h = 1e-5
        slope = (8 * (loss(x + h * direction) - loss(x - h * direction))) / (12 * h)
        slope -= (loss(x + 2 * h * direction) - loss(x - 2 * h * direction)) / (12 * h)
        assert gradient @ direction == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_training_makes_jumps_larger_and_leaves_the_plaquette():
    S = pq.actions.Wilson(2.0)
    U, fields = pq.GaugeField.hot((4, 4), "U(1)", rng=1), []
    for k in range(32):
        U = pq.Heatbath(S).run(U, 5, rng=k, progress=False).state
        fields.append(U)
    sampler = pq.L2HMC(S, length=0.5, steps=2, hidden=(3,), rng=1)
    history = sampler.fit(fields, steps=60, jump="angles", optimizer=pq.optimizers.Adam(0.02), rng=2, progress=False)
    assert history.loss[-10:].mean() < 1.5 * history.loss[:10].mean() < 0
    chain = sampler.run(fields[0], 1000, rng=4, progress=False)
    found = chain.estimate("plaquette")
    assert abs(found.mean - torus(2.0, 16)[1]) < SIGMA * found.error < 0.05


def test_a_resumed_training_and_chain_have_the_same_bits(tmp_path):
    fields = [pq.GaugeField.hot((4, 4), "U(1)", rng=k) for k in range(3)]
    options = {"optimizer": RULE, "rng": 3, "progress": False}
    whole, part, path = shaken(), shaken(), tmp_path / "training"
    history = whole.fit(fields, steps=6, **options)
    part.fit(fields, steps=2, checkpoint=path, **options)
    rest = part.fit(fields, steps=6, checkpoint=path, **options)
    assert np.array_equal(part.parameters, whole.parameters)
    assert np.array_equal(rest.loss, history.loss)
    chain = whole.run(fields[0], 6, rng=3, progress=False)
    whole.run(fields[0], 3, rng=3, checkpoint=tmp_path / "run", progress=False)
    other = pickle.loads(pickle.dumps(part)).run(fields[0], 6, rng=3, checkpoint=tmp_path / "run", progress=False)
    assert np.array_equal(other["plaquette"], chain["plaquette"])
    with pytest.raises(pq.CheckpointError, match="parameters"):
        shaken(0.2).run(fields[0], 6, rng=3, checkpoint=tmp_path / "run", progress=False)
    twin = copy.deepcopy(whole)
    twin.parameters = 0.5 * twin.parameters
    assert not np.array_equal(twin.parameters, whole.parameters)


W, SU2 = pq.actions.Wilson(1.0), pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
WRONG = {
    "another action": (lambda: pq.L2HMC(pq.actions.Iwasaki(1.0)), TypeError, "Wilson"),
    "no steps": (lambda: pq.L2HMC(W, steps=0), ValueError, "steps"),
    "a negative bound": (lambda: pq.L2HMC(W, bound=-1.0), ValueError, "bound"),
    "SU(2)": (lambda: pq.L2HMC(W, steps=1).step(SU2, rng=1), ValueError, r"U\(1\) in two"),
    "odd extents": (
        lambda: pq.L2HMC(W, steps=1).step(pq.GaugeField.hot((3, 4), "U(1)", rng=1), rng=1),
        ValueError,
        "even",
    ),
    "no fields": (lambda: pq.L2HMC(W, steps=1).fit([], rng=1), TypeError, "at least 1"),
    "an unknown jump": (
        lambda: pq.L2HMC(W, steps=1).fit([pq.GaugeField.hot((4, 4), "U(1)", rng=1)], jump="far", rng=1),
        ValueError,
        "charge",
    ),
    "two lattices": (
        lambda: pq.L2HMC(W, steps=1).fit([pq.GaugeField.hot((k, 4), "U(1)", rng=1) for k in (4, 6)], rng=1),
        ValueError,
        "one lattice",
    ),
    "parameters of another": (lambda: setattr(pq.L2HMC(W), "parameters", [1.0]), ValueError, "numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_what_works(case):
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
