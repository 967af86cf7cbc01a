"""Minimisation of a loss by mini-batches, or of anything that advances by itself."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import whole_number
from plaq.ground.rng import Rng
from plaq.training.batches import Gradient, MiniBatches, batch_seed, batch_size
from plaq.training.history import History
from plaq.training.loop import Objective, Training
from plaq.training.optimizers import AdamW, Optimizer, Schedule, scheduled

__all__ = ["minimize"]

Vector = NDArray[np.float64]


def minimize(
    objective: Gradient | Objective,
    parameters: ArrayLike | None = None,
    n: int | None = None,
    *,
    epochs: int = 100,
    batch: int | None = None,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    validation: Callable[[Vector], float] | None = None,
    patience: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool = True,
    rng: Rng | None = None,
    facts: Mapping[str, Any] | None = None,
    every: int = 1,
    keep: Callable[[Vector], None] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> tuple[Vector, History]:
    """Minimise a mean over samples by mini-batches; the loop that all trainings share.

    Parameters
    ----------
    objective : callable or Objective
        ``gradient(parameters, indices) -> (loss, gradient)``, both for the samples `indices`; or an object with
        ``advance(until)``, ``state()`` and the other methods of :class:`plaq.training.loop.Objective`, which does whole
        blocks of steps by itself (and makes no use of `parameters`, `n`, `batch`, `optimizer`, `schedule`,
        `validation` and `rng`).
    parameters : array_like
        Start, one-dimensional.
    n : int
        Number of samples; every epoch visits each once, in an order drawn from (`rng`, epoch).
    epochs : int
        Last epoch (unit of an objective); a resumed run goes on to it.
    batch : int, optional
        Samples per step (the last batch may be smaller); by default all.
    optimizer : SGD, Adam, AdamW or AMSGrad, optional
        By default ``AdamW(1e-3, weight_decay=0)``.
    schedule : Constant, Cosine, WarmUp or Step, optional
        Factor of the learning rate, step by step; by default that of the optimizer.
    validation : callable, optional
        Loss on held-out samples; the parameters with its smallest value are returned, of which the start is a
        candidate. Without it: those with the smallest loss if every step takes all samples, else the last ones.
    patience : int, optional
        Epochs without a better validation loss after which training ends.
    checkpoint : path, optional
        Written after every epoch (less often if that takes more than a tenth of the time) and at the end; if it exists,
        training goes on from it, to the same bits.
    progress : bool
        Show progress.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Fixes the order of the samples; needed where batches are smaller than all samples.
    facts : mapping, optional
        What else a checkpoint must agree with (plain data).
    every : int
        Units of an objective between records.
    keep : callable, optional
        Called with the returned parameters, also when training ends by an error.
    on_epoch : callable, optional
        Called with the number of the epoch before each gradient, for what is drawn anew in every epoch (translations of
        the samples, say); what it draws must depend on that number alone.

    Returns
    -------
    parameters : ndarray
    history : History
        ``epoch, step, loss`` (mean over the epoch's batches), ``gradient_norm`` (same), ``learning_rate`` and, if asked
        for, ``validation``. Ctrl-C ends the training; the epochs that were completed are returned
        (``history.interrupted``).

    Raises
    ------
    ValueError
        A loss or gradient that is not finite, wrong settings.
    TypeError
        Arguments of other types; batches without rng.
    CheckpointError
        The checkpoint is damaged or belongs to another training.
    OSError
        The checkpoint cannot be written (tried before the first step) or read.
    Exception
        Of any kind: what is raised during training carries the records so far as ``.history``.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 20)
    >>> def gradient(p, k):
    ...     error = p[0] * x[k] - 3 * x[k]
    ...     return float(np.mean(error**2)), np.array([2 * np.mean(error * x[k])])
    >>> rule = AdamW(0.1, 0.0)
    >>> best, history = minimize(gradient, [0.0], 20, optimizer=rule, batch=5, rng=1, progress=False)
    >>> bool(abs(best[0] - 3) < 0.01), history.records
    (True, 100)
    """
    own: dict[str, Any] = {}
    kept: list[Vector] = []

    def take(values: Vector) -> None:
        kept.append(values)
        if keep is not None:
            keep(values)

    if hasattr(objective, "advance"):
        driven = cast(Objective, objective)
    else:
        driven, own = _mini_batches(
            objective,
            parameters,
            n,
            batch,
            scheduled(optimizer, schedule, AdamW(1e-3, 0.0)),
            rng,
            validation,
            take,
            on_epoch,
        )
        if patience is not None and validation is None:
            raise ValueError(
                f"patience = {patience} counts epochs without a better validation loss; give validation too"
            )
    run = Training(
        driven,
        every=whole_number("every", every),
        patience=patience,
        checkpoint=checkpoint,
        facts=own | dict(facts or {}),
    )
    history = run.run(whole_number("epochs", epochs, 0), progress)
    return kept[-1] if kept else driven.parameters(), history


def _mini_batches(
    gradient: Gradient,
    parameters: ArrayLike | None,
    n: int | None,
    batch: int | None,
    rule: Optimizer,
    rng: Rng | None,
    validation: Callable[[Vector], float] | None,
    keep: Callable[[Vector], None],
    on_epoch: Callable[[int], None] | None,
) -> tuple[MiniBatches, dict[str, Any]]:
    if parameters is None:
        raise TypeError("parameters are missing: give where the minimisation of a gradient starts")
    samples = whole_number("number of samples", n, 1)
    size = batch_size(batch, samples)
    seed = batch_seed(rng, size, samples)
    facts = {"optimizer": repr(rule), "seed": seed, "batch": size, "samples": samples}
    return MiniBatches(gradient, parameters, samples, rule, size, seed, validation, keep, on_epoch), facts
