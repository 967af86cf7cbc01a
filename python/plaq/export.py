"""Chains for other packages: arviz, xarray, pyerrors (all optional, imported when used)."""

import importlib
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from plaq.chain import Chain


def require(module: str, extra: str) -> Any:
    """Import an optional module or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module.split('.')[0]} is needed here: pip install plaq[{extra}]") from error


def _split_complex(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    split: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        parts = {f"{name}_re": values.real, f"{name}_im": values.imag} if np.iscomplexobj(values) else {name: values}
        split |= parts
    return split


def to_arviz(chain: "Chain") -> Any:
    """arviz data with groups `posterior` and `sample_stats`, one chain."""
    arviz = require("arviz", "analysis")
    columns = {"posterior": {name: chain[name] for name in chain.names}, "sample_stats": chain.info}
    groups = {
        group: {name: values[None] for name, values in _split_complex(content).items()}
        for group, content in columns.items()
    }
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict(groups)
    return arviz.from_dict(**groups)


def to_xarray(chain: "Chain") -> Any:
    """xarray.Dataset over the dimension `draw`; array draws have further dimensions `<name>_0`, ..."""
    xarray = require("xarray", "analysis")
    columns = {name: chain[name] for name in chain.names} | {f"info_{k}": v for k, v in chain.info.items()}
    variables = {
        name: (("draw", *(f"{name}_{k}" for k in range(values.ndim - 1))), values) for name, values in columns.items()
    }
    attributes = {"seed": str(chain.seed), "warmup": chain.warmup, "thin": chain.thin}
    return xarray.Dataset(variables, coords={"draw": np.arange(len(chain))}, attrs=attributes)


def to_pyerrors(chain: "Chain", ensemble: str | None = None) -> dict[str, Any]:
    """pyerrors observables on one ensemble, so that their correlations are kept."""
    pyerrors = require("pyerrors", "analysis")
    if ensemble is None:
        digest = zlib.crc32(json.dumps(chain.fingerprint, sort_keys=True).encode())
        ensemble = f"plaq_{chain.seed}_{digest:08x}"

    def one(column: NDArray[Any]) -> Any:
        if np.iscomplexobj(column):
            return pyerrors.CObs(one(column.real), one(column.imag))
        return pyerrors.Obs([np.ascontiguousarray(column)], [ensemble])

    def many(values: NDArray[Any]) -> Any:
        if values.ndim == 1:
            return one(values)
        result = np.empty(values.shape[1:], dtype=object)
        for index in np.ndindex(result.shape):
            result[index] = one(values[(slice(None), *index)])
        return result

    return {name: many(chain[name]) for name in chain.names}
