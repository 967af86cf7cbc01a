"""Fat and long links of improved staggered fermions: asqtad and HISQ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaq.fields.gauge import GaugeField
from plaq.ground.arguments import number
from plaq.smear.arguments import gauge_field

__all__ = ["asqtad", "hisq"]

Links = NDArray[np.complex128]


@dataclass(frozen=True)
class Paths:
    """Coefficients of the link, its staples of three, five and seven links, and the straight one of five (Lepage)."""

    one: float
    three: float
    five: float
    seven: float
    lepage: float = 0.0


FAT7 = Paths(1 / 8, 1 / 16, 1 / 64, 1 / 384)
NAIK = -1 / 24


def asqtad(U: GaugeField, u0: float = 1.0) -> tuple[GaugeField, GaugeField]:
    r"""Fat and long links of the asqtad action, for ``pq.dirac.Staggered(mass, fat=fat, long=long)``.

    .. math::

        F_\mu = \tfrac58 U_\mu + \tfrac1{16} \sum \text{3-staples} + \tfrac1{64} \sum \text{5-staples}
        + \tfrac1{384} \sum \text{7-staples} - \tfrac1{16} \sum \text{straight 5-staples}, \quad
        L_\mu(x) = -\tfrac1{24} U_\mu(x) U_\mu(x + \hat\mu) U_\mu(x + 2\hat\mu)

    (K. Orginos, D. Toussaint and R. Sugar, hep-lat/9903032; G. P. Lepage, hep-lat/9809157). A staple of three links
    goes one step aside in one direction, of five in two directions one after the other, of seven in three, the straight
    one two steps in one direction; all signs count. The long links contain their coefficient. Unit links have
    :math:`F = 9/8, L = -1/24`, so that :math:`F + 3L = 1`: momenta keep their normalisation, without errors of order
    :math:`p^3`.

    Parameters
    ----------
    U : GaugeField
        Four dimensions.
    u0 : float
        Tadpole factor: a path of l links is divided by :math:`u_0^{l-1}`; the mean fourth root of the plaquette.

    Returns
    -------
    fat, long : GaugeField
        Not unitary.

    Raises
    ------
    TypeError, ValueError
        No gauge field of four dimensions; u0 outside of 1e-3 to 1e3.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.datasets.gauge()
    >>> fat, long = pq.smear.asqtad(U, u0=pq.observables.plaquette(U) ** 0.25)
    >>> D = pq.dirac.Staggered(mass=0.1, fat=fat, long=long).on(U)
    """
    links = _links(U)
    u0 = number("u0", u0, least=1e-3, most=1e3)
    paths = Paths(5 / 8, 1 / 16 / u0**2, 1 / 64 / u0**4, 1 / 384 / u0**6, -1 / 16 / u0**4)
    return _field(_fattened(links, paths)), _field(_long(links, NAIK / u0**2))


def hisq(U: GaugeField, epsilon: float = 0.0) -> tuple[GaugeField, GaugeField]:
    r"""Fat and long links of highly improved staggered quarks, for ``pq.dirac.Staggered(mass, fat=fat, long=long)``.

    Links are fattened with fat7 coefficients (1/8, 1/16, 1/64, 1/384), brought back to U(N) by the unitary polar factor
    :math:`W = Y (Y^\dagger Y)^{-1/2}`, and fattened once more with those of :func:`asqtad`, where the link has
    :math:`1 + \epsilon/8` and the straight staple of five -1/8; the long links are
    :math:`-\tfrac1{24}(1 + \epsilon) W W W` (E. Follana et al., hep-lat/0610092; without tadpole factors).

    Parameters
    ----------
    U : GaugeField
        Four dimensions.
    epsilon : float
        Correction of the long links for heavy quarks; :math:`-\tfrac{27}{40} (am)^2 + \dots`

    Returns
    -------
    fat, long : GaugeField
        Not unitary; they contain their coefficients as those of :func:`asqtad`.

    Raises
    ------
    TypeError, ValueError
        No gauge field of four dimensions; a sum of paths that is singular and has no unitary factor.

    Examples
    --------
    >>> import plaq as pq
    >>> fat, long = pq.smear.hisq(pq.GaugeField.cold((4, 4, 4, 4)))
    >>> round(float(np.asarray(fat)[0, 0, 0, 0, 0, 0, 0].real), 12), round(float(np.asarray(long).real.min()), 12)
    (1.125, -0.041666666667)
    """
    links = _links(U)
    epsilon = number("epsilon", epsilon)
    left, sizes, right = np.linalg.svd(_fattened(links, FAT7))
    if not float(sizes.min()) > 1e-10:
        raise ValueError("a fat link is singular and has no unitary factor: HISQ needs smoother links")
    unitary = left @ right
    paths = Paths(1 + epsilon / 8, 1 / 16, 1 / 64, 1 / 384, -1 / 8)
    return _field(_fattened(unitary, paths)), _field(_long(unitary, NAIK * (1 + epsilon)))


def _links(U: object) -> Links:
    field = gauge_field(U, 4)
    if field.ndim != 4:
        raise ValueError(f"fat links of staggered fermions are for four dimensions; the lattice has {field.ndim}")
    return np.asarray(field)


def _field(links: Links) -> GaugeField:
    return GaugeField.from_numpy(links, allow_nonunitary=True)


def _dagger(links: Links) -> Links:
    return np.asarray(np.swapaxes(links.conj(), -1, -2))


def _forward(u: Links, link: Links, mu: int, nu: int) -> Links:
    """U_nu(x) X(x + nu) U_nu(x + mu)^dagger."""
    return np.asarray(u[nu] @ np.roll(link, -1, axis=nu) @ _dagger(np.roll(u[nu], -1, axis=mu)))


def _backward(u: Links, link: Links, mu: int, nu: int) -> Links:
    """U_nu(x - nu)^dagger X(x - nu) U_nu(x - nu + mu)."""
    return np.asarray(np.roll(_dagger(u[nu]) @ link @ np.roll(u[nu], -1, axis=mu), 1, axis=nu))


def _staple(u: Links, link: Links, mu: int, nu: int) -> Links:
    return _forward(u, link, mu, nu) + _backward(u, link, mu, nu)


def _fattened(u: Links, paths: Paths) -> Links:
    fat = paths.one * u
    for mu in range(4):
        others = [nu for nu in range(4) if nu != mu]
        three = {nu: _staple(u, u[mu], mu, nu) for nu in others}
        five = {(rho, nu): _staple(u, three[nu], mu, rho) for rho in others for nu in others if rho != nu}
        for nu in others:
            a, b = (rho for rho in others if rho != nu)
            # Five links end in a step along a or b, seven in one along nu around both orders of a and b.
            fat[mu] += paths.three * three[nu] + paths.five * (five[nu, a] + five[nu, b])
            fat[mu] += paths.seven * _staple(u, five[a, b] + five[b, a], mu, nu)
            if paths.lepage:
                for step in (_forward, _backward):
                    fat[mu] += paths.lepage * step(u, step(u, u[mu], mu, nu), mu, nu)
    return fat


def _long(u: Links, coefficient: float) -> Links:
    along = [np.roll(u[mu], -1, axis=mu) @ np.roll(u[mu], -2, axis=mu) for mu in range(4)]
    return np.asarray(coefficient * (u @ np.array(along)))
