"""Layers of convolutional networks on periodic lattices, as plain data (formulas: ``docs/nn.md``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from plaq.ground.arguments import number, one_of, sequence, shown, unknown, whole_number, whole_numbers
from plaq.ground.names import Explained, call_text

__all__ = [
    "GELU",
    "Arctan",
    "AvgPool",
    "Conv",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalSumPool",
    "GroupConv",
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


class Layer(metaclass=Explained):
    """What all layers share: they are plain data.

    Examples
    --------
    >>> Flatten() == Flatten()
    True
    """

    __repr__ = call_text

    def _channels(self, ndim: int) -> tuple[int, int] | None:
        """Channels in and out; None where any number passes."""
        return None

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


def _fields(name: str, value: Any) -> dict[str, int]:
    """Numbers of fields by kind."""
    if not isinstance(value, Mapping) or not value:
        raise TypeError(f"{name} is a dict of kinds of fields and how many, as in {{'regular': 8}}; got {shown(value)}")
    for kind, count in value.items():
        one_of(f"kind of field in {name}", kind, ["scalar", "vector", "bond", "regular"])
        whole_number(f"{name}: {kind}", count, 1, MOST)
    return dict(value)


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

    def _channels(self, ndim: int) -> tuple[int, int]:
        return self.c_in, self.c_out

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        sizes = {name: _in_each(getattr(self, name), ndim) for name in ("size", "stride", "dilation")}
        return {"kind": "conv", "inputs": self.c_in, "outputs": self.c_out, "bias": self.bias, **sizes}


@dataclass(frozen=True)
class GroupConv(Layer):
    r"""Convolution that commutes with reflections and rotations of the lattice too, with fluxes as vector fields.

    .. math:: y_{o a}(x) = b_{o a} + \sum_{i, b, t} W^{o i}_{a b}(t)\, u_{i b}(x + t), \qquad
        W_{g a\, g b}(g t) = s_a(g)\, s_b(g)\, W_{a b}(t) \quad \text{for all } g

    One parameter stands for each set of weights that the group makes equal up to signs; weights that it makes equal to
    minus themselves, or moves out of the window, are zero (arXiv 1602.07576, 1612.08498). All equivariant weights of
    the window are there. Kinds of fields, with the channels of one and what a reflection of direction :math:`\mu` does:

    ============= ============= ============================================================================
    ``"scalar"``  1             :math:`\phi(x) \to \phi(-x)`
    ``"vector"``  D, on links   :math:`k_\mu(x) \to -k_\mu(-x - \hat\mu)`, others as scalars: fluxes
    ``"bond"``    D, on links   :math:`l_\mu(x) \to l_\mu(-x - \hat\mu)`: the non-negative auxiliary l
    ``"regular"`` one for each  :math:`f'_{gh}(g x) = f_h(x)`: for hidden layers, any activation
                  element g
    ============= ============= ============================================================================

    End with scalar fields and a global pool for an invariant output. With a chemical potential the direction of time is
    distinguished: let the group act on the others (`directions`).

    Parameters
    ----------
    size : int or sequence of int
        k, sites of the window in each direction; odd where the group acts.
    inputs, outputs : dict
        Numbers of fields by kind, in the order of the channels: k and l of a flux sample are
        ``{"vector": 1, "bond": 1}``.
    bias : bool
        Whether there is b (vector fields have none in directions that are reflected).
    group : {"full", "rotations", "reflections"}
        Reflections and permutations of the directions (D4 in 2D), those of determinant 1 (C4), reflections alone.
    directions : sequence of int, optional
        The directions that the group acts on; by default all.

    Raises
    ------
    TypeError, ValueError
        No such field, group or count; a window that leaves no weight. A network refuses layers that undo the symmetry.

    Examples
    --------
    A network that a mirror does not change:

    >>> import numpy as np
    >>> from plaq.nn import GlobalSumPool, LeakyReLU, Sequential
    >>> layers = [GroupConv(3, {"vector": 1}, {"regular": 4}), LeakyReLU(), GroupConv(1, {"regular": 4}, {"scalar": 1})]
    >>> net = Sequential([*layers, GlobalSumPool()], rng=1)
    >>> k = np.random.default_rng(1).integers(-2, 3, size=(2, 6, 6))
    >>> mirrored = k[:, ::-1].copy()
    >>> mirrored[0] = -np.roll(mirrored[0], -1, axis=0)
    >>> bool(np.allclose(net(k), net(mirrored)))
    True
    """

    size: Size
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    bias: bool = True
    group: str = "full"
    directions: Sequence[int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _size("GroupConv: size", self.size))
        for name in ("inputs", "outputs"):
            object.__setattr__(self, name, _fields(f"GroupConv: {name}", getattr(self, name)))
        _switch("GroupConv: bias", self.bias)
        one_of('group of GroupConv (D4 is "full", C4 "rotations")', self.group, ["full", "rotations", "reflections"])
        if self.directions is not None:
            acted = whole_numbers(
                "GroupConv: directions", self.directions, 0, 3, "the directions that the group acts on"
            )
            object.__setattr__(self, "directions", tuple(acted))

    def channels(self, ndim: int = 2) -> tuple[int, int]:
        """Channels in and out.

        Parameters
        ----------
        ndim : int
            Number of dimensions of the lattice.

        Examples
        --------
        >>> GroupConv(3, {"vector": 1, "bond": 1}, {"regular": 4}).channels()
        (4, 32)
        """
        acted = whole_number("ndim", ndim, 1, 4) if self.directions is None else len(self.directions)
        signs, orders = 2**acted, math.factorial(acted)
        elements = {"full": signs * orders, "rotations": signs * orders // 2, "reflections": signs}[self.group]
        each = {"scalar": 1, "vector": ndim, "bond": ndim, "regular": elements}
        c_in, c_out = (sum(n * each[kind] for kind, n in fields.items()) for fields in (self.inputs, self.outputs))
        return c_in, c_out

    def __hash__(self) -> int:
        return hash(
            (self.size, *self.inputs.items(), None, *self.outputs.items(), self.bias, self.group, self.directions)
        )

    def _channels(self, ndim: int) -> tuple[int, int]:
        return self.channels(ndim)

    def spec(self, ndim: int = 2) -> dict[str, Any]:
        """The layer as plain data."""
        directions = range(ndim) if self.directions is None else self.directions
        return {
            "kind": "group_conv",
            "size": _in_each(self.size, ndim),
            "inputs": [list(pair) for pair in self.inputs.items()],
            "outputs": [list(pair) for pair in self.outputs.items()],
            "bias": self.bias,
            "symmetry": {"group": self.group, "directions": list(directions)},
        }


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

    def _channels(self, ndim: int) -> tuple[int, int]:
        return self.inputs, self.outputs

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
    if kind == "group_conv":
        group, directions = values["symmetry"]["group"], values["symmetry"]["directions"]
        acted = None if list(directions) == list(range(len(values["size"]))) else directions
        inputs, outputs = (dict(values[name]) for name in ("inputs", "outputs"))
        return GroupConv(_one(values["size"]), inputs, outputs, values["bias"], group, acted)
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
        unknown(
            "layer", kind, ["conv", "group_conv", "linear", "pool", "global_pool", "flatten", "activation", "residual"]
        )
    )
