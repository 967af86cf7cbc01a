"""What a chain does not bear out is said: too short, constant, stuck, slow modes; replicas of pyerrors and arviz."""

import copy
import math
import pickle
import warnings

import numpy as np
import plaq as pq
import pytest
from plaq.statistics import StatisticsWarning, estimate, r_hat


def ar1(r, n, rng):
    noise, x = rng.normal(size=n) * math.sqrt(1 - r * r), np.empty(n)
    x[0] = rng.normal()
    for k in range(1, n):
        x[k] = r * x[k - 1] + noise[k]
    return x


def quiet(*arguments, **options):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return estimate(*arguments, **options), [str(each.message) for each in found]


def test_ten_draws_of_a_slow_chain_never_look_precise():
    """tau is at least 1/2 or warned, and 10 draws always warn; the true tau is 9.5."""
    rng = np.random.default_rng(11)
    for _ in range(300):
        x = ar1(0.9, 10, rng)
        found, said = quiet(x)
        assert said
        assert found.tau >= 0.5 or "below 1/2" not in said[0]
        assert found.tau > 0
        assert found.error >= x.std() / math.sqrt(10) * 0.5


@pytest.mark.parametrize("r", [-0.5, -0.3])
def test_antithetic_chains_keep_their_small_tau(r):
    x = ar1(r, 20_000, np.random.default_rng(4))
    found = estimate(x)  # warnings are errors
    assert found.tau == pytest.approx((1 + r) / (1 - r) / 2, abs=5 * max(found.tau_error, 0.003))
    assert found.tau < 0.35


def test_constant_chain_has_no_known_error():
    with pytest.warns(StatisticsWarning, match="all draws are equal"):
        found = estimate(np.full(100, 1 / 3))
    assert (found.mean, found.error, found.tau) == (pytest.approx(1 / 3, rel=1e-15), math.inf, math.inf)
    assert "all draws are equal" in repr(pq.Chain({"x": np.zeros(50)}))


def test_tail_of_a_slow_mode_covers_the_truth():
    """A weak slow mode (weight 1/17, tau 200 beyond the window) makes errors too small; tau_exp mends them."""
    rng, pulls = np.random.default_rng(5), {None: [], 200.0: []}
    for _ in range(60):
        x = rng.normal(size=4000) + 0.25 * ar1(1 - 1 / 200, 4000, rng)
        for tau_exp, each in pulls.items():
            found, _ = quiet(x, tau_exp=tau_exp)
            each.append(found.mean / found.error)
    plain, tail = (float(np.std(each)) for each in pulls.values())
    assert plain > 1.8
    assert tail < 1.6


def test_a_measured_slow_mode_is_named_and_noise_is_left_alone():
    rng = np.random.default_rng(6)
    for _ in range(30):
        q, noise = ar1(0.995, 4000, rng), rng.normal(size=4000)
        with pytest.warns(StatisticsWarning, match=r"^Q has an autocorrelation time.*tau_exp="):
            pq.Chain({"P": noise + 0.25 * q, "Q": q}).estimate("P")
        with pytest.warns(StatisticsWarning, match=r"^Q(\^2)? has an autocorrelation time"):
            pq.Chain({"P": noise + 0.25 * q**2, "Q": q}).estimate("P")
        pq.Chain({"P": noise, "Q": q, "c": np.ones(4000)}).estimate("P")  # warnings are errors
        a = ar1(0.5, 4000, rng)
        pq.Chain({"P": a, "R": a + 0.1 * noise}).estimate("P")


def test_errors_of_many_short_replicas():
    """Fluctuations about the mean of each replica would have 0.78 of the error of 50 chains of 200 draws of AR(1)."""
    rng, tau = np.random.default_rng(11), 9.5
    for replicas, length in ((50, 200), (20, 500)):
        true = 2 * tau / (replicas * length)
        found = []
        for _ in range(40):
            x = np.concatenate([ar1(0.9, length, rng) for _ in range(replicas)])
            found.append(pq.statistics.estimate(x, replicas=[length] * replicas))
        # tau of one set has an error of a tenth.
        assert np.mean([each.tau for each in found]) == pytest.approx(tau, rel=0.08)
        assert np.mean([each.error**2 for each in found]) == pytest.approx(true, rel=0.08)


def test_replicas_that_disagree_have_a_larger_error_and_short_ones_a_warning():
    rng, halves = np.random.default_rng(3), [500, 500]
    x = rng.normal(size=1000)
    stuck = x + np.repeat([0.0, 1.0], 500)
    assert pq.statistics.estimate(stuck, replicas=halves).error > 2 * pq.statistics.estimate(x, replicas=halves).error
    assert pq.statistics.r_hat(stuck, halves) > 1.1
    short = np.concatenate([ar1(0.8, 20, rng) for _ in range(100)])
    with pytest.warns(pq.StatisticsWarning, match="the shortest of 100 replicas has 20 draws"):
        pq.statistics.estimate(short, replicas=[20] * 100)


def test_replicas_are_near_those_of_pyerrors():
    """It takes fluctuations about the mean of each replica: a few per cent for three chains."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pe = pytest.importorskip("pyerrors")
    rng, lengths = np.random.default_rng(7), (300, 170, 241)
    chains = [pq.Chain({"x": ar1(0.6, n, rng) + 2}, seed=k) for k, n in enumerate(lengths)]
    merged = pq.merge(chains)
    found = merged.estimate("x")
    theirs = pe.Obs([c["x"] for c in chains], [f"a|r{k}" for k in range(3)])
    theirs.gamma_method(S=1.5)
    assert found.mean == pytest.approx(theirs.value, rel=1e-13)
    assert found.error == pytest.approx(theirs.dvalue, rel=0.05)
    ratio = merged.obs("x") / merged.obs("x")
    ratio.gamma_method()
    assert (ratio.value, ratio.dvalue) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("seed", range(5))
def test_the_tail_is_that_of_pyerrors(seed):
    """Within a tenth: pyerrors sums the error of rho over all lags, plaq over 100, so windows differ a bit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pe = pytest.importorskip("pyerrors")
    x = ar1(0.8, 3000, np.random.default_rng(seed))
    theirs = pe.Obs([x], ["a"])
    theirs.gamma_method(tau_exp=20.0)
    found = estimate(x, tau_exp=20.0)
    assert found.error == pytest.approx(theirs.dvalue, rel=0.1)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_r_hat_is_that_of_arviz(shift):
    az = pytest.importorskip("arviz", exc_type=ImportError)
    if not hasattr(az, "rhat"):
        pytest.skip("arviz 1.0 moved rhat")
    x = np.stack([ar1(0.5, 500, np.random.default_rng(k)) + shift * k for k in range(4)])
    x = np.round(x, 1)  # with ties
    assert r_hat(x.ravel(), [500] * 4) == pytest.approx(float(az.rhat(x, method="rank")), rel=1e-10)
    merged = pq.merge([pq.Chain({"x": row}, seed=k) for k, row in enumerate(x)])
    assert (merged.r_hat("x") > 1.01) == (shift > 0)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_replicas_are_chains_of_arviz():
    pytest.importorskip("arviz", exc_type=ImportError)
    rng = np.random.default_rng(3)
    draws = [
        {"x": rng.normal(size=30), "z": rng.normal(size=(30, 2)) + 1j * rng.normal(size=(30, 2))} for _ in range(3)
    ]
    chains = [pq.Chain(each, {"accepted": np.ones(30)}, seed=k) for k, each in enumerate(draws)]
    data = pq.merge(chains).to_arviz()
    for k, each in enumerate(draws):
        assert np.array_equal(np.asarray(data["posterior"]["x"])[k], each["x"])
        assert np.array_equal(np.asarray(data["posterior"]["z_im"])[k], each["z"].imag)
    assert data["sample_stats"]["accepted"].shape == (3, 30)
    ragged = pq.merge([chains[0], chains[1][10:]])
    with pytest.raises(ValueError, match=r"30, 20 draws; .*chain\[-20:\]"):
        ragged.to_arviz()
    assert pq.merge([chain[-20:] for chain in chains[:2]]).to_arviz()["posterior"]["x"].shape == (2, 20)


def run(draws, **options):
    sampler = pq.Heatbath(pq.actions.Wilson(2.0))
    return sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), draws, **{"rng": 1, "progress": False, **options})


def test_merge_refuses_what_is_no_replica(tmp_path):
    a, b = run(20, rng=1), run(30, rng=2, warmup=5)
    both = pq.merge([a, b])
    assert (both.replicas, len(both), both.names) == ((20, 30), 50, ["plaquette"])
    both.save(tmp_path / "both.npz")
    assert pq.Chain.load(tmp_path / "both.npz").replicas == (20, 30)
    with pytest.raises(pq.CheckpointError, match="2 merged chains"):
        run(60, checkpoint=tmp_path / "both.npz")
    with pytest.raises(ValueError, match="same draws"):
        pq.merge([a, a])
    with pytest.raises(TypeError, match="at least one chain"):
        pq.merge([])
    with pytest.raises(ValueError, match="observables"):
        pq.merge([a, pq.Chain({"x": np.zeros(9)})])
    other = pq.Heatbath(pq.actions.Wilson(3.0)).run(pq.GaugeField.cold((4, 4), "U(1)"), 9, rng=5, progress=False)
    with pytest.raises(ValueError, match=r"2\.0, 'plaquette'"):
        pq.merge([a, other])
    with pytest.raises(TypeError, match=r"pq\.merge"):
        sum([a, b])
    with pytest.raises(ValueError, match="before they are merged"):
        both[5:]


def test_parts_of_a_chain_continue_as_a_run_with_a_longer_warm_up(tmp_path):
    chain = run(30, warmup=4)
    rest = chain[10:]
    assert (len(rest), rest.warmup, rest.seed) == (20, 14, 1)
    assert [draw["plaquette"] for draw in rest] == list(chain["plaquette"][10:])
    assert chain[-1] == {"plaquette": chain["plaquette"][-1]}
    rest.save(tmp_path / "rest.npz")
    on = run(40, warmup=14, checkpoint=tmp_path / "rest.npz")
    assert np.array_equal(on["plaquette"], run(50, warmup=4)["plaquette"][10:])
    chain[::3].save(tmp_path / "thin.npz")
    with pytest.raises(pq.CheckpointError, match="part"):
        run(40, warmup=4, thin=3, checkpoint=tmp_path / "thin.npz")
    with pytest.raises(IndexError):
        chain[30]


def test_estimates_are_not_added_blindly():
    chain = run(200)
    x = chain.estimate("plaquette")
    for call in (lambda: x + x, lambda: 2 * x, lambda: x / 3, lambda: -x, lambda: x**2):
        with pytest.raises(TypeError, match=r"chain\.obs"):
            call()


def test_hmc_chooses_its_steps_in_the_warm_up(tmp_path):
    """From a cold start to an acceptance near the target; the same bits across a resume; frozen after the warm-up."""
    start = pq.GaugeField.cold((8, 8, 8), "SU(2)")
    for integrator, least in (("omelyan2", 0.6), ("leapfrog", 0.6), ("omelyan4", 0.7)):
        hmc = pq.HMC(pq.actions.Wilson(3.0), integrator=integrator)
        path = tmp_path / f"{integrator}.npz"
        options = {"warmup": 40, "rng": 3, "progress": False}
        whole = hmc.run(start, 30, **options)
        assert least < whole.acceptance, (integrator, whole.tuned)
        assert f"steps {whole.tuned['steps']} (tuned)" in repr(whole)
        for draws in (0, 12, 30):
            parts = pq.HMC(pq.actions.Wilson(3.0), integrator=integrator).run(start, draws, checkpoint=path, **options)
        assert parts.tuned == whole.tuned
        assert np.array_equal(parts["plaquette"], whole["plaquette"])
        given = pq.HMC(pq.actions.Wilson(3.0), integrator=integrator, steps=whole.tuned["steps"])
        state, _ = given.advance(whole.state, whole.seed, whole.sweep)
        assert state == hmc.tuned(whole.tuned).advance(whole.state, whole.seed, whole.sweep)[0]


def test_interrupted_warm_up_tunes_on(tmp_path):
    start = pq.GaugeField.cold((6, 6), "U(1)")

    class Stops(pq.HMC):
        def learn(self, facts, info):
            if facts["updates"] == 7:
                raise KeyboardInterrupt
            return super().learn(facts, info)

    Stops.__qualname__ = "HMC"
    options = {"warmup": 20, "rng": 3, "progress": False}
    half = Stops(pq.actions.Wilson(2.0)).run(start, 5, checkpoint=tmp_path / "c.npz", **options)
    assert (half.sweep, half.tuned["updates"]) == (7, 7)
    hmc = pq.HMC(pq.actions.Wilson(2.0))
    assert hmc.run(start, 5, checkpoint=tmp_path / "c.npz", **options).tuned == hmc.run(start, 5, **options).tuned


def test_hmc_without_a_warm_up_accepts():
    chain = pq.HMC(pq.actions.Wilson(5.7)).run(pq.GaugeField.cold((4, 4, 4, 4)), 10, rng=1, progress=False)
    assert chain.acceptance > 0.4
    _, info = pq.HMC(pq.actions.Wilson(5.7)).step(pq.GaugeField.cold((4, 4, 4, 4)), rng=2)
    assert abs(info["delta_h"]) < 3


def test_a_run_that_accepts_nothing_says_so():
    hmc = pq.HMC(pq.actions.Wilson(6.0), steps=1, length=3.0)
    with pytest.warns(StatisticsWarning, match=r"none of the last 50 updates was accepted \(delta_h"):
        chain = hmc.run(pq.GaugeField.cold((8, 8), "U(1)"), 60, rng=1, progress=False)
    with pytest.warns(StatisticsWarning, match="frozen"):
        assert chain.estimate("plaquette").error == math.inf
    moved = np.ones(300, bool)
    moved[100:170] = False
    with pytest.warns(StatisticsWarning, match="70 draws in a row"):
        pq.Chain({"x": np.random.default_rng(1).normal(size=300)}, {"accepted": moved}).estimate("x")


def test_system_exit_and_nan_keep_the_draws(tmp_path):
    calls = iter(range(100))

    def leaves(U):
        if next(calls) == 8:
            raise SystemExit(3)
        return 0.0

    with pytest.raises(SystemExit) as caught:
        run(50, observables={"x": leaves}, checkpoint=tmp_path / "c.npz")
    assert len(caught.value.chain) == len(pq.Chain.load(tmp_path / "c.npz")) == 7
    assert caught.value.chain.incomplete
    values = iter([0.0] * 6 + [math.nan] * 9)
    with pytest.raises(pq.ObservableError, match='observable "y" is NaN or infinite') as broken:
        run(50, observables={"y": lambda U: next(values)})
    assert len(broken.value.chain) == 5


def test_max_seconds_ends_with_a_checkpoint_and_the_same_call_goes_on(tmp_path):
    path = tmp_path / "c.npz"
    part = run(10**6, max_seconds=0.2, checkpoint=path)
    assert part.incomplete
    assert not part.interrupted
    assert len(pq.Chain.load(path)) == len(part) > 0
    more = run(len(part) + 5, checkpoint=path)
    assert not more.incomplete
    assert np.array_equal(more["plaquette"], run(len(part) + 5)["plaquette"])
    with pytest.raises(ValueError, match="max_seconds"):
        run(5, max_seconds=0)


SPIN = pq.SpinFermion((4, 4), J=1.0, T=0.2)
LINKS = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
SPINS = pq.spin.random((4, 4), rng=1)
DIRAC = pq.dirac.Wilson(mass=0.5).on(LINKS)
PUBLIC = {
    "heatbath": (pq.Heatbath(pq.actions.Wilson(2.0), 1), lambda s: s.step(LINKS, rng=3)[0]),
    "hmc": (pq.HMC(pq.actions.Wilson(2.0) + pq.actions.Symanzik(0.5), steps=4), lambda s: s.step(LINKS, rng=3)[0]),
    "hmc, no steps": (pq.HMC(pq.actions.Wilson(2.0)), lambda s: s.step(LINKS, rng=3)[0]),
    "hmc, scalar": (pq.HMC(pq.actions.Scalar(1.0), steps=4), lambda s: s.step(pq.ScalarField.zeros((4, 4)), rng=3)[0]),
    "wolff": (pq.ising.Wolff(0.4), lambda s: s.step(np.ones((4, 4)), rng=3)[0].tolist()),
    "flow proposal": (
        pq.FlowProposal(pq.flows.u1_2d((4, 4), sweeps=1, terms=2, hidden=(2,), rng=1), pq.actions.Wilson(1.0)),
        lambda s: np.asarray(s.step(s.start(rng=1), rng=3)[0]).tolist(),
    ),
    "ising": (pq.ising.Metropolis(0.4), lambda s: s.step(np.ones((4, 4)), rng=3)[0].tolist()),
    "spin metropolis": (pq.SpinMetropolis(SPIN), lambda s: s.step(SPINS, rng=3)[0].tolist()),
    "self-learning": (
        pq.SelfLearningMC(SPIN, pq.LinearSpinModel((4, 4), 2), sweeps=2),
        lambda s: s.step(SPINS, rng=3)[0].tolist(),
    ),
    "action": (pq.actions.Wilson(2.0), lambda a: a(LINKS)),
    "links": (LINKS, lambda U: U),
    "scalar field": (pq.ScalarField.random((4, 4), rng=1), lambda phi: np.asarray(phi).tolist()),
    "covariant net": (pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]), lambda net: net(LINKS)),
    "attention layer": (
        pq.CovariantNet([pq.AttentionLayer(["plaquette"], [[0.1], [0.2], [0.1]], reach=1)]),
        lambda net: net(LINKS),
    ),
    "lcnn": (
        pq.LCNN(
            [pq.lcnn.Loops(), pq.lcnn.LCB(1, 2), pq.lcnn.Trace(), pq.lcnn.Mean()], ndim=2, group=LINKS.group, rng=1
        ),
        lambda net: np.asarray(net(LINKS)).tolist(),
    ),
    "attention": (
        pq.EquivariantAttention((4, 4), layers=1, shells=2, coupling_shells=2, rng=1),
        lambda net: np.asarray(net.log_weight(SPINS)).tolist(),
    ),
    "spin model": (SPIN, lambda m: float(m.log_weight(SPINS))),
    "linear spin model": (pq.LinearSpinModel((4, 4), 2), lambda m: np.asarray(m.log_weight(SPINS)).tolist()),
    "gaussian rbm": (pq.GaussianRBM(4, 3, mu2=3.0, rng=1), lambda m: m.weights.tolist()),
    "bernoulli rbm": (pq.BernoulliRBM(4, 3, rng=1), lambda m: m.weights.tolist()),
    "normalising flow": (
        pq.flows.u1_2d((4, 4), sweeps=1, terms=2, hidden=(2,), rng=1),
        lambda f: f.sample(2, rng=1).tolist(),
    ),
    "weighted samples": (
        pq.flows.Flow(pq.flows.Normal((2, 2)), []).reweight(pq.actions.Scalar(1.0), 8, rng=1),
        lambda s: (s.efficiency, s.fields.tolist()),
    ),
    "coupling": (pq.flows.AffineCoupling(1, hidden=(2,)), lambda c: (c.spec(), c.network.parameters.tolist())),
    "prior": (pq.flows.FreeField((2, 2), 1.0), lambda p: p.spec()),
    "flow": (pq.smear.flow(LINKS, 0.02), lambda f: f.energy.tolist()),
    "history": (pq.History({"loss": [1.0, 0.5]}), lambda h: h.loss.tolist()),
    "chain": (run(12), lambda c: [c["plaquette"].tolist(), c.state]),
    "wilson": (pq.dirac.Wilson(kappa=0.2, csw=1.0), lambda family: family.spec()),
    "staggered": (pq.dirac.Staggered(0.5), lambda family: family.spec()),
    "dirac operator": (DIRAC, lambda D: (D @ D.source()).tolist()),
    "adjoint": (DIRAC.H, lambda H: (H @ DIRAC.source()).tolist()),
    "spectrum": (DIRAC.eigenvalues(2), lambda found: found.values.tolist()),
    "solve info": (DIRAC.solve(DIRAC.source())[1], lambda info: (info.iterations, info.history.tolist())),
    "estimate": (pq.Estimate(1.0, 0.1, 0.5, 0.1), str),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_objects_pickle_and_copy(name):
    given, behaviour = PUBLIC[name]
    wanted = behaviour(given)
    for twin in (pickle.loads(pickle.dumps(given)), copy.copy(given), copy.deepcopy(given)):
        assert type(twin) is type(given)
        assert behaviour(twin) == wanted
