"""The same network as a module of torch, and back (torch is optional)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import shown
from plaq.ground.extras import require
from plaq.nn import layers as ours
from plaq.nn.layers import Layer, Residual
from plaq.nn.sequential import Sequential

__all__ = ["from_torch", "to_torch"]

_FUNCTIONS: dict[type[Layer], str] = {
    ours.ReLU: "ReLU",
    ours.Tanh: "Tanh",
    ours.Sigmoid: "Sigmoid",
    ours.GELU: "GELU",
    ours.Swish: "SiLU",
}


def _each(value: Any, ndim: int) -> tuple[int, ...]:
    return (value,) * ndim if isinstance(value, int) else tuple(value)


@functools.cache
def _modules() -> dict[str, Any]:
    """Modules that torch does not have; made once, so that they can be told apart by their class."""
    torch = require("torch", "torch")

    class Reduce(torch.nn.Module):  # type: ignore[misc,name-defined]
        """A global pool."""

        def __init__(self, layer: Layer) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            pooling = self.layer.spec()["pooling"]
            flat = x.flatten(2)
            return {"avg": flat.mean, "max": flat.amax, "sum": flat.sum}[pooling](-1)

    class Windows(torch.nn.Module):  # type: ignore[misc,name-defined]
        """Sums over windows."""

        def __init__(self, layer: Layer, mean: Any, factor: int) -> None:
            super().__init__()
            self.layer, self.mean, self.factor = layer, mean, factor

        def forward(self, x: Any) -> Any:
            return self.mean(x) * self.factor

    class Arctan(torch.nn.Module):  # type: ignore[misc,name-defined]
        """Arc tangent."""

        def forward(self, x: Any) -> Any:
            return torch.atan(x)

    class Shared(torch.nn.Module):  # type: ignore[misc,name-defined]
        """A convolution some of whose weights are one parameter, up to a sign, or zero."""

        def __init__(self, layer: ours.GroupConv, ndim: int) -> None:
            super().__init__()
            self.layer, self.function = layer, getattr(torch.nn.functional, f"conv{ndim}d")
            weights, biases = _shared(layer, ndim)
            self.register_buffer("weights", torch.from_numpy(weights))
            self.register_buffer("biases", torch.from_numpy(biases))
            self.weight = torch.nn.Parameter(torch.zeros(int(np.abs(weights).max())))
            self.bias = torch.nn.Parameter(torch.zeros(int(np.abs(biases).max()))) if biases.any() else None
            self.pads = [pad for k in reversed(weights.shape[2:]) for pad in ((k - 1) // 2, k // 2)]

        @staticmethod
        def filled(parameters: Any, table: Any) -> Any:
            return torch.cat([parameters.new_zeros(1), parameters])[table.abs()] * table.sign()

        def forward(self, x: Any) -> Any:
            bias = None if self.bias is None else self.filled(self.bias, self.biases)
            padded = torch.nn.functional.pad(x, self.pads, mode="circular")
            return self.function(padded, self.filled(self.weight, self.weights), bias)

    class Shortcut(torch.nn.Module):  # type: ignore[misc,name-defined]
        """u + f(u)."""

        def __init__(self, body: Any) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    return {"Reduce": Reduce, "Windows": Windows, "Arctan": Arctan, "Shared": Shared, "Shortcut": Shortcut}


def _shared(layer: ours.GroupConv, ndim: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which parameter (from 1) each weight ``[out, in, t..]`` and bias is, with its sign; 0 for none."""
    net = Sequential([layer], ndim=ndim)
    n_weights = net.named_parameters()["0.weight"].size
    n_biases = net.n_parameters - n_weights
    size, (c_in, c_out) = _each(layer.size, ndim), layer.channels(ndim)
    # On a lattice as large as the window its middle sees the site t with the weight of t.
    middle: Any = (..., *((k - 1) // 2 for k in size))
    units = np.eye(c_in * int(np.prod(size))).reshape(-1, c_in, *size)
    seen = net.apply(np.append(np.arange(1, n_weights + 1), np.zeros(n_biases)), units)[middle]
    alone = net.apply(np.append(np.zeros(n_weights), np.arange(1, n_biases + 1)), 0 * units[:1])[middle]
    weights = seen.T.reshape(c_out, c_in, *size)
    return np.rint(weights).astype(np.int64), np.rint(alone[0]).astype(np.int64)


def _conv(layer: ours.Conv, ndim: int) -> list[Any]:
    """Circular padding, then a convolution; as one module where torch has it."""
    nn = require("torch", "torch").nn
    if ndim > 3:
        raise ValueError("torch has convolutions in 1 to 3 dimensions; this network has 4")
    size, stride, dilation = (_each(value, ndim) for value in (layer.size, layer.stride, layer.dilation))
    make = getattr(nn, f"Conv{ndim}d")
    plain = {"bias": layer.bias, "dilation": dilation}
    if set(stride) == {1}:
        return [make(layer.c_in, layer.c_out, size, padding="same", padding_mode="circular", **plain)]
    total = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
    pads = [pad for n in reversed(total) for pad in (n // 2, n - n // 2)]
    return [getattr(nn, f"CircularPad{ndim}d")(tuple(pads)), make(layer.c_in, layer.c_out, size, stride, **plain)]


def _module(layer: Layer, ndim: int) -> list[Any]:
    nn, own = require("torch", "torch").nn, _modules()
    if isinstance(layer, ours.Conv):
        return _conv(layer, ndim)
    if isinstance(layer, ours.GroupConv):
        if ndim > 3:
            raise ValueError("torch has convolutions in 1 to 3 dimensions; this network has 4")
        return [own["Shared"](layer, ndim)]
    if isinstance(layer, ours.Linear):
        return [nn.Linear(layer.inputs, layer.outputs, layer.bias)]
    if isinstance(layer, ours.LeakyReLU):
        return [nn.LeakyReLU(layer.slope)]
    if isinstance(layer, ours.Arctan):
        return [own["Arctan"]()]
    if type(layer) in _FUNCTIONS:
        return [getattr(nn, _FUNCTIONS[type(layer)])()]
    if isinstance(layer, ours.Flatten):
        return [nn.Flatten()]
    if isinstance(layer, Residual):
        body = [module for each in layer.layers for module in _module(each, ndim)]
        return [own["Shortcut"](nn.Sequential(*body))]
    if isinstance(layer, ours.GlobalAvgPool | ours.GlobalMaxPool | ours.GlobalSumPool):
        return [own["Reduce"](layer)]
    if not isinstance(layer, ours.AvgPool | ours.MaxPool | ours.SumPool):
        raise TypeError(f"{layer} has no module of torch")
    if ndim > 3:
        raise ValueError("torch has pools in 1 to 3 dimensions; this network has 4")
    size = _each(layer.size, ndim)
    stride = size if layer.stride is None else _each(layer.stride, ndim)
    pool = getattr(nn, f"{'Max' if isinstance(layer, ours.MaxPool) else 'Avg'}Pool{ndim}d")(size, stride)
    return [own["Windows"](layer, pool, int(np.prod(size)))] if isinstance(layer, ours.SumPool) else [pool]


def to_torch(net: Sequential) -> Any:
    """A ``torch.nn.Sequential`` with the same parameters and the same outputs.

    Parameters
    ----------
    net : Sequential
        In 1 to 3 dimensions.

    Returns
    -------
    torch.nn.Sequential
        In the precision of `net`.

    Raises
    ------
    ImportError
        Without torch.
    TypeError, ValueError
        No network of plaq.nn, or layers that torch does not have.

    Examples
    --------
    >>> import plaq as pq
    >>> try:
    ...     module = pq.nn.to_torch(pq.nn.zoo["task3/ST2"])
    ... except ImportError:
    ...     module = None  # pip install plaq[torch]
    """
    if not isinstance(net, Sequential):
        raise TypeError(f"net is a Sequential of plaq.nn; got {shown(net)}")
    torch = require("torch", "torch")
    modules = [module for layer in net.layers for module in _module(layer, net.ndim)]
    result = torch.nn.Sequential(*modules).to(getattr(torch, net.dtype))
    with torch.no_grad():
        for target, values in zip(result.parameters(), net.named_parameters().values(), strict=True):
            target.copy_(torch.from_numpy(values))
    return result


def _one(values: Any) -> Any:
    found = tuple(values) if isinstance(values, tuple | list) else (values,)
    return found[0] if len(set(found)) == 1 else found


def _conv_back(module: Any, pads: Any) -> Layer:
    """Only the windows and the padding that :func:`to_torch` writes mean the same here."""
    size, stride, dilation = module.kernel_size, module.stride, module.dilation
    total = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
    wanted = [pad for n in reversed(total) for pad in (n // 2, n - n // 2)]
    is_same = module.padding == "same" and module.padding_mode == "circular" and pads is None
    odd = tuple(n // 2 for n in total)
    is_centred = module.padding_mode == "circular" and module.padding == odd and all(n % 2 == 0 for n in total)
    is_padded = pads is not None and list(pads) == wanted and set(module.padding) <= {0}
    is_point = not any(total) and pads is None and set(module.padding) <= {0}
    if module.groups != 1 or not (is_same or is_centred or is_padded or is_point):
        raise ValueError(f"{module}: circular padding as for padding='same' and groups=1 are needed")
    return ours.Conv(
        _one(size), module.in_channels, module.out_channels, module.bias is not None, _one(stride), _one(dilation)
    )


def _pool_back(kind: type[Layer]) -> Callable[[Any], Layer]:
    def make(module: Any) -> Layer:
        if module.padding not in (0, (0,) * 2, (0,), (0,) * 3) or module.ceil_mode:
            raise ValueError(f"{module}: pools without padding and ceil_mode are needed")
        size, stride = _one(module.kernel_size), _one(module.stride)
        return kind(size, None if stride == size else stride)  # type: ignore[call-arg]

    return make


def _layer(module: Any, pads: Any) -> Layer | None:
    own = _modules()
    name = type(module).__name__
    known: dict[str, Callable[[Any], Layer]] = {
        "Linear": lambda m: ours.Linear(m.in_features, m.out_features, m.bias is not None),
        "LeakyReLU": lambda m: ours.LeakyReLU(float(m.negative_slope)),
        "Flatten": lambda _: ours.Flatten(),
        **{f"AvgPool{d}d": _pool_back(ours.AvgPool) for d in (1, 2, 3)},
        **{f"MaxPool{d}d": _pool_back(ours.MaxPool) for d in (1, 2, 3)},
    }
    functions = {theirs: kind for kind, theirs in _FUNCTIONS.items()}
    if name in ("Conv1d", "Conv2d", "Conv3d"):
        return _conv_back(module, pads)
    if name == "GELU" and module.approximate != "none":
        raise ValueError(f"{module}: the exact GELU is needed")
    if name in functions:
        return functions[name]()
    if isinstance(module, own["Reduce"] | own["Windows"] | own["Shared"]):
        layer: Layer = module.layer
        return layer
    if isinstance(module, own["Arctan"]):
        return ours.Arctan()
    if isinstance(module, own["Shortcut"]):
        return Residual(_layers(module.body))
    return known[name](module) if name in known else None


def _layers(modules: Any) -> list[Layer]:
    """Layers of modules one after another; a global pool is an adaptive pool to one site and Flatten."""
    found: list[Layer] = []
    pads, pooled = None, None
    poolings = {"Avg": ours.GlobalAvgPool, "Max": ours.GlobalMaxPool}
    for module in modules:
        name = type(module).__name__
        if name.startswith("CircularPad"):
            pads = module.padding
            continue
        if name.startswith("Adaptive") and set(np.ravel(module.output_size)) == {1}:
            pooled = poolings[name[8:11]]
            continue
        if pooled is not None:
            if name != "Flatten":
                raise ValueError(f"{module} stands behind an adaptive pool; Flatten is needed there")
            found.append(pooled())
            pooled = None
            continue
        layer = _layer(module, pads)
        if layer is None:
            raise ValueError(f"{module} has no layer in plaq.nn")
        found.append(layer)
        pads = None
    if pads is not None or pooled is not None:
        raise ValueError("the last module pads or pools for one that is missing")
    return found


def from_torch(module: Any, *, ndim: int = 2) -> Sequential:
    """The network of a ``torch.nn.Sequential``, with its parameters.

    Parameters
    ----------
    module : torch.nn.Sequential
        Of Conv with circular padding, Linear, AvgPool and MaxPool, adaptive pools to one site with Flatten, Flatten,
        LeakyReLU, ReLU, Tanh, Sigmoid, GELU, SiLU, and what :func:`to_torch` makes.
    ndim : int
        Number of dimensions of the lattice.

    Returns
    -------
    Sequential

    Raises
    ------
    ImportError
        Without torch.
    TypeError, ValueError
        No such module; the one that has no layer here is named.

    Examples
    --------
    >>> import plaq as pq
    >>> try:
    ...     net = pq.nn.from_torch(pq.nn.to_torch(pq.nn.zoo["task3/ST2"]))
    ... except ImportError:
    ...     net = None  # pip install plaq[torch]
    """
    torch = require("torch", "torch")
    if not isinstance(module, torch.nn.Sequential):
        raise TypeError(f"module is a torch.nn.Sequential; got {shown(module)}")
    values = [parameter.detach().cpu().numpy().astype(np.float64).ravel() for parameter in module.parameters()]
    single = any(parameter.dtype == torch.float32 for parameter in module.parameters())
    net = Sequential(_layers(module), ndim=ndim, dtype="float32" if single else "float64")
    net.parameters = np.concatenate([np.zeros(0), *values])
    return net
