"""Checkpoints under kill -9, two processes, a full disk, folders that vanish or cannot be written."""

import importlib.util
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import plaq as pq
import pytest

PATH = Path(__file__).parents[2] / "scripts" / "soak.py"
spec = importlib.util.spec_from_file_location("soak", PATH)
soak = importlib.util.module_from_spec(spec)
sys.modules["soak"] = soak
spec.loader.exec_module(soak)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
HEATBATH, U = pq.Heatbath(pq.actions.Wilson(2.0)), pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
ROWS = pq.rbm.free_field(4, 1.0, 60, rng=1)


@pytest.mark.machine
@pytest.mark.parametrize("name", ["heatbath", "hmc-tuned", "covariant-net", "run-file"])
def test_killed_runs_have_the_bits_of_unbroken_ones(name):
    found = soak.soak(name, 3)
    assert found["equal"]
    assert found["kills"] >= 3
    assert found["finished"] >= 1


def test_the_soak_sees_a_run_that_does_not_resume_to_the_same_bits(monkeypatch):
    def forgetful(folder, size):
        path = folder / "run"
        fresh = not path.exists()
        path.touch()
        time.sleep(0.2)
        return soak.digest(np.array([fresh]))

    monkeypatch.setitem(soak.CASES, "forgetful", forgetful)
    assert not soak.soak("forgetful", 2)["equal"]


def test_every_run_and_training_is_soaked():
    """The public classes with `run`, `fit` or `train` that take a checkpoint."""
    words = PATH.read_text()
    public = {name: getattr(pq, name) for name in pq.__all__}
    named = [
        name
        for name, cls in public.items()
        if isinstance(cls, type) and any(hasattr(cls, each) for each in ("run", "fit", "train"))
    ]
    assert len(named) > 10
    assert [name for name in named if f"pq.{name}(" not in words and name != "Sampler"] == []


def hold(path, begun):
    def slow(U):
        begun.set()
        time.sleep(0.02)
        return 1.0

    HEATBATH.run(U, 500, rng=1, progress=False, checkpoint=path, observables={"x": slow})


@pytest.mark.machine
def test_a_checkpoint_in_use_is_refused_until_its_process_ends(tmp_path):
    path, begun = tmp_path / "run.npz", FORK.Event()
    process = FORK.Process(target=hold, args=(path, begun))
    process.start()
    assert begun.wait(20)
    with pytest.raises(pq.CheckpointError, match=rf"run.npz is in use: process {process.pid} on .*another"):
        HEATBATH.run(U, 5, rng=1, progress=False, checkpoint=path)
    link = tmp_path / "link.npz"
    link.symlink_to("run.npz")
    with pytest.raises(pq.CheckpointError, match="in use"):
        HEATBATH.run(U, 5, rng=1, progress=False, checkpoint=link)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(HEATBATH.run(U, 5, rng=1, progress=False, checkpoint=path)) == 5
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "run.npz"]


def test_a_training_in_use_is_refused(tmp_path):
    path, errors = tmp_path / "training.npz", []

    def fit():
        machine = pq.GaussianRBM(4, 3, mu2=9.0, rng=1)
        try:
            machine.fit(ROWS, epochs=300, method="pcd", learning_rate=1e-3, checkpoint=path, progress=False, rng=3)
        except pq.CheckpointError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=fit) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(errors) == 1
    assert "in use" in errors[0]
    assert os.listdir(tmp_path) == ["training.npz"]


def test_many_threads_get_the_lock_one_after_another(tmp_path):
    inside, most, done = [0], [0], []
    from plaq.ground.lock import locked

    def work():
        while len(done) < 60:
            try:
                with locked(tmp_path / "run"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0)
                    inside[0] -= 1
                    done.append(1)
            except pq.CheckpointError:
                time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert most == [1]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_vanishes_leaves_the_draws_on_the_error(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    count = [0]

    def vanish(U):
        count[0] += 1
        if count[0] == 8:
            shutil.rmtree(folder)
        return float(count[0])

    with pytest.raises(FileNotFoundError, match=r"checkpoint of the run cannot be written.*\.chain") as caught:
        HEATBATH.run(
            U, 20, rng=1, progress=False, checkpoint=folder / "c", checkpoint_every=1, observables={"x": vanish}
        )
    assert len(caught.value.chain) == 7


def test_a_checkpoint_that_is_deleted_is_written_anew(tmp_path):
    path = tmp_path / "c"

    def delete(U):
        path.unlink(missing_ok=True)
        return 1.0

    options = {"rng": 1, "progress": False, "observables": {"x": delete}}
    HEATBATH.run(U, 5, checkpoint=path, checkpoint_every=1, **options)
    assert len(pq.Chain.load(path)) == 5


def limited(path, queue):
    """A disk that is full after 20000 bytes, for runs that grow beyond."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    chain = pq.Heatbath(pq.actions.Wilson(1.0))
    for run in (
        lambda: chain.run(
            U, 3000, rng=1, progress=False, checkpoint=path / "run", checkpoint_every=100, observables={"x": np.mean}
        ),
        lambda: pq.GaussianRBM(4, 3, mu2=9.0, rng=1).fit(
            ROWS, epochs=800, method="pcd", learning_rate=1e-3, checkpoint=path / "training", progress=False, rng=3
        ),
    ):
        try:
            run()
            queue.put(("no error", 0, 0))
        except OSError as error:
            kept = len(error.chain) if hasattr(error, "chain") else error.history.records
            queue.put((str(error), error.errno, kept))


def test_a_disk_that_gets_full_keeps_the_last_checkpoint_and_the_draws(tmp_path):
    queue = FORK.Queue()
    process = FORK.Process(target=limited, args=(tmp_path, queue))
    process.start()
    found = [queue.get(timeout=100) for _ in range(2)]
    process.join()
    for (text, number, kept), what in zip(found, ("run", "training"), strict=True):
        assert number == 27, text
        assert f"the checkpoint of the {what} cannot be written (File too large)" in text
        assert kept > 10
    assert len(pq.Chain.load(tmp_path / "run")) >= 100
    assert sorted(os.listdir(tmp_path)) == ["run", "training"]


def unwritable(path, queue):
    if os.geteuid() == 0:
        os.setuid(65534)
    for call in (
        lambda: HEATBATH.run(U, 3, rng=1, progress=False, checkpoint=path / "run"),
        lambda: pq.Chain({"x": np.arange(3.0)}).save(path / "chain"),
        lambda: U.write(path / "field.npz"),
    ):
        try:
            call()
            queue.put(("written", ""))
        except OSError as error:
            queue.put((type(error).__name__, str(error)))


def test_a_folder_that_cannot_be_written_is_named():
    with tempfile.TemporaryDirectory() as place:  # pytest's folders are closed to the user that root becomes
        folder = Path(place)
        folder.chmod(0o555)
        queue = FORK.Queue()
        process = FORK.Process(target=unwritable, args=(folder, queue))
        process.start()
        found = [queue.get(timeout=60) for _ in range(3)]
        process.join()
        folder.chmod(0o755)
    for kind, text in found:
        assert kind == "PermissionError", (kind, text)
    assert "cannot write into the folder of the checkpoint" in found[0][1]


def test_two_command_lines_with_one_checkpoint(tmp_path):
    """Two command lines with one checkpoint: one runs, the other says in one line that it is in use."""
    (tmp_path / "run.toml").write_text(soak.RUN_FILE.format(folder=tmp_path, draws=4000))
    command = [sys.executable, "-m", "plaq", "run", str(tmp_path / "run.toml"), "--quiet", "--force"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "checkpoint.npz").exists() and first.poll() is None:
        time.sleep(0.02)
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "checkpoint.npz is in use" in second.stderr
