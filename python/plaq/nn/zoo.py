"""The fifteen networks of Bulusu, Favoni, Ipp, Mueller and Schuh (arXiv 2103.14686, 2112.12474) as data.

Input: the channels k_1, k_2, l_1, l_2 of fluxes on a periodic lattice. EQ are equivariant under translations, ST have a
stride of 2, FL flatten and so know one size of the lattice (task 1: 60x4, tasks 2 and 3: 8x8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plaq.ground.arguments import one_of, unknown
from plaq.ground.names import Explained
from plaq.ground.rng import Rng
from plaq.nn.layers import (
    AvgPool,
    Conv,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    GlobalSumPool,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool,
    Sigmoid,
)
from plaq.nn.sequential import Sequential

__all__ = ["Zoo", "zoo"]

_FREE = {"bias": False}

_NETWORKS: dict[str, Sequence[Layer]] = {
    "task1/EQ": [Conv(1, 4, 64), Conv(1, 64, 48), Conv(1, 48, 80), Conv(2, 80, 80), GlobalAvgPool(), Linear(80, 2)],
    "task1/ST": [
        *[Conv(1, 4, 80), Conv(1, 80, 80), Conv(1, 80, 48), AvgPool(2), Conv(2, 48, 80)],
        *[GlobalAvgPool(), Linear(80, 2)],
    ],
    "task1/FL": [
        *[Conv(1, 4, 64), Conv(2, 64, 80), AvgPool(2), Conv(1, 80, 48), Conv(2, 48, 64), AvgPool(2), Conv(1, 64, 24)],
        *[Flatten(), Linear(360, 24), Linear(24, 2)],
    ],
    # The star of the first dense layer is printed at the second one in the article: 2657 parameters say so.
    "task2/EQ": [
        *[Conv(2, 4, 32), Conv(1, 32, 32), GlobalMaxPool(), Linear(32, 32, bias=False), Linear(32, 1), Sigmoid()],
    ],
    "task2/ST": [
        *[Conv(2, 4, 16, bias=False), MaxPool(2), Conv(1, 16, 16), Conv(1, 16, 8), GlobalMaxPool()],
        *[Linear(8, 32, bias=False), Linear(32, 1), Sigmoid()],
    ],
    "task2/FL": [
        *[Conv(3, 4, 8, bias=False), MaxPool(2), Conv(2, 8, 32), AvgPool(2), Conv(2, 32, 32), Flatten()],
        *[Linear(128, 1, bias=False), Sigmoid()],
    ],
    "task3/EQ1": [
        *[Conv(1, 4, 32, **_FREE), Conv(2, 32, 8, **_FREE), Conv(2, 8, 16, **_FREE), Conv(1, 16, 8, **_FREE)],
        *[GlobalSumPool(), Linear(8, 1, **_FREE)],
    ],
    "task3/EQ2": [
        *[Conv(2, 4, 8, **_FREE), Conv(2, 8, 8, **_FREE), Conv(1, 8, 4, **_FREE), Conv(1, 4, 8, **_FREE)],
        *[GlobalSumPool(), Linear(8, 1, **_FREE)],
    ],
    "task3/EQ3": [
        *[Conv(1, 4, 4, **_FREE), Conv(2, 4, 8, **_FREE), Conv(2, 8, 4, **_FREE), Conv(3, 4, 1, **_FREE)],
        *[GlobalSumPool()],
    ],
    "task3/ST1": [
        *[Conv(2, 4, 16, **_FREE), Conv(1, 16, 32, **_FREE), Conv(1, 32, 32, **_FREE), AvgPool(2)],
        *[Conv(1, 32, 8, **_FREE), GlobalSumPool(), Linear(8, 32, **_FREE), Linear(32, 1, **_FREE)],
    ],
    "task3/ST2": [
        *[Conv(2, 4, 4, **_FREE), MaxPool(2), Conv(2, 4, 4, **_FREE), GlobalSumPool(), Linear(4, 1, **_FREE)],
    ],
    "task3/ST3": [
        *[Conv(2, 4, 4, **_FREE), AvgPool(2), Conv(3, 4, 16, **_FREE), GlobalSumPool()],
        *[Linear(16, 32, **_FREE), Linear(32, 1, **_FREE)],
    ],
    "task3/FL1": [
        *[Conv(2, 4, 4, **_FREE), AvgPool(2), Conv(3, 4, 8, **_FREE), AvgPool(2), Flatten()],
        *[Linear(32, 4, **_FREE), Linear(4, 32, **_FREE), Linear(32, 1, **_FREE)],
    ],
    "task3/FL2": [
        *[Conv(2, 4, 8, **_FREE), AvgPool(2), Conv(3, 8, 4, **_FREE), AvgPool(2), Flatten()],
        *[Linear(16, 4, **_FREE), Linear(4, 32, **_FREE), Linear(32, 1, **_FREE)],
    ],
    "task3/FL3": [
        *[Conv(2, 4, 32, **_FREE), AvgPool(2), Conv(3, 32, 4, **_FREE), AvgPool(2), Flatten()],
        *[Linear(16, 32, **_FREE), Linear(32, 16, **_FREE), Linear(16, 1, **_FREE)],
    ],
}


def _activated(layers: Sequence[Layer]) -> list[Layer]:
    """LeakyReLU after every layer with weights except the last one."""
    weighted = [n for n, layer in enumerate(layers) if isinstance(layer, Conv | Linear)]
    found: list[Layer] = []
    for n, layer in enumerate(layers):
        found.append(layer)
        if n in weighted[:-1]:
            found.append(LeakyReLU())
    return found


class Zoo(Mapping[str, Sequential], metaclass=Explained):
    """Published networks by name; each look-up makes a new network with fresh parameters.

    Examples
    --------
    >>> zoo["task1/EQ"].n_parameters
    33202
    >>> len(zoo)
    15
    """

    def __getitem__(self, name: str) -> Sequential:
        if name not in _NETWORKS:
            raise KeyError(unknown("network", name, _NETWORKS))
        return self.build(name)

    def build(self, name: str, *, dtype: str = "float64", rng: Rng = 0) -> Sequential:
        """A network in the chosen precision.

        Parameters
        ----------
        name : str
            One of ``list(zoo)``.
        dtype : {"float64", "float32"}
            Precision.
        rng : int, numpy.random.Generator or numpy.random.SeedSequence
            Initial parameters.

        Raises
        ------
        TypeError, ValueError
            An unknown name or precision, no seed.

        Examples
        --------
        >>> zoo.build("task3/ST2", dtype="float32", rng=1).n_parameters
        132
        """
        layers = _NETWORKS[one_of("network", name, _NETWORKS)]
        return Sequential(_activated(layers), ndim=2, dtype=dtype, rng=rng)

    def __iter__(self) -> Iterator[str]:
        return iter(_NETWORKS)

    def __len__(self) -> int:
        return len(_NETWORKS)

    def __repr__(self) -> str:
        return f"Zoo({', '.join(_NETWORKS)})"


zoo = Zoo()
