"""Actions, covariant networks and field transformations as functions of JAX, with their gradients.

Needs ``pip install plaq[jax]`` and is imported by name, ``import plaq.jax``, with double precision switched on:
``jax.config.update("jax_enable_x64", True)``. Fields are arrays: links ``complex128`` of shape
``(D, L_0, .., L_{D-1}, N, N)``, scalar fields ``float64`` of shape ``(L_0, .., L_{D-1}, components)``. The functions
work under ``jit`` and ``vmap`` (one field after another, on the CPU).

Gradients of links are those of JAX, dS/d(Re U) - i dS/d(Im U), tangent to the group: move links within it, as in
``jax.scipy.linalg.expm(A) @ U``. First derivatives only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plaq.actions import Custom
from plaq.bridges.reverse import Reverse, force_of, reverse_of_action, reverse_of_network
from plaq.ground.arguments import function as checked_function
from plaq.ground.extras import require

__all__ = ["action", "custom", "network"]

jax: Any = require("jax", "jax")


def _checked(field: Any) -> Any:
    if not jax.config.jax_enable_x64:
        raise TypeError('links are double precision: call jax.config.update("jax_enable_x64", True) first')
    array = jax.numpy.asarray(field)
    if array.dtype not in (np.dtype(np.complex128), np.dtype(np.float64)):
        raise TypeError(f"the field is complex128 (links) or float64 (scalars); got {array.dtype}")
    return array


def _function(reverse: Reverse) -> Callable[[Any, Any], Any]:
    """Outputs of parameters and field as a function with a reverse pass."""

    def values(theta: Any, field: Any) -> tuple[Any, ...]:
        return reverse.values(np.asarray(theta), np.asarray(field))

    def pullback(theta: Any, field: Any, above: tuple[Any, ...]) -> tuple[Any, Any]:
        below, at_field = reverse.pullback(np.asarray(theta), np.asarray(field), tuple(map(np.conj, above)))
        return below, np.conj(at_field)

    def called(theta: Any, field: Any) -> Any:
        shapes = tuple(jax.ShapeDtypeStruct(*each) for each in reverse.shapes(field.shape))
        return jax.pure_callback(values, shapes, theta, field, vmap_method="sequential")

    def forward(theta: Any, field: Any) -> Any:
        return called(theta, field), (theta, field)

    def backward(kept: Any, above: Any) -> Any:
        shapes = tuple(jax.ShapeDtypeStruct(each.shape, each.dtype) for each in kept)
        return jax.pure_callback(pullback, shapes, *kept, above, vmap_method="sequential")

    differentiable = jax.custom_vjp(called)
    differentiable.defvjp(forward, backward)

    def applied(theta: Any, field: Any) -> Any:
        found = differentiable(jax.numpy.asarray(theta, np.float64), field)
        return found if len(found) > 1 else found[0]

    return applied


def action(action: Any) -> Callable[[Any], Any]:
    """An action as a function of an array.

    Parameters
    ----------
    action : Action
        Of links or of a scalar field, without pseudofermions.

    Returns
    -------
    callable
        From a field to a number.

    Raises
    ------
    TypeError, ValueError
        No such action; later, single precision, or what is no field, with the reason.

    Examples
    --------
    >>> import jax
    >>> import plaq as pq
    >>> jax.config.update("jax_enable_x64", True)
    >>> S = pq.actions.Wilson(2.0)
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> gradient = jax.grad(action(S))(jax.numpy.asarray(np.asarray(U)))
    >>> bool(np.allclose(np.conj(gradient * np.asarray(U)), S.force(U)))  # U(1): the conjugate of the gradient is F U
    True
    """
    applied = _function(reverse_of_action(action))
    return lambda field: applied(np.zeros(0), _checked(field))


def network(net: Any) -> Callable[[Any, Any], Any]:
    """A network or a transformation as a function of its parameters and links.

    Parameters
    ----------
    net : CovariantNet, FieldTransform or LCNN
        Copied; its parameters are the first argument, as ``net.parameters``.

    Returns
    -------
    callable
        From parameters and links to links (CovariantNet), to links and log det (FieldTransform), or to numbers (LCNN).

    Raises
    ------
    TypeError
        Another kind of network.

    Examples
    --------
    >>> import jax
    >>> import plaq as pq
    >>> jax.config.update("jax_enable_x64", True)
    >>> stout, S = network(pq.CovariantNet([pq.StoutLayer(["plaquette"])])), action(pq.actions.Wilson(2.0))
    >>> links = jax.numpy.asarray(np.asarray(pq.GaugeField.hot((4, 4), "SU(2)", rng=1)))
    >>> bool(jax.grad(lambda theta: S(stout(theta, links)))(jax.numpy.zeros(1)) < 0)  # smearing lowers the action
    True
    """
    applied = _function(reverse_of_network(net))
    return lambda theta, links: applied(theta, _checked(links))


def custom(function: Callable[[Any], Any], name: str = "") -> Custom:
    """An action of plaq, for HMC, from a function of JAX; the force is found by automatic differentiation.

    Parameters
    ----------
    function : callable
        From links (an array) to a real number.
    name : str
        Stands for the function in checkpoints; by default its own name.

    Returns
    -------
    plaq.actions.Custom

    Raises
    ------
    TypeError
        No function; later, what JAX says of a value that is no real number.

    Examples
    --------
    >>> import jax
    >>> import plaq as pq
    >>> jax.config.update("jax_enable_x64", True)
    >>> S = custom(lambda links: -0.1 * links[..., 0, 0].real.sum(), "trace")
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> bool(np.allclose(S.force(U).imag, 0.1 * np.asarray(U).imag))
    True
    """
    checked_function("function", function, "a function from an array of links to a number")
    both = jax.jit(jax.value_and_grad(function))

    def value_and_force(links: Any) -> tuple[float, Any]:
        value, gradient = both(_checked(np.array(links)))
        return float(value), force_of(np.conj(np.asarray(gradient)), links)

    return Custom(value_and_force, name or getattr(function, "__qualname__", "function"))
