"""Optional packages, imported when they are used."""

import importlib
from typing import Any

__all__ = ["require"]


def require(module: str, extra: str) -> Any:
    """Import an optional module or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = {"sklearn": "scikit-learn"}.get(module.split(".")[0], module.split(".")[0])
        raise ImportError(f"{name} is needed here: pip install {name} (of the extra plaq[{extra}])") from error
