"""All trainings share one loop: Ctrl-C, resume, the best parameters, patience, faults and the signature, by a table."""

import inspect
import os
import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plaq as pq
import pytest
from plaq.lcnn import Dense, Loops, Mean, Trace
from plaq.rbm.fit import MachineFit
from plaq.spin.annealing import Annealing
from plaq.spin.fit import NetworkFit
from plaq.train import minimize
from plaq.training.batches import MiniBatches
from plaq.training.on_policy import OnPolicy

FIELDS = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(6)]
SMEARED = [pq.smear.stout(U, 0.1) for U in FIELDS]
PLAQUETTES = [pq.observables.plaquette(U) for U in FIELDS]
SPINS = pq.spin.random((4, 4), rng=1, count=80)
EXACT = pq.SpinFermion((4, 4), J=1.0, T=0.2)
WEIGHTS = EXACT.log_weight(SPINS)
KERNEL = pq.rbm.free_field_kernel(4, 1.0)
ROWS = pq.rbm.free_field(4, 1.0, 60, rng=1)


@dataclass
class Model:
    """A model with a short training: how it is made and fitted, and what the loop drives."""

    make: Any
    fit: Any
    objective: type
    options: dict[str, Any]
    unit: str = "epochs"
    validation: Any = 0.25
    wild: Any = None
    """Options with which every step is harmful, but finite."""
    good: Any = None
    """Options of a training that those cannot better."""
    parameters: Any = field(default=lambda model: model.parameters.copy())

    def train(self, model, **options):
        return self.fit(model, **{"progress": False, "rng": 3} | self.options | options)


def machine_parameters(machine):
    return np.concatenate([machine.weights.ravel(), *(part for layer in machine._layers() for part in layer[1:])])


def lcnn():
    return pq.LCNN([Loops(), Trace(), Dense(2, 1), Mean()], ndim=2, group="SU(2)", rng=1)


def attention():
    net = pq.EquivariantAttention((4, 4), 1, 3, rng=3)
    net.couplings = [0.1, 0.2, 0.3]
    return net


def binary_fit(machine, **options):
    return machine.fit((ROWS > 0).astype(float), **options)


RULE = pq.optimizers.Adam(0.01, schedule=pq.optimizers.Cosine(100))
WILD = {"optimizer": pq.optimizers.SGD(50.0)}
MODELS = {
    "CovariantNet": Model(
        lambda: pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1]), pq.AttentionLayer(["plaquette"])]),
        lambda net, **options: net.fit(FIELDS, pq.losses.FieldDistance(SMEARED), **options),
        MiniBatches,
        {"epochs": 8, "batch": 2, "optimizer": RULE},
        wild={"optimizer": pq.optimizers.SGD(1e4)},
    ),
    "LCNN": Model(
        lcnn,
        lambda net, **options: net.fit(FIELDS, PLAQUETTES, **options),
        MiniBatches,
        {"epochs": 8, "batch": 2, "optimizer": RULE},
        wild=WILD,
    ),
    "EquivariantAttention": Model(
        attention,
        lambda net, **options: net.fit(SPINS, WEIGHTS, **options),
        NetworkFit,
        {"steps": 40, "record_every": 5, "batch": 16, "optimizer": RULE, "refit": False},
        unit="steps",
        wild={"optimizer": pq.optimizers.SGD(1.0)},
        good={"steps": 400},
    ),
    "GaussianRBM": Model(
        lambda: pq.GaussianRBM(4, 3, mu2=9.0, rng=1),
        lambda machine, **options: machine.fit(ROWS, **options),
        MachineFit,
        {"epochs": 8, "method": "pcd", "batch": 16, "learning_rate": 0.02},
        wild={"learning_rate": 10.0, "safe": True, "chains": 1},
        good={"method": "exact", "epochs": 2000},
        parameters=machine_parameters,
    ),
    "BernoulliRBM": Model(
        lambda: pq.BernoulliRBM(4, 3, rng=1),
        binary_fit,
        MachineFit,
        {"epochs": 8, "method": "pcd", "batch": 16},
        wild={"learning_rate": 1e3, "chains": 1},
        parameters=machine_parameters,
    ),
    "SelfLearningHMC": Model(
        lambda: pq.SelfLearningHMC(
            pq.actions.Wilson(2.0), pq.actions.Scaled(pq.actions.Wilson(1.8)), length=0.5, steps=3
        ),
        lambda sampler, **options: sampler.train(FIELDS[0], **options),
        OnPolicy,
        {"steps": 8, "batch": 2, "optimizer": RULE},
        unit="steps",
        validation=None,
    ),
    "SelfLearningMC": Model(
        lambda: pq.SelfLearningMC(EXACT, attention(), sweeps=1, hmc_steps=4),
        lambda sampler, **options: sampler.train(SPINS[0], **options),
        Annealing,
        {"temperatures": [0.5], "rounds": 2, "draws": 10, "fit": {"steps": 20, "batch": 8, "record_every": 5}},
        unit="rounds",
        validation=None,
        parameters=lambda sampler: sampler.effective.parameters.copy(),
    ),
}
NETWORKS = [name for name, model in MODELS.items() if model.wild]
ALL = pytest.mark.parametrize("name", MODELS)


def failing(monkeypatch, owner, method, call, error, *, before=False):
    """An exception after (or before) call number `call` of a method, as Ctrl-C or a signal handler would raise it."""
    honest, calls = getattr(owner, method), [0]

    def fails(*arguments):
        calls[0] += 1
        if before and calls[0] == call:
            raise error
        result = honest(*arguments)
        if calls[0] == call:
            raise error
        return result

    monkeypatch.setattr(owner, method, fails)


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@ALL
@pytest.mark.parametrize("call", [1, 3])
def test_ctrl_c_keeps_the_history_and_the_same_call_goes_on_to_the_same_bits(name, call, tmp_path, monkeypatch):
    row, path = MODELS[name], tmp_path / "training.npz"
    options = {} if row.validation is None else {"validation": row.validation}
    whole, model = row.make(), row.make()
    history = row.train(whole, **options)
    assert not history.interrupted
    with monkeypatch.context() as patch:
        failing(patch, row.objective, "advance", call, KeyboardInterrupt)
        part = row.train(model, checkpoint=path, **options)
    assert part.interrupted
    assert 1 <= part.records <= call + row.objective.records_start
    first = list(history)[0 if "step" not in history else 1]
    assert part[first][0] == history[first][0] or row.unit == "steps"
    for again in (model, row.make()):
        resumed = row.train(again, checkpoint=path, **options)
        assert same(resumed, history)
        assert np.array_equal(row.parameters(again), row.parameters(whole))


@ALL
def test_a_training_that_was_complete_is_only_read(name, tmp_path, monkeypatch):
    row, path = MODELS[name], tmp_path / "training.npz"
    history = row.train(row.make(), checkpoint=path)
    failing(monkeypatch, row.objective, "advance", 1, AssertionError)
    assert same(row.train(row.make(), checkpoint=path), history)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@ALL
def test_what_was_computed_is_on_other_errors_and_in_the_checkpoint(name, tmp_path, monkeypatch):
    row, path = MODELS[name], tmp_path / "training.npz"
    whole = row.train(row.make())
    with monkeypatch.context() as patch:
        failing(patch, row.objective, "advance", 4, SystemExit(3), before=True)
        with pytest.raises(SystemExit) as caught:
            row.train(row.make(), checkpoint=path)
    done = caught.value.history
    assert done.records >= 1
    with np.load(path) as stored:
        assert all(np.array_equal(stored[f"record_{name}"], done[name]) for name in done)
    again = row.make()
    assert same(row.train(again, checkpoint=path), whole)


@ALL
def test_checkpoints_that_cannot_be_written_are_refused_before_training(name, tmp_path, monkeypatch):
    row = MODELS[name]
    failing(monkeypatch, row.objective, "__init__", 1, AssertionError)
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        row.train(row.make(), checkpoint=tmp_path / "none" / "training.npz")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        row.train(row.make(), checkpoint=tmp_path)
    with pytest.raises(OSError, match=r"is a device"):
        row.train(row.make(), checkpoint=os.devnull)


@ALL
def test_a_checkpoint_that_vanishes_leaves_the_training_on_the_error(name, tmp_path, monkeypatch):
    row, folder = MODELS[name], tmp_path / "gone"
    folder.mkdir()
    honest, calls = row.objective.advance, []

    def advance(self, until):
        calls.append(until)
        if len(calls) == 3:
            shutil.rmtree(folder)
        return honest(self, until)

    monkeypatch.setattr(row.objective, "advance", advance)
    model = row.make()
    before = row.parameters(model)
    with pytest.raises(
        FileNotFoundError, match=r"checkpoint of the training cannot be written \(No such file"
    ) as caught:
        row.train(model, checkpoint=folder / "training.npz")
    assert caught.value.history.records >= 1
    assert "training.npz" in str(caught.value)
    assert not np.array_equal(row.parameters(model), before)


@ALL
def test_what_is_no_checkpoint_is_refused(name, tmp_path):
    row, path = MODELS[name], tmp_path / "training.npz"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(pq.CheckpointError, match="damaged or no training checkpoint"):
        row.train(row.make(), checkpoint=path)


def test_losses_with_targets_in_the_core_go_on_from_their_file(tmp_path):
    """Two networks, two loss objects, two sets of targets: one training."""
    path = tmp_path / "training.npz"

    def fit(epochs, checkpoint):
        net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
        loss = pq.losses.ForceNorm(pq.actions.Wilson(2.0), pq.actions.Wilson(2.2))
        options = {"epochs": epochs, "batch": 2, "rng": 1, "progress": False, "validation": 0.3}
        return net.fit(FIELDS, loss, checkpoint=checkpoint, **options)

    whole = fit(6, None)
    fit(3, path)
    assert same(fit(6, path), whole)


def test_a_loss_of_single_fields_counts_whatever_its_base_does():
    """A subclass that gives the loss of one field is not bypassed by the batches of the class above it."""

    class Doubled(pq.losses.FieldDistance):
        def of_field(self, net, field, target):
            value, gradient = super().of_field(net, field, target)
            return 2 * value, 2 * gradient

    nets = [pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.05])]) for _ in range(2)]
    options = {"epochs": 2, "progress": False, "optimizer": pq.optimizers.SGD(1e-3)}
    plain = nets[0].fit(FIELDS, pq.losses.FieldDistance(SMEARED), **options)
    doubled = nets[1].fit(FIELDS, Doubled(SMEARED), **options)
    assert doubled.loss[0] == pytest.approx(2 * plain.loss[0], rel=1e-12)


def test_an_error_of_reading_is_not_called_damage(tmp_path, monkeypatch):
    path = tmp_path / "training.npz"
    MODELS["LCNN"].train(lcnn(), checkpoint=path)

    def refused(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("plaq.training.checkpoint.read_content", refused)
    with pytest.raises(PermissionError, match="Permission denied"):
        MODELS["LCNN"].train(lcnn(), checkpoint=path)


@pytest.mark.filterwarnings("ignore::plaq.rbm.machine.StabilityWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_start_is_a_candidate_for_the_best_and_patience_ends_what_does_not_help(name):
    row, model = MODELS[name], MODELS[name].make()
    if row.good:
        row.train(model, validation=row.validation, **row.good)
    before = row.parameters(model)
    history = row.train(model, validation=row.validation, patience=3, **row.wild)
    if name == "EquivariantAttention":  # whose constant always starts at its best value
        assert row.parameters(model)[:-1] == pytest.approx(before[:-1], abs=0.0)
    else:
        assert row.parameters(model) == pytest.approx(before, rel=1e-12)
    assert history.kept == 0
    assert history.records == 3 + row.objective.records_start
    assert "best after 0" in repr(history)
    assert row.train(row.make(), validation=row.validation).kept is not None


@pytest.mark.filterwarnings("ignore::plaq.rbm.machine.StabilityWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("held", [False, True])
def test_divergence_stops_with_the_history_and_the_best_parameters(name, held):
    row, model = MODELS[name], MODELS[name].make()
    options = {"optimizer": pq.optimizers.SGD(1e150)} if "RBM" not in name else {"learning_rate": 1e300}
    if held:
        options["validation"] = row.validation
    row.train(model)  # (attention always holds something out)
    before = row.parameters(model)
    with pytest.raises((ValueError, pq.ConvergenceError)) as caught:
        row.train(model, **options)
    assert isinstance(caught.value.history, pq.History)
    assert np.isfinite(row.parameters(model)).all()
    if held or "RBM" not in name:  # a machine without validation keeps its last finite step
        assert row.parameters(model)[:-1] == pytest.approx(before[:-1], rel=1e-12)


def test_slow_divergence_without_validation_ends_at_the_smallest_loss():
    """p -> -3 p at every step: the loss of the first epoch is the smallest, so its start is kept."""
    kept = []
    options = {"optimizer": pq.optimizers.SGD(2.0), "batch": 1, "rng": 1, "epochs": 1000, "progress": False}
    with pytest.raises(ValueError, match=r"loss is inf in epoch \d\d+") as caught, np.errstate(over="ignore"):
        minimize(lambda p, k: (float(p[0] ** 2), 2 * p), [0.5], 2, keep=kept.append, **options)
    assert kept == [[0.5]]
    assert caught.value.history.records > 100


def test_patience_counts_from_the_best_record_so_far():
    """A better record in between starts the count anew."""
    scores = iter([9.0, 5.0, 6.0, 7.0, 4.0, 6.0, 6.0, 6.0, 1.0])
    options = {"batch": 1, "rng": 1, "epochs": 100, "progress": False, "patience": 3}
    _, history = minimize(lambda p, k: (0.0, 0 * p), [0.5], 2, validation=lambda p: next(scores), **options)
    assert list(history.validation) == [5.0, 6.0, 7.0, 4.0, 6.0, 6.0, 6.0]
    assert history.kept == 4


def test_the_linear_fit_with_which_a_network_starts_is_a_candidate():
    net, linear = pq.EquivariantAttention((4, 4), 1, 3, rng=3), pq.LinearSpinModel((4, 4), 3)
    linear.fit(SPINS[:60], WEIGHTS[:60])
    options = {"validation": (SPINS[60:], WEIGHTS[60:]), "patience": 2, "refit": False, "progress": False}
    rule = pq.optimizers.SGD(1.0)
    history = net.fit(SPINS[:60], WEIGHTS[:60], steps=40, record_every=5, optimizer=rule, batch=16, rng=1, **options)
    assert history.kept == 0
    assert net.couplings == pytest.approx(linear.couplings, rel=1e-9)


def test_ctrl_c_inside_the_steps_in_rust_loses_no_bits(tmp_path, monkeypatch):
    """Some steps of a block are done when it is interrupted: they are done again."""
    row, path, calls = MODELS["EquivariantAttention"], tmp_path / "training.npz", [0]
    honest = NetworkFit.__init__

    class Interrupted:
        def __init__(self, samples):
            self._samples = samples

        def train(self, core, optimizer, until, *rest):
            calls[0] += 1
            if calls[0] != 6:
                return self._samples.train(core, optimizer, until, *rest)
            self._samples.train(core, optimizer, until - 1, *rest)
            raise KeyboardInterrupt

    def init(self, *arguments):
        honest(self, *arguments)
        self._samples = Interrupted(self._samples)

    history = row.train(row.make())
    monkeypatch.setattr(NetworkFit, "__init__", init)
    assert row.train(row.make(), checkpoint=path).interrupted
    assert same(row.train(row.make(), checkpoint=path), history)


def test_ctrl_c_during_a_fit_ends_the_annealing_around_it(tmp_path, monkeypatch):
    row, path = MODELS["SelfLearningMC"], tmp_path / "training.npz"
    whole, sampler = row.make(), row.make()
    history = row.train(whole)
    with monkeypatch.context() as patch:
        failing(patch, NetworkFit, "advance", 8, KeyboardInterrupt)
        part = row.train(sampler, checkpoint=path)
    assert part.interrupted
    assert part.records < history.records
    assert same(row.train(sampler, checkpoint=path), history)
    assert np.array_equal(row.parameters(sampler), row.parameters(whole))


@pytest.mark.filterwarnings("ignore::plaq.rbm.machine.StabilityWarning")
def test_a_resumed_machine_keeps_the_best_of_the_first_part():
    row = MODELS["GaussianRBM"]
    machine = row.make()
    row.train(machine, validation=0.25, **row.good)
    before, wild = row.parameters(machine), row.wild | {"validation": 0.25}
    row.train(machine, **wild)
    history = row.train(machine, **wild | {"resume": True, "epochs": 12})
    assert history.epoch[0] == 8
    assert row.parameters(machine) == pytest.approx(before, rel=1e-12)


def test_steps_over_all_samples_keep_the_smallest_loss_without_validation():
    """Every loss is that of one set of parameters, so the best one is known; small batches keep the last."""
    net = lcnn()
    start = net.parameters.copy()
    options = {"batch": None, "epochs": 3, "progress": False, **WILD}
    history = net.fit(FIELDS, PLAQUETTES, **options)
    assert np.array_equal(net.parameters, start)
    assert history.kept == 0
    assert history.loss[0] == pytest.approx(net.loss(FIELDS, PLAQUETTES), rel=1e-14)
    history = net.fit(FIELDS, PLAQUETTES, **options | {"optimizer": pq.optimizers.SGD(0.1)})
    assert history.kept == 3
    assert net.loss(FIELDS, PLAQUETTES) < history.loss[-1]
    history = net.fit(FIELDS, PLAQUETTES, **options | {"batch": 3, "rng": 1})
    assert history.kept is None
    assert not np.array_equal(net.parameters, start)


@pytest.mark.parametrize("name", NETWORKS)
def test_rng_is_needed_where_something_is_drawn_and_only_there(name):
    row, model = MODELS[name], MODELS[name].make()
    with pytest.raises(TypeError, match=r"rng is (missing|needed).* at random"):
        row.train(model, rng=None)
    nothing_drawn = {"method": "exact", "batch": None} if "RBM" in name else {"batch": None}
    if name != "BernoulliRBM":
        first = row.train(row.make(), rng=None, **nothing_drawn)
        generator = np.random.default_rng(1)
        assert same(row.train(row.make(), rng=generator, **nothing_drawn), first)
        assert generator.integers(10**9) == np.random.default_rng(1).integers(10**9)


@ALL
@pytest.mark.parametrize("patience", [-1, 0, 1.5, True])
def test_nonsense_is_refused(name, patience):
    row = MODELS[name]
    options = {"patience": patience} | ({"validation": row.validation} if row.validation else {})
    with pytest.raises((ValueError, TypeError), match="patience"):
        row.train(row.make(), **options)
    for validation in (0.0, 1.0, -0.2, 2, float("nan")) if row.validation else ():
        with pytest.raises(ValueError, match=r"validation = .*fraction"):
            row.train(row.make(), validation=validation)
    for schedule in ("cosine", 0.9) if row.validation else ():
        with pytest.raises(TypeError, match="schedule is Constant, Cosine"):
            row.train(row.make(), optimizer=None, schedule=schedule) if "RBM" not in name else row.train(
                row.make(), schedule=schedule
            )


def test_validation_as_fraction_is_that_of_the_pair():
    """Of every model: the last samples, with their targets."""
    loss = pq.losses.FieldDistance
    nets = [pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]) for _ in range(2)]
    options = {"epochs": 3, "progress": False}
    first = nets[0].fit(FIELDS, loss(SMEARED), validation=1 / 3, **options)
    pair = (FIELDS[4:], SMEARED[4:])
    assert same(first, nets[1].fit(FIELDS[:4], loss(SMEARED[:4]), validation=pair, **options))
    nets = [lcnn(), lcnn()]
    first = nets[0].fit(FIELDS, PLAQUETTES, validation=1 / 3, **options)
    pair = (FIELDS[4:], PLAQUETTES[4:])
    assert same(first, nets[1].fit(FIELDS[:4], PLAQUETTES[:4], validation=pair, **options))
    nets = [attention(), attention()]
    options = {"steps": 5, "rng": 1, "progress": False, "batch": 8}
    first = nets[0].fit(SPINS, WEIGHTS, validation=0.25, **options)
    assert same(first, nets[1].fit(SPINS[:60], WEIGHTS[:60], validation=(SPINS[60:], WEIGHTS[60:]), **options))
    nets = [pq.LinearSpinModel((4, 4), 3), pq.LinearSpinModel((4, 4), 3)]
    first = nets[0].fit(SPINS, WEIGHTS, validation=0.25)
    assert same(first, nets[1].fit(SPINS[:60], WEIGHTS[:60], validation=(SPINS[60:], WEIGHTS[60:])))
    nets = [pq.GaussianRBM(4, 3, mu2=9.0, rng=1) for _ in range(2)]
    options = {"epochs": 5, "rng": 1, "progress": False, "method": "cd", "learning_rate": 0.02}
    first = nets[0].fit(ROWS, validation=0.25, **options)
    assert same(first, nets[1].fit(ROWS[:45], validation=ROWS[45:], **options))
    assert first.validation[-1] == pytest.approx(-nets[0].log_likelihood(ROWS[45:]), rel=1e-12)


def test_a_linear_model_keeps_its_couplings_if_they_are_better_on_held_out_spins():
    model = pq.LinearSpinModel((4, 4), 5)
    model.fit(SPINS, WEIGHTS)
    before = model.parameters.copy()
    history = model.fit(SPINS[:4], WEIGHTS[:4], validation=(SPINS, WEIGHTS))
    assert history.kept == 0
    assert np.array_equal(model.parameters, before)
    assert history.loss[-1] < 1e-20 < history.validation[0] < history.validation[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_schedule_is_that_of_the_optimizer(name):
    row, step = MODELS[name], pq.optimizers.Step(3, 0.5)
    first, second = row.make(), row.make()
    if "RBM" in name:
        row.train(first, schedule=step)
        row.train(second, decay=0.5, decay_every=3)
        with pytest.raises(ValueError, match="two schedules"):
            row.train(second, decay=0.5, schedule=step)
    else:
        history = row.train(first, optimizer=pq.optimizers.SGD(0.01), schedule=step)
        row.train(second, optimizer=pq.optimizers.SGD(0.01, schedule=step))
        assert history.learning_rate[0] > 2 * history.learning_rate[-1]
        with pytest.raises(ValueError, match="two schedules"):
            row.train(second, optimizer=RULE, schedule=step)
    assert row.parameters(first) == pytest.approx(row.parameters(second), rel=1e-13)


def test_an_objective_may_advance_by_itself(tmp_path):
    """Blocks between records may be long: they are cut into pieces, and records fall where they should."""

    class Halving:
        unit, records_start = "steps", True

        def __init__(self):
            self.x, self.done, self.kept, self.pieces = np.array([1.0]), 0, None, []

        def begin(self):
            return False

        def advance(self, until):
            self.pieces.append(until - self.done)
            self.x, self.done = self.x * 0.5 ** (until - self.done), until

        def score(self):
            return float(self.x[0])

        def record(self, score):
            return {"step": self.done, "x": score}

        def parameters(self):
            return self.x.copy()

        def keep(self, parameters):
            self.kept = parameters

        def state(self):
            return {"x": self.x, "step": self.done}

        def restore(self, state):
            self.x, self.done = state["x"], int(state["step"])

    objective = Halving()
    options = {"every": 20, "checkpoint": tmp_path / "run", "progress": False}
    best, history = minimize(objective, epochs=50, **options)
    assert list(history.step) == [0, 20, 40, 50]
    assert best == objective.kept == 0.5**50
    assert objective.pieces[:3] == [1, 2, 4]
    again = Halving()
    _, longer = minimize(again, epochs=60, **options)
    assert list(longer.step) == [0, 20, 40, 50, 60]
    assert again.kept == 0.5**60


COMMON = {
    "optimizer": None,
    "schedule": None,
    "validation": None,
    "patience": None,
    "checkpoint": None,
    "progress": True,
    "rng": None,
}
"""Keywords of a training and their defaults."""
SIGNATURES = {
    pq.CovariantNet.fit: {"epochs": 100, "batch": None} | COMMON,
    pq.LCNN.fit: {"epochs": 20, "batch": 50} | COMMON,
    pq.FieldTransformHMC.train: {"epochs": 100, "batch": None} | COMMON,
    pq.SelfLearningHMC.fit: {"epochs": 100, "batch": None} | COMMON | {"rng": inspect.Parameter.empty},
    pq.SelfLearningHMC.train: {"steps": 100, "batch": 1} | COMMON | {"rng": inspect.Parameter.empty},
    pq.EquivariantAttention.fit: {"steps": 2000, "batch": 100} | COMMON | {"validation": 0.25},
    minimize: {"epochs": 100, "batch": None} | COMMON,
    # rules of their own: learning_rate, momentum, ... instead of an optimizer; epochs have no default
    pq.GaussianRBM.fit: {name: value for name, value in COMMON.items() if name != "optimizer"}
    | {"epochs": inspect.Parameter.empty, "batch": None},
    pq.BernoulliRBM.fit: {name: value for name, value in COMMON.items() if name != "optimizer"}
    | {"epochs": inspect.Parameter.empty, "batch": None},
    # rounds of chains and fits, whose options are in `fit`; random numbers always
    pq.SelfLearningMC.train: {"patience": None, "checkpoint": None, "progress": True, "rng": inspect.Parameter.empty},
    # chains that move while they train, each one trajectory a step
    pq.L2HMC.fit: {
        "steps": 1000,
        "optimizer": None,
        "schedule": None,
        "checkpoint": None,
        "progress": True,
        "rng": inspect.Parameter.empty,
    },
    # one step, nothing drawn
    pq.LinearSpinModel.fit: {"validation": None},
}


def trainings():
    """Every public `fit` and `train`."""
    for name in pq.__all__:
        for method in ("fit", "train"):
            found = getattr(getattr(pq, name), method, None)
            if inspect.isclass(getattr(pq, name)) and found is not None:
                yield found


def test_every_training_has_the_one_signature():
    assert set(trainings()) == set(SIGNATURES) - {minimize}
    for function, wanted in SIGNATURES.items():
        parameters = inspect.signature(function).parameters
        for keyword in [*COMMON, "batch", "steps", "epochs"]:
            assert (keyword in parameters) == (keyword in wanted), (function, keyword)
        found = {keyword: parameters[keyword].default for keyword in wanted}
        assert found == wanted, function
        assert all(parameters[keyword].kind is inspect.Parameter.KEYWORD_ONLY for keyword in wanted)
        words = inspect.getdoc(function)
        assert all(keyword in words for keyword in parameters if keyword not in ("self", "progress")), function
        order = [keyword for keyword in parameters if keyword in wanted]
        shared = ["optimizer", "schedule", "validation", "patience", "checkpoint", "progress", "rng"]
        assert [keyword for keyword in order if keyword in shared] == [each for each in shared if each in order]
        annotation = inspect.signature(function).return_annotation
        assert "History" in str(annotation), function
