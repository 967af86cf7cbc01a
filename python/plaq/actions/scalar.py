"""Actions of scalar fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from plaq.concepts import Action
from plaq.fields.scalar import ScalarField
from plaq.ground.arguments import number

__all__ = ["Scalar"]


@dataclass(frozen=True)
class Scalar(Action):
    r"""Action of a scalar field with quartic self-interaction.

    :math:`S = \sum_x \frac12\sum_\mu |\phi(x+\hat\mu)-\phi(x)|^2 + \frac{m^2}{2}|\phi|^2 + \lambda|\phi|^4`, where
    :math:`|\phi|^2` is summed over components. ``S.force(phi)`` is dS/dphi, an array like the field.

    Parameters
    ----------
    mass2 : float
        :math:`m^2`; may be negative if `lam` is positive.
    lam : float
        :math:`\lambda`, at least 0.

    Raises
    ------
    TypeError, ValueError
        Not finite; an action that is not bounded from below.

    Examples
    --------
    >>> import numpy as np
    >>> import plaq as pq
    >>> S = pq.actions.Scalar(1.0, 0.5)
    >>> S(pq.ScalarField.from_numpy(np.ones((4, 4, 1))))
    16.0
    """

    field_class: ClassVar[type] = ScalarField
    mass2: float
    lam: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mass2", number("mass2", self.mass2))
        object.__setattr__(self, "lam", number("lam", self.lam))
        if self.lam < 0 or (self.lam == 0 and self.mass2 <= 0):
            raise ValueError(
                f"mass2 = {self.mass2}, lam = {self.lam}: exp(-S) has no integral; lam must be above 0, or lam = 0 and "
                "mass2 above 0"
            )

    def spec(self) -> dict[str, Any]:
        """The action as plain data; see :meth:`plaq.actions.Action.spec`."""
        return {"kind": "scalar", "mass2": self.mass2, "lam": self.lam}
