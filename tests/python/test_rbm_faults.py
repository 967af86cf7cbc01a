"""Wrong arguments, interrupted training, files: every row of the table says what was given, allowed, and what to do."""

import gzip
import os
import signal
import struct
import threading

import numpy as np
import plaq as pq
import pytest

KERNEL = pq.rbm.free_field_kernel(4, 1.0)
DATA = pq.rbm.free_field(4, 1.0, 50, rng=1)


def machine(**options):
    return pq.GaussianRBM(4, 3, **({"mu2": 9.0, "rng": 1} | options))


def fit(data=None, **options):
    return machine().fit(data, **({"epochs": 2, "progress": False, "rng": 1} | options))


def with_nan(array):
    array = np.array(array)
    array[0, 1] = np.nan
    return array


TABLE = {
    "data of wrong width": (lambda: fit(DATA[:, :3]), ValueError, r"shape \(50, 3\); it must be \(n, 4\)"),
    "data with NaN": (lambda: fit(with_nan(DATA)), ValueError, "NaN or infinite"),
    "no data": (lambda: fit(DATA[:0]), ValueError, "n at least 1"),
    "complex data": (lambda: fit(DATA + 0j), TypeError, "real numbers"),
    "integer images": (lambda: fit(np.full((5, 4), 255, np.uint8)), ValueError, "scale them, data / 255"),
    "images for binary units": (
        lambda: pq.BernoulliRBM(4, 2, rng=1).fit(DATA, epochs=1, rng=1),
        ValueError,
        "from 0.0 to 1.0",
    ),
    "spins out of range": (
        lambda: pq.BernoulliRBM(4, 2, visible="spin", rng=1).fit(3 * DATA, epochs=1, rng=1),
        ValueError,
        "-1.0 to 1.0",
    ),
    "correlation not symmetric": (
        lambda: fit(correlation=np.triu(np.ones((4, 4)))),
        ValueError,
        r"not symmetric.*\(A \+ A.T\)/2",
    ),
    "correlation not positive": (
        lambda: fit(correlation=np.diag([1, 1, 1, -1.0])),
        ValueError,
        "not positive semidefinite",
    ),
    "correlation of wrong size": (lambda: fit(correlation=np.eye(3)), ValueError, r"must be \(4, 4\)"),
    "correlation with NaN": (lambda: fit(correlation=with_nan(np.eye(4))), ValueError, "NaN"),
    "correlation smaller than its mean": (
        lambda: fit(correlation=np.eye(4), mean=[2.0, 0, 0, 0]),
        ValueError,
        "about zero",
    ),
    "singular kernel": (lambda: fit(kernel=np.diag([1, 1, 1, 0.0])), ValueError, "not positive definite.*correlation="),
    "two targets": (lambda: fit(DATA, kernel=KERNEL), ValueError, "exactly one of data, correlation and kernel"),
    "kernel as data": (lambda: fit(KERNEL), ValueError, "symmetric matrix; give it as correlation= or kernel="),
    "no target": (lambda: fit(), ValueError, "got none"),
    "mean without correlation": (lambda: fit(DATA, mean=np.ones(4)), ValueError, "goes with correlation"),
    "mu2 zero": (lambda: machine(mu2=0.0), ValueError, "must be positive"),
    "mu2 negative": (lambda: machine(mu2=-1.0), ValueError, "must be positive"),
    "mu2 of wrong length": (lambda: machine(mu2=[1.0, 2.0], mass="local"), ValueError, r"\(4,\)"),
    "global mass with many values": (lambda: machine(mu2=[1.0] * 4, mass="global"), ValueError, "one number"),
    "sigma2_h zero": (lambda: machine(sigma2_h=0.0), ValueError, "greater than 0"),
    "no hidden units": (lambda: pq.GaussianRBM(4, 0, mu2=9.0, rng=1), ValueError, "n_hidden = 0 leaves"),
    "no visible units": (lambda: pq.GaussianRBM(0, 4, mu2=9.0, rng=1), ValueError, "at least 1"),
    "half a hidden unit": (lambda: pq.GaussianRBM(4, 2.5, mu2=9.0, rng=1), TypeError, "is an int"),
    "weights too large": (
        lambda: machine(weight_scale=5.0),
        ValueError,
        r"must stay below mu2.*weight_scale below 0\.8",
    ),
    "weights of wrong shape": (lambda: setattr(machine(), "weights", np.ones((3, 4))), ValueError, r"\(4, 3\)"),
    "eta of wrong length": (lambda: machine(eta=[1.0]), ValueError, r"must be \(3,\)"),
    "unknown mass": (lambda: machine(mass="heavy"), ValueError, '"fixed", "global" or "local"'),
    "unknown dtype": (lambda: machine(dtype="int32"), ValueError, '"float64" or "float32"'),
    "no rng": (lambda: machine(rng=None), TypeError, "rng is needed"),
    "unknown method": (lambda: fit(DATA, method="sgd"), ValueError, '"exact", "em", "cd", "pcd"'),
    "CD without data": (lambda: fit(kernel=KERNEL, method="cd"), ValueError, "starts its chains at data"),
    "EM with a trained mass": (
        lambda: machine(mass="global").fit(DATA, method="em", epochs=1, rng=1),
        ValueError,
        "eta = 0 and one fixed mass",
    ),
    "negative rate": (lambda: fit(DATA, learning_rate=-0.1), ValueError, "greater than 0"),
    "rate NaN": (lambda: fit(DATA, learning_rate=float("nan")), ValueError, "learning_rate"),
    "momentum one": (lambda: fit(DATA, momentum=1.0), ValueError, "below 1"),
    "no Gibbs step": (lambda: fit(DATA, method="cd", k=0), ValueError, "k = 0"),
    "empty batch": (lambda: fit(DATA, method="cd", batch=0), ValueError, "batch = 0"),
    "negative epochs": (lambda: fit(DATA, epochs=-1), ValueError, "epochs = -1"),
    "closed form of a local mass": (
        lambda: machine(mu2=[1.0, 2, 3, 4], mass="local", weight_scale=0.01).optimum(np.eye(4)),
        ValueError,
        "one mass",
    ),
    "unknown sampler": (lambda: machine().sample(3, rng=1, method="magic"), ValueError, '"modes"'),
    "start of wrong length": (
        lambda: machine().sample(3, start=np.zeros((2, 4)), rng=1),
        ValueError,
        "2 rows for n = 3",
    ),
    "both layers Gaussian": (
        lambda: pq.BernoulliRBM(4, 2, visible="gaussian", hidden="gaussian", rng=1),
        ValueError,
        "GaussianRBM",
    ),
    "unknown units": (
        lambda: pq.BernoulliRBM(4, 2, visible="potts", rng=1),
        ValueError,
        '"bernoulli", "spin" or "gaussian"',
    ),
    "ln Z of many units": (lambda: pq.BernoulliRBM(20, 20, rng=1).log_partition(), ValueError, "at most 16"),
    "resume of nothing": (lambda: fit(DATA, resume=True), pq.CheckpointError, "nothing to resume"),
    "field without mass": (lambda: pq.rbm.free_field_kernel(4, 0.0), ValueError, "m2 = 0: it must be greater than 0"),
    "empty lattice": (lambda: pq.rbm.free_field_kernel((4, 0), 1.0), ValueError, "each at least 1"),
    "flow above the edge": (lambda: pq.rbm.flow(4.0, 9.0, 3.5, 1.0), ValueError, "xi0"),
    "unlearnt mode": (lambda: pq.rbm.FokkerPlanck(10.0, 9.0, 0.1), ValueError, "not learnt"),
    "Ising spin zero": (lambda: pq.ising.Wolff(0.4).step(np.zeros((4, 4)), rng=1), ValueError, "-1 and \\+1"),
    "Ising beta": (lambda: pq.ising.Wolff(float("nan")), ValueError, "beta = nan; it must be finite"),
    "Ising clusters": (lambda: pq.ising.Wolff(0.4, clusters=0), ValueError, "at least 1"),
    "Ising lattice": (lambda: pq.ising.sample((1, 4), 0.4, 2, rng=1), ValueError, "1 is outside of 2"),
    "Ising method": (
        lambda: pq.ising.sample((4, 4), 0.4, 2, method="swendsen", rng=1),
        ValueError,
        'unknown method "swendsen"; known: wolff, metropolis',
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_wrong_input_is_refused_with_words(name):
    call, error, text = TABLE[name]
    with pytest.raises(error, match=text):
        call()


def test_more_hidden_than_visible_units_are_redundant():
    with pytest.warns(UserWarning, match="redundant"):
        wide = pq.GaussianRBM(4, 6, mu2=9.0, rng=1)
    wide.fit(kernel=KERNEL, epochs=3000, learning_rate=0.1, record_every=3000, progress=False, rng=1)
    np.testing.assert_allclose(wide.spectrum(), np.linalg.eigvalsh(KERNEL), atol=1e-8)


def test_a_step_that_is_too_large_warns_and_fails_clearly():
    lone = machine()
    before = lone.weights.copy()
    with (
        pytest.warns(pq.rbm.StabilityWarning, match=r"past the stability bound 0\.125"),
        pytest.raises(pq.ConvergenceError, match=r"stop being positive.*safe=True") as caught,
    ):
        lone.fit(kernel=KERNEL, epochs=500, learning_rate=30.0, progress=False, rng=1)
    assert caught.value.history.records >= 1
    assert lone.spectrum()[0] > 0
    assert not np.array_equal(before, lone.weights)


def test_safe_steps_keep_the_kernel_and_count():
    lone = machine()
    with pytest.warns(pq.rbm.StabilityWarning):
        history = lone.fit(kernel=KERNEL, epochs=500, learning_rate=30.0, safe=True, progress=False, rng=1)
    assert np.all(history.eigenvalues > 0)
    assert history.backtracks[-1] > 0
    assert np.all(np.diff(history.backtracks) >= 0)


@pytest.mark.parametrize("method", ["cd", "pcd"])
def test_sampled_training_certifies_positivity_too(method):
    lone = machine()
    with pytest.warns(pq.rbm.StabilityWarning), pytest.raises(pq.ConvergenceError, match="stop being positive"):
        lone.fit(DATA, method=method, epochs=2000, learning_rate=20.0, progress=False, rng=1)
    assert lone.spectrum()[0] > 0
    with pytest.warns(pq.rbm.StabilityWarning):
        history = lone.fit(DATA, method=method, epochs=50, learning_rate=20.0, safe=True, progress=False, rng=1)
    assert np.all(history.eigenvalues > 0)


RUNS = {
    "exact": {"kernel": KERNEL, "method": "exact", "momentum": 0.5, "learning_rate": 0.05},
    "em": {"kernel": KERNEL, "method": "em"},
    "cd": {"data": DATA, "method": "cd", "batch": 7, "momentum": 0.5, "learning_rate": 0.02},
    "pcd": {"data": DATA, "method": "pcd", "k": 2, "batch": 7, "chains": 100, "learning_rate": 0.02, "decay": 0.9},
    "pcd on a kernel": {"kernel": KERNEL, "method": "pcd", "momentum": 0.3, "train_eta": True, "learning_rate": 0.02},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RUNS)
def test_resumed_training_has_the_same_bits(name, dtype, tmp_path):
    options = {"progress": False, "rng": 5} | RUNS[name]
    whole, half = machine(dtype=dtype), machine(dtype=dtype)
    whole.fit(epochs=20, **options)
    half.fit(epochs=9, **options)
    half.save(tmp_path / "half.npz")
    loaded = pq.GaussianRBM.load(tmp_path / "half.npz")
    assert loaded.dtype == half.dtype
    assert np.array_equal(loaded.weights, half.weights)
    for part in (half, loaded):
        history = part.fit(epochs=20, **(options | {"resume": True}))
        assert history.epoch[0] == 9
        assert history.epoch[-1] == 20
        assert np.array_equal(part.weights, whole.weights)
        assert np.array_equal(part.eta, whole.eta)


def test_resume_refuses_other_settings_targets_and_weights():
    lone = machine()
    lone.fit(kernel=KERNEL, epochs=3, learning_rate=0.05, progress=False, rng=5)
    again = {"epochs": 5, "learning_rate": 0.05, "progress": False, "resume": True}
    with pytest.raises(pq.CheckpointError, match=r"learning_rate = 0.06, was 0.05"):
        lone.fit(kernel=KERNEL, **(again | {"learning_rate": 0.06}))
    with pytest.raises(pq.CheckpointError, match="the target"):
        lone.fit(kernel=2 * KERNEL, **again)
    lone.weights = lone.weights * 0.5
    with pytest.raises(pq.CheckpointError, match="weights were changed"):
        lone.fit(kernel=KERNEL, **again)


def test_binary_training_resumes_to_the_same_bits(tmp_path):
    data = (DATA > 0).astype(float)
    options = {"method": "pcd", "batch": 8, "progress": False, "rng": 3}
    whole, half = (pq.BernoulliRBM(4, 3, rng=1) for _ in range(2))
    whole.fit(data, epochs=12, **options)
    half.fit(data, epochs=5, **options)
    half.save(tmp_path / "half.npz")
    half = pq.BernoulliRBM.load(tmp_path / "half.npz")
    half.fit(data, epochs=12, resume=True, **options)
    assert np.array_equal(half.weights, whole.weights)
    assert np.array_equal(half.visible_bias, whole.visible_bias)


@pytest.mark.machine
def test_ctrl_c_returns_the_history_and_resumes_to_the_same_bits():
    options = {"method": "pcd", "k": 3, "learning_rate": 1e-4, "record_every": 50, "progress": False, "rng": 5}
    lone, whole = machine(), machine()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    history = lone.fit(kernel=KERNEL, epochs=10_000_000, **options)
    assert history.interrupted
    done = int(history.epoch[-1])
    assert 0 < done < 10_000_000
    assert history.records > 2
    lone.fit(kernel=KERNEL, epochs=done + 120, resume=True, **options)
    whole.fit(kernel=KERNEL, epochs=done + 120, **options)
    assert np.array_equal(lone.weights, whole.weights)


def test_results_do_not_depend_on_threads(tmp_path):
    import subprocess
    import sys

    script = (
        "import plaq as pq, sys; d = pq.rbm.free_field((8, 10), 1.0, 300, rng=1);"
        "m = pq.GaussianRBM(80, 80, mu2=30.0, weight_scale=0.05, dtype='float32', rng=1);"
        "m.fit(d, method='pcd', k=2, batch=150, chains=300, epochs=3, learning_rate=0.01, progress=False, rng=2);"
        "m.fit(d, method='exact', epochs=3, learning_rate=0.01, progress=False, rng=2);"
        "sys.stdout.buffer.write(m.weights.tobytes() + m.sample(300, steps=5, rng=3).tobytes())"
    )
    outputs = []
    for threads in ("1", "2"):
        env = os.environ | {"RAYON_NUM_THREADS": threads}
        outputs.append(subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True).stdout)
    assert len(outputs[0]) > 80 * 80 * 4
    assert outputs[0] == outputs[1]


def test_damaged_machine_files(tmp_path):
    path = tmp_path / "machine.npz"
    machine().save(path)
    content = path.read_bytes()
    with pytest.raises(pq.FormatError, match=r"use GaussianRBM\.load"):
        pq.BernoulliRBM.load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(pq.FormatError, match="damaged"):
        pq.GaussianRBM.load(path)


def idx(images):
    return b"\0\0\x08" + bytes([images.ndim]) + struct.pack(f">{images.ndim}I", *images.shape) + images.tobytes()


def test_mnist_files(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10
    path = tmp_path / "images"
    for content in (idx(images), gzip.compress(idx(images))):
        path.write_bytes(content)
        np.testing.assert_array_equal(pq.datasets.mnist(path), images.reshape(2, 12) / 255)
    np.savez(tmp_path / "m.npz", x_train=images, y_train=np.zeros(2, int))
    np.testing.assert_array_equal(pq.datasets.mnist(tmp_path / "m.npz"), images.reshape(2, 12) / 255)
    np.testing.assert_array_equal(pq.datasets.mnist(tmp_path / "m.npz", key="x_train"), images.reshape(2, 12) / 255)


GOOD = idx(np.zeros((2, 3, 4), np.uint8))
BROKEN = {
    "empty": (b"", "magic number"),
    "text": (b"hello world", "magic number"),
    "truncated pixels": (GOOD[:-1], "truncated: 39 bytes where .* needs 40"),
    "truncated header": (GOOD[:9], "cut off"),
    "trailing bytes": (GOOD + b"\0", "longer than it says"),
    "floats": (b"\0\0\x0d" + GOOD[3:], "data type 0x0d"),
    "labels": (idx(np.zeros(5, np.uint8)), "not of labels"),
    "no dimensions": (b"\0\0\x08\0", "cut off"),
    "truncated gzip": (gzip.compress(GOOD)[:-9], "gzip stream"),
    "damaged npz": (b"PK\3\4 and then nothing", "damaged npz"),
    "huge header": (b"\0\0\x08\x03" + b"\xff" * 12, "truncated"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_image_files(name, tmp_path):
    content, text = BROKEN[name]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(pq.FormatError, match=text):
        pq.datasets.mnist(path)


def test_npz_without_images(tmp_path):
    np.savez(tmp_path / "a.npz", first=np.zeros(3), second=np.zeros(3))
    with pytest.raises(pq.FormatError, match="key="):
        pq.datasets.mnist(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=np.full((2, 2, 2), 300))
    with pytest.raises(pq.FormatError, match="0 to 255"):
        pq.datasets.mnist(tmp_path / "b.npz")


def test_binary_machines_speak_of_themselves():
    binary = pq.BernoulliRBM(4, 3, visible="spin", hidden="gaussian", rng=1)
    with pytest.raises(pq.ConvergenceError, match="smaller learning_rate") as caught:
        binary.fit(np.sign(DATA), epochs=200, learning_rate=1e300, progress=False, rng=1)
    assert not any(word in str(caught.value) for word in ("K =", "safe", "em"))
    for name in ("visible_bias", "hidden_bias"):
        machine = pq.BernoulliRBM(4, 3, rng=1)
        getattr(machine, name)[1] = np.nan
        with pytest.raises(ValueError, match=f"{name} has entries that are NaN"):
            machine.sample(2, rng=1)


def test_images_as_whole_floats_are_refused_like_integers():
    images = np.random.default_rng(1).integers(0, 17, (20, 4)).astype(float)
    images[0] = 0, 16, 0, 16
    with pytest.raises(ValueError, match=r"data / 16"):
        fit(images, method="pcd")
    fit(images / 16, method="pcd")


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_theory_needs_a_positive_mass(bad):
    theory = [
        lambda: pq.rbm.gibbs_coefficient(1.0, bad),
        lambda: pq.rbm.gibbs_tau(1.0, bad),
        lambda: pq.rbm.overrelaxation(1.0, bad),
        lambda: pq.rbm.cd_factor(1.0, bad, 1),
        lambda: pq.rbm.fixed_points([1.0], bad),
        lambda: pq.rbm.stability_bound(1.0, bad),
        lambda: pq.rbm.relaxation_rate(1.0, bad),
        lambda: pq.rbm.two_node_flow([0.0, 1.0], 1.2, 0.1, (1.0, 4.0), bad),
    ]
    for function in theory:
        with pytest.raises(ValueError, match="mu2"):
            function()
