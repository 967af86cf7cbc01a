"""What scripts of long runs share: their options, where rows are kept, and where each comes from."""

import argparse
import json
import subprocess
import sys
from pathlib import Path


def commit() -> str:
    """The commit that is checked out; empty outside of a repository."""
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()


def begun(description: str, script: str, *, only: str, scale: str) -> tuple[argparse.Namespace, Path, dict, dict]:
    """Options ``--only`` and ``--scale``, the results beside `script`, the origin of a row, the rows so far."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", default="", help=only)
    parser.add_argument("--scale", type=float, default=1.0, help=scale)
    arguments = parser.parse_args()
    path = Path(script).with_suffix(".json")
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    return arguments, path, {"command": " ".join(sys.argv), "commit": commit()}, rows
