"""Chains for other packages: arviz, xarray, pyerrors (all optional, imported when used)."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaq.ground.extras import require

__all__ = ["ensemble_name", "to_arviz", "to_pyerrors", "to_xarray"]

Columns = dict[str, NDArray[Any]]


def _split_complex(columns: Columns) -> Columns:
    split: Columns = {}
    for name, values in columns.items():
        parts = {f"{name}_re": values.real, f"{name}_im": values.imag} if np.iscomplexobj(values) else {name: values}
        split |= parts
    return split


def to_arviz(draws: Columns, info: Columns, replicas: Sequence[int]) -> Any:
    """arviz data with groups `posterior` and `sample_stats`; each replica is a chain."""
    arviz = require("arviz", "analysis")
    if len(set(replicas)) > 1:
        raise ValueError(
            f"replicas of {', '.join(map(str, replicas))} draws; chains of arviz have one length: "
            f"pq.merge([chain[-{min(replicas)}:] for chain in chains]) cuts them to the last {min(replicas)}"
        )
    columns = {"posterior": draws, "sample_stats": info}

    def by_chain(values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(len(replicas), replicas[0], *values.shape[1:])

    groups = {
        group: {name: by_chain(values) for name, values in _split_complex(content).items()}
        for group, content in columns.items()
    }
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict(groups)
    return arviz.from_dict(**groups)


def to_xarray(draws: Columns, info: Columns, facts: dict[str, Any]) -> Any:
    """xarray.Dataset over the dimension `draw`; array draws have further dimensions `<name>_0`, ..."""
    xarray = require("xarray", "analysis")
    columns = draws | {f"info_{k}": v for k, v in info.items()}
    count = len(next(iter(columns.values()), ()))
    variables = {
        name: (("draw", *(f"{name}_{k}" for k in range(values.ndim - 1))), values) for name, values in columns.items()
    }
    return xarray.Dataset(variables, coords={"draw": np.arange(count)}, attrs=facts)


def ensemble_name(seed: int, fingerprint: dict[str, Any]) -> str:
    """A name that is particular to seed and physics input."""
    return f"plaq_{seed}_{zlib.crc32(json.dumps(fingerprint, sort_keys=True).encode()):08x}"


def to_pyerrors(draws: Columns, ensemble: str, replicas: Sequence[int]) -> dict[str, Any]:
    """pyerrors observables on one ensemble (and its replicas), so that their correlations are kept."""
    pyerrors = require("pyerrors", "analysis")

    def one(column: NDArray[Any]) -> Any:
        if np.iscomplexobj(column):
            return pyerrors.CObs(one(column.real), one(column.imag))
        pieces = np.split(np.ascontiguousarray(column), np.cumsum(replicas)[:-1])
        names = [ensemble] if len(pieces) == 1 else [f"{ensemble}|r{k}" for k in range(len(pieces))]
        return pyerrors.Obs(pieces, names)

    def many(values: NDArray[Any]) -> Any:
        if values.ndim == 1:
            return one(values)
        result = np.empty(values.shape[1:], dtype=object)
        for index in np.ndindex(result.shape):
            result[index] = one(values[(slice(None), *index)])
        return result

    return {name: many(values) for name, values in draws.items()}
