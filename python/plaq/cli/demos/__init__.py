"""Demonstrations of the command line, one module each: `plaq demo NAME`."""

from collections.abc import Callable
from typing import Any

from plaq.cli.demos.demonstration import Say
from plaq.cli.demos.flux import flux
from plaq.cli.demos.gauge import gauge
from plaq.cli.demos.hadrons import hadrons
from plaq.cli.demos.slhmc import slhmc
from plaq.cli.demos.smearing import smearing
from plaq.cli.demos.spin_fermion import spin_fermion
from plaq.cli.demos.transform import transform
from plaq.ground.arguments import unknown

__all__ = ["DEMOS", "get"]

DEMOS: dict[str, Callable[[Say], Any]] = {
    "gauge": gauge,
    "smearing": smearing,
    "spin-fermion": spin_fermion,
    "flux": flux,
    "transform": transform,
    "slhmc": slhmc,
    "hadrons": hadrons,
}


def get(name: str) -> Callable[[Say], Any]:
    """The demonstration called `name`; ValueError names the nearest one."""
    if name not in DEMOS:
        raise ValueError(unknown("demo", name, DEMOS))
    return DEMOS[name]
