"""The exact weight of the O(3) spin-fermion model (arXiv 2306.11527)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import SpinModelCore
from plaq.fields.spins import Array, Shape, extents_of, rows_of, scalars
from plaq.ground.arguments import number
from plaq.spin.fixed import Fixed

__all__ = ["SpinFermion"]


class SpinFermion(Fixed):
    """Electrons on a periodic square lattice, coupled to classical unit spins.

    ``H = -t sum_{a, x, mu} (c+_a(x) c_a(x + mu) + h.c.) + (J/2) sum_x S(x) . sigma(x)``, and integrating out the
    electrons leaves the weight ``log W(S) = sum_n log(1 + exp(-(E_n - mu) / T))`` (arXiv 2306.11527, with the sign of
    mu of physics).
    Every bond x -> x + mu is counted once for every x: extent 2 has hopping -2t, extent 1 an on-site -2t. Any extents.

    Parameters
    ----------
    shape : (int, int)
        Extents (L_x, L_y), N = L_x L_y.
    t, J, mu, T : float
        Hopping, coupling, chemical potential, temperature (T > 0). Fixed; see :meth:`at`.

    Raises
    ------
    TypeError, ValueError
        Wrong shape, no numbers or numbers that are not finite, T <= 0; later, spins of another shape or not of unit
        length. A length that is off by at most 1e-6, as in single precision, is made 1; more is refused.

    Examples
    --------
    >>> import plaq as pq
    >>> model = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    >>> round(model.log_weight(pq.spin.neel((4, 4))), 6)
    138.720612
    """

    _fixed = frozenset({"shape", "t", "J", "mu", "T"})
    _remedy = "make another model, as in model.at(0.1) or model.at(mu=-0.5)"

    def __init__(self, shape: Shape, *, t: float = 1.0, J: float, mu: float = 0.0, T: float) -> None:
        self.shape = extents_of(shape)
        self.t, self.J, self.mu, self.T = number("t", t), number("J", J), number("mu", mu), number("T", T)
        self._core = SpinModelCore(self.shape, self.t, self.J, self.mu, self.T)

    def hamiltonian(self, spins: ArrayLike) -> NDArray[np.complex128]:
        """The Hermitian matrix, shape (..., 2N, 2N); row ``2 (x L_y + y) + spin``."""
        rows, lead = rows_of(spins, self.shape)
        matrices: NDArray[np.complex128] = self._core.hamiltonian(rows)
        return matrices.reshape(*lead, *matrices.shape[1:])

    def energies(self, spins: ArrayLike) -> Array:
        """The eigenvalues, ascending, shape (..., 2N); Householder and root-free QL, to 1e-13 of the largest."""
        rows, lead = rows_of(spins, self.shape)
        return self._core.energies(rows).reshape(*lead, -1)

    def log_weight(self, spins: ArrayLike) -> Any:
        """log W: a float, or an array of shape (...) for spins of shape (..., L_x, L_y, 3)."""
        rows, lead = rows_of(spins, self.shape)
        return scalars(self._core.log_weight(rows), lead)

    def at(
        self, T: float | None = None, *, t: float | None = None, J: float | None = None, mu: float | None = None
    ) -> SpinFermion:
        """The same model at another temperature or with other couplings."""
        given = {"t": t, "J": J, "mu": mu, "T": T}
        numbers = {name: getattr(self, name) if value is None else value for name, value in given.items()}
        return SpinFermion(self.shape, **numbers)

    def facts(self) -> dict[str, Any]:
        """The physics input as plain data."""
        return {"shape": list(self.shape), "t": self.t, "J": self.J, "mu": self.mu, "T": self.T}

    def __repr__(self) -> str:
        return f"SpinFermion({self.shape}, t={self.t:g}, J={self.J:g}, mu={self.mu:g}, T={self.T:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _spin_fermion, (self.shape, self.t, self.J, self.mu, self.T)


def _spin_fermion(shape: Shape, t: float, J: float, mu: float, T: float) -> SpinFermion:
    return SpinFermion(shape, t=t, J=J, mu=mu, T=T)
