"""What a user subclasses: actions, maps and losses. Everything else meets in these."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import instance, number, sequence, shown, vector
from plaq.ground.names import Explained, call_text
from plaq.ground.weights import require_same_layers

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Action",
    "DiracFamily",
    "Links",
    "Loss",
    "Map",
    "Scaled",
    "Sum",
    "Trainable",
    "Vector",
    "checked_action",
    "not_of_loops",
    "refuse_operator",
]

Links: TypeAlias = NDArray[np.complex128]
Function: TypeAlias = Callable[[Links], tuple[float, Links]]
Vector: TypeAlias = NDArray[np.float64]


class Action(metaclass=Explained):
    """A real function of a gauge field with its force.

    ``action(U)`` is the value, ``action.force(U)`` the force, ``a + b`` a sum, ``a - b`` a difference, ``2 * a`` twice
    the action.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.cold((4, 4), "U(1)")
    >>> S = pq.actions.Wilson(2.0)
    >>> S(U), S.force(U).shape
    (0.0, (2, 4, 4, 1, 1))
    >>> 2 * S
    Wilson(beta=4.0)
    """

    __repr__ = call_text
    __array_ufunc__ = None  # numbers of numpy times an action are actions

    field_class: ClassVar[type] = GaugeField
    """The kind of field that the action is a function of."""

    def terms(self) -> list[Action]:
        """The actions this one is the sum of."""
        return [self]

    def spec(self) -> dict[str, Any]:
        """The action as plain data, tagged by ``kind``: what crosses into the core and stands in files.

        Returns
        -------
        dict

        Examples
        --------
        >>> import plaq as pq
        >>> pq.actions.Wilson(5.7).spec()
        {'kind': 'loops', 'name': 'Wilson', 'terms': [[5.7, 'plaquette']]}
        """
        raise NotImplementedError

    def functions(self) -> list[tuple[Function, str]]:
        """The supplied functions and their names, in the order in which :meth:`spec` names them."""
        return []

    @property
    def parameters(self) -> Vector:
        """Coefficients that training can change, those of all terms one after another."""
        return np.zeros(0)

    def with_parameters(self, values: ArrayLike) -> Action:
        """The same action with other coefficients.

        Parameters
        ----------
        values : array_like
            As many as :attr:`parameters`.

        Raises
        ------
        TypeError, ValueError
            No array of that many finite numbers.

        Examples
        --------
        >>> import plaq as pq
        >>> S = pq.actions.Mapped(pq.actions.Wilson(2.0), pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]))
        >>> S.with_parameters([0.2]).parameters
        array([0.2])
        """
        vector("parameters", values, 0)
        return self

    @property
    def auxiliaries(self) -> int:
        """Auxiliary fields of a trajectory, such as pseudofermions."""
        return 0

    @cached_property
    def _core(self) -> _plaq.ActionCore:
        return _plaq.ActionCore(json.dumps(self.spec()), self.functions())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __call__(self, U: GaugeField) -> float:
        """Value of the action.

        Parameters
        ----------
        U : GaugeField

        Returns
        -------
        float
        """
        return self._core.value(_core_of(U, self.field_class))

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
        force: Links = self._core.force(_core_of(U, self.field_class))
        return force

    def __add__(self, other: Action) -> Action:
        if not isinstance(other, Action):
            refuse_operator("a term of an action", other)
            return NotImplemented
        if self.field_class is not other.field_class:
            kinds = f"{self.field_class.__name__} and {other.field_class.__name__}"
            raise TypeError(f"actions of different fields cannot be added: {kinds}")
        return Sum((*self.terms(), *other.terms()))

    def __radd__(self, other: Any) -> Action:
        """``sum([a, b])`` begins with ``0 + a``."""
        if isinstance(other, int) and other == 0:
            return self
        refuse_operator("a term of an action", other)
        return NotImplemented

    def __sub__(self, other: Action) -> Action:
        return self + -1.0 * other if isinstance(other, Action) else NotImplemented

    def __neg__(self) -> Action:
        return -1.0 * self

    def __mul__(self, factor: float) -> Action:
        return self._times(number("the factor of an action", factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Action:
        by = number("the divisor of an action", divisor)
        if by == 0:
            raise ValueError("the divisor of an action is 0")
        return self._times(1.0 / by)

    def _times(self, factor: float) -> Action:
        return Scaled(self, factor, trainable=False)


class DiracFamily(ABC, metaclass=Explained):
    """A Dirac operator without a field, as plain data: what actions know of :mod:`plaq.dirac`."""

    __repr__ = call_text
    _beside: ClassVar[str] = "; what acts on quarks is {cls}(..).on(U)"

    def __new__(cls, *given: Any, **_: Any) -> Self:
        """Say how a field comes in."""
        if given and isinstance(given[0], GaugeField):
            raise TypeError(f"{cls.__name__} is an operator without a field; bind it: {cls.__name__}(mass=0.1).on(U)")
        return super().__new__(cls)

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The operator as plain data."""

    @abstractmethod
    def with_mass(self, value: float) -> DiracFamily:
        """The same operator with another mass."""


def refuse_operator(name: str, value: Any) -> None:
    """Say of a Dirac operator that is given as an action how it becomes one.

    Raises
    ------
    TypeError
        `value` is a family of operators, its class, or an operator on a field.
    """
    family = getattr(value, "family", value)
    if isinstance(family, DiracFamily):
        call = repr(family)
    elif isinstance(family, type) and issubclass(family, DiracFamily):
        call = f"pq.dirac.{family.__name__}(mass=..)"
    else:
        return
    call = call if call.startswith("pq.") else f"pq.dirac.{call}"
    raise TypeError(
        f"{name} is an action, and {shown(value)} is a Dirac operator; quarks are an action as "
        f"pq.actions.Pseudofermion({call}, n_flavors=2)"
    )


def not_of_loops(action: Action) -> list[str]:
    """Names of the terms that are no loops, which have no staples.

    Examples
    --------
    >>> import plaq as pq
    >>> not_of_loops(pq.actions.Wilson(2.0) + pq.actions.Custom(lambda U: (0.0, 0 * U)))
    ['Custom']
    """
    return [type(term).__name__ for term in action.terms() if term.spec()["kind"] != "loops"]


def checked_action(name: str, value: Any) -> Action:
    """An action.

    Raises
    ------
    TypeError
        It is none.
    """
    refuse_operator(name, value)
    if isinstance(value, Map):
        raise TypeError(
            f"{name} is an action, and {shown(value)} maps fields; an action of mapped links is "
            "pq.actions.Mapped(action, map)"
        )
    if isinstance(value, list | tuple) and value and all(isinstance(each, Action) for each in value):
        raise TypeError(f"{name} is one action; add them, as in {' + '.join(map(repr, value))}")
    found: Action = instance(name, value, Action, "one of plaq.actions or a sum of them")
    return found


def _core_of(field: Any, kind: type) -> Any:
    if not isinstance(field, kind):
        raise TypeError(f"this action needs a {kind.__name__}; got {type(field).__name__}")
    if isinstance(field, GaugeField):
        return field.inside("the action")
    return field._core  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Sum(Action):
    """A sum of actions, as made by ``a + b``.

    Raises
    ------
    TypeError
        No actions, or actions of different fields.

    Examples
    --------
    >>> import plaq as pq
    >>> S = pq.actions.Wilson(5.0) + pq.actions.Loops([(0.1, "chair")])
    >>> len(S.terms())
    2
    """

    parts: tuple[Action, ...]

    def __post_init__(self) -> None:
        parts = sequence("parts", self.parts, Action, "actions")
        if len({part.field_class for part in parts}) > 1:
            raise TypeError(f"actions of different fields cannot be added: {shown(parts)}")
        object.__setattr__(self, "parts", tuple(parts))

    @property
    def field_class(self) -> type:  # type: ignore[override]
        """The kind of field that the action is a function of."""
        return self.parts[0].field_class

    def terms(self) -> list[Action]:
        """The summands."""
        return list(self.parts)

    def spec(self) -> dict[str, Any]:
        """The action as plain data; see :meth:`Action.spec`."""
        return {"kind": "sum", "terms": [part.spec() for part in self.parts]}

    @property
    def parameters(self) -> Vector:
        """Coefficients of all parts that training can change."""
        return np.concatenate([part.parameters for part in self.parts])

    def with_parameters(self, values: ArrayLike) -> Action:
        """The same sum with other coefficients; see :meth:`Action.with_parameters`."""
        sizes = [len(part.parameters) for part in self.parts]
        each = np.split(vector("parameters", values, sum(sizes)), np.cumsum(sizes)[:-1])
        return Sum(tuple(part.with_parameters(own) for part, own in zip(self.parts, each, strict=True)))

    @property
    def auxiliaries(self) -> int:
        """Auxiliary fields of all parts."""
        return sum(part.auxiliaries for part in self.parts)

    def _times(self, factor: float) -> Action:
        return Sum(tuple(part._times(factor) for part in self.parts))

    def functions(self) -> list[tuple[Function, str]]:
        """The supplied functions of all parts."""
        return [function for part in self.parts for function in part.functions()]


@dataclass(frozen=True)
class Scaled(Action):
    r"""A number times an action, :math:`c\,S`; ``c * S`` makes one whose number is not trained.

    In the proposal of :class:`plaq.SelfLearningHMC` a trained number is worth having:
    :math:`c\,\phi^\dagger K_h^{-1}\phi` with c near :math:`\langle\phi^\dagger K^{-1}\phi\rangle /
    \langle\phi^\dagger K_h^{-1}\phi\rangle` makes up for most of a heavier quark.

    Parameters
    ----------
    action : Action
    coefficient : float
        c; positive if the action has pseudofermions that are drawn with it.
    trainable : bool
        Whether c is one of :attr:`parameters` (the first).

    Raises
    ------
    TypeError, ValueError
        No action, or no finite number.

    Examples
    --------
    >>> import plaq as pq
    >>> S, U = pq.actions.Wilson(2.0), pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> (0.5 * S)(U) == 0.5 * S(U), pq.actions.Scaled(S).parameters
    (True, array([1.]))
    """

    action: Action
    coefficient: float = 1.0
    trainable: bool = True

    def __post_init__(self) -> None:
        checked_action("action", self.action)
        object.__setattr__(self, "coefficient", number("coefficient", self.coefficient))
        object.__setattr__(self, "trainable", bool(instance("trainable", self.trainable, bool, "a bool")))

    @property
    def field_class(self) -> type:  # type: ignore[override]
        """The kind of field that the action is a function of."""
        return self.action.field_class

    def spec(self) -> dict[str, Any]:
        """The action as plain data; see :meth:`plaq.actions.Action.spec`."""
        own = {"kind": "scaled", "coefficient": self.coefficient, "trainable": self.trainable}
        return own | {"action": self.action.spec()}

    @property
    def parameters(self) -> Vector:
        """The number, if it is trained, and the coefficients of the action."""
        own = [self.coefficient] if self.trainable else []
        return np.concatenate([own, self.action.parameters])

    def with_parameters(self, values: ArrayLike) -> Scaled:
        """The same with other coefficients; see :meth:`plaq.actions.Action.with_parameters`."""
        given, own = vector("parameters", values, len(self.parameters)), int(self.trainable)
        coefficient = float(given[0]) if own else self.coefficient
        return replace(self, coefficient=coefficient, action=self.action.with_parameters(given[own:]))

    @property
    def auxiliaries(self) -> int:
        """Auxiliary fields of the action."""
        return self.action.auxiliaries

    def functions(self) -> list[tuple[Function, str]]:
        """The supplied functions of the action."""
        return self.action.functions()


class Trainable(ABC, metaclass=Explained):
    """Something with parameters that are trained on configurations.

    Examples
    --------
    >>> import plaq as pq
    >>> isinstance(pq.transform.u1_2d(0.1), Trainable)
    True
    """

    @property
    @abstractmethod
    def parameters(self) -> Vector:
        """All coefficients; can be set."""

    @parameters.setter
    @abstractmethod
    def parameters(self, values: ArrayLike) -> None: ...

    @abstractmethod
    def copy(self) -> Self:
        """The same again, with coefficients of its own."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Plain data that says what the layers are; coefficients are apart from it."""

    @classmethod
    @abstractmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """What a safetensors file holds."""

    def load_parameters(self, path: str | PathLike[str]) -> None:
        """Take the parameters of a file whose layers must be the same (the lattice of a flow may be another).

        Raises
        ------
        ValueError
            Other layers; names the first difference.
        FormatError
            A damaged file.
        OSError
            The file cannot be read.
        """
        other = type(self).load(path)
        require_same_layers(path, other.spec()["layers"], self.spec()["layers"])
        self.parameters = other.parameters

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_core"}


class Map(Trainable):
    """A map of gauge fields with coefficients: what actions and losses know of networks.

    Examples
    --------
    >>> import plaq as pq
    >>> isinstance(pq.CovariantNet([pq.StoutLayer(["plaquette"])]), Map)
    True
    """

    recompute: bool
    """In the reverse pass compute the fields between layers again instead of keeping them."""

    @abstractmethod
    def __call__(self, U: GaugeField) -> GaugeField:
        """Image of a field."""

    @cached_property
    def _core(self) -> _plaq.NetworkCore:
        return _plaq.NetworkCore(json.dumps(self.spec()))


def checked_batch(net: Any, fields: Any, targets: Any) -> None:
    """Refuses what no loss can be taken of.

    Raises
    ------
    TypeError, ValueError
        No map, no list of fields, fields of different kinds, or not one target for each.
    """
    instance("net", net, Map, "a plaq.CovariantNet")
    given = sequence("fields", fields, GaugeField, "GaugeField")
    kinds = {(field.group, field.shape) for field in given}
    if len(kinds) > 1:
        raise ValueError(f"fields are of different kinds: {sorted(kinds)}; one loss takes one kind")
    one_target_each(given, targets)


def one_target_each(fields: Sequence[GaugeField], targets: Any) -> list[Any]:
    """The targets, if they are as many as the fields.

    Raises
    ------
    TypeError, ValueError
        No list, or one of another length.
    """
    if not isinstance(targets, Sequence | np.ndarray) or isinstance(targets, str | bytes):
        raise TypeError(f"targets is a list, as loss.targets(fields) makes it; got {shown(targets)}")
    if len(targets) != len(fields):
        raise ValueError(f"{len(targets)} targets for {len(fields)} configurations; give loss.targets(fields)")
    return list(targets)


class Loss(metaclass=Explained):
    """A function of a network and configurations; the base of those of ``plaq.losses``.

    Examples
    --------
    >>> import plaq as pq
    >>> isinstance(pq.losses.ForceNorm(pq.actions.Wilson(2.0)), Loss)
    True
    """

    __repr__ = call_text

    def targets(self, fields: Sequence[GaugeField]) -> list[Any]:
        """What each configuration is compared with; computed once for a training."""
        raise NotImplementedError

    def of_batch(self, net: Map, fields: Sequence[GaugeField], targets: Sequence[Any]) -> tuple[float, Vector]:
        """Loss of some configurations and its derivative with respect to the coefficients.

        By default the mean of :meth:`of_field`; a loss defines one of the two.

        Parameters
        ----------
        net : Map
            The network.
        fields : sequence of GaugeField
            Configurations of one kind.
        targets : sequence
            What :meth:`targets` makes of them.

        Raises
        ------
        TypeError, ValueError
            No map, no fields, or not one target for each.
        """
        checked_batch(net, fields, targets)
        terms = [self.of_field(net, field, target) for field, target in zip(fields, targets, strict=True)]
        return float(np.mean([value for value, _ in terms])), np.mean([gradient for _, gradient in terms], axis=0)

    def of_field(self, net: Map, field: GaugeField, target: Any) -> tuple[float, Vector]:
        """Loss of one configuration and its derivative."""
        if type(self).of_batch is Loss.of_batch:
            raise NotImplementedError
        return self.of_batch(net, [field], [target])

    def facts(self) -> dict[str, Any]:
        """Plain data that says what the loss is."""
        raise NotImplementedError
