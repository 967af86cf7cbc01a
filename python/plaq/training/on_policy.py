"""Training of the proposal of a self-learning chain on its own trajectories."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.training.batches import Descent
from plaq.training.optimizers import Optimizer

Vector = NDArray[np.float64]
Lessons = Sequence[tuple[tuple[float, Vector] | None, tuple[float, Vector]]]
"""For each trajectory S(proposal) - S(target) and its derivative at the start (if known) and at the end."""

LOSSES = ["mean_square", "variance", "change", "force"]


def loss_of(loss: str, lessons: Lessons) -> tuple[float, Vector]:
    """Mean over trajectories of d^2 at their ends, its variance, or the mean square of what d changes by; for
    ``"force"``, whose lessons are squares already, their mean; and its derivative.
    """
    values = np.array([end[0] for _, end in lessons])
    gradients = np.array([end[1] for _, end in lessons])
    if loss == "force":
        return float(values.mean()), gradients.mean(axis=0)
    if loss == "change":
        values = values - [start[0] for start, _ in lessons if start is not None]
        gradients = gradients - [start[1] for start, _ in lessons if start is not None]
    if loss == "variance":
        values = values - values.mean()
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean(values**2)), 2.0 * values @ gradients / len(values)


def pairs(found: tuple[Vector, NDArray[np.float64]]) -> list[tuple[float, Vector]]:
    """Differences and their derivatives, one after another, as the core gives them in two arrays."""
    return list(zip(*found, strict=True))


class OnPolicy(Descent):
    """Steps of an optimiser, each on some trajectories of the chain, whose proposal has the present parameters.

    A step is a function of what :meth:`state` holds; an interrupted one changes nothing.
    """

    unit = "steps"

    def __init__(
        self,
        core: _plaq.SamplerCore,
        field: _plaq.Gauge,
        parameters: Vector,
        loss: str,
        batch: int,
        rule: Optimizer,
        seed: int,
        validation: Callable[[Vector], float] | None,
        keep: Callable[[Vector], None],
    ) -> None:
        super().__init__(parameters, rule, validation, keep)
        self.field = field
        self._core, self._loss, self._batch, self._seed = core, loss, batch, seed

    def _unit(self) -> None:
        field, parameters, rate = self.field, self._parameters.copy(), self._optimizer.learning_rate
        forces, lessons = self._loss == "force", list[Any]()
        infos: list[dict[str, Any]] = []
        for n in range(self._batch):
            try:
                field, info, found = self._core.learn(
                    field, self._seed, self._done * self._batch + n, parameters, forces
                )
            except _plaq.ConvergenceError as error:
                self._diverged = True
                remedy = "lower the learning rate, or give on_failure='reject'"
                raise _plaq.ConvergenceError(f"in step {self._done} of the training {error}; {remedy}") from error
            infos.append(info)
            ends = pairs(found)
            if len(ends) == 2:
                lessons.append((ends[0], ends[1]))
        if not lessons:
            raise ValueError("the solves of all trajectories failed: nothing to learn from; start nearer to the target")
        loss, gradient = loss_of(self._loss, lessons)
        if not np.isfinite(loss):
            self._diverged = True
            raise ValueError(f"the loss is {loss} in step {self._done}; lower the learning rate or take smaller steps")
        self._update(parameters, gradient)
        self._finish(parameters, loss)
        self.field = field
        self._row = {
            "step": self._done,
            "loss": loss,
            "acceptance": float(np.mean([info["accepted"] for info in infos])),
            "delta_h": float(np.mean([info["delta_h"] for info in infos])),
            "difference": float(np.mean([end[0] for _, end in lessons])),
            "gradient_norm": float(np.linalg.norm(gradient)),
            "learning_rate": rate,
        }

    def score(self) -> float | None:
        """Loss on held-back configurations."""
        return None if self._validation is None else float(self._validation(self._parameters.copy()))

    def state(self) -> Mapping[str, ArrayLike]:
        """Parameters, optimiser, counters and field."""
        return {**super().state(), "links": self.field.to_array()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        if state["links"].shape != self.field.to_array().shape:
            raise ValueError(f"links of shape {state['links'].shape}")
        super().restore(state)
        self.field = _plaq.Gauge.from_array(state["links"])
