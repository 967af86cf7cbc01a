"""Many runs at once on any executor: scans and replicas with independent streams, retries, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from plaq.chains.chain import Chain, merge
from plaq.chains.sampler import Sampler
from plaq.ground.arguments import instance, sequence, shown, whole_number
from plaq.ground.names import Explained
from plaq.ground.progress import Progress
from plaq.ground.rng import Rng, seed_of

__all__ = ["Job", "run_many"]

MOST = 10**4
Task = tuple["Job", int, str | None]


@dataclass(frozen=True, eq=False)
class Job(metaclass=Explained):
    """One run for :func:`plaq.run_many`: the arguments of :meth:`plaq.Sampler.run` as data.

    Parameters
    ----------
    sampler : Sampler
    state
        Start of the chain.
    draws : int
        Draws to keep.
    warmup, thin : int
        Updates dropped before the first draw, updates per draw.
    observables : mapping of str to callable, optional
        Functions of the state; for worker processes they are functions of a module, no lambdas.

    Raises
    ------
    TypeError, ValueError
        No sampler, wrong numbers, observables that are no functions by name.

    Examples
    --------
    >>> import plaq as pq
    >>> Job(pq.Heatbath(pq.actions.Wilson(2.0)), pq.GaugeField.cold((4, 4), "U(1)"), draws=20)
    <Job: 20 draws of Heatbath(Wilson(beta=2.0))>
    """

    sampler: Sampler[Any]
    state: Any
    draws: int
    warmup: int = 0
    thin: int = 1
    observables: Mapping[str, Callable[[Any], Any]] | None = None

    def __post_init__(self) -> None:
        instance("sampler", self.sampler, Sampler, "a plaq.Sampler, such as plaq.HMC(action)")
        for name, least in (("draws", 0), ("warmup", 0), ("thin", 1)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        if self.observables is not None:
            instance("observables", self.observables, Mapping, 'functions by name, as {"Q": charge}')
            object.__setattr__(self, "observables", dict(self.observables))

    def __repr__(self) -> str:
        return f"<Job: {self.draws} draws of {self.sampler!r}>"


def run_many(
    jobs: Sequence[Job],
    executor: Executor | Any = None,
    *,
    chains: int = 1,
    folder: str | PathLike[str] | None = None,
    retries: int = 1,
    progress: bool = True,
    rng: Rng,
) -> list[Chain]:
    """Run jobs, several chains of each, on any executor; draws do not depend on the executor or its workers.

    Chain k of job j has the seed ``SeedSequence(seed, spawn_key=(j, k))``: streams are independent, and jobs or chains
    that are added at the end change nothing before them.

    Parameters
    ----------
    jobs : sequence of Job
    executor : optional
        Anything with ``submit(function, *arguments)`` that returns a future with ``result()``: the executors of
        ``concurrent.futures``, ``mpi4py.futures`` and ``dask.distributed.Client``. None runs one after another here.
        It is not shut down. Start worker processes with ``RAYON_NUM_THREADS=1`` in their environment.
    chains : int
        Independent chains of each job, merged into one with replicas (:func:`plaq.merge`).
    folder : path, optional
        Each chain has its checkpoint ``job-J-chain-K.npz`` there, on a file system that the workers share. The same
        call again goes on, and chains that are complete are read.
    retries : int
        How often a chain is started again after its worker failed: from its checkpoint, or anew without `folder`.
        Wrong arguments (TypeError, ValueError) are not tried again.
    progress : bool
        Show how many chains are done.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Seed of all.

    Returns
    -------
    list of Chain
        One for each job, in their order.

    Raises
    ------
    TypeError, ValueError
        Wrong arguments; a job that cannot be sent to another process, as one with lambdas as observables.
    KeyboardInterrupt
        Ctrl-C; what was drawn is in `folder`.
    Exception
        What a worker raised last, with a note which chain it was; the other chains have run to their ends. A pool whose
        worker was killed takes no more tasks: the same call with a new one goes on from `folder`.

    Examples
    --------
    >>> import plaq as pq
    >>> start = pq.GaugeField.cold((4, 4), "U(1)")
    >>> scan = [pq.Job(pq.Heatbath(pq.actions.Wilson(beta)), start, 50, warmup=10) for beta in (1.0, 2.0)]
    >>> found = pq.run_many(scan, chains=2, rng=1, progress=False)
    >>> [(len(chain), chain.replicas) for chain in found]
    [(100, (50, 50)), (100, (50, 50))]
    """
    given: list[Job] = sequence("jobs", jobs, Job, "plaq.Job")
    if isinstance(executor, type):
        raise TypeError(f"executor is an object: {executor.__name__}(..), as in with {executor.__name__}(2) as pool")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor has a method submit, as concurrent.futures.ProcessPoolExecutor; got {shown(executor)}"
        )
    number, more = whole_number("chains", chains, 1, MOST), whole_number("retries", retries, 0, MOST)
    if not isinstance(progress, bool | np.bool_):
        raise TypeError(f"progress is True or False; got {shown(progress)}")
    seed = seed_of(rng)
    place = None
    if folder is not None:
        if not isinstance(folder, str | PathLike):
            raise TypeError(f"folder is a path; got {shown(folder)}")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
    tasks: list[Task] = []
    for j, job in enumerate(given):
        for k in range(number):
            own = seed_of(np.random.SeedSequence(seed, spawn_key=(j, k)))
            tasks.append((job, own, None if place is None else str(place / f"job-{j}-chain-{k}.npz")))
    bar = Progress(len(tasks), "chains", lambda: "", enabled=bool(progress))
    runner = _Here(tasks) if executor is None else _Elsewhere(tasks, executor)
    found = [_finished(runner, n, more, number, bar) for n in range(len(tasks))]
    bar.close(len(tasks))
    failed = [each for each in found if isinstance(each, BaseException)]
    if failed:
        raise failed[0]
    parts = [each for each in found if isinstance(each, Chain)]
    return [merge(parts[n : n + number]) if number > 1 else parts[n] for n in range(0, len(parts), number)]


class _Here:
    """Tasks one after another in this process."""

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks = tasks

    def result(self, n: int, attempt: int) -> Chain:
        return _work(*self.tasks[n], attempt)

    def cancel(self) -> None:
        pass


class _Elsewhere:
    """Tasks as futures of an executor, all submitted at once."""

    def __init__(self, tasks: list[Task], executor: Any) -> None:
        self.tasks, self.executor = tasks, executor
        self.futures: dict[tuple[int, int], Any] = {}
        for n in range(len(tasks)):
            self._submit(n, 0)

    def _submit(self, n: int, attempt: int) -> None:
        self.futures[n, attempt] = self.executor.submit(_work, *self.tasks[n], attempt)

    def result(self, n: int, attempt: int) -> Any:
        if (n, attempt) not in self.futures:
            self._submit(n, attempt)
        return self.futures[n, attempt].result()

    def cancel(self) -> None:
        for future in self.futures.values():
            future.cancel()


def _work(job: Job, seed: int, checkpoint: str | None, attempt: int) -> Chain:
    """One chain, in a worker; `attempt` makes the calls of a retry differ for executors that remember results."""
    return job.sampler.run(
        job.state,
        job.draws,
        warmup=job.warmup,
        thin=job.thin,
        observables=job.observables,
        rng=seed,
        progress=False,
        checkpoint=checkpoint,
    )


def _finished(runner: _Here | _Elsewhere, n: int, retries: int, chains: int, bar: Progress) -> Chain | BaseException:
    """The chain of a task, or the last error of its workers."""
    where = f"chain {n % chains} of job {n // chains}"
    for attempt in range(retries + 1):
        try:
            chain = runner.result(n, attempt)
            if chain.interrupted:
                raise KeyboardInterrupt
            bar.update(n + 1)
            return instance(where, chain, Chain, "a plaq.Chain")  # type: ignore[no-any-return]
        except KeyboardInterrupt:
            runner.cancel()
            raise
        except Exception as error:
            reason = _unsendable(error, where)
            if reason is not None:
                runner.cancel()
                raise reason from error
            failure = _noted(error, where)
            if isinstance(error, TypeError | ValueError | BrokenExecutor):
                break
    return failure


def _unsendable(error: Exception, where: str) -> TypeError | None:
    text = str(error)
    if "pickle" not in text.lower():
        return None
    return TypeError(
        f"{where} cannot be sent to another process ({text}): observables and functions of actions must be defined at "
        "the top of a module, or use an executor of threads"
    )


def _noted(error: Exception, where: str) -> Exception:
    if hasattr(error, "add_note"):
        error.add_note(f"in {where} of plaq.run_many")
    return error
