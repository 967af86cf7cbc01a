"""Exact results for small cases: free theory, enumeration on 2x2, transfer matrices of narrow lattices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import flux_weights
from plaq.fields.flux import couplings, lattice_shape
from plaq.ground.arguments import number, require_memory, whole_number
from plaq.ground.names import Explained

__all__ = ["Enumeration", "FreeTheory", "TransferMatrix", "enumeration", "free", "transfer_matrix"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FreeTheory(metaclass=Explained):
    r"""What the free theory gives.

    Attributes
    ----------
    density, phi2 : float
        :math:`n` and :math:`\langle|\phi|^2\rangle`.
    correlator : ndarray, shape of the lattice
        :math:`\langle\phi_{y+d}\,\phi^*_y\rangle` by displacement d.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.flux.exact.free((4, 6), 5.0, 0.0).density
    0.0
    """

    density: float
    phi2: float
    correlator: Array

    @property
    def time_correlator(self) -> Array:
        """The correlator summed over displacements in space."""
        found: Array = self.correlator.sum(axis=tuple(range(self.correlator.ndim - 1)))
        return found


def free(shape: Sequence[int], eta: float, mu: float) -> FreeTheory:
    r"""The free theory, :math:`\lambda = 0`, as sums over momenta.

    :math:`D(p) = \eta - 2\sum_i \cos p_i - 2\cos(p_t - i\mu)`, :math:`\langle|\phi|^2\rangle = \frac1V\sum_p D^{-1}`,
    :math:`n = \frac1V\sum_p 2i\sin(p_t - i\mu)/D`, :math:`\langle\phi_{y+d}\phi^*_y\rangle = \frac1V\sum_p e^{ipd}/D`.

    Parameters
    ----------
    shape : sequence of int
        One to four extents, time last.
    eta : float
        :math:`2D + m^2`, above 2 D.
    mu : float
        :math:`\cosh\mu < 1 + m^2/2`; beyond, the theory does not exist.

    Returns
    -------
    FreeTheory

    Raises
    ------
    TypeError, ValueError
        Wrong shape; couplings beyond the range, with the bound.

    Examples
    --------
    >>> found = free((4, 6), eta=5.0, mu=0.5)
    >>> round(found.density, 6), round(found.phi2, 6)
    (0.017471, 0.265825)
    """
    extents = lattice_shape(shape)
    eta, mu = number("eta", eta), number("mu", mu)
    mass2 = eta - 2 * len(extents)
    if mass2 <= 0 or math.cosh(min(abs(mu), 700.0)) >= 1 + mass2 / 2:
        bound = f"abs(mu) < {math.acosh(1 + mass2 / 2):.6f}" if mass2 > 0 else f"eta > {2 * len(extents)}"
        raise ValueError(f"eta = {eta:g}, mu = {mu:g}: the free theory exists for {bound}; see cosh mu < 1 + m^2/2")
    require_memory(f"a propagator on {extents}", math.prod(extents), 64)
    momenta = np.meshgrid(*(2 * np.pi * np.arange(extent) / extent for extent in extents), indexing="ij", sparse=True)
    time = momenta[-1] - 1j * mu
    inverse = 1 / (eta - 2 * sum((np.cos(p) for p in momenta[:-1]), np.zeros(())) - 2 * np.cos(time))
    return FreeTheory(
        density=float((2j * np.sin(time) * inverse).mean().real),
        phi2=float(inverse.mean().real),
        correlator=np.ascontiguousarray(np.fft.ifftn(inverse).real),
    )


@dataclass(frozen=True)
class Enumeration(metaclass=Explained):
    """Sums over all fluxes of a 2x2 lattice.

    Attributes
    ----------
    density, phi2, log_partition : float
        n, the mean of abs(phi)^2 and ln Z without its constant 4 ln 2 pi.
    truncation : float
        Share of the partition function from configurations that reach the largest occupation of an edge: what was left
        out is less.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.flux.exact.enumeration(4.25, 1.0, 0.0).truncation < 1e-9
    True
    """

    density: float
    phi2: float
    log_partition: float
    truncation: float


def enumeration(eta: float, lam: float, mu: float, *, most: int = 40) -> Enumeration:
    r"""All fluxes k and l of the 2x2 lattice with at most `most` hops between any two sites.

    The two links between neighbours x and y make one edge with net flux d and occupation
    :math:`m = \sum (|k| + 2l)`; conservation makes d the same around the square, so that
    :math:`Z = \sum_d \mathrm{tr}\,(A_t W A_x W)^2` with :math:`W_{mm'} = W(m + m')` and the edges' weights
    :math:`A(d, m) = \sum \prod e^{\mu k}/[(|k|+l)!\,l!]`. No integral and no random number is used.

    Parameters
    ----------
    eta, lam, mu : float
        Couplings.
    most : int
        Largest occupation of an edge, at most 200.

    Returns
    -------
    Enumeration

    Raises
    ------
    TypeError, ValueError
        Couplings without a normalisable weight.

    Examples
    --------
    >>> found = enumeration(4.25, 1.0, 0.0)
    >>> round(found.phi2, 6), found.truncation < 1e-12
    (0.308598, True)
    """
    eta, lam = _sensible(eta, lam)
    mu, most = number("mu", mu), whole_number("most", most, 2, 200)
    if abs(mu) * most > 300:
        raise ValueError(f"mu = {mu:g}: weights e^(mu k) up to k = {most} overflow; abs(mu) is at most {300 / most:g}")
    logs, ratios = flux_weights(eta, lam, most + 2)
    space, time, moved = _edges(most, 0.0)[0], *_edges(most, mu)
    z = density = phi2 = edge = 0.0
    for d in range(most + 1):
        occupations = np.arange(d, most + 1, 2)
        half = (occupations[:, None] + occupations) // 2
        # W(m + m') is divided by the roots of W(2 m) and W(2 m'), which the edges take: nothing overflows.
        w = np.exp(logs[half] - 0.5 * (logs[occupations][:, None] + logs[occupations]))
        scale = np.exp(logs[occupations] - logs[0])
        a, b, c = (scale * table[d, occupations] for table in (time, space, moved))
        pair = (w * b) @ w
        times = 1 if d == 0 else 2
        square = (pair * a) @ pair
        z += times * float(a @ np.diagonal(square))
        density += times * float(c @ np.diagonal(square)) * 2 / 4
        phi2 += times * float(np.sum(((a[:, None] * (w * ratios[half])) * b) * ((w * a) @ pair).T))
        last = occupations > most - 2
        edge += 4 * times * float(np.maximum(a, b)[last] @ np.diagonal(square)[last])
    return Enumeration(density / z, phi2 / z, math.log(z) + 4 * float(logs[0]), edge / z)


def _sensible(eta: Any, lam: Any) -> tuple[float, float]:
    """Couplings whose weights fit into floating-point numbers."""
    eta, lam = couplings(eta, lam)
    if abs(eta) > 1e4 or lam > 1e4 or (eta < 0 and eta**2 > 1000 * lam):
        raise ValueError(
            f"eta = {eta:g}, lam = {lam:g}: exact sums take abs(eta) and lam up to 1e4, -eta up to 30 sqrt(lam)"
        )
    return eta, lam


def _edges(most: int, mu: float) -> tuple[Array, Array]:
    """A(d, m) of two parallel links, and its derivative with respect to mu."""
    single = np.zeros((2 * most + 1, most + 1))
    for k in range(-most, most + 1):
        for pairs in range((most - abs(k)) // 2 + 1):
            logs = math.lgamma(abs(k) + pairs + 1) + math.lgamma(pairs + 1)
            single[k + most, abs(k) + 2 * pairs] = math.exp(-logs)
    table, moved = np.zeros((2, most + 1, most + 1))
    for d in range(most + 1):
        for k in range(d - most, most + 1):
            # Flux k from x to y, k - d back.
            weights = np.convolve(single[k + most], single[k - d + most])[: most + 1]
            total = 2 * k - d
            table[d] += math.exp(mu * total) * weights
            moved[d] += total * math.exp(mu * total) * weights
    return table, moved


class TransferMatrix(metaclass=Explained):
    r"""Partition functions of fixed charge, :math:`Z(\mu) = \sum_Q e^{\mu Q N_t} Z_Q`; see :func:`transfer_matrix`.

    Attributes
    ----------
    shape : tuple of int
    eta, lam : float
    charges : ndarray of int
        Sectors Q.
    log_partition_by_charge : ndarray
        ln Z_Q without the constant V ln 2 pi.
    phi2_by_charge : ndarray
        Mean of abs(phi)^2 at fixed charge.

    Examples
    --------
    >>> chain = transfer_matrix((6,), 3.0, 1.0)
    >>> step = 1e-5
    >>> slope = (chain.log_partition(0.5 + step) - chain.log_partition(0.5 - step)) / (2 * step) / 6
    >>> bool(abs(slope - chain.density(0.5)) < 1e-8)
    True
    """

    def __init__(self, shape: tuple[int, ...], eta: float, lam: float, charges: Any, logs: Array, phi2: Array) -> None:
        self.shape, self.eta, self.lam = shape, eta, lam
        self.charges, self.log_partition_by_charge, self.phi2_by_charge = charges, logs, phi2

    def _weights(self, mu: Any) -> tuple[Array, float]:
        exponents = number("mu", mu, -100, 100) * self.charges * self.shape[-1] + self.log_partition_by_charge
        top = float(exponents.max())
        weights = np.exp(exponents - top)
        return weights, top + math.log(weights.sum())

    def log_partition(self, mu: float) -> float:
        """ln Z without the constant V ln 2 pi.

        Raises
        ------
        TypeError, ValueError
            No number from -100 to 100.
        """
        return self._weights(mu)[1]

    def probabilities(self, mu: float) -> Array:
        """Probability of each charge; those at the ends show what the cut of sectors leaves out.

        Raises
        ------
        TypeError, ValueError
            No number from -100 to 100.
        """
        weights = self._weights(mu)[0]
        found: Array = weights / weights.sum()
        return found

    def density(self, mu: float) -> float:
        """Mean charge a site of space.

        Raises
        ------
        TypeError, ValueError
            No number from -100 to 100.
        """
        return float(self.probabilities(mu) @ self.charges) / math.prod(self.shape[:-1])

    def phi_squared(self, mu: float) -> float:
        """Mean of abs(phi)^2.

        Raises
        ------
        TypeError, ValueError
            No number from -100 to 100.
        """
        return float(self.probabilities(mu) @ self.phi2_by_charge)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<TransferMatrix {size}, eta {self.eta:g}, lam {self.lam:g}, abs(Q) <= {self.charges.max()}>"


def transfer_matrix(
    shape: Sequence[int],
    eta: float,
    lam: float,
    *,
    nodes: int | None = None,
    charges: int = 12,
    spread: int = 8,
) -> TransferMatrix:
    r"""Transfer matrices of a chain ``(N_t,)`` or of two sites of space ``(2, N_t)``, by sectors of charge.

    Basis: radii by Gauss quadrature for the weight :math:`r\,e^{-\eta r^2 - \lambda r^4}`, and the angular momentum q
    of each site. A hop in time gives :math:`I_q(2 r r')`; the two hops in space :math:`I_j(4 r_1 r_2)` shift
    :math:`(q_1, q_2)` to :math:`(q_1 + j, q_2 - j)`.

    Parameters
    ----------
    shape : sequence of int
        ``(N_t,)`` or ``(2, N_t)``.
    eta, lam : float
        Couplings.
    nodes : int, optional
        Radii a site; by default 24 for one site, 8 for two (nine digits near eta = 4, lambda = 1).
    charges : int
        Sectors :math:`|Q| \le` `charges`.
    spread : int
        With two sites :math:`|q_1 - q_2| \le 2` `spread`.

    Returns
    -------
    TransferMatrix

    Raises
    ------
    TypeError, ValueError
        Other shapes; couplings without a normalisable weight.

    Examples
    --------
    >>> round(transfer_matrix((2, 4), 4.25, 1.0, nodes=6, charges=8, spread=5).density(1.0), 4)
    0.5257
    """
    extents = lattice_shape(shape)
    if len(extents) > 2 or extents[:-1] not in ((), (2,)):
        raise ValueError(f"shape = {extents}: transfer matrices are for (N_t,) and (2, N_t); use pq.Worm for others")
    eta, lam = _sensible(eta, lam)
    charges, spread = whole_number("charges", charges, 0, 200), whole_number("spread", spread, 1, 100)
    single = len(extents) == 1
    nodes = whole_number("nodes", (24 if single else 8) if nodes is None else nodes, 1, 64)
    size = nodes if single else nodes**2 * (2 * spread + 2)
    require_memory(f"transfer matrices of {size} states", 8 * size**2)
    radii, weights = _radii(eta, lam, nodes)
    found = []
    for q in range(charges + 1):
        step, square = _chain(radii, weights, q) if single else _two_sites(radii, weights, q, spread)
        power, log = _power(step, extents[-1])
        diagonal = np.diagonal(power)
        trace = float(diagonal.sum())
        found.append((math.log(trace) + log, float(diagonal @ square) / trace))
    sectors = np.arange(-charges, charges + 1)
    logs, phi2 = (np.array([found[abs(q)][column] for q in sectors]) for column in (0, 1))
    return TransferMatrix(extents, eta, lam, sectors, logs, phi2)


def _radii(eta: float, lam: float, count: int) -> tuple[Array, Array]:
    """Gauss nodes r and weights for r exp(-eta r^2 - lam r^4) dr: Stieltjes' recursion on a fine grid of s = r^2."""
    # exp(-eta s - lam s^2) has fallen by e^-150 at the end; 64 panels of 24 points resolve every polynomial used.
    peak = -eta / (2 * lam) if eta < 0 else 0.0
    floor = eta * peak + lam * peak**2
    root = math.sqrt(eta**2 + 4 * lam * (150 + floor))
    end = (root - eta) / (2 * lam) if eta < 0 else 2 * 150 / (root + eta)
    points, steps = np.polynomial.legendre.leggauss(24)
    panel = end / 64
    s = ((np.arange(64)[:, None] + 0.5 * (points + 1)) * panel).ravel()
    density = 0.5 * np.tile(steps * panel / 2, 64) * np.exp(-eta * s - lam * s**2 + floor)
    norm = float(density.sum())
    diagonal, beside = np.zeros(count), np.zeros(count)
    before, now = np.zeros_like(s), np.full_like(s, 1 / math.sqrt(norm))
    for n in range(count):
        diagonal[n] = density @ (s * now**2)
        following = (s - diagonal[n]) * now - beside[n - 1] * before
        beside[n] = math.sqrt(density @ following**2)
        before, now = now, following / beside[n]
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
    return np.sqrt(values), norm * math.exp(-floor) * vectors[0] ** 2


def _bessel(order: int, x: Array) -> Array:
    """I_n(x) for n = 0 ... order by its series of positive terms, shape (order + 1, ...)."""
    found = np.zeros((order + 1, *x.shape))
    term = np.ones_like(x)
    for n in range(order + 1):
        term = term * (x / (2 * n)) if n else term
        each = term.copy()
        for pairs in range(1, int(x.max()) + 60):
            found[n] += each
            each *= (x / 2) ** 2 / (pairs * (pairs + n))
    return found


def _chain(radii: Array, weights: Array, charge: int) -> tuple[Array, Array]:
    root = np.sqrt(weights)
    return root[:, None] * _bessel(charge, 2 * np.outer(radii, radii))[charge] * root, radii**2


def _two_sites(radii: Array, weights: Array, charge: int, spread: int) -> tuple[Array, Array]:
    """Matrix of one step in time after one in space, basis [q_1][r_1][r_2], and the mean of r^2 over the sites."""
    first = np.arange(charge // 2 - spread, -(-charge // 2) + spread + 1)
    nodes, count = len(radii), len(first)
    root = np.sqrt(weights)
    most = int(np.abs(np.concatenate([first, charge - first])).max())
    hops = root[:, None] * _bessel(most, 2 * np.outer(radii, radii)) * root
    space = _bessel(count - 1, 4 * np.outer(radii, radii)).reshape(count, -1)
    step = np.empty((count, nodes**2, count, nodes**2))
    for i, q in enumerate(first):
        in_time = np.kron(hops[abs(q)], hops[abs(charge - q)])
        for j in range(count):
            step[i, :, j, :] = in_time * space[abs(i - j)]
    square = 0.5 * (radii[:, None] ** 2 + radii**2).ravel()
    size = count * nodes**2
    # The space hops multiply the radii of the later slice, on which r^2 is measured.
    return step.reshape(size, size), np.tile(square, count)


def _power(matrix: Array, exponent: int) -> tuple[Array, float]:
    """The power of a matrix and the logarithm of the factor that was taken out of it."""
    result, log = np.eye(len(matrix)), 0.0
    base, base_log = matrix, 0.0
    while True:
        if exponent & 1:
            result, log = result @ base, log + base_log
        exponent >>= 1
        if not exponent:
            return result, log
        scale = float(np.abs(base).max())
        base, base_log = (base / scale) @ (base / scale), 2 * (base_log + math.log(scale))
