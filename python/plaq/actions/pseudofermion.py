"""Quarks in the action, as pseudofermions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from plaq import _plaq
from plaq.concepts import Action, DiracFamily, Map, Sum
from plaq.ground.arguments import array, number, one_of, sequence, shown, whole_number

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

    Domain walls (:class:`plaq.dirac.DomainWall`, Shamir and Moebius) are a ratio to their Pauli-Villars field, which
    has the same numbers and mass 1 and takes away the bulk of the fifth dimension: two flavours are
    :math:`\phi^\dagger D(1) K^{-1} D(1)^\dagger \phi` with the determinant
    :math:`\det D^\dagger(m) D(m)/\det D^\dagger(1) D(1)` (P. M. Vranas, hep-lat/9705023), in the even-odd form of the
    four dimensions where there is one.

    With heavier quarks :math:`m_1, m_2, \dots, m_n` in `hasenbusch` (M. Hasenbusch, hep-lat/0107019) the determinant is
    split,

    .. math::

        \det K(m) = \frac{\det K(m)}{\det K(m_1)}\,\frac{\det K(m_1)}{\det K(m_2)} \cdots \det K(m_n),

    and every factor is a term with a pseudofermion of its own, :math:`\phi^\dagger W K^{-1} W^\dagger \phi` with W the
    operator of the heavier quark: :meth:`terms` gives them, lightest first, to be put on time scales of their own. The
    last one of domain walls is a ratio to the Pauli-Villars field. Ratios of fewer flavours (a < 1) are
    :math:`\phi^\dagger (W^\dagger W)^{a/2} K^{-a} (W^\dagger W)^{a/2} \phi`, with three rational approximations.

    A clover operator :math:`A + H` in its even-odd form leaves :math:`\det A_{oo}`, whose logarithm is part of the
    action.

    Parameters
    ----------
    dirac : plaq.dirac.Family
        The operator.
    n_flavors : int
        1 or 2 for Wilson fermions (2 with a twisted mass) and domain walls, 1, 2, 3, 4 or 8 for staggered ones; sums of
        actions have more. Of staggered fermions the weight is det D to the power n/4 in every dimension; a field has
        four tastes in four dimensions, two in two.
    tol, force_tol : float
        Relative residuals of the solves for the action in the Metropolis test and for the forces. Both start from zero
        unless `chronological` says otherwise, so that trajectories are reversible to rounding whatever `force_tol` is,
        but for forces whose solve stops an iteration earlier or later on the way back: they differ by their residual.
    max_iterations : int
        Most iterations of a solve.
    spectral_range : (float, float), optional
        Between which numbers the eigenvalues of K lie (of a ratio those of :math:`W^\dagger W` too), for rational
        approximations. By default what every field keeps to: :math:`m^2` to :math:`m^2 + d^2` for staggered fermions;
        for Wilson fermions and domain walls a bound from above, and from below the smaller of 1e-4 and
        :math:`\mu^2/10` with :math:`\mu = m`, or :math:`m\,m_5(2 - m_5)` of the free theory of domain walls. Every
        trajectory compares the eigenvalues that its solves meet with the range; outside of it is an error, not a bias.
    hasenbusch : sequence of float or plaq.dirac.Family, optional
        Heavier quarks, lightest first: the number that makes `dirac` heavier (``mu`` if it has a twisted mass, else
        ``mass`` or ``kappa``, whichever it was given) or an operator that differs in its masses alone.
    precision : {"double", "mixed"}
        With ``"mixed"`` the solves for :math:`K^{-1}` iterate in single precision and start again from the true
        residual in double precision: the residuals asked for are the same. Faster on lattices that do not fit the
        caches. Not for numbers of flavours that take a rational approximation.
    chronological : int
        From how many of its last solutions in the trajectory a force solve starts: from the best one that they span
        (R. C. Brower, T. Ivanenko, A. R. Levi and K. N. Orginos, hep-lat/9509012), at the price of an application of K
        for each. The way back then meets other guesses: a trajectory is reversible only to the residual of the forces,
        not to rounding, so take a `force_tol` of 1e-10 or smaller with it and look at ``hmc.check(U)``. 0, the default,
        knows none. The Metropolis test never does. Not for rational approximations.
    over : plaq.dirac.Family, optional
        The operator W: this action is the ratio :math:`\det K/\det W^\dagger W`. By default the Pauli-Villars field of
        domain walls, else none.

    Raises
    ------
    TypeError, ValueError
        No Dirac operator; numbers out of range; flavours that the operator cannot do (what it can is said), fat and
        long links, a ratio of operators that differ in more than their masses. What depends on the field is refused
        when the action meets it: another dimension or group, odd extents of staggered fermions.

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

    Domain walls between two flavours, and a third one by RHMC.

    >>> light, strange = (pq.dirac.DomainWall(mass=m, m5=1.4, ls=4) for m in (0.1, 0.3))
    >>> quarks = pq.actions.Pseudofermion(light) + pq.actions.Pseudofermion(strange, n_flavors=1)
    >>> U, info = pq.HMC(pq.actions.Wilson(2.0) + quarks, steps=6).step(pq.GaugeField.hot((4, 4), "U(1)", rng=1), rng=2)
    >>> abs(info["delta_h"]) < 1
    True
    """

    dirac: DiracFamily
    n_flavors: int = 2
    tol: float = 1e-11
    force_tol: float = 1e-8
    max_iterations: int = 10_000
    spectral_range: tuple[float, float] | None = None
    hasenbusch: Sequence[float | DiracFamily] = ()
    over: DiracFamily | None = None
    precision: str = "double"
    chronological: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.dirac, DiracFamily):
            raise TypeError(
                f"Pseudofermion takes an operator such as plaq.dirac.Wilson(mass=0.1); got {shown(self.dirac)}"
            )
        if isinstance(self.n_flavors, Map):
            raise TypeError(f"quarks on mapped links are Mapped(Pseudofermion(..), map); got {shown(self.n_flavors)}")
        whole_number("n_flavors", self.n_flavors, 1, 64)
        for name in ("tol", "force_tol"):
            value = number(name, getattr(self, name), above=0.0)
            if not 1e-15 <= value < 1:
                raise ValueError(f"{name} = {value:g}; a relative residual lies between 1e-15 and 1")
            object.__setattr__(self, name, value)
        whole_number("max_iterations", self.max_iterations)
        one_of("precision", self.precision, ("double", "mixed"))
        whole_number("chronological", self.chronological, 0, 64)
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
        masses = [getattr(family, "mass", None) for family in (self.dirac, *self.hasenbusch)]
        if any(a is not None and b is not None and a > b for a, b in pairwise(masses)):
            raise ValueError(f"hasenbusch = {shown(masses[1:])}: masses rise from {masses[0]:g} on, lightest first")
        one_solve = self.precision == "mixed" or self.chronological > 0
        for light, heavy in self._pairs():
            over = None if heavy is None else json.dumps(heavy.spec())
            _plaq.check_quarks(json.dumps(light.spec()), self.n_flavors, over, one_solve)

    def _pairs(self) -> list[tuple[DiracFamily, DiracFamily | None]]:
        """Every operator with the heavier one of its ratio."""
        quarks = [self.dirac, *self._heavier()]
        return list(zip(quarks, [*quarks[1:], self.over], strict=True))

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
        return [replace(self, dirac=light, over=heavy, hasenbusch=()) for light, heavy in self._pairs()]

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
            "mixed": self.precision == "mixed",
            "chronological": self.chronological,
        } | ratio
