"""`run_many`: the same draws on every executor, replicas, retries from checkpoints, Ctrl-C, what cannot be sent."""

import multiprocessing
import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import plaq as pq
import pytest

START = pq.GaugeField.cold((4, 4), "U(1)")


def charge(U):
    return pq.observables.topological_charge(U, "geometric")


def scan():
    measured = {"Q": charge, "plaquette": pq.observables.plaquette}
    heatbath = [pq.Job(pq.Heatbath(pq.actions.Wilson(beta)), START, 30, warmup=5) for beta in (1.0, 2.0)]
    return [*heatbath, pq.Job(pq.HMC(pq.actions.Wilson(1.5)), START, 20, warmup=10, thin=2, observables=measured)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.names == b.names
        assert a.replicas == b.replicas
        assert a.seed == b.seed
        for name in a.names:
            assert np.array_equal(a[name], b[name])


class Walk(pq.Sampler):
    """Gaussian numbers; fails once at an update, and notes every update in a file."""

    def __init__(self, log, fails_at=None, error=OSError):
        self.log, self.fails_at, self.error = str(log), fails_at, error

    def advance(self, state, seed, sweep):
        with open(self.log, "a") as log:
            log.write(f"{sweep}\n")
        marker = f"{self.log}.failed"
        if sweep == self.fails_at and not os.path.exists(marker):
            open(marker, "w").close()
            raise self.error("the node went away")
        bits = np.random.Philox(key=seed, counter=[0, 0, sweep, 0])
        return np.random.Generator(bits).normal(size=2), {}

    def fingerprint(self):
        return {}

    def default_observables(self, state):
        return {"x": first_number}


def first_number(state):
    return state[0]


def updates(log):
    return [int(line) for line in log.read_text().split()]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_draws_do_not_depend_on_executor_or_workers(kind, workers):
    here = pq.run_many(scan(), chains=2, rng=7, progress=False)
    make = ThreadPoolExecutor
    options = {}
    if kind == "processes":
        make, options = ProcessPoolExecutor, {"mp_context": multiprocessing.get_context("spawn")}
    with make(workers, **options) as executor:
        assert_same(here, pq.run_many(scan(), executor, chains=2, rng=7, progress=False))


def test_streams_are_independent_and_stable():
    two = pq.run_many(scan()[:2], chains=2, rng=7, progress=False)
    three = pq.run_many(scan(), chains=3, rng=7, progress=False)
    for few, many in zip(two, three, strict=False):
        assert np.array_equal(few["plaquette"], many["plaquette"][: len(few)])
    seeds = {pq.run_many([scan()[j]] * (j + 1), chains=1, rng=7, progress=False)[-1].seed for j in range(3)} | {
        pq.run_many(scan()[:1], rng=8, progress=False)[0].seed
    }
    assert len(seeds) == 4
    same_job = pq.run_many([scan()[1]] * 2, rng=7, progress=False)
    assert not np.array_equal(same_job[0]["plaquette"], same_job[1]["plaquette"])
    correlation = np.corrcoef(*(chain["plaquette"] for chain in same_job))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(30)  # five sigma


def test_replicas_agree_with_the_exact_plaquette():
    job = pq.Job(pq.Heatbath(pq.actions.Wilson(1.0)), pq.GaugeField.cold((8, 8), "U(1)"), 1500, warmup=50)
    (chain,) = pq.run_many([job], chains=4, rng=11, progress=False)
    assert chain.replicas == (1500,) * 4
    found = chain.estimate("plaquette")
    assert abs(found.mean - 0.4463899659) < 4 * found.error  # I_1(1)/I_0(1)
    assert chain.r_hat("plaquette") < 1.02


@pytest.mark.parametrize("pool", [False, True])
def test_a_failed_worker_goes_on_from_its_checkpoint(tmp_path, pool):
    whole = pq.run_many([pq.Job(Walk(tmp_path / "whole"), np.zeros(2), 50)], rng=3, progress=False)
    log = tmp_path / "failing"
    jobs = [pq.Job(Walk(log, fails_at=30), np.zeros(2), 50)]
    with ThreadPoolExecutor(1) as executor:
        found = pq.run_many(jobs, executor if pool else None, folder=tmp_path / "runs", rng=3, progress=False)
    assert_same(whole, found)
    assert updates(log) == [*range(31), *range(30, 50)]
    assert (tmp_path / "runs" / "job-0-chain-0.npz").exists()


def test_without_a_folder_a_retry_starts_anew(tmp_path):
    log = tmp_path / "failing"
    found = pq.run_many([pq.Job(Walk(log, fails_at=30), np.zeros(2), 50)], rng=3, progress=False)
    assert updates(log) == [*range(31), *range(50)]
    assert_same(pq.run_many([pq.Job(Walk(tmp_path / "whole"), np.zeros(2), 50)], rng=3, progress=False), found)


def test_the_other_chains_end_before_the_error_comes_out(tmp_path):
    jobs = [pq.Job(Walk(tmp_path / name, fails_at=at), np.zeros(2), 20) for name, at in (("a", 5), ("b", None))]
    with pytest.raises(OSError, match="node") as raised:
        pq.run_many(jobs, folder=tmp_path / "runs", retries=0, rng=1, progress=False)
    assert "chain 0 of job 0" in str(getattr(raised.value, "__notes__", "chain 0 of job 0"))
    assert updates(tmp_path / "b") == list(range(20))
    again = pq.run_many(jobs, folder=tmp_path / "runs", retries=0, rng=1, progress=False)
    assert updates(tmp_path / "b") == list(range(20)), "finished chains are read, not run again"
    assert [len(chain) for chain in again] == [20, 20]


def test_wrong_arguments_are_not_tried_again(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ValueError, match="node"):
        pq.run_many([pq.Job(Walk(log, 3, ValueError), np.zeros(2), 20)], retries=5, rng=1, progress=False)
    assert updates(log) == [0, 1, 2, 3]


class Remembering:
    """Gives the old future for an old call, as dask does."""

    def __init__(self):
        self.calls = {}

    def submit(self, function, *arguments):
        key = tuple(map(repr, arguments))
        if key not in self.calls:
            future = self.calls[key] = Future()
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)
        return self.calls[key]


def test_executors_that_remember_results(tmp_path):
    found = pq.run_many([pq.Job(Walk(tmp_path / "log", 5), np.zeros(2), 20)], Remembering(), rng=1, progress=False)
    assert len(found[0]) == 20


def test_interrupted_runs_go_on(tmp_path):
    whole = pq.run_many([pq.Job(Walk(tmp_path / "whole"), np.zeros(2), 40)], rng=5, progress=False)
    jobs = [pq.Job(Walk(tmp_path / "log", 25, KeyboardInterrupt), np.zeros(2), 40)]
    with pytest.raises(KeyboardInterrupt):
        pq.run_many(jobs, folder=tmp_path / "runs", rng=5, progress=False)
    assert updates(tmp_path / "log")[-1] == 25
    assert_same(whole, pq.run_many(jobs, folder=tmp_path / "runs", rng=5, progress=False))


def test_what_cannot_be_sent_is_named():
    job = pq.Job(
        pq.Heatbath(pq.actions.Wilson(1.0)), START, 5, observables={"lock": lambda U: threading.active_count()}
    )
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
        pytest.raises(TypeError, match="chain 0 of job 0 cannot be sent to another process"),
    ):
        pq.run_many([job], executor, rng=1, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jobs": []}, "jobs"),
        ({"jobs": [1]}, "Job"),
        ({"executor": 3}, "submit"),
        ({"chains": 0}, "chains"),
        ({"retries": -1}, "retries"),
        ({"folder": 3}, "path"),
        ({"rng": None}, "rng"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pq.run_many(**({"jobs": scan()[:1], "rng": 1, "progress": False} | arguments))


def test_wrong_jobs():
    for bad in ({"sampler": 3}, {"draws": -1}, {"thin": 0}, {"warmup": 1.5}, {"observables": [charge]}):
        with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
            pq.Job(**({"sampler": pq.Heatbath(pq.actions.Wilson(1.0)), "state": START, "draws": 3} | bad))
