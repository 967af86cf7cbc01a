"""Gauge fields and the files that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from plaq import _plaq
from plaq.checkpoint import register_state
from plaq.sampler import Rng, seed_of
from plaq.suggest import unknown

__all__ = ["GaugeField", "read_gauge", "read_header"]

GROUPS = ("U(1)", *(f"SU({n})" for n in range(2, _plaq.MAX_COLORS + 1)))
UNITARITY_TOLERANCE = 1e-5


def colors_of(group: str) -> int:
    """N of ``"SU(N)"``, 1 for ``"U(1)"``."""
    if not isinstance(group, str):
        raise TypeError(f"group is a string such as 'SU(3)'; got {group!r}")
    if group not in GROUPS:
        raise ValueError(unknown("group", group, GROUPS))
    return 1 if group == "U(1)" else int(re.sub(r"\D", "", group))


def checked_shape(shape: Sequence[int]) -> list[int]:
    """The extents as ints, refused before memory is taken if they make no lattice."""
    try:
        extents = [int(extent) for extent in shape]
        exact = all(extent == given for extent, given in zip(extents, shape, strict=True))
    except (TypeError, ValueError):
        exact = False
    if not exact:
        raise TypeError(f"shape is a sequence of 1 to 4 ints, time last; got {shape!r}")
    for extent in extents:
        if not 2 <= extent < 2**28:
            raise ValueError(f"shape {tuple(shape)} has an extent {extent}; allowed are 2 to {2**28 - 1}")
    _plaq.check_shape(extents)
    return extents


@register_state
class GaugeField:
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

    Examples
    --------
    >>> import plaq as pq
    >>> U = pq.GaugeField.hot((4, 4, 4, 8), "SU(3)", rng=1)
    >>> U
    <GaugeField SU(3) 4x4x4x8, plaquette 0.001651>
    >>> np.asarray(U).shape
    (4, 4, 4, 4, 8, 3, 3)
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, core: _plaq.Gauge, header: Mapping[str, Any] | None = None) -> None:
        self._core = core
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
            Accept links outside the group (open boundaries, for example).

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
        links = np.ascontiguousarray(given, np.complex128)
        _check_finite("links", links)
        field = cls(_plaq.Gauge.from_array(links))
        violation = field.unitarity_violation()
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

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the links of a GaugeField cannot be viewed without a copy; use np.array(U)")
        if dtype is not None and np.dtype(dtype).kind not in "cO":
            raise TypeError(f"links are complex; np.asarray(U) as {np.dtype(dtype)} would lose their imaginary parts")
        links: NDArray[Any] = self._core.to_array()
        return links if dtype is None else links.astype(dtype)

    def copy(self) -> GaugeField:
        """The same field again (fields share their memory until one of them changes)."""
        return GaugeField(self._core, self.header)

    def __copy__(self) -> GaugeField:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> GaugeField:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (np.asarray(self), self.header))

    def __eq__(self, other: object) -> bool:
        """Same lattice, group and links, to the bit."""
        if not isinstance(other, GaugeField):
            return NotImplemented
        same = self.shape == other.shape and self.group == other.group
        return same and bool(np.array_equal(np.asarray(self), np.asarray(other)))

    def __repr__(self) -> str:
        return f"<GaugeField {self.group} {'x'.join(map(str, self.shape))}{self._plaquette_text(', plaquette ')}>"

    def _repr_html_(self) -> str:
        rows = {"group": self.group, "lattice": " x ".join(map(str, self.shape))}
        if self.ndim > 1:
            rows["plaquette"] = self._plaquette_text("")
        cells = "".join(f"<tr><th style='text-align:left'>{k}</th><td>{v}</td></tr>" for k, v in rows.items())
        return f"<table><caption>GaugeField</caption>{cells}</table>"

    def _plaquette_text(self, prefix: str) -> str:
        from plaq.observables import plaquette

        return f"{prefix}{plaquette(self):.6f}" if self.ndim > 1 else ""

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
        matrices = np.ascontiguousarray(given, np.complex128)
        _check_finite("matrices of g", matrices)
        excess = float(np.abs(matrices @ matrices.conj().swapaxes(-1, -2) - np.eye(self.n_colors)).max())
        if self.n_colors > 1:
            excess = max(excess, float(np.abs(np.linalg.det(matrices) - 1).max()))
        if not excess <= UNITARITY_TOLERANCE:
            raise ValueError(
                f"g is not in {self.group}: |g^dagger g - 1| or |det g - 1| reaches {excess:.3g}, allowed is "
                f"{UNITARITY_TOLERANCE}"
            )
        return GaugeField(self._core.gauge_transform(matrices))

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
        return GaugeField(self._core.random_gauge_transform(seed_of(rng)))

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
        return self

    def unitarity_violation(self) -> float:
        """Largest element of :math:`|U^\\dagger U - 1|` and largest :math:`|\\det U - 1|` (N > 1) over all links."""
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
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "conf.ildg"
        >>> U = GaugeField.hot((4, 4, 4, 4), rng=1)
        >>> U.write(path, beta=6.0)
        >>> read_gauge(path) == U
        True
        """
        pairs = [(str(key), str(value)) for key, value in metadata.items()]
        counts = _int("precision", precision), None if rows is None else _int("rows", rows)
        _plaq.write_gauge(self._core, fspath(path), _text(format), *counts, pairs, allow_nonunitary)


def _restored(links: NDArray[np.complex128], header: dict[str, Any]) -> GaugeField:
    return GaugeField(_plaq.Gauge.from_array(links), header)


def _int(name: str, value: object) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is an int; got {value!r}")
    return int(value)


def _check_finite(what: str, numbers: NDArray[np.complex128]) -> None:
    if not np.isfinite(numbers).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(numbers))[0])
        raise ValueError(f"the {what} hold NaN or infinity, first at index {where}; clean them before")


def _text(format: object) -> str | None:
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


def read_gauge(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    shape: Sequence[int] | None = None,
    group: str | None = None,
    allow_nonunitary: bool = False,
    ignore_checksum: bool = False,
) -> GaugeField:
    """Read a gauge configuration; the format is found from the content.

    NERSC archive, ILDG and SciDAC LIME, MILC v5 and older, Bridge++ text, openQCD, MDP, npy and npz. Checksums,
    recorded plaquettes and unitarity are verified.

    Parameters
    ----------
    path : path
    format : str, optional
        Insist on a format.
    shape : sequence of int, optional
        Extents (time last) for files that do not state them; must agree with those that do.
    group : str, optional
        Group for files that do not state it.
    allow_nonunitary : bool
        Accept links outside the group (Schroedinger functional, open boundaries).
    ignore_checksum : bool
        Turn wrong checksums, plaquettes and link traces into warnings in ``U.header["warnings"]``.

    Returns
    -------
    GaugeField
        With what the file says of itself in ``.header``, as :func:`read_header` returns it.

    Raises
    ------
    FormatError
        The file is damaged, lies or is in no known format; names the field, its byte offset and the remedy.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.read_gauge(pq.datasets.path("lat.sample.l4444.ildg"))
    <GaugeField SU(3) 4x4x4x4, plaquette 0.594850>
    """
    with _naming(path):
        core, header = _plaq.read_gauge(fspath(path), *_layout(format, shape, group), allow_nonunitary, ignore_checksum)
    return GaugeField(core, header)


def read_header(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    shape: Sequence[int] | None = None,
    group: str | None = None,
) -> dict[str, Any]:
    """What a configuration file says of itself, without reading its links.

    Parameters
    ----------
    path, format, shape, group
        As for :func:`read_gauge`.

    Returns
    -------
    dict
        ``format, shape, n_colors, precision, rows, byte_order, checksums, plaquette, link_trace, metadata, records,
        warnings``; None where the file says nothing. Nothing of it has been checked against the links.

    Examples
    --------
    >>> import plaq as pq
    >>> header = pq.read_header(pq.datasets.path("lat.sample.l4444.ildg"))
    >>> header["format"], header["shape"], header["precision"]
    ('ildg', [4, 4, 4, 4], 32)
    """
    with _naming(path):
        header: dict[str, Any] = _plaq.read_header(fspath(path), *_layout(format, shape, group))
    return header


@contextmanager
def _naming(path: str | PathLike[str]) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except _plaq.FormatError as error:
        error.args = (f"{fspath(path)}: {error}", *error.args[1:])
        raise


def _layout(
    format: str | None, shape: Sequence[int] | None, group: str | None
) -> tuple[str | None, list[int] | None, int | None]:
    extents = None if shape is None else checked_shape(shape)
    return _text(format), extents, None if group is None else colors_of(group)
