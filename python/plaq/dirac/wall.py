"""Domain walls: vectors with a fifth dimension, the quark at the walls, the operator in four dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.dirac.families import Family, Wilson, phases_of
from plaq.dirac.operator import Applied, Operator, SolveInfo
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import instance, number, whole_number

__all__ = ["DomainWall", "DomainWallOperator", "EffectiveOperator"]

Spinors = NDArray[np.complex128]


@dataclass(frozen=True, repr=False)
class DomainWall(Family):
    r"""Domain-wall fermions in two or four dimensions: Shamir's (Y. Shamir, hep-lat/9303005), Moebius with `c`.

    .. math::

        (D\psi)_s = (1 + b D_W) \psi_s - (1 - c D_W) \left[P_- \psi_{s+1} + P_+ \psi_{s-1}\right],
        \quad \psi_{L_s} \to -m \psi_0,\quad \psi_{-1} \to -m \psi_{L_s - 1}

    with :math:`D_W` of :class:`Wilson` at the mass :math:`-m_5` and :math:`P_\pm = \tfrac12(1 \pm \gamma_5)`
    (R. Brower, H. Neff and K. Orginos, arXiv:1206.5214). Vectors are arrays ``[s, x.., spin, colour]``; quarks live at
    the walls, see :class:`DomainWallOperator`. :math:`b = c = 1` is Borici's operator with the kernel of Neuberger's.
    Systems are solved in the form on even sites (of the four dimensions; the part at the site is inverted in s) by
    conjugate gradients of the normal equations.

    Parameters
    ----------
    mass : float
        Quark mass m in lattice units; 1 is the Pauli-Villars field.
    m5 : float
        Height of the wall, between 0 and 2: one light quark in the free theory.
    ls : int
        Extent of the fifth dimension.
    b, c : float
        Moebius coefficients; b + c is the scale of the kernel and positive.
    boundary : sequence of complex, optional
        As of :class:`Wilson`.

    Raises
    ------
    TypeError, ValueError
        Numbers that are not finite or out of range, phases not of size one; a field of one or three dimensions.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.DomainWall(mass=0.05, m5=1.8, ls=8, b=1.5, c=0.5).on(pq.GaugeField.cold((4, 4, 4, 4)))
    >>> D.shape
    (8, 4, 4, 4, 4, 4, 3)
    """

    mass: float
    m5: float
    ls: int
    b: float = 1.0
    c: float = 0.0
    boundary: Sequence[complex] | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("mass", "b", "c"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        m5 = number("m5", self.m5)
        if not 0 < m5 < 2:
            raise ValueError(f"m5 = {m5:g}; it lies between 0 and 2, where the free theory has one light quark")
        object.__setattr__(self, "m5", m5)
        object.__setattr__(self, "ls", whole_number("ls", self.ls, 1, 4096))
        if not self.b + self.c > 0:
            raise ValueError(f"b + c = {self.b + self.c:g}, the scale of the kernel; it is greater than 0")
        object.__setattr__(self, "boundary", phases_of(self.boundary))

    def on(self, U: GaugeField) -> DomainWallOperator:
        """The operator on the links of a field.

        Parameters
        ----------
        U : GaugeField
            Of two or four dimensions, of U(1), SU(2), SU(3) or SU(4).

        Returns
        -------
        DomainWallOperator

        Raises
        ------
        TypeError, ValueError
            As :meth:`Family.on`.

        Examples
        --------
        >>> import plaq as pq
        >>> pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1)).shape
        (4, 4, 4, 2, 1)
        """
        return DomainWallOperator(self, U)

    def kernel(self) -> Wilson:
        """The Wilson fermions of mass -m5 in every slice."""
        return Wilson(mass=-self.m5, boundary=self.boundary)

    def spec(self) -> dict[str, Any]:
        """The operator as plain data."""
        found = {"kind": "domain_wall", "mass": self.mass, "m5": self.m5, "ls": self.ls, "b": self.b, "c": self.c}
        return found | {"boundary": self._angles()}


class DomainWallOperator(Operator):
    r"""Domain-wall fermions on a field, made by ``pq.dirac.DomainWall(..).on(U)``.

    Vectors are arrays ``[s, x.., spin, colour]`` with any leading axes for several right-hand sides; sources and quark
    fields are arrays ``[x.., spin, colour]``. ``D.propagator``, ``D.source``, ``D.smear``, ``D.noise`` and
    observables are about the quark

    .. math::

        q = P_- \psi_0 + P_+ \psi_{L_s - 1}, \qquad P_\pm = \tfrac12 (1 \pm \gamma_5),

    with sources :math:`(1 - c D_W) P_+ \eta` on the slice 0 and :math:`(1 - c D_W) P_- \eta` on the last one, for
    which :math:`\langle q \bar q \rangle = (D_{eff}^{-1} - 1)/(1 - m)` (R. Brower, H. Neff and K. Orginos,
    arXiv:1206.5214) with :math:`D_{eff}` of :meth:`effective`.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=6).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    >>> D.shape, D.quark_shape
    ((6, 4, 4, 2, 1), (4, 4, 2, 1))
    >>> psi, info = D.solve(D.boundary(D.source()))
    >>> bool(np.allclose(D.at_walls(psi), D.quark_field(D.source())[0]))
    True
    """

    family: DomainWall

    def __init__(self, family: DomainWall, U: GaugeField) -> None:
        super().__init__(instance("family", family, DomainWall, "plaq.dirac.DomainWall"), U)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a vector: ``(ls, x.., spin, colour)``."""
        return (self.family.ls, *self.quark_shape)

    def _columns(self, name: str, psi: Any) -> tuple[Spinors, tuple[int, ...]]:
        columns, leading = self._vectors(name, psi, self.shape)
        return np.ascontiguousarray(np.moveaxis(columns, 1, -3)), leading

    def _returned(self, columns: Spinors, leading: tuple[int, ...]) -> Spinors:
        return np.moveaxis(columns, -3, 1).reshape(*leading, *self.shape)

    @cached_property
    def _wilson(self) -> Operator:
        return self.family.kernel().on(self.U)

    @cached_property
    def _regulator(self) -> Operator:
        return replace(self.family, mass=1.0).on(self.U)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in ("_wilson", "_regulator")}

    def _chiral(self, psi: Spinors, sign: int) -> Spinors:
        """P_+ psi or P_- psi."""
        half = self.n_spins // 2
        kept = np.zeros_like(psi)
        where = slice(0, half) if sign > 0 else slice(half, None)
        kept[..., where, :] = psi[..., where, :]
        return kept

    def _mixed(self, psi: Any, lower: int, upper: int) -> Spinors:
        """P_- of one slice and P_+ of another."""
        vectors, leading = self._vectors("psi", psi, self.shape)
        q = self._chiral(vectors[:, lower], -1) + self._chiral(vectors[:, upper], 1)
        return q.reshape(*leading, *self.quark_shape)

    def boundary(self, eta: ArrayLike) -> Spinors:
        r"""The source of a quark field: :math:`(1 - c D_W) P_+ \eta` on the slice 0, with :math:`P_-` on the last one.

        Parameters
        ----------
        eta : array_like, shape (.., x.., spin, colour)

        Returns
        -------
        ndarray, shape (.., ls, x.., spin, colour)

        Raises
        ------
        TypeError, ValueError
            Wrong shapes.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> b = D.boundary(D.source(spin=0))
        >>> float(abs(b[0]).sum()), float(abs(b[1:]).sum())
        (1.0, 0.0)
        """
        columns, leading = self._vectors("eta", eta, self.quark_shape)
        b = np.zeros((len(columns), *self.shape), np.complex128)
        for s, sign in ((0, 1), (-1, -1)):
            part = self._chiral(columns, sign)
            b[:, s] += part if self.family.c == 0 else part - self.family.c * (self._wilson @ part)
        return b.reshape(*leading, *self.shape)

    def at_walls(self, psi: ArrayLike) -> Spinors:
        r"""The quark field :math:`P_- \psi_0 + P_+ \psi_{L_s - 1}` of a vector.

        Parameters
        ----------
        psi : array_like, shape (.., ls, x.., spin, colour)

        Returns
        -------
        ndarray, shape (.., x.., spin, colour)

        Raises
        ------
        TypeError, ValueError
            Wrong shapes.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> D.at_walls(np.ones(D.shape)).shape
        (4, 4, 2, 1)
        """
        return self._mixed(psi, 0, -1)

    def midpoint(self, psi: ArrayLike) -> Spinors:
        r"""The field half-way between the walls, :math:`P_- \psi_{L_s/2} + P_+ \psi_{L_s/2 - 1}`.

        Of a solution with a source of :meth:`boundary` it is :math:`\sqrt{\Delta} D_{eff}^{-1} \eta` up to a unitary
        sign, :math:`\Delta = (1 - \epsilon^2)/4` with the approximation :math:`\epsilon` of the sign function: what
        :func:`plaq.observables.residual_mass` measures.

        Parameters
        ----------
        psi : array_like, shape (.., ls, x.., spin, colour)

        Returns
        -------
        ndarray, shape (.., x.., spin, colour)

        Raises
        ------
        TypeError, ValueError
            Wrong shapes; an odd `ls`, which has no middle.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> D.midpoint(np.ones(D.shape)).shape
        (4, 4, 2, 1)
        """
        if self.family.ls % 2:
            raise ValueError(f"ls = {self.family.ls}: half-way between the walls there are slices for an even ls only")
        return self._mixed(psi, self.family.ls // 2, self.family.ls // 2 - 1)

    def quark_field(self, b: ArrayLike, **options: Any) -> tuple[Spinors, SolveInfo]:
        """The quark fields of sources: ``at_walls`` of the solution for the source ``boundary(b)``.

        Parameters
        ----------
        b : array_like, shape (.., x.., spin, colour)
            Sources.
        **options
            Of :meth:`solve`; a guess has five dimensions.

        Returns
        -------
        q : ndarray
            Like `b`.
        info : SolveInfo

        Raises
        ------
        TypeError, ValueError, plaq.ConvergenceError
            As :meth:`solve`.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> D.quark_field(D.source())[0].shape
        (4, 4, 2, 1)
        """
        psi, info = self.solve(self.boundary(b), **options)
        return self.at_walls(psi), info

    def effective(self, **options: Any) -> EffectiveOperator:
        """The operator in four dimensions that the walls stand for.

        Parameters
        ----------
        **options
            Of the solves, see :meth:`solve`; by default ``tol=1e-12``.

        Returns
        -------
        EffectiveOperator

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> D.effective().shape
        (4, 4, 2, 1)
        """
        return EffectiveOperator(self, **options)


class EffectiveOperator(Applied):
    r"""The operator of domain walls in four dimensions, made by ``D.effective()``.

    .. math::

        D_{eff} = \left[\mathcal P^\dagger D(1)^{-1} D(m) \mathcal P\right]_{00}
        = \tfrac12 (1 + m) + \tfrac12 (1 - m) \gamma_5 \epsilon(H),\quad
        \epsilon(H) = \frac{(1 + H)^{L_s} - (1 - H)^{L_s}}{(1 + H)^{L_s} + (1 - H)^{L_s}},\quad
        H = \gamma_5 \frac{(b + c) D_W}{2 + (b - c) D_W}

    with :math:`(\mathcal P \psi)_s = P_- \psi_s + P_+ \psi_{s + 1}` around the fifth dimension (R. Brower, H. Neff and
    K. Orginos, arXiv:1206.5214). The mass one is that of the Pauli-Villars field, for which a system is solved in every
    application; ``solve`` solves for the mass m. For large `ls` it is the overlap operator with the kernel H.

    Parameters
    ----------
    D : DomainWallOperator
    **options
        Of the solves, see ``D.solve``; by default ``tol=1e-12``.

    Raises
    ------
    TypeError
        Another operator.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    >>> overlap = D.effective()
    >>> x, info = overlap.solve(D.source())
    >>> bool(np.allclose(overlap @ x, D.source()))
    True
    """

    def __init__(self, D: DomainWallOperator, **options: Any) -> None:
        self.D: DomainWallOperator = instance("D", D, DomainWallOperator, "domain walls on a field")
        self._options: dict[str, Any] = {"tol": 1e-12, **options}

    def __repr__(self) -> str:
        return f"<effective operator of {self.D!r}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a vector, without the fifth dimension."""
        return self.D.quark_shape

    def _permuted(self, psi: Spinors) -> Spinors:
        """P of a vector that is `psi` on the slice 0 and zero elsewhere."""
        whole = np.zeros((len(psi), *self.D.shape), np.complex128)
        whole[:, 0] = self.D._chiral(psi, -1)
        whole[:, -1] += self.D._chiral(psi, 1)
        return whole

    def _ratio(self, above: Operator, below: Operator, psi: Spinors) -> tuple[Spinors, SolveInfo]:
        """The block 00 of P^dagger below^-1 above P."""
        x, info = below.solve(above @ self._permuted(psi), **self._options)
        return self.D.at_walls(x), info

    def _apply(self, psi: ArrayLike, adjoint: bool) -> Spinors:
        vectors, leading = self.D._vectors("psi", psi, self.shape)
        # gamma_5 D_eff is Hermitian for every ls.
        five = self._five if adjoint else 1.0
        image, _ = self._ratio(self.D, self.D._regulator, five * vectors)
        return (five * image).reshape(*leading, *self.shape)

    @property
    def _five(self) -> Any:
        half = self.D.n_spins // 2
        return np.array([1.0] * half + [-1.0] * half)[:, None]

    def solve(self, b: ArrayLike) -> tuple[Spinors, SolveInfo]:
        """The solution of ``D_eff x = b``, by one solve in five dimensions.

        Parameters
        ----------
        b : array_like, shape (.., x.., spin, colour)

        Returns
        -------
        x : ndarray
            Like `b`; unlike the quark field of ``D.quark_field`` it has the contact term.
        info : SolveInfo
            Of the system in five dimensions.

        Raises
        ------
        TypeError, ValueError, plaq.ConvergenceError
            As ``D.solve``.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
        >>> x, info = D.effective().solve(D.source())
        >>> q, _ = D.quark_field(D.source(), tol=1e-12)
        >>> bool(np.allclose(x, D.source() + (1 - 0.1) * q))
        True
        """
        vectors, leading = self.D._vectors("b", b, self.shape)
        x, info = self._ratio(self.D._regulator, self.D, vectors)
        return x.reshape(*leading, *self.shape), info
