"""Gradient flow of gauge fields, and the scales t0 and w0 of one field and of a chain."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.concepts import Action, not_of_loops
from plaq.fields.gauge import GaugeField
from plaq.fields.loops import RECTANGLES
from plaq.ground.arguments import number, real, unknown
from plaq.ground.names import Explained, outside
from plaq.observables.links import plaquette
from plaq.observables.topology import energy_density, topological_charge
from plaq.smear.arguments import gauge_field, levels
from plaq.statistics import Estimate, estimate

__all__ = ["Flow", "flow", "t0", "w0"]

STABLE = 2.51
"""Runge-Kutta of order 3 damps exp(-lambda t) while step lambda < 2.51; plaquettes with coefficient c have lambda up to
4 D c (the mode that alternates in all directions, to which rectangles do not contribute)."""
MOST_STEPS = 1_000_000
"""Longer flows are slips: a million steps lead far past every scale of a lattice that fits into memory."""
LOOSEST = 1e-2
"""Largest tolerance of adaptive steps: the distance it bounds cannot exceed 2 / N^1.5."""


@dataclass(frozen=True, repr=False)
class Flow(metaclass=Explained):
    """Result of :func:`flow`.

    Attributes
    ----------
    t : ndarray
        Flow times, from 0 to the final time.
    energy, charge, plaquette : ndarray
        Clover energy density, clover charge (2D U(1): geometric; NaN where there is none) and plaquette at these times.
    field : GaugeField
        The field at the final time.
    steps : int
        Integration steps taken.

    Examples
    --------
    >>> import plaq as pq
    >>> result = flow(pq.datasets.gauge(), 1.0, step=0.05)
    >>> result
    <Flow, 20 steps: t = 1, energy = 0.011924, charge = -2.00492e-05, plaquette = 0.999419>
    >>> 0.1 < result.t0(0.02) < 1.0
    True
    """

    t: NDArray[np.float64]
    energy: NDArray[np.float64]
    charge: NDArray[np.float64]
    plaquette: NDArray[np.float64]
    field: GaugeField
    steps: int

    def __repr__(self) -> str:
        columns = {"t": self.t, "energy": self.energy, "charge": self.charge, "plaquette": self.plaquette}
        last = {name: real(name, values).ravel()[-1:] for name, values in columns.items()}
        facts = [
            f"{name} = {values[0]:.6g}" for name, values in last.items() if np.isfinite(values).all() and len(values)
        ]
        return f"<Flow, {self.steps} steps: {', '.join(facts)}>"

    def t0(self, level: float = 0.3) -> float:
        r"""Flow time at which :math:`t^2 E(t)` reaches `level` (arXiv 1006.4518), by cubic interpolation.

        Raises
        ------
        ValueError
            The flow does not reach it.
        """
        return _crossing(self.t, self.t**2 * self.energy, number("level", level), "t^2 E")

    def w0(self, level: float = 0.3) -> float:
        r"""Square root of the flow time at which :math:`t\, d(t^2 E)/dt` reaches `level` (arXiv 1203.4469).

        Raises
        ------
        ValueError
            The flow does not reach it.
        """
        level = number("level", level)
        slope = self.t * _derivative(self.t, self.t**2 * self.energy)
        return math.sqrt(_crossing(self.t, slope, level, "t d(t^2 E)/dt"))


def t0(t: ArrayLike, energy: ArrayLike, level: float = 0.3) -> Estimate:
    r"""Scale t0 of a chain: flow time at which :math:`t^2 \langle E(t) \rangle` reaches `level`, with its error.

    The ensemble average is interpolated (arXiv 1006.4518, section 4), and the error is propagated through it with the
    autocorrelation of the draws (Gamma method).

    Parameters
    ----------
    t : array_like
        Flow times, shape (T,).
    energy : array_like
        E(t) of every draw, shape (draws, T): `Flow.energy` of each, all with the same times.
    level : float

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Wrong shapes, or the mean does not cross the level.

    Examples
    --------
    >>> import plaq as pq
    >>> chain = pq.Heatbath(pq.actions.Wilson(2.4)).run(
    ...     pq.GaugeField.cold((4, 4, 4, 4), "SU(2)"), 200, warmup=20, thin=2, rng=1, progress=False,
    ...     observables={"E": lambda U: pq.smear.flow(U, 0.6, step=0.1).energy})
    >>> scale = pq.smear.t0(np.linspace(0, 0.6, 7), chain["E"], level=0.02)
    >>> 0 < scale.error < 0.1 * scale.mean
    True
    """
    level, (times, draws) = number("level", level), _of_chain(t, energy)
    crossing, change = _crossing_of_chain(times, times**2 * draws, level, "t^2 E")
    return estimate(crossing + change)


def w0(t: ArrayLike, energy: ArrayLike, level: float = 0.3) -> Estimate:
    r"""Scale w0 of a chain: root of the flow time at which :math:`t\, d(t^2 \langle E \rangle)/dt` reaches `level`.

    Source: arXiv 1203.4469; interpolation and error as for :func:`t0`.

    Parameters
    ----------
    t : array_like
        Flow times, shape (T,).
    energy : array_like
        E(t) of every draw, shape (draws, T).
    level : float

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Wrong shapes, or the mean does not cross the level.

    Examples
    --------
    >>> t = np.linspace(0, 3, 31)
    >>> E = 0.1 * np.exp(0.01 * np.random.default_rng(1).standard_normal((200, 1))) / (t + 0.5)
    >>> scale = w0(t, E, level=0.05)
    >>> bool(abs(scale.mean**2 - 0.6233) < 0.01)
    True
    """
    level, (times, draws) = number("level", level), _of_chain(t, energy)
    slopes = np.array([times * _derivative(times, times**2 * curve) for curve in draws])
    crossing, change = _crossing_of_chain(times, slopes, level, "t d(t^2 E)/dt")
    return estimate(math.sqrt(crossing) + change / (2 * math.sqrt(crossing)))


def _crossing_of_chain(
    t: NDArray[np.float64], curves: NDArray[np.float64], level: float, name: str
) -> tuple[float, NDArray[np.float64]]:
    """Where the mean curve crosses `level`, and how each draw moves it: -(curve - mean) / slope, to first order."""
    mean = curves.mean(axis=0)
    crossing = _crossing(t, mean, level, name)
    k = int(np.clip(np.searchsorted(t, crossing) - 2, 0, max(len(t) - 4, 0)))
    x = (t[k : k + 4] - crossing) / (t[1] - t[0])
    fits = np.polyfit(x, (curves[:, k : k + 4] - mean[k : k + 4]).T, len(x) - 1)
    slope = np.polyfit(x, mean[k : k + 4], len(x) - 1)[-2] / (t[1] - t[0])
    return crossing, -fits[-1] / slope


def _of_chain(t: ArrayLike, energy: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times, draws = real("t", t), real("energy", energy)
    if times.ndim != 1 or len(times) < 2 or draws.ndim != 2 or draws.shape[1] != len(times):
        raise ValueError(
            f"t has shape {times.shape} and energy {draws.shape}; (T,) and (draws, T) with T > 1 are needed"
        )
    if not (np.diff(times) > 0).all() or not np.isfinite(draws).all():
        raise ValueError("flow times must increase and energies be finite")
    return times, draws


def _derivative(t: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of the polynomial of degree up to four through the five nearest points."""
    if len(t) < 3:
        raise ValueError(f"the derivative needs at least 3 flow times; the flow has {len(t)}, take smaller steps")
    width = min(5, len(t))
    slopes = np.empty_like(y)
    for k in range(len(t)):
        first = min(max(k - width // 2, 0), len(t) - width)
        x = t[first : first + width] - t[k]
        scale = np.abs(x).max()
        slopes[k] = np.polyfit(x / scale, y[first : first + width], width - 1)[-2] / scale
    return slopes


def _crossing(t: NDArray[np.float64], values: NDArray[np.float64], level: float, name: str) -> float:
    above = np.nonzero(values >= level)[0]
    if len(above) == 0 or above[0] == 0:
        raise ValueError(
            f"{name} stays between {values.min():.4g} and {values.max():.4g} up to t = {t[-1]:.4g} and does not cross "
            f"{level}; flow further if it still grows, or take another level"
        )
    k = int(above[0])
    # Inverse interpolation of degree up to three through the points around the crossing, by Neville's scheme.
    lowest = max(0, min(k - 2, len(t) - 4))
    x, y = values[lowest : lowest + 4] - level, list(t[lowest : lowest + 4])
    if np.any(np.diff(x) <= 0):
        x, y = values[k - 1 : k + 1] - level, list(t[k - 1 : k + 1])
    for width in range(1, len(x)):
        for j in range(len(x) - width):
            y[j] = (x[j + width] * y[j] - x[j] * y[j + 1]) / (x[j + width] - x[j])
    return float(y[0])


def flow(
    U: GaugeField,
    time: float,
    *,
    step: float = 0.01,
    action: str | Action = "wilson",
    adaptive: bool = False,
    tolerance: float = 1e-6,
    every: int = 1,
) -> Flow:
    r"""Gradient flow :math:`\dot V = \mathrm{TA}(\mathrm{staples}\cdot V^\dagger) V` to flow time `time`.

    Third-order Runge-Kutta of arXiv 1006.4518; error :math:`O(\mathrm{step}^3)`. A field with open boundaries in time
    has the Wilson flow of arXiv 1105.4749: on the two boundary slices staples in time count twice for links in space.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    time : float
        Final flow time in lattice units, at least 0.
    step : float
        Step (the last one is shortened to end at `time`), at most 2.51/(4 D c) for stability, c the coefficient of the
        plaquettes; with ``adaptive`` the first one.
    action : str or Action
        ``"wilson"``, ``"symanzik"``, ``"iwasaki"``, ``"dbw2"``, or an action made of loops whose coefficients are taken
        as they are (``Loops([(1.0, "plaquette")])`` is the Wilson flow; ``Wilson(6.0)`` flows six times as fast, with
        a warning).
    adaptive : bool
        Choose steps so that the distance :math:`\max|V-V''|/N^2` to the embedded second-order solution is below
        `tolerance`.
    tolerance : float
        Error of one adaptive step, at most 0.01.
    every : int
        Steps between measurements; the start and the end are always measured.

    Returns
    -------
    Flow

    Raises
    ------
    TypeError, ValueError
        Wrong arguments.
    ConvergenceError
        The tolerance cannot be met, or the action rose: the step is too large for this action.

    Examples
    --------
    >>> import plaq as pq
    >>> result = pq.smear.flow(pq.datasets.gauge("lat.sample.l4448"), 0.2, step=0.1)
    >>> result.t
    array([0. , 0.1, 0.2])
    """
    end, size = number("time", time), number("step", step)
    if end < 0 or size <= 0:
        raise ValueError(f"time = {time}, step = {step}: the flow time is at least 0 and the step above 0")
    inside, loops = _flow_action(action)
    _warn_of_couplings(loops)
    stable = _largest_step(gauge_field(U, open_too=True).ndim, loops)
    if not adaptive and size > stable:
        raise ValueError(
            f"step = {step}: above {stable:.4f} the integrator is unstable for this action in {U.ndim} dimensions; "
            "take a smaller one or adaptive=True"
        )
    longest = stable if adaptive else size
    if end > MOST_STEPS * longest:
        raise ValueError(
            f"time = {time:g} takes {end / longest:.3g} steps of {longest:g}, more than {MOST_STEPS}: flow less far "
            "or take larger steps"
        )
    allowed = number("tolerance", tolerance) if adaptive else None
    if allowed is not None and not 0 < allowed <= LOOSEST:
        raise ValueError(f"tolerance = {tolerance}: allowed is above 0 to {LOOSEST}")
    if levels(every) < 1:
        raise ValueError("every = 0: at least 1 step between measurements")
    core = U._core
    t, steps, records, value = 0.0, 0, [_measured(0.0, U)], _value(U, inside)
    while end - t > 1e-12 * max(end, 1.0):
        core, taken, proposed = _plaq.flow_step(core, inside, min(size, end - t), allowed)
        t, steps = t + taken, steps + 1
        size = min(proposed, stable) if adaptive else size
        last = end - t <= 1e-12 * max(end, 1.0)
        if last or steps % every == 0:
            t = end if last else t
            V = GaugeField(core)
            records.append(_measured(t, V))
            value = _fallen(value, _value(V, inside), t)
    columns = np.array(records).T
    return Flow(columns[0], columns[1], columns[2], columns[3], GaugeField(core), steps)


def _warn_of_couplings(loops: list[Any]) -> None:
    """A flow with a coupling in front of its action runs at another speed than t0 and w0 are meant for."""
    if any(loop not in ("plaquette", "rectangle") for _, loop in loops):
        return
    speed = sum(float(c) * (8.0 if loop == "rectangle" else 1.0) for c, loop in loops)
    if abs(speed - 1.0) > 1e-9:
        warnings.warn(
            f"the coefficients of the plaquette and 8 times those of rectangles add up to {speed:.6g}, not 1: flow "
            f'time runs {speed:.6g} times as fast as that of action="wilson", and t0 and w0 with it',
            RuntimeWarning,
            stacklevel=outside(),
        )


def _largest_step(ndim: int, pairs: list[Any]) -> float:
    plaquettes = sum(float(c) for c, loop in pairs if loop == "plaquette")
    return STABLE / (4 * ndim * plaquettes) if plaquettes > 0 else math.inf


def _value(U: GaugeField, inside: _plaq.ActionCore) -> float:
    """The action that the flow lowers; with open boundaries plaquettes in space weigh 1/2 on the boundary slices."""
    missing = U._core.open_slice()
    if missing is None:
        return inside.value(U._core)
    weights = np.ones(U.shape[-1])
    weights[[missing, (missing + 1) % U.shape[-1]]] = 0.5
    total = 0.0
    for mu, nu in combinations(range(1, U.ndim + 1), 2):
        density = U._core.trace_density([mu, nu, -mu, -nu]).real
        total += float((density * (1.0 if nu == U.ndim else weights)).sum())
    return -total


def _fallen(before: float, after: float, t: float) -> float:
    """The action after a step, which a flow can only lower."""
    if not after <= before + 1e-8 * max(abs(before), 1.0):
        raise _plaq.ConvergenceError(
            f"the action of the flow rose from {before:.8g} to {after:.8g} before t = {t:.6g}: the step is too large; "
            "take a smaller one or adaptive=True"
        )
    return after


def _flow_action(action: str | Action) -> tuple[_plaq.ActionCore, list[Any]]:
    """The action inside the core, and its coefficients and loops."""
    if isinstance(action, str):
        if action.lower() not in RECTANGLES:
            raise ValueError(unknown("flow action", action, RECTANGLES))
        c1 = RECTANGLES[action.lower()]
        loops = [[1.0 - 8.0 * c1, "plaquette"]] + ([[c1, "rectangle"]] if c1 else [])
        return _plaq.ActionCore(json.dumps({"kind": "loops", "terms": loops}), []), loops
    if not isinstance(action, Action):
        raise TypeError(f"action is a name or one of plaq.actions; got {action!r}")
    if not_of_loops(action):
        raise ValueError("a flow needs an action made of loops; Custom and Mapped work with HMC only")
    return action._core, [pair for term in action.terms() for pair in term.spec()["terms"]]


def _measured(t: float, U: GaugeField) -> tuple[float, float, float, float]:
    charge = math.nan
    if U.ndim == 4:
        charge = topological_charge(U)
    elif U.ndim == 2 and U.group == "U(1)":
        charge = topological_charge(U, "geometric")
    return t, energy_density(U), charge, plaquette(U)
