"""Every file of ours: single flips and truncations give the same content or the documented error; one writer."""

import gzip
import io
import os
import stat
import struct
import threading
import zipfile

import numpy as np
import plaq as pq
import pytest
from plaq.ground.weights import load_weights, save_weights
from plaq.training.checkpoint import save_training_checkpoint, training_checkpoint
from plaq.training.history import Recorder


def plain(value):
    """Content as something that compares by bits."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value


def a_recorder():
    recorder = Recorder()
    for k in range(3):
        recorder.add(loss=0.5**k)
    return recorder


def write_mnist(path):
    pixels = np.random.default_rng(1).integers(0, 256, 48, dtype=np.uint8)
    with open(path, "wb") as file:
        file.write(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 3, 4, 4) + pixels.tobytes(), mtime=0))


def chain_content(path):
    chain = pq.Chain.load(path)
    return [
        plain(dict(chain._draws)),
        plain(chain.info),
        plain(chain.state),
        chain.seed,
        chain.sweep,
        chain.fingerprint,
    ]


def machine_content(path):
    machine = pq.GaussianRBM.load(path)
    return [plain(machine.weights), machine._facts()]


DRAWN = {"x": np.arange(9.0), "z": np.arange(9) * 1j}
FACTS = '{"physics": 1}'
KINDS = {
    "chain": (lambda p: pq.Chain(DRAWN, state=np.arange(4.0), seed=3).save(p), chain_content, pq.CheckpointError),
    "history": (
        lambda p: pq.History({"loss": np.arange(5.0)}).save(p),
        lambda p: plain(dict(pq.History.load(p))),
        pq.FormatError,
    ),
    "machine": (lambda p: pq.GaussianRBM(3, 2, mu2=3.0, rng=1).save(p), machine_content, pq.FormatError),
    "training": (
        lambda p: save_training_checkpoint(p, FACTS, a_recorder(), parameters=np.arange(4.0)),
        lambda p: plain(training_checkpoint(p, FACTS, Recorder())),
        pq.CheckpointError,
    ),
    "weights": (
        lambda p: save_weights(p, {"rho": np.arange(4.0)}, ["plaquette"]),
        lambda p: plain(dict(zip("wa", load_weights(p), strict=True))),
        pq.FormatError,
    ),
    "images": (write_mnist, lambda p: plain(pq.datasets.mnist(p)), pq.FormatError),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # zipfile speaks of odd names
@pytest.mark.parametrize("kind", KINDS)
def test_flips_and_truncations(kind, tmp_path):
    write, read, error = KINDS[kind]
    path = tmp_path / "file"
    write(path)
    whole, content = read(path), path.read_bytes()
    rng = np.random.default_rng(2)
    broken = [content[:length] for length in rng.integers(0, len(content), 60)]
    for position in rng.integers(0, len(content), 600):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        broken.append(bytes(flipped))
    messages = []
    for each in broken:
        path.write_bytes(each)
        try:
            assert read(path) == whole
        except error as found:
            messages.append(str(found))
    assert len(messages) > 400
    assert all(str(path) in message for message in messages)


def test_files_without_a_checksum_still_load(tmp_path):
    for kind in ("chain", "history", "machine", "training"):
        write, read, error = KINDS[kind]
        path = tmp_path / f"{kind}.npz"
        write(path)
        whole = read(path)
        with np.load(path) as stored:
            arrays = dict(stored)
        assert len(str(arrays.pop("plaq.sha256"))) == 64
        np.savez(path, **arrays)
        assert read(path) == whole
        np.savez(path, **arrays, **{"plaq.sha256": np.array("0" * 64)})
        with pytest.raises(error, match="checksum"):
            read(path)


def test_sizes_are_compared_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("loss.npy", header.getvalue())
    with pytest.raises(pq.FormatError, match=r"bomb.npz.*does not fit"):
        pq.History.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("loss.npy", b"\0" * 1_000_000)
    with pytest.raises(pq.FormatError, match="compressed"):
        pq.History.load(path)


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("plaq.ground.files.available_memory", lambda: 100_000_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\0" * 200_000_000, compresslevel=1))
    with pytest.raises(pq.FormatError, match=r"bomb.gz needs .* GB of memory; 0.1 GB are left"):
        pq.datasets.mnist(path)


WRITERS = {kind: KINDS[kind][:2] for kind in ("chain", "history", "machine", "weights")}


@pytest.mark.skipif(os.name != "posix", reason="links, modes and pipes")
@pytest.mark.parametrize("kind", WRITERS)
def test_one_writer(kind, tmp_path):
    write, read = WRITERS[kind]
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "file", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to("far/file")
    write(link)
    assert link.is_symlink()
    assert read(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for call in (write, read):
        with pytest.raises(OSError, match="named pipe"):
            call(pipe)
    with pytest.raises(OSError, match="device"):
        write(tmp_path.__class__("/dev/null"))
    assert sorted(os.listdir(tmp_path)) == ["far", "link", "pipe"]
    assert os.listdir(tmp_path / "far") == ["file"]


def test_two_threads_on_one_path(tmp_path):
    path, errors = tmp_path / "w", []

    def work(k):
        try:
            for _ in range(10):
                save_weights(path, {"rho": np.full(50, float(k))}, k)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors
    weights, k = load_weights(path)
    assert (weights["rho"] == k).all()
    assert os.listdir(tmp_path) == ["w"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every file")
def test_the_true_reason_is_named(tmp_path):
    path = tmp_path / "c"
    KINDS["training"][0](path)
    path.chmod(0)
    with pytest.raises(PermissionError):
        training_checkpoint(path, FACTS, Recorder())


def test_a_folder_is_no_damaged_checkpoint(tmp_path):
    with pytest.raises(OSError, match="folder"):
        training_checkpoint(tmp_path, FACTS, Recorder())
