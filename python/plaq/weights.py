"""Weights in safetensors files: float64 arrays by name, the architecture in the metadata, every size checked."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import FormatError

__all__ = ["load_weights", "save_weights"]

MAX_HEADER = 1 << 24
Weights = dict[str, NDArray[np.float64]]


def save_weights(
    path: str | os.PathLike[str], weights: Mapping[str, NDArray[np.float64]], architecture: object
) -> None:
    """Write arrays and a JSON-able architecture, under a temporary name that is then renamed.

    Parameters
    ----------
    path : path
    weights : mapping of str to ndarray
        Stored as float64.
    architecture : object
        Plain data, kept in the metadata.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "w.safetensors"
    >>> save_weights(path, {"rho": np.array([0.1, 0.2])}, ["plaquette", "rectangle"])
    >>> load_weights(path)
    ({'rho': array([0.1, 0.2])}, ['plaquette', 'rectangle'])
    """
    header: dict[str, Any] = {"__metadata__": {"format": "plaq", "architecture": json.dumps(architecture)}}
    payload = b""
    for name, values in weights.items():
        data = np.ascontiguousarray(values, "<f8").tobytes()
        offsets = [len(payload), len(payload) + len(data)]
        header[name] = {"dtype": "F64", "shape": list(np.shape(values)), "data_offsets": offsets}
        payload += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(path: str | os.PathLike[str]) -> tuple[Weights, Any]:
    """Arrays and architecture of a file written by :func:`save_weights`.

    Parameters
    ----------
    path : path

    Returns
    -------
    weights : dict of str to ndarray
    architecture : object

    Raises
    ------
    FormatError
        Truncated, sizes that do not fit the file, not float64, or not written by plaq.
    OSError
        The file cannot be read.
    """
    data = Path(path).read_bytes()
    if len(data) < 8:
        raise FormatError(f"{path}: {len(data)} bytes are no safetensors file; save the weights again")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MAX_HEADER, len(data) - 8):
        raise FormatError(f"{path}: the header claims {length} bytes, the file has {len(data) - 8}; it is truncated")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header.pop("__metadata__")
        architecture = json.loads(metadata["architecture"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError(f"{path}: the header is not that of weights saved by plaq; save them again") from None
    return {str(name): _tensor(path, name, entry, data[8 + length :]) for name, entry in header.items()}, architecture


def _tensor(path: object, name: str, entry: Any, payload: bytes) -> NDArray[np.float64]:
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [int(n) for n in (start, stop, *shape)]
        exact = all(type(n) is int and n >= 0 for n in (start, stop, *shape))
    except (TypeError, KeyError, ValueError):
        raise FormatError(f"{path}: the entry of {name!r} is damaged; save the weights again") from None
    count = 1
    for extent in numbers[2:]:
        count *= extent
    if not exact or dtype != "F64" or not start <= stop <= len(payload) or stop - start != 8 * count:
        raise FormatError(f"{path}: {name!r} ({dtype}, shape {shape}, bytes {start} to {stop}) does not fit the file")
    return np.frombuffer(payload[start:stop], "<f8").reshape(shape).astype(np.float64)
