"""Heatbath with overrelaxation for gauge fields, and hybrid Monte Carlo for gauge and scalar fields."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plaq import _plaq, observables
from plaq.actions import Action
from plaq.gauge import GaugeField
from plaq.sampler import Info, Sampler
from plaq.scalar_field import ScalarField
from plaq.suggest import unknown

__all__ = ["HMC", "Heatbath"]


def _count(name: str, value: object, least: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is an int, at least {least}; got {value!r}")
    if not least <= value <= 10**6:
        raise ValueError(f"{name} = {value}: allowed are {least} to 1000000")
    return int(value)


def _phi2(phi: ScalarField) -> float:
    """Mean of phi^2 over sites, summed over components."""
    return float((np.asarray(phi) ** 2).sum(axis=-1).mean())


class _FieldSampler(Sampler[Any]):
    """A sampler of the field that its action is a function of."""

    _core: Any

    def __init__(self, action: Action) -> None:
        if not isinstance(action, Action):
            raise TypeError(f"action is one of plaq.actions or a sum of them; got {action!r}")
        self.action = action

    def _checked(self, state: Any) -> Any:
        kind = self.action.field_class
        if not isinstance(state, kind):
            name = kind.__name__
            raise TypeError(f"the state is a {name}; got {type(state).__name__} ({name}.from_numpy takes arrays)")
        return state

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[Any, Info]:
        """One update; see :meth:`plaq.Sampler.advance`."""
        core, info = self._core.step(self._checked(state)._core, seed, sweep)
        return self.action.field_class(core), info

    def default_observables(self, state: Any) -> dict[str, Callable[[Any], Any]]:
        """The plaquette (in one dimension the Polyakov loop); phi^2 of a scalar field."""
        if isinstance(self._checked(state), ScalarField):
            return {"phi2": _phi2}
        if state.ndim > 1:
            return {"plaquette": observables.plaquette}
        return {"polyakov": observables.polyakov}


class Heatbath(_FieldSampler):
    """Heatbath for any action made of loops, followed by microcanonical overrelaxation.

    SU(N): SU(2) subgroups one after another (Cabibbo and Marinari), each by Kennedy-Pendleton, or by Creutz' algorithm
    where 2k/N < 1.68 (k the norm of the projected staple), so that small beta costs no more. U(1): von Mises angles by
    Best and Fisher. Links are updated in colours chosen so that none sits in another's staple. After each update the
    links are reunitarised.

    Parameters
    ----------
    action : Action
        Sum of loops (not Custom).
    overrelaxation : int
        Overrelaxation sweeps after each heatbath sweep.

    Raises
    ------
    TypeError, ValueError
        Wrong arguments; on use, a loop that passes a link twice on this lattice, or a Custom action.

    Notes
    -----
    ``info``: ``colors``, the mean number of colours per direction.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.Heatbath(pq.actions.Wilson(2.3), overrelaxation=2)
    >>> chain = sampler.run(pq.GaugeField.cold((4, 4, 4, 4), "SU(2)"), 20, warmup=20, rng=1, progress=False)
    >>> len(chain)
    20
    """

    def __init__(self, action: Action, overrelaxation: int = 0) -> None:
        super().__init__(action)
        if action.field_class is not GaugeField:
            raise TypeError(f"Heatbath updates gauge links; {type(action).__name__} is an action of another field")
        self.overrelaxation = _count("overrelaxation", overrelaxation, 0)
        self._core = _plaq.GaugeSampler.heatbath(action.core_terms(), self.overrelaxation)

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        return {"action": self.action.fingerprint(), "overrelaxation": self.overrelaxation}


class HMC(_FieldSampler):
    r"""Hybrid Monte Carlo: Gaussian momenta, molecular dynamics, Metropolis test on :math:`H = S + K`.

    :math:`\dot U = A U,\ \dot A = -F`, :math:`K = \frac12\sum (a^c)^2` with :math:`A = i a^c T^c`,
    :math:`\mathrm{tr} T^a T^b = \delta/2`. (Codes with K = p.p/4 use step sizes smaller by :math:`\sqrt 2`.) An
    accepted field is reunitarised after the test.

    Parameters
    ----------
    action : Action
    length : float
        Trajectory length in molecular dynamics time.
    steps : int
        Steps of the outermost level.
    integrator : str
        ``"leapfrog"``, ``"omelyan2"`` (order 2), ``"omelyan4"``, ``"force_gradient"`` (order 4).
    levels : sequence of (Action, int), optional
        Faster time scales, outermost first: each action (a term of `action`) is integrated with that many steps per
        drift of the level outside it.

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
    ['accepted', 'action', 'delta_h', 'exp_minus_delta_h']
    """

    def __init__(
        self,
        action: Action,
        *,
        length: float = 1.0,
        steps: int = 10,
        integrator: str = "omelyan2",
        levels: Sequence[tuple[Action, int]] | None = None,
    ) -> None:
        super().__init__(action)
        if not isinstance(length, numbers.Real) or isinstance(length, bool):
            raise TypeError(f"length is a number; got {length!r}")
        if not (math.isfinite(length) and length > 0):
            raise ValueError(f"length = {length}: a trajectory has a finite length above 0")
        if integrator not in _plaq.INTEGRATORS:
            raise ValueError(unknown("integrator", integrator, _plaq.INTEGRATORS))
        self.length: float = float(length)
        self.steps: int = _count("steps", steps, 1)
        self.integrator: str = integrator
        self.levels: list[tuple[Action, int]] = _checked_levels(levels)
        self._scales: list[tuple[list[int], int, str]] = self._time_scales()
        scalar = action.field_class is ScalarField
        build = _plaq.ScalarSampler if scalar else _plaq.GaugeSampler.hmc
        self._core = build(action.core_terms(), self._scales, self.length)

    def _time_scales(self) -> list[tuple[list[int], int, str]]:
        terms = self.action.terms()
        left = list(range(len(terms)))
        inner = []
        for action, steps in self.levels:
            indices = []
            for term in action.terms():
                index = next((n for n in left if terms[n] == term), None)
                if index is None:
                    raise ValueError(f"level {term!r} is not a term of the action, or is named twice; terms: {terms}")
                left.remove(index)
                indices.append(index)
            inner.append((indices, steps, self.integrator))
        if not left:
            raise ValueError(
                "levels name every term of the action; leave the slowest out: it is integrated with `steps`"
            )
        return [(left, self.steps, self.integrator), *inner]

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        scales = [[indices, steps] for indices, steps, _ in self._scales]
        return {
            "action": self.action.fingerprint(),
            "length": self.length,
            "integrator": self.integrator,
            "levels": scales,
        }


def _checked_levels(levels: Sequence[tuple[Action, int]] | None) -> list[tuple[Action, int]]:
    try:
        pairs = [(action, steps) for action, steps in levels or ()]
    except (TypeError, ValueError):
        raise TypeError(f"levels is a list of (action, steps); got {levels!r}") from None
    for action, _ in pairs:
        if not isinstance(action, Action):
            raise TypeError(f"levels is a list of (action, steps); got {action!r} as an action")
    return [(action, _count("steps of a level", steps, 1)) for action, steps in pairs]
