r"""Values and reverse passes of actions, networks and transformations, with gradients of matrices instead of forces.

A force F of plaq lives in the Lie algebra: :math:`dS = \langle F, \delta\rangle = -M\,\mathrm{tr} F\delta` for
:math:`U \to e^\delta U`, M = 2 (1 for U(1)). Frameworks know arrays of complex numbers, with gradients
:math:`G = \partial S/\partial\,\mathrm{Re}\,U + i\,\partial S/\partial\,\mathrm{Im}\,U` (torch; JAX takes the complex
conjugate), :math:`dS = \mathrm{Re\,tr}\, G^\dagger dU`. With :math:`dU = \delta U` in the group

.. math:: F = -\tfrac1M \mathrm{TA}(U G^\dagger), \qquad G = M F U,

TA the traceless anti-Hermitian part (U(1): the imaginary part). This G is tangent to the group: of all that give the
same dS there it has the smallest norm.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.concepts import Action, checked_action
from plaq.fields.gauge import GaugeField
from plaq.fields.scalar import ScalarField
from plaq.ground.arguments import shown
from plaq.lcnn.network import LCNN
from plaq.smear.network import CovariantNet
from plaq.transform.field import FieldTransform

__all__ = ["Reverse", "force_of", "gradient_of", "reverse_of_action", "reverse_of_network"]

Array = NDArray[Any]


def _metric(links: Array) -> int:
    return 1 if links.shape[-1] == 1 else 2


def force_of(gradient: Array, links: Array) -> Array:
    """The force F that belongs to a gradient G of the matrices of links.

    Examples
    --------
    >>> links = np.exp(0.3j) * np.ones((1, 1, 1))
    >>> complex(force_of(np.ones((1, 1, 1)), links).round(4)[0, 0, 0]).imag  # S = Re U, dS/dtheta = -sin(theta)
    -0.2955
    """
    product = links @ np.conj(np.swapaxes(gradient, -1, -2))
    part = 0.5 * (product - np.conj(np.swapaxes(product, -1, -2)))
    n = links.shape[-1]
    if n > 1:
        part = part - np.trace(part, axis1=-2, axis2=-1)[..., None, None] * np.eye(n) / n
    return np.asarray(-part / _metric(links))


def gradient_of(force: Array, links: Array) -> Array:
    """The gradient of the matrices of links, tangent to the group, that belongs to a force.

    Examples
    --------
    >>> links = np.exp(0.3j) * np.ones((1, 1, 1))
    >>> force = np.array([[[-0.5j]]])
    >>> bool(np.allclose(force_of(gradient_of(force, links), links), force))
    True
    """
    return np.asarray(_metric(links) * (force @ links))


class Reverse(ABC):
    """Functions of parameters and of a field, with their reverse pass; gradients are those of torch.

    Attributes
    ----------
    parameters : ndarray
        Where the parameters are now.
    """

    parameters: NDArray[np.float64]

    @abstractmethod
    def values(self, theta: Array, field: Array) -> tuple[Array, ...]:
        """The outputs."""

    @abstractmethod
    def shapes(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], Any]]:
        """Shapes and types of the outputs for a field of some shape."""

    @abstractmethod
    def pullback(self, theta: Array, field: Array, above: tuple[Array, ...]) -> tuple[Array, Array]:
        """Gradients of parameters and field from those of the outputs."""


class _OfAction(Reverse):
    def __init__(self, action: Action) -> None:
        self.action, self.parameters = action, np.zeros(0)

    def _field(self, array: Array) -> Any:
        return self.action.field_class.from_numpy(array)  # type: ignore[attr-defined]

    def values(self, theta: Array, field: Array) -> tuple[Array, ...]:
        return (np.asarray(self.action(self._field(field))),)

    def shapes(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], Any]]:
        return [((), np.float64)]

    def pullback(self, theta: Array, field: Array, above: tuple[Array, ...]) -> tuple[Array, Array]:
        force = np.asarray(self.action.force(self._field(field)))
        gradient = force if self.action.field_class is ScalarField else gradient_of(force, field)
        return np.zeros(0), gradient * float(above[0])


class _OfNetwork(Reverse):
    """A network of which this is the only user; its parameters are set before each call, by one thread at a time."""

    def __init__(self, network: Any) -> None:
        self.network, self.parameters, self._lock = network, network.parameters.copy(), threading.Lock()

    def values(self, theta: Array, field: Array) -> tuple[Array, ...]:
        with self._lock:
            self.network.parameters = theta
            return self._values(GaugeField.from_numpy(field))

    def shapes(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], Any]]:
        n = shape[-1]
        cold = GaugeField.cold(shape[1:-2], "U(1)" if n == 1 else f"SU({n})")
        return [(value.shape, value.dtype) for value in self.values(self.parameters, np.asarray(cold))]

    def pullback(self, theta: Array, field: Array, above: tuple[Array, ...]) -> tuple[Array, Array]:
        with self._lock:
            self.network.parameters = theta
            force, gradient = self._pullback(GaugeField.from_numpy(field), above)
        return gradient, gradient_of(force, field)

    def _values(self, U: GaugeField) -> tuple[Array, ...]:
        return (np.asarray(self.network(U)),)

    def _pullback(self, U: GaugeField, above: tuple[Array, ...]) -> tuple[Array, Array]:
        """Numbers: their gradients are cotangents already."""
        force, gradient = self.network.pullback(U, above[0])
        return force, gradient


class _OfMap(_OfNetwork):
    """Links on both sides."""

    def _pullback(self, U: GaugeField, above: tuple[Array, ...]) -> tuple[Array, Array]:
        force, gradient = self.network.pullback(U, force_of(above[0], np.asarray(self.network(U))))
        return force, gradient


class _OfTransform(_OfNetwork):
    """Links and the log det."""

    def _values(self, U: GaugeField) -> tuple[Array, ...]:
        return np.asarray(self.network(U)), np.asarray(self.network.log_det(U))

    def _pullback(self, U: GaugeField, above: tuple[Array, ...]) -> tuple[Array, Array]:
        cotangent = force_of(above[0], np.asarray(self.network(U)))
        force, gradient = self.network.pullback(U, cotangent, log_det=float(above[1]))
        return force, gradient


def reverse_of_action(action: object) -> Reverse:
    """Value and gradient of an action of links or of a scalar field.

    Raises
    ------
    TypeError
        No action, or one with pseudofermions, whose value is random.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> value = reverse_of_action(pq.actions.Wilson(2.0)).values(np.zeros(0), np.asarray(U))[0]
    >>> float(value) == pq.actions.Wilson(2.0)(U)
    True
    """
    action = checked_action("action", action)
    if action.auxiliaries:
        raise TypeError(
            f"{action!r} has pseudofermions, which are drawn anew for each trajectory; give a bosonic action"
        )
    return _OfAction(action)


def reverse_of_network(network: object) -> Reverse:
    """Outputs and gradients of a network or a transformation; it is copied.

    Raises
    ------
    TypeError
        None of :class:`plaq.CovariantNet`, :class:`plaq.FieldTransform` and :class:`plaq.LCNN`.

    Examples
    --------
    >>> import plaq as pq
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> bool(np.array_equal(reverse_of_network(net).values([0.1], np.asarray(U))[0], np.asarray(net(U))))
    True
    """
    if isinstance(network, FieldTransform):
        return _OfTransform(network.copy())
    if isinstance(network, CovariantNet):
        return _OfMap(network.copy())
    if isinstance(network, LCNN):
        twin = LCNN(network.layers, ndim=network.ndim, group=network.group, rng=0)
        twin.parameters = network.parameters
        return _OfNetwork(twin)
    raise TypeError(f"network is a plaq.CovariantNet, FieldTransform or LCNN; got {shown(network)}")
