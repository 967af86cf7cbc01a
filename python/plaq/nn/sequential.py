"""Convolutional networks on periodic lattices: layers one after another, training through the one loop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from os import PathLike
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.ground.arguments import aligned, array, one_of, real, require_memory, sequence, shown, vector, whole_number
from plaq.ground.html import layer_table
from plaq.ground.rng import Rng, seed_of
from plaq.ground.states import Rebuilt
from plaq.ground.weights import load_weights, making, require_same_layers, save_weights
from plaq.nn.layers import Flatten, Layer, Linear, Residual, _GlobalPool, layer_from
from plaq.nn.loss import MSE, NetLoss, loss_of
from plaq.training.batches import held_back
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize
from plaq.training.optimizers import Optimizer, Schedule

__all__ = ["Sequential"]

Numbers = NDArray[np.float64]


class Labelled(Protocol):
    """Inputs with what a network should give for them."""

    x: Any
    y: Any


class Sequential(Rebuilt):
    """A convolutional network on a periodic lattice, of any extents unless it has a layer :class:`Flatten`.

    ``net(x)`` takes ``x[sample, channel, x_0, .., x_{D-1}]`` (or one sample without the first axis) and gives
    ``[sample, output]`` behind a global pool, :class:`Flatten` or :class:`Linear`, else ``[sample, channel, x_0, ..]``.

    Parameters
    ----------
    layers : sequence of Layer
        Layers of ``plaq.nn``.
    ndim : int
        D, 1 to 4.
    dtype : {"float64", "float32"}
        Precision of activations and products; parameters, losses and sums of gradients over samples are float64.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Initial parameters: weights and biases uniform in +-1/sqrt(n), n the terms of the sum they stand in (as torch).

    Attributes
    ----------
    parameters : ndarray
        All parameters, layer by layer, weights ``[out, in, t_0, ..]`` before biases; can be set.

    Raises
    ------
    TypeError, ValueError
        No layers, sizes for another number of dimensions, an unknown precision.

    Examples
    --------
    >>> import plaq as pq
    >>> from plaq.nn import Conv, GlobalAvgPool, LeakyReLU, Linear
    >>> net = pq.nn.Sequential([Conv(2, 4, 8), LeakyReLU(), GlobalAvgPool(), Linear(8, 2)], rng=1)
    >>> x = np.random.default_rng(1).integers(-2, 3, size=(5, 4, 6, 4))
    >>> net(x).shape, net.n_parameters
    ((5, 2), 154)
    >>> bool(np.allclose(net(x), net(np.roll(x, 1, axis=3))))
    True
    """

    _core: _plaq.ConvolutionCore

    def __init__(self, layers: Sequence[Layer], *, ndim: int = 2, dtype: str = "float64", rng: Rng = 0) -> None:
        self.layers: list[Layer] = sequence("layers", layers, Layer, "layers of plaq.nn")
        self.ndim = whole_number("ndim", ndim, 1, 4)
        self.dtype = one_of("dtype", dtype, ["float64", "float32"])
        self._rebuild()
        _check_channels(self.layers, self.ndim)
        self.initialize(rng=rng)

    def _rebuild(self) -> None:
        self._core = _plaq.ConvolutionCore(json.dumps([layer.spec(self.ndim) for layer in self.layers]), self.ndim)

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.layers))
        return f"Sequential([{inside}], ndim={self.ndim}, dtype={self.dtype!r}): {self.n_parameters} parameters"

    def _repr_html_(self) -> str:
        return layer_table(
            f"Sequential, {self.n_parameters} parameters, {self.dtype}", self.layers, self.named_parameters()
        )

    def initialize(self, *, rng: Rng) -> None:
        """Draw the initial parameters again.

        Parameters
        ----------
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Fixes them.

        Examples
        --------
        >>> import plaq as pq
        >>> net, other = pq.nn.zoo["task3/EQ3"], pq.nn.zoo["task3/EQ3"]
        >>> net.initialize(rng=7)
        >>> bool(np.all(net.parameters == other.parameters))
        False
        """
        self._parameters = self._core.initial(seed_of(rng))

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self._core.n_parameters

    @property
    def parameters(self) -> Numbers:
        """All parameters, layer by layer."""
        return self._parameters.copy()

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        self._parameters = vector("parameters", values, self.n_parameters)

    def named_parameters(self) -> dict[str, Numbers]:
        """Copies of the arrays by ``"layer.name"`` (``"layer.inner.name"`` inside of residual blocks).

        Examples
        --------
        >>> import plaq as pq
        >>> [(name, values.shape) for name, values in pq.nn.zoo["task3/ST2"].named_parameters().items()][:2]
        [('0.weight', (4, 4, 2, 2)), ('3.weight', (4, 4, 2, 2))]
        """
        arrays, start = {}, 0
        for layer, name, shape in self._core.arrays():
            size = int(np.prod(shape))
            arrays[f"{layer}.{name}"] = self._parameters[start : start + size].reshape(shape).copy()
            start += size
        return arrays

    def __call__(self, x: ArrayLike) -> Numbers:
        """Outputs of samples.

        Raises
        ------
        TypeError, ValueError
            No numbers, another number of channels or (behind Flatten) another lattice: the layer is named with what it
            expects.
        """
        return self.apply(self._parameters, x)

    def apply(self, parameters: ArrayLike, x: ArrayLike) -> Numbers:
        """The functional form: outputs for parameters that are handed in.

        Parameters
        ----------
        parameters : array_like
            As :attr:`parameters`.
        x : array_like
            ``[sample, channel, x_0, ..]``, or one sample.

        Examples
        --------
        >>> import plaq as pq
        >>> net = pq.nn.Sequential([pq.nn.Conv(1, 1, 1)], ndim=1)
        >>> net.apply([2.0, 1.0], [[[1.0, 2.0]]])
        array([[[3., 5.]]])
        """
        theta = vector("parameters", parameters, self.n_parameters)
        samples, is_single = self._samples_of("x", x)
        outputs = self._core.predict(_core_of(samples, self.dtype), theta)
        return outputs[0] if is_single else outputs

    def _samples_of(self, name: str, x: ArrayLike) -> tuple[NDArray[Any], bool]:
        """Samples in the precision of the network, and whether the axis of samples was missing."""
        if hasattr(x, "x") or hasattr(x, "chain"):
            raise TypeError(
                f"{name} is an array of samples; got a {type(x).__name__}: give the x of data, as in net(data.x), or "
                "plaq.datasets.FluxData.of(ensemble).x"
            )
        values = real(name, x)
        is_single = values.ndim == self.ndim + 1
        if is_single:
            values = values[np.newaxis]
        if values.ndim != self.ndim + 2 or not values.size:
            extents = ", ".join(f"x_{mu}" for mu in range(self.ndim))
            raise ValueError(
                f"{name} has shape {np.shape(x)}; (samples, channels, {extents}) is needed, none of them 0"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds NaN or infinity; remove them first")
        self._core.output_shape(values.shape[1], list(values.shape[2:]))
        return aligned(values, self.dtype), is_single

    def _targets_of(self, name: str, y: ArrayLike, samples: NDArray[Any], loss: NetLoss) -> Numbers:
        shape = (len(samples), *self._core.output_shape(samples.shape[1], list(samples.shape[2:])))
        values = array(name, y)
        if values.shape != shape and not (shape[1:] == (1,) and values.shape == shape[:1]):
            raise ValueError(f"{name} has shape {values.shape}; the outputs for these samples have {shape}")
        loss.check(values)
        return np.ascontiguousarray(values)

    def pullback(self, x: ArrayLike, cotangent: ArrayLike) -> tuple[Numbers, Numbers]:
        """Reverse pass.

        Parameters
        ----------
        x : array_like
            Samples, or one.
        cotangent : array_like
            dS/d(output), of the shape of ``net(x)``.

        Returns
        -------
        dx : ndarray
            dS/dx, of the shape of `x`.
        dtheta : ndarray
            dS/d(parameters), summed over samples.

        Raises
        ------
        TypeError, ValueError
            As for ``net(x)``, a cotangent of another shape.

        Examples
        --------
        >>> import plaq as pq
        >>> net = pq.nn.Sequential([pq.nn.Conv(2, 1, 1)], ndim=1)
        >>> net.parameters = [2.0, 3.0, 0.0]
        >>> dx, dtheta = net.pullback([[[1.0, 10.0, 100.0]]], [[[1.0, 0.0, 0.0]]])
        >>> dx, dtheta
        (array([[[2., 3., 0.]]]), array([ 1., 10.,  1.]))
        """
        samples, is_single = self._samples_of("x", x)
        shape = (len(samples), *self._core.output_shape(samples.shape[1], list(samples.shape[2:])))
        above = array("cotangent", cotangent, shape=shape[1:] if is_single else shape)
        below, gradient = self._core.pullback(_core_of(samples, self.dtype), self._parameters, above)
        return (below[0] if is_single else below), gradient

    def loss(self, x: ArrayLike, y: ArrayLike, *, loss: NetLoss | str = MSE()) -> float:  # noqa: B008
        """Mean loss over samples and outputs, what :meth:`fit` minimises.

        Parameters
        ----------
        x, y : array_like
            Samples and what the network should give for them.
        loss : MSE, BinaryCrossEntropy, Huber or their names
            By default the mean squared error.

        Raises
        ------
        TypeError, ValueError
            As for :meth:`fit`.

        Examples
        --------
        >>> import plaq as pq
        >>> net = pq.nn.Sequential([pq.nn.GlobalSumPool()], ndim=1)
        >>> net.loss([[[1.0, 2.0]]], [[1.0]])
        4.0
        """
        kind = loss_of(loss)
        samples, _ = self._samples_of("x", x)
        core = _core_of(samples, self.dtype, self._targets_of("y", y, samples, kind))
        return self._core.loss(core, self._parameters, json.dumps(kind.spec()))

    def fit(
        self,
        x: ArrayLike | Labelled,
        y: ArrayLike | None = None,
        *,
        loss: NetLoss | str = MSE(),  # noqa: B008
        epochs: int = 100,
        batch: int | None = 50,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: float | tuple[ArrayLike, ArrayLike] | None = None,
        patience: int | None = None,
        translations: bool = False,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng | None = None,
    ) -> History:
        """Minimise the mean of a loss over samples and outputs.

        Parameters
        ----------
        x : array_like, or data with ``x`` and ``y``
            ``[sample, channel, x_0, ..]``, or both at once, as from :func:`plaq.datasets.flux_regression`.
        y : array_like
            What the network should give, of the shape of ``net(x)`` (the axis of a single output may be left out).
        loss : MSE, BinaryCrossEntropy, Huber or their names
            ``"mse"``, ``"bce"``, ``"huber"``.
        epochs : int
            Last epoch; a resumed run goes on to it.
        batch : int, optional
            Samples per step; None takes all.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            By default ``AdamW(1e-3, weight_decay=0)``.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate, step by step; by default that of the optimizer.
        validation : float or (x, y), optional
            Data that are held out, or the fraction that is (the last samples); the parameters with the smallest loss on
            these are kept, of which the start is a candidate.
        patience : int, optional
            Epochs without a better validation loss after which training ends.
        translations : bool
            Move every sample by a random translation in every epoch (data augmentation).
        checkpoint : path, optional
            Written after every epoch (less often if that takes more than a tenth of the time) and at the end; if it
            exists, training goes on from it, to the same bits.
        progress : bool
            Show progress.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Fixes the order of the samples and the translations. Needed if one of these is drawn.

        Returns
        -------
        History
            ``epoch, step, loss, gradient_norm, learning_rate`` and, if asked for, ``validation``. Ctrl-C ends the
            training and returns the epochs that were completed.

        Raises
        ------
        TypeError, ValueError
            Samples or targets that do not fit the network (layer and expected size are named), labels outside of [0, 1]
            for the cross entropy, nothing to validate with, a loss that is not finite (the parameters are the best so
            far), no rng.
        CheckpointError
            The checkpoint is damaged or belongs to another training.
        OSError
            The checkpoint cannot be written, which is tried before the training.

        Notes
        -----
        Every exception during training carries the records so far as ``.history``.

        Memory: the samples in the precision of the network, and for every thread the activations and cotangents of one
        sample (of 8 or 16 for networks with few channels), whatever the batch.

        Examples
        --------
        >>> import plaq as pq
        >>> net = pq.nn.Sequential([pq.nn.Conv(1, 2, 1), pq.nn.GlobalAvgPool()], rng=1)
        >>> x = np.random.default_rng(1).normal(size=(40, 2, 4, 4))
        >>> rule = pq.optimizers.AMSGrad(0.05)
        >>> history = net.fit(x, x[:, 1].mean((1, 2)), optimizer=rule, batch=10, rng=1, progress=False)
        >>> bool(history.loss[-1] < 1e-5)
        True
        """
        kind = loss_of(loss)
        checkpoint_path(checkpoint)
        if y is None:
            if not (hasattr(x, "x") and hasattr(x, "y")):
                raise TypeError(
                    f"what the network should give is missing: fit(x, y) or data with x and y; got {shown(x)}"
                )
            x, y = cast(Labelled, x).x, cast(Labelled, x).y
        if not isinstance(translations, bool):
            raise TypeError(f"translations is True or False; got {shown(translations)}")
        samples, targets, held = self._split(cast(ArrayLike, x), cast(ArrayLike, y), validation, kind)
        core = _core_of(samples, self.dtype, targets)
        text, moves = json.dumps(kind.spec()), _Translations(samples.shape, rng) if translations else None
        facts = {
            "architecture": self.spec(),
            "loss": kind.spec(),
            "translations": translations,
            "data": _digest(samples, targets),
            "validation": None if held is None else _digest(*held),
        }

        def gradient(theta: Numbers, indices: NDArray[np.int64]) -> tuple[float, Numbers]:
            shifts = [] if moves is None else moves.of(indices)
            return self._core.gradient(core, theta, text, indices.tolist(), shifts)

        def keep(parameters: Numbers) -> None:
            self._parameters = parameters

        held_core = None if held is None else _core_of(held[0], self.dtype, held[1])
        _, history = minimize(
            gradient,
            self._parameters,
            len(samples),
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            validation=None if held_core is None else (lambda theta: self._core.loss(held_core, theta, text)),
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            rng=rng if moves is None else moves.seed,
            facts=facts if moves is None else facts | {"translation seed": moves.seed},
            keep=keep,
            on_epoch=None if moves is None else moves.begin,
        )
        return history

    def _split(
        self, x: ArrayLike, y: ArrayLike, validation: Any, loss: NetLoss
    ) -> tuple[NDArray[Any], Numbers, tuple[NDArray[Any], Numbers] | None]:
        """Samples and targets to train with, and those that are held out."""
        samples, is_single = self._samples_of("x", x)
        if is_single:
            raise ValueError(f"x has shape {samples.shape[1:]}; an axis of samples is missing in front")
        targets = self._targets_of("y", y, samples, loss)
        if validation is None:
            return samples, targets, None
        if isinstance(validation, float | int):
            cut = held_back(len(samples), validation)
            return samples[:cut], targets[:cut], (samples[cut:], targets[cut:])
        if not isinstance(validation, tuple) or len(validation) != 2:
            raise TypeError(f"validation is a fraction or a pair (x, y); got {shown(validation)}")
        others, _ = self._samples_of("x of validation", validation[0])
        return samples, targets, (others, self._targets_of("y of validation", validation[1], others, loss))

    def spec(self) -> dict[str, Any]:
        """What the network is as plain data; parameters are apart from it."""
        layers = [layer.spec(self.ndim) for layer in self.layers]
        return {"kind": "sequential", "ndim": self.ndim, "dtype": self.dtype, "layers": layers}

    def save(self, path: str | PathLike[str]) -> None:
        """Write architecture and parameters to a safetensors file."""
        save_weights(path, self.named_parameters(), self.spec())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Sequential:
        """The network of a safetensors file.

        Raises
        ------
        FormatError
            A damaged or hostile file, or one of another kind.
        OSError
            The file cannot be read.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import plaq as pq
        >>> path, net = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors", pq.nn.zoo["task3/EQ2"]
        >>> net.save(path)
        >>> bool(np.all(pq.nn.Sequential.load(path).parameters == net.parameters))
        True
        """
        weights, entry = load_weights(path)
        with making(path, "network of plaq.nn"):
            if entry["kind"] != "sequential":
                raise ValueError(f"it is of the kind {entry['kind']}")
            layers = [layer_from(each) for each in entry["layers"]]
            net = cls(layers, ndim=entry["ndim"], dtype=entry["dtype"])
            shapes = {name: values.shape for name, values in weights.items()}
            wanted = {name: values.shape for name, values in net.named_parameters().items()}
            if shapes != wanted:
                raise ValueError(f"arrays {shapes}; the layers need {wanted}")
            net.parameters = np.concatenate([np.zeros(0), *(weights[name].ravel() for name in wanted)])
        return net

    def load_parameters(self, path: str | PathLike[str]) -> None:
        """Take the parameters of a file whose architecture must be the same.

        Raises
        ------
        ValueError
            Another architecture; names the first difference.
        FormatError
            A damaged file.
        OSError
            The file cannot be read.
        """
        other = Sequential.load(path)
        if other.ndim != self.ndim:
            raise ValueError(f"{path}: {other.ndim} dimensions, in this network {self.ndim}")
        require_same_layers(path, other.layers, self.layers)
        self._parameters = other.parameters


class _Translations:
    """Random translations of all samples, one set for each epoch."""

    def __init__(self, shape: tuple[int, ...], rng: Rng | None) -> None:
        if rng is None:
            raise TypeError("rng is missing: translations are drawn at random; give for example rng=1")
        self.seed = seed_of(rng)
        self._count, self._extents = shape[0], shape[2:]
        self._epoch, self._shifts = -1, np.zeros((0, 0), np.int64)

    def begin(self, epoch: int) -> None:
        """Draw those of an epoch, unless they are there."""
        if epoch != self._epoch:
            draw = np.random.default_rng([self.seed, epoch, 1])
            self._shifts = draw.integers(0, self._extents, size=(self._count, len(self._extents)))
            self._epoch = epoch

    def of(self, indices: NDArray[np.int64]) -> list[list[int]]:
        """Those of some samples."""
        rows: list[list[int]] = self._shifts[indices].tolist()
        return rows


def _core_of(samples: NDArray[Any], dtype: str, targets: Numbers | None = None) -> _plaq.SamplesCore:
    require_memory("a copy of the samples", samples.size, samples.itemsize)
    flat = np.zeros(0) if targets is None else targets.ravel()
    make = _plaq.SamplesCore.single if dtype == "float32" else _plaq.SamplesCore.double
    return make(samples, flat)


def _digest(samples: NDArray[Any], targets: Numbers) -> str:
    digest = hashlib.sha256(str(samples.shape).encode())
    digest.update(samples.tobytes())
    digest.update(targets.tobytes())
    return digest.hexdigest()


def _check_channels(layers: Sequence[Layer], ndim: int, inside: str = "") -> None:
    """Refuse a layer that takes another number of channels than come in, where no lattice is needed to see it."""
    coming: int | None = None
    before, pooled = 0, False
    for number, layer in enumerate(layers):
        if isinstance(layer, Residual):
            _check_channels(layer.layers, ndim, f"{inside}{number}.")
        pooled = pooled or isinstance(layer, _GlobalPool)
        if isinstance(layer, Flatten):
            coming = None
        channels = layer._channels(ndim)
        if channels is None:
            continue
        taken, given = channels
        # A linear layer takes channels times sites unless a global pool stands before it.
        known = pooled or not isinstance(layer, Linear)
        if known and coming not in (None, taken):
            raise ValueError(
                f"layer {inside}{number}, {layer!r}: it takes {taken} channels, but layer {inside}{before}, "
                f"{layers[before]!r}, gives {coming}"
            )
        coming, before, pooled = given, number, isinstance(layer, Linear)
