"""Lattice gauge equivariant convolutional networks (Favoni, Ipp, Mueller and Schuh, arXiv 2012.12901).

A network is a list of layers; what flows through it are links and channels of site matrices
:math:`W_i(x) \\to \\Omega(x) W_i(x) \\Omega(x)^\\dagger`, then invariant numbers. Formulas: ``docs/lcnn.md``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.actions import Custom
from plaq.gauge import GaugeField, colors_of
from plaq.optimizers import SGD, Adam, AdamW
from plaq.sampler import Rng, seed_of
from plaq.suggest import unknown
from plaq.train import History, minimize
from plaq.weights import load_weights, save_weights

__all__ = ["LCB", "LCNN", "Dense", "LAct", "LBilin", "LConv", "LExp", "Layer", "Loops", "Mean", "Trace"]

Core = tuple[str, list[int], str]


class Layer:
    """What all layers share: they are plain data.

    Examples
    --------
    >>> Trace() == Trace()
    True
    """

    def core(self) -> Core:
        """The layer as the core takes it: kind, numbers, name of a function."""
        raise NotImplementedError

    def architecture(self) -> dict[str, Any]:
        """Plain data from which the layer can be built again."""
        return {"kind": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


def _count(layer: str, name: str, value: object) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{layer}: {name} is an int; got {value!r}")
    if value < 1:
        raise ValueError(f"{layer}: {name} = {value}; at least 1 is needed")
    return int(value)


def _function(name: object) -> str:
    if name not in _plaq.FUNCTIONS:
        raise ValueError(unknown("function", name, _plaq.FUNCTIONS))
    return str(name)


def _bilinear(layer: Any, kernel: int, both: bool, centre: bool, left: bool, right: bool) -> Core:
    name = type(layer).__name__
    sizes = [_count(name, *pair) for pair in (("inputs", layer.inputs), ("outputs", layer.outputs), ("kernel", kernel))]
    return "bilinear", [*sizes, int(both), int(centre), int(left), int(right)], ""


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
        if isinstance(self.polyakov, bool) or not isinstance(self.polyakov, Sequence):
            raise TypeError(f"Loops: polyakov is a list of directions; got {self.polyakov!r}")
        if any(not 0 <= int(mu) <= 3 for mu in self.polyakov):
            raise ValueError(f"Loops: polyakov = {self.polyakov}; directions are 0 to D - 1")
        object.__setattr__(self, "polyakov", tuple(int(mu) for mu in self.polyakov))

    def core(self) -> Core:
        """The layer as the core takes it."""
        return "loops", [int(self.plaquettes), *self.polyakov], ""


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
    >>> net = LCNN([Loops(), LConv(1, 2, kernel=3), Trace()], ndim=2, group="SU(2)", rng=1)
    >>> {name: array.shape for name, array in net.named_parameters().items()}
    {'1.weight': (2, 1, 9)}
    """

    inputs: int
    outputs: int
    kernel: int = 2
    both: bool = True
    centre: bool = True

    def core(self) -> Core:
        """The layer as the core takes it."""
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
    >>> LCNN([Loops(), LBilin(1, 2), Trace()], ndim=2, group="SU(2)", rng=1).n_parameters
    18
    """

    inputs: int
    outputs: int

    def core(self) -> Core:
        """The layer as the core takes it."""
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
    >>> layers = [Loops(), LCB(1, 2, kernel=2), Trace(), Dense(4, 1)]
    >>> LCNN(layers, ndim=2, group="SU(2)", rng=1).n_parameters
    47
    """

    inputs: int
    outputs: int
    kernel: int = 2
    both: bool = False
    centre: bool = True

    def core(self) -> Core:
        """The layer as the core takes it."""
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

    def core(self) -> Core:
        """The layer as the core takes it."""
        return "gate", [], _function(self.function)


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
    >>> net = LCNN([Loops(), LExp(1), LConv(1, 1), Trace()], ndim=2, group="SU(3)", rng=1)
    >>> bool(np.all(net.named_parameters()["1.weight"] == np.zeros((2, 1))))
    True
    """

    inputs: int

    def core(self) -> Core:
        """The layer as the core takes it."""
        return "exponential", [_count("LExp", "inputs", self.inputs)], ""


@dataclass(frozen=True)
class Trace(Layer):
    r"""Two numbers per channel and site, :math:`\mathrm{Re\,tr}\, W_i` and :math:`\mathrm{Im\,tr}\, W_i` (not over N).

    Examples
    --------
    >>> Trace()
    Trace()
    """

    def core(self) -> Core:
        """The layer as the core takes it."""
        return "trace", [], ""


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

    def core(self) -> Core:
        """The layer as the core takes it."""
        sizes = [_count("Dense", *pair) for pair in (("inputs", self.inputs), ("outputs", self.outputs))]
        return "dense", sizes, _function(self.function)


@dataclass(frozen=True)
class Mean(Layer):
    """Mean over sites, the last layer.

    Examples
    --------
    >>> Mean()
    Mean()
    """

    def core(self) -> Core:
        """The layer as the core takes it."""
        return "mean", [], ""


_KINDS = {layer.__name__: layer for layer in (Loops, LConv, LBilin, LCB, LAct, LExp, Trace, Dense, Mean)}


def _vector(values: ArrayLike, length: int) -> NDArray[np.float64]:
    try:
        vector = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"parameters are {length} numbers; got {values!r}") from None
    if vector.shape != (length,):
        raise ValueError(f"parameters have shape {vector.shape}; {length} numbers are needed")
    if not np.isfinite(vector).all():
        raise ValueError(f"parameters hold NaN or infinity: {vector}")
    return vector


class LCNN:
    """A gauge equivariant convolutional network: links to invariant numbers, the same weights on any lattice size.

    ``net(U)`` has shape ``(channels,)`` if the last layer is :class:`Mean`, else ``(L_0, .., L_{D-1}, channels)``.

    Parameters
    ----------
    layers : sequence of Layer
        :class:`Loops`; then :class:`LConv`, :class:`LBilin`, :class:`LCB`, :class:`LAct`, :class:`LExp` in any order;
        :class:`Trace`; :class:`Dense` layers; at most one :class:`Mean` at the end.
    ndim : int
        Number of dimensions, 1 to 4.
    group : str
        Group of the fields it takes.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Initial parameters: normal with deviation 1/sqrt(number of terms of the sum a weight stands in), as in the
        authors' program; biases and L-Exp start at 0.

    Attributes
    ----------
    parameters : ndarray
        All parameters, layer by layer; can be set.

    Raises
    ------
    TypeError, ValueError
        Layers that do not fit each other (named), a wrong kernel size.

    Examples
    --------
    >>> import plaq as pq
    >>> layers = [Loops(), LCB(1, 2), Trace(), Dense(4, 1), Mean()]
    >>> net = LCNN(layers, ndim=2, group="SU(2)", rng=1)
    >>> U = pq.GaugeField.hot((8, 8), "SU(2)", rng=2)
    >>> bool(np.allclose(net(U), net(U.random_gauge_transform(rng=3)), rtol=1e-12))
    True
    """

    def __init__(self, layers: Sequence[Layer], *, ndim: int, group: str, rng: Rng) -> None:
        chosen = list(layers) if isinstance(layers, Sequence) else [layers]
        if not chosen or not all(isinstance(layer, Layer) for layer in chosen):
            raise TypeError(f"layers is a list of layers of plaq.lcnn; got {layers!r}")
        self.layers, self.group = chosen, group
        self.ndim = _count("LCNN", "ndim", ndim)
        colors_of(group)
        self._core = _plaq.LcnnCore(self.ndim, [layer.core() for layer in chosen])
        self._parameters = self._core.initial(seed_of(rng))

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.layers))
        return f"LCNN([{inside}], ndim={self.ndim}, group={self.group!r}): {self.n_parameters} parameters"

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self._core.n_parameters

    @property
    def parameters(self) -> NDArray[np.float64]:
        """All parameters, layer by layer."""
        return self._parameters.copy()

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        self._parameters = _vector(values, self.n_parameters)

    def named_parameters(self) -> dict[str, NDArray[np.float64]]:
        """Copies of the arrays by ``"layer.name"``.

        ``weight`` of :class:`LCB` and its relatives is ``[output, left, right]``, of :class:`LExp` ``[mu, channel]``
        and of :class:`Dense` ``[output, input]``.

        Examples
        --------
        >>> net = LCNN([Loops(), Trace(), Dense(2, 1)], ndim=2, group="SU(2)", rng=1)
        >>> list(net.named_parameters())
        ['2.weight', '2.bias']
        """
        arrays, start = {}, 0
        for layer, name, shape in self._core.arrays():
            size = int(np.prod(shape))
            arrays[f"{layer}.{name}"] = self._parameters[start : start + size].reshape(shape).copy()
            start += size
        return arrays

    def __call__(self, U: GaugeField | Sequence[GaugeField]) -> NDArray[np.float64]:
        """Outputs for a field, or for a sequence of fields (first axis; the outputs must have one shape)."""
        if isinstance(U, GaugeField):
            return self._core.predict([self._checked(U)], self._parameters)[0]
        outputs = self._core.predict([self._checked(u) for u in U], self._parameters)
        shapes = {output.shape for output in outputs}
        if len(shapes) > 1:
            raise ValueError(f"the outputs have shapes {sorted(shapes)}; give fields of one shape, or end with Mean()")
        return np.array(outputs)

    def _checked(self, U: object) -> _plaq.Gauge:
        if not isinstance(U, GaugeField):
            raise TypeError(f"a GaugeField or a list of them is needed; got {type(U).__name__}")
        if U.group != self.group or U.ndim != self.ndim:
            raise ValueError(
                f"the network is for {self.group} in {self.ndim} dimensions; the field is {U.group} on {U.shape}"
            )
        return U._core

    def pullback(self, U: GaugeField, cotangent: ArrayLike) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        r"""Reverse pass.

        Parameters
        ----------
        U : GaugeField
            The input.
        cotangent : array_like
            dS/d(output), of the shape of the output.

        Returns
        -------
        dU : ndarray
            F with :math:`dS = \langle F, \delta\rangle` for :math:`U \to e^{\delta} U`, as
            :meth:`plaq.actions.Action.force`; shape of the links.
        dtheta : ndarray
            dS/d(parameters).

        Notes
        -----
        Memory: the matrices between all layers, and of one layer at a time those that it transports (``docs/lcnn.md``).

        Examples
        --------
        >>> import plaq as pq
        >>> net = LCNN([Loops(), Trace(), Dense(2, 1)], ndim=2, group="U(1)", rng=1)
        >>> net.parameters = [-1.0, 0.0, 1.0]
        >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
        >>> F, _ = net.pullback(U, np.ones((4, 4, 1)))
        >>> bool(np.allclose(F, pq.actions.Wilson(1.0).force(U)))
        True
        """
        _, links, gradient = self._reverse(U, cotangent)
        return links, gradient

    def _reverse(
        self, U: GaugeField, cotangent: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.float64]]:
        core = self._checked(U)
        values, wanted = np.ascontiguousarray(cotangent, np.float64), tuple(self._core.output_shape(core))
        if values.shape != wanted:
            raise ValueError(f"cotangent has shape {values.shape}; {wanted} is needed")
        return self._core.pullback(core, self._parameters, values)

    def action(self, coefficient: float = 1.0, *, channel: int = 0) -> Custom:
        r"""The action :math:`S = \mathrm{coefficient} \sum_x y_\mathrm{channel}(x)`, for HMC.

        The parameters are copied: training the network later does not change the action. Gates that are not smooth give
        a force that jumps; take ``"algebraic"``.

        Parameters
        ----------
        coefficient : float
            Factor of the sum over sites (of the mean times the number of sites, behind :class:`Mean`).
        channel : int
            Channel of the output.

        Returns
        -------
        plaq.actions.Custom

        Raises
        ------
        ValueError
            No such channel.

        Examples
        --------
        >>> import plaq as pq
        >>> net = LCNN([Loops(), Trace(), Dense(2, 1)], ndim=2, group="SU(2)", rng=1)
        >>> net.parameters = [-0.5, 0.0, 1.0]
        >>> U = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
        >>> bool(np.isclose(net.action(2.0)(U), pq.actions.Wilson(2.0)(U)))
        True
        """
        net = LCNN(self.layers, ndim=self.ndim, group=self.group, rng=0)
        net.parameters = self._parameters
        shape = self._core.output_shape(GaugeField.cold((2,) * self.ndim, self.group)._core)
        if not 0 <= channel < shape[-1]:
            raise ValueError(f"channel = {channel}: the network has channels 0 to {shape[-1] - 1}")
        digest = hashlib.sha256(self._parameters.tobytes()).hexdigest()[:16]
        name = f"{coefficient} x channel {channel} of {net!r} {digest}"
        return Custom(_SummedOutput(net, float(coefficient), channel), name)

    def fit(
        self,
        fields: Sequence[GaugeField],
        targets: ArrayLike | Sequence[ArrayLike],
        *,
        optimizer: SGD | Adam | AdamW | None = None,
        epochs: int = 20,
        batch: int | None = 50,
        validation: tuple[Sequence[GaugeField], ArrayLike | Sequence[ArrayLike]] | None = None,
        patience: int | None = None,
        rng: Rng,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> History:
        """Minimise the mean over fields and outputs of (output - target)^2.

        Parameters
        ----------
        fields : sequence of GaugeField
            May differ in size.
        targets : array_like or sequence of array_like
            For each field an array of the shape of its output (the axis of a single channel may be left out).
        optimizer : SGD, Adam or AdamW, optional
            By default ``AdamW(1e-3, weight_decay=0)``.
        epochs : int
            Last epoch; a resumed run goes on to it.
        batch : int, optional
            Fields per step; None takes all.
        validation : (fields, targets), optional
            The parameters with the smallest error on these are kept.
        patience : int, optional
            Epochs without a better validation error after which training ends.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Fixes the order of the fields.
        checkpoint : path, optional
            Written after every epoch; if it exists, training goes on from it, to the same bits.
        progress : bool
            Show progress.

        Returns
        -------
        History
            ``epoch, step, loss, gradient_norm, learning_rate`` and, if asked for, ``validation``. Ctrl-C ends the
            training and returns the epochs that were completed.

        Raises
        ------
        TypeError, ValueError
            Targets of another shape or with NaN, fields of another group, a loss that is not finite.
        CheckpointError
            The checkpoint belongs to another training.

        Examples
        --------
        >>> import plaq as pq
        >>> net = LCNN([Loops(), Trace(), Dense(2, 1), Mean()], ndim=2, group="SU(2)", rng=1)
        >>> fields = [pq.GaugeField.hot((4, 4), "SU(2)", rng=n) for n in range(20)]
        >>> plaquettes = [pq.observables.plaquette(U) for U in fields]
        >>> rule = pq.optimizers.Adam(0.05)
        >>> history = net.fit(fields, plaquettes, optimizer=rule, epochs=200, batch=5, rng=1, progress=False)
        >>> bool(history.loss[-1] < 1e-6)
        True
        """
        samples, digest = self._samples(fields, targets)
        if validation is not None and (not isinstance(validation, tuple) or len(validation) != 2):
            raise TypeError(f"validation is a pair (fields, targets); got {type(validation).__name__}")
        held = None if validation is None else self._samples(*validation)
        facts = {
            "architecture": self.architecture(),
            "data": digest,
            "validation": None if held is None else held[1],
        }
        self._parameters, history = minimize(
            lambda theta, indices: self._core.squared_error(samples, theta, indices.tolist()),
            self._parameters,
            len(fields),
            optimizer=optimizer,
            epochs=epochs,
            batch=batch,
            seed=seed_of(rng),
            validation=None if held is None else (lambda theta: self._core.loss(held[0], theta)),
            patience=patience,
            checkpoint=checkpoint,
            facts=facts,
            progress=progress,
        )
        return history

    def loss(self, fields: Sequence[GaugeField], targets: ArrayLike | Sequence[ArrayLike]) -> float:
        """Mean over fields and outputs of (output - target)^2, what :meth:`fit` minimises.

        Examples
        --------
        >>> import plaq as pq
        >>> net = LCNN([Loops(), Trace(), Mean()], ndim=2, group="SU(2)", rng=1)
        >>> net.loss([pq.GaugeField.cold((4, 4), "SU(2)")], [[2.0, 1.0]])
        0.5
        """
        return self._core.loss(self._samples(fields, targets)[0], self._parameters)

    def _samples(
        self, fields: Sequence[GaugeField], targets: ArrayLike | Sequence[ArrayLike]
    ) -> tuple[_plaq.LcnnSamples, str]:
        """Fields and targets inside the core, and a digest of both."""
        if not isinstance(fields, Sequence):
            raise TypeError(f"fields is a list of GaugeField; got {type(fields).__name__}")
        chosen = [self._checked(U) for U in fields]
        if not isinstance(targets, Sequence | np.ndarray) or isinstance(targets, str):
            raise TypeError(f"targets is a sequence with an entry for each field; got {targets!r}")
        values: Any = list(targets)
        if not chosen or len(values) != len(chosen):
            raise ValueError(f"{len(chosen)} fields and {len(values)} targets; give one target for each of the fields")
        digest, flat = hashlib.sha256(), []
        for n, (core, target) in enumerate(zip(chosen, values, strict=True)):
            flat.append(_target(n, target, tuple(self._core.output_shape(core))))
            digest.update(core.to_array().tobytes() + flat[-1].tobytes())
        return _plaq.LcnnSamples(chosen, flat), digest.hexdigest()

    def architecture(self) -> dict[str, Any]:
        """Plain data that says what the network is."""
        return {"ndim": self.ndim, "group": self.group, "layers": [layer.architecture() for layer in self.layers]}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and parameters to a safetensors file."""
        save_weights(path, self.named_parameters(), self.architecture())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LCNN:
        """The network of a safetensors file.

        Raises
        ------
        FormatError
            A damaged or hostile file, or one of another kind.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> net = LCNN([Loops(), LConv(1, 2), Trace()], ndim=2, group="SU(2)", rng=1)
        >>> net.save(path)
        >>> bool(np.all(LCNN.load(path).parameters == net.parameters))
        True
        """
        weights, entry = load_weights(path)
        try:
            net = cls([_layer(each) for each in entry["layers"]], ndim=entry["ndim"], group=entry["group"], rng=0)
            net._take(weights)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise _plaq.FormatError(
                f"{path} holds no L-CNN ({error}); load files of other models with their own class"
            ) from None
        return net

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Take the parameters of a file whose architecture must be the same.

        Raises
        ------
        ValueError
            Another architecture; names the first difference.
        FormatError
            A damaged file.
        """
        other = LCNN.load(path)
        for what, theirs, mine in (("dimensions", other.ndim, self.ndim), ("group", other.group, self.group)):
            if theirs != mine:
                raise ValueError(f"{path}: {what} {theirs}, in this network {mine}")
        if len(other.layers) != len(self.layers):
            raise ValueError(f"{path} has {len(other.layers)} layers, this network {len(self.layers)}")
        for n, (a, b) in enumerate(zip(other.layers, self.layers, strict=True)):
            if a != b:
                raise ValueError(f"{path}: layer {n} is {a}, in this network {b}")
        self._parameters = other.parameters

    def _take(self, weights: dict[str, NDArray[np.float64]]) -> None:
        mine = self.named_parameters()
        shapes = {name: array.shape for name, array in weights.items()}
        wanted = {name: array.shape for name, array in mine.items()}
        if shapes != wanted:
            raise ValueError(f"arrays {shapes}; the layers need {wanted}")
        self.parameters = np.concatenate([np.zeros(0), *(weights[name].ravel() for name in mine)])


class _SummedOutput:
    """Value and force of coefficient x sum over sites of one channel."""

    def __init__(self, net: LCNN, coefficient: float, channel: int) -> None:
        self._net, self._coefficient, self._channel = net, coefficient, channel

    def __call__(self, links: NDArray[np.complex128]) -> tuple[float, NDArray[np.complex128]]:
        U = GaugeField.from_numpy(links, allow_nonunitary=True)
        shape = self._net._core.output_shape(self._net._checked(U))
        cotangent = np.zeros(shape)
        volume = float(np.prod(U.shape)) if len(shape) == 1 else 1.0
        cotangent[..., self._channel] = self._coefficient * volume
        outputs, force, _ = self._net._reverse(U, cotangent)
        return float(np.sum(outputs * cotangent)), force


def _target(n: int, target: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        values = np.array(target, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"target {n} is {target!r}; numbers of shape {shape} are needed") from None
    if values.shape != shape and not (shape[-1] == 1 and values.shape == shape[:-1]):
        raise ValueError(f"target {n} has shape {values.shape}; the output of the network has {shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"target {n} holds NaN or infinity")
    return values.ravel()


def _layer(entry: dict[str, Any]) -> Layer:
    numbers = dict(entry)
    kind = numbers.pop("kind")
    if kind not in _KINDS:
        raise ValueError(unknown("layer", kind, _KINDS))
    layer: Layer = _KINDS[kind](**numbers)
    return layer
