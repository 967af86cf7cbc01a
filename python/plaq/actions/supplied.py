"""Actions that are Python functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaq.concepts import Action, Function
from plaq.fields.gauge import GaugeField
from plaq.fields.scalar import ScalarField
from plaq.ground.arguments import shown

__all__ = ["Custom"]


@dataclass(frozen=True)
class Custom(Action):
    r"""An action supplied as a Python function, for example from JAX or torch.

    Parameters
    ----------
    value_and_force : callable
        Takes links of shape ``(D, L_0, .., L_{D-1}, N, N)``, returns the value and the force, an array of the same
        shape: traceless anti-Hermitian F with :math:`dS = \langle F, \delta\rangle` as in :meth:`Action.force`. Of a
        scalar field: values of shape ``(L_0, .., L_{D-1}, components)``, and :math:`dS/d\phi`.
    name : str, optional
        Stands for the function in checkpoints.
    field_class : type
        ``GaugeField`` or ``ScalarField``: what the action is a function of.

    Raises
    ------
    TypeError, ValueError
        Not callable, another kind of field; on use, a result of the wrong kind or shape, or a force outside the Lie
        algebra.

    Examples
    --------
    >>> import numpy as np
    >>> import plaq as pq
    >>> S = pq.actions.Wilson(2.0)
    >>> same = pq.actions.Custom(lambda links: (S(u := pq.GaugeField.from_numpy(links)), S.force(u)))
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> same(U) == S(U)
    True
    >>> square = pq.actions.Custom(lambda phi: (float((phi**2).sum()), 2 * phi), field_class=pq.ScalarField)
    >>> square(pq.ScalarField.from_numpy(np.ones((2, 2, 1))))
    4.0
    """

    value_and_force: Function
    name: str = ""
    field_class: type = GaugeField  # type: ignore[misc]

    def __post_init__(self) -> None:
        if not callable(self.value_and_force):
            raise TypeError(f"Custom takes a function links -> (value, force); got {self.value_and_force!r}")
        if self.field_class not in (GaugeField, ScalarField):
            raise TypeError(f"field_class is GaugeField or ScalarField of plaq; got {shown(self.field_class)}")

    def spec(self) -> dict[str, Any]:
        """The action as plain data; of the function only its name is known."""
        return {"kind": "custom", "name": self.name or getattr(self.value_and_force, "__qualname__", "function")}

    def functions(self) -> list[tuple[Function, str]]:
        """The function and its name."""
        return [(self.value_and_force, self.spec()["name"])]
