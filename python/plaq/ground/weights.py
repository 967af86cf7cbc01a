"""Weights in safetensors files: float64 arrays by name, the architecture in the metadata, every size checked."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import FormatError
from plaq.ground.files import damaged, read_content, replacing

__all__ = ["load_weights", "making", "require_same_layers", "save_weights"]

MAX_HEADER = 1 << 24
Weights = dict[str, NDArray[np.float64]]


def save_weights(
    path: str | os.PathLike[str], weights: Mapping[str, NDArray[np.float64]], architecture: object
) -> None:
    """Write arrays and a JSON-able architecture with a checksum, under a temporary name that is then renamed.

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
    metadata = {"format": "plaq", "architecture": json.dumps(architecture)}
    header: dict[str, Any] = {"__metadata__": metadata}
    payload = b""
    for name, values in weights.items():
        data = np.ascontiguousarray(values, "<f8").tobytes()
        offsets = [len(payload), len(payload) + len(data)]
        header[name] = {"dtype": "F64", "shape": list(np.shape(values)), "data_offsets": offsets}
        payload += data
    metadata["sha256"] = _digest(header, payload)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replacing(Path(path)) as file:
        file.write(struct.pack("<Q", len(text)) + text + payload)


def _digest(header: Mapping[str, Any], payload: bytes) -> str:
    """SHA-256 over header and values, the entry of the sum itself left out."""
    metadata = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    text = json.dumps({**header, "__metadata__": metadata}, sort_keys=True)
    return hashlib.sha256(text.encode() + payload).hexdigest()


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
        Truncated, another checksum, sizes that do not fit the file, not float64, or not written by plaq.
    OSError
        The file cannot be read.
    """
    data = read_content(path)
    if len(data) < 8:
        raise FormatError(f"{path}: {len(data)} bytes are no safetensors file; save the weights again")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MAX_HEADER, len(data) - 8):
        raise FormatError(f"{path}: the header claims {length} bytes, the file has {len(data) - 8}; it is truncated")
    payload = data[8 + length :]
    with damaged(path, FormatError, lambda why: f"has no header of weights saved by plaq ({why}); save them again"):
        header = json.loads(data[8 : 8 + length])
        _require_checksum(path, header, payload)
        architecture = json.loads(header.pop("__metadata__")["architecture"])
    return {str(name): _tensor(path, name, entry, payload) for name, entry in header.items()}, architecture


def _require_checksum(path: object, header: Mapping[str, Any], payload: bytes) -> None:
    """Files of earlier versions have no checksum, and no other entries than theirs."""
    metadata = header["__metadata__"]
    if set(metadata) - {"format", "architecture"} and metadata.get("sha256") != _digest(header, payload):
        raise FormatError(f"{path}: the checksum over header and values is another; the file is damaged")


def making(path: str | os.PathLike[str], what: str) -> AbstractContextManager[None]:
    """Whatever is wrong with an architecture while `what` is made of it becomes a FormatError.

    Examples
    --------
    >>> try:
    ...     with making("a.safetensors", "network"):
    ...         {}["layers"]
    ... except FormatError as error:
    ...     print(error)
    a.safetensors holds no network (KeyError: 'layers'); load files of other models with their own class
    """
    remedy = "load files of other models with their own class"
    return damaged(path, FormatError, lambda why: f"holds no {what} ({why}); {remedy}")


def require_same_layers(path: str | os.PathLike[str], theirs: Sequence[object], mine: Sequence[object]) -> None:
    """Refuses weights of a file whose layers differ from those of a network; names the first difference.

    Raises
    ------
    ValueError
        Another number of layers, or another layer.

    Examples
    --------
    >>> require_same_layers("net.safetensors", ["conv 2"], ["conv 3"])
    Traceback (most recent call last):
    ValueError: net.safetensors: layer 0 is conv 2, in this network conv 3
    """
    if len(theirs) != len(mine):
        raise ValueError(f"{path} has {len(theirs)} layers, this network {len(mine)}")
    for n, (a, b) in enumerate(zip(theirs, mine, strict=True)):
        if a != b:
            raise ValueError(f"{path}: layer {n} is {a}, in this network {b}")


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
