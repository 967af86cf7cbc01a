"""Running a sampler: warm-up, thinning, observables, progress, Ctrl-C, checkpoints and exact resume."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from plaq._plaq import CheckpointError
from plaq.chains.chain import Chain
from plaq.chains.loop import Run
from plaq.chains.record import Record
from plaq.ground.arguments import number, one_of, shown, whole_number
from plaq.ground.files import check_writable, remove_leftovers
from plaq.ground.lock import locked
from plaq.ground.names import Completed, call_text
from plaq.ground.rng import Rng, seed_of
from plaq.ground.states import describe, differences, encode

__all__ = ["Sampler", "run"]

S = TypeVar("S")
MOST = 10**9
Info = dict[str, float | bool | int]
Observables = Mapping[str, Callable[[Any], Any]] | Sequence[str | Callable[[Any], Any]]


class Sampler(Completed, ABC, Generic[S]):
    """A Markov kernel.

    A sampler implements ``advance`` and :meth:`fingerprint`; `step` and `run` follow from them.

    Examples
    --------
    >>> class Noise(Sampler):
    ...     def advance(self, state, seed, sweep):
    ...         bits = np.random.Philox(key=seed, counter=[0, 0, sweep, 0])
    ...         return np.random.Generator(bits).normal(size=state.shape), {}
    ...
    ...     def fingerprint(self):
    ...         return {}
    >>> chain = Noise().run(np.zeros(3), 100, observables={"mean": np.mean}, rng=1, progress=False)
    >>> len(chain)
    100
    """

    __repr__ = call_text

    _unlisted = ("advance", "learn", "tuned", "tuning")

    _remedy: ClassVar[str] = (
        "take smaller steps, as in HMC(steps=...) larger than now, or HMC(steps=None) with warmup=, which chooses them"
    )
    """What to do about a chain that accepts nothing."""

    @abstractmethod
    def advance(self, state: S, seed: int, sweep: int) -> tuple[S, Info]:
        """One update: a pure function of its arguments, which leaves `state` as it is.

        Parameters
        ----------
        state
            Where the chain is.
        seed, sweep : int
            Key and counter of the random numbers; the same pair gives the same update.

        Returns
        -------
        state
            Where the chain goes.
        info : dict of str to float, bool or int
            Report on the update; the same keys every time, ``accepted`` if updates can be rejected.
        """

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """The physics input (couplings, step sizes, ...) as plain data; a checkpoint of another one is refused."""

    def default_observables(self, state: S) -> dict[str, Callable[[S], Any]]:
        """Observables that are measured if none are given."""
        return {}

    def _named_observables(self, state: S) -> dict[str, Callable[[S], Any]]:
        """Those that a sequence of observables may name."""
        return self.default_observables(state)

    def tuning(self, state: S, seed: int) -> dict[str, Any] | None:
        """What is tuned in a warm-up, as plain data at its start; None if nothing is."""
        return None

    def tuned(self, facts: dict[str, Any]) -> Sampler[S]:
        """The sampler with `facts` as its choice."""
        return self

    def learn(self, facts: dict[str, Any], info: Info) -> dict[str, Any]:
        """New facts after an update of the warm-up reported `info`; a function of its arguments alone."""
        return facts

    def step(self, state: S, *, rng: Rng) -> tuple[S, Info]:
        """One update.

        Parameters
        ----------
        state
            Where the chain is; not changed.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Source of the seed. In a loop pass a Generator: an int makes every step use the same random numbers.

        Returns
        -------
        state, info
            As for ``advance``.
        """
        return self.advance(state, seed_of(rng), 0)

    def run(
        self,
        state: S,
        draws: int,
        *,
        warmup: int = 0,
        thin: int = 1,
        observables: Observables | None = None,
        rng: Rng,
        progress: bool | Literal["plot"] = True,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = True,
        max_seconds: float | None = None,
    ) -> Chain:
        """Sample a chain (below, with the words of the function that does it)."""
        return run(
            self,
            state,
            draws,
            warmup=warmup,
            thin=thin,
            observables=observables,
            rng=rng,
            progress=progress,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            max_seconds=max_seconds,
        )


def run(
    sampler: Sampler[S],
    state: S,
    draws: int,
    *,
    warmup: int = 0,
    thin: int = 1,
    observables: Observables | None = None,
    rng: Rng,
    progress: bool | Literal["plot"] = True,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    max_seconds: float | None = None,
) -> Chain:
    """Sample a chain.

    One seed fixes the chain: update number `sweep` (warm-up and thinned ones counted) depends on (seed, sweep) only,
    so a resumed run has the same bits as an uninterrupted one (`info["seconds"]` apart).

    Ctrl-C ends the run and returns the draws so far (``chain.interrupted``); a draw is kept whole or not at all, and
    a second Ctrl-C is not caught.

    Parameters
    ----------
    sampler : Sampler
    state
        Start of the chain; not changed. A resumed run goes on from the stored state instead.
    draws : int
        Draws to keep, those of a resumed run included. Asking for more extends a stored run; asking for fewer returns
        the first ones and leaves the file as it is (``chain.state`` is then that of the last stored draw).
    warmup : int
        Updates dropped before the first draw.
    thin : int
        Updates per draw. For ``thin > 1`` each entry of `info` is the mean over them (`seconds`: the sum).
    observables : mapping of str to callable, or sequence, optional
        Functions of the state (in a sequence also names of ``plaq.observables``), each returning a number or an
        array of fixed shape, real or complex; stored as float64 or complex128. By default those of the sampler. Each is
        evaluated once on `state` before the first update, so that a mistake shows at once.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Seed. The same int in two runs makes them use the same random numbers, which correlates their chains: continue
        through a checkpoint, or give a Generator. A resumed run keeps its stored seed; an int or SeedSequence that
        differs from it is refused, while a Generator (whose draw depends on what was drawn before) is not.
    progress : bool or "plot"
        Show a progress bar (tqdm if installed) in notebooks and on terminals. With ``"plot"`` a notebook also shows the
        histories of the first four scalar observables, with mean and error, drawn anew in their place every second or
        as seldom as keeps them at a twentieth of the run; needs ``plaq[plot]``.
    checkpoint : path, optional
        File that holds the run; if it exists and `resume` is True, the run goes on from it.
    checkpoint_every : int, optional
        Draws (during warm-up: updates) between writes; by default every 60 s. The file is also written at the end, on
        Ctrl-C and on errors. Writing replaces it atomically: at any moment it holds a complete run.
    resume : bool
        False starts anew; an existing file is overwritten by the first write.
    max_seconds : float, optional
        Wall time after which no update is begun that would end later if it took as long as the longest one before. The
        checkpoint is written, the draws so far are returned with ``chain.incomplete``, and the same call goes on.

    Returns
    -------
    Chain

    Raises
    ------
    CheckpointError
        The file is damaged, it belongs to a run with other physics input, observables, warm-up, thinning or seed, or
        another process goes on from it at the moment.
    ObservableError
        An observable failed or is NaN or infinite; the checkpoint is written and the exception has the draws so far in
        ``.chain``. Every other exception during the run, SystemExit too, carries ``.chain``.
    TypeError, ValueError
        Wrong arguments.

    Warns
    -----
    StatisticsWarning
        None of 50 updates in a row was accepted.
    """
    seed = seed_of(rng)
    if max_seconds is not None and number("max_seconds", max_seconds) <= 0:
        raise ValueError(f"max_seconds = {max_seconds}: a time above 0 is needed")
    _check_counts(draws, warmup, thin, checkpoint_every)
    measured = sampler.default_observables(state) if observables is None else observables
    if isinstance(measured, list | tuple):
        measured = _by_name(measured, sampler._named_observables(state))
    measured = _checked_observables(measured)
    fingerprint = _fingerprint(sampler, state, measured, warmup, thin)
    path = None if checkpoint is None else Path(checkpoint)
    record = Record({}, {}, state, seed, 0, warmup, thin, fingerprint)
    if path is not None:
        encode(state, "state", {})
        check_writable(path)
    with locked(path):
        if path is not None:
            remove_leftovers(path)
            if resume and path.exists():
                record = _resumed(path, fingerprint, None if isinstance(rng, np.random.Generator) else seed)
        return Run(sampler, measured, record, draws, path, checkpoint_every, progress, max_seconds).chain()


def _check_counts(draws: int, warmup: int, thin: int, checkpoint_every: int | None) -> None:
    every = 1 if checkpoint_every is None else checkpoint_every
    for name, value, least in (
        ("draws", draws, 0),
        ("warmup", warmup, 0),
        ("thin", thin, 1),
        ("checkpoint_every", every, 1),
    ):
        if whole_number(name, value, least) > MOST:
            raise ValueError(f"{name} = {value}: at most {MOST} is allowed")


def _checked_observables(observables: Any) -> dict[str, Callable[[Any], Any]]:
    if not isinstance(observables, Mapping):
        raise TypeError(f"observables is a dict of name: function; got {type(observables).__name__}")
    for name, function in observables.items():
        if not isinstance(name, str) or not name or "\0" in name:
            raise TypeError(f"the name of an observable is a non-empty string; got {name!r}")
        if not callable(function):
            raise TypeError(f'observable "{name}" must be a function of the state; got {function!r}')
    return dict(observables)


def _by_name(given: Sequence[Any], known: Mapping[str, Any]) -> dict[str, Callable[[Any], Any]]:
    """The observables of a sequence: functions by their own names, names of those that the sampler knows."""
    found: dict[str, Callable[[Any], Any]] = {}
    for each in given:
        if not callable(each) and not isinstance(each, str):
            raise TypeError(f"observables are functions, names, or a dict of name: function; got {shown(each)}")
        name = one_of("observable", each, known) if isinstance(each, str) else getattr(each, "__name__", repr(each))
        if name in found:
            raise ValueError(f'two observables are called "{name}"; give a dict of name: function')
        found[name] = known[name] if isinstance(each, str) else each
    return found


def _fingerprint(sampler: Any, state: Any, observables: Mapping[str, Any], warmup: int, thin: int) -> dict[str, Any]:
    facts = {
        "sampler": {"class": type(sampler).__qualname__} | sampler.fingerprint(),
        "state": describe(state),
        "observables": list(observables),
        "warmup": warmup,
        "thin": thin,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"fingerprint() must return numbers, strings, lists and dicts; it has a {type(value).__name__}")


def _resumed(path: Path, fingerprint: Mapping[str, Any], seed: int | None) -> Record:
    record = Record.read(path)
    if record.replicas:
        raise CheckpointError(
            f"{path} holds {len(record.replicas)} merged chains, which no run continues; name another file"
        )
    _check_columns(path, record)
    found = differences(record.fingerprint, fingerprint)
    if seed is not None and seed != record.seed:
        found.append(f"rng: the file has seed {record.seed}, this run {seed}")
    if found:
        raise CheckpointError(
            f"{path} belongs to another run:\n  "
            + "\n  ".join(found)
            + "\nchange these back, name another checkpoint file, or start anew with resume=False (replaces the file)"
        )
    return record


def _check_columns(path: Path, record: Record) -> None:
    """The draws of the file are numbers, as many as its updates make."""
    count = max((record.sweep - record.warmup) // record.thin, 0)
    for name, values in {**record.draws, **record.info}.items():
        if len(values) != count or values.dtype.kind not in "biufc":
            raise CheckpointError(
                f'{path}: {len(values)} values of "{name}" ({values.dtype}) after {record.sweep} updates, which make '
                f"{count} draws; no run continues it: name another file, or start anew with resume=False"
            )


# One text for the method and the function: `help(sampler.run)` says it all.
Sampler.run.__doc__ = str(run.__doc__).replace("    sampler : Sampler\n", "")
