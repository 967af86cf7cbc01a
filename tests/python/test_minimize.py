"""The training loop that networks share: convergence, interruption, resumption to the same bits, faults."""

from pathlib import Path

import numpy as np
import pytest
from plaq import CheckpointError
from plaq.optimizers import SGD, Adam
from plaq.train import minimize

X = np.linspace(-1.0, 1.0, 24).reshape(12, 2) ** 3
Y = X @ [0.5, -2.0] + 0.25


def gradient(p, k):
    error = X[k] @ p[:2] + p[2] - Y[k]
    return float(np.mean(error**2)), 2 * np.append(X[k].T @ error, error.sum()) / len(k)


def test_linear_regression_finds_its_solution_and_records_the_way():
    best, history = minimize(
        gradient, np.zeros(3), 12, optimizer=Adam(0.05), epochs=400, batch=5, rng=1, progress=False
    )
    assert gradient(best, np.arange(12))[0] < 1e-6
    assert history.step[-1] == 3 * 400
    assert history.epoch[0] == 1
    assert (np.diff(history.loss[::100]) < 0).all()


def test_resumed_training_has_the_bits_of_an_unbroken_one(tmp_path: Path):
    settings = {"optimizer": SGD(0.05, momentum=0.9), "batch": 5, "rng": 3, "progress": False}
    validation = {"validation": lambda p: gradient(p, np.arange(4))[0]}
    whole, record = minimize(gradient, np.zeros(3), 12, epochs=20, **settings, **validation)
    path = tmp_path / "training.npz"
    calls = 0

    def interrupted(p, k):
        nonlocal calls
        calls += 1
        if calls == 3 * 7 + 2:
            raise KeyboardInterrupt
        return gradient(p, k)

    _, part = minimize(interrupted, np.zeros(3), 12, epochs=20, checkpoint=path, **settings, **validation)
    assert part.records == 7
    # also from other starting parameters: those of the checkpoint count
    resumed, whole_again = minimize(gradient, np.ones(3), 12, epochs=20, checkpoint=path, **settings, **validation)
    assert (resumed == whole).all()
    assert all((record[name] == whole_again[name]).all() for name in record)


def test_patience_ends_training_and_returns_the_best_parameters():
    seen: list[float] = []

    def validation(p):
        seen.append(abs(float(p[0])))
        return seen[-1]

    best, history = minimize(
        lambda p, k: (float(p[0]), np.array([1.0])),
        [0.35],
        1,
        optimizer=SGD(0.1),
        epochs=100,
        validation=validation,
        patience=4,
        progress=False,
    )
    assert history.records == np.argmin(seen) + 4  # the first of these is the start
    assert abs(best[0]) == min(seen)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": "adam"}, TypeError, "SGD, Adam, AdamW or AMSGrad"),
        ({"epochs": 1.5}, TypeError, "epochs is an int"),
        ({"batch": 0}, ValueError, "batch = 0"),
        ({"epochs": -1}, ValueError, "epochs = -1"),
    ],
)
def test_bad_settings(change, error, message):
    with pytest.raises(error, match=message):
        minimize(gradient, np.zeros(3), 12, **({"progress": False} | change))


def test_a_loss_that_is_not_finite_stops_with_its_epoch():
    with pytest.raises(ValueError, match="loss is nan in epoch 0"):
        minimize(lambda p, k: (np.nan, p), np.zeros(2), 3, progress=False)
    with pytest.raises(ValueError, match="gradient"):
        minimize(lambda p, k: (0.0, p + np.inf), np.zeros(2), 3, progress=False)


def test_checkpoints_of_other_trainings_are_refused(tmp_path: Path):
    path = tmp_path / "training.npz"
    settings = {"epochs": 2, "batch": 5, "checkpoint": path, "progress": False}
    minimize(gradient, np.zeros(3), 12, rng=1, facts={"data": "a"}, **settings)
    with pytest.raises(CheckpointError, match="data: the file has 'a', this training 'b'"):
        minimize(gradient, np.zeros(3), 12, rng=1, facts={"data": "b"}, **settings)
    with pytest.raises(CheckpointError, match="seed"):
        minimize(gradient, np.zeros(3), 12, rng=2, facts={"data": "a"}, **settings)
    with pytest.raises(CheckpointError, match="3 parameters, this network has 4"):
        minimize(gradient, np.zeros(4), 12, rng=1, facts={"data": "a"}, **settings)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CheckpointError, match="damaged"):
        minimize(gradient, np.zeros(3), 12, rng=1, **settings)
