"""Training of a machine: what the loop drives; the epochs are in Rust."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import RbmTrainer

Array = NDArray[np.float64]

Layer = tuple[str, Array, Array]


class Trained(Protocol):
    """What a training needs of a machine."""

    _weights: NDArray[Any]

    def _layers(self) -> tuple[Layer, Layer]: ...

    def _take(self, visible_bias: Array, hidden_bias: Array, variance: Array) -> None: ...

    def _observe(self, trainer: RbmTrainer) -> dict[str, Any]: ...

    def _validation_loss(self, rows: NDArray[Any]) -> float: ...


class MachineFit:
    """One training run of a machine; a unit is an epoch."""

    unit = "epochs"
    records_start = True

    def __init__(self, machine: Trained, trainer: RbmTrainer, held: NDArray[Any] | None) -> None:
        self._machine, self._trainer, self._held = machine, trainer, held
        self._first = self._flat(machine._weights, machine._layers())
        self._moved = False

    @staticmethod
    def _flat(weights: NDArray[Any], layers: tuple[Layer, Layer]) -> Array:
        (_, visible_bias, variance), (_, hidden_bias, _) = layers
        return np.concatenate([weights.ravel(), visible_bias, hidden_bias, variance]).astype(np.float64)

    @property
    def done(self) -> int:
        """Epochs done."""
        return self._trainer.epoch

    def begin(self) -> bool:
        """Nothing to prepare."""
        return False

    def advance(self, until: int) -> None:
        """Epochs up to number `until`; after an interruption the trainer is at its last step."""
        self._moved = True
        self._trainer.advance(until - self._trainer.epoch)

    def score(self) -> float | None:
        """Loss of the held-out rows."""
        if self._held is None:
            return None
        self.keep(self.parameters())
        return self._machine._validation_loss(self._held)

    def record(self, score: float | None) -> Mapping[str, Any]:
        """One line of the record, with the loss of the held-out rows if there are any."""
        line = {"epoch": self._trainer.epoch, **self._machine._observe(self._trainer)}
        line |= {} if score is None else {"validation": score}
        return line | {"step_norm": self._trainer.step_norm, "backtracks": self._trainer.backtracks}

    def parameters(self) -> Array:
        """Weights, visible bias, hidden bias and visible variance, one after another."""
        if not self._moved:
            return self._first.copy()
        weights, (visible_bias, hidden_bias, variance) = self._trainer.parameters()
        return self._flat(weights, (("", visible_bias, variance), ("", hidden_bias, variance)))

    def keep(self, parameters: Array) -> None:
        """Set those of the machine."""
        old, (visible, hidden) = self._machine._weights, self._machine._layers()
        ends = np.cumsum([old.size, len(visible[1]), len(hidden[1])])
        weights, *rest = np.split(parameters, ends)
        self._machine._weights = weights.reshape(old.shape).astype(old.dtype)
        self._machine._take(*rest)

    def state(self) -> Mapping[str, ArrayLike]:
        """The state of the trainer."""
        return self._trainer.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        self._trainer.restore(dict(state))
        self._moved = True
