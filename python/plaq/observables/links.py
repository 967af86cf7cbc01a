"""Loops of links: plaquettes, rectangles, Wilson and Polyakov loops."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import numpy as np
from numpy.typing import NDArray

from plaq import _plaq
from plaq.fields.gauge import GaugeField

__all__ = [
    "loop",
    "loop_density",
    "plaquette",
    "plaquette_density",
    "plaquettes",
    "polyakov",
    "polyakov_density",
    "rectangle",
    "rectangle_density",
    "wilson_loop",
]

Path = Sequence[int]


def checked(U: object, dimensions: int = 1) -> GaugeField:
    if not isinstance(U, GaugeField):
        raise TypeError(f"a GaugeField is needed; got {type(U).__name__} (GaugeField.from_numpy takes arrays)")
    if U.ndim < dimensions:
        raise ValueError(f"this observable needs {dimensions} dimensions; the lattice has {U.ndim}")
    return U


def _volume(U: GaugeField) -> int:
    return int(np.prod(U.shape))


def _family_mean(U: GaugeField, name: str) -> float:
    return _mean(U, [path for _, path in _plaq.loop_family(name, list(U.shape))])


def _mean(U: GaugeField, paths: list[list[int]]) -> float:
    """Mean Re tr W/N over the loops that exist: with open boundaries none that crosses the boundary does."""
    sites = sum(_start_slices(U, path) for path in paths) * _volume(U) // U.shape[-1]
    if sites == 0:
        raise ValueError("every loop of this kind crosses the open boundary in time of this field")
    return float(U._core.trace_sum([(1.0, path) for path in paths])) / sites


def _start_slices(U: GaugeField, path: list[int]) -> int:
    """Time slices at which a loop can start without meeting a missing link."""
    missing, length, time, t = U._core.open_slice(), U.shape[-1], U.ndim, 0
    if missing is None:
        return length
    crossed = set()
    for step in path:
        if step == time:
            crossed.add(t % length)
            t += 1
        elif step == -time:
            t -= 1
            crossed.add(t % length)
    return length - len(crossed)


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

    With open boundaries in time this and all means of loops are over the loops that exist; densities are 0 where one
    does not.

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
    return _family_mean(checked(U, 2), "plaquette")


def plaquette_density(U: GaugeField) -> NDArray[np.float64]:
    """Plaquette of the corner x, averaged over planes; shape ``U.shape``. See :func:`plaquette`.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.plaquette_density(pq.GaugeField.cold((4, 6))).shape
    (4, 6)
    """
    return _family_density(checked(U, 2), "plaquette")


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
    checked(U, 2)
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
    return _family_mean(checked(U, 2), "rectangle")


def rectangle_density(U: GaugeField) -> NDArray[np.float64]:
    """Rectangles with corner x, averaged over orientations; shape ``U.shape``.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.rectangle_density(pq.GaugeField.cold((4, 6))).shape
    (4, 6)
    """
    return _family_density(checked(U, 2), "rectangle")


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
    checked(U, 2)
    for name, side in (("r", r), ("t", t)):
        if not isinstance(side, int | np.integer) or isinstance(side, bool):
            raise TypeError(f"{name} is an int; got {side!r}")
        if not 1 <= side <= 1000:
            raise ValueError(f"{name} = {side}: sides of a Wilson loop are 1 to 1000")
    time = U.ndim
    paths = [[mu] * r + [time] * t + [-mu] * r + [-time] * t for mu in range(1, time)]
    return _mean(U, paths)


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
    return _mean(checked(U), [_steps(path)])


def loop_density(U: GaugeField, path: Path) -> NDArray[np.complex128]:
    """tr W(x)/N of a closed path starting at each x, complex, shape ``U.shape``; see :func:`loop`.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.observables.loop_density(pq.GaugeField.cold((4, 6)), [1, 2, -1, -2]).shape
    (4, 6)
    """
    density: NDArray[np.complex128] = checked(U)._core.trace_density(_steps(path))
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
    mu = _direction(checked(U), direction)
    if _start_slices(U, [mu + 1] * U.shape[mu]) == 0:
        raise ValueError("no Polyakov loop in time exists on a field with open boundaries; give a direction of space")
    density = U._core.trace_density([mu + 1] * U.shape[mu])
    return np.asarray(np.take(density, 0, axis=mu))
