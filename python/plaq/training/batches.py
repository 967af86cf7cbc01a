"""Mini-batches: their order, what is held out, and the objective that takes them one epoch at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import fraction, whole_number
from plaq.ground.rng import Rng, seed_of
from plaq.training.optimizers import Optimizer

__all__ = ["Descent", "MiniBatches", "batch_seed", "batch_size", "held_back"]

Vector = NDArray[np.float64]

Gradient = Callable[[Vector, NDArray[np.int64]], tuple[float, Vector]]


def batch_size(batch: int | None, n: int) -> int:
    """Samples a step: at most all `n`, which None stands for."""
    return n if batch is None else min(whole_number("batch", batch, 1), n)


def batch_seed(rng: Rng | None, batch: int, n: int) -> int:
    """Seed of the order in which batches are drawn; 0 if each holds all samples, so that nothing is drawn.

    Raises
    ------
    TypeError
        Batches are drawn and no rng is given.
    """
    if batch >= n:
        if rng is not None and not isinstance(rng, np.random.Generator):
            seed_of(rng)
        return 0
    if rng is None:
        raise TypeError(
            f"rng is missing: batches of {batch} of {n} samples are drawn at random; give for example rng=1 (with "
            "batch=None every step takes all samples and needs none)"
        )
    return seed_of(rng)


def held_back(n: int, validation: float) -> int:
    """How many of `n` samples to train with; the last ones, this fraction but at least one, are held out.

    Raises
    ------
    ValueError
        A fraction that is not between 0 and 1, a single sample.
    """
    share = fraction("validation", validation, "other data")
    if n < 2:
        raise ValueError(f"validation = {validation} of {n} sample: give at least two, or other data")
    return n - min(max(1, round(share * n)), n - 1)


class Descent:
    """What trainings by an optimiser share: parameters that change when a unit is complete, and those to fall back on.

    A subclass has :meth:`_unit`, which does one unit with copies and hands them to :meth:`_finish`, and :meth:`score`.
    """

    unit: str
    records_start = False

    def __init__(
        self,
        parameters: ArrayLike,
        rule: Optimizer,
        validation: Callable[[Vector], float] | None,
        keep: Callable[[Vector], None],
    ) -> None:
        self._validation, self._keep = validation, keep
        self._parameters = np.array(parameters, np.float64)
        self._optimizer = rule.start(len(self._parameters))
        self._done, self._row = 0, dict[str, float]()
        self._safe, self._safest, self._diverged = self._parameters, np.inf, False

    @property
    def done(self) -> int:
        """Units done."""
        return self._done

    def begin(self) -> bool:
        """Nothing to prepare."""
        return False

    def advance(self, until: int) -> None:
        """Units up to number `until`; the state changes only when one is complete."""
        while self._done < until:
            before = self._optimizer.state()
            try:
                self._unit()
            except BaseException:
                self._optimizer.restore(*before)
                raise

    def _unit(self) -> None:
        raise NotImplementedError

    def _update(self, parameters: Vector, gradient: Vector) -> None:
        """One step of the optimiser, in place."""
        try:
            self._optimizer.update(parameters, gradient)
        except ValueError:
            self._diverged = True
            raise

    def _finish(self, parameters: Vector, loss: float) -> None:
        """A unit is complete."""
        if loss < self._safest:
            self._safest, self._safe = loss, self._parameters
        self._parameters, self._done = parameters, self._done + 1

    def record(self, score: float | None) -> Mapping[str, Any]:
        """One line of the history, with ``validation`` if it was asked for."""
        return self._row if self._validation is None else self._row | {"validation": score}

    def parameters(self) -> Vector:
        """The present ones; after a loss that was not finite those at the start of the unit with the smallest loss."""
        return (self._safe if self._diverged else self._parameters).copy()

    def keep(self, parameters: Vector) -> None:
        """Hand the parameters over."""
        self._keep(parameters)

    def state(self) -> Mapping[str, ArrayLike]:
        """Parameters, optimiser and counters."""
        step, first, second = self._optimizer.state()
        counters = [self._done, step]
        state: dict[str, ArrayLike] = {"parameters": self._parameters, "counters": counters}
        return state | {"first": first, "second": second, "safe": self._safe, "safest": self._safest}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        if state["parameters"].shape != self._parameters.shape:
            raise ValueError(f"{len(state['parameters'])} parameters, this network has {len(self._parameters)}")
        done, step = (int(count) for count in state["counters"])
        self._optimizer.restore(step, state["first"], state["second"])
        self._parameters, self._done = state["parameters"], done
        self._safe, self._safest = state["safe"], float(state["safest"])


class MiniBatches(Descent):
    """Mean of a loss over samples, minimised by an optimiser; a unit is an epoch, which visits every sample once.

    The best parameters are those with the smallest validation loss; without validation those with the smallest loss, if
    every step takes all samples; else the last ones.
    """

    unit = "epochs"

    def __init__(
        self,
        gradient: Gradient,
        parameters: ArrayLike,
        n: int,
        rule: Optimizer,
        batch: int,
        seed: int,
        validation: Callable[[Vector], float] | None,
        keep: Callable[[Vector], None],
        on_epoch: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(parameters, rule, validation, keep)
        self._on_epoch, self._gradient = on_epoch, gradient
        self._n, self._batch, self._seed = n, batch, seed
        self._known: tuple[float, Vector] | None = None

    def _unit(self) -> None:
        parameters, losses, norms = self._parameters.copy(), [], []
        rate = self._optimizer.learning_rate
        for chosen in self._batches():
            loss, gradient = self._known or self._checked(parameters, chosen)
            self._known = None
            self._update(parameters, gradient)
            losses.append(loss)
            with np.errstate(over="ignore"):
                norms.append(float(np.linalg.norm(gradient)))
        self._finish(parameters, float(np.mean(losses)))
        self._row = {
            "epoch": self._done,
            "step": self._optimizer.step,
            "loss": float(np.mean(losses)),
            "gradient_norm": float(np.mean(norms)),
            "learning_rate": rate,
        }

    def _batches(self) -> list[NDArray[np.int64]]:
        if self._batch >= self._n:
            return [np.arange(self._n)]
        order = np.random.default_rng([self._seed, self._done]).permutation(self._n)
        return [order[start : start + self._batch] for start in range(0, self._n, self._batch)]

    def _checked(self, parameters: Vector, chosen: NDArray[np.int64]) -> tuple[float, Vector]:
        if self._on_epoch is not None:
            self._on_epoch(self._done)
        loss, gradient = self._gradient(parameters, chosen)
        if not np.isfinite(loss):
            self._diverged = True
            raise ValueError(f"the loss is {loss} in epoch {self._done}; lower the learning rate or check the data")
        return loss, gradient

    def score(self) -> float | None:
        """Validation loss, or the loss of all samples where every step takes them."""
        if self._validation is not None:
            return float(self._validation(self._parameters.copy()))
        if self._batch < self._n:
            return None
        self._known = self._checked(self._parameters.copy(), np.arange(self._n))
        return self._known[0]
