"""What samplers of an action's field have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plaq.chains.sampler import Info, Sampler
from plaq.concepts import Action, checked_action
from plaq.fields.gauge import GaugeField
from plaq.fields.scalar import ScalarField
from plaq.ground.rng import counter
from plaq.ground.states import Rebuilt
from plaq.observables import links, topology
from plaq.observables.links import plaquette, polyakov


def count(name: str, value: object, least: int) -> int:
    """A number of sweeps or steps."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is an int, at least {least}; got {value!r}")
    if not least <= value <= 10**6:
        raise ValueError(f"{name} = {value}: allowed are {least} to 1000000")
    return int(value)


def _phi2(phi: ScalarField) -> float:
    """Mean of phi^2 over sites, summed over components."""
    return float((np.asarray(phi) ** 2).sum(axis=-1).mean())


class FieldSampler(Rebuilt, Sampler[Any]):
    """A sampler of the field that its action is a function of."""

    def __init__(self, action: Action) -> None:
        self.action: Action = checked_action("action", action)

    def _checked(self, state: Any) -> Any:
        kind = self.action.field_class
        if not isinstance(state, kind):
            name = kind.__name__
            raise TypeError(f"the state is a {name}; got {type(state).__name__} ({name}.from_numpy takes arrays)")
        if isinstance(state, GaugeField):
            state.inside("sampling")
        return state

    def advance(self, state: Any, seed: int, sweep: int) -> tuple[Any, Info]:
        """One update; see :meth:`plaq.Sampler.advance`."""
        core, info = self._core.step(self._checked(state)._core, *counter(seed, sweep))
        return self.action.field_class(core), info

    def _named_observables(self, state: Any) -> dict[str, Callable[[Any], Any]]:
        rooms = () if isinstance(state, ScalarField) else (links, topology)
        public = {name: getattr(room, name) for room in rooms for name in room.__all__}
        return public | self.default_observables(state)

    def default_observables(self, state: Any) -> dict[str, Callable[[Any], Any]]:
        """The plaquette (in one dimension the Polyakov loop); phi^2 of a scalar field."""
        if isinstance(self._checked(state), ScalarField):
            return {"phi2": _phi2}
        if state.ndim > 1:
            return {"plaquette": plaquette}
        return {"polyakov": polyakov}
