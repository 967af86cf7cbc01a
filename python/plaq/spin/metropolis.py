"""Exact local Metropolis of the spin-fermion model, and what all samplers of its spins have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import SpinExactCore
from plaq.chains.sampler import Sampler
from plaq.fields.spins import magnetization, staggered_magnetization
from plaq.ground.arguments import instance, number, real, whole_number
from plaq.ground.rng import counter
from plaq.ground.states import Rebuilt
from plaq.spin.fermions import SpinFermion
from plaq.spin.fixed import Fixed

__all__ = ["SpinMetropolis"]

Array = NDArray[np.float64]
Info = dict[str, float | bool | int]


def positive(name: str, value: float) -> float:
    """A positive finite number."""
    return number(name, value, above=0.0)


class SpinSampler(Rebuilt, Fixed, Sampler[Array]):
    """A sampler of spins that remembers log W of the last state it returned (a pure function of the state)."""

    model: SpinFermion
    _last: tuple[Array, float] | None = None

    def default_observables(self, state: Array) -> dict[str, Callable[[Array], Any]]:
        """Magnetization and staggered magnetization."""
        return {"magnetization": magnetization, "staggered_magnetization": staggered_magnetization}

    def _row(self, state: ArrayLike) -> Array:
        array = np.ascontiguousarray(real("state", state))
        if array.shape != (*self.model.shape, 3):
            raise ValueError(f"spins of shape {array.shape}: this model needs {(*self.model.shape, 3)}")
        return array.reshape(1, -1)

    def _known(self, row: Array) -> float | None:
        if self._last is not None and np.array_equal(self._last[0], row[0]):
            return self._last[1]
        return None

    def _state(self, flat: Array, log_weight: float) -> Array:
        self._last = (flat, log_weight)
        return flat.reshape(*self.model.shape, 3).copy()


class SpinMetropolis(SpinSampler):
    """Exact local Metropolis of the spin-fermion model, without a diagonalisation for every proposal.

    The weight as a short sum over imaginary poles makes a local proposal a few 2x2 determinants of resolvents,
    updated in O(N^2) when a spin changes. The error of the sum (``.pole_error`` for one eigenvalue) is removed by one
    accept/reject with an exact diagonalisation at the end of every step, whose rejections are rarer than one in 100.

    Parameters
    ----------
    model : SpinFermion
        The model.
    sweeps : int
        Sweeps a step, each in random direction.
    hits : int
        Metropolis proposals at every visit of a site.
    width : float
        Width of the Gaussian step before normalisation.
    tolerance : float
        Largest error of one eigenvalue's term in log W, up to what does not depend on the spins.

    Settings are fixed when the sampler is made.

    Raises
    ------
    TypeError, ValueError
        No model, settings out of range, a tolerance that no sum of 24 poles reaches, a temperature below 1e-5 of the
        band width.

    Attributes
    ----------
    poles : int
        Number of poles.
    pole_error : float
        Largest error of one eigenvalue's term.

    Examples
    --------
    >>> import plaq as pq
    >>> model = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    >>> chain = pq.SpinMetropolis(model).run(pq.spin.random((4, 4), rng=1), 50, rng=2, progress=False)
    >>> chain.acceptance
    1.0
    """

    _fixed = frozenset({"model", "sweeps", "hits", "width", "tolerance", "poles", "pole_error"})
    _remedy = "make another sampler, as in SpinMetropolis(model, sweeps=3)"

    def __init__(
        self, model: SpinFermion, *, sweeps: int = 5, hits: int = 4, width: float = 0.8, tolerance: float = 4e-3
    ) -> None:
        self.model: SpinFermion = instance("model", model, SpinFermion, "a plaq.SpinFermion")
        self.sweeps, self.hits = whole_number("sweeps", sweeps, 1), whole_number("hits", hits, 1)
        self.width, self.tolerance = positive("width", width), positive("tolerance", tolerance)
        self._rebuild()
        self.poles, self.pole_error = self._core.poles()

    def _rebuild(self) -> None:
        self.__dict__["_core"] = SpinExactCore(self.model._core, self.sweeps, self.hits, self.width, self.tolerance)

    def advance(self, state: Array, seed: int, sweep: int) -> tuple[Array, Info]:
        """One step; `info`: ``accepted``, ``local_acceptance``, ``log_weight``, ``correction`` of the pole sum."""
        row = self._row(state)
        flat, accepted, local, log_weight, correction = self._core.step(row, self._known(row), *counter(seed, sweep))
        info: Info = {
            "accepted": accepted,
            "local_acceptance": local,
            "log_weight": log_weight,
            "correction": correction,
        }
        return self._state(flat, log_weight), info

    def fingerprint(self) -> dict[str, Any]:
        """Physics input."""
        knobs = {"sweeps": self.sweeps, "hits": self.hits, "width": self.width, "tolerance": self.tolerance}
        return {"model": self.model.facts()} | knobs

    def __repr__(self) -> str:
        return f"SpinMetropolis({self.model!r}, sweeps={self.sweeps}, hits={self.hits}, poles={self.poles})"
