"""Markov chains as data: the draws, what the sampler said of them, and their estimates."""

import html
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import export
from plaq.checkpoint import Record
from plaq.statistics import Estimate, estimate
from plaq.suggest import unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Chain"]


class Chain:
    """Draws of a Markov chain.

    ``chain["plaquette"]`` is the array of draws of an observable, shape ``(draws, ...)``; ``len(chain)`` counts them.

    Parameters
    ----------
    draws : mapping of str to array_like
        Draws by observable; all of the same length.
    info : mapping of str to array_like, optional
        What the sampler reported for each draw.
    state : optional
        State of the sampler after the last update.
    seed, sweep, warmup, thin : int
        Random seed; number of updates done, warm-up included; updates dropped before the first draw; updates per draw.
    fingerprint : mapping, optional
        The physics input of the run.
    interrupted : bool
        Whether Ctrl-C ended the run.

    Attributes
    ----------
    info : dict of str to ndarray
        One entry per draw: what the sampler reports (``accepted``, ``delta_h``, ``solver_iterations``, ...) and
        ``seconds``, the wall time of the updates of the draw. With ``thin > 1`` an entry is the mean over the updates
        of the draw, except ``seconds``, which is their sum.
    state, seed, sweep, warmup, thin, fingerprint, interrupted
        As given.

    Examples
    --------
    >>> chain = Chain({"x": np.random.default_rng(1).normal(2.0, 1.0, 10_000)})
    >>> print(chain.estimate("x"))
    1.9891(98)
    """

    __iter__: None = None  # len() counts draws but [] takes names, so looping over a chain has no clear meaning

    def __init__(
        self,
        draws: Mapping[str, ArrayLike],
        info: Mapping[str, ArrayLike] | None = None,
        state: Any = None,
        *,
        seed: int = 0,
        sweep: int = 0,
        warmup: int = 0,
        thin: int = 1,
        fingerprint: Mapping[str, Any] | None = None,
        interrupted: bool = False,
    ) -> None:
        self._draws = {name: np.asarray(values) for name, values in draws.items()}
        self.info: dict[str, NDArray[Any]] = {name: np.asarray(values) for name, values in (info or {}).items()}
        lengths = {name: len(values) for name, values in (self._draws | self.info).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a chain have one length; got {lengths}")
        self._count = next(iter(lengths.values()), 0)
        self.state, self.seed, self.sweep = state, seed, sweep
        self.warmup, self.thin = warmup, thin
        self.fingerprint: dict[str, Any] = dict(fingerprint or {})
        self.interrupted = interrupted

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._draws:
            raise KeyError(unknown("observable", name, self._draws))
        return self._draws[name]

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: object) -> bool:
        return name in self._draws

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._draws)

    @property
    def names(self) -> list[str]:
        """Names of the observables."""
        return list(self._draws)

    @property
    def acceptance(self) -> float:
        """Fraction of updates accepted; 1 if the sampler always accepts, NaN without draws."""
        if not len(self):
            return math.nan
        return float(self.info["accepted"].mean()) if "accepted" in self.info else 1.0

    def estimate(self, name: str | Sequence[str], f: Callable[..., Any] | None = None) -> Estimate:
        """Mean, error and autocorrelation time by the Gamma method (hep-lat/0306017).

        Parameters
        ----------
        name : str or sequence of str
            An observable, or several scalar ones for a derived quantity.
        f : callable, optional
            For an observable with one number per draw: a real function of each draw, whose mean is estimated, as
            ``abs`` of a complex observable or ``lambda q: q**2`` for a susceptibility. For array draws or several
            names: a real function of the means, as ``lambda c: np.log(c[1] / c[2])``; with several names it takes one
            argument for each.

        Returns
        -------
        Estimate

        Raises
        ------
        KeyError
            Unknown name.
        ValueError
            Too few draws, complex or array draws without `f`, several names without `f` or with array draws.

        Warns
        -----
        RuntimeWarning
            No update was accepted: the chain is frozen, and error and autocorrelation time are infinite.

        Examples
        --------
        >>> rng = np.random.default_rng(1)
        >>> chain = Chain({"a": rng.normal(6, 1, 10_000), "b": rng.normal(2, 1, 10_000)})
        >>> print(chain.estimate(["a", "b"], lambda a, b: a / b))
        3.012(16)
        >>> print(chain.estimate("a", lambda a: a**2))  # 6^2 + 1
        36.87(12)
        """
        found = self._estimate(name, f)
        if not self._is_frozen:
            return found
        warnings.warn(
            f"none of the {len(self)} updates was accepted: the chain is frozen at one state, whose value says nothing "
            "about the mean; the error is infinite",
            RuntimeWarning,
            stacklevel=2,
        )
        return Estimate(found.mean, math.inf, math.inf, math.inf)

    @property
    def _is_frozen(self) -> bool:
        """Whether no update was ever accepted."""
        return "accepted" in self.info and not self.info["accepted"].any()

    def _estimate(self, name: str | Sequence[str], f: Callable[..., Any] | None) -> Estimate:
        if isinstance(name, str):
            draws = self[name]
            if f is None or draws.ndim > 1:
                return estimate(draws, f)
            return estimate(np.array([f(draw) for draw in draws]))
        columns = [self[each] for each in name]
        if f is None or any(column.ndim > 1 for column in columns):
            raise ValueError(f"several names {list(name)} need scalar draws and f, a function of their means")
        return estimate(np.stack(columns, axis=1), lambda means: f(*means))

    def plot(self, names: Sequence[str] | None = None) -> "Figure":
        """One figure: history, autocorrelation and histogram of each scalar observable.

        Parameters
        ----------
        names : sequence of str, optional
            Observables to show; by default all with one number per draw (complex ones by real part).

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install plaq[plot]``.
        """
        from plaq import plot

        return plot.chain(self, names)

    def to_arviz(self) -> Any:
        """The chain as arviz data (InferenceData, or DataTree from arviz 1.0 on); complex draws as ``_re``, ``_im``."""
        return export.to_arviz(self)

    def to_xarray(self) -> Any:
        """The chain as an ``xarray.Dataset`` over ``draw``; entries of `info` are named ``info_...``."""
        return export.to_xarray(self)

    def to_pyerrors(self, ensemble: str | None = None) -> dict[str, Any]:
        """Each observable as ``pyerrors.Obs`` (complex: ``CObs``; arrays of draws: an object array of them).

        Parameters
        ----------
        ensemble : str, optional
            Name under which pyerrors keeps correlations; by default one that is particular to seed and physics input.
        """
        return export.to_pyerrors(self, ensemble)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything, the state included, to a file that numpy can open (npz) and `run` can continue."""
        self._record().write(Path(path))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Chain":
        """Read a chain written by :meth:`save` or a checkpoint of a run.

        Raises
        ------
        CheckpointError
            The file is damaged, of another format version, or holds a state of an unknown class.
        """
        return cls.from_record(Record.read(Path(path)))

    @classmethod
    def from_record(cls, record: Record, count: int | None = None, *, interrupted: bool = False) -> "Chain":
        """The first `count` draws of a record (all by default)."""
        return cls(
            {name: values[:count] for name, values in record.draws.items()},
            {name: values[:count] for name, values in record.info.items()},
            record.state,
            seed=record.seed,
            sweep=record.sweep,
            warmup=record.warmup,
            thin=record.thin,
            fingerprint=record.fingerprint,
            interrupted=interrupted,
        )

    def _record(self) -> Record:
        return Record(
            self._draws, self.info, self.state, self.seed, self.sweep, self.warmup, self.thin, self.fingerprint
        )

    def _headline(self) -> str:
        ended = ", interrupted" if self.interrupted else ""
        counts = f"{len(self)} draws (seed {self.seed}, warm-up {self.warmup}, thin {self.thin}{ended})"
        return f"Chain of {counts}, acceptance {self.acceptance:.3f}"

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, mean(error) and tau of each observable."""
        for name, values in self._draws.items():
            if values.ndim > 1:
                yield name, f"array {values.shape[1:]}", ""
            elif self._is_frozen:
                yield name, f"{values[0]:.6g}(inf)", "frozen: no update was accepted"
            elif np.iscomplexobj(values):
                yield f"Re {name}", *_summary(values.real)
                yield f"Im {name}", *_summary(values.imag)
            else:
                yield name, *_summary(values)

    def __repr__(self) -> str:
        rows = list(self._rows())
        wide = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)]
        lines = [f"  {name:<{wide[0]}}  {value:<{wide[1]}}  {tau}".rstrip() for name, value, tau in rows]
        return "\n".join([self._headline(), *lines])

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self._rows()
        )
        return f"<div>{html.escape(self._headline())}<table>{cells}</table></div>"


def _summary(values: NDArray[Any]) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            result = estimate(values)
    except ValueError as error:
        return "no estimate", str(error)
    return str(result), repr(result).split(", ", 1)[1]
