"""Checkpoints of training runs."""

import errno
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaq._plaq import CheckpointError
from plaq.ground.archive import unpacked, verified, write_arrays
from plaq.ground.arguments import columns
from plaq.ground.files import check_writable, damaged, read_content, remove_leftovers
from plaq.ground.states import differences
from plaq.training.history import Recorder

__all__ = ["checkpoint_path", "save_training_checkpoint", "training_checkpoint"]


def checkpoint_path(checkpoint: str | PathLike[str] | None) -> Path | None:
    """The path of a checkpoint, refused before any work is done if it cannot be written.

    Raises
    ------
    OSError
        A folder, a device, a folder that does not exist or into which nothing can be written.
    """
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    check_writable(path)
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "the checkpoint is a device or pipe; give the name of a file", str(path))
    remove_leftovers(path)
    return path


def training_checkpoint(path: Path, facts: str, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Arrays of a training checkpoint whose `facts` (JSON) are those of this training; its records go to `recorder`.

    Raises
    ------
    CheckpointError
        A damaged file, or one of another training; names each fact that differs.
    OSError
        The file cannot be read.
    """
    content = read_content(path, CheckpointError)
    with damaged(path, CheckpointError, lambda why: f"is damaged or no training checkpoint of plaq ({why}); remove it"):
        stored = verified(unpacked(path, content))
        theirs = dict(json.loads(str(stored["facts"])))
        records = {name.removeprefix("record_"): stored[name] for name in stored if name.startswith("record_")}
        columns("records", records)
    ours = json.loads(facts)
    found = differences({key: theirs[key] for key in ours if key in theirs}, ours, "this training")
    if found:
        raise CheckpointError(f"{path} belongs to another training:\n  " + "\n  ".join(found))
    for k in range(len(next(iter(records.values()), ()))):
        recorder.add(**{name: values[k] for name, values in records.items()})
    return stored


def save_training_checkpoint(path: Path, facts: str, recorder: Recorder, **arrays: ArrayLike) -> None:
    """Writes what :func:`training_checkpoint` reads: the state of a training, its `facts` (JSON) and its records."""
    columns = {f"record_{name}": values for name, values in recorder.history().items()}
    write_arrays(path, {"facts": np.array(facts), **arrays, **columns})
