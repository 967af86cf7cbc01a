"""What all machines share: argument checks, the training loop, resume, files."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq._plaq import CheckpointError, FormatError, RbmTrainer, rbm_sample, require_memory
from plaq.ground.archive import unpacked, verified, write_arrays
from plaq.ground.arguments import aligned, real, whole_number
from plaq.ground.arguments import number as finite_number
from plaq.ground.files import damaged, read_content
from plaq.ground.html import number_table
from plaq.ground.names import Explained
from plaq.ground.rng import Rng, seed_of
from plaq.rbm.fit import Layer, MachineFit
from plaq.training.batches import held_back
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize
from plaq.training.optimizers import Constant, plain_schedule

Array = NDArray[np.float64]
M = TypeVar("M", bound="Machine")
RECORDS = 100
SMALL = 64
RANDOM = ("cd", "pcd")
"""Methods that draw random numbers."""
IMAGE = 2


class StabilityWarning(UserWarning):
    """The learning rate is past the bound at which gradient ascent is stable."""


def checked_number(name: str, value: Any, low: float, high: float = math.inf, *, closed: bool = False) -> float:
    """A finite number above `low` (or equal to it) and below `high`."""
    number = finite_number(name, value)
    if not ((number >= low if closed else number > low) and number < high):
        sign = "at least" if closed else "greater than"
        above = "" if high == math.inf else f" and below {high}"
        raise ValueError(f"{name} = {value}: it must be {sign} {low}{above}")
    return number


def checked_biases(name: str, values: ArrayLike, size: int) -> Array:
    """Finite numbers, one a unit."""
    biases = real(name, values)
    if biases.shape != (size,):
        raise ValueError(f"{name} has shape {biases.shape}; it must be ({size},)")
    if not np.all(np.isfinite(biases)):
        raise ValueError(f"{name} has entries that are NaN or infinite; set finite numbers")
    return biases


def checked_kernel(matrix: ArrayLike, name: str, size: int | None, *, semidefinite: bool = False) -> Array:
    """A symmetric positive matrix."""
    values = real(name, matrix)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or (size is not None and len(values) != size):
        wanted = "square" if size is None else f"({size}, {size})"
        raise ValueError(f"{name} has shape {values.shape}; it must be {wanted}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} has entries that are NaN or infinite; remove them first")
    scale = float(np.abs(values).max())
    asymmetry = float(np.abs(values - values.T).max())
    if asymmetry > 1e-10 * scale:
        raise ValueError(f"{name} is not symmetric (largest difference {asymmetry:.3g}); give (A + A.T)/2")
    symmetric: Array = np.ascontiguousarray(0.5 * (values + values.T))
    lowest, highest = np.linalg.eigvalsh(symmetric)[[0, -1]]
    if lowest < -1e-10 * highest or highest <= 0 or (not semidefinite and lowest <= 1e-14 * highest):
        kind = "positive semidefinite" if semidefinite else "positive definite"
        hint = (
            ""
            if semidefinite
            else "; a singular target has no kernel, but fit takes its second moments as correlation="
        )
        raise ValueError(f"{name} is not {kind}: its eigenvalues run from {lowest:.3g} to {highest:.3g}{hint}")
    return symmetric


class Machine(ABC, metaclass=Explained):
    """Base of all machines: p(v, h) ~ exp(v^T W h) times the laws of the single units."""

    _method_names: tuple[str, ...] = ("cd", "pcd")

    def __init__(
        self, n_visible: int, n_hidden: int, *, weight_scale: float, dtype: DTypeLike, rng: Rng | None
    ) -> None:
        self.n_visible = whole_number("n_visible", n_visible)
        if n_hidden == 0:
            raise ValueError("n_hidden = 0 leaves independent visible units and nothing to train; give at least 1")
        self.n_hidden = whole_number("n_hidden", n_hidden)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f'dtype = {dtype!r}: weights are "float64" or "float32"')
        if rng is None:
            raise TypeError("rng is needed for the first weights: give an int, a numpy Generator or a SeedSequence")
        scale = checked_number("weight_scale", weight_scale, 0.0, closed=True)
        n = self.n_visible * self.n_hidden
        require_memory(f"a machine of {self.n_visible} x {self.n_hidden} units", n * (8 + self.dtype.itemsize))
        random = np.random.Generator(np.random.Philox(key=seed_of(rng)))
        self._weights = (scale * random.standard_normal((self.n_visible, self.n_hidden))).astype(self.dtype)
        self._trainer: RbmTrainer | None = None
        self._run: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {name: aligned(each, each.dtype) for name, each in state.items() if isinstance(each, np.ndarray)}
        self.__dict__.update(state | arrays)

    @abstractmethod
    def _layers(self) -> tuple[Layer, Layer]:
        """Visible and hidden units: kind, bias, variance."""

    @abstractmethod
    def _take(self, visible_bias: Array, hidden_bias: Array, variance: Array) -> None:
        """Store what training changed besides the weights."""

    @abstractmethod
    def _facts(self) -> dict[str, Any]:
        """Constructor arguments, for files and fingerprints."""

    @abstractmethod
    def _observe(self, trainer: RbmTrainer) -> dict[str, Any]:
        """One line of the record."""

    def _repr_html_(self) -> str:
        (_, visible, _), (_, hidden, _) = self._layers()
        biases = {"bias of the visible units": visible, "bias of the hidden units": hidden}
        return number_table(repr(self), {"weights": self._weights} | biases)

    @property
    def weights(self) -> NDArray[Any]:
        """Weights, shape (n_visible, n_hidden); assign an array of this shape (of a machine) to set them."""
        return self._weights

    @weights.setter
    def weights(self, values: ArrayLike) -> None:
        array = np.array(real("weights", values), dtype=self.dtype, order="C")
        if array.shape != (self.n_visible, self.n_hidden):
            raise ValueError(f"weights of shape {array.shape}; they must be ({self.n_visible}, {self.n_hidden})")
        if not np.all(np.isfinite(array)):
            raise ValueError("weights have entries that are NaN or infinite")
        before, self._weights = self._weights, array
        try:
            self._check_weights()
        except ValueError:
            self._weights = before
            raise

    def _check_weights(self) -> None:
        """Refuse weights that make no machine."""

    @property
    def chains(self) -> NDArray[Any]:
        """Visible state of the persistent chains of the last training, shape (chains, n_visible)."""
        if self._trainer is None:
            raise ValueError('no training was done; chains belong to fit(..., method="pcd")')
        rows: NDArray[Any] = self._trainer.chains()
        return rows

    def _range(self) -> tuple[float, float]:
        """Lowest and highest value of a visible unit."""
        return -math.inf, math.inf

    def _checked_rows(self, data: ArrayLike, name: str) -> NDArray[Any]:
        low, high = self._range()
        try:
            values = np.asarray(data)
        except ValueError:
            raise TypeError(f"{name} holds rows of different lengths; it must be (n, {self.n_visible})") from None
        if values.dtype.kind not in "biuf":
            raise TypeError(f"{name} holds {values.dtype}; it must hold real numbers")
        if values.ndim > 2 and math.prod(values.shape[1:]) == self.n_visible:
            values = values.reshape(len(values), self.n_visible)
        if values.ndim != 2 or values.shape[1] != self.n_visible or not len(values):
            raise ValueError(f"{name} has shape {values.shape}; it must be (n, {self.n_visible}) with n at least 1")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name} has entries that are NaN or infinite; remove them first")
        least, most = values.min(), values.max()
        if values.dtype.kind in "iu" and most > 1 and least >= 0:
            raise ValueError(f"{name} holds integers from {least} to {most}, as images do: scale them, {name} / {most}")
        if (
            name == "data"
            and high == math.inf
            and least == 0
            and most > IMAGE
            and len(values) > 1
            and np.all(values == np.round(values))
        ):
            raise ValueError(
                f"data holds whole numbers from {least} to {most}, as images do: scale them, data / {most}"
            )
        if least < low or most > high:
            raise ValueError(f"{name} runs from {least} to {most}; these units need values from {low} to {high}")
        return aligned(values, self.dtype)

    def _validation_loss(self, rows: NDArray[Any]) -> float:
        """What is smallest for the best machine on held-out rows: minus their mean log-likelihood, in nats."""
        raise NotImplementedError

    def _options(self, method: str, options: dict[str, Any], rng: Rng | None) -> dict[str, Any]:
        if method not in self._method_names:
            known = ", ".join(f'"{name}"' for name in self._method_names)
            raise ValueError(f'method = "{method}" is not known here; use one of {known}')
        checked = dict(options, method=method)
        for name in ("k", "chains", "batch", "decay_every"):
            checked[name] = whole_number(name, options[name])
        checked["learning_rate"] = checked_number("learning_rate", options["learning_rate"], 0.0)
        checked["momentum"] = checked_number("momentum", options["momentum"], 0.0, 1.0, closed=True)
        checked["weight_decay"] = checked_number("weight_decay", options["weight_decay"], 0.0, closed=True)
        checked["decay"] = checked_number("decay", options["decay"], 0.0, 1.0 + 1e-15)
        checked["schedule"] = list(plain_schedule(options["schedule"] or Constant()))
        if options["schedule"] is not None and checked["decay"] != 1.0:
            raise ValueError(f"decay = {options['decay']} and a schedule are two schedules; give one of them")
        checked["seed"] = self._seed(method, rng)
        return checked

    def _seed(self, method: str, rng: Rng | None) -> int:
        """Seed of minibatches and chains; 0 where none are drawn."""
        if method in RANDOM:
            if rng is None:
                raise TypeError(
                    f'rng is needed: method="{method}" draws minibatches and Gibbs steps at random; give an int, a '
                    "numpy Generator or a SeedSequence"
                )
            return seed_of(rng)
        if rng is not None and not isinstance(rng, np.random.Generator):
            seed_of(rng)
        return 0

    def _split(self, data: ArrayLike, validation: float | ArrayLike | None) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Checked rows to train with and rows that are held out: others, or a fraction of the last ones."""
        rows = self._checked_rows(data, "data")
        if validation is None:
            return rows, None
        if isinstance(validation, float | int):
            cut = held_back(len(rows), validation)
            return rows[:cut], rows[cut:]
        return rows, self._checked_rows(validation, "validation")

    def _fit(
        self,
        target: dict[str, Any],
        options: dict[str, Any],
        *,
        method: str,
        chains: int | ArrayLike | None,
        held: NDArray[Any] | None,
        epochs: int,
        record_every: int | None,
        patience: int | None,
        checkpoint: str | PathLike[str] | None,
        progress: bool,
        resume: bool,
        rng: Rng | None,
    ) -> History:
        """Train on a checked target with unchecked options; `chains` is a number, or first configurations for PCD."""
        whole_number("epochs", epochs, 0)
        if patience is not None and held is None:
            raise ValueError(f"patience = {patience} counts records without a better validation; give validation too")
        if resume and checkpoint is not None:
            raise ValueError("resume=True goes on with this machine, a checkpoint with its file; give one of them")
        checkpoint_path(checkpoint)
        start = self._first_chains(method, options["batch"] if chains is None else chains)
        options["chains"] = 1 if start is None else len(start)
        if resume:
            given = self._options(method, options, 0 if rng is None else rng)
            if rng is None or isinstance(rng, np.random.Generator):
                del given["seed"]
            self._go_on(target, given)
        else:
            checked = self._options(method, options, rng)
            self._before(target, checked)
            self._trainer = self._new_trainer(target, start, checked)
            self._run = {"options": checked, "target": _digest(target)}
        facts = self._run["options"] | {"target": self._run["target"], "class": type(self).__name__}
        facts |= {name: value for name, value in self._facts().items() if name not in ("eta", "mu2")}
        facts |= {"start": _digest({"chains": start}), "validation": _digest({"rows": held})}
        return self._loop(epochs, record_every, held, patience, checkpoint, progress, facts)

    def _new_trainer(self, target: dict[str, Any], start: NDArray[Any] | None, options: dict[str, Any]) -> RbmTrainer:
        name, numbers = options["schedule"]
        return RbmTrainer(self._weights, *self._layers(), target, start, options | {"schedule": (name, numbers)})

    def _first_chains(self, method: str, wanted: int | ArrayLike) -> NDArray[Any] | None:
        if method != "pcd":
            return None
        if isinstance(wanted, int | np.integer):
            count = whole_number("chains", wanted)
            require_memory(f"{count} chains of {self.n_visible} units", count * self.n_visible * self.dtype.itemsize)
            return np.ones((count, self.n_visible), dtype=self.dtype)
        return self._checked_rows(np.asarray(wanted), "chains")

    def _before(self, target: dict[str, Any], options: dict[str, Any]) -> None:
        """Refuse or warn before a training begins; nothing to say by default."""
        return

    def _go_on(self, target: dict[str, Any], given: dict[str, Any]) -> None:
        """The trainer of the first part, if this is its machine, target and settings."""
        if self._trainer is None and "state" in self._run:
            options = self._run["options"]
            start = self._run["state"]["chains"].reshape(-1, self.n_visible)
            trainer = self._new_trainer(target, start if start.size else None, options)
            trainer.restore(self._run["state"])
            self._trainer = trainer
        if self._trainer is None:
            raise CheckpointError("nothing to resume: this machine was not trained; call fit without resume=True")
        if not np.array_equal(self._run["kept"], self._weights):
            raise CheckpointError("the weights were changed since the last training; call fit without resume=True")
        if _digest(target) != self._run["target"]:
            raise CheckpointError("resume=True needs the target (data, correlation or kernel) of the first part")
        old = self._run["options"]
        wrong = [f"{name} = {value!r}, was {old[name]!r}" for name, value in given.items() if old[name] != value]
        if wrong:
            raise CheckpointError("resume=True goes on with the settings of the first part: " + "; ".join(wrong))

    def _loop(
        self,
        epochs: int,
        record_every: int | None,
        held: NDArray[Any] | None,
        patience: int | None,
        checkpoint: str | PathLike[str] | None,
        progress: bool,
        facts: dict[str, Any],
    ) -> History:
        trainer = self._trainer
        assert trainer is not None
        left = max(epochs - trainer.epoch, 0)
        every = (1 if self.n_visible <= SMALL else max(1, left // RECORDS)) if record_every is None else record_every
        whole_number("record_every", every)
        try:
            _, history = minimize(
                MachineFit(self, trainer, held),
                epochs=epochs,
                every=every,
                patience=patience,
                checkpoint=checkpoint,
                progress=progress,
                facts=facts,
            )
        finally:
            self._run["kept"] = self._weights.copy()
        return history

    def sample(
        self,
        n: int,
        *,
        steps: int = 100,
        start: ArrayLike | None = None,
        rng: Rng,
        every: int | None = None,
    ) -> NDArray[Any]:
        """Configurations after `steps` block Gibbs steps h ~ p(h|v), v ~ p(v|h) of `n` independent chains in parallel.

        Parameters
        ----------
        n : int
            Number of chains.
        steps : int
            Gibbs steps of each.
        start : array_like, shape (n, n_visible) or (n_visible,), optional
            First visible configurations; by default all zero.
        rng : int, Generator or SeedSequence
            Randomness; chain c uses its own stream, so the result does not depend on threads.
        every : int, optional
            Keep every so many steps instead of only the last.

        Returns
        -------
        ndarray, shape (n, n_visible), or (steps // every, n, n_visible) with `every`
        """
        return self._gibbs(n, steps, start, rng, every, None)

    def _gibbs(
        self, n: int, steps: int, start: ArrayLike | None, rng: Rng, every: int | None, omega: float | None
    ) -> NDArray[Any]:
        whole_number("n", n)
        whole_number("steps", steps)
        keep = steps if every is None else whole_number("every", every)
        require_memory(f"{n} chains of {self.n_visible} units", n * self.n_visible * self.dtype.itemsize)
        first = np.zeros(self.n_visible) if start is None else np.asarray(start)
        rows = self._checked_rows(np.broadcast_to(first, (n, self.n_visible)) if first.ndim == 1 else first, "start")
        if len(rows) != n:
            raise ValueError(f"start has {len(rows)} rows for n = {n} chains")
        run = (steps, keep, omega, seed_of(rng), 0)
        kept, _, _ = rbm_sample(self._weights, *self._layers(), rows, None, run)
        result: NDArray[Any] = kept[-1] if every is None else kept
        return result

    def save(self, path: str | PathLike[str]) -> None:
        """Write machine and training state to a npz file, from which training goes on to the same bits.

        Parameters
        ----------
        path : path
            File; replaced atomically.
        """
        arrays: dict[str, Any] = {"weights": self._weights}
        facts = {"class": type(self).__name__, "machine": self._facts()}
        if self._trainer is not None:
            facts |= {"options": self._run["options"], "target": self._run["target"]}
            arrays |= {f"state_{name}": values for name, values in self._trainer.state().items()}
        layers = self._layers()
        for side, (_, bias, variance) in zip(("visible", "hidden"), layers, strict=True):
            arrays |= {f"{side}_bias": bias, f"{side}_variance": variance}
        write_arrays(path, {"facts": np.array(json.dumps(facts)), **arrays})

    @classmethod
    def load(cls: type[M], path: str | PathLike[str]) -> M:
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            The file is damaged, or belongs to another kind of machine.
        """
        content = read_content(path)
        with damaged(path, FormatError, lambda why: f"is damaged or no machine of plaq ({why}); write it again"):
            arrays = verified(unpacked(path, content))
            facts = json.loads(str(arrays["facts"]))
            if facts["class"] != cls.__name__:
                raise FormatError(f"{path} holds a {facts['class']}; use {facts['class']}.load")
            machine = cls(**facts["machine"], rng=0)
            machine.weights = arrays["weights"]
            machine._take(arrays["visible_bias"], arrays["hidden_bias"], arrays["visible_variance"])
            if "options" in facts:
                state = {name[6:]: values for name, values in arrays.items() if name.startswith("state_")}
                kept = machine._weights.copy()
                machine._run = {"options": facts["options"], "target": facts["target"], "state": state, "kept": kept}
        return machine


def _digest(target: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(target):
        value = target[name]
        digest.update(name.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))
    return digest.hexdigest()


Method = Literal["exact", "em", "cd", "pcd"]
