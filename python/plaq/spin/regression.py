"""Regression of log weights: what is held out, the acceptance that an error predicts, least squares as a training."""

from __future__ import annotations

from collections.abc import Mapping
from math import erfc
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.fields.spins import Array
from plaq.ground.arguments import fraction, real

__all__ = ["LeastSquares", "held_pair", "hold_out", "predicted_acceptance"]

Data = tuple[Array, Array]


def predicted_acceptance(mean_square_error: ArrayLike) -> Any:
    """``erfc(sqrt(MSE) / 2)``: acceptance of independent proposals with Gaussian residuals of log W.

    MSE is that of ``log W_eff - log W`` up to a constant. For small errors it is ``1 - sqrt(MSE / pi)``.

    Examples
    --------
    >>> round(predicted_acceptance(0.231), 3)
    0.734
    """
    values = np.vectorize(lambda mse: erfc(np.sqrt(mse) / 2))(real("mean_square_error", mean_square_error))
    return values if values.ndim else float(values)


def held_pair(validation: tuple[Any, ...]) -> tuple[Any, Any]:
    """Spins and log weights of a pair to validate with."""
    if len(validation) != 2:
        raise ValueError(f"validation has {len(validation)} entries; give a fraction or a pair (spins, log_weight)")
    return validation[0], validation[1]


def hold_out(rows: Array, targets: Array, validation: float) -> tuple[Data, Data]:
    """Data to train with and to validate: the last distinct configurations are held out with all their repetitions.

    At least two are, since the variance of one residual is nothing.
    """
    share = fraction("validation", validation, "(spins, log_weight)")
    first: dict[bytes, int] = {}
    names = np.array([first.setdefault(row.tobytes(), len(first)) for row in rows])
    if len(first) < 4:
        raise ValueError(
            f"{len(rows)} configurations, {len(first)} of them distinct: too few to hold some out; give more, or "
            "validation=(spins, log_weight)"
        )
    held = names >= len(first) - min(max(2, round(share * len(first))), len(first) - 2)
    return (rows[~held], targets[~held]), (rows[held], targets[held])


class ReadOut(Protocol):
    """A model whose couplings least squares finds."""

    @property
    def parameters(self) -> Array:
        """All parameters."""

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None: ...

    def fit_couplings(self, spins: ArrayLike, log_weight: ArrayLike, *, ridge: float = 0.0) -> Any:
        """Least squares."""

    def mean_square_error(self, spins: ArrayLike, log_weight: ArrayLike) -> float:
        """Variance of the residuals."""


class LeastSquares:
    """Linear regression as a training of one step."""

    unit = "steps"
    records_start = True

    def __init__(self, model: ReadOut, data: Data, held: Data | None, ridge: float) -> None:
        self._model, self._data, self._held, self._ridge, self._step = model, data, held, ridge, 0

    @property
    def done(self) -> int:
        """Steps done, 0 or 1."""
        return self._step

    def begin(self) -> bool:
        """Nothing to prepare."""
        return False

    def advance(self, until: int) -> None:
        """The regression."""
        self._model.fit_couplings(*self._data, ridge=self._ridge)
        self._step = until

    def score(self) -> float | None:
        """Error of the held-out configurations."""
        return None if self._held is None else self._model.mean_square_error(*self._held)

    def record(self, score: float | None) -> Mapping[str, Any]:
        """``step``, ``loss``, ``validation`` if asked for, ``acceptance``."""
        loss = self._model.mean_square_error(*self._data)
        row = {"step": self._step, "loss": loss} | ({} if score is None else {"validation": score})
        return row | {"acceptance": predicted_acceptance(loss if score is None else score)}

    def parameters(self) -> Array:
        """Those of the model."""
        return self._model.parameters.copy()

    def keep(self, parameters: Array) -> None:
        """Set those of the model."""
        self._model.parameters = parameters

    def state(self) -> Mapping[str, ArrayLike]:
        """One step has nothing to go on from."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """One step has nothing to go on from."""
