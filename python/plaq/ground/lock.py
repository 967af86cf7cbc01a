"""A lock on a file that is written: one run at a time, given up by the system when its process dies."""

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plaq._plaq import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked"]

WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EROFS)
"""Errors of file systems that have no locks."""


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """The checkpoint at `path` is this run's until the end of the block.

    The lock is on a file of its own beside it, for the checkpoint is replaced at every writing; it is removed at the
    end. A killed process holds it no longer. Without locks (Windows, some network file systems) nothing is checked.

    Parameters
    ----------
    path : Path or None
        None: nothing is locked.

    Raises
    ------
    CheckpointError
        Another run, in this process or another one, goes on from the same file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.npz"
    >>> with locked(path):
    ...     try:
    ...         with locked(path):
    ...             pass
    ...     except CheckpointError as error:
    ...         print("in use" in str(error))
    True
    """
    if path is None or fcntl is None:
        yield
        return
    target = Path(os.path.realpath(path))
    name = target.with_name(f".{target.name}.lock")
    descriptor = _taken(path, name)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):  # a folder that was removed meanwhile
                name.unlink()
            os.close(descriptor)


def _taken(path: Path, name: Path) -> int | None:
    """The open lock file; None where there are no locks."""
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is(descriptor, name):  # its last owner removed it between our two calls
                os.close(descriptor)
                continue
            with suppress(OSError):  # who it is only helps
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} on {platform.node()}".encode(), 0)
            return descriptor
        except BlockingIOError:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise CheckpointError(
                f"{path} is in use: process {owner} goes on from it and writes it. Wait for its end, or name another "
                "checkpoint"
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in WITHOUT:
                raise
            return None


def _is(descriptor: int, name: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))
    except FileNotFoundError:
        return False
