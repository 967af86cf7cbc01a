"""Losses of convolutional networks: means over samples and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.arguments import array, number, one_of, shown
from plaq.ground.names import Explained

__all__ = ["MSE", "BinaryCrossEntropy", "Huber", "NetLoss", "loss_of"]


class NetLoss(metaclass=Explained):
    """What losses share.

    Examples
    --------
    >>> MSE().spec()
    {'kind': 'squared_error'}
    """

    def spec(self) -> dict[str, Any]:
        """The loss as plain data."""
        raise NotImplementedError

    def check(self, targets: NDArray[np.float64]) -> None:
        """Refuse targets that the loss does not know.

        Raises
        ------
        ValueError
            Labels outside of [0, 1].

        Examples
        --------
        >>> BinaryCrossEntropy().check(np.array([2.0]))
        Traceback (most recent call last):
        ValueError: labels run from 2 to 2; binary cross entropy takes numbers from 0 to 1
        """


@dataclass(frozen=True)
class MSE(NetLoss):
    """(y - t)^2.

    Examples
    --------
    >>> MSE()
    MSE()
    """

    def spec(self) -> dict[str, Any]:
        """The loss as plain data."""
        return {"kind": "squared_error"}


@dataclass(frozen=True)
class BinaryCrossEntropy(NetLoss):
    """-t ln y - (1 - t) ln(1 - y) of probabilities y, for networks that end with Sigmoid; logarithms are at least -100.

    Examples
    --------
    >>> BinaryCrossEntropy().spec()
    {'kind': 'cross_entropy'}
    """

    def spec(self) -> dict[str, Any]:
        """The loss as plain data."""
        return {"kind": "cross_entropy"}

    def check(self, targets: NDArray[np.float64]) -> None:
        """Refuse labels outside of [0, 1]."""
        labels = array("targets", targets)
        if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
            limits = f"{labels.min():g} to {labels.max():g}"
            raise ValueError(f"labels run from {limits}; binary cross entropy takes numbers from 0 to 1")


@dataclass(frozen=True)
class Huber(NetLoss):
    """(y - t)^2 / 2 up to abs(y - t) = `delta`, then linear with the slope `delta` (Ann. Math. Stat. 35, 73).

    Parameters
    ----------
    delta : float
        Where the parabola ends.

    Raises
    ------
    TypeError, ValueError
        No number above 0.

    Examples
    --------
    >>> Huber(0.5).spec()
    {'kind': 'huber', 'delta': 0.5}
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", number("Huber: delta", self.delta, above=0.0))

    def spec(self) -> dict[str, Any]:
        """The loss as plain data."""
        return {"kind": "huber", "delta": self.delta}


_NAMES: dict[str, type[NetLoss]] = {"mse": MSE, "bce": BinaryCrossEntropy, "huber": Huber}


def loss_of(loss: Any) -> NetLoss:
    """A loss, or that of a name.

    Raises
    ------
    TypeError, ValueError
        No loss; an unknown name.

    Examples
    --------
    >>> loss_of("mse")
    MSE()
    """
    if isinstance(loss, str):
        return _NAMES[one_of("loss", loss, _NAMES)]()
    if not isinstance(loss, NetLoss):
        raise TypeError(f"loss is MSE(), BinaryCrossEntropy() or Huber() of plaq.nn, or a name; got {shown(loss)}")
    return loss
