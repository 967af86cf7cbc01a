"""Heatbath with overrelaxation for gauge fields."""

from __future__ import annotations

import json
from typing import Any

from plaq import _plaq
from plaq.concepts import Action, not_of_loops
from plaq.fields.gauge import GaugeField
from plaq.samplers.field import FieldSampler, count

__all__ = ["Heatbath"]


class Heatbath(FieldSampler):
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
        Wrong arguments, an action that is not made of loops; on use, a loop that passes a link twice on this lattice.

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
        if strange := not_of_loops(action):
            raise TypeError(f"Heatbath needs an action made of loops; {', '.join(strange)} works with HMC only")
        self.overrelaxation = count("overrelaxation", overrelaxation, 0)
        self._rebuild()

    def _rebuild(self) -> None:
        spec = {"kind": "heatbath", "action": self.action.spec(), "overrelaxation": self.overrelaxation}
        self._core = _plaq.SamplerCore(json.dumps(spec), self.action.functions())

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        return {"action": self.action.spec(), "overrelaxation": self.overrelaxation}
