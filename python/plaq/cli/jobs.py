"""Runs of a scan: their folders, their seeds, and claims by which any number of processes share them."""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import os
import platform
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plaq.cli import config
from plaq.cli.toml import written
from plaq.ground.arguments import unknown
from plaq.ground.files import is_alive, replacing
from plaq.ground.rng import seed_of

__all__ = ["Claimed", "Point", "claim", "points"]

MOST = 20_000
"""Runs of a scan; more are a slip."""
CLAIM = "claim"
INPUT, CHAIN, CHECKPOINT = "input.toml", "chain.npz", "checkpoint.npz"


class Claimed(OSError):
    """Another process runs this one."""


@dataclass(frozen=True)
class Point:
    """One run of a scan.

    Attributes
    ----------
    index : int
        Its number, chains of one combination one after another.
    values : dict
        Values by key, as ``{"action.beta": 2.2}``.
    chain : int
        Number among the chains of the combination.
    folder : Path
    table : dict
        The configuration of the run.
    """

    index: int
    values: dict[str, Any]
    chain: int
    folder: Path
    table: dict[str, Any]

    @property
    def output(self) -> Path:
        """Where its chain goes."""
        return self.folder / CHAIN

    def __str__(self) -> str:
        named = ", ".join(f"{key.split('.')[-1]} = {value}" for key, value in self.values.items())
        return f"run {self.index} ({named}{', ' * bool(named)}chain {self.chain})"

    def prepare(self) -> config.Config:
        """The folder with its input, and the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = config.parse(self.table)
        with replacing(self.folder / INPUT) as file:
            file.write(written(self.table, f"{self} of a scan").encode())
        return settings


def points(table: Mapping[str, Any]) -> list[Point]:
    """All runs of a configuration with a section [scan].

    Chain k of combination j has the seed ``SeedSequence(seed, spawn_key=(j, k))``, as those of `plaq.run_many`: values
    that are added at the end change nothing before them.

    Raises
    ------
    ConfigError
        A key that is no key of the file, a value of the wrong type.
    """
    scan = config.parse(table).scan
    assert scan is not None
    if scan.chains < 1:
        raise config.ConfigError(f"[scan] chains: at least 1 is needed, given {scan.chains}")
    runs = scan.chains * math.prod(len(values) for values in scan.values.values())
    if runs > MOST:
        raise config.ConfigError(f"[scan]: {runs} runs (values and chains multiplied); at most {MOST} are allowed")
    for key in scan.values:
        section, _, name = key.partition(".")
        if section not in table or section == "scan" or not name:
            raise config.ConfigError(f"[scan] values: {unknown('key', key, _keys(table))}")
        if key in ("run.seed", "run.output", "run.checkpoint"):
            raise config.ConfigError(f'[scan] values: "{key}" is chosen for each run; leave it out')
    found: list[Point] = []
    for j, combination in enumerate(itertools.product(*scan.values.values())):
        values = dict(zip(scan.values, combination, strict=True))
        for k in range(scan.chains):
            folder = Path(scan.folder) / f"{len(found):04d}"
            changed = {section: dict(content) for section, content in copy.deepcopy(dict(table)).items()}
            del changed["scan"]
            for key, value in values.items():
                section, _, name = key.partition(".")
                changed[section][name] = value
            seed = seed_of(np.random.SeedSequence(changed["run"]["seed"], spawn_key=(j, k)))
            changed["run"] |= {"seed": seed, "output": str(folder / CHAIN), "checkpoint": str(folder / CHECKPOINT)}
            config.parse(changed)
            found.append(Point(len(found), values, k, folder, changed))
    return found


def _keys(table: Mapping[str, Any]) -> list[str]:
    return [f"{section}.{key}" for section, content in table.items() if section != "scan" for key in content]


@contextmanager
def claim(folder: Path, *, force: bool = False) -> Iterator[None]:
    """The folder is this process's until the end of the block, or until the process dies.

    A claim is a file that exactly one process can make. One whose process is gone is taken over, again by exactly one;
    of another machine that cannot be seen, so such a claim needs `force`.

    Raises
    ------
    Claimed
        By whom.
    """
    path, mine = folder / CLAIM, f"{platform.node()} {os.getpid()} {time.time_ns()} {secrets.token_hex(8)}\n"
    temporary = folder / f".{CLAIM}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary.write_text(mine)
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            _take_over(path, temporary, force)
    finally:
        with suppress(OSError):
            temporary.unlink()
    try:
        yield
    finally:
        with suppress(OSError):
            for marker in folder.glob(f".{CLAIM}.*.dead"):
                marker.unlink()
            if path.read_text() == mine:
                path.unlink()


def _take_over(path: Path, temporary: Path, force: bool) -> None:
    with suppress(FileNotFoundError):
        theirs = path.read_text()
        host, pid = [*theirs.split(), "", ""][:2]
        here = host == platform.node() and pid.isdecimal()
        if not force and not (here and not is_alive(int(pid))):
            remedy = "" if here else "; if it is gone, give --force"
            raise Claimed(f"{path.parent} is claimed by process {pid} on {host}{remedy}")
        # Of all who see this dead claim one makes the name, and only that one replaces the claim.
        marker = path.with_name(f".{CLAIM}.{hashlib.sha256(theirs.encode()).hexdigest()[:16]}.dead")
        try:
            os.link(temporary, marker)
        except FileExistsError:
            if not force:
                raise Claimed(f"{path.parent} is being taken over by another process; if not, give --force") from None
        if path.read_text() != theirs:
            raise Claimed(f"{path.parent} was taken over by another process")
        os.replace(temporary, path)
        return
    raise Claimed(f"{path.parent} has just been given up by another process; run this one again")
