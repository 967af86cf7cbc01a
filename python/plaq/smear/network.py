"""Gauge covariant networks: layers one after another (arXiv 2103.11965)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.concepts import Loss, Map
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import complex_array, vector
from plaq.ground.html import layer_table
from plaq.ground.rng import Rng
from plaq.ground.weights import load_weights, making, save_weights
from plaq.smear.arguments import gauge_field
from plaq.smear.layers import Layer, copy_of, layer_from
from plaq.training.history import History
from plaq.training.loss import Validation, train
from plaq.training.optimizers import Optimizer, Schedule

__all__ = ["CovariantNet"]


class CovariantNet(Map):
    """A gauge covariant network: layers one after another (arXiv 2103.11965).

    ``net(U)`` is the image of a field. Composed with an action (:class:`plaq.actions.Mapped`) it drives HMC.

    Parameters
    ----------
    layers : sequence of StoutLayer, AttentionLayer, smear.APELayer or smear.HYPLayer
    recompute : bool
        In the reverse pass compute the fields between layers again instead of keeping one field per layer.

    Attributes
    ----------
    parameters : ndarray
        All coefficients, layer by layer; can be set.

    Examples
    --------
    >>> import plaq as pq
    >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])] * 2)
    >>> U = pq.GaugeField.hot((4, 4), rng=1)
    >>> net(U) == pq.smear.stout(U, 0.1, n=2)
    True
    """

    def __init__(self, layers: Sequence[Layer], *, recompute: bool = False) -> None:
        chosen = [layers] if isinstance(layers, Layer) else list(layers)
        if not chosen or not all(isinstance(layer, Layer) for layer in chosen):
            raise TypeError(f"layers is a list of StoutLayer, AttentionLayer, APELayer and HYPLayer; got {layers!r}")
        self.layers = [copy_of(layer) for layer in chosen]
        self.recompute = bool(recompute)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """All coefficients, layer by layer."""
        return np.concatenate([layer.rho for layer in self.layers])

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        left = vector("parameters", values, len(self.parameters))
        for layer in self.layers:
            layer.rho, left = left[: len(layer.rho)].copy(), left[len(layer.rho) :]

    def __repr__(self) -> str:
        return f"CovariantNet([{', '.join(map(repr, self.layers))}])"

    def _repr_html_(self) -> str:
        return layer_table(f"CovariantNet, {len(self.parameters)} parameters", self.layers, self.named_parameters())

    def named_parameters(self) -> dict[str, float]:
        """Coefficients by ``"layer.loop"``.

        Examples
        --------
        >>> import plaq as pq
        >>> pq.CovariantNet([pq.StoutLayer(["plaquette", "chair"], [0.1, 0.02])]).named_parameters()
        {'0.plaquette': 0.1, '0.chair': 0.02}
        """
        return {
            f"{n}.{name}": float(rho)
            for n, layer in enumerate(self.layers)
            for name, rho in zip(layer.names, layer.rho, strict=True)
        }

    def __call__(self, U: GaugeField) -> GaugeField:
        """Image of a field, with the gauge transformation of the input."""
        return GaugeField(self._core.forward(gauge_field(U, 1)._core, self.parameters))

    def pullback(
        self, U: GaugeField, cotangent: NDArray[np.complex128]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        r"""Reverse pass (the extended delta rule).

        Parameters
        ----------
        U : GaugeField
            The input.
        cotangent : ndarray
            :math:`F'` at the output, with :math:`dS = \langle F', \delta'\rangle` for :math:`U' \to e^{\delta'} U'`,
            for example ``action.force(net(U))``; shape of the links.

        Returns
        -------
        dU : ndarray
            :math:`F` at the input, :math:`dS = \langle F, \delta\rangle` for :math:`U \to e^{\delta} U`.
        dtheta : ndarray
            dS/d(parameters).

        Raises
        ------
        TypeError, ValueError
            No gauge field; a cotangent that is no numbers or has another shape.

        Notes
        -----
        Memory: one field per layer (none with ``recompute``), and four fields' worth for the dual numbers of one stout
        layer; an attention layer takes about 9 + 4 `reach` fields and :math:`6 (D-1)\\,\\mathrm{reach}` numbers a link,
        a HYP layer in four dimensions 8 fields, which it keeps, and 7 while it is at work.

        Examples
        --------
        >>> import plaq as pq
        >>> net, S = pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]), pq.actions.Wilson(2.0)
        >>> U = pq.GaugeField.hot((4, 4), "U(1)", rng=1)
        >>> dU, dtheta = net.pullback(U, S.force(net(U)))
        >>> bool(np.allclose(dU, pq.actions.Mapped(S, net).force(U)))
        True
        """
        field, links = gauge_field(U, 1), complex_array("cotangent", cotangent)
        wanted = (field.ndim, *field.shape, field.n_colors, field.n_colors)
        if links.shape != wanted:
            raise ValueError(f"cotangent has shape {links.shape}; {wanted} is needed")
        return self._core.pullback(U._core, self.parameters, links)

    def fit(
        self,
        fields: Sequence[GaugeField],
        loss: Loss,
        *,
        epochs: int = 100,
        batch: int | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: Validation | None = None,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng | None = None,
    ) -> History:
        """Train the coefficients on configurations by the extended delta rule (arXiv 2103.11965).

        Parameters
        ----------
        fields : sequence of GaugeField
            The configurations.
        loss : plaq.losses.Loss
            What is minimised: :class:`plaq.losses.ActionDifference`, :class:`plaq.losses.ForceNorm` or
            :class:`plaq.losses.FieldDistance`.
        epochs : int
            Passes over the configurations; a resumed training goes on to this number.
        batch : int, optional
            Configurations per step; by default all.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            From ``plaq.optimizers``; by default ``AdamW(1e-3, weight_decay=0)``.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate, step by step; by default that of the optimizer.
        validation : float, sequence of GaugeField or (fields, targets), optional
            Held-out configurations; the coefficients with the smallest loss on them are kept, of which the start is a
            candidate. A fraction holds out the last of `fields`; targets (numbers of
            :class:`plaq.losses.ActionDifference`, fields of :class:`plaq.losses.FieldDistance`) are needed where those
            of the loss are a list.
        patience : int, optional
            Epochs without a better validation loss after which training ends.
        checkpoint : path, optional
            Written after every epoch (less often if that takes more than a tenth of the time) and at the end; an
            interrupted training goes on from it, with its coefficients, to the same bits.
        progress : bool
            Show progress.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Order of the configurations. Needed if `batch` is smaller than their number; else nothing is drawn.

        Returns
        -------
        History
            ``epoch, step, loss, gradient_norm, learning_rate`` and, if asked for, ``validation``. Without validation
            the coefficients with the smallest loss are kept if every step takes all configurations, else the last ones.
            Ctrl-C ends the training (``history.interrupted``).

        Raises
        ------
        TypeError, ValueError
            Wrong arguments, fields of different kinds, a loss that is not finite (the coefficients are the best so
            far).
        CheckpointError
            The checkpoint is damaged or belongs to another training.
        OSError
            The checkpoint cannot be written, which is tried before the training.
        Exception
            Of any kind: what is raised during training carries the records so far as ``.history``.

        Examples
        --------
        >>> import plaq as pq
        >>> U = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(4)]
        >>> net = pq.CovariantNet([pq.StoutLayer(["plaquette"])])
        >>> loss = pq.losses.FieldDistance([pq.smear.stout(u, 0.1) for u in U])
        >>> history = net.fit(U, loss, optimizer=pq.optimizers.SGD(0.1), epochs=60, progress=False)
        >>> bool(abs(net.parameters[0] - 0.1) < 1e-6)
        True
        """
        return train(
            self,
            fields,
            loss,
            validation,
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,
            schedule=schedule,
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            rng=rng,
        )

    def spec(self) -> dict[str, Any]:
        """The layers as plain data, tagged by ``kind``; coefficients are apart from it.

        Examples
        --------
        >>> import plaq as pq
        >>> pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]).spec()
        {'layers': [{'kind': 'stout', 'terms': [['plaquette', 255]]}], 'recompute': False}
        """
        return {"layers": [layer.spec() for layer in self.layers], "recompute": self.recompute}

    def copy(self) -> CovariantNet:
        """The same network again, with coefficients of its own."""
        return CovariantNet(self.layers, recompute=self.recompute)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and coefficients to a safetensors file."""
        save_weights(path, {f"{n}.rho": layer.rho for n, layer in enumerate(self.layers)}, self.spec()["layers"])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CovariantNet:
        """The network of a safetensors file.

        Raises
        ------
        FormatError
            A damaged or hostile file, or one of another kind.

        Examples
        --------
        >>> import plaq as pq
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])]).save(path)
        >>> pq.CovariantNet.load(path).parameters
        array([0.1])
        """
        weights, architecture = load_weights(path)
        with making(path, "covariant network"):
            return cls([layer_from(entry, weights[f"{n}.rho"]) for n, entry in enumerate(architecture)])
