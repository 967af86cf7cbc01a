"""Markov chains as data: the draws, what the sampler said of them, and their estimates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.chains.export import ensemble_name, to_arviz, to_pyerrors, to_xarray
from plaq.chains.record import Record
from plaq.chains.slow import slow_mode
from plaq.ground.arguments import columns, sequence, shown, unknown, whole_numbers
from plaq.ground.html import box
from plaq.ground.names import Explained, outside
from plaq.ground.states import differences
from plaq.plot.chains import chain as draw
from plaq.statistics import Estimate, StatisticsWarning, estimate, fluctuations, r_hat

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Chain", "merge"]

STUCK = 50
"""Draws rejected one after another that make an estimate doubtful."""


class Chain(metaclass=Explained):
    """Draws of a Markov chain.

    ``chain["plaquette"]`` is the array of draws of an observable, shape ``(draws, ...)``; ``len(chain)`` counts them.
    ``chain[100:]`` is a chain without the first draws, ``chain[0]`` one draw as a dict, and a loop goes over draws.
    Unknown names are KeyErrors, numbers past the end IndexErrors, keys of any other kind TypeErrors.

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
        Whether Ctrl-C or an error ended the run.
    incomplete : bool
        Whether it has fewer draws than were asked for, by Ctrl-C, an error or ``max_seconds``.
    tuned : mapping, optional
        What the warm-up chose, as ``{"steps": 12, ...}``.
    replicas : sequence of int
        Lengths of the chains that :func:`plaq.merge` put together; empty for one chain.

    Attributes
    ----------
    info : dict of str to ndarray
        One entry per draw: what the sampler reports (``accepted``, ``delta_h``, ``solver_iterations``, ...) and
        ``seconds``, the wall time of the updates of the draw. With ``thin > 1`` an entry is the mean over the updates
        of the draw, except ``seconds``, which is their sum.
    state, seed, sweep, warmup, thin, fingerprint, interrupted, incomplete, tuned, replicas
        As given.

    Raises
    ------
    TypeError, ValueError
        No mappings of names to arrays, columns of different lengths, `replicas` that do not make up the draws.

    Examples
    --------
    >>> chain = Chain({"x": np.random.default_rng(1).normal(2.0, 1.0, 10_000)})
    >>> print(chain.estimate("x"))
    1.9891(98)
    """

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
        incomplete: bool = False,
        tuned: Mapping[str, Any] | None = None,
        replicas: Sequence[int] = (),
    ) -> None:
        self._draws = columns("draws", draws)
        self.info: dict[str, NDArray[Any]] = {} if info is None else columns("info", info)
        lengths = {name: len(values) for name, values in (self._draws | self.info).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a chain have one length; got {lengths}")
        self._count = next(iter(lengths.values()), 0)
        self.state, self.seed, self.sweep = state, seed, sweep
        self.warmup, self.thin = warmup, thin
        self.fingerprint: dict[str, Any] = dict(fingerprint or {})
        self.interrupted, self.incomplete = interrupted, incomplete
        self.tuned = None if tuned is None else dict(tuned)
        self.replicas = tuple(whole_numbers("replicas", replicas, 0, len(self), "give the lengths of the chains"))
        if self.replicas and sum(self.replicas) != self._count:
            raise ValueError(f"replicas of {list(self.replicas)} draws do not make up the {self._count} of the chain")

    @overload
    def __getitem__(self, name: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, name: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, name: slice) -> Chain: ...
    def __getitem__(self, name: str | int | slice) -> Any:
        if isinstance(name, slice):
            return self._part(name)
        if isinstance(name, int | np.integer) and not isinstance(name, bool):
            if not -len(self) <= name < len(self):
                raise IndexError(f"draw {name} of {len(self)}")
            return {each: values[name] for each, values in self._draws.items()}
        return self._column(name)

    def _column(self, name: Any) -> NDArray[Any]:
        """Draws of an observable."""
        if not isinstance(name, str):
            raise TypeError(f"an observable has a name, one of {list(self._draws)}; got {shown(name)}")
        if name not in self._draws:
            raise KeyError(unknown("observable", name, self._draws))
        return self._draws[name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Draws one after another, each a dict of the values by observable."""
        return (self[k] for k in range(len(self)))

    def _part(self, cut: slice) -> Chain:
        """Draws from `start` to `stop`; one that keeps the end is that of a run with a longer warm-up."""
        if self.replicas:
            raise ValueError(
                "merged chains are cut before they are merged: pq.merge([chain[100:] for chain in chains])"
            )
        start, stop, step = cut.indices(len(self))
        if step < 1:
            raise ValueError(
                f"chain[{cut.start}:{cut.stop}:{cut.step}]: draws stay in their order; the step is 1 or more"
            )
        is_end = step == 1 and stop == len(self)
        warmup = self.warmup + min(start, len(self)) * self.thin
        facts = {**self.fingerprint, "warmup": warmup} if "warmup" in self.fingerprint else dict(self.fingerprint)
        return Chain(
            {name: values[cut] for name, values in self._draws.items()},
            {name: values[cut] for name, values in self.info.items()},
            self.state if is_end else None,
            seed=self.seed,
            sweep=self.sweep if is_end else warmup + max(stop - start, 0) * self.thin,
            warmup=warmup,
            thin=self.thin * step,
            fingerprint=facts if is_end else {**facts, "part": f"{start}:{stop}:{step}"},
            interrupted=self.interrupted,
            incomplete=self.incomplete,
            tuned=self.tuned,
        )

    def _not_added(self, other: object) -> Any:
        raise TypeError("chains are not added but merged: pq.merge([chain, other]) makes them replicas of one ensemble")

    __add__ = __radd__ = _not_added

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

    def estimate(
        self, name: str | Sequence[str], f: Callable[..., Any] | None = None, *, tau_exp: float | None = None
    ) -> Estimate:
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
        tau_exp : float, optional
            Autocorrelation time of the slowest mode in draws, whose tail is added (arXiv 1009.5228), as that of the
            squared topological charge; see :func:`plaq.statistics.estimate`.

        Returns
        -------
        Estimate

        Raises
        ------
        KeyError
            Unknown name.
        TypeError
            `name` is neither a name nor a list of names.
        ValueError
            Too few draws, complex or array draws without `f`, several names without `f` or with array draws.

        Warns
        -----
        StatisticsWarning
            No update was accepted: the chain is frozen, and error and autocorrelation time are infinite. 50 updates in
            a row were rejected. The chain is too short (:func:`plaq.statistics.estimate`). Without `tau_exp`: another
            recorded observable, or its square, is much slower, moves this one, and its tail is missing in the error.

        Examples
        --------
        >>> rng = np.random.default_rng(1)
        >>> chain = Chain({"a": rng.normal(6, 1, 10_000), "b": rng.normal(2, 1, 10_000)})
        >>> print(chain.estimate(["a", "b"], lambda a, b: a / b))
        3.012(16)
        >>> print(chain.estimate("a", lambda a: a**2))  # 6^2 + 1
        36.87(12)
        """
        if not self._is_frozen:
            found = self._estimate(name, f, tau_exp)
            self._warn_of(name, f, found, tau_exp)
            return found
        _warn(
            f"none of the {len(self)} updates was accepted: the chain is frozen at one state, whose value says nothing "
            "about the mean; the error is infinite"
        )
        return Estimate(fluctuations(*self._series(name, f))[0], math.inf, math.inf, math.inf)

    def _warn_of(self, name: str | Sequence[str], f: Any, found: Estimate, tau_exp: float | None) -> None:
        stuck = self._longest_rejection()
        if stuck >= STUCK:
            _warn(f"{stuck} draws in a row were rejected: the chain hardly moves, and the error is a lower bound")
        if tau_exp is not None or not math.isfinite(found.error):
            return
        series, function = self._series(name, f)
        mode = slow_mode(fluctuations(series, function)[1], self._draws, self._parts)
        if mode is not None:
            _warn(
                f"{mode[0]} has an autocorrelation time of {mode[1]:.3g} draws and moves this observable: about "
                f"{mode[2]:.2g} are missing in tau = {found.tau:.2g}, and the error is too small; give "
                f"tau_exp={math.ceil(mode[1])} or more, or draw more"
            )

    def _longest_rejection(self) -> int:
        """Most draws in a row of which no update was accepted."""
        moved = np.flatnonzero(self.info["accepted"]) if "accepted" in self.info else np.arange(len(self))
        return int(np.diff(np.concatenate([[-1], moved, [len(self)]])).max()) - 1

    @property
    def _parts(self) -> tuple[int, ...]:
        return self.replicas or (len(self),)

    def r_hat(self, name: str) -> float:
        """Rank-normalised split R-hat of an observable (A. Vehtari et al., arXiv 1903.08008).

        Near 1 if all halves of all chains of a :func:`plaq.merge` agree; above 1.01 more draws or a longer warm-up are
        needed.

        Raises
        ------
        KeyError, TypeError, ValueError
            Unknown name; no name; complex or array draws; fewer than 8 draws a chain.
        """
        return r_hat(self._column(name), self._parts)

    def obs(self, name: str) -> Any:
        """One observable for arithmetic: ``chain.obs("a") / chain.obs("b")`` keeps the correlations (pyerrors).

        Call ``.gamma_method()`` on the result. Complex observables are ``CObs``, arrays of draws object arrays.

        Raises
        ------
        ImportError
            Without pyerrors: ``pip install plaq[analysis]``.
        KeyError, TypeError
            Unknown name; no name.
        """
        return to_pyerrors({name: self._column(name)}, ensemble_name(self.seed, self.fingerprint), self._parts)[name]

    @property
    def _is_frozen(self) -> bool:
        """Whether no update was ever accepted."""
        return "accepted" in self.info and not self.info["accepted"].any()

    def _estimate(
        self, name: str | Sequence[str], f: Callable[..., Any] | None, tau_exp: float | None = None
    ) -> Estimate:
        series, function = self._series(name, f)
        return estimate(series, function, tau_exp=tau_exp, replicas=self._parts)

    def _series(
        self, name: str | Sequence[str], f: Callable[..., Any] | None
    ) -> tuple[NDArray[Any], Callable[..., Any] | None]:
        """The draws, and the function of their means, if it is one."""
        if isinstance(name, str):
            draws = self._column(name)
            if f is None or draws.ndim > 1:
                return draws, f
            return np.array([f(draw) for draw in draws]), None
        several = [self._column(each) for each in sequence("name", name, str, "names of observables")]
        if f is None or any(column.ndim > 1 for column in several):
            raise ValueError(f"several names {list(name)} need scalar draws and f, a function of their means")
        return np.stack(several, axis=1), lambda means: f(*means)

    def plot(self, names: Sequence[str] | str | None = None) -> Figure:
        """One figure: history, autocorrelation and histogram of each scalar observable.

        Parameters
        ----------
        names : str or sequence of str, optional
            Observables to show; by default all with one number per draw (complex ones by real part).

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install plaq[plot]``.
        KeyError, TypeError
            Unknown name; no list of names.
        """
        return draw(self, names)

    def to_arviz(self) -> Any:
        """The chain as arviz data (InferenceData, or DataTree from arviz 1.0 on); complex draws as ``_re``, ``_im``.

        Replicas of :func:`plaq.merge` are chains of arviz, whose diagnostics compare them.

        Raises
        ------
        ValueError
            Replicas of different lengths, which arviz cannot hold.
        ImportError
            Without arviz: ``pip install plaq[analysis]``.
        """
        return to_arviz(self._draws, self.info, self._parts)

    def to_xarray(self) -> Any:
        """The chain as an ``xarray.Dataset`` over ``draw``; entries of `info` are named ``info_...``."""
        facts = {"seed": str(self.seed), "warmup": self.warmup, "thin": self.thin}
        return to_xarray(self._draws, self.info, facts)

    def to_pyerrors(self, ensemble: str | None = None) -> dict[str, Any]:
        """Each observable as ``pyerrors.Obs`` (complex: ``CObs``; arrays of draws: an object array of them).

        Parameters
        ----------
        ensemble : str, optional
            Name under which pyerrors keeps correlations; by default one that is particular to seed and physics input.
        """
        named = ensemble_name(self.seed, self.fingerprint) if ensemble is None else ensemble
        return to_pyerrors(self._draws, named, self._parts)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything, the state included, to a file that numpy can open (npz) and `run` can continue."""
        self._record().write(Path(path))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Chain:
        """Read a chain written by :meth:`save` or a checkpoint of a run.

        Raises
        ------
        CheckpointError
            The file is damaged, of another format version, or holds a state of an unknown class.
        """
        return cls._from_record(Record.read(Path(path)))

    @classmethod
    def _from_record(
        cls, record: Record, count: int | None = None, *, interrupted: bool = False, incomplete: bool = False
    ) -> Chain:
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
            incomplete=incomplete,
            tuned=record.tuned,
            replicas=record.replicas,
        )

    def _record(self) -> Record:
        counts = (self.seed, self.sweep, self.warmup, self.thin)
        return Record(self._draws, self.info, self.state, *counts, self.fingerprint, self.tuned, self.replicas)

    def _headline(self) -> str:
        ended = ", interrupted" if self.interrupted else ", incomplete" if self.incomplete else ""
        counts = f"{len(self)} draws (seed {self.seed}, warm-up {self.warmup}, thin {self.thin}{ended})"
        merged = f" in {len(self.replicas)} replicas" if self.replicas else ""
        steps = f", steps {self.tuned['steps']} (tuned)" if self.tuned and "steps" in self.tuned else ""
        return f"Chain of {counts}{merged}, acceptance {self.acceptance:.3f}{steps}"

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, mean(error) and tau of each observable."""
        for name, values in self._draws.items():
            if values.ndim > 1:
                yield name, f"array {values.shape[1:]}", ""
            elif self._is_frozen:
                yield name, f"{values[0]:.6g}(inf)", "frozen: no update was accepted"
            elif np.iscomplexobj(values):
                yield f"Re {name}", *_summary(values.real, self._parts)
                yield f"Im {name}", *_summary(values.imag, self._parts)
            else:
                yield name, *_summary(values, self._parts)

    def __repr__(self) -> str:
        rows = list(self._rows())
        wide = [max((len(row[k]) for row in rows), default=0) for k in (0, 1)]
        lines = [f"  {name:<{wide[0]}}  {value:<{wide[1]}}  {tau}".rstrip() for name, value, tau in rows]
        return "\n".join([self._headline(), *lines])

    def _repr_html_(self) -> str:
        return box(self._headline(), self._rows())


def _summary(values: NDArray[Any], replicas: Sequence[int]) -> tuple[str, str]:
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always", StatisticsWarning)
            result = estimate(values, replicas=replicas)
    except ValueError as error:
        return "no estimate", str(error)
    doubt = ("; all draws are equal" if math.isinf(result.error) else "; too few draws") if found else ""
    return str(result), repr(result).split(", ", 1)[1] + doubt


def _warn(text: str) -> None:
    warnings.warn(text, StatisticsWarning, stacklevel=outside())


def merge(chains: Iterable[Chain]) -> Chain:
    """Independent chains of one ensemble as one chain of replicas.

    Estimates use all of them, with fluctuations about the mean of all; ``chain.r_hat(name)`` says whether they agree.

    Parameters
    ----------
    chains : iterable of Chain
        With the same observables and physics input; warm-ups and lengths may differ. Merged ones may be among them.

    Returns
    -------
    Chain
        All draws, one chain after another; ``replicas`` has the lengths. No run continues it.

    Raises
    ------
    TypeError, ValueError
        No chains, other observables or physics input, or the same chain twice.

    Warns
    -----
    StatisticsWarning
        Chains with the same seed, whose random numbers are correlated.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=(2, 1000))
    >>> both = merge([Chain({"x": noise[0]}, seed=1), Chain({"x": noise[1]}, seed=2)])
    >>> both.replicas, round(both.r_hat("x"), 2)
    ((1000, 1000), 1.0)
    """
    parts = list(chains)
    if not parts or not all(isinstance(each, Chain) for each in parts):
        raise TypeError("merge takes a list of at least one chain, as in pq.merge([first, second])")
    first = parts[0]
    for k, each in enumerate(parts[1:], 1):
        _check_alike(first, each, k)
    for k, each in enumerate(parts):
        if any(_equal(each, other) for other in parts[:k]):
            raise ValueError(f"chain {k} holds the same draws as one before it; give each run another rng")
    if len({each.seed for each in parts}) < len(parts) and all(each.fingerprint for each in parts):
        _warn("chains with the same seed use the same random numbers and are correlated; give each run another rng")
    info = [name for name in first.info if all(name in each.info for each in parts)]
    return Chain(
        {name: np.concatenate([each[name] for each in parts]) for name in first.names},
        {name: np.concatenate([each.info[name] for each in parts]) for name in info},
        seed=first.seed,
        warmup=first.warmup,
        thin=first.thin,
        fingerprint=first.fingerprint,
        interrupted=any(each.interrupted for each in parts),
        incomplete=any(each.incomplete for each in parts),
        replicas=[length for each in parts for length in each._parts],
    )


def _check_alike(first: Chain, other: Chain, k: int) -> None:
    mine, theirs = ({n: c[n].shape[1:] for n in c.names} for c in (first, other))
    if mine != theirs:
        raise ValueError(f"chain {k} has observables {theirs}, chain 0 {mine}; merge chains of the same ones")
    facts = [{k: v for k, v in each.fingerprint.items() if k not in ("warmup", "part")} for each in (first, other)]
    if facts[0] != facts[1] or first.thin != other.thin:
        found = differences(facts[0], facts[1]) or [f"thin: {first.thin} and {other.thin}"]
        raise ValueError(f"chain {k} is of another ensemble than chain 0 (the file): " + "; ".join(found))


def _equal(a: Chain, b: Chain) -> bool:
    return len(a) == len(b) > 0 and bool(a.names) and all(np.array_equal(a[name], b[name]) for name in a.names)
