"""A Dirac operator on the links of a field: applied, solved, handed to SciPy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.concepts import DiracFamily
from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import (
    aligned,
    array,
    instance,
    number,
    one_of,
    require_memory,
    shown,
    whole_number,
    whole_numbers,
)
from plaq.ground.extras import require
from plaq.ground.names import Explained
from plaq.ground.progress import said_when_long
from plaq.ground.rng import Rng, noise_vectors
from plaq.ground.states import Rebuilt

__all__ = ["Adjoint", "Operator", "SolveInfo", "Spectrum"]

Spinors = NDArray[np.complex128]
METHODS = ("auto", "cg", "cgnr", "bicgstab")
PRECISIONS = ("mixed", "double")
ROUNDING = 1e-15
SPECTRA = ("normal", "hermitian", "staggered")
ENDS = ("smallest", "largest")
DILUTIONS = ("time", "spin", "color")
SMEARINGS = ("gaussian", "jacobi")


@dataclass(frozen=True)
class SolveInfo(metaclass=Explained):
    """What a solve cost and how it ended.

    Attributes
    ----------
    method : str
        What was done, as ``"even-odd bicgstab, mixed precision"``.
    iterations, applications : int
        Of the method, and of the operator (or its even-odd form) or its adjoint.
    residual : float
        True residual ``|b - D x| / |b|`` of the worst source, computed from the returned solution.
    seconds : float
        Wall time.
    history : ndarray
        Relative residual of the worst source after each iteration, as the recursion has it.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.5).on(pq.GaugeField.cold((4, 4)))
    >>> x, info = D.solve(D.source("point"))
    >>> info.residual < 1e-10
    True
    """

    method: str
    iterations: int
    applications: int
    residual: float
    seconds: float
    history: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class Spectrum(metaclass=Explained):
    """Eigenvalues at one end of a spectrum, from ``D.eigenvalues``.

    Attributes
    ----------
    of : str
        The operator: ``"normal"``, ``"hermitian"`` or ``"staggered"``.
    values : ndarray, shape (k,)
        Those that were asked for first.
    residuals : ndarray, shape (k,)
        ``|A v - value v|`` of vectors of norm one, computed from the returned ones: the error of each value is smaller.
    scale : float
        Size of the operator, by which the tolerance is multiplied.
    degree, restarts, applications : int
        Degree of the Chebyshev polynomial (0: none), restarts of Lanczos, applications of the operator.
    seconds : float
        Wall time.
    vectors : ndarray or None, shape (k, x.., spin, colour)
        Orthonormal, where asked for.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.5).on(pq.GaugeField.hot((4, 4), rng=1))
    >>> found = D.eigenvalues(3, of="staggered")
    >>> bool((found.residuals < 1e-9 * found.scale).all())
    True
    """

    of: str
    values: NDArray[np.float64]
    residuals: NDArray[np.float64]
    scale: float
    degree: int
    restarts: int
    applications: int
    seconds: float
    vectors: Spinors | None = field(default=None, repr=False)


def since(began: float, info: dict[str, Any]) -> SolveInfo:
    """What a solve cost, from the numbers of the core."""
    return SolveInfo(seconds=time.perf_counter() - began, history=np.asarray(info.pop("history")), **info)


def tolerance(tol: float) -> float:
    """A relative residual that rounding allows."""
    tol = number("tol", tol, above=0.0)
    if tol < ROUNDING:
        raise ValueError(f"tol = {tol:g} is below rounding: at least {ROUNDING:g} can be asked for")
    return tol


class Applied(metaclass=Explained):
    """What is applied to arrays of a shape, with its adjoint: ``D @ psi``, ``D.H @ psi``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a vector."""
        raise NotImplementedError

    def _apply(self, psi: ArrayLike, adjoint: bool) -> Spinors:
        raise NotImplementedError

    @property
    def H(self) -> Adjoint:
        """The adjoint: ``D.H @ psi``."""
        return Adjoint(self)

    def __matmul__(self, psi: ArrayLike) -> Spinors:
        return self._apply(psi, False)

    def as_linear_operator(self) -> Any:
        """The operator as a :class:`scipy.sparse.linalg.LinearOperator` on flat vectors in C order.

        Raises
        ------
        ImportError
            Without SciPy.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(mass=0.2).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> D.as_linear_operator().shape
        (32, 32)
        """
        linalg = require("scipy.sparse.linalg", "analysis")
        size = int(np.prod(self.shape))

        def flat(adjoint: bool) -> Any:
            return lambda x: self._apply(np.reshape(x, self.shape), adjoint).reshape(-1)

        return linalg.LinearOperator(
            (size, size), matvec=flat(False), rmatvec=flat(True), dtype=np.dtype(np.complex128)
        )


class Operator(Applied, Rebuilt):
    r"""A Dirac operator on a field, made by ``family.on(U)``.

    Vectors are arrays ``[x.., spin, colour]`` (staggered: ``[x.., colour]``) with any number of leading axes for
    several right-hand sides; all orders and complex or real types are accepted.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(mass=0.2).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    >>> psi = D.source("point")
    >>> gamma5 = np.array([1, -1])[:, None]
    >>> bool(np.allclose(gamma5 * (D @ (gamma5 * psi)), D.H @ psi))
    True
    """

    def __init__(self, family: DiracFamily, U: GaugeField) -> None:
        self.family: DiracFamily = instance("family", family, DiracFamily, "plaq.dirac.Wilson or plaq.dirac.Staggered")
        self.U: GaugeField = instance("U", U, GaugeField, "a GaugeField")
        self._rebuild()

    def _rebuild(self) -> None:
        inside = self.U.inside("a Dirac operator")
        fat, long = (getattr(self.family, name, None) for name in ("fat", "long"))
        spec = json.dumps(self.family.spec())
        if fat is None or long is None:
            self._core = _plaq.DiracCore(spec, inside)
            return
        if fat.shape != self.U.shape or fat.n_colors != self.U.n_colors:
            raise ValueError(
                f"fat links are {fat.n_colors} x {fat.n_colors} matrices on {fat.shape}, the field is of "
                f"{self.U.group} on {self.U.shape}; they must agree"
            )
        self._core = _plaq.DiracCore(spec, fat._core, long._core)

    def __repr__(self) -> str:
        return f"<{self.family!r} on {self.U.group} {self.U.shape}>"

    @property
    def n_spins(self) -> int:
        """Components of a spinor: 4, in 2D 2, staggered 1."""
        return self._core.components[0]

    @property
    def quark_shape(self) -> tuple[int, ...]:
        """Shape of a quark field: ``(x.., spin, colour)``, staggered ``(x.., colour)``; that of sources."""
        spins, colors = self._core.components
        inner = (colors,) if spins == 1 else (spins, colors)
        return (*self.U.shape, *inner)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a vector: that of a quark field, of domain walls with the slices in front."""
        return self.quark_shape

    def _vectors(self, name: str, psi: Any, one: tuple[int, ...]) -> tuple[Spinors, tuple[int, ...]]:
        """A vector or several of shape `one` as ``[column, *one]``, and the leading axes."""
        try:
            given = np.asarray(psi)
        except ValueError:
            raise ValueError(f"{name} is an array of shape {one}; got rows of different lengths") from None
        if given.dtype.kind not in "biufc":
            raise TypeError(f"{name} is an array of complex numbers; got {shown(psi)}")
        leading = given.shape[: given.ndim - len(one)]
        if given.shape[given.ndim - len(one) :] != one or given.size == 0:
            raise ValueError(f"{name} has shape {given.shape}; {one} is needed, with any leading axes")
        return aligned(given, np.complex128).reshape(-1, *one), leading

    def _columns(self, name: str, psi: Any) -> tuple[Spinors, tuple[int, ...]]:
        """A vector or several as the core takes them, ``[column, x.., spin, colour]``, and the leading axes."""
        columns, leading = self._vectors(name, psi, self.shape)
        spins, colors = self._core.components
        return columns.reshape(-1, *self.U.shape, spins, colors), leading

    def _returned(self, columns: Spinors, leading: tuple[int, ...]) -> Spinors:
        """What the core returns as vectors with their leading axes."""
        return columns.reshape(*leading, *self.shape)

    def _apply(self, psi: ArrayLike, adjoint: bool) -> Spinors:
        columns, leading = self._columns("psi", psi)
        image: Spinors = self._core.apply(columns, adjoint)
        return self._returned(image, leading)

    def quark_field(self, b: ArrayLike, **options: Any) -> tuple[Spinors, SolveInfo]:
        """The quark fields of sources: ``D.solve(b)``, of domain walls the fields at the walls.

        Parameters
        ----------
        b : array_like, shape (.., x.., spin, colour)
            Sources.
        **options
            Of :meth:`solve`.

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
        return self.solve(b, **options)

    def solve(
        self,
        b: ArrayLike,
        *,
        tol: float = 1e-10,
        method: str = "auto",
        precision: str = "mixed",
        max_iterations: int = 10_000,
        guess: ArrayLike | None = None,
        even_odd: bool = True,
        deflate: Spectrum | None = None,
    ) -> tuple[Spinors, SolveInfo]:
        """The solution of ``D x = b``, for several right-hand sides at once.

        Parameters
        ----------
        b : array_like, shape (.., x.., spin, colour)
            Right-hand sides; each is stopped at its own residual.
        tol : float
            ``|b - D x| <= tol |b|`` for each; checked on the returned solution in double precision.
        method : {"auto", "cg", "cgnr", "bicgstab"}
            Conjugate gradients (staggered fermions in their even-odd form, which is positive), conjugate gradients of
            the normal equations, BiCGStab. ``"auto"``: ``cg`` for staggered, ``bicgstab`` for Wilson fermions, and
            ``cgnr`` if that breaks down. What was done is in `info`.
        precision : {"mixed", "double"}
            ``"mixed"`` iterates in single precision and restarts from the true residual, where the lattice can be cut
            for its lanes; the tolerance is the same.
        max_iterations : int
            Most iterations.
        guess : array_like, optional
            First guess, like `b`.
        even_odd : bool
            Solve the even-odd form where even and odd sites can be told apart by site vectors (extents 4, 8, 12, ...).
        deflate : Spectrum, optional
            Low modes of ``D.eigenvalues(k, vectors=True)`` (of ``"normal"``): the system is solved in their space
            first, and again at every restart. For many sources on one field, with ``method="cgnr", even_odd=False`` or
            staggered fermions; what it costs beforehand is one application for each.

        Returns
        -------
        x : ndarray
            Like `b`.
        info : SolveInfo

        Raises
        ------
        TypeError, ValueError
            Wrong shapes, types or options; sources that are not finite; a tolerance below rounding.
        plaq.ConvergenceError
            No convergence; ``.history`` holds the residuals, ``.best`` the iterate with the smallest true residual,
            like `b`; the message says what to try. What singular operators and breakdowns do: docs/solvers.md. A solve
            that takes more than 20 s says so on standard error, with what to try.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.hot((4, 4, 4, 4), rng=1))
        >>> b = D.source("point")
        >>> x, info = D.solve(b)
        >>> bool(np.linalg.norm(b - D @ x) < 1e-10 * np.linalg.norm(b))
        True
        """
        columns, leading = self._columns("b", b)
        start = None
        if guess is not None:
            start, _ = self._columns("guess", guess)
            if start.shape != columns.shape:
                raise ValueError(f"guess has shape {start.shape}, b {columns.shape}; they must agree")
        low = None if deflate is None else self._low_modes(deflate)
        tol = tolerance(tol)
        one_of("method", method, METHODS)
        one_of("precision", precision, PRECISIONS)
        most = whole_number("max_iterations", max_iterations, 0)
        began = time.perf_counter()
        chosen = None if method == "auto" else method
        try:
            with said_when_long(lambda seconds: self._long_solve(seconds, len(columns), most)):
                mixed = precision == "mixed"
                x, info = self._core.solve(columns, start, low, chosen, mixed, bool(even_odd), tol, most)
        except _plaq.ConvergenceError as error:
            failure: Any = error
            if failure.best is not None:
                failure.best = self._returned(np.reshape(failure.best, columns.shape), leading)
            failure.history = np.asarray(failure.history)
            raise
        return self._returned(x, leading), since(began, info)

    def solve_shifted(
        self, b: ArrayLike, shifts: ArrayLike, *, tol: float = 1e-10, max_iterations: int = 10_000
    ) -> tuple[Spinors, SolveInfo]:
        r"""The solutions of :math:`(D^\dagger D + \sigma_k)\, x_k = b` for all shifts, at the cost of the smallest.

        Multi-shift conjugate gradients (B. Jegerlehner, hep-lat/9612014) in double precision; where the recursion has
        drifted away from the true residual, that system is polished by conjugate gradients of its own. What a rational
        function of :math:`D^\dagger D` needs: an overlap operator, a root, a density of eigenvalues.

        Parameters
        ----------
        b : array_like, shape (.., x.., spin, colour)
            Right-hand sides, one after the other.
        shifts : array_like, shape (n,)
            Not negative, in any order.
        tol : float
            ``|b - (D.H D + shift) x| <= tol |b|`` for each; checked on the solutions.
        max_iterations : int
            Most iterations for each right-hand side.

        Returns
        -------
        x : ndarray, shape (n, .., x.., spin, colour)
        info : SolveInfo

        Raises
        ------
        TypeError, ValueError
            Wrong shapes or types; negative shifts; a tolerance below rounding.
        plaq.ConvergenceError
            No convergence; ``.history`` holds the residuals.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.hot((4, 4, 4, 4), rng=1))
        >>> b = D.source("point")
        >>> x, info = D.solve_shifted(b, [0.01, 0.1, 1.0])
        >>> bool(np.allclose(D.H @ (D @ x[1]) + 0.1 * x[1], b))
        True
        """
        columns, leading = self._columns("b", b)
        sigma = array("shifts", shifts, shape=(None,), least=0.0)
        tol = tolerance(tol)
        most = whole_number("max_iterations", max_iterations, 0)
        began = time.perf_counter()
        with said_when_long(lambda seconds: self._long_solve(seconds, len(columns), most)):
            x, info = self._core.solve_shifted(columns, sigma.tolist(), tol, most)
        x = x.reshape(-1, *columns.shape[1:])
        return self._returned(x, (len(sigma), *leading)), since(began, info)

    def _long_solve(self, seconds: float, columns: int, most: int) -> str:
        return (
            f"plaq: the solve of {self!r} for {columns} columns runs since {seconds:.3g} s, for at most {most} "
            "iterations. If the quarks are lighter than this field allows (kappa beyond the critical one), the "
            "residual stagnates and the end is a ConvergenceError with its history: Ctrl-C, then a heavier quark, "
            "fewer max_iterations, a larger tol, or D.eigenvalues(4) to see how near to zero the operator comes"
        )

    def _low_modes(self, deflate: Any) -> Spinors:
        """The vectors of a spectrum of this operator."""
        instance("deflate", deflate, Spectrum, "a Spectrum of D.eigenvalues(k, vectors=True)")
        if deflate.vectors is None or deflate.of != "normal" or deflate.vectors.shape[1:] != self.shape:
            raise ValueError('deflate needs D.eigenvalues(k, of="normal", vectors=True) of this operator')
        if not (deflate.values > 0).all():
            raise ValueError("deflate has eigenvalues that are zero: the operator is singular")
        return self._columns("deflate.vectors", deflate.vectors)[0]

    def eigenvalues(
        self,
        k: int,
        *,
        which: str = "smallest",
        of: str = "normal",
        vectors: bool = False,
        tol: float = 1e-10,
        degree: int | None = None,
        max_applications: int = 1_000_000,
    ) -> Spectrum:
        r"""Eigenvalues at one end of the spectrum of a Hermitian operator made of D.

        Lanczos with thick restarts (K. Wu and H. Simon, 2000), for the smallest ones on a Chebyshev polynomial of the
        operator. Degenerate values come with their multiplicity: the search goes on in the orthogonal complement of
        what was found until nothing more belongs to the answer.

        Parameters
        ----------
        k : int
            How many, up to the dimension of the space.
        which : {"smallest", "largest"}
            In size: of gamma_5 D the smallest are the ones nearest to zero.
        of : {"normal", "hermitian", "staggered"}
            :math:`D^\dagger D`; :math:`\gamma_5 D` of Wilson fermions without twisted mass; :math:`-(D - m)^2` of
            staggered fermions on the even sites, whose values :math:`\lambda^2` stand for the pairs
            :math:`m \pm i \lambda` of D.
        vectors : bool
            Return the vectors too.
        tol : float
            ``|A v - value v| <= tol |A|`` for each, checked on what is returned.
        degree : int, optional
            Of the polynomial; 0 is none, by default chosen from a survey of the spectrum.
        max_applications : int
            Most applications of the operator.

        Returns
        -------
        Spectrum

        Raises
        ------
        TypeError, ValueError
            k larger than the space, unknown options, an operator that is not Hermitian, more memory than there is.
        plaq.ConvergenceError
            No applications left, or a tolerance below rounding.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(mass=0.2).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> found = D.eigenvalues(2)
        >>> found.values.shape, bool((found.values > 0).all())
        ((2,), True)
        """
        k = whole_number("k", k)
        one_of("which", which, ENDS)
        one_of("operator", of, SPECTRA)
        tol = tolerance(number("tol", tol, above=0.0, most=1.0))
        most = whole_number("max_applications", max_applications)
        if degree is not None:
            degree = whole_number("degree", degree, 0, 10_000)
        began = time.perf_counter()
        values, found, info = self._core.eigenvalues(of, k, which == "largest", bool(vectors), tol, most, degree)
        return Spectrum(
            of=of,
            values=np.array(values),
            residuals=np.array(info.pop("residuals")),
            seconds=time.perf_counter() - began,
            vectors=None if found is None else self._returned(found, (k,)),
            **info,
        )

    def source(
        self,
        kind: str = "point",
        *,
        at: tuple[int, ...] | None = None,
        spin: int = 0,
        color: int = 0,
        momentum: Any = None,
    ) -> Spinors:
        """A source: one component at a point, or on all points of its time slice.

        Parameters
        ----------
        kind : {"point", "wall"}
            One site, or the whole time slice of it.
        at : tuple of int, optional
            The site; by default the origin.
        spin, color : int
            The component that is one.
        momentum : sequence of int, optional
            n of a wall, one for each spatial direction: its points have the phase exp(i p x) with p_k = 2 pi n_k/L_k.

        Returns
        -------
        ndarray

        Raises
        ------
        TypeError, ValueError
            Unknown kind, a site or component that is not there, a momentum of a point or of wrong length.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Staggered(mass=0.5).on(pq.GaugeField.cold((4, 4)))
        >>> float(D.source("wall", at=(0, 2)).sum().real)
        4.0
        """
        if isinstance(kind, int | tuple | list):
            raise TypeError(f'the kind of source is "point" or "wall", and its site at=(x, ..); got {shown(kind)}')
        one_of("kind of source", kind, ("point", "wall"))
        site = self._site(at)
        spins, colors = self._core.components
        spin, color = whole_number("spin", spin, 0, spins - 1), whole_number("color", color, 0, colors - 1)
        b = np.zeros(self.quark_shape, np.complex128)
        where: tuple[Any, ...] = site if kind == "point" else (..., site[-1])
        lattice = b[..., color] if spins == 1 else b[..., spin, color]
        lattice[where] = 1.0
        if momentum is None:
            return b
        if kind != "wall":
            raise ValueError("momentum belongs to a wall; a point has all momenta, the sink chooses one")
        space = self.U.shape[:-1]
        n = whole_numbers("momentum", momentum, -(2**31), 2**31, "one whole number for each spatial direction")
        if len(n) != len(space):
            raise ValueError(f"momentum has {len(n)} components; give {len(space)} whole numbers, in units of 2 pi/L")
        for axis, (count, extent) in enumerate(zip(n, space, strict=True)):
            wave = np.exp(2j * np.pi * count * np.arange(extent) / extent)
            lattice *= wave.reshape(-1, *(1,) * (self.U.ndim - 1 - axis))
        return b

    def sources(self, kind: str = "point", *, at: tuple[int, ...] | None = None, momentum: Any = None) -> Spinors:
        """The sources of all spins and colours: what :meth:`propagator` solves for.

        Parameters
        ----------
        kind, at, momentum
            See :meth:`source`.

        Returns
        -------
        ndarray, shape (spin', colour', x.., spin, colour)
            Staggered: ``(colour', x.., colour)``.

        Raises
        ------
        TypeError, ValueError
            As :meth:`source`.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(mass=0.5).on(pq.GaugeField.hot((4, 4, 4, 4), rng=1))
        >>> G, info = D.propagator(D.smear(D.sources("point"), steps=5))
        >>> G.shape
        (4, 3, 4, 4, 4, 4, 4, 3)
        """
        spins, colors = self._core.components
        each = [
            self.source(kind, at=at, spin=s, color=c, momentum=momentum) for s in range(spins) for c in range(colors)
        ]
        return np.array(each).reshape(*self.quark_shape[self.U.ndim :], *self.quark_shape)

    def smear(
        self,
        psi: ArrayLike,
        *,
        alpha: float = 0.25,
        steps: int = 20,
        links: GaugeField | None = None,
        kind: str = "gaussian",
    ) -> Spinors:
        r"""Smearing of a source, or of the sink of a propagator, in space.

        Gaussian (S. Güsken, 1990; Wuppertal) and Jacobi smearing (UKQCD, hep-lat/9303009), with
        :math:`H\psi(x) = \sum_{k=1}^{n_s} U_k(x) \psi(x + \hat k) + U_k^\dagger(x - \hat k) \psi(x - \hat k)`:

        .. math::

            \psi \leftarrow \frac{(1 + \alpha H) \psi}{1 + 2 n_s \alpha} \quad \text{(steps times)}, \qquad
            \psi \leftarrow \sum_{n=0}^{steps} (\alpha H)^n \psi \to (1 - \alpha H)^{-1} \psi.

        Parameters
        ----------
        psi : array_like, shape (.., x.., spin, colour)
        alpha : float
            Weight of the neighbours. The Jacobi series has a limit below :math:`1/2n_s` (free field).
        steps : int
            Applications of H. The Gaussian radius grows with the root of ``steps``.
        links : GaugeField, optional
            Smeared links, as ``plaq.smear.ape(U, alpha=0.5)``; by default those of the operator.
        kind : {"gaussian", "jacobi"}
            The Gaussian one is divided by its weight on a constant field, the Jacobi one is not.

        Returns
        -------
        ndarray
            Like `psi`.

        Raises
        ------
        TypeError, ValueError
            Wrong shapes; negative `alpha`; links of another shape or group; an unknown kind.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(mass=0.5).on(pq.GaugeField.cold((4, 4, 4, 4)))
        >>> b = D.smear(D.source("point"), alpha=0.5, steps=10)
        >>> bool(np.isclose(b.sum(), 1.0)), bool(np.abs(b[..., 1, :, :]).max() == 0)
        (True, True)
        """
        one_of("kind of smearing", kind, SMEARINGS)
        columns, leading = self._vectors("psi", psi, self.quark_shape)
        columns = columns.reshape(-1, *self.U.shape, *self._core.components)
        alpha = number("alpha", alpha, least=0.0)
        steps = whole_number("steps", steps, 0)
        U = self.U if links is None else instance("links", links, GaugeField, "a GaugeField, as plaq.smear.ape(U)")
        if U.shape != self.U.shape or U.n_colors != self.U.n_colors:
            raise ValueError(f"links are of {U.group} on {U.shape}; {self.U.group} on {self.U.shape} is needed")
        matrices = np.asarray(U)[:, None]
        space, source = self.U.ndim - 1, columns
        for _ in range(steps):
            total = (columns if kind == "gaussian" else source).copy()
            for k in range(space):
                forward = np.roll(columns, -1, axis=k + 1)
                backward = np.swapaxes(matrices[k].conj(), -1, -2) @ np.swapaxes(columns, -1, -2)
                total += alpha * np.swapaxes(matrices[k] @ np.swapaxes(forward, -1, -2), -1, -2)
                total += alpha * np.roll(np.swapaxes(backward, -1, -2), 1, axis=k + 1)
            columns = total / (1 + 2 * space * alpha) if kind == "gaussian" else total
        return columns.reshape(*leading, *self.quark_shape)

    def noise(self, n: int = 1, kind: str = "Z2", *, dilute: Any = (), rng: Rng | None = None) -> Spinors:
        """Noise sources of mean zero, cut into pieces (dilution).

        Parameters
        ----------
        n : int
            Number of independent vectors.
        kind : {"Z2", "Z4"}
            Components are +-1, or +-1 and +-i.
        dilute : sequence of {"time", "spin", "color"}
            Every vector is cut into pieces that live on one time slice, one spin or one colour (or all combinations):
            the pieces add up to the vector, and the variance of traces falls.
        rng : int, Generator or SeedSequence

        Returns
        -------
        ndarray, shape (n, pieces, x.., spin, colour)

        Raises
        ------
        TypeError, ValueError
            Unknown kind or dilution, no `rng`, more memory than there is.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(mass=0.5).on(pq.GaugeField.cold((4, 4), "U(1)"))
        >>> D.noise(3, dilute=("time", "spin"), rng=1).shape
        (3, 8, 4, 4, 2, 1)
        """
        n = whole_number("n", n)
        if isinstance(dilute, str):
            dilute = (dilute,)
        try:
            names = [one_of("dilution", name, DILUTIONS) for name in dilute]
        except TypeError:
            raise TypeError(f"dilute holds some of time, spin and color; got {shown(dilute)}") from None
        if len(set(names)) < len(names):
            raise ValueError(f"dilute = {shown(dilute)} names a dilution twice")
        spins, colors = self._core.components
        extents = {"time": self.U.shape[-1], "spin": spins, "color": colors}
        inner = len(self.quark_shape) - self.U.ndim
        axes = {"time": -1 - inner, "spin": -2, "color": -1}
        pieces = int(np.prod([extents[name] for name in names], dtype=int))
        require_memory(f"noise of {n} vectors in {pieces} pieces", n * pieces * int(np.prod(self.quark_shape)), 16)
        cut = noise_vectors(self.quark_shape, n, kind, rng)[:, None]
        for name in names:
            if extents[name] == 1:
                continue
            parts = np.zeros((n, cut.shape[1], extents[name], *self.quark_shape), np.complex128)
            for index in range(extents[name]):
                where: tuple[Any, ...] = (..., index, *(slice(None),) * (-1 - axes[name]))
                parts[:, :, index][where] = cut[where]
            cut = parts.reshape(n, -1, *self.quark_shape)
        return cut

    def _site(self, at: Any) -> tuple[int, ...]:
        if at is None:
            return (0,) * self.U.ndim
        try:
            site = tuple(at)
        except TypeError:
            raise TypeError(f"at is a site, one int per direction; got {shown(at)}") from None
        if len(site) != self.U.ndim:
            raise ValueError(
                f"at = {shown(site)} has {len(site)} coordinates; the lattice has {self.U.ndim} directions"
            )
        return tuple(whole_number("coordinate", x, 0, extent - 1) for x, extent in zip(site, self.U.shape, strict=True))

    def propagator(
        self, source: str | ArrayLike = "point", *, at: tuple[int, ...] | None = None, **options: Any
    ) -> tuple[Spinors, SolveInfo]:
        """The propagator from a source: all spins and colours in one call.

        Parameters
        ----------
        source : {"point", "wall"} or array_like, shape (spin', colour', x.., spin, colour)
            See :meth:`source`; or sources of your own, as ``D.smear(D.sources("point"))``.
        at : tuple of int, optional
            The site; by default the origin.
        **options
            Of :meth:`solve`.

        Returns
        -------
        G : ndarray, shape (spin', colour', x.., spin, colour)
            ``G[s', c']`` solves ``D x = source with spin s' and colour c'`` (staggered: shape
            ``(colour', x.., colour)``).
        info : SolveInfo

        Raises
        ------
        TypeError, ValueError, plaq.ConvergenceError
            As :meth:`solve`.

        Examples
        --------
        >>> import plaq as pq
        >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.cold((4, 4, 4, 4)))
        >>> G, info = D.propagator()
        >>> G.shape
        (4, 3, 4, 4, 4, 4, 4, 3)
        """
        if isinstance(source, np.ndarray):
            wanted = (*self.quark_shape[self.U.ndim :], *self.quark_shape)
            if source.shape != wanted or at is not None:
                raise ValueError(f"sources have shape {wanted}, as of D.sources, and no `at`; got {source.shape}")
            return self.quark_field(source, **options)
        return self.quark_field(self.sources(source, at=at), **options)  # type: ignore[arg-type]


class Adjoint(metaclass=Explained):
    """The adjoint of an operator, for ``D.H @ psi``.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.5).on(pq.GaugeField.cold((4, 4)))
    >>> (D.H @ D.source()).shape == D.shape
    True
    """

    def __init__(self, operator: Applied) -> None:
        self.operator: Applied = instance("operator", operator, Applied, "a Dirac operator")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a vector."""
        return self.operator.shape

    def __matmul__(self, psi: ArrayLike) -> Spinors:
        return self.operator._apply(psi, True)
