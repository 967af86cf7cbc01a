"""How many threads the kernels use; results do not depend on it."""

from __future__ import annotations

import numpy as np

from plaq import _plaq

__all__ = ["num_threads", "set_num_threads"]


def num_threads() -> int:
    """Threads of the kernels: by default the number of cores, or ``RAYON_NUM_THREADS``.

    Examples
    --------
    >>> num_threads() >= 1
    True
    """
    return int(_plaq.num_threads())


def set_num_threads(threads: int) -> None:
    """Set the number of threads of all kernels; every chain keeps its bits.

    Parameters
    ----------
    threads : int
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        Not an int, or out of range.

    Examples
    --------
    >>> set_num_threads(num_threads())
    """
    if not isinstance(threads, int | np.integer) or isinstance(threads, bool):
        raise TypeError(f"threads is an int; got {threads!r}")
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads = {threads}: allowed are 1 to 1024")
    _plaq.set_num_threads(int(threads))
