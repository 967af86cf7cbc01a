"""Convolutional networks: plain numpy, symmetries, published sizes, training to the same bits, faults."""

import copy
import dataclasses
import itertools
import math
import pickle

import numpy as np
import plaq as pq
import pytest
from plaq.nn import (
    GELU,
    Arctan,
    AvgPool,
    BinaryCrossEntropy,
    Conv,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    GlobalSumPool,
    GroupConv,
    Huber,
    LeakyReLU,
    Linear,
    MaxPool,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SumPool,
    Swish,
    Tanh,
)

EXACT = {"float64": 1e-12, "float32": 2e-5}
FUNCTIONS = {
    LeakyReLU(0.1): lambda x: np.where(x > 0, x, 0.1 * x),
    ReLU(): lambda x: np.maximum(x, 0),
    Tanh(): np.tanh,
    Sigmoid(): lambda x: 1 / (1 + np.exp(-x)),
    GELU(): lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    Swish(): lambda x: x / (1 + np.exp(-x)),
    Arctan(): np.arctan,
}


def fluxes(shape, count=6, seed=1):
    return np.random.default_rng(seed).integers(-2, 3, size=(count, 4, *shape))


def convolved(x, weight, bias, stride, dilation):
    """The formula with np.roll, for any number of dimensions."""
    size = weight.shape[2:]
    y = np.zeros((x.shape[0], weight.shape[0], *x.shape[2:])) + bias.reshape(1, -1, *[1] * len(size))
    for tap in itertools.product(*map(range, size)):
        move = [d * (k - 1) // 2 - d * t for d, k, t in zip(dilation, size, tap, strict=True)]
        moved = np.roll(x, move, axis=tuple(range(2, x.ndim)))
        y += np.einsum("oi,ni...->no...", weight[(slice(None), slice(None), *tap)], moved)
    return y[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(
    ("extents", "size", "stride", "dilation"),
    [
        ((7,), 3, 1, 2),
        ((5,), (8,), 2, 1),
        ((6, 4), 2, 1, 1),
        ((5, 4), (3, 1), (2, 1), (1, 3)),
        ((3, 4, 2), (2, 3, 1), 1, 2),
        ((2, 3, 2, 4), 2, (1, 2, 1, 1), 1),
    ],
)
@pytest.mark.parametrize("channels", [(3, 2), (5, 20)])
def test_convolutions_are_those_of_numpy(dtype, extents, size, stride, dilation, channels):
    ndim, (c_in, c_out) = len(extents), channels
    net = Sequential([Conv(size, c_in, c_out, stride=stride, dilation=dilation)], ndim=ndim, dtype=dtype, rng=1)
    weight, bias = net.named_parameters().values()
    each = lambda value: (value,) * ndim if isinstance(value, int) else value  # noqa: E731
    x = np.random.default_rng(2).normal(size=(20, c_in, *extents))
    expected = convolved(x, weight, bias, each(stride), each(dilation))
    for count in (1, 3, 20):  # lanes are channels or samples
        assert np.abs(net(x[:count]) - expected[:count]).max() < EXACT[dtype] * 10


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("function", FUNCTIONS, ids=repr)
def test_activations_are_those_of_numpy(dtype, function):
    x = np.concatenate([np.linspace(-12, 12, 481), [0.0, 1e-8, -1e-8, 300.0, -300.0]]).reshape(1, 1, -1)
    y = Sequential([function], ndim=1, dtype=dtype)(x)
    with np.errstate(over="ignore"):
        expected = FUNCTIONS[function](x)
    assert np.abs(y - expected).max() < EXACT[dtype] * 20


@pytest.mark.parametrize("dtype", EXACT)
def test_pools_are_those_of_numpy(dtype):
    x = np.random.default_rng(1).normal(size=(20, 3, 6, 5))
    blocks = x[:, :, :, :4].reshape(20, 3, 3, 2, 2, 2)
    over = {AvgPool: blocks.mean((3, 5)), MaxPool: blocks.max((3, 5)), SumPool: blocks.sum((3, 5))}
    every = {GlobalAvgPool: x.mean((2, 3)), GlobalMaxPool: x.max((2, 3)), GlobalSumPool: x.sum((2, 3))}
    cases = [(kind(2), value) for kind, value in over.items()] + [(kind(), value) for kind, value in every.items()]
    cases += [
        (Flatten(), x.reshape(20, -1)),
        (MaxPool((3, 1), 1), np.maximum(np.maximum(x[:, :, :-2], x[:, :, 1:-1]), x[:, :, 2:])),
    ]
    for layer, expected in cases:
        net = Sequential([layer], dtype=dtype)
        for count in (1, 20):
            assert np.abs(net(x[:count]) - expected[:count]).max() < EXACT[dtype] * 10, layer
    weights = Sequential([Flatten(), Linear(90, 4)], dtype=dtype, rng=1)
    weight, bias = weights.named_parameters().values()
    assert np.abs(weights(x) - (x.reshape(20, -1) @ weight.T + bias)).max() < EXACT[dtype] * 10
    net = Sequential([Residual([Conv(2, 3, 3), Tanh()])], dtype=dtype, rng=1)
    assert np.allclose(net(x), x + Sequential([Conv(2, 3, 3), Tanh()], dtype=dtype, rng=1)(x), atol=EXACT[dtype])


def test_losses_are_those_of_numpy():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(10, 3, 4)), rng.uniform(size=(10, 3))
    net = Sequential([GlobalAvgPool(), Sigmoid()], ndim=1)
    p = net(x)
    d = np.abs(p - y)
    expected = {
        "mse": np.mean(d**2),
        "bce": np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p)),
        Huber(0.2): np.mean(np.where(d < 0.2, d**2 / 2, 0.2 * (d - 0.1))),
    }
    for loss, value in expected.items():
        assert abs(net.loss(x, y, loss=loss) - value) < 1e-14


def everything():
    return Sequential(
        [
            *[Conv(2, 4, 9), LeakyReLU(), AvgPool(2), Residual([GELU(), Conv((1, 2), 9, 9, False), Arctan()])],
            *[Conv(1, 9, 5), Swish(), MaxPool((2, 1)), Flatten(), Linear(15, 3), Tanh()],
        ],
        rng=1,
    )


@pytest.mark.parametrize("count", [1, 20])
def test_pullback_is_the_derivative(count):
    net, rng = everything(), np.random.default_rng(3)
    x, v, w = rng.normal(size=(count, 4, 4, 6)), rng.normal(size=(count, 4, 4, 6)), rng.normal(size=net.n_parameters)
    above, theta, h = rng.normal(size=(count, 3)), net.parameters, 1e-5
    dx, dtheta = net.pullback(x, above)
    difference = (net.apply(theta + h * w, x + h * v) - net.apply(theta - h * w, x - h * v)) / (2 * h)
    assert np.isclose(np.sum(above * difference), np.sum(dx * v) + dtheta @ w, rtol=1e-7)
    one, sum_of_all = net.pullback(x[0], above[0])[0], sum(net.pullback(s, a)[1] for s, a in zip(x, above, strict=True))
    assert np.allclose(one, dx[0], atol=1e-13)
    assert np.allclose(dtheta, sum_of_all, atol=1e-12)


COUNTS = {
    **{"task1/EQ": 33202, "task1/ST": 26370, "task1/FL": 47394, "task2/EQ": 2657, "task2/ST": 953, "task2/FL": 5600},
    **{"task3/EQ1": 1800, "task3/EQ2": 456, "task3/EQ3": 308, "task3/ST1": 2336, "task3/ST2": 132, "task3/ST3": 1184},
    **{"task3/FL1": 640, "task3/FL2": 640, "task3/FL3": 2704},
}


def test_published_numbers_of_parameters():
    assert {name: net.n_parameters for name, net in pq.nn.zoo.items()} == COUNTS


def lattice_of(name):
    return (60, 4) if name.startswith("task1") else (8, 8)


@pytest.mark.parametrize("name", COUNTS)
def test_who_is_invariant_under_which_translations(name):
    """EQ under all, ST under even ones only, FL under none (the outputs of FL move by more than rounding)."""
    net, shape = pq.nn.zoo[name], lattice_of(name)
    x = fluxes(shape, 3)
    y = net(x)
    scale = np.abs(y).max()
    moved = lambda s: np.abs(net(np.roll(x, s, axis=(2, 3))) - y).max() / scale  # noqa: E731
    shifts = list(itertools.product(range(0, shape[0], 7 if shape[0] > 8 else 1), range(shape[1])))
    even = [s for s in [*shifts, (2, 0), (4, 2)] if s[0] % 2 == s[1] % 2 == 0]
    odd = [s for s in shifts if s[0] % 2 or s[1] % 2]
    if "EQ" in name:
        assert max(moved(s) for s in [*even, *odd]) < 1e-12
    elif "ST" in name:
        assert max(moved(s) for s in even) < 1e-12
        assert max(moved(s) for s in odd) > 1e-9
    else:  # along x_1 the two pools of task 1 leave one site
        assert min(moved(s) for s in [*even, *odd] if s[0] % shape[0]) > 1e-9


@pytest.mark.parametrize("name", [name for name in COUNTS if "FL" not in name])
def test_tilings(name):
    """Four copies of a configuration: the same where the last pool is a mean or a maximum, four times a sum."""
    net, x = pq.nn.zoo[name], fluxes((8, 8), 3)
    factor = 1
    if name.startswith("task3"):  # without biases everything behind the sum is linear up to positive factors
        factor = 4
    tiled = np.tile(x, (1, 1, 2, 2))
    assert np.allclose(net(tiled), factor * net(x), rtol=1e-12, atol=1e-12)


def test_flattening_knows_one_lattice():
    with pytest.raises(ValueError, match=r"layer 13, Linear\(360, 24\): it takes 360 numbers, but 384 numbers come in"):
        pq.nn.zoo["task1/FL"](fluxes((64, 4)))


def test_density_is_exactly_linear():
    """n, the mean of k_2, is a 1x1 convolution with a global mean."""
    x = fluxes((8, 8))
    net = Sequential([Conv(1, 4, 1, bias=False), GlobalAvgPool()])
    net.parameters = [0.0, 1.0, 0.0, 0.0]
    assert np.abs(net(x)[:, 0] - x[:, 1].mean((1, 2))).max() < 1e-14


def oracle_of_violations(pool):
    """div k by one 2x2 convolution, its absolute value by two ReLUs, then a pool."""
    net = Sequential([Conv(2, 4, 2, bias=False), ReLU(), Conv(1, 2, 1, bias=False), pool])
    weight = np.zeros((2, 4, 2, 2))
    # The window starts at x: div k at x + (1, 1) is k_1(1, 1) - k_1(0, 1) + k_2(1, 1) - k_2(1, 0).
    weight[0, 0, 1, 1] = weight[0, 1, 1, 1] = 1
    weight[0, 0, 0, 1] = weight[0, 1, 1, 0] = -1
    weight[1] = -weight[0]
    net.parameters = [*weight.ravel(), 1.0, 1.0]
    return net


def test_oracles_of_violations_are_exact():
    """Closed loops have none; a path of n links leaves a source and a sink."""
    k = np.zeros((3, 2, 8, 8))
    k[:, 1] = 1  # winds around time: conserved
    k[1, 0, 2, 3] += 1  # one link: open
    k[2, 0, 2:5, 3] += 1  # three links in a row: open at the ends
    k[2, 1, 6, 2] -= 1
    x = np.concatenate([k, np.ones_like(k)], axis=1)
    divergence = sum(k[:, mu] - np.roll(k[:, mu], 1, axis=1 + mu) for mu in range(2))
    violations = np.abs(divergence).sum((1, 2))
    assert violations.tolist() == [0, 2, 4]
    assert oracle_of_violations(GlobalMaxPool())(x)[:, 0].tolist() == [0, 1, 1]
    assert (oracle_of_violations(GlobalSumPool())(x)[:, 0] / 2).tolist() == [0, 1, 2]


def regression(count=60):
    x = fluxes((6, 4), count)
    return x, np.stack([x[:, 1].mean((1, 2)), np.abs(x).mean((1, 2, 3))], axis=1)


def small(dtype="float64", seed=1):
    layers = [Conv(1, 4, 8), LeakyReLU(), Conv(2, 8, 8), LeakyReLU(), GlobalAvgPool(), Linear(8, 2)]
    return Sequential(layers, dtype=dtype, rng=seed)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_training_learns(dtype, loss):
    x, y = regression(200)
    net = small(dtype)
    before = net.loss(x, y, loss=loss)
    rule = pq.optimizers.AMSGrad(5e-3)
    history = net.fit(x, y, loss=loss, optimizer=rule, epochs=80, batch=20, validation=0.2, rng=1, progress=False)
    assert net.loss(x, y, loss=loss) < 0.05 * before
    assert history.kept is not None
    assert np.isclose(net.loss(x[160:], y[160:], loss=loss), history.validation.min(), rtol=1e-12)


def test_classification_learns():
    x = fluxes((4, 4), 200)
    y = (x[:, 1].mean((1, 2)) > 0).astype(float)
    net = Sequential([Conv(1, 4, 4), LeakyReLU(), GlobalAvgPool(), Linear(4, 1), Sigmoid()], rng=1)
    rule = pq.optimizers.Adam(0.02)
    net.fit(x, y, loss=BinaryCrossEntropy(), optimizer=rule, epochs=150, batch=20, rng=1, progress=False)
    assert np.mean((net(x)[:, 0] > 0.5) == y) > 0.97


@pytest.fixture
def threads():
    before = pq.num_threads()
    yield
    pq.set_num_threads(before)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(
    "make", [small, lambda dtype: pq.nn.zoo.build("task1/EQ", dtype=dtype)], ids=["small", "large"]
)
def test_bits_do_not_depend_on_threads(threads, dtype, make):
    x, y = regression(45)
    results = []
    for count in (1, 2):
        pq.set_num_threads(count)
        net = make(dtype)
        net.fit(x, y, epochs=2, batch=19, rng=1, progress=False)
        results.append((net.parameters, net(x)))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("batch", [16, None])
@pytest.mark.parametrize("translations", [False, True])
def test_training_resumes_to_the_same_bits(tmp_path, batch, translations):
    x, y = regression()
    options = {"batch": batch, "translations": translations, "rng": 3, "progress": False}
    whole, parts = small(), small()
    history = whole.fit(x, y, epochs=6, **options)
    parts.fit(x, y, epochs=2, checkpoint=tmp_path / "net.npz", **options)
    resumed = small(seed=9)
    again = resumed.fit(x, y, epochs=6, checkpoint=tmp_path / "net.npz", **options)
    assert np.array_equal(whole.parameters, resumed.parameters)
    assert np.array_equal(history.loss, again.loss)
    with pytest.raises(pq.CheckpointError, match="loss"):
        small().fit(x, y, loss="huber", epochs=6, checkpoint=tmp_path / "net.npz", **options)


def test_translations_change_what_is_not_equivariant_only():
    x, y = regression()
    moved = lambda net, move: net.fit(x, y, epochs=2, batch=20, translations=move, rng=1, progress=False)  # noqa: E731
    equal = moved(small(), True).loss, moved(small(), False).loss
    assert np.allclose(*equal, rtol=1e-12)
    flat = lambda: Sequential([Flatten(), Linear(96, 2)], rng=1)  # noqa: E731
    assert not np.allclose(moved(flat(), True).loss, moved(flat(), False).loss, rtol=1e-3)


@pytest.mark.parametrize("dtype", EXACT)
def test_files_pickles_and_copies(tmp_path, dtype):
    net = everything() if dtype == "float64" else small(dtype)
    x = fluxes((4, 6))
    net.save(tmp_path / "net.safetensors")
    others = [Sequential.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
    for other in others:
        assert np.array_equal(net(x), other(x))
        assert repr(net) == repr(other)
    fresh = Sequential(net.layers, dtype=dtype, rng=5)
    fresh.load_parameters(tmp_path / "net.safetensors")
    assert np.array_equal(fresh.parameters, net.parameters)
    other = Sequential([dataclasses.replace(net.layers[0], size=3), *net.layers[1:]], dtype=dtype)
    with pytest.raises(ValueError, match=r"layer 0 is Conv\(size="):
        other.load_parameters(tmp_path / "net.safetensors")
    lcnn = pq.LCNN([pq.lcnn.Loops(), pq.lcnn.Trace()], ndim=2, group="SU(2)", rng=1)
    lcnn.save(tmp_path / "other.safetensors")
    with pytest.raises(pq.FormatError, match="holds no network"):
        Sequential.load(tmp_path / "other.safetensors")


X, Y = regression(10)
FAULTS = {
    "layers": (lambda: Sequential([]), TypeError, "at least 1"),
    "no layer": (lambda: Sequential([Conv(1, 4, 2), "relu"]), TypeError, "layers of plaq.nn"),
    "channels of layers": (
        lambda: Sequential([Conv(1, 2, 4), ReLU(), Residual([Conv(3, 4, 5), Tanh(), Conv(3, 4, 4)])]),
        ValueError,
        r"layer 2\.2, Conv\(size=3, c_in=4.*takes 4 channels, but layer 2\.0, .* gives 5",
    ),
    "channels behind a pool": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"scalar": 2}), GlobalAvgPool(), Linear(8, 1)]),
        ValueError,
        "layer 2, Linear.*takes 8 channels, but layer 0, .*gives 2",
    ),
    "dtype": (lambda: Sequential([Tanh()], dtype="float"), ValueError, 'did you mean "float'),
    "ndim": (lambda: Sequential([Tanh()], ndim=5), ValueError, "1 to 4"),
    "size for ndim": (lambda: Sequential([Conv((2, 2), 4, 2)], ndim=3), ValueError, r"layer 0, Conv\(2, 4, 2\).*3 dim"),
    "channels 0": (lambda: Conv(1, 0, 2), ValueError, "c_in = 0"),
    "size text": (lambda: Conv("2", 4, 2), TypeError, "Conv: size"),
    "stride 0": (lambda: Conv(1, 4, 2, stride=0), ValueError, "Conv: stride"),
    "slope": (lambda: LeakyReLU(math.nan), ValueError, "LeakyReLU: slope"),
    "delta": (lambda: Huber(0.0), ValueError, "Huber: delta"),
    "channels": (lambda: small()(X[:, :3]), ValueError, r"layer 0, Conv\(1, 4, 8\): it takes 4 channels, but 3 chan"),
    "lattice": (lambda: pq.nn.zoo["task2/FL"](fluxes((16, 16))), ValueError, r"Linear\(128, 1\): it takes 128 numbers"),
    "dimensions": (lambda: small()(X[0, 0]), ValueError, r"\(samples, channels, x_0, x_1\)"),
    "no samples": (lambda: small()(X[:0]), ValueError, "none of them 0"),
    "pool": (lambda: Sequential([MaxPool(5)])(X), ValueError, r"layer 0, MaxPool\(5\): windows of \[5, 5\] do not fit"),
    "linear": (lambda: Sequential([Linear(4, 2)])(X), ValueError, "put Flatten or a global pool before it"),
    "nan": (lambda: small()(np.where(X == 2, math.nan, X)), ValueError, "NaN"),
    "complex": (lambda: small()(1j * X), TypeError, "complex"),
    "parameters": (lambda: setattr(small(), "parameters", [1.0]), ValueError, "numbers are needed"),
    "cotangent": (lambda: small().pullback(X, Y[:3]), ValueError, "cotangent has shape"),
    "targets": (lambda: small().fit(X, Y[:, :1], rng=1), ValueError, r"the outputs for these samples have \(10, 2\)"),
    "target nan": (lambda: small().fit(X, Y * math.nan, rng=1), ValueError, "y holds NaN"),
    "labels": (lambda: small().fit(X, 3 * Y + 2, loss="bce", rng=1), ValueError, "from 0 to 1"),
    "no sigmoid": (lambda: small().fit(X, abs(Y) / 2, loss="bce", batch=None), ValueError, r"end.*with Sigmoid\(\)"),
    "loss name": (lambda: small().fit(X, Y, loss="mae", rng=1), ValueError, "unknown loss"),
    "no loss": (lambda: small().fit(X, Y, loss=3, rng=1), TypeError, "loss is MSE"),
    "empty validation": (lambda: small().fit(X, Y, validation=(X[:0], Y[:0]), rng=1), ValueError, "x of validation"),
    "validation": (lambda: small().fit(X, Y, validation=1.5, rng=1), ValueError, "between 0 and 1"),
    "rng": (lambda: small().fit(X, Y, batch=3), TypeError, "rng is missing"),
    "rng moved": (lambda: small().fit(X, Y, batch=None, translations=True), TypeError, "rng is missing"),
    "sample axis": (lambda: small().fit(X[0], Y[0], rng=1), ValueError, "an axis of samples is missing"),
    "diverges": (
        lambda: small().fit(X, Y, optimizer=pq.optimizers.SGD(1e6), epochs=50, batch=None, progress=False),
        ValueError,
        "lower the learning rate",
    ),
    "no file": (lambda: Sequential.load("missing"), FileNotFoundError, "missing"),
    "zoo": (lambda: pq.nn.zoo["task1/EW"], KeyError, 'did you mean "task1/EQ"'),
    "zoo build": (lambda: pq.nn.zoo.build("EQ"), ValueError, "unknown network"),
    "torch": (lambda: pq.nn.to_torch(3), TypeError, "Sequential of plaq.nn"),
}


@pytest.mark.parametrize(("call", "error", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_diverging_training_leaves_the_best_parameters():
    net, (x, y) = small(), regression()
    before = net.loss(x, y)
    with pytest.raises(ValueError, match="lower the learning rate") as caught:
        net.fit(x, y, optimizer=pq.optimizers.SGD(1e4), epochs=200, batch=None, progress=False)
    assert caught.value.history.records >= 0
    assert net.loss(x, y) <= before


def test_the_same_network_in_torch_and_back():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = fluxes((4, 6)).astype(float)
    strided = Sequential([Conv(2, 4, 3, stride=2, dilation=2), SumPool(2), GlobalSumPool()], rng=2)
    flux = GroupConv(3, {"vector": 1, "bond": 1}, {"regular": 2})
    mirrored = Sequential([flux, LeakyReLU(), GroupConv(3, {"regular": 2}, {"scalar": 2, "vector": 1})], rng=3)
    pooled = Sequential([Conv(3, 4, 2), GlobalMaxPool()], rng=1)
    for net in [everything(), small(), small("float32"), strided, pooled, mirrored]:
        module = pq.nn.to_torch(net)
        y = module(torch.from_numpy(x).to(getattr(torch, net.dtype))).detach().numpy()
        assert np.abs(y - net(x)).max() < EXACT[net.dtype]
        back = pq.nn.from_torch(module)
        assert back.layers == net.layers
        assert np.allclose(back(x), net(x), atol=EXACT[net.dtype])
    with pytest.raises(ValueError, match="has no layer"):
        pq.nn.from_torch(torch.nn.Sequential(torch.nn.BatchNorm2d(4)))


# Point groups.

GROUPS = [
    ("full", 2, None),
    ("rotations", 2, None),
    ("reflections", 2, None),
    ("full", 3, (1, 2)),
    ("full", 3, None),
    ("full", 1, None),
]
KINDS = ["scalar", "vector", "bond", "regular"]


def signed_permutations(group: str, ndim: int, acted: tuple[int, ...]) -> list[np.ndarray]:
    """The matrices of the group, the identity first."""
    found = []
    for order in itertools.permutations(acted) if group != "reflections" else [acted]:
        for signs in itertools.product([1, -1], repeat=len(acted)):
            g = np.eye(ndim, dtype=int)
            g[list(acted)] = 0
            for mu, nu, sign in zip(acted, order, signs[::-1], strict=True):
                g[nu, mu] = sign
            if group != "rotations" or round(np.linalg.det(g)) == 1:
                found.append(g)
    return found


def moved(x, g, kind, elements):
    """A field ``x[component, x_0, ..]`` after g, by its definition: where each site and component goes."""
    sites = np.indices(x.shape[1:]).reshape(len(g), -1)
    y = np.full_like(x, np.nan)
    for a in range(len(x)):
        to, component, sign = g @ sites, a, 1
        if kind in ("vector", "bond"):
            turned = g[:, a]
            component = int(np.abs(turned).argmax())
            if turned[component] < 0:  # the link from x to x + a becomes one that ends at g x
                to, sign = to + turned[:, None], -1 if kind == "vector" else 1
        if kind == "regular":
            component = next(n for n, h in enumerate(elements) if np.array_equal(h, g @ elements[a]))
        y[(component, *(to % np.array(x.shape[1:])[:, None]))] = sign * x[a].ravel()
    return y


@pytest.mark.parametrize(("group", "ndim", "directions"), GROUPS)
def test_group_convolutions_commute_with_the_group(group, ndim, directions):
    acted = tuple(range(ndim)) if directions is None else directions
    elements = signed_permutations(group, ndim, acted)
    rng = np.random.default_rng(1)
    for inputs, outputs in itertools.product(KINDS, KINDS):
        if len(elements) > 8 and inputs == outputs == "regular":
            continue
        layer = GroupConv(3, {inputs: 1}, {outputs: 1}, group=group, directions=directions)
        net = Sequential([layer], ndim=ndim, rng=2)
        c_in, c_out = layer.channels(ndim)
        x = rng.normal(size=(c_in, *[4] * ndim))
        y = net(x)
        assert y.shape == (c_out, *x.shape[1:])
        assert np.abs(y).min() > 0
        # A network without any symmetry would fail for all but the identity.
        for g in elements:
            order = elements if "regular" in (inputs, outputs) else []
            assert np.allclose(net(moved(x, g, inputs, order)), moved(y, g, outputs, order), atol=1e-12), (
                inputs,
                outputs,
                g,
            )


def test_group_convolutions_have_all_weights_that_commute():
    """Numbers of parameters from the trace of the projector on equivariant weights, (1/|G|) sum of characters."""
    for group, ndim, directions in GROUPS:
        acted = tuple(range(ndim)) if directions is None else directions
        elements = signed_permutations(group, ndim, acted)
        window = [np.array(t) - 1 for t in np.ndindex(*[3] * ndim)]
        for inputs, outputs in itertools.product(KINDS[:3], KINDS[:3]):
            layer = GroupConv(3, {inputs: 1}, {outputs: 1}, bias=False, group=group, directions=directions)
            n_in, n_out = layer.channels(ndim)
            # Twice the places of links; a weight is at home if all its images are in the window.
            half = [np.zeros(ndim, int), *np.eye(ndim, dtype=int)]
            home = {}
            for a, b, t in itertools.product(range(n_out), range(n_in), range(len(window))):
                home[a, b, t] = (
                    2 * window[t] + half[(b + 1) * (inputs != "scalar")] - half[(a + 1) * (outputs != "scalar")]
                )
            names = {(a, b, tuple(apart)): (a, b, t) for (a, b, t), apart in home.items()}

            def image(g, key, *, home=home, names=names, kinds=(outputs, inputs)):
                sign, new = 1, []
                for component, kind in zip(key[:2], kinds, strict=True):
                    turned = g[:, component] if kind != "scalar" else np.array([1])
                    new.append(int(np.abs(turned).argmax()))
                    sign *= turned[new[-1]] if kind == "vector" else 1
                return names.get((*new, tuple(g @ home[key]))), sign

            inside = [key for key in home if all(image(g, key)[0] is not None for g in elements)]
            trace = sum(sign for g in elements for key in inside for to, sign in [image(g, key)] if to == key)
            assert Sequential([layer], ndim=ndim).n_parameters == trace / len(elements)
    # The group acts freely on the elements of itself: no weight of hidden layers is lost.
    hidden = GroupConv(3, {"regular": 2}, {"regular": 3}, bias=False)
    assert Sequential([hidden]).n_parameters == 2 * 3 * 8 * 9


def test_a_configuration_of_the_worm_is_a_sample():
    worm = pq.Worm((4, 6), eta=4.01, lam=1.0, mu=1.2)
    field = worm.run(pq.flux.FluxField.cold((4, 6)), 20, rng=1, progress=False).state
    assert np.array_equal(np.asarray(field), np.concatenate([field.k, field.l]))
    net = small()
    assert np.array_equal(net(field), net(np.concatenate([field.k, field.l])))


def test_divergence_is_a_group_convolution():
    """From fluxes to scalars on the nearest links there is one weight: the violation of flux conservation."""
    net = Sequential([GroupConv(3, {"vector": 1}, {"scalar": 1}, bias=False)])
    k = np.random.default_rng(1).integers(-2, 3, size=(2, 6, 5))
    divergence = sum(k[mu] - np.roll(k[mu], 1, axis=mu) for mu in range(2))
    found = []
    for n in range(net.n_parameters):
        y = net.apply(np.eye(net.n_parameters)[n], k)[0]
        found.append(
            np.array_equal(np.abs(y), np.abs(divergence))
            and (np.array_equal(y, divergence) or np.array_equal(y, -divergence))
        )
    assert sum(found) == 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_group_networks_train_save_and_describe_themselves(tmp_path, dtype):
    layers = [
        GroupConv(3, {"vector": 1, "bond": 1}, {"regular": 2}),
        LeakyReLU(),
        Residual([GroupConv(3, {"regular": 2}, {"regular": 2}), LeakyReLU()]),
        GroupConv(1, {"regular": 2}, {"scalar": 3}),
        GELU(),
        GlobalAvgPool(),
        Linear(3, 1),
    ]
    net = Sequential(layers, dtype=dtype, rng=3)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 4, 6, 4))
    y = np.mean(x[:, 0] ** 2 + x[:, 1] ** 2, axis=(1, 2))
    assert np.isclose(net(x[0]), net(mirror(x[0])), atol=1e-5).all()
    before = net.loss(x, y)
    history = net.fit(x, y, epochs=10, batch=10, rng=1, validation=0.2)
    assert net.loss(x, y) < 0.5 * before
    assert history.loss[-1] < history.loss[0]
    assert np.isclose(net(x[0]), net(mirror(x[0])), atol=1e-5).all()
    net.save(tmp_path / "net.safetensors")
    other = Sequential.load(tmp_path / "net.safetensors")
    assert other.layers == net.layers
    assert np.array_equal(other(x), net(x))


def mirror(x):
    """Reflection of direction 0 of fluxes and bonds."""
    y = x[:, ::-1].copy()
    y[0], y[2] = -np.roll(y[0], -1, axis=0), np.roll(y[2], -1, axis=0)
    return y


GROUP_FAULTS = {
    "kind": (lambda: GroupConv(3, {"spinor": 1}, {"scalar": 1}), ValueError, "kind"),
    "no dict": (lambda: GroupConv(3, 4, {"scalar": 1}), TypeError, "dict of kinds"),
    "none": (lambda: GroupConv(3, {}, {"scalar": 1}), TypeError, "dict of kinds"),
    "count": (lambda: GroupConv(3, {"scalar": 0}, {"scalar": 1}), ValueError, "scalar = 0"),
    "group": (lambda: GroupConv(3, {"scalar": 1}, {"scalar": 1}, group="D4"), ValueError, "group"),
    "directions": (lambda: GroupConv(3, {"scalar": 1}, {"scalar": 1}, directions=[7]), ValueError, "directions"),
    "ndim": (
        lambda: Sequential([GroupConv(3, {"scalar": 1}, {"scalar": 1}, directions=[2])]),
        ValueError,
        "0 to 1, in order",
    ),
    "even": (
        lambda: Sequential([GroupConv(2, {"scalar": 1}, {"scalar": 1})]),
        ValueError,
        "odd where the group reflects",
    ),
    "empty window": (
        lambda: Sequential([GroupConv(1, {"vector": 1}, {"scalar": 1})]),
        ValueError,
        "windows of 3 or more",
    ),
    "too many": (
        lambda: Sequential([GroupConv(9, {"regular": 90}, {"regular": 90})]),
        ValueError,
        "weights; allowed are",
    ),
    "channels": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"scalar": 1})])(X),
        ValueError,
        "2 channels, but 4 channels",
    ),
    "other fields": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"scalar": 8}), GroupConv(3, {"regular": 1}, {"scalar": 1})]),
        ValueError,
        "8 scalar fields come in",
    ),
    "activation": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"vector": 1}), ReLU()]),
        ValueError,
        "an odd function",
    ),
    "linear": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"regular": 1}), GlobalAvgPool(), Linear(8, 1)]),
        ValueError,
        "scalar fields before the pool",
    ),
    "conv": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"scalar": 1}), Conv(2, 1, 1)]),
        ValueError,
        "use GroupConv",
    ),
    "pool": (
        lambda: Sequential([GroupConv(3, {"vector": 1}, {"bond": 1}), MaxPool(2)]),
        ValueError,
        "scalar and regular",
    ),
}


@pytest.mark.parametrize("name", GROUP_FAULTS)
def test_group_convolutions_refuse_what_breaks_them(name):
    call, kind, message = GROUP_FAULTS[name]
    with pytest.raises(kind, match=message):
        call()
