"""Real configurations and results of long runs that come with the package, images of digits, labelled fluxes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import struct
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import FormatError
from plaq.fields.files import read_gauge
from plaq.fields.gauge import GaugeField
from plaq.flux.data import FluxData, flux_counting, flux_regression, flux_violation
from plaq.ground.archive import unpacked
from plaq.ground.arguments import unknown
from plaq.ground.extras import require
from plaq.ground.files import damaged, read_content, require_memory
from plaq.ground.names import Explained

__all__ = [
    "Configuration",
    "FluxData",
    "configurations",
    "digits",
    "flux_counting",
    "flux_regression",
    "flux_violation",
    "gauge",
    "mnist",
    "path",
    "results",
]

_FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Configuration(metaclass=Explained):
    """A shipped file: its SHA-256, where it comes from, and what is recorded of it.

    Examples
    --------
    >>> configurations()["lat.sample.l4448"].plaquette
    0.569055724369
    """

    sha256: str
    description: str
    plaquette: float


_TABLE = {
    "lat.sample.l4444.ildg": Configuration(
        "dd1972d52d103542934d0ca49510659ae2601a676a0bb6799550d8311c81c9a0",
        "4^4 SU(3), dynamical quarks, ILDG with SciDAC checksums, single precision (MILC code, sample configuration)",
        0.594850158947,
    ),
    "lat.sample.l4448": Configuration(
        "60ac8b6a072d7d1fd66669c43e8755c45153ccc40a57361b452eb121a9bda51a",
        "4^3 x 8 SU(3), MILC v5 big-endian, single precision (MILC code, sample configuration)",
        0.569055724369,
    ),
}


def configurations() -> dict[str, Configuration]:
    """Names of the shipped configurations with what is known of them.

    Examples
    --------
    >>> list(configurations())
    ['lat.sample.l4444.ildg', 'lat.sample.l4448']
    """
    return dict(_TABLE)


def path(name: str) -> Path:
    """File of a shipped configuration.

    Parameters
    ----------
    name : str
        One of :func:`configurations`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        Unknown name.

    Examples
    --------
    >>> path("lat.sample.l4448").stat().st_size
    147552
    """
    if name not in _TABLE:
        raise ValueError(unknown("configuration", name, _TABLE))
    return _FOLDER / name


def gauge(name: str = "lat.sample.l4444.ildg") -> GaugeField:
    """A shipped gauge configuration, its file verified by SHA-256 and by its own checksums.

    Parameters
    ----------
    name : str
        One of :func:`configurations`.

    Returns
    -------
    GaugeField

    Raises
    ------
    ValueError
        Unknown name.
    FormatError
        The installed file is damaged.

    Examples
    --------
    >>> import plaq as pq
    >>> pq.datasets.gauge("lat.sample.l4444.ildg")
    <GaugeField SU(3) 4x4x4x4, plaquette 0.594850>
    """
    file = path(name)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != _TABLE[name].sha256:
        raise FormatError(f"{file}: SHA-256 is {digest}, not {_TABLE[name].sha256}; install plaq again")
    return read_gauge(file)


Array = NDArray[np.float64]
UNSIGNED_BYTES = 0x08


PIECE = 1 << 24
"""Bytes of a gzip stream taken at a time."""


def results(name: str) -> dict[str, Any]:
    """Results of a run that takes longer than a notebook should, with its seeds, commands and commits.

    Parameters
    ----------
    name : str
        ``"dynamical_quarks"``, ``"dyson"``, ``"flux_equivariance"``, ``"lcnn_wilson_loops"``, ``"self_learning"``,
        ``"spin_fermion"``, ``"u1_critical_slowing_down"`` or ``"u1_tunnelling"``; made by the program of that name in
        ``benches/physics`` of the source tree. Numbers have eight digits.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        Unknown name.

    Examples
    --------
    >>> results("u1_critical_slowing_down")["beta"]
    [1.0, 1.5, 2.25, 3.0, 4.0, 5.0, 6.25]
    """
    stored: dict[str, dict[str, Any]] = json.loads((_FOLDER / "results.json").read_text(encoding="utf-8"))
    if not isinstance(name, str) or name not in stored:
        raise ValueError(unknown("result", name, stored))
    return stored[name]


def digits(*, labels: bool = False) -> Array | tuple[Array, NDArray[np.int64]]:
    """The 1797 handwritten digits of 8 x 8 pixels that scikit-learn ships, scaled to [0, 1].

    Parameters
    ----------
    labels : bool
        Return the digits' values, too.

    Returns
    -------
    images : ndarray, shape (1797, 64)
        Pixels row by row, in multiples of 1/16.
    labels : ndarray of int, shape (1797,)
        Only with ``labels=True``.

    Raises
    ------
    ImportError
        Without scikit-learn: ``pip install plaq[datasets]``.

    Examples
    --------
    >>> images = digits()
    >>> round(float((images**2).sum(1).mean()), 4)  # the trace of the correlation matrix
    15.0142
    """
    bunch = require("sklearn.datasets", "datasets").load_digits()
    images = np.ascontiguousarray(bunch.data, dtype=float) / 16.0
    return (images, bunch.target.astype(np.int64)) if labels else images


def mnist(path: str | PathLike[str], *, key: str | None = None) -> Array:
    """Images from an IDX file (MNIST's own format, also gzipped) or from a npz file, scaled to [0, 1].

    Parameters
    ----------
    path : path
        For example ``train-images-idx3-ubyte.gz`` or ``mnist.npz``. The format is found from the content.
    key : str, optional
        Name of the array in a npz file; by default ``x_train``, ``train_images``, ``images`` or ``data``, or the only
        array.

    Returns
    -------
    ndarray, shape (images, pixels)
        Grey values divided by 255.

    Raises
    ------
    FormatError
        The file is truncated, damaged, or holds no images of unsigned bytes.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "images.npz"
    >>> np.savez(path, images=np.full((3, 2, 2), 255, np.uint8))
    >>> mnist(path).tolist()[0]
    [1.0, 1.0, 1.0, 1.0]
    """
    content = read_content(path)
    if content[:2] == b"\x1f\x8b":
        content = _gunzipped(content, path)
    images = _npz(content, path, key) if content[:2] == b"PK" else _idx(content, path)
    if images.ndim < 2 or not images.size:
        raise FormatError(
            f"{path}: an array of shape {images.shape} holds no images; give the file of images, not of labels"
        )
    flat = images.reshape(len(images), -1)
    return np.ascontiguousarray(flat, dtype=float) / 255.0


def _gunzipped(content: bytes, path: str | PathLike[str]) -> bytes:
    """The content of a gzip file, taken in pieces as long as there is memory for it."""
    pieces, total = [], 0
    with (
        damaged(path, FormatError, lambda why: f"is a damaged or truncated gzip stream ({why}); get the file again"),
        gzip.GzipFile(fileobj=io.BytesIO(content)) as stream,
    ):
        while piece := stream.read(PIECE):
            total += len(piece)
            require_memory(path, 2 * total if total > PIECE else 0)
            pieces.append(piece)
    return b"".join(pieces)


def _idx(content: bytes, path: str | PathLike[str]) -> NDArray[np.uint8]:
    if len(content) < 4 or content[:2] != b"\0\0":
        raise FormatError(
            f"{path}: magic number {content[:4].hex()} at byte 0; an IDX file starts with 0000, npz with 504b"
        )
    kind, dimensions = content[2], content[3]
    if kind != UNSIGNED_BYTES:
        raise FormatError(f"{path}: data type 0x{kind:02x} at byte 2; images are unsigned bytes, 0x08")
    header = 4 + 4 * dimensions
    if dimensions == 0 or len(content) < header:
        raise FormatError(
            f"{path}: {len(content)} bytes; the header of {dimensions} dimensions needs {header}; it is cut off"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    wanted = header + math.prod(shape)
    if len(content) != wanted:
        what = "truncated" if len(content) < wanted else "longer than it says"
        raise FormatError(
            f"{path}: {what}: {len(content)} bytes where shape {shape} needs {wanted}; get the file again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _npz(content: bytes, path: str | PathLike[str], key: str | None) -> NDArray[np.uint8]:
    with damaged(path, FormatError, lambda why: f"is a damaged npz file ({why}); get it again"):
        arrays = unpacked(path, content, compressed=True)
    known = [key] if key else ["x_train", "train_images", "images", "data"]
    names = [name for name in known if name in arrays] or (list(arrays) if key is None else [])
    if len(names) != 1:
        raise FormatError(f"{path}: arrays {list(arrays)}; say which are the images with key=...")
    images: NDArray[np.uint8] = arrays[names[0]]
    if images.dtype.kind not in "ui" or images.min(initial=0) < 0 or images.max(initial=0) > 255:
        low, high = images.min(initial=0), images.max(initial=0)
        raise FormatError(f"{path}: {images.dtype} from {low} to {high}; grey values are integers from 0 to 255")
    return images
