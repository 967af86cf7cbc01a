"""The record of a training run, shared by every trainer."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import CheckpointError, FormatError
from plaq.checkpoint import replacing
from plaq.optimizers import AdamW, _Rule
from plaq.progress import Progress
from plaq.suggest import unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "Recorder", "minimize"]

Vector = NDArray[np.float64]


class History(Mapping[str, NDArray[Any]]):
    """Arrays along training, all with one entry (row) per record: ``history.loss`` or ``history["loss"]``.

    Parameters
    ----------
    columns : mapping of str to array_like
        Arrays by name, of equal length; ``epoch``, if there, is the abscissa of plots.
    interrupted : bool
        Whether Ctrl-C ended the training; also an attribute.

    Examples
    --------
    >>> history = History({"epoch": [0, 1, 2], "loss": [1.0, 0.5, 0.25]})
    >>> float(history.loss[-1])
    0.25
    """

    interrupted: bool

    def __init__(self, columns: Mapping[str, ArrayLike], interrupted: bool = False) -> None:
        self.interrupted = interrupted
        self._columns = {name: np.asarray(values) for name, values in columns.items()}
        shapes = {name: values.shape for name, values in self._columns.items()}
        if any(not shape for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) > 1:
            raise ValueError(f"the arrays of a history have one length; got shapes {shapes}")

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            raise KeyError(unknown("record", name, self._columns))
        return self._columns[name]

    def __getattr__(self, name: str) -> NDArray[Any]:
        columns = self.__dict__.get("_columns", {})
        if name not in columns:
            raise AttributeError(unknown("record", name, columns))
        array: NDArray[Any] = columns[name]
        return array

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._columns]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def records(self) -> int:
        """Number of records."""
        return len(next(iter(self._columns.values()), ()))

    def __repr__(self) -> str:
        wide = max(map(len, self._columns), default=0)
        lines = [f"  {name:<{wide}}  {_ends(values)}" for name, values in self._columns.items()]
        ended = ", interrupted" if self.interrupted else ""
        return "\n".join([f"History of {self.records} records{ended}", *lines])

    def plot(self) -> "Figure":
        """One figure with a panel for each array (several lines for arrays with columns).

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install plaq[plot]``.
        """
        from plaq import plot

        return plot.training(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the arrays to a npz file."""
        with replacing(Path(path)) as file:
            np.savez(file, allow_pickle=False, **self._columns)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "History":
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            The file is damaged or no npz file.
        """
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as file:
                return cls({name: file[name] for name in file.files})
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, AttributeError) as error:
            raise FormatError(f"{path} is damaged or no training record of plaq ({error}); write it again") from error


class Recorder:
    """Collects the records of a training loop.

    Examples
    --------
    >>> recorder = Recorder()
    >>> for epoch in range(3):
    ...     recorder.add(epoch=epoch, loss=0.5**epoch)
    >>> float(recorder.history().loss[-1])
    0.25
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Any]] = {}
        self._count = 0

    def add(self, **values: Any) -> None:
        """Append one record; the names must be the same every time (arrays are copied)."""
        if self._count and values.keys() != self._rows.keys():
            raise ValueError(f"this record has {list(values)}, the ones before {list(self._rows)}")
        for name, value in values.items():
            self._rows.setdefault(name, []).append(np.array(value))
        self._count += 1

    def history(self, interrupted: bool = False) -> History:
        """What was recorded so far."""
        return History({name: np.stack(rows) for name, rows in self._rows.items()}, interrupted)


def _ends(values: NDArray[Any]) -> str:
    if values.ndim > 1 or not len(values):
        return f"array {values.shape}"
    return f"{values[0]:.6g} -> {values[-1]:.6g}"


def training_checkpoint(path: Path, facts: str, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Arrays of a training checkpoint whose `facts` (JSON) are those of this training; its records go to `recorder`.

    Raises
    ------
    CheckpointError
        A damaged file, or one of another training; names each fact that differs.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        theirs = json.loads(str(stored["facts"]))
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged or no training checkpoint of plaq ({error}); remove it") from error
    ours = json.loads(facts)
    found = [
        f"{k}: the file has {theirs.get(k)!r}, this training {ours[k]!r}" for k in ours if theirs.get(k) != ours[k]
    ]
    if found:
        raise CheckpointError(f"{path} belongs to another training:\n  " + "\n  ".join(found))
    names = [name for name in stored if name.startswith("record_")]
    for k in range(len(stored[names[0]]) if names else 0):
        recorder.add(**{name.removeprefix("record_"): stored[name][k] for name in names})
    return stored


def _whole(name: str, value: object, lowest: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is an int; got {value!r}")
    if value < lowest:
        raise ValueError(f"{name} = {value}: at least {lowest}")
    return int(value)


def minimize(
    gradient: Callable[[Vector, NDArray[np.int64]], tuple[float, Vector]],
    parameters: ArrayLike,
    n: int,
    *,
    optimizer: _Rule | None = None,
    epochs: int = 100,
    batch: int | None = None,
    seed: int = 0,
    validation: Callable[[Vector], float] | None = None,
    patience: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> tuple[Vector, History]:
    """Minimise a mean over samples by mini-batches; the loop that all trainers of networks share.

    Parameters
    ----------
    gradient : callable
        ``gradient(parameters, indices) -> (loss, gradient)``, both for the samples `indices`.
    parameters : array_like
        Start, one-dimensional.
    n : int
        Number of samples; every epoch visits each once, in an order drawn from (`seed`, epoch).
    optimizer : SGD, Adam or AdamW, optional
        By default ``AdamW(1e-3, weight_decay=0)``.
    epochs : int
        Last epoch; a resumed run goes on to it.
    batch : int, optional
        Samples per step (the last batch may be smaller); by default all.
    seed : int
        Fixes the order of the samples.
    validation : callable, optional
        Loss on held-out samples; the parameters with its smallest value are returned (without it: the last ones).
    patience : int, optional
        Epochs without a better validation loss after which training ends.
    checkpoint : path, optional
        Written after every epoch; if it exists, training goes on from it, to the same bits.
    facts : mapping, optional
        What else a checkpoint must agree with (plain data).
    progress : bool
        Show progress.

    Returns
    -------
    parameters : ndarray
    history : History
        ``epoch, step, loss`` (mean over the epoch's batches), ``gradient_norm`` (same), ``learning_rate`` and, if asked
        for, ``validation``. Ctrl-C ends the training; the epochs that were completed are returned
        (``history.interrupted``).

    Raises
    ------
    ValueError
        A loss or gradient that is not finite (the parameters of the last good epoch are in the checkpoint), wrong
        settings.
    CheckpointError
        The checkpoint is damaged or belongs to another training.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 20)
    >>> def gradient(p, k):
    ...     error = p[0] * x[k] - 3 * x[k]
    ...     return float(np.mean(error**2)), np.array([2 * np.mean(error * x[k])])
    >>> best, history = minimize(gradient, [0.0], 20, optimizer=AdamW(0.1, 0.0), batch=5, progress=False)
    >>> bool(abs(best[0] - 3) < 0.01), history.records
    (True, 100)
    """
    if patience is not None and validation is None:
        raise ValueError(f"patience = {patience} counts epochs without a better validation loss; give validation too")
    run = _Minimization(gradient, parameters, n, optimizer, batch, seed, validation, checkpoint, facts)
    return run.run(_whole("epochs", epochs, 0), patience, progress)


class _Minimization:
    """State of one call of `minimize`: what a checkpoint holds."""

    def __init__(
        self,
        gradient: Callable[[Vector, NDArray[np.int64]], tuple[float, Vector]],
        parameters: ArrayLike,
        n: int,
        optimizer: _Rule | None,
        batch: int | None,
        seed: int,
        validation: Callable[[Vector], float] | None,
        checkpoint: str | PathLike[str] | None,
        facts: Mapping[str, Any] | None,
    ) -> None:
        rule = AdamW(1e-3, weight_decay=0.0) if optimizer is None else optimizer
        if not isinstance(rule, _Rule):
            raise TypeError(f"optimizer is SGD, Adam or AdamW of plaq; got {rule!r}")
        self._gradient, self._validation, self._seed = gradient, validation, seed
        self._n = _whole("number of samples", n, 1)
        self._batch = self._n if batch is None else min(_whole("batch", batch, 1), self._n)
        self._parameters = np.array(parameters, np.float64)
        self._best = self._parameters.copy()
        self._optimizer = rule.start(len(self._parameters))
        self._epoch, self._stale, self._lowest = 0, 0, np.inf
        self._recorder = Recorder()
        self._path = None if checkpoint is None else Path(checkpoint)
        own = {"optimizer": repr(rule), "seed": seed, "batch": self._batch, "samples": self._n}
        self._facts = json.dumps(own | dict(facts or {}), sort_keys=True)

    def run(self, epochs: int, patience: int | None, show: bool) -> tuple[Vector, History]:
        """Epochs up to number `epochs`."""
        if self._path is not None and self._path.exists():
            self._resume(self._path)
        last, interrupted = "", False
        progress = Progress(epochs, "epochs", lambda: last, enabled=show)
        try:
            while self._epoch < epochs and not (patience is not None and self._stale >= patience):
                last = self._one_epoch()
                progress.update(self._epoch)
                if self._path is not None:
                    self._save(self._path)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress.close(self._epoch)
        return (self._parameters if self._validation is None else self._best), self._recorder.history(interrupted)

    def _one_epoch(self) -> str:
        """One pass over the samples; the state changes only when it is complete."""
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._n)
        parameters, losses, norms = self._parameters.copy(), [], []
        rate = self._optimizer.learning_rate
        for start in range(0, self._n, self._batch):
            loss, gradient = self._gradient(parameters, order[start : start + self._batch])
            if not np.isfinite(loss):
                raise ValueError(
                    f"the loss is {loss} in epoch {self._epoch}; lower the learning rate or check the data"
                )
            self._optimizer.update(parameters, gradient)
            losses.append(loss)
            norms.append(float(np.linalg.norm(gradient)))
        record = {
            "epoch": self._epoch + 1,
            "step": self._optimizer.step,
            "loss": float(np.mean(losses)),
            "gradient_norm": float(np.mean(norms)),
            "learning_rate": rate,
        }
        if self._validation is not None:
            record["validation"] = self._validate(parameters)
        self._parameters, self._epoch = parameters, self._epoch + 1
        self._recorder.add(**record)
        return ", ".join(f"{name} {record[name]:.4g}" for name in ("loss", "validation") if name in record)

    def _validate(self, parameters: Vector) -> float:
        assert self._validation is not None
        error = float(self._validation(parameters))
        if error < self._lowest:
            self._lowest, self._best, self._stale = error, parameters.copy(), 0
        else:
            self._stale += 1
        return error

    def _save(self, path: Path) -> None:
        step, first, second = self._optimizer.state()
        columns = {f"record_{name}": values for name, values in self._recorder.history().items()}
        with replacing(path) as file:
            np.savez(
                file,
                facts=np.array(self._facts),
                parameters=self._parameters,
                best=self._best,
                lowest=np.array(self._lowest),
                counters=np.array([self._epoch, self._stale, step]),
                first=first,
                second=second,
                **columns,  # type: ignore[arg-type]
            )

    def _resume(self, path: Path) -> None:
        stored = training_checkpoint(path, self._facts, self._recorder)
        try:
            if stored["parameters"].shape != self._parameters.shape:
                raise ValueError(f"{len(stored['parameters'])} parameters, this network has {len(self._parameters)}")
            self._epoch, self._stale, step = (int(k) for k in stored["counters"])
            self._optimizer.restore(step, stored["first"], stored["second"])
            self._parameters, self._best = stored["parameters"], stored["best"]
            self._lowest = float(stored["lowest"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} does not fit this training ({error}); remove it") from error
