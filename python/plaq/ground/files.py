"""The one way files are written (atomically, through links, modes kept) and read (sizes first, documented errors)."""

import difflib
import errno
import os
import platform
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from plaq._plaq import FormatError, PlaqError

__all__ = [
    "available_memory",
    "cannot_write",
    "check_writable",
    "damaged",
    "read_content",
    "remove_leftovers",
    "replacing",
    "require_file",
    "require_memory",
]

PERMISSIONS = 0o7777
FEW = 8
"""Files of a folder that are named in a message."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the name `path` once it is complete and on disk; removed if anything goes wrong.

    A symbolic link stays and its target is replaced; an existing file keeps its permissions; devices, pipes, sockets
    and folders are refused; what killed writers of the same file left behind is removed.

    Raises
    ------
    OSError
        `path` is no regular file, or cannot be written.
    """
    target = _target(path)
    remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode) & PERMISSIONS)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # the file is in place; some file systems cannot sync a folder
        _sync_folder(target.parent)


def _target(path: Path) -> Path:
    """The file that a path stands for, through symbolic links."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(f"{path} is a symbolic link that leads back to itself; remove it or choose another name")
    if target.exists() and not target.is_file():
        kind = _kind(target.stat().st_mode)
        raise OSError(f"{path} is a {kind}, which is not replaced; give the name of a file")
    return target


def _kind(mode: int) -> str:
    tests = {"folder": stat.S_ISDIR, "named pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
    return next((name for name, test in tests.items() if test(mode)), "device")


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: Path, what: str = "checkpoint") -> None:
    """Fail before the first update, not after the first hour, if `path` cannot be written.

    Parameters
    ----------
    path : Path
    what : str
        What the messages call the file.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{what} {path} is a folder; give the name of a file, such as {path / 'chain.npz'}")
    target = _target(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} of the {what} does not exist; create it first")
    probe = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise type(error)(
            error.errno, f"cannot write into the folder of the {what} ({reason}); choose another", str(target.parent)
        ) from error


def cannot_write(error: OSError, what: str, kept: str, path: Path) -> OSError:
    """The error of the system with words about what could not be written and where its content still is."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return type(error)(error.errno, f"{what} cannot be written ({reason}); {kept}", str(path))


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of writers that were killed on this machine."""
    target = Path(os.path.realpath(path))
    mine = f".{target.name}.{platform.node()}."
    try:
        names = [entry.name for entry in os.scandir(target.parent) if entry.name.startswith(mine)]
    except OSError:
        return
    for name in names:
        pid, _, end = name.removeprefix(mine).partition(".")
        if end.endswith(".tmp") and end.count(".") == 1 and pid.isdecimal() and not is_alive(int(pid)):
            with suppress(OSError):
                (target.parent / name).unlink()


def is_alive(pid: int) -> bool:
    if os.name != "posix":  # where os.kill(pid, 0) would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def read_content(path: str | os.PathLike[str], error: type[PlaqError] = FormatError) -> bytes:
    """All bytes of a regular file that fits into memory.

    Raises
    ------
    OSError
        The file cannot be opened or read, or is a folder, pipe or device.
    TypeError
        No path.
    FormatError
        (or the class `error`) It is larger than the memory that is left.
    """
    path = os.fspath(path)  # a number would be an open file of the process
    require_file(path)
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        kind = _kind(facts.st_mode)
        raise OSError(f"{os.fspath(path)} is a {kind}; give the name of a file")
    require_memory(path, facts.st_size, error)
    with open(path, "rb") as file:
        return file.read(facts.st_size + 1)


def require_file(path: str | os.PathLike[str]) -> None:
    """Say of a file that is not there which folder was looked in, and what is there under a similar name.

    Raises
    ------
    FileNotFoundError
        With what is there instead.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "chain.npz").touch()
    >>> try:
    ...     require_file(folder / "chain.nzp")
    ... except FileNotFoundError as error:
    ...     print(error.strerror.partition(";")[2])
     did you mean chain.npz?
    """
    target = Path(path)
    try:
        os.stat(target)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, _what_is_there(target), os.fspath(path)) from None
    except (OSError, ValueError):  # what it is is said by whoever opens it
        return


def _what_is_there(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        above = next((each for each in folder.parents if each.is_dir()), Path())
        start = "" if path.is_absolute() else f", from {Path.cwd()}"
        return f"No such file: there is no folder {folder}{start}{_near(folder.relative_to(above).parts[0], above)}"
    return f"No such file in the folder {folder.resolve()}{_near(path.name, folder)}"


def _near(name: str, folder: Path) -> str:
    """The names in a folder that resemble one; those that there are if they are few."""
    try:
        there = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError:
        return ""
    lower = {each.lower(): each for each in there}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; it has {', '.join(there) or 'no files'}" if len(there) <= FEW else ""


def require_memory(path: str | os.PathLike[str], needed: int, error: type[PlaqError] = FormatError) -> None:
    """Refuse what a file would take if less memory is left."""
    left = available_memory()
    if needed > left:
        raise error(f"{os.fspath(path)} needs {_size(needed)} of memory; {_size(left)} are left")


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e7 else f"{count} bytes"


def available_memory() -> int:
    """Bytes that can be taken: what the system has left, or the rest of the limit of a container."""
    found = [read() for read in (_system_memory, _container_memory)]
    return min((size for size in found if size is not None), default=1 << 62)


def _system_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    return None


def _container_memory() -> int | None:
    with suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return max(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()), 0)
    return None


@contextmanager
def damaged(path: str | os.PathLike[str], error: type[PlaqError], text: Callable[[str], str]) -> Iterator[None]:
    """Whatever the content of a file provokes while it is taken apart in memory becomes one documented error.

    Parameters
    ----------
    path : path
        Named in the message.
    error : type
        FormatError or CheckpointError.
    text : callable
        From the reason to what is said after the file's name.
    """
    try:
        yield
    except PlaqError:
        raise
    except Exception as found:  # parsers of zip, npy and JSON raise a dozen kinds, and newer ones others
        raise error(f"{os.fspath(path)} {text(f'{type(found).__name__}: {found}')}") from found
