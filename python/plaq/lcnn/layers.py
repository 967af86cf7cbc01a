"""The layers of an L-CNN, as plain data (arXiv 2012.12901; formulas: ``docs/lcnn.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaq import _plaq
from plaq.ground.arguments import unknown, whole_numbers
from plaq.ground.names import Explained, call_text

__all__ = ["LCB", "Dense", "LAct", "LBilin", "LConv", "LExp", "Layer", "Loops", "Mean", "Trace"]


class Layer(metaclass=Explained):
    """What all layers share: they are plain data.

    Examples
    --------
    >>> Trace() == Trace()
    True
    """

    __repr__ = call_text

    def spec(self) -> dict[str, Any]:
        """The layer as plain data, tagged by ``kind``: what crosses into the core and stands in files.

        Examples
        --------
        >>> Dense(4, 1).spec()
        {'kind': 'dense', 'inputs': 4, 'outputs': 1, 'function': 'identity'}
        """
        raise NotImplementedError


def count(layer: str, name: str, value: object) -> int:
    """A number of channels or directions, at least 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{layer}: {name} is an int; got {value!r}")
    if value < 1:
        raise ValueError(f"{layer}: {name} = {value}; at least 1 is needed")
    return int(value)


def _function(name: object) -> str:
    if name not in _plaq.FUNCTIONS:
        raise ValueError(unknown("function", name, _plaq.FUNCTIONS))
    return str(name)


def _bilinear(layer: Any, kernel: int, both: bool, centre: bool, left: bool, right: bool) -> dict[str, Any]:
    name = type(layer).__name__
    pairs = (("inputs", layer.inputs), ("outputs", layer.outputs), ("kernel", kernel))
    sizes = {key: count(name, key, value) for key, value in pairs}
    switches = {"both": both, "centre": centre, "left": left, "right": right}
    return {"kind": "bilinear", **sizes, **{key: bool(value) for key, value in switches.items()}}


@dataclass(frozen=True)
class Loops(Layer):
    r"""The input: untraced loops through every site.

    Channels: plaquettes :math:`U_{\mu\nu}(x)` of all :math:`\mu < \nu` in the order of the planes, then the Polyakov
    loops that start at x.

    Parameters
    ----------
    plaquettes : bool
        D (D - 1) / 2 channels.
    polyakov : sequence of int
        Directions whose Polyakov loops are channels.

    Examples
    --------
    >>> Loops(polyakov=(0, 1))
    Loops(plaquettes=True, polyakov=(0, 1))
    """

    plaquettes: bool = True
    polyakov: Sequence[int] = ()

    def __post_init__(self) -> None:
        chosen = whole_numbers("Loops: polyakov", self.polyakov, 0, 3, "give directions, 0 to D - 1")
        object.__setattr__(self, "polyakov", tuple(chosen))

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "loops", "plaquettes": bool(self.plaquettes), "polyakov": list(self.polyakov)}


@dataclass(frozen=True)
class LConv(Layer):
    r"""Convolution with parallel transport along straight lines.

    .. math:: W_i(x) \to \sum_{j, s} \omega_{i j s}\, V_s(x) W_j(x + s) V_s(x)^\dagger

    with s the centre and :math:`\pm k \hat\mu`, 1 <= k < `kernel`, :math:`V_s(x)` the product of the links from x to
    x + s. Weights are real: they may not multiply by a phase, so that complex conjugation of the links conjugates W.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        K: lines of up to K - 1 steps.
    both : bool
        Lines in both orientations; False takes positive directions only.
    centre : bool
        Include W(x) itself.

    Examples
    --------
    >>> from plaq.lcnn import LCNN
    >>> net = LCNN([Loops(), LConv(1, 2, kernel=3), Trace()], ndim=2, group="SU(2)", rng=1)
    >>> {name: array.shape for name, array in net.named_parameters().items()}
    {'1.weight': (2, 1, 9)}
    """

    inputs: int
    outputs: int
    kernel: int = 2
    both: bool = True
    centre: bool = True

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return _bilinear(self, self.kernel, self.both, self.centre, False, False)


@dataclass(frozen=True)
class LBilin(Layer):
    r"""Products at a site.

    .. math:: W_i \to \sum_{j k} \alpha_{i j k} W'_j W'_k, \qquad W' = (W, W^\dagger, 1)

    so that sums, conjugates and a multiple of 1 are among the terms.

    Parameters
    ----------
    inputs, outputs : int
        Channels.

    Examples
    --------
    >>> from plaq.lcnn import LCNN
    >>> LCNN([Loops(), LBilin(1, 2), Trace()], ndim=2, group="SU(2)", rng=1).n_parameters
    18
    """

    inputs: int
    outputs: int

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return _bilinear(self, 1, False, True, True, True)


@dataclass(frozen=True)
class LCB(Layer):
    r"""L-Conv and L-Bilin in one, as the authors of the article use them.

    .. math:: W_i \to \sum_{j w} \alpha_{i j w} W'_j T'_w, \qquad W' = (W, W^\dagger, 1),\ T' = (T, T^\dagger, 1)

    with T the transported channels of :class:`LConv`: the centre, then lines by length, direction (positive ones first)
    and channel. With ``both=False`` (the default) this is the layer of their program.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        K: lines of up to K - 1 steps.
    both : bool
        Lines in both orientations.
    centre : bool
        Include W(x) among the T (the published letter does, its first preprint does not).

    Examples
    --------
    >>> from plaq.lcnn import LCNN
    >>> layers = [Loops(), LCB(1, 2, kernel=2), Trace(), Dense(4, 1)]
    >>> LCNN(layers, ndim=2, group="SU(2)", rng=1).n_parameters
    47
    """

    inputs: int
    outputs: int
    kernel: int = 2
    both: bool = False
    centre: bool = True

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return _bilinear(self, self.kernel, self.both, self.centre, True, True)


@dataclass(frozen=True)
class LAct(Layer):
    r"""Gate :math:`W_i \to g(\mathrm{Re\,tr}\, W_i)\, W_i`.

    Parameters
    ----------
    function : str
        g: ``"relu"``, ``"leaky_relu"`` (slope 0.01 below 0), ``"algebraic"`` (:math:`t/\sqrt{1+t^2}`, smooth, for
        forces) or ``"identity"``.

    Examples
    --------
    >>> LAct()
    LAct(function='relu')
    """

    function: str = "relu"

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "gate", "function": _function(self.function)}


@dataclass(frozen=True)
class LExp(Layer):
    r"""Update of the links :math:`U_\mu(x) \to \exp(\sum_i \beta_{\mu i}\, \mathrm{TA}\, W_i(x))\, U_\mu(x)`.

    TA is the traceless anti-Hermitian part, i times the [W]_ah of the article. The W stay; layers behind transport
    with the new links. :math:`\beta` starts at 0, the identity.

    Parameters
    ----------
    inputs : int
        Channels.

    Examples
    --------
    >>> from plaq.lcnn import LCNN
    >>> net = LCNN([Loops(), LExp(1), LConv(1, 1), Trace()], ndim=2, group="SU(3)", rng=1)
    >>> bool(np.all(net.named_parameters()["1.weight"] == np.zeros((2, 1))))
    True
    """

    inputs: int

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "exponential", "inputs": count("LExp", "inputs", self.inputs)}


@dataclass(frozen=True)
class Trace(Layer):
    r"""Two numbers per channel and site, :math:`\mathrm{Re\,tr}\, W_i` and :math:`\mathrm{Im\,tr}\, W_i` (not over N).

    Examples
    --------
    >>> Trace()
    Trace()
    """

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "trace"}


@dataclass(frozen=True)
class Dense(Layer):
    r"""Local dense layer :math:`y_o = f(\sum_i w_{oi} x_i + b_o)`, a 1x1 convolution of the numbers on the sites.

    Parameters
    ----------
    inputs, outputs : int
        Channels; behind a trace of c channels, `inputs` is 2 c.
    function : str
        f, as in :class:`LAct`.

    Examples
    --------
    >>> Dense(4, 1)
    Dense(inputs=4, outputs=1, function='identity')
    """

    inputs: int
    outputs: int
    function: str = "identity"

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        pairs = (("inputs", self.inputs), ("outputs", self.outputs))
        sizes = {key: count("Dense", key, value) for key, value in pairs}
        return {"kind": "dense", **sizes, "function": _function(self.function)}


@dataclass(frozen=True)
class Mean(Layer):
    """Mean over sites, the last layer.

    Examples
    --------
    >>> Mean()
    Mean()
    """

    def spec(self) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "mean"}


_KINDS = {"loops": Loops, "gate": LAct, "exponential": LExp, "trace": Trace, "dense": Dense, "mean": Mean}
# Files of version 0.1 name the classes.
_CLASSES = {layer.__name__: layer for layer in (Loops, LConv, LBilin, LCB, LAct, LExp, Trace, Dense, Mean)}


def layer_from(entry: dict[str, Any]) -> Layer:
    """The layer that :meth:`Layer.spec` describes."""
    numbers = dict(entry)
    kind = numbers.pop("kind")
    if kind == "bilinear":
        return _bilinear_from(numbers)
    known: dict[str, Any] = {**_KINDS, **_CLASSES}
    if kind not in known:
        raise ValueError(unknown("layer", kind, [*_KINDS, "bilinear"]))
    layer: Layer = known[kind](**numbers)
    return layer


def _bilinear_from(numbers: dict[str, Any]) -> Layer:
    """LConv has W alone on the left, LCB and LBilin (kernel 1) its conjugate and 1 as well."""
    full = numbers.pop("left")
    if numbers.pop("right") != full:
        raise ValueError("a bilinear layer whose sides differ")
    if full and numbers["kernel"] == 1 and numbers["centre"] and not numbers["both"]:
        return LBilin(numbers["inputs"], numbers["outputs"])
    return LCB(**numbers) if full else LConv(**numbers)
