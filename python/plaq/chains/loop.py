"""The loop of one run: draws in preallocated columns, committed one at a time, saved when due."""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import CheckpointError, PlaqError
from plaq.chains.chain import Chain
from plaq.chains.live import LivePlot, checked_progress
from plaq.chains.record import Record
from plaq.ground.arguments import shown
from plaq.ground.files import cannot_write
from plaq.ground.names import outside
from plaq.ground.progress import Progress
from plaq.statistics import StatisticsWarning

__all__ = ["ObservableError", "Run"]

CHECKPOINT_SECONDS = 60.0


STUCK = 50
"""Updates rejected one after another that make a run speak."""


def _agree(one: Any, other: Any) -> bool:
    """Whether two values of an observable are equal up to rounding."""
    if np.asarray(other).dtype.kind not in "biufc":
        return True  # refused with a reason of its own
    if np.shape(one) != np.shape(other):
        return False
    a, b = np.asarray(one, np.complex128), np.asarray(other, np.complex128)
    size = np.abs(a).max(initial=0.0) + np.abs(b).max(initial=0.0)
    return bool(np.abs(a - b).max(initial=0.0) <= 1e-6 * size + 1e-9)


def _text(value: Any) -> str:
    return shown(value) if np.ndim(value) else f"{np.asarray(value)[()]:.6g}"


class ObservableError(PlaqError):
    """An observable failed; ``.chain`` holds the draws made before.

    Examples
    --------
    >>> import plaq as pq
    >>> try:
    ...     observables = {"broken": lambda U: "no number"}
    ...     pq.Heatbath(pq.actions.Wilson(1.0)).run(pq.GaugeField.cold((4, 4)), 5, observables=observables, rng=1)
    ... except pq.ObservableError as error:
    ...     len(error.chain)
    0
    """

    chain: Chain


class Run:
    """One call of `plaq.sampler.run`.

    `_committed` = (state, sweep, count, what was tuned) changes in one assignment, so no draw is ever half kept.
    """

    def __init__(
        self,
        sampler: Any,
        observables: dict[str, Callable[[Any], Any]],
        record: Record,
        draws: int,
        path: Path | None,
        every: int | None,
        progress: bool | str,
        max_seconds: float | None = None,
    ) -> None:
        self._sampler, self._observables, self._record = sampler, observables, record
        self._draws, self._path, self._every = int(draws), path, every
        self._show, self._plots = checked_progress(progress)
        self._count = max((record.sweep - record.warmup) // record.thin, 0)
        self._tuned = record.tuned if record.sweep else sampler.tuning(record.state, record.seed)
        self._committed = (record.state, record.sweep, self._count, self._tuned)
        self._end, self._longest = time.monotonic() + (math.inf if max_seconds is None else max_seconds), 0.0
        self._warned = False
        self._rejected: list[float] = []
        self._saved = (record.sweep, time.monotonic())
        self._columns = {name: self._grown(values) for name, values in record.draws.items()}
        self._info = {name: self._grown(values) for name, values in record.info.items()}
        self._mean_sum, self._mean_count = 0.0, 0

    def chain(self) -> Chain:
        """Samples what is missing and returns the chain."""
        try:
            if self._count >= self._draws and self._committed[1] >= self._record.warmup and self._record.sweep > 0:
                with suppress(KeyboardInterrupt):
                    self._measured_now()
                return Chain._from_record(self._record, self._draws)
            self._sample()
            self._save()
            return self._so_far()
        except KeyboardInterrupt:
            self._save()
            return self._so_far(interrupted=True)
        except BaseException as error:  # SystemExit of a SIGTERM handler, too
            with suppress(OSError):
                self._save()
            with suppress(AttributeError):
                error.chain = self._so_far(interrupted=True)  # type: ignore[attr-defined]
            raise

    def _sample(self) -> None:
        for name, value in self._measured_now().items():
            self._allocate(name, value)
        if self._committed[1] < self._record.warmup:
            self._warm_up()
        if self._committed[1] < self._record.warmup:
            return
        progress = Progress(self._draws, "draws", self._progress_text, enabled=self._show)
        view = LivePlot(self._drawn, enabled=self._plots)
        try:
            while self._committed[2] < self._draws and self._has_time():
                self._draw()
                count = self._committed[2]
                progress.update(count)
                view.update()
                self._save_if_due(count)
        finally:
            progress.close(self._committed[2])
            view.update(last=True)

    def _drawn(self) -> dict[str, NDArray[Any]]:
        """The draws so far by observable."""
        return {name: values[: self._committed[2]] for name, values in self._columns.items()}

    def _warm_up(self) -> None:
        warmup, seed = self._record.warmup, self._record.seed
        progress = Progress(warmup, "warm-up", self._warm_up_text, enabled=self._show)
        state, sweep, _, tuned = self._committed
        try:
            while sweep < warmup and self._has_time():
                start = time.monotonic()
                sampler = self._sampler if tuned is None else self._sampler.tuned(tuned)
                state, info = sampler.advance(state, seed, sweep)
                tuned = None if tuned is None else self._sampler.learn(tuned, info)
                sweep += 1
                self._committed = (state, sweep, 0, tuned)
                self._longest = max(self._longest, time.monotonic() - start)
                self._count_rejections(info)
                progress.update(sweep)
                self._save_if_due(sweep)
        finally:
            progress.close(sweep)

    def _warm_up_text(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in (self._committed[3] or {}).items() if name == "steps")

    def _has_time(self) -> bool:
        """Whether another update as long as the longest one ends before `max_seconds`."""
        return time.monotonic() + self._longest <= self._end

    def _count_rejections(self, info: Mapping[str, Any]) -> None:
        """A word on the screen once a run is stuck, and not after the last hour."""
        if info.get("accepted", True):
            self._rejected = []
            return
        self._rejected.append(float(info.get("delta_h", math.nan)))
        if len(self._rejected) * self._record.thin >= STUCK and not self._warned:
            self._warned = True
            mean = (
                math.fsum(self._rejected) / len(self._rejected) if all(map(math.isfinite, self._rejected)) else math.inf
            )
            size = f" (delta_h = {info['delta_h']:.3g} now)" if "delta_h" in info else ""
            if 0 < mean < math.inf:
                # <exp(-delta_h)> = 1 makes the width of a Gaussian sqrt(2 mean).
                rate = math.erfc(math.sqrt(mean) / 2)
                size = f" (delta_h = {mean:.3g} on average, at which a Gaussian one is accepted with {rate:.2g})"
            warnings.warn(
                f"none of the last {STUCK} updates was accepted{size}: {self._sampler._remedy}",
                StatisticsWarning,
                stacklevel=outside(),
            )

    def _draw(self) -> None:
        state, sweep, count, tuned = self._committed
        start = time.perf_counter()
        state, info = self._advance(state, sweep, tuned)
        info["seconds"] = time.perf_counter() - start
        for name in self._observables:
            self._store(name, count, self._measure(name, state))
        self._store_info(count, info)
        self._committed = (state, sweep + self._record.thin, count + 1, tuned)
        self._longest = max(self._longest, time.perf_counter() - start)
        self._count_rejections(info)

    def _advance(self, state: Any, sweep: int, tuned: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        seed, thin = self._record.seed, self._record.thin
        sampler = self._sampler if tuned is None else self._sampler.tuned(tuned)
        state, info = sampler.advance(state, seed, sweep)
        if thin == 1:
            return state, dict(info)
        mean = {name: float(value) / thin for name, value in info.items()}
        for k in range(1, thin):
            state, info = sampler.advance(state, seed, sweep + k)
            for name, value in info.items():
                mean[name] += float(value) / thin
        return state, mean

    def _measure(self, name: str, state: Any) -> Any:
        try:
            return self._observables[name](state)
        except Exception as error:
            raise self._observable_error(name, f"failed: {type(error).__name__}: {error}") from error

    def _measured_now(self) -> dict[str, Any]:
        """The observables of the present state, which a resumed run compares with its last draw."""
        state, _, count, _ = self._committed
        found = {name: self._measure(name, state) for name in self._observables}
        for name, value in found.items() if count else ():
            last = self._columns[name][count - 1]
            # What draws random numbers of its own differs from one call to the next.
            if not _agree(last, value) and (
                np.shape(last) != np.shape(value) or _agree(value, self._measure(name, state))
            ):
                raise CheckpointError(
                    f'{self._path}: observable "{name}" was another function: the last of {count} draws is '
                    f"{_text(last)}, and on its configuration it is {_text(value)} now; take the function of before, "
                    "give the new one a name and a file of its own, or start anew with resume=False (replaces the file)"
                )
        return found

    def _observable_error(self, name: str, what: str) -> ObservableError:
        kept = "" if self._path is None else f" and in {self._path}"
        return ObservableError(
            f'observable "{name}" {what} (after {self._committed[2]} draws, which are in .chain of this error{kept})'
        )

    def _allocate(self, name: str, value: Any) -> None:
        sample = np.asarray(value)
        if sample.dtype.kind not in "biufc":
            raise self._observable_error(name, f"must return a number or an array of numbers; it returned {value!r}")
        if name not in self._columns:
            dtype = np.complex128 if sample.dtype.kind == "c" else np.float64
            self._columns[name] = np.zeros((self._draws, *sample.shape), dtype)

    def _store(self, name: str, row: int, value: Any) -> None:
        column = self._columns[name]
        if column.ndim > 1 or not isinstance(value, float):
            sample = np.asarray(value)
            if sample.shape != column.shape[1:] or (sample.dtype.kind == "c" and column.dtype.kind != "c"):
                was = f"{column.dtype} of shape {column.shape[1:]}"
                raise self._observable_error(name, f"was {was}, now {sample.dtype} of shape {sample.shape}")
        try:
            column[row] = value
        except (TypeError, ValueError) as error:
            raise self._observable_error(name, f"must return numbers; it returned {value!r}") from error
        if not (np.isfinite(column[row]).all() if column.ndim > 1 else abs(value) < math.inf):
            raise self._observable_error(name, "is NaN or infinite")

    def _store_info(self, row: int, info: Mapping[str, Any]) -> None:
        if not self._info:
            self._info = {
                name: np.zeros(self._draws, bool if isinstance(value, bool | np.bool_) else float)
                for name, value in info.items()
            }
        if info.keys() != self._info.keys():
            raise PlaqError(f"the sampler reports {sorted(info)} after {sorted(self._info)}; the keys must not change")
        for name, value in info.items():
            self._info[name][row] = value

    def _grown(self, values: NDArray[Any]) -> NDArray[Any]:
        grown = np.zeros((max(self._draws, len(values)), *values.shape[1:]), values.dtype)
        grown[: len(values)] = values
        return grown

    def _save_if_due(self, count: int) -> None:
        if self._path is None:
            return
        if self._every is not None:
            due = count % self._every == 0
        else:
            due = time.monotonic() - self._saved[1] >= CHECKPOINT_SECONDS
        if due:
            self._save()

    def _save(self) -> None:
        sweep = self._committed[1]
        if self._path is not None and self._saved[0] != sweep:
            try:
                self._current().write(self._path)
            except OSError as error:
                kept = ".chain of this error has the draws"
                raise cannot_write(error, "the checkpoint of the run", kept, self._path) from error
            self._saved = (sweep, time.monotonic())

    def _current(self) -> Record:
        state, sweep, count, tuned = self._committed
        old = self._record
        draws = self._drawn()
        info = {name: values[:count] for name, values in self._info.items()}
        return Record(draws, info, state, old.seed, sweep, old.warmup, old.thin, old.fingerprint, tuned)

    def _so_far(self, *, interrupted: bool = False) -> Chain:
        _, sweep, count, _ = self._committed
        incomplete = count < self._draws or sweep < self._record.warmup
        return Chain._from_record(self._current(), interrupted=interrupted and incomplete, incomplete=incomplete)

    def _progress_text(self) -> str:
        count = self._committed[2]
        parts = [f"acceptance {self._info['accepted'][:count].mean():.2f}"] if "accepted" in self._info else []
        name = next((name for name, column in self._columns.items() if column.dtype == float and column.ndim == 1), "")
        if name and count > self._mean_count:
            self._mean_sum += float(self._columns[name][self._mean_count : count].sum())
            self._mean_count = count
        if name and count:
            parts.append(f"{name} {self._mean_sum / self._mean_count:.5g}")
        return ", ".join(parts)
