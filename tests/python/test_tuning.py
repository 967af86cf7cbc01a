"""Steps from measured forces and energy errors: the law of the scan, predictions against chains, bad input."""

import itertools
import math

import numpy as np
import plaq as pq
import pytest
from plaq.samplers.tuning import SHARE, first_inner, scanned, width_at

Wilson, Quark = pq.actions.Wilson, pq.actions.Pseudofermion
U1 = pq.HMC(Wilson(2.0), steps=6).run(pq.GaugeField.hot((8, 8), "U(1)", rng=1), 30, rng=1, progress=False).state


@pytest.mark.parametrize("order", [2, 4])
def test_the_scan_finds_parts_that_are_there_and_the_fewest_steps(order):
    """delta_h = sum_l x_l eps_l^p exactly: the parts come back, and no fewer steps reach the aim."""
    random = np.random.default_rng(3)
    sizes, scale = np.array([0.4, 3.0, 0.2]), 6.0
    parts = sizes[:, None] * random.normal(size=(3, 400))

    def advance(steps, state, number):
        return state, {"delta_h": float((scale / np.cumprod(steps)) ** order @ parts[:, number % 400])}

    aim = width_at(0.8)
    best, scan, seen, _ = scanned(advance, None, (6, 2, 1), [order] * 3, 400, aim, 10_000)
    assert scan.errors(scan.base) == pytest.approx(
        np.sqrt(np.mean(parts**2, axis=1)) * (scale / np.cumprod(scan.base)) ** order, rel=0.1
    )
    assert np.sqrt(np.mean(seen**2)) == pytest.approx(scan.width(best), rel=1e-6)
    assert scan.width(best) <= aim
    assert scan.width((best[0] - 1, *best[1:])) > aim
    shares = scan.errors(best) / scan.errors(best)[0]
    assert (shares[1:] <= SHARE * (1 + 1e-12)).all()
    for level in (1, 2):
        fewer = tuple(s - (n == level) for n, s in enumerate(best))
        if fewer[level]:
            assert scan.errors(fewer)[level] > SHARE * scan.errors(fewer)[0]


def test_the_scan_knows_an_order_for_every_level():
    parts = np.random.default_rng(5).normal(size=(2, 400)) * [[0.5], [2.0]]
    orders = [2, 4]

    def advance(steps, state, number):
        return state, {"delta_h": float((5 / np.cumprod(steps)) ** orders @ parts[:, number % 400])}

    best, scan, seen, _ = scanned(advance, None, (5, 1), orders, 400, width_at(0.8), 10_000)
    sizes = np.sqrt(np.mean(parts**2, axis=1))
    assert scan.errors(scan.base) == pytest.approx(sizes * (5 / np.cumprod(scan.base)) ** orders, rel=0.1)
    assert np.sqrt(np.mean(seen**2)) <= width_at(0.8)
    assert scan.errors(best)[1] <= SHARE * scan.errors(best)[0]


INNER = [("omelyan4", "omelyan4", 16), ("omelyan4", "leapfrog", 4), ("leapfrog", "force_gradient", 4)]


@pytest.mark.parametrize(("outer", "inner", "ratio"), INNER)
def test_levels_have_integrators_of_their_own(outer, inner, ratio):
    """delta_h falls with the lowest order among the levels where all step sizes are halved; trajectories come back."""
    slow, fast = Wilson(0.7), Quark(pq.dirac.Wilson(mass=0.5))
    hmc = pq.HMC(slow + fast, steps=4, integrator=outer, levels=[(fast, 1, inner)])
    ratios = []
    for n in range(6):
        coarse, fine = (hmc._with_steps([steps, 1]).advance(U1, 5, n)[1]["delta_h"] for steps in (8, 16))
        ratios.append(coarse / fine)
    assert np.median(ratios) == pytest.approx(ratio, rel=0.2)
    assert hmc.check(U1, rng=1)["distance"] < 1e-10
    assert hmc._with_steps([8, 2]).levels == [(fast, 2, inner)]


def test_the_integrator_of_a_level_is_that_of_the_outermost_one_unless_named():
    slow, fast = Wilson(0.7), Quark(pq.dirac.Wilson(mass=0.5))
    one, same, other = (
        pq.HMC(slow + fast, steps=4, levels=[(fast, 2, *name)]) for name in ((), ("omelyan2",), ("leapfrog",))
    )
    assert one.advance(U1, 3, 1)[1]["delta_h"] == same.advance(U1, 3, 1)[1]["delta_h"]
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    proposal = pq.SelfLearningHMC(slow + fast, Wilson(0.8) + fast, steps=4, levels=[(fast, 2, "leapfrog")])
    assert proposal.tune(U1, trajectories=2, rng=1).sampler.levels[0][2] == "leapfrog"


def test_widths_are_those_of_gaussian_energies():
    for acceptance in (0.1, 0.5, 0.8, 0.99):
        assert math.erfc(width_at(acceptance) / math.sqrt(8)) == pytest.approx(acceptance, rel=1e-12)
    delta = np.random.default_rng(1).normal(size=400_000)
    width = width_at(0.8)
    assert np.minimum(1, np.exp(-(width * delta + width**2 / 2))).mean() == pytest.approx(0.8, abs=0.003)


def test_step_size_times_force_starts_equal():
    assert first_inner([1.0, 8.0, 16.0], [0.5] * 3) == [4, 1]
    assert first_inner([5.0, 1.0], [1.0] * 2) == [1]
    assert first_inner([0.0, 1.0], [1.0] * 2) == [64]
    assert first_inner([1.0, 8.0, 16.0], [1.0, 0.5, 1.0]) == [8, 1]


def test_scans_repeat_the_same_trajectory_with_other_steps():
    """delta_h at doubled steps is a quarter of the same number, not another draw."""
    hmc, ratios = pq.HMC(Wilson(2.0), steps=12), []
    for n in range(6):
        coarse, fine = (hmc._with_steps([s]).advance(U1, 5, n)[1]["delta_h"] for s in (12, 24))
        ratios.append(coarse / fine)
    assert np.median(ratios) == pytest.approx(4.0, rel=0.1)


@pytest.mark.filterwarnings("ignore:none of the last")
def test_predictions_are_met_by_chains():
    gauge = Wilson(2.0)
    for hmc, aim in itertools.product(
        (pq.HMC(gauge, steps=3), pq.HMC(gauge, steps=40, integrator="omelyan4"), pq.HMC(gauge)), (0.7, 0.9)
    ):
        found = hmc.tune(U1, trajectories=60, acceptance=aim, rng=2)
        chain = found.sampler.run(U1, 600, rng=3, progress=False)
        # sigma of delta_h is known to 1/sqrt(120).
        assert abs(found.predicted - chain.acceptance) < 0.1, (found, chain.acceptance)
        assert abs(found.seen - chain.acceptance) < 0.12
        assert chain.acceptance > aim - 0.06
        fewer = hmc._with_steps([found.steps[0] - 1]) if found.steps[0] > 1 else None
        if fewer is not None:
            assert fewer.run(U1, 600, rng=4, progress=False).acceptance < aim + 0.08


def test_levels_follow_their_forces():
    """A stiff cheap term goes to many inner steps, a soft one to few."""
    gauge, quarks = Wilson(4.0), Quark(pq.dirac.Wilson(mass=0.5), n_flavors=2)
    U = pq.HMC(gauge + quarks, steps=8).run(pq.GaugeField.cold((8, 8), "U(1)"), 30, rng=1, progress=False).state
    hmc = pq.HMC(gauge + quarks, steps=8, levels=[(gauge, 1)])
    found = hmc.tune(U, trajectories=20, rng=2)
    outer, inner = found.terms
    assert (outer.level, inner.level) == (0, 1)
    assert inner.force > 2 * outer.force > 0
    assert inner.largest > inner.force > 0
    assert found.steps[1] >= 2
    assert inner.error <= SHARE * outer.error * 1.001
    assert found.sampler.levels == [(gauge, found.steps[1])]
    assert "Pseudofermion(Wilson(mass=0.5), n_flavors=2)" not in str(found)  # the default is left out
    assert "Pseudofermion(Wilson(mass=0.5))" in str(found)
    assert str(found).count("\n") == 3


def test_tuning_changes_steps_and_nothing_else():
    quarks = Quark(pq.dirac.Wilson(mass=0.5))
    hmc = pq.HMC(Wilson(2.0) + quarks, steps=5, length=0.7, levels=[(Wilson(2.0), 3)], integrator="leapfrog")
    before = hmc.fingerprint()
    found, again = (hmc.tune(U1, trajectories=3, rng=2) for _ in range(2))
    assert hmc.fingerprint() == before
    assert found.terms == again.terms
    assert found.sampler.fingerprint() == before | {"levels": [[[1], found.steps[0]], [[0], found.steps[1]]]}
    plain = pq.HMC(
        Wilson(2.0) + quarks,
        steps=found.steps[0],
        length=0.7,
        levels=[(Wilson(2.0), found.steps[1])],
        integrator="leapfrog",
    )
    assert np.array_equal(plain.advance(U1, 1, 1)[0], found.sampler.advance(U1, 1, 1)[0])


def test_other_samplers_are_tuned_too():
    scalar = pq.HMC(pq.actions.Scalar(1.0, 0.3), steps=20)
    assert scalar.tune(pq.ScalarField.random((4, 4), rng=1), rng=1).steps[0] < 20
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.02])])
    proposal = pq.actions.Mapped(Wilson(1.9), net) + pq.actions.Loops([(0.1, "rectangle")])
    learner = pq.SelfLearningHMC(Wilson(2.0), proposal, steps=20, levels=[(proposal.terms()[0], 2)])
    learner.parameters = [0.03]  # the level names the term as it was
    found = learner.tune(U1, trajectories=5, rng=1)
    assert "target" in str(found)
    assert found.sampler.parameters == [0.03]
    assert found.steps[0] < 20
    assert 0.0 < found.sampler.run(U1, 20, rng=1, progress=False).acceptance <= 1.0
    chosen = pq.SelfLearningHMC(Wilson(2.0), proposal, levels=[(proposal.terms()[0], 2)])
    chosen.parameters = [0.03]
    assert len(chosen.run(U1, 2, rng=1, progress=False)) == 2
    new = pq.FieldTransformHMC(Wilson(2.0), pq.transform.u1_2d(0.05), steps=20)
    found = new.tune(U1, trajectories=5, rng=1)
    assert "new variables" in str(found)
    assert found.steps[0] < 20


BAD = {
    "one trajectory": ({"trajectories": 1}, ValueError, "2"),
    "too many": ({"trajectories": 10**6}, ValueError, "1000"),
    "acceptance 0": ({"acceptance": 0.0}, ValueError, "greater than 0"),
    "acceptance 1": ({"acceptance": 1.0}, ValueError, "between 0 and 1"),
    "acceptance text": ({"acceptance": "high"}, TypeError, "acceptance"),
    "state": ({"state": None}, TypeError, "GaugeField"),
    "seed": ({"rng": "x"}, TypeError, "rng"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    words, kind, text = BAD[name]
    with pytest.raises(kind, match=text):
        pq.HMC(Wilson(2.0), steps=4).tune(**{"state": U1, "rng": 1} | words)


def test_what_never_conserves_energy_is_said():
    with pytest.raises(ValueError, match="equilibrium"):
        pq.HMC(Wilson(1e9), steps=1000).tune(pq.GaugeField.hot((4, 4), "U(1)", rng=1), trajectories=2, rng=1)
