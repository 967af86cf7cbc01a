"""Complex Langevin of a complex scalar field at chemical potential: the comparison that users of the worm expect."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.chains.chain import Chain
from plaq.chains.sampler import Info, Sampler
from plaq.fields.flux import couplings, lattice_shape
from plaq.ground.arguments import instance, number
from plaq.ground.names import outside
from plaq.ground.rng import counter

__all__ = ["ComplexLangevin"]

Field = NDArray[np.complex128]

DRIFT = 10.0
"""Largest change of a component in one step by its drift is step times this; larger drifts make the step smaller."""

RUNAWAY = 1e4
"""A drift that no field in equilibrium has: the process has left for infinity, however small the steps."""

HEAVY = 6.0
"""Exponent of the tail of the largest drift below which complex Langevin is not to be trusted."""


class ComplexLangevin(Sampler[Field]):
    r"""Complex Langevin at chemical potential, where the weight :math:`e^{-S}` is complex (arXiv 0810.2089).

    S is that of :class:`plaq.Worm`. The two real components of :math:`\phi = a + ib` become complex and move by
    :math:`dx = -\partial_x S\,d\theta + \sqrt2\,dW` with real noise, so that :math:`\bar\phi = a - ib` is not the
    conjugate of :math:`\phi`; means over Langevin time are those of the complex weight *if* the process converges to
    them. It does not have to: see :meth:`diagnose`. The worm is exact; this is for comparison.

    Parameters
    ----------
    shape : sequence of int
        One to four extents, each at least 2, time last.
    eta, lam, mu : float
        Couplings as of :class:`plaq.Worm`.
    step : float
        :math:`\Delta\theta`, the largest; where a component's drift exceeds 10 it shrinks in proportion (arXiv
        0912.0617). Means are off by its second order (Heun's method): of a mode with :math:`S = k x^2/2` by the factor
        :math:`1 - (k\,\Delta\theta)^2/4`, and k reaches :math:`2\eta + 4 D`.
    time : float
        Langevin time of an update.

    Raises
    ------
    TypeError, ValueError
        Wrong shape or couplings, a time or step that is not above 0.
    RuntimeError
        The field runs away.

    Notes
    -----
    States are complex arrays ``[a or b, x_0, .., x_{D-1}]``, :meth:`cold` is one. Default observables are the real
    parts of density and ``phi2``; their imaginary parts vanish on average and are in ``info`` (``density_imag``,
    ``phi2_imag``) with ``largest_drift``, the largest modulus of a drift in the update.

    Examples
    --------
    >>> import plaq as pq
    >>> sampler = pq.ComplexLangevin((2, 4), eta=4.25, lam=1.0, mu=1.0)
    >>> chain = sampler.run(sampler.cold(), 200, warmup=20, rng=1, progress=False)
    >>> bool(chain.estimate("density").mean > 0.3)
    True
    """

    def __init__(
        self, shape: Sequence[int], *, eta: float, lam: float, mu: float, step: float = 0.01, time: float = 0.5
    ) -> None:
        self.shape: tuple[int, ...] = lattice_shape(shape)
        self.eta, self.lam = couplings(eta, lam)
        self.mu: float = number("mu", mu)
        self.step_size: float = number("step", step, most=1.0, above=0.0)
        self.time: float = number("time", time, most=1e6, above=0.0)

    def cold(self) -> Field:
        """The field that is 0.

        Examples
        --------
        >>> ComplexLangevin((4, 6), eta=5.0, lam=1.0, mu=0.0).cold().shape
        (2, 4, 6)
        """
        return np.zeros((2, *self.shape), complex)

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in self.fingerprint().items() if name != "shape")
        return f"ComplexLangevin({self.shape}, {facts})"

    def fingerprint(self) -> dict[str, Any]:
        """The physics input."""
        facts = {"eta": self.eta, "lam": self.lam, "mu": self.mu, "step": self.step_size, "time": self.time}
        return {"shape": list(self.shape)} | facts

    def _checked(self, state: Any) -> Field:
        wanted = (2, *self.shape)
        if not isinstance(state, np.ndarray) or state.shape != wanted or state.dtype.kind not in "fc":
            raise TypeError(f"the state is a complex array of shape {wanted}, as of sampler.cold()")
        if not np.isfinite(state).all():
            raise ValueError("the state holds NaN or inf")
        return state.astype(complex)

    def _pair(self, x: Field) -> tuple[Field, Field]:
        return x[0] + 1j * x[1], x[0] - 1j * x[1]

    def drift(self, state: Field) -> Field:
        r""":math:`-\partial S/\partial a` and :math:`-\partial S/\partial b` at every site.

        Parameters
        ----------
        state : ndarray of complex, shape (2, x_0, .., x_{D-1})

        Returns
        -------
        ndarray
            Of the same shape.

        Examples
        --------
        >>> sampler = ComplexLangevin((4, 4), eta=4.0, lam=0.0, mu=0.0)
        >>> sampler.drift(sampler.cold() + 1).any()
        np.False_
        """
        return self._drift(self._checked(state))

    def _drift(self, x: Field) -> Field:
        phi, bar = self._pair(x)
        local = self.eta + 2 * self.lam * phi * bar
        slope, slope_bar = local * bar, local * phi  # dS/dphi, dS/dbar
        for nu in range(len(self.shape)):
            up, down = (math.exp(self.mu), math.exp(-self.mu)) if nu == len(self.shape) - 1 else (1.0, 1.0)
            slope -= up * np.roll(bar, 1, nu) + down * np.roll(bar, -1, nu)
            slope_bar -= up * np.roll(phi, -1, nu) + down * np.roll(phi, 1, nu)
        return np.stack([-(slope + slope_bar), -1j * (slope - slope_bar)])

    def density(self, state: Field) -> complex:
        r""":math:`n = \frac1V\sum_x (e^\mu\bar\phi_x\phi_{x+\hat t} - e^{-\mu}\bar\phi_{x+\hat t}\phi_x)`.

        Examples
        --------
        >>> sampler = ComplexLangevin((4, 4), eta=4.0, lam=1.0, mu=0.0)
        >>> sampler.density(sampler.cold() + 1)
        0j
        """
        phi, bar = self._pair(self._checked(state))
        forward = math.exp(self.mu) * bar * np.roll(phi, -1, -1)
        return complex((forward - math.exp(-self.mu) * np.roll(bar, -1, -1) * phi).mean())

    def phi2(self, state: Field) -> complex:
        r"""Mean of :math:`\bar\phi\phi` over sites.

        Examples
        --------
        >>> sampler = ComplexLangevin((4, 4), eta=4.0, lam=1.0, mu=0.0)
        >>> sampler.phi2(sampler.cold() + 1)
        (2+0j)
        """
        phi, bar = self._pair(self._checked(state))
        return complex((phi * bar).mean())

    def default_observables(self, state: Field) -> dict[str, Callable[[Field], Any]]:
        """Real parts of density and phi2."""
        return {"density": lambda x: self.density(x).real, "phi2": lambda x: self.phi2(x).real}

    def advance(self, state: Field, seed: int, sweep: int) -> tuple[Field, Info]:
        """One update; see :meth:`plaq.Sampler.advance`."""
        x, left, largest, steps = self._checked(state), self.time, 0.0, 0
        seed, sweep = counter(seed, sweep)
        random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, sweep]))
        while left > 0:
            with np.errstate(over="ignore", invalid="ignore"):
                drift = self._drift(x)
                size = float(np.abs(drift).max())
                if not size < RUNAWAY:
                    raise RuntimeError(
                        f"complex Langevin ran away at eta = {self.eta:g}, lam = {self.lam:g}, mu = {self.mu:g}: take "
                        "a smaller step; if it still does, this method does not work here and pq.Worm does"
                    )
                step = min(self.step_size * min(1.0, DRIFT / max(size, DRIFT)), left)
                noise = math.sqrt(2 * step) * random.normal(size=x.shape)
                x = x + 0.5 * step * (drift + self._drift(x + step * drift + noise)) + noise
            left, largest, steps = left - step, max(largest, size), steps + 1
        imaginary = {"density_imag": self.density(x).imag, "phi2_imag": self.phi2(x).imag}
        return x, {"largest_drift": largest, "steps": steps} | imaginary

    def diagnose(self, chain: Chain) -> float:
        """The exponent p of the tail of the distribution of drifts, P(u) ~ u^-p (Hill's estimator on the largest 10 %).

        Complex Langevin is justified where drifts fall off faster than any power (arXiv 1606.07627); then p is large
        (above 10 here). A small one means that it may converge to something else, and warns.

        Parameters
        ----------
        chain : Chain
            At least 50 draws of this sampler.

        Returns
        -------
        float

        Warns
        -----
        UserWarning
            p is below 6.

        Examples
        --------
        >>> sampler = ComplexLangevin((2, 4), eta=4.25, lam=1.0, mu=0.5)
        >>> chain = sampler.run(sampler.cold(), 200, warmup=20, rng=1, progress=False)
        >>> sampler.diagnose(chain) > 6
        True
        """
        info = instance("chain", chain, Chain, "a chain of ComplexLangevin").info
        if "largest_drift" not in info or len(info["largest_drift"]) < 50:
            raise ValueError("chain is one of ComplexLangevin with at least 50 draws")
        sizes = np.sort(np.asarray(info["largest_drift"], float))
        tail = sizes[-max(len(sizes) // 10, 5) :]
        mean = float(np.log(tail[1:] / tail[0]).mean())
        exponent = 1.0 + 1.0 / mean if mean > 0 else math.inf
        if exponent < HEAVY:
            warnings.warn(
                f"the distribution of drifts has a tail with exponent {exponent:.1f}: complex Langevin may converge to "
                "something else here; compare with pq.Worm",
                stacklevel=outside(),
            )
        return exponent
