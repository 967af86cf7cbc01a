"""Takes the symbol table out of the module in wheels, which needs no compiler run of its own.

Usage: python scripts/strip_wheel.py WHEEL... . The module in python/plaq keeps its symbols, which `scripts/budgets.py`
reads. Needs `strip` of binutils, which linkers bring.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def stripped(content: bytes) -> bytes:
    """A shared library without the symbols that only a debugger reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.so"
        path.write_bytes(content)
        try:
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
        except FileNotFoundError:
            sys.exit("strip is missing: install binutils")
        return path.read_bytes()


def record(files: dict[str, bytes], name: str) -> bytes:
    """The list of files with their hashes (PEP 376)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([path, "", ""] if path == name else [path, f"sha256={digest}", len(content)])
    return text.getvalue().encode()


def main() -> None:
    """Rewrite each wheel."""
    for wheel in map(Path, sys.argv[1:]):
        with zipfile.ZipFile(wheel) as archive:
            entries = archive.infolist()
            files = {entry.filename: archive.read(entry) for entry in entries}
        before = wheel.stat().st_size
        for name in files:
            if name.endswith(".so"):
                files[name] = stripped(files[name])
        listing = next(name for name in files if name.endswith(".dist-info/RECORD"))
        files[listing] = record(files, listing)
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for entry in entries:
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, files[entry.filename], compresslevel=9)
        print(f"{wheel.name}: {before / 1e6:.2f} MB, stripped {wheel.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
