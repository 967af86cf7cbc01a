"""Ensembles of fluxes: configurations, what is measured on each, and their chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.chains.chain import Chain
from plaq.fields.flux import charge
from plaq.ground.arguments import number, whole_number
from plaq.ground.names import Explained
from plaq.statistics import Estimate, estimate

__all__ = ["FluxEnsemble", "Reweighted"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reweighted(metaclass=Explained):
    r"""Estimates at another chemical potential, from weights :math:`w = e^{(\mu' - \mu) Q N_t}`.

    Attributes
    ----------
    mu : float
        The other chemical potential.
    density, phi2 : Estimate
        :math:`\langle w O\rangle/\langle w\rangle`.
    effective_samples : float
        :math:`(\sum w)^2/\sum w^2`: configurations that carry the weight; where it is small, draw anew at `mu`.

    Examples
    --------
    >>> import plaq as pq
    >>> ensemble = pq.Worm((2, 4), eta=4.25, lam=1.0, mu=1.0).sample(400, thin=4, rng=1)
    >>> ensemble.reweight(1.05).effective_samples > 200
    True
    """

    mu: float
    density: Estimate
    phi2: Estimate
    effective_samples: float


class FluxEnsemble(metaclass=Explained):
    """Configurations drawn by :meth:`plaq.Worm.sample`.

    Attributes
    ----------
    k, l : ndarray of int32, shape (n, D, x_0, ..., x_{D-1})
        Fluxes, time last.
    density, phi2 : ndarray, shape (n,)
        Of each configuration: mean of k in time over the sites, and mean of W(f+2)/W(f).
    charge : ndarray of int, shape (n,)
        k in time summed over a time slice.
    chain : Chain
        ``density`` and ``phi2`` averaged over the closed configurations of each draw (smaller errors than those of the
        configurations that were kept, which are ``configuration_density`` and ``configuration_phi2``), and
        ``time_correlator``.
    eta, lam, mu : float
        Couplings.
    shape : tuple of int
        Extents.

    Examples
    --------
    >>> import plaq as pq
    >>> ensemble = pq.Worm((4, 4), eta=4.25, lam=1.0, mu=1.0).sample(20, rng=1, progress=False)
    >>> ensemble
    <FluxEnsemble of 20 on 4x4, eta 4.25, lam 1, mu 1>
    >>> bool(np.allclose(ensemble.density, ensemble.charge / 4))
    True
    """

    def __init__(
        self, k: NDArray[np.int32], l: NDArray[np.int32], eta: float, lam: float, mu: float, chain: Chain
    ) -> None:
        self.k, self.l, self.chain = k, l, chain
        self.eta, self.lam, self.mu = eta, lam, mu

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the lattice, time last."""
        return tuple(int(extent) for extent in self.k.shape[2:])

    @property
    def density(self) -> Array:
        """Density of each configuration."""
        return self.chain["configuration_density"]

    @property
    def phi2(self) -> Array:
        """Mean of abs(phi)^2 of each configuration."""
        return self.chain["configuration_phi2"]

    @property
    def charge(self) -> NDArray[np.int64]:
        """Charge of each configuration."""
        found: NDArray[np.int64] = charge(self.k, ndim=len(self.shape))
        return found

    def __len__(self) -> int:
        return len(self.k)

    def reweight(self, mu: float) -> Reweighted:
        r"""Density and mean of abs(phi)^2 at another chemical potential, with the number of effective samples.

        That number is :math:`(\sum w)^2 / \sum w^2`, without autocorrelations, which the errors of the estimates have.

        Parameters
        ----------
        mu : float
            The fluxes do not depend on mu but by :math:`e^{\mu Q N_t}`, so every ensemble has all of them; the overlap
            falls exponentially with :math:`|\mu' - \mu| N_t \Delta Q`.

        Returns
        -------
        Reweighted

        Raises
        ------
        TypeError, ValueError
            No number from -100 to 100; fewer than 8 configurations.
        """
        exponent = (number("mu", mu, -100, 100) - self.mu) * self.shape[-1] * self.charge
        weight = np.exp(exponent - exponent.max())
        replicas: Any = self.chain.replicas or None

        def ratio(values: Array) -> Estimate:
            columns = np.stack([weight, weight * values], axis=1)
            return estimate(columns, lambda means: means[1] / means[0], replicas=replicas)

        effective = float(weight.sum() ** 2 / (weight**2).sum())
        return Reweighted(float(mu), ratio(self.density), ratio(self.phi2), effective)

    def effective_mass(self, t: int = 1) -> Estimate:
        r"""Mass at momentum zero from three neighbouring times of the propagator.

        :math:`c(t) = e^{\mu t} C(t)` is a sum of :math:`e^{\pm mt}` at any mu, so that
        :math:`\cosh m = [c(t-1) + c(t+1)]/2c(t)` where one state dominates.

        Parameters
        ----------
        t : int
            From 1 to N_t - 2.

        Returns
        -------
        Estimate

        Raises
        ------
        TypeError, ValueError
            Another time; fewer than 8 configurations.
        """
        t = whole_number("t", t, 1, self.shape[-1] - 2)

        def mass(correlator: Array) -> float:
            c = correlator[t - 1 : t + 2] * np.exp(self.mu * np.arange(-1, 2))
            return float(np.arccosh(np.maximum(1.0, (c[0] + c[2]) / (2 * c[1]))))

        return self.chain.estimate("time_correlator", mass)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<FluxEnsemble of {len(self)} on {size}, eta {self.eta:g}, lam {self.lam:g}, mu {self.mu:g}>"
