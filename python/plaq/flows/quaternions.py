r"""SU(2) as unit quaternions :math:`U = q_0 + i\,\vec q\cdot\vec\sigma`, arrays with the four numbers last.

Left and right multiplications by unit quaternions are rotations of :math:`R^4`, so that their transposes are those by
the conjugate: reverse passes are products, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def times(a: Array, b: Array) -> Array:
    """Product; the cross product has a minus sign, as i sigma_1 i sigma_2 = -i sigma_3."""
    first = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(axis=-1, keepdims=True)
    rest = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] - np.cross(a[..., 1:], b[..., 1:])
    product: Array = np.concatenate([first, rest], axis=-1)
    return product


def conjugate(a: Array) -> Array:
    """The inverse of a unit quaternion."""
    return a * np.array([1.0, -1.0, -1.0, -1.0])


def pure(vector: Array) -> Array:
    """The quaternion without real part."""
    return np.concatenate([np.zeros_like(vector[..., :1]), vector], axis=-1)


def matrices(q: Array) -> NDArray[Any]:
    """As 2 x 2 matrices."""
    a, b = q[..., 0] + 1j * q[..., 3], q[..., 2] + 1j * q[..., 1]
    rows = [np.stack([a, b], axis=-1), np.stack([-b.conj(), a.conj()], axis=-1)]
    return np.stack(rows, axis=-2)


def quaternions(links: NDArray[Any]) -> Array:
    """Of 2 x 2 matrices; what is not of the form is left out."""
    a = (links[..., 0, 0] + links[..., 1, 1].conj()) / 2
    b = (links[..., 0, 1] - links[..., 1, 0].conj()) / 2
    return np.stack([a.real, b.imag, b.real, a.imag], axis=-1)


def loops(q: Array, direction: int) -> tuple[Array, tuple[Array, ...]]:
    r""":math:`U_\mu(x) U_\nu(x+\hat\mu) U_\mu(x+\hat\nu)^\dagger U_\nu(x)^\dagger`, and the factors that
    :func:`from_loops` needs, of links ``[sample, mu, x_0, x_1, 4]``.
    """
    mu, nu = direction, 1 - direction
    a, d = q[:, mu], q[:, nu]
    b, c = np.roll(d, -1, 1 + mu), np.roll(a, -1, 1 + nu)
    two = times(a, b)
    three = times(two, conjugate(c))
    return times(three, conjugate(d)), (a, b, c, d, two, three)


def from_loops(dloop: Array, factors: tuple[Array, ...], direction: int) -> Array:
    """Derivatives with respect to the links from those with respect to the loops."""
    a, b, c, d, two, three = factors
    dthree = times(dloop, d)
    dd = conjugate(times(conjugate(three), dloop))
    dtwo = times(dthree, c)
    dc = conjugate(times(conjugate(two), dthree))
    da, db = times(dtwo, conjugate(b)), times(conjugate(a), dtwo)
    along = da + np.roll(dc, 1, 2 - direction)
    across = dd + np.roll(db, 1, 1 + direction)
    return np.stack([along, across] if direction == 0 else [across, along], axis=1)
