"""The command line: `plaq info | convert | demo | new | run | report`."""

from plaq.cli.main import main

__all__ = ["main"]
