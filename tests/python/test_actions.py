"""Actions and forces against plain numpy, and actions supplied as Python functions."""

import itertools

import numpy as np
import plaq as pq
import pytest
from plaq import actions
from reference import (
    GROUPS,
    SHAPES,
    dagger,
    loop_action,
    plaquettes,
    rectangles,
    traceless_antihermitian,
    wilson_force,
)

C1 = {"Symanzik": -1 / 12, "Iwasaki": -0.331, "DBW2": -1.4088}
FIELDS = [(group, ndim) for group in ("U(1)", "SU(2)", "SU(3)", "SU(4)") for ndim in (2, 3, 4)]
every_field = pytest.mark.parametrize(("group", "ndim"), FIELDS)


def hot(group="SU(3)", ndim=4, rng=1):
    return pq.GaugeField.hot(SHAPES[ndim], group, rng=rng)


def wilson(beta):
    """The Wilson action written in numpy."""
    return lambda links: (loop_action(links, beta, plaquettes(links.shape[0])), wilson_force(links, beta))


@every_field
def test_values_are_those_of_the_formulas(group, ndim):
    U = hot(group, ndim)
    links = np.asarray(U)
    plaquette, rectangle = loop_action(links, 1, plaquettes(ndim)), loop_action(links, 1, rectangles(ndim))
    assert actions.Wilson(5.7)(U) == pytest.approx(5.7 * plaquette, rel=1e-13)
    for name, c1 in C1.items():
        expected = 1.7 * ((1 - 8 * c1) * plaquette + c1 * rectangle)
        assert getattr(actions, name)(1.7)(U) == pytest.approx(expected, rel=1e-12)
    both = actions.Loops([(0.4, "plaquette"), (-0.3, "rectangle")])
    assert both(U) == pytest.approx(0.4 * plaquette - 0.3 * rectangle, rel=1e-12)


@pytest.mark.parametrize("group", ["U(1)", "SU(3)"])
def test_other_loop_families(group):
    U = hot(group)
    links = np.asarray(U)
    lines = [(mu,) * U.shape[mu - 1] for mu in range(1, 5)]
    slices = [links.shape[mu] for mu in range(1, 5)]
    for name, chosen in {"polyakov_t": [3], "polyakov_x": [0], "polyakov_s": [0, 1, 2]}.items():
        expected = sum(loop_action(links, 0.3, [lines[mu]]) / slices[mu] for mu in chosen)
        assert actions.Loops([(0.3, name)])(U) == pytest.approx(expected, rel=1e-13)
    path = [1, 2, 3, -2, -1, -3]
    assert actions.Loops([(0.3, path)])(U) == pytest.approx(loop_action(links, 0.3, [path]), rel=1e-13)
    chairs = set()
    for a, b, c in itertools.permutations(range(1, 5), 3):
        for s, t, u in itertools.product((1, -1), repeat=3):
            chairs.add(canonical((s * a, t * b, -s * a, u * c, -t * b, -u * c)))
    value = loop_action(links, 0.3, chairs)
    assert actions.Loops([(0.3, "chair")])(U) == pytest.approx(value, rel=1e-12)


def canonical(path):
    """One representative of a loop, whatever its starting point and orientation."""
    turns = [path[k:] + path[:k] for k in range(len(path))]
    return min(turns + [tuple(-step for step in reversed(turn)) for turn in turns])


@pytest.mark.parametrize("ndim", [2, 3, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_wilson_force_is_the_staple_formula(group, ndim):
    U = hot(group, ndim)
    force = actions.Wilson(2.1).force(U)
    assert force.shape == np.asarray(U).shape
    assert np.abs(force - wilson_force(np.asarray(U), 2.1)).max() < 1e-13


ACTIONS = {
    "Wilson": actions.Wilson(2.1),
    "DBW2": actions.DBW2(0.7),
    "chair": actions.Loops([(0.3, "chair"), (0.2, "polyakov_t")]),
    "path": actions.Loops([(0.5, [1, 2, 2, -1, -2, -2])]),
    "Custom": actions.Custom(wilson(2.1)),
    "Sum": actions.Wilson(1.0) + actions.Symanzik(0.4) + actions.Custom(wilson(0.3)),
}


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("group", ["U(1)", "SU(2)", "SU(3)", "SU(4)"])
def test_force_is_the_derivative(name, group):
    """dS = <F, delta> for U -> exp(delta) U with <A, B> = -2 tr AB (U(1): -tr AB), by a central difference."""
    S, U = ACTIONS[name], hot(group)
    links, random = np.asarray(U), np.random.default_rng(4).normal(size=(2, *np.asarray(U).shape))
    force, delta = S.force(U), traceless_antihermitian(random[0] + 1j * random[1])
    assert np.abs(force + dagger(force)).max() < 1e-13
    if U.n_colors > 1:
        assert np.abs(np.trace(force, axis1=-2, axis2=-1)).max() < 1e-13

    def moved(h):
        values, vectors = np.linalg.eigh(-1j * delta)
        exponential = (vectors * np.exp(1j * h * values)[..., None, :]) @ dagger(vectors)
        return S(pq.GaugeField.from_numpy(exponential @ links))

    h = 1e-4
    difference = (moved(h) - moved(-h)) / (2 * h)
    metric = -1 if U.n_colors == 1 else -2
    inner = metric * np.einsum("...ij,...ji->...", force, delta).real.sum()
    assert difference == pytest.approx(inner, rel=2e-6, abs=1e-6)


@pytest.mark.parametrize("group", ["U(1)", "SU(2)", "SU(3)"])
def test_custom_action_gives_the_chain_of_the_same_action(group):
    options = {"length": 0.7, "steps": 4}
    own, custom = pq.HMC(actions.Wilson(1.5), **options), pq.HMC(actions.Custom(wilson(1.5)), **options)
    start = hot(group, 2)
    a, b = (sampler.run(start, 6, rng=3, progress=False) for sampler in (own, custom))
    assert np.abs(a["plaquette"] - b["plaquette"]).max() < 1e-11
    assert np.abs(a.info["delta_h"] - b.info["delta_h"]).max() < 1e-11
    assert np.abs(np.asarray(a.state) - np.asarray(b.state)).max() < 1e-11
    assert a.acceptance > 0


def test_sums_flatten_and_compare():
    a, b = actions.Wilson(1.0), actions.Symanzik(0.4)
    U = hot()
    total = a + b + a
    assert total.terms() == [a, b, a]
    assert total(U) == pytest.approx(2 * a(U) + b(U), rel=1e-14)
    assert np.abs(total.force(U) - 2 * a.force(U) - b.force(U)).max() < 1e-13
    assert a == actions.Wilson(1)
    assert a != actions.Wilson(1.1)
    with pytest.raises(TypeError):
        a + 1.0


class OddError(Exception):
    pass


def test_numbers_times_actions():
    U = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=5)
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    wilson = pq.actions.Wilson(2.0)
    actions = [
        wilson,
        pq.actions.Symanzik(1.5),
        pq.actions.Loops([(0.3, "chair"), (-0.2, [1, 2, -1, -2])]),
        pq.actions.Mapped(wilson, net),
        pq.actions.Custom(lambda links: (wilson(u := pq.GaugeField.from_numpy(links)), wilson.force(u))),
        wilson + pq.actions.Loops([(0.1, "rectangle")]),
    ]
    for S in actions:
        for factor in (2, 0.5, -1.5, np.float64(3.0)):
            for product in (factor * S, S * factor):
                assert product(U) == pytest.approx(factor * S(U), rel=1e-12)
                np.testing.assert_allclose(product.force(U), factor * S.force(U), atol=1e-12)
        assert (S - wilson)(U) == pytest.approx(S(U) - wilson(U), rel=1e-10, abs=1e-9)
        assert (-S)(U) == pytest.approx(-S(U), rel=1e-12)
    assert 3 * wilson == pq.actions.Wilson(6.0)
    assert isinstance(-2 * wilson, pq.actions.Loops)


@pytest.mark.parametrize("bad", [None, "2", True, float("nan"), [1.0], 1j])
def test_only_numbers_times_actions(bad):
    with pytest.raises((TypeError, ValueError), match="factor"):
        bad * pq.actions.Wilson(2.0)


def test_numbers_times_other_fields_and_quarks():
    phi = pq.ScalarField.from_numpy(np.random.default_rng(1).normal(size=(4, 4, 1)))
    S = pq.actions.Scalar(1.0, 0.1)
    assert (2 * S)(phi) == pytest.approx(2 * S(phi), rel=1e-14)
    np.testing.assert_allclose((2 * S).force(phi), 2 * S.force(phi), rtol=1e-14)
    quarks = pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.3), n_flavors=4)
    assert isinstance(2 * quarks, pq.actions.Scaled)
    assert len((2 * (pq.actions.Wilson(2.0) + quarks)).terms()) == 2
    with pytest.raises(TypeError):
        pq.actions.Wilson(2.0) - 1.0


def test_a_factor_of_quarks_leaves_their_distribution():
    """c S with phi ~ exp(-c S): the energy at the start is that of the noise, so that HMC is the same to rounding."""
    U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    quarks = pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.2), n_flavors=2)
    found = [pq.HMC(pq.actions.Wilson(2.0) + S, steps=4).step(U, rng=3) for S in (quarks, 3.0 * quarks)]
    assert found[0][1]["delta_h"] == pytest.approx(found[1][1]["delta_h"], abs=1e-9)
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-9)


def test_errors_inside_a_custom_action_come_out_as_they_are():
    def failing(links):
        raise OddError("from the user's own code")

    S, U = actions.Custom(failing), hot("SU(2)", 2)
    for call in (
        lambda: S(U),
        lambda: S.force(U),
        lambda: pq.HMC(S).step(U, rng=1),
        lambda: (actions.Wilson(1) + S)(U),
    ):
        with pytest.raises(OddError, match="user's own code"):
            call()

    def late(links):
        late.calls += 1
        return wilson(1.0)(links) if late.calls < 30 else failing(links)

    late.calls = 0
    with pytest.raises(OddError) as caught:
        pq.HMC(actions.Custom(late), steps=3).run(U, 100, rng=1, progress=False)
    assert 0 < len(caught.value.chain) < 100


def test_interrupt_inside_a_custom_action_ends_the_run_with_its_chain():
    def stopping(links):
        stopping.calls += 1
        if stopping.calls == 40:
            raise KeyboardInterrupt
        return wilson(1.0)(links)

    stopping.calls = 0
    chain = pq.HMC(actions.Custom(stopping), steps=3).run(hot("SU(2)", 2), 100, rng=1, progress=False)
    assert chain.interrupted
    assert 0 < len(chain) < 100


ZERO = np.zeros((2, 4, 6, 2, 2), complex)
BAD_RETURNS = {
    "nothing": (None, TypeError),
    "a number": (1.0, TypeError),
    "three things": ((1.0, ZERO, 2), TypeError),
    "text": (("x", ZERO), TypeError),
    "no array": ((1.0, 2.0), (TypeError, ValueError)),
    "another shape": ((1.0, ZERO[0]), ValueError),
    "Hermitian force": ((1.0, ZERO + np.diag([1, -1])), ValueError),
    "force with a trace": ((1.0, ZERO + 1j * np.eye(2)), ValueError),
    "NaN force": ((1.0, ZERO * np.nan), ValueError),
}


@pytest.mark.parametrize("name", BAD_RETURNS)
def test_wrong_returns_of_custom_actions(name):
    result, error = BAD_RETURNS[name]
    S, U = actions.Custom(lambda links: result), hot("SU(2)", 2)
    with pytest.raises(error) as caught:
        S.force(U)
    assert len(str(caught.value)) > 20
    with pytest.raises(error):
        pq.HMC(S, steps=2).step(U, rng=1)


def test_heatbath_refuses_custom_actions():
    quarks = actions.Pseudofermion(pq.dirac.Staggered(mass=0.3))
    for strange in (actions.Custom(wilson(1.0)), actions.Wilson(1.0) + quarks):
        with pytest.raises(TypeError, match=r"made of loops; (Custom|Pseudofermion) works with HMC only"):
            pq.Heatbath(strange)
