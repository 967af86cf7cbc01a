"""Arrays by name in an uncompressed npz file with a checksum over all of them: every file of ours but weights."""

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq.ground.arguments import shown
from plaq.ground.files import replacing, require_memory

__all__ = ["CHECKSUM", "unpacked", "verified", "write_arrays"]

CHECKSUM = "plaq.sha256"
"""Name of the entry that holds the checksum."""

LONGEST_NAME = 60_000
"""Bytes of a name that a zip file can hold, less what is added to it."""

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: str | PathLike[str], arrays: Mapping[str, ArrayLike]) -> None:
    """Replace the file at `path` by one that holds these arrays and their checksum; numpy can open it.

    Raises
    ------
    TypeError
        An array of Python objects.
    ValueError
        A name that a zip file cannot hold.
    OSError
        The file cannot be written.
    """
    plain = {name: np.asarray(values) for name, values in arrays.items()}
    if any(values.dtype.hasobject for values in plain.values()):
        raise TypeError("arrays of Python objects cannot be stored; use numbers or strings")
    for name in plain:
        if "\0" in name or len(name.encode()) > LONGEST_NAME:
            raise ValueError(f"{shown(name)}: names in files have at most {LONGEST_NAME} bytes and no zero byte")
    plain[CHECKSUM] = np.array(digest(plain))
    with replacing(Path(path)) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, values in plain.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total.update(f"{name}\0{values.dtype.str}\0{np.shape(arrays[name])}\0".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def verified(arrays: Arrays) -> Arrays:
    """The arrays without their checksum, which must be theirs; files of earlier versions have none.

    Raises
    ------
    ValueError
        Another checksum.
    """
    rest = {name: values for name, values in arrays.items() if name != CHECKSUM}
    if CHECKSUM in arrays and str(arrays[CHECKSUM][()]) != digest(rest):
        raise ValueError("the checksum over its content is another")
    return rest


def unpacked(path: str | PathLike[str], content: bytes, *, compressed: bool = False) -> Arrays:
    """All arrays of a npz file, the checksum among them; sizes are compared before memory is taken.

    Parameters
    ----------
    path : path
        Named where memory is short.
    content : bytes
    compressed : bool
        Whether compressed members are read, too; ours are not.

    Raises
    ------
    Exception
        Of any kind, for content that is damaged: call it under :func:`plaq.ground.files.damaged`.
    """
    arrays: Arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if not members:  # every file of ours has some, if only its checksum
            raise ValueError("it has no members")
        if not compressed:
            odd = next((m for m in members if m.compress_type != zipfile.ZIP_STORED), None)
            if odd is not None or sum(m.file_size for m in members) > len(content):
                raise ValueError(f'member "{(odd or members[0]).filename}" is compressed or longer than the file')
        require_memory(fspath(path), sum(m.file_size for m in members))
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f'two members are called "{name}"')
            arrays[name] = _array(archive.read(member))  # to its end, where its CRC-32 is compared
    return arrays


def _array(content: bytes) -> NDArray[Any]:
    """The array of a npy file whose header fits its length."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version} is not read")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which would need pickle and are never read")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{dtype} of shape {shape} does not fit {len(content) - stream.tell()} bytes")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
