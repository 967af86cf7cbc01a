"""Phase diagram of the spin-Gaussian machine, a Hopfield model (Amit, Gutfreund, Sompolinsky, Ann. Phys. 173, 30
(1987))."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import real, whole_number


def retrieval(load: ArrayLike, temperature: ArrayLike, *, iterations: int = 4000) -> NDArray[np.float64]:
    r"""Overlap with a stored pattern in the replica-symmetric retrieval state; zero where there is none.

    For :math:`N` spins, :math:`\alpha N` Gaussian hidden units of variance one and weights
    :math:`W_{ia} = \xi_i^a \sqrt{1/(NT)}`, :math:`\xi = \pm 1`:
    :math:`m = \int Dz \tanh\beta(m + \sqrt{\alpha r} z)`, :math:`q = \int Dz \tanh^2\beta(m + \sqrt{\alpha r} z)`,
    :math:`r = q/(1 - \beta(1-q))^2`. The spin glass lies below :math:`T_g = 1 + \sqrt\alpha`.

    Parameters
    ----------
    load, temperature : array_like
        alpha >= 0 and T > 0, broadcast together.
    iterations : int
        Fixed-point iterations from m = q = 1.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        No numbers, or numbers out of range.

    Examples
    --------
    >>> float(retrieval(0.0, 0.5).round(6))  # m = tanh(2 m)
    0.957504
    """
    alpha, t = np.broadcast_arrays(real("load", load), real("temperature", temperature))
    if np.any(alpha < 0) or np.any(t <= 0):
        raise ValueError("retrieval needs load >= 0 and temperature > 0")
    # A uniform grid, since tanh is nearly a step at low temperature, where Gauss-Hermite nodes are too far apart.
    z = np.linspace(-8.0, 8.0, 1201)
    weight = np.exp(-0.5 * z**2)
    weight /= weight.sum()
    m, q = np.ones_like(alpha), np.ones_like(alpha)
    for _ in range(whole_number("iterations", iterations)):
        response = np.minimum((1.0 - q) / t, 0.999999)
        spread = np.sqrt(alpha * q) / (1.0 - response)
        tanh = np.tanh((m[..., None] + spread[..., None] * z) / t[..., None])
        m_new, q_new = tanh @ weight, tanh**2 @ weight
        change = max(float(np.abs(m_new - m).max(initial=0.0)), float(np.abs(q_new - q).max(initial=0.0)))
        m, q = m_new, q_new
        if change < 1e-12:
            break
    result: NDArray[np.float64] = np.where(m > 1e-3, m, 0.0)
    return result
