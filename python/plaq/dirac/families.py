"""Dirac operators without a field: what is put into actions, and bound to links by ``.on(U)``."""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from plaq.concepts import DiracFamily
from plaq.dirac.operator import Operator
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import number, sequence, shown, whole_number

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Family", "Staggered", "Wilson"]


class Family(DiracFamily):
    """A Dirac operator without a field; ``family.on(U)`` binds it to links.

    Examples
    --------
    >>> import plaq as pq
    >>> isinstance(pq.dirac.Wilson(mass=0.1), pq.dirac.Family)
    True
    """

    boundary: tuple[complex, ...] | None

    def on(self, U: GaugeField) -> Operator:
        """The operator on the links of a field.

        Parameters
        ----------
        U : GaugeField
            Of U(1), SU(2), SU(3) or SU(4).

        Returns
        -------
        Operator

        Raises
        ------
        TypeError, ValueError
            No gauge field; open boundaries, links outside the group, another group or dimension, a boundary of another
            length; what is allowed is said.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.hot((4, 4, 4, 4), rng=1))
        >>> D.shape
        (4, 4, 4, 4, 4, 3)
        """
        return Operator(self, U)

    def with_mass(self, value: float) -> Self:
        """The same operator with another mass.

        Parameters
        ----------
        value : float

        Raises
        ------
        TypeError, ValueError
            No finite number.

        Examples
        --------
        >>> import plaq as pq
        >>> pq.dirac.Staggered(mass=0.1).with_mass(0.4)
        Staggered(0.4)
        >>> pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).with_mass(1.0).mass
        1.0
        """
        return replace(self, mass=number("mass", value))  # type: ignore[type-var]

    def _angles(self) -> list[float]:
        return [cmath.phase(phase) for phase in self.boundary or ()]


def phases_of(values: Any) -> tuple[complex, ...] | None:
    if values is None:
        return None
    phases = sequence(
        "boundary", values, (int, float, complex, np.number), "1, -1 or a unit complex number per direction"
    )
    for phase in phases:
        if not abs(abs(phase) - 1.0) < 1e-12:
            raise ValueError(f"boundary has the phase {shown(phase)}; each is 1, -1 or a complex number of size one")
    return tuple(complex(phase) for phase in phases)


def _links(name: str, links: Any) -> GaugeField:
    """A copy of links inside or outside of a group."""
    if isinstance(links, GaugeField):
        return links.copy()
    try:
        return GaugeField.from_numpy(links, allow_nonunitary=True)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


@dataclass(frozen=True, repr=False)
class Wilson(Family):
    r"""Wilson fermions, with clover term, twisted mass and anisotropy.

    .. math::

        D\psi(x) = (m + d)\psi(x) - \tfrac12 \sum_\mu \left[(1 - \gamma_\mu) U_\mu(x) \psi(x + \hat\mu)
        + (1 + \gamma_\mu) U_\mu^\dagger(x - \hat\mu) \psi(x - \hat\mu)\right]
        - \tfrac{c_{sw}}{2} \sum_{\mu<\nu} \gamma_\mu \gamma_\nu F_{\mu\nu} \psi(x) + i \mu \gamma_5 \psi(x)

    with :math:`F = (\text{sum of the four leaves} - \text{h.c.})/8` (K. G. Wilson, 1974; B. Sheikholeslami and
    R. Wohlert, 1985). In 3D and 4D spinors have four components in the DeGrand-Rossi basis, in 2D two with
    :math:`\gamma_0 = \sigma_1, \gamma_1 = \sigma_2, \gamma_5 = \sigma_3`. The operator :math:`1 - \kappa H` of other
    codes is :math:`2 \kappa D`: their propagators are ours divided by :math:`2 \kappa`.

    Parameters
    ----------
    mass : float
        Bare mass m in lattice units. Give it or `kappa`.
    kappa : float
        :math:`1/(2m + 2d)`, between 0 and 1/2; the mass follows from the dimension of the field.
    csw : float
        Coefficient of the clover term; 1 at tree level.
    mu : float
        Twisted mass.
    boundary : sequence of complex, optional
        One phase a direction, time last: 1, -1 or any complex number of size one. By default periodic in space and
        antiperiodic in time.
    nu, xi : float
        Weight of the spatial directions :math:`\nu/\xi` against one for time (anisotropic lattices).

    Raises
    ------
    TypeError, ValueError
        `mass` and `kappa` together or neither, `kappa` out of range, numbers that are not finite, phases not of
        size one.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(kappa=0.12, csw=1.0).on(pq.GaugeField.cold((4, 4, 4, 8)))
    >>> round(D.family.bare_mass(4), 6)
    0.166667
    """

    mass: float | None = None
    kappa: float | None = None
    csw: float = 0.0
    mu: float = 0.0
    boundary: Sequence[complex] | None = None  # type: ignore[assignment]
    nu: float = 1.0
    xi: float = 1.0

    def __post_init__(self) -> None:
        if (self.mass is None) == (self.kappa is None):
            raise ValueError("give mass or kappa of Wilson fermions, one of the two")
        if self.mass is not None:
            object.__setattr__(self, "mass", number("mass", self.mass))
        if self.kappa is not None:
            kappa = number("kappa", self.kappa)
            if not 0 < kappa < 0.5:
                raise ValueError(f"kappa = {kappa:g}; it lies between 0 and 1/2 (1/8 is massless in 4D, 1/4 in 2D)")
            object.__setattr__(self, "kappa", kappa)
        for name in ("csw", "mu"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        for name in ("nu", "xi"):
            object.__setattr__(self, name, number(name, getattr(self, name), above=0.0))
        object.__setattr__(self, "boundary", phases_of(self.boundary))

    def bare_mass(self, ndim: int) -> float:
        """The bare mass in `ndim` dimensions."""
        ndim = whole_number("ndim", ndim, 2, 4)
        if self.mass is not None:
            return self.mass
        assert self.kappa is not None
        return 0.5 / self.kappa - ndim

    def with_mass(self, value: float) -> Self:
        """The same operator with another mass: `mu` of an operator with a twisted mass, else `kappa` if it was given.

        Parameters
        ----------
        value : float

        Raises
        ------
        TypeError, ValueError
            As of :class:`Wilson`.

        Examples
        --------
        >>> import plaq as pq
        >>> pq.dirac.Wilson(kappa=0.12, csw=1.0).with_mass(0.11)
        Wilson(kappa=0.11, csw=1.0)
        """
        if self.mu:
            return replace(self, mu=number("a twisted mass", value))
        if self.kappa is not None:
            return replace(self, kappa=number("kappa", value))
        return replace(self, mass=number("mass", value))

    def spec(self) -> dict[str, Any]:
        """The operator as plain data."""
        masses = {"mass": self.mass} if self.kappa is None else {"kappa": self.kappa}
        found = {"kind": "wilson", "csw": self.csw, "mu": self.mu, "spatial": self.nu / self.xi}
        return found | masses | {"boundary": self._angles()}


@dataclass(frozen=True, repr=False)
class Staggered(Family):
    r"""Staggered fermions (L. Susskind, 1977).

    .. math::

        D\psi(x) = m \psi(x) + \tfrac12 \sum_\mu \eta_\mu(x) \left[U_\mu(x) \psi(x + \hat\mu)
        - U_\mu^\dagger(x - \hat\mu) \psi(x - \hat\mu)\right], \quad
        \eta_\mu(x) = (-1)^{x_0 + \dots + x_{\mu - 1}}

    Vectors have colours only. One field stands for :math:`2^{d/2}` tastes. Improved staggered fermions (S. Naik, 1989)
    have fat links F in place of U, and a second term of the same form with long links L that go three steps,

    .. math::

        D\psi(x) = m \psi(x) + \tfrac12 \sum_\mu \eta_\mu(x) \left[F_\mu(x) \psi(x + \hat\mu)
        + L_\mu(x) \psi(x + 3\hat\mu) - F_\mu^\dagger(x - \hat\mu) \psi(x - \hat\mu)
        - L_\mu^\dagger(x - 3\hat\mu) \psi(x - 3\hat\mu)\right].

    The coefficient -1/24 of the free Naik term is part of L, as those of :func:`plaq.smear.asqtad` and
    :func:`plaq.smear.hisq` have it.

    Parameters
    ----------
    mass : float
        Bare mass in lattice units.
    boundary : sequence of complex, optional
        As of :class:`Wilson`.
    fat, long : GaugeField or array_like, shape (d, x.., N, N), optional
        Both or neither; they need not be unitary. ``on(U)`` asks U for the lattice, the group and what smears sources.

    Raises
    ------
    TypeError, ValueError
        A mass that is not finite, phases not of size one; one of `fat` and `long` alone, or of another shape than the
        other or the field.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.1).on(pq.GaugeField.cold((4, 4, 4, 8)))
    >>> D.shape
    (4, 4, 4, 8, 3)
    """

    mass: float
    boundary: Sequence[complex] | None = None  # type: ignore[assignment]
    fat: GaugeField | ArrayLike | None = None
    long: GaugeField | ArrayLike | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mass", number("mass", self.mass))
        if (self.fat is None) != (self.long is None):
            raise ValueError("give fat and long links of improved staggered fermions, both of them (long may be zero)")
        if self.fat is not None and self.long is not None:
            fat, long = _links("fat", self.fat), _links("long", self.long)
            if np.asarray(fat).shape != np.asarray(long).shape:
                raise ValueError(f"fat has links of shape {np.shape(fat)}, long of {np.shape(long)}; they must agree")
            object.__setattr__(self, "fat", fat)
            object.__setattr__(self, "long", long)
        object.__setattr__(self, "boundary", phases_of(self.boundary))

    def spec(self) -> dict[str, Any]:
        """The operator as plain data."""
        facts = {"kind": "staggered", "mass": self.mass, "boundary": self._angles()}
        return facts if self.fat is None else {**facts, "long": True}
