"""The record of a training run, shared by every trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import FormatError
from plaq.ground.archive import unpacked, verified, write_arrays
from plaq.ground.arguments import columns as checked_columns
from plaq.ground.arguments import shown, unknown
from plaq.ground.files import damaged, read_content
from plaq.ground.html import box
from plaq.ground.names import Explained
from plaq.plot.training import training as draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "Recorder"]

_INTERRUPTED, _KEPT = "plaq.interrupted", "plaq.kept"


class History(Mapping[str, NDArray[Any]], metaclass=Explained):
    """Arrays along training, all with one entry (row) per record: ``history.loss`` or ``history["loss"]``.

    Parameters
    ----------
    columns : mapping of str to array_like
        Arrays by name, of equal length; ``epoch``, if there, is the abscissa of plots.
    interrupted : bool
        Whether Ctrl-C ended the training; also an attribute.
    kept : int, optional
        Epochs, steps or rounds after which the parameters were the best, with which the model was left (0: the start);
        None if it has the last ones. Also an attribute.

    An unknown name is a KeyError (AttributeError of an attribute), a key that is no text a TypeError.

    Raises
    ------
    TypeError, ValueError
        No mapping of names to arrays, or arrays of different lengths.

    Examples
    --------
    >>> history = History({"epoch": [0, 1, 2], "loss": [1.0, 0.5, 0.25]})
    >>> float(history.loss[-1])
    0.25
    """

    interrupted: bool
    kept: int | None

    def __init__(self, columns: Mapping[str, ArrayLike], interrupted: bool = False, kept: int | None = None) -> None:
        self.interrupted, self.kept = interrupted, kept
        self._columns = checked_columns("columns", columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if not isinstance(name, str):
            raise TypeError(f"a record has a name, one of {list(self._columns)}; got {shown(name)}")
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

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def records(self) -> int:
        """Number of records."""
        return len(next(iter(self._columns.values()), ()))

    def _headline(self) -> str:
        ended = ", interrupted" if self.interrupted else ""
        ended += "" if self.kept is None else f", best after {self.kept}"
        return f"History of {self.records} records{ended}"

    def __repr__(self) -> str:
        wide = max(map(len, self._columns), default=0)
        lines = [f"  {name:<{wide}}  {_ends(values)}" for name, values in self._columns.items()]
        return "\n".join([self._headline(), *lines])

    def _repr_html_(self) -> str:
        return box(self._headline(), ((name, _ends(values)) for name, values in self._columns.items()))

    def plot(self) -> Figure:
        """One figure with a panel for each array (several lines for arrays with columns).

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install plaq[plot]``.
        """
        return draw(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the arrays to a npz file, with `interrupted` and `kept`."""
        flags = {_INTERRUPTED: np.array(self.interrupted), _KEPT: np.array(-1 if self.kept is None else self.kept)}
        write_arrays(path, {**self._columns, **flags})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> History:
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            The file is damaged or no npz file.
        """
        content = read_content(path)
        with damaged(
            path, FormatError, lambda why: f"is damaged or no training record of plaq ({why}); write it again"
        ):
            columns = verified(unpacked(path, content))
            # Files of earlier versions have no flags.
            interrupted, kept = (columns.pop(name, None) for name in (_INTERRUPTED, _KEPT))
            best = -1 if kept is None else int(kept[()])
            return cls(columns, interrupted is not None and bool(interrupted[()]), None if best < 0 else best)


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
        record = {name: np.array(value) for name, value in values.items()}
        if self._count and record.keys() != self._rows.keys():
            raise ValueError(f"this record has {list(record)}, the ones before {list(self._rows)}")
        for name, value in record.items():
            before = self._rows.get(name)
            if before and before[0].shape != value.shape:
                raise ValueError(f"{name} has shape {value.shape}, in the records before {before[0].shape}")
        for name, value in record.items():
            self._rows.setdefault(name, []).append(value)
        self._count += 1

    def history(self, interrupted: bool = False, kept: int | None = None) -> History:
        """What was recorded so far."""
        return History({name: np.stack(rows) for name, rows in self._rows.items()}, interrupted, kept)


def _ends(values: NDArray[Any]) -> str:
    if values.ndim > 1 or not len(values):
        return f"array {values.shape}"
    return f"{values[0]:.6g} -> {values[-1]:.6g}"
