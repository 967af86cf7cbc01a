"""Layers of convolutional networks on periodic lattices, as plain data (formulas: ``docs/nn.md``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from plaq.ground.arguments import number, sequence, unknown, whole_number, whole_numbers
from plaq.ground.names import call_text

__all__ = [
    "GELU",
    "Arctan",
    "AvgPool",
    "Conv",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalSumPool",
    "Layer",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "ReLU",
    "Residual",
    "Sigmoid",
    "SumPool",
    "Swish",
    "Tanh",
    "layer_from",
]

Size = int | Sequence[int]
MOST = 2**20


class Layer:
    """What all layers share: they are plain data.

    Examples
    --------
    >>> Flatten() == Flatten()
    True
    """

    __repr__ = call_text

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data, tagged by ``kind``: what crosses into the core and stands in files.

        Parameters
        ----------
        ndim : int
            Number of dimensions of the lattice, which single numbers stand for.

        Examples
        --------
        >>> Linear(4, 1).spec()
        {'kind': 'linear', 'inputs': 4, 'outputs': 1, 'bias': True}
        """
        raise NotImplementedError


def _size(name: str, value: Any) -> Size:
    """A number for all directions, or one for each."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) in range(1, 5):
        return tuple(whole_numbers(name, value, 1, MOST, "one for each direction"))
    return whole_number(name, value, 1, MOST)


def _in_each(value: Size, ndim: int) -> list[int]:
    return [value] * whole_number("ndim", ndim, 1, 4) if isinstance(value, int) else list(value)


def _switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False; got {value!r}")


@dataclass(frozen=True)
class Conv(Layer):
    r"""Convolution on a periodic lattice.

    .. math:: y_o(x) = b_o + \sum_{i, t} w_{o i}(t)\, u_i\!\left(s x + d t - \lfloor d (k - 1) / 2 \rfloor\right),
        \qquad t \in \{0, \ldots, k - 1\}^D

    as ``torch.nn.Conv2d(..., padding="same", padding_mode="circular")``; extents become :math:`\lceil L / s \rceil`.
    With stride 1 it commutes with translations.

    Parameters
    ----------
    size : int or sequence of int
        k, sites of the window in each direction; may be larger than the lattice.
    c_in, c_out : int
        Channels.
    bias : bool
        Whether there is b.
    stride, dilation : int or sequence of int
        s and d.

    Raises
    ------
    TypeError, ValueError
        No counts of at least 1.

    Examples
    --------
    >>> Conv(2, 4, 80).spec(2)["size"]
    [2, 2]
    """

    size: Size
    c_in: int
    c_out: int
    bias: bool = True
    stride: Size = 1
    dilation: Size = 1

    def __post_init__(self) -> None:
        for name in ("size", "stride", "dilation"):
            object.__setattr__(self, name, _size(f"Conv: {name}", getattr(self, name)))
        for name in ("c_in", "c_out"):
            object.__setattr__(self, name, whole_number(f"Conv: {name}", getattr(self, name), 1, MOST))
        _switch("Conv: bias", self.bias)

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        sizes = {name: _in_each(getattr(self, name), ndim) for name in ("size", "stride", "dilation")}
        return {"kind": "conv", "inputs": self.c_in, "outputs": self.c_out, "bias": self.bias, **sizes}


@dataclass(frozen=True)
class Linear(Layer):
    r"""Dense layer :math:`y_o = b_o + \sum_i w_{oi} u_i`, behind a global pool or :class:`Flatten`.

    Parameters
    ----------
    inputs, outputs : int
        Numbers in and out.
    bias : bool
        Whether there is b.

    Raises
    ------
    TypeError, ValueError
        No counts of at least 1.

    Examples
    --------
    >>> Linear(80, 2)
    Linear(inputs=80, outputs=2, bias=True)
    """

    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            object.__setattr__(self, name, whole_number(f"Linear: {name}", getattr(self, name), 1, MOST))
        _switch("Linear: bias", self.bias)

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "linear", "inputs": self.inputs, "outputs": self.outputs, "bias": self.bias}


@dataclass(frozen=True)
class _Pool(Layer):
    size: Size
    stride: Size | None = None
    _pooling: ClassVar[str]

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "size", _size(f"{name}: size", self.size))
        if self.stride is not None:
            object.__setattr__(self, "stride", _size(f"{name}: stride", self.stride))

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        size, stride = _in_each(self.size, ndim), self.size if self.stride is None else self.stride
        return {"kind": "pool", "pooling": self._pooling, "size": size, "stride": _in_each(stride, ndim)}


@dataclass(frozen=True)
class AvgPool(_Pool):
    r"""Means over windows of `size` sites at distance `stride` (by default `size`).

    Extents become :math:`\lfloor (L - k) / s \rfloor + 1`: sites that fill no whole window are left out. With strides
    above 1 it commutes with translations by multiples of the stride only, on lattices that it divides.

    Parameters
    ----------
    size : int or sequence of int
        k.
    stride : int or sequence of int, optional
        s.

    Examples
    --------
    >>> AvgPool(2)
    AvgPool(size=2, stride=None)
    """

    _pooling = "avg"


@dataclass(frozen=True)
class MaxPool(_Pool):
    """Largest numbers of windows, as :class:`AvgPool`; the first of equal ones takes the derivative.

    Examples
    --------
    >>> MaxPool(2).spec()["pooling"]
    'max'
    """

    _pooling = "max"


@dataclass(frozen=True)
class SumPool(_Pool):
    """Sums over windows, as :class:`AvgPool`.

    Examples
    --------
    >>> SumPool((2, 1)).spec()["size"]
    [2, 1]
    """

    _pooling = "sum"


@dataclass(frozen=True)
class _GlobalPool(Layer):
    _pooling: ClassVar[str]

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "global_pool", "pooling": self._pooling}


@dataclass(frozen=True)
class GlobalAvgPool(_GlobalPool):
    """Mean of each channel over the lattice: with strides of 1 before it, invariant under translations.

    Examples
    --------
    >>> GlobalAvgPool().spec()
    {'kind': 'global_pool', 'pooling': 'avg'}
    """

    _pooling = "avg"


@dataclass(frozen=True)
class GlobalMaxPool(_GlobalPool):
    """Largest number of each channel.

    Examples
    --------
    >>> GlobalMaxPool().spec()
    {'kind': 'global_pool', 'pooling': 'max'}
    """

    _pooling = "max"


@dataclass(frozen=True)
class GlobalSumPool(_GlobalPool):
    """Sum of each channel: extensive.

    Examples
    --------
    >>> GlobalSumPool().spec()
    {'kind': 'global_pool', 'pooling': 'sum'}
    """

    _pooling = "sum"


@dataclass(frozen=True)
class Flatten(Layer):
    """All numbers as one vector, channel by channel, sites in C order; what follows knows one size of the lattice.

    Examples
    --------
    >>> Flatten().spec()
    {'kind': 'flatten'}
    """

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "flatten"}


@dataclass(frozen=True)
class _Function(Layer):
    _function: ClassVar[str]

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "activation", "function": self._function}


@dataclass(frozen=True)
class LeakyReLU(_Function):
    """x for x > 0, else `slope` x.

    Parameters
    ----------
    slope : float
        Slope below zero.

    Raises
    ------
    TypeError, ValueError
        No finite number.

    Examples
    --------
    >>> LeakyReLU()
    LeakyReLU(slope=0.01)
    """

    slope: float = 0.01
    _function = "leaky_relu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", number("LeakyReLU: slope", self.slope))

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        return {**super().spec(ndim), "slope": self.slope}


@dataclass(frozen=True)
class ReLU(_Function):
    """max(x, 0).

    Examples
    --------
    >>> ReLU()
    ReLU()
    """

    _function = "relu"


@dataclass(frozen=True)
class Tanh(_Function):
    """Hyperbolic tangent.

    Examples
    --------
    >>> Tanh()
    Tanh()
    """

    _function = "tanh"


@dataclass(frozen=True)
class Sigmoid(_Function):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> Sigmoid()
    Sigmoid()
    """

    _function = "sigmoid"


@dataclass(frozen=True)
class GELU(_Function):
    """x (1 + erf(x / sqrt 2)) / 2 (arXiv 1606.08415).

    Examples
    --------
    >>> GELU()
    GELU()
    """

    _function = "gelu"


@dataclass(frozen=True)
class Swish(_Function):
    """x sigmoid(x) (arXiv 1710.05941), ``SiLU`` in torch.

    Examples
    --------
    >>> Swish()
    Swish()
    """

    _function = "swish"


@dataclass(frozen=True)
class Arctan(_Function):
    """Arc tangent.

    Examples
    --------
    >>> Arctan()
    Arctan()
    """

    _function = "arctan"


@dataclass(frozen=True)
class Residual(Layer):
    """u + f(u), with layers f that leave the shape as it is.

    Parameters
    ----------
    layers : sequence of Layer
        f.

    Raises
    ------
    TypeError
        No list of layers.

    Examples
    --------
    >>> Residual([Conv(3, 8, 8), ReLU()]).spec()["layers"][1]
    {'kind': 'activation', 'function': 'relu'}
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(sequence("Residual: layers", self.layers, Layer, "layers of plaq.nn")))

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        return {"kind": "residual", "layers": [layer.spec(ndim) for layer in self.layers]}


_POOLS = {layer._pooling: layer for layer in (AvgPool, MaxPool, SumPool)}
_GLOBAL_POOLS = {layer._pooling: layer for layer in (GlobalAvgPool, GlobalMaxPool, GlobalSumPool)}
_FUNCTIONS: dict[str, type[_Function]] = {
    layer._function: layer for layer in (LeakyReLU, ReLU, Tanh, Sigmoid, GELU, Swish, Arctan)
}


def _one(values: Sequence[int]) -> Size:
    """What was one number for all directions is one again."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def layer_from(entry: Mapping[str, Any]) -> Layer:
    """The layer that :meth:`Layer.spec` describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        No such layer.

    Examples
    --------
    >>> layer_from(Conv(2, 4, 8).spec(2))
    Conv(size=2, c_in=4, c_out=8, bias=True, stride=1, dilation=1)
    """
    values = dict(entry)
    kind = values.pop("kind")
    if kind == "conv":
        sizes = [_one(values[name]) for name in ("stride", "dilation")]
        return Conv(_one(values["size"]), values["inputs"], values["outputs"], values["bias"], *sizes)
    if kind == "linear":
        return Linear(**values)
    if kind == "pool":
        size, stride = _one(values["size"]), _one(values["stride"])
        return _POOLS[values["pooling"]](size, None if stride == size else stride)
    if kind == "global_pool":
        return _GLOBAL_POOLS[values["pooling"]]()
    if kind == "flatten":
        return Flatten()
    if kind == "activation":
        return _FUNCTIONS[values.pop("function")](**values)
    if kind == "residual":
        return Residual([layer_from(each) for each in values["layers"]])
    raise ValueError(
        unknown("layer", kind, ["conv", "linear", "pool", "global_pool", "flatten", "activation", "residual"])
    )
