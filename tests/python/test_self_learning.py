"""Self-learning HMC: exactness for bad proposals, gradients, training, resume, bad input; RHMC."""

import copy
import math
import pickle

import numpy as np
import plaq as pq
import pytest
from plaq.training.on_policy import LOSSES, loss_of
from scipy.special import iv, ivp

Wilson, Mapped, Scaled, Quark = pq.actions.Wilson, pq.actions.Mapped, pq.actions.Scaled, pq.actions.Pseudofermion
Staggered, DiracWilson = pq.dirac.Staggered, pq.dirac.Wilson
SU2 = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1)
U1 = pq.GaugeField.hot((4, 4), "U(1)", rng=1)


def net(*rho, loops=("plaquette",)):
    return pq.CovariantNet([pq.StoutLayer(list(loops), list(rho))])


def staggered(mass, n_flavors=4, **options):
    return Quark(Staggered(mass=mass), n_flavors=n_flavors, **options)


def lcnn_action():
    model = pq.LCNN([pq.lcnn.Loops(), pq.lcnn.Trace(), pq.lcnn.Dense(2, 1)], ndim=2, group="SU(2)", rng=1)
    return model.action(0.3)


def target():
    return Wilson(2.7) + staggered(0.3)


def sampler(mass=0.4, rho=(0.0,), **options):
    return pq.SelfLearningHMC(target(), Wilson(2.7) + Mapped(staggered(mass), net(*rho)), **{"steps": 8} | options)


PAIRS = {
    "gauge, scaled": (Wilson(2.0), Scaled(Wilson(1.7)), U1),
    "gauge, mapped": (Wilson(2.0), Mapped(Wilson(1.7), net(0.1)), pq.GaugeField.hot((4, 4), "SU(2)", rng=3)),
    "scaled and mapped": (Wilson(2.0), Scaled(Mapped(Wilson(1.7), net(0.1)), 1.1), U1),
    "fixed factor": (Wilson(2.0), 1.1 * Mapped(Wilson(1.7), net(0.1)), U1),
    "staggered 4": (target(), Wilson(2.7) + Scaled(Mapped(staggered(0.4), net(0.05)), 1.2), SU2),
    "staggered 2": (
        Wilson(2.7) + staggered(0.3, 2),
        Wilson(2.7) + Mapped(staggered(0.4, 2), net(0.05)),
        SU2,
    ),
    "Wilson 2": (
        Wilson(2.0) + Quark(DiracWilson(mass=0.2), n_flavors=2),
        Wilson(2.1)
        + Mapped(Quark(DiracWilson(mass=0.3), n_flavors=2), net(0.05, 0.02, loops=("plaquette", "polyakov_t"))),
        U1,
    ),
    "clover": (
        Wilson(2.0) + Quark(DiracWilson(mass=0.2, csw=1.2), n_flavors=2),
        Wilson(2.0) + Scaled(Mapped(Quark(DiracWilson(mass=0.3, csw=1.0), n_flavors=2), net(0.05)), 1.1),
        U1,
    ),
    "split SU(3), staggered 2": (
        Wilson(5.7) + staggered(0.3, 2, hasenbusch=[0.8]),
        sum((Mapped(term, net(0.05)) for term in staggered(0.4, 2, hasenbusch=[0.9]).terms()), Wilson(5.7)),
        pq.GaugeField.hot((2, 2, 2, 4), "SU(3)", rng=3),
    ),
}
PAIRED = pytest.mark.parametrize("name", PAIRS)


@PAIRED
def test_lessons_are_differences_of_actions_and_their_derivatives(name):
    exact, proposal, U = PAIRS[name]
    made = pq.SelfLearningHMC(exact, proposal, steps=4)
    draws = [(3, 1), (3, 2)]

    def difference(theta):
        return made._core.lessons([U._core] * 2, draws, np.array(theta), False)[0]

    theta = made.parameters
    values, gradients = made._core.lessons([U._core] * 2, draws, theta, False)
    assert gradients.shape == (2, len(theta))
    if exact.auxiliaries == 0:
        assert values == pytest.approx([made.proposal(U) - exact(U)] * 2, rel=1e-12)
    else:
        assert values[0] != values[1], "each has a pseudofermion of its own"
    for n in range(len(theta)):
        step = np.zeros(len(theta))
        step[n] = 1e-4
        slopes = (difference(theta + step) - difference(theta - step)) / 2e-4
        assert gradients[:, n] == pytest.approx(slopes, rel=2e-5, abs=1e-5)


@PAIRED
def test_force_mismatches_are_those_of_the_forces_and_have_their_derivatives(name):
    exact, proposal, U = PAIRS[name]
    made = pq.SelfLearningHMC(exact, proposal, steps=4)

    def mismatch(theta):
        return made._core.lessons([U._core], [(3, 1)], np.array(theta), True)

    theta = made.parameters
    (value,), (gradient,) = mismatch(theta)
    if exact.auxiliaries == 0:
        difference = made.proposal.force(U) - exact.force(U)
        norm = 1.0 if U.n_colors == 1 else 2.0
        links = math.prod(U.shape) * len(U.shape)
        assert value == pytest.approx(norm * np.sum(np.abs(difference) ** 2) / links, rel=1e-12)
    for n in range(len(theta)):
        step = np.zeros(len(theta))
        step[n] = 1e-4
        slope = (mismatch(theta + step)[0][0] - mismatch(theta - step)[0][0]) / 2e-4
        assert gradient[n] == pytest.approx(slope, rel=1e-5, abs=1e-7 * value)


def test_equal_forces_have_nothing_to_learn():
    made = pq.SelfLearningHMC(Wilson(2.0), Scaled(Wilson(2.0)), steps=4)
    (value,), (gradient,) = made._core.lessons([U1._core], [(3, 1)], made.parameters, True)
    assert value == 0.0
    assert gradient.tolist() == [0.0]


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_have_their_derivatives(loss):
    random = np.random.default_rng(3)
    values, slopes = random.normal(size=(2, 5)), random.normal(size=(2, 5, 3))

    def at(theta):
        ends = [[(v + g @ theta, g) for v, g in zip(*each, strict=True)] for each in zip(values, slopes, strict=True)]
        return loss_of(loss, list(zip(*ends, strict=True)))

    _, gradient = at(np.zeros(3))
    for n, step in enumerate(1e-5 * np.eye(3)):
        assert gradient[n] == pytest.approx((at(step)[0] - at(-step)[0]) / 2e-5, rel=1e-8)


def test_a_network_of_loops_is_a_proposal():
    U = pq.GaugeField.hot((4, 4), "SU(2)", rng=3)
    made = pq.SelfLearningHMC(Wilson(1.5), Wilson(1.2) + lcnn_action(), steps=6)
    history = made.train(U, steps=5, progress=False, rng=1)
    assert np.isfinite(history.loss).all()
    assert len(made.parameters) == len(lcnn_action().parameters)


def test_the_target_as_proposal_is_hmc_to_the_bit():
    """rho = 0 and equal masses reproduce HMC (reference 1.5 a)."""
    plain = pq.HMC(target(), steps=6)
    same = pq.SelfLearningHMC(target(), target(), steps=6)
    mapped = sampler(0.3, steps=6)
    for sweep in range(3):
        U, info = plain.advance(SU2, 5, sweep)
        V, other = same.advance(SU2, 5, sweep)
        assert np.array_equal(U, V)
        assert info["delta_h"] == other["delta_h"]
        _, near = mapped.advance(SU2, 5, sweep)
        assert near["delta_h"] == pytest.approx(info["delta_h"], abs=2e-6)


@pytest.mark.parametrize(
    "proposal",
    [Wilson(1.4), Mapped(Wilson(1.8), net(-0.05)), Scaled(Wilson(2.6))],
    ids=["lower beta", "mapped", "scaled"],
)
def test_bad_proposals_sample_the_target(proposal):
    """2D U(1) on 4x4 at beta = 2, Z = sum_n I_n(beta)^16 (reference 6.2)."""
    n, beta = np.arange(-30, 31), 2.0
    weights = iv(n, beta) ** 16
    exact = (weights * ivp(n, beta) / iv(n, beta)).sum() / weights.sum()
    made = pq.SelfLearningHMC(Wilson(beta), proposal, length=0.5, steps=3)
    chain = made.run(U1, 20000, warmup=200, rng=7, progress=False)
    assert 0.1 < chain.acceptance < 0.9, chain.acceptance
    found = chain.estimate("plaquette")
    assert found.error < 0.004
    assert abs(found.mean - exact) < 3.5 * found.error, (found, exact)


def test_quarks_of_the_target_are_sampled_with_those_of_the_proposal():
    """Schwinger model 4x4: plaquette of HMC and of self-learning HMC with a heavier quark agree."""
    quark = lambda mass: Quark(DiracWilson(mass=mass), n_flavors=2)  # noqa: E731
    exact, proposal = Wilson(2.0) + quark(0.1), Wilson(2.1) + quark(0.4)
    found = []
    for made in (pq.HMC(exact, steps=4), pq.SelfLearningHMC(exact, proposal, steps=4)):
        chain = made.run(U1, 6000, warmup=200, rng=11, progress=False)
        assert chain.acceptance > 0.4, chain.acceptance
        found.append(chain.estimate("plaquette"))
    error = math.hypot(found[0].error, found[1].error)
    assert error < 0.006
    assert abs(found[0].mean - found[1].mean) < 3.5 * error, found


@pytest.mark.parametrize(("mass", "expected"), [(0.3, 0.983), (0.4, 0.555), (0.5, 0.147)])
def test_untrained_acceptances_are_those_of_the_reference(mass, expected):
    """SU(2) 4^4, beta = 2.7, m = 0.3, 8 steps (reference 6.4 a, 600 trajectories)."""
    start = pq.HMC(target(), steps=8).run(SU2, 40, rng=2, progress=False).state
    count = 250
    chain = sampler(mass).run(start, count, rng=3, progress=False)
    # Acceptances of one field follow each other: half as many independent ones.
    error = math.sqrt(expected * (1 - expected) * (2 / count + 1 / 600))
    assert abs(chain.acceptance - expected) < 3.5 * error, chain.acceptance


@pytest.mark.parametrize("loss", LOSSES)
def test_training_finds_the_action(loss):
    """A factor that makes the proposal equal to the target is found."""
    made = pq.SelfLearningHMC(Wilson(2.0), Scaled(Wilson(1.6)), steps=6)
    rule = pq.optimizers.Adam(0.03, schedule=pq.optimizers.Cosine(80))
    U = pq.GaugeField.hot((6, 6), "U(1)", rng=4)
    history = made.train(U, loss=loss, steps=80, batch=4, optimizer=rule, rng=5, progress=False)
    assert made.parameters == pytest.approx([1.25], abs=0.02)
    assert history.loss[-5:].mean() < 0.05 * history.loss[:5].mean()
    assert made.proposal(U) == pytest.approx(2.0 / 1.6 * made.parameters[0] / 1.25 * Wilson(1.6)(U))
    assert {"acceptance", "delta_h", "difference"} <= set(history.keys())


def test_a_trained_term_that_equals_one_of_the_target_is_trained():
    """It moves the field and is not tested: the coefficient of the target stays."""
    made = pq.SelfLearningHMC(Scaled(Wilson(2.0)), Scaled(Wilson(2.0)), steps=6)
    made.parameters = [0.8]
    assert made.target.parameters == [1.0]
    assert abs(made.advance(U1, 1, 0)[1]["delta_h"]) > 1e-3
    rule = pq.optimizers.Adam(0.03, schedule=pq.optimizers.Cosine(120))
    made.train(U1, loss="change", steps=120, batch=4, optimizer=rule, rng=5, progress=False)
    assert made.parameters == pytest.approx([1.0], abs=0.03)


@pytest.mark.parametrize("loss", ["mean_square", "variance", "force"])
def test_stored_configurations_teach_too(loss):
    made = pq.SelfLearningHMC(Wilson(2.0), Scaled(Wilson(1.6)), steps=6)
    fields = [pq.GaugeField.hot((6, 6), "U(1)", rng=k) for k in range(12)]
    rule = pq.optimizers.Adam(0.03, schedule=pq.optimizers.Cosine(100))
    history = made.fit(fields, loss=loss, epochs=100, optimizer=rule, validation=0.25, rng=1, progress=False)
    assert made.parameters == pytest.approx([1.25], abs=0.01)
    assert history.validation[-1] < history.validation[0]


@pytest.mark.parametrize("loss", ["change", "force"])
def test_training_of_quarks_raises_the_acceptance(loss):
    start = pq.HMC(target(), steps=8).run(SU2, 40, rng=2, progress=False).state
    made = pq.SelfLearningHMC(target(), Wilson(2.7) + Scaled(Mapped(staggered(0.5), net(0.0))), steps=8)
    before = made.run(start, 60, rng=4, progress=False).acceptance
    rule = pq.optimizers.Adam(0.01, schedule=pq.optimizers.Cosine(60))
    made.train(start, loss=loss, steps=60, batch=2, optimizer=rule, rng=3, progress=False)
    after = made.run(made.trained, 120, rng=5, progress=False).acceptance
    assert after > before + 0.15, (before, after)


def test_training_resumes_to_the_same_bits(tmp_path):
    def run(steps, path=None):
        made = sampler(steps=4, length=0.5)
        history = made.train(SU2, steps=steps, batch=2, checkpoint=path, rng=1, progress=False)
        return made, history

    whole, history = run(6)
    run(3, tmp_path / "training")
    again, resumed = run(6, tmp_path / "training")
    assert np.array_equal(whole.parameters, again.parameters)
    assert np.array_equal(history.loss, resumed.loss)
    assert np.array_equal(whole.trained, again.trained)
    with pytest.raises(pq.CheckpointError):
        sampler(0.5, steps=4, length=0.5).train(
            SU2, steps=6, batch=2, checkpoint=tmp_path / "training", rng=1, progress=False
        )


def test_a_sampler_pickles_with_what_it_learned():
    made = sampler(rho=(0.05,), steps=2)
    for twin in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert np.array_equal(twin.advance(SU2, 1, 2)[0], made.advance(SU2, 1, 2)[0])
        assert twin.fingerprint() == made.fingerprint()
    made.parameters = [0.1]
    assert twin.parameters == [0.05]
    assert repr(made).startswith("SelfLearningHMC(")


def test_a_chain_of_another_proposal_is_another_run(tmp_path):
    made = sampler(steps=4)
    made.run(SU2, 2, rng=1, checkpoint=tmp_path / "chain", progress=False)
    made.parameters = [0.01]
    with pytest.raises(pq.CheckpointError, match="proposal"):
        made.run(SU2, 4, rng=1, checkpoint=tmp_path / "chain", progress=False)


def test_a_loss_that_is_not_finite_keeps_the_best():
    made = sampler(rho=(0.0,))
    with pytest.raises((ValueError, pq.ConvergenceError), match="learning rate") as caught:
        made.train(SU2, steps=50, optimizer=pq.optimizers.SGD(1e200), rng=1, progress=False)
    assert np.isfinite(made.parameters).all()
    assert hasattr(caught.value, "history")


def test_steps_are_those_of_the_proposal():
    made = sampler(0.75, steps=None)
    chain = made.run(SU2, 2, warmup=1, rng=1, progress=False)
    assert 3 <= chain.tuned["steps"] <= 40


def test_a_stuck_chain_hears_of_its_proposal():
    """It is told the acceptance of a Gaussian delta_h of the mean that was seen in the rejected trajectories."""
    with pytest.warns(pq.StatisticsWarning, match="too far from the target") as told:
        chain = pq.SelfLearningHMC(Wilson(60.0), Wilson(0.5), steps=3).run(U1, 120, rng=1, progress=False)
    last = int(np.flatnonzero(chain.info["accepted"])[-1]) + 1
    mean = chain.info["delta_h"][last : last + 50].mean()
    words = f"delta_h = {mean:.3g} on average, at which a Gaussian one is accepted with {math.erfc(mean**0.5 / 2):.2g}"
    assert words in str(told[0].message)


def test_failed_solves_reject_or_raise():
    hard = Wilson(2.7) + staggered(0.3, max_iterations=25)
    with pytest.raises(pq.ConvergenceError):
        pq.HMC(hard, steps=4).step(SU2, rng=1)
    lazy = Wilson(2.7) + Mapped(staggered(0.4, force_tol=1e-11, max_iterations=12), net(0.0))
    made = pq.SelfLearningHMC(target(), lazy, steps=4, on_failure="reject")
    chain = made.run(SU2, 3, rng=1, progress=False)
    assert chain.info["failed"].all()
    assert chain.acceptance == 0


REVERSIBLE = {
    "gauge": (Wilson(5.5), pq.GaugeField.hot((4, 4, 4, 4), "SU(3)", rng=1)),
    "phi^4": (pq.actions.Scalar(1.0, 0.3), pq.ScalarField.random((4, 4), rng=1)),
    "staggered": (target(), SU2),
    "rooted": (Wilson(2.7) + staggered(0.3, 2), SU2),
    "Wilson on smeared links": (Wilson(2.0) + Mapped(Quark(DiracWilson(mass=0.2), n_flavors=2), net(0.1)), U1),
}


@pytest.mark.parametrize("name", REVERSIBLE)
def test_trajectories_come_back(name):
    action, start = REVERSIBLE[name]
    for integrator in ("leapfrog", "omelyan4"):
        found = pq.HMC(action, length=0.5, steps=4, integrator=integrator).check(start, rng=3)
        # Coarse steps from a hot start, and conjugate gradients, make rounding grow.
        assert found["distance"] < (1e-8 if action.auxiliaries else 1e-10), found
        assert abs(found["delta_h_back"]) < 1e-6, found
        assert abs(found["delta_h"]) > 1e-6, found


def test_a_proposal_comes_back_too():
    found = sampler(0.5, rho=(0.05,)).check(SU2, rng=1)
    assert found["distance"] < 1e-8
    assert abs(found["delta_h_back"]) < 1e-6
    assert abs(found["delta_h"]) > 1e-2


@pytest.mark.parametrize("n_flavors", [1, 2, 3])
def test_rooted_quarks_conserve_energy_and_come_back(n_flavors):
    """<exp(-dH)> = 1 and dH of order step^2."""
    action, sizes = Wilson(2.7) + staggered(0.3, n_flavors), []
    for steps in (6, 12):
        hmc = pq.HMC(action, length=0.5, steps=steps)
        sizes.append(np.std([hmc.advance(SU2, 3, n)[1]["delta_h"] for n in range(10)]))
    assert 3.0 < sizes[0] / sizes[1] < 5.5, sizes


def test_rooted_quarks_add_up():
    """Schwinger model: 1 + 1 flavours of Wilson fermions by RHMC sample what two flavours do."""
    one = Quark(DiracWilson(mass=0.2), n_flavors=1, spectral_range=(5e-3, 60.0))
    two = Quark(DiracWilson(mass=0.2), n_flavors=2)
    found = []
    for action in (Wilson(2.0) + one + one, Wilson(2.0) + two):
        chain = pq.HMC(action, steps=4).run(U1, 5000, warmup=200, rng=13, progress=False)
        found.append(chain.estimate("plaquette"))
    error = math.hypot(found[0].error, found[1].error)
    assert error < 0.006
    assert abs(found[0].mean - found[1].mean) < 3.5 * error, found


BAD = {
    "no target": (lambda: pq.SelfLearningHMC(None, Wilson(1.0)), TypeError, "target"),
    "no proposal": (lambda: pq.SelfLearningHMC(Wilson(1.0), None), TypeError, "proposal"),
    "scalar action": (lambda: pq.SelfLearningHMC(pq.actions.Scalar(1.0), pq.actions.Scalar(1.0)), TypeError, "gauge"),
    "quarks without a partner": (lambda: pq.SelfLearningHMC(Wilson(2.7), target()), ValueError, "partner"),
    "other flavours": (
        lambda: pq.SelfLearningHMC(target(), Wilson(2.7) + staggered(0.4, 2)),
        ValueError,
        "n_flavors = 2",
    ),
    "other operators": (
        lambda: pq.SelfLearningHMC(target(), Quark(DiracWilson(mass=0.1))),
        ValueError,
        "operators",
    ),
    "another boundary": (
        lambda: pq.SelfLearningHMC(target(), Quark(Staggered(mass=0.4, boundary=(1, 1, 1, 1)), n_flavors=4)),
        ValueError,
        "boundary",
    ),
    "a split determinant under one map": (
        lambda: pq.SelfLearningHMC(
            Wilson(2.7) + staggered(0.3, hasenbusch=[0.8]), Mapped(staggered(0.4, hasenbusch=[0.8]), net(0.0))
        ),
        ValueError,
        "map the parts of a split determinant one by one",
    ),
    "levels of the target": (
        lambda: pq.SelfLearningHMC(target(), Wilson(2.5) + staggered(0.4), levels=[(Wilson(2.7), 2)]),
        ValueError,
        "not a term",
    ),
    "an array": (lambda: sampler().step(np.zeros(3), rng=1), TypeError, "GaugeField"),
    "a group without quarks": (
        lambda: sampler().step(pq.GaugeField.hot((4, 4), "SU(5)", rng=1), rng=1),
        ValueError,
        "SU",
    ),
    "parameters NaN": (lambda: setattr(sampler(), "parameters", [math.nan]), ValueError, "NaN"),
    "parameters of another number": (lambda: setattr(sampler(), "parameters", [1.0, 2.0]), ValueError, "1 numbers"),
    "nothing to train": (
        lambda: pq.SelfLearningHMC(target(), Wilson(2.7) + staggered(0.4)).train(SU2, rng=1),
        ValueError,
        "no coefficients",
    ),
    "unknown loss": (lambda: sampler().train(SU2, loss="varianze", rng=1), ValueError, "variance"),
    "variance of one": (lambda: sampler().train(SU2, loss="variance", rng=1), ValueError, "batch"),
    "on_failure": (lambda: sampler(on_failure="ignore"), ValueError, "reject"),
    "stored fields are none": (lambda: sampler().fit([], rng=1), (TypeError, ValueError), "fields"),
    "change of stored fields": (lambda: sampler().fit([SU2] * 4, loss="change", rng=1), ValueError, "variance"),
    "one flavour too many": (
        lambda: pq.HMC(Wilson(2.7) + staggered(0.3, 5), steps=2).step(SU2, rng=1),
        ValueError,
        "1, 2, 3, 4 or 8",
    ),
    "range upside down": (lambda: staggered(0.3, 2, spectral_range=(2.0, 1.0)), ValueError, "spectral_range"),
    "range too narrow": (
        lambda: pq.HMC(Wilson(2.7) + staggered(0.3, 2, spectral_range=(0.09, 1.0)), steps=2).step(SU2, rng=1),
        ValueError,
        "spectral_range",
    ),
    "a negative number of quarks": (
        lambda: pq.HMC(Wilson(2.7) + -1.0 * staggered(0.3), steps=2).step(SU2, rng=1),
        ValueError,
        "positive",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, kind, text = BAD[name]
    with pytest.raises(kind, match=text):
        call()


WORSE = {
    "train": lambda made, **more: made.train(SU2, loss="change", steps=3, batch=2, progress=False, rng=1, **more),
    "train, validated": lambda made, **more: made.train(
        SU2, steps=3, validation=[SU2, SU2], progress=False, rng=1, **more
    ),
    "fit": lambda made, **more: made.fit([SU2] * 2, loss="mean_square", epochs=3, progress=False, rng=1, **more),
    "fit, validated": lambda made, **more: made.fit(
        [SU2] * 4, loss="mean_square", epochs=3, validation=0.5, progress=False, rng=1, **more
    ),
}


@pytest.mark.parametrize("how", WORSE)
def test_a_training_that_makes_the_proposal_worse_says_so_and_keeps_the_start(how):
    """The proposal is the target with a layer that is nearly none, thrown far away by one step of the optimiser."""
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [1e-4])])
    made = pq.SelfLearningHMC(Wilson(2.2), pq.actions.Mapped(Wilson(2.2), net), steps=6)
    before = made.parameters
    with pytest.warns(RuntimeWarning, match="no better: .*coefficients of the start are kept"):
        history = WORSE[how](made, optimizer=pq.optimizers.Adam(0.1))
    assert history.kept == 0
    assert np.array_equal(made.parameters, before)
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.03])])
    made = pq.SelfLearningHMC(Wilson(2.2), pq.actions.Mapped(Wilson(2.2), net), steps=6)
    WORSE[how](made, optimizer=pq.optimizers.Adam(0.004))  # without a warning
    assert 0 < made.parameters[0] < 0.03
