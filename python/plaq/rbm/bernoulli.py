"""Machines with binary or spin units, and mixed ones, with the training loop of the Gaussian machine."""

from __future__ import annotations

import math
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq._plaq import RbmTrainer
from plaq.ground.arguments import whole_number
from plaq.ground.rng import Rng
from plaq.rbm.fit import Layer
from plaq.rbm.machine import Array, Machine, checked_biases, checked_number
from plaq.training.history import History
from plaq.training.optimizers import Schedule

__all__ = ["BernoulliRBM"]

Units = Literal["bernoulli", "spin", "gaussian"]
ENUMERABLE = 16
RANGES = {"bernoulli": (0.0, 1.0), "spin": (-1.0, 1.0), "gaussian": (-math.inf, math.inf)}


class BernoulliRBM(Machine):
    r"""Restricted Boltzmann machine with binary (0, 1), spin (-1, +1) or Gaussian units in either layer.

    .. math:: p(v, h) = \frac1Z \exp(v^T W h + b^T v + c^T h), \qquad v_i, h_a \in \{0, 1\}

    and for Gaussian units a factor :math:`e^{-\mu^2 v^2/2}` or :math:`e^{-h^2/2\sigma_h^2}` each. Spin visible and
    Gaussian hidden units make a Hopfield model with couplings :math:`\sigma_h^2 W W^T`.

    Parameters
    ----------
    n_visible, n_hidden : int
        Numbers of units.
    visible, hidden : {"bernoulli", "spin", "gaussian"}
        Kinds of units; not both Gaussian (that is :class:`plaq.GaussianRBM`).
    mu2, sigma2_h : float
        Inverse variance of Gaussian visible units, variance of Gaussian hidden ones.
    weight_scale : float
        First weights are normal with this standard deviation.
    dtype : {"float64", "float32"}
        Precision of weights and chains.
    rng : int, Generator or SeedSequence
        Randomness of the first weights.

    Attributes
    ----------
    visible_bias, hidden_bias : ndarray
        b and c.

    Examples
    --------
    >>> import plaq as pq
    >>> machine = pq.BernoulliRBM(4, 2, rng=1)
    >>> data = np.array([[0, 0, 1, 1], [1, 1, 0, 0]] * 32)
    >>> history = machine.fit(data, epochs=300, method="pcd", learning_rate=0.1, progress=False, rng=2)
    >>> bool(history.log_likelihood[-1] > history.log_likelihood[0])
    True
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        visible: Units = "bernoulli",
        hidden: Units = "bernoulli",
        mu2: float = 1.0,
        sigma2_h: float = 1.0,
        weight_scale: float = 0.01,
        dtype: DTypeLike = "float64",
        rng: Rng | None = None,
    ) -> None:
        super().__init__(n_visible, n_hidden, weight_scale=weight_scale, dtype=dtype, rng=rng)
        for name, units in (("visible", visible), ("hidden", hidden)):
            if units not in RANGES:
                raise ValueError(f'{name} = "{units}": units are "bernoulli", "spin" or "gaussian"')
        if visible == hidden == "gaussian":
            raise ValueError("Gaussian units in both layers are a GaussianRBM, which has exact formulas: use that")
        self.visible, self.hidden = visible, hidden
        self.mu2 = checked_number("mu2", mu2, 0.0)
        self.sigma2_h = checked_number("sigma2_h", sigma2_h, 0.0)
        self.visible_bias: Array = np.zeros(self.n_visible)
        self.hidden_bias: Array = np.zeros(self.n_hidden)

    def __repr__(self) -> str:
        return f"BernoulliRBM({self.n_visible} {self.visible}, {self.n_hidden} {self.hidden}, {self.dtype.name})"

    def _layers(self) -> tuple[Layer, Layer]:
        visible = checked_biases("visible_bias", self.visible_bias, self.n_visible)
        hidden = checked_biases("hidden_bias", self.hidden_bias, self.n_hidden)
        widths = np.full(self.n_visible, 1.0 / self.mu2), np.full(self.n_hidden, self.sigma2_h)
        return (self.visible, visible, widths[0]), (self.hidden, hidden, widths[1])

    def _take(self, visible_bias: Array, hidden_bias: Array, variance: Array) -> None:
        self.visible_bias, self.hidden_bias = visible_bias, hidden_bias

    def _facts(self) -> dict[str, Any]:
        names = ("n_visible", "n_hidden", "visible", "hidden", "mu2", "sigma2_h")
        return {name: getattr(self, name) for name in names} | {"weight_scale": 0.0, "dtype": self.dtype.name}

    def _range(self) -> tuple[float, float]:
        return RANGES[self.visible]

    def _observe(self, trainer: RbmTrainer) -> dict[str, Any]:
        self._weights, (self.visible_bias, self.hidden_bias, _) = trainer.parameters()
        line: dict[str, Any] = {"singular_values": trainer.singular_values()}
        line["reconstruction_error"] = float(np.mean((self.reconstruct(self._data) - self._data) ** 2))
        if self._countable():
            line["log_likelihood"] = self.log_likelihood(self._data)
        return line

    def _countable(self) -> bool:
        sizes = (self.n_visible, self.n_hidden)
        kinds = (self.visible, self.hidden)
        return any(kind != "gaussian" and size <= ENUMERABLE for kind, size in zip(kinds, sizes, strict=True))

    def fit(
        self,
        data: ArrayLike,
        *,
        epochs: int,
        method: Literal["cd", "pcd"] = "pcd",
        k: int = 1,
        batch: int | None = None,
        learning_rate: float = 0.05,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        decay: float = 1.0,
        decay_every: int = 1,
        schedule: Schedule | None = None,
        chains: int | ArrayLike | None = None,
        validation: float | ArrayLike | None = None,
        patience: int | None = None,
        record_every: int | None = None,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        resume: bool = False,
        rng: Rng | None = None,
    ) -> History:
        """Maximise the likelihood of the data by CD-k or persistent CD-k; weights and both biases are trained.

        Parameters
        ----------
        data : array_like, shape (n, n_visible)
            Configurations: 0 and 1 (or probabilities between them), -1 and +1, or real numbers.
        epochs : int
            Passes over the data in all (also with `resume`).
        method : {"cd", "pcd"}
            Chains from the data, or persistent chains, which start at 1 (all units).
        k : int
            Gibbs steps an update.
        batch : int, optional
            Minibatch size, 64 by default.
        learning_rate, momentum, weight_decay : float
            alpha, beta of the running mean of gradients, and the coefficient of ``-alpha W``.
        decay, decay_every
            The learning rate is multiplied by `decay` after every `decay_every` epochs.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate as a function of the epoch (instead of `decay`), from ``plaq.optimizers``.
        chains : int or array_like, shape (chains, n_visible), optional
            Number of persistent chains (by default `batch`), or their first configurations.
        validation : float or array_like, shape (n, n_visible), optional
            Configurations that are held out, or the fraction of `data` that is (the last rows); the machine with the
            smallest validation loss among the records is kept, of which the start is one. Without it the last one.
        patience : int, optional
            Records without a smaller validation loss after which training ends.
        record_every : int, optional
            Epochs between records; by default 1 up to 64 visible units, else so that there are about 100 records.
        checkpoint : path, optional
            File, written at the start, at the end and in between about so often that it takes a tenth of the time; the
            same call goes on from it, to the same bits. The machine comes from the file then.
        progress : bool
            Show a progress bar.
        resume : bool
            Go on from the last epoch of this machine: repeat the call with `resume` added.
        rng : int, Generator or SeedSequence
            Randomness of minibatches and chains. Needed, but not with `resume`.

        Returns
        -------
        History
            ``epoch``, ``singular_values`` of W, ``reconstruction_error`` (mean square), ``step_norm``,
            ``backtracks``, and for machines with a countable layer of up to 16 units the exact ``log_likelihood``. If
            asked for, ``validation``: of the held-out rows minus the mean ln p, or the reconstruction error where ln p
            is not known. Ctrl-C ends the training and returns the history so far (``history.interrupted``).

        Raises
        ------
        ValueError, TypeError, CheckpointError, ConvergenceError
            Wrong arguments; `resume` or a checkpoint with other data or settings; weights that became infinite.
        OSError
            The checkpoint cannot be written, which is tried before the training.
        Exception
            Of any kind: what is raised during training carries the records so far as ``.history``.
        """
        self._data, held = self._split(data, validation)
        rows = 64 if batch is None else batch
        target = {"data": self._data, "batch": whole_number("batch", rows)}
        options = {
            "k": k,
            "batch": rows,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "decay": decay,
            "decay_every": decay_every,
            "schedule": schedule,
            "mass": "fixed",
            "train_visible": True,
            "train_hidden": True,
            "safe": False,
        }
        return self._fit(
            target,
            options,
            method=method,
            chains=chains,
            held=held,
            epochs=epochs,
            record_every=record_every,
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            resume=resume,
            rng=rng,
        )

    def _validation_loss(self, rows: NDArray[Any]) -> float:
        if self._countable():
            return -self.log_likelihood(rows)
        return float(np.mean((self.reconstruct(rows) - rows) ** 2))

    def reconstruct(self, data: ArrayLike) -> NDArray[Any]:
        """Mean-field reconstruction v -> <h> -> <v>, row by row.

        Parameters
        ----------
        data : array_like, shape (n, n_visible)

        Returns
        -------
        ndarray, shape (n, n_visible)
        """
        rows = self._checked_rows(data, "data")
        hidden = _mean(self.hidden, rows @ self._weights + self.hidden_bias, self.sigma2_h)
        return np.asarray(_mean(self.visible, hidden @ self._weights.T + self.visible_bias, 1.0 / self.mu2), self.dtype)

    def free_energy(self, visible: ArrayLike) -> Array:
        """Minus the logarithm of the unnormalised p(v), the hidden units summed out, row by row.

        Parameters
        ----------
        visible : array_like, shape (n, n_visible)

        Returns
        -------
        ndarray, shape (n,)
        """
        rows = self._checked_rows(visible, "visible").astype(float)
        w = self._weights.astype(float)
        own = rows @ self.visible_bias - (0.5 * self.mu2 * np.sum(rows**2, 1) if self.visible == "gaussian" else 0.0)
        return np.asarray(-own - np.sum(_log_sum(self.hidden, rows @ w + self.hidden_bias, self.sigma2_h), axis=1))

    def log_partition(self) -> float:
        """ln Z by the sum over all states of the smaller countable layer (up to 16 units).

        Raises
        ------
        ValueError
            No layer is small enough.
        """
        if not self._countable():
            raise ValueError(f"ln Z is summed over a binary or spin layer of at most {ENUMERABLE} units; none is here")
        w = self._weights.astype(float)
        over_visible = self.visible != "gaussian" and (self.n_visible <= self.n_hidden or self.hidden == "gaussian")
        if over_visible and self.n_visible <= ENUMERABLE:
            return _log_add(-self.free_energy(_states(self.visible, self.n_visible)))
        hidden = _states(self.hidden, self.n_hidden)
        own = hidden @ self.hidden_bias
        field = _log_sum(self.visible, hidden @ w.T + self.visible_bias, 1.0 / self.mu2)
        return _log_add(own + np.sum(field, axis=1))

    def log_likelihood(self, data: ArrayLike) -> float:
        """Mean of ln p(v) over rows, in nats, exact (one layer of at most 16 binary units).

        Parameters
        ----------
        data : array_like, shape (n, n_visible)
        """
        return float(-np.mean(self.free_energy(data)) - self.log_partition())


def _mean(units: str, field: Array, variance: float) -> Array:
    if units == "gaussian":
        return field * variance
    return np.tanh(field) if units == "spin" else 0.5 * (1.0 + np.tanh(0.5 * field))


def _log_sum(units: str, field: Array, variance: float) -> Array:
    """ln of the sum over one unit of exp(field x) times its own law."""
    if units == "gaussian":
        return np.asarray(0.5 * variance * field**2 + 0.5 * math.log(2 * math.pi * variance))
    return np.asarray(np.logaddexp(field, -field) if units == "spin" else np.logaddexp(0.0, field))


def _log_add(values: Array) -> float:
    top = float(values.max())
    return top + math.log(float(np.sum(np.exp(values - top))))


def _states(units: str, n: int) -> Array:
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return np.asarray(2.0 * bits - 1.0 if units == "spin" else bits, dtype=float)
