"""Steps of nested molecular dynamics from measured forces and energy errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.chains.sampler import Info

__all__ = ["DRIFT", "ORDER", "TunedTerm", "Tuning", "width_at"]

ORDER = {"leapfrog": 2, "omelyan2": 2, "omelyan4": 4, "force_gradient": 4}
"""Power of the step size with which delta_h vanishes."""

DRIFT = {"leapfrog": 1.0, "omelyan2": 0.5, "omelyan4": 0.775, "force_gradient": 0.5}
"""Longest drift of a step, in steps."""

SHARE = 0.5
"""An inner level may add at most this much, relative to the outermost one, to the error of the energy."""

MOST_INNER = 64
MOST_SCANS = 6
LENIENCE = 1.2
"""How much larger than asked for the delta_h of the proposed steps may be seen to be."""

CAREFUL = 1.5
"""Largest factor by which steps grow where the law fails."""

FARTHEST = 2.0
"""A scan speaks for step sizes up to this factor away from its own; beyond it another scan is made there."""

Steps = tuple[int, ...]
Advance = Callable[[Steps, Any, int], tuple[Any, Info]]
"""Steps of each level, state and number of the trajectory, which fixes its random numbers."""


def width_at(acceptance: float) -> float:
    r"""Standard deviation of a Gaussian delta_h whose acceptance :math:`\mathrm{erfc}(\sigma/\sqrt8)` is given."""
    low, high = 0.0, 80.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.erfc(middle / math.sqrt(8)) > acceptance else (low, middle)
    return low


@dataclass(frozen=True)
class TunedTerm:
    """What tuning measured of one term, and the steps of its level.

    ``level`` counts from the outermost one, 0; ``force`` is the root mean square of the force per link (or site) over
    the trajectories, ``spread`` its standard deviation between them, ``largest`` the largest force seen; ``before`` and
    ``after`` are steps of its level; ``error`` is the root mean square of what the level adds to delta_h with the
    proposed steps.
    """

    term: str
    level: int
    force: float
    spread: float
    largest: float
    before: int
    after: int
    error: float


@dataclass(frozen=True)
class Tuning:
    """Result of :meth:`plaq.HMC.tune`; prints as a table.

    ``sampler`` has the proposed steps; ``terms`` are :class:`TunedTerm`; ``delta_h`` is the width sigma of delta_h in
    ``trajectories`` trajectories with the proposed steps (whose mean square is sigma^2 + sigma^4/4 where
    <exp(-delta_h)> = 1), ``predicted`` the acceptance erfc(sigma/sqrt 8) that belongs to it and ``seen`` the mean of
    min(1, exp(-delta_h)) in these trajectories; ``aim`` is the acceptance asked for.

    Examples
    --------
    >>> import plaq as pq
    >>> found = pq.HMC(pq.actions.Wilson(2.0), steps=4).tune(pq.GaugeField.cold((8, 8), "U(1)"), rng=1)
    >>> isinstance(found, pq.sampler.Tuning), len(found.terms)
    (True, 1)
    """

    sampler: Any = field(repr=False)
    terms: tuple[TunedTerm, ...] = field(repr=False)
    predicted: float
    seen: float
    delta_h: float
    aim: float
    trajectories: int
    note: str = ""

    @property
    def steps(self) -> Steps:
        """Proposed steps, outermost level first."""
        return tuple({term.level: term.after for term in self.terms}.values())

    def __str__(self) -> str:
        """The table."""
        head = ["level", "steps", "force", "largest", "adds to dH", "term"]
        rows = [
            [
                str(t.level),
                f"{t.before} -> {t.after}",
                f"{t.force:.4g} +- {t.spread:.1g}",
                f"{t.largest:.4g}",
                f"{t.error:.2g}",
                t.term,
            ]
            for t in self.terms
        ]
        widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head) - 1)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in [head, *rows]
        ]
        lines.append(
            f"width of dH {self.delta_h:.3g}: acceptance {self.predicted:.2f} predicted, {self.seen:.2f} in "
            f"{self.trajectories} trajectories; {self.aim:.2f} was aimed at"
        )
        return "\n".join([*lines, self.note] if self.note else lines)


@dataclass
class Scan:
    r"""Trajectories from the same fields with the same momenta at several steps, so that their delta_h differ by the
    steps alone.

    At small steps :math:`\delta H = \sum_l x_l (\epsilon_l/\epsilon_l^0)^{p_l}`, p_l the order of the level's
    integrator, with one number for each level and trajectory: of the energy that a symmetric integrator conserves,
    H + sum_l eps_l^p C_l, the difference of C_l between the ends.
    """

    orders: Sequence[int]
    base: Steps
    parts: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    """x_l, ``[level][trajectory]``."""

    def settings(self) -> list[Steps]:
        """The base and, for each level, twice its steps."""
        doubled = [
            tuple(s * (2 if n == level else 1) for n, s in enumerate(self.base)) for level in range(len(self.base))
        ]
        return [self.base, *doubled]

    def scales(self, steps: Steps) -> NDArray[np.float64]:
        """What each level's part is multiplied by at other steps."""
        found: NDArray[np.float64] = (np.cumprod(self.base) / np.cumprod(steps)) ** np.array(self.orders, float)
        return found

    def fit(self, delta_h: NDArray[np.float64]) -> None:
        """Find the parts from delta_h, ``[setting][trajectory]``."""
        features = np.array([self.scales(steps) for steps in self.settings()])
        self.parts = np.linalg.lstsq(features, delta_h, rcond=None)[0]

    def errors(self, steps: Steps) -> NDArray[np.float64]:
        """Root mean square of what each level adds to delta_h."""
        found: NDArray[np.float64] = np.sqrt(np.mean(self.parts**2, axis=1)) * self.scales(steps)
        return found

    def width(self, steps: Steps) -> float:
        """Root mean square of delta_h."""
        return float(np.sqrt(np.mean((self.scales(steps) @ self.parts) ** 2)))

    def best(self, aim: float) -> Steps:
        """As few steps as reach a width, the inner levels adding at most their share."""
        chosen = [self.base[0]]
        for level in range(1, len(self.base)):
            trial = next(
                (
                    n
                    for n in range(1, MOST_INNER)
                    if self.errors((*chosen, n, *self.base[level + 1 :]))[level] <= SHARE * self.errors(self.base)[0]
                ),
                MOST_INNER,
            )
            chosen.append(trial)
        outer = self.base[0] * (self.width(tuple(chosen)) / aim) ** (1 / min(self.orders))
        return (max(1, math.ceil(outer - 1e-6)), *chosen[1:])


def first_inner(forces: Sequence[float], drifts: Sequence[float]) -> list[int]:
    """Steps of the inner levels such that step size times force is the same on all of them (hep-lat/0506011)."""
    pairs = zip(drifts, itertools.pairwise(forces), strict=False)
    ratios = [drift * inner / max(outer, 1e-300) for drift, (outer, inner) in pairs]
    return [min(max(1, math.ceil(ratio - 0.1)), MOST_INNER) for ratio in ratios]


def scanned(
    advance: Advance, state: Any, start: Steps, orders: Sequence[int], trajectories: int, aim: float, most: int
) -> tuple[Steps, Scan, NDArray[np.float64], list[Info]]:
    """The best steps, the scan that found them, delta_h of trajectories with them, and reports on the base ones."""
    base, number = start, 0
    infos: list[Info] = []
    while True:
        scan, starts = Scan(orders, base), []
        rows: list[list[float]] = []
        while len(rows) < trajectories:
            end, info = advance(base, state, number)
            others = [advance(steps, state, number)[1]["delta_h"] for steps in scan.settings()[1:]]
            rows.append([float(info["delta_h"]), *map(float, others)])
            starts.append((state, number))
            infos.append(info)
            state, number = end, number + 1
            if not np.isfinite(rows[-1]).all() or abs(rows[-1][0]) > 4 * max(aim, 1.0):
                break
        else:
            scan.fit(np.array(rows).T)
            best = scan.best(aim)
            best = (min(best[0], most), *best[1:])
            ratio = best[0] / base[0]
            if 1 / FARTHEST <= ratio <= FARTHEST or number >= MOST_SCANS * trajectories:
                break
            base = (max(best[0], math.ceil(base[0] / FARTHEST)), *best[1:])
            continue
        # Too coarse for a law of small steps.
        if base[0] >= most:
            raise ValueError(
                f"delta_h is {rows[-1][0]:g} with {base[0]} steps: start from a field in equilibrium, or take a "
                "shorter length"
            )
        base = (min(2 * base[0], most), *base[1:])
    while True:
        seen = [float(advance(best, at, n)[1]["delta_h"]) for at, n in starts]
        width = float(np.sqrt(np.mean(np.nan_to_num(np.square(seen), nan=np.inf))))
        if width <= LENIENCE * aim or best[0] >= most:
            return best, scan, np.array(seen), infos
        # Steps this coarse are beyond the law: what is seen there decides.
        more = min(CAREFUL, (width / aim) ** (1 / min(orders)))
        best = (min(max(best[0] + 1, math.ceil(more * best[0])), most), *best[1:])
