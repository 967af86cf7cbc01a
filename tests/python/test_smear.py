"""Smearing, flow and covariant networks against recorded values and laws."""

import itertools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plaq as pq
import pytest

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def testconf() -> pq.GaugeField:
    return pq.read_gauge(DATA / "testconf.txt", shape=(4, 4, 4, 4), group="SU(3)")


def test_stout_of_the_shared_configuration(testconf: pq.GaugeField) -> None:
    plaquette = pq.observables.plaquette
    assert plaquette(pq.smear.stout(testconf, 0.1)) == pytest.approx(0.8333314539497718, abs=1e-14)
    assert plaquette(pq.smear.stout(testconf, 0.1, n=2)) == pytest.approx(0.9274425360431038, abs=1e-14)
    instanton = pq.read_gauge(DATA / "lat.sample.inst")
    assert 3 * plaquette(pq.smear.stout(instanton, 0.15)) == pytest.approx(2.975931, abs=5e-7)


def test_flow_of_the_shared_configuration(testconf: pq.GaugeField) -> None:
    flow = pq.smear.flow(testconf, 1.0, step=0.01)
    recorded = {
        0.01: (0.618210210434, None),
        0.1: (0.816831735752, 1.509819096696),
        0.5: (0.986935021954, 0.270439152412),
        1.0: (0.997178021776, 0.079456829207),
    }
    for t, (plaquette, energy) in recorded.items():
        k = int(np.argmin(abs(flow.t - t)))
        assert flow.plaquette[k] == pytest.approx(plaquette, abs=1e-12)
        assert energy is None or flow.energy[k] == pytest.approx(energy, abs=1e-12)
    assert flow.charge[-1] == pytest.approx(-0.001403118940, abs=1e-12)
    assert np.all(np.diff(flow.plaquette) > 0)
    assert np.all(np.diff(flow.energy) < 0)
    assert (flow.t[0], flow.t[-1], flow.steps) == (0.0, 1.0, 100)


def test_flow_on_unequal_extents_and_its_control() -> None:
    U = pq.datasets.gauge("lat.sample.l4448")
    flow = pq.smear.flow(U, 0.5, step=0.1)
    recorded_energy = [1.05787 + 1.03094, 0.790042 + 0.76505, 0.506125 + 0.481396]
    assert flow.energy[:3] == pytest.approx(recorded_energy, rel=1e-5)
    assert flow.energy[-1] == pytest.approx(0.152452 + 0.125636, rel=1e-5)
    assert flow.charge[[0, 1, 2, 5]] == pytest.approx([0.0955429, 0.0389772, 0.0166373, 0.00570391], rel=1e-5)
    fine = pq.smear.flow(U, 0.5, step=0.005, every=20)
    adaptive = pq.smear.flow(U, 0.5, step=0.1, adaptive=True, tolerance=1e-7)
    assert adaptive.plaquette[-1] == pytest.approx(fine.plaquette[-1], abs=1e-8)
    third_order = [abs(pq.smear.flow(U, 0.5, step=h).energy[-1] - fine.energy[-1]) for h in (0.1, 0.05)]
    assert 6.0 < third_order[0] / third_order[1] < 10.0


def test_flow_scales() -> None:
    t = np.linspace(0.0, 4.0, 81)
    flow = pq.smear.Flow(t, 0.15 / np.maximum(t, 1e-9), 0 * t, 0 * t, pq.GaugeField.cold((4, 4)), 80)
    assert flow.t0(0.3) == pytest.approx(2.0, abs=1e-9)  # t^2 E = 0.15 t
    assert flow.w0(0.3) == pytest.approx(np.sqrt(2.0), abs=1e-6)
    curved = pq.smear.Flow(t, 0.05 * t, 0 * t, 0 * t, pq.GaugeField.cold((4, 4)), 80)  # t d(t^2 E)/dt = 0.15 t^3
    assert curved.w0(0.3) == pytest.approx(2.0 ** (1 / 6), abs=5e-6)
    with pytest.raises(ValueError, match="flow further"):
        flow.t0(0.9)


@pytest.mark.parametrize(("shape", "group"), [((6, 4), "U(1)"), ((4, 4, 4), "SU(2)"), ((4, 4, 2, 4), "SU(3)")])
def test_maps_commute_with_gauge_transformations(shape: tuple[int, ...], group: str) -> None:
    U = pq.GaugeField.hot(shape, group, rng=4)
    net = pq.CovariantNet(
        [pq.StoutLayer(["plaquette", "polyakov_t"], [0.08, 0.03]), pq.StoutLayer(["rectangle"], [0.02])]
    )
    maps: list[Callable[[pq.GaugeField], pq.GaugeField]] = [
        net,
        lambda U: pq.smear.ape(U, 0.5, directions=range(2)),
        lambda U: pq.smear.flow(U, 0.05, step=0.05).field,
    ]
    if len(shape) > 2:
        maps.append(lambda U: pq.smear.hyp(U, (0.75, 0.6, 0.3)[4 - len(shape) :]))
    for number, image in enumerate(maps):
        a = np.asarray(image(U).random_gauge_transform(rng=9))
        b = np.asarray(image(U.random_gauge_transform(rng=9)))
        # three projections of sums of random matrices in a row lose another digit
        assert abs(a - b).max() < (1e-11 if number == 3 else 1e-12)


def test_hyp_and_ape_of_an_abelian_link_by_hand() -> None:
    """One excited link in a cold field: the smeared link is the projection of a sum that can be written down."""
    links = np.ones((2, 4, 4, 1, 1), complex)
    links[0, 1, 2] = np.exp(0.7j)
    smeared = np.asarray(pq.smear.ape(pq.GaugeField.from_numpy(links), 0.4))
    expected = 0.6 * np.exp(0.7j) + 0.4
    assert smeared[0, 1, 2, 0, 0] == pytest.approx(expected / abs(expected), abs=1e-14)


def dagger(m: np.ndarray) -> np.ndarray:
    return m.conj().swapaxes(-1, -2)


def project(m: np.ndarray) -> np.ndarray:
    u, _, v = np.linalg.svd(m)
    n = m.shape[-1]
    return u @ v * np.exp(-1j * np.angle(np.linalg.det(u @ v)) / n)[..., None, None]


def staples(side: np.ndarray, far: np.ndarray, mu: int, nu: int) -> np.ndarray:
    """Both staples of links of direction mu in the plane with nu."""
    up = side @ np.roll(far, -1, nu) @ dagger(np.roll(side, -1, mu))
    back = [np.roll(side, 1, nu), np.roll(far, 1, nu), np.roll(np.roll(side, -1, mu), 1, nu)]
    return up + dagger(back[0]) @ back[1] @ back[2]


def plain_hyp(links: np.ndarray, alphas: tuple[float, ...]) -> np.ndarray:
    """Level by level: a link is labelled by the directions that its staples may not use."""
    ndim, depth = len(links), len(alphas)
    thin = {mu: links[mu] for mu in range(ndim)}

    def fat(mu: int, used: frozenset[int], inner: int) -> np.ndarray:
        if inner == depth:
            return thin[mu]
        key = (mu, used, inner)
        if key not in cache:
            free = [nu for nu in range(ndim) if nu != mu and nu not in used]
            total = sum(
                staples(fat(nu, used | {mu}, inner + 1), fat(mu, used | {nu}, inner + 1), mu, nu) for nu in free
            )
            cache[key] = project((1 - alphas[inner]) * thin[mu] + alphas[inner] / (2 * len(free)) * total)
        return cache[key]

    cache: dict[tuple[int, frozenset[int], int], np.ndarray] = {}
    return np.array([fat(mu, frozenset(), 0) for mu in range(ndim)])


@pytest.mark.parametrize(("shape", "group"), [((4, 3, 2, 4), "SU(3)"), ((2, 4, 3, 4), "SU(4)"), ((4, 6, 3), "SU(2)")])
def test_hyp_and_spatial_ape_against_plain_numpy(shape: tuple[int, ...], group: str) -> None:
    U = pq.Heatbath(pq.actions.Wilson(6.0)).step(pq.GaugeField.hot(shape, group, rng=1), rng=2)[0]
    links, alphas = np.asarray(U), (0.75, 0.6, 0.3)[: len(shape) - 1]
    assert abs(np.asarray(pq.smear.hyp(U, alphas)) - plain_hyp(links, alphas)).max() < 1e-11
    ape = [
        project(0.5 * links[mu] + 0.5 / 4 * sum(staples(links[nu], links[mu], mu, nu) for nu in range(3) if nu != mu))
        for mu in range(3)
    ]
    assert abs(np.asarray(pq.smear.ape(U, 0.5, directions=range(3)))[:3] - np.array(ape)).max() < 1e-11


def test_polyakov_stout_against_plain_numpy() -> None:
    """exp(rho TA(P^dagger)) U: the loop C U^dagger runs backwards through the link."""
    U = pq.GaugeField.hot((3, 4), "SU(2)", rng=1)
    links = np.asarray(U)
    line = links[1]
    for k in range(1, 4):
        line = line @ np.roll(links[1], -k, 1)
    a = (dagger(line) - line) / 2
    a -= np.trace(a, axis1=-2, axis2=-1)[..., None, None] * np.eye(2) / 2
    w, v = np.linalg.eigh(-1j * 0.07 * a)
    expected = (v * np.exp(1j * w)[..., None, :]) @ dagger(v) @ links[1]
    smeared = np.asarray(pq.smear.stout(U, 0.07, loops=["polyakov_t"]))
    assert abs(smeared[1] - expected).max() < 1e-13
    assert np.array_equal(smeared[0], links[0])
    assert pq.observables.polyakov(pq.smear.stout(U, 0.07, loops=["polyakov_t"])).real > pq.observables.polyakov(U).real


def test_mapped_action_drives_an_exact_hmc() -> None:
    """The chain samples exp(-S(net(U))): its plaquette is that of a reweighted Wilson heatbath."""
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    S = pq.actions.Mapped(pq.actions.Wilson(2.0), net)
    U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    chain = pq.HMC(S, steps=2).run(U, 12_000, warmup=100, rng=5, progress=False)
    weight = np.exp(-chain.info["delta_h"])
    assert 0.5 < chain.acceptance < 0.999
    assert abs(weight.mean() - 1) < 4 * weight.std() / np.sqrt(len(weight))
    wilson = pq.actions.Wilson(1.4)
    both = {"P": pq.observables.plaquette, "log w": lambda V: wilson(V) - S(V)}
    plain = pq.Heatbath(wilson).run(U, 12_000, warmup=50, observables=both, rng=6, progress=False)
    factor = np.exp(plain["log w"] - plain["log w"].max())
    pair = np.stack([plain["P"] * factor, factor], axis=1)
    expected = pq.statistics.estimate(pair, lambda m: m[0] / m[1])
    found = chain.estimate("plaquette")
    assert abs(found.mean - expected.mean) < 4 * np.hypot(found.error, expected.error), (found, expected)
    assert np.hypot(found.error, expected.error) < 0.01
    # one-plaquette check of the force: derivative along a random direction
    F, h = S.force(U), 1e-5
    delta = np.random.default_rng(3).normal(size=F.shape)
    links = np.asarray(U)
    moved = [S(pq.GaugeField.from_numpy(np.exp(1j * sign * h * delta) * links)) for sign in (1, -1)]
    assert (moved[0] - moved[1]) / (2 * h) == pytest.approx(float((F.imag * delta).sum()), rel=1e-7)


def test_training_signal_is_the_gradient() -> None:
    S = pq.actions.Wilson(5.0)
    net = pq.CovariantNet(
        [pq.StoutLayer(["plaquette", "chair"], [0.05, 0.04, 0.06, 0.01, 0.02, 0.0], per_direction=3)] * 2
    )
    U = pq.GaugeField.hot((4, 4, 2), "SU(2)", rng=1)
    _, gradient = net.pullback(U, S.force(net(U)))
    theta = net.parameters
    assert len(gradient) == len(theta) == len(net.named_parameters()) == 12
    for k in (0, 4, 11):
        h, values = 1e-4, []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * h
            net.parameters = moved
            values.append(S(net(U)))
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(gradient[k], rel=1e-5, abs=1e-5)


def test_networks_are_saved_with_their_architecture(tmp_path: Path) -> None:
    net = pq.CovariantNet([pq.StoutLayer(["plaquette", [1, 2, -1, -2]], [0.1, 0.2]), pq.StoutLayer(["chair"], [0.3])])
    net.save(tmp_path / "net.safetensors")
    again = pq.CovariantNet.load(tmp_path / "net.safetensors")
    assert again.spec() == net.spec()
    assert np.array_equal(again.parameters, net.parameters)
    other = pq.CovariantNet([pq.StoutLayer(["plaquette", "chair"]), pq.StoutLayer(["chair"])])
    with pytest.raises(ValueError, match=r"layer 0 is .* in this network"):
        other.load_parameters(tmp_path / "net.safetensors")
    good = (tmp_path / "net.safetensors").read_bytes()
    for n in [*range(0, len(good), 7)]:
        (tmp_path / "cut").write_bytes(good[:n])
        with pytest.raises(pq.FormatError):
            pq.CovariantNet.load(tmp_path / "cut")
    hostile: list[bytes] = [
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        _safetensors({"0.rho": {"dtype": "F64", "shape": [2**60], "data_offsets": [0, 16]}}),
        _safetensors({"0.rho": {"dtype": "F64", "shape": [2], "data_offsets": [16, 0]}}),
        _safetensors({"0.rho": {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]}}),
    ]
    for data in hostile:
        (tmp_path / "hostile").write_bytes(data)
        with pytest.raises(pq.FormatError):
            pq.CovariantNet.load(tmp_path / "hostile")


def _safetensors(entries: dict[str, Any]) -> bytes:
    header = json.dumps({"__metadata__": {"architecture": "[]"}, **entries}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


U4 = pq.GaugeField.cold((4, 4, 4, 4))
BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: pq.smear.ape(U4, float("nan")), ValueError, "alpha"),
    (lambda: pq.smear.ape(U4, "0.5"), TypeError, "alpha is a number"),  # type: ignore[arg-type]
    (lambda: pq.smear.ape(U4, 0.5, directions=[7]), ValueError, "allowed are 0 to 3"),
    (lambda: pq.smear.ape(U4, 0.5, directions=[1]), ValueError, "two directions"),
    (lambda: pq.smear.ape(U4, 0.5, n=-1), ValueError, "n = -1"),
    (lambda: pq.smear.hyp(U4, (0.5, 0.5)), ValueError, "takes 3 coefficients"),
    (lambda: pq.smear.hyp(pq.GaugeField.cold((4, 4))), ValueError, "at least 3 dimensions"),
    (lambda: pq.smear.stout(U4, 0.1, loops=["plaquete"]), ValueError, 'did you mean "plaquette"'),
    (lambda: pq.smear.stout(U4, [0.1, 0.2]), ValueError, "1 numbers are needed"),
    (lambda: pq.smear.stout(np.ones(3), 0.1), TypeError, "GaugeField"),  # type: ignore[arg-type]
    (lambda: pq.smear.flow(U4, -1.0), ValueError, "at least 0"),
    (lambda: pq.smear.flow(U4, 1.0, step=0.0), ValueError, "above 0"),
    (lambda: pq.smear.flow(U4, 1.0, step=2.0), ValueError, "adaptive=True"),
    (lambda: pq.smear.flow(U4, 1.0, action="wilso"), ValueError, 'did you mean "wilson"'),
    (lambda: pq.smear.flow(U4, 1.0, action=pq.actions.Custom(abs)), ValueError, "made of loops"),
    (lambda: pq.smear.flow(U4, 1.0, every=0), ValueError, "at least 1"),
    (lambda: pq.smear.flow(U4, 1.0, adaptive=True, tolerance=-1.0), ValueError, "above 0"),
    (lambda: pq.StoutLayer([]), TypeError, "list of names"),
    (lambda: pq.StoutLayer(["plaquette"], [float("inf")]), ValueError, "NaN or infinity"),
    (lambda: pq.StoutLayer([[1, 9]]), ValueError, "steps are"),
    (lambda: pq.StoutLayer(["plaquette"], per_direction=5), ValueError, "number of dimensions"),
    (lambda: pq.StoutLayer(["plaquette"], directions=[7]), ValueError, "0 to 3"),
    (lambda: pq.StoutLayer(["plaquette"], directions=[0], per_direction=3), ValueError, "not both"),
    (
        lambda: pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1], directions=[3])])(pq.GaugeField.cold((4, 4))),
        ValueError,
        "does not have",
    ),
    (lambda: pq.CovariantNet([]), TypeError, "list of StoutLayer"),
    (lambda: pq.CovariantNet([pq.StoutLayer(["chair"])])(pq.GaugeField.cold((4, 4))), ValueError, "needs 3 dimensions"),
    (lambda: pq.CovariantNet([pq.StoutLayer(["polyakov_z"])])(pq.GaugeField.cold((4, 4))), ValueError, "dimensions"),
    (lambda: pq.CovariantNet([pq.StoutLayer([[1, 2]])])(U4), ValueError, "must close"),
    (lambda: pq.actions.Mapped(1, 2), TypeError, "Mapped takes"),  # type: ignore[arg-type]
    (
        lambda: pq.Heatbath(pq.actions.Mapped(pq.actions.Wilson(1.0), pq.CovariantNet([pq.StoutLayer(["plaquette"])]))),
        TypeError,
        "HMC",
    ),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input_is_named(case: int) -> None:
    call, kind, fragment = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    assert fragment in str(caught.value)


def test_flows_of_other_actions_lower_them_and_know_their_steps() -> None:
    U = pq.datasets.gauge("lat.sample.l4448")
    largest = {"wilson": 0.1569, "symanzik": 0.0941, "iwasaki": 0.0430, "dbw2": 0.01280}
    for name, step in largest.items():
        with pytest.raises(ValueError, match="unstable for this action in 4 dimensions"):
            pq.smear.flow(U, 0.2, step=1.01 * step, action=name)
        flow = pq.smear.flow(U, 0.2, step=0.5 * step, action=name)
        assert (np.diff(flow.energy) < 0).all()
        assert flow.plaquette[-1] > 0.85
    with pytest.raises(ValueError, match=r"above 0\.0261"), pytest.warns(RuntimeWarning):
        pq.smear.flow(U, 0.1, step=0.1, action=pq.actions.Wilson(6.0))
    with pytest.warns(RuntimeWarning, match="runs 6 times as fast") as told:
        fast = pq.smear.flow(U, 0.1, step=0.005, action=pq.actions.Wilson(6.0))
    assert told[0].filename == __file__
    slow = pq.smear.flow(U, 0.6, step=0.03)
    assert fast.energy == pytest.approx(slow.energy, rel=1e-10)
    square = [1, 2, -1, -2]
    with pytest.raises(pq.ConvergenceError, match="the action of the flow rose"):
        pq.smear.flow(U, 4.0, step=1.0, action=pq.actions.Loops([(1.0, square), (1.0, [1, 3, -1, -3])]))


def test_flow_control_that_cannot_hold_is_stated() -> None:
    U = pq.datasets.gauge("lat.sample.l4448")
    with pytest.raises(pq.ConvergenceError, match="cannot keep its error"):
        pq.smear.flow(U, 0.1, adaptive=True, tolerance=1e-17)
    for tolerance in (0.0, 0.4):
        with pytest.raises(ValueError, match=r"allowed is above 0 to 0\.01"):
            pq.smear.flow(U, 0.1, adaptive=True, tolerance=tolerance)


def walk(links, x, path):
    """The product of links along a path."""
    at, product, shape = list(x), np.eye(links.shape[-1]), links.shape[1:-2]
    for step in path:
        nu = abs(step) - 1
        if step < 0:
            at[nu] = (at[nu] - 1) % shape[nu]
        u = links[(nu, *at)]
        product = product @ (u if step > 0 else u.conj().T)
        if step > 0:
            at[nu] = (at[nu] + 1) % shape[nu]
    return product


def path_sums(links, coefficients):
    """Every path of one, three, five and seven links around each link, and the straight one of five, one by one."""
    one, *staples, straight = coefficients
    total = one * links
    for index in np.ndindex(links.shape[:-2]):
        mu, x = index[0], index[1:]
        others = [nu + 1 for nu in range(4) if nu != mu]
        for n, weight in enumerate(staples, 1):
            for order in itertools.permutations(others, n):
                for signs in itertools.product((1, -1), repeat=n):
                    out = [sign * nu for sign, nu in zip(signs, order, strict=True)]
                    total[index] += weight * walk(links, x, [*out, mu + 1, *(-nu for nu in reversed(out))])
        for step in (*others, *(-nu for nu in others)):
            total[index] += straight * walk(links, x, [step, step, mu + 1, -step, -step])
    return total


def long_paths(links):
    return np.array([walk(links, i[1:], [i[0] + 1] * 3) for i in np.ndindex(links.shape[:-2])]).reshape(links.shape)


@pytest.mark.parametrize("group", ["U(1)", "SU(3)"])
def test_fat_links_are_sums_over_their_paths(group):
    U = pq.GaugeField.hot((3, 2, 2, 3), group, rng=3)
    links, u0 = np.array(U), 0.9
    fat, long = pq.smear.asqtad(U, u0)
    weights = [5 / 8, 1 / 16 / u0**2, 1 / 64 / u0**4, 1 / 384 / u0**6, -1 / 16 / u0**4]
    assert np.allclose(fat, path_sums(links, weights), atol=1e-13)
    assert np.allclose(long, -long_paths(links) / 24 / u0**2, atol=1e-13)
    epsilon = -0.1
    fat, long = pq.smear.hisq(U, epsilon)
    first = path_sums(links, [1 / 8, 1 / 16, 1 / 64, 1 / 384, 0])
    values, vectors = np.linalg.eigh(np.swapaxes(first.conj(), -1, -2) @ first)
    unitary = first @ (vectors / np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors.conj(), -1, -2)
    assert np.allclose(unitary @ np.swapaxes(unitary.conj(), -1, -2), np.eye(U.n_colors))
    weights = [1 + epsilon / 8, 1 / 16, 1 / 64, 1 / 384, -1 / 8]
    assert np.allclose(fat, path_sums(unitary, weights), atol=1e-11)
    assert np.allclose(long, -(1 + epsilon) / 24 * long_paths(unitary), atol=1e-11)


@pytest.mark.parametrize("epsilon", [0.0, -0.2])
def test_fat_and_long_links_keep_the_momentum(epsilon):
    """Unit links: fat + 3 long = 1, and 9/8 of it from the link and its staples."""
    U = pq.GaugeField.cold((4, 4, 4, 4), "SU(2)")
    for fat, long in (pq.smear.asqtad(U), pq.smear.hisq(U, epsilon)):
        assert np.allclose(np.asarray(fat) + 3 * np.asarray(long), np.eye(2), atol=1e-14)
    assert np.allclose(pq.smear.asqtad(U)[0], 9 / 8 * np.eye(2), atol=1e-14)
