"""From the configuration of a run to its chain, and to the network that it trains."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import plaq.actions as actions
import plaq.datasets as datasets
import plaq.flux as flux
import plaq.ising as ising
import plaq.lcnn as lcnn
import plaq.losses as losses
import plaq.observables as observables
import plaq.spin as spin
from plaq.chains.chain import Chain
from plaq.chains.sampler import Info, Sampler
from plaq.cli import config
from plaq.dirac import DomainWall, Staggered
from plaq.dirac import Wilson as WilsonDirac
from plaq.fields.files import read_gauge
from plaq.fields.gauge import GaugeField
from plaq.fields.scalar import ScalarField
from plaq.flux.data import flux_counting, flux_regression, flux_violation
from plaq.nn.zoo import zoo
from plaq.rbm import BernoulliRBM, GaussianRBM, free_field_kernel
from plaq.samplers.heatbath import Heatbath
from plaq.samplers.hmc import HMC
from plaq.samplers.langevin import ComplexLangevin
from plaq.samplers.self_learning import SelfLearningHMC
from plaq.samplers.transformed import FieldTransformHMC
from plaq.samplers.worm import Worm
from plaq.smear.layers import HYPLayer, StoutLayer
from plaq.smear.network import CovariantNet
from plaq.spin.metropolis import SpinMetropolis
from plaq.spin.self_learning import SelfLearningMC
from plaq.training.batches import held_back
from plaq.training.history import History
from plaq.training.optimizers import Adam, AdamW, Cosine
from plaq.transform import FieldTransform, StoutMask, u1_2d

__all__ = ["Outcome", "run"]

OPERATORS = {"staggered": Staggered, "wilson": WilsonDirac, "domain_wall": DomainWall}
HELD_BACK = 0.25
"""Part of the samples that a regression is validated with."""


@dataclass
class Outcome:
    """What a run leaves: a chain, and the record and the network of its training, if there was one."""

    chain: Chain
    history: History | None = None
    network: Any = None


@dataclass
class Trained:
    """A training that is done: where the chain starts, and what was learnt."""

    start: Any
    history: History | None = None
    network: Any = None


def run(settings: config.Config, *, progress: bool = True) -> Outcome:
    """The run that a configuration describes.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C during a training; after it the chain is returned as it is.
    """
    chosen = settings.run
    sampler, start = _sampler(settings), _start(settings)
    trained = _trained(settings, sampler, start, progress)
    if isinstance(sampler, _Gibbs):
        sampler.machine = trained.network
    chain = sampler.run(
        trained.start,
        chosen.draws,
        warmup=chosen.warmup,
        thin=chosen.thin,
        observables=_observables(settings, trained),
        rng=chosen.seed,
        progress=progress,
        checkpoint=chosen.checkpoint,
        checkpoint_every=chosen.checkpoint_every,
        max_seconds=chosen.max_seconds,
    )
    return Outcome(chain, trained.history, trained.network)


def _start(settings: config.Config) -> Any:
    """Where the chain, or the training before it, starts."""
    if settings.model is not None:
        model, seed = settings.model, settings.run.seed
        if isinstance(model, config.SpinFermionConfig):
            return spin.random(_pair(model.shape), rng=seed)
        if isinstance(model, config.ComplexScalarConfig):
            is_worm = settings.sampler.name == "worm"
            return flux.FluxField.cold(model.shape) if is_worm else _sampler(settings).cold()
        if isinstance(model, config.IsingConfig) and settings.sampler.name != "gibbs":
            return np.ones(_pair(model.shape))
        return None
    chosen = settings.field_section
    if settings.system == "scalar":
        shape = tuple(chosen.shape or ())
        if chosen.start not in ("cold", "hot"):
            raise config.ConfigError('[field] start: of a scalar field "cold" or "hot"')
        if chosen.start == "cold":
            return ScalarField.zeros(shape, chosen.components)
        return ScalarField.random(shape, chosen.components, rng=settings.run.seed)
    if chosen.start == "cold":
        return GaugeField.cold(tuple(chosen.shape or ()), chosen.group)
    if chosen.start == "hot":
        return GaugeField.hot(tuple(chosen.shape or ()), chosen.group, rng=settings.run.seed)
    if not Path(chosen.start).exists():
        raise config.ConfigError(f'[field] start: "cold", "hot" or a file; there is no file {chosen.start!r}')
    known: dict[str, Any] = {} if chosen.shape is None else {"shape": tuple(chosen.shape), "group": chosen.group}
    return read_gauge(chosen.start, **known)


def _pair(shape: list[int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise config.ConfigError(f"[model] shape: two extents are needed, as in [6, 6]; given {shape}")
    return shape[0], shape[1]


def _action(settings: Any) -> Any:
    kind = getattr(actions, settings.name)
    if isinstance(settings, config.ScalarConfig):
        return kind(settings.mass2, settings.lam)
    return kind(settings.terms if isinstance(settings, config.LoopsConfig) else settings.beta)


def _quarks(section: str, settings: Any, **changed: Any) -> Any:
    """The quarks of [quarks], with other masses those of [proposal]."""
    options = _options(settings) | changed
    about = {name: options.pop(name) for name in ("n_flavors", "hasenbusch", "precision", "chronological")}
    operator: Any = OPERATORS[options.pop("dirac")]
    try:
        return actions.Pseudofermion(operator(**options), **about)
    except (TypeError, ValueError) as error:
        raise config.ConfigError(f"[{section}]: {error}") from error


def _proposal(settings: config.Config) -> list[Any]:
    """Terms of the proposal beside those of the links."""
    chosen, quarks = settings.proposal, settings.quarks
    assert chosen is not None
    assert quarks is not None
    split = quarks.hasenbusch if chosen.hasenbusch is None else chosen.hasenbusch
    proposal = _quarks("proposal", quarks, mass=chosen.mass, hasenbusch=split)
    # Terms of split quarks have pseudofermions of their own, so each has a network and a factor of its own.
    terms = proposal.terms()
    if chosen.loops or chosen.hyp:
        terms = [actions.Mapped(term, _smeared(chosen, "proposal")) for term in terms]
    return [actions.Scaled(term) for term in terms] if chosen.factor else terms


def _smeared(chosen: config.ProposalConfig | config.StoutNetConfig, section: str) -> CovariantNet:
    """Stout layers above a HYP layer."""
    try:
        below = [HYPLayer(chosen.hyp)] if chosen.hyp else []
        above = [StoutLayer(chosen.loops)] * chosen.layers if chosen.loops else []
        return CovariantNet([*below, *above])
    except (TypeError, ValueError) as error:
        raise config.ConfigError(f"[{section}]: {error}") from error


def _transform(settings: config.Config) -> FieldTransform:
    chosen, ndim = settings.transform, len(settings.field_section.shape or [0] * 4)
    assert chosen is not None
    if chosen.channels is not None:
        if ndim != 2:
            raise config.ConfigError(f"[transform] channels: networks are for two dimensions; the field has {ndim}")
        rng = _seeds(settings)[2]
        return u1_2d(loops=chosen.loops, sweeps=chosen.sweeps, channels=chosen.channels, rng=rng)
    return FieldTransform([StoutMask(chosen.coefficients, chosen.loops, ndim=ndim)] * chosen.sweeps)


def _options(section: Any) -> dict[str, Any]:
    """The keys of a section as arguments."""
    return {each.name: getattr(section, each.name) for each in fields(section) if each.name != "name"}


def _sampler(settings: config.Config) -> Any:
    chosen, options = settings.sampler, _options(settings.sampler)
    if settings.model is not None:
        return _of_model(settings, options)
    action = _action(settings.action)
    if chosen.name == "heatbath":
        return Heatbath(action, **options)
    target = action if settings.quarks is None else action + _quarks("quarks", settings.quarks)
    if chosen.name == "hmc":
        return HMC(target, **options)
    if settings.transform is not None:
        return FieldTransformHMC(target, _transform(settings), **options)
    return SelfLearningHMC(target, sum(_proposal(settings), action), **options)


def _of_model(settings: config.Config, options: dict[str, Any]) -> Any:
    name, model = settings.sampler.name, settings.model
    if name in ("spin_metropolis", "self_learning_mc"):
        rest = _options(model) | {"shape": _pair(model.shape)}
        exact = spin.SpinFermion(**rest)
        if name == "spin_metropolis":
            return SpinMetropolis(exact, **options)
        return SelfLearningMC(exact, _effective(settings), **options)
    if name in ("worm", "complex_langevin"):
        kind: Any = Worm if name == "worm" else ComplexLangevin
        return kind(model.shape, eta=model.eta, lam=model.lam, mu=model.mu, **options)
    if name == "gibbs":
        return _Gibbs()
    return {"wolff": ising.Wolff, "metropolis": ising.Metropolis}[name](model.beta, **options)


def _effective(settings: config.Config) -> Any:
    chosen, shape = settings.network, _pair(settings.model.shape)
    if isinstance(chosen, config.LinearConfig):
        return spin.LinearSpinModel(shape, chosen.shells)
    return spin.EquivariantAttention(shape, **_options(chosen), rng=_seeds(settings)[2])


def _seeds(settings: config.Config) -> list[np.random.SeedSequence]:
    """Seeds of what comes before the chain: configurations, training, first weights."""
    return np.random.SeedSequence(settings.run.seed).spawn(3)


class _Gibbs(Sampler[Any]):
    """Block Gibbs steps of a machine, as a chain."""

    machine: Any = None

    def advance(self, state: NDArray[Any], seed: int, sweep: int) -> tuple[NDArray[Any], Info]:
        """One step of both layers."""
        rng = np.random.SeedSequence(seed, spawn_key=(sweep,))
        return self.machine.sample(1, steps=1, start=state, rng=rng)[0], {}

    def fingerprint(self) -> dict[str, Any]:
        """The machine and a hash of its weights."""
        weights = hashlib.sha256(np.ascontiguousarray(self.machine.weights).tobytes()).hexdigest()[:16]
        return {"machine": repr(self.machine), "weights": weights}


def _trained(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    """Everything before the chain."""
    training = settings.training
    if training is None:
        return Trained(start)
    found = TRAININGS[type(training)](settings, sampler, start, progress)
    history = found.history
    if history is not None and history.interrupted:
        raise KeyboardInterrupt
    return found


def _common(settings: config.Config, progress: bool) -> dict[str, Any]:
    """Arguments that all trainings have."""
    checkpoint = None if settings.run.checkpoint is None else f"{settings.run.checkpoint}.training"
    return {"checkpoint": checkpoint, "progress": progress, "rng": _seeds(settings)[1]}


def _on_policy(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    training = settings.training
    hmc = HMC(sampler.target, length=sampler.length, steps=sampler.steps, integrator=sampler.integrator)
    start = hmc.run(start, 1, warmup=settings.run.warmup, rng=_seeds(settings)[0], progress=progress).state
    history = sampler.train(
        start,
        loss=training.loss,
        steps=training.steps,
        batch=training.batch,
        optimizer=Adam(training.learning_rate, schedule=Cosine(training.steps)),
        **_common(settings, progress),
    )
    return Trained(sampler.trained, history, sampler)


def _configurations(sampler: Any, settings: config.Config, start: Any) -> list[Any]:
    """Fields of a chain before the chain, `thin` updates apart."""
    rng, chosen, found = np.random.default_rng(_seeds(settings)[0]), settings.run, []
    warmup = chosen.warmup
    for _ in range(settings.training.configurations):
        start = sampler.run(start, 1, warmup=warmup, thin=chosen.thin, rng=rng, progress=False).state
        found.append(start)
        warmup = 0
    return found


def _small_forces(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    training = settings.training
    hmc = HMC(sampler.action, length=sampler.length, steps=sampler.steps, integrator=sampler.integrator)
    fields = _configurations(hmc, settings, start)
    rule = Adam(training.learning_rate, schedule=Cosine(training.epochs))
    history = sampler.train(fields, epochs=training.epochs, optimizer=rule, **_common(settings, progress))
    return Trained(fields[-1], history, sampler.transform)


def _annealed(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    training = settings.training
    fit = {"steps": training.steps} if isinstance(sampler.effective, spin.EquivariantAttention) else None
    if fit is not None and not sampler.effective.layers:
        fit = None
    history = sampler.train(
        start,
        temperatures=training.temperatures or None,
        rounds=training.rounds,
        draws=training.draws,
        ridge=training.ridge,
        fit=fit,
        **_common(settings, progress),
    )
    return Trained(start, history, sampler.effective)


def _machine(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    """A machine that learns a kernel or configurations, and where its chain starts."""
    training, network, first = settings.training, settings.network, _seeds(settings)[2]
    target, size = _target(settings)
    if isinstance(network, config.GaussianMachineConfig):
        machine: Any = GaussianRBM(size, **_options(network), rng=first)
    else:
        units: Any = "spin" if settings.model.name == "ising" else "bernoulli"
        machine = BernoulliRBM(size, network.n_hidden, visible=units, rng=first)
        if training.method not in ("cd", "pcd"):
            raise config.ConfigError(f'[training] method: {training.method} needs name = "gaussian_rbm"; take "pcd"')
    options = {name: value for name, value in _options(training).items() if name != "samples"}
    history = machine.fit(**target, **options, **_common(settings, progress))
    begin = np.ones(size) if settings.model.name == "ising" else np.zeros(size)
    return Trained(begin, history, machine)


def _target(settings: config.Config) -> tuple[dict[str, Any], int]:
    """What a machine learns, and its number of units."""
    model, training = settings.model, settings.training
    if isinstance(model, config.FreeFieldConfig):
        shape = tuple(model.shape)
        kernel, size = free_field_kernel(shape, model.mass2), math.prod(shape)
        if training.method in ("exact", "em"):
            return {"kernel": kernel}, size
        noise = np.random.default_rng(_seeds(settings)[0]).standard_normal((training.samples, size))
        return {"data": np.linalg.solve(np.linalg.cholesky(kernel).T, noise.T).T}, size
    if isinstance(model, config.IsingConfig):
        shape = _pair(model.shape)
        rows = ising.sample(shape, model.beta, training.samples, rng=_seeds(settings)[0])
        return {"data": rows.reshape(len(rows), -1)}, math.prod(shape)
    images: Any = datasets.digits()
    return {"data": images}, images.shape[1]


def _flux_network(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    training, name, model = settings.training, settings.network.architecture, settings.model
    data_rng, _, first = _seeds(settings)
    network = zoo.build(name, rng=first)
    task, options = name.split("/")[0], {"lam": model.lam, "progress": progress, "rng": data_rng}
    options |= {"thin": settings.run.thin, "warmup": settings.run.warmup}
    if task == "task1":
        data = flux_regression(training.samples, model.shape, eta=model.eta, mu=model.mu, **options)
    else:
        make = flux_violation if task == "task2" else flux_counting
        data = make(training.samples, model.shape, parameters=[(model.eta, model.mu)], **options)
    history = network.fit(
        data.x,
        data.y,
        loss="bce" if task == "task2" else "mse",
        epochs=training.epochs,
        batch=training.batch,
        optimizer=AdamW(training.learning_rate, weight_decay=0.0),
        validation=HELD_BACK,
        **_common(settings, progress),
    )
    return Trained(start, history, network)


def _lcnn(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    training, network = settings.training, settings.network
    fields = _configurations(sampler, settings, start)
    targets = [getattr(observables, training.target)(each) for each in fields]
    ndim, channels = fields[0].ndim, [fields[0].ndim * (fields[0].ndim - 1) // 2, *network.channels]
    layers: list[Any] = [lcnn.Loops()]
    layers += [lcnn.LCB(a, b, network.kernel) for a, b in pairwise(channels)]
    layers += [lcnn.Trace(), lcnn.Dense(2 * channels[-1], 1), lcnn.Mean()]
    steps = math.ceil(held_back(len(fields), HELD_BACK) / training.batch)  # schedules count steps, not epochs
    net = lcnn.LCNN(layers, ndim=ndim, group=fields[0].group, rng=_seeds(settings)[2])
    history = net.fit(
        fields,
        targets,
        epochs=training.epochs,
        batch=training.batch,
        optimizer=Adam(training.learning_rate, schedule=Cosine(training.epochs * steps)),
        validation=HELD_BACK,
        **_common(settings, progress),
    )
    return Trained(fields[-1], history, net)


def _smearing(settings: config.Config, sampler: Any, start: Any, progress: bool) -> Trained:
    training, action = settings.training, _action(settings.action)
    fields = _configurations(sampler, settings, start)
    net = _smeared(settings.network, "network")
    if training.loss == "force_norm":
        loss: Any = losses.ForceNorm(action)
    elif training.beta is None or not isinstance(settings.action, config.BetaConfig):
        raise config.ConfigError("[training] beta: action_difference needs it, and an action of one coupling")
    else:
        smeared = _action(replace(settings.action, beta=training.beta))
        loss = losses.ActionDifference(smeared, action, form="variance")
    rule = Adam(training.learning_rate, schedule=Cosine(training.epochs))
    history = net.fit(fields, loss, epochs=training.epochs, optimizer=rule, **_common(settings, progress))
    return Trained(fields[-1], history, net)


TRAININGS: dict[type[Any], Callable[[config.Config, Any, Any, bool], Trained]] = {
    config.OnPolicyConfig: _on_policy,
    config.TransformTrainingConfig: _small_forces,
    config.AnnealingConfig: _annealed,
    config.MachineTrainingConfig: _machine,
    config.FluxTrainingConfig: _flux_network,
    config.RegressionConfig: _lcnn,
    config.SmearingTrainingConfig: _smearing,
}


def _observables(settings: config.Config, trained: Trained) -> dict[str, Callable[[Any], Any]]:
    """What is measured; beside the target of an L-CNN what the network says of it."""
    found = {name: _observable(settings, name) for name in settings.observables.names}
    if isinstance(settings.network, config.LcnnConfig):
        found.setdefault(settings.training.target, _observable(settings, settings.training.target))
        found |= {f"network({settings.training.target})": lambda U: float(trained.network(U)[0])}
    return found


def _observable(settings: config.Config, name: str) -> Callable[[Any], Any]:
    if settings.system != "links":
        return _of_system(settings)[name]
    function: Callable[..., Any] = getattr(observables, name.split(":")[0])
    if ":" not in name:
        return function
    definition = name.split(":", 1)[1]
    return lambda links: function(links, definition=definition)


def _of_system(settings: config.Config) -> Mapping[str, Callable[[Any], Any]]:
    """Observables of everything but links."""
    model = settings.model
    if settings.system == "scalar":
        return {"phi2": _phi2, "magnetization": lambda phi: float(np.mean(np.asarray(phi)))}
    if settings.system == "spin_fermion":
        return {"magnetization": spin.magnetization, "staggered_magnetization": spin.staggered_magnetization}
    if settings.system == "complex_scalar":
        found: Mapping[str, Callable[[Any], Any]] = _sampler(settings).default_observables(_start(settings))
        return found
    if settings.system == "ising":
        shape = _pair(model.shape)
        return {
            "energy": lambda s: ising.energy(np.reshape(s, shape)),
            "magnetization": lambda s: ising.magnetization(np.reshape(s, shape)),
        }
    if settings.system == "free_field":
        kernel = free_field_kernel(tuple(model.shape), model.mass2)
        return {
            "phi2": lambda phi: float(np.mean(np.square(phi))),
            "action": lambda phi: float(0.5 * phi @ kernel @ phi / len(phi)),
        }
    return {"brightness": lambda image: float(np.mean(image))}


def _phi2(phi: Any) -> float:
    return float((np.asarray(phi) ** 2).sum(axis=-1).mean())


def save(outcome: Outcome, output: Path) -> list[Path]:
    """Write the chain, and next to it the record of the training and what was trained; returns the files."""
    written = [output]
    outcome.chain.save(output)
    if outcome.history is not None:
        written.append(beside(output, "history.npz"))
        outcome.history.save(written[-1])
    network = outcome.network
    if isinstance(network, SelfLearningHMC):
        for number, each in enumerate(network.networks):
            written.append(beside(output, f"network{number or ''}.safetensors"))
            cast(CovariantNet, each).save(written[-1])
        network = None  # factors of its proposal are in the fingerprint of the chain
    if network is not None:
        machine = isinstance(network, BernoulliRBM | GaussianRBM)
        written.append(beside(output, "machine.npz" if machine else "network.safetensors"))
        network.save(written[-1])
    return written


def beside(output: Path, ending: str) -> Path:
    """The name of a file that belongs to a chain."""
    return output.with_name(f"{output.stem}.{ending}")
