"""Field transformations: exact sampling in new variables, inverse, log det, training, files, wrong input."""

import copy
import math
import pickle

import numpy as np
import plaq as pq
import pytest
from plaq import nn
from plaq.statistics import estimate
from plaq.transform import StoutMask, Transformed, su3_4d, u1_2d

obs = pq.observables
SIGMA = 3.0


pytestmark = pytest.mark.usefixtures("one_thread")


def close(a, b, tolerance=1e-12):
    return np.abs(np.asarray(a) - np.asarray(b)).max() < tolerance


def learned_2d(sweeps=1, size=3.0, channels=2):
    """Coefficients of plaquettes and rectangles by networks with weights large enough to reach the bound somewhere."""
    F = u1_2d(loops=["plaquette", "rectangle"], sweeps=sweeps, channels=channels, rng=5)
    F.parameters = size * F.parameters
    return F


def learned_4d():
    """Links of one direction, all loops in one convolution."""
    net = nn.Sequential([nn.Conv(2, 18, 2), nn.GELU(), nn.Conv(1, 2, 1)], ndim=4, rng=3)
    return pq.FieldTransform([StoutMask(direction=2, network=net)])


CASES = {
    "U(1)": ("U(1)", (8, 8), u1_2d([0.12, -0.1], loops=["plaquette", "rectangle"])),
    "SU(2)": ("SU(2)", (4, 4, 4, 4), su3_4d(0.11)),
    "SU(3)": ("SU(3)", (4, 2, 4, 2), su3_4d([0.01, -0.013], loops=["plaquette", "chair"])),
    "U(1) network": ("U(1)", (8, 8), learned_2d()),
    "SU(2) network": ("SU(2)", (4, 4), learned_2d()),
    "SU(3) network": ("SU(3)", (4, 2, 4, 2), learned_4d()),
}


@pytest.mark.parametrize("case", CASES)
def test_inverse_undoes_and_everything_is_gauge_covariant(case):
    group, shape, F = CASES[case]
    V = pq.GaugeField.hot(shape, group, rng=3)
    U = F(V)
    assert not close(U, V, 0.02)
    assert close(F.inverse(U), V)
    assert close(F(F.inverse(V)), V)
    g = pq.GaugeField.hot(shape, group, rng=4)
    g = np.asarray(g)[0]
    W = V.gauge_transform(g)
    assert close(F(W), U.gauge_transform(g))
    assert F.log_det(W) == pytest.approx(F.log_det(V), rel=1e-11)


def test_log_det_of_u1_is_the_sum_of_logarithms():
    c, V = 0.2, pq.GaugeField.hot((4, 6), "U(1)", rng=1)
    F = pq.FieldTransform([StoutMask(c, ndim=2, direction=0, subset=1)])
    theta = np.angle(np.asarray(V)[..., 0, 0])
    plaquette = theta[0] + np.roll(theta[1], -1, 0) - np.roll(theta[0], -1, 1) - theta[1]
    above, below = plaquette, -np.roll(plaquette, 1, 1)
    active = (np.arange(4) % 2 == 1)[:, None] & (np.arange(6) % 2 == 0)[None]
    exact = np.log(1 - c * (np.cos(above) + np.cos(below)))[active].sum()
    assert F.log_det(V) == pytest.approx(exact, rel=1e-12)
    theta[0] -= np.where(active, c * (np.sin(above) + np.sin(below)), 0.0)
    assert close(np.asarray(F(V))[..., 0, 0], np.exp(1j * theta), 1e-14)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("case", ["SU(3)", "U(1) network", "SU(2) network", "SU(3) network"])
def test_force_in_new_variables_is_the_derivative_of_the_action(case, recompute):
    group, shape, F = CASES[case]
    F = pq.FieldTransform(F.layers, recompute=recompute)
    S = Transformed(pq.actions.Iwasaki(2.0) + pq.actions.Wilson(1.0), F)
    V = pq.GaugeField.hot(shape, group, rng=5)
    direction = pq.actions.Wilson(3.0).force(pq.GaugeField.hot(shape, group, rng=6))

    def moved(h):
        w, v = np.linalg.eigh(-1j * direction)
        step = np.einsum("...ij,...j,...kj->...ik", v, np.exp(1j * h * w), v.conj())
        return S(pq.GaugeField.from_numpy(step @ np.asarray(V)))

    slope = (8 * (moved(1e-3) - moved(-1e-3)) - (moved(2e-3) - moved(-2e-3))) / 12e-3
    metric = 1 if group == "U(1)" else 2
    predicted = -metric * np.trace(S.force(V) @ direction, axis1=-2, axis2=-1).real.sum()
    assert predicted == pytest.approx(slope, rel=1e-7)


TORUS = {2.0: (0.69777465801084, 1.23929891072)}
"""Plaquette in infinite volume (on 8^2 the same to the error here) and <Q^2> on 8^2 (test_sampling_exact.py)."""


@pytest.mark.parametrize(
    "layers", [u1_2d(0.15), u1_2d([0.1, 0.05], loops=["plaquette", "rectangle"], sweeps=1), learned_2d(size=1.5)]
)
def test_hmc_and_its_transformation_give_exact_plaquette_and_susceptibility(layers):
    beta, shape = 2.0, (8, 8)
    plaquette, q2 = TORUS[beta]
    S = pq.actions.Wilson(beta)
    for sampler in (pq.HMC(S, length=2.0, steps=8), pq.FieldTransformHMC(S, layers, length=2.0, steps=12)):
        squares = {"plaquette": obs.plaquette, "q2": lambda U: obs.topological_charge(U, "geometric") ** 2}
        start = pq.GaugeField.hot(shape, "U(1)", rng=1)
        chain = sampler.run(start, 2000, warmup=100, observables=squares, rng=2, progress=False)
        assert chain.acceptance > 0.6
        weight = np.exp(-chain.info["delta_h"])
        error = max(estimate(weight).error, weight.std() / math.sqrt(len(weight)))
        assert abs(weight.mean() - 1) < SIGMA * error
        for name, exact, precision in (("plaquette", plaquette, 0.005), ("q2", q2, 0.1)):
            found = chain.estimate(name)
            assert abs(found.mean - exact) < SIGMA * found.error, (sampler, name, found)
            assert found.error < precision * exact


def test_su3_plaquette_is_that_of_hmc():
    S, start = pq.actions.Wilson(5.0), pq.GaugeField.hot((4, 4, 4, 4), "SU(3)", rng=1)
    heatbath = pq.Heatbath(S, overrelaxation=2).run(start, 150, warmup=40, rng=5, progress=False)
    sampler = pq.FieldTransformHMC(S, su3_4d(0.08), length=1.0, steps=8)
    chain = sampler.run(heatbath.state, 130, warmup=5, rng=6, progress=False)
    assert chain.acceptance > 0.6
    a, b = heatbath.estimate("plaquette"), chain.estimate("plaquette")
    assert abs(a.mean - b.mean) < SIGMA * math.hypot(a.error, b.error)
    assert b.error < 0.006


def test_runs_resume_to_the_same_bits_and_know_their_transformation(tmp_path):
    S, F = pq.actions.Wilson(2.0), u1_2d(0.1)
    sampler = pq.FieldTransformHMC(S, F, steps=5)
    start = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
    whole = sampler.run(start, 6, rng=3, progress=False)
    path = tmp_path / "run"
    sampler.run(start, 3, rng=3, checkpoint=path, progress=False)
    rest = copy.deepcopy(sampler).run(start, 6, rng=3, checkpoint=path, progress=False)
    assert np.array_equal(rest["plaquette"], whole["plaquette"])
    other = pq.FieldTransformHMC(S, u1_2d(0.11), steps=5)
    with pytest.raises(pq.CheckpointError, match="parameters"):
        other.run(start, 6, rng=3, checkpoint=path, progress=False)


def test_steps_are_chosen_in_the_warm_up():
    sampler = pq.FieldTransformHMC(pq.actions.Wilson(2.0), u1_2d(0.2))
    chain = sampler.run(pq.GaugeField.hot((8, 8), "U(1)", rng=1), 100, warmup=50, rng=3, progress=False)
    assert chain.acceptance > 0.5
    assert chain.tuned["steps"] > 1


def test_a_rejected_trajectory_leaves_the_field_as_it_was():
    sampler = pq.FieldTransformHMC(pq.actions.Wilson(20.0), u1_2d(0.2), length=3.0, steps=1)
    U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    results = [sampler.step(U, rng=k) for k in range(5)]
    assert any(not info["accepted"] for _, info in results)
    assert all(after == U for after, info in results if not info["accepted"])


@pytest.mark.parametrize(
    "size", [{}, {"norms": {2: 1.0, 4: 0.5, 8: 0.1}, "largest": 0.3}, {"norms": {}, "log_mean_exp": 1.0}]
)
@pytest.mark.parametrize(
    ("F", "chosen"),
    [(u1_2d([0.05, 0.03], loops=["plaquette", "rectangle"]), 4), (learned_2d(size=1.0), 12)],
    ids=["constant", "network"],
)
def test_gradient_of_the_force_size_is_its_derivative_at_fixed_v(F, chosen, size):
    """At fixed V: fields are the images of V under the transformation at hand."""
    S, target = pq.actions.Wilson(3.0), pq.actions.Wilson(1.5)
    loss = pq.losses.TransformedForce(S, target, **size)
    V = pq.GaugeField.hot((4, 4), "U(1)", rng=2)

    def value(x):
        G = F.copy()
        G.parameters = x
        return loss.of_batch(G, [G(V)], [None])

    x = F.parameters
    _, gradient = value(x)
    for k in np.linspace(0, len(x) - 1, chosen).astype(int):
        h = 1e-4 * np.eye(len(x))[k]
        slope = (8 * (value(x + h)[0] - value(x - h)[0]) - (value(x + 2 * h)[0] - value(x - 2 * h)[0])) / 12e-4
        assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-9)
    f = Transformed(S, F).force(V) - target.force(V)
    f = np.abs(f[..., 0, 0]).ravel()
    exact = loss.log_mean_exp * math.log(np.exp(f).mean()) + loss.largest * f.max()
    exact += sum(w * (f**p).mean() ** (1 / p) for p, w in loss.norms.items())
    assert value(x)[0] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    ("group", "shape", "layers", "rate"),
    [
        ("U(1)", (8, 8), u1_2d(), 0.03),
        ("SU(3)", (4, 4, 4, 4), su3_4d(), 0.03),
        ("U(1)", (8, 8), u1_2d(sweeps=1, channels=2, rng=1), 0.01),
    ],
    ids=["U(1)", "SU(3)", "network"],
)
def test_training_makes_forces_smaller_on_held_back_fields(group, shape, layers, rate, tmp_path):
    S = pq.actions.Wilson(3.0 if group == "U(1)" else 5.5)
    start = pq.GaugeField.hot(shape, group, rng=1)
    chain = pq.Heatbath(S).run(start, 40, thin=5, observables={"links": np.asarray}, rng=1, progress=False)
    fields = [pq.GaugeField.from_numpy(links) for links in chain["links"][16::6]]
    sampler = pq.FieldTransformHMC(S, layers, steps=10)
    settings = {"optimizer": pq.optimizers.Adam(rate), "validation": 0.25, "progress": False}
    path = tmp_path / "training"
    history = sampler.train(fields, epochs=6, checkpoint=path, **settings)
    again = pq.FieldTransformHMC(S, layers, steps=10)
    again.train(fields, epochs=3, checkpoint=tmp_path / "first", **settings)
    again.train(fields, epochs=6, checkpoint=tmp_path / "first", **settings)
    assert np.array_equal(again.transform.parameters, sampler.transform.parameters)
    assert history["validation"][-1] < 0.99 * history["validation"][0]
    if layers.layers[0].network is None:
        assert np.all(sampler.transform.parameters > 0)
        assert layers.parameters.any() == 0
    held = fields[-1]
    force = [np.linalg.norm(Transformed(S, F).force(F.inverse(held))) for F in (layers, sampler.transform)]
    assert force[1] < force[0]


@pytest.mark.parametrize("F", [u1_2d([0.1, 0.02], loops=["plaquette", "rectangle"]), learned_2d()])
def test_files_pickles_and_copies(F, tmp_path):
    V = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    F.save(tmp_path / "F.safetensors")
    for twin in (pq.FieldTransform.load(tmp_path / "F.safetensors"), pickle.loads(pickle.dumps(F)), F.copy()):
        assert twin(V) == F(V)
        assert repr(twin) == repr(F)
    other = u1_2d(0.1)
    with pytest.raises(ValueError, match="layer"):
        other.load_parameters(tmp_path / "F.safetensors")
    pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]).save(tmp_path / "net.safetensors")
    with pytest.raises(pq.FormatError, match="no field transformation"):
        pq.FieldTransform.load(tmp_path / "net.safetensors")


def test_networks_see_no_link_that_is_updated():
    """Coefficients are read off the change of a link; they stay when updated links move."""
    F = pq.FieldTransform(learned_2d().layers[:1])
    V = pq.GaugeField.hot((4, 6), "U(1)", rng=1)
    links = np.asarray(V).copy()
    links[0, ::2, ::2] *= np.exp(1j * np.random.default_rng(2).normal(size=(2, 3)))[..., None, None]
    W = pq.GaugeField.from_numpy(links)
    theta = [np.angle(np.asarray(X)[..., 0, 0]) for X in (V, W)]
    move = [np.angle(np.asarray(F(X))[0, ..., 0, 0] / np.asarray(X)[0, ..., 0, 0])[::2, ::2] for X in (V, W)]

    def sines(t):
        up = t[0] + np.roll(t[1], -1, 0) - np.roll(t[0], -1, 1) - t[1]
        long = t[0] + np.roll(t[0], -1, 0) + np.roll(t[1], -2, 0) - np.roll(np.roll(t[0], -1, 0) + t[0], -1, 1) - t[1]
        plaquettes = np.sin(up) - np.sin(np.roll(up, 1, 1))
        rectangles = np.sin(long) - np.sin(np.roll(long, 1, 1))
        return plaquettes[::2, ::2], (rectangles + np.roll(rectangles, 1, 0))[::2, ::2]

    (p, r), (p2, r2) = map(sines, theta)
    # two equations for the two coefficients of every link: both fields have the same ones
    determinant = p * r2 - r * p2
    c = -(move[0] * r2 - move[1] * r) / determinant, -(p * move[1] - p2 * move[0]) / determinant
    assert np.abs(c).max() < 1 / 6
    third = links.copy()
    third[0, ::2, ::2] *= np.exp(1j * np.random.default_rng(3).normal(size=(2, 3)))[..., None, None]
    X = pq.GaugeField.from_numpy(third)
    p3, r3 = sines(np.angle(third[..., 0, 0]))
    moved = np.angle(np.asarray(F(X))[0, ..., 0, 0] / third[0, ..., 0, 0])[::2, ::2]
    assert close(moved, -c[0] * p3 - c[1] * r3, 1e-9)


U1 = pq.GaugeField.hot((4, 4), "U(1)", rng=1)


def network_of(*layers, ndim=2):
    return nn.Sequential(list(layers), ndim=ndim)


WRONG = {
    "a network and coefficients": (
        lambda: StoutMask(0.1, ndim=2, network=network_of(nn.Conv(3, 3, 1))),
        ValueError,
        "one of them",
    ),
    "a network of other inputs": (
        lambda: StoutMask(ndim=2, network=network_of(nn.Conv(3, 2, 1))),
        ValueError,
        "3 channels",
    ),
    "a network of other outputs": (
        lambda: StoutMask(ndim=2, network=network_of(nn.Conv(3, 3, 2))),
        ValueError,
        "1 are needed",
    ),
    "a network with a pool": (
        lambda: StoutMask(ndim=2, network=network_of(nn.Conv(3, 3, 1), nn.GlobalAvgPool())),
        ValueError,
        "on a field only",
    ),
    "a network for other dimensions": (
        lambda: StoutMask(ndim=2, network=network_of(nn.Conv(3, 3, 1), ndim=3)),
        ValueError,
        "3 dimensions",
    ),
    "no network": (lambda: StoutMask(ndim=2, network="conv"), TypeError, "Sequential"),
    "coefficients of a network": (lambda: learned_2d().layers[0].coefficients, ValueError, "depend on the field"),
    "coefficient past the bound": (lambda: u1_2d(0.51), ValueError, r"1/2 = 0\.5"),
    "SU(3) coefficient past the bound": (lambda: su3_4d(-0.125), ValueError, r"0\.75/6 = 0\.125"),
    "bound above 1": (lambda: StoutMask(0.1, bound=1.1), ValueError, "at most 1"),
    "NaN": (lambda: StoutMask(math.nan), ValueError, "NaN"),
    "too many coefficients": (lambda: StoutMask([0.1, 0.1]), ValueError, "1 numbers"),
    "rectangles with a parity mask": (lambda: StoutMask(0.01, ["rectangle"]), ValueError, "sublattices"),
    "unknown loop": (lambda: StoutMask(0.01, ["plaquete"]), ValueError, "did you mean"),
    "unknown mask": (lambda: StoutMask(0.01, mask="odd"), ValueError, "parity"),
    "direction": (lambda: StoutMask(0.01, ndim=2, direction=2), ValueError, "0 to 1"),
    "subset": (lambda: StoutMask(0.01, subset=2), ValueError, "0 to 1"),
    "no layers": (lambda: pq.FieldTransform([]), TypeError, "at least 1"),
    "layers of different dimensions": (
        lambda: pq.FieldTransform([*u1_2d().layers, *su3_4d().layers]),
        ValueError,
        "same",
    ),
    "odd extents": (lambda: u1_2d(0.1)(pq.GaugeField.hot((5, 8), "U(1)", rng=1)), ValueError, r"\[6, 8\]"),
    "another dimension": (lambda: su3_4d(0.1)(U1), ValueError, "4 dimensions"),
    "SU(4)": (lambda: u1_2d(0.1)(pq.GaugeField.hot((4, 4), "SU(4)", rng=1)), ValueError, r"SU\(4\)"),
    "an array": (lambda: u1_2d(0.1)(np.asarray(U1)), TypeError, "GaugeField"),
    "inverse of links off the group": (
        lambda: u1_2d(0.3).inverse(pq.GaugeField.from_numpy(3 * np.asarray(U1), allow_nonunitary=True)),
        (ValueError, pq.ConvergenceError),
        "unitar",
    ),
    "cotangent of another shape": (lambda: u1_2d(0.1).pullback(U1, np.zeros(3)), ValueError, "shape"),
    "parameters NaN": (lambda: setattr(u1_2d(0.1), "parameters", [math.nan, 0.0]), ValueError, "NaN"),
    "a Custom action in training": (
        lambda: pq.FieldTransformHMC(pq.actions.Custom(lambda links: (0.0, 0 * links)), u1_2d(0.1), steps=2).train(
            [U1], epochs=1, progress=False
        ),
        ValueError,
        "made of loops",
    ),
    "another loss": (
        lambda: pq.FieldTransformHMC(pq.actions.Wilson(1.0), u1_2d(0.1)).train(
            [U1], pq.losses.ForceNorm(pq.actions.Wilson(1.0))
        ),
        TypeError,
        "TransformedForce",
    ),
    "a scalar action": (lambda: pq.FieldTransformHMC(pq.actions.Scalar(1.0), u1_2d(0.1)), TypeError, "gauge"),
    "a network for a transformation": (
        lambda: pq.FieldTransformHMC(pq.actions.Wilson(1.0), pq.CovariantNet([pq.StoutLayer(["plaquette"])])),
        TypeError,
        "FieldTransform",
    ),
    "no weight": (lambda: pq.losses.TransformedForce(pq.actions.Wilson(1.0), norms={}), ValueError, "above 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_what_works(case):
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()


def test_pseudofermion_like_custom_actions_work_in_new_variables():
    """Any action: here a Python function, whose HMC in new variables agrees with the exact plaquette."""
    wilson = pq.actions.Wilson(1.0)

    def function(links):
        U = pq.GaugeField.from_numpy(links)
        return wilson(U), wilson.force(U)

    sampler = pq.FieldTransformHMC(pq.actions.Custom(function), u1_2d(0.2, sweeps=1), length=1.0, steps=5)
    U, V = pq.GaugeField.hot((4, 4), "U(1)", rng=1), pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    plain = pq.FieldTransformHMC(wilson, u1_2d(0.2, sweeps=1), length=1.0, steps=5)
    for k in range(3):
        (U, _), (V, _) = sampler.step(U, rng=k), plain.step(V, rng=k)
    assert close(U, V, 1e-9)
