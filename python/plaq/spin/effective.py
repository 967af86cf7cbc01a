"""Effective models of the weight of spins: what all have in common, and the linear model."""

from __future__ import annotations

import hashlib
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from plaq._plaq import FormatError, SpinNetworkCore
from plaq.fields.spins import Array, Shape, Shells, extents_of, rows_of, scalars, shell_list
from plaq.ground.arguments import number, real
from plaq.ground.html import number_table
from plaq.ground.names import Explained
from plaq.ground.weights import load_weights, save_weights
from plaq.spin.regression import LeastSquares, held_pair, hold_out, predicted_acceptance
from plaq.training.history import History
from plaq.training.minimize import minimize

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LinearSpinModel", "predicted_acceptance"]

KIND = "plaq spin model 2"


class Effective(metaclass=Explained):
    """What the effective models share: a stack of blocks (none for the linear model) and a linear read-out."""

    _network: SpinNetworkCore
    _parameters: Array

    @classmethod
    def _of(cls, network: SpinNetworkCore) -> Self:
        model = cls.__new__(cls)
        model._bind(network)
        return model

    def _bind(self, network: SpinNetworkCore) -> None:
        self._network, self._parameters = network, network.parameters

    @property
    def _core(self) -> SpinNetworkCore:
        """The network with the present parameters, which may have been changed in place."""
        self._network.parameters = self._parameters
        return self._network

    @property
    def shape(self) -> tuple[int, int]:
        """Extents of the lattice."""
        x, y = self._network.extents
        return x, y

    @property
    def coupling_shells(self) -> list[tuple[int, int]]:
        """Shells of the linear read-out."""
        return [(a, b) for a, b in self._network.architecture()[2]]

    @property
    def parameters(self) -> Array:
        """All parameters: blocks in order, couplings, constant.

        Entries can be assigned in place. Assigning the attribute, fitting and loading make a new array, so that one
        kept from before does not change.
        """
        return self._parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        given = np.ascontiguousarray(real("parameters", values))
        if given.ndim != 1:
            raise ValueError(f"parameters of shape {given.shape}: this model needs ({self.n_parameters},)")
        self._network.parameters = given
        self._parameters = self._network.parameters

    @property
    def n_parameters(self) -> int:
        """Number of parameters, the constant included."""
        return len(self._parameters)

    @property
    def couplings(self) -> Array:
        """Couplings beta J_n of the read-out; entries can be assigned in place, as in ``model.couplings[0] = 0.2``."""
        return self._parameters[-1 - len(self.coupling_shells) : -1]

    @couplings.setter
    def couplings(self, values: ArrayLike) -> None:
        given = real("couplings", values)
        if given.shape != self.couplings.shape:
            raise ValueError(f"couplings of shape {given.shape}: this model needs {self.couplings.shape}")
        parameters = self._parameters.copy()
        parameters[-1 - len(given) : -1] = given
        self.parameters = parameters

    @property
    def constant(self) -> float:
        """The constant of log W_eff."""
        return float(self._parameters[-1])

    @constant.setter
    def constant(self, value: float) -> None:
        parameters = self._parameters.copy()
        parameters[-1] = number("constant", value)
        self.parameters = parameters

    def named_parameters(self) -> dict[str, Array]:
        """Parameters by name: ``block0.query``, ``block0.key``, ``block0.value``, ..., ``couplings``, ``constant``.

        Views of :attr:`parameters`: entries can be assigned in place.
        """
        start, named = 0, {}
        for name, length in self._network.layout():
            named[name] = self._parameters[start : start + length]
            start += length
        return named

    def _repr_html_(self) -> str:
        return number_table(f"{type(self).__name__} on {self.shape}", self.named_parameters())

    def log_weight(self, spins: ArrayLike) -> Any:
        """log W_eff: a float, or an array of shape (...) for spins of shape (..., L_x, L_y, 3)."""
        rows, lead = rows_of(spins, self.shape)
        return scalars(self._core.log_weight(rows), lead)

    def gradient(self, spins: ArrayLike) -> Array:
        """d log W_eff / d S, shape (..., L_x, L_y, 3), components taken as free (not projected to the sphere)."""
        rows, lead = rows_of(spins, self.shape)
        return self._core.gradient(rows).reshape(*lead, *self.shape, 3)

    def parameter_gradient(self, spins: ArrayLike) -> Array:
        """d log W_eff / d parameters, shape (..., n_parameters)."""
        rows, lead = rows_of(spins, self.shape)
        return self._core.parameter_gradient(rows).reshape(*lead, -1)

    def features(self, spins: ArrayLike) -> Array:
        """``F_n = sum_{<ij>_n} S_i . S_j`` of the spins after the last block, each pair once, shape (..., n_shells).

        Away from the lattice for which a network was made they carry the factors of :class:`EquivariantAttention`.
        """
        rows, lead = rows_of(spins, self.shape)
        return self._core.features(rows).reshape(*lead, -1)

    def fit_couplings(self, spins: ArrayLike, log_weight: ArrayLike, *, ridge: float = 0.0) -> Self:
        """Least squares for couplings and constant, everything else fixed.

        A coupling whose feature is the same in all configurations is not determined and becomes 0; of features that
        depend on each other linearly, the couplings of smallest norm are taken.

        Parameters
        ----------
        spins, log_weight : array_like, shapes (n, L_x, L_y, 3) and (n,)
            Configurations and their exact weights.
        ridge : float
            Penalty ``ridge n var(F_n) couplings_n^2`` on features scaled to unit variance (not on the constant).

        Raises
        ------
        ValueError
            Fewer than two configurations, configurations that are all the same to the model, NaN, wrong shapes,
            negative ridge.
        """
        features, targets = self.features(spins), targets_of(log_weight, spins, self.shape)
        ridge = check_ridge(ridge)
        if len(targets) < 2:
            raise ValueError(f"{len(targets)} configurations: a fit needs at least two")
        centre, mean, scale = features.mean(axis=0), targets.mean(), features.std(axis=0)
        free = scale > 1e-12 * np.abs(features).max(axis=0)
        if not free.any():
            raise ValueError(
                f"all {len(targets)} configurations have the same sums over the shells {self.coupling_shells}: nothing "
                "determines the couplings; give configurations that differ"
            )
        scaled = (features - centre)[:, free] / scale[free]
        penalty = np.sqrt(ridge) * np.sqrt(len(targets)) * np.eye(scaled.shape[1])
        system = np.concatenate([scaled, penalty]), np.concatenate([targets - mean, np.zeros(scaled.shape[1])])
        couplings = np.zeros(len(centre))
        couplings[free] = np.linalg.lstsq(*system, rcond=1e-12)[0] / scale[free]
        self.parameters = np.concatenate(
            [self._parameters[: -1 - len(couplings)], couplings, [mean - couplings @ centre]]
        )
        return self

    def mean_square_error(self, spins: ArrayLike, log_weight: ArrayLike) -> float:
        """Variance of ``log W_eff - log W``: mean square error with the best constant, on which no chain depends."""
        residuals = np.asarray(self.log_weight(spins)) - targets_of(log_weight, spins, self.shape)
        return float(np.var(residuals))

    def architecture(self) -> dict[str, Any]:
        """Blocks, shells and lattices as plain data."""
        blocks, shells, couplings, reference = self._network.architecture()
        return {
            "blocks": blocks,
            "shells": [list(shell) for shell in shells],
            "coupling_shells": [list(shell) for shell in couplings],
            "reference": list(reference),
        }

    def facts(self) -> dict[str, Any]:
        """Architecture and a hash of the parameters as plain data."""
        digest = hashlib.sha256(self._parameters.tobytes()).hexdigest()[:16]
        return {
            "class": type(self).__name__,
            "shape": list(self.shape),
            **self.architecture(),
            "parameters": digest,
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write a safetensors file with the architecture in its metadata."""
        save_weights(path, self.named_parameters(), {"kind": KIND, "shape": list(self.shape)} | self.architecture())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            The file is damaged, of another kind, or its tensors do not fit its metadata.
        """
        return cls._of(read_network(path))

    def load_weights(self, path: str | PathLike[str]) -> Self:
        """Take the parameters of a file of the same architecture (any lattice).

        Raises
        ------
        ValueError
            Another architecture; the message names every difference.
        """
        other = Effective._of(read_network(path))
        theirs, ours = other.architecture(), self.architecture()
        found = [
            f"{name}: the file has {theirs[name]}, this model {ours[name]}"
            for name in ours
            if theirs[name] != ours[name]
        ]
        if found:
            raise ValueError(f"{path} holds weights of another architecture:\n  " + "\n  ".join(found))
        self.parameters = other.parameters
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.shape, self._network.architecture(), self._parameters.copy())


def _restored(cls: type[Effective], shape: tuple[int, int], architecture: tuple[Any, ...], values: Array) -> Effective:
    model = cls._of(SpinNetworkCore(shape, architecture[0], architecture[1], architecture[2], architecture[3], 0))
    model.parameters = values
    return model


def read_network(path: str | PathLike[str]) -> SpinNetworkCore:
    """The network of a file."""
    weights, stored = load_weights(path)
    remedy = "give a file written by save() of a spin model"
    if not isinstance(stored, dict) or stored.get("kind") != KIND:
        raise FormatError(f'{path} has no metadata of "{KIND}"; {remedy}')
    try:
        shells, couplings = ([(a, b) for a, b in stored[name]] for name in ("shells", "coupling_shells"))
        core = SpinNetworkCore(stored["shape"], stored["blocks"], shells, couplings, stored["reference"], 0)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{path}: the metadata describe no spin network ({error}); {remedy}") from error
    layout = core.layout()
    found, needed = {name: array.shape for name, array in weights.items()}, {name: (size,) for name, size in layout}
    if found != needed:
        raise FormatError(f"{path}: has tensors {found}, but its metadata need {needed}; {remedy}")
    try:
        core.parameters = np.concatenate([weights[name] for name, _ in layout])
    except ValueError as error:
        raise FormatError(f"{path}: {error}; save the weights again") from error
    return core


def targets_of(log_weight: ArrayLike, spins: ArrayLike, shape: tuple[int, int]) -> Array:
    """Log weights, one for each configuration."""
    targets = np.ascontiguousarray(real("log_weight", log_weight))
    lead = rows_of(spins, shape)[1]
    if targets.ndim != 1 or targets.shape != lead:
        raise ValueError(
            f"log_weight of shape {targets.shape} for spins with leading shape {lead}: give one a configuration"
        )
    if not np.isfinite(targets).all():
        bad = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise ValueError(f"log_weight[{bad}] = {targets[bad]}: training needs finite targets")
    return targets


def check_ridge(ridge: float) -> float:
    """The penalty, a finite number, at least 0."""
    return number("ridge", ridge, 0.0)


class LinearSpinModel(Effective):
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
    >>> import plaq as pq
    >>> model = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    >>> S = pq.spin.random((4, 4), rng=1, count=200)
    >>> effective = LinearSpinModel((4, 4), 3)
    >>> history = effective.fit(S, model.log_weight(S))
    >>> effective.mean_square_error(S, model.log_weight(S)) < 0.2
    True
    """

    def __init__(self, shape: Shape, shells: Shells) -> None:
        extents = extents_of(shape)
        self._bind(SpinNetworkCore(extents, [], [], shell_list(shells, extents), extents, 0))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LinearSpinModel:
        """Read a file written by :meth:`save`.

        Raises
        ------
        FormatError
            The file is damaged, of another kind, or holds a network with blocks.
        """
        core = read_network(path)
        blocks, _, shells, _ = core.architecture()
        if blocks:
            raise FormatError(f"{path} holds a network with blocks {blocks}; read it by EquivariantAttention.load")
        model = cls(core.extents, shells)
        model.parameters = core.parameters
        model.couplings = np.multiply(core.coupling_factors(), model.couplings)
        return model

    @property
    def shells(self) -> list[tuple[int, int]]:
        """The shells."""
        return self.coupling_shells

    def fit(
        self,
        spins: ArrayLike,
        log_weight: ArrayLike,
        *,
        ridge: float = 0.0,
        validation: float | tuple[ArrayLike, ArrayLike] | None = None,
    ) -> History:
        """Linear regression (see :meth:`fit_couplings`), a training of one step without random numbers.

        Parameters
        ----------
        spins, log_weight : array_like, shapes (n, L_x, L_y, 3) and (n,)
            Configurations and their exact weights.
        ridge : float
            Penalty ``ridge n var(F_n) couplings_n^2`` on features scaled to unit variance (not on the constant).
        validation : float or (spins, log_weight), optional
            Fraction held out (the last distinct configurations, with all their repetitions), or other data. The
            couplings from before are kept if they are better on these.

        Returns
        -------
        History
            Before and after the regression: ``step``, ``loss`` (variance of ``log W_eff - log W``), ``validation`` (the
            same of the held-out configurations, if asked for) and ``acceptance`` (predicted).

        Raises
        ------
        ValueError
            Fewer than two configurations, configurations that are all the same to the model, NaN, wrong shapes,
            negative ridge, nothing to hold out.

        Examples
        --------
        >>> import plaq as pq
        >>> S = pq.spin.random((4, 4), rng=1, count=200)
        >>> effective = LinearSpinModel((4, 4), 3)
        >>> history = effective.fit(S, pq.SpinFermion((4, 4), J=1.0, T=0.2).log_weight(S))
        >>> bool(history.loss[-1] < history.loss[0])
        True
        """
        check_ridge(ridge)
        data, held = rows_of(spins, self.shape)[0], None
        targets = targets_of(log_weight, spins, self.shape)
        if isinstance(validation, tuple):
            others, weights = held_pair(validation)
            held = self._shaped(rows_of(others, self.shape)[0]), targets_of(weights, others, self.shape)
        elif validation is not None:
            (data, targets), (rows, weights) = hold_out(data, targets, validation)
            held = self._shaped(rows), weights
        _, history = minimize(LeastSquares(self, (self._shaped(data), targets), held, ridge), epochs=1, progress=False)
        return history

    def _shaped(self, rows: Array) -> Array:
        return rows.reshape(-1, *self.shape, 3)

    def on(self, shape: Shape) -> LinearSpinModel:
        """The same model on another lattice, which must have the shells.

        A coupling is divided by the number of sites of its shell there and multiplied by that here. On a torus all
        images of a site act through one coupling: on 6x6 the shell (3, 3) is one site with four images, on 12x12 four
        sites. So periodic copies of a configuration keep the log weight per site (without the constant).
        """
        extents = extents_of(shape)
        factors = SpinNetworkCore(extents, [], [], self.shells, self.shape, 0).coupling_factors()
        other = LinearSpinModel(extents, self.shells)
        other.parameters = np.append(np.multiply(factors, self.couplings), self.constant)
        return other

    def __repr__(self) -> str:
        terms = ", ".join(f"{shell}: {c:.4g}" for shell, c in zip(self.shells, self.couplings, strict=True))
        return f"LinearSpinModel({self.shape}, {{{terms}}}, constant={self.constant:.6g})"
