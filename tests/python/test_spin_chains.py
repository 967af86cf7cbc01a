"""Markov chains of the spin-fermion model: exactness, resume, training on policy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.spin.annealing import Annealing
from plaq.spin.fit import NetworkFit

SHAPE = (4, 4)
MODEL = pq.SpinFermion(SHAPE, J=1.0, T=0.2)
SQUARES = {
    "m2": lambda S: pq.spin.magnetization(S) ** 2,
    "ms2": lambda S: pq.spin.staggered_magnetization(S) ** 2,
}


@pytest.fixture(scope="module")
def reweighted():
    """<m^2> and <m_s^2> by reweighting independent uniform spins, with errors."""
    spins = pq.spin.random(SHAPE, rng=11, count=12_000)
    weight = np.exp(MODEL.log_weight(spins) - MODEL.log_weight(spins).max())
    values = np.array([pq.spin.magnetization(spins) ** 2, pq.spin.staggered_magnetization(spins) ** 2])
    blocks = np.array(
        [(v * w).sum(axis=1) / w.sum() for v, w in zip(np.split(values, 40, axis=1), np.split(weight, 40), strict=True)]
    )
    return blocks.mean(axis=0), blocks.std(axis=0) / np.sqrt(39)


@pytest.fixture(scope="module")
def fitted():
    spins = pq.spin.random(SHAPE, rng=12, count=1000)
    return pq.LinearSpinModel(SHAPE, 5).fit_couplings(spins, MODEL.log_weight(spins))


def wrong_sign(model):
    other = pq.LinearSpinModel(SHAPE, 5)
    other.couplings = -model.couplings
    return other


def network(model):
    net = pq.EquivariantAttention(SHAPE, 1, 3, 5, rng=3)
    parameters = 0.05 * np.random.default_rng(1).normal(size=net.n_parameters)
    net.parameters = parameters
    net.couplings = model.couplings
    return net


SAMPLERS = {
    "exact local": lambda linear: pq.SpinMetropolis(MODEL, sweeps=3),
    "linear": lambda linear: pq.SelfLearningMC(MODEL, linear, sweeps=4),
    "linear, Metropolis": lambda linear: pq.SelfLearningMC(MODEL, linear, sweeps=6, inner="metropolis"),
    "wrong sign": lambda linear: pq.SelfLearningMC(MODEL, wrong_sign(linear), sweeps=4),
    "network, HMC": lambda linear: pq.SelfLearningMC(MODEL, network(linear), sweeps=3, hmc_steps=6, hmc_step_size=0.35),
    "network, Metropolis": lambda linear: pq.SelfLearningMC(
        MODEL, network(linear), sweeps=2, inner="metropolis", width=1.5
    ),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_chains_equal_reweighting(name, fitted, reweighted):
    sampler = SAMPLERS[name](fitted)
    chain = sampler.run(S := pq.spin.random(SHAPE, rng=2), 4000, warmup=100, observables=SQUARES, rng=3, progress=False)
    assert S.shape == (4, 4, 3)
    assert chain.acceptance > {"wrong sign": 0.4, "network, HMC": 0.3, "network, Metropolis": 0.3}.get(name, 0.9)
    mean, error = reweighted
    for k, key in enumerate(("m2", "ms2")):
        found = chain.estimate(key)
        assert abs(found.mean - mean[k]) < 3.5 * np.hypot(found.error, error[k]), (key, found, mean[k], error[k])
        assert found.error < 0.05 * found.mean


def test_reference_values(reweighted):
    """Values and errors of an independent program: 12000 reweighted configurations."""
    mean, error = reweighted
    for k, (value, sigma) in enumerate([(0.06684, 0.00048), (0.07687, 0.00071)]):
        assert abs(mean[k] - value) < 3.5 * np.hypot(sigma, error[k])


def test_self_learning_away_from_half_filling():
    """mu != 0 on odd extents, where the spectrum has no symmetry: a wrong sign of mu in W would show."""
    shape = (3, 3)
    model = pq.SpinFermion(shape, J=2.0, mu=-1.5, T=0.15)
    spins = pq.spin.random(shape, rng=1, count=8000)
    m2 = pq.spin.magnetization(spins) ** 2

    def reweighted(exact):
        weight = np.exp(exact.log_weight(spins) - exact.log_weight(spins).max())
        mean = (m2 * weight).sum() / weight.sum()
        return mean, np.sqrt(((m2 - mean) ** 2 * weight**2).sum()) / weight.sum()

    expected, sigma = reweighted(model)
    net = pq.EquivariantAttention(shape, 1, 2, rng=1)
    net.fit_couplings(spins[:500], model.log_weight(spins[:500]))
    net.named_parameters()["block0.value"][:] = 0.05
    for effective in (pq.LinearSpinModel(shape, 2).fit_couplings(spins[:500], model.log_weight(spins[:500])), net):
        sampler = pq.SelfLearningMC(model, effective, sweeps=3, hmc_step_size=0.35)
        chain = sampler.run(spins[0], 4000, warmup=50, observables={"m2": SQUARES["m2"]}, rng=2, progress=False)
        found = chain.estimate("m2")
        assert abs(found.mean - expected) < 3.5 * np.hypot(found.error, sigma)
        assert found.error < 0.05 * found.mean
    other, error = reweighted(model.at(mu=1.5))
    assert abs(other - expected) > 8 * np.hypot(error, sigma)


def test_free_spins():
    model = pq.SpinFermion((3, 4), J=0.0, T=0.3)
    chain = pq.SpinMetropolis(model, sweeps=1, hits=1, width=2.0)
    chain = chain.run(pq.spin.neel((3, 4)), 6000, warmup=50, observables={"m2": SQUARES["m2"]}, rng=1, progress=False)
    found = chain.estimate("m2")
    assert abs(found.mean - 1 / 12) < 3.5 * found.error
    assert chain.acceptance == 1.0


def test_local_updates_away_from_half_filling():
    """mu inside and outside the band, odd extents: moments equal reweighting."""
    for mu, shape in [(-1.0, (3, 3)), (-7.0, (2, 3))]:
        model = pq.SpinFermion(shape, J=2.0, mu=mu, T=0.4)
        spins = pq.spin.random(shape, rng=1, count=6000)
        weight = np.exp(model.log_weight(spins) - model.log_weight(spins).max())
        m2 = pq.spin.magnetization(spins) ** 2
        expected = (m2 * weight).sum() / weight.sum()
        sigma = np.sqrt(((m2 - expected) ** 2 * weight**2).sum()) / weight.sum()
        chain = pq.SpinMetropolis(model, sweeps=2, width=2.0)
        chain = chain.run(spins[0], 4000, warmup=50, observables={"m2": SQUARES["m2"]}, rng=2, progress=False)
        found = chain.estimate("m2")
        assert abs(found.mean - expected) < 3.5 * np.hypot(found.error, sigma)
        assert np.abs(chain.info["correction"]).max() < 0.05


def test_inner_chain_satisfies_detailed_balance():
    """Forward and backward transitions between classes of a three-spin state are equally frequent."""
    shape = (3, 1)
    linear = pq.LinearSpinModel(shape, 1)
    linear.couplings = [1.2]
    exact = pq.SpinFermion(shape, J=1.0, T=1.0)
    sampler = pq.SelfLearningMC(exact, linear, sweeps=1, overrelaxation=0)
    state, classes = pq.spin.random(shape, rng=1), []
    for step in range(12_000):
        flat, _ = sampler._current().propose(state.reshape(1, -1), 5, step)
        state = flat.reshape(*shape, 3)
        products = [state[0, 0] @ state[1, 0], state[1, 0] @ state[2, 0], state[2, 0] @ state[0, 0]]
        classes.append(int(np.argmax(products)))
    counts = np.zeros((3, 3))
    np.add.at(counts, (classes[:-1], classes[1:]), 1)
    for a, b in [(0, 1), (1, 2), (2, 0)]:
        assert abs(counts[a, b] - counts[b, a]) < 4 * np.sqrt(counts[a, b] + counts[b, a])
    assert counts.min() > 300


@pytest.mark.parametrize(("shells", "expected"), [(1, 0.489), (3, 0.546), (9, 0.935)])
def test_linear_acceptance_of_the_reference(shells, expected):
    """6x6, J = t, mu = 0, T = 0.1; values of independent chains of 1500 steps (|m|, |m_s| to 0.005)."""
    exact = pq.SpinFermion((6, 6), J=1.0, T=0.1)
    sampler = pq.SelfLearningMC(exact, pq.LinearSpinModel((6, 6), shells))
    start = pq.SpinMetropolis(exact).run(pq.spin.random((6, 6), rng=1), 20, rng=1, progress=False).state
    history = sampler.train(start, temperatures=[0.2], rounds=3, draws=150, rng=2, progress=False)
    assert history.temperature[-1] == 0.1
    chain = sampler.run(start, 1200, warmup=50, rng=3, progress=False)
    assert abs(chain.acceptance - expected) < 0.05
    for name, value in (("magnetization", 0.166), ("staggered_magnetization", 0.225)):
        found = chain.estimate(name)
        assert abs(found.mean - value) < 3 * np.hypot(found.error, 0.005)


@pytest.mark.parametrize("kind", ["exact", "linear", "network"])
def test_resumed_chains_have_the_same_bits(kind, fitted, tmp_path):
    make = {
        "exact": lambda: pq.SpinMetropolis(MODEL, sweeps=2),
        "linear": lambda: pq.SelfLearningMC(MODEL, fitted, sweeps=2),
        "network": lambda: pq.SelfLearningMC(MODEL, network(fitted), sweeps=2),
    }[kind]
    start, path = pq.spin.random(SHAPE, rng=1), tmp_path / "chain.npz"
    whole = make().run(start, 30, rng=5, progress=False)
    make().run(start, 11, rng=5, progress=False, checkpoint=path)
    resumed = make().run(start, 30, rng=5, progress=False, checkpoint=path)
    for name in ("magnetization", "staggered_magnetization"):
        assert np.array_equal(whole[name], resumed[name])
    assert np.array_equal(whole.state, resumed.state)
    assert np.array_equal(whole.info["log_weight"], resumed.info["log_weight"])
    with pytest.raises(pq.CheckpointError, match="another run"):
        pq.SpinMetropolis(MODEL.at(0.3)).run(start, 30, rng=5, progress=False, checkpoint=path)


def test_resumed_fit_has_the_same_bits(tmp_path):
    spins = pq.spin.random(SHAPE, rng=1, count=200)
    weights = MODEL.log_weight(spins)
    options = {"optimizer": pq.optimizers.AdamW(5e-3, schedule=pq.optimizers.WarmUp(20, 120)), "record_every": 20}
    options |= {"rng": 4, "progress": False, "batch": 40}

    def fit(steps, **more):
        net = pq.EquivariantAttention(SHAPE, 2, 3, rng=3)
        return net, net.fit(spins, weights, steps=steps, **options, **more)

    whole, history = fit(120)
    fit(60, checkpoint=tmp_path / "fit.npz")
    resumed, again = fit(120, checkpoint=tmp_path / "fit.npz")
    assert np.array_equal(whole.parameters, resumed.parameters)
    assert all(np.array_equal(history[name], again[name]) for name in history)
    options["batch"] = 50
    with pytest.raises(pq.CheckpointError, match="batch"):
        fit(120, checkpoint=tmp_path / "fit.npz")


def interrupt_at(monkeypatch, owner, name, call):
    """Ctrl-C in the middle of call number `call` of a method."""
    honest, calls = getattr(owner, name), [0]

    def interrupted(*arguments):
        calls[0] += 1
        result = honest(*arguments)
        if calls[0] == call:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(("method", "call"), [("score", 1), ("score", 2), ("score", 4), ("advance", 1), ("advance", 8)])
def test_interrupted_fits_resume_by_the_same_call(method, call, fresh, tmp_path, monkeypatch):
    """In the same session, with a network whose parameters have moved, or with a new one."""
    spins = pq.spin.random(SHAPE, rng=1, count=120)
    weights, path = MODEL.log_weight(spins), tmp_path / "fit.npz"
    options = {"steps": 50, "batch": 16, "record_every": 10, "rng": 4, "progress": False, "checkpoint": path}

    def new():
        net = pq.EquivariantAttention(SHAPE, 1, 3, rng=3)
        net.couplings = [0.1, 0.2, 0.3]
        return net

    whole = new()
    history = whole.fit(spins, weights, **options | {"checkpoint": None})
    with monkeypatch.context() as patch:
        interrupt_at(patch, NetworkFit, method, call)
        network = new()
        part = network.fit(spins, weights, **options)
    assert part.interrupted
    whole_blocks = np.isin(part.get("step", []), history.step)  # the last record may be from inside one
    assert all(np.array_equal(history[name][: whole_blocks.sum()], part[name][whole_blocks]) for name in part)
    resumed = new() if fresh else network
    again = resumed.fit(spins, weights, **options)
    assert np.array_equal(whole.parameters, resumed.parameters)
    assert all(np.array_equal(history[name], again[name]) for name in history)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("call", [1, 3])
def test_interrupted_annealing_resumes_to_the_same_bits(call, fresh, tmp_path, monkeypatch):
    start, path = pq.spin.random(SHAPE, rng=1), tmp_path / "anneal.npz"
    options = {"temperatures": [0.5], "rounds": 2, "draws": 20, "fit": {"steps": 20, "batch": 16}, "rng": 7}

    def new():
        return pq.SelfLearningMC(MODEL, pq.EquivariantAttention(SHAPE, 1, 3, rng=3), sweeps=1, hmc_steps=4)

    whole = new()
    history = whole.train(start, **options, progress=False)
    with monkeypatch.context() as patch:
        interrupt_at(patch, Annealing, "_learn", call)
        sampler = new()
        part = sampler.train(start, **options, progress=False, checkpoint=path)
    assert part.interrupted
    assert part.records == call - 1
    assert np.array_equal(part.acceptance if call > 1 else [], history.acceptance[: call - 1])
    assert len(sampler.samples[0]) == (part.samples[-1] if call > 1 else 0)
    resumed = new() if fresh else sampler
    again = resumed.train(start, **options, progress=False, checkpoint=path)
    assert np.array_equal(whole.effective.parameters, resumed.effective.parameters)
    assert np.array_equal(history.acceptance, again.acceptance)
    assert np.array_equal(whole.samples[0], resumed.samples[0])
    assert list(history.temperature) == [0.5, 0.5, 0.2, 0.2]
    with pytest.raises(pq.CheckpointError, match="seed"):
        new().train(start, **options | {"rng": 8}, progress=False, checkpoint=path)


def test_frozen_chains_are_reported(fitted):
    bad = pq.LinearSpinModel(SHAPE, 5)
    bad.couplings = 40 * np.ones(5)
    sampler = pq.SelfLearningMC(MODEL, bad, sweeps=2)
    with pytest.warns(RuntimeWarning, match="predicts an acceptance"):
        chain = sampler.run(pq.spin.random(SHAPE, rng=1), 40, rng=1, progress=False)
    assert chain.acceptance == 0
    with pytest.warns(RuntimeWarning, match="frozen at one state"):
        found = chain.estimate("magnetization")
    assert (found.error, found.tau) == (np.inf, np.inf)
    stiff = pq.SelfLearningMC(MODEL, network(fitted), sweeps=2, hmc_step_size=20.0)
    stiff.effective.couplings = 100 * stiff.effective.couplings
    with pytest.warns(RuntimeWarning, match="inner chain accepts only"):
        chain = stiff.run(pq.spin.random(SHAPE, rng=1), 40, rng=1, progress=False)
    assert chain.acceptance == 0  # proposals that equal the state do not count


def test_frozen_training_is_reported():
    """A cold start without annealing: the last round accepts nothing and says what was predicted."""
    cold = pq.SpinFermion((6, 6), J=1.0, T=0.02)
    sampler = pq.SelfLearningMC(cold, pq.LinearSpinModel((6, 6), 1), sweeps=5)
    with pytest.warns(RuntimeWarning, match=r"T = 0\.02: the chain is frozen.*predicts an acceptance of"):
        history = sampler.train(pq.spin.neel((6, 6)), rounds=1, draws=15, rng=1, progress=False)
    assert history.acceptance[-1] == 0


def test_training_does_not_depend_on_threads():
    code = (
        "import plaq as pq; S = pq.spin.random((4, 4), rng=1, count=150);"
        "w = pq.SpinFermion((4, 4), J=1.0, T=0.2).log_weight(S);"
        "n = pq.EquivariantAttention((4, 4), 2, 3, rng=1);"
        "n.fit(S, w, steps=30, batch=90, rng=1, progress=False); print(n.parameters.tobytes().hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"RAYON_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_demo_prints_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    from plaq.cli.demos.spin_fermion import spin_fermion

    lines = []
    chains = spin_fermion(lines.append, draws=25, configurations=60, steps=4, figure=tmp_path / "demo.png")
    assert next(iter(chains)) == "exact local"
    assert len(chains) == 7
    assert sum("attention" in line for line in lines) == 3
    assert (tmp_path / "demo.png").stat().st_size > 20_000


STORE = Path(__file__).parents[2] / "benches" / "physics" / "spin_fermion"


def stored(name):
    return json.loads((STORE / f"{name}.json").read_text())["rows"]


def test_stored_chains_bear_out_the_claims():
    """T = 0.05, 6x6, chains of 5000 outer steps, three seeds: acceptances and moments of the long runs."""
    rows = stored("acceptance")
    assert all(row["draws"] >= 5000 for row in rows)
    found = {(row["model"], row["seed"]): row["acceptance"] for row in rows}
    for seed in (1, 2, 3):
        for shells in (3, 9):
            names = [f"linear_{shells}", *(f"attention_{shells}_{layers}" for layers in (1, 2, 3))]
            assert np.all(np.diff([found[name, seed] for name in names]) > 0)
        for shells, expected in ((1, 0.031), (3, 0.219), (9, 0.685)):
            assert abs(found[f"linear_{shells}", seed] - expected) < 0.05
    reference = {0.20: (0.156, 0.170), 0.10: (0.166, 0.225), 0.06: (0.165, 0.420), 0.04: (0.141, 0.633)}
    for row in stored("temperatures"):
        if row["acceptance"] > 0.1:
            for name, value in zip(("magnetization", "staggered_magnetization"), reference[row["T"]], strict=True):
                assert abs(row[name][0] - value) < 3 * np.hypot(row[name][1], 0.005), row
