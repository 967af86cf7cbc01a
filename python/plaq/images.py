"""Images of digits: scikit-learn's own, and MNIST from files that the user has."""

import gzip
import io
import math
import struct
import zipfile
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import FormatError
from plaq.export import require

Array = NDArray[np.float64]
UNSIGNED_BYTES = 0x08


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
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, ValueError) as error:
            raise FormatError(
                f"{path}: the gzip stream is damaged or truncated ({error}); get the file again"
            ) from error
    images = _npz(content, path, key) if content[:2] == b"PK" else _idx(content, path)
    if images.ndim < 2 or not images.size:
        raise FormatError(
            f"{path}: an array of shape {images.shape} holds no images; give the file of images, not of labels"
        )
    flat = images.reshape(len(images), -1)
    return np.ascontiguousarray(flat, dtype=float) / 255.0


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
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            known = [key] if key else ["x_train", "train_images", "images", "data"]
            names = [name for name in known if name in file.files] or (file.files if key is None else [])
            if len(names) != 1:
                raise FormatError(f"{path}: arrays {file.files}; say which are the images with key=...")
            images: NDArray[np.uint8] = file[names[0]]
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        raise FormatError(f"{path}: damaged npz file ({error}); get it again") from error
    if images.dtype.kind not in "ui" or images.min(initial=0) < 0 or images.max(initial=0) > 255:
        low, high = images.min(initial=0), images.max(initial=0)
        raise FormatError(f"{path}: {images.dtype} from {low} to {high}; grey values are integers from 0 to 255")
    return images
