"""Chain files: draws, state and random counter in one uncompressed npz, replaced atomically, never pickled."""

import io
import json
import os
import platform
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from plaq._plaq import CheckpointError, __version__

__all__ = ["Record", "register_state"]

FORMAT = "plaq-chain"
VERSION = 1
MISSING = "(absent)"

Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")
_STATES: dict[str, type] = {}


def register_state(cls: type[T]) -> type[T]:
    """Let states of this class be restored from chain files (usable as a decorator).

    Needed only to load a file in a process that has not yet sampled such a state; classes of plaq are known.
    A class can be stored if it has one of: ``to_checkpoint() -> dict[str, ndarray]`` with the classmethod
    ``from_checkpoint(dict)``; ``__array__`` with the classmethod ``from_numpy(array)``; or dataclass fields that can
    be stored. Arrays, numbers, strings and tuples, lists and dicts of all these need no class.

    Parameters
    ----------
    cls : type

    Returns
    -------
    type
        `cls` itself.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @register_state
    ... @dataclass
    ... class Walker:
    ...     position: float
    """
    _STATES[cls.__qualname__] = cls
    return cls


@dataclass
class Record:
    """What a chain file holds: draws and info of the `count` draws, state, and the counters that continue the run."""

    draws: Arrays
    info: Arrays
    state: Any
    seed: int
    sweep: int
    warmup: int
    thin: int
    fingerprint: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the file at `path` by this record, or leave it as it was."""
        arrays: Arrays = {}
        tree = encode(self.state, "state", arrays)
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "plaq": __version__,
            "seed": self.seed,
            "sweep": self.sweep,
            "warmup": self.warmup,
            "thin": self.thin,
            "draws": list(self.draws),
            "info": list(self.info),
            "state": tree,
            "fingerprint": self.fingerprint,
        }
        arrays |= {f"draws/{name}": values for name, values in self.draws.items()}
        arrays |= {f"info/{name}": values for name, values in self.info.items()}
        with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            _write_array(archive, "meta", np.array(json.dumps(meta)))
            for name, values in arrays.items():
                _write_array(archive, name, values)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read the file at `path`; CheckpointError says what is wrong with it and what to do."""
        try:
            arrays = _read_arrays(path)
            meta = json.loads(str(arrays["meta"][()]))
            _check_version(path, meta)
            return cls(
                draws={name: arrays[f"draws/{name}"] for name in meta["draws"]},
                info={name: arrays[f"info/{name}"] for name in meta["info"]},
                state=decode(meta["state"], arrays),
                **{key: meta[key] for key in ("seed", "sweep", "warmup", "thin", "fingerprint")},
            )
        except (
            zipfile.BadZipFile,
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            EOFError,
            NotImplementedError,
        ) as error:
            raise CheckpointError(
                f"{path} is no chain file of plaq or is damaged ({type(error).__name__}: {error}); if it holds "
                "anything else, name another checkpoint; delete it or restore a copy, or start anew with resume=False"
            ) from error


def _check_version(path: Path, meta: Any) -> None:
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ValueError(f'its "format" is not "{FORMAT}"')
    if meta.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has chain format version {meta.get('version')} (written by plaq {meta.get('plaq')}); "
            f"plaq {__version__} reads version {VERSION}: use the plaq that wrote it, or start anew with resume=False"
        )


def _write_array(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


def _read_arrays(path: Path) -> Arrays:
    """All arrays; every member is read to its end, where its CRC-32 is compared."""
    size = path.stat().st_size
    arrays: Arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
                raise ValueError(f'member "{member.filename}" is compressed or longer than the file')
            content = io.BytesIO(archive.read(member))
            arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(content, allow_pickle=False)
    return arrays


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the name `path` once it is complete and on disk; removed if anything goes wrong."""
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: Path) -> None:
    """Fail before the first update, not after the first hour, if `path` cannot be written."""
    if path.is_dir():
        raise IsADirectoryError(f"checkpoint {path} is a folder; give the name of a file, such as {path / 'chain.npz'}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} of the checkpoint does not exist; create it first")
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise type(error)(
            error.errno, f"cannot write into the folder of the checkpoint ({reason}); choose another", str(path.parent)
        ) from error


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of writers that were killed on this machine."""
    for leftover in path.parent.glob(f".{path.name}.{platform.node()}.*.tmp"):
        pid = leftover.name.split(".")[-3]
        if pid.isdecimal() and not _is_alive(int(pid)):
            with suppress(OSError):
                leftover.unlink()


def _is_alive(pid: int) -> bool:
    if os.name != "posix":  # where os.kill(pid, 0) would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line for each key whose value differs between two fingerprints."""
    old, new = _flat(stored), _flat(json.loads(json.dumps(given)))
    return [
        f"{key}: the file has {old.get(key, MISSING)!r}, this run {new.get(key, MISSING)!r}"
        for key in {**old, **new}
        if old.get(key, MISSING) != new.get(key, MISSING)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def describe(state: Any) -> dict[str, Any]:
    """Class, shape and group of a state, for the fingerprint."""
    facts: dict[str, Any] = {"class": type(state).__qualname__}
    if hasattr(state, "shape"):
        facts["shape"] = [int(extent) for extent in state.shape]
    if hasattr(state, "group"):
        facts["group"] = str(state.group)
    return facts


def encode(value: Any, name: str, arrays: Arrays) -> dict[str, Any]:
    """JSON tree of a state; its arrays go to `arrays` under names that begin with `name`."""
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, np.ndarray | np.generic | complex):
        return {"array": _put(np.asarray(value), name, arrays), "scalar": not isinstance(value, np.ndarray)}
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        items = [encode(item, f"{name}/{k}", arrays) for k, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": _encode_items(value, name, arrays)}
    named: dict[str, Any] = {"class": type(value).__qualname__}
    return named | _encode_object(value, name, arrays)


def _encode_items(items: Mapping[str, Any], name: str, arrays: Arrays) -> dict[str, Any]:
    return {key: encode(item, f"{name}/{key}", arrays) for key, item in items.items()}


def _encode_object(value: Any, name: str, arrays: Arrays) -> dict[str, Any]:
    cls = type(value)
    if hasattr(cls, "to_checkpoint") and hasattr(cls, "from_checkpoint"):
        tree: dict[str, Any] = {"checkpoint": _encode_items(value.to_checkpoint(), name, arrays)}
    elif hasattr(cls, "__array__") and hasattr(cls, "from_numpy"):
        tree = {"numpy": _put(np.asarray(value), name, arrays)}
    elif is_dataclass(cls):
        tree = {"fields": _encode_items({f.name: getattr(value, f.name) for f in fields(cls)}, name, arrays)}
    else:
        raise TypeError(
            f"a state of type {cls.__qualname__} cannot be stored in a chain file; give it to_checkpoint() and the "
            "classmethod from_checkpoint(dict), or from_numpy(array) with __array__, or make it a dataclass"
        )
    register_state(cls)
    return tree


def _put(values: NDArray[Any], name: str, arrays: Arrays) -> str:
    if values.dtype.hasobject:
        raise TypeError("a state with an array of Python objects cannot be stored in a chain file; use numbers")
    arrays[name] = values
    return name


def decode(tree: Mapping[str, Any], arrays: Arrays) -> Any:
    """The inverse of :func:`encode`."""

    def items(part: Mapping[str, Any]) -> dict[str, Any]:
        return {key: decode(item, arrays) for key, item in part.items()}

    if "class" in tree:
        cls = _state_class(tree["class"])
        if "checkpoint" in tree:
            return cls.from_checkpoint(items(tree["checkpoint"]))
        return cls.from_numpy(arrays[tree["numpy"]]) if "numpy" in tree else cls(**items(tree["fields"]))
    decoders: dict[str, Callable[[Any], Any]] = {
        "value": lambda value: value,
        "array": lambda name: arrays[name][()] if tree["scalar"] else arrays[name],
        "tuple": lambda parts: tuple(decode(part, arrays) for part in parts),
        "list": lambda parts: [decode(part, arrays) for part in parts],
        "dict": items,
    }
    kind = next(iter(tree))
    return decoders[kind](tree[kind])


def _state_class(name: str) -> Any:
    import plaq

    cls = _STATES.get(name) or getattr(plaq, name, None)
    if not isinstance(cls, type):
        raise CheckpointError(
            f'the state is of class "{name}", which is not known here; import its module and call '
            "plaq.checkpoint.register_state on the class before reading the file"
        )
    return cls
