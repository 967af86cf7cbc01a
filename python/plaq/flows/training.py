"""Training of a flow by the reverse Kullback-Leibler divergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.flows.priors import HELD, TRAINING
from plaq.training.batches import Descent
from plaq.training.optimizers import Optimizer

__all__ = ["GRADIENTS", "ReverseKL"]

Vector = NDArray[np.float64]

GRADIENTS = ["path", "reparameterised"]


class ReverseKL(Descent):
    """Steps of an optimiser, each on new samples of the flow with the present parameters.

    A step is a function of what :meth:`state` holds; an interrupted one changes nothing.
    """

    unit = "steps"

    def __init__(
        self,
        flow: Any,
        action: Any,
        gradient: str,
        batch: int,
        rule: Optimizer,
        seed: int,
        held: int | None,
        keep: Callable[[Vector], None],
    ) -> None:
        super().__init__(flow.parameters, rule, None if held is None else self._on_held, keep)
        self._flow, self._action, self._path = flow.copy(), action, gradient == "path"
        self._batch, self._seed, self._held = batch, seed, held

    def _on_held(self, parameters: Vector) -> float:
        """The loss on samples whose prior variables stay the same."""
        self._flow.parameters = parameters
        z = self._flow.prior._sampled(self._held, self._seed, purpose=HELD)
        return float(np.mean(self._flow._excess(self._action, z)))

    def _unit(self) -> None:
        parameters, rate = self._parameters.copy(), self._optimizer.learning_rate
        self._flow.parameters = parameters
        z = self._flow.prior._sampled(self._batch, self._seed, self._done * self._batch, TRAINING)
        excess, gradient = self._flow._excess_and_gradient(self._action, z, self._path)
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
