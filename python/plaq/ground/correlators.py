"""Correlators in time: effective masses, and errors from several configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import one_of, real

__all__ = ["effective_mass", "effective_mass_error", "jackknife"]

Reals = NDArray[np.float64]

FORMS = ("log", "cosh", "sinh")
"""What a correlator is taken to fall like."""


def effective_mass(correlator: Any, form: str = "log") -> Reals:
    r"""Effective masses of a correlator.

    Parameters
    ----------
    correlator : array_like, shape (L_t,) or (configurations, L_t)
        Positive; of several configurations the mean is taken.
    form : {"log", "cosh", "sinh"}
        :math:`\log C(t)/C(t+1)`, or the solution of :math:`C(t)/C(t+1) = \cosh m(t - L_t/2) / \cosh m(t + 1 - L_t/2)`
        and its like with sinh.

    Returns
    -------
    ndarray, shape (L_t - 1,)
        NaN where there is no solution.

    Raises
    ------
    TypeError, ValueError
        No array of at least two times, unknown form.

    Examples
    --------
    >>> C = np.cosh(0.7 * (np.arange(8) - 4))
    >>> bool(np.allclose(effective_mass(C, "cosh")[:3], 0.7))
    True
    """
    one_of("form", form, FORMS)
    C = real("correlator", correlator)
    C = C.mean(axis=0) if C.ndim == 2 and len(C) else C
    if C.ndim != 1 or len(C) < 2:
        raise ValueError(f"a correlator has one axis of at least 2 times; got shape {C.shape}")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = C[:-1] / C[1:]
        if form == "log":
            return np.log(np.where(ratio > 0, ratio, np.nan))
    return np.array([_solve_mass(r, t, len(C), form) for t, r in enumerate(ratio)])


def _solve_mass(ratio: float, t: int, length: int, form: str) -> float:
    """Bisection: the ratio of hyperbolic functions is monotonic in the mass on either side of the middle."""
    here, there = t - length / 2, t + 1 - length / 2
    if not np.isfinite(ratio) or abs(here) == abs(there) or (form == "sinh" and here * there == 0):
        return float("nan")
    sign = 1.0 if form == "cosh" else -1.0

    def excess(m: float) -> float:
        """cosh(m here)/cosh(m there), or of sinh, less the ratio; exponentials grow with the mass alone."""
        up, down = ((1 + sign * np.exp(-2 * m * abs(x))) for x in (here, there))
        orientation = 1.0 if form == "cosh" else np.sign(here * there)
        return float(orientation * np.exp(m * (abs(here) - abs(there))) * up / down - ratio)

    low, high = 1e-8, 50.0
    a = excess(low)
    if a * excess(high) > 0:
        return float("nan")
    for _ in range(100):
        middle = (low + high) / 2
        if excess(middle) * a > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def effective_mass_error(correlators: Any, form: str = "log") -> Reals:
    r"""Errors of :func:`effective_mass` by the jackknife over configurations, which are taken as independent.

    Parameters
    ----------
    correlators : array_like, shape (configurations, L_t)
        Of at least 2 configurations.
    form : {"log", "cosh", "sinh"}
        As of :func:`effective_mass`.

    Returns
    -------
    ndarray, shape (L_t - 1,)
        NaN where a sample has no solution.

    Raises
    ------
    TypeError, ValueError
        No array of several configurations, unknown form.

    Examples
    --------
    >>> C = np.exp(-0.5 * np.arange(6)) * (1 + 0.01 * np.random.default_rng(1).normal(size=(50, 6)))
    >>> bool((effective_mass_error(C) < 0.005).all())
    True
    """
    one_of("form", form, FORMS)
    C = real("correlators", correlators)
    if C.ndim != 2 or len(C) < 2:
        raise ValueError(f"correlators have shape (configurations, L_t) with at least 2 configurations; got {C.shape}")
    return jackknife(C, lambda mean: effective_mass(mean, form))[1]


def jackknife(samples: Reals, function: Callable[[Reals], Reals]) -> tuple[Reals, Reals]:
    """A function of the mean over configurations, and its error: each configuration is left out once."""
    count = len(samples)
    if count < 2:
        raise ValueError(f"errors need at least 2 configurations; got {count}")
    total = samples.sum(axis=0)
    left = np.array([function((total - sample) / (count - 1)) for sample in samples])
    return function(total / count), np.sqrt((count - 1) * np.var(left, axis=0))
