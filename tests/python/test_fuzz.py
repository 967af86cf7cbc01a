"""A short run of scripts/fuzz.py over every reader, inputs that once failed, and what the fuzzer itself must see."""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
import pytest

PATH = Path(__file__).parents[2] / "scripts" / "fuzz.py"
spec = importlib.util.spec_from_file_location("fuzz", PATH)
fuzz = importlib.util.module_from_spec(spec)
sys.modules["fuzz"] = fuzz
spec.loader.exec_module(fuzz)

READERS = fuzz.readers()
CORPUS = sorted(fuzz.CORPUS.iterdir())
INPUTS = 40
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of processes as Linux has them")


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_or_read_right(name):
    found = fuzz.fuzz(name, INPUTS)
    assert not found["found"], found["found"][0]["text"]
    assert found["inputs"] == found["accepted"] + found["refused"] == INPUTS
    assert found["refused"]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_inputs_that_once_failed(path, tmp_path):
    """They raised exceptions that no docstring names."""
    copy = tmp_path / "input"
    copy.write_bytes(path.read_bytes())
    assert not fuzz.attempt(READERS[path.name.rpartition("-")[0]], copy, [])


def test_the_corpus_is_there():
    assert len(CORPUS) >= 20
    assert {path.name.rpartition("-")[0] for path in CORPUS} <= set(READERS)


def spin(path):
    end = time.process_time() + 30
    while time.process_time() < end:
        pass


def differs(path):
    return len(path.read_bytes()) if path.read_bytes() != b"seed" else 4


FAULTS = {
    "KeyError": lambda path: {}["x"],
    "AssertionError": lambda path: (_ for _ in ()).throw(pq.FormatError("")),
    "SIGKILL": lambda path: os.kill(os.getpid(), signal.SIGKILL),
    "MemoryError": lambda path: np.ones(10**9),
    "hang": spin,
    "Found": differs,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_the_fuzzer_sees(kind, monkeypatch):
    shielded = kind == "Found"
    reader = fuzz.Reader(lambda folder: [b"seed"], fuzz.write_bytes, FAULTS[kind], shielded=shielded)
    monkeypatch.setattr(fuzz, "readers", lambda: {"faulty": reader})
    monkeypatch.setattr(fuzz, "SECONDS", 0.3)
    found = fuzz.fuzz("faulty", 1 if kind != "Found" else 20)
    assert kind in {each["kind"] for each in found["found"]}


def test_an_input_is_a_function_of_its_number(tmp_path):
    inputs = set()
    for _ in range(2):
        seeds = READERS["nersc"].seeds(tmp_path)
        fuzz.write_bytes(fuzz.generator("nersc", 7), seeds, tmp_path / "input")
        inputs.add((tmp_path / "input").read_bytes())
    assert len(inputs) == 1
