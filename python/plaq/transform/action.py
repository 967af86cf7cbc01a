"""Actions in new variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaq.concepts import Action, Function
from plaq.transform.field import FieldTransform

__all__ = ["Transformed"]


@dataclass(frozen=True)
class Transformed(Action):
    r"""An action in new variables, :math:`S(F(V)) - \ln\det F_*(V)` (arXiv 0907.5491), with its force.

    Parameters
    ----------
    action : Action
        S, any action of gauge fields.
    transform : FieldTransform
        F. Copied: training it later does not change this action.

    Raises
    ------
    TypeError
        Not an action of gauge fields and a field transformation.

    Examples
    --------
    >>> import plaq as pq
    >>> F, S = FieldTransform([pq.transform.StoutMask(0.1, ndim=2)]), pq.actions.Wilson(2.0)
    >>> V = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
    >>> bool(abs(Transformed(S, F)(V) - (S(F(V)) - F.log_det(V))) < 1e-9)
    True
    """

    action: Action
    transform: FieldTransform

    def __post_init__(self) -> None:
        fits = isinstance(self.action, Action) and self.action.field_class is Action.field_class
        if not fits or not isinstance(self.transform, FieldTransform):
            given = f"{self.action!r} and {self.transform!r}"
            raise TypeError(f"Transformed takes an action of gauge fields and a FieldTransform; got {given}")
        object.__setattr__(self, "transform", self.transform.copy())

    def spec(self) -> dict[str, Any]:
        """The action as plain data, with the parameters of the transformation."""
        theta = self.transform.parameters.tolist()
        return {"kind": "transformed", "action": self.action.spec(), "map": self.transform.spec(), "theta": theta}

    def functions(self) -> list[tuple[Function, str]]:
        """The supplied functions of the action."""
        return self.action.functions()
