"""The command line: `plaq info | convert | demo | run`."""

from plaq.cli.main import main

__all__ = ["main"]
