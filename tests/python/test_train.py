"""The record of training."""

import copy
import pickle

import numpy as np
import plaq as pq
import pytest
from plaq.ground.archive import write_arrays
from plaq.train import Recorder


def record():
    return pq.History({"epoch": [0, 1, 2], "loss": [1.0, 0.5, 0.25], "angles": np.ones((3, 2, 2))})


def test_access():
    history = record()
    assert history.records == 3
    assert list(history) == ["epoch", "loss", "angles"]
    assert history.loss is history["loss"]
    assert "loss" in dir(history)
    assert dict(history)["epoch"].tolist() == [0, 1, 2]
    with pytest.raises(AttributeError, match='unknown record "los"; did you mean "loss"'):
        _ = history.los
    with pytest.raises(KeyError, match='did you mean "loss"'):
        history["los"]


def test_repr():
    assert repr(record()) == ("History of 3 records\n  epoch   0 -> 2\n  loss    1 -> 0.25\n  angles  array (3, 2, 2)")
    assert repr(pq.History({})) == "History of 0 records"


def test_copies_and_pickles():
    for again in (copy.deepcopy(record()), pickle.loads(pickle.dumps(record()))):
        assert np.array_equal(again.loss, record().loss)


def test_save_and_load(tmp_path):
    path = tmp_path / "history.npz"
    record().save(path)
    again = pq.History.load(path)
    assert list(again) == list(record())
    assert all(np.array_equal(again[name], record()[name]) for name in again)
    content = path.read_bytes()
    for broken in (b"", content[:50], content[:-30], b"x" * 100):
        path.write_bytes(broken)
        with pytest.raises(pq.FormatError, match="damaged"):
            pq.History.load(path)


@pytest.mark.parametrize(("interrupted", "kept"), [(True, 0), (False, 2), (True, None), (False, None)])
def test_a_saved_history_knows_how_it_ended(tmp_path, interrupted, kept):
    history = pq.History({"loss": [1.0, 0.5]}, interrupted, kept)
    history.save(tmp_path / "history.npz")
    again = pq.History.load(tmp_path / "history.npz")
    assert (again.interrupted, again.kept, list(again)) == (interrupted, kept, ["loss"])
    assert repr(again) == repr(history)


def test_histories_of_before_the_flags_load(tmp_path):
    write_arrays(tmp_path / "old.npz", {"loss": np.array([1.0, 0.5])})
    again = pq.History.load(tmp_path / "old.npz")
    assert (again.interrupted, again.kept, again.loss.tolist()) == (False, None, [1.0, 0.5])


def test_columns_have_one_length():
    with pytest.raises(ValueError, match="one length"):
        pq.History({"a": [1, 2], "b": [1]})
    with pytest.raises(ValueError, match="one length"):
        pq.History({"a": 3.0})


def test_recorder_copies_its_arrays():
    recorder, weights = Recorder(), np.zeros(2)
    for epoch in range(3):
        weights += 1
        recorder.add(epoch=epoch, weights=weights)
    assert recorder.history().weights.tolist() == [[1, 1], [2, 2], [3, 3]]
    with pytest.raises(ValueError, match="this record has"):
        recorder.add(epoch=3)
    assert recorder.history().records == 3
