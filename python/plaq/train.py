"""The record of a training run, shared by every trainer."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import CheckpointError, FormatError
from plaq.checkpoint import replacing
from plaq.suggest import unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "Recorder"]


class History(Mapping[str, NDArray[Any]]):
    """Arrays along training, all with one entry (row) per record: ``history.loss`` or ``history["loss"]``.

    Parameters
    ----------
    columns : mapping of str to array_like
        Arrays by name, of equal length; ``epoch``, if there, is the abscissa of plots.

    Examples
    --------
    >>> history = History({"epoch": [0, 1, 2], "loss": [1.0, 0.5, 0.25]})
    >>> float(history.loss[-1])
    0.25
    """

    def __init__(self, columns: Mapping[str, ArrayLike]) -> None:
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
        return "\n".join([f"History of {self.records} records", *lines])

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

    def history(self) -> History:
        """What was recorded so far."""
        return History({name: np.stack(rows) for name, rows in self._rows.items()})


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
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        theirs = json.loads(str(stored["facts"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged or no training checkpoint of plaq ({error}); remove it") from error
    ours = json.loads(facts)
    found = [
        f"{k}: the file has {theirs.get(k)!r}, this training {ours[k]!r}" for k in ours if theirs.get(k) != ours[k]
    ]
    if found:
        raise CheckpointError(f"{path} belongs to another training:\n  " + "\n  ".join(found))
    names = [name for name in stored if name.startswith("record_")]
    for k in range(len(stored[names[0]])):
        recorder.add(**{name.removeprefix("record_"): stored[name][k] for name in names})
    return stored
