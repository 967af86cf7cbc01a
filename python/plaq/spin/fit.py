"""Training of a spin network on log weights: mini-batches, best parameters, checkpoints; the steps are in Rust."""

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plaq._plaq import SpinSamplesCore
from plaq.checkpoint import replacing
from plaq.optimizers import _Rule
from plaq.progress import Progress
from plaq.spin.configurations import Array
from plaq.spin.effective import predicted_acceptance
from plaq.train import History, Recorder, _whole, training_checkpoint

if TYPE_CHECKING:
    from plaq.spin.attention import EquivariantAttention

Data = tuple[Array, Array]


def hold_out(rows: Array, targets: Array, fraction: float) -> tuple[Data, Data]:
    """Data to train with and to validate: the last distinct configurations are held out with all their repetitions."""
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise ValueError(f"validation = {fraction}: give a fraction between 0 and 1, or (spins, log_weight)")
    first: dict[bytes, int] = {}
    names = np.array([first.setdefault(row.tobytes(), len(first)) for row in rows])
    if len(first) < 3:
        raise ValueError(
            f"{len(rows)} configurations, {len(first)} of them distinct: too few to hold some out; give more, or "
            "validation=(spins, log_weight)"
        )
    held = names >= len(first) - max(1, round(fraction * len(first)))
    return (rows[~held], targets[~held]), (rows[held], targets[held])


class NetworkFit:
    """One training run of a network: parameters, optimiser, best parameters so far, records."""

    def __init__(
        self,
        network: "EquivariantAttention",
        rule: _Rule,
        data: tuple[Array, Array],
        held: tuple[Array, Array],
        seed: int,
        batch: int,
        checkpoint: str | PathLike[str] | None,
    ) -> None:
        if not isinstance(rule, _Rule):
            raise TypeError(f"optimizer is SGD, Adam or AdamW of plaq.optimizers, as in AdamW(5e-3); got {rule!r}")
        if len(data[1]) < 2 or len(held[1]) < 1:
            raise ValueError(f"{len(data[1])} configurations to train with, {len(held[1])} to validate: give more")
        self._network, self._data, self._held = network, data, held
        self._seed, self._batch = seed, batch
        self._path = None if checkpoint is None else Path(checkpoint)
        self._samples = SpinSamplesCore(network.shape, *data)
        self._validation = SpinSamplesCore(network.shape, *held)
        self._optimizer = rule.start(network.n_parameters)
        self._best, self._best_parameters, self._stale = np.inf, network.parameters.copy(), 0
        self._recorder = Recorder()
        digest = hashlib.sha256(b"".join(array.tobytes() for array in (*data, *held))).hexdigest()
        facts = {"rule": repr(rule), "seed": seed, "batch": batch, "data": digest, "shape": list(network.shape)}
        self._facts = json.dumps(facts | network.architecture(), sort_keys=True)

    def _start(self) -> None:
        """Couplings and constant from the data: a wrong constant would drown everything else in the mean square."""
        rows, targets = self._data
        spins = rows.reshape(-1, *self._network.shape, 3)
        if not self._network.couplings.any():
            self._network.fit_couplings(spins, targets)
        else:
            self._network.constant += float(np.mean(targets - self._network.log_weight(spins)))

    def _error(self) -> float:
        return float(np.var(self._validation.residuals(self._network._core)))

    def run(self, steps: int, every: int, patience: int | None, show: bool) -> History:
        """Trains to step `steps`; the network ends with the best parameters, also after Ctrl-C."""
        if patience is not None:
            _whole("patience", patience, 1)
        if self._path is not None and self._path.exists():
            self._resume(self._path)
        else:
            self._start()
            self._best_parameters = self._network.parameters.copy()
            if self._path is not None:
                self._save(self._path)
        progress = Progress(steps, "training", lambda: f"validation {self._best:.4g}", enabled=show)
        try:
            while self._optimizer.step < steps and not (patience is not None and self._stale >= patience):
                self._advance(min(steps, self._optimizer.step + every))
                progress.update(self._optimizer.step)
                if self._path is not None:
                    self._save(self._path)
        finally:
            progress.close(self._optimizer.step)
            self._network.parameters = self._best_parameters
        return self._recorder.history()

    def _advance(self, until: int) -> None:
        core, optimizer = self._network._core, self._optimizer
        losses = self._samples.train(core, optimizer, until, self._batch, self._seed)
        self._network.parameters = core.parameters
        error = self._error()
        if error < self._best:
            self._best, self._best_parameters, self._stale = error, self._network.parameters.copy(), 0
        else:
            self._stale += 1
        self._recorder.add(
            epoch=until * self._batch / len(self._data[1]),
            step=until,
            loss=float(np.mean(losses)),
            validation=error,
            acceptance=predicted_acceptance(error),
            learning_rate=optimizer.learning_rate,
        )

    def refit(self) -> None:
        """Least squares for the read-out, kept if it helps."""
        before, error = self._network.parameters, self._error()
        rows, targets = self._data
        self._network.fit_couplings(rows.reshape(-1, *self._network.shape, 3), targets)
        if self._error() > error:
            self._network.parameters = before

    def _save(self, path: Path) -> None:
        step, first, second = self._optimizer.state()
        columns = {f"record_{name}": values for name, values in self._recorder.history().items()}
        with replacing(path) as file:
            np.savez(
                file,
                facts=np.array(self._facts),
                parameters=self._network.parameters,
                best_parameters=self._best_parameters,
                best=np.array([self._best, self._stale]),
                step=np.array(step),
                first=first,
                second=second,
                **columns,  # type: ignore[arg-type]
            )

    def _resume(self, path: Path) -> None:
        stored = training_checkpoint(path, self._facts, self._recorder)
        self._network.parameters = stored["parameters"]
        self._best_parameters = stored["best_parameters"]
        self._best, self._stale = float(stored["best"][0]), int(stored["best"][1])
        self._optimizer.restore(int(stored["step"]), stored["first"], stored["second"])
