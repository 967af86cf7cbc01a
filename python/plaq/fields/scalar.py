"""Real scalar fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq import _plaq
from plaq.fields.gauge import checked_shape
from plaq.ground.arguments import aligned, instance, whole_number
from plaq.ground.html import box
from plaq.ground.names import Explained
from plaq.ground.rng import Rng, seed_of
from plaq.ground.states import register_state

__all__ = ["ScalarField"]

MAX_COMPONENTS = 1024


@register_state
class ScalarField(metaclass=Explained):
    r"""A real field :math:`\phi_a(x)` with `components` components on a periodic lattice.

    Make one with :meth:`zeros`, :meth:`random` or :meth:`from_numpy`. ``np.asarray(phi)`` is a copy, float64 of shape
    ``(L_0, .., L_{D-1}, components)``. Samplers never change the field they are given.

    Attributes
    ----------
    shape : tuple of int
        Extents, time last.
    ndim : int
        Number of dimensions.
    components : int

    Examples
    --------
    >>> import plaq as pq
    >>> pq.ScalarField.zeros((8, 8))
    <ScalarField 8x8, 1 component>
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, core: _plaq.Scalars) -> None:
        self._core: _plaq.Scalars = instance(
            "core", core, _plaq.Scalars, "a field in the core; make fields with zeros, random or from_numpy"
        )

    @classmethod
    def zeros(cls, shape: Sequence[int], components: int = 1) -> ScalarField:
        """The field that is zero everywhere.

        Parameters
        ----------
        shape : sequence of int
            1 to 4 extents, each at least 2, time last.
        components : int
            At least 1.

        Raises
        ------
        TypeError, ValueError
            Wrong shape or number of components.
        """
        return cls(_plaq.Scalars.from_array(np.zeros((*checked_shape(shape), _components(components)))))

    @classmethod
    def random(cls, shape: Sequence[int], components: int = 1, *, rng: Rng) -> ScalarField:
        """Independent standard normal numbers.

        Parameters
        ----------
        shape, components
            As for :meth:`zeros`.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
        """
        return cls(_plaq.Scalars.random(checked_shape(shape), _components(components), seed_of(rng)))

    @classmethod
    def from_numpy(cls, array: ArrayLike) -> ScalarField:
        """A field from an array ``[x_0, .., x_{D-1}, component]``; copied.

        Raises
        ------
        TypeError, ValueError
            Not real numbers, a shape that is no field, NaN or infinity.

        Examples
        --------
        >>> ScalarField.from_numpy(np.ones((4, 4, 2)))
        <ScalarField 4x4, 2 components>
        """
        given = np.asarray(array)
        if given.dtype.kind not in "iuf":
            raise TypeError(f"a scalar field holds real numbers; got an array of dtype {given.dtype}")
        if not 2 <= given.ndim <= 5:
            raise ValueError(f"array of shape {given.shape}: a scalar field has shape (L_0, .., L_D-1, components)")
        checked_shape(given.shape[:-1])
        _components(given.shape[-1])
        values = aligned(given, np.float64)
        if not np.isfinite(values).all():
            where = tuple(int(k) for k in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(f"the field holds NaN or infinity, first at index {where}")
        return cls(_plaq.Scalars.from_array(values))

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents, time last."""
        return tuple(self._core.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._core.shape)

    @property
    def components(self) -> int:
        """Number of components."""
        return int(self._core.components)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the values of a ScalarField cannot be viewed without a copy; use np.array(phi)")
        values: NDArray[Any] = self._core.to_array()
        return values if dtype is None else values.astype(dtype)

    def copy(self) -> ScalarField:
        """The same field again."""
        return ScalarField(self._core)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ScalarField.from_numpy, (np.asarray(self),))

    def __eq__(self, other: object) -> bool:
        """Same lattice and values, to the bit."""
        if not isinstance(other, ScalarField):
            return NotImplemented
        return bool(np.array_equal(np.asarray(self), np.asarray(other)))

    def __repr__(self) -> str:
        plural = "" if self.components == 1 else "s"
        return f"<ScalarField {'x'.join(map(str, self.shape))}, {self.components} component{plural}>"

    def _repr_html_(self) -> str:
        values = np.asarray(self)
        rows = [("lattice", " x ".join(map(str, self.shape))), ("components", self.components)]
        return box("ScalarField", [*rows, ("values", f"{values.min():.4g} to {values.max():.4g}")])


def _components(components: Any) -> int:
    return whole_number("components", components, 1, MAX_COMPONENTS)
