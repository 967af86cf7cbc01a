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
from plaq.ground.arguments import number, one_of, shown, vector, whole_number

__all__ = ["StoutMask"]

MASKS = ("parity", "sublattices")


class StoutMask:
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

    Raises
    ------
    TypeError, ValueError
        Coefficients past the bound s/n (which is named), loops all of whose staples pass links of the mask, unknown
        names, NaN.

    Examples
    --------
    >>> StoutMask(0.1, ndim=2).coefficients
    array([0.1])
    >>> StoutMask([0.1, 0.05], ["plaquette", "rectangle"], ndim=2).staples
    [2, 4]
    """

    def __init__(
        self,
        coefficients: ArrayLike = 0.0,
        loops: Sequence[Loop] = ("plaquette",),
        *,
        ndim: int = 4,
        mask: str | None = None,
        direction: int | None = None,
        subset: int | None = None,
        bound: float | None = None,
    ) -> None:
        if isinstance(loops, str) or not isinstance(loops, Sequence) or not len(loops):
            raise TypeError(f"loops is a list of names or paths; got {shown(loops)}")
        checked = map(checked_loop, loops)
        self.loops: list[Any] = [loop if isinstance(loop, str) else list(loop) for loop in checked]
        self.ndim = whole_number("ndim", ndim, 2, 4)
        self.mask = one_of("mask", mask, MASKS) if mask is not None else MASKS[self.ndim == 2]
        self.direction = None if direction is None else whole_number("direction", direction, 0, self.ndim - 1)
        classes = 2 if self.mask == "parity" else 2**self.ndim
        self.subset = None if subset is None else whole_number("subset", subset, 0, classes - 1)
        self.bound = number("bound", bound, most=1.0, above=0.0) if bound is not None else (0.75, 1.0)[self.ndim == 2]
        counts = _plaq.masked_staples(json.dumps({"layers": [self.spec()]}), self.ndim)[0]
        self.staples: list[int] = [round(count) for count in counts]
        self._limit = self.bound / sum(counts)
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
        r"""The :math:`c_k`; can be set, within the bound."""
        return self._limit * 2 / np.pi * np.arctan(self.parameters)

    @coefficients.setter
    def coefficients(self, values: ArrayLike) -> None:
        chosen = vector("coefficients", values, len(self.staples))
        if np.any(np.abs(chosen) >= self._limit):
            limit = f"{self.bound:g}/{sum(self.staples)} = {self._limit:.6g}"
            raise ValueError(
                f"coefficients {chosen.tolist()}: with {sum(self.staples)} staples a link each must be below {limit} "
                "in size, so that the layer can be inverted; take smaller ones, or several layers"
            )
        self.parameters = np.tan(chosen / self._limit * np.pi / 2)

    @property
    def names(self) -> list[str]:
        """A name for each parameter."""
        return [loop if isinstance(loop, str) else ",".join(map(str, loop)) for loop in self.loops]

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
        }

    def copy(self) -> StoutMask:
        """The same layer again, with parameters of its own."""
        twin = copy.copy(self)
        twin.loops, twin.parameters = list(self.loops), self.parameters.copy()
        return twin

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {c:.6g}" for name, c in zip(self.names, self.coefficients, strict=True))
        where = "" if self.direction is None else f", direction {self.direction}"
        where += "" if self.subset is None else f", subset {self.subset}"
        return f"StoutMask({values}; {self.ndim} dimensions, {self.mask}{where})"


def layer_from(entry: dict[str, Any], parameters: NDArray[np.float64]) -> StoutMask:
    """The layer that :meth:`StoutMask.spec` describes."""
    rest = {name: value for name, value in entry.items() if name != "kind"}
    if entry["kind"] != "stout_mask":
        raise ValueError(f"layer kind {entry['kind']!r}; known is stout_mask")
    layer = StoutMask(**rest)
    layer.parameters = vector("parameters", parameters, len(layer.parameters))
    return layer
