"""Training of a spin network on log weights: what the loop drives; the steps are in Rust."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import SpinSamplesCore
from plaq.fields.spins import Array
from plaq.spin.effective import Effective
from plaq.spin.regression import Data, predicted_acceptance
from plaq.training.optimizers import Optimizer


class NetworkFit:
    """One training run of a network; a unit is a step of the optimiser."""

    unit = "steps"
    records_start = False

    def __init__(self, network: Effective, rule: Optimizer, data: Data, held: Data, batch: int, seed: int) -> None:
        if len(data[1]) < 2 or len(held[1]) < 2:
            raise ValueError(
                f"{len(data[1])} configurations to train with, {len(held[1])} to validate: both need at least two, "
                "since errors are variances"
            )
        self._network, self._data, self._held = network, data, held
        self._seed, self._batch = seed, min(batch, len(data[1]))
        self._samples = SpinSamplesCore(network.shape, *data)
        self._validation = SpinSamplesCore(network.shape, *held)
        self._optimizer = rule.start(network.n_parameters)
        self._losses: list[float] = []
        digest = hashlib.sha256(b"".join(array.tobytes() for array in (*data, *held))).hexdigest()
        own = {"rule": repr(rule), "seed": seed, "batch": batch, "data": digest, "shape": list(network.shape)}
        self.facts = own | network.architecture()

    @property
    def done(self) -> int:
        """Steps done."""
        return self._optimizer.step

    def begin(self) -> bool:
        """Couplings and constant from the data: a wrong constant would drown everything else in the mean square."""
        rows, targets = self._data
        spins = rows.reshape(-1, *self._network.shape, 3)
        if not self._network.couplings.any():
            self._network.fit_couplings(spins, targets)
        else:
            self._network.constant += float(np.mean(targets - self._network.log_weight(spins)))
        return True

    def advance(self, until: int) -> None:
        """Steps up to number `until`, all of them or none."""
        core, optimizer = self._network._core, self._optimizer
        before, state = core.parameters.copy(), optimizer.state()
        try:
            losses = self._samples.train(core, optimizer, until, self._batch, self._seed)
        except BaseException:
            self._network.parameters = before
            optimizer.restore(*state)
            raise
        self._network.parameters = core.parameters
        self._losses.extend(losses)

    def score(self) -> float:
        """Variance of the residuals of the held-out configurations."""
        return float(np.var(self._validation.residuals(self._network._core)))

    def record(self, score: float | None) -> Mapping[str, Any]:
        """``epoch, step, loss`` (mean since the last record), ``validation, acceptance, learning_rate``."""
        row = {
            "epoch": self.done * self._batch / len(self._data[1]),
            "step": self.done,
            "loss": float(np.mean(self._losses)),
            "validation": score,
            "acceptance": predicted_acceptance(score if score is not None else np.inf),
            "learning_rate": self._optimizer.learning_rate,
        }
        self._losses = []
        return row

    def parameters(self) -> Array:
        """Those of the network."""
        return self._network.parameters.copy()

    def keep(self, parameters: Array) -> None:
        """Set those of the network."""
        self._network.parameters = parameters

    def refit(self) -> None:
        """Least squares for the read-out, kept if it helps."""
        before, error = self._network.parameters, self.score()
        rows, targets = self._data
        self._network.fit_couplings(rows.reshape(-1, *self._network.shape, 3), targets)
        if self.score() > error:
            self._network.parameters = before

    def state(self) -> Mapping[str, ArrayLike]:
        """Parameters, optimiser, losses since the last record."""
        step, first, second = self._optimizer.state()
        state: dict[str, ArrayLike] = {"parameters": self._network.parameters, "step": step, "losses": self._losses}
        return state | {"first": first, "second": second}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        self._network.parameters = state["parameters"]
        self._optimizer.restore(int(state["step"]), state["first"], state["second"])
        self._losses = state["losses"].tolist()
