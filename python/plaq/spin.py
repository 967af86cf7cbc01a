"""The O(3) spin-fermion model (arXiv 2306.11527) and effective models of its weight: linear, attention, local."""

import hashlib
import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import SpinModelCore, SpinNetworkCore, SpinSamplesCore, spin_random, spin_shells
from plaq.checkpoint import replacing
from plaq.optimizers import AdamW, Cosine, _Rule
from plaq.progress import Progress
from plaq.sampler import Rng, seed_of
from plaq.train import History, Recorder, training_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "EquivariantAttention",
    "LinearSpinModel",
    "SpinFermion",
    "ferromagnet",
    "magnetization",
    "neel",
    "predicted_acceptance",
    "random",
    "shells",
    "spiral",
    "staggered_magnetization",
]

Array = NDArray[np.float64]
Shape = Sequence[int]
Shells = int | Sequence[tuple[int, int]]
Block = Literal["relu", "softmax", "local"]


def _extents(shape: Shape) -> tuple[int, int]:
    extents = tuple(int(extent) for extent in shape)
    if len(extents) != 2 or any(extent != given for extent, given in zip(extents, shape, strict=True)):
        raise ValueError(f"shape = {tuple(shape)}: the spin-fermion model lives on a square lattice (L_x, L_y)")
    if min(extents) < 1:
        raise ValueError(f"shape = {extents}: extents are at least 1")
    return extents[0], extents[1]


def _rows(spins: ArrayLike, shape: tuple[int, int]) -> tuple[Array, tuple[int, ...]]:
    """Spins as (configurations, 3 N) and the leading shape."""
    array = np.asarray(spins)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"spins are real numbers; got an array of {array.dtype}")
    if array.shape[-3:] != (*shape, 3) or array.ndim < 3:
        raise ValueError(f"spins of shape {array.shape}: this lattice needs (..., {shape[0]}, {shape[1]}, 3)")
    lead = array.shape[:-3]
    count = int(np.prod(lead, dtype=int))
    return np.ascontiguousarray(array, dtype=np.float64).reshape(count, 3 * shape[0] * shape[1]), lead


def _scalars(values: Array, lead: tuple[int, ...]) -> Any:
    return values.reshape(lead) if lead else float(values[0])


def shells(shape: Shape) -> list[tuple[int, int]]:
    """Shells of equivalent displacements on a periodic lattice, nearest first.

    A shell is named by its smallest image (a, b), a >= b >= 0, up to reflections and rotation by 90 degrees.

    Examples
    --------
    >>> shells((4, 4))
    [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    """
    return spin_shells(_extents(shape))


def _shell_list(spec: Shells, shape: tuple[int, int]) -> list[tuple[int, int]]:
    known = spin_shells(shape)
    if isinstance(spec, int | np.integer):
        if not 0 <= spec <= len(known):
            raise ValueError(f"{spec} shells: a {shape[0]}x{shape[1]} lattice has {len(known)}: {known}")
        return known[: int(spec)]
    return [(int(a), int(b)) for a, b in spec]


def random(shape: Shape, *, rng: Rng, count: int | None = None) -> Array:
    """Independent uniform unit spins.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y).
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of the seed.
    count : int, optional
        Number of configurations; without it there is no configuration axis.

    Returns
    -------
    ndarray, shape ([count,] L_x, L_y, 3)

    Examples
    --------
    >>> S = random((4, 4), rng=1)
    >>> bool(np.allclose(np.linalg.norm(S, axis=-1), 1))
    True
    """
    extents = _extents(shape)
    spins = spin_random(extents, 1 if count is None else count, seed_of(rng)).reshape(-1, *extents, 3)
    return spins[0] if count is None else spins


def ferromagnet(shape: Shape, direction: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """All spins along `direction`.

    Examples
    --------
    >>> ferromagnet((2, 2), (0, 0, 2))[1, 1]
    array([0., 0., 1.])
    """
    axis = np.asarray(direction, dtype=float)
    return np.broadcast_to(axis / np.linalg.norm(axis), (*_extents(shape), 3)).copy()


def neel(shape: Shape, direction: ArrayLike = (0.0, 0.0, 1.0)) -> Array:
    """Spins along ``(-1)^(x + y) direction``.

    Examples
    --------
    >>> neel((2, 2))[0, 1]
    array([-0., -0., -1.])
    """
    return _signs(_extents(shape))[..., None] * ferromagnet(shape, direction)


def spiral(shape: Shape, wave: ArrayLike) -> Array:
    """Spins ``(cos q.r, sin q.r, 0)`` with ``q = 2 pi wave / shape``, `wave` two integers.

    Examples
    --------
    >>> spiral((4, 4), (1, 0))[1, 0].round(12)
    array([0., 1., 0.])
    """
    extents = _extents(shape)
    q = 2 * np.pi * np.asarray(wave, dtype=float) / extents
    angle = np.tensordot(q, np.indices(extents), axes=1)
    return np.stack([np.cos(angle), np.sin(angle), np.zeros(extents)], axis=-1)


def _signs(extents: tuple[int, int]) -> Array:
    return np.where(np.indices(extents).sum(axis=0) % 2, -1.0, 1.0)


def magnetization(spins: ArrayLike) -> Any:
    """``|sum_x S(x)| / N`` of spins of shape (..., L_x, L_y, 3); a float, or an array of shape (...).

    Examples
    --------
    >>> magnetization(ferromagnet((4, 4))), magnetization(neel((4, 4)))
    (1.0, 0.0)
    """
    mean = np.asarray(spins, dtype=float).mean(axis=(-3, -2))
    length = np.linalg.norm(mean, axis=-1)
    return length if length.ndim else float(length)


def staggered_magnetization(spins: ArrayLike) -> Any:
    """``|sum_x (-1)^(x + y) S(x)| / N`` of spins of shape (..., L_x, L_y, 3); a float, or an array of shape (...).

    Examples
    --------
    >>> staggered_magnetization(neel((4, 4)))
    1.0
    """
    array = np.asarray(spins, dtype=float)
    return magnetization(_signs((array.shape[-3], array.shape[-2]))[..., None] * array)


def predicted_acceptance(mean_square_error: ArrayLike) -> Any:
    """``erfc(sqrt(MSE) / 2)``: acceptance of independent proposals with Gaussian residuals of log W.

    MSE is that of ``log W_eff - log W`` up to a constant. For small errors it is ``1 - sqrt(MSE / pi)``.

    Examples
    --------
    >>> round(predicted_acceptance(0.231), 3)
    0.734
    """
    from math import erfc

    values = np.vectorize(lambda mse: erfc(np.sqrt(mse) / 2))(np.asarray(mean_square_error, dtype=float))
    return values if values.ndim else float(values)


class SpinFermion:
    """Electrons on a periodic square lattice, coupled to classical unit spins.

    ``H = -t sum_{a, x, mu} (c+_a(x) c_a(x + mu) + h.c.) + (J/2) sum_x S(x) . sigma(x)``, and integrating out the
    electrons
    leaves the weight ``log W(S) = sum_n log(1 + exp(-(E_n - mu) / T))`` (arXiv 2306.11527, with the sign of mu of
    physics).
    Every bond x -> x + mu is counted once for every x: extent 2 has hopping -2t, extent 1 an on-site -2t. Any extents.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y), N = L_x L_y.
    t, J, mu, T : float
        Hopping, coupling, chemical potential, temperature (T > 0).

    Raises
    ------
    ValueError
        Wrong shape, numbers that are not finite, T <= 0; later, spins of another shape or not of unit length (to 1e-8;
        they are refused, not normalised).

    Examples
    --------
    >>> model = SpinFermion((4, 4), J=1.0, T=0.2)
    >>> round(model.log_weight(neel((4, 4))), 6)
    138.720612
    """

    def __init__(self, shape: Shape, *, t: float = 1.0, J: float, mu: float = 0.0, T: float) -> None:
        self.shape = _extents(shape)
        self.t, self.J, self.mu, self.T = float(t), float(J), float(mu), float(T)
        self._core = SpinModelCore(self.shape, self.t, self.J, self.mu, self.T)

    def hamiltonian(self, spins: ArrayLike) -> NDArray[np.complex128]:
        """The Hermitian matrix, shape (..., 2N, 2N); row ``2 (x L_y + y) + spin``."""
        rows, lead = _rows(spins, self.shape)
        matrices: NDArray[np.complex128] = self._core.hamiltonian(rows)
        return matrices.reshape(*lead, *matrices.shape[1:])

    def energies(self, spins: ArrayLike) -> Array:
        """The eigenvalues, ascending, shape (..., 2N); Householder and root-free QL, to 1e-13 of the largest."""
        rows, lead = _rows(spins, self.shape)
        return self._core.energies(rows).reshape(*lead, -1)

    def log_weight(self, spins: ArrayLike) -> Any:
        """log W: a float, or an array of shape (...) for spins of shape (..., L_x, L_y, 3)."""
        rows, lead = _rows(spins, self.shape)
        return _scalars(self._core.log_weight(rows), lead)

    def at(self, T: float) -> "SpinFermion":
        """The same model at another temperature."""
        return SpinFermion(self.shape, t=self.t, J=self.J, mu=self.mu, T=T)

    def facts(self) -> dict[str, Any]:
        """The physics input as plain data."""
        return {"shape": list(self.shape), "t": self.t, "J": self.J, "mu": self.mu, "T": self.T}

    def __repr__(self) -> str:
        return f"SpinFermion({self.shape}, t={self.t:g}, J={self.J:g}, mu={self.mu:g}, T={self.T:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _spin_fermion, (self.shape, self.t, self.J, self.mu, self.T)


def _spin_fermion(shape: Shape, t: float, J: float, mu: float, T: float) -> SpinFermion:
    return SpinFermion(shape, t=t, J=J, mu=mu, T=T)


class _Effective:
    """What the effective models share: a stack of blocks (none for the linear model) and a linear read-out."""

    _core: SpinNetworkCore

    @property
    def shape(self) -> tuple[int, int]:
        """Extents of the lattice."""
        x, y = self._core.extents
        return x, y

    @property
    def coupling_shells(self) -> list[tuple[int, int]]:
        """Shells of the linear read-out."""
        return [(a, b) for a, b in self._core.architecture()[2]]

    @property
    def parameters(self) -> Array:
        """All parameters (a copy; assign to change them): blocks in order, couplings, constant."""
        return self._core.parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        self._core.parameters = np.ascontiguousarray(values, dtype=np.float64)

    @property
    def n_parameters(self) -> int:
        """Number of parameters, the constant included."""
        return len(self._core.parameters)

    @property
    def couplings(self) -> Array:
        """Couplings beta J_n of the read-out (a copy; assign to change them)."""
        return self._core.parameters[-1 - len(self.coupling_shells) : -1]

    @couplings.setter
    def couplings(self, values: ArrayLike) -> None:
        parameters = self._core.parameters
        given = np.asarray(values, dtype=float)
        if given.shape != self.couplings.shape:
            raise ValueError(f"couplings of shape {given.shape}: this model needs {self.couplings.shape}")
        parameters[-1 - len(given) : -1] = given
        self._core.parameters = parameters

    @property
    def constant(self) -> float:
        """The constant of log W_eff."""
        return float(self._core.parameters[-1])

    @constant.setter
    def constant(self, value: float) -> None:
        parameters = self._core.parameters
        parameters[-1] = value
        self._core.parameters = parameters

    def log_weight(self, spins: ArrayLike) -> Any:
        """log W_eff: a float, or an array of shape (...) for spins of shape (..., L_x, L_y, 3)."""
        rows, lead = _rows(spins, self.shape)
        return _scalars(self._core.log_weight(rows), lead)

    def gradient(self, spins: ArrayLike) -> Array:
        """d log W_eff / d S, shape (..., L_x, L_y, 3), components taken as free (not projected to the sphere)."""
        rows, lead = _rows(spins, self.shape)
        return self._core.gradient(rows).reshape(*lead, *self.shape, 3)

    def parameter_gradient(self, spins: ArrayLike) -> Array:
        """d log W_eff / d parameters, shape (..., n_parameters)."""
        rows, lead = _rows(spins, self.shape)
        return self._core.parameter_gradient(rows).reshape(*lead, -1)

    def features(self, spins: ArrayLike) -> Array:
        """``F_n = sum_{<ij>_n} S_i . S_j`` of the spins after the last block, each pair once, shape (..., n_shells)."""
        rows, lead = _rows(spins, self.shape)
        return self._core.features(rows).reshape(*lead, -1)

    def fit_couplings(self, spins: ArrayLike, log_weight: ArrayLike, *, ridge: float = 0.0) -> "Self":
        """Least squares for couplings and constant, everything else fixed.

        Parameters
        ----------
        spins, log_weight : array_like, shapes (n, L_x, L_y, 3) and (n,)
            Configurations and their exact weights.
        ridge : float
            Penalty ``ridge n var(F_n) couplings_n^2`` on features scaled to unit variance (not on the constant).

        Raises
        ------
        ValueError
            Fewer than two configurations, NaN, wrong shapes, negative ridge.
        """
        features, targets = self.features(spins), _targets(log_weight, spins, self.shape)
        if not ridge >= 0:
            raise ValueError(f"ridge = {ridge}: the penalty is a number >= 0")
        if len(targets) < 2:
            raise ValueError(f"{len(targets)} configurations: a fit needs at least two")
        centre, mean = features.mean(axis=0), targets.mean()
        scale = features.std(axis=0) + 1e-300
        scaled = (features - centre) / scale
        penalty = np.sqrt(ridge * len(targets)) * np.eye(len(centre))
        system = np.concatenate([scaled, penalty]), np.concatenate([targets - mean, np.zeros(len(centre))])
        couplings = np.linalg.lstsq(*system, rcond=1e-12)[0] / scale
        self.couplings = couplings
        self.constant = float(mean - couplings @ centre)
        return self

    def mean_square_error(self, spins: ArrayLike, log_weight: ArrayLike) -> float:
        """Variance of ``log W_eff - log W``: mean square error with the best constant, on which no chain depends."""
        residuals = np.asarray(self.log_weight(spins)) - _targets(log_weight, spins, self.shape)
        return float(np.var(residuals))

    def facts(self) -> dict[str, Any]:
        """Architecture and a hash of the parameters as plain data."""
        blocks, shells, couplings, sites = self._core.architecture()
        digest = hashlib.sha256(self._core.parameters.tobytes()).hexdigest()[:16]
        names = {"blocks": blocks, "shells": shells, "coupling_shells": couplings, "reference_sites": sites}
        return {"class": type(self).__name__, "shape": list(self.shape), **names, "parameters": digest}


def _targets(log_weight: ArrayLike, spins: ArrayLike, shape: tuple[int, int]) -> Array:
    targets = np.ascontiguousarray(log_weight, dtype=np.float64)
    lead = _rows(spins, shape)[1]
    if targets.ndim != 1 or targets.shape != lead:
        raise ValueError(
            f"log_weight of shape {targets.shape} for spins with leading shape {lead}: give one a configuration"
        )
    if not np.isfinite(targets).all():
        bad = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise ValueError(f"log_weight[{bad}] = {targets[bad]}: training needs finite targets")
    return targets


class LinearSpinModel(_Effective):
    """``log W_eff = sum_n couplings[n] sum_{<ij>_n} S_i . S_j + constant``, each pair once: beta J_n of the n-th shell.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y).
    shells : int or list of (int, int)
        The first so many shells, or shells by name (see :func:`shells`). On 6x6 all nine matter: the coupling of (3, 3)
        is the largest at J = t, mu = 0, T = 0.05 (nesting).

    Raises
    ------
    ValueError
        Shells that do not exist on this lattice, or given twice.

    Examples
    --------
    >>> model = SpinFermion((4, 4), J=1.0, T=0.2)
    >>> S = random((4, 4), rng=1, count=200)
    >>> effective = LinearSpinModel((4, 4), 3).fit(S, model.log_weight(S))
    >>> effective.mean_square_error(S, model.log_weight(S)) < 0.2
    True
    """

    def __init__(self, shape: Shape, shells: Shells) -> None:
        extents = _extents(shape)
        self._core = SpinNetworkCore(extents, [], [], _shell_list(shells, extents), 0)

    @property
    def shells(self) -> list[tuple[int, int]]:
        """The shells."""
        return self.coupling_shells

    def fit(self, spins: ArrayLike, log_weight: ArrayLike, *, ridge: float = 0.0) -> "Self":
        """Linear regression; see :meth:`fit_couplings`."""
        return self.fit_couplings(spins, log_weight, ridge=ridge)

    def on(self, shape: Shape) -> "LinearSpinModel":
        """The same couplings on another lattice, which must have the shells."""
        other = LinearSpinModel(shape, self.shells)
        other.parameters = self.parameters
        return other

    def __repr__(self) -> str:
        terms = ", ".join(f"{shell}: {c:.4g}" for shell, c in zip(self.shells, self.couplings, strict=True))
        return f"LinearSpinModel({self.shape}, {{{terms}}}, constant={self.constant:.6g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (LinearSpinModel, self._core.save())


class EquivariantAttention(_Effective):
    """Effective spins by equivariant attention, read out by a linear model (arXiv 2306.11527, 2310.13222).

    With shell sums ``F_0 = S``, ``F_n(i) = sum_{j in shell n of i} S_j`` and fields ``X = sum_n W^X_n F_n`` a block is
    ``S' = N(S + A)``, N dividing every spin by its length:

    - ``"relu"``: ``A_i = (N_ref/N) sum_j ReLU(Q_i . K_j / sqrt 3) V_j`` over all sites; ``"softmax"``: with a
    softmax over j
      in place of the ReLU. N_ref is the number of sites of the lattice the network was made for: on it the prefactor
      is 1, and on larger lattices the same weights keep their meaning;
    - ``"local"``: ``A_i = sigmoid(b + c |G_i|^2) V_i``, a convolutional network without attention, as a baseline.

    ``log W_eff = sum_n couplings[n] sum_{<ij>_n} S_i . S_j + constant`` on the spins after the last block. Exact
    symmetries:
    O(3) with reflections, translations, rotations by 90 degrees (square lattices) and reflections of the lattice.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y).
    layers : int
        Number of blocks.
    shells, coupling_shells : int or list of (int, int)
        Shells of the fields (the site itself is always there) and of the read-out (by default those of the fields).
    block : "relu", "softmax" or "local"
        Kind of the blocks.
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Seed of the weights: V = 0, so that every block is the identity at first; the others N(0, 0.1^2).

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
        *,
        block: Block = "relu",
        rng: Rng,
    ) -> None:
        extents = _extents(shape)
        if layers < 0:
            raise ValueError(f"layers = {layers}: give 0 or more")
        fields = _shell_list(shells, extents)
        couplings = fields if coupling_shells is None else _shell_list(coupling_shells, extents)
        self._core = SpinNetworkCore(extents, [block] * layers, fields, couplings, seed_of(rng))

    @classmethod
    def _of(cls, core: SpinNetworkCore) -> "EquivariantAttention":
        network = cls.__new__(cls)
        network._core = core
        return network

    @property
    def blocks(self) -> list[str]:
        """Kinds of the blocks, first to last."""
        return self._core.architecture()[0]

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def shells(self) -> list[tuple[int, int]]:
        """Shells of the fields."""
        return [(a, b) for a, b in self._core.architecture()[1]]

    def named_parameters(self) -> dict[str, Array]:
        """Parameters by name: ``block0.query``, ``block0.key``, ``block0.value``, ..., ``couplings``, ``constant``."""
        parameters, start, named = self._core.parameters, 0, {}
        for name, length in self._core.layout():
            named[name] = parameters[start : start + length]
            start += length
        return named

    def with_layer(self, block: Block = "relu", *, rng: Rng) -> "EquivariantAttention":
        """The same network with one more block that is the identity: it gives the same log W_eff to the last bit."""
        return self._of(self._core.with_block(block, seed_of(rng)))

    def on(self, shape: Shape) -> "EquivariantAttention":
        """The same weights on another lattice, which must have the shells."""
        return self._of(self._core.on(_extents(shape)))

    def copy(self) -> "EquivariantAttention":
        """An independent copy."""
        return self._of(SpinNetworkCore.load(self._core.save()))

    def effective_spins(self, spins: ArrayLike) -> Array:
        """Spins before the first and after every block, shape (..., layers + 1, L_x, L_y, 3)."""
        rows, lead = _rows(spins, self.shape)
        return self._core.effective_spins(rows).reshape(*lead, self.layers + 1, *self.shape, 3)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a safetensors file with the architecture in its metadata."""
        with replacing(Path(path)) as file:
            file.write(self._core.save())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "EquivariantAttention":
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            The file is damaged, of another kind, or its tensors do not fit its metadata.
        """
        return cls._of(SpinNetworkCore.load(Path(path).read_bytes()))

    def load_weights(self, path: str | PathLike[str]) -> "Self":
        """Take the parameters of a file of the same architecture (any lattice).

        Raises
        ------
        ValueError
            Another architecture; the message names every difference.
        """
        other = SpinNetworkCore.load(Path(path).read_bytes())
        names = ("blocks", "shells", "coupling_shells", "reference_sites")
        pairs = zip(names, other.architecture(), self._core.architecture(), strict=True)
        found = [
            f"{name}: the file has {theirs}, this network {ours}" for name, theirs, ours in pairs if theirs != ours
        ]
        if found:
            raise ValueError(f"{path} holds weights of another architecture:\n  " + "\n  ".join(found))
        self.parameters = other.parameters
        return self

    def fit(
        self,
        spins: ArrayLike,
        log_weight: ArrayLike,
        *,
        steps: int = 2000,
        batch: int = 100,
        optimizer: _Rule | None = None,
        validation: float | tuple[ArrayLike, ArrayLike] = 0.25,
        patience: int | None = None,
        record_every: int = 50,
        refit: bool = True,
        progress: bool = True,
        checkpoint: str | PathLike[str] | None = None,
        rng: Rng,
    ) -> History:
        """Minimise the mean square of ``log W_eff - log W`` by mini-batches.

        If all couplings are zero, they start from the linear fit; the constant always starts at its best value. The
        parameters with the smallest validation error among the records are kept.

        Parameters
        ----------
        spins, log_weight : array_like, shapes (n, L_x, L_y, 3) and (n,)
            Configurations and exact weights.
        steps, batch : int
            Steps of the optimiser and configurations a step.
        optimizer : SGD, Adam or AdamW, optional
            By default ``AdamW(5e-3, weight_decay=1e-4)`` with a cosine over `steps`. Weight decay pulls the constant
            to the mean of the targets, everything else to 0.
        validation : float or (spins, log_weight)
            Fraction held out (the last configurations), or other data.
        patience : int, optional
            Stop after so many records without a smaller validation error.
        record_every : int
            Steps between records.
        refit : bool
            End with least squares for couplings and constant, kept if it lowers the validation error.
        progress : bool
            Show a progress bar.
        checkpoint : path, optional
            File from which an interrupted training of the same data and settings continues to the same bits.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Seed of the batches.

        Returns
        -------
        History
            ``epoch`` (steps x batch / n), ``step``, ``loss`` (mean over the batches of the record), ``validation``
            (variance of the residuals), ``acceptance`` (predicted), ``learning_rate``.

        Raises
        ------
        ValueError
            Wrong shapes, NaN in data or in training (the message has the step).
        CheckpointError
            The file belongs to another training.
        """
        rule = optimizer or AdamW(5e-3, weight_decay=1e-4, schedule=Cosine(max(steps, 1)))
        seed = seed_of(rng)
        rows = _rows(spins, self.shape)[0]
        targets = _targets(log_weight, spins, self.shape)
        if isinstance(validation, tuple):
            held = _rows(validation[0], self.shape)[0], _targets(validation[1], validation[0], self.shape)
        else:
            if not 0 < validation < 1:
                raise ValueError(f"validation = {validation}: give a fraction between 0 and 1, or (spins, log_weight)")
            cut = len(targets) - max(1, round(validation * len(targets)))
            held = rows[cut:], targets[cut:]
            rows, targets = rows[:cut], targets[:cut]
        if len(targets) < 2:
            raise ValueError(f"{len(targets)} configurations to train with: give more")
        if min(steps, batch, record_every) < 1:
            raise ValueError(f"steps = {steps}, batch = {batch}, record_every = {record_every}: each is at least 1")
        configurations = rows.reshape(-1, *self.shape, 3)
        if not self.couplings.any():
            self.fit_couplings(configurations, targets)
        else:  # a wrong constant would drown everything else in the mean square
            self.constant += float(np.mean(targets - self.log_weight(configurations)))
        run = _Fit(self, rule, (rows, targets), held, seed, batch, None if checkpoint is None else Path(checkpoint))
        history = run.run(steps, record_every, patience, progress)
        if refit:
            run.refit()
        return history

    def __repr__(self) -> str:
        kinds = ", ".join(self.blocks) or "none"
        counts = (
            f"{len(self.shells)} shells, {len(self.coupling_shells)} coupling shells, {self.n_parameters} parameters"
        )
        return f"EquivariantAttention({self.shape}, blocks: {kinds}; {counts})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (EquivariantAttention, self._core.save())


def _rebuilt(cls: type[_Effective], weights: bytes) -> _Effective:
    model = cls.__new__(cls)
    model._core = SpinNetworkCore.load(weights)
    return model


class _Fit:
    """One training run of a network: parameters, optimiser, best parameters so far, records."""

    def __init__(
        self,
        network: EquivariantAttention,
        rule: _Rule,
        data: tuple[Array, Array],
        held: tuple[Array, Array],
        seed: int,
        batch: int,
        path: Path | None,
    ) -> None:
        self._network, self._data, self._held = network, data, held
        self._seed, self._batch, self._path = seed, batch, path
        self._samples = SpinSamplesCore(network.shape, *data)
        self._validation = SpinSamplesCore(network.shape, *held)
        self._optimizer = rule.start(network.n_parameters)
        self._best, self._best_parameters, self._stale = np.inf, network.parameters, 0
        self._recorder = Recorder()
        digest = hashlib.sha256(b"".join(array.tobytes() for array in (*data, *held)))
        architecture = {name: value for name, value in network.facts().items() if name != "parameters"}
        start = hashlib.sha256(network.parameters.tobytes()).hexdigest()
        facts = {"rule": repr(rule), "seed": seed, "batch": batch, "start": start, "data": digest.hexdigest()}
        self._facts = json.dumps(facts | architecture, sort_keys=True)

    def _error(self) -> float:
        return float(np.var(self._validation.residuals(self._network._core)))

    def run(self, steps: int, every: int, patience: int | None, show: bool) -> History:
        """Trains to step `steps`, keeps the best parameters."""
        if self._path is not None and self._path.exists():
            self._resume(self._path)
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
        error = self._error()
        if error < self._best:
            self._best, self._best_parameters, self._stale = error, self._network.parameters, 0
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
