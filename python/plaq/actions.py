"""Actions: numbers with a force. A sum of actions is an action."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plaq import _plaq
from plaq.gauge import GaugeField
from plaq.scalar_field import ScalarField
from plaq.smear import CovariantNet
from plaq.suggest import unknown

__all__ = ["DBW2", "Action", "Custom", "Iwasaki", "Loops", "Mapped", "Scalar", "Sum", "Symanzik", "Wilson"]

Loop: TypeAlias = str | Sequence[int]
Links: TypeAlias = NDArray[np.complex128]
ValueAndForce: TypeAlias = Callable[[Links], tuple[float, Links]]


def _finite(name: str, value: object) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is a number; got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} = {value}; it must be finite")
    return float(value)


def _coupling(beta: object) -> float:
    value = _finite("beta", beta)
    if value < 0:
        raise ValueError(f"beta = {value}; an inverse coupling is at least 0 (Loops takes any coefficient)")
    return value


class Action:
    """A real function of a gauge field with its force.

    ``action(U)`` is the value, ``action.force(U)`` the force, ``a + b`` a sum.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.cold((4, 4), "U(1)")
    >>> S = pq.actions.Wilson(2.0)
    >>> S(U), S.force(U).shape
    (0.0, (2, 4, 4, 1, 1))
    """

    field_class: ClassVar[type] = GaugeField
    """The kind of field that the action is a function of."""

    def terms(self) -> list[Action]:
        """The actions this one is the sum of."""
        return [self]

    def core_terms(self) -> list[Any]:
        """The terms as the core takes them."""
        raise NotImplementedError

    def fingerprint(self) -> list[Any]:
        """The physics input as plain data."""
        raise NotImplementedError

    def __call__(self, U: GaugeField) -> float:
        """Value of the action.

        Parameters
        ----------
        U : GaugeField

        Returns
        -------
        float
        """
        core = _core_of(U, self.field_class)
        value = _plaq.scalar_value if self.field_class is ScalarField else _plaq.action_value
        return float(value(core, self.core_terms()))

    def force(self, U: GaugeField) -> Links:
        r"""Force F with :math:`dS = \langle F, \delta\rangle` for :math:`U \to e^\delta U`.

        :math:`\langle A, B\rangle = -2\,\mathrm{tr} AB` (U(1): :math:`-\mathrm{tr} AB`); equations of motion
        :math:`\dot U = A U, \dot A = -F`, kinetic energy :math:`\langle A, A\rangle/2`.

        Parameters
        ----------
        U : GaugeField

        Returns
        -------
        ndarray
            Traceless (N > 1) anti-Hermitian matrices, shape ``(D, L_0, .., L_{D-1}, N, N)``.

        Examples
        --------
        >>> import plaq as pq
        >>> S = pq.actions.Wilson(5.5)
        >>> float(abs(S.force(pq.GaugeField.cold((4, 4, 4, 4)))).max())
        0.0
        """
        core = _core_of(U, self.field_class)
        compute: Any = _plaq.scalar_force if self.field_class is ScalarField else _plaq.action_force
        force: Links = compute(core, self.core_terms())
        return force

    def __add__(self, other: Action) -> Action:
        if not isinstance(other, Action):
            return NotImplemented
        if self.field_class is not other.field_class:
            kinds = f"{self.field_class.__name__} and {other.field_class.__name__}"
            raise TypeError(f"actions of different fields cannot be added: {kinds}")
        return Sum((*self.terms(), *other.terms()))


def _core_of(field: Any, kind: type) -> Any:
    if not isinstance(field, kind):
        raise TypeError(f"this action needs a {kind.__name__}; got {type(field).__name__}")
    return field._core  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Sum(Action):
    """A sum of actions, as made by ``a + b``.

    Examples
    --------
    >>> import plaq as pq
    >>> S = pq.actions.Wilson(5.0) + pq.actions.Loops([(0.1, "chair")])
    >>> len(S.terms())
    2
    """

    parts: tuple[Action, ...]

    @property
    def field_class(self) -> type:  # type: ignore[override]
        """The kind of field that the action is a function of."""
        return self.parts[0].field_class

    def terms(self) -> list[Action]:
        """The summands."""
        return list(self.parts)

    def core_terms(self) -> list[Any]:
        """The terms as the core takes them."""
        return [term for part in self.parts for term in part.core_terms()]

    def fingerprint(self) -> list[Any]:
        """The physics input as plain data."""
        return [term for part in self.parts for term in part.fingerprint()]


class _LoopAction(Action):
    """An action that is a list of coefficients and loops."""

    def loops(self) -> list[tuple[float, Loop]]:
        """Coefficients and loops."""
        raise NotImplementedError

    def core_terms(self) -> list[Any]:
        """The terms as the core takes them."""
        return [self.loops()]

    def fingerprint(self) -> list[Any]:
        """The physics input as plain data."""
        plain = [[c, loop if isinstance(loop, str) else list(loop)] for c, loop in self.loops()]
        return [[type(self).__name__, *plain]]


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
    c1 = -1.0 / 12.0


class Iwasaki(_Improved):  # noqa: D101 - the docstring is formatted
    __doc__ = _IMPROVED.format(
        title="Renormalisation-group improved action", c1="-0.331", source="Iwasaki, arXiv 1111.7054", name="Iwasaki"
    )
    c1 = -0.331


class DBW2(_Improved):  # noqa: D101 - the docstring is formatted
    __doc__ = _IMPROVED.format(
        title="Doubly blocked Wilson action",
        c1="-1.4088",
        source="QCD-TARO, hep-lat/9911033",
        name="DBW2",
    )
    c1 = -1.4088


def _checked_loop(loop: object) -> Loop:
    if isinstance(loop, str):
        if loop not in _plaq.LOOP_FAMILIES:
            raise ValueError(unknown("loop", loop, _plaq.LOOP_FAMILIES))
        return loop
    steps = list(loop) if isinstance(loop, Iterable) else []
    if not steps or not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in steps):
        raise TypeError(f"a loop is a name or a list of steps +-(mu+1); got {loop!r}")
    if not all(1 <= abs(int(s)) <= 4 for s in steps):
        raise ValueError(f"loop {steps}: steps are +-1 to +-4 (direction mu is +-(mu+1))")
    return tuple(int(s) for s in steps)


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
        checked = tuple((_finite("coefficient", c), _checked_loop(loop)) for c, loop in pairs)
        object.__setattr__(self, "coefficients", checked)

    def loops(self) -> list[tuple[float, Loop]]:
        """Coefficients and loops."""
        return [(c, loop if isinstance(loop, str) else list(loop)) for c, loop in self.coefficients]


@dataclass(frozen=True)
class Custom(Action):
    r"""An action supplied as a Python function, for example from JAX or torch.

    Parameters
    ----------
    value_and_force : callable
        Takes links of shape ``(D, L_0, .., L_{D-1}, N, N)``, returns the value and the force, an array of the same
        shape: traceless anti-Hermitian F with :math:`dS = \langle F, \delta\rangle` as in :meth:`Action.force`.
    name : str, optional
        Stands for the function in checkpoints.

    Raises
    ------
    TypeError, ValueError
        Not callable; on use, a result of the wrong kind or shape, or a force outside the Lie algebra.

    Examples
    --------
    >>> import plaq as pq
    >>> S = pq.actions.Wilson(2.0)
    >>> same = pq.actions.Custom(lambda links: (S(u := pq.GaugeField.from_numpy(links)), S.force(u)))
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> same(U) == S(U)
    True
    """

    value_and_force: ValueAndForce
    name: str = field(default="")

    def __post_init__(self) -> None:
        if not callable(self.value_and_force):
            raise TypeError(f"Custom takes a function links -> (value, force); got {self.value_and_force!r}")

    def core_terms(self) -> list[Any]:
        """The terms as the core takes them."""
        return [self.value_and_force]

    def fingerprint(self) -> list[Any]:
        """The physics input as plain data; of the function only its name is known."""
        return [["Custom", self.name or getattr(self.value_and_force, "__qualname__", "function")]]


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
    net: CovariantNet

    def __post_init__(self) -> None:
        if not isinstance(self.action, Action) or not isinstance(self.net, CovariantNet):
            raise TypeError(f"Mapped takes an Action and a CovariantNet; got {self.action!r} and {self.net!r}")
        object.__setattr__(self, "net", CovariantNet(self.net.layers, recompute=self.net.recompute))

    def core_terms(self) -> list[Any]:
        """The terms as the core takes them."""
        return [(self.action.core_terms(), self.net.core(), self.net.recompute)]

    def fingerprint(self) -> list[Any]:
        """The physics input as plain data."""
        layers = [[layer.architecture(), layer.rho.tolist()] for layer in self.net.layers]
        return [["Mapped", self.action.fingerprint(), layers]]


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
    >>> import plaq as pq
    >>> S = pq.actions.Scalar(1.0, 0.5)
    >>> S(pq.ScalarField.from_numpy(np.ones((4, 4, 1))))
    16.0
    """

    field_class: ClassVar[type] = ScalarField
    mass2: float
    lam: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mass2", _finite("mass2", self.mass2))
        object.__setattr__(self, "lam", _finite("lam", self.lam))
        if self.lam < 0 or (self.lam == 0 and self.mass2 <= 0):
            raise ValueError(
                f"mass2 = {self.mass2}, lam = {self.lam}: exp(-S) has no integral; lam must be above 0, or lam = 0 and "
                "mass2 above 0"
            )

    def core_terms(self) -> list[Any]:
        """The terms as the core takes them."""
        return [(self.mass2, self.lam)]

    def fingerprint(self) -> list[Any]:
        """The physics input as plain data."""
        return [["Scalar", self.mass2, self.lam]]
