"""Every argument of every public name gets values of the wrong kind: what is raised is documented, nothing hangs."""

import contextlib
import functools
import inspect
import io
import math
import signal
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import plaq as pq
import pytest

A, O, R, L, N = pq.actions, pq.observables, pq.rbm, pq.lcnn, pq.nn  # noqa: E741
ALLOWED = (TypeError, ValueError, OSError, pq.Error, ImportError)
SECONDS = 5.0

BAD: dict[str, Any] = {
    "None": None,
    "NaN": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "-1": -1,
    "0": 0,
    "1": 1,
    "0.5": 0.5,
    "-0.0": -0.0,
    "5e-324": 5e-324,
    "1e308": 1e308,
    "1e16": 1e16,
    "2**31": 2**31,
    "2**63": 2**63,
    "2**64": 2**64,
    "10**400": 10**400,
    "True": True,
    "1j": 1j,
    "np.float32 NaN": np.float32("nan"),
    "np.int64 -1": np.int64(-1),
    "text": "x",
    "empty text": "",
    "bytes": b"x",
    "path with a zero byte": "a\0b",
    "[]": [],
    "()": (),
    "{}": {},
    "{1: 2}": {1: 2},
    "[None]": [None],
    "[inf]": [math.inf],
    "[-1]": [-1],
    "['x']": ["x"],
    "[[]]": [[]],
    "[1, [2]]": [1, [2]],
    "object": object(),
    "class": int,
    "lambda": lambda *_: None,
    "shape too large": (10**6,) * 4,
    "two huge extents": (2**20, 2**20),
    "(inf, 4)": (math.inf, 4),
    "(4.5, 4)": (4.5, 4),
    "(-4, 4)": (-4, 4),
    "(0, 4)": (0, 4),
    "array ()": np.array(1.0),
    "array (0,)": np.zeros(0),
    "array (3,)": np.ones(3),
    "array (2, 3)": np.zeros((2, 3)),
    "array (2, 2, 3)": np.ones((2, 2, 3)),
    "complex array": np.full((2, 2), 1j),
    "text array": np.array(["x"]),
    "object array": np.array([None, 1], object),
    "masked array": np.ma.masked_array([1.0, 2.0], [True, False]),
    "NaN array": np.full((2, 2), math.nan),
    "date array": np.array(["2000-01-01"], "datetime64[D]"),
    "dtype": np.dtype("float64"),
    "field": pq.GaugeField.cold((2, 2, 2), "SU(2)"),
    "scalar field": pq.ScalarField.zeros((2, 2)),
    "action": A.Wilson(1.0),
    "net": pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]),
    "chain": pq.Chain({"x": np.arange(3.0)}),
}

REASONS = {
    "dirac.Family": "what operators have in common: it makes none",
    "Error": "an exception takes any message",
    "CheckpointError": "an exception takes any message",
    "ConvergenceError": "an exception takes any message",
    "FormatError": "an exception takes any message",
    "ObservableError": "an exception takes any message",
    "rbm.StabilityWarning": "a warning takes any message",
    "ComplexLangevin.learn": "called by run with what tuning returned",
    "ComplexLangevin.tuned": "called by run with what tuning returned",
    "Worm.learn": "called by run with what tuning returned",
    "Worm.tuned": "called by run with what tuning returned",
    "datasets.FluxData": "a result, made by the functions beside it",
    "flux.FluxEnsemble": "a result, made by Worm.sample",
    "flux.FluxField.from_checkpoint": "takes what to_checkpoint returned",
    "flux.OpenWorms": "a result, made by open_worms",
    "flux.Reweighted": "a result, made by FluxEnsemble.reweight",
    "flux.exact.Enumeration": "a result, made by enumeration",
    "flux.exact.FreeTheory": "a result, made by free",
    "flux.exact.TransferMatrix": "a result, made by transfer_matrix",
    "Sampler": "abstract",
    "Sampler.advance": "abstract: a user's class has its own",
    "Sampler.default_observables": "a user's class has its own",
    "nn.Layer.spec": "abstract",
    "nn.from_torch": "torch is optional and tested with it",
    "nn.to_torch": "torch is optional and tested with it",
    "losses.Loss.targets": "abstract: a user's class has its own",
    "Chain.__add__": "chains are merged; says so whatever it is given",
    "Estimate.__add__": "needs a chain; says so whatever it is given",
    "StatisticsWarning": "a warning takes any message",
    **{
        f"{kind}.{name}": "called by the loop of a run"
        for kind in ("FlowProposal", "HMC", "Heatbath", "L2HMC", "ScalarMetropolis", "SelfLearningHMC")
        for name in ("learn", "tuned", "tuning")
    },
}
"""Public names with arguments that are not called, and why."""


def _series() -> np.ndarray:
    return np.random.default_rng(1).normal(size=40)


def calls() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """A working base call of every public name with arguments."""
    U = pq.GaugeField.hot((2, 2, 2), "SU(2)", rng=1)
    phi = pq.ScalarField.random((2, 2), rng=1)
    action, symanzik = A.Wilson(1.0), A.Symanzik(1.0)
    net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    chain = pq.Heatbath(action).run(U, 10, rng=1, progress=False)
    other = pq.Heatbath(action).run(U, 10, rng=2, progress=False)
    heatbath, hmc = pq.Heatbath(action), pq.HMC(action, steps=2)
    metropolis = pq.ScalarMetropolis(pq.actions.Scalar(1.0))
    mapped = A.Mapped(action, pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]))
    learner = pq.SelfLearningHMC(action, mapped, steps=2)
    run = {
        "draws": 2,
        "warmup": 0,
        "thin": 1,
        "observables": None,
        "rng": 1,
        "progress": False,
        "checkpoint": None,
        "checkpoint_every": None,
        "resume": True,
        "max_seconds": None,
    }
    step = {"seed": 1, "sweep": 0}
    ising = np.ones((4, 4), np.int8)
    even = pq.GaugeField.hot((2, 2), "U(1)", rng=1)
    masked = pq.transform.u1_2d(0.1)
    new = pq.FieldTransformHMC(action, masked, steps=2)
    size = pq.losses.TransformedForce(action)
    part = pq.losses.SubVolumeForce(action, block=(2, 2), margin=0)
    wave = pq.flows.real_nvp(pq.flows.Normal((2, 2)), couplings=1, hidden=(2,), rng=1)
    learned = pq.L2HMC(action, steps=1, hidden=(2,), size=1)
    annealed = pq.flows.StochasticFlow(wave, A.Scalar(1.0), 2, steps=1)
    proposal, values = pq.FlowProposal(wave, A.Scalar(1.0)), wave.sample(8, rng=1)
    weighted = wave.reweight(A.Scalar(1.0), 8, rng=1)
    network = {"hidden": (2,), "size": 1, "activation": N.Tanh(), "dtype": "float64", "rng": 1}
    model = pq.SpinFermion((2, 2), t=1.0, J=1.0, mu=0.0, T=0.2)
    S = pq.spin.random((2, 2), rng=1, count=8)
    W = model.log_weight(S)
    linear = pq.LinearSpinModel((2, 2), 1)
    attention = pq.EquivariantAttention((2, 2), 1, 1, rng=1)
    learning = pq.SelfLearningMC(model, linear, sweeps=1)
    gauss = pq.GaussianRBM(4, 2, mu2=6.0, rng=1)
    bern = pq.BernoulliRBM(4, 2, rng=1)
    rows = np.random.default_rng(1).normal(size=(12, 4))
    bits = (rows > 0).astype(float)
    lcnn = pq.LCNN([L.Loops(), L.LCB(3, 1), L.Trace(), L.Dense(2, 1), L.Mean()], ndim=3, group="SU(2)", rng=1)
    history = pq.History({"epoch": np.arange(3), "loss": np.arange(3.0)})
    flow = pq.smear.flow(U, 0.05, step=0.01)
    t, energy = np.linspace(0.0, 1.0, 21), np.tile(np.linspace(0.2, 1.0, 21), (12, 1))
    loss, distance, norm = pq.losses.ActionDifference(action, symanzik), pq.losses.FieldDistance([U]), None
    norm = pq.losses.ForceNorm(action)
    worm = pq.Worm((2, 2), eta=4.25, lam=1.0, mu=0.5)
    fluxes = pq.flux.FluxField.cold((2, 2))
    k, l = fluxes.k, fluxes.l  # noqa: E741
    ensemble = worm.sample(10, thin=1, warmup=1, rng=1, progress=False)
    tall = pq.Worm((2, 4), eta=4.25, lam=1.0, mu=0.5).sample(10, thin=1, warmup=1, rng=1, progress=False)
    generation = {"thin": 1, "warmup": 1, "chains": 1, "progress": False, "rng": 1}
    langevin = pq.ComplexLangevin((2, 2), eta=4.25, lam=1.0, mu=0.5, step=0.05, time=0.05)
    drifted = langevin.run(langevin.cold(), 60, rng=1, progress=False)
    data = pq.datasets.FluxData.of(ensemble)
    matrix = pq.flux.exact.transfer_matrix((3,), 4.0, 1.0, nodes=3, charges=2)
    state = model.spins if hasattr(model, "spins") else S[0]
    fokker = R.FokkerPlanck(1.0, 4.0, 0.1, cells=50)
    import matplotlib.figure

    ax = matplotlib.figure.Figure().subplots()
    look = {"label": None, "color": "red", "ax": ax}

    def fresh(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            ax.clear()
            return function(**arguments)

        return call

    fit_net = {
        "schedule": None,
        "fields": [U],
        "loss": loss,
        "optimizer": None,
        "epochs": 1,
        "batch": None,
        "validation": None,
        "patience": None,
        "rng": 0,
        "checkpoint": None,
        "progress": False,
    }
    fit_lcnn = {**fit_net, "targets": [[0.5]]}
    del fit_lcnn["loss"]
    cnn = N.Sequential([N.Conv(1, 2, 2), N.GlobalAvgPool()], ndim=2, rng=1)
    images, ndim = np.random.default_rng(1).normal(size=(3, 2, 2, 2)), {"ndim": 2}
    pool = {"size": 2, "stride": None}
    fit_cnn = {**fit_net, "x": images, "y": np.zeros((3, 2)), "loss": "mse", "translations": False}
    del fit_cnn["fields"]
    fit_machine = {
        "schedule": None,
        "validation": None,
        "patience": None,
        "checkpoint": None,
        "epochs": 1,
        "k": 1,
        "batch": 4,
        "learning_rate": 0.01,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay": 1.0,
        "decay_every": 1,
        "chains": None,
        "record_every": None,
        "progress": False,
        "resume": False,
        "rng": 1,
    }
    fit_gauss = {**fit_machine, "data": rows, "correlation": None, "kernel": None, "mean": None, "method": "exact"}
    fit_attention = {
        "spins": S,
        "log_weight": W,
        "schedule": None,
        "steps": 1,
        "batch": 4,
        "optimizer": None,
        "validation": 0.25,
        "patience": None,
        "record_every": 1,
        "refit": True,
        "progress": False,
        "checkpoint": None,
        "rng": 1,
    }
    train = {
        "state": state,
        "temperatures": None,
        "rounds": 1,
        "draws": 4,
        "ridge": 1e-3,
        "fit": None,
        "patience": None,
        "progress": False,
        "checkpoint": None,
        "rng": 1,
    }
    spins = {"spins": S}
    density = {"U": U}
    schedule = pq.optimizers.Constant()
    rate = {"learning_rate": 0.1, "schedule": schedule}
    mode = {"kappa": [1.0, 2.0], "mu2": 4.0}
    learnt = {**mode, "learning_rate": 0.01, "batch": 8, "k": 1}
    wilson = pq.dirac.Wilson(mass=0.3)
    D = wilson.on(pq.GaugeField.hot((2, 2), "U(1)", rng=1))
    four = wilson.on(pq.GaugeField.cold((2, 2, 2, 2)))
    staggered = pq.dirac.Staggered(0.5).on(pq.GaugeField.hot((2, 2), "U(1)", rng=1))
    taste = pq.dirac.Staggered(0.5).on(pq.GaugeField.cold((2, 2, 2, 2), "U(1)"))
    walls = pq.dirac.DomainWall(0.3, m5=1.0, ls=2)
    edges = walls.on(pq.GaugeField.hot((2, 2), "U(1)", rng=1))
    solve = {
        "tol": 1e-8,
        "method": "auto",
        "precision": "mixed",
        "max_iterations": 100,
        "guess": None,
        "even_odd": True,
        "deflate": None,
    }
    shifted = {"shifts": [0.1, 0.2], "tol": 1e-8, "max_iterations": 100}
    modes = {"k": 2, "which": "smallest", "of": "normal", "vectors": False, "tol": 1e-8, "degree": None}
    masses = {"csw": 0.0, "mu": 0.0, "boundary": None, "nu": 1.0, "xi": 1.0}
    table: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "HMC": (
            pq.HMC,
            {
                "action": action,
                "length": 1.0,
                "steps": 2,
                "integrator": "leapfrog",
                "levels": None,
                "on_failure": "raise",
            },
        ),
        "HMC.tune": (hmc.tune, {"state": U, "trajectories": 2, "acceptance": 0.8, "rng": 1}),
        "HMC.check": (hmc.check, {"state": U, "rng": 1}),
        "HMC.advance": (hmc.advance, {"state": U, **step}),
        "HMC.default_observables": (hmc.default_observables, {"state": U}),
        "HMC.run": (hmc.run, {"state": U, **run}),
        "HMC.step": (hmc.step, {"state": U, "rng": 1}),
        "SelfLearningHMC": (
            pq.SelfLearningHMC,
            {
                "target": action,
                "proposal": mapped,
                "length": 1.0,
                "steps": 2,
                "integrator": "leapfrog",
                "levels": None,
                "on_failure": "raise",
            },
        ),
        "SelfLearningHMC.tune": (learner.tune, {"state": U, "trajectories": 2, "acceptance": 0.8, "rng": 1}),
        "SelfLearningHMC.train": (
            learner.train,
            {
                "start": U,
                "loss": "change",
                "steps": 1,
                "batch": 1,
                "optimizer": None,
                "schedule": None,
                "validation": None,
                "patience": None,
                "checkpoint": None,
                "progress": False,
                "rng": 1,
            },
        ),
        "SelfLearningHMC.fit": (
            learner.fit,
            {
                "fields": [U, U],
                "loss": "mean_square",
                "epochs": 1,
                "batch": None,
                "optimizer": None,
                "schedule": None,
                "validation": None,
                "patience": None,
                "checkpoint": None,
                "progress": False,
                "rng": 1,
            },
        ),
        "FieldTransform": (pq.FieldTransform, {"layers": masked.layers, "recompute": False}),
        "FieldTransform.__call__": (masked, {"V": even}),
        "FieldTransform.inverse": (masked.inverse, {"U": even}),
        "FieldTransform.load": (pq.FieldTransform.load, {"path": "missing"}),
        "FieldTransform.load_parameters": (masked.load_parameters, {"path": "missing"}),
        "FieldTransform.log_det": (masked.log_det, {"V": even}),
        "FieldTransform.pullback": (masked.pullback, {"V": even, "cotangent": np.asarray(even), "log_det": -1.0}),
        "FieldTransform.save": (masked.save, {"path": "transform"}),
        "FieldTransformHMC": (
            pq.FieldTransformHMC,
            {"action": action, "transform": masked, "length": 1.0, "steps": 2, "integrator": "leapfrog"},
        ),
        "FieldTransformHMC.advance": (new.advance, {"state": even, **step}),
        "FieldTransformHMC.run": (new.run, {"state": even, **run}),
        "FieldTransformHMC.train": (new.train, {**fit_net, "fields": [even], "loss": size}),
        "L2HMC": (
            pq.L2HMC,
            {
                "action": action,
                "length": 1.0,
                "steps": 1,
                "hidden": (2,),
                "size": 1,
                "activation": pq.nn.Tanh(),
                "bound": 1.0,
                "rng": 1,
            },
        ),
        "L2HMC.advance": (learned.advance, {"state": even, **step}),
        "L2HMC.run": (learned.run, {"state": even, **run}),
        "L2HMC.fit": (
            learned.fit,
            {
                "fields": [even],
                "steps": 1,
                "jump": "charge",
                "optimizer": None,
                "schedule": None,
                "record_every": 1,
                "checkpoint": None,
                "progress": False,
                "rng": 1,
            },
        ),
        "FlowProposal": (pq.FlowProposal, {"flow": wave, "action": A.Scalar(1.0), "block": 4}),
        "FlowProposal.advance": (proposal.advance, {"state": phi, **step}),
        "FlowProposal.start": (proposal.start, {"rng": 1}),
        "flows.AffineCoupling": (
            pq.flows.AffineCoupling,
            {"parity": 0, "ndim": 2, "components": 1, "symmetric": False, "bound": 2.0, **network},
        ),
        "flows.Flow": (
            pq.flows.Flow,
            {"prior": pq.flows.Normal((2, 2)), "layers": [pq.flows.AffineCoupling(1, hidden=(2,))]},
        ),
        "flows.Flow.__call__": (wave, {"z": values}),
        "flows.Flow.fit": (
            wave.fit,
            {
                "action": A.Scalar(1.0),
                "steps": 1,
                "batch": 4,
                "gradient": "path",
                "optimizer": None,
                "schedule": None,
                "validation": 2,
                "patience": None,
                "record_every": 1,
                "checkpoint": None,
                "progress": False,
                "rng": 1,
            },
        ),
        "flows.Flow.inverse": (wave.inverse, {"x": values}),
        "flows.Flow.load": (pq.flows.Flow.load, {"path": "missing"}),
        "flows.Flow.load_parameters": (wave.load_parameters, {"path": "missing"}),
        "flows.Flow.log_det": (wave.log_det, {"z": values}),
        "flows.Flow.log_prob": (wave.log_prob, {"x": values}),
        "flows.Flow.pullback": (wave.pullback, {"z": values[0], "cotangent": values[0], "log_det": 1.0}),
        "flows.Flow.reweight": (wave.reweight, {"action": A.Scalar(1.0), "n": 4, "rng": 1}),
        "flows.Flow.sample": (wave.sample, {"n": 4, "rng": 1}),
        "flows.Flow.save": (wave.save, {"path": "flow"}),
        "flows.FreeField": (pq.flows.FreeField, {"shape": (2, 2), "mass2": 1.0, "components": 1}),
        "flows.Haar": (pq.flows.Haar, {"shape": (2, 2), "group": "U(1)"}),
        "flows.Normal": (pq.flows.Normal, {"shape": (2, 2), "components": 1, "width": 1.0}),
        "flows.PlaquetteCoupling": (
            pq.flows.PlaquetteCoupling,
            {"direction": 0, "offset": 0, "period": 3, "terms": 2, "bound": 2.0, **network},
        ),
        "flows.SpectralCoupling": (
            pq.flows.SpectralCoupling,
            {"group": "SU(2)", "direction": 0, "offset": 0, "period": 3, "terms": 2, "bound": 2.0, **network},
        ),
        "flows.StochasticFlow": (
            pq.flows.StochasticFlow,
            {
                "flow": wave,
                "action": A.Scalar(1.0),
                "fractions": [0.5, 1.0],
                "updates": 1,
                "length": 1.0,
                "steps": 1,
                "integrator": "leapfrog",
            },
        ),
        "flows.StochasticFlow.fit": (
            annealed.fit,
            {
                "steps": 1,
                "batch": 4,
                "optimizer": None,
                "schedule": None,
                "validation": 2,
                "patience": None,
                "record_every": 1,
                "checkpoint": None,
                "progress": False,
                "rng": 1,
            },
        ),
        "flows.StochasticFlow.reweight": (annealed.reweight, {"n": 4, "rng": 1}),
        "flows.WeightedSamples": (
            pq.flows.WeightedSamples,
            {"fields": weighted.fields, "log_prob": weighted.log_prob, "action": weighted.action, "acceptance": None},
        ),
        "flows.WeightedSamples.mean": (weighted.mean, {"observable": np.mean}),
        "flows.real_nvp": (
            pq.flows.real_nvp,
            {"prior": pq.flows.Normal((2, 2)), "couplings": 1, "symmetric": True, **network},
        ),
        "flows.u1_2d": (pq.flows.u1_2d, {"shape": (3, 3), "sweeps": 1, "period": 3, "terms": 1, **network}),
        "flows.su_2d": (
            pq.flows.su_2d,
            {"shape": (3, 3), "group": "SU(2)", "sweeps": 1, "period": 3, "terms": 1, **network},
        ),
        "ScalarMetropolis": (pq.ScalarMetropolis, {"action": pq.actions.Scalar(1.0), "width": 1.0, "hits": 1}),
        "ScalarMetropolis.advance": (metropolis.advance, {"state": phi, **step}),
        "ScalarMetropolis.run": (metropolis.run, {"state": phi, **run}),
        "Heatbath": (pq.Heatbath, {"action": action, "overrelaxation": 0}),
        "Heatbath.advance": (heatbath.advance, {"state": U, **step}),
        "Heatbath.run": (heatbath.run, {"state": U, **run}),
        "LCNN": (pq.LCNN, {"layers": [L.Loops(), L.Trace()], "ndim": 2, "group": "SU(2)", "rng": 1}),
        "LCNN.__call__": (lcnn, {"U": U}),
        "LCNN.action": (lcnn.action, {"coefficient": 1.0, "channel": 0}),
        "LCNN.fit": (lcnn.fit, fit_lcnn),
        "LCNN.load": (pq.LCNN.load, {"path": "missing"}),
        "LCNN.load_parameters": (lcnn.load_parameters, {"path": "missing"}),
        "LCNN.loss": (lcnn.loss, {"fields": [U], "targets": [[0.5]]}),
        "LCNN.pullback": (lcnn.pullback, {"U": U, "cotangent": np.ones(1)}),
        "LCNN.save": (lcnn.save, {"path": "lcnn"}),
        "AttentionLayer": (
            pq.AttentionLayer,
            {"loops": ["plaquette"], "rho": [[0.1], [0.1], [0.1]], "reach": 3, "form": "score"},
        ),
        "StoutLayer": (
            pq.StoutLayer,
            {"loops": ["plaquette"], "rho": [0.1], "directions": None, "per_direction": None},
        ),
        "BernoulliRBM": (
            pq.BernoulliRBM,
            {
                "n_visible": 4,
                "n_hidden": 2,
                "visible": "bernoulli",
                "hidden": "spin",
                "mu2": 1.0,
                "sigma2_h": 1.0,
                "weight_scale": 0.1,
                "dtype": "float64",
                "rng": 1,
            },
        ),
        "BernoulliRBM.fit": (bern.fit, {**fit_machine, "data": bits, "method": "cd"}),
        "BernoulliRBM.free_energy": (bern.free_energy, {"visible": bits}),
        "BernoulliRBM.load": (pq.BernoulliRBM.load, {"path": "missing"}),
        "BernoulliRBM.log_likelihood": (bern.log_likelihood, {"data": bits}),
        "BernoulliRBM.reconstruct": (bern.reconstruct, {"data": bits}),
        "BernoulliRBM.sample": (bern.sample, {"n": 2, "steps": 2, "start": None, "rng": 1, "every": None}),
        "BernoulliRBM.save": (bern.save, {"path": "bernoulli"}),
        "GaussianRBM": (
            pq.GaussianRBM,
            {
                "n_visible": 4,
                "n_hidden": 2,
                "mu2": 6.0,
                "sigma2_h": 1.0,
                "eta": None,
                "mass": "fixed",
                "weight_scale": 0.1,
                "dtype": "float64",
                "rng": 1,
            },
        ),
        "GaussianRBM.fit": (gauss.fit, {**fit_gauss, "train_eta": False, "safe": False}),
        "GaussianRBM.load": (pq.GaussianRBM.load, {"path": "missing"}),
        "GaussianRBM.log_likelihood": (gauss.log_likelihood, {"data": rows}),
        "GaussianRBM.optimum": (gauss.optimum, {"correlation": np.eye(4)}),
        "GaussianRBM.reconstruct": (gauss.reconstruct, {"data": rows}),
        "GaussianRBM.sample": (
            gauss.sample,
            {"n": 2, "steps": 2, "start": None, "rng": 1, "every": None, "method": "gibbs"},
        ),
        "Chain": (
            pq.Chain,
            {
                "draws": {"x": [1.0, 2.0]},
                "info": None,
                "state": None,
                "seed": 0,
                "sweep": 0,
                "warmup": 0,
                "thin": 1,
                "fingerprint": None,
                "interrupted": False,
                "incomplete": False,
                "tuned": None,
                "replicas": (),
            },
        ),
        "Chain.obs": (chain.obs, {"name": "plaquette"}),
        "Chain.r_hat": (chain.r_hat, {"name": "plaquette"}),
        "merge": (pq.merge, {"chains": [chain, other]}),
        "Job": (
            pq.Job,
            {"sampler": heatbath, "state": U, "draws": 2, "warmup": 0, "thin": 1, "observables": None},
        ),
        "run_many": (
            pq.run_many,
            {
                "jobs": [pq.Job(heatbath, U, 2)],
                "executor": None,
                "chains": 1,
                "folder": "runs",
                "retries": 0,
                "progress": False,
                "rng": 1,
            },
        ),
        "Chain.__getitem__": (lambda name: chain[name], {"name": "plaquette"}),
        "Chain.estimate": (chain.estimate, {"name": "plaquette", "f": None, "tau_exp": None}),
        "Chain.load": (pq.Chain.load, {"path": "missing"}),
        "Chain.plot": (chain.plot, {"names": ["plaquette"]}),
        "Chain.save": (chain.save, {"path": "chain"}),
        "Chain.to_pyerrors": (chain.to_pyerrors, {"ensemble": None}),
        "CovariantNet": (pq.CovariantNet, {"layers": [pq.StoutLayer(["plaquette"])], "recompute": False}),
        "CovariantNet.__call__": (net, {"U": U}),
        "CovariantNet.fit": (net.copy().fit, fit_net),
        "CovariantNet.load": (pq.CovariantNet.load, {"path": "missing"}),
        "CovariantNet.load_parameters": (net.load_parameters, {"path": "missing"}),
        "CovariantNet.pullback": (net.pullback, {"U": U, "cotangent": np.asarray(U)}),
        "CovariantNet.save": (net.save, {"path": "net"}),
        "EquivariantAttention": (
            pq.EquivariantAttention,
            {"shape": (2, 2), "layers": 1, "shells": 1, "coupling_shells": None, "rng": 1, "block": "relu"},
        ),
        "EquivariantAttention.effective_spins": (attention.effective_spins, spins),
        "EquivariantAttention.features": (attention.features, spins),
        "EquivariantAttention.fit": (attention.fit, fit_attention),
        "EquivariantAttention.fit_couplings": (attention.fit_couplings, {**spins, "log_weight": W, "ridge": 0.0}),
        "EquivariantAttention.gradient": (attention.gradient, spins),
        "EquivariantAttention.load": (pq.EquivariantAttention.load, {"path": "missing"}),
        "EquivariantAttention.load_weights": (attention.load_weights, {"path": "missing"}),
        "EquivariantAttention.log_weight": (attention.log_weight, spins),
        "EquivariantAttention.mean_square_error": (attention.mean_square_error, {**spins, "log_weight": W}),
        "EquivariantAttention.on": (attention.on, {"shape": (2, 2)}),
        "EquivariantAttention.parameter_gradient": (attention.parameter_gradient, spins),
        "EquivariantAttention.save": (attention.save, {"path": "attention"}),
        "EquivariantAttention.with_layer": (attention.with_layer, {"block": "relu", "rng": 1}),
        "LinearSpinModel": (pq.LinearSpinModel, {"shape": (2, 2), "shells": 1}),
        "LinearSpinModel.load": (pq.LinearSpinModel.load, {"path": "missing"}),
        "LinearSpinModel.on": (linear.on, {"shape": (2, 2)}),
        "LinearSpinModel.fit": (linear.fit, {**spins, "log_weight": W, "ridge": 0.0, "validation": None}),
        "Estimate": (
            lambda **a: str(pq.Estimate(**a)),
            {"mean": 1.0, "error": 0.1, "tau": 0.5, "tau_error": 0.1},
        ),
        "GaugeField": (lambda **a: repr(pq.GaugeField(**a)), {"core": U._core, "header": None, "violation": 0.0}),
        "GaugeField.inside": (U.inside, {"what": "an action", "open_too": False}),
        "GaugeField.__array__": (U.__array__, {"dtype": None, "copy": None}),
        "GaugeField.cold": (pq.GaugeField.cold, {"shape": (2, 2), "group": "SU(2)"}),
        "GaugeField.from_numpy": (pq.GaugeField.from_numpy, {"array": np.asarray(U), "allow_nonunitary": False}),
        "GaugeField.gauge_transform": (U.gauge_transform, {"g": np.tile(np.eye(2), (2, 2, 2, 1, 1))}),
        "GaugeField.hot": (pq.GaugeField.hot, {"shape": (2, 2), "group": "SU(2)", "rng": 1}),
        "GaugeField.random_gauge_transform": (U.random_gauge_transform, {"rng": 1}),
        "GaugeField.write": (
            U.write,
            {"path": "u.npz", "format": None, "precision": 64, "rows": None, "allow_nonunitary": False, "title": "x"},
        ),
        "ScalarField": (lambda **a: repr(pq.ScalarField(**a)), {"core": phi._core}),
        "ScalarField.__array__": (phi.__array__, {"dtype": None, "copy": None}),
        "ScalarField.from_numpy": (pq.ScalarField.from_numpy, {"array": np.asarray(phi)}),
        "ScalarField.random": (pq.ScalarField.random, {"shape": (2, 2), "components": 1, "rng": 1}),
        "ScalarField.zeros": (pq.ScalarField.zeros, {"shape": (2, 2), "components": 1}),
        "History": (pq.History, {"columns": {"loss": [1.0]}, "interrupted": False, "kept": None}),
        "History.__getitem__": (lambda name: history[name], {"name": "loss"}),
        "History.get": (history.get, {"key": "loss", "default": None}),
        "History.load": (pq.History.load, {"path": "missing"}),
        "History.save": (history.save, {"path": "history"}),
        "SelfLearningMC": (
            pq.SelfLearningMC,
            {
                "model": model,
                "effective": linear,
                "sweeps": 1,
                "overrelaxation": 1,
                "inner": "auto",
                "width": 0.8,
                "hmc_steps": 2,
                "hmc_step_size": 0.2,
            },
        ),
        "SelfLearningMC.advance": (learning.advance, {"state": state, **step}),
        "SelfLearningMC.at": (learning.at, {"T": 0.3}),
        "SelfLearningMC.default_observables": (learning.default_observables, {"state": state}),
        "SelfLearningMC.propose": (learning.propose, {"state": state, "rng": 1}),
        "SelfLearningMC.run": (learning.run, {"state": state, **run}),
        "SelfLearningMC.step": (learning.step, {"state": state, "rng": 1}),
        "SelfLearningMC.train": (learning.train, train),
        "SpinFermion": (pq.SpinFermion, {"shape": (2, 2), "t": 1.0, "J": 1.0, "mu": 0.0, "T": 0.2}),
        "SpinFermion.at": (model.at, {"T": 0.2, "t": None, "J": None, "mu": None}),
        "SpinFermion.energies": (model.energies, spins),
        "SpinFermion.hamiltonian": (model.hamiltonian, spins),
        "SpinFermion.log_weight": (model.log_weight, spins),
        "SpinMetropolis": (
            pq.SpinMetropolis,
            {"model": model, "sweeps": 1, "hits": 1, "width": 0.8, "tolerance": 0.004},
        ),
        "SpinMetropolis.advance": (pq.SpinMetropolis(model).advance, {"state": state, **step}),
        "SpinMetropolis.run": (pq.SpinMetropolis(model, sweeps=1).run, {"state": state, **run}),
        "read_gauge": (
            pq.read_gauge,
            {
                "path": "u.npz",
                "format": None,
                "shape": None,
                "group": None,
                "allow_nonunitary": False,
                "ignore_checksum": False,
            },
        ),
        "read_header": (pq.read_header, {"path": "u.npz", "format": None, "shape": None, "group": None}),
        "set_num_threads": (pq.set_num_threads, {"threads": 2}),
        **{f"actions.{kind}": (getattr(A, kind), {"beta": 1.0}) for kind in ("Wilson", "Symanzik", "Iwasaki", "DBW2")},
        "actions.DBW2.__add__": (lambda other: action + other, {"other": symanzik}),
        "actions.DBW2.__call__": (action, {"U": U}),
        "actions.DBW2.force": (action.force, {"U": U}),
        "actions.Pseudofermion": (
            A.Pseudofermion,
            {
                "dirac": wilson,
                "n_flavors": 2,
                "tol": 1e-10,
                "force_tol": 1e-8,
                "max_iterations": 100,
                "spectral_range": None,
                "hasenbusch": (0.5,),
                "over": None,
                "precision": "mixed",
                "chronological": 2,
            },
        ),
        "dirac.Family.with_mass": (wilson.with_mass, {"value": 0.5}),
        "dirac.Wilson.with_mass": (wilson.with_mass, {"value": 0.5}),
        "dirac.Staggered.with_mass": (pq.dirac.Staggered(0.3).with_mass, {"value": 0.5}),
        "dirac.DomainWall.with_mass": (pq.dirac.DomainWall(0.1, 1.4, 4).with_mass, {"value": 0.5}),
        "dirac.Wilson": (lambda **a: pq.dirac.Wilson(**a), {"mass": 0.3, "kappa": None, **masses}),
        "dirac.Staggered": (pq.dirac.Staggered, {"mass": 0.3, "boundary": None, "fat": U, "long": U}),
        "dirac.DomainWall": (
            pq.dirac.DomainWall,
            {"mass": 0.3, "m5": 1.0, "ls": 2, "b": 1.0, "c": 0.0, "boundary": None},
        ),
        "dirac.DomainWall.on": (walls.on, {"U": pq.GaugeField.hot((2, 2), "U(1)", rng=1)}),
        "dirac.DomainWall.kernel": (walls.kernel, {}),
        "dirac.DomainWallOperator": (
            pq.dirac.DomainWallOperator,
            {"family": walls, "U": pq.GaugeField.hot((2, 2), "U(1)", rng=1)},
        ),
        "dirac.DomainWallOperator.eigenvalues": (edges.eigenvalues, {**modes, "max_applications": 1000}),
        "dirac.DomainWallOperator.noise": (edges.noise, {"n": 2, "kind": "Z2", "dilute": ("time",), "rng": 1}),
        "dirac.DomainWallOperator.propagator": (edges.propagator, {"source": "point", "at": None}),
        "dirac.DomainWallOperator.smear": (
            edges.smear,
            {"psi": edges.source(), "alpha": 0.25, "steps": 2, "links": None, "kind": "gaussian"},
        ),
        "dirac.DomainWallOperator.solve_shifted": (edges.solve_shifted, {"b": np.ones(edges.shape), **shifted}),
        "dirac.DomainWallOperator.solve": (edges.solve, {"b": np.ones(edges.shape), **solve}),
        "dirac.DomainWallOperator.source": (
            edges.source,
            {"kind": "wall", "at": None, "spin": 0, "color": 0, "momentum": None},
        ),
        "dirac.DomainWallOperator.sources": (edges.sources, {"kind": "wall", "at": None, "momentum": (1,)}),
        "dirac.DomainWallOperator.at_walls": (edges.at_walls, {"psi": np.ones(edges.shape)}),
        "dirac.DomainWallOperator.boundary": (edges.boundary, {"eta": edges.source()}),
        "dirac.DomainWallOperator.effective": (edges.effective, {}),
        "dirac.DomainWallOperator.midpoint": (edges.midpoint, {"psi": np.ones(edges.shape)}),
        "dirac.DomainWallOperator.quark_field": (edges.quark_field, {"b": edges.source()}),
        "dirac.EffectiveOperator": (pq.dirac.EffectiveOperator, {"D": edges}),
        "dirac.EffectiveOperator.solve": (edges.effective().solve, {"b": edges.source()}),
        "dirac.Operator.quark_field": (D.quark_field, {"b": D.source()}),
        "dirac.read_propagator": (pq.dirac.read_propagator, {"path": "missing", "D": D}),
        "dirac.write_propagator": (pq.dirac.write_propagator, {"path": "quark", "G": D.sources(), "D": D}),
        "dirac.Family.on": (wilson.on, {"U": pq.GaugeField.hot((2, 2), "U(1)", rng=1)}),
        "dirac.Wilson.bare_mass": (wilson.bare_mass, {"ndim": 4}),
        "dirac.Adjoint": (pq.dirac.Adjoint, {"operator": D}),
        "dirac.Operator": (pq.dirac.Operator, {"family": wilson, "U": pq.GaugeField.hot((2, 2), "U(1)", rng=1)}),
        "dirac.Operator.propagator": (D.propagator, {"source": "point", "at": None}),
        "dirac.Operator.solve_shifted": (D.solve_shifted, {"b": D.source(), **shifted}),
        "dirac.Operator.solve": (D.solve, {"b": D.source(), **solve}),
        "dirac.Operator.source": (D.source, {"kind": "wall", "at": None, "spin": 0, "color": 0, "momentum": None}),
        "dirac.Operator.sources": (D.sources, {"kind": "wall", "at": None, "momentum": (1,)}),
        "dirac.Operator.smear": (
            D.smear,
            {"psi": D.source(), "alpha": 0.25, "steps": 2, "links": None, "kind": "jacobi"},
        ),
        "dirac.Operator.noise": (D.noise, {"n": 2, "kind": "Z2", "dilute": ("time",), "rng": 1}),
        "dirac.Operator.eigenvalues": (D.eigenvalues, {**modes, "max_applications": 1000}),
        "dirac.Spectrum": (
            pq.dirac.Spectrum,
            {
                "of": "normal",
                "values": np.zeros(1),
                "residuals": np.zeros(1),
                "scale": 1.0,
                "degree": 0,
                "restarts": 0,
                "applications": 0,
                "seconds": 0.0,
                "vectors": None,
            },
        ),
        "dirac.SolveInfo": (
            pq.dirac.SolveInfo,
            {"method": "", "iterations": 0, "applications": 0, "residual": 0.0, "seconds": 0.0, "history": np.zeros(1)},
        ),
        "observables.pion_correlator": (O.pion_correlator, {"D": D, "source": None}),
        "observables.meson_correlator": (
            O.meson_correlator,
            {"D": D, "gamma_source": "5", "gamma_sink": "5", "source": None, "momentum": (1,)},
        ),
        "observables.nucleon_correlator": (
            O.nucleon_correlator,
            {"D": four, "source": four.propagator()[0], "parity": 1, "momentum": None},
        ),
        "observables.pcac_mass": (O.pcac_mass, {"D": D, "source": None}),
        "observables.residual_mass": (O.residual_mass, {"D": edges, "sources": edges.sources()}),
        "observables.staggered_correlator": (
            O.staggered_correlator,
            {"D": taste, "gamma": "5", "source": None, "momentum": None},
        ),
        "observables.effective_mass_error": (
            O.effective_mass_error,
            {"correlators": [[2.0, 1.0], [2.1, 1.0]], "form": "log"},
        ),
        "observables.chiral_condensate": (O.chiral_condensate, {"D": staggered, "noise": "Z2", "n_noise": 2, "rng": 1}),
        "observables.effective_mass": (O.effective_mass, {"correlator": [2.0, 1.0], "form": "log"}),
        "actions.Custom": (
            A.Custom,
            {"value_and_force": lambda links: (0.0, 0 * links), "name": "", "field_class": pq.GaugeField},
        ),
        "actions.Loops": (A.Loops, {"coefficients": [(1.0, "plaquette")]}),
        "actions.Mapped": (A.Mapped, {"action": action, "net": net}),
        "actions.Scalar": (A.Scalar, {"mass2": 1.0, "lam": 0.0}),
        "actions.Scaled": (A.Scaled, {"action": action, "coefficient": 1.0, "trainable": True}),
        "actions.Scaled.with_parameters": (A.Scaled(action).with_parameters, {"values": [1.0]}),
        "actions.DBW2.with_parameters": (action.with_parameters, {"values": []}),
        "actions.Mapped.with_parameters": (mapped.with_parameters, {"values": mapped.parameters}),
        "actions.Sum.with_parameters": (
            (mapped + mapped).with_parameters,
            {"values": np.zeros(2 * len(mapped.parameters))},
        ),
        "actions.Sum": (lambda parts: A.Sum(parts)(U), {"parts": (action, symanzik)}),
        "datasets.Configuration": (pq.datasets.Configuration, {"sha256": "", "description": "", "plaquette": 0.5}),
        "datasets.digits": (pq.datasets.digits, {"labels": False}),
        "datasets.gauge": (pq.datasets.gauge, {"name": "lat.sample.l4448"}),
        "datasets.mnist": (pq.datasets.mnist, {"path": "missing", "key": None}),
        "datasets.path": (pq.datasets.path, {"name": "lat.sample.l4448"}),
        "datasets.results": (pq.datasets.results, {"name": "dyson"}),
        "ComplexLangevin": (
            pq.ComplexLangevin,
            {"shape": (2, 2), "eta": 4.25, "lam": 1.0, "mu": 0.5, "step": 0.05, "time": 0.05},
        ),
        "ComplexLangevin.advance": (langevin.advance, {"state": langevin.cold(), **step}),
        "ComplexLangevin.default_observables": (langevin.default_observables, {"state": langevin.cold()}),
        "ComplexLangevin.density": (langevin.density, {"state": langevin.cold()}),
        "ComplexLangevin.diagnose": (langevin.diagnose, {"chain": drifted}),
        "ComplexLangevin.drift": (langevin.drift, {"state": langevin.cold()}),
        "ComplexLangevin.phi2": (langevin.phi2, {"state": langevin.cold()}),
        "ComplexLangevin.run": (langevin.run, {"state": langevin.cold(), **run}),
        "ComplexLangevin.step": (langevin.step, {"state": langevin.cold(), "rng": 1}),
        "ComplexLangevin.tuning": (langevin.tuning, {"state": langevin.cold(), "seed": 1}),
        "Worm": (
            pq.Worm,
            {"shape": (2, 2), "eta": 4.25, "lam": 1.0, "mu": 0.5, "visits": None, "log_open": None},
        ),
        "Worm.advance": (worm.advance, {"state": fluxes, **step}),
        "Worm.default_observables": (worm.default_observables, {"state": fluxes}),
        "Worm.run": (worm.run, {"state": fluxes, **run}),
        "Worm.sample": (
            worm.sample,
            {"n": 2, "thin": 1, "warmup": 1, "chains": 1, "start": None, "progress": False, "rng": 1},
        ),
        "Worm.step": (worm.step, {"state": fluxes, "rng": 1}),
        "Worm.tuning": (worm.tuning, {"state": fluxes, "seed": 1}),
        "datasets.FluxData.load": (pq.datasets.FluxData.load, {"path": "missing"}),
        "datasets.FluxData.of": (pq.datasets.FluxData.of, {"ensemble": ensemble}),
        "datasets.FluxData.save": (data.save, {"path": "fluxes.npz"}),
        "datasets.flux_counting": (
            pq.datasets.flux_counting,
            {"n": 2, "shape": (2, 2), "worms": [0, 1], "parameters": [(4.25, 1.0)], "lam": 1.0, **generation},
        ),
        "datasets.flux_regression": (
            pq.datasets.flux_regression,
            {"n": 2, "shape": (2, 2), "eta": 4.01, "lam": 1.0, "mu": 1.0, **generation},
        ),
        "datasets.flux_violation": (
            pq.datasets.flux_violation,
            {"n": 2, "shape": (2, 2), "parameters": [(4.25, 1.0)], "lam": 1.0, "violated": 0.5, **generation},
        ),
        "flux.FluxField": (pq.flux.FluxField, {"k": k, "l": l}),
        "flux.FluxField.__array__": (fluxes.__array__, {"dtype": None, "copy": None}),
        "flux.FluxField.cold": (pq.flux.FluxField.cold, {"shape": (2, 2)}),
        "flux.FluxEnsemble.effective_mass": (tall.effective_mass, {"t": 1}),
        "flux.FluxEnsemble.reweight": (ensemble.reweight, {"mu": 0.6}),
        "flux.charge": (pq.flux.charge, {"k": k, "ndim": None}),
        "flux.density": (pq.flux.density, {"k": k, "ndim": None}),
        "flux.divergence": (pq.flux.divergence, {"k": k, "ndim": None}),
        "flux.exact.TransferMatrix.density": (matrix.density, {"mu": 0.1}),
        "flux.exact.TransferMatrix.log_partition": (matrix.log_partition, {"mu": 0.1}),
        "flux.exact.TransferMatrix.phi_squared": (matrix.phi_squared, {"mu": 0.1}),
        "flux.exact.TransferMatrix.probabilities": (matrix.probabilities, {"mu": 0.1}),
        "flux.exact.enumeration": (pq.flux.exact.enumeration, {"eta": 4.0, "lam": 1.0, "mu": 0.1, "most": 6}),
        "flux.exact.free": (pq.flux.exact.free, {"shape": (2, 2), "eta": 5.0, "mu": 0.1}),
        "flux.exact.transfer_matrix": (
            pq.flux.exact.transfer_matrix,
            {"shape": (3,), "eta": 4.0, "lam": 1.0, "nodes": 3, "charges": 2, "spread": 2},
        ),
        "flux.field_phi_squared": (pq.flux.field_phi_squared, {"phi": pq.ScalarField.zeros((2, 2), 2)}),
        "flux.neutral_action": (pq.flux.neutral_action, {"eta": 5.0, "lam": 1.0, "ndim": 2}),
        "flux.log_weight": (pq.flux.log_weight, {"k": k, "l": l, "eta": 4.0, "lam": 1.0, "mu": 0.1, "ndim": None}),
        "flux.occupation": (pq.flux.occupation, {"k": k, "l": l, "ndim": None}),
        "flux.open_worms": (
            pq.flux.open_worms,
            {"k": k, "l": l, "n": 1, "rng": 1, "steps": None, "ndim": None},
        ),
        "flux.phi_squared": (pq.flux.phi_squared, {"k": k, "l": l, "eta": 4.0, "lam": 1.0, "ndim": None}),
        "ising.Metropolis": (pq.ising.Metropolis, {"beta": 0.2}),
        "ising.Metropolis.advance": (pq.ising.Metropolis(0.2).advance, {"state": ising, **step}),
        "ising.Metropolis.default_observables": (pq.ising.Metropolis(0.2).default_observables, {"state": ising}),
        "ising.Metropolis.run": (pq.ising.Metropolis(0.2).run, {"state": ising, **run}),
        "ising.Wolff": (pq.ising.Wolff, {"beta": 0.2, "clusters": 1}),
        "ising.energy": (pq.ising.energy, {"spins": ising}),
        "ising.magnetization": (pq.ising.magnetization, {"spins": ising}),
        "ising.onsager_energy": (pq.ising.onsager_energy, {"beta": 0.2}),
        "ising.sample": (
            pq.ising.sample,
            {"shape": (4, 4), "beta": 0.2, "n": 2, "thin": 1, "warmup": 1, "method": "wolff", "rng": 1},
        ),
        "lcnn.LCB": (L.LCB, {"inputs": 2, "outputs": 2, "kernel": 2, "both": False, "centre": True}),
        "lcnn.LConv": (L.LConv, {"inputs": 2, "outputs": 2, "kernel": 2, "both": False, "centre": True}),
        "lcnn.Dense": (L.Dense, {"inputs": 2, "outputs": 2, "function": "identity"}),
        "lcnn.LAct": (L.LAct, {"function": "relu"}),
        "lcnn.LBilin": (L.LBilin, {"inputs": 2, "outputs": 2}),
        "lcnn.LExp": (L.LExp, {"inputs": 2}),
        "lcnn.Loops": (L.Loops, {"plaquettes": True, "polyakov": ()}),
        "losses.ActionDifference": (
            lambda **a: net.copy().fit([U], pq.losses.ActionDifference(**a), epochs=1, progress=False),
            {"action": action, "target": symanzik, "form": "mean_square"},
        ),
        "losses.FieldDistance": (
            lambda **a: net.copy().fit([U], pq.losses.FieldDistance(**a), epochs=1, progress=False),
            {"target": [U]},
        ),
        "losses.ForceNorm": (
            lambda **a: net.copy().fit([U], pq.losses.ForceNorm(**a), epochs=1, progress=False),
            {"action": action, "target": None, "power": 2},
        ),
        "losses.TransformedForce": (
            lambda **a: pq.losses.TransformedForce(**a).of_batch(masked, [even], [None]),
            {"action": action, "target": None, "norms": {2: 1.0}, "largest": 0.0, "log_mean_exp": 0.0},
        ),
        "losses.SubVolumeForce": (
            lambda **a: pq.losses.SubVolumeForce(**a).of_batch(masked, [even], [even]),
            {
                "action": action,
                "target": None,
                "norms": {2: 1.0},
                "largest": 0.0,
                "log_mean_exp": 0.0,
                "block": (2, 2),
                "margin": 0,
                "rng": 0,
            },
        ),
        "losses.SubVolumeForce.of_batch": (part.of_batch, {"net": masked, "fields": [even], "targets": [even]}),
        "losses.SubVolumeForce.targets": (part.targets, {"fields": [even]}),
        "losses.TransformedForce.of_batch": (size.of_batch, {"net": masked, "fields": [even], "targets": [None]}),
        "losses.TransformedForce.targets": (size.targets, {"fields": [even]}),
        "losses.ActionDifference.of_batch": (
            loss.of_batch,
            {"net": net, "fields": [U], "targets": loss.targets([U])},
        ),
        "losses.Loss.of_batch": (
            functools.partial(pq.losses.Loss.of_batch, norm),
            {"net": net, "fields": [U], "targets": [None]},
        ),
        "losses.ActionDifference.of_field": (loss.of_field, {"net": net, "field": U, "target": loss.targets([U])[0]}),
        "losses.ActionDifference.targets": (loss.targets, {"fields": [U]}),
        "losses.FieldDistance.of_batch": (distance.of_batch, {"net": net, "fields": [U], "targets": [U]}),
        "losses.FieldDistance.targets": (pq.losses.FieldDistance([U]).targets, {"fields": [U]}),
        "losses.ForceNorm.of_batch": (norm.of_batch, {"net": net, "fields": [U], "targets": norm.targets([U])}),
        "losses.ForceNorm.targets": (norm.targets, {"fields": [U]}),
        "transform.StoutMask": (
            pq.transform.StoutMask,
            {
                "coefficients": [0.01],
                "loops": ["plaquette"],
                "ndim": 2,
                "mask": None,
                "direction": None,
                "subset": None,
                "network": None,
                "inputs": ["plaquette"],
                "bound": None,
            },
        ),
        "transform.trivializing": (
            pq.transform.trivializing,
            {"beta": 0.1, "group": "SU(2)", "ndim": 2, "sweeps": 1},
        ),
        "transform.Transformed": (pq.transform.Transformed, {"action": action, "transform": masked}),
        **{
            f"transform.{name}": (
                getattr(pq.transform, name),
                {"coefficients": 0.01, "loops": ["plaquette"], "sweeps": 1, **more},
            )
            for name, more in (("su3_4d", {}), ("u1_2d", {"channels": None, "rng": 1}))
        },
        **{
            f"observables.{name}": (getattr(O, name), density)
            for name in ("plaquette", "plaquette_density", "plaquettes", "rectangle", "rectangle_density")
        },
        **{
            f"observables.{name}": (getattr(O, name), {**density, "definition": "clover"})
            for name in ("energy_density", "energy_density_density")
        },
        **{
            f"observables.{name}": (
                getattr(O, name),
                {"U": pq.GaugeField.cold((2, 2), "U(1)"), "definition": "geometric"},
            )
            for name in ("topological_charge", "topological_charge_density")
        },
        **{
            f"observables.{name}": (getattr(O, name), {**density, "path": [1, 2, -1, -2]})
            for name in ("loop", "loop_density")
        },
        **{
            f"observables.{name}": (getattr(O, name), {**density, "direction": -1})
            for name in ("polyakov", "polyakov_density")
        },
        "observables.wilson_loop": (O.wilson_loop, {**density, "r": 1, "t": 1}),
        "optimizers.SGD": (
            lambda **a: pq.optimizers.SGD(**a).start(2),
            {**rate, "momentum": 0.0, "nesterov": False},
        ),
        "nn.AvgPool": (N.AvgPool, pool),
        "nn.AvgPool.spec": (N.AvgPool(2).spec, ndim),
        "nn.BinaryCrossEntropy.check": (N.BinaryCrossEntropy().check, {"targets": np.zeros(2)}),
        "nn.Conv": (N.Conv, {"size": 2, "c_in": 1, "c_out": 2, "bias": True, "stride": 1, "dilation": 1}),
        "nn.Conv.spec": (N.Conv(1, 1, 1).spec, ndim),
        "nn.Flatten.spec": (N.Flatten().spec, ndim),
        "nn.GELU.spec": (N.GELU().spec, ndim),
        "nn.GlobalAvgPool.spec": (N.GlobalAvgPool().spec, ndim),
        "nn.GroupConv": (
            N.GroupConv,
            {
                "size": 3,
                "inputs": {"vector": 1},
                "outputs": {"scalar": 1},
                "bias": True,
                "group": "full",
                "directions": [0, 1],
            },
        ),
        "nn.GroupConv.channels": (N.GroupConv(3, {"vector": 1}, {"scalar": 1}).channels, ndim),
        "nn.GroupConv.spec": (N.GroupConv(3, {"vector": 1}, {"scalar": 1}).spec, ndim),
        "nn.Huber": (N.Huber, {"delta": 1.0}),
        "nn.LeakyReLU": (N.LeakyReLU, {"slope": 0.1}),
        "nn.LeakyReLU.spec": (N.LeakyReLU().spec, ndim),
        "nn.Linear": (N.Linear, {"inputs": 2, "outputs": 1, "bias": True}),
        "nn.Linear.spec": (N.Linear(1, 1).spec, ndim),
        "nn.MSE.check": (N.MSE().check, {"targets": np.zeros(2)}),
        "nn.MaxPool": (N.MaxPool, pool),
        "nn.Residual": (N.Residual, {"layers": [N.Tanh()]}),
        "nn.Residual.spec": (N.Residual([N.Tanh()]).spec, ndim),
        "nn.Sequential": (N.Sequential, {"layers": [N.Tanh()], "ndim": 2, "dtype": "float64", "rng": 1}),
        "nn.Sequential.__call__": (cnn, {"x": images}),
        "nn.Sequential.apply": (cnn.apply, {"parameters": cnn.parameters, "x": images}),
        "nn.Sequential.fit": (cnn.fit, fit_cnn),
        "nn.Sequential.initialize": (cnn.initialize, {"rng": 1}),
        "nn.Sequential.load": (N.Sequential.load, {"path": "missing"}),
        "nn.Sequential.load_parameters": (cnn.load_parameters, {"path": "missing"}),
        "nn.Sequential.loss": (cnn.loss, {"x": images, "y": np.zeros((3, 2)), "loss": "mse"}),
        "nn.Sequential.pullback": (cnn.pullback, {"x": images, "cotangent": np.zeros((3, 2))}),
        "nn.Sequential.save": (cnn.save, {"path": "cnn"}),
        "nn.SumPool": (N.SumPool, pool),
        "nn.Zoo.__getitem__": (lambda name: N.zoo.build(name), {"name": "task3/ST2"}),
        "nn.Zoo.build": (N.zoo.build, {"name": "task3/ST2", "dtype": "float32", "rng": 1}),
        "optimizers.AMSGrad": (
            lambda **a: pq.optimizers.AMSGrad(**a).start(2),
            {"learning_rate": 0.1, "weight_decay": 0.0, "betas": (0.9, 0.99), "epsilon": 1e-8, "schedule": schedule},
        ),
        "optimizers.Adam": (
            lambda **a: pq.optimizers.Adam(**a).start(2),
            {**rate, "betas": (0.9, 0.999), "epsilon": 1e-8},
        ),
        "optimizers.AdamW": (
            lambda **a: pq.optimizers.AdamW(**a).start(2),
            {**rate, "betas": (0.9, 0.999), "epsilon": 1e-8, "weight_decay": 0.01},
        ),
        "optimizers.SGD.start": (pq.optimizers.SGD(0.1).start, {"n_parameters": 2}),
        "optimizers.Cosine": (
            lambda **a: pq.optimizers.SGD(0.1, schedule=pq.optimizers.Cosine(**a)).start(2),
            {"steps": 4, "floor": 0.0},
        ),
        "optimizers.Step": (
            lambda **a: pq.optimizers.SGD(0.1, schedule=pq.optimizers.Step(**a)).start(2),
            {"every": 4, "factor": 0.5},
        ),
        "optimizers.WarmUp": (
            lambda **a: pq.optimizers.SGD(0.1, schedule=pq.optimizers.WarmUp(**a)).start(2),
            {"steps": 4, "total": 0, "floor": 0.0},
        ),
        "plot.autocorrelation": (fresh(pq.plot.autocorrelation), {"series": _series(), "lags": None, **look}),
        "plot.chain": (pq.plot.chain, {"chain": chain, "names": ["plaquette"]}),
        "plot.chains": (pq.plot.chains, {"chains": {"a": chain}, "names": ["plaquette"], "title": ""}),
        "plot.correlator": (
            fresh(pq.plot.correlator),
            {"correlators": [[2.0, 1.0], [2.1, 1.0]], "kind": "mass", "form": "log", **look},
        ),
        "plot.spectrum": (fresh(pq.plot.spectrum), {"values": [0.1, 0.2], **look}),
        "plot.flow": (fresh(pq.plot.flow), {"flow": flow, "level": 0.3, "color": "red", "ax": ax}),
        "plot.histogram": (fresh(pq.plot.histogram), {"series": _series(), "name": "", "bins": None, **look}),
        "plot.fluxes": (fresh(pq.plot.fluxes), {"k": k, "l": l, "title": "", "ax": ax}),
        "plot.history": (fresh(pq.plot.history), {"series": _series(), "name": "", "start": 0, **look}),
        "plot.slice": (
            fresh(pq.plot.slice),
            {"density": np.ones((2, 2)), "plane": (0, 1), "at": None, "name": "", "ax": ax},
        ),
        "plot.spins": (
            fresh(pq.plot.spins),
            {"spins": S[0], "staggered": False, "title": "", "colorbar": False, "ax": ax},
        ),
        "plot.training": (pq.plot.training, {"history": history}),
        "rbm.figures.spectrum": (
            fresh(R.figures.spectrum),
            {
                "history": pq.History({"epoch": np.arange(3), "eigenvalues": np.ones((3, 2))}),
                "kappa": None,
                "mu2": None,
                "log": False,
                "ax": ax,
            },
        ),
        "rbm.figures.images": (
            fresh(R.figures.images),
            {"rows": np.ones((2, 4)), "shape": (2, 2), "columns": 10, "ax": ax},
        ),
        "rbm.figures.spacings": (fresh(R.figures.spacings), {"values": np.ones(4), **look}),
        "rbm.FokkerPlanck": (
            R.FokkerPlanck,
            {"kappa": 1.0, "mu2": 4.0, "noise": 0.1, "cells": 40, "support": None},
        ),
        "rbm.FokkerPlanck.modes": (fokker.modes, {"n": 1}),
        "rbm.FokkerPlanck.rates": (fokker.rates, {"n": 1}),
        "rbm.action_density": (R.action_density, {"target": np.eye(2), "kernel": np.eye(2)}),
        "rbm.cd_factor": (R.cd_factor, {"eigenvalue": [1.0], "mu2": 4.0, "k": 1}),
        "rbm.dyson": (
            R.dyson,
            {
                "kernel": np.eye(2),
                "mu2": 4.0,
                "learning_rate": 0.01,
                "batch": 2,
                "members": 2,
                "records": 2,
                "every": 1,
                "warmup": 0,
                "k": 1,
                "sigma2_h": 1.0,
                "rng": 1,
            },
        ),
        "rbm.fixed_point_kl": (R.fixed_point_kl, {**mode, "n_hidden": None}),
        "rbm.fixed_points": (R.fixed_points, {**mode, "n_hidden": None}),
        "rbm.flow": (R.flow, {**mode, "xi0": [0.1, 0.1], "t": [1.0, 1.0]}),
        "rbm.free_field": (R.free_field, {"shape": (2, 2), "m2": 1.0, "n": 2, "rng": 1}),
        "rbm.free_field_kernel": (R.free_field_kernel, {"shape": (2, 2), "m2": 1.0}),
        "rbm.gibbs_coefficient": (R.gibbs_coefficient, {"eigenvalue": [1.0], "mu2": 4.0}),
        "rbm.gibbs_tau": (R.gibbs_tau, {"eigenvalue": [1.0], "mu2": 4.0}),
        "rbm.langevin": (
            R.langevin,
            {
                "kappa": 1.0,
                "mu2": 4.0,
                "noise": 0.1,
                "walkers": 2,
                "steps": 2,
                "step": 0.01,
                "rng": 1,
                "start": None,
                "every": 1,
            },
        ),
        "rbm.minibatch_noise": (
            lambda **a: R.minibatch_noise(**a)(np.ones(2)),
            {**learnt, "kappa": 1.0},
        ),
        "rbm.momenta_squared": (R.momenta_squared, {"shape": (2, 2)}),
        "rbm.overrelaxation": (R.overrelaxation, {"eigenvalue": [1.0], "mu2": 4.0}),
        "rbm.relaxation_rate": (R.relaxation_rate, {**mode, "sigma2_h": 1.0}),
        "rbm.retrieval": (R.retrieval, {"load": 0.1, "temperature": 0.2, "iterations": 5}),
        "rbm.semicircle": (R.semicircle, {"x": [0.5], "radius": 1.0}),
        "rbm.spacing_prediction": (R.spacing_prediction, learnt),
        "rbm.spread_prediction": (R.spread_prediction, learnt),
        "rbm.stability_bound": (R.stability_bound, {**mode, "sigma2_h": 1.0, "momentum": 0.0}),
        "rbm.teacher_student": (
            R.teacher_student,
            {
                "learning_rate": 0.1,
                "batch": 2,
                "noise": 0.1,
                "teacher": 2.0,
                "size": 2,
                "members": 2,
                "steps": 2,
                "every": 1,
                "warmup": 0,
                "rng": 1,
            },
        ),
        "rbm.two_node_angle": (R.two_node_angle, {"t": [0.0, 0.1], "angle": 0.1, "kappa": (1.0, 2.0), "sigma2_h": 1.0}),
        "rbm.two_node_flow": (
            R.two_node_flow,
            {"t": [0.0, 0.1], "angle": 0.1, "xi": 0.2, "kappa": (1.0, 2.0), "mu2": 4.0, "sigma2_h": 1.0},
        ),
        "rbm.wigner": (R.wigner, {"spacing": [1.0]}),
        "rbm.wigner_pair": (R.wigner_pair, {"x": [1.0], "centre": 0.0, "sigma": 1.0}),
        "smear.Flow": (
            lambda **a: repr(pq.smear.Flow(**a)),
            {
                "t": flow.t,
                "energy": flow.energy,
                "charge": flow.charge,
                "plaquette": flow.plaquette,
                "field": U,
                "steps": 1,
            },
        ),
        "smear.Flow.t0": (flow.t0, {"level": 0.002}),
        "smear.Flow.w0": (flow.w0, {"level": 0.002}),
        "smear.APELayer": (pq.smear.APELayer, {"alpha": 0.4, "directions": None}),
        "smear.HYPLayer": (pq.smear.HYPLayer, {"alphas": (0.6, 0.3), "directions": None}),
        "smear.ape": (pq.smear.ape, {"U": U, "alpha": 0.5, "n": 1, "directions": None}),
        "smear.flow": (
            pq.smear.flow,
            {
                "U": U,
                "time": 0.02,
                "step": 0.01,
                "action": "wilson",
                "adaptive": False,
                "tolerance": 1e-6,
                "every": 1,
            },
        ),
        "smear.asqtad": (pq.smear.asqtad, {"U": four.U, "u0": 1.0}),
        "smear.hisq": (pq.smear.hisq, {"U": four.U, "epsilon": 0.0}),
        "smear.hyp": (pq.smear.hyp, {"U": U, "alphas": (0.6, 0.3), "n": 1}),
        "smear.stout": (pq.smear.stout, {"U": U, "rho": 0.1, "n": 1, "loops": ["plaquette"], "directions": None}),
        "smear.t0": (pq.smear.t0, {"t": t, "energy": energy, "level": 0.3}),
        "smear.w0": (pq.smear.w0, {"t": t, "energy": energy, "level": 0.3}),
        "spin.ferromagnet": (pq.spin.ferromagnet, {"shape": (2, 2), "direction": (0.0, 0.0, 1.0)}),
        "spin.magnetization": (pq.spin.magnetization, spins),
        "spin.neel": (pq.spin.neel, {"shape": (2, 2), "direction": (0.0, 0.0, 1.0)}),
        "spin.predicted_acceptance": (pq.spin.predicted_acceptance, {"mean_square_error": 0.1}),
        "spin.random": (pq.spin.random, {"shape": (2, 2), "rng": 1, "count": 2}),
        "spin.shells": (pq.spin.shells, {"shape": (2, 2)}),
        "spin.spiral": (pq.spin.spiral, {"shape": (2, 2), "wave": (1, 0)}),
        "spin.staggered_magnetization": (pq.spin.staggered_magnetization, spins),
        "statistics.autocorrelation": (pq.statistics.autocorrelation, {"series": _series(), "lags": None}),
        "statistics.estimate": (
            pq.statistics.estimate,
            {"series": _series(), "f": None, "tau_exp": None, "replicas": None},
        ),
        "statistics.r_hat": (pq.statistics.r_hat, {"series": _series(), "replicas": None}),
    }
    return table


SPECIAL = ("__call__", "__add__", "__getitem__", "__array__")


def _parameters(value: Any) -> list[str] | None:
    """Names of the arguments, without self; None where there is no signature."""
    try:
        return [name for name in inspect.signature(value).parameters if name != "self"]
    except ValueError:
        return None


def public() -> dict[str, list[str] | None]:
    """Public functions, classes and public methods with arguments; each function once, by its first name."""
    seen: set[int] = set()
    found: dict[str, list[str] | None] = {}

    def add(name: str, value: Any, arguments: list[str] | None) -> None:
        if id(value) not in seen and arguments != []:
            found[name] = arguments
        seen.add(id(value))

    def walk(module: types.ModuleType, prefix: str) -> None:
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, types.ModuleType):
                walk(value, f"{prefix}{name}.")
            elif inspect.isclass(value) and value not in classes:
                classes.add(value)
                add(prefix + name, value, _parameters(value))
                methods(prefix + name, value)
            elif callable(value) and not inspect.isclass(value):
                add(prefix + name, value, _parameters(value))

    def methods(name: str, cls: type) -> None:
        for key in dir(cls):
            raw = inspect.getattr_static(cls, key)
            method = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
            if inspect.isfunction(method) and (not key.startswith("_") or key in SPECIAL):
                arguments = [each for each in _parameters(method) or [] if each != "cls"]
                add(f"{name}.{key}", method, arguments)

    classes: set[type] = set()
    walk(pq, "")
    return found


class Hangs(BaseException):
    """Raised by the alarm; no handler of errors takes it for its own."""


def _alarm(*_: object) -> None:
    raise Hangs


LOOKUPS: dict[str, tuple[type[Exception], ...]] = {
    "Chain.__getitem__": (KeyError, IndexError),
    "History.__getitem__": (KeyError,),
    **dict.fromkeys(
        ("Chain.estimate", "Chain.obs", "Chain.plot", "Chain.r_hat", "plot.chain", "plot.chains"), (KeyError,)
    ),
}
"""Lookups by name, whose docstrings document these kinds besides the others."""


def outcome(function: Callable[..., Any], arguments: dict[str, Any], more: tuple[type[Exception], ...] = ()) -> str:
    """Empty for a success or a documented exception, else what happened."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        function(**arguments)
    except (*ALLOWED, *more) as error:
        return "" if str(error) else f"{type(error).__name__} without a word"
    except Hangs:
        return f"no answer within {SECONDS} s"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:90]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def violations(table: dict[str, tuple[Callable[..., Any], dict[str, Any]]]) -> tuple[int, list[str]]:
    count, found = 0, []
    for name, (function, base) in table.items():
        with contextlib.suppress(*ALLOWED):  # so that no time of an import counts
            function(**base)
        for argument in base:
            for label, value in BAD.items():
                count += 1
                what = outcome(function, {**base, argument: value}, LOOKUPS.get(name, ()))
                if what:
                    found.append(f"{name}({argument} = {label}): {what}")
    return count, found


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    previous = signal.signal(signal.SIGALRM, _alarm)
    threads = pq.num_threads()
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    pq.set_num_threads(threads)
    signal.signal(signal.SIGALRM, previous)


def test_every_public_name_has_a_base_call_or_a_reason():
    """A new public name fails here until it has a row in `calls` or, if it cannot be called, a reason."""
    table, names = calls(), public()
    missing = [name for name in names if name not in table and name not in REASONS]
    assert not missing
    assert not set(REASONS) & set(table)
    left_out = [
        f"{name}: {argument}"
        for name, arguments in names.items()
        if name in table
        for argument in arguments or []
        if argument not in table[name][1] and argument not in ("metadata", "options")
    ]
    assert not left_out


def test_base_calls_work(quiet):
    pq.GaugeField.cold((2, 2), "U(1)").write("u.npz")
    for name, (function, arguments) in calls().items():
        try:
            function(**arguments)
        except FileNotFoundError as error:
            assert arguments.get("path") == "missing", (name, error)  # noqa: PT017
        except Exception as error:
            pytest.fail(f"{name}: {type(error).__name__}: {error}")


def test_bad_values_raise_documented_kinds(quiet):
    """TypeError, ValueError, OSError, plaq.Error, or a success; ImportError where an extra is missing."""
    pq.GaugeField.cold((2, 2), "U(1)").write("u.npz")
    count, found = violations(calls())
    assert count > 20_000
    assert not found, f"{len(found)} of {count} calls:\n" + "\n".join(found)
