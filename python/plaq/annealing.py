"""On-policy training of effective models while the temperature falls; used by `SelfLearningMC.train`."""

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaq.checkpoint import replacing
from plaq.progress import Progress
from plaq.spin import EquivariantAttention, predicted_acceptance
from plaq.train import History, Recorder, training_checkpoint

if TYPE_CHECKING:
    from plaq.self_learning_mc import SelfLearningMC

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


class Annealing:
    """One training run: every round is a pure function of what the checkpoint holds."""

    def __init__(
        self, sampler: "SelfLearningMC", state: Array, plan: Plan, checkpoint: str | PathLike[str] | None
    ) -> None:
        self._sampler, self._plan = sampler, plan
        self._path = None if checkpoint is None else Path(checkpoint)
        self._state = np.array(state, dtype=np.float64)
        self._spins: Array = np.empty((0, *sampler.model.shape, 3))
        self._log_weights: Array = np.empty(0)
        self._done, self._best, self._stale = 0, -1.0, 0
        self._recorder = Recorder()
        start = hashlib.sha256(self._state.tobytes()).hexdigest()[:16]
        facts = sampler.fingerprint() | asdict(plan) | {"fit": repr(sorted(plan.fit.items())), "start": start}
        facts["effective"] = {name: value for name, value in facts["effective"].items() if name != "parameters"}
        self._facts = json.dumps(facts, sort_keys=True)

    def run(self, show: bool) -> History:
        """All rounds that are left."""
        if self._path is not None and self._path.exists():
            self._resume(self._path)
        elif self._path is not None:
            self._save(self._path)
        total = len(self._plan.temperatures) * self._plan.rounds
        progress = Progress(total, "rounds", lambda: f"acceptance {self._best:.3f}", enabled=show)
        try:
            while self._done < total:
                self._round(self._done)
                progress.update(self._done)
                if self._path is not None:
                    self._save(self._path)
        finally:
            progress.close(self._done)
        self._sampler.samples = (self._spins, self._log_weights)
        return self._recorder.history()

    def _round(self, number: int) -> None:
        stage, inside = divmod(number, self._plan.rounds)
        temperature = self._plan.temperatures[stage]
        if inside == 0:
            self._enter(stage)
        sampler = self._sampler.at(temperature)
        accepted, spread = self._draw(sampler, number)
        mse = self._learn(number)
        self._recorder.add(
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
            stacklevel=5,
        )

    def _draw(self, sampler: "SelfLearningMC", number: int) -> tuple[float, float]:
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
            effective.fit(self._spins[order], self._log_weights[order], **options)
        return effective.mean_square_error(self._spins, self._log_weights)

    def _save(self, path: Path) -> None:
        columns = {f"record_{name}": values for name, values in self._recorder.history().items()}
        with replacing(path) as file:
            np.savez(
                file,
                facts=np.array(self._facts),
                parameters=self._sampler.effective.parameters,
                state=self._state,
                spins=self._spins,
                log_weights=self._log_weights,
                counters=np.array([self._done, self._stale]),
                best=np.array(self._best),
                **columns,  # type: ignore[arg-type]
            )

    def _resume(self, path: Path) -> None:
        stored = training_checkpoint(path, self._facts, self._recorder)
        self._sampler.effective.parameters = stored["parameters"]
        self._state, self._spins, self._log_weights = stored["state"], stored["spins"], stored["log_weights"]
        self._done, self._stale = (int(n) for n in stored["counters"])
        self._best = float(stored["best"])
