"""Observables of gauge fields, as means over the lattice, with ``*_density`` for their values site by site."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import numpy as np
from numpy.typing import NDArray

from plaq import _plaq
from plaq.gauge import GaugeField
from plaq.suggest import unknown

__all__ = [
    "energy_density",
    "energy_density_density",
    "loop",
    "loop_density",
    "plaquette",
    "plaquette_density",
    "plaquettes",
    "polyakov",
    "polyakov_density",
    "rectangle",
    "rectangle_density",
    "topological_charge",
    "topological_charge_density",
    "wilson_loop",
]

Path = Sequence[int]


def _checked(U: object, dimensions: int = 1) -> GaugeField:
    if not isinstance(U, GaugeField):
        raise TypeError(f"a GaugeField is needed; got {type(U).__name__} (GaugeField.from_numpy takes arrays)")
    if U.ndim < dimensions:
        raise ValueError(f"this observable needs {dimensions} dimensions; the lattice has {U.ndim}")
    return U


def _volume(U: GaugeField) -> int:
    return int(np.prod(U.shape))


def _family_mean(U: GaugeField, name: str) -> float:
    loops = _plaq.loop_family(name, list(U.shape))
    return float(U._core.trace_sum(loops)) / (_volume(U) * len(loops))


def _family_density(U: GaugeField, name: str) -> NDArray[np.float64]:
    loops = _plaq.loop_family(name, list(U.shape))
    densities = [U._core.trace_density(path).real for _, path in loops]
    density: NDArray[np.float64] = np.mean(densities, axis=0)
    return density


def _direction(U: GaugeField, direction: int) -> int:
    if not isinstance(direction, int | np.integer) or isinstance(direction, bool):
        raise TypeError(f"direction is an int; got {direction!r}")
    if not -U.ndim <= direction < U.ndim:
        raise ValueError(f"direction {direction}: allowed are 0 to {U.ndim - 1}, or -{U.ndim} to -1")
    return int(direction) % U.ndim


def plaquette(U: GaugeField) -> float:
    r"""Mean plaquette :math:`\langle \mathrm{Re\,tr} P_{\mu\nu}(x)/N \rangle` over sites and planes; 1 on a cold field.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.

    Raises
    ------
    TypeError, ValueError
        Not a gauge field; one dimension.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.plaquette(pq.GaugeField.cold((4, 4, 4, 4)))
    1.0
    """
    return _family_mean(_checked(U, 2), "plaquette")


def plaquette_density(U: GaugeField) -> NDArray[np.float64]:
    """Plaquette of the corner x, averaged over planes; shape ``U.shape``. See :func:`plaquette`.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.plaquette_density(pq.GaugeField.cold((4, 6))).shape
    (4, 6)
    """
    return _family_density(_checked(U, 2), "plaquette")


def plaquettes(U: GaugeField) -> NDArray[np.float64]:
    """Mean plaquette of each plane.

    Parameters
    ----------
    U : GaugeField

    Returns
    -------
    ndarray, shape (D, D)
        Symmetric; ``[mu, nu]`` is the plane (mu, nu); the diagonal is 0.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.plaquettes(pq.GaugeField.cold((4, 4)))
    array([[0., 1.],
           [1., 0.]])
    """
    _checked(U, 2)
    matrix = np.zeros((U.ndim, U.ndim))
    for mu in range(U.ndim):
        for nu in range(mu + 1, U.ndim):
            matrix[mu, nu] = matrix[nu, mu] = loop(U, [mu + 1, nu + 1, -mu - 1, -nu - 1])
    return matrix


def rectangle(U: GaugeField) -> float:
    """Mean Re tr/N of all 2x1 and 1x2 rectangles; parameters and errors as for :func:`plaquette`.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.rectangle(pq.GaugeField.cold((4, 4, 4, 4)))
    1.0
    """
    return _family_mean(_checked(U, 2), "rectangle")


def rectangle_density(U: GaugeField) -> NDArray[np.float64]:
    """Rectangles with corner x, averaged over orientations; shape ``U.shape``.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.rectangle_density(pq.GaugeField.cold((4, 6))).shape
    (4, 6)
    """
    return _family_density(_checked(U, 2), "rectangle")


def wilson_loop(U: GaugeField, r: int, t: int) -> float:
    """Mean Re tr/N of Wilson loops with spatial side `r` and temporal side `t`.

    Averaged over sites and spatial directions; time is the last axis.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    r, t : int
        Sides, at least 1.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.wilson_loop(pq.GaugeField.cold((4, 4, 4)), 2, 3)
    1.0
    """
    _checked(U, 2)
    for name, side in (("r", r), ("t", t)):
        if not isinstance(side, int | np.integer) or isinstance(side, bool):
            raise TypeError(f"{name} is an int; got {side!r}")
        if not 1 <= side <= 1000:
            raise ValueError(f"{name} = {side}: sides of a Wilson loop are 1 to 1000")
    time = U.ndim
    paths = [[mu] * r + [time] * t + [-mu] * r + [-time] * t for mu in range(1, time)]
    return float(U._core.trace_sum([(1.0, path) for path in paths])) / (_volume(U) * len(paths))


def loop(U: GaugeField, path: Path) -> float:
    """Mean over sites of Re tr W(x)/N for any closed path.

    Parameters
    ----------
    U : GaugeField
    path : sequence of int
        Signed directions: ``+(mu+1)`` is a step forward in direction mu, ``-(mu+1)`` a step back. The path must close
        on the periodic lattice (it may wind).

    Raises
    ------
    ValueError
        A step that does not exist, or a path that does not close.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.loop(pq.GaugeField.cold((4, 4)), [1, 1, 2, -1, -1, -2])
    1.0
    """
    return float(_checked(U)._core.trace_sum([(1.0, _steps(path))])) / _volume(U)


def loop_density(U: GaugeField, path: Path) -> NDArray[np.complex128]:
    """tr W(x)/N of a closed path starting at each x, complex, shape ``U.shape``; see :func:`loop`.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.loop_density(pq.GaugeField.cold((4, 6)), [1, 2, -1, -2]).shape
    (4, 6)
    """
    density: NDArray[np.complex128] = _checked(U)._core.trace_density(_steps(path))
    return density


def _steps(path: Path) -> list[int]:
    try:
        steps = [index(step) for step in path]
    except TypeError:
        raise TypeError(f"a loop is a list of steps +-(mu+1); got {path!r}") from None
    if any(not 1 <= abs(step) <= 4 for step in steps):
        raise ValueError(f"loop {steps}: steps are +-1 to +-4 (direction mu is +-(mu+1))")
    return steps


def polyakov(U: GaugeField, direction: int = -1) -> complex:
    """Mean Polyakov loop tr L/N in a direction (time by default).

    Parameters
    ----------
    U : GaugeField
    direction : int
        Axis; -1 is time.

    Returns
    -------
    complex

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.polyakov(pq.GaugeField.cold((4, 4, 4, 4)))
    (1+0j)
    """
    return complex(polyakov_density(U, direction).mean())


def polyakov_density(U: GaugeField, direction: int = -1) -> NDArray[np.complex128]:
    """tr L/N of the line through each site of the lattice without that axis; see :func:`polyakov`.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.polyakov_density(pq.GaugeField.cold((4, 6, 8))).shape
    (4, 6)
    """
    mu = _direction(_checked(U), direction)
    density = U._core.trace_density([mu + 1] * U.shape[mu])
    return np.asarray(np.take(density, 0, axis=mu))


def topological_charge(U: GaugeField, definition: str = "clover") -> float:
    r"""Topological charge.

    Parameters
    ----------
    U : GaugeField
        Four dimensions, or U(1) in two with ``definition="geometric"``.
    definition : str
        ``"plaquette"``, ``"clover"``: :math:`Q = -\frac{1}{32\pi^2}\sum_x \epsilon_{\mu\nu\rho\sigma}
        \mathrm{tr} F_{\mu\nu}F_{\rho\sigma}` with F the traceless anti-Hermitian part of the plaquette or of the mean
        of the four clover leaves; ``"improved"``: (5/3) Q_clover - (1/12) Q_rectangle, Q_rectangle twice the charge
        of the mean of the eight 2x1 leaves (de Forcrand et al., hep-lat/9701012); ``"geometric"``: sum of the plaquette
        angles in (-pi, pi] over 2 pi, an integer.

    Raises
    ------
    ValueError
        Unknown definition, or one that this group or dimension does not have.

    Examples
    --------
    >>> import plaq as pq
    >>> Q = pq.observables.topological_charge(pq.GaugeField.hot((8, 8), "U(1)", rng=1), "geometric")
    >>> abs(Q - round(Q)) < 1e-9
    True
    """
    return float(topological_charge_density(U, definition).sum())


def topological_charge_density(U: GaugeField, definition: str = "clover") -> NDArray[np.float64]:
    """Charge density whose sum is :func:`topological_charge`; shape ``U.shape``.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
    >>> pq.observables.topological_charge_density(U, "geometric").shape
    (8, 8)
    """
    if definition not in _plaq.CHARGES:
        raise ValueError(unknown("definition", definition, _plaq.CHARGES))
    density: NDArray[np.float64] = _checked(U)._core.charge_density(definition)
    return density


def energy_density(U: GaugeField, definition: str = "clover") -> float:
    r"""Energy density per site, :math:`E = -\frac12 \sum_{\mu\nu} \mathrm{tr} F_{\mu\nu}F_{\mu\nu}`.

    Parameters
    ----------
    U : GaugeField
        At least two dimensions.
    definition : str
        ``"clover"`` (F from the mean of four leaves) or ``"plaquette"``: :math:`2\sum_{\mu<\nu}\mathrm{Re\,tr}(1-P)`.

    Raises
    ------
    ValueError
        Unknown definition; one dimension.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.energy_density(pq.GaugeField.cold((4, 4, 4, 4)))
    0.0
    """
    return float(energy_density_density(U, definition).mean())


def energy_density_density(U: GaugeField, definition: str = "clover") -> NDArray[np.float64]:
    """Energy density at each site, whose mean is :func:`energy_density`; shape ``U.shape``.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((4, 4, 4, 4), rng=1)
    >>> density = pq.observables.energy_density_density(U)
    >>> bool(np.isclose(density.mean(), pq.observables.energy_density(U)))
    True
    """
    if definition not in _plaq.ENERGIES:
        raise ValueError(unknown("definition", definition, _plaq.ENERGIES))
    density: NDArray[np.float64] = _checked(U, 2)._core.energy_density(definition)
    return density
