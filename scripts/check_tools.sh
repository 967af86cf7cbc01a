#!/usr/bin/env bash
# Says what is missing before anything is built: Python >= 3.10 with venv, and Rust.
set -euo pipefail

python=${1:-python3}
fail() { echo "plaq: $*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "$python is not there; install Python 3.10 or newer, or give make PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$python" --version) is too old; Python 3.10 or newer is needed (make PYTHON=...)"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv; install it (Debian: apt-get install python3-venv)"
command -v cargo >/dev/null || fail "cargo is not there; install Rust from https://rustup.rs"
