"""Actions of gauge fields that are coefficients and loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaq.concepts import Action
from plaq.fields.loops import RECTANGLES, Loop, checked_loop
from plaq.ground.arguments import number

__all__ = ["DBW2", "Iwasaki", "Loops", "Symanzik", "Wilson"]


def _coupling(beta: object) -> float:
    value = number("beta", beta)
    if value < 0:
        raise ValueError(f"beta = {value}; an inverse coupling is at least 0 (Loops takes any coefficient)")
    return value


class _LoopAction(Action):
    """An action that is a list of coefficients and loops."""

    def loops(self) -> list[tuple[float, Loop]]:
        """Coefficients and loops."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """The action as plain data; see :meth:`plaq.actions.Action.spec`."""
        plain = [[c, loop if isinstance(loop, str) else list(loop)] for c, loop in self.loops()]
        return {"kind": "loops", "name": type(self).__name__, "terms": plain}

    def _times(self, factor: float) -> Action:
        beta = getattr(self, "beta", None)
        if beta is not None and factor >= 0:
            return type(self)(factor * beta)  # type: ignore[call-arg]
        return Loops(tuple((factor * c, loop) for c, loop in self.loops()))


@dataclass(frozen=True)
class Wilson(_LoopAction):
    r"""Plaquette action :math:`S = \beta \sum_{x,\mu<\nu} (1 - \mathrm{Re\,tr} P_{\mu\nu}(x)/N)`; U(1): :math:`1-\cos`.

    Parameters
    ----------
    beta : float
        Inverse coupling, at least 0 (SU(N): 2N/g^2).

    Raises
    ------
    TypeError, ValueError
        `beta` is not a finite number, at least 0.

    Examples
    --------
    >>> import plaq as pq
    >>> round(pq.actions.Wilson(6.0)(pq.GaugeField.hot((4, 4), rng=1)) / 16, 1) < 7
    True
    """

    beta: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", _coupling(self.beta))

    def loops(self) -> list[tuple[float, Loop]]:
        """Coefficients and loops."""
        return [(self.beta, "plaquette")]


@dataclass(frozen=True)
class _Improved(_LoopAction):
    beta: float
    c1 = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", _coupling(self.beta))

    def loops(self) -> list[tuple[float, Loop]]:
        """Coefficients and loops."""
        return [(self.beta * (1.0 - 8.0 * self.c1), "plaquette"), (self.beta * self.c1, "rectangle")]


_IMPROVED = r"""{title}: :math:`S = \beta \sum_x [c_0 \sum_{{\mu<\nu}} (1-P) + c_1 \sum_{{\mu\neq\nu}} (1-R)]`.

    R are all 2x1 and 1x2 rectangles, c0 = 1 - 8 c1, c1 = {c1} ({source}).

    Parameters
    ----------
    beta : float
        Inverse coupling, at least 0.

    Raises
    ------
    TypeError, ValueError
        `beta` is not a finite number, at least 0.

    Examples
    --------
    >>> import plaq as pq
    >>> abs(pq.actions.{name}(2.0)(pq.GaugeField.cold((4, 4, 4, 4)))) < 1e-9
    True
    """


class Symanzik(_Improved):  # noqa: D101 - the docstring is formatted
    __doc__ = _IMPROVED.format(
        title="Tree-level improved action", c1="-1/12", source="Luscher and Weisz, CMP 97 (1985) 59", name="Symanzik"
    )
    c1 = RECTANGLES["symanzik"]


class Iwasaki(_Improved):  # noqa: D101 - the docstring is formatted
    __doc__ = _IMPROVED.format(
        title="Renormalisation-group improved action", c1="-0.331", source="Iwasaki, arXiv 1111.7054", name="Iwasaki"
    )
    c1 = RECTANGLES["iwasaki"]


class DBW2(_Improved):  # noqa: D101 - the docstring is formatted
    __doc__ = _IMPROVED.format(
        title="Doubly blocked Wilson action",
        c1="-1.4088",
        source="QCD-TARO, hep-lat/9911033",
        name="DBW2",
    )
    c1 = RECTANGLES["dbw2"]


@dataclass(frozen=True)
class Loops(_LoopAction):
    r"""Any closed loops: :math:`S = \sum_i c_i \sum_x \sum_{W\in i} (1 - \mathrm{Re\,tr} W(x)/N)`.

    Parameters
    ----------
    coefficients : sequence of (float, str or list of int)
        A loop is a family by name (``"plaquette"``, ``"rectangle"``, ``"chair"``, ``"polyakov_t"``, ``"polyakov_s"``,
        ``"polyakov_x"``, ...: every unoriented loop of the lattice once) or one path as signed directions
        ``+-(mu+1)``, placed at every site.

    Raises
    ------
    TypeError, ValueError
        Not such a list; an unknown name; a coefficient that is not finite; on use, a path that does not close.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((4, 4, 4, 4), rng=2)
    >>> a, b = pq.actions.Loops([(5.5, "plaquette")]), pq.actions.Wilson(5.5)
    >>> a(U) == b(U)
    True
    """

    coefficients: tuple[tuple[float, Loop], ...]

    def __post_init__(self) -> None:
        try:
            pairs = [(c, loop) for c, loop in self.coefficients]
        except (TypeError, ValueError):
            raise TypeError(f"Loops takes a list of (coefficient, loop); got {self.coefficients!r}") from None
        if not pairs:
            raise ValueError("Loops needs at least one (coefficient, loop)")
        checked = tuple((number("coefficient", c), checked_loop(loop)) for c, loop in pairs)
        object.__setattr__(self, "coefficients", checked)

    def loops(self) -> list[tuple[float, Loop]]:
        """Coefficients and loops."""
        return [(c, loop if isinstance(loop, str) else list(loop)) for c, loop in self.coefficients]
