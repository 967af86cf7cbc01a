"""Chain files: draws, state and random counter in one uncompressed npz, replaced atomically, never pickled."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plaq._plaq import CheckpointError, __version__
from plaq.ground.archive import unpacked, verified, write_arrays
from plaq.ground.arguments import columns, instance, whole_number, whole_numbers
from plaq.ground.files import damaged, read_content
from plaq.ground.states import (
    Arrays,
    decode,
    encode,
)

__all__ = ["Record"]

FORMAT = "plaq-chain"
VERSION = 1
LARGEST = 2**64 - 1

MERGED = 2
"""Version of files with several chains, which versions of plaq that know only one must not read."""


@dataclass
class Record:
    """What a chain file holds: draws and info of the `count` draws, state, and the counters that continue the run."""

    draws: Arrays
    info: Arrays
    state: Any
    seed: int
    sweep: int
    warmup: int
    thin: int
    fingerprint: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] | None = None
    replicas: tuple[int, ...] = ()

    def write(self, path: Path) -> None:
        """Replace the file at `path` by this record, or leave it as it was."""
        arrays: Arrays = {}
        tree = encode(self.state, "state", arrays)
        meta = {
            "format": FORMAT,
            "version": MERGED if self.replicas else VERSION,
            "plaq": __version__,
            "seed": self.seed,
            "sweep": self.sweep,
            "warmup": self.warmup,
            "thin": self.thin,
            "draws": list(self.draws),
            "info": list(self.info),
            "state": tree,
            "fingerprint": self.fingerprint,
            "tuned": self.tuned,
            "replicas": list(self.replicas),
        }
        arrays |= {f"draws/{name}": values for name, values in self.draws.items()}
        arrays |= {f"info/{name}": values for name, values in self.info.items()}
        write_arrays(path, {"meta": np.array(json.dumps(meta)), **arrays})

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read the file at `path`; CheckpointError says what is wrong with it and what to do."""
        content = read_content(path, CheckpointError)
        with damaged(path, CheckpointError, _no_chain_file):
            arrays = unpacked(path, content)
            meta = json.loads(str(arrays["meta"][()]))
            _check_version(path, meta)
            arrays = verified(arrays)
            record = cls(
                draws={name: arrays[f"draws/{name}"] for name in meta["draws"]},
                info={name: arrays[f"info/{name}"] for name in meta["info"]},
                state=decode(meta["state"], arrays),
                **{key: meta[key] for key in ("seed", "sweep", "warmup", "thin", "fingerprint")},
                tuned=meta.get("tuned"),
                replicas=tuple(meta.get("replicas", ())),
            )
            record._check()
        return record

    def _check(self) -> None:
        """Counters are whole numbers, descriptions have names, columns have one length."""
        for name, least in (("seed", 0), ("sweep", 0), ("warmup", 0), ("thin", 1)):
            whole_number(name, getattr(self, name), least, LARGEST)
        whole_numbers("replicas", self.replicas, 0, LARGEST, "its lengths are counts")
        for name, value in (("fingerprint", self.fingerprint), ("tuned", self.tuned or {})):
            instance(name, value, dict, "a table")
        found = columns("draws", {**self.draws, **{f"info {name}": each for name, each in self.info.items()}})
        count = len(next(iter(found.values()), ()))
        if self.replicas and sum(self.replicas) != count:
            raise ValueError(f"replicas of {list(self.replicas)} draws do not make up its {count}")


def _no_chain_file(reason: str) -> str:
    return (
        f"is no chain file of plaq or is damaged ({reason}); a gauge configuration is read with plaq.read_gauge; for a "
        "checkpoint name another file, restore a copy, or start anew with resume=False"
    )


def _check_version(path: Path, meta: Any) -> None:
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ValueError(f'its "format" is not "{FORMAT}"')
    if meta.get("version") not in (VERSION, MERGED):
        raise CheckpointError(
            f"{path} has chain format version {meta.get('version')} (written by plaq {meta.get('plaq')}); "
            f"plaq {__version__} reads version {VERSION}: use the plaq that wrote it, or start anew with resume=False"
        )
