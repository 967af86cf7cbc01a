"""Training of a flow by the reverse Kullback-Leibler divergence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plaq.flows.priors import HELD, TRAINING
from plaq.ground.arguments import whole_number
from plaq.ground.names import outside
from plaq.ground.rng import Rng, seed_of
from plaq.training.batches import Descent
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize
from plaq.training.optimizers import Adam, Optimizer, Schedule, scheduled

__all__ = ["GRADIENTS", "Draw", "Model", "ReverseKL", "fitted"]

Vector = NDArray[np.float64]

GRADIENTS = ["path", "reparameterised"]


@dataclass(frozen=True)
class Draw:
    """Which samples of a stream."""

    seed: int
    first: int
    count: int
    purpose: int


class Model(Protocol):
    """What is trained: samples with -ln w, and the derivative of its mean."""

    parameters: Vector

    def copy(self) -> Any:
        """The same again, with parameters of its own."""

    def _losses(self, action: Any, draw: Draw) -> Vector: ...

    def _losses_and_gradient(self, action: Any, gradient: str, draw: Draw) -> tuple[Vector, Vector]: ...


class ReverseKL(Descent):
    """Steps of an optimiser, each on new samples of the flow with the present parameters.

    A step is a function of what :meth:`state` holds; an interrupted one changes nothing.
    """

    unit = "steps"

    def __init__(
        self,
        model: Model,
        action: Any,
        gradient: str,
        batch: int,
        rule: Optimizer,
        seed: int,
        held: int | None,
        keep: Callable[[Vector], None],
    ) -> None:
        super().__init__(model.parameters, rule, None if held is None else self._on_held, keep)
        self._model, self._action, self._gradient = model.copy(), action, gradient
        self._batch, self._seed, self._held = batch, seed, held

    def _on_held(self, parameters: Vector) -> float:
        """The loss on samples whose prior variables stay the same."""
        self._model.parameters = parameters
        return float(np.mean(self._model._losses(self._action, Draw(self._seed, 0, self._held or 0, HELD))))

    def _unit(self) -> None:
        parameters, rate = self._parameters.copy(), self._optimizer.learning_rate
        self._model.parameters = parameters
        draw = Draw(self._seed, self._done * self._batch, self._batch, TRAINING)
        excess, gradient = self._model._losses_and_gradient(self._action, self._gradient, draw)
        loss = float(np.mean(excess))
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            self._diverged = True
            raise ValueError(f"the loss is {loss} in step {self._done}; lower the learning rate or the bound of s")
        self._update(parameters, gradient)
        self._finish(parameters, loss)
        weights = np.exp(excess.min() - excess)
        self._row = {
            "step": self._done,
            "loss": loss,
            "efficiency": float(weights.sum() ** 2 / (len(weights) * (weights**2).sum())),
            "gradient_norm": float(np.linalg.norm(gradient)),
            "learning_rate": rate,
        }

    def score(self) -> float | None:
        """Loss on the samples that are held."""
        return None if self._validation is None else float(self._validation(self._parameters.copy()))


def _warn_if_it_rose(losses: Vector) -> None:
    """The loss is a mean over new samples: it may fluctuate, but not end far above where it was."""
    width = max(len(losses) // 10, 5)
    if len(losses) < 2 * width:
        return
    windows = np.convolve(losses, np.full(width, 1.0 / width), mode="valid")
    at, last = int(windows.argmin()), float(windows[-1])
    best, spread = float(windows[at]), float(losses[at : at + width].std())
    if last > best + max(5.0 * spread, 1.0):
        warnings.warn(
            f"the loss rose from {best:.4g} (around record {at + width // 2}) to {last:.4g}: the learning rate is too "
            "large; take a smaller one or a schedule, and validation= to keep the best parameters",
            RuntimeWarning,
            stacklevel=outside(),
        )


def fitted(
    model: Model,
    action: Any,
    gradient: str,
    *,
    facts: dict[str, Any],
    steps: int,
    batch: int,
    optimizer: Optimizer | None,
    schedule: Schedule | None,
    validation: int | None,
    patience: int | None,
    record_every: int,
    checkpoint: str | PathLike[str] | None,
    progress: bool,
    rng: Rng,
) -> History:
    """The training that :meth:`plaq.flows.Flow.fit` describes; `facts` say what is trained.

    Raises
    ------
    TypeError, ValueError
        Wrong arguments; nothing to train.
    """
    checkpoint_path(checkpoint)
    count, size = whole_number("steps", steps, 1), whole_number("batch", batch, 1, 10**6)
    held = None if validation is None else whole_number("validation", validation, 1, 10**6)
    rule, seed = scheduled(optimizer, schedule, Adam(1e-3)), seed_of(rng)
    if patience is not None and held is None:
        raise ValueError(f"patience = {patience} counts records without a better validation loss; give validation")
    if not len(model.parameters):
        raise ValueError("the flow has no couplings, so that there is nothing to train")

    def keep(parameters: Vector) -> None:
        model.parameters = parameters

    objective = ReverseKL(model, action, gradient, size, rule, seed, held, keep)
    _, history = minimize(
        objective,
        epochs=count,
        every=whole_number("record_every", record_every, 1),
        validation=None if held is None else objective._on_held,
        patience=patience,
        checkpoint=checkpoint,
        progress=progress,
        facts=facts | {"batch": size, "optimizer": repr(rule), "seed": seed, "validation": held},
    )
    _warn_if_it_rose(history["loss"])
    return history
