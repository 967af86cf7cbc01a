r"""Links of SU(N) as real numbers ``[.., a, 2 b]`` (real and imaginary parts in turn); loops and their reverse pass.

The derivative of a function of a matrix W is the matrix G with :math:`df = \mathrm{Re}\sum\bar G_{ab}\,dW_{ab}`; as
real numbers it is the derivative with respect to these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def as_matrices(x: Array) -> Complex:
    """The complex matrices of real numbers."""
    return np.ascontiguousarray(x).view(np.complex128)


def as_numbers(links: Complex) -> Array:
    """The real numbers of complex matrices."""
    return np.ascontiguousarray(links, np.complex128).view(np.float64)


def adjoint(matrix: Complex) -> Complex:
    """Hermitian conjugate."""
    return np.swapaxes(matrix, -1, -2).conj()


def hermitian(matrix: Complex) -> Complex:
    """Hermitian part."""
    part: Complex = (matrix + adjoint(matrix)) / 2
    return part


def loops(links: Complex, direction: int) -> tuple[Complex, tuple[Complex, ...]]:
    r""":math:`U_\mu(x) U_\nu(x+\hat\mu) U_\mu(x+\hat\nu)^\dagger U_\nu(x)^\dagger`, and the factors that
    :func:`from_loops` needs, of links ``[sample, mu, x_0, x_1, a, b]``.
    """
    mu, nu = direction, 1 - direction
    a, d = links[:, mu], links[:, nu]
    b, c = np.roll(d, -1, 1 + mu), np.roll(a, -1, 1 + nu)
    two = a @ b
    three = two @ adjoint(c)
    return three @ adjoint(d), (a, b, c, d, two, three)


def from_loops(dloop: Complex, factors: tuple[Complex, ...], direction: int) -> Complex:
    """Derivatives with respect to the links from those with respect to the loops."""
    a, b, c, d, two, three = factors
    dthree = dloop @ d
    dd = adjoint(adjoint(three) @ dloop)
    dtwo = dthree @ c
    dc = adjoint(adjoint(two) @ dthree)
    da, db = dtwo @ adjoint(b), adjoint(a) @ dtwo
    along = da + np.roll(dc, 1, 2 - direction)
    across = dd + np.roll(db, 1, 1 + direction)
    return np.stack([along, across] if direction == 0 else [across, along], axis=1)
