"""The one loop of all trainings: blocks of steps, records, the best parameters, patience, checkpoints, Ctrl-C."""

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import CheckpointError
from plaq.ground.arguments import whole_number
from plaq.ground.files import cannot_write
from plaq.ground.lock import locked
from plaq.ground.progress import Progress
from plaq.training.checkpoint import checkpoint_path, save_training_checkpoint, training_checkpoint
from plaq.training.history import History, Recorder

__all__ = ["Objective", "Training"]

Vector = NDArray[np.float64]

SLICE_SECONDS = 0.2
"""A block is cut into pieces of about this length, between which the display moves and checkpoints are written."""

WRITING = 10.0
"""A checkpoint is due when so many times the seconds of the last writing have passed since."""


class Objective(Protocol):
    """What a training moves, in blocks that may be long (and in Rust); after an exception in `advance` it is
    consistent.

    A unit of progress is what the model counts: epochs, steps or rounds.
    """

    unit: str
    """Name of the unit, as in ``"epochs"``."""
    records_start: bool
    """Whether the history has a record of the start."""

    @property
    def done(self) -> int:
        """Units done."""

    def begin(self) -> bool:
        """Prepare a new (not resumed) training; True if that changed the parameters."""

    def advance(self, until: int) -> None:
        """Go on until `until` units are done."""

    def score(self) -> float | None:
        """What the best parameters make small; None keeps the last ones."""

    def record(self, score: float | None) -> Mapping[str, Any]:
        """One line of the history."""

    def parameters(self) -> Vector:
        """A copy of the present parameters."""

    def keep(self, parameters: Vector) -> None:
        """Give the model the parameters that the training ends with."""

    def state(self) -> Mapping[str, ArrayLike]:
        """Arrays from which the training goes on to the same bits."""

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from these arrays."""


class Training:
    """One training run of an objective.

    Parameters
    ----------
    objective : Objective
        What is trained.
    every : int
        Units between records.
    patience : int, optional
        Records without a better score after which training ends.
    checkpoint : path, optional
        File from which the same training goes on.
    facts : mapping
        Plain data that must agree with that file.

    Raises
    ------
    TypeError, ValueError
        A patience that is no int of at least 1.
    OSError
        The checkpoint cannot be written.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        every: int = 1,
        patience: int | None = None,
        checkpoint: str | PathLike[str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._objective, self._every = objective, every
        self._patience = None if patience is None else whole_number("patience", patience, 1)
        self._path, self._facts = checkpoint_path(checkpoint), json.dumps(dict(facts or {}), sort_keys=True)
        self._recorder, self._recorded = Recorder(), -1
        self._best: Vector | None = None
        self._lowest, self._stale, self._kept = math.inf, 0, 0
        self._slice, self._due = 1, 0.0
        self._is_sound = self._is_resumed = False

    def run(self, total: int, progress: bool) -> History:
        """Train until `total` units are done; the model ends with the best parameters, whatever happens.

        An exception carries the history so far as ``.history``; Ctrl-C returns it.
        """
        with locked(self._path):
            return self._run(total, progress)

    def _run(self, total: int, progress: bool) -> History:
        if self._path is not None and self._path.exists():
            self._resume()
        display = Progress(total, self._objective.unit, self._text, enabled=progress)
        interrupted = False
        try:
            try:
                self._train(total, display)
            except KeyboardInterrupt:
                interrupted = True
                self._stop(total)
        except BaseException as error:
            with suppress(Exception):
                self._save()
            with suppress(AttributeError):
                error.history = self._history(False)  # type: ignore[attr-defined]
            raise
        finally:
            display.close(self._objective.done)
            self._objective.keep(self._objective.parameters() if self._best is None else self._best)
        return self._history(interrupted)

    def _train(self, total: int, display: Progress) -> None:
        if not self._is_sound:
            self._start()
        while self._objective.done < total and not self._is_stale():
            self._block(total, display)
        self._save()

    def _history(self, interrupted: bool) -> History:
        return self._recorder.history(interrupted, None if self._best is None else self._kept)

    def _text(self) -> str:
        return "" if math.isinf(self._lowest) else f"best {self._lowest:.4g}"

    def _is_stale(self) -> bool:
        return self._patience is not None and self._stale >= self._patience

    def _start(self) -> None:
        if not self._objective.records_start:
            self._offer(self._objective.score())
        if self._objective.begin():
            self._offer(self._objective.score())
        if self._objective.records_start:
            self._note()
        self._stale, self._is_sound = 0, True
        self._save()

    def _block(self, total: int, display: Progress) -> None:
        objective = self._objective
        goal = min(total, (objective.done // self._every + 1) * self._every)
        while objective.done < goal:
            start = time.perf_counter()
            objective.advance(min(goal, objective.done + self._slice))
            if self._slice < self._every and time.perf_counter() - start < SLICE_SECONDS:
                self._slice *= 2
            display.update(objective.done)
            if objective.done < goal:
                self._save_if_due()
        self._note()
        self._save_if_due()

    def _note(self) -> None:
        self._is_sound = False
        score = self._objective.score()
        row = self._objective.record(score)
        self._offer(score)
        try:
            self._recorder.add(**row)
        except ValueError as error:
            if not self._is_resumed:
                raise
            raise CheckpointError(
                f"{self._path} has other records than this training makes ({error}); go on with the plaq that wrote "
                "it, or remove it"
            ) from error
        self._recorded, self._is_sound = self._objective.done, True

    def _offer(self, score: float | None) -> None:
        """A candidate for the best parameters."""
        if score is None:
            return
        if math.isnan(score):
            where = f"after {self._objective.done} {self._objective.unit}"
            raise ValueError(f"the validation loss is nan {where}; lower the learning rate or check the data")
        if self._best is None or score < self._lowest:
            self._lowest, self._best, self._kept = score, self._objective.parameters(), self._objective.done
            self._stale = 0
        else:
            self._stale += 1

    def _stop(self, total: int) -> None:
        """Ctrl-C: the file holds what an unbroken training would, the history also where it was stopped."""
        done = self._objective.done
        ahead = done > max(self._recorded, 0)
        with suppress(KeyboardInterrupt):
            if ahead and (done % self._every == 0 or done == total):
                self._note()
            self._save()
            if ahead and self._recorded != done:
                self._note()

    def _save_if_due(self) -> None:
        if time.perf_counter() >= self._due:
            self._save()

    def _save(self) -> None:
        if self._path is None or not self._is_sound:
            return
        start = time.perf_counter()
        best = {} if self._best is None else {"best": self._best}
        state = {f"state_{name}": values for name, values in self._objective.state().items()}
        counters: dict[str, Any] = {"lowest": self._lowest, "counters": [self._stale, self._kept, self._recorded]}
        try:
            save_training_checkpoint(self._path, self._facts, self._recorder, **counters, **best, **state)
        except OSError as error:
            kept = ".history of this error has its records"
            raise cannot_write(error, "the checkpoint of the training", kept, self._path) from error
        now = time.perf_counter()
        self._due = now + WRITING * (now - start)

    def _resume(self) -> None:
        assert self._path is not None
        stored = training_checkpoint(self._path, self._facts, self._recorder)
        state = {name.removeprefix("state_"): stored[name] for name in stored if name.startswith("state_")}
        try:
            self._objective.restore(state)
            self._stale, self._kept, self._recorded = (int(count) for count in stored["counters"])
            self._best, self._lowest = stored.get("best"), float(stored["lowest"])
            if self._best is not None and self._best.shape != self._objective.parameters().shape:
                raise ValueError(f"its best parameters have shape {self._best.shape}")
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise CheckpointError(f"{self._path} does not fit this training ({error}); remove it") from error
        self._is_sound = self._is_resumed = True
