"""Clover quarks and split determinants in HMC: forces on lanes, brute-force determinants, levels, bad input."""

import copy
import functools
import math
import pickle
import warnings

import numpy as np
import plaq as pq
import pytest

Gauge, Quark = pq.actions.Wilson, pq.actions.Pseudofermion
Wilson, Staggered, Wall = pq.dirac.Wilson, pq.dirac.Staggered, pq.dirac.DomainWall
U1 = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
WIDE = {"spectral_range": (1e-3, 400.0)}

# On the way back a solve may need an iteration more or less, which moves the force by its residual.
Tight = functools.partial(Quark, force_tol=1e-10)
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
    "clover ratio in mixed precision": (
        Quark(Wilson(mass=0.1, csw=1.0), hasenbusch=[0.5], precision="mixed"),
        [((4, 4, 4, 4), "SU(2)"), ((3, 4), "U(1)"), ((4, 4, 4), "SU(4)")],
    ),
    "four tastes in mixed precision": (
        Quark(Staggered(mass=0.1), 4, precision="mixed"),
        [((4, 4, 4, 4), "SU(3)"), ((6, 6), "U(1)"), ((2, 6, 6), "SU(2)")],
    ),
    "domain walls in mixed precision": (
        Tight(Wall(mass=0.1, m5=1.4, ls=4), precision="mixed"),
        [((4, 4), "U(1)"), ((4, 4, 2, 2), "SU(3)")],
    ),
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
    "ratio of one flavour": (Quark(Wilson(mass=0.2, csw=1.0), 1, hasenbusch=[0.6], **WIDE), [((4, 2), "U(1)")]),
    "ratio of two tastes": (Quark(Staggered(mass=0.2), 2, hasenbusch=[0.6]), [((4, 4), "SU(2)"), ((6, 6), "U(1)")]),
    "domain walls": (
        Tight(Wall(mass=0.1, m5=1.4, ls=4)),
        [((4, 4), "U(1)"), ((3, 4), "SU(2)"), ((4, 4, 2, 2), "SU(3)")],
    ),
    "Moebius": (
        Tight(Wall(mass=0.1, m5=1.4, ls=3, b=1.5, c=0.5)),
        [((4, 4), "U(1)"), ((2, 2, 2, 4), "SU(2)")],
    ),
    "split domain walls": (Tight(Wall(mass=0.1, m5=1.4, ls=4), hasenbusch=[0.3]), [((4, 4), "U(1)"), ((6, 6), "U(1)")]),
    "one flavour of domain walls": (
        Tight(Wall(mass=0.2, m5=1.2, ls=3, b=1.5, c=0.5), 1),
        [((4, 2), "U(1)")],
    ),
}

MAPS = {
    "stout": pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]),
    "attention": pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1]), pq.AttentionLayer(["plaquette"])]),
    "APE": pq.CovariantNet([pq.smear.APELayer(0.5)]),
    "HYP": pq.CovariantNet([pq.smear.HYPLayer()]),
}
QUARKS |= {
    f"{name}, {kind}": (pq.actions.Mapped(QUARKS[name][0], MAPS[kind]), fields)
    for name, kind, fields in (
        ("domain walls", "stout", [((4, 4), "U(1)")]),
        ("domain walls", "attention", [((4, 4), "U(1)")]),
        ("one flavour of domain walls", "stout", [((4, 2), "U(1)")]),
        ("clover", "APE", [((4, 4), "U(1)"), ((4, 4, 4), "SU(2)")]),
        ("clover", "HYP", [((4, 4, 4, 4), "SU(2)"), ((2, 4, 2, 3), "SU(2)")]),
        ("staggered ratio", "HYP", [((2, 2, 4, 4), "SU(2)")]),
    )
}


@pytest.mark.parametrize("name", QUARKS)
def test_energy_is_conserved_to_the_order_of_the_integrator_and_trajectories_come_back(name):
    """A force that is not the derivative of the energy leaves a delta_h that does not vanish with the steps."""
    quarks, fields = QUARKS[name]
    for shape, group in fields:
        gauge = Gauge(1.0) if len(shape) == 2 else Gauge(3.0)
        U = pq.HMC(gauge, steps=8).run(pq.GaugeField.hot(shape, group, rng=1), 3, rng=1, progress=False).state
        hmc = pq.HMC(gauge + quarks, length=0.2, steps=8)
        sizes = [
            sum(abs(hmc._with_steps([n]).advance(U, 3, draw)[1]["delta_h"]) for draw in (1, 2, 3)) for n in (8, 16)
        ]
        assert sizes[0] / sizes[1] == pytest.approx(4.0, rel=0.15), (shape, group, sizes)
        found = hmc.check(U, rng=3)
        assert found["distance"] < 1e-9, found
        assert abs(found["delta_h_back"]) < 1e-6, found


@pytest.mark.parametrize(("shape", "quarks"), [((4, 4, 4, 4), "Wilson ratio"), ((2, 4, 2, 3), "clover")])
@pytest.mark.parametrize("kind", ["APE", "HYP"])
def test_forces_through_projections_to_su3_conserve_the_energy(shape, quarks, kind):
    """Near equilibrium: at strong coupling the N-th root of a determinant jumps."""
    gauge = Gauge(6.0)
    U = pq.HMC(gauge, steps=10).run(pq.GaugeField.cold(shape), 4, rng=1, progress=False).state
    hmc = pq.HMC(gauge + pq.actions.Mapped(QUARKS[quarks][0], MAPS[kind]), length=0.2, steps=8)
    sizes = [abs(hmc._with_steps([n]).advance(U, 3, 1)[1]["delta_h"]) for n in (8, 16)]
    assert sizes[0] / sizes[1] == pytest.approx(4.0, rel=0.15), sizes
    assert hmc.check(U, rng=3)["distance"] < 1e-9


def test_quarks_on_hyp_links_leave_the_weight_of_hmc():
    """<exp(-delta_h)> = 1 with coarse steps: Wilson fermions on HYP links, SU(2) on 2^4."""
    quark = pq.actions.Mapped(Quark(Wilson(mass=0.4)), MAPS["HYP"])
    hmc = pq.HMC(Gauge(2.2) + quark, steps=2, length=1.0)
    chain = hmc.run(pq.GaugeField.hot((2, 2, 2, 2), "SU(2)", rng=1), 1500, warmup=50, rng=3, progress=False)
    weight = chain.info["exp_minus_delta_h"]
    assert 0.5 < chain.acceptance < 0.97
    assert abs(weight.mean() - 1) < 4 * weight.std() / math.sqrt(len(weight) / 2)


def test_hyp_coefficients_are_trained_in_self_learning():
    """A proposal whose quarks have other HYP coefficients than the target learns from its trajectories."""
    quark = Quark(Wilson(mass=0.4))
    target = Gauge(2.2) + pq.actions.Mapped(quark, pq.CovariantNet([pq.smear.HYPLayer([0.5, 0.4])]))
    proposal = Gauge(2.2) + pq.actions.Mapped(quark, pq.CovariantNet([pq.smear.HYPLayer([0.1, 0.1])]))
    sampler = pq.SelfLearningHMC(target, proposal, steps=4)
    U = pq.GaugeField.hot((4, 4, 4), "SU(2)", rng=1)
    history = sampler.train(
        U, loss="change", steps=30, batch=4, optimizer=pq.optimizers.Adam(0.03), rng=3, progress=False
    )
    assert np.mean(history.loss[-5:]) < 0.3 * np.mean(history.loss[:5])
    assert sampler.parameters[0] > 0.2


def dense(family, U):
    """D as a matrix."""
    D = family.on(U)
    matrix = D @ np.eye(math.prod(D.shape)).reshape(-1, *D.shape)
    return matrix.reshape(len(matrix), -1)


def log_det(family, U):
    """ln |det D|."""
    return np.linalg.slogdet(dense(family, U))[1]


def reweighted(family, start, beta, count, flavors=2, observables=(pq.observables.plaquette,), least=0.15):
    """Averages with |det D|^flavors by reweighting of quenched fields; errors by the jackknife over 20 bins.

    Domain walls with the determinant of the Pauli-Villars field below.
    """
    weights, values = [], []
    U, hmc = start, pq.HMC(Gauge(beta), steps=4, length=1.0)
    for n in range(count):
        for k in range(3):
            U = hmc.advance(U, 77, 3 * n + k)[0]
        regulator = log_det(family.with_mass(1.0), U) if isinstance(family, Wall) else 0.0
        weights.append(flavors * (log_det(family, U) - regulator))
        values.append([measure(U) for measure in observables])
    w, v = np.exp(np.array(weights) - max(weights)), np.array(values)
    assert w.sum() ** 2 / (w**2).sum() > least * count, "few fields carry the weight"
    bins = np.array_split(np.arange(count), 20)
    means = np.array([np.delete(w, b) @ np.delete(v, b, 0) / np.delete(w, b).sum() for b in bins])
    return w @ v / w.sum(), np.sqrt(19 / 20 * ((means - means.mean(axis=0)) ** 2).sum(axis=0))


BRUTE = {
    "Schwinger model, Wilson, two flavours": (Wilson(mass=0.2), [2], 2, "U(1)", 4.0),
    "Schwinger model, staggered, the whole determinant": (Staggered(mass=0.3), [4], 1, "U(1)", 4.0),
    "Schwinger model, staggered, twice its root by RHMC": (Staggered(mass=0.3), [2, 2], 1, "U(1)", 4.0),
    "SU(2), staggered": (Staggered(mass=1.0), [4], 1, "SU(2)", 2.7),
}


@pytest.mark.parametrize("name", BRUTE)
def test_quarks_have_their_determinant(name):
    """Plaquette and condensate of HMC are those of quenched fields that the dense determinant reweights."""
    family, flavors, power, group, beta = BRUTE[name]
    start = pq.GaugeField.hot((4, 4) if group == "U(1)" else (2, 2, 2, 2), group, rng=1)

    def condensate(U):
        return np.trace(np.linalg.inv(dense(family, U))).real / math.prod(U.shape)

    measured = {"plaquette": pq.observables.plaquette, "condensate": condensate}
    # Center sectors of 2^4 have weights of their own, and a chain seldom changes them.
    least, slowest, percent = (0.5, None, [0.3, 1.0]) if group == "U(1)" else (0.05, 20.0, [0.4, 2.0])
    exact, errors = reweighted(family, start, beta, 3000, power, tuple(measured.values()), least)
    quarks = sum((Quark(family, n) for n in flavors[1:]), Quark(family, flavors[0]))
    hmc = pq.HMC(Gauge(beta) + quarks, steps=4)
    chain = hmc.run(start, 4000, warmup=100, rng=5, observables=measured, progress=False)
    for observable, mean, error, most in zip(measured, exact, errors, percent, strict=True):
        found = chain.estimate(observable, tau_exp=slowest)
        total = math.hypot(found.error, error)
        assert total < 0.01 * most * mean, observable
        assert abs(found.mean - mean) < 3 * total, (observable, found, mean, error)


@pytest.mark.parametrize(("shape", "hasenbusch"), [((4, 4), ()), ((6, 2), ()), ((6, 2), (1.0,))])
def test_clover_quarks_have_their_determinant(shape, hasenbusch):
    """Schwinger model: without the determinant of the clover blocks the plaquette is off.

    One of the two shapes has an even-odd form: 6 x 2 with eight lanes, into which it cannot be cut, 4 x 4 with four.
    On the other, lanes mix parities.
    """
    family, beta, start = Wilson(mass=0.4, csw=1.5), 1.0, pq.GaugeField.hot(shape, "U(1)", rng=1)
    (exact,), (error,) = reweighted(family, start, beta, 3000)
    hmc = pq.HMC(Gauge(beta) + Quark(family, hasenbusch=hasenbusch), steps=4)
    chain = hmc.run(start, 4000, warmup=100, rng=5, progress=False)
    found = chain.estimate("plaquette")
    total = math.hypot(found.error, error)
    assert total < 0.01
    assert abs(found.mean - exact) < 3.5 * total, (found, exact, error)
    weight = chain.info["exp_minus_delta_h"]
    assert abs(weight.mean() - 1) < 4 * weight.std() / math.sqrt(len(weight) / 2)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (Wall(mass=0.1, m5=1.4, ls=4), {}),
        (Wall(mass=0.1, m5=1.4, ls=4, b=1.5, c=0.5), {"hasenbusch": (0.4,)}),
        (Wall(mass=0.1, m5=1.4, ls=3), {"n_flavors": 1, "tol": 1e-8, "force_tol": 1e-5}),
    ],
    ids=["Shamir", "Moebius, split", "one flavour"],
)
def test_domain_walls_have_their_determinant_over_that_of_the_regulator(family, options):
    """Schwinger model: without the Pauli-Villars field the determinant of the bulk of ls slices is in the plaquette."""
    beta, start = 1.0, pq.GaugeField.hot((4, 2), "U(1)", rng=1)
    (exact,), (error,) = reweighted(family, start, beta, 1200, options.get("n_flavors", 2))
    chain = pq.HMC(Gauge(beta) + Quark(family, **options), steps=3).run(start, 1500, warmup=50, rng=5, progress=False)
    found = chain.estimate("plaquette")
    total = math.hypot(found.error, error)
    assert total < 0.02
    assert abs(found.mean - exact) < 3.5 * total, (found, exact, error)
    weight = chain.info["exp_minus_delta_h"]
    assert abs(weight.mean() - 1) < 4 * weight.std() / math.sqrt(len(weight) / 2)


def test_domain_walls_of_mass_one_are_quenched():
    U, alone = pq.GaugeField.hot((4, 4), "SU(2)", rng=1), pq.HMC(Gauge(2.0), steps=4)
    for family in (Wall(mass=1.0, m5=1.4, ls=4), Wall(mass=1.0, m5=1.2, ls=3, b=1.5, c=0.5)):
        for n_flavors in (2, 1):
            action = Quark(family, n_flavors, force_tol=1e-11)
            moved, info = pq.HMC(Gauge(2.0) + action, steps=4).advance(U, 3, 1)
            expected, plain = alone.advance(U, 3, 1)
            assert np.allclose(np.asarray(moved), np.asarray(expected), atol=1e-8)
            assert info["delta_h"] == pytest.approx(plain["delta_h"], abs=1e-7)
            assert info["force_1"] < 1e-7


def test_domain_walls_in_self_learning():
    """The proposal shares the pseudofermion: another mass, networks and factors, and any slope of its coefficients."""
    U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    target = Gauge(2.0) + Quark(Wall(mass=0.1, m5=1.4, ls=4))
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
    heavy = pq.actions.Scaled(pq.actions.Mapped(Quark(Wall(mass=0.2, m5=1.4, ls=4)), net))
    sampler = pq.SelfLearningHMC(target, Gauge(2.0) + heavy, steps=6)
    history = sampler.train(U, loss="change", steps=30, batch=4, rng=1, progress=False)
    assert history.loss[-10:].mean() < history.loss[:10].mean()
    assert sampler.run(sampler.trained, 60, rng=1, progress=False).acceptance > 0.7


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
    U = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
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


@pytest.mark.parametrize("masses", [[0.05], [0.5, 0.3]])
def test_quarks_of_a_split_determinant_grow_heavier(masses):
    with pytest.raises(ValueError, match=r"masses rise from 0\.1 on"):
        Quark(Wilson(mass=0.1), hasenbusch=masses)


@pytest.mark.parametrize("name", ["Wilson", "clover ratio", "four tastes", "eight tastes", "domain walls"])
def test_mixed_precision_and_earlier_solutions_leave_chains_where_they_are(name, tmp_path):
    """Every decision is that of plain solves and delta_h nearly so; forces from earlier solutions cost fewer iterations
    and are reversible to their residual, mixed ones to rounding; chains resume to the same bits on any thread count.
    """
    family, n, split = {
        "Wilson": (Wilson(mass=0.05), 2, ()),
        "clover ratio": (Wilson(mass=0.05, csw=1.0), 2, (0.4,)),
        "four tastes": (Staggered(mass=0.05), 4, ()),
        "eight tastes": (Staggered(mass=0.05), 8, (0.4,)),
        "domain walls": (Wall(mass=0.05, m5=1.4, ls=4), 2, ()),
    }[name]
    shape, group = ((8, 8), "U(1)") if name == "domain walls" else ((4, 4, 4, 4), "SU(2)")
    gauge, options = Gauge(2.0), {"progress": False, "rng": 5}
    start = pq.HMC(gauge, steps=8).run(pq.GaugeField.hot(shape, group, rng=1), 20, **options).state

    def sampler(**how):
        quark = Quark(family, n, tol=1e-11, force_tol=1e-10, hasenbusch=split, **how)
        return pq.HMC(gauge + quark, steps=10)

    plain = sampler().run(start, 8, **options)
    assert plain.acceptance > 0
    for how in ({"precision": "mixed"}, {"chronological": 3}, {"precision": "mixed", "chronological": 3}):
        hmc = sampler(**how)
        chain = hmc.run(start, 8, **options)
        np.testing.assert_array_equal(chain.info["accepted"], plain.info["accepted"])
        np.testing.assert_allclose(chain.info["delta_h"], plain.info["delta_h"], atol=1e-6)
        assert chain.info["worst_residual"].max() < 1e-10
        found = hmc.check(start, rng=3)
        if "chronological" not in how:
            assert found["distance"] < 1e-10, found
            continue
        assert 1e-13 < found["distance"] < 1e-7, found
        if "precision" not in how:
            assert chain.info["solver_iterations"].sum() < 0.98 * plain.info["solver_iterations"].sum()
        pq.set_num_threads(2)
        hmc.run(start, 3, checkpoint=tmp_path / "chain", **options)
        pq.set_num_threads(1)
        again = hmc.run(start, 8, checkpoint=tmp_path / "chain", **options)
        np.testing.assert_array_equal(again.state, chain.state)
        (tmp_path / "chain").unlink()


def test_the_test_of_self_learning_knows_no_guesses():
    """A proposal whose forces start from earlier solutions ends where a plain one does, and is tested alike."""
    U = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1)
    target = Gauge(2.7) + Quark(Staggered(mass=0.3), 4)

    def chain(**how):
        proposal = Gauge(2.7) + Quark(Staggered(mass=0.4), 4, force_tol=1e-10, **how)
        return pq.SelfLearningHMC(target, proposal, steps=6).run(U, 6, rng=2, progress=False)

    plain, fast = chain(), chain(chronological=4, precision="mixed")
    np.testing.assert_array_equal(plain.info["accepted"], fast.info["accepted"])
    np.testing.assert_allclose(plain.info["delta_h"], fast.info["delta_h"], atol=1e-6)


BAD = {
    "text": (lambda: Quark(Wilson(mass=0.1), hasenbusch="0.5"), TypeError, "hasenbusch"),
    "one number": (lambda: Quark(Wilson(mass=0.1), hasenbusch=0.5), TypeError, "hasenbusch"),
    "NaN": (lambda: Quark(Wilson(mass=0.1), hasenbusch=[math.nan]), ValueError, "hasenbusch"),
    "kappa": (lambda: Quark(Wilson(kappa=0.1), hasenbusch=[0.7]), ValueError, "1/2"),
    "three of Wilson": (lambda: Quark(Wilson(mass=0.1), 3), ValueError, "Wilson fermions; 1 or 2"),
    "five staggered": (lambda: Quark(Staggered(0.1), 5), ValueError, "1, 2, 3, 4 or 8"),
    "three domain walls": (lambda: Quark(Wall(0.1, m5=1.4, ls=4), 3), ValueError, "DomainWall fermions; 1 or 2"),
    "one flavour in mixed precision": (
        lambda: Quark(Wilson(mass=0.1), 1, precision="mixed"),
        ValueError,
        "rational approximation.*2 flavours",
    ),
    "two tastes from earlier solutions": (
        lambda: Quark(Staggered(0.1), 2, chronological=3),
        ValueError,
        "rational approximation.*4 and 8 flavours",
    ),
    "half precision": (lambda: Quark(Wilson(mass=0.1), precision="half"), ValueError, "known: double, mixed"),
    "precision as bits": (lambda: Quark(Wilson(mass=0.1), precision=32), ValueError, "known: double, mixed"),
    "minus one solution": (lambda: Quark(Wilson(mass=0.1), chronological=-1), ValueError, "chronological"),
    "some solutions": (lambda: Quark(Wilson(mass=0.1), chronological=True), TypeError, "chronological"),
    "no flavour": (lambda: Quark(Wilson(mass=0.1), 0), ValueError, "n_flavors"),
    "fat links": (
        lambda: Quark(Staggered(0.1, fat=np.asarray(U1), long=np.asarray(U1)), 4),
        ValueError,
        "fat and long links are for propagators",
    ),
    "another ls": (
        lambda: Quark(Wall(0.1, m5=1.4, ls=4), hasenbusch=[Wall(0.5, m5=1.4, ls=6)]),
        ValueError,
        "same m5, ls, b and c",
    ),
    "a domain wall over quarks": (
        lambda: Quark(Wall(0.1, m5=1.4, ls=4), over=Wilson(mass=0.5)),
        ValueError,
        "one kind",
    ),
    "domain walls in three dimensions": (
        lambda: step(Quark(Wall(0.1, m5=1.4, ls=4)), pq.GaugeField.hot((4, 4, 4), "SU(2)", rng=1)),
        ValueError,
        "2 or 4 dimensions",
    ),
    "a range that is too narrow for the regulator": (
        lambda: step(Quark(Wall(0.5, m5=1.4, ls=4), 1, spectral_range=(1e-4, 5.0))),
        ValueError,
        "spectral_range",
    ),
    "a proposal of another ls": (
        lambda: pq.SelfLearningHMC(
            Gauge(1.0) + Quark(Wall(0.1, m5=1.4, ls=4)), Gauge(1.0) + Quark(Wall(0.1, m5=1.4, ls=6))
        ).step(U1, rng=1),
        ValueError,
        "another shape",
    ),
    "another operator": (lambda: Quark(Wilson(mass=0.1), hasenbusch=[Staggered(0.5)]), ValueError, "one kind"),
    "over": (lambda: Quark(Wilson(mass=0.1), over=0.5), TypeError, "over"),
    "over of another kind": (lambda: Quark(Wilson(mass=0.1), over=Staggered(0.5)), ValueError, "one kind"),
    "another csw": (lambda: Quark(Wilson(mass=0.1), hasenbusch=[Wilson(mass=0.4, csw=1.0)]), ValueError, "csw"),
    "another boundary": (
        lambda: Quark(Wilson(mass=0.1), hasenbusch=[Wilson(mass=0.4, boundary=(1, 1))]),
        ValueError,
        "boundary",
    ),
    "one twisted flavour": (lambda: Quark(Wilson(mass=0.1, mu=0.2), 1), ValueError, "opposite twist"),
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


def said(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return call(), " ".join(str(each.message) for each in found)


def test_a_stuck_chain_of_eight_light_flavours_is_recognised():
    """SU(2), beta = 1.40, m = 0.015, where a recorded history (8^4, LatticeQCD.jl) accepted 0.85 % of its trajectories:
    too few steps for a thermal field, and a hot start that no number of steps brings off its place.
    """
    S, shape = Gauge(1.40) + Quark(Staggered(mass=0.015), 8), (4, 4, 4, 4)
    cold = pq.HMC(S, steps=10).run(pq.GaugeField.cold(shape, "SU(2)"), 60, warmup=20, rng=3, progress=False)
    assert cold.acceptance > 0.9
    for steps, state in ((2, cold.state), (10, pq.GaugeField.hot(shape, "SU(2)", rng=1))):
        hmc = pq.HMC(S, steps=steps)
        stuck, words = said(lambda hmc=hmc, state=state: hmc.run(state, 60, rng=2, progress=False))
        assert stuck.acceptance < 0.1
        assert "none of the last 50 updates was accepted" in words
        assert "take smaller steps" in words
        found, words = said(lambda stuck=stuck: stuck.estimate("plaquette"))
        assert "rejected" in words or "frozen" in words
        assert found.error > 0
    both = pq.merge([cold, stuck])
    assert both.r_hat("plaquette") > 1.5
    _, words = said(lambda: both.estimate("plaquette"))
    assert "rejected: the chain hardly moves" in words
