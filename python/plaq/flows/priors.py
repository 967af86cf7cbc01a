"""Distributions that flows start from: independent normal numbers, the free field, the Haar measure of links."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq import _plaq
from plaq.actions.scalar import Scalar
from plaq.concepts import Action
from plaq.fields.gauge import UNITARITY_TOLERANCE, GaugeField, checked_shape, colors_of
from plaq.fields.scalar import MAX_COMPONENTS, ScalarField
from plaq.flows.matrices import adjoint, as_matrices, as_numbers
from plaq.ground.arguments import number, one_of, require_memory, shown, unknown, whole_number
from plaq.ground.names import Explained, call_text

__all__ = ["FreeField", "Haar", "Normal", "Prior", "prior_from"]

Array = NDArray[np.float64]

PROPOSALS, TRAINING, HELD = 1, 2, 3
"""Purposes of random numbers, the last word of their counters (0: :meth:`Flow.sample`)."""


class Prior(ABC, metaclass=Explained):
    """A distribution of fields with known density.

    Flows work on arrays of coordinates, ``[sample, ...]``: values of a scalar field, angles of
    U(1) links, real and imaginary parts of SU(N) links.

    Examples
    --------
    >>> isinstance(Normal((4, 4)), Prior)
    True
    """

    __repr__ = call_text

    field_class: ClassVar[type]
    """The kind of field."""
    shape: tuple[int, ...]
    """Extents of the lattice."""

    @property
    @abstractmethod
    def _coordinates(self) -> tuple[int, ...]:
        """Shape of the coordinates of one field."""

    @abstractmethod
    def _draw(self, stream: np.random.Generator) -> Array:
        """Coordinates of one field."""

    @abstractmethod
    def _log_density(self, z: Array) -> Array:
        """Logarithm of the density of each sample."""

    @abstractmethod
    def _score(self, z: Array) -> Array:
        """Its derivative with respect to the coordinates."""

    @abstractmethod
    def _array_of(self, z: Array) -> NDArray[Any]:
        """Coordinates as arrays of fields."""

    @abstractmethod
    def _coordinates_of(self, x: NDArray[Any]) -> Array:
        """Arrays of fields as coordinates."""

    @abstractmethod
    def _field(self, x: NDArray[Any]) -> Any:
        """The field with this array."""

    @abstractmethod
    def _derivative(self, force: NDArray[Any], x: Array) -> Array:
        """The force of an action at x as the derivative with respect to the coordinates."""

    @abstractmethod
    def _force(self, derivative: Array, x: Array) -> NDArray[Any]:
        """The derivative with respect to the coordinates of one field as a force, which :meth:`_derivative` undoes."""

    @abstractmethod
    def _action(self) -> Action | None:
        """-ln p up to a constant; None if it is one."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The distribution as plain data."""

    def _sampled(self, count: int, seed: int, first: int = 0, purpose: int = 0) -> Array:
        """Coordinates of samples number `first` and following of a stream; each depends on its number alone."""
        require_memory("the samples", count * int(np.prod(self._coordinates)))
        z = np.empty((count, *self._coordinates))
        for k in range(count):
            bits = np.random.Philox(key=seed, counter=[0, 0, first + k, purpose])
            z[k] = self._draw(np.random.Generator(bits))
        return z


class _ScalarPrior(Prior):
    field_class = ScalarField
    components: int

    @property
    def _coordinates(self) -> tuple[int, ...]:
        return (*self.shape, self.components)

    def _array_of(self, z: Array) -> NDArray[Any]:
        return z

    def _coordinates_of(self, x: NDArray[Any]) -> Array:
        return x

    def _field(self, x: NDArray[Any]) -> ScalarField:
        return ScalarField(_plaq.Scalars.from_array(np.ascontiguousarray(x)))

    def _derivative(self, force: NDArray[Any], x: Array) -> Array:
        return force

    def _force(self, derivative: Array, x: Array) -> NDArray[Any]:
        return derivative


class Normal(_ScalarPrior):
    r"""Independent normal numbers of mean 0, density :math:`\prod (2\pi\sigma^2)^{-1/2} e^{-z^2/2\sigma^2}`.

    Parameters
    ----------
    shape : sequence of int
        1 to 4 extents.
    components : int
        Components of the field.
    width : float
        :math:`\sigma`.

    Raises
    ------
    TypeError, ValueError
        No shape, no counts, no positive width.

    Examples
    --------
    >>> Normal((4, 4), width=0.5)
    Normal((4, 4), width=0.5)
    """

    def __init__(self, shape: Sequence[int], components: int = 1, *, width: float = 1.0) -> None:
        self.shape = tuple(checked_shape(shape))
        self.components = whole_number("components", components, 1, MAX_COMPONENTS)
        self.width = number("width", width, 1e-100, 1e100)

    def _draw(self, stream: np.random.Generator) -> Array:
        return self.width * stream.standard_normal(self._coordinates)

    def _log_density(self, z: Array) -> Array:
        flat = z.reshape(len(z), -1) / self.width
        logs: Array = -0.5 * (flat**2).sum(axis=1) - flat.shape[1] * np.log(np.sqrt(2 * np.pi) * self.width)
        return logs

    def _score(self, z: Array) -> Array:
        return -z / self.width**2

    def _action(self) -> Action:
        """The mass term alone: hopping and quartic terms of two actions cancel."""
        return Scalar(1 + 1 / self.width**2) - Scalar(1.0)

    def spec(self) -> dict[str, Any]:
        """The distribution as plain data."""
        return {"kind": "normal", "shape": list(self.shape), "components": self.components, "width": self.width}


class FreeField(_ScalarPrior):
    r"""The free field, density :math:`e^{-S}/Z` with :class:`plaq.actions.Scalar` ``(mass2)``.

    :math:`\ln Z = -\frac{n}{2}\sum_k \ln[(\hat k^2 + m^2)/2\pi]`, :math:`\hat k^2 = \sum_\mu 4\sin^2(k_\mu/2)`, n
    components; drawn by fast Fourier transforms.

    Parameters
    ----------
    shape : sequence of int
        1 to 4 extents.
    mass2 : float
        :math:`m^2 > 0`.
    components : int
        Components of the field.

    Raises
    ------
    TypeError, ValueError
        No shape, no counts, no positive squared mass.

    Examples
    --------
    >>> import plaq as pq
    >>> flow = pq.flows.Flow(FreeField((4, 4), 0.5), [])
    >>> round(flow.reweight(pq.actions.Scalar(0.5), 50, rng=1).efficiency, 12)
    1.0
    """

    def __init__(self, shape: Sequence[int], mass2: float, components: int = 1) -> None:
        self.shape = tuple(checked_shape(shape))
        self.mass2 = number("mass2", mass2, 1e-100, 1e100)
        self.components = whole_number("components", components, 1, MAX_COMPONENTS)
        self._kernel = np.full(self.shape, self.mass2)
        for mu, extent in enumerate(self.shape):
            wave = 4 * np.sin(np.pi * np.arange(extent) / extent) ** 2
            self._kernel += wave.reshape([-1 if nu == mu else 1 for nu in range(len(self.shape))])

    def _times(self, z: Array, factor: Array) -> Array:
        """A function of the lattice Laplacian applied to fields, whose extents stand before the last axis."""
        axes = tuple(range(-1 - len(self.shape), -1))
        half = factor[..., : self.shape[-1] // 2 + 1, np.newaxis]
        return np.fft.irfftn(np.fft.rfftn(z, axes=axes) * half, s=self.shape, axes=axes)

    def _draw(self, stream: np.random.Generator) -> Array:
        return self._times(stream.standard_normal(self._coordinates), self._kernel**-0.5)

    def _log_density(self, z: Array) -> Array:
        quadratic = (z * self._times(z, self._kernel)).reshape(len(z), -1).sum(axis=1)
        logs: Array = 0.5 * self.components * np.log(self._kernel / (2 * np.pi)).sum() - 0.5 * quadratic
        return logs

    def _score(self, z: Array) -> Array:
        return -self._times(z, self._kernel)

    def _action(self) -> Action:
        return Scalar(self.mass2)

    def spec(self) -> dict[str, Any]:
        """The distribution as plain data."""
        return {"kind": "free", "shape": list(self.shape), "mass2": self.mass2, "components": self.components}


class Haar(Prior):
    r"""Independent links from the Haar measure; densities are with respect to the normalised one, so that this is 1.

    Parameters
    ----------
    shape : sequence of int
        1 to 4 extents.
    group : {"U(1)", "SU(2)", "SU(3)", "SU(4)"}
        Coordinates are angles of U(1), real and imaginary parts of SU(N).

    Raises
    ------
    TypeError, ValueError
        No shape, another group.

    Examples
    --------
    >>> Haar((8, 8))
    Haar((8, 8))
    """

    field_class = GaugeField

    def __init__(self, shape: Sequence[int], group: str = "U(1)") -> None:
        self.shape = tuple(checked_shape(shape))
        self.group = one_of("group", group, ["U(1)", "SU(2)", "SU(3)", "SU(4)"])
        self._colors = colors_of(group)

    @property
    def _coordinates(self) -> tuple[int, ...]:
        links = (len(self.shape), *self.shape)
        return links if self._colors == 1 else (*links, self._colors, 2 * self._colors)

    def _draw(self, stream: np.random.Generator) -> Array:
        if self._colors == 1:
            return stream.uniform(-np.pi, np.pi, self._coordinates)
        unitary, upper = np.linalg.qr(as_matrices(stream.standard_normal(self._coordinates)))
        diagonal = np.diagonal(upper, axis1=-2, axis2=-1)
        unitary = unitary * (diagonal / np.abs(diagonal))[..., np.newaxis, :]  # Haar measure of U(N)
        return as_numbers(unitary / np.linalg.det(unitary)[..., np.newaxis, np.newaxis] ** (1 / self._colors))

    def _log_density(self, z: Array) -> Array:
        return np.zeros(len(z))

    def _score(self, z: Array) -> Array:
        return np.zeros_like(z)

    def _array_of(self, z: Array) -> NDArray[Any]:
        links: NDArray[Any] = np.exp(1j * z)[..., np.newaxis, np.newaxis] if self._colors == 1 else as_matrices(z)
        return links

    def _coordinates_of(self, x: NDArray[Any]) -> Array:
        numbers: Array = np.angle(x[..., 0, 0]) if self._colors == 1 else as_numbers(x)
        return numbers

    def _field(self, x: NDArray[Any]) -> GaugeField:
        return GaugeField.from_numpy(x)

    def _derivative(self, force: NDArray[Any], x: Array) -> Array:
        """Of SU(N), where <F, iX> = -2 tr(F iX) for U -> exp(iX) U: 2 F U (see ``matrices.py``)."""
        return force[..., 0, 0].imag if self._colors == 1 else as_numbers(2 * force @ as_matrices(x))

    def _force(self, derivative: Array, x: Array) -> NDArray[Any]:
        if self._colors == 1:
            return 1j * derivative[..., np.newaxis, np.newaxis]
        product = as_matrices(derivative) @ adjoint(as_matrices(x))
        force = (product - adjoint(product)) / 4
        trace = np.trace(force, axis1=-2, axis2=-1) / self._colors
        found: NDArray[Any] = force - trace[..., np.newaxis, np.newaxis] * np.eye(self._colors)
        return found

    def _action(self) -> None:
        return None

    def spec(self) -> dict[str, Any]:
        """The distribution as plain data."""
        return {"kind": "haar", "shape": list(self.shape), "group": self.group}


_KINDS: dict[str, type[Prior]] = {"normal": Normal, "free": FreeField, "haar": Haar}


def prior_from(entry: dict[str, Any]) -> Prior:
    """The distribution that :meth:`Prior.spec` describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        No such distribution.
    """
    kind, rest = entry["kind"], {name: value for name, value in entry.items() if name != "kind"}
    if kind not in _KINDS:
        raise ValueError(unknown("prior", kind, _KINDS))
    return _KINDS[kind](**rest)


def coordinates_of(prior: Prior, name: str, fields: ArrayLike | Any) -> tuple[Array, bool]:
    """Coordinates ``[sample, ...]`` of a field, of several, or of an array of them; and whether it was a single one.

    Raises
    ------
    TypeError, ValueError
        Fields of another kind or shape, NaN or infinity, links that are no phases.
    """
    kind = prior.field_class
    if isinstance(fields, kind):
        values = np.asarray(fields)
    elif isinstance(fields, Sequence) and len(fields) and all(isinstance(each, kind) for each in fields):
        shapes = {np.shape(each) for each in fields}
        if len(shapes) > 1:
            raise ValueError(f"{name} have shapes {sorted(shapes)}; the flow takes one")
        values = np.stack([np.asarray(each) for each in fields])
    else:
        try:
            values = np.asarray(fields)
        except (TypeError, ValueError):
            values = np.empty(0, object)
        allowed = "iuf" if kind is ScalarField else "c"
        if values.dtype.kind not in allowed or isinstance(fields, np.ma.MaskedArray):
            numbers = "real numbers" if kind is ScalarField else "complex links"
            raise TypeError(
                f"{name} is a {kind.__name__}, a list of them or an array of {numbers} with samples in front; "
                f"got {shown(fields)}"
            )
    wanted = prior._array_of(np.zeros((1, *prior._coordinates))).shape[1:]
    found, single = values.shape, values.shape == wanted
    if single:
        values = values[np.newaxis]
    if values.shape[1:] != wanted or not len(values):
        raise ValueError(f"{name} has shape {found}; {wanted} is needed, or samples of it in front")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity; remove them first")
    if kind is GaugeField:
        _require_group(name, values)
    return prior._coordinates_of(values), single


def _require_group(name: str, links: NDArray[Any]) -> None:
    """Links that are unitary and, unless they are phases, of determinant 1."""
    violation = np.abs(adjoint(links) @ links - np.eye(links.shape[-1])).max()
    determinant = np.abs(np.linalg.det(links) - 1).max() if links.shape[-1] > 1 else 0.0
    if max(violation, determinant) > UNITARITY_TOLERANCE:
        raise ValueError(f"{name} has links that are not in the group; reunitarise them first")
