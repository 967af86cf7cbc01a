"""L-CNNs: layers one after another, from links to invariant numbers (arXiv 2012.12901)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.concepts import Action
from plaq.fields.gauge import GaugeField, colors_of
from plaq.ground.arguments import number, real, vector
from plaq.ground.html import layer_table
from plaq.ground.names import Explained
from plaq.ground.rng import Rng, seed_of
from plaq.ground.weights import load_weights, making, require_same_layers, save_weights
from plaq.lcnn.layers import (
    Layer,
    count,
    layer_from,
)
from plaq.training.batches import held_back
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize
from plaq.training.optimizers import Optimizer, Schedule

__all__ = ["LCNN"]


class LCNN(metaclass=Explained):
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
        Group of the fields it takes: ``"U(1)"``, ``"SU(2)"``, ``"SU(3)"`` or ``"SU(4)"``; larger ones are refused when
        a field comes.
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
    >>> from plaq.lcnn import Dense, LCB, Loops, Mean, Trace
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
        self.ndim = count("LCNN", "ndim", ndim)
        colors_of(group)
        self._parameters = self._core.initial(seed_of(rng))

    @cached_property
    def _core(self) -> _plaq.LcnnCore:
        return _plaq.LcnnCore(json.dumps(self._network()))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_core"}

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.layers))
        return f"LCNN([{inside}], ndim={self.ndim}, group={self.group!r}): {self.n_parameters} parameters"

    def _repr_html_(self) -> str:
        return layer_table(
            f"LCNN of {self.group} in {self.ndim} dimensions, {self.n_parameters} parameters",
            self.layers,
            self.named_parameters(),
        )

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
        self._parameters = vector("parameters", values, self.n_parameters)

    def named_parameters(self) -> dict[str, NDArray[np.float64]]:
        """Copies of the arrays by ``"layer.name"``.

        ``weight`` of :class:`LCB` and its relatives is ``[output, left, right]``, of :class:`LExp` ``[mu, channel]``
        and of :class:`Dense` ``[output, input]``.

        Examples
        --------
        >>> from plaq.lcnn import Dense, Loops, Trace
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
        return U.inside("the network")

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
        >>> from plaq.lcnn import Dense, Loops, Trace
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
        values, wanted = np.ascontiguousarray(real("cotangent", cotangent)), tuple(self._core.output_shape(core))
        if values.shape != wanted:
            raise ValueError(f"cotangent has shape {values.shape}; {wanted} is needed")
        return self._core.pullback(core, self._parameters, values)

    def action(self, coefficient: float = 1.0, *, channel: int = 0) -> Action:
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
        plaq.actions.Action

        Raises
        ------
        ValueError
            No such channel.

        Examples
        --------
        >>> from plaq.lcnn import Dense, Loops, Trace
        >>> import plaq as pq
        >>> net = LCNN([Loops(), Trace(), Dense(2, 1)], ndim=2, group="SU(2)", rng=1)
        >>> net.parameters = [-0.5, 0.0, 1.0]
        >>> U = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
        >>> bool(np.isclose(net.action(2.0)(U), pq.actions.Wilson(2.0)(U)))
        True
        """
        shape = self._core.output_shape(GaugeField.cold((2,) * self.ndim, self.group)._core)
        if not 0 <= channel < shape[-1]:
            raise ValueError(f"channel = {channel}: the network has channels 0 to {shape[-1] - 1}")
        return _SummedOutput(
            self._network(), tuple(self._parameters.tolist()), number("coefficient", coefficient), channel
        )

    def fit(
        self,
        fields: Sequence[GaugeField],
        targets: ArrayLike | Sequence[ArrayLike],
        *,
        epochs: int = 20,
        batch: int | None = 50,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: float | tuple[Sequence[GaugeField], ArrayLike | Sequence[ArrayLike]] | None = None,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng | None = None,
    ) -> History:
        """Minimise the mean over fields and outputs of (output - target)^2.

        Parameters
        ----------
        fields : sequence of GaugeField
            May differ in size.
        targets : array_like or sequence of array_like
            For each field an array of the shape of its output (the axis of a single channel may be left out).
        epochs : int
            Last epoch; a resumed run goes on to it.
        batch : int, optional
            Fields per step; None takes all.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            By default ``AdamW(1e-3, weight_decay=0)``.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate, step by step; by default that of the optimizer.
        validation : float or (fields, targets), optional
            Data that are held out, or the fraction of `fields` that is (the last ones); the parameters with the
            smallest error on these are kept, of which the start is a candidate.
        patience : int, optional
            Epochs without a better validation error after which training ends.
        checkpoint : path, optional
            Written after every epoch (less often if that takes more than a tenth of the time) and at the end; if it
            exists, training goes on from it, to the same bits.
        progress : bool
            Show progress.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Fixes the order of the fields. Needed if `batch` is smaller than their number; else nothing is drawn.

        Returns
        -------
        History
            ``epoch, step, loss, gradient_norm, learning_rate`` and, if asked for, ``validation``. Without validation
            the parameters with the smallest loss are kept if every step takes all fields, else the last ones. Ctrl-C
            ends the training and returns the epochs that were completed.

        Raises
        ------
        TypeError, ValueError
            Targets of another shape or with NaN, fields of another group, a loss that is not finite (the parameters are
            the best so far).
        CheckpointError
            The checkpoint is damaged or belongs to another training.
        OSError
            The checkpoint cannot be written, which is tried before the training.
        Exception
            Of any kind: what is raised during training carries the records so far as ``.history``.

        Examples
        --------
        >>> from plaq.lcnn import Dense, Loops, Mean, Trace
        >>> import plaq as pq
        >>> net = LCNN([Loops(), Trace(), Dense(2, 1), Mean()], ndim=2, group="SU(2)", rng=1)
        >>> fields = [pq.GaugeField.hot((4, 4), "SU(2)", rng=n) for n in range(20)]
        >>> plaquettes = [pq.observables.plaquette(U) for U in fields]
        >>> rule = pq.optimizers.Adam(0.05)
        >>> history = net.fit(fields, plaquettes, optimizer=rule, epochs=200, batch=5, rng=1, progress=False)
        >>> bool(history.loss[-1] < 1e-6)
        True
        """
        checkpoint_path(checkpoint)
        held = None
        if isinstance(validation, float | int):
            self._samples(fields, targets)  # refuses what is no pair of sequences
            cut, values = held_back(len(fields), validation), list(cast(Sequence[Any], targets))
            held = self._samples(fields[cut:], values[cut:])
            fields, targets = fields[:cut], values[:cut]
        elif validation is not None:
            if not isinstance(validation, tuple) or len(validation) != 2:
                raise TypeError(
                    f"validation is a fraction or a pair (fields, targets); got {type(validation).__name__}"
                )
            held = self._samples(*validation)
        samples, digest = self._samples(fields, targets)
        facts = {
            "architecture": self.spec(),
            "data": digest,
            "validation": None if held is None else held[1],
        }

        def keep(parameters: NDArray[np.float64]) -> None:
            self._parameters = parameters

        _, history = minimize(
            lambda theta, indices: self._core.squared_error(samples, theta, indices.tolist()),
            self._parameters,
            len(fields),
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            validation=None if held is None else (lambda theta: self._core.loss(held[0], theta)),
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            rng=rng,
            facts=facts,
            keep=keep,
        )
        return history

    def loss(self, fields: Sequence[GaugeField], targets: ArrayLike | Sequence[ArrayLike]) -> float:
        """Mean over fields and outputs of (output - target)^2, what :meth:`fit` minimises.

        Examples
        --------
        >>> from plaq.lcnn import Loops, Mean, Trace
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

    def _network(self) -> dict[str, Any]:
        return {"ndim": self.ndim, "layers": [layer.spec() for layer in self.layers]}

    def spec(self) -> dict[str, Any]:
        """What the network is as plain data; parameters are apart from it."""
        return {"group": self.group, **self._network()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and parameters to a safetensors file."""
        save_weights(path, self.named_parameters(), self.spec())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LCNN:
        """The network of a safetensors file.

        Raises
        ------
        FormatError
            A damaged or hostile file, or one of another kind.

        Examples
        --------
        >>> from plaq.lcnn import LConv, Loops, Trace
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> net = LCNN([Loops(), LConv(1, 2), Trace()], ndim=2, group="SU(2)", rng=1)
        >>> net.save(path)
        >>> bool(np.all(LCNN.load(path).parameters == net.parameters))
        True
        """
        weights, entry = load_weights(path)
        with making(path, "L-CNN"):
            net = cls([layer_from(each) for each in entry["layers"]], ndim=entry["ndim"], group=entry["group"], rng=0)
            net._take(weights)
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
        require_same_layers(path, other.layers, self.layers)
        self._parameters = other.parameters

    def _take(self, weights: dict[str, NDArray[np.float64]]) -> None:
        mine = self.named_parameters()
        shapes = {name: array.shape for name, array in weights.items()}
        wanted = {name: array.shape for name, array in mine.items()}
        if shapes != wanted:
            raise ValueError(f"arrays {shapes}; the layers need {wanted}")
        self.parameters = np.concatenate([np.zeros(0), *(weights[name].ravel() for name in mine)])


@dataclass(frozen=True)
class _SummedOutput(Action):
    """Coefficient x sum over sites of one channel."""

    network: dict[str, Any]
    theta: tuple[float, ...]
    coefficient: float
    channel: int

    def spec(self) -> dict[str, Any]:
        """The action as plain data."""
        return {
            "kind": "readout",
            "network": self.network,
            "theta": list(self.theta),
            "coefficient": self.coefficient,
            "channel": self.channel,
        }

    @property
    def parameters(self) -> NDArray[np.float64]:
        """The parameters of the network."""
        return np.array(self.theta)

    def with_parameters(self, values: ArrayLike) -> Action:
        """The same sum over a network with other parameters; see :meth:`plaq.actions.Action.with_parameters`."""
        return replace(self, theta=tuple(vector("parameters", values, len(self.theta)).tolist()))


def _target(n: int, target: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    values = real(f"target {n}", target)
    if values.shape != shape and not (shape[-1] == 1 and values.shape == shape[:-1]):
        raise ValueError(f"target {n} has shape {values.shape}; the output of the network has {shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"target {n} holds NaN or infinity")
    return values.ravel()
