"""On-policy training of effective models while the temperature falls; used by `SelfLearningMC.train`."""

import hashlib
import json
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


class Annealing:
    """One training run: every round is a pure function of what the checkpoint holds."""

    def __init__(
        self,
        sampler: "SelfLearningMC",
        state: Array,
        schedule: list[float],
        rounds: int,
        draws: int,
        ridge: float,
        fit: dict[str, Any],
        patience: int | None,
        seed: int,
        checkpoint: str | PathLike[str] | None,
    ) -> None:
        self._sampler, self._schedule, self._rounds, self._draws = sampler, schedule, rounds, draws
        self._ridge, self._fit, self._patience, self._seed = ridge, dict(fit), patience, seed
        self._path = None if checkpoint is None else Path(checkpoint)
        self._state = np.array(state, dtype=np.float64)
        self._spins: Array = np.empty((0, *sampler.model.shape, 3))
        self._log_weights: Array = np.empty(0)
        self._done, self._best, self._stale = 0, -1.0, 0
        self._recorder = Recorder()
        start = hashlib.sha256(self._state.tobytes()).hexdigest()[:16]
        knobs = {"temperatures": schedule, "rounds": rounds, "draws": draws, "ridge": ridge, "patience": patience}
        facts = sampler.fingerprint() | knobs | {"fit": repr(sorted(self._fit.items())), "seed": seed, "start": start}
        self._facts = json.dumps(facts, sort_keys=True)

    def run(self, show: bool) -> History:
        """All rounds that are left."""
        if self._path is not None and self._path.exists():
            self._resume(self._path)
        total = len(self._schedule) * self._rounds
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
        stage, inside = divmod(number, self._rounds)
        temperature = self._schedule[stage]
        if inside == 0:
            self._enter(stage)
        sampler = self._sampler.at(temperature)
        accepted = self._draw(sampler, number)
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
        leave = self._patience is not None and self._stale >= self._patience
        self._done = (stage + 1) * self._rounds if leave else number + 1

    def _enter(self, stage: int) -> None:
        """New temperature: rescale the read-out, forget data of the old weight."""
        self._best, self._stale = -1.0, 0
        self._spins, self._log_weights = self._spins[:0], self._log_weights[:0]
        if stage:
            ratio = self._schedule[stage - 1] / self._schedule[stage]
            self._sampler.effective.couplings = ratio * self._sampler.effective.couplings

    def _draw(self, sampler: "SelfLearningMC", number: int) -> float:
        """Outer steps; the state after each and, if it was rejected, the proposal become data."""
        spins, weights, accepted = [], [], 0
        for k in range(self._draws):
            self._state, report = sampler._outer(self._state, self._seed, number * self._draws + k)
            spins.append(self._state)
            weights.append(report["log_weight"])
            accepted += report["accepted"]
            if not report["accepted"]:
                spins.append(report["proposal"].reshape(self._state.shape))
                weights.append(report["proposed_log_weight"])
        self._spins = np.concatenate([self._spins, spins])
        self._log_weights = np.concatenate([self._log_weights, weights])
        return accepted / self._draws

    def _learn(self, number: int) -> float:
        effective = self._sampler.effective
        effective.fit_couplings(self._spins, self._log_weights, ridge=self._ridge)
        if isinstance(effective, EquivariantAttention) and effective.layers:
            order = np.random.default_rng([self._seed, number]).permutation(len(self._log_weights))
            options = {"rng": (self._seed + number) % 2**64, "progress": False} | self._fit
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
