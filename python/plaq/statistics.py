"""Means and errors of Markov chains by the Gamma method (U. Wolff, hep-lat/0306017)."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import number, whole_number, whole_numbers
from plaq.ground.names import Explained, outside

__all__ = [
    "Estimate",
    "StatisticsWarning",
    "autocorrelation",
    "estimate",
    "r_hat",
]

MINIMUM_DRAWS = 8
WINDOW_S = 1.5
"""Wolff's S: the exponential autocorrelation time is taken as S times tau_int when the window is chosen."""
FEWEST_TAUS = 50
"""Draws per autocorrelation time below which an error is called a lower bound."""
SHORTEST_TAUS = 10
"""Replicas with fewer autocorrelation times hardly show it."""
FEWEST_DRAWS = 20
"""Draws below which an error is called a lower bound whatever the autocorrelations seem to be."""
LARGEST_TAU_ERROR = 0.7
"""Relative error of tau_int above which a value below 1/2 is taken for noise."""
LUSCHER_CUTOFF = 100
"""Lambda of hep-lat/0409106, eq. (E.11)."""

_SPEC = re.compile(r"(?P<align>.?[<>^]|)(?P<width>\d*)(?:\.(?P<digits>[1-9]))?(?P<kind>[ef]?)")


class StatisticsWarning(RuntimeWarning):
    """A mean or an error that its chain does not bear out: too short, constant, stuck or coupled to a slow mode.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as found:
    ...     warnings.simplefilter("always")
    ...     print(estimate([1.0] * 100))
    1.0(inf)
    >>> found[0].category.__name__
    'StatisticsWarning'
    """


@dataclass(frozen=True, repr=False)
class Estimate(metaclass=Explained):
    """A mean with its statistical error and integrated autocorrelation time.

    ``str()`` gives the physicists' short form with two digits of error, ``0.59467(16)``. A format specification is
    ``[align][width][.digits][e|f]``: ``f"{x:.1}"`` keeps one digit of error, ``f"{x:>14}"`` pads, ``f"{x:e}"`` forces
    a power of ten and ``f"{x:f}"`` forbids it.

    Parameters
    ----------
    mean, error : float
        Mean and its standard error (autocorrelations included).
    tau, tau_error : float
        Integrated autocorrelation time in draws and its error; 1/2 for uncorrelated draws.

    Raises
    ------
    TypeError, ValueError
        No real numbers, or one that no float holds (NaN and infinities are allowed).

    Examples
    --------
    >>> print(Estimate(0.594668, 0.000162, 0.5, 0.01))
    0.59467(16)
    """

    mean: float
    error: float
    tau: float
    tau_error: float

    def __post_init__(self) -> None:
        for name in ("mean", "error", "tau", "tau_error"):
            object.__setattr__(self, name, number(name, getattr(self, name), finite=False))

    def __str__(self) -> str:
        return format(self, "")

    def __repr__(self) -> str:
        return f"Estimate {self}, tau = {_short(self.tau, self.tau_error, 2, '')}"

    def __float__(self) -> float:
        return self.mean

    def _no_arithmetic(self, *_: object) -> Any:
        raise TypeError(
            "two estimates do not know how their errors are correlated: take chain.estimate([name, other], f) with a "
            "function of the means, or compute with chain.obs(name), which pyerrors propagates"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic
    __pow__ = __rpow__ = __neg__ = _no_arithmetic

    def __format__(self, spec: str) -> str:
        parts = _SPEC.fullmatch(spec)
        if parts is None:
            raise ValueError(
                f'format "{spec}" of an Estimate: allowed is [align][width][.digits][e|f] with 1 to 9 digits of error, '
                'as in "", ".1", ">14.2" or "e"'
            )
        text = _short(self.mean, self.error, int(parts["digits"] or 2), parts["kind"])
        return format(text, parts["align"] + parts["width"])


def _short(mean: float, error: float, digits: int, kind: str) -> str:
    """`mean(error)` with `digits` digits of error."""
    if not (math.isfinite(mean) and math.isfinite(error)):
        return f"{mean}({error})"
    size = max(abs(mean), error)
    exponent = math.floor(math.log10(size)) if size > 0 else 0
    if kind == "e" or (kind == "" and not -4 <= exponent < 7):
        scale = 10.0**exponent if exponent > -300 else 1e-300
        return f"{_fixed(mean / scale, error / scale, digits)}e{exponent:+03d}"
    return _fixed(mean, error, digits)


def _fixed(mean: float, error: float, digits: int) -> str:
    if error == 0:
        return f"{mean!r}(0)"
    last = _last_place(error, digits)
    if last < -300:  # of no use to count places
        return f"{mean!r}({error:.{digits - 1}e})"
    if last >= 0:
        return f"{round(mean, -last):.0f}({round(error, -last):.0f})"
    if round(error, -last) < 1:
        return f"{mean:.{-last}f}({round(error * 10.0**-last)})"
    return f"{mean:.{-last}f}({error:.{-last}f})"


def _last_place(error: float, digits: int) -> int:
    """Decimal exponent of the last digit shown, also when rounding lengthens the error (0.0996 -> 0.10)."""
    return int(f"{error:.{digits - 1}e}".split("e")[1]) - digits + 1


def estimate(
    series: ArrayLike,
    f: Callable[[Any], Any] | None = None,
    *,
    tau_exp: float | None = None,
    replicas: Sequence[int] | None = None,
) -> Estimate:
    """Mean, error and integrated autocorrelation time of a stationary series.

    The window of the sum over the autocorrelation function is chosen automatically with S = 1.5 (hep-lat/0306017,
    eqs. 50-52; for negative correlations with the absolute value of their sum), the bias of the estimated means is
    corrected (eq. 49) and the error of tau_int is that of eq. 42. tau_int = 1/2 for uncorrelated draws.

    Parameters
    ----------
    series : array_like, shape (draws,) or (draws, ...)
        One row per draw, in the order of the chain. Real, or complex if `f` is given.
    f : callable, optional
        Derived quantity: a real function of the mean (1-D series) or of the array of means (one per column).
        Its error follows from the series projected on the gradient of `f`, which is taken numerically.
        ``f(mean)`` is not the mean of ``f``: ``abs`` of a Polyakov loop series gives abs(<L>), not <abs(L)>.
    tau_exp : float, optional
        Autocorrelation time of the slowest mode, in draws. The sum over rho then ends at the first W with
        rho(W) < its error, and the tail tau_exp rho(W+1) is added (S. Schaefer, R. Sommer, F. Virotta,
        arXiv 1009.5228, in the form of pyerrors).
    replicas : sequence of int, optional
        Lengths of independent chains of which `series` consists, one after another; fluctuations are taken from the
        mean of all (hep-lat/0306017, eq. 31).

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Fewer than 8 draws, NaN or infinite draws, several columns or complex draws without `f`, or `f` not real
        and finite.

    Warns
    -----
    StatisticsWarning
        The series is shorter than 50 autocorrelation times or than 20 draws: the error is a lower bound. A tau_int
        below 1/2 that is not reliable for this length (relative error above 0.7, or not positive) counts as 1/2. The
        draws are all equal: the mean is exact, and error and tau_int are unknown, given as infinity.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> print(estimate(rng.normal(2.0, 1.0, size=10_000)))
    1.9891(98)
    """
    value, delta, scale = fluctuations(series, f)
    parts = _checked_replicas(replicas, len(delta))
    tau_exp = None if tau_exp is None else number("tau_exp", tau_exp, above=0.0)
    draws = np.asarray(series).reshape(len(delta), -1)
    if not (draws != draws[0]).any():
        _warn("all draws are equal: that says nothing about the error, which is given as infinite")
        return Estimate(value, math.inf, math.inf, math.inf)
    return _gamma(value, delta, scale, parts, tau_exp)


def fluctuations(series: ArrayLike, f: Callable[[Any], Any] | None = None) -> tuple[float, NDArray[np.float64], float]:
    """Mean (or `f` of the means), fluctuations along its gradient for each draw, and the size of the terms in them.

    Examples
    --------
    >>> value, delta, scale = fluctuations(np.arange(9.0))
    >>> value, delta[0], scale
    (4.0, np.float64(-4.0), 8.0)
    """
    draws = _checked(series)
    if f is not None:
        return _project(draws, f)
    _require_real_column(draws)
    return float(draws.mean()), draws - draws.mean(), float(np.abs(draws).max())


def _checked_replicas(replicas: Sequence[int] | None, count: int) -> tuple[int, ...]:
    remedy = "give the lengths of the chains"
    parts = (count,) if replicas is None else tuple(whole_numbers("replicas", replicas, 0, count, remedy))
    if sum(parts) != count or min(parts, default=0) < 1:
        raise ValueError(f"replicas of {list(parts)} draws do not make up the {count} of the series")
    return parts


def _warn(text: str) -> None:
    warnings.warn(text, StatisticsWarning, stacklevel=outside())


def autocorrelation(series: ArrayLike, lags: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised autocorrelation function rho(t) and its error.

    The error follows M. Luscher, hep-lat/0409106, eq. (E.11) with Lambda = 100.

    Parameters
    ----------
    series : array_like, shape (draws,)
        Real draws in the order of the chain.
    lags : int, optional
        Largest t; by default three times the window of :func:`estimate`, at least 10 and at most half of the series.

    Returns
    -------
    rho, error : ndarray, shape (lags + 1,)
        rho(0) = 1. A constant series has rho(t > 0) = 0 with error 0.

    Raises
    ------
    ValueError
        As for :func:`estimate`; `lags` out of range.

    Examples
    --------
    >>> rho, error = autocorrelation(np.random.default_rng(1).normal(size=1000), lags=5)
    >>> rho.shape, bool(abs(rho[1]) < 4 * error[1])
    ((6,), True)
    """
    draws = _checked(series)
    _require_real_column(draws)
    longest = len(draws) // 2
    if lags is not None and not 0 <= whole_number("lags", lags, 0) <= longest:
        raise ValueError(f"lags = {lags}: allowed are 0 to {longest} (half of the {len(draws)} draws)")
    delta = draws - draws.mean()
    gamma = _autocovariance(delta)
    if _is_constant(gamma[0], float(np.abs(draws).max())):
        rho = np.zeros((10 if lags is None else lags) + 1)
        rho[0] = 1.0
        return rho, np.zeros_like(rho)
    window = _window(gamma, len(draws))
    gamma = _unbiased(gamma, window, len(draws))
    count = min(max(3 * window, 10), longest) if lags is None else lags
    rho = gamma / gamma[0]
    return rho[: count + 1], _rho_error(rho, count, len(draws))


def _checked(series: ArrayLike) -> NDArray[Any]:
    draws = np.asarray(series)
    if draws.dtype.kind not in "biufc":
        raise TypeError(f"a series has real or complex draws; got dtype {draws.dtype}")
    if draws.ndim == 0 or len(draws) < MINIMUM_DRAWS:
        count = len(draws) if draws.ndim else 1
        raise ValueError(f"{count} draws are too few for an error: give at least {MINIMUM_DRAWS}, better some hundred")
    draws = draws.astype(np.complex128 if draws.dtype.kind == "c" else np.float64)
    bad = ~np.isfinite(draws).reshape(len(draws), -1).all(axis=1)
    if bad.any():
        raise ValueError(f"{bad.sum()} of {len(draws)} draws are NaN or infinite (the first is number {bad.argmax()})")
    return draws


def _require_real_column(draws: NDArray[Any]) -> None:
    if np.iscomplexobj(draws):
        raise ValueError("the draws are complex: estimate their .real, .imag or np.abs(), or give f, as in f=abs")
    if draws.ndim > 1:
        raise ValueError(
            f"the draws have shape {draws.shape[1:]}: estimate one column, as in series[:, 0], "
            "or give f, a real function of the array of means"
        )


def _project(draws: NDArray[Any], f: Callable[[Any], Any]) -> tuple[float, NDArray[np.float64], float]:
    """Value of f at the means, fluctuations along its gradient (eq. 38), size of the terms in them."""
    shape, is_complex = draws.shape[1:], np.iscomplexobj(draws)
    columns = draws.reshape(len(draws), -1)
    columns = np.hstack([columns.real, columns.imag]) if is_complex else columns

    def at(point: NDArray[np.float64]) -> float:
        half = len(point) // 2
        means = point[:half] + 1j * point[half:] if is_complex else point
        return _real_value(f(means.reshape(shape) if shape else means[0]))

    means = columns.mean(axis=0)
    steps = columns.std(axis=0) / math.sqrt(len(columns))
    gradient = np.zeros_like(means)
    for k in np.flatnonzero(steps):
        shift = np.zeros_like(means)
        shift[k] = steps[k]
        gradient[k] = (at(means + shift) - at(means - shift)) / (2 * steps[k])
    return at(means), (columns - means) @ gradient, float(np.abs(columns).max(axis=0) @ np.abs(gradient))


def _real_value(result: Any) -> float:
    value = np.asarray(result)
    if value.size != 1 or value.dtype.kind not in "biuf" or not np.isfinite(value).all():
        raise ValueError(f"f must return one finite real number; it returned {result!r}")
    return float(value.reshape(()))


def autocorrelation_time(delta: NDArray[np.float64], replicas: Sequence[int]) -> tuple[float, int]:
    """tau_int of fluctuations about the mean of all replicas, and the window of its sum; (1/2, 0) if there are none.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=1000)
    >>> tau, window = autocorrelation_time(noise, [1000])
    >>> abs(tau - 0.5) < 0.2, window < 10
    (True, True)
    """
    gamma = _autocovariance(delta, replicas)
    if gamma[0] <= 0:
        return 0.5, 0
    window = _window(gamma, len(delta))
    gamma = _unbiased(gamma, window, len(delta))
    return 0.5 + float(gamma[1 : window + 1].sum() / gamma[0]), window


def _gamma(
    value: float, delta: NDArray[np.float64], scale: float, parts: Sequence[int], tau_exp: float | None
) -> Estimate:
    count = len(delta)
    gamma = _autocovariance(delta, parts)
    if _is_constant(gamma[0], scale):
        return Estimate(value, 0.0, 0.5, 0.0)
    if tau_exp is not None:
        return _with_tail(value, gamma, count, tau_exp)
    window = _window(gamma, count)
    gamma = _unbiased(gamma, window, count)
    tau = 0.5 + float(gamma[1 : window + 1].sum() / gamma[0])
    relative = 2 * math.sqrt(max(window + 0.5 - tau, 0.0) / count)
    if tau <= 0 or (tau < 0.5 and relative > LARGEST_TAU_ERROR):
        _warn(
            f"the autocorrelation time {tau:.2g} from {count} draws is below 1/2 but not reliable: 1/2 is taken in its "
            "place, and the error may be too small or too large; draw more"
        )
        tau = 0.5
    elif count < max(FEWEST_TAUS * tau, FEWEST_DRAWS):
        _warn(f"{count} draws are few for an autocorrelation time of {tau:.2g}: the error is a lower bound; draw more")
    elif min(parts) < SHORTEST_TAUS * tau:
        _warn(
            f"the shortest of {len(parts)} replicas has {min(parts)} draws, few for an autocorrelation time of "
            f"{tau:.2g}: they may not have forgotten their starts, or disagree (see r_hat); draw longer chains"
        )
    return Estimate(value, math.sqrt(2 * tau * float(gamma[0]) / count), tau, relative * tau)


def _with_tail(value: float, gamma: NDArray[np.float64], count: int, tau_exp: float) -> Estimate:
    """tau_int up to the first W at which rho is not above its error, and the tail of the slowest mode (1009.5228)."""
    rho, last = gamma / gamma[0], max(len(gamma) - 3, 1)
    error = _rho_error(rho, min(last + 1, len(rho) - 1), count)
    window = next((n for n in range(1, last) if rho[n] < error[n]), last)
    summed = max(0.5 + float(rho[1 : window + 1].sum()), 0.5)
    own = summed * (1 + (2 * window + 1) / count) / (1 + 1 / count)
    tau = own + tau_exp * abs(float(rho[window + 1]))
    if count < FEWEST_TAUS * tau_exp:
        _warn(f"{count} draws are few for tau_exp = {tau_exp:.3g}: the error is a rough bound; draw more")
    tau_error = math.hypot(2 * summed * math.sqrt((window + 0.5) / count), tau_exp * float(error[window + 1]))
    return Estimate(value, math.sqrt(2 * tau * float(gamma[0]) * (1 + 1 / count) / count), tau, tau_error)


def _pieces(delta: NDArray[np.float64], parts: Sequence[int]) -> list[NDArray[np.float64]]:
    return np.split(delta, np.cumsum(parts)[:-1])


def r_hat(series: ArrayLike, replicas: Sequence[int] | None = None) -> float:
    """Rank-normalised split R-hat (A. Vehtari et al., arXiv 1903.08008): the larger one of bulk and tail.

    Near 1 if all halves of all chains have one distribution; above 1.01 they have not forgotten their starts.

    Parameters
    ----------
    series : array_like, shape (draws,) or (chains, draws), or list of arrays
        Real draws of the chains, one chain after another, or one in each row.
    replicas : sequence of int, optional
        Lengths of chains one after another; of longer ones the last draws are taken.

    Raises
    ------
    ValueError
        Fewer than 8 draws a chain, complex or array draws.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=2000)
    >>> round(r_hat(noise, [1000, 1000]), 2)
    1.0
    """
    if replicas is None and np.ndim(_first(series)) == 1:
        rows: list[Any] = [np.asarray(each) for each in cast(Iterable[Any], series)]
        series, replicas = np.concatenate(rows), [len(row) for row in rows]
    draws = _checked(series)
    _require_real_column(draws)
    parts = _checked_replicas(replicas, len(draws))
    half = min(parts) // 2
    if 2 * half < MINIMUM_DRAWS:
        raise ValueError(f"R-hat of chains of {list(parts)} draws: each needs at least {MINIMUM_DRAWS}")
    shortest = [piece[len(piece) - min(parts) :] for piece in _pieces(draws, parts)]
    halves = np.stack([piece[cut] for piece in shortest for cut in (slice(half), slice(-half, None))])
    folded = np.abs(halves - np.median(halves))
    return max(_plain_r_hat(_normal_ranks(halves)), _plain_r_hat(_normal_ranks(folded)))


def _first(series: Any) -> Any:
    return series[0] if isinstance(series, np.ndarray | list | tuple) and len(series) else series


def _normal_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal quantiles of the ranks, ties at their mean rank."""
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - 0.5 * (counts - 1)
    quantile = NormalDist().inv_cdf
    z = np.array([quantile(p) for p in (rank - 0.375) / (values.size + 0.25)])
    return z[inverse.reshape(-1)].reshape(values.shape)


def _plain_r_hat(z: NDArray[np.float64]) -> float:
    count = z.shape[1]
    within, between = float(z.var(axis=1, ddof=1).mean()), float(z.mean(axis=1).var(ddof=1))
    return math.sqrt((between + within * (count - 1) / count) / within) if within > 0 else math.nan


def _is_constant(variance: float, scale: float) -> bool:
    return bool(math.sqrt(max(variance, 0.0)) <= 16 * np.finfo(float).eps * scale)


def _autocovariance(delta: NDArray[np.float64], parts: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Gamma(t) = sum_i delta_i delta_{i+t} / (N - t) for t = 0 .. N/2, by FFT (eq. 31); N/2 is that of the longest."""
    lengths = [len(delta)] if parts is None else list(parts)
    lags = max(lengths) // 2 + 1
    total, pairs = np.zeros(lags), np.zeros(lags)
    for piece in _pieces(delta, lengths):
        size = 1 << (len(piece) + lags).bit_length()
        total += np.fft.irfft(np.abs(np.fft.rfft(piece, size)) ** 2, size)[:lags]
        pairs += np.maximum(len(piece) - np.arange(lags), 0)
    return total / np.maximum(pairs, 1)


def _window(gamma: NDArray[np.float64], count: int) -> int:
    """First W at which g(W) = exp(-W/tau) - tau/sqrt(W N) is negative (eq. 52).

    tau follows from tau_int(W) by eq. 51 with the absolute value of the sum of rho: the same for positive correlations,
    while an anticorrelated series (overrelaxation, long trajectories) keeps a window as wide as its correlations.
    """
    w = np.arange(1, len(gamma))
    total = np.abs(np.cumsum(gamma[1:])) / gamma[0]
    tau = WINDOW_S / np.log1p(1 / np.maximum(total, 1e-12))
    negative = np.exp(-w / tau) - tau / np.sqrt(w * count) < 0
    return int(w[negative.argmax()] if negative.any() else w[-1])


def _unbiased(gamma: NDArray[np.float64], window: int, count: int) -> NDArray[np.float64]:
    """Gamma with the bias -C/N of the subtracted mean taken back, C = Gamma(0) + 2 sum_W Gamma (eq. 49)."""
    c = gamma[0] + 2 * gamma[1 : window + 1].sum()
    return gamma + max(float(c), 0.0) / count


def _rho_error(rho: NDArray[np.float64], lags: int, count: int) -> NDArray[np.float64]:
    padded = np.concatenate([rho, np.zeros(lags + LUSCHER_CUTOFF + 1)])
    error = np.zeros(lags + 1)
    for t in range(1, lags + 1):
        k = np.arange(1, t + LUSCHER_CUTOFF + 1)
        terms = padded[k + t] + padded[np.abs(k - t)] - 2 * padded[k] * padded[t]
        error[t] = math.sqrt(float(terms @ terms) / count)
    return error
