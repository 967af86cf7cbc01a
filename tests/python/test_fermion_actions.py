"""Clover quarks and split determinants in HMC: forces on lanes, brute-force determinants, levels, bad input."""

import copy
import math
import pickle

import numpy as np
import plaq as pq
import pytest

Gauge, Quark = pq.actions.Wilson, pq.actions.Pseudofermion
Wilson, Staggered = pq.dirac.Wilson, pq.dirac.Staggered
U1 = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
WIDE = {"spectral_range": (1e-3, 400.0)}

QUARKS = {
    "clover": (Quark(Wilson(mass=0.3, csw=1.2)), [((4, 4), "U(1)"), ((4, 4, 4, 4), "SU(2)"), ((4, 4, 4, 4), "SU(3)")]),
    "clover, site by site and where lanes mix parities": (
        Quark(Wilson(mass=0.3, csw=1.2)),
        [((6, 6), "U(1)"), ((2, 6, 6), "SU(2)")],
    ),
    "clover, odd extents": (Quark(Wilson(mass=0.3, csw=1.2)), [((3, 4), "SU(2)"), ((3, 2, 3), "U(1)")]),
    "clover, SU(4)": (Quark(Wilson(mass=0.3, csw=1.2)), [((4, 4), "SU(4)")]),
    "clover, twisted, anisotropic": (Quark(Wilson(mass=0.3, csw=1.2, mu=0.2, nu=1.1, xi=1.4)), [((4, 4, 4), "SU(3)")]),
    "clover, one flavour": (Quark(Wilson(mass=0.3, csw=0.8), 1, **WIDE), [((4, 4, 4), "SU(2)")]),
    "twisted": (Quark(Wilson(mass=0.1, mu=0.3)), [((4, 4), "U(1)"), ((3, 4), "SU(2)")]),
    "Wilson ratio": (Quark(Wilson(mass=0.1), hasenbusch=[0.5]), [((4, 4), "U(1)"), ((4, 4, 4, 4), "SU(3)")]),
    "kappa, three masses": (
        Quark(Wilson(kappa=0.22), hasenbusch=[0.2, 0.18, 0.15]),
        [((4, 4), "SU(2)"), ((3, 4), "U(1)")],
    ),
    "twisted masses": (Quark(Wilson(mass=0.1, mu=0.1), hasenbusch=[0.3, 0.9]), [((4, 4, 4), "SU(2)")]),
    "no twist over a twist": (
        Quark(Wilson(mass=0.1, csw=1.0), hasenbusch=[Wilson(mass=0.1, csw=1.0, mu=0.4)]),
        [((4, 4, 4), "SU(2)")],
    ),
    "clover ratio": (Quark(Wilson(mass=0.1, csw=1.0), hasenbusch=[0.5]), [((4, 4, 4, 4), "SU(2)"), ((3, 4), "U(1)")]),
    "staggered ratio": (
        Quark(Staggered(mass=0.1), 4, hasenbusch=[0.5]),
        [((4, 4, 4, 4), "SU(2)"), ((6, 6), "U(1)")],
    ),
    "eight tastes": (Quark(Staggered(mass=0.1), 8, hasenbusch=[0.5]), [((4, 4, 4), "SU(2)")]),
}


@pytest.mark.parametrize("name", QUARKS)
def test_energy_is_conserved_to_the_order_of_the_integrator_and_trajectories_come_back(name):
    """A force that is not the derivative of the energy leaves a delta_h that does not vanish with the steps."""
    quarks, fields = QUARKS[name]
    for shape, group in fields:
        gauge = Gauge(1.0) if len(shape) == 2 else Gauge(3.0)
        U = pq.HMC(gauge, steps=8).run(pq.GaugeField.hot(shape, group, rng=1), 3, rng=1, progress=False).state
        hmc = pq.HMC(gauge + quarks, length=0.2, steps=8)
        sizes = [abs(hmc._with_steps([n]).advance(U, 3, 1)[1]["delta_h"]) for n in (8, 16)]
        assert sizes[0] / sizes[1] == pytest.approx(4.0, rel=0.15), (shape, group, sizes)
        found = hmc.check(U, rng=3)
        assert found["distance"] < 1e-9, found
        assert abs(found["delta_h_back"]) < 1e-6, found


def reweighted(family, start, beta, count):
    """Plaquette with |det D|^2 by reweighting of quenched fields; error by the jackknife over 20 bins."""
    weights, values = [], []
    U, hmc = start, pq.HMC(Gauge(beta), steps=4, length=1.0)
    for n in range(count):
        for k in range(3):
            U = hmc.advance(U, 77, 3 * n + k)[0]
        D = family.on(U)
        matrix = D @ np.eye(math.prod(D.shape)).reshape(-1, *D.shape)
        weights.append(2 * np.linalg.slogdet(matrix.reshape(len(matrix), -1))[1])
        values.append(pq.observables.plaquette(U))
    w, v = np.exp(np.array(weights) - max(weights)), np.array(values)
    assert w.sum() ** 2 / (w**2).sum() > 0.15 * count, "few fields carry the weight"
    bins = np.array_split(np.arange(count), 20)
    means = np.array([np.delete(w * v, b).sum() / np.delete(w, b).sum() for b in bins])
    return (w * v).sum() / w.sum(), math.sqrt(19 / 20 * ((means - means.mean()) ** 2).sum())


@pytest.mark.parametrize(("shape", "hasenbusch"), [((4, 4), ()), ((6, 2), ()), ((6, 2), (1.0,))])
def test_clover_quarks_have_their_determinant(shape, hasenbusch):
    """Schwinger model: without the determinant of the clover blocks the plaquette is off.

    6 x 2 cannot be cut into lanes, so that it has an even-odd form; on 4 x 4 lanes mix parities.
    """
    family, beta, start = Wilson(mass=0.4, csw=1.5), 1.0, pq.GaugeField.hot(shape, "U(1)", rng=1)
    exact, error = reweighted(family, start, beta, 3000)
    hmc = pq.HMC(Gauge(beta) + Quark(family, hasenbusch=hasenbusch), steps=4)
    chain = hmc.run(start, 4000, warmup=100, rng=5, progress=False)
    found = chain.estimate("plaquette")
    total = math.hypot(found.error, error)
    assert total < 0.01
    assert abs(found.mean - exact) < 3.5 * total, (found, exact, error)
    weight = chain.info["exp_minus_delta_h"]
    assert abs(weight.mean() - 1) < 4 * weight.std() / math.sqrt(len(weight) / 2)


def test_ratios_are_terms_with_weak_forces():
    whole = Quark(Staggered(mass=0.05), 4)
    split = Quark(Staggered(mass=0.05), 4, hasenbusch=[0.3, 1.0])
    U = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1)
    assert split.auxiliaries == 3
    first, second, last = split.terms()
    assert (first.dirac, first.over, last.dirac, last.over) == (Staggered(0.05), Staggered(0.3), Staggered(1.0), None)
    assert first.terms() == [first]
    levels = [(second, 1), (last + Gauge(2.0), 2)]
    _, info = pq.HMC(Gauge(2.0) + split, steps=2, length=0.1, levels=levels).advance(U, 1, 1)
    _, plain = pq.HMC(Gauge(2.0) + whole, steps=2, length=0.1).advance(U, 1, 1)
    assert info["force_1"] < 0.5 * plain["force_1"]
    assert {"force_2", "force_3"} <= set(info)
    tuned = pq.HMC(Gauge(2.0) + split, steps=8, levels=levels).tune(U, trajectories=2, acceptance=0.5, rng=1)
    assert "over=Staggered(0.3)" in str(tuned)


def test_sums_products_and_pickles_of_split_quarks():
    split = Quark(Wilson(mass=0.1), hasenbusch=[0.5, Wilson(mass=0.9)])
    same = Quark(Wilson(mass=0.1), hasenbusch=np.array([0.5, 0.9]))
    assert split == same == pickle.loads(pickle.dumps(split)) == copy.deepcopy(split)
    assert len((Gauge(1.0) + split).terms()) == 4
    assert len((2.0 * split).terms()) == 3
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    mapped = pq.actions.Mapped(split, net)
    assert mapped.auxiliaries == 3
    ends = [pq.HMC(Gauge(1.0) + action, steps=3).advance(U1, 1, 1)[1]["delta_h"] for action in (split, mapped)]
    assert ends[0] != ends[1]
    assert np.isfinite(ends).all()
    # 2 S with phi ~ exp(-2 S) is the same trajectory, but for the determinant on the odd sites.
    clover = Quark(Wilson(mass=0.3, csw=1.0))
    U = pq.GaugeField.hot((6, 6), "U(1)", rng=1)
    twice, once = (pq.HMC(Gauge(1.0) + c * clover, steps=40, length=0.2).advance(U, 1, 1)[1] for c in (2.0, 1.0))
    assert abs(twice["delta_h"]) < 1e-3
    assert abs(twice["action"] - once["action"]) > 1e-3


def test_split_proposals_share_split_pseudofermions():
    target = Gauge(2.0) + Quark(Wilson(mass=0.1), hasenbusch=[0.5])
    proposal = Gauge(2.1) + Quark(Wilson(mass=0.2), hasenbusch=[0.6])
    chain = pq.SelfLearningHMC(target, proposal, steps=6).run(U1, 60, rng=1, progress=False)
    assert chain.acceptance > 0.3
    same = pq.SelfLearningHMC(target, target, steps=6).advance(U1, 1, 1)[1]["delta_h"]
    assert same == pq.HMC(target, steps=6).advance(U1, 1, 1)[1]["delta_h"]


def step(action, U=U1):
    return pq.HMC(Gauge(1.0) + action, steps=1).step(U, rng=1)


SPLIT = Quark(Wilson(mass=0.1), hasenbusch=[0.5])
BAD = {
    "text": (lambda: Quark(Wilson(mass=0.1), hasenbusch="0.5"), TypeError, "hasenbusch"),
    "one number": (lambda: Quark(Wilson(mass=0.1), hasenbusch=0.5), TypeError, "hasenbusch"),
    "NaN": (lambda: Quark(Wilson(mass=0.1), hasenbusch=[math.nan]), ValueError, "hasenbusch"),
    "kappa": (lambda: Quark(Wilson(kappa=0.1), hasenbusch=[0.7]), ValueError, "1/2"),
    "roots": (lambda: Quark(Wilson(mass=0.1), 1, hasenbusch=[0.5]), ValueError, "n_flavors = 1"),
    "two staggered": (lambda: step(Quark(Staggered(0.1), 2, hasenbusch=[0.5])), ValueError, "n_flavors = 2"),
    "another operator": (lambda: Quark(Wilson(mass=0.1), hasenbusch=[Staggered(0.5)]), ValueError, "one kind"),
    "over": (lambda: Quark(Wilson(mass=0.1), over=0.5), TypeError, "over"),
    "over of another kind": (lambda: Quark(Wilson(mass=0.1), over=Staggered(0.5)), ValueError, "one kind"),
    "another csw": (lambda: step(Quark(Wilson(mass=0.1), hasenbusch=[Wilson(mass=0.4, csw=1.0)])), ValueError, "csw"),
    "another boundary": (
        lambda: step(Quark(Wilson(mass=0.1), hasenbusch=[Wilson(mass=0.4, boundary=(1, 1))])),
        ValueError,
        "boundary",
    ),
    "one twisted flavour": (lambda: step(Quark(Wilson(mass=0.1, mu=0.2), 1)), ValueError, "opposite twist"),
    "a range that is too narrow": (
        lambda: step(Quark(Wilson(mass=0.1, csw=1.0), 1, spectral_range=(0.5, 1.0))),
        ValueError,
        "spectral_range",
    ),
    "singular clover blocks": (
        lambda: step(Quark(Wilson(mass=-2.0, csw=1.0)), pq.GaugeField.cold((6, 6), "U(1)")),
        ValueError,
        "clover",
    ),
    "a partner that is not split": (
        lambda: pq.SelfLearningHMC(SPLIT, Quark(Wilson(mass=0.7))).step(U1, rng=1),
        ValueError,
        "hasenbusch",
    ),
    "a level of quarks that are not there": (
        lambda: pq.HMC(Gauge(1.0) + SPLIT, levels=[(Quark(Wilson(mass=0.1)), 2)]),
        ValueError,
        "not a term",
    ),
    "iterations": (
        lambda: step(Quark(Wilson(mass=0.1), hasenbusch=[0.5], max_iterations=2)),
        pq.ConvergenceError,
        "iterations",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, kind, text = BAD[name]
    with pytest.raises(kind, match=text):
        call()
