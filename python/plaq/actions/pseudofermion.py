"""Quarks in the action, as pseudofermions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaq.concepts import Action, DiracFamily
from plaq.ground.arguments import array, number, shown, whole_number

__all__ = ["Pseudofermion"]


@dataclass(frozen=True, repr=False)
class Pseudofermion(Action):
    r"""Dynamical quarks, :math:`\phi^\dagger K^{-1} \phi` with a pseudofermion drawn at the start of every trajectory.

    :math:`K = D^\dagger D`: two flavours of Wilson fermions (in their even-odd form where there is one), four tastes of
    staggered fermions (:math:`\phi` on the even sites, where :math:`K = m^2 - H_{eo} H_{oe}`) or eight (all sites)
    (D. H. Weingarten and D. N. Petcher, 1981). One flavour of Wilson fermions and one, two or three staggered ones take
    :math:`K^{-a}`, a = 1/2 and 1/4, 1/2, 3/4, as a minimax rational approximation with multi-shift solves (RHMC:
    M. A. Clark and A. D. Kennedy, hep-lat/0309084), whose relative error is `tol` in the energy and `force_tol` in the
    force. It is an action of an :class:`plaq.HMC`; it has no value without its :math:`\phi`.

    Parameters
    ----------
    dirac : plaq.dirac.Family
        The operator.
    n_flavors : int
        1 or 2 for Wilson fermions (2 with a twisted mass), 1, 2, 3, 4 or 8 for staggered ones; sums of actions have
        more.
    tol, force_tol : float
        Relative residuals of the solves for the action in the Metropolis test and for the forces. Both start from zero,
        so that trajectories are reversible to rounding whatever `force_tol` is.
    max_iterations : int
        Most iterations of a solve.
    spectral_range : (float, float), optional
        Between which numbers the eigenvalues of K lie, for rational approximations. By default what every field keeps
        to: :math:`m^2` to :math:`m^2 + d^2` for staggered fermions; for Wilson fermions a bound from above, and the
        smaller of 1e-4 and :math:`m^2/10` from below. Every trajectory compares the eigenvalues that its solves meet
        with the range; outside of it is an error, not a bias.

    Raises
    ------
    TypeError, ValueError
        No Dirac operator; numbers out of range. Flavours that an operator cannot do are refused when the action
        meets its field.

    Examples
    --------
    >>> import plaq as pq
    >>> quarks = pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.3), n_flavors=4)
    >>> hmc = pq.HMC(pq.actions.Wilson(2.7) + quarks, steps=8)
    >>> U, info = hmc.step(pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1), rng=2)
    >>> info["solver_iterations"] > 0
    True
    """

    dirac: DiracFamily
    n_flavors: int = 2
    tol: float = 1e-11
    force_tol: float = 1e-8
    max_iterations: int = 10_000
    spectral_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dirac, DiracFamily):
            raise TypeError(
                f"Pseudofermion takes an operator such as plaq.dirac.Wilson(mass=0.1); got {shown(self.dirac)}"
            )
        whole_number("n_flavors", self.n_flavors, 1, 64)
        for name in ("tol", "force_tol"):
            value = number(name, getattr(self, name), above=0.0)
            if not 1e-15 <= value < 1:
                raise ValueError(f"{name} = {value:g}; a relative residual lies between 1e-15 and 1")
            object.__setattr__(self, name, value)
        whole_number("max_iterations", self.max_iterations)
        if self.spectral_range is not None:
            low, high = array("spectral_range", self.spectral_range, shape=(2,))
            if not 0 < low < high <= 1e14 * low:
                raise ValueError(f"spectral_range = ({low:g}, {high:g}); it needs 0 < low < high <= 1e14 low")
            object.__setattr__(self, "spectral_range", (float(low), float(high)))

    @property
    def auxiliaries(self) -> int:
        """One pseudofermion."""
        return 1

    def spec(self) -> dict[str, Any]:
        """The action as plain data; the boundary is that of the operator."""
        return {
            "kind": "pseudofermion",
            "dirac": self.dirac.spec(),
            "n_flavors": self.n_flavors,
            "tolerance": self.tol,
            "force_tolerance": self.force_tol,
            "max_iterations": self.max_iterations,
            "range": self.spectral_range,
        }
