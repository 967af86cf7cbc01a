"""Training of covariant networks, attention layers, weight files: laws, recovery of known maps, faults."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import plaq as pq
import pytest
from plaq.ground.weights import save_weights
from plaq.optimizers import SGD, Adam, Cosine

DATA = Path(__file__).parents[1] / "data"
CASES = [((6, 4), "U(1)"), ((4, 4, 2), "SU(2)"), ((4, 2, 2, 4), "SU(3)"), ((4, 4), "SU(4)")]


def net_for(shape: tuple[int, ...]) -> pq.CovariantNet:
    return pq.CovariantNet(
        [
            pq.StoutLayer(["plaquette", "polyakov_t"], [0.06, 0.02]),
            pq.AttentionLayer(["plaquette"], [[0.08], [-0.05], [0.11]], reach=2),
            pq.StoutLayer(["rectangle"], [0.03], directions=[1]),
        ]
    )


def net_of_authors() -> pq.CovariantNet:
    return pq.CovariantNet(
        [
            pq.AttentionLayer(["plaquette"], [[0.08], [-0.05], [0.11]], reach=2, form="score"),
            pq.AttentionLayer(["plaquette"], [[0.1], [0.08], [-0.05], [0.11]], reach=1, form="authors"),
        ]
    )


def net_of_averages(ndim: int) -> pq.CovariantNet:
    """APE smearing in all and in two directions, and HYP smearing where it exists."""
    layers: list[Any] = [pq.smear.APELayer(0.4), pq.smear.APELayer(0.3, directions=[0, 1])]
    if ndim > 2:
        layers.append(pq.smear.HYPLayer((0.75, 0.6, 0.3)[4 - ndim :]))
    if ndim > 3:
        layers.append(pq.smear.HYPLayer([0.5, 0.4], directions=range(3)))
    return pq.CovariantNet(layers)


def losses() -> list[Any]:
    S, T = pq.actions.Wilson(2.0), pq.actions.Symanzik(2.3)
    return [
        pq.losses.ActionDifference(S, T),
        pq.losses.ActionDifference(S, T, form="variance"),
        pq.losses.ActionDifference(pq.actions.Loops([(0.3, "rectangle")]), [3.0, 4.0]),
        pq.losses.ForceNorm(S),
        pq.losses.ForceNorm(S, power=4),
        pq.losses.ForceNorm(S, T, power=6),
        pq.losses.ForceNorm(pq.actions.Mapped(S, pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.05])]))),
        pq.losses.FieldDistance(lambda U: pq.smear.ape(U, 0.4)),
    ]


@pytest.mark.parametrize(("shape", "group"), CASES)
@pytest.mark.parametrize("number", range(len(losses())))
def test_gradients_of_losses_are_derivatives(shape: tuple[int, ...], group: str, number: int) -> None:
    check_gradients(losses()[number], net_for(shape), shape, group)


@pytest.mark.parametrize(("shape", "group"), CASES[:3])
@pytest.mark.parametrize("number", [0, 3])
def test_gradients_of_the_forms_of_the_authors_are_derivatives(shape: tuple[int, ...], group: str, number: int) -> None:
    check_gradients(losses()[number], net_of_authors(), shape, group)


@pytest.mark.parametrize(("shape", "group"), [*CASES, ((2, 2, 2, 2), "SU(5)")])
@pytest.mark.parametrize("number", [0, 3, 7])
def test_gradients_of_averages_are_derivatives(shape: tuple[int, ...], group: str, number: int) -> None:
    loss = losses()[number]
    if group == "SU(5)" and number == 3:
        pytest.skip("force norms exist up to SU(4)")
    # nested projections of rough links have large higher derivatives
    check_gradients(loss, net_of_averages(len(shape)), shape, group, step=1e-4)


@pytest.mark.parametrize(("shape", "group"), [*CASES, ((2, 2, 2, 2), "SU(5)")])
@pytest.mark.parametrize("recompute", [False, True])
def test_forces_through_averages_are_derivatives(shape: tuple[int, ...], group: str, recompute: bool) -> None:
    net = net_of_averages(len(shape))
    net.recompute = recompute
    S = pq.actions.Mapped(pq.actions.Wilson(2.3), net)
    U = pq.GaugeField.hot(shape, group, rng=1)
    F, P = S.force(U), pq.actions.Wilson(1.0).force(pq.GaugeField.hot(shape, group, rng=7))
    links, sizes, vectors = np.asarray(U), *np.linalg.eigh(-1j * P)

    def at(step: float) -> float:
        turn = (vectors * np.exp(1j * step * sizes)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
        return S(pq.GaugeField.from_numpy(turn @ links))

    h = 1e-4
    slope = (8 * (at(h) - at(-h)) - at(2 * h) + at(-2 * h)) / (12 * h)
    metric = 1.0 if group == "U(1)" else 2.0
    assert slope == pytest.approx(-metric * np.einsum("...ij,...ji", F, P).real.sum(), rel=1e-7)


def check_gradients(loss: Any, net: pq.CovariantNet, shape: tuple[int, ...], group: str, *, step: float = 2e-3) -> None:
    fields = [pq.GaugeField.hot(shape, group, rng=k) for k in (1, 2)]
    targets = loss.targets(fields)
    _, gradient = loss.of_batch(net, fields, targets)
    theta = net.parameters

    def at(k: int, h: float) -> float:
        moved = theta.copy()
        moved[k] += h
        net.parameters = moved
        return float(loss.of_batch(net, fields, targets)[0])

    for k in range(len(theta)):
        d = [(at(k, h) - at(k, -h)) / (2 * h) for h in (step, step / 2)]
        slope = (4 * d[1] - d[0]) / 3
        assert slope == pytest.approx(gradient[k], rel=1e-5, abs=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize(("shape", "group"), CASES)
def test_losses_and_scores_do_not_see_the_gauge(shape: tuple[int, ...], group: str) -> None:
    U, net = pq.GaugeField.hot(shape, group, rng=1), net_for(shape)
    V = U.random_gauge_transform(rng=5)
    other = net_of_authors()
    assert abs(np.asarray(other(U).random_gauge_transform(rng=5)) - np.asarray(other(V))).max() < 1e-12
    pairs = ([U, pq.GaugeField.hot(shape, group, rng=2)], [V, pq.GaugeField.hot(shape, group, rng=2)])
    a, b = np.asarray(net(U).random_gauge_transform(rng=5)), np.asarray(net(V))
    assert abs(a - b).max() < 1e-12
    for loss in losses():
        if isinstance(getattr(loss, "target", None), np.ndarray):
            continue
        (x, gx), (y, gy) = (loss.of_batch(net, pair, loss.targets(pair)) for pair in pairs)
        assert x == pytest.approx(y, rel=1e-11, abs=1e-12)
        assert gx == pytest.approx(gy, rel=1e-9, abs=1e-9 * max(np.abs(gx).max(), 1e-3))


def rotated(links: np.ndarray) -> np.ndarray:
    """Rotation by 90 degrees in the plane of directions 0 and 1: e_0 -> e_1, e_1 -> -e_0, x -> (-x_1, x_0)."""

    def moved(a: np.ndarray) -> np.ndarray:
        turned = np.swapaxes(a, 0, 1)  # new x_0 is -x_1, new x_1 is x_0
        return np.roll(np.flip(turned, 0), 1, 0)

    new = np.array([moved(a) for a in links])
    new[[0, 1]] = new[[1, 0]]
    new[0] = np.roll(new[0], -1, 0).conj().swapaxes(-1, -2)
    return new


@pytest.mark.parametrize(("shape", "group"), [((6, 6), "U(1)"), ((4, 4, 2), "SU(2)"), ((4, 4, 2, 4), "SU(3)")])
def test_maps_commute_with_rotations_and_translations(shape: tuple[int, ...], group: str) -> None:
    U = pq.GaugeField.hot(shape, group, rng=1)
    links = np.asarray(U)
    turned = pq.GaugeField.from_numpy(rotated(links))
    assert pq.observables.plaquette(turned) == pytest.approx(pq.observables.plaquette(U), abs=1e-13)
    four = rotated(rotated(rotated(rotated(links))))
    assert np.array_equal(four, links)
    layers = [
        pq.StoutLayer(["plaquette", "rectangle", "polyakov_t"] + (["chair"] if len(shape) > 2 else []), None),
        pq.AttentionLayer(["plaquette"], [[0.1], [-0.07], [0.1]]),
    ]
    layers[0].rho = 0.05 / np.arange(1.0, len(layers[0].rho) + 1)
    if len(shape) == 2:  # the time-like family is not invariant under a rotation of the time direction
        layers[0].rho[2] = 0.0
    net = pq.CovariantNet(layers)
    maps: list[Any] = [net, lambda V: pq.smear.ape(V, 0.4), lambda V: pq.smear.flow(V, 0.1, step=0.05).field]
    if len(shape) > 2:
        maps.append(lambda V: pq.smear.hyp(V, (0.75, 0.6, 0.3)[4 - len(shape) :]))
    shifted = pq.GaugeField.from_numpy(np.roll(links, (1, 3), (1, 2)))
    for number, each in enumerate(maps):
        image, tolerance = np.asarray(each(U)), 1e-12 if number in (0, 2) else 1e-11
        assert abs(np.asarray(each(turned)) - rotated(image)).max() < tolerance
        assert abs(np.asarray(each(shifted)) - np.roll(image, (1, 3), (1, 2))).max() < tolerance


@pytest.mark.parametrize("form", ["symmetric", "score", "authors"])
def test_attention_with_reach_one_against_plain_numpy(form: str) -> None:
    """SU(2) on 3 x 4, the lines of the definition written out."""
    U = pq.GaugeField.hot((3, 4), "SU(2)", rng=1)
    rho, output = [0.09, -0.06, 0.12], 0.07
    Q, K, V = (np.asarray(pq.smear.stout(U, r)) for r in rho)
    links = np.asarray(U)

    def dag(m: np.ndarray) -> np.ndarray:
        return m.conj().swapaxes(-1, -2)

    def staples(W: np.ndarray, mu: int) -> list[np.ndarray]:
        nu = 1 - mu
        up = np.roll(W[nu], -1, mu) @ dag(np.roll(W[mu], -1, nu)) @ dag(W[nu])
        side, far = np.roll(W[nu], 1, nu), np.roll(W[mu], 1, nu)
        return [up, dag(np.roll(side, -1, mu)) @ dag(far) @ side]

    def exponential(loop: np.ndarray) -> np.ndarray:
        """exp(-TA(loop))."""
        a = (dag(loop) - loop) / 2
        a -= np.trace(a, axis1=-2, axis2=-1)[..., None, None] * np.eye(2) / 2
        w, vectors = np.linalg.eigh(-1j * a)
        return (vectors * np.exp(1j * w)[..., None, :]) @ dag(vectors)

    expected = []
    for mu in range(2):
        weights = []
        for k, s in zip(staples(K, mu), staples(links, mu), strict=True):
            x = np.trace(Q[mu] @ k - links[mu] @ s, axis1=-2, axis2=-1).real
            weights.append(np.tan(np.pi * x / (4 * 2.01))[..., None, None])
        if form != "symmetric":
            weights[1] = weights[0]
        total = sum(weight * v for weight, v in zip(weights, staples(V, mu), strict=True))
        expected.append(exponential(V[mu] @ total) @ (V if form == "symmetric" else links)[mu])
    if form == "authors":
        W = np.array(expected)
        expected = [exponential(output * W[mu] @ sum(staples(W, mu))) @ links[mu] for mu in range(2)]
    given = [output, *rho] if form == "authors" else rho
    layer = pq.AttentionLayer(["plaquette"], np.reshape(given, (-1, 1)), reach=1, form=form)
    assert abs(np.asarray(pq.CovariantNet([layer])(U)) - np.array(expected)).max() < 1e-13
    assert layer.names == [f"{part}.plaquette" for part in ("output", "query", "key", "value")[-len(given) :]]


def test_only_the_symmetric_form_commutes_with_rotations() -> None:
    U = pq.GaugeField.hot((4, 4, 2), "SU(2)", rng=1)
    turned = pq.GaugeField.from_numpy(rotated(np.asarray(U)))
    for form, rows in (("symmetric", 3), ("score", 3), ("authors", 4)):
        net = pq.CovariantNet([pq.AttentionLayer(["plaquette"], [[0.1]] * rows, form=form)])
        off = abs(np.asarray(net(turned)) - rotated(np.asarray(net(U)))).max()
        assert bool(off < 1e-12) == (form == "symmetric"), (form, off)


@pytest.mark.parametrize("recompute", [False, True])
def test_hmc_with_attention_is_exact_for_its_action(recompute: bool) -> None:
    layer = pq.AttentionLayer(["plaquette"], [[0.2], [0.1], [0.2]], reach=2)
    net = pq.CovariantNet([layer, pq.StoutLayer(["plaquette"], [0.05])], recompute=recompute)
    S = pq.actions.Mapped(pq.actions.Wilson(2.0), net)
    chain = pq.HMC(S, steps=10).run(pq.GaugeField.hot((6, 6), "SU(2)", rng=1), 300, warmup=50, rng=2, progress=False)
    weight = np.exp(-chain.info["delta_h"])
    assert chain.acceptance > 0.9
    assert abs(weight.mean() - 1) < 3 * weight.std() / np.sqrt(len(weight))


WILSON = pq.actions.Wilson(2.0)
ACTIONS = {
    "symanzik": pq.actions.Symanzik(2.0),
    "iwasaki": pq.actions.Iwasaki(2.0),
    "dbw2": pq.actions.DBW2(0.5),
    "loops": pq.actions.Loops([(0.4, "chair"), (0.3, "polyakov_t"), (0.2, [1, 1, 2, -1, -1, -2])]),
    "sum": WILSON + pq.actions.Loops([(0.1, "rectangle")]),
    "custom": pq.actions.Custom(
        lambda links: (WILSON(pq.GaugeField.from_numpy(links)), WILSON.force(pq.GaugeField.from_numpy(links)))
    ),
    "mapped": pq.actions.Mapped(WILSON, pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.05])])),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_after_a_network_has_its_derivative_as_force(name: str) -> None:
    shape = (4, 2, 4)
    U, S = pq.GaugeField.hot(shape, "SU(2)", rng=1), pq.actions.Mapped(ACTIONS[name], net_for(shape))
    draw = np.random.default_rng(2).normal(size=(2, *np.asarray(U).shape))
    delta = draw[0] + 1j * draw[1]
    delta = delta - delta.conj().swapaxes(-1, -2)
    delta -= np.trace(delta, axis1=-2, axis2=-1)[..., None, None] * np.eye(2) / 2
    w, v = np.linalg.eigh(-1j * delta)

    def at(h: float) -> float:
        turn = (v * np.exp(1j * h * w)[..., None, :]) @ v.conj().swapaxes(-1, -2)
        return float(S(pq.GaugeField.from_numpy(turn @ np.asarray(U))))

    d = [(at(h) - at(-h)) / (2 * h) for h in (2e-3, 1e-3)]
    predicted = -2 * float((S.force(U) * delta.swapaxes(-1, -2)).sum().real)
    assert (4 * d[1] - d[0]) / 3 == pytest.approx(predicted, rel=1e-6)


FIELDS = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(6)]
TEACHER = pq.CovariantNet([pq.StoutLayer(["plaquette", "rectangle"], [0.08, -0.03])])


@pytest.mark.parametrize(
    "loss",
    [
        pq.losses.FieldDistance(lambda U: TEACHER(U)),
        pq.losses.ActionDifference(pq.actions.Wilson(2.0), pq.actions.Mapped(pq.actions.Wilson(2.0), TEACHER)),
        pq.losses.ActionDifference(
            pq.actions.Wilson(2.0), pq.actions.Mapped(pq.actions.Wilson(2.0), TEACHER), form="variance"
        ),
        pq.losses.ForceNorm(pq.actions.Wilson(2.0), pq.actions.Mapped(pq.actions.Wilson(2.0), TEACHER)),
        pq.losses.ActionDifference(
            pq.actions.Loops([(1.0, "plaquette")]), [pq.actions.Loops([(1.0, "plaquette")])(TEACHER(U)) for U in FIELDS]
        ),
    ],
    ids=["field", "action", "variance", "force", "observable"],
)
def test_training_recovers_a_known_map(loss: Any) -> None:
    net = pq.CovariantNet([pq.StoutLayer(["plaquette", "rectangle"])])
    history = net.fit(FIELDS, loss, optimizer=Adam(0.02, schedule=Cosine(300)), epochs=300, batch=None, progress=False)
    assert net.parameters == pytest.approx(TEACHER.parameters, abs=2e-4)
    assert history.loss[-1] < 1e-4 * history.loss[0]


def test_a_smaller_force_is_learned_and_held_out_fields_agree() -> None:
    beta = 2.0
    sampler = pq.Heatbath(pq.actions.Wilson(beta))
    states, U = [], pq.GaugeField.cold((8, 8), "U(1)")
    for k in range(12):
        for sweep in range(5):
            U, _ = sampler.step(U, rng=100 * k + sweep)
        states.append(U)
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
    loss = pq.losses.ForceNorm(pq.actions.Wilson(beta), power=4)
    before = loss.of_batch(net, states[8:], loss.targets(states[8:]))[0]
    history = net.fit(states[:8], loss, optimizer=Adam(0.01), epochs=40, validation=states[8:], progress=False)
    assert history.validation.min() < 0.8 * before
    after = loss.of_batch(net, states[8:], loss.targets(states[8:]))[0]
    assert after == pytest.approx(history.validation.min(), rel=1e-12)


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(epochs: int, path: Path | None) -> tuple[np.ndarray, pq.History]:
        net = pq.CovariantNet([pq.StoutLayer(["plaquette", "rectangle"]), pq.AttentionLayer(["plaquette"])])
        loss = pq.losses.FieldDistance(lambda U: pq.smear.stout(U, 0.1, n=2))
        rule = Adam(0.01)
        history = net.fit(FIELDS, loss, optimizer=rule, epochs=epochs, batch=4, rng=3, checkpoint=path, progress=False)
        return net.parameters, history

    whole, record = trained(12, None)
    path = tmp_path / "training.npz"
    distance, calls = pq.losses.FieldDistance.of_batch, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2 * 5 + 2:
            raise KeyboardInterrupt
        return distance(*arguments)

    monkeypatch.setattr(pq.losses.FieldDistance, "of_batch", interrupted)
    _, part = trained(12, path)
    assert part.records == 5
    assert part.interrupted
    monkeypatch.undo()
    resumed, again = trained(12, path)
    assert np.array_equal(resumed, whole)
    assert np.array_equal(again.loss, record.loss)


def test_weights_of_all_layers_travel_through_a_file(tmp_path: Path) -> None:
    path, U = tmp_path / "net.safetensors", pq.GaugeField.hot((4, 4), "SU(3)", rng=1)
    for net in (net_of_authors(), net_for((4, 4)), net_of_averages(2)):
        net.save(path)
        other = pq.CovariantNet.load(path)
        assert other(U) == net(U) == net(U)
        assert other.named_parameters() == net.named_parameters()
    W, averages = pq.GaugeField.hot((2, 2, 2, 2), "SU(2)", rng=1), net_of_averages(4)
    for twin in (averages.copy(), pickle.loads(pickle.dumps(averages)), copy.deepcopy(averages)):
        assert twin(W) == averages(W)
        twin.parameters = 0.5 * twin.parameters
        assert twin(W) != averages(W)
    averages.save(path)
    assert pq.CovariantNet.load(path)(W) == averages(W)
    names = ["0.alpha", "1.alpha@01", "2.alpha_1", "2.alpha_2", "2.alpha_3", "3.alpha_1@012", "3.alpha_2@012"]
    assert list(averages.named_parameters()) == names
    net_for((4, 4)).save(path)
    different = pq.CovariantNet([pq.StoutLayer(["plaquette"]), pq.AttentionLayer(["plaquette"], reach=3)])
    with pytest.raises(ValueError, match="3 layers, this network 2"):
        different.load_parameters(path)
    different = pq.CovariantNet(
        [
            pq.StoutLayer(["plaquette", "polyakov_t"]),
            pq.AttentionLayer(["plaquette"], reach=3),
            pq.StoutLayer(["rectangle"], directions=[1]),
        ]
    )
    with pytest.raises(ValueError, match=r"layer 1 is .*'reach': 2.* in this network .*'reach': 3"):
        different.load_parameters(path)


U2 = pq.GaugeField.cold((4, 4), "SU(2)")
STOUT = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
DISTANCE = pq.losses.FieldDistance(lambda U: U)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pq.AttentionLayer("plaquette"), TypeError, "list of names"),
        (lambda: pq.AttentionLayer(["plaquete"]), ValueError, "plaquette"),
        (lambda: pq.AttentionLayer(["plaquette"], [0.1, 0.2, 0.3]), ValueError, r"\(3, 1\) is needed"),
        (lambda: pq.AttentionLayer(["plaquette"], [[0.1], [np.nan], [0]]), ValueError, "NaN"),
        (lambda: pq.AttentionLayer(["plaquette"], [[0.1]] * 3, form="authors"), ValueError, "rows output, query"),
        (lambda: pq.AttentionLayer(["plaquette"], [[0.1]] * 4, form="score"), ValueError, "rows query"),
        (lambda: pq.AttentionLayer(["plaquette"], form="scores"), ValueError, "score"),
        (lambda: pq.AttentionLayer(["plaquette"], form=None), ValueError, "form"),
        (lambda: pq.AttentionLayer(["plaquette"], reach=0), ValueError, "1 to 8"),
        (lambda: pq.AttentionLayer(["plaquette"], reach=1.5), TypeError, "reach is an int"),
        (
            lambda: pq.CovariantNet([pq.AttentionLayer(["polyakov"])])(pq.GaugeField.cold((4,), "U(1)")),
            ValueError,
            "at least two dimensions",
        ),
        (lambda: pq.CovariantNet([pq.StoutLayer(["polyakov_z"], [0.1])])(U2), ValueError, "dimensions"),
        (lambda: pq.CovariantNet([pq.AttentionLayer(["chair"])])(U2), ValueError, "3 dimensions"),
        (lambda: pq.smear.APELayer(1.2), ValueError, "alpha = 1.2"),
        (lambda: pq.smear.APELayer(-0.1), ValueError, "alpha = -0.1"),
        (lambda: pq.smear.APELayer("0.5"), TypeError, "alpha is a number"),
        (lambda: pq.smear.APELayer(0.5, directions=[1]), ValueError, "at least two directions"),
        (lambda: pq.smear.APELayer(0.5, directions=[0, 4]), ValueError, "0 to 3"),
        (lambda: pq.smear.HYPLayer([0.5, np.nan]), ValueError, "alpha"),
        (lambda: pq.smear.HYPLayer([0.5, 1.5]), ValueError, "alpha = 1.5"),
        (lambda: pq.smear.HYPLayer(0.5), TypeError, "alphas is a sequence"),
        (lambda: pq.smear.HYPLayer([0.5]), ValueError, "one less than there are directions"),
        (lambda: pq.smear.HYPLayer([0.5, 0.5, 0.5], directions=range(3)), ValueError, "one less than there are"),
        (lambda: pq.CovariantNet([pq.smear.HYPLayer()])(U2), ValueError, "in 2 directions takes 1 coefficients"),
        (
            lambda: pq.CovariantNet([pq.smear.HYPLayer([0.5, 0.4])])(pq.GaugeField.cold((2, 2, 2, 2))),
            ValueError,
            "in 4 directions takes 3 coefficients; the layer has 2",
        ),
        (lambda: pq.CovariantNet([pq.smear.APELayer(0.5, [0, 2])])(U2), ValueError, "2-dimensional lattice"),
        (
            lambda: pq.CovariantNet([pq.smear.APELayer(0.5)])(pq.GaugeField.cold((4,), "U(1)")),
            ValueError,
            "at least two directions; a layer has 1",
        ),
        (lambda: setattr(STOUT, "parameters", [np.inf]), ValueError, "NaN or infinity"),
        (lambda: setattr(STOUT, "parameters", [0.1, 0.2]), ValueError, r"shape \(2,\)"),
        (lambda: STOUT.fit([U2], "mse"), TypeError, "plaq.losses"),
        (lambda: STOUT.fit([], DISTANCE), TypeError, "at least one"),
        (lambda: STOUT.fit(pq.Chain({"a": np.zeros(9)}), DISTANCE), TypeError, "GaugeField.from_numpy"),
        (lambda: STOUT.fit([U2, pq.GaugeField.cold((4, 6), "SU(2)")], DISTANCE), ValueError, "different kinds"),
        (lambda: STOUT.fit([U2], DISTANCE, optimizer="adam"), TypeError, "SGD, Adam, AdamW or AMSGrad"),
        (lambda: STOUT.fit([U2], DISTANCE, patience=3), ValueError, "give validation too"),
        (
            lambda: STOUT.fit([U2], pq.losses.FieldDistance([U2]), validation=[U2]),
            ValueError,
            "validation needs a target",
        ),
        (lambda: pq.losses.FieldDistance([U2]).targets([U2, U2]), ValueError, "1 target fields for 2"),
        (
            lambda: pq.losses.FieldDistance([pq.GaugeField.cold((4, 4))]).targets([U2]),
            ValueError,
            r"SU\(3\) on \(4, 4\)",
        ),
        (lambda: pq.losses.FieldDistance([3.0]).targets([U2]), TypeError, "GaugeField"),
        (lambda: pq.losses.ActionDifference(3.0, [1.0]), TypeError, "action of gauge fields"),
        (lambda: pq.losses.ActionDifference(pq.actions.Scalar(1.0), [1.0]), TypeError, "gauge fields"),
        (lambda: pq.losses.ActionDifference(pq.actions.Wilson(2.0), [np.nan]), ValueError, "NaN or infinity"),
        (lambda: pq.losses.ActionDifference(pq.actions.Wilson(2.0), [1.0], form="l2"), ValueError, "mean_square"),
        (
            lambda: STOUT.fit(
                [U2], pq.losses.ActionDifference(pq.actions.Wilson(2.0), [1.0], form="variance"), progress=False
            ),
            ValueError,
            "at least 2 configurations",
        ),
        (
            lambda: pq.losses.ActionDifference(pq.actions.Wilson(2.0), [1.0]).targets([U2, U2]),
            ValueError,
            "1 target numbers for 2",
        ),
        (lambda: pq.losses.ForceNorm(pq.actions.Wilson(2.0), power=3), ValueError, "even numbers"),
        (lambda: pq.losses.ForceNorm(pq.actions.Wilson(2.0), power=18), ValueError, "even numbers"),
        (lambda: pq.losses.ForceNorm("wilson"), TypeError, "action of gauge fields"),
        (
            lambda: pq.losses.ForceNorm(pq.actions.Custom(lambda U: (0.0, 0 * U))).of_batch(STOUT, [U2], [None]),
            ValueError,
            "made of loops",
        ),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_hostile_weight_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    stout = {"kind": "stout", "terms": [["plaquette", 255]]}
    entries: list[Any] = [
        stout | {"terms": [["plaquette", mask]]} for mask in (float("inf"), 300, -1, 0, True, "x", None)
    ]
    entries += [
        stout | {"terms": [[[float("inf"), 1], 255]]},
        stout | {"kind": "dense"},
        {"kind": "attention", "terms": [["plaquette", 255]], "reach": 99},
        {"kind": "attention", "terms": [["plaquette", 255]]},
        *({"kind": "ape", "directions": mask} for mask in (0, 1, 16, True, "x", None, float("nan"))),
        {"kind": "ape"},
        *({"kind": "hyp", "directions": 255, "levels": n} for n in (0, 1, 2, 4, 10**9, True, "x", None)),
        {"kind": "hyp", "directions": 3, "levels": 2},
        [1, 2],
    ]
    for entry in entries:
        save_weights(path, {"0.rho": np.zeros(1)}, [entry])
        with pytest.raises(pq.FormatError, match="holds no covariant network"):
            pq.CovariantNet.load(path)


def test_other_validation_fields_are_another_training(tmp_path: Path) -> None:
    path = tmp_path / "training.npz"
    settings: dict[str, Any] = {"epochs": 2, "checkpoint": path, "progress": False}
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
    net.fit(FIELDS[:2], DISTANCE, validation=FIELDS[2:3], **settings)
    with pytest.raises(pq.CheckpointError, match="validation"):
        net.fit(FIELDS[:2], DISTANCE, validation=FIELDS[3:4], **settings)


def test_a_learning_rate_that_diverges_is_reported() -> None:
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    loss = pq.losses.ActionDifference(pq.actions.Wilson(2.0), [1e200] * len(FIELDS))
    with pytest.raises(ValueError, match=r"loss is inf|gradient"):
        net.fit(FIELDS, loss, optimizer=SGD(1e200), epochs=5, progress=False)
    assert net.parameters == pytest.approx([0.1])


def test_t0_and_w0_of_a_chain() -> None:
    """A family of energies whose crossing is known, with fluctuations of known size."""
    t = np.linspace(0.0, 4.0, 81)
    factor = 1.0 + 0.02 * np.random.default_rng(3).standard_normal(400)
    energy = factor[:, None] * 0.15 / np.maximum(t, 1e-9)
    scale, w = pq.smear.t0(t, energy), pq.smear.w0(t, energy)
    error = 2.0 * 0.02 / np.sqrt(400)
    assert scale.mean == pytest.approx(2.0 / factor.mean(), rel=1e-6)
    assert scale.error == pytest.approx(error, rel=0.15)
    assert w.mean == pytest.approx(np.sqrt(2.0 / factor.mean()), rel=1e-6)
    assert w.error == pytest.approx(error / (2 * np.sqrt(2.0)), rel=0.15)
    with pytest.raises(ValueError, match="does not cross"):
        pq.smear.t0(t, energy, level=3.0)
    with pytest.raises(ValueError, match=r"\(draws, T\)"):
        pq.smear.t0(t, energy[0])


def test_demo_prints_and_draws(tmp_path: Path) -> None:
    from plaq.cli.demos.smearing import smearing

    lines: list[str] = []
    histories = smearing(lines.append, configurations=2, epochs=6, figure=tmp_path / "demo.png")
    text = "\n".join(lines)
    assert text.count("agree with its record") == 2
    assert "differ" not in text
    for name, history in histories.items():
        assert history.validation.min() < 0.2  # 0.26 without smearing
        assert name in text
    assert (tmp_path / "demo.png").stat().st_size > 20_000
