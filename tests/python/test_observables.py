"""Observables against recorded values of real fields, plain numpy, and the symmetries of the lattice."""

from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq import observables as obs
from reference import (
    GROUPS,
    SHAPES,
    charge,
    field_strength,
    leaves,
    mean,
    plaquettes,
    rectangles,
    trace,
)

DATA = Path(__file__).parents[1] / "data"


def hot(group="SU(3)", ndim=4, rng=1):
    return pq.GaugeField.hot(SHAPES[ndim], group, rng=rng)


def smooth(group="SU(3)", shape=(4, 4, 4, 4)):
    """A field near one, on which no symmetry holds by accident."""
    return pq.HMC(pq.actions.Wilson(50.0), length=0.5, steps=20).step(pq.GaugeField.cold(shape, group), rng=3)[0]


@pytest.fixture(scope="module")
def testconf():
    return pq.read_gauge(DATA / "testconf.txt", shape=(4, 4, 4, 4), group="SU(3)")


# Values of QCDMeasurements.jl for its test configuration, all printed digits; each recomputed by an independent code.
TESTCONF = [
    ("plaquette", lambda U: obs.plaquette(U), 0.587818337847024, 15),
    ("rectangle", lambda U: obs.rectangle(U), 0.3714647106838, 13),
    ("Polyakov, real", lambda U: 3 * obs.polyakov(U).real, 0.5255246068616, 13),
    ("Polyakov, imaginary", lambda U: 3 * obs.polyakov(U).imag, -0.1514085097125, 13),
    ("Wilson loop 1x1", lambda U: obs.wilson_loop(U, 1, 1), 0.5862877559, 10),
    ("Wilson loop 2x2", lambda U: obs.wilson_loop(U, 2, 2), 0.1904219170, 10),
    ("Wilson loop 4x4", lambda U: obs.wilson_loop(U, 4, 4), 0.1104941019, 10),
    ("Q plaquette", lambda U: obs.topological_charge(U, "plaquette"), -0.27309601264, 11),
    ("Q clover", lambda U: obs.topological_charge(U, "clover"), -0.02716458597, 11),
    ("Q improved", lambda U: obs.topological_charge(U, "improved"), -0.0321008596, 10),
    ("E clover", lambda U: obs.energy_density(U), 2.071109439058744, 14),
    ("E plaquette", lambda U: obs.energy_density(U, "plaquette"), 14.8385398375, 10),
]


@pytest.mark.parametrize(("name", "function", "value", "digits"), TESTCONF, ids=[row[0] for row in TESTCONF])
def test_shared_configuration(testconf, name, function, value, digits):
    assert function(testconf) == pytest.approx(value, abs=0.6 * 10.0**-digits, rel=0)


def test_improved_charge_is_its_combination(testconf):
    """Q_improved = 5/3 Q_clover - (1/12) 2 Q of the mean of the eight 2x1 leaves, which is -0.0790407020813 here."""
    links = np.asarray(testconf)
    eight = charge(lambda a, b: field_strength(links, leaves(a, b, 2, 1) + leaves(a, b, 1, 2)))
    assert eight.sum() == pytest.approx(-0.0790407020813, abs=1e-12)
    four = charge(lambda a, b: field_strength(links, leaves(a, b)))
    density = obs.topological_charge_density(testconf, "improved")
    assert np.abs(density - (5 / 3 * four - eight / 6)).max() < 1e-14


def test_weak_field_has_its_recorded_planes_and_polyakov_loops():
    U = pq.read_gauge(DATA / "random-gauge.qio")
    loops = [0.96722258736 - 0.00121316529j, 0.96703205801 - 0.00129617000j, 0.96746751651 - 0.00114548283j]
    for mu, value in enumerate([*loops, 0.87953894166 - 0.01044028488j]):
        assert abs(obs.polyakov(U, mu) - value) < 3e-7
        assert obs.polyakov(U, mu - 4) == obs.polyakov(U, mu)
    matrix = obs.plaquettes(U)
    recorded = [0.994752411, 0.995051670, 0.994927933, 0.994598524, 0.994742132, 0.994516198]
    assert np.abs(matrix[np.triu_indices(4, 1)] - recorded).max() < 3e-7
    assert np.array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert matrix.sum() / 12 == pytest.approx(obs.plaquette(U), abs=1e-15)


def test_coulomb_gauge_twin_has_its_recorded_polyakov_loop():
    """3 P_t = (2.299696e-03, 1.676328e-03), and the same without the gauge fixing."""
    twin, U = (pq.read_gauge(DATA / name) for name in ("lat.sample.l4448.gf", "lat.sample.l4448"))
    assert abs(3 * obs.polyakov(twin) - (2.299696e-03 + 1.676328e-03j)) < 2e-7
    assert abs(3 * obs.polyakov(U) - (2.299696e-03 + 1.676328e-03j)) < 2e-7


def test_instanton_file_carries_charge_of_one_sign():
    U = pq.read_gauge(DATA / "lat.sample.inst")
    links = np.asarray(U)
    values = {name: obs.topological_charge(U, name) for name in ("plaquette", "clover", "improved")}
    assert values["clover"] == pytest.approx(charge(lambda a, b: field_strength(links, leaves(a, b))).sum(), abs=1e-13)
    assert 0.4 < values["clover"] < values["plaquette"] < values["improved"] < 1  # a small instanton, coarsely seen
    # The self-duality bound, which holds for the same field strengths in E and Q.
    assert 256 * obs.energy_density(U) >= 8 * np.pi**2 * values["clover"]


def test_one_excited_link():
    links = np.asarray(pq.GaugeField.cold((4, 4, 4, 4)))
    links[1, 0, 0, 0, 0] = np.diag([np.exp(1.1j), np.exp(-1.1j), 1])
    U = pq.GaugeField.from_numpy(links)
    assert obs.plaquette(U) == pytest.approx(0.99857707323287903, abs=2e-15)
    assert obs.plaquette(U) == pytest.approx(1 + 2 * (np.cos(1.1) - 1) / (3 * 256), abs=2e-15)
    assert obs.topological_charge(U) == pytest.approx(0, abs=1e-15)
    assert ((1 - obs.plaquette_density(U)) > 1e-12).sum() == 4  # x and x - nu for the three nu


@pytest.mark.parametrize("ndim", [2, 3, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_loops_are_those_of_plain_numpy(group, ndim):
    U = hot(group, ndim)
    links = np.asarray(U)
    assert obs.plaquette(U) == pytest.approx(mean(links, plaquettes(ndim)), abs=1e-14)
    assert obs.rectangle(U) == pytest.approx(mean(links, rectangles(ndim)), abs=1e-14)
    assert obs.wilson_loop(U, 2, 1) == pytest.approx(
        mean(links, [(mu, mu, ndim, -mu, -mu, -ndim) for mu in range(1, ndim)]), abs=1e-14
    )
    path = (1, 2, 2, -1, -2, -2) if ndim == 2 else (1, 2, 3, -1, -2, -3)
    assert np.abs(obs.loop_density(U, path) - trace(links, path)).max() < 1e-14
    for mu in range(ndim):
        line = trace(links, [mu + 1] * U.shape[mu])
        assert np.abs(obs.polyakov_density(U, mu) - line.take(0, axis=mu)).max() < 1e-14
        assert np.abs(line - line.take([0], axis=mu)).max() < 1e-14


@pytest.mark.parametrize("group", ["SU(2)", "SU(3)", "SU(4)", "SU(8)"])
def test_charge_and_energy_are_those_of_plain_numpy(group):
    U = hot(group)
    links = np.asarray(U)
    for name, strength in {
        "plaquette": lambda a, b: field_strength(links, [(a, b, -a, -b)]),
        "clover": lambda a, b: field_strength(links, leaves(a, b)),
    }.items():
        assert np.abs(obs.topological_charge_density(U, name) - charge(strength)).max() < 1e-13
    clover = sum(
        field_strength(links, leaves(*plane[:2])) @ field_strength(links, leaves(*plane[:2])) for plane in plaquettes(4)
    )
    energy = -np.trace(clover, axis1=-2, axis2=-1).real
    assert np.abs(obs.energy_density_density(U) - energy).max() < 1e-12
    assert obs.energy_density(U, "plaquette") == pytest.approx(12 * U.n_colors * (1 - obs.plaquette(U)), abs=1e-12)


def test_named_loops_and_paths_agree():
    U = hot()
    assert obs.loop(U, [1, 2, -1, -2]) == pytest.approx(obs.plaquettes(U)[0, 1], abs=1e-15)
    assert obs.loop(U, [2, 1, -2, -1]) == pytest.approx(obs.plaquettes(U)[0, 1], abs=1e-15)
    assert np.mean([obs.loop(U, path) for path in rectangles(4)]) == pytest.approx(obs.rectangle(U), abs=1e-15)
    spatial = [[mu] * 2 + [4] * 3 + [-mu] * 2 + [-4] * 3 for mu in (1, 2, 3)]
    assert np.mean([obs.loop(U, path) for path in spatial]) == pytest.approx(obs.wilson_loop(U, 2, 3), abs=1e-15)
    assert obs.loop(U, [4, 4]) == pytest.approx(obs.polyakov(U).real, abs=1e-15)  # the lattice has two time slices
    assert obs.loop(U, [1, -1]) == pytest.approx(1, abs=1e-14)


DENSITIES = {
    "plaquette": (obs.plaquette_density, obs.plaquette, np.mean),
    "rectangle": (obs.rectangle_density, obs.rectangle, np.mean),
    "polyakov": (obs.polyakov_density, obs.polyakov, np.mean),
    "energy_density": (obs.energy_density_density, obs.energy_density, np.mean),
    "topological_charge": (obs.topological_charge_density, obs.topological_charge, np.sum),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_add_up(name):
    density, value, total = DENSITIES[name]
    U = smooth()
    local = density(U)
    assert local.shape == ((4, 4, 4) if name == "polyakov" else U.shape)
    assert total(local) == pytest.approx(value(U), rel=1e-12, abs=1e-15)
    assert np.std(local) > 0


@pytest.mark.parametrize("seed", range(5))
def test_geometric_charge_is_a_gauge_invariant_integer(seed):
    U = pq.GaugeField.hot((6, 8), "U(1)", rng=seed)
    Q = obs.topological_charge(U, "geometric")
    theta = np.angle(trace(np.asarray(U), (1, 2, -1, -2)))
    assert pytest.approx(theta.sum() / (2 * np.pi), abs=1e-12) == Q
    assert abs(Q - round(Q)) < 1e-12
    assert obs.topological_charge(U.random_gauge_transform(rng=9), "geometric") == pytest.approx(Q, abs=1e-11)


@pytest.mark.parametrize("Q", [-2, 1, 3])
def test_constant_field_has_the_charge_it_was_built_with(Q):
    length = 6
    x, y = np.indices((length, length))
    links = np.ones((2, length, length, 1, 1), complex)
    links[1, ..., 0, 0] = np.exp(2j * np.pi * Q * x / length**2)
    links[0, -1, :, 0, 0] = np.exp(-2j * np.pi * Q * y[-1] / length)
    U = pq.GaugeField.from_numpy(links)
    assert obs.topological_charge(U, "geometric") == pytest.approx(Q, abs=1e-12)
    assert obs.plaquette(U) == pytest.approx(np.cos(2 * np.pi * Q / length**2), abs=1e-14)


def every_observable(U):
    """Invariants of the field; the Polyakov loops complex."""
    values = {"plaquette": obs.plaquette(U), "rectangle": obs.rectangle(U), "wilson": obs.wilson_loop(U, 1, 1)}
    values |= {f"polyakov {mu}": obs.polyakov(U, mu) for mu in range(U.ndim)}
    values |= {f"E {name}": obs.energy_density(U, name) for name in ("clover", "plaquette")}
    if U.ndim == 4:
        values |= {f"Q {name}": obs.topological_charge(U, name) for name in ("plaquette", "clover", "improved")}
    if (U.ndim, U.group) == (2, "U(1)"):
        values["Q geometric"] = obs.topological_charge(U, "geometric")
    return values


@pytest.mark.parametrize("ndim", [2, 3, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_gauge_transformations_change_nothing(group, ndim):
    U = hot(group, ndim)
    if group == "U(1)" and ndim == 4:
        U = pq.GaugeField.hot((4, 4, 2, 8), "U(1)", rng=4)
    before, after = every_observable(U), every_observable(U.random_gauge_transform(rng=11))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert abs(after[name] - value) < 1e-12 * max(1, abs(value)), name


def translated(links, mu):
    return np.roll(links, 1, mu + 1)


def reflected(links, mu):
    """x_mu -> -x_mu; a link along mu is run through backwards, from the other end."""
    mirrored = np.roll(np.flip(links, mu + 1), 1, mu + 1)
    mirrored[mu] = np.roll(mirrored[mu].conj().swapaxes(-1, -2), -1, mu)
    return mirrored


def exchanged(links, a, b):
    """Axes a and b of the lattice exchanged."""
    order = list(range(links.shape[0]))
    order[a], order[b] = b, a
    return links.swapaxes(a + 1, b + 1)[order]


def rotated(links, a, b):
    """Rotation by 90 degrees: an exchange and a reflection."""
    return reflected(exchanged(links, a, b), a)


def symmetric(values):
    """Those that rotations and reflections keep: the plaquette charge takes its F from one corner of x only."""
    return {name: value for name, value in values.items() if name != "Q plaquette"}


@pytest.mark.parametrize("mu", range(4))
def test_translations_and_reflections(mu):
    U = smooth()
    links = np.asarray(U)
    before, moved = every_observable(U), every_observable(pq.GaugeField.from_numpy(translated(links, mu)))
    mirror = every_observable(pq.GaugeField.from_numpy(reflected(links, mu)))
    for name, value in before.items():
        assert moved[name] == pytest.approx(value, abs=1e-13), name
    for name, value in symmetric(before).items():
        sign = -1 if name.startswith("Q") else 1
        image = value.conjugate() if name == f"polyakov {mu}" else value
        assert mirror[name] == pytest.approx(sign * image, abs=1e-13), name
    assert abs(before["Q clover"]) > 1e-6


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2), (2, 0)])
def test_rotations(a, b):
    U = smooth()
    before, after = every_observable(U), every_observable(pq.GaugeField.from_numpy(rotated(np.asarray(U), a, b)))
    for name, value in symmetric(before).items():
        if not name.startswith("polyakov"):
            assert after[name] == pytest.approx(value, abs=1e-13), name
    assert {round(abs(after[f"polyakov {mu}"]), 12) for mu in range(4)} == {
        round(abs(before[f"polyakov {mu}"]), 12) for mu in range(4)
    }


def test_reflection_turns_the_geometric_charge():
    U = pq.GaugeField.hot((6, 6), "U(1)", rng=2)
    Q = obs.topological_charge(U, "geometric")
    assert abs(Q) > 0.5
    for mu in (0, 1):
        mirror = pq.GaugeField.from_numpy(reflected(np.asarray(U), mu))
        assert obs.topological_charge(mirror, "geometric") == pytest.approx(-Q, abs=1e-12)
    conjugate = pq.GaugeField.from_numpy(np.asarray(U).conj())
    assert obs.topological_charge(conjugate, "geometric") == pytest.approx(-Q, abs=1e-12)


@pytest.mark.parametrize("group", ["SU(2)", "SU(3)", "SU(4)"])
def test_centre_transformation_turns_the_polyakov_loop_only(group):
    U = hot(group)
    links = np.asarray(U)
    z = np.exp(2j * np.pi / U.n_colors)
    links[3, :, :, :, 1] *= z
    V = pq.GaugeField.from_numpy(links)
    before, after = every_observable(U), every_observable(V)
    assert after.pop("polyakov 3") == pytest.approx(z * before.pop("polyakov 3"), abs=1e-14)
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=1e-13), name


def test_one_dimension_has_a_polyakov_loop_only():
    U = hot("SU(3)", 1)
    assert obs.polyakov(U) == pytest.approx(np.trace(np.linalg.multi_dot(np.asarray(U)[0])) / 3, abs=1e-14)
    for function in (obs.plaquette, obs.rectangle, obs.plaquettes, obs.energy_density):
        with pytest.raises(ValueError, match="2 dimensions"):
            function(U)
