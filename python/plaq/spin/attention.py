"""Equivariant attention on spins (arXiv 2306.11527, 2310.13222)."""

from __future__ import annotations

from os import PathLike
from typing import Literal

from numpy.typing import ArrayLike

from plaq._plaq import SpinNetworkCore
from plaq.fields.spins import Array, Shape, Shells, extents_of, rows_of, shell_list
from plaq.ground.arguments import whole_number
from plaq.ground.rng import Rng, seed_of
from plaq.spin.effective import Effective, targets_of
from plaq.spin.fit import NetworkFit
from plaq.spin.regression import held_pair, hold_out
from plaq.training.batches import batch_seed, batch_size
from plaq.training.checkpoint import checkpoint_path
from plaq.training.history import History
from plaq.training.minimize import minimize
from plaq.training.optimizers import AdamW, Cosine, Optimizer, Schedule, scheduled

__all__ = ["EquivariantAttention"]

Block = Literal["relu", "softmax", "local"]


class EquivariantAttention(Effective):
    """Effective spins by equivariant attention, read out by a linear model (arXiv 2306.11527, 2310.13222).

    With shell sums ``F_0 = S``, ``F_n(i) = sum_{j in shell n of i} S_j`` and fields ``X = sum_n W^X_n F_n`` a block is
    ``S' = N(S + A)``, N dividing every spin by its length:

    - ``"relu"``: ``A_i = (N_ref/N) sum_j ReLU(Q_i . K_j / sqrt 3) V_j`` over all sites;
    - ``"softmax"``: ``A_i = sum_j softmax_j(Q_i . K_j / sqrt 3) V_j``;
    - ``"local"``: ``A_i = sigmoid(b + c |G_i|^2) V_i``, a convolutional network without attention, as a baseline.

    ``log W_eff = sum_n couplings[n] sum_{<ij>_n} S_i . S_j + constant`` on the spins after the last block. Exact
    symmetries: O(3) with reflections, translations, rotations by 90 degrees (square lattices) and reflections of the
    lattice.

    The same weights run on lattices of any size (:meth:`on`) and are the same function there: N_ref is the number of
    sites of the lattice for which the network was made, and on other lattices the sum over a shell is multiplied by the
    number of its sites there and divided by that here (on 6x6 the four images of (3, 3) are one site). So the effective
    spins of periodic copies of a configuration are the copies of its effective spins.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y).
    layers : int
        Number of blocks.
    shells, coupling_shells : int or list of (int, int)
        Shells of the fields (the site itself is always there) and of the read-out (by default those of the fields).
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Seed of the weights: V = 0, so that every block is the identity at first; the others N(0, 0.1^2). Needed.
    block : "relu", "softmax" or "local"
        Kind of the blocks.

    Raises
    ------
    ValueError
        Unknown block, shells that do not exist.

    Examples
    --------
    >>> net = EquivariantAttention((6, 6), layers=1, shells=6, coupling_shells=3, rng=1)
    >>> net.n_parameters
    25
    """

    def __init__(
        self,
        shape: Shape,
        layers: int = 1,
        shells: Shells = 3,
        coupling_shells: Shells | None = None,
        rng: Rng | None = None,
        *,
        block: Block = "relu",
    ) -> None:
        extents = extents_of(shape)
        if rng is None:
            raise TypeError("rng is missing: the weights start at random; give for example rng=1")
        fields = shell_list(shells, extents)
        couplings = fields if coupling_shells is None else shell_list(coupling_shells, extents)
        blocks = [block] * whole_number("layers", layers, 0)
        self._bind(SpinNetworkCore(extents, blocks, fields, couplings, extents, seed_of(rng)))

    @property
    def blocks(self) -> list[str]:
        """Kinds of the blocks, first to last."""
        return self._network.architecture()[0]

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def shells(self) -> list[tuple[int, int]]:
        """Shells of the fields."""
        return [(a, b) for a, b in self._network.architecture()[1]]

    def with_layer(self, block: Block = "relu", *, rng: Rng) -> EquivariantAttention:
        """The same network with one more block that is the identity: it gives the same log W_eff to the last bit."""
        return self._of(self._core.with_block(block, seed_of(rng)))

    def on(self, shape: Shape) -> EquivariantAttention:
        """The same weights on another lattice, which must have the shells."""
        return self._of(self._core.on(extents_of(shape)))

    def copy(self) -> EquivariantAttention:
        """An independent copy."""
        return self._of(self._core.on(self.shape))

    def effective_spins(self, spins: ArrayLike) -> Array:
        """Spins before the first and after every block, shape (..., layers + 1, L_x, L_y, 3)."""
        rows, lead = rows_of(spins, self.shape)
        return self._core.effective_spins(rows).reshape(*lead, self.layers + 1, *self.shape, 3)

    def fit(
        self,
        spins: ArrayLike,
        log_weight: ArrayLike,
        *,
        steps: int = 2000,
        batch: int | None = 100,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation: float | tuple[ArrayLike, ArrayLike] = 0.25,
        patience: int | None = None,
        record_every: int = 50,
        refit: bool = True,
        checkpoint: str | PathLike[str] | None = None,
        progress: bool = True,
        rng: Rng | None = None,
    ) -> History:
        """Minimise the mean square of ``log W_eff - log W`` by mini-batches.

        If all couplings are zero, they start from the linear fit; the constant always starts at its best value. The
        parameters with the smallest validation error among the records are kept, of which the start is one.

        Parameters
        ----------
        spins, log_weight : array_like, shapes (n, L_x, L_y, 3) and (n,)
            Configurations and exact weights.
        steps : int
            Steps of the optimiser in all; a resumed training goes on to this number.
        batch : int, optional
            Configurations a step; None takes all that are not held out.
        optimizer : SGD, Adam, AdamW or AMSGrad, optional
            By default ``AdamW(5e-3, weight_decay=1e-4)`` with a cosine over `steps`. Weight decay pulls the constant
            to the mean of the targets, everything else to 0.
        schedule : Constant, Cosine, WarmUp or Step, optional
            Factor of the learning rate, step by step; by default that of the optimizer.
        validation : float or (spins, log_weight)
            Fraction held out, or other data. Repetitions of a configuration, as a chain makes them when it rejects,
            stay on one side; the last distinct ones are held out.
        patience : int, optional
            Stop after so many records without a smaller validation error.
        record_every : int
            Steps between records.
        refit : bool
            End with least squares for couplings and constant, kept if it lowers the validation error (not after
            Ctrl-C).
        checkpoint : path, optional
            File, written at the start, after every record (less often if that takes more than a tenth of the time) and
            at the end, from which the same call continues an interrupted training to the same bits. The parameters
            come from the file, whatever those of the network are by then.
        progress : bool
            Show a progress bar.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed of the batches. Needed if `batch` is smaller than the number of configurations; else nothing is drawn.

        Returns
        -------
        History
            ``epoch`` (steps x batch / n), ``step``, ``loss`` (mean over the batches of the record), ``validation``
            (variance of the residuals), ``acceptance`` (predicted), ``learning_rate``. Ctrl-C ends the training
            (``history.interrupted``).

        Raises
        ------
        ValueError
            Wrong shapes, NaN in data or in training (the message has the step), nothing to hold out.
        TypeError
            An optimiser that is none of plaq; batches without rng.
        CheckpointError
            The file belongs to another training.
        OSError
            The checkpoint cannot be written, which is tried before the training.
        Exception
            Of any kind: what is raised during training carries the records so far as ``.history``; the network has
            the best parameters.
        """
        checkpoint_path(checkpoint)
        steps = whole_number("steps", steps, 1)
        rule = scheduled(optimizer, schedule, AdamW(5e-3, weight_decay=1e-4, schedule=schedule or Cosine(steps)))
        data = rows_of(spins, self.shape)[0], targets_of(log_weight, spins, self.shape)
        if isinstance(validation, tuple):
            others, weights = held_pair(validation)
            held = rows_of(others, self.shape)[0], targets_of(weights, others, self.shape)
        else:
            data, held = hold_out(*data, validation)
        size = batch_size(batch, len(data[1]))
        run = NetworkFit(self, rule, data, held, size, batch_seed(rng, size, len(data[1])))
        _, history = minimize(
            run,
            epochs=steps,
            every=whole_number("record_every", record_every, 1),
            patience=patience,
            checkpoint=checkpoint,
            progress=progress,
            facts=run.facts,
        )
        if refit and not history.interrupted:
            run.refit()
        return history

    def __repr__(self) -> str:
        kinds = ", ".join(self.blocks) or "none"
        counts = (
            f"{len(self.shells)} shells, {len(self.coupling_shells)} coupling shells, {self.n_parameters} parameters"
        )
        return f"EquivariantAttention({self.shape}, blocks: {kinds}; {counts})"
