"""Quarks in the action, as pseudofermions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from plaq.concepts import Action, DiracFamily, Sum
from plaq.ground.arguments import array, number, sequence, shown, whole_number

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

    With heavier quarks :math:`m_1, m_2, \dots, m_n` in `hasenbusch` (M. Hasenbusch, hep-lat/0107019) the determinant is
    split,

    .. math::

        \det K(m) = \frac{\det K(m)}{\det K(m_1)}\,\frac{\det K(m_1)}{\det K(m_2)} \cdots \det K(m_n),

    and every factor is a term with a pseudofermion of its own, :math:`\phi^\dagger W K^{-1} W^\dagger \phi` with W the
    operator of the heavier quark: :meth:`terms` gives them, lightest first, to be put on time scales of their own.

    A clover operator :math:`A + H` in its even-odd form leaves :math:`\det A_{oo}`, whose logarithm is part of the
    action.

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
    hasenbusch : sequence of float or plaq.dirac.Family, optional
        Heavier quarks, lightest first: the number that makes `dirac` heavier (``mu`` if it has a twisted mass, else
        ``mass`` or ``kappa``, whichever it was given) or an operator that differs in its masses alone. For two flavours
        of Wilson, four or eight of staggered fermions.
    over : plaq.dirac.Family, optional
        The operator W: this action is the ratio :math:`\det K/\det W^\dagger W`.

    Raises
    ------
    TypeError, ValueError
        No Dirac operator; numbers out of range; a ratio of operators of different kinds, or of roots. Flavours that an
        operator cannot do are refused when the action meets its field, as are ratios whose operators differ in more
        than their masses.

    Examples
    --------
    >>> import plaq as pq
    >>> quarks = pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.3), n_flavors=4)
    >>> hmc = pq.HMC(pq.actions.Wilson(2.7) + quarks, steps=8)
    >>> U, info = hmc.step(pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1), rng=2)
    >>> info["solver_iterations"] > 0
    True

    Three time scales: the ratio, whose force is weak and expensive, on the outermost one.

    >>> gauge, quarks = pq.actions.Wilson(5.5), pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.1), hasenbusch=[0.6])
    >>> ratio, heavy = quarks.terms()
    >>> hmc = pq.HMC(gauge + quarks, steps=4, levels=[(heavy, 2), (gauge, 3)])
    """

    dirac: DiracFamily
    n_flavors: int = 2
    tol: float = 1e-11
    force_tol: float = 1e-8
    max_iterations: int = 10_000
    spectral_range: tuple[float, float] | None = None
    hasenbusch: Sequence[float | DiracFamily] = ()
    over: DiracFamily | None = None

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
        if self.over is not None and not isinstance(self.over, DiracFamily):
            raise TypeError(f"over is an operator such as plaq.dirac.Wilson(mass=0.5); got {shown(self.over)}")
        object.__setattr__(self, "hasenbusch", self._heavier())
        heavier = [*self.hasenbusch, *([] if self.over is None else [self.over])]
        for family in heavier:
            if type(family) is not type(self.dirac):
                raise ValueError(f"the quarks of a ratio are of one kind; got {shown(self.dirac)} and {shown(family)}")
        if heavier and self.n_flavors not in (2, 4, 8):
            raise ValueError(
                f"n_flavors = {self.n_flavors} with a ratio of quarks: it needs 2 flavours of Wilson, 4 or 8 of "
                "staggered fermions"
            )

    def _heavier(self) -> tuple[DiracFamily, ...]:
        """The heavier quarks as operators."""
        if not isinstance(self.hasenbusch, Sequence) and hasattr(self.hasenbusch, "tolist"):
            object.__setattr__(self, "hasenbusch", self.hasenbusch.tolist())
        wanted = "masses or operators, lightest first"
        given = sequence("hasenbusch", self.hasenbusch, (int, float, DiracFamily), wanted, least=0)
        return tuple(q if isinstance(q, DiracFamily) else self.dirac.with_mass(number("hasenbusch", q)) for q in given)

    def terms(self) -> list[Action]:
        """The ratios and the action of the heaviest quark; the action itself if it is not split.

        Returns
        -------
        list of Pseudofermion

        Examples
        --------
        >>> import plaq as pq
        >>> pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.1), hasenbusch=[0.5]).terms()
        [Pseudofermion(Wilson(mass=0.1), over=Wilson(mass=0.5)), Pseudofermion(Wilson(mass=0.5))]
        """
        if not self.hasenbusch:
            return [self]
        chain = [self.dirac, *self._heavier(), self.over]
        pairs = itertools.pairwise(chain)
        return [replace(self, dirac=light, over=heavy, hasenbusch=()) for light, heavy in pairs if light is not None]

    def _times(self, factor: float) -> Action:
        return Sum(tuple(term._times(factor) for term in self.terms())) if self.hasenbusch else super()._times(factor)

    @property
    def auxiliaries(self) -> int:
        """Pseudofermions: one, and one for every heavier quark."""
        return 1 + len(self.hasenbusch)

    def spec(self) -> dict[str, Any]:
        """The action as plain data; the boundary is that of the operator."""
        if self.hasenbusch:
            return {"kind": "sum", "terms": [term.spec() for term in self.terms()]}
        ratio = {} if self.over is None else {"over": self.over.spec()}
        return {
            "kind": "pseudofermion",
            "dirac": self.dirac.spec(),
            "n_flavors": self.n_flavors,
            "tolerance": self.tol,
            "force_tolerance": self.force_tol,
            "max_iterations": self.max_iterations,
            "range": self.spectral_range,
        } | ratio
