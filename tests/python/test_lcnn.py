"""Equivariant convolutions against plain numpy, their symmetries, training, files and bad input."""

import itertools
import json
import signal
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.ground import weights
from plaq.lcnn import LCB, LCNN, Dense, LAct, LBilin, LConv, LExp, Loops, Mean, Trace
from reference import dagger, product

SETTINGS = [((4, 6), "SU(2)"), ((3, 4), "U(1)"), ((2, 3, 4), "SU(3)"), ((2, 3, 2, 4), "SU(2)"), ((8, 8), "SU(3)")]


def algebra(m):
    a = (m - dagger(m)) / 2
    n = m.shape[-1]
    return a if n == 1 else a - np.trace(a, axis1=-2, axis2=-1)[..., None, None] * np.eye(n) / n


def exponential(a):
    values, vectors = np.linalg.eigh(-1j * a)
    return (vectors * np.exp(1j * values)[..., None, :]) @ dagger(vectors)


def transported(links, w, kernel, both, centre):
    """Centre, then lines by length, direction (positive first), channel."""
    ndim, terms, axes = links.shape[0], list(w) if centre else [], range(links.shape[0])
    directions = list(range(ndim)) + ([~mu for mu in range(ndim)] if both else [])
    for k, mu in itertools.product(range(1, kernel), directions):
        step, axis = (1, mu) if mu >= 0 else (-1, ~mu)
        line = product(links, [step * (axis + 1)] * k)
        moved = [np.roll(m, [-k * step * (a == axis) for a in axes], tuple(axes)) for m in w]
        terms += [line @ m @ dagger(line) for m in moved]
    return terms


def evaluate(net, U):
    """The network in plain numpy."""
    links, named = np.asarray(U), net.named_parameters()
    one, w, x = np.eye(links.shape[-1]), [], None
    for n, layer in enumerate(net.layers):
        weight = named.get(f"{n}.weight")
        if isinstance(layer, Loops):
            planes = itertools.combinations(range(1, U.ndim + 1), 2) if layer.plaquettes else []
            w = [product(links, (a, b, -a, -b)) for a, b in planes]
            w += [product(links, [mu + 1] * U.shape[mu]) for mu in layer.polyakov]
        elif isinstance(layer, LConv):
            terms = transported(links, w, layer.kernel, layer.both, layer.centre)
            w = [sum(a * t for a, t in zip(row[0], terms, strict=True)) for row in weight]
        elif isinstance(layer, LBilin | LCB):
            kernel, both, centre = (
                (1, False, True) if isinstance(layer, LBilin) else (layer.kernel, layer.both, layer.centre)
            )
            terms = transported(links, w, kernel, both, centre)
            left, right = ([*m, *map(dagger, m), one] for m in (w, terms))
            w = [
                sum(a[i, j] * p @ q for (i, p), (j, q) in itertools.product(enumerate(left), enumerate(right)))
                for a in weight
            ]
        elif isinstance(layer, LAct):
            traces = [np.trace(m, axis1=-2, axis2=-1).real[..., None, None] for m in w]
            gates = {"relu": lambda t: np.maximum(t, 0), "algebraic": lambda t: t / np.sqrt(1 + t * t)}
            gates |= {"leaky_relu": lambda t: np.where(t > 0, t, t / 100), "identity": lambda t: t}
            w = [gates[layer.function](t) * m for t, m in zip(traces, w, strict=True)]
        elif isinstance(layer, LExp):
            generators = [sum(b * algebra(m) for b, m in zip(row, w, strict=True)) for row in weight]
            links = np.array([exponential(a) @ u for a, u in zip(generators, links, strict=True)])
        elif isinstance(layer, Trace):
            traces = [np.trace(m, axis1=-2, axis2=-1) for m in w]
            x = np.stack([part for t in traces for part in (t.real, t.imag)], axis=-1)
        elif isinstance(layer, Dense):
            x = x @ weight.T + named[f"{n}.bias"]
            x = np.maximum(x, 0) if layer.function == "relu" else x
        else:
            x = x.mean(axis=tuple(range(U.ndim)))
    return x


def networks(ndim, group):
    c = ndim * (ndim - 1) // 2 + 1
    chains = [
        [LConv(c, 2, kernel=3), LAct("relu"), LBilin(2, 2), LAct("leaky_relu")],
        [LCB(c, 2, kernel=2, centre=False), LExp(2), LCB(2, 2, kernel=4, both=True), LAct("algebraic")],
        [LConv(c, 2, kernel=2, both=False), LExp(2), LConv(2, 2, centre=False), LAct("identity")],
    ]
    for layers, mean in itertools.product(chains, (True, False)):
        readout = [Trace(), Dense(4, 3, "relu"), Dense(3, 2), *([Mean()] if mean else [])]
        net = LCNN([Loops(polyakov=(ndim - 1,)), *layers, *readout], ndim=ndim, group=group, rng=1)
        net.parameters = net.parameters + 0.1 * np.random.default_rng(2).normal(size=net.n_parameters)
        yield net


@pytest.mark.parametrize(("shape", "group"), SETTINGS)
def test_layers_agree_with_plain_numpy(shape, group):
    U = pq.GaugeField.hot(shape, group, rng=3)
    for net in networks(len(shape), group):
        np.testing.assert_allclose(net(U), evaluate(net, U), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("shape", "group"), SETTINGS)
def test_outputs_are_invariant_and_move_with_the_field(shape, group):
    U = pq.GaugeField.hot(shape, group, rng=3)
    V = U.random_gauge_transform(rng=4)
    axes = tuple(range(len(shape)))
    moved = pq.GaugeField.from_numpy(np.roll(np.asarray(U), axes, tuple(a + 1 for a in axes)))
    for net in networks(len(shape), group):
        y = net(U)
        np.testing.assert_allclose(net(V), y, rtol=1e-12, atol=1e-12)
        expected = y if y.ndim == 1 else np.roll(y, axes, axes)
        np.testing.assert_allclose(net(moved), expected, rtol=1e-12, atol=1e-12)


def test_a_tiled_configuration_has_tiled_outputs():
    U = pq.GaugeField.hot((4, 3), "SU(2)", rng=3)
    tiled = pq.GaugeField.from_numpy(np.tile(np.asarray(U), (1, 2, 3, 1, 1)))
    net = LCNN([Loops(), LCB(1, 2, kernel=3), LCB(2, 2, kernel=2), Trace(), Dense(4, 1)], ndim=2, group="SU(2)", rng=1)
    np.testing.assert_allclose(net(tiled), np.tile(net(U), (2, 3, 1)), rtol=1e-12)


def test_pullback_is_the_derivative_along_a_flow_of_the_links():
    U = pq.GaugeField.hot((4, 4), "SU(3)", rng=3)
    links, h = np.asarray(U), 1e-4
    delta = algebra(np.random.default_rng(5).normal(size=(*links.shape, 2)) @ [1, 1j])
    moved = [pq.GaugeField.from_numpy(exponential(s * h * delta) @ links) for s in (-2, -1, 1, 2)]
    for net in networks(2, "SU(3)"):
        if LAct("relu") in net.layers or "relu" in str(net.layers[-2]):
            continue
        cotangent = np.random.default_rng(6).normal(size=net(U).shape)
        F, gradient = net.pullback(U, cotangent)
        a, b, c, d = (np.sum(cotangent * net(V)) for V in moved)
        slope = (a - 8 * b + 8 * c - d) / (12 * h)
        assert abs(slope + 2 * np.sum(F * delta.swapaxes(-1, -2)).real) < 1e-6 * abs(slope)
        assert gradient.shape == (net.n_parameters,)


def wilson_net(group):
    net = LCNN([Loops(), Trace(), Dense(2, 1)], ndim=2, group=group, rng=1)
    net.parameters = [-1 / pq.GaugeField.cold((2, 2), group).n_colors, 0, 1]
    return net


@pytest.mark.parametrize("group", ["U(1)", "SU(2)", "SU(3)"])
def test_an_output_is_an_action_of_hmc(group):
    U, S = pq.GaugeField.hot((4, 4), group, rng=1), wilson_net(group).action(2.0)
    assert S(U) == pytest.approx(pq.actions.Wilson(2.0)(U), rel=1e-12)
    ours, info = pq.HMC(S, steps=5).step(U, rng=2)
    theirs, wanted = pq.HMC(pq.actions.Wilson(2.0), steps=5).step(U, rng=2)
    assert info["delta_h"] == pytest.approx(wanted["delta_h"], abs=1e-9)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-11)


def test_energy_is_conserved_to_the_order_of_the_integrator_by_a_deep_action():
    layers = [Loops(), LCB(1, 2, both=True), LExp(2), LAct("algebraic"), LConv(2, 2), Trace(), Dense(4, 1), Mean()]
    net = LCNN(layers, ndim=2, group="SU(2)", rng=3)
    net.parameters = net.parameters + 0.1 * np.random.default_rng(2).normal(size=net.n_parameters)
    U = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
    errors = [
        abs(pq.HMC(net.action(2.0), steps=n, length=0.5, integrator="leapfrog").step(U, rng=2)[1]["delta_h"])
        for n in (10, 20)
    ]
    assert 3.5 < errors[0] / errors[1] < 4.5


def data(n=24, shape=(4, 4), seed=0):
    fields = [pq.GaugeField.hot(shape, "SU(2)", rng=seed + k) for k in range(n)]
    return fields, [pq.observables.loop_density(U, [1, 2, 2, -1, -2, -2]).real for U in fields]


def small(seed=1):
    return LCNN([Loops(), LCB(1, 2), Trace(), Dense(4, 1)], ndim=2, group="SU(2)", rng=seed)


def test_a_rectangle_is_learned_on_a_small_lattice_and_known_on_a_large_one():
    net, (fields, targets) = small(), data()
    rule = pq.optimizers.AdamW(1e-2, weight_decay=0.0)
    history = net.fit(fields, targets, optimizer=rule, epochs=300, batch=8, rng=1, progress=False)
    assert history.loss[0] > 1e-2
    assert net.loss(*data(4, (12, 10), 100)) < 1e-12


def test_training_has_the_same_bits_on_one_and_two_threads_and_after_a_resume(tmp_path):
    fields, targets = data(10)
    options = {"batch": 4, "rng": 5, "progress": False, "validation": data(3, seed=50)}
    threads, results = pq.num_threads(), []
    for n in (1, 2):
        pq.set_num_threads(n)
        net = small()
        net.fit(fields, targets, epochs=6, **options)
        results.append(net.parameters)
    pq.set_num_threads(threads)
    np.testing.assert_array_equal(*results)
    small().fit(fields, targets, epochs=2, checkpoint=tmp_path / "run", **options)
    net = small()
    history = net.fit(fields, targets, epochs=6, checkpoint=tmp_path / "run", **options)
    assert history.records == 6
    np.testing.assert_array_equal(net.parameters, results[0])
    # the parameters come from the file: the same call goes on in the same session, and from any other start
    for again in (net, small(2)):
        again.fit(fields, targets, epochs=6, checkpoint=tmp_path / "run", **options)
        np.testing.assert_array_equal(again.parameters, results[0])
    with pytest.raises(pq.CheckpointError, match="validation"):
        net.fit(fields, targets, epochs=6, checkpoint=tmp_path / "run", **(options | {"validation": data(3, seed=51)}))


@pytest.mark.machine
def test_interrupted_training_returns_what_was_done():
    fields, targets = data(20)
    net, before = small(), small().parameters
    old = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        history = net.fit(fields, targets, epochs=10**7, batch=20, rng=1, progress=False)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert 0 < history.records < 10**7
    assert history.interrupted
    assert not np.array_equal(net.parameters, before)


def test_fields_of_several_sizes_are_one_batch():
    net = LCNN([Loops(), LCB(1, 2), Trace(), Dense(4, 1), Mean()], ndim=2, group="SU(2)", rng=1)
    fields = [pq.GaugeField.hot(shape, "SU(2)", rng=1) for shape in ((4, 4), (3, 5), (8, 2))]
    targets = [pq.observables.plaquette(U) for U in fields]
    single = [net.loss([U], [y]) for U, y in zip(fields, targets, strict=True)]
    assert net.loss(fields, targets) == pytest.approx(np.mean(single), rel=1e-14)
    assert net(fields).shape == (3, 1)
    first = net.loss(fields, targets)
    assert net.fit(fields, targets, epochs=2, batch=None, rng=1, progress=False).loss[0] == pytest.approx(first)


def test_weights_survive_a_file(tmp_path):
    for n, net in enumerate(networks(2, "SU(3)")):
        net.save(tmp_path / f"{n}")
        twin = LCNN.load(tmp_path / f"{n}")
        assert twin.layers == net.layers
        np.testing.assert_array_equal(twin.parameters, net.parameters)
        net.parameters = 0 * net.parameters
        net.load_parameters(tmp_path / f"{n}")
        np.testing.assert_array_equal(twin.parameters, net.parameters)


def test_initial_weights_have_the_stated_deviation():
    net = LCNN([Loops(), LCB(1, 16, kernel=4), LCB(16, 4), Trace(), Dense(8, 1)], ndim=2, group="SU(2)", rng=1)
    for name, array in net.named_parameters().items():
        terms = np.prod(array.shape[1:])
        if name.endswith("bias"):
            assert not array.any()
        else:
            assert array.std() == pytest.approx(1 / np.sqrt(terms), abs=4 / np.sqrt(2 * array.size * terms))
    assert not np.array_equal(small(1).parameters, small(2).parameters)


U = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
NAN = float("nan")
OTHER = pq.GaugeField.hot((4, 4), "SU(3)", rng=1)
CUBE = pq.GaugeField.hot((4, 4, 4), "SU(2)", rng=1)


def net(*layers, ndim=2, group="SU(2)", rng=1):
    return LCNN(list(layers), ndim=ndim, group=group, rng=rng)


def loaded(*layers, path="/tmp", ndim=2, group="SU(2)"):
    net(*layers, ndim=ndim, group=group).save(path / "w")
    small().load_parameters(path / "w")


def assign(values):
    small().parameters = values


def fit(fields, targets, **options):
    return small().fit(fields, targets, **{"epochs": 1, "rng": 1, "progress": False, **options})


Y = np.zeros((4, 4))

TABLE = {
    "net()": (TypeError, ["list of layers"]),
    "LCNN(Loops(), ndim=2, group='SU(2)', rng=1)": (ValueError, ["Trace"]),
    "net(Loops(), 'LConv', Trace())": (TypeError, ["list of layers", "LConv"]),
    "net(Loops(), Trace(), ndim=5)": (ValueError, ["ndim = 5", "1 to 4"]),
    "net(Loops(), Trace(), ndim=1)": (ValueError, ["layer 0", "no loops", "Polyakov"]),
    "net(Loops(), Trace(), group='su2')": (ValueError, ["su2", "SU(2)"]),
    "net(Loops(), Trace(), rng=None)": (TypeError, ["rng", "None"]),
    "net(Loops(polyakov=(2,)), Trace())": (ValueError, ["layer 0", "direction 2", "0 to 1"]),
    "Loops(polyakov=True)": (TypeError, ["sequence of ints", "True"]),
    "Loops(polyakov=(-1,))": (ValueError, ["(-1,)", "0 to D - 1"]),
    "net(Loops())": (ValueError, ["ends with 1 channels of matrices", "Trace"]),
    "net(Trace())": (ValueError, ["layer 0", "Trace", "links only"]),
    "net(Loops(), LConv(2, 2), Trace())": (ValueError, ["layer 1", "LConv", "2 channels", "1 channels"]),
    "net(Loops(), LCB(1, 3), LCB(2, 2), Trace())": (ValueError, ["layer 2", "LCB", "2 channels", "3 channels"]),
    "net(Loops(), LBilin(3, 3), Trace())": (ValueError, ["layer 1", "LBilin", "3 channels", "1 channels"]),
    "net(Loops(), LExp(2), Trace())": (ValueError, ["layer 1", "LExp", "2 channels", "1 channels"]),
    "net(Loops(), Trace(), Dense(3, 1))": (ValueError, ["layer 2", "Dense", "3 channels", "2 channels"]),
    "net(Loops(), Trace(), Trace())": (ValueError, ["layer 2", "Trace", "2 channels of numbers"]),
    "net(Loops(), Mean())": (ValueError, ["layer 1", "Mean", "matrices"]),
    "net(Loops(), Trace(), Mean(), Dense(2, 1))": (ValueError, ["layer 3", "2 means"]),
    "net(Loops(), LConv(1, 2, kernel=0), Trace())": (ValueError, ["LConv", "kernel = 0", "at least 1"]),
    "net(Loops(), LCB(1, 2, kernel=-1), Trace())": (ValueError, ["LCB", "kernel = -1"]),
    "net(Loops(), LCB(1, 2, kernel=2.0), Trace())": (TypeError, ["kernel is an int", "2.0"]),
    "net(Loops(), LCB(1, 2, kernel=1, centre=False), Trace())": (ValueError, ["kernel = 1", "centre"]),
    "net(Loops(), LCB(1, 10**9), Trace())": (ValueError, ["layer 1", "1000000000", "4096"]),
    "net(Loops(), LCB(1, 4000), LCB(4000, 4000, 4000), Trace())": (ValueError, ["layer 2", "2^24"]),
    "net(Loops(), LConv(0, 2), Trace())": (ValueError, ["inputs = 0"]),
    "net(Loops(), LAct('relo'), Trace())": (ValueError, ['"relo"', 'did you mean "relu"']),
    "net(Loops(), Trace(), Dense(2, 1, 'tanh'))": (ValueError, ['"tanh"', "algebraic"]),
    "assign([1.0])": (ValueError, ["(1,)", "47"]),
    "assign('weights')": (TypeError, ["47 numbers", "weights"]),
    "assign(np.full(47, NAN))": (ValueError, ["NaN"]),
    "small()(OTHER)": (ValueError, ["SU(2)", "SU(3)"]),
    "small()(CUBE)": (ValueError, ["2 dimensions", "(4, 4, 4)"]),
    "small()(np.asarray(U))": (TypeError, ["GaugeField"]),
    "small()([U, pq.GaugeField.cold((4, 6), 'SU(2)')])": (ValueError, ["(4, 4, 1)", "(4, 6, 1)", "Mean"]),
    "net(Loops(), LCB(1, 100, 2000), Trace())(pq.GaugeField.cold((512, 512), 'SU(2)'))": (
        ValueError,
        ["GiB", "[512, 512]", "smaller kernel"],
    ),
    "small().pullback(U, np.zeros(3))": (ValueError, ["(3,)", "(4, 4, 1)"]),
    "small().action(channel=1)": (ValueError, ["channel = 1", "0 to 0"]),
    "fit([], [])": (ValueError, ["0 fields"]),
    "fit([U], [Y, Y])": (ValueError, ["1 fields", "2 targets"]),
    "fit([U], 0.5)": (TypeError, ["targets", "0.5"]),
    "fit([U], [np.zeros((4, 3))])": (ValueError, ["target 0", "(4, 3)", "(4, 4, 1)"]),
    "fit([U, U], [Y, Y + NAN])": (ValueError, ["target 1", "NaN"]),
    "fit([U], [['a']])": (TypeError, ["target 0", "numbers"]),
    "fit([U, OTHER], [Y, Y])": (ValueError, ["SU(2)", "SU(3)"]),
    "fit([U], [Y], validation=([OTHER], [Y]))": (ValueError, ["SU(3)"]),
    "fit([U], [Y], validation=0.2)": (ValueError, ["0.2 of 1 sample", "at least two"]),
    "fit([U], [Y], validation=2)": (ValueError, ["validation = 2", "between 0 and 1"]),
    "fit([U], [Y], validation=[U])": (TypeError, ["pair (fields, targets)", "list"]),
    "fit(U, [Y])": (TypeError, ["list of GaugeField"]),
    "fit([U], [Y], epochs=-1)": (ValueError, ["epochs = -1"]),
    "fit([U], [Y], batch=0)": (ValueError, ["batch = 0"]),
    "fit([U], [Y], optimizer='adam')": (TypeError, ["'adam'"]),
    "fit([U], [Y], rng=1.5)": (TypeError, ["1.5"]),
    "loaded(Loops(), LCB(1, 2), Trace(), path=path)": (ValueError, ["3 layers", "4"]),
    "loaded(Loops(), LCB(1, 2, 3), Trace(), Dense(4, 1), path=path)": (ValueError, ["layer 1", "kernel=3", "kernel=2"]),
    "loaded(Loops(), LCB(1, 2), Trace(), Dense(4, 1), path=path, group='SU(3)')": (
        ValueError,
        ["group SU(3)", "SU(2)"],
    ),
    "LCNN.load(covariant(path))": (pq.FormatError, ["holds no L-CNN"]),
    "LCNN.load(truncated(path))": (pq.FormatError, ["truncated"]),
    "LCNN.load(wrong_shape(path))": (pq.FormatError, ["1.weight", "(2, 3, 7)"]),
    "LCNN.load(unknown_layer(path))": (pq.FormatError, ["bilinea", "bilinear"]),
}


def covariant(path):
    pq.CovariantNet([pq.StoutLayer(["plaquette"])]).save(path / "w")
    return path / "w"


def truncated(path):
    small().save(path / "w")
    (path / "w").write_bytes((path / "w").read_bytes()[:100])
    return path / "w"


def wrong_shape(path):
    arrays = small().named_parameters() | {"1.weight": np.zeros(5)}
    weights.save_weights(path / "w", arrays, small().spec())
    return path / "w"


def unknown_layer(path):
    entry = small().spec()
    entry["layers"][1]["kind"] = "bilinea"
    weights.save_weights(path / "w", small().named_parameters(), entry)
    return path / "w"


@pytest.mark.parametrize("call", TABLE)
def test_bad_input_is_refused_with_what_was_given_and_what_is_allowed(call, tmp_path):
    error, pieces = TABLE[call]
    with pytest.raises(error) as caught:
        eval(call, globals() | {"path": tmp_path})
    for piece in pieces:
        assert piece in str(caught.value), str(caught.value)


def test_the_stored_regression_is_invariant_and_better_than_any_ordinary_network():
    stored = json.loads((Path(__file__).parents[2] / "benches/physics/lcnn_wilson_loops.json").read_text())
    assert set(stored["tasks"]) == {"1x1", "1x2", "2x2", "4x4"}
    for task in stored["tasks"].values():
        assert len(task["runs"]) >= 3
        assert task["largest_change_by_a_gauge_transformation"] < 1e-12
        for size, medians in task["medians"].items():
            assert medians["site"] == np.median([run["errors"][size]["site"] for run in task["runs"]])
            assert medians["mean"] < (task["published"]["best_cnn"] or 1e-3) / 1000
