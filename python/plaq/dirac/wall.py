"""Domain walls on a field: vectors with a fifth dimension, the quark at the walls, the operator in four dimensions."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.dirac.operator import Applied, Operator, SolveInfo
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import instance, shown

if TYPE_CHECKING:
    from plaq.dirac.families import DomainWall

__all__ = ["DomainWallOperator", "EffectiveOperator"]

Spinors = NDArray[np.complex128]


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
        if not hasattr(family, "kernel"):
            raise TypeError(f"family is {shown(family)}; plaq.dirac.DomainWall(mass, m5, ls) is needed")
        super().__init__(family, U)

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
