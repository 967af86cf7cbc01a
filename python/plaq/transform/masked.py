"""Masked layers: the links of one direction on every second site, or every fourth, are updated at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.fields.loops import Loop, checked_loop
from plaq.ground.arguments import instance, number, one_of, shown, vector, whole_number
from plaq.ground.names import Explained
from plaq.nn.layers import layer_from as network_layer
from plaq.nn.sequential import Sequential

__all__ = ["StoutMask"]

MASKS = ("parity", "sublattices")


class StoutMask(metaclass=Explained):
    r"""Masked stout-type update :math:`U \to e^{A} U`, :math:`A = \mathrm{TA}(\sum_k c_k \sum_i S_{k,i} U^\dagger)`.

    :math:`S_{k,i}` are the staples of the loops of coefficient k that pass no other link of the mask. By default a
    layer is a sweep: every direction and every class of sites in turn, all with the same coefficients. In U(1) it is
    :math:`\theta \to \theta - \sum_k c_k \sum_i \sin W_{k,i}` with
    :math:`\ln\det = \sum \ln(1 - \sum_k c_k \sum_i \cos W_{k,i})` (arXiv 2201.01862).

    The parameters are :math:`x_k` with :math:`c_k = \frac{s}{n} \frac{2}{\pi} \arctan x_k`, n the number of staples of
    a link, so that :math:`\sum_k |c_k| n_k < s \le 1`: the layer is then one to one (its inverse is the fixed point of
    a contraction) and its Jacobian positive.

    Parameters
    ----------
    coefficients : float or sequence of float
        :math:`c_k`, one for each loop; positive ones smooth the field.
    loops : sequence of str or list of int
        Families or paths; ``"plaquette"``, ``"rectangle"`` (with the mask ``"sublattices"``), ``"chair"``.
    ndim : int
        Dimensions of the lattice, 2 to 4.
    mask : {"parity", "sublattices"}, optional
        Even and odd sites, or :math:`2^D` classes :math:`x_\mu \bmod 2`; by default ``"sublattices"`` in two dimensions
        and ``"parity"`` above.
    direction : int, optional
        Update only links of this direction.
    subset : int, optional
        Update only one class: 0 (even) or 1 (odd); :math:`\sum_\mu 2^\mu (x_\mu \bmod 2)` of the sublattices.
    bound : float, optional
        s, above 0 and at most 1; by default 1 in two dimensions and 3/4 above (arXiv 2405.19692).
    network : Sequential, optional
        Coefficients that depend on the field: :math:`x_k(x)` of every active link is output k of this network at its
        site. Convolutions of stride 1, activations and residual blocks; no coefficients are given then. Every direction
        and class of a sweep has weights of its own, which start from those of `network`.
    inputs : sequence of str or list of int
        Loops whose traces :math:`\frac1N \mathrm{Re\,tr}\,W`, beginning at each site, are the input channels of
        the network, one for each plane and orientation: in two dimensions 1 for ``"plaquette"`` and 2 for
        ``"rectangle"``. A trace is 0 where its loop passes a link of the mask: the input never depends on what is
        updated, so log det and inverse are exact.

    Raises
    ------
    TypeError, ValueError
        Coefficients past the bound s/n (which is named), loops all of whose staples pass links of the mask, unknown
        names, NaN; a network with other numbers of inputs and outputs than loops, or with pools or strides.

    Examples
    --------
    >>> StoutMask(0.1, ndim=2).coefficients
    array([0.1])
    >>> StoutMask([0.1, 0.05], ["plaquette", "rectangle"], ndim=2).staples
    [2, 4]
    >>> from plaq.nn import GELU, Conv, Sequential
    >>> net = Sequential([Conv(3, 1, 2), GELU(), Conv(3, 2, 1)], ndim=2, rng=1)
    >>> StoutMask(ndim=2, direction=0, subset=0, network=net, inputs=["plaquette"])
    StoutMask(plaquette by a network of 39 parameters; 2 dimensions, sublattices, direction 0, subset 0)
    """

    def __init__(
        self,
        coefficients: ArrayLike | None = None,
        loops: Sequence[Loop] = ("plaquette",),
        *,
        ndim: int = 4,
        mask: str | None = None,
        direction: int | None = None,
        subset: int | None = None,
        bound: float | None = None,
        network: Sequential | None = None,
        inputs: Sequence[Loop] = ("plaquette", "rectangle"),
    ) -> None:
        self.loops = _loops("loops", loops)
        self.ndim = whole_number("ndim", ndim, 2, 4)
        self.mask = one_of("mask", mask, MASKS) if mask is not None else MASKS[self.ndim == 2]
        self.direction = None if direction is None else whole_number("direction", direction, 0, self.ndim - 1)
        classes = 2 if self.mask == "parity" else 2**self.ndim
        self.subset = None if subset is None else whole_number("subset", subset, 0, classes - 1)
        self.bound = number("bound", bound, most=1.0, above=0.0) if bound is not None else (0.75, 1.0)[self.ndim == 2]
        self.network = None if network is None else _on_fields(network, self.ndim)
        self.inputs = [] if network is None else _loops("inputs", inputs)
        counts = _plaq.masked_staples(json.dumps({"layers": [self.spec()]}), self.ndim)[0]
        self.staples: list[int] = [round(count) for count in counts]
        self._limit = self.bound / sum(counts)
        if self.network is not None:
            if coefficients is not None:
                raise ValueError("coefficients are given and a network for them: give one of them")
            slices = (self.ndim if self.direction is None else 1) * (classes if self.subset is None else 1)
            self.parameters = np.tile(self.network.parameters, slices)
            return
        coefficients = 0.0 if coefficients is None else coefficients
        given = np.ndim(coefficients) == 0 and len(counts) > 1
        self.parameters = np.zeros(len(counts))
        values = (
            np.broadcast_to(np.asarray(coefficients, object), len(counts))
            if given
            else np.atleast_1d(np.asarray(coefficients, object))
        )
        self.coefficients = vector("coefficients", values, len(counts))

    @property
    def coefficients(self) -> NDArray[np.float64]:
        r"""The :math:`c_k`; can be set, within the bound. A layer with a network has none of its own."""
        self._require_constant()
        return self._limit * 2 / np.pi * np.arctan(self.parameters)

    @coefficients.setter
    def coefficients(self, values: ArrayLike) -> None:
        self._require_constant()
        chosen = vector("coefficients", values, len(self.staples))
        if np.any(np.abs(chosen) >= self._limit):
            limit = f"{self.bound:g}/{sum(self.staples)} = {self._limit:.6g}"
            raise ValueError(
                f"coefficients {chosen.tolist()}: with {sum(self.staples)} staples a link each must be below {limit} "
                "in size, so that the layer can be inverted; take smaller ones, or several layers"
            )
        self.parameters = np.tan(chosen / self._limit * np.pi / 2)

    def _require_constant(self) -> None:
        if self.network is not None:
            raise ValueError("coefficients of a layer with a network depend on the field: use its parameters")

    @property
    def names(self) -> list[str]:
        """A name for each parameter."""
        if self.network is not None:
            return [f"network.{n}" for n in range(len(self.parameters))]
        return list(map(_name, self.loops))

    def spec(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again; parameters are apart from it.

        Examples
        --------
        >>> StoutMask(ndim=2, direction=0).spec()["mask"]
        'sublattices'
        """
        return {
            "kind": "stout_mask",
            "loops": self.loops,
            "ndim": self.ndim,
            "mask": self.mask,
            "direction": self.direction,
            "subset": self.subset,
            "bound": self.bound,
            "network": None
            if self.network is None
            else {"inputs": self.inputs, "layers": [layer.spec(self.ndim) for layer in self.network.layers]},
        }

    def copy(self) -> StoutMask:
        """The same layer again, with parameters of its own."""
        twin = copy.copy(self)
        twin.loops, twin.parameters = list(self.loops), self.parameters.copy()
        return twin

    def __repr__(self) -> str:
        if self.network is None:
            values = ", ".join(f"{name} {c:.6g}" for name, c in zip(self.names, self.coefficients, strict=True))
        else:
            names = ", ".join(map(_name, self.loops))
            values = f"{names} by a network of {len(self.parameters)} parameters"
        where = "" if self.direction is None else f", direction {self.direction}"
        where += "" if self.subset is None else f", subset {self.subset}"
        return f"StoutMask({values}; {self.ndim} dimensions, {self.mask}{where})"


def _name(loop: Loop) -> str:
    return loop if isinstance(loop, str) else ",".join(map(str, loop))


def _loops(name: str, loops: Sequence[Loop]) -> list[Any]:
    if isinstance(loops, str) or not isinstance(loops, Sequence) or not len(loops):
        raise TypeError(f"{name} is a list of names or paths; got {shown(loops)}")
    checked = map(checked_loop, loops)
    return [loop if isinstance(loop, str) else list(loop) for loop in checked]


def _on_fields(network: object, ndim: int) -> Sequential:
    """A copy of the network, if it is one for this number of dimensions."""
    checked: Sequential = instance("network", network, Sequential, "a pq.nn.Sequential of convolutions")
    if checked.ndim != ndim:
        raise ValueError(f"network is for {checked.ndim} dimensions; the layer has {ndim}")
    return copy.deepcopy(checked)


def layer_from(entry: dict[str, Any], parameters: NDArray[np.float64]) -> StoutMask:
    """The layer that :meth:`StoutMask.spec` describes."""
    rest = {name: value for name, value in entry.items() if name not in ("kind", "network")}
    if entry["kind"] != "stout_mask":
        raise ValueError(f"layer kind {entry['kind']!r}; known is stout_mask")
    network = entry.get("network")
    if network is not None:
        layers = [network_layer(layer) for layer in network["layers"]]
        rest |= {"network": Sequential(layers, ndim=entry["ndim"]), "inputs": network["inputs"]}
    layer = StoutMask(**rest)
    layer.parameters = vector("parameters", parameters, len(layer.parameters))
    return layer
