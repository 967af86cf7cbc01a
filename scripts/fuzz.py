"""Feed damaged and lying files to every reader: a documented error or the right content, never anything else.

An input is a function of the reader's name and a number, so each finding is made again by its number. Inputs are
read in a child process under limits: an exception that is not documented, a signal, two seconds of processor time,
memory past the bound, and content that differs where a checksum protects it are findings. Files of the package are also
mutated inside and sealed again with a right checksum, which would else stop everything at the door.

    python scripts/fuzz.py --inputs 100000 --only nersc,chain --results fuzz.json
"""

import argparse
import ast
import copy
import functools
import gzip
import io
import json
import mmap
import multiprocessing
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plaq as pq
from plaq import _plaq
from plaq.cli import config, jobs, new
from plaq.ground import files
from plaq.ground.archive import CHECKSUM, write_arrays
from plaq.ground.weights import load_weights, save_weights
from plaq.training.checkpoint import training_checkpoint
from plaq.training.history import Recorder

DATA = Path(__file__).parents[1] / "tests" / "data"
CORPUS = DATA / "fuzz"
SECONDS = 2.0
"""Processor time after which a reader hangs."""
MEMORY = 400 << 20
"""Address space beyond what the process has when it begins, for inputs of at most some hundred kB."""
SMALL = 40_000
"""Seeds up to this size in bytes are taken nine times out of ten."""

Arrays = dict[str, np.ndarray]
ERRORS = (pq.Error, OSError)


@dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    Attributes
    ----------
    seeds : callable
        Makes good inputs in a folder.
    write : callable
        Writes the mutated input, from a random generator and the seeds.
    read : callable
        Takes the path, returns content that compares by ==.
    errors : tuple
        What it may raise.
    shielded : bool
        A checksum protects the content: what is read at all is the content of a seed.
    """

    seeds: Callable[[Path], list[Any]]
    write: Callable[[random.Random, list[Any], Path], None]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = ERRORS
    shielded: bool = False


# Mutations of bytes

NUMBERS = [0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**20, 2**28, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS += [2**32, 2**40, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = [b"0", b"-1", b"1e999", b"nan", b"", b"99999999999999999999", b"1000000000", b"4.5", b"'", b'"', b"<", b">"]
TEXTS += [b"]]>", b"&", b"\n", b"\0", b"\xff\xfe", b"[" * 1500, b"{" * 1500, b"<a>" * 500, b"U(1)", b"SU(2)", b"SU(9)"]
WORD = re.compile(rb"[A-Za-z_]{3,}|[0-9]+")


def place(rng: random.Random, data: bytes) -> int:
    """A position: often in the header, at times in the directory at the end, else anywhere."""
    where = rng.random()
    if where < 0.5:
        return rng.randrange(min(len(data), 512) or 1)
    return max(len(data) - 1 - rng.randrange(512), 0) if where < 0.65 else rng.randrange(len(data) or 1)


def _flip(rng: random.Random, data: bytearray, other: bytes) -> None:
    if data:
        data[place(rng, data)] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, data: bytearray, other: bytes) -> None:
    if data:
        data[place(rng, data)] = rng.choice((0, 255, 32, 10, 0x7F, rng.randrange(256)))


def _number(rng: random.Random, data: bytearray, other: bytes) -> None:
    width, at = rng.choice((1, 2, 4, 8)), place(rng, data)
    value = rng.choice(NUMBERS) * rng.choice((1, 1, 1, -1))
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))


def _truncate(rng: random.Random, data: bytearray, other: bytes) -> None:
    del data[place(rng, data) :]


def _remove(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 8, 16, 64, 512))]


def _repeat(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = place(rng, data)
    data[at:at] = data[at : at + rng.choice((1, 4, 8, 64, 512))] * rng.choice((1, 1, 1, 50))


def _insert(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 100)))


def _exchange(rng: random.Random, data: bytearray, other: bytes) -> None:
    a, b, length = place(rng, data), place(rng, data), rng.choice((1, 4, 8, 72))
    data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = place(rng, other)
    piece = other[at : at + rng.choice((4, 16, 144, 1024, len(other)))]
    to = place(rng, data)
    data[to : to + len(piece) * rng.randrange(2)] = piece


@functools.lru_cache(100)
def _words(seed: bytes) -> list[bytes]:
    return WORD.findall(seed[:4096])


def _word(rng: random.Random, data: bytearray, other: bytes) -> None:
    """A number or word of the first text becomes another one."""
    old = WORD.search(data, rng.randrange(min(len(data), 4096) or 1)) or WORD.search(data)
    if old is not None:
        words = _words(other)
        new = (
            rng.choice(words)
            if words and rng.random() < 0.4
            else rng.choice((*TEXTS, str(rng.choice(NUMBERS)).encode()))
        )
        data[old.start() : old.end()] = new


CHANGES = [
    _flip,
    _flip,
    _byte,
    _number,
    _number,
    _truncate,
    _remove,
    _repeat,
    _insert,
    _exchange,
    _splice,
    _word,
    _word,
]


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One to about five changes of one of the seeds."""
    small = [seed for seed in seeds if len(seed) <= SMALL]
    data = bytearray(rng.choice(small if small and rng.random() < 0.9 else seeds))
    while True:
        rng.choice(CHANGES)(rng, data, rng.choice(seeds))
        if rng.random() < 0.55:
            return bytes(data)


def write_bytes(rng: random.Random, seeds: list[bytes], path: Path) -> None:
    """The mutated file as it is."""
    path.write_bytes(mutated(rng, seeds))


# Mutations of content, sealed again

DEEP = "@deep"
"""Stands for a deep list."""


def leaf(rng: random.Random, tree: Any) -> Any:
    """A value that does not belong there."""
    choice = rng.randrange(9)
    if choice == 0:
        return rng.choice(NUMBERS) * rng.choice((1, -1))
    if choice == 1:
        return rng.choice((0.5, -1.0, 1e308, float("nan"), float("inf"), -0.0, 10**40))
    if choice == 2:
        return rng.choice((None, True, False, "", "x", "plaquette", "SU(2)", "U(1)", "a\0b", "9" * 5000))
    if choice == 3:
        return rng.choice(([], {}, [[]], [None], {"kind": "loops"}, {"a": 1}, [1, 2], [[0.5, "plaquette"]]))
    if choice == 4:
        return rng.choice((DEEP, [[[1]]]))
    if choice == 5:
        return [1] * rng.choice((3, 1000))
    return copy.deepcopy(rng.choice([node for _, _, node in nodes(tree)] or [0]))


def dumped(tree: Any) -> str:
    """JSON, with lists in lists deeper than Python can write them."""
    return json.dumps(tree).replace(json.dumps(DEEP), "[" * 3000 + "]" * 3000)


def nodes(tree: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Every value inside of a tree with its container and key."""
    for key, value in (
        list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else ()
    ):
        yield tree, key, value
        if isinstance(value, dict | list):
            yield from nodes(value)


def bent(rng: random.Random, tree: Any) -> Any:
    """The tree with one or some values changed, removed, doubled or renamed."""
    tree = json.loads(json.dumps(tree))
    while True:
        found = list(nodes(tree))
        if not found:
            return leaf(rng, tree)
        holder, key, value = rng.choice(found)
        choice = rng.random()
        if choice < 0.6:
            near = value + rng.choice((-1, 1, 0.5)) if isinstance(value, int | float) and rng.random() < 0.3 else None
            holder[key] = leaf(rng, tree) if near is None else near
        elif choice < 0.75:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(value))
        else:
            holder[rng.choice((f"{key}x", "kind", "extra"))] = copy.deepcopy(value)
        if rng.random() < 0.6:
            return tree


def warped(rng: random.Random, arrays: Arrays) -> Arrays:
    """The arrays with one of them changed in values, shape or type, removed or under another name."""
    if not arrays:
        return arrays
    arrays = dict(arrays)
    name = rng.choice(list(arrays))
    values, choice = arrays.pop(name), rng.randrange(9)
    if choice == 0:
        return arrays
    if choice == 1:
        arrays[rng.choice(list(arrays) or ["x"])] = values
    elif choice == 2:
        arrays[name] = values.ravel()[: rng.randrange(values.size + 1)]
    elif choice == 3:
        kind = rng.choice(("<f4", "<i8", "<c16", "|b1", "<U3", "|u1", ">f8"))
        arrays[name] = values.astype(kind, casting="unsafe") if values.dtype.kind not in "US" else np.zeros(2, kind)
    elif choice == 4:
        arrays[name] = np.stack([values, values])
    elif choice == 5:
        arrays[name] = values.reshape(-1, 1) if rng.random() < 0.5 else values.ravel()
    elif choice == 6 and values.size and values.dtype.kind in "fc":
        flat = values.astype(values.dtype).ravel()
        flat[rng.randrange(flat.size)] = rng.choice((np.nan, np.inf, 1e308, -1.0, 0.0))
        arrays[name] = flat.reshape(values.shape)
    elif choice == 7:
        arrays[name] = np.zeros((0, *values.shape[1:]), values.dtype)
    else:
        arrays[name] = np.array(rng.choice((-1, 2**40, 0, 1e300)))
    return arrays


@functools.cache
def _arrays(content: bytes) -> Arrays:
    with np.load(io.BytesIO(content)) as stored:
        return {name: stored[name] for name in stored.files if name != CHECKSUM}


@functools.cache
def _model(content: bytes, path: Path) -> Any:
    path.write_bytes(content)
    found = load_weights(path)
    path.unlink()
    return found


@np.errstate(all="ignore")
def write_archive(rng: random.Random, seeds: list[bytes], path: Path) -> None:
    """A npz file of ours with other content and a right checksum."""
    arrays = dict(_arrays(rng.choice(seeds)))
    text = next((name for name in ("meta", "facts") if name in arrays), None)
    if text is not None and rng.random() < 0.6:
        arrays[text] = np.array(dumped(bent(rng, json.loads(str(arrays[text])))))
    else:
        arrays = warped(rng, arrays)
    write_arrays(path, arrays)


@np.errstate(all="ignore")
def write_model(rng: random.Random, seeds: list[bytes], path: Path) -> None:
    """A safetensors file with another architecture or other arrays and a right checksum."""
    weights, architecture = _model(rng.choice(seeds), path)
    if rng.random() < 0.7:
        architecture = bent(rng, architecture)
    else:
        weights = warped(rng, weights)
    numbers = {name: values for name, values in weights.items() if values.dtype.kind in "fiub"}
    save_weights(path, numbers, architecture)


def write_spec(rng: random.Random, seeds: list[Any], path: Path) -> None:
    """JSON, bent as a tree or torn as text."""
    name, tree = rng.choice(seeds)
    text = dumped(bent(rng, tree)).encode()
    path.write_bytes(name.encode() + b"\n" + (mutated(rng, [text]) if rng.random() < 0.2 else text))


def write_run_file(rng: random.Random, seeds: list[str], path: Path) -> None:
    """A run file with lines changed, values of other keys, or torn as text."""
    if rng.random() < 0.4:
        path.write_bytes(mutated(rng, [seed.encode() for seed in seeds]))
        return
    lines = rng.choice(seeds).splitlines()
    others = rng.choice(seeds).splitlines()
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        if rng.random() < 0.3:
            lines[at] = rng.choice(others)
        else:
            key = lines[at].partition("=")[0].lstrip("# ").strip() or "x"
            given = leaf(rng, [1.5, "hmc", [4, 4]])
            with_text = json.dumps(given, default=str) if not isinstance(given, dict) else '{ "action.beta" = [1, 2] }'
            lines[at] = f"{key} = {with_text}"
    path.write_text("\n".join(lines), encoding="utf-8")


# The readers


def plain(value: Any) -> Any:
    """Content as something that compares by bits."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return plain(np.asarray(value)) if hasattr(value, "__array__") else value


def fields() -> list[pq.GaugeField]:
    """Small fields of some groups."""
    groups = ("SU(3)", "SU(2)", "U(1)")
    return [pq.GaugeField.hot((2, 2, 2, 2), group, rng=1) for group in groups]


def hirep() -> list[bytes]:
    """HiRep: N, T, X, Y, Z, plaquette, links in the order t, x, y, z."""
    found = []
    for field in fields()[:2]:
        links = np.asarray(field)[[3, 0, 1, 2]].transpose(4, 1, 2, 3, 0, 5, 6)
        head = struct.pack(">5id", field.n_colors, 2, 2, 2, 2, pq.observables.plaquette(field))
        found.append(head + np.ascontiguousarray(links).astype(">c16").tobytes())
    return found


def ddalphaamg() -> list[bytes]:
    """DDalphaAMG: T, Z, Y, X, three times the plaquette, links of a site together in the order t, z, y, x."""
    field = fields()[0]
    links = np.asarray(field)[::-1].transpose(4, 3, 2, 1, 0, 5, 6)
    head = struct.pack("<4id", 2, 2, 2, 2, 3 * pq.observables.plaquette(field))
    return [head + np.ascontiguousarray(links).astype("<c16").tobytes()]


def bridge() -> list[bytes]:
    """Bridge++: numbers as text, one to a line."""
    numbers = np.asarray(fields()[0]).view(np.float64).ravel()
    return ["\n".join(map(repr, numbers.tolist())).encode()]


OTHERS = {"hirep": hirep, "ddalphaamg": ddalphaamg, "bridge": bridge}
"""Files of formats that the package reads only."""


def gauge(format: str, names: list[str], *, shielded: bool = False, bare: bool = False) -> Reader:
    """The reader of a format: of files that the package writes, and of files of other codes."""

    def seeds(folder: Path) -> list[bytes]:
        found = OTHERS[format]() if format in OTHERS else []
        for k, field in enumerate(fields()):
            for precision in (32, 64):
                path = folder / f"{format}-{k}-{precision}"
                try:
                    field.write(path, format=format, precision=precision)
                except ValueError:  # a format that is read only, or knows one precision or group
                    continue
                found.append(path.read_bytes())
        return found + [(DATA / name).read_bytes() for name in names]

    def read(path: Path) -> Any:
        shape = {"shape": (2, 2, 2, 2), "group": "SU(3)"} if bare else {}
        pq.read_header(path, **shape)
        field = pq.read_gauge(path, **shape)
        return plain(np.asarray(field)), field.group

    # read_gauge documents ValueError for what needs more memory than there is.
    return Reader(seeds, write_bytes, read, (*ERRORS, ValueError), shielded)


def saved(*makers: Callable[[Path], Any]) -> Callable[[Path], list[bytes]]:
    """Seeds: the files that these calls write."""

    def seeds(folder: Path) -> list[bytes]:
        found = []
        for k, make in enumerate(makers):
            path = folder / f"seed-{k}"
            make(path)
            found.append(path.read_bytes())
        return found

    return seeds


def both(
    seeds: Any, read: Any, errors: tuple[type[Exception], ...] = ERRORS, *, write: Any = write_archive
) -> dict[str, Reader]:
    """A file of ours as bytes, and sealed."""
    return {"": Reader(seeds, write_bytes, read, errors, True), "-sealed": Reader(seeds, write, read, errors)}


WILSON = pq.Heatbath(pq.actions.Wilson(1.0))


def _chain(path: Path) -> None:
    WILSON.run(pq.GaugeField.cold((2, 2), "U(1)"), 3, warmup=1, rng=1, progress=False).save(path)


def _own_chain(path: Path) -> None:
    state = {"spins": np.arange(6.0).reshape(2, 3), "steps": [1, 2.5, (None, "a")], "z": 1j}
    pq.Chain({"x": np.arange(4.0), "z": np.arange(4) * 1j}, {"accepted": [True] * 4}, state, seed=3).save(path)


def _flux_chain(path: Path) -> None:
    worm = pq.Worm((2, 2), eta=4.0, lam=1.0, mu=0.5)
    worm.run(pq.flux.FluxField.cold((2, 2)), 3, warmup=1, rng=1, progress=False).save(path)


def read_chain(path: Path) -> Any:
    """All of a chain file."""
    chain = pq.Chain.load(path)
    return plain({name: chain[name] for name in chain.names}), plain(chain.info), plain(chain.state), chain.sweep


def resume(path: Path) -> Any:
    """A run that goes on from the file."""
    start = pq.GaugeField.cold((2, 2), "U(1)")
    return plain(WILSON.run(start, 4, warmup=1, rng=1, progress=False, checkpoint=path)["plaquette"])


def machine(cls: type[Any], **options: Any) -> Callable[[Path], None]:
    """Writes a trained machine."""

    def make(path: Path) -> None:
        rbm = cls(3, 2, rng=1, **options)
        data = np.random.default_rng(1).integers(0, 2, (6, 3)).astype(float)
        rbm.fit(data, epochs=1, method="pcd", learning_rate=1e-3, chains=2, progress=False, rng=1)
        rbm.save(path)

    return make


def _training(path: Path) -> None:
    rbm = pq.GaussianRBM(3, 2, mu2=3.0, rng=1)
    _fit(rbm, path, 2)


def _fit(rbm: Any, path: Path, epochs: int) -> Any:
    data = np.random.default_rng(1).normal(size=(6, 3))
    options = {"method": "pcd", "learning_rate": 1e-3, "chains": 2, "progress": False}
    return rbm.fit(data, epochs=epochs, checkpoint=path, rng=1, **options)


def resume_training(path: Path) -> Any:
    """A training that goes on from the file."""
    rbm = pq.GaussianRBM(3, 2, mu2=3.0, rng=1)
    _fit(rbm, path, 3)
    return plain(rbm.weights)


def read_training(path: Path) -> Any:
    """The arrays of the file, whatever training it is of."""
    arrays = training_checkpoint(path, "{}", Recorder())
    return plain({name: arrays[name] for name in arrays if name.startswith(("state_", "record_", "best", "counters"))})


def _quark() -> Any:
    return pq.dirac.Wilson(mass=0.5).on(pq.GaugeField.hot((2, 2), "U(1)", rng=1))


def _propagator(path: Path) -> None:
    D = _quark()
    pq.dirac.write_propagator(path, D.propagator()[0], D)


def read_propagator(path: Path) -> Any:
    """A propagator, asked for with and without its operator."""
    values = pq.dirac.read_propagator(path)
    pq.dirac.read_propagator(path, _quark())
    return plain(values)


def _flux_data(path: Path) -> None:
    pq.datasets.flux_violation(2, (4, 4), warmup=1, thin=1, chains=1, progress=False, rng=1).save(path)


def read_flux_data(path: Path) -> Any:
    """Inputs, targets and where they come from."""
    data = pq.datasets.FluxData.load(path)
    return plain(data.x), plain(data.y), plain(data.eta), plain(data.mu), repr(data)


def images(folder: Path) -> list[bytes]:
    """IDX plain and packed, npz plain and packed."""
    pixels = np.random.default_rng(1).integers(0, 256, 48, dtype=np.uint8)
    idx = struct.pack(">4B3I", 0, 0, 8, 3, 3, 4, 4) + pixels.tobytes()
    np.savez(folder / "a.npz", images=pixels.reshape(3, 4, 4))
    np.savez_compressed(folder / "b.npz", x_train=pixels.reshape(3, 4, 4), y_train=np.arange(3))
    return [idx, gzip.compress(idx, mtime=0), (folder / "a.npz").read_bytes(), (folder / "b.npz").read_bytes()]


MODELS: dict[str, tuple[Callable[[], list[Any]], Callable[[Path], Any]]] = {
    "covariant-net": (
        lambda: [
            pq.CovariantNet([pq.StoutLayer(["plaquette", "rectangle"], [0.1, 0.05])]),
            pq.CovariantNet([pq.AttentionLayer(["plaquette"]), pq.StoutLayer([[1, 2, -1, -2]], [0.1])]),
            pq.CovariantNet([pq.smear.APELayer(0.4, directions=[0, 1]), pq.smear.HYPLayer()]),
        ],
        pq.CovariantNet.load,
    ),
    "field-transform": (
        lambda: [
            pq.transform.u1_2d(0.1),
            pq.transform.u1_2d(channels=2, rng=1),
            pq.transform.su3_4d(0.1),
        ],
        pq.FieldTransform.load,
    ),
    "lcnn": (
        lambda: [
            pq.LCNN(
                [pq.lcnn.Loops(), pq.lcnn.LConv(1, 2), pq.lcnn.LBilin(2, 1), pq.lcnn.Trace()],
                ndim=2,
                group="SU(2)",
                rng=1,
            )
        ],
        pq.LCNN.load,
    ),
    "sequential": (lambda: [pq.nn.zoo["task3/EQ2"], pq.nn.zoo["task1/FL"]], pq.nn.Sequential.load),
    "flow": (
        lambda: [
            pq.flows.u1_2d((4, 4), hidden=[2], rng=1),
            pq.flows.real_nvp(pq.flows.Normal((4, 4)), hidden=[2], rng=1),
            pq.flows.su_2d((4, 4), "SU(2)", hidden=[2], rng=1),
        ],
        pq.flows.Flow.load,
    ),
    "spin-attention": (lambda: [pq.EquivariantAttention((4, 4), rng=1)], pq.EquivariantAttention.load),
    "spin-linear": (lambda: [pq.LinearSpinModel((4, 4), 3)], pq.LinearSpinModel.load),
}


def models(name: str) -> dict[str, Reader]:
    """The weights of a kind of networks, as bytes and sealed."""
    make, load = MODELS[name]

    def seeds(folder: Path) -> list[bytes]:
        return saved(*(model.save for model in make()))(folder)

    def read(path: Path) -> Any:
        model = load(path)
        repr(model)
        return plain(model.parameters), repr(model)

    return both(seeds, read, write=write_model)


SMALL_FIELDS = {
    2: pq.GaugeField.hot((2, 2), "SU(2)", rng=1),
    4: pq.GaugeField.hot((2, 2, 2, 2), "SU(2)", rng=1),
}


def specs(folder: Path) -> list[Any]:
    """Actions, samplers, networks and transformations as the core takes them, with the names of its classes."""
    wilson, net = pq.actions.Wilson(1.0), pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1])])
    action = wilson + pq.actions.Loops([(0.5, "rectangle"), (0.1, [1, 2, -1, -2])])
    quark = pq.actions.Pseudofermion(pq.dirac.Wilson(mass=0.5), n_flavors=2)
    ratio = pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.5), n_flavors=4)
    actions = [wilson, action, pq.actions.Mapped(wilson, net), 2 * action, wilson + quark, wilson + ratio]
    found = [["ActionCore", each.spec()] for each in actions]
    found += [["SamplerCore", pq.HMC(each, steps=2)._spec()] for each in actions]
    found += [["NetworkCore", net.spec()], ["NetworkCore", pq.CovariantNet([pq.AttentionLayer(["plaquette"])]).spec()]]
    found += [["TransformCore", pq.transform.u1_2d(0.1).spec()], ["TransformCore", pq.transform.su3_4d(0.1).spec()]]
    lcnn = pq.LCNN([pq.lcnn.Loops(), pq.lcnn.LConv(1, 2), pq.lcnn.Trace()], ndim=2, group="SU(2)", rng=1)
    found += [["LcnnCore", lcnn._network()]]
    return found


def read_spec(path: Path) -> Any:
    """Compile, and apply to small fields what is an action."""
    name, _, text = path.read_text(encoding="utf-8", errors="surrogateescape").partition("\n")
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    core = getattr(_plaq, name)(*([text, []] if name in ("ActionCore", "SamplerCore") else [text]))
    if name == "ActionCore":
        for field in SMALL_FIELDS.values():
            try:
                core.value(field._core)
            except (*ERRORS, ValueError, TypeError):
                continue
    return None


def run_files(folder: Path) -> list[str]:
    """The examples, and what `plaq new` writes."""
    found = [path.read_text(encoding="utf-8") for path in sorted((DATA.parents[1] / "examples").glob("*.toml"))]
    for system in config.SYSTEMS:
        given = {question.name: None for question in new.QUESTIONS} | {"system": system}
        try:
            found.append(new.text_of(new.answered(given, None), "run"))
        except ValueError:
            continue
    scan = '\n[scan]\nfolder = "runs"\nchains = 2\nvalues = { "action.beta" = [1.0, 2.0] }\n'
    return [*found, found[0] + scan]


def read_run_file(path: Path) -> Any:
    """A run file or a scan, checked but not run."""
    table = config.read(path)
    if "scan" in table:
        jobs.points(table)
    else:
        config.load(path)


def readers() -> dict[str, Reader]:
    """Every reader by name."""
    found = {
        "nersc": gauge("nersc", ["lat.sample.l4444.nersc", "random-gauge.nersc"]),
        "ildg": gauge("ildg", ["lat.sample.l4444.ildg"]),
        "scidac": gauge("scidac", ["lat.sample.l4444.scidac", "random-gauge.qio"]),
        "milc": gauge("milc", ["lat.sample.l4444", "chroma_milc32.bin", "lat.sample.inst"]),
        "fermiqcd": gauge("mdp", ["sample_4x4x4x4_su2.orig.mdp", "mdp_python_mark.mdp"]),
        "bridge": gauge("bridge", [], bare=True),
        "openqcd": gauge("openqcd", []),
        "ddalphaamg": gauge("ddalphaamg", []),
        "hirep": gauge("hirep", []),
        "npy": gauge("npy", []),
        "npz": gauge("npz", ["numpy_u1.npz", "numpy_u1_compressed.npz"]),
        "images": Reader(images, write_bytes, lambda path: plain(pq.datasets.mnist(path))),
        "specs": Reader(specs, write_spec, read_spec, (*ERRORS, ValueError, TypeError)),
        "run-files": Reader(run_files, write_run_file, read_run_file, (config.ConfigError, OSError)),
    }
    gaussian, bernoulli = machine(pq.GaussianRBM, mu2=3.0), machine(pq.BernoulliRBM)
    ours: dict[str, dict[str, Reader]] = {
        "chain": both(saved(_chain, _own_chain, _flux_chain), read_chain),
        "resumed-run": both(saved(_chain), resume),
        "training": both(saved(_training), read_training),
        "resumed-training": both(saved(_training), resume_training),
        "history": both(
            saved(lambda path: pq.History({"loss": np.arange(3.0), "xi": np.ones((3, 2))}, kept=1).save(path)),
            lambda path: plain(dict(pq.History.load(path))),
        ),
        "gaussian-rbm": both(saved(gaussian), lambda path: plain(pq.GaussianRBM.load(path).weights)),
        "bernoulli-rbm": both(saved(bernoulli), lambda path: plain(pq.BernoulliRBM.load(path).weights)),
        "flux-data": both(saved(_flux_data), read_flux_data),
        "propagator": both(saved(_propagator), read_propagator, (*ERRORS, ValueError)),
    } | {name: models(name) for name in MODELS}
    for name, parts in ours.items():
        found |= {f"{name}{ending}": reader for ending, reader in parts.items()}
    return found


# Running


class Found(Exception):
    """Content that is not that of a seed, though a checksum protects it."""


def attempt(reader: Reader, path: Path, known: list[Any]) -> bool:
    """Whether the input was read; refused ones count, too, and everything else raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = reader.read(path)
        except reader.errors as error:
            if not str(error).strip():
                raise AssertionError(f"a {type(error).__name__} without a word") from error
            return False
    if reader.shielded and not any(content == each for each in known):
        raise Found("content that no seed has")
    return True


def generator(name: str, number: int) -> random.Random:
    """The random numbers of an input."""
    return random.Random(f"{name}:{number}")


def work(name: str, first: int, stop: int, shared: mmap.mmap, folder: Path) -> None:
    """Inputs one after another; the number of the present one and the counts stand in shared memory."""
    _quicken()
    reader = readers()[name]
    seeds = reader.seeds(folder)
    path = folder / "input"
    known = []
    if reader.shielded:
        for seed in seeds:
            path.write_bytes(seed)
            known.append(reader.read(path))
    _limit_memory()
    accepted = refused = 0
    for number in range(first, stop):
        struct.pack_into("<qqq", shared, 0, number, accepted, refused)
        reader.write(generator(name, number), seeds, path)
        try:
            if attempt(reader, path, known):
                accepted += 1
            else:
                refused += 1
        except Exception as error:
            _keep(folder, number, "".join(traceback.format_exception(error, limit=-4)), type(error).__name__)
        except BaseException as error:  # a panic of Rust
            _keep(folder, number, repr(error), type(error).__name__)
    struct.pack_into("<qqq", shared, 0, stop, accepted, refused)


def _quicken() -> None:
    """What takes most of the time of a small input, and decides nothing about it."""
    warnings.simplefilter("ignore")
    pq.set_num_threads(1)  # a second thread would be woken for 16 sites
    os.fsync = lambda descriptor: None  # inputs need not outlive the machine
    files.available_memory = functools.cache(files.available_memory)
    ast.literal_eval = functools.lru_cache(10_000)(ast.literal_eval)  # numpy reads each header of an array by it


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)


def _keep(folder: Path, number: int, text: str, kind: str) -> None:
    with open(folder / "found.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"number": number, "kind": kind, "text": text}) + "\n")


def _cpu_seconds(pid: int) -> float:
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(name: str, inputs: int, *, first: int = 0, seconds: float = float("inf")) -> dict[str, Any]:
    """Run a reader in child processes, a new one after each that dies or hangs.

    Returns
    -------
    dict
        ``inputs, accepted, refused, seconds, found``; the last is a list of dicts with number, kind and text.
    """
    shared = mmap.mmap(-1, 24)
    found: list[dict[str, Any]] = []
    total = {"accepted": 0, "refused": 0}
    begin, number, stop = time.monotonic(), first, first + inputs
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        folder = Path(place)
        while number < stop and time.monotonic() - begin < seconds:
            struct.pack_into("<qqq", shared, 0, number - 1, 0, 0)
            child = multiprocessing.get_context("fork").Process(target=work, args=(name, number, stop, shared, folder))
            child.start()
            kind = _watch(child, shared, begin + seconds)
            at, accepted, refused = struct.unpack_from("<qqq", shared, 0)
            total["accepted"] += accepted
            total["refused"] += refused
            log = folder / "found.jsonl"
            if log.exists():
                found += [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
                log.unlink()
            if kind == "time":
                number = at
                break
            if kind and at < number:
                raise RuntimeError(f"{name}: the seeds cannot be made or read ({kind})")
            if kind:
                found.append({"number": at, "kind": kind, "text": kind})
            number = at + bool(kind)
    spent = time.monotonic() - begin
    return {"inputs": number - first, **total, "seconds": round(spent, 1), "found": found}


def _watch(child: Any, shared: mmap.mmap, end: float) -> str:
    """How a child ended: '' for well, a signal, a hang, or that the time was over."""
    last, since = None, 0.0
    while child.is_alive():
        child.join(0.1)
        at, spent = struct.unpack_from("<q", shared, 0)[0], _cpu_seconds(child.pid)
        if at != last:
            last, since = at, spent
        over = time.monotonic() > end
        if over or spent - since > SECONDS + 8.0 * (last is None or last < 0):
            child.kill()
            child.join()
            return "time" if over else "hang"
    code = child.exitcode
    return "" if code == 0 else signal.Signals(-code).name if code and code < 0 else f"exit {code}"


def input_of(name: str, number: int, path: Path) -> None:
    """Write the input of a number."""
    reader = readers()[name]
    with tempfile.TemporaryDirectory() as place:
        seeds = reader.seeds(Path(place))
    reader.write(generator(name, number), seeds, path)


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a table."""
    lines = ["| reader | inputs | read | refused | per second | findings |", "|---|---|---|---|---|---|"]
    for name, each in results.items():
        rate = each["inputs"] / max(each["seconds"], 1e-9)
        counts = [each["inputs"], each["accepted"], each["refused"], f"{rate:.0f}", len(each["found"])]
        lines.append(f"| `{name}` | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def add(path: Path, name: str, result: dict[str, Any]) -> None:
    """Add what a run counted to a file of results."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    before = kept.get(name, {"inputs": 0, "accepted": 0, "refused": 0, "seconds": 0.0, "found": []})
    sums = {key: round(before[key] + result[key], 1) for key in ("inputs", "accepted", "refused", "seconds")}
    kept[name] = sums | {"found": (before["found"] + result["found"])[:20]}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def main() -> int:
    """Run, print the table, say how to make the findings again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="for each reader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most, for each reader")
    parser.add_argument("--only", help="readers, with commas between")
    parser.add_argument("--results", type=Path, help="file of results, to whose counts these are added")
    parser.add_argument("--make", type=int, help="write the input of this number (of the one reader) to --to")
    parser.add_argument("--to", type=Path, default=Path("input"))
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(readers())
    if options.make is not None:
        input_of(names[0], options.make, options.to)
        return 0
    results = {}
    for name in names:
        results[name] = fuzz(name, options.inputs, first=options.first, seconds=options.seconds)
        print(table({name: results[name]}).splitlines()[-1], flush=True)
        for each in results[name]["found"][:5]:
            print(f"  {name} {each['number']}: {each['text'].strip()[-1500:]}", flush=True)
        if options.results:
            add(options.results, name, results[name])
    return int(any(each["found"] for each in results.values()))


if __name__ == "__main__":
    sys.exit(main())
