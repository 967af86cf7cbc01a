"""Actions, covariant networks and field transformations as functions of torch, with their gradients.

Needs ``pip install plaq[torch]`` and is imported by name, ``import plaq.torch``. Fields are tensors on the CPU: links
``complex128`` of shape ``(D, L_0, .., L_{D-1}, N, N)``, scalar fields ``float64`` of shape
``(L_0, .., L_{D-1}, components)``.

Gradients of links are those of complex tensors in torch, dS/d(Re U) + i dS/d(Im U), tangent to the group: move links
within it, as in ``torch.linalg.matrix_exp(A) @ U``. First derivatives only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plaq.actions import Custom
from plaq.bridges.reverse import Reverse, force_of, reverse_of_action, reverse_of_network
from plaq.ground.arguments import function as checked_function
from plaq.ground.arguments import shown
from plaq.ground.extras import require

__all__ = ["Network", "action", "custom", "network"]

torch: Any = require("torch", "torch")


class _Apply(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, reverse: Reverse, theta: Any, field: Any) -> Any:
        ctx.reverse = reverse
        ctx.save_for_backward(theta, field)
        found = tuple(torch.from_numpy(np.array(value)) for value in reverse.values(*_arrays(theta, field)))
        return found if len(found) > 1 else found[0]

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *above: Any) -> Any:
        theta, field = ctx.saved_tensors
        gradients = ctx.reverse.pullback(*_arrays(theta, field), tuple(map(_array, above)))
        below, at_field = (torch.from_numpy(np.ascontiguousarray(each)) for each in gradients)
        return None, below, at_field


def _arrays(theta: Any, field: Any) -> tuple[Any, Any]:
    return _array(theta), _array(field)


def _array(tensor: Any) -> Any:
    """The numbers of a tensor, also of one that torch keeps as conjugated or negated."""
    return tensor.detach().resolve_conj().resolve_neg().numpy()


def _checked(field: Any) -> Any:
    if not isinstance(field, torch.Tensor):
        raise TypeError(f"the field is a torch.Tensor, as torch.from_numpy(np.asarray(U)); got {shown(field)}")
    if field.device.type != "cpu" or field.dtype not in (torch.complex128, torch.float64):
        raise TypeError(
            f"the field is complex128 (links) or float64 (scalars) on the CPU; got {field.dtype} on {field.device}: "
            "take U.to(torch.complex128).cpu()"
        )
    return field


def action(action: Any) -> Callable[[Any], Any]:
    """An action as a function of a tensor.

    Parameters
    ----------
    action : Action
        Of links or of a scalar field, without pseudofermions.

    Returns
    -------
    callable
        From a field to a tensor without axes.

    Raises
    ------
    TypeError, ValueError
        No such action; later, what is no field, with the reason.

    Examples
    --------
    >>> import plaq as pq
    >>> import torch
    >>> S = pq.actions.Wilson(2.0)
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> links = torch.from_numpy(np.asarray(U)).requires_grad_()
    >>> action(S)(links).backward()
    >>> bool(np.allclose((links.grad * links.conj()).detach(), S.force(U)))  # U(1): the gradient is F U
    True
    """
    reverse = reverse_of_action(action)
    nothing = torch.zeros(0, dtype=torch.float64)
    return lambda field: _Apply.apply(reverse, nothing, _checked(field))


class Network(torch.nn.Module):  # type: ignore[misc]
    """A network of plaq as a module of torch, which has a copy of its parameters; made by :func:`network`.

    Attributes
    ----------
    theta : torch.nn.Parameter
        All parameters, ``float64``, in the order of ``net.parameters``.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self._reverse = reverse_of_network(net)
        self.theta = torch.nn.Parameter(torch.from_numpy(self._reverse.parameters.copy()))

    def forward(self, links: Any) -> Any:
        """What ``net(U)`` gives: links, numbers of an L-CNN, or the pair of links and log det of a transformation."""
        return _Apply.apply(self._reverse, self.theta, _checked(links))


def network(net: Any) -> Network:
    """A network or a transformation as a module of torch.

    Parameters
    ----------
    net : CovariantNet, FieldTransform or LCNN
        Copied; ``net.parameters = module.theta.detach().numpy()`` brings what was learnt back.

    Returns
    -------
    Network
        From links to links (CovariantNet), to links and log det (FieldTransform), or to numbers (LCNN).

    Raises
    ------
    TypeError
        Another kind of network (:func:`plaq.nn.to_torch` is for :class:`plaq.nn.Sequential`).

    Examples
    --------
    >>> import plaq as pq
    >>> import torch
    >>> stout = network(pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.0])]))
    >>> links = torch.from_numpy(np.asarray(pq.GaugeField.hot((4, 4), "SU(2)", rng=1)))
    >>> action(pq.actions.Wilson(2.0))(stout(links)).backward()
    >>> bool(stout.theta.grad < 0)  # smearing lowers the action
    True
    """
    return Network(net)


def custom(function: Callable[[Any], Any], name: str = "") -> Custom:
    """An action of plaq, for HMC, from a function of torch; the force is found by automatic differentiation.

    Parameters
    ----------
    function : callable
        From links (a tensor) to a real tensor without axes.
    name : str
        Stands for the function in checkpoints; by default its own name.

    Returns
    -------
    plaq.actions.Custom

    Raises
    ------
    TypeError
        No function; later, a value that is no real tensor without axes.

    Examples
    --------
    >>> import plaq as pq
    >>> S = custom(lambda links: -0.1 * links[..., 0, 0].real.sum(), "trace")
    >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
    >>> bool(np.allclose(S.force(U).imag, 0.1 * np.asarray(U).imag))
    True
    """
    checked_function("function", function, "a function from a tensor of links to a tensor without axes")

    def value_and_force(links: Any) -> tuple[float, Any]:
        given = torch.from_numpy(np.array(links)).requires_grad_()
        with torch.enable_grad():
            value = function(given)
            if not isinstance(value, torch.Tensor) or value.ndim or value.dtype.is_complex:
                raise TypeError(f"the function gives a real tensor without axes; got {shown(value)}")
            (gradient,) = torch.autograd.grad(value, given, allow_unused=True)
        force = np.zeros_like(links) if gradient is None else force_of(_array(gradient), links)
        return float(value.detach()), force

    return Custom(value_and_force, name or getattr(function, "__qualname__", "function"))
