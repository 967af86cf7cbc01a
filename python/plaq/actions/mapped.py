"""Actions after maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from plaq.concepts import Action, Function, Map, Vector, refuse_operator
from plaq.ground.arguments import vector

__all__ = ["Mapped"]


@dataclass(frozen=True)
class Mapped(Action):
    r"""An action evaluated on mapped links, :math:`S(\mathrm{net}(U))`; its force is the force of S pulled back.

    Parameters
    ----------
    action : Action
    net : CovariantNet
        Copied: training the network later does not change this action.

    Raises
    ------
    TypeError
        Not an action and a network.

    Examples
    --------
    >>> import plaq as pq
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    >>> S = pq.actions.Mapped(pq.actions.Wilson(5.5), net)
    >>> U = pq.GaugeField.hot((4, 4, 4, 4), rng=1)
    >>> S(U) == pq.actions.Wilson(5.5)(net(U))
    True
    """

    action: Action
    net: Map

    def __post_init__(self) -> None:
        refuse_operator("action", self.action)
        if not isinstance(self.action, Action) or not isinstance(self.net, Map):
            raise TypeError(f"Mapped takes an Action and a CovariantNet; got {self.action!r} and {self.net!r}")
        object.__setattr__(self, "net", self.net.copy())

    def spec(self) -> dict[str, Any]:
        """The action as plain data, with the coefficients of the map."""
        theta = self.net.parameters.tolist()
        return {"kind": "mapped", "action": self.action.spec(), "map": self.net.spec(), "theta": theta}

    @property
    def parameters(self) -> Vector:
        """The coefficients of the map."""
        return self.net.parameters

    def with_parameters(self, values: ArrayLike) -> Mapped:
        """The same action after a map with other coefficients; see :meth:`plaq.actions.Action.with_parameters`."""
        twin = self.net.copy()
        twin.parameters = vector("parameters", values, len(self.parameters))
        return Mapped(self.action, twin)

    @property
    def auxiliaries(self) -> int:
        """Auxiliary fields of the action."""
        return self.action.auxiliaries

    def _times(self, factor: float) -> Action:
        return Mapped(self.action._times(factor), self.net)

    def functions(self) -> list[tuple[Function, str]]:
        """The supplied functions of the action."""
        return self.action.functions()
