"""Hybrid Monte Carlo for gauge and scalar fields."""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaq import _plaq
from plaq.chains.sampler import Info
from plaq.concepts import Action, Function
from plaq.ground.arguments import number, one_of, unknown, whole_number
from plaq.ground.names import outside
from plaq.ground.rng import Rng, seed_of
from plaq.samplers.field import FieldSampler, count
from plaq.samplers.tuning import DRIFT, ORDER, TunedTerm, Tuning, first_inner, scanned, width_at

__all__ = ["HMC"]

FIRST_TRIAL, LAST_TRIAL = 5, 1280
"""Steps of the first trial trajectory, and the most that are chosen."""
MANY_STEPS = 160
"""Of a trial that failed, at which the search says a word."""

TRIAL_KEY = 0x9E3779B97F4A7C15
"""Takes the trial trajectories out of the random numbers of the run."""

FORCE_TRIALS = 3
"""Trajectories that measure forces before a scan."""

ON_FAILURE = ["raise", "reject"]

SPREAD = {2: 0.507, 4: 0.251}
"""Standard deviation of delta_h that is aimed at, by the order of the integrator."""

Level = tuple[Action, int] | tuple[Action, int, str]

LARGEST_MOVE = 0.7
"""Largest change of log(steps) that one update speaks for."""


class HMC(FieldSampler):
    r"""Hybrid Monte Carlo: Gaussian momenta, molecular dynamics, Metropolis test on :math:`H = S + K`.

    :math:`\dot U = A U,\ \dot A = -F`, :math:`K = \frac12\sum (a^c)^2` with :math:`A = i a^c T^c`,
    :math:`\mathrm{tr} T^a T^b = \delta/2`. (Codes with K = p.p/4 use step sizes smaller by :math:`\sqrt 2`.) An
    accepted field is reunitarised after the test.

    Parameters
    ----------
    action : Action
    length : float
        Trajectory length in molecular dynamics time.
    steps : int, optional
        Steps of the outermost level. None chooses them: trial trajectories from the start double them until
        ``abs(delta_h) < 1``, and every update of the warm-up moves them towards an acceptance of 0.8 (0.9 for
        integrators of order 4) in equilibrium. After the warm-up they stay; ``chain.tuned`` has them. Without a warm-up
        the trial counts, which is generous from a cold start.
    integrator : str
        ``"leapfrog"``, ``"omelyan2"`` (order 2), ``"omelyan4"``, ``"force_gradient"`` (order 4).
    levels : sequence of (Action, int) or (Action, int, str), optional
        Faster time scales, outermost first: each action (a term of `action`) is integrated with that many steps per
        drift of the level outside it, by the integrator that is named third (left out: `integrator`).
    on_failure : {"raise", "reject"}
        What a solve that does not converge inside a trajectory does: end the run, or reject that trajectory (counted as
        ``info["failed"]``).

    Raises
    ------
    TypeError, ValueError
        Wrong arguments, an unknown integrator, a level that is not a term of `action`.

    Notes
    -----
    Scalar fields (:class:`plaq.actions.Scalar`) have momenta :math:`\pi_a(x)` and :math:`K = \frac12\sum\pi^2`.

    ``info``: ``accepted``, ``delta_h``, ``exp_minus_delta_h`` (its mean is 1), ``action``. With ``thin > 1`` each is
    the mean over the updates of a draw, so take :math:`\langle e^{-\delta H}\rangle` from ``exp_minus_delta_h``.

    Examples
    --------
    >>> import plaq as pq
    >>> hmc = pq.HMC(pq.actions.Wilson(2.0), length=1.0, steps=8)
    >>> U, info = hmc.step(pq.GaugeField.cold((8, 8), "U(1)"), rng=1)
    >>> sorted(info)
    ['accepted', 'action', 'delta_h', 'exp_minus_delta_h', 'force_0', 'largest_force_0']
    """

    _chosen: HMC | None = None

    def __init__(
        self,
        action: Action,
        *,
        length: float = 1.0,
        steps: int | None = None,
        integrator: str = "omelyan2",
        levels: Sequence[Level] | None = None,
        on_failure: str = "raise",
    ) -> None:
        super().__init__(action)
        if integrator not in _plaq.INTEGRATORS:
            raise ValueError(unknown("integrator", integrator, _plaq.INTEGRATORS))
        self.length: float = number("length", length, above=0.0)
        self.steps: int | None = None if steps is None else count("steps", steps, 1)
        self.integrator: str = integrator
        self.levels: list[Level] = _checked_levels(levels)
        self.on_failure: str = one_of("on_failure", on_failure, ON_FAILURE)
        self._scales: list[tuple[list[int], int | None, str]] = self._time_scales()
        self._rebuild()

    def _spec(self) -> dict[str, Any]:
        """The sampler as the core takes it."""
        return {
            "kind": "hmc",
            "terms": [{"action": term.spec()} for term in self.action.terms()],
            "levels": [{"terms": n, "steps": steps or 1, "integrator": name} for n, steps, name in self._scales],
            "length": self.length,
            "on_failure": self.on_failure,
        }

    def _functions(self) -> list[tuple[Function, str]]:
        """Functions of Custom actions in the order of their descriptions."""
        return self.action.functions()

    def _rebuild(self) -> None:
        self._core = _plaq.SamplerCore(json.dumps(self._spec()), self._functions())

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[Any, Info]:
        """One trajectory; see :meth:`plaq.Sampler.advance`. With ``steps=None`` they are those of the trial."""
        tuning = self.tuning(state, seed)
        return super().advance(state, seed, sweep) if tuning is None else self.tuned(tuning).advance(state, seed, sweep)

    def tuning(self, state: Any, seed: int) -> dict[str, Any] | None:
        """The number of steps at which a trial trajectory from `state` has abs(delta_h) < 1; None if it was given."""
        if self.steps is not None:
            return None
        steps = FIRST_TRIAL
        while steps < LAST_TRIAL:
            _, info = self.tuned({"steps": steps}).advance(state, seed ^ TRIAL_KEY, steps)
            if abs(info["delta_h"]) < 1:
                break
            if steps == MANY_STEPS:
                warnings.warn(
                    f"a trial trajectory of {steps} steps has delta_h = {info['delta_h']:.3g}: the search for the "
                    f"number of steps goes on to {LAST_TRIAL}, which takes long; check the action (a badly "
                    "trained map?) or give a shorter length=",
                    RuntimeWarning,
                    stacklevel=outside(),
                )
            steps *= 2
        return {"steps": steps, "log_steps": math.log(steps), "updates": 0}

    def tuned(self, facts: dict[str, Any]) -> HMC:
        """The same sampler with given steps."""
        if self.steps is not None:
            return self
        if self._chosen is None or self._chosen.steps != facts["steps"]:
            inner = [steps or 1 for _, steps, _ in self._scales[1:]]
            self._chosen = self._with_steps([int(facts["steps"]), *inner])
        return self._chosen

    def _with_steps(self, steps: Sequence[int]) -> HMC:
        """The same sampler with other steps, outermost level first."""
        twin = copy.copy(self)
        twin.steps, twin._chosen = steps[0], None
        twin.levels = [(level[0], own, *level[2:]) for level, own in zip(self.levels, steps[1:], strict=True)]
        twin._scales = [(terms, own, name) for (terms, _, name), own in zip(self._scales, steps, strict=True)]
        twin._rebuild()
        return twin

    def learn(self, facts: dict[str, Any], info: Info) -> dict[str, Any]:
        r"""Steps after one more update of the warm-up.

        :math:`\delta H` is Gaussian with :math:`\sigma \propto n^{-p}` at order p, and the acceptance is
        :math:`\mathrm{erfc}(\sigma/\sqrt8)`: 0.8 at :math:`\sigma = 0.507`, 0.9 at 0.251. Each
        :math:`\log(|\delta H|/0.674\sigma)/p`, at most 0.7, is an estimate of how far log n is off; it is averaged over
        the updates with weights that grow linearly (Robbins and Monro 1951 with steps 2/(k+3)).
        """
        order = ORDER[self.integrator]
        size, k = abs(float(info["delta_h"])), int(facts["updates"])
        move = math.log(max(size, 1e-300) / (0.674 * SPREAD[order])) / order if math.isfinite(size) else LARGEST_MOVE
        seen = math.log(facts["steps"]) + min(max(move, -LARGEST_MOVE), LARGEST_MOVE)
        log_steps = facts["log_steps"] + 2 / (k + 3) * (seen - facts["log_steps"])
        log_steps = min(max(log_steps, 0.0), math.log(LAST_TRIAL))
        return {"steps": math.ceil(math.exp(log_steps) - 0.1), "log_steps": log_steps, "updates": k + 1}

    def tune(self, state: Any, *, trajectories: int = 10, acceptance: float | None = None, rng: Rng) -> Tuning:
        r"""Steps of every level for an acceptance, from measured forces and energy errors.

        1. A few trajectories measure the force of every term. Inner levels start with steps at which step size times
           force is the same on all levels (C. Urbach et al., hep-lat/0506011).
        2. A scan: `trajectories` trajectories, and the same ones (field, momenta, pseudofermions) with the steps of one
           level doubled, for each level. At small steps :math:`\delta H = \sum_l x_l \epsilon_l^{p_l}` with p_l the
           order of the integrator of level l, so that the scan finds what each level adds to :math:`\delta H`.
        3. Proposed: inner levels with the fewest steps at which they add at most half of what the outermost one adds;
           outermost steps such that :math:`\mathrm{erfc}(\sigma/\sqrt8)` is the acceptance asked for, with the
           measured :math:`\sigma` of :math:`\delta H` scaled to these steps. If that is more than a factor of two
           away, another scan is made there.
        4. The trajectories of the scan are run with the proposed steps, and with more of them where the law of small
           steps promised too much. What is seen there is the prediction.

        Parameters
        ----------
        state : GaugeField or ScalarField
            A field in equilibrium; the chain of the scan starts here.
        trajectories : int
            Of a scan, 2 to 1000; their number n leaves :math:`\sigma` a relative error of about :math:`1/\sqrt{2n}`.
        acceptance : float, optional
            Between 0 and 1; by default 0.8, 0.9 for integrators of order 4.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed of the scan.

        Returns
        -------
        plaq.sampler.Tuning
            Prints as a table; ``.sampler`` is this sampler with the proposed steps, which is left as it is.

        Raises
        ------
        TypeError, ValueError
            Wrong arguments; trajectories that diverge however many steps they have.
        ConvergenceError
            As a trajectory.

        Examples
        --------
        >>> import plaq as pq
        >>> gauge, quarks = pq.actions.Wilson(2.0), pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.2))
        >>> hmc = pq.HMC(gauge + quarks, steps=4, levels=[(gauge, 4)])
        >>> U = hmc.run(pq.GaugeField.hot((4, 4), "U(1)", rng=1), 20, rng=1, progress=False).state
        >>> found = hmc.tune(U, rng=2)
        >>> print(found)  # doctest: +ELLIPSIS
        level  steps ...
        >>> chain = found.sampler.run(U, 20, rng=3, progress=False)
        """
        most = whole_number("trajectories", trajectories, 2, 1000)
        orders = [ORDER[name] for _, _, name in self._scales]
        aim = {2: 0.8, 4: 0.9}[orders[0]] if acceptance is None else number("acceptance", acceptance, above=0.0)
        if not 0 < aim < 1:
            raise ValueError(f"acceptance = {aim:g}; it lies between 0 and 1")
        seed = seed_of(rng)
        tuning = self.tuning(self._checked(state), seed)
        before = [steps or (tuning or {}).get("steps") or 1 for _, steps, _ in self._scales]
        twins: dict[tuple[int, ...], HMC] = {}

        def advance(steps: tuple[int, ...], start: Any, n: int) -> tuple[Any, Info]:
            if steps not in twins:
                twins[steps] = self._with_steps(steps)
            return twins[steps].advance(start, seed ^ TRIAL_KEY, n)

        reports = []
        for n in range(FORCE_TRIALS):
            state, info = advance(tuple(before), state, LAST_TRIAL + n)
            reports.append(info)
        forces = [math.hypot(*(_rms(reports, f"force_{n}") for n in terms)) for terms, _, _ in self._scales]
        start = (before[0], *first_inner(forces, [DRIFT[name] for _, _, name in self._scales]))
        steps, scan, delta_h, infos = scanned(advance, state, start, orders, most, width_at(aim), LAST_TRIAL)
        errors, names = scan.errors(steps), self._term_names()
        terms = [
            TunedTerm(
                term=names[n],
                level=level,
                force=_rms(infos, f"force_{n}"),
                spread=float(np.std([info[f"force_{n}"] for info in infos], ddof=1)),
                largest=float(max(info[f"largest_force_{n}"] for info in infos)),
                before=before[level],
                after=steps[level],
                error=float(errors[level]),
            )
            for level, (numbers, _, _) in enumerate(self._scales)
            for n in numbers
        ]
        seen = np.exp(-np.maximum(np.nan_to_num(delta_h, nan=np.inf), 0.0)).mean()
        # Of a Gaussian with mean sigma^2/2, which <exp(-dH)> = 1 asks for.
        width = math.sqrt(2 * (math.sqrt(1 + float(np.mean(delta_h**2))) - 1))
        return Tuning(
            sampler=self._with_steps(steps),
            terms=tuple(terms),
            predicted=math.erfc(width / math.sqrt(8)),
            seen=float(seen),
            delta_h=width,
            aim=aim,
            trajectories=most,
        )

    def _term_names(self) -> list[str]:
        """What the terms are called in a table, by their numbers."""
        return [repr(term) for term in self.action.terms()]

    def check(self, state: Any, *, rng: Rng) -> dict[str, float]:
        r"""Follow one trajectory and the way back with the momenta turned around.

        Parameters
        ----------
        state : GaugeField or ScalarField
            Where it starts.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Momenta and pseudofermions.

        Returns
        -------
        dict
            ``delta_h``: energy at the far end minus that at the start, smaller for more ``steps``; ``delta_h_back``:
            the same after the way back, and ``distance``: the largest difference of a link (or site) from the start.
            Both are rounding only: a chain is exact only if trajectories are reversible.

        Raises
        ------
        TypeError, ValueError, ConvergenceError
            As a trajectory.

        Examples
        --------
        >>> import plaq as pq
        >>> found = pq.HMC(pq.actions.Wilson(5.7), steps=8).check(pq.GaugeField.hot((4, 4, 4, 4), rng=1), rng=1)
        >>> found["distance"] < 1e-11, abs(found["delta_h_back"]) < 1e-8
        (True, True)
        """
        seed = seed_of(rng)
        tuning = self.tuning(self._checked(state), seed)
        sampler = self if tuning is None else self.tuned(tuning)
        core, (back, ahead) = sampler._core.there_and_back(state._core, seed, 0)
        distance = np.abs(np.asarray(self.action.field_class(core)) - np.asarray(state)).max()
        return {"delta_h": float(ahead), "delta_h_back": float(back), "distance": float(distance)}

    def _time_scales(self) -> list[tuple[list[int], int | None, str]]:
        return self._scales_of(self.action)

    def _scales_of(self, action: Action) -> list[tuple[list[int], int | None, str]]:
        """Time scales over the terms of an action, by their numbers."""
        terms = action.terms()
        left = list(range(len(terms)))
        inner: list[tuple[list[int], int | None, str]] = []
        for part, steps, *named in self.levels:
            indices = []
            for term in part.terms():
                index = next((n for n in left if terms[n] == term), None)
                if index is None:
                    raise ValueError(f"level {term!r} is not a term of the action, or is named twice; terms: {terms}")
                left.remove(index)
                indices.append(index)
            inner.append((indices, steps, named[0] if named else self.integrator))
        if not left:
            raise ValueError(
                "levels name every term of the action; leave the slowest out: it is integrated with `steps`"
            )
        return [(left, self.steps, self.integrator), *inner]

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        scales = [
            [indices, steps] if name == self.integrator else [indices, steps, name]
            for indices, steps, name in self._scales
        ]
        return {
            "action": self.action.spec(),
            "length": self.length,
            "integrator": self.integrator,
            "levels": scales,
        }


def _rms(infos: Sequence[Info], key: str) -> float:
    return float(np.sqrt(np.mean(np.square([info[key] for info in infos]))))


def _checked_levels(levels: Sequence[Level] | None) -> list[Level]:
    try:
        rows: list[tuple[Any, ...]] = [tuple(level) for level in levels or ()]
    except TypeError:
        raise TypeError(f"levels is a list of (action, steps); got {levels!r}") from None
    checked: list[Level] = []
    for row in rows:
        if len(row) not in (2, 3):
            raise TypeError(f"levels is a list of (action, steps) or (action, steps, integrator); got {row!r}")
        action, steps, *named = row
        if not isinstance(action, Action):
            raise TypeError(f"levels is a list of (action, steps); got {action!r} as an action")
        for name in named:
            if name not in _plaq.INTEGRATORS:
                raise ValueError(unknown("integrator", name, _plaq.INTEGRATORS))
        checked.append((action, count("steps of a level", steps, 1), *named))
    return checked
