"""Stochastic flows and HMC in the variables of a flow: exact results with trained, untrained and no couplings."""

import copy
import math
import pickle
import warnings

import numpy as np
import plaq as pq
import pytest
from plaq.flows.training import Draw
from test_flows import SIGMA, dense_kernel, log_z_of_characters, phi4_on_two_sites, shaken, torus

flows, obs = pq.flows, pq.observables
HAAR = flows.Flow(flows.Haar((4, 4)), [])
RULE = pq.optimizers.Adam(0.01)


pytestmark = pytest.mark.usefixtures("one_thread")


def u1(width=0.0):
    return shaken(flows.u1_2d((4, 4), sweeps=1, terms=2, hidden=(3,), rng=1), width)


def plaquette(U):
    return obs.plaquette(pq.GaugeField.from_numpy(U))


@pytest.mark.parametrize("kind", ["no couplings", "random couplings", "trained couplings"])
def test_u1_partition_function_and_plaquette(kind):
    beta = 1.5
    flow = HAAR if kind == "no couplings" else u1(0.02 if "random" in kind else 0.0)
    stochastic = flows.StochasticFlow(flow, pq.actions.Wilson(beta), 8, length=1.0, steps=3)
    if kind == "trained couplings":
        before = stochastic.reweight(200, rng=1).log_weights.mean()
        stochastic.fit(steps=25, batch=16, optimizer=RULE, rng=3, progress=False)
        assert stochastic.reweight(200, rng=1).log_weights.mean() > before + 1
    samples = stochastic.reweight(600, rng=5)
    assert samples.efficiency > 0.02
    assert samples.acceptance.shape == (8,)
    assert samples.acceptance.min() > 0.8
    log_z, exact = torus(beta, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pq.StatisticsWarning)  # 18 effective samples of random couplings
        found, mean = samples.log_z(), samples.mean(plaquette)
    assert abs(found.mean - log_z) < SIGMA * found.error < 1.0
    assert abs(mean.mean - exact) < SIGMA * mean.error < 0.2
    # the last fields alone, without weights, are not in equilibrium; the bound of ln Z is one
    assert samples.log_weights.mean() < log_z - 0.1


def test_more_stages_waste_less_work():
    means = [
        flows.StochasticFlow(HAAR, pq.actions.Wilson(1.5), n, steps=3).reweight(150, rng=2).log_weights.mean()
        for n in (1, 4, 16)
    ]
    assert means[0] + 2 < means[1] < means[2] < torus(1.5, 16)[0]


def test_su2_partition_function():
    layers = [flows.SpectralCoupling("SU(2)", k % 2, k // 2, period=3, terms=1, hidden=(3,), rng=k) for k in range(4)]
    beta, flow = 2.0, shaken(flows.Flow(flows.Haar((3, 3), "SU(2)"), layers), 0.15)
    samples = flows.StochasticFlow(flow, pq.actions.Wilson(beta), 14, steps=3).reweight(500, rng=5)
    assert np.abs(flow.log_det(flow.prior._array_of(flow.prior._sampled(5, 1)))).max() > 0.3
    found = samples.log_z()
    assert abs(found.mean - log_z_of_characters(2, beta, 9)) < SIGMA * found.error < 0.5


@pytest.mark.parametrize(
    "prior", [flows.FreeField((4, 4), 1.6), flows.Normal((4, 4), width=0.6)], ids=["free", "normal"]
)
def test_free_field(prior):
    """ln Z and the propagator; the fractions need not be even, the couplings not be near the identity."""
    mass2, flow = 0.8, shaken(flows.real_nvp(prior, couplings=3, hidden=(3,), rng=1), 0.06)
    stochastic = flows.StochasticFlow(flow, pq.actions.Scalar(mass2), [0.1, 0.3, 0.6, 0.8, 1.0], updates=2, steps=3)
    samples = stochastic.reweight(1000, rng=3)
    kernel = dense_kernel((4, 4), mass2)
    found = samples.log_z()
    assert abs(found.mean + 0.5 * np.linalg.slogdet(kernel / (2 * np.pi))[1]) < SIGMA * found.error < 0.5
    propagator = np.linalg.inv(kernel)[0]
    for shift, exact in ((0, propagator[0]), (1, propagator[1])):
        mean = samples.mean(lambda phi, s=shift: float((phi * np.roll(phi, s, 1)).mean()))
        assert abs(mean.mean - exact) < SIGMA * mean.error < 0.1


def test_where_the_prior_is_exact_no_work_is_done():
    flow = flows.Flow(flows.FreeField((4, 2), 0.7), [])
    samples = flows.StochasticFlow(flow, pq.actions.Scalar(0.7), 3, steps=2).reweight(20, rng=1)
    exact = -0.5 * np.linalg.slogdet(dense_kernel((4, 2), 0.7) / (2 * np.pi))[1]
    assert np.allclose(samples.log_weights, exact, rtol=0, atol=1e-10)
    assert samples.efficiency == pytest.approx(1, abs=1e-12)


def test_phi4_on_two_sites_against_quadrature():
    mass2, lam = -1.0, 0.5
    log_z, phi2, neighbours = phi4_on_two_sites(mass2, lam)
    flow = shaken(flows.real_nvp(flows.Normal((2,)), couplings=4, hidden=(4,), rng=1), 0.1)
    samples = flows.StochasticFlow(flow, pq.actions.Scalar(mass2, lam), 4, steps=3).reweight(1500, rng=3)
    found = samples.log_z()
    assert abs(found.mean - log_z) < SIGMA * found.error < 0.2
    for observable, exact in ((lambda x: float((x**2).mean()), phi2), (lambda x: float(x.prod()), neighbours)):
        mean = samples.mean(observable)
        assert abs(mean.mean - exact) < SIGMA * mean.error < 0.2


def test_without_updates_it_is_the_flow():
    flow, action = u1(0.2), pq.actions.Wilson(1.0)
    a = flow.reweight(action, 30, rng=4)
    b = flows.StochasticFlow(flow, action, 5, updates=0).reweight(30, rng=4)
    assert np.allclose(a.log_weights, b.log_weights, rtol=0, atol=1e-10)
    assert np.allclose(a.fields, b.fields, rtol=0, atol=1e-13)
    assert b.acceptance is None


@pytest.mark.parametrize("name", ["U(1)", "phi4"])
def test_the_gradient_is_that_of_every_stage_at_fixed_fields_in_front_of_it(name):
    if name == "U(1)":
        flow, action = u1(0.2), pq.actions.Wilson(1.5)
    else:
        flow = shaken(flows.real_nvp(flows.Normal((4, 2)), couplings=6, hidden=(3,), rng=1), 0.1)
        action = pq.actions.Scalar(0.5, 0.2)
    stochastic = flows.StochasticFlow(flow, action, [0.4, 1.0], steps=3)
    draw, theta = Draw(7, 0, 4, 1), flow.parameters
    _, gradient = stochastic._losses_and_gradient(action, "", draw)
    half = sum(layer.network.n_parameters for layer in flow.layers[: len(flow.layers) // 2])
    direction = np.random.default_rng(1).normal(size=theta.size)
    # moving the couplings of the last stage leaves everything in front of it as it is
    last = np.where(np.arange(theta.size) < half, 0.0, direction)
    slope = derivative(stochastic, theta, last, lambda: stochastic._losses(action, draw).mean())
    assert gradient @ last == pytest.approx(slope, rel=1e-6)
    # the first stage alone: its divergence from the action between
    front = flows.StochasticFlow(
        flows.Flow(flow.prior, flow.layers[: len(flow.layers) // 2]), stochastic._between(0.4), 1, updates=0
    )
    slope = derivative(front, theta[:half], direction[:half], lambda: front._losses(action, draw).mean())
    assert gradient[:half] @ direction[:half] == pytest.approx(slope, rel=1e-6)


def derivative(model, theta, direction, value, h=1e-4):
    values = []
    for factor in (2, 1, -1, -2):
        model.parameters = theta + factor * h * direction
        values.append(value())
    model.parameters = theta
    return (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * h)


def test_a_path_is_a_function_of_seed_and_number(monkeypatch):
    stochastic = flows.StochasticFlow(u1(0.1), pq.actions.Wilson(1.0), 3, steps=2)
    whole = stochastic.reweight(9, rng=4)
    monkeypatch.setattr("plaq.flows.stochastic.CHUNK", 4)
    for twin in (stochastic.copy(), copy.deepcopy(stochastic), pickle.loads(pickle.dumps(stochastic))):
        parts = twin.reweight(9, rng=4)
        assert np.allclose(parts.log_weights, whole.log_weights, rtol=0, atol=1e-10)
        assert np.allclose(parts.fields, whole.fields, rtol=0, atol=1e-12)
        assert np.allclose(parts.acceptance, whole.acceptance)
    assert not np.allclose(stochastic.reweight(9, rng=5).log_weights, whole.log_weights)


def test_a_resumed_training_has_the_same_bits(tmp_path):
    def new():
        return flows.StochasticFlow(u1(), pq.actions.Wilson(1.0), 2, steps=2)

    options = {"batch": 4, "optimizer": RULE, "rng": 3, "validation": 4, "progress": False}
    whole, part, path = new(), new(), tmp_path / "training"
    history = whole.fit(steps=6, **options)
    part.fit(steps=2, checkpoint=path, **options)
    rest = part.fit(steps=6, checkpoint=path, **options)
    assert np.array_equal(part.parameters, whole.parameters)
    assert np.array_equal(rest.loss, history.loss)
    with pytest.raises(pq.CheckpointError, match="fractions"):
        flows.StochasticFlow(u1(), pq.actions.Wilson(1.0), 3, steps=2).fit(steps=6, checkpoint=path, **options)


# HMC in the variables of a flow


def test_flowed_hmc_has_the_exact_plaquette_and_charge():
    layers = [flows.PlaquetteCoupling(k, k, terms=1, hidden=(3,), rng=k) for k in range(2)]
    flow = shaken(flows.Flow(flows.Haar((4, 4)), layers), 0.15)
    assert np.abs(flow.log_det(flow.prior._array_of(flow.prior._sampled(5, 1)))).max() > 0.3
    sampler = pq.FieldTransformHMC(pq.actions.Wilson(2.0), flow, length=1.0, steps=4)
    measured = {"plaquette": obs.plaquette, "q2": lambda U: obs.topological_charge(U, "geometric") ** 2}
    start = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    chain = sampler.run(start, 400, warmup=20, observables=measured, rng=2, progress=False)
    assert chain.acceptance > 0.7
    found = chain.estimate("plaquette")
    assert abs(found.mean - torus(2.0, 16)[1]) < SIGMA * found.error < 0.05
    weight = chain.info["exp_minus_delta_h"]
    assert abs(weight.mean() - 1) < SIGMA * weight.std() / math.sqrt(len(weight)) < 0.1
    plain = pq.Heatbath(pq.actions.Wilson(2.0)).run(start, 6000, observables=measured, rng=3, progress=False)
    a, b = chain.estimate("q2"), plain.estimate("q2")
    assert abs(a.mean - b.mean) < SIGMA * math.hypot(a.error, b.error)


def test_flowed_hmc_of_scalars_against_quadrature():
    mass2, lam = -1.0, 0.5
    _, phi2, neighbours = phi4_on_two_sites(mass2, lam)
    flow = shaken(flows.real_nvp(flows.Normal((2,)), couplings=2, hidden=(3,), rng=1), 0.2)
    sampler = pq.FieldTransformHMC(pq.actions.Scalar(mass2, lam), flow, length=1.2, steps=3)
    measured = {"phi2": lambda x: float((np.asarray(x) ** 2).mean()), "nn": lambda x: float(np.asarray(x).prod())}
    chain = sampler.run(pq.ScalarField.zeros((2,)), 500, warmup=50, observables=measured, rng=4, progress=False)
    assert 0.5 < chain.acceptance < 1
    for name, exact in (("phi2", phi2), ("nn", neighbours)):
        found = chain.estimate(name)
        assert abs(found.mean - exact) < SIGMA * found.error < 0.3, name


@pytest.mark.parametrize("kind", ["U(1)", "SU(2)", "SU(3)", "phi4"])
def test_the_force_in_the_variables_of_a_flow_is_the_derivative(kind):
    if kind == "phi4":
        flow = shaken(flows.real_nvp(flows.Normal((4, 2)), couplings=3, hidden=(3,), rng=1), 0.1)
        S, V = pq.actions.Scalar(0.5, 0.2), pq.ScalarField.random((4, 2), rng=1)
        direction = np.asarray(pq.ScalarField.random((4, 2), rng=2))
    else:
        settings = {"sweeps": 1, "period": 3, "terms": 2, "hidden": (3,), "rng": 1}
        flow = flows.u1_2d((3, 3), **settings) if kind == "U(1)" else flows.su_2d((3, 3), kind, **settings)
        flow, S, V = shaken(flow, 0.1), pq.actions.Wilson(1.5), pq.GaugeField.hot((3, 3), kind, rng=3)
        direction = pq.actions.Wilson(2.0).force(pq.GaugeField.hot((3, 3), kind, rng=6))
    T = pq.transform.Transformed(S, flow)
    assert T(V) == pytest.approx(S(T._old(V)) - flow.log_det(V), abs=1e-9)
    assert np.abs(np.asarray(T._new(T._old(V))) - np.asarray(V)).max() < 1e-10

    def moved(h):
        if kind == "phi4":
            return T(pq.ScalarField.from_numpy(np.asarray(V) + h * direction))
        w, v = np.linalg.eigh(-1j * direction)
        step = np.einsum("...ij,...j,...kj->...ik", v, np.exp(1j * h * w), v.conj())
        return T(pq.GaugeField.from_numpy(step @ np.asarray(V)))

    slope = (8 * (moved(1e-4) - moved(-1e-4)) - (moved(2e-4) - moved(-2e-4))) / 12e-4
    force, dtheta = T.force(V), flow.pullback(V, S.force(T._old(V)), log_det=-1.0)
    if kind == "phi4":
        predicted = (force * direction).sum()
    else:
        predicted = -(1 if kind == "U(1)" else 2) * np.trace(force @ direction, axis1=-2, axis2=-1).real.sum()
    assert predicted == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert np.allclose(dtheta[0], force, rtol=0, atol=1e-12)
    theta, along = flow.parameters, np.random.default_rng(1).normal(size=flow.n_parameters)

    def tuned(h):
        flow.parameters = theta + h * along
        return pq.transform.Transformed(S, flow)(V)

    assert dtheta[1] @ along == pytest.approx((tuned(1e-5) - tuned(-1e-5)) / 2e-5, rel=1e-5)


def test_flowed_hmc_resumes_and_knows_its_flow(tmp_path):
    S, flow = pq.actions.Wilson(1.5), u1(0.1)
    sampler = pq.FieldTransformHMC(S, flow, steps=4)
    start = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    whole = sampler.run(start, 6, rng=3, progress=False)
    path = tmp_path / "run"
    sampler.run(start, 3, rng=3, checkpoint=path, progress=False)
    rest = pickle.loads(pickle.dumps(sampler)).run(start, 6, rng=3, checkpoint=path, progress=False)
    assert np.array_equal(rest["plaquette"], whole["plaquette"])
    with pytest.raises(pq.CheckpointError, match="parameters"):
        pq.FieldTransformHMC(S, u1(0.11), steps=4).run(start, 6, rng=3, checkpoint=path, progress=False)


S, PHI = pq.actions.Wilson(1.0), pq.actions.Scalar(1.0)
WRONG = {
    "no flow": (lambda: flows.StochasticFlow(S, S), TypeError, "plaq.flows.Flow"),
    "another field": (lambda: flows.StochasticFlow(HAAR, PHI), TypeError, "GaugeField"),
    "no stage": (lambda: flows.StochasticFlow(HAAR, S, 0), ValueError, "fractions"),
    "fractions that fall": (lambda: flows.StochasticFlow(HAAR, S, [0.5, 0.4, 1.0]), ValueError, "increase"),
    "fractions below 1": (lambda: flows.StochasticFlow(HAAR, S, [0.5, 0.9]), ValueError, "to 1"),
    "no fractions": (lambda: flows.StochasticFlow(HAAR, S, []), ValueError, "increase"),
    "a word": (lambda: flows.StochasticFlow(HAAR, S, "ten"), TypeError, "fractions"),
    "negative length": (lambda: flows.StochasticFlow(HAAR, S, length=-1.0), ValueError, "length"),
    "unknown integrator": (lambda: flows.StochasticFlow(HAAR, S, integrator="leap"), ValueError, "leapfrog"),
    "nothing to train": (lambda: flows.StochasticFlow(HAAR, S).fit(rng=1), ValueError, "no couplings"),
    "a scalar flow of links": (
        lambda: pq.FieldTransformHMC(S, flows.real_nvp(flows.Normal((4, 4)), couplings=1, rng=1)),
        TypeError,
        "same fields",
    ),
    "training of a flow by forces": (lambda: pq.FieldTransformHMC(S, u1()).train([]), TypeError, "flow.fit"),
    "another lattice": (
        lambda: pq.FieldTransformHMC(S, u1(), steps=2).step(pq.GaugeField.hot((8, 8), "U(1)", rng=1), rng=1),
        ValueError,
        "shape",
    ),
    "a cotangent of another shape": (
        lambda: u1().pullback(pq.GaugeField.hot((4, 4), "U(1)", rng=1), np.zeros(3)),
        ValueError,
        "shape",
    ),
    "several fields": (
        lambda: u1().pullback([pq.GaugeField.hot((4, 4), "U(1)", rng=1)] * 2, np.zeros(3)),
        ValueError,
        "takes one",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_what_works(case):
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
