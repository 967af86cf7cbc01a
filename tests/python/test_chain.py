"""Running chains: exact resume, kill -9, Ctrl-C, bad input, files and exports, with small deterministic samplers."""

import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.ground.states import decode, encode
from plaq.sampler import ObservableError, Sampler, seed_of


@dataclass(frozen=True)
class Walk(Sampler):
    """AR(1) noise on an array; every 5th update is 'rejected'."""

    r: float = 0.5
    pause: float = 0.0

    def advance(self, state, seed, sweep):
        time.sleep(self.pause)
        noise = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, sweep, 0])).normal(size=state.shape)
        new = self.r * state + math.sqrt(1 - self.r**2) * noise
        return new, {"accepted": sweep % 5 != 0, "delta_h": float(noise.flat[0]), "sweep": sweep}

    def fingerprint(self):
        return {"r": self.r}

    def default_observables(self, state):
        return {"mean": lambda x: x.mean(), "pair": lambda x: complex(x.flat[0], x.flat[1]), "field": lambda x: x}


START = np.zeros((2, 3))


def walk(draws, **options):
    sampler = options.pop("sampler", Walk())
    return sampler.run(START, draws, **{"rng": 7, "progress": False, **options})


def same(a, b):
    """Equal bits of draws, state and info (wall times apart)."""
    keys = [key for key in a.info if key != "seconds"]
    return (
        a.names == b.names
        and all(np.array_equal(a[name], b[name]) for name in a.names)
        and np.array_equal(a.state, b.state)
        and all(np.array_equal(a.info[key], b.info[key]) for key in keys)
        and (a.sweep, a.seed) == (b.sweep, b.seed)
    )


def test_chain_of_draws():
    chain = walk(500, warmup=20)
    assert len(chain) == 500
    assert chain.names == ["mean", "pair", "field"]
    assert "mean" in chain
    assert chain["mean"].dtype == np.float64
    assert chain["pair"].dtype == np.complex128
    assert chain["field"].shape == (500, 2, 3)
    assert np.array_equal(chain["field"][-1], chain.state)
    assert np.array_equal(chain["mean"], [x.mean() for x in chain["field"]])
    assert chain.info["sweep"][0] == 20
    assert chain.info["accepted"].dtype == bool
    assert chain.acceptance == pytest.approx(0.8)
    assert chain.sweep == 520
    assert chain.seed == 7
    assert (chain.info["seconds"] > 0).all()
    assert not START.any()
    assert not chain.interrupted


def test_draws_are_the_updates_of_advance():
    state, sampler = START, Walk()
    for sweep in range(12):
        state, _ = sampler.advance(state, 7, sweep)
    assert np.array_equal(walk(4, warmup=4, thin=2).state, state)


def test_thinning_keeps_every_nth_draw_and_means_of_info():
    fine, coarse = walk(60, warmup=10), walk(20, warmup=10, thin=3)
    assert np.array_equal(coarse["field"], fine["field"][2::3])
    assert np.allclose(coarse.info["delta_h"], fine.info["delta_h"].reshape(20, 3).mean(axis=1))
    assert np.allclose(coarse.info["accepted"], fine.info["accepted"].reshape(20, 3).mean(axis=1))
    assert coarse.acceptance == pytest.approx(fine.acceptance)


def test_step_is_one_update():
    state, info = Walk().step(START, rng=7)
    assert np.array_equal(state, walk(1).state)
    assert info["sweep"] == 0
    rng = np.random.default_rng(1)
    first, second = Walk().step(START, rng=rng)[0], Walk().step(START, rng=rng)[0]
    assert not np.array_equal(first, second)


def test_seeds():
    assert seed_of(2**64 - 1) == 2**64 - 1
    assert seed_of(np.int64(3)) == 3
    assert seed_of(np.random.default_rng(5)) == seed_of(np.random.default_rng(5))
    assert seed_of(np.random.SeedSequence(5)) == seed_of(np.random.SeedSequence(5))
    assert same(walk(5, rng=np.random.default_rng(5)), walk(5, rng=np.random.default_rng(5)))


BAD_ARGUMENTS = [
    ({"draws": -1}, ValueError, "draws = -1: at least 0"),
    ({"draws": 2.5}, TypeError, "draws is an int"),
    ({"draws": True}, TypeError, "draws is an int"),
    ({"warmup": -1}, ValueError, "warmup = -1"),
    ({"thin": 0}, ValueError, "thin = 0: at least 1"),
    ({"checkpoint_every": 0}, ValueError, "checkpoint_every = 0"),
    ({"rng": -1}, ValueError, "0 to 2"),
    ({"rng": 2**64}, ValueError, "0 to 2"),
    ({"rng": None}, TypeError, "rng=1"),
    ({"rng": True}, TypeError, "rng is an int"),
    ({"rng": 0.5}, TypeError, "rng is an int"),
    ({"observables": np.mean}, TypeError, "dict of name: function"),
    ({"observables": [3]}, TypeError, "functions, names, or a dict"),
    ({"observables": {"": np.mean}}, TypeError, "non-empty string"),
    ({"observables": {"mean": 3}}, TypeError, 'observable "mean" must be a function'),
    ({"observables": {"mean": lambda x: "a"}}, ObservableError, 'observable "mean" must return a number'),
    ({"observables": {"mean": lambda x: None}}, ObservableError, 'observable "mean" must return a number'),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        walk(options.pop("draws", 10), **options)


def test_rng_is_required():
    with pytest.raises(TypeError, match="rng"):
        Walk().run(START, 3)


def fails_at(count):
    calls = iter(range(count + 1))

    def observable(x):
        if next(calls) == count:
            raise ZeroDivisionError("no zero here")
        return x.mean()

    return observable


def test_failing_observable_is_named_and_nothing_is_lost(tmp_path):
    path = tmp_path / "chain.npz"
    with pytest.raises(ObservableError, match='observable "bad" failed: ZeroDivisionError: no zero here') as caught:
        walk(50, observables={"mean": np.mean, "bad": fails_at(31)}, checkpoint=path)
    assert len(caught.value.chain) == 30
    assert isinstance(caught.value, pq.Error)
    resumed = walk(50, observables={"mean": np.mean, "bad": np.mean}, checkpoint=path)
    assert same(resumed, walk(50, observables={"mean": np.mean, "bad": np.mean}))


@pytest.mark.parametrize("late", [1j, np.zeros(2), "a"])
def test_observable_that_changes_its_kind(late):
    values = iter([0.5] * 10 + [late] * 10)
    with pytest.raises(ObservableError, match='observable "x"') as caught:
        walk(15, observables={"x": lambda _: next(values)})
    assert len(caught.value.chain) == 9


def test_failing_sampler_keeps_its_error_and_the_chain(tmp_path):
    class Breaks(Walk):
        def advance(self, state, seed, sweep):
            if sweep == 12:
                raise OverflowError("too large")
            return super().advance(state, seed, sweep)

    with pytest.raises(OverflowError, match="too large") as caught:
        walk(50, sampler=Breaks(), checkpoint=tmp_path / "chain.npz")
    assert len(caught.value.chain) == 12
    assert len(pq.Chain.load(tmp_path / "chain.npz")) == 12


def test_info_keys_must_not_change():
    class Talks(Walk):
        def advance(self, state, seed, sweep):
            state, info = super().advance(state, seed, sweep)
            return state, info if sweep < 5 else {**info, "more": 1.0}

    with pytest.raises(pq.Error, match="keys must not change"):
        walk(10, sampler=Talks())


@pytest.mark.parametrize("where", ["advance", "observable", "thinned"])
def test_ctrl_c_returns_whole_draws(where, tmp_path):
    class Interrupted(Walk):
        def advance(self, state, seed, sweep):
            if where != "observable" and sweep == 35:
                raise KeyboardInterrupt
            return super().advance(state, seed, sweep)

    calls = iter(range(1000))

    def stop(x):
        if where == "observable" and next(calls) == 36:
            raise KeyboardInterrupt
        return 0.0

    thin = 3 if where == "thinned" else 1
    path = tmp_path / "chain.npz"
    options = {"thin": thin, "observables": {"mean": np.mean, "stop": stop}}
    chain = walk(100, sampler=Interrupted(), checkpoint=path, **options)
    assert chain.interrupted
    assert len(chain) == 35 // thin
    assert "interrupted" in repr(chain)
    assert same(chain, walk(35 // thin, **options))
    stored = pq.Chain.load(path)
    assert same(stored, chain)


def test_ctrl_c_during_warm_up_keeps_the_place(tmp_path):
    path = tmp_path / "chain.npz"

    class Interrupted(Walk):
        def advance(self, state, seed, sweep):
            if sweep == 15:
                raise KeyboardInterrupt
            return super().advance(state, seed, sweep)

        def fingerprint(self):
            return super().fingerprint()

    Interrupted.__qualname__ = Walk.__qualname__
    chain = walk(10, warmup=30, sampler=Interrupted(), checkpoint=path)
    assert len(chain) == 0
    assert chain.sweep == 15
    assert math.isnan(chain.acceptance)
    assert same(walk(10, warmup=30, checkpoint=path), walk(10, warmup=30))


def test_second_ctrl_c_is_not_swallowed(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        walk(10, checkpoint=path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["chain.npz"]


@pytest.mark.parametrize("every", [None, 1, 7])
@pytest.mark.parametrize(("warmup", "thin"), [(0, 1), (11, 3)])
def test_resume_has_the_same_bits(tmp_path, every, warmup, thin):
    path = tmp_path / "chain.npz"
    options = {"warmup": warmup, "thin": thin}
    for draws in (4, 9, 20):
        chain = walk(draws, checkpoint=path, checkpoint_every=every, **options)
        assert len(chain) == draws
    assert same(chain, walk(20, **options))
    fewer = walk(6, checkpoint=path, **options)
    assert np.array_equal(fewer["field"], chain["field"][:6])
    assert len(fewer.info["delta_h"]) == 6
    assert len(pq.Chain.load(path)) == 20


def test_resume_false_starts_anew(tmp_path):
    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path, rng=1)
    assert same(walk(5, checkpoint=path, rng=2, resume=False), walk(5, rng=2))
    assert pq.Chain.load(path).seed == 2


def test_generator_continues_the_stored_seed(tmp_path):
    path = tmp_path / "chain.npz"
    first = walk(5, checkpoint=path, rng=np.random.default_rng(1))
    second = walk(8, checkpoint=path, rng=np.random.default_rng(2))
    assert second.seed == first.seed


OTHER_PHYSICS = [
    ({"sampler": Walk(0.6)}, ["sampler.r: the file has 0.5, this run 0.6"]),
    ({"warmup": 3}, ["warmup: the file has 0, this run 3"]),
    ({"thin": 2}, ["thin: the file has 1, this run 2"]),
    ({"rng": 8}, ["rng: the file has seed 7, this run 8"]),
    ({"rng": np.random.SeedSequence(3)}, ["rng: the file has seed 7"]),
    ({"observables": {"mean": np.mean}}, ["observables: the file has ['mean', 'pair', 'field'], this run ['mean']"]),
    ({"sampler": Walk(0.6), "thin": 2}, ["sampler.r", "thin"]),
]


@pytest.mark.parametrize(("options", "messages"), OTHER_PHYSICS)
def test_other_physics_is_refused(tmp_path, options, messages):
    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(pq.CheckpointError) as caught:
        walk(10, checkpoint=path, **options)
    for message in [*messages, "resume=False"]:
        assert message in str(caught.value)
    assert path.read_bytes() == before


def test_other_lattice_is_refused(tmp_path):
    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path)
    with pytest.raises(pq.CheckpointError, match=r"state.shape: the file has \[2, 3\], this run \[4, 3\]"):
        Walk().run(np.zeros((4, 3)), 10, rng=7, progress=False, checkpoint=path)


def test_every_truncation_and_flipped_bit_is_answered(tmp_path):
    path = tmp_path / "chain.npz"
    whole = walk(5, checkpoint=path)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for length in [0, 1, *rng.integers(2, len(content), 60)]:
        path.write_bytes(content[:length])
        with pytest.raises(pq.CheckpointError, match="resume=False"):
            walk(8, checkpoint=path)
    refused = 0
    for position in rng.integers(0, len(content), 400):
        broken = bytearray(content)
        broken[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zipfile speaks of duplicate or odd names
                assert same(pq.Chain.load(path), whole)
        except pq.CheckpointError:
            refused += 1
    assert refused > 300


def test_other_version_and_foreign_files(tmp_path):
    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path)
    with np.load(path) as stored:
        arrays = dict(stored)
    meta = json.loads(str(arrays["meta"]))
    np.savez(path, **{**arrays, "meta": np.array(json.dumps({**meta, "version": 99}))})
    with pytest.raises(pq.CheckpointError, match=r"version 99.*reads version 1"):
        walk(8, checkpoint=path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(pq.CheckpointError, match="no chain file"):
        walk(8, checkpoint=path)
    np.savez(path, meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(pq.CheckpointError, match="pickle"):
        walk(8, checkpoint=path)
    np.savez_compressed(path, **arrays)
    with pytest.raises(pq.CheckpointError, match="compressed"):
        walk(8, checkpoint=path)


def test_bad_paths(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        walk(5, checkpoint=tmp_path)
    with pytest.raises(FileNotFoundError, match="create it first"):
        walk(5, checkpoint=tmp_path / "no" / "chain.npz")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_read_only_folder_is_found_before_the_run():
    with pytest.raises(OSError, match="cannot write into the folder"):
        walk(5, checkpoint="/proc/plaq.npz")


def test_full_disk_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            walk(10, checkpoint=path, checkpoint_every=8)
    assert len(caught.value.chain) == 8
    assert len(pq.Chain.load(path)) == 5
    assert os.listdir(tmp_path) == ["chain.npz"]


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    path = tmp_path / "chain.npz"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (tmp_path / f".chain.npz.{platform.node()}.{pid}.abcd.tmp").write_bytes(b"half")
    walk(5, checkpoint=path)
    assert sorted(os.listdir(tmp_path)) == [f".chain.npz.{platform.node()}.{os.getpid()}.abcd.tmp", "chain.npz"]


SCRIPT = """
import sys, signal
sys.path.insert(0, {folder!r})
import plaq as pq
from test_chain import Walk, START
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
chain = Walk(pause={pause}).run(START, {draws}, warmup=40, thin=2, rng=7, progress=False, checkpoint={path!r},
                                checkpoint_every=3)
print(len(chain), chain.interrupted, flush=True)
"""


def start(path, draws=150, pause=0.001):
    code = SCRIPT.format(folder=str(Path(__file__).parent), path=str(path), draws=draws, pause=pause)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.machine
def test_kill_9_and_resume_has_the_same_bits(tmp_path):
    """Real processes, killed at random moments until one gets through."""
    path, rng, kills = tmp_path / "chain.npz", np.random.default_rng(3), 0
    for _ in range(25):
        process = start(path)
        try:
            process.communicate(timeout=rng.uniform(0.03, 0.25) if kills < 5 else None)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            if path.exists():
                pq.Chain.load(path)
    assert kills >= 3
    assert process.returncode == 0
    assert same(pq.Chain.load(path), walk(150, warmup=40, thin=2))
    assert os.listdir(tmp_path) == ["chain.npz"]


def test_a_file_is_replaced_in_one_step_after_it_is_on_disk(tmp_path, monkeypatch):
    path = tmp_path / "chain.npz"
    walk(5, checkpoint=path)
    before, steps, sync = path.read_bytes(), [], os.fsync

    def spy(descriptor):
        steps.append("sync")
        assert path.read_bytes() == before
        sync(descriptor)

    def replace(source, target):
        steps.append("replace")
        assert len(pq.Chain.load(source)) == 10
        assert (Path(target), path.read_bytes()) == (path, before)
        raise OSError("stopped before the replacement")

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="stopped before"):
        walk(10, checkpoint=path)
    assert steps[:2] == ["sync", "replace"]
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["chain.npz"]


@pytest.mark.machine
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals")
def test_ctrl_c_at_random_moments_keeps_whole_draws():
    """150 signals at random moments of a run: what comes back is always a chain of whole draws."""
    whole, rng, interrupted = walk(60), np.random.default_rng(5), 0
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 4e-3))
                chain = walk(60)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:  # before the first update or after the last: nothing to return
                continue
            interrupted += chain.interrupted
            if len(chain):
                assert same(chain, whole if len(chain) == 60 else walk(len(chain)))
    finally:
        signal.signal(signal.SIGALRM, old)
    assert interrupted > 30


@pytest.mark.machine
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_sigint_of_a_real_process(tmp_path):
    path = tmp_path / "chain.npz"
    process = start(path, draws=100_000)
    while not (path.exists() and len(pq.Chain.load(path))):  # on a busy machine the warm-up takes its time
        assert process.poll() is None
        time.sleep(0.02)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - asked < 2.0
    assert (process.returncode, err) == (0, "")
    count, interrupted = out.split()
    assert interrupted == "True"
    chain = pq.Chain.load(path)
    assert len(chain) == int(count) > 0
    assert same(chain, walk(len(chain), warmup=40, thin=2))


class Links:
    """Stands for GaugeField: an array behind from_numpy."""

    def __init__(self, array):
        self.array, self.shape, self.group = array, array.shape[1:-2], "SU(2)"

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)

    @classmethod
    def from_numpy(cls, array):
        return cls(array)


@dataclass
class Pair:
    links: Links
    weight: float
    steps: tuple


class Worm:
    def __init__(self, k):
        self.k = k

    def to_checkpoint(self):
        return {"k": self.k}

    @classmethod
    def from_checkpoint(cls, arrays):
        return cls(**arrays)


def test_states_of_every_kind():
    links = Links(np.arange(16.0).reshape(2, 2, 1, 2, 2) * 1j)
    state = (Pair(links, 0.1, (1, True, None)), {"worm": Worm(np.arange(3)), "list": [2.5, "a"]}, 1 + 2j, np.int64(3))
    arrays = {}
    tree = json.loads(json.dumps(encode(state, "state", arrays)))
    pair, others, number, scalar = decode(tree, arrays)
    assert np.array_equal(np.asarray(pair.links), links.array)
    assert (pair.weight, pair.steps, number, scalar) == (0.1, (1, True, None), 1 + 2j, 3)
    assert np.array_equal(others["worm"].k, [0, 1, 2])
    assert others["list"] == [2.5, "a"]


class Nothing:
    shape = (2,)


def test_states_that_cannot_be_stored(tmp_path):
    with pytest.raises(TypeError, match=r"Nothing cannot be stored.*to_checkpoint"):
        Walk().run(Nothing(), 5, rng=1, checkpoint=tmp_path / "chain.npz", observables={})
    with pytest.raises(TypeError, match="Python objects"):
        encode(np.array([None]), "state", {})


def test_unknown_state_class(tmp_path):
    code = (
        "import numpy as np, plaq as pq\n"
        "class Odd:\n"
        "    def __init__(self, a): self.a = a\n"
        "    def __array__(self, dtype=None, copy=None): return self.a\n"
        "    @classmethod\n"
        "    def from_numpy(cls, a): return cls(a)\n"
        f"pq.Chain({{'x': np.zeros(9)}}, state=Odd(np.zeros(3))).save({str(tmp_path / 'odd.npz')!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(pq.CheckpointError, match=r'class "Odd".*register_state'):
        pq.Chain.load(tmp_path / "odd.npz")


def test_save_load_and_continue(tmp_path):
    chain = walk(30, warmup=5)
    chain.save(tmp_path / "saved.npz")
    again = pq.Chain.load(tmp_path / "saved.npz")
    assert same(again, chain)
    assert again.fingerprint == chain.fingerprint
    assert same(walk(50, warmup=5, checkpoint=tmp_path / "saved.npz"), walk(50, warmup=5))
    with np.load(tmp_path / "saved.npz") as plain:
        assert plain["draws/mean"].shape == (50,)


def test_estimates_of_a_chain():
    chain = walk(4000, warmup=20)
    x = chain.estimate("mean")
    assert abs(x.mean) < 3 * x.error
    assert abs(x.tau - 1.5) < 3 * x.tau_error
    assert chain.estimate("pair", abs).mean == pytest.approx(abs(chain["pair"]).mean())
    assert chain.estimate("field", lambda m: m[0, 0]).mean == pytest.approx(chain["field"][:, 0, 0].mean())
    ratio = chain.estimate(["mean", "mean"], lambda a, b: (2 + a) / (2 + b))
    assert (ratio.mean, ratio.error) == (pytest.approx(1), pytest.approx(0, abs=1e-6))
    with pytest.raises(KeyError, match='unknown observable "men"; did you mean "mean"'):
        chain.estimate("men")
    with pytest.raises(ValueError, match="need scalar draws and f"):
        chain.estimate(["mean", "pair"])
    assert next(iter(chain))["mean"] == chain["mean"][0]


def test_repr():
    chain = walk(200)
    text = repr(chain)
    assert text.startswith("Chain of 200 draws (seed 7, warm-up 0, thin 1), acceptance 0.800")
    assert re.search(r"mean +-?0\.\d+\(\d+\) +tau = ", text)
    assert "Im pair" in text
    assert "array (2, 3)" in text
    assert chain._repr_html_().count("<tr>") == 4
    assert "too few" in repr(walk(3))
    assert "&lt;b&gt;" in walk(10, observables={"<b>": np.mean})._repr_html_()


def test_columns_of_a_chain_have_one_length():
    with pytest.raises(ValueError, match="one length"):
        pq.Chain({"a": np.zeros(3), "b": np.zeros(4)})


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress(monkeypatch, tqdm):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    walk(60, sampler=Walk(pause=0.004), warmup=3, progress=True)
    assert "60/60" in terminal.text
    assert "acceptance 0.8" in terminal.text
    assert "mean " in terminal.text
    terminal.text = ""
    walk(10, progress=False)
    assert terminal.text == ""


class Idle(Sampler):
    def advance(self, state, seed, sweep):
        return state, {"accepted": True, "delta_h": 0.0}

    def fingerprint(self):
        return {}


@pytest.mark.machine
def test_overhead_of_a_draw(monkeypatch, tmp_path):
    """About 30 microseconds with progress and checkpoint on; ten times that is a fault on any machine."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    observables = {"a": lambda x: 0.5, "b": lambda x: np.float64(1.0), "c": lambda x: 1j}
    times = []
    for k in range(3):
        start = time.perf_counter()
        Idle().run(START, 5000, observables=observables, rng=1, checkpoint=tmp_path / f"{k}.npz")
        times.append((time.perf_counter() - start) / 5000)
    print(f"overhead {1e6 * min(times):.1f} microseconds a draw")
    assert min(times) < 300e-6


def test_xarray():
    pytest.importorskip("xarray")
    data = walk(20).to_xarray()
    assert dict(data.sizes) == {"draw": 20, "field_0": 2, "field_1": 3}
    assert data["info_accepted"].dims == ("draw",)
    assert data.attrs["seed"] == "7"


# arviz 0.2x announces its rewrite with a FutureWarning at import; plaq supports both sides of it.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_arviz():
    pytest.importorskip("arviz", exc_type=ImportError)
    chain = walk(20)
    data = chain.to_arviz()
    assert np.array_equal(np.asarray(data["posterior"]["mean"])[0], chain["mean"])
    assert np.array_equal(np.asarray(data["posterior"]["pair_im"])[0], chain["pair"].imag)
    assert data["sample_stats"]["accepted"].shape == (1, 20)


def test_pyerrors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of packages that pyerrors imports
        pytest.importorskip("pyerrors")
    chain = walk(400)
    data = chain.to_pyerrors()
    data["mean"].gamma_method()
    assert data["mean"].value == pytest.approx(chain["mean"].mean())
    assert data["mean"].dvalue == pytest.approx(chain.estimate("mean").error, rel=0.2)
    assert data["field"].shape == (2, 3)
    assert data["pair"].imag.value == pytest.approx(chain["pair"].imag.mean())
    assert data["mean"].names[0].startswith("plaq_7_")


def test_missing_extra_is_named(monkeypatch):
    for name, call in (("arviz", "to_arviz"), ("xarray", "to_xarray"), ("pyerrors", "to_pyerrors")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=re.escape("of the extra plaq[analysis]")):
            getattr(walk(10), call)()


def test_another_function_under_an_old_name_is_refused(tmp_path):
    sampler, U = pq.Heatbath(pq.actions.Wilson(2.0)), pq.GaugeField.cold((4, 4), "U(1)")

    def run(draws, function):
        file = tmp_path / "chain.npz"
        return sampler.run(U, draws, rng=1, observables={"O": function}, checkpoint=file, progress=False)

    def loop(U):
        return pq.observables.wilson_loop(U, 2, 2)

    whole = run(8, pq.observables.plaquette)
    for draws in (8, 12):
        with pytest.raises(pq.CheckpointError, match='observable "O" was another function: the last of 8 draws is 0'):
            run(draws, loop)
        with pytest.raises(pq.CheckpointError, match=r"shape \(3,\)"):
            run(draws, lambda U: np.ones(3))
    assert np.array_equal(run(12, lambda U: pq.observables.plaquette(U))["O"][:8], whole["O"])
    truth = {"rng": 1, "checkpoint": tmp_path / "truth.npz", "progress": False}
    sampler.run(U, 8, observables={"O": lambda U: False}, **truth)
    with pytest.raises(
        pq.CheckpointError, match="the last of 8 draws is 0, and on its configuration it is 1 now"
    ) as caught:
        sampler.run(U, 8, observables={"O": lambda U: True}, **truth)
    assert len(caught.value.chain) == 8
    noise, file = np.random.default_rng(1), tmp_path / "noise.npz"
    for draws in (8, 12):
        sampler.run(U, draws, rng=1, observables={"O": lambda U: noise.normal()}, checkpoint=file, progress=False)
