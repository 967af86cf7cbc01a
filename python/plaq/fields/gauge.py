"""Gauge fields: links on a periodic lattice."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq import _plaq
from plaq.ground.arguments import aligned, instance, number, shown, unknown, whole_number
from plaq.ground.html import box
from plaq.ground.names import Completed
from plaq.ground.rng import Rng, seed_of
from plaq.ground.states import register_state

__all__ = ["GaugeField"]

GROUPS = ("U(1)", *(f"SU({n})" for n in range(2, _plaq.MAX_COLORS + 1)))
UNITARITY_TOLERANCE = 1e-5
NONUNITARY = 1e-3
"""Beyond this links were let in by ``allow_nonunitary``; files of 32 bit stay below."""


def colors_of(group: str) -> int:
    """N of ``"SU(N)"``, 1 for ``"U(1)"``."""
    if not isinstance(group, str):
        raise TypeError(f"group is a string such as 'SU(3)'; got {group!r}")
    if group not in GROUPS:
        raise ValueError(unknown("group", group, GROUPS))
    return 1 if group == "U(1)" else int(re.sub(r"\D", "", group))


def checked_shape(shape: Sequence[int]) -> list[int]:
    """The extents as ints, refused before memory is taken if they make no lattice."""
    given: list[Any] = list(shape) if np.iterable(shape) and not isinstance(shape, str | bytes) else [None]
    if not all(isinstance(extent, int | np.integer) and not isinstance(extent, bool) for extent in given):
        raise TypeError(f"shape is a sequence of 1 to 4 ints, time last; got {shown(shape)}")
    for extent in given:
        if not 2 <= extent < 2**28:
            raise ValueError(f"shape {shown(shape)} has an extent {shown(extent)}; allowed are 2 to {2**28 - 1}")
    extents = [int(extent) for extent in given]
    _plaq.check_shape(extents)
    return extents


@register_state
class GaugeField(Completed):
    r"""Links :math:`U_\mu(x)` from :math:`x` to :math:`x+\hat\mu` on a periodic lattice.

    Make one with :meth:`cold`, :meth:`hot`, :meth:`from_numpy` or :func:`plaq.read_gauge`. ``np.asarray(U)`` is a copy
    of the links, complex128 of shape ``(D, L_0, .., L_{D-1}, N, N)``; the last lattice axis is time, direction mu is
    axis mu. Samplers never change the field they are given.

    Attributes
    ----------
    shape : tuple of int
        Extents, time last.
    ndim : int
        Number of dimensions D.
    group : str
        ``"U(1)"`` or ``"SU(N)"``.
    n_colors : int
        N; 1 for U(1).
    boundary : str
        ``"periodic"``, or ``"open"`` in time where the temporal links of one slice are all zero.

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((4, 4, 4, 8), "SU(3)", rng=1)
    >>> U
    <GaugeField SU(3) 4x4x4x8, plaquette -0.000943>
    >>> np.asarray(U).shape
    (4, 4, 4, 4, 8, 3, 3)
    """

    _unlisted = ("inside",)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"GaugeField has no attribute {name!r}")
        if name in ("numpy", "to_numpy", "array", "data", "links", "T"):
            raise AttributeError(f"GaugeField has no attribute {name!r}; its links as an array are np.asarray(U)")
        known = [each for each in dir(self) if not each.startswith("_")]
        raise AttributeError(
            f"{unknown('attribute', name, known)}; what is measured is a function, as pq.observables.plaquette(U)"
        )

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, core: _plaq.Gauge, header: Mapping[str, Any] | None = None, *, violation: float = 0.0) -> None:
        _refuse_guess(core, header)
        self._core: _plaq.Gauge = instance(
            "core", core, _plaq.Gauge, "a field in the core; make fields with cold, hot, from_numpy or plaq.read_gauge"
        )
        self._violation = number("violation", violation, finite=False)
        self.header: dict[str, Any] = dict(header or {})

    @classmethod
    def cold(cls, shape: Sequence[int], group: str = "SU(3)") -> GaugeField:
        """All links one.

        Parameters
        ----------
        shape : sequence of int
            1 to 4 extents, each at least 2, time last.
        group : str
            ``"U(1)"``, ``"SU(2)"``, ... ``"SU(8)"``.

        Raises
        ------
        ValueError, TypeError
            Extents or group that are not allowed.

        Examples
        --------
        >>> GaugeField.cold((8, 8), "U(1)")
        <GaugeField U(1) 8x8, plaquette 1.000000>
        """
        return cls(_plaq.Gauge.cold(checked_shape(shape), colors_of(group)))

    @classmethod
    def hot(cls, shape: Sequence[int], group: str = "SU(3)", *, rng: Rng) -> GaugeField:
        """Independent links from the Haar measure.

        Parameters
        ----------
        shape, group
            As for :meth:`cold`.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence

        Examples
        --------
        >>> GaugeField.hot((8, 8), "SU(2)", rng=3).unitarity_violation() < 1e-14
        True
        """
        return cls(_plaq.Gauge.hot(checked_shape(shape), colors_of(group), seed_of(rng)))

    @classmethod
    def from_numpy(cls, array: ArrayLike, *, allow_nonunitary: bool = False) -> GaugeField:
        """A field from links ``[mu, x_0, .., x_{D-1}, a, b]``; N = 1 is U(1).

        Parameters
        ----------
        array : array_like
            Numbers of shape ``(D, L_0, .., L_{D-1}, N, N)``; copied.
        allow_nonunitary : bool
            Accept links outside the group (Schroedinger functional). Open boundaries need no permission.

        Raises
        ------
        TypeError, ValueError
            Not numbers; a shape that is no gauge field; NaN or infinity; a link that is not in the group to 1e-5.

        Examples
        --------
        >>> theta = np.full((2, 4, 4, 1, 1), 0.1)
        >>> GaugeField.from_numpy(np.exp(1j * theta))
        <GaugeField U(1) 4x4, plaquette 1.000000>
        """
        given = np.asarray(array)
        if given.dtype.kind not in "iufc":
            raise TypeError(f"links are complex numbers; got an array of dtype {given.dtype}")
        _check_link_shape(given.shape)
        links = aligned(given, np.complex128)
        _check_finite("links", links)
        core = _plaq.Gauge.from_array(links)
        field = cls(core, violation=core.unitarity_violation())
        violation = field._violation
        if not violation <= UNITARITY_TOLERANCE and not allow_nonunitary:
            raise ValueError(
                f"the links are not in {field.group}: |U^dagger U - 1| or |det U - 1| reaches {violation:.3g}, "
                f"allowed is {UNITARITY_TOLERANCE}; check the order of the axes (mu, x.., a, b), "
                "or give allow_nonunitary=True"
            )
        return field

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents, time last."""
        return tuple(self._core.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._core.shape)

    @property
    def group(self) -> str:
        """``"U(1)"`` or ``"SU(N)"``."""
        return str(self._core.group)

    @property
    def n_colors(self) -> int:
        """N; 1 for U(1)."""
        return int(self._core.n_colors)

    @property
    def boundary(self) -> str:
        """``"periodic"``, or ``"open"`` where the temporal links of one slice are all zero (openQCD: the last one)."""
        return "periodic" if self._core.open_slice() is None else "open"

    def inside(self, what: str, *, open_too: bool = False) -> _plaq.Gauge:
        """The field in the core, for `what` that is right only with links in the group on a periodic lattice.

        Parameters
        ----------
        what : str
            What needs them; the error names it.
        open_too : bool
            Open boundaries in time are right as well.

        Raises
        ------
        ValueError
            Open boundaries, or links outside the group.

        Examples
        --------
        >>> type(GaugeField.cold((4, 4)).inside("an update")).__name__
        'Gauge'
        """
        if not open_too and self.boundary == "open":
            raise ValueError(
                f"{what} is defined with periodic boundaries only, and this field has open boundaries in time (its "
                "temporal links on one slice are zero); loops, energy, charge and Wilson flow know open boundaries"
            )
        if not self._violation <= NONUNITARY:
            raise ValueError(
                f"{what} needs links in {self.group}, and those of this field violate U^dagger U = 1 or det U = 1 "
                f"by {self._violation:.3g}: reunitarize() brings them back, if that is what they should be"
            )
        return self._core

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the links of a GaugeField cannot be viewed without a copy; use np.array(U)")
        if dtype is not None and np.dtype(dtype).kind not in "cO":
            raise TypeError(f"links are complex; np.asarray(U) as {np.dtype(dtype)} would lose their imaginary parts")
        links: NDArray[Any] = self._core.to_array()
        return links if dtype is None else links.astype(dtype)

    def copy(self) -> GaugeField:
        """The same field again (fields share their memory until one of them changes)."""
        return GaugeField(self._core, self.header, violation=self._violation)

    def __copy__(self) -> GaugeField:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> GaugeField:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (np.asarray(self), self.header, self._violation))

    def __eq__(self, other: object) -> bool:
        """Same lattice, group and links, to the bit."""
        if not isinstance(other, GaugeField):
            return NotImplemented
        same = self.shape == other.shape and self.group == other.group
        return same and bool(np.array_equal(np.asarray(self), np.asarray(other)))

    def __repr__(self) -> str:
        lattice = "x".join(map(str, self.shape)) + self._boundary_text()
        return f"<GaugeField {self.group} {lattice}{self._plaquette_text(', plaquette ')}>"

    def _repr_html_(self) -> str:
        rows = {"group": self.group, "lattice": " x ".join(map(str, self.shape))}
        if self.boundary != "periodic":
            rows["boundary"] = f"{self.boundary} in time"
        if self.ndim > 1:
            rows["plaquette"] = self._plaquette_text("")
        return box("GaugeField", rows.items())

    def _boundary_text(self) -> str:
        return "" if self.boundary == "periodic" else f", {self.boundary} in time"

    def _plaquette_text(self, prefix: str) -> str:
        if self.ndim < 2:
            return ""
        loops = _plaq.loop_family("plaquette", list(self.shape))
        return f"{prefix}{self._core.trace_sum(loops) / (math.prod(self.shape) * len(loops)):.6f}"

    def gauge_transform(self, g: ArrayLike) -> GaugeField:
        r"""The field :math:`g(x)\, U_\mu(x)\, g(x+\hat\mu)^\dagger`.

        Parameters
        ----------
        g : array_like
            Group elements, shape ``(L_0, .., L_{D-1}, N, N)``.

        Returns
        -------
        GaugeField

        Raises
        ------
        TypeError, ValueError
            `g` is not numbers, has another shape, or holds matrices that are not in the group to 1e-5.

        Examples
        --------
        >>> U = GaugeField.cold((4, 4), "U(1)")
        >>> g = np.exp(1j * np.arange(16.0)).reshape(4, 4, 1, 1)
        >>> bool(abs(U.gauge_transform(g)._core.trace_sum([(1.0, [1, 2, -1, -2])]) - 16) < 1e-12)
        True
        """
        given = np.asarray(g)
        if given.dtype.kind not in "iufc":
            raise TypeError(f"g holds complex matrices; got an array of dtype {given.dtype}")
        wanted = (*self.shape, self.n_colors, self.n_colors)
        if given.shape != wanted:
            raise ValueError(f"g has shape {given.shape}; {wanted} is needed")
        matrices = aligned(given, np.complex128)
        _check_finite("matrices of g", matrices)
        excess = float(np.abs(matrices @ matrices.conj().swapaxes(-1, -2) - np.eye(self.n_colors)).max())
        if self.n_colors > 1:
            excess = max(excess, float(np.abs(np.linalg.det(matrices) - 1).max()))
        if not excess <= UNITARITY_TOLERANCE:
            raise ValueError(
                f"g is not in {self.group}: |g^dagger g - 1| or |det g - 1| reaches {excess:.3g}, allowed is "
                f"{UNITARITY_TOLERANCE}"
            )
        return GaugeField(self._core.gauge_transform(matrices), violation=self._violation)

    def random_gauge_transform(self, *, rng: Rng) -> GaugeField:
        """The field after a gauge transformation by independent Haar-distributed matrices.

        Parameters
        ----------
        rng : int, numpy.random.Generator or numpy.random.SeedSequence

        Examples
        --------
        >>> U = GaugeField.cold((4, 4), "SU(3)").random_gauge_transform(rng=5)
        >>> U
        <GaugeField SU(3) 4x4, plaquette 1.000000>
        """
        return GaugeField(self._core.random_gauge_transform(seed_of(rng)), violation=self._violation)

    def reunitarize(self) -> GaugeField:
        """Brings the links, which may be off by rounding or single precision, back to the group; changes this field.

        Two Newton-Schulz steps towards :math:`U (U^\\dagger U)^{-1/2}`, then the phase of the determinant is removed.
        Samplers do this after every update.

        Returns
        -------
        GaugeField
            This field.

        Examples
        --------
        >>> links = np.asarray(GaugeField.hot((4, 4), rng=1)).astype(np.complex64)
        >>> U = GaugeField.from_numpy(links)
        >>> U.reunitarize().unitarity_violation() < 1e-13
        True
        """
        self._core = self._core.reunitarize()
        self._violation = self.unitarity_violation() if self._violation else 0.0
        return self

    def unitarity_violation(self) -> float:
        """Largest element of :math:`|U^\\dagger U - 1|` and largest :math:`|\\det U - 1|` (N > 1) over all links.

        The zero links of open boundaries do not count.
        """
        return float(self._core.unitarity_violation())

    def write(
        self,
        path: str | PathLike[str],
        *,
        format: str | None = None,
        precision: int = 64,
        rows: int | None = None,
        allow_nonunitary: bool = False,
        **metadata: object,
    ) -> None:
        """Write the field to a file, under a temporary name that is then renamed.

        A symbolic link stays (its target is written), and so does the mode of a file that is replaced.

        Parameters
        ----------
        path : path
        format : str, optional
            ``"nersc"``, ``"ildg"``, ``"scidac"``, ``"openqcd"``, ``"npy"`` or ``"npz"``; by default from the extension.
        precision : int
            Bits of a real number, 64 or 32.
        rows : int, optional
            Rows of each matrix that a NERSC file stores: N (default) or N - 1.
        allow_nonunitary : bool
            Write links outside the group.
        **metadata
            Names and values to keep with the field, as far as the format can.

        Raises
        ------
        ValueError
            Unknown format, or one that cannot hold this field.
        OSError
            The file cannot be written; nothing is left behind.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import plaq as pq
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "conf.ildg"
        >>> U = GaugeField.hot((4, 4, 4, 4), rng=1)
        >>> U.write(path, beta=6.0)
        >>> pq.read_gauge(path) == U
        True
        """
        pairs = [(str(key), str(value)) for key, value in metadata.items()]
        bits = whole_number("precision", precision, 0)
        if bits not in (32, 64):
            raise ValueError(f"precision = {bits}: allowed are 32 and 64 bits")
        counts = bits, None if rows is None else whole_number("rows", rows, 1, _plaq.MAX_COLORS)
        _plaq.write_gauge(self._core, fspath(path), text_or_none(format), *counts, pairs, allow_nonunitary)


def _refuse_guess(core: object, group: object) -> None:
    """What somebody writes who has not read on: a shape and a group, or an array."""
    if isinstance(core, np.ndarray):
        raise TypeError("links of an array become a field by GaugeField.from_numpy(array)")
    if isinstance(core, list | tuple):
        arguments = shown(core) + (f", {group!r}" if isinstance(group, str) else "")
        raise TypeError(
            f"a shape does not say what the links are: GaugeField.cold({arguments}) has all links one, "
            f"GaugeField.hot({arguments}, rng=1) random ones, plaq.read_gauge(path) those of a file"
        )


def _restored(links: NDArray[np.complex128], header: dict[str, Any], violation: float = 0.0) -> GaugeField:
    return GaugeField(_plaq.Gauge.from_array(aligned(links, np.complex128)), header, violation=violation)


def _check_finite(what: str, numbers: NDArray[np.complex128]) -> None:
    if not np.isfinite(numbers).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(numbers))[0])
        raise ValueError(f"the {what} hold NaN or infinity, first at index {where}; clean them before")


def text_or_none(format: object) -> str | None:
    if format is not None and not isinstance(format, str):
        raise TypeError(f"format is a string such as 'ildg', or None; got {format!r}")
    return format


def _check_link_shape(shape: tuple[int, ...]) -> None:
    ndim = shape[0] if shape else 0
    if len(shape) < 4 or len(shape) != ndim + 3 or shape[-1] != shape[-2]:
        raise ValueError(
            f"links of shape {shape}: a gauge field has shape (D, L_0, .., L_D-1, N, N) with D = 1 to 4, "
            "for example (4, 8, 8, 8, 16, 3, 3); U(1) has N = 1"
        )
    checked_shape(shape[1:-2])
    if not 1 <= shape[-1] <= _plaq.MAX_COLORS:
        raise ValueError(f"links of shape {shape}: N = {shape[-1]}; allowed are 1 (U(1)) to {_plaq.MAX_COLORS}")
