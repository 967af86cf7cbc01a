"""On-policy training of effective models while the temperature falls; used by `SelfLearningMC.train`."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.names import outside
from plaq.spin.attention import EquivariantAttention
from plaq.spin.effective import LinearSpinModel, predicted_acceptance
from plaq.spin.fermions import SpinFermion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Settings of one training run."""

    temperatures: list[float]
    rounds: int
    draws: int
    ridge: float
    fit: dict[str, Any]
    patience: int | None
    seed: int


class OuterChain(Protocol):
    """What an annealing needs of a self-learning chain."""

    samples: tuple[Array, Array] | None

    @property
    def model(self) -> SpinFermion:
        """The exact model."""

    @property
    def effective(self) -> LinearSpinModel | EquivariantAttention:
        """The effective model, trained in place."""

    def at(self, T: float) -> "OuterChain":
        """The same at another temperature of the exact model."""

    def fingerprint(self) -> dict[str, Any]:
        """Physics input, architecture and a hash of the parameters."""

    def _outer(self, state: Array, seed: int, sweep: int) -> tuple[Array, dict[str, Any]]: ...


class Annealing:
    """One training run: every round, the unit, is a pure function of what the checkpoint holds."""

    unit = "rounds"
    records_start = False

    def __init__(self, sampler: OuterChain, state: Array, plan: Plan) -> None:
        self._sampler, self._plan = sampler, plan
        self._state = np.array(state, dtype=np.float64)
        self._spins: Array = np.empty((0, *sampler.model.shape, 3))
        self._log_weights: Array = np.empty(0)
        self._done, self._best, self._stale = 0, -1.0, 0
        self._row: dict[str, Any] = {}
        start = hashlib.sha256(self._state.tobytes()).hexdigest()[:16]
        facts = sampler.fingerprint() | asdict(plan) | {"fit": repr(sorted(plan.fit.items())), "start": start}
        facts["effective"] = {name: value for name, value in facts["effective"].items() if name != "parameters"}
        self.facts = facts

    @property
    def done(self) -> int:
        """Rounds done or left out."""
        return self._done

    @property
    def total(self) -> int:
        """Rounds of the plan."""
        return len(self._plan.temperatures) * self._plan.rounds

    def begin(self) -> bool:
        """Nothing to prepare."""
        return False

    def advance(self, until: int) -> None:
        """Rounds up to number `until`; one that fails or is interrupted leaves everything as it was before."""
        while self._done < until:
            before = {name: np.array(values) for name, values in self.state().items()}
            try:
                self._round(self._done)
            except BaseException:
                self.restore(before)
                raise

    def score(self) -> float | None:
        """The last model is kept: those before were made for other temperatures or with fewer data."""
        return None

    def record(self, score: float | None) -> Mapping[str, Any]:
        """``epoch, temperature, acceptance, mse, predicted, samples`` of the last round."""
        return self._row

    def parameters(self) -> Array:
        """Those of the effective model."""
        return self._sampler.effective.parameters.copy()

    def keep(self, parameters: Array) -> None:
        """Set those of the effective model, and hand over the data."""
        self._sampler.effective.parameters = parameters
        self._sampler.samples = (self._spins, self._log_weights)

    def _round(self, number: int) -> None:
        stage, inside = divmod(number, self._plan.rounds)
        temperature = self._plan.temperatures[stage]
        if inside == 0:
            self._enter(stage)
        sampler = self._sampler.at(temperature)
        accepted, spread = self._draw(sampler, number)
        mse = self._learn(number)
        self._row = dict(
            epoch=number,
            temperature=temperature,
            acceptance=accepted,
            mse=mse,
            predicted=predicted_acceptance(mse),
            samples=len(self._log_weights),
        )
        self._stale = 0 if accepted > self._best else self._stale + 1
        self._best = max(self._best, accepted)
        leave = self._plan.patience is not None and self._stale >= self._plan.patience
        self._done = (stage + 1) * self._plan.rounds if leave else number + 1
        if not accepted and self._done % self._plan.rounds == 0:
            self._report_frozen(temperature, spread, mse)

    def _enter(self, stage: int) -> None:
        """New temperature: rescale the read-out, forget data of the old weight."""
        self._best, self._stale = -1.0, 0
        self._spins, self._log_weights = self._spins[:0], self._log_weights[:0]
        if stage:
            ratio = self._plan.temperatures[stage - 1] / self._plan.temperatures[stage]
            self._sampler.effective.couplings = ratio * self._sampler.effective.couplings

    def _report_frozen(self, temperature: float, spread: float, mse: float) -> None:
        warnings.warn(
            f"training at T = {temperature:g}: the chain is frozen, none of the {self._plan.draws} proposals of the "
            f"last round was accepted. Their residuals of log W have variance {spread:.3g}, which predicts an "
            f"acceptance of {predicted_acceptance(spread):.2g} in equilibrium; the fit that followed predicts "
            f"{predicted_acceptance(mse):.2g}. If that is fair, start from spins of SpinMetropolis; else add "
            "temperatures, rounds, shells or blocks",
            RuntimeWarning,
            stacklevel=outside(),
        )

    def _draw(self, sampler: OuterChain, number: int) -> tuple[float, float]:
        """Outer steps; the state after each and, if it was rejected, the proposal become data.

        Returns the acceptance and the variance of the residuals of the proposals.
        """
        spins, weights, residuals, accepted = [], [], [], 0
        for k in range(self._plan.draws):
            self._state, report = sampler._outer(self._state, self._plan.seed, number * self._plan.draws + k)
            spins.append(self._state)
            weights.append(report["log_weight"])
            residuals.append(report["proposed_residual"])
            accepted += report["accepted"]
            if not report["accepted"]:
                spins.append(report["proposal"].reshape(self._state.shape))
                weights.append(report["proposed_log_weight"])
        self._spins = np.concatenate([self._spins, spins])
        self._log_weights = np.concatenate([self._log_weights, weights])
        return accepted / self._plan.draws, float(np.var(residuals))

    def _learn(self, number: int) -> float:
        effective = self._sampler.effective
        effective.fit_couplings(self._spins, self._log_weights, ridge=self._plan.ridge)
        if isinstance(effective, EquivariantAttention) and effective.layers:
            order = np.random.default_rng([self._plan.seed, number]).permutation(len(self._log_weights))
            options = {"rng": (self._plan.seed + number) % 2**64, "progress": False} | self._plan.fit
            if effective.fit(self._spins[order], self._log_weights[order], **options).interrupted:
                raise KeyboardInterrupt
        return effective.mean_square_error(self._spins, self._log_weights)

    def state(self) -> Mapping[str, ArrayLike]:
        """Model, chain, data and counters."""
        return {
            "parameters": self._sampler.effective.parameters,
            "chain": self._state,
            "spins": self._spins,
            "log_weights": self._log_weights,
            "counters": [self._done, self._stale],
            "best": self._best,
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        self._sampler.effective.parameters = state["parameters"]
        self._state, self._spins, self._log_weights = state["chain"], state["spins"], state["log_weights"]
        self._done, self._stale = (int(n) for n in state["counters"])
        self._best = float(state["best"])
