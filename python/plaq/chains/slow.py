"""Slow modes of a chain: does a recorded observable of long memory move the one whose error is asked for?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.statistics import autocorrelation_time

__all__ = ["slow_mode"]

SIGNIFICANT = 5.0
"""Standard errors above which a correlation coefficient counts."""
MISSING = 0.21
"""Part of tau_int that may be missing: a tenth of the error."""
SLOWER = 4.0
"""Ratio of autocorrelation times from which a mode is called slow."""


def slow_mode(
    delta: NDArray[np.float64], draws: Mapping[str, NDArray[Any]], replicas: Sequence[int]
) -> tuple[str, float, float] | None:
    """Name, autocorrelation time and missing part of tau_int of the mode that spoils an error the most, or None.

    For each scalar observable B and its squared fluctuation (a plaquette knows Q^2, not the sign of Q): c is the
    correlation coefficient of B with `delta`, whose standard error is sqrt(2 tau_AB / N) if they are independent (M. S.
    Bartlett), 2 tau_AB = 1 + 2 sum rho_A rho_B, at most 2 tau_A. A mode of weight c^2 and autocorrelation time tau_B
    adds c^2 tau_B exp(-W/tau_B) to tau_int beyond the window W of A. It counts if c is five standard errors from zero,
    tau_B is four times tau_A, and the missing part is a fifth of tau_A, that is a tenth of the error.

    Parameters
    ----------
    delta : ndarray, shape (draws,)
        Fluctuations of the observable asked for.
    draws : mapping of str to ndarray
        All observables of the chain; those with arrays are left out.
    replicas : sequence of int
        Lengths of the chains that `delta` consists of.
    """
    count, spread = len(delta), float(delta.std())
    if count < 20 or spread == 0:
        return None
    tau, window = autocorrelation_time(delta, replicas)
    tau, worst = max(tau, 0.5), None
    for name, mode in _modes(draws):
        c2 = float(delta @ mode / (count * spread * mode.std())) ** 2 - 2 * tau / count
        if c2 <= (SIGNIFICANT**2 - 1) * 2 * tau / count:
            continue
        slow, _ = autocorrelation_time(mode, replicas)
        missing = c2 * slow * math.exp(-window / slow) if slow > SLOWER * tau else 0.0
        if missing > MISSING * tau and (worst is None or missing > worst[2]):
            worst = (name, slow, missing)
    return worst


def _modes(draws: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Fluctuations of every scalar observable and of their squares."""
    for name, values in draws.items():
        parts = {f"Re {name}": values.real, f"Im {name}": values.imag} if np.iscomplexobj(values) else {name: values}
        for label, column in parts.items():
            if column.ndim > 1 or not np.isfinite(column).all():
                continue
            mode = column - column.mean()
            square = mode**2 - (mode**2).mean()
            yield from (
                (k, x) for k, x in ((label, mode), (f"{label}^2", square)) if x.std() > 1e-12 * abs(column).max()
            )
