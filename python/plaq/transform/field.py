"""Changes of variables U = F(V) with log det and inverse (arXiv 0907.5491, 2201.01862)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.concepts import Trainable
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import aligned, number, sequence, vector
from plaq.ground.html import layer_table
from plaq.ground.weights import load_weights, making, save_weights
from plaq.transform.masked import StoutMask, layer_from

__all__ = ["FieldTransform"]


class FieldTransform(Trainable):
    r"""A change of variables :math:`U = F(V)` of gauge fields: masked layers one after another.

    Parameters
    ----------
    layers : sequence of StoutMask
        The first is applied first.
    recompute : bool
        In the reverse pass compute links before each layer again instead of keeping them. Kept are only the links that
        change, one field for each sweep.

    Attributes
    ----------
    parameters : ndarray
        All parameters, layer by layer; can be set.

    Raises
    ------
    TypeError, ValueError
        No layers, layers for different dimensions.

    Notes
    -----
    Extents must be even. The inverse solves each update link by link by fixed points; after the last iteration, which
    changes a link by less than 1e-14, it is off by less than 1e-14 r/(1 - r), :math:`r = \sum_k |c_k| n_k < 1`.

    Examples
    --------
    >>> import plaq as pq
    >>> F = pq.FieldTransform([pq.transform.StoutMask(0.1, ndim=2)])
    >>> V = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
    >>> bool(abs(np.asarray(F.inverse(F(V))) - np.asarray(V)).max() < 1e-12)
    True
    """

    def __init__(self, layers: Sequence[StoutMask], *, recompute: bool = False) -> None:
        given = [layers] if isinstance(layers, StoutMask) else layers
        self.layers: list[StoutMask] = [
            layer.copy() for layer in sequence("layers", given, StoutMask, "pq.transform.StoutMask")
        ]
        dimensions = sorted({layer.ndim for layer in self.layers})
        if len(dimensions) > 1:
            raise ValueError(f"layers are for {dimensions} dimensions; all must be for the same")
        if not isinstance(recompute, bool | np.bool_):
            raise TypeError(f"recompute is True or False; got {recompute!r}")
        self.recompute = bool(recompute)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """All parameters, layer by layer."""
        return np.concatenate([layer.parameters for layer in self.layers])

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        left = vector("parameters", values, len(self.parameters))
        for layer in self.layers:
            size = len(layer.parameters)
            layer.parameters, left = left[:size].copy(), left[size:]

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(len(layer.parameters) for layer in self.layers)

    def named_parameters(self) -> dict[str, float]:
        """Parameters by ``"layer.loop"``, or ``"layer.network.k"``.

        Examples
        --------
        >>> FieldTransform([StoutMask(0.0, ndim=2)]).named_parameters()
        {'0.plaquette': 0.0}
        """
        return {
            f"{n}.{name}": float(x)
            for n, layer in enumerate(self.layers)
            for name, x in zip(layer.names, layer.parameters, strict=True)
        }

    def __repr__(self) -> str:
        if len(self.layers) <= 4:
            return f"FieldTransform([{', '.join(map(repr, self.layers))}])"
        count, first, last = len(self.layers), self.layers[0], self.layers[-1]
        return f"FieldTransform([{first!r}, ..., {last!r}]): {count} layers, {self.n_parameters} parameters"

    def _repr_html_(self) -> str:
        return layer_table(f"FieldTransform, {len(self.parameters)} parameters", self.layers, self.named_parameters())

    @cached_property
    def _core(self) -> _plaq.TransformCore:
        return _plaq.TransformCore(json.dumps(self.spec()))

    def __call__(self, V: GaugeField) -> GaugeField:
        """U = F(V), with the gauge transformation of V."""
        return GaugeField(self._core.forward(gauge_field(V)._core, self.parameters))

    def inverse(self, U: GaugeField) -> GaugeField:
        """V with F(V) = U.

        Parameters
        ----------
        U : GaugeField

        Returns
        -------
        GaugeField

        Raises
        ------
        ConvergenceError
            Links are not unitary, or NaN.

        Examples
        --------
        >>> F = FieldTransform([StoutMask(0.05)])
        >>> U = GaugeField.hot((4, 4, 4, 4), "SU(3)", rng=1)
        >>> bool(abs(np.asarray(F(F.inverse(U))) - np.asarray(U)).max() < 1e-12)
        True
        """
        return GaugeField(self._core.inverse(gauge_field(U)._core, self.parameters)[0])

    def log_det(self, V: GaugeField) -> float:
        r""":math:`\ln\det F_*(V)`, the sum over links of that of a square matrix of :math:`N^2 - 1` rows.

        Parameters
        ----------
        V : GaugeField

        Returns
        -------
        float

        Examples
        --------
        >>> FieldTransform([StoutMask(0.0, ndim=2)]).log_det(GaugeField.hot((4, 4), "U(1)", rng=1))
        0.0
        """
        return self._core.log_det(gauge_field(V)._core, self.parameters)

    def pullback(
        self, V: GaugeField, cotangent: NDArray[np.complex128], *, log_det: float = 0.0
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        r"""Reverse pass of :math:`S(F(V)) + w \ln\det F_*(V)`.

        Parameters
        ----------
        V : GaugeField
        cotangent : ndarray
            The force of S at F(V), for example ``action.force(F(V))``; shape of the links.
        log_det : float
            w; -1 for the action in new variables.

        Returns
        -------
        dV : ndarray
            The force at V.
        dtheta : ndarray
            Derivative with respect to the parameters.

        Examples
        --------
        >>> import plaq as pq
        >>> F, S = FieldTransform([StoutMask(0.1, ndim=2)]), pq.actions.Wilson(2.0)
        >>> V = GaugeField.hot((4, 4), "U(1)", rng=1)
        >>> dV, dtheta = F.pullback(V, S.force(F(V)), log_det=-1.0)
        >>> bool(np.allclose(dV, pq.transform.Transformed(S, F).force(V)))
        True
        """
        field, weight = gauge_field(V), number("log_det", log_det)
        wanted = (field.ndim, *field.shape, field.n_colors, field.n_colors)
        if not isinstance(cotangent, np.ndarray) or cotangent.dtype.kind not in "fc" or cotangent.shape != wanted:
            raise ValueError(f"cotangent is an array of shape {wanted}, such as action.force(F(V))")
        links = aligned(cotangent, np.complex128)
        return self._core.pullback(field._core, self.parameters, links, weight)

    def copy(self) -> FieldTransform:
        """The same transformation again, with parameters of its own."""
        return FieldTransform(self.layers, recompute=self.recompute)

    def spec(self) -> dict[str, Any]:
        """The layers as plain data; parameters are apart from it.

        Examples
        --------
        >>> FieldTransform([StoutMask(0.1, ndim=2)]).spec()["recompute"]
        False
        """
        return {"layers": [layer.spec() for layer in self.layers], "recompute": self.recompute}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write layers and parameters to a safetensors file."""
        weights = {f"{n}.x": layer.parameters for n, layer in enumerate(self.layers)}
        save_weights(path, weights, self.spec()["layers"])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FieldTransform:
        """The transformation of a safetensors file.

        Raises
        ------
        FormatError
            A damaged file, or one of another kind.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "map.safetensors"
        >>> FieldTransform([StoutMask(0.1, ndim=2)]).save(path)
        >>> FieldTransform.load(path).layers[0].coefficients
        array([0.1])
        """
        weights, architecture = load_weights(path)
        with making(path, "field transformation"):
            return cls([layer_from(entry, weights[f"{n}.x"]) for n, entry in enumerate(architecture)])


def gauge_field(U: object) -> GaugeField:
    """The argument, if it is a periodic gauge field."""
    if not isinstance(U, GaugeField):
        raise TypeError(f"a GaugeField is needed; got {type(U).__name__}")
    U.inside("a field transformation")
    return U
