"""Correlators of mesons and nucleons, and the quark condensate, from propagators of a Dirac operator."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plaq import _plaq
from plaq.ground.arguments import one_of, shown, whole_number, whole_numbers
from plaq.ground.correlators import effective_mass, effective_mass_error
from plaq.ground.rng import Rng, noise_vectors
from plaq.statistics import Estimate

__all__ = [
    "chiral_condensate",
    "effective_mass",
    "effective_mass_error",
    "meson_correlator",
    "nucleon_correlator",
    "pcac_mass",
    "pion_correlator",
    "residual_mass",
    "staggered_correlator",
]

Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]
EPSILON = [((0, 1, 2), 1), ((1, 2, 0), 1), ((2, 0, 1), 1), ((0, 2, 1), -1), ((2, 1, 0), -1), ((1, 0, 2), -1)]
PLANES = ("01", "02", "03", "12", "13", "23")
GAMMAS = ("I", "5", *(str(mu) for mu in range(4)), *(f"5{mu}" for mu in range(4)), *PLANES)


class Solvable(Protocol):
    """What is needed of :class:`plaq.dirac.Operator`."""

    @property
    def U(self) -> Any: ...
    @property
    def propagator(self) -> Any: ...
    @property
    def quark_field(self) -> Any: ...
    @property
    def n_spins(self) -> int: ...
    @property
    def quark_shape(self) -> tuple[int, ...]: ...


def _operator(D: Any) -> Any:
    if not all(hasattr(D, name) for name in ("propagator", "quark_field", "quark_shape", "n_spins", "U")):
        raise TypeError(f"a Dirac operator is needed, made by family.on(U); got {shown(D)}")
    return D


def pion_correlator(D: Solvable, source: Any = None, **options: Any) -> Reals:
    r"""The pion correlator :math:`C(t) = \sum_{\vec x, \text{spin, colour}} |G(\vec x, t; \text{source})|^2`.

    For staggered fermions this is the Goldstone pion.

    Parameters
    ----------
    D : plaq.dirac.Operator
    source : ndarray, optional
        A propagator of ``D.propagator``; by default that of a point source at the origin is computed.
    **options
        Of ``D.solve``.

    Returns
    -------
    ndarray, shape (L_t,)
        Not normalised.

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        No Dirac operator; a propagator of another shape; as ``D.solve``.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.cold((4, 4, 4, 8)))
    >>> C = pq.observables.pion_correlator(D)
    >>> C.shape, bool(np.isclose(C[1], C[7]))
    ((8,), True)
    """
    G = _propagator(_operator(D), source, options)
    weights = np.abs(G) ** 2
    inner = 1 if D.n_spins == 1 else 2
    axes = tuple(axis for axis in range(G.ndim) if axis != G.ndim - 1 - inner)
    return np.asarray(weights.sum(axis=axes), np.float64)


def _propagator(D: Any, G: Any, options: dict[str, Any]) -> Complexes:
    if "propagator" in options:
        raise TypeError('unknown argument "propagator": a propagator is given as source=G')
    if G is None:
        return np.asarray(D.propagator(**options)[0])
    if isinstance(G, tuple):
        raise TypeError("the propagator is an array; D.propagator gives two things: G, info = D.propagator(..)")
    G = np.asarray(G)
    one = D.quark_shape
    wanted = (*one[len(D.U.shape) :], *one)
    if G.shape != wanted:
        raise ValueError(f"the propagator has shape {G.shape}; {wanted} is needed, as of D.propagator")
    return np.asarray(G, np.complex128)


def _gamma(name: str, spins: int) -> Complexes:
    """One of the matrices I, gamma_5, gamma_mu, gamma_5 gamma_mu, gamma_mu gamma_nu in the basis of docs/dirac.md."""
    if not isinstance(name, str):
        raise TypeError(f'gamma is a name, as "5"; a propagator goes behind it or by name: source=G; got {shown(name)}')
    one_of("gamma", name, GAMMAS)
    basis = _plaq.gamma_matrices(spins)
    known = {"I": np.eye(spins, dtype=complex)}
    known["5"] = np.diag([1.0 + 0j] * (spins // 2) + [-1.0] * (spins // 2))
    known |= {str(mu): matrix for mu, matrix in enumerate(basis)}
    product: Complexes = known["I"]
    for factor in name:
        if factor not in known:
            raise ValueError(f"gamma_{factor} does not exist for spinors of {spins} components")
        product = product @ known[factor]
    return product


def _phases(D: Any, momentum: Any) -> Complexes:
    """exp(-i p.x) with p = 2 pi n/L for the spatial directions, on [x.., 1]."""
    space = D.U.shape[:-1]
    n = (
        [0] * len(space)
        if momentum is None
        else whole_numbers("momentum", momentum, -(2**31), 2**31, "one whole number for each spatial direction")
    )
    if len(n) != len(space):
        raise ValueError(f"momentum has {len(n)} components; give {len(space)} whole numbers, in units of 2 pi/L")
    x = np.indices(space)
    angle = sum((2 * np.pi * k / extent * at for k, extent, at in zip(n, space, x, strict=True)), np.zeros(space))
    return np.exp(-1j * np.asarray(angle))[..., None]


def meson_correlator(
    D: Solvable,
    gamma_source: str = "5",
    gamma_sink: str | None = None,
    source: Any = None,
    *,
    momentum: Any = None,
    **options: Any,
) -> Complexes:
    r"""A connected meson correlator of Wilson fermions, :math:`C(t) = \sum_{\vec x} e^{-i p x} \langle O_1(\vec x, t)
    O_2^\dagger(0)\rangle` with :math:`O = \bar\psi\Gamma\psi`, :math:`O^\dagger = \bar\psi\bar\Gamma\psi`.

    .. math::

        C(t) = -\sum_{\vec x} e^{-i p x}\, \mathrm{tr}[\Gamma_1 G(x) \bar\Gamma_2 \gamma_5 G(x)^\dagger \gamma_5],
        \quad \bar\Gamma = \gamma_t \Gamma^\dagger \gamma_t

    with :math:`\Gamma_1` at the sink, :math:`\Gamma_2` at the source, :math:`\gamma_t` of the last direction and
    :math:`G(x)` the propagator from the origin. ``("5", "5")`` is the positive :func:`pion_correlator`; the three
    polarisations ``"0"``, ``"1"``, ``"2"`` of a vector meson agree.

    Parameters
    ----------
    D : plaq.dirac.Operator
        Of Wilson fermions.
    gamma_source, gamma_sink : str
        ``"I"`` (identity), ``"5"``, ``"0"`` to ``"3"`` (gamma_mu, time last), ``"50"`` to ``"53"`` (gamma_5 gamma_mu)
        or ``"01"`` to ``"23"`` (gamma_mu gamma_nu): a basis of all 16. By default the sink has that of the source.
    source : ndarray, optional
        A propagator; by default from a point source at the origin.
    momentum : sequence of int, optional
        n of the spatial momentum :math:`p_k = 2 \pi n_k / L_k` that the sink projects on by :math:`e^{-i p x}`.
    **options
        Of ``D.solve``.

    Returns
    -------
    ndarray, shape (L_t,)

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        Staggered fermions; unknown matrices; as ``D.solve``.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.cold((4, 4, 4, 8)))
    >>> G, _ = D.propagator()
    >>> rho = pq.observables.meson_correlator(D, "0", "0", G)
    >>> pion = pq.observables.meson_correlator(D, "5", "5", G)
    >>> bool(np.allclose(pion, pq.observables.pion_correlator(D, G)))
    True
    """
    if _operator(D).n_spins == 1:
        raise ValueError("meson_correlator is for Wilson fermions; staggered ones have staggered_correlator")
    G = _propagator(D, source, options)
    spins, ndim = D.n_spins, len(D.U.shape)
    five = _gamma("5", spins)
    time = _gamma(str(ndim - 1), spins)
    sink = five @ _gamma(gamma_source if gamma_sink is None else gamma_sink, spins)
    source_matrix = time @ _gamma(gamma_source, spins).conj().T @ time @ five
    # Axes of G: source spin, source colour, sites, sink spin, sink colour.
    G = np.moveaxis(G, (0, 1), (ndim, ndim + 1))
    along = G.reshape(-1, D.U.shape[-1], *G.shape[ndim:])
    weighted = (_phases(D, momentum)[..., None, None, None, None] * G).reshape(along.shape)
    closed = np.einsum("xtbcrd,rp,xtacpd,ab->t", along.conj(), sink, weighted, source_matrix, optimize=True)
    return np.asarray(-closed)


def staggered_correlator(
    D: Solvable, gamma: str = "5", source: Any = None, *, momentum: Any = None, **options: Any
) -> Complexes:
    r"""A local, taste-diagonal meson of staggered fermions.

    .. math::

        C(t) = \sum_{\vec x} s_\Gamma(x)\, e^{-ipx} \sum_{\text{colour}} |G(x)|^2

    The sixteen operators :math:`\bar\chi(x) \phi_\Gamma(x) \chi(x)` of one site have spin and taste
    :math:`\Gamma \otimes \xi_\Gamma` (H. Kluberg-Stern et al., 1983; M. Golterman, 1986). With
    :math:`\gamma_x = \gamma_0^{x_0} \gamma_1^{x_1} \gamma_2^{x_2} \gamma_3^{x_3}` their phases are
    :math:`\phi_\Gamma(x) = \tfrac14 \mathrm{tr}(\gamma_x^\dagger \Gamma \gamma_x \Gamma^\dagger)`, and the antiquark
    adds :math:`\epsilon(x) = (-1)^{x_0 + x_1 + x_2 + x_3}`: :math:`s_\Gamma = \phi_\Gamma \epsilon`. It is 1
    for ``"5"`` (the Goldstone pion, :func:`pion_correlator`), :math:`(-1)^{x_k}` for ``"k"`` (the local :math:`\rho`,
    "VT"), :math:`\epsilon` for ``"I"`` (:math:`\sigma`), and so on; every correlator but that of the pion has a parity
    partner that oscillates in time.

    Parameters
    ----------
    D : plaq.dirac.Operator
        Of staggered fermions in four dimensions.
    gamma : str
        Name of :math:`\Gamma`, as of :func:`meson_correlator`.
    source : ndarray, optional
        A propagator; by default from a point source at the origin, to which the phases refer.
    momentum : sequence of int, optional
        As of :func:`meson_correlator`.
    **options
        Of ``D.solve``.

    Returns
    -------
    ndarray, shape (L_t,)

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        Other fermions or dimensions; unknown matrices; as ``D.solve``.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.3).on(pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=1))
    >>> G, _ = D.propagator()
    >>> pion = pq.observables.staggered_correlator(D, "5", G)
    >>> bool(np.allclose(pion, pq.observables.pion_correlator(D, G)))
    True
    """
    if _operator(D).n_spins != 1 or len(D.U.shape) != 4:
        raise ValueError("taste-diagonal mesons are those of staggered fermions in four dimensions")
    one_of("gamma", gamma, GAMMAS)
    phases = _phases(D, momentum)
    G = _propagator(D, source, options)
    # The matrices in a name, of which each anticommutes with all others: gamma_nu passes Gamma with a sign.
    inside = {int(name) for name in gamma if name in "0123"}
    flips = [(len(inside) - (nu in inside)) % 2 for nu in range(4)]
    if "5" in gamma:
        flips = [1 - flip for flip in flips]
    x = np.indices(D.U.shape)
    sign = (-1.0) ** sum((1 + flip) * at for flip, at in zip(flips, x, strict=True))
    site = sign * (np.abs(G) ** 2).sum(axis=(0, -1))
    return np.asarray((phases * site).reshape(-1, D.U.shape[-1]).sum(axis=0))


def nucleon_correlator(
    D: Solvable, source: Any = None, *, parity: int = 1, momentum: Any = None, **options: Any
) -> Complexes:
    r"""The nucleon correlator of Wilson fermions of SU(3) with two quarks of one mass.

    .. math::

        C(t) = \sum_{\vec x} e^{-i p x}\, \mathrm{tr}\left[P_\pm \langle N(x) \bar N(0) \rangle\right],\quad
        N = \epsilon_{abc} (u_a^T C \gamma_5 d_b)\, u_c,\quad P_\pm = \tfrac12 (1 \pm \gamma_t)

    with :math:`C = \gamma_1 \gamma_3`, for which :math:`C \gamma_\mu C^{-1} = -\gamma_\mu^T` in this basis (time is
    the direction 3). With :math:`\Gamma = C\gamma_5, \tilde\Gamma = \gamma_t \Gamma^\dagger \gamma_t`
    and a propagator :math:`G^{cc'}_{\alpha\alpha'}` for both quarks this is

    .. math::

        \epsilon_{abc}\epsilon_{a'b'c'} \Gamma_{\beta\gamma} \tilde\Gamma_{\gamma'\beta'} P_{\alpha'\alpha}
        \left[G^{aa'}_{\beta\beta'} G^{bb'}_{\gamma\gamma'} G^{cc'}_{\alpha\alpha'}
        - G^{ac'}_{\beta\alpha'} G^{bb'}_{\gamma\gamma'} G^{ca'}_{\alpha\beta'}\right].

    With :math:`P_+` the nucleon moves forward and its parity partner backward in time (with the sign of the boundary
    cubed); :math:`P_-` exchanges them up to a sign.

    Parameters
    ----------
    D : plaq.dirac.Operator
        Of Wilson fermions of SU(3) in four dimensions.
    source : ndarray, optional
        A propagator; by default from a point source at the origin.
    parity : {1, -1}
        Sign in the projector.
    momentum : sequence of int, optional
        As of :func:`meson_correlator`.
    **options
        Of ``D.solve``.

    Returns
    -------
    ndarray, shape (L_t,)

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        Other fermions, groups or dimensions; as ``D.solve``.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(kappa=0.12).on(pq.GaugeField.cold((4, 4, 4, 8)))
    >>> C = pq.observables.nucleon_correlator(D)
    >>> bool((C.real[:4] > 0).all()), bool(np.abs(C.imag).max() < 1e-8 * C.real.max())
    (True, True)
    """
    if _operator(D).n_spins != 4 or D.quark_shape[-1] != 3 or len(D.U.shape) != 4:
        raise ValueError("the nucleon is made of Wilson fermions of SU(3) in four dimensions")
    parity = whole_number("parity", parity, -1, 1)
    if parity == 0:
        raise ValueError("parity is 1 or -1")
    phases = _phases(D, momentum)
    G = _propagator(D, source, options)
    five, time = _gamma("5", 4), _gamma("3", 4)
    diquark = _gamma("1", 4) @ time @ five
    mirrored = time @ diquark.conj().T @ time
    project = (np.eye(4) + parity * time) / 2
    # [sink colour, source colour, x.., sink spin, source spin]
    G = np.moveaxis(G, (-1, 1, 0), (0, 1, -1))
    # Of each pair of colours once: nine of the thirty-six terms of the two epsilon tensors.
    pairs, traces = diquark @ G @ mirrored, np.einsum("ij,...ji->...", project, G)
    site = np.zeros(D.U.shape, np.complex128)
    for (a, b, c), sign in EPSILON:
        for (A, B, C), other in EPSILON:
            pair = pairs[b, B]
            direct = np.einsum("...pq,...pq->...", G[a, A], pair) * traces[c, C]
            crossed = project @ G[c, A] @ np.swapaxes(pair, -1, -2) @ G[a, C]
            site += sign * other * (direct - np.trace(crossed, axis1=-2, axis2=-1))
    return np.asarray((phases * site).reshape(-1, D.U.shape[-1]).sum(axis=0))


def pcac_mass(D: Solvable, source: Any = None, **options: Any) -> Reals:
    r"""The quark mass of the axial Ward identity, :math:`m(t) = \frac{\partial_t C_{AP}(t)}{2 C_{PP}(t)}`.

    :math:`C_{AP}` has the current :math:`\bar\psi\gamma_t\gamma_5\psi` at the sink and the pion at the source; the
    derivative is symmetric, without improvement and renormalisation.

    Parameters
    ----------
    D : plaq.dirac.Operator
        Of Wilson fermions.
    source : ndarray, optional
        A propagator; by default from a point source at the origin.
    **options
        Of ``D.solve``.

    Returns
    -------
    ndarray, shape (L_t - 2,)
        For t = 1 to L_t - 2; the first few and last ones feel the source.

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        As :func:`meson_correlator`.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Wilson(mass=0.1).on(pq.GaugeField.cold((4, 4, 4, 16)))
    >>> bool(abs(pq.observables.pcac_mass(D)[6] / 0.1 - 1) < 0.1)
    True
    """
    if _operator(D).n_spins == 1:
        raise ValueError("the axial Ward identity is that of Wilson fermions")
    G = _propagator(D, source, options)
    axial = -meson_correlator(D, "5", f"5{len(D.U.shape) - 1}", G).real  # gamma_t gamma_5 = -gamma_5 gamma_t
    pion = meson_correlator(D, "5", "5", G).real
    return np.asarray((axial[2:] - axial[:-2]) / (4 * pion[1:-1]))


def residual_mass(D: Solvable, sources: Any = None, **options: Any) -> Reals:
    r"""What is left of chiral symmetry breaking at a finite extent of the fifth dimension.

    .. math::

        R(t) = \frac{\sum_{\vec x} |q_{mid}(\vec x, t)|^2}{\sum_{\vec x} |q(\vec x, t)|^2}, \quad
        q_{mid} = P_- \psi_{L_s/2} + P_+ \psi_{L_s/2 - 1}

    of domain walls, with the solution :math:`\psi` of the source of the quark fields, summed over the spins and
    colours of the source (T. Blum et al., hep-lat/0007038). Summed over all times, the numerator is
    :math:`\eta^\dagger D_{eff}^{-\dagger} \Delta D_{eff}^{-1} \eta` with :math:`\Delta = (1 - \epsilon(H)^2)/4` (R.
    Brower, H. Neff and K. Orginos, arXiv:1206.5214), also for Moebius fermions. The residual mass is its plateau,
    averaged over configurations.

    Parameters
    ----------
    D : plaq.dirac.DomainWallOperator
        With an even `ls`.
    sources : ndarray, optional
        As of ``D.sources``; by default of a point at the origin.
    **options
        Of ``D.solve``.

    Returns
    -------
    ndarray, shape (L_t,)

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        No domain walls, an odd `ls`, sources of another shape; as ``D.solve``.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.cold((4, 4, 4, 8), "SU(2)")
    >>> R = [pq.observables.residual_mass(pq.dirac.DomainWall(0.1, m5=1.2, ls=ls).on(U))[4] for ls in (4, 8)]
    >>> bool(R[1] < 0.1 * R[0])
    True
    """
    walls: Any = _operator(D)
    if not hasattr(walls, "midpoint"):
        raise TypeError(f"the residual mass is one of domain walls, pq.dirac.DomainWall(..).on(U); got {shown(D)}")
    one = D.quark_shape
    b = walls.sources() if sources is None else np.asarray(sources)
    if b.shape != (*one[len(D.U.shape) :], *one):
        raise ValueError(f"sources have shape {b.shape}; {(*one[len(D.U.shape) :], *one)} is needed, as of D.sources")
    walls.midpoint(np.zeros(walls.shape))
    psi, _ = walls.solve(walls.boundary(b), **options)
    axes = tuple(axis for axis in range(b.ndim) if axis != b.ndim - 3)
    return np.asarray((np.abs(walls.midpoint(psi)) ** 2).sum(axes) / (np.abs(walls.at_walls(psi)) ** 2).sum(axes))


def chiral_condensate(
    D: Solvable, *, noise: str | None = None, n_noise: int = 16, rng: Rng | None = None, **options: Any
) -> float | Estimate:
    r"""The condensate :math:`\mathrm{tr}\, D^{-1} / V`, summed over colour and spin.

    Parameters
    ----------
    D : plaq.dirac.Operator
    noise : {"Z2", "Z4"}, optional
        Estimate by noise of mean zero; by default exactly, with one solve for every component of every site.
    n_noise : int
        Number of noise vectors.
    rng : int, Generator or SeedSequence
        Needed with `noise`.
    **options
        Of ``D.solve``.

    Returns
    -------
    float, or Estimate with `noise`

    Raises
    ------
    TypeError, ValueError, plaq.ConvergenceError
        Unknown noise, no `rng`, fewer than 2 vectors; as ``D.solve``.

    Examples
    --------
    >>> import plaq as pq
    >>> D = pq.dirac.Staggered(mass=0.5).on(pq.GaugeField.cold((4, 4, 4, 4)))
    >>> round(pq.observables.chiral_condensate(D), 9)
    0.825974026
    """
    shape, volume = _operator(D).quark_shape, int(np.prod(D.U.shape))
    if noise is None and (rng is not None or n_noise != 16):
        raise ValueError(
            'n_noise and rng belong to an estimate: give noise="Z2" or "Z4" too, or neither for the exact value'
        )
    if noise is None:
        total, size = 0.0, int(np.prod(shape))
        for start in range(0, size, 48):
            rows = np.zeros((min(48, size - start), size))
            rows[np.arange(len(rows)), start + np.arange(len(rows))] = 1.0
            x, _ = D.quark_field(rows.reshape(-1, *shape), **options)
            total += float(x.reshape(len(rows), size)[np.arange(len(rows)), start + np.arange(len(rows))].real.sum())
        return total / volume
    count = whole_number("n_noise", n_noise, 2)
    eta = noise_vectors(shape, count, noise, rng)
    x, _ = D.quark_field(eta, **options)
    return _mean(np.sum((eta.conj() * x).real.reshape(count, -1), axis=1) / volume)


def _mean(values: Reals) -> Estimate:
    """Mean and error of independent values."""
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(float(values.mean()), error, 0.5, 0.0)
