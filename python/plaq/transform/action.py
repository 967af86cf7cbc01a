"""Actions in new variables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from plaq.concepts import Action, Function, refuse_operator
from plaq.fields.gauge import GaugeField
from plaq.flows.flow import Flow
from plaq.transform.field import FieldTransform

__all__ = ["Transformed"]


@dataclass(frozen=True)
class Transformed(Action):
    r"""An action in new variables, :math:`S(F(V)) - \ln\det F_*(V)` (arXiv 0907.5491), with its force.

    Parameters
    ----------
    action : Action
        S, any action of gauge fields, with a flow any of its fields.
    transform : FieldTransform or Flow
        F. Copied: training it later does not change this action. Of a flow the couplings count, the prior does not
        (flowed HMC, arXiv 2302.08408): where the flow is exact this action is that of the prior, up to a constant.

    Raises
    ------
    TypeError
        Not an action of gauge fields and a field transformation, or an action and a flow of the same fields.

    Examples
    --------
    >>> import plaq as pq
    >>> F, S = FieldTransform([pq.transform.StoutMask(0.1, ndim=2)]), pq.actions.Wilson(2.0)
    >>> V = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
    >>> bool(abs(Transformed(S, F)(V) - (S(F(V)) - F.log_det(V))) < 1e-9)
    True
    """

    action: Action
    transform: FieldTransform | Flow

    def __post_init__(self) -> None:
        kind = self.transform.prior.field_class if isinstance(self.transform, Flow) else GaugeField
        refuse_operator("action", self.action)
        fits = isinstance(self.action, Action) and self.action.field_class is kind
        if not fits or not isinstance(self.transform, FieldTransform | Flow):
            given = f"{self.action!r} and {self.transform!r}"
            raise TypeError(
                "Transformed takes an action of gauge fields and a FieldTransform, or an action and a flow of the same "
                f"fields; got {given}"
            )
        object.__setattr__(self, "transform", self.transform.copy())

    @property
    def field_class(self) -> type:  # type: ignore[override]
        """The kind of field that the action is a function of."""
        return self.action.field_class

    def _old(self, V: Any) -> Any:
        """The field U = F(V)."""
        return self._field(self.transform(V))

    def _new(self, U: Any) -> Any:
        """The field V with F(V) = U.

        Raises
        ------
        TypeError, ValueError, ConvergenceError
            As of the inverse of the transformation.
        """
        return self._field(self.transform.inverse(U))

    def _field(self, given: Any) -> Any:
        """The field of the array that a flow gives."""
        return self.transform.prior._field(given) if isinstance(self.transform, Flow) else given

    def spec(self) -> dict[str, Any]:
        """The action as plain data, with the parameters of the transformation."""
        if isinstance(self.transform, Flow):
            return {"kind": "custom", "name": self.functions()[0][1]}
        theta = self.transform.parameters.tolist()
        return {"kind": "transformed", "action": self.action.spec(), "map": self.transform.spec(), "theta": theta}

    def functions(self) -> list[tuple[Function, str]]:
        """The supplied functions of the action; with a flow the whole of it is one."""
        if isinstance(self.transform, Flow):
            return [(partial(self.transform._value_and_force, self.action), f"{self.action!r} in new variables")]
        return self.action.functions()
