"""Gauge fields from files, and what the files say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any

from plaq import _plaq
from plaq.fields.gauge import (
    GaugeField,
    checked_shape,
    colors_of,
    text_or_none,
)
from plaq.ground.files import require_file

__all__ = ["read_gauge", "read_header"]


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

    NERSC archive, ILDG and SciDAC LIME, MILC v5 and older, Bridge++ text, openQCD, DDalphaAMG, HiRep, MDP, npy and npz.
    Checksums, recorded plaquettes and unitarity are verified. Open boundaries in time are recognised: ``U.boundary``.

    Parameters
    ----------
    path : path
    format : str, optional
        Insist on a format.
    shape : sequence of int, optional
        Extents (time last) for files that do not state them; must agree with those that do.
    group : str, optional
        Group for files that do not state it, or whose label is wrong: it is taken, with a warning in the header, if the
        length of the data fits it.
    allow_nonunitary : bool
        Accept links outside the group (Schroedinger functional). What is right only for links in the group refuses the
        field then.
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
        It cannot be read, or is a pipe or a device.
    ValueError
        There is no memory for it; what it needs and what there is are named.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.read_gauge(pq.datasets.path("lat.sample.l4444.ildg"))
    <GaugeField SU(3) 4x4x4x4, plaquette 0.594850>
    """
    with _naming(path):
        core, header = _plaq.read_gauge(fspath(path), *_layout(format, shape, group), allow_nonunitary, ignore_checksum)
    violation = core.unitarity_violation() if allow_nonunitary else 0.0
    return GaugeField(core, header, violation=violation)


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
        ``format, shape, n_colors, precision, rows, byte_order, checksums, plaquette, link_trace, boundary, metadata,
        records, warnings``; None where the file says nothing. Nothing of it has been checked against the links.

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
    require_file(path)
    try:
        yield
    except _plaq.FormatError as error:
        error.args = (f"{fspath(path)}: {error}", *error.args[1:])
        raise


def _layout(
    format: str | None, shape: Sequence[int] | None, group: str | None
) -> tuple[str | None, list[int] | None, int | None]:
    extents = None if shape is None else checked_shape(shape)
    return text_or_none(format), extents, None if group is None else colors_of(group)
