"""Speed of convolutional networks beside the flop limit of the machine, with torch and JAX beside it where installed.

``python benches/nn.py [rounds]``: the training step of the task-1 network EQ (60x4, batch 100, float32) and inference,
one and two threads, in turns. The limit is single-precision products of NumPy's BLAS (2048 x 2048) on one thread in the
same turns; a step has 3 x 15.7 Mflop a sample.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time

import numpy as np
import plaq as pq

SIZE, BATCH = 2048, 100


def flops(net, x):
    """Multiplications and additions of the forward pass of one sample."""
    total, sites = 0, np.prod(x.shape[2:])
    for layer in net.layers:
        if isinstance(layer, pq.nn.Conv):
            total += 2 * sites * layer.c_in * layer.c_out * np.prod(layer.spec(2)["size"])
    return int(total)


def torch_calls(name, x, y, threads):
    """Step and inference of the same network in torch, or nothing."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    module = pq.nn.to_torch(pq.nn.zoo.build(name, dtype="float32"))
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y.astype(np.float32))
    rule = torch.optim.Adam(module.parameters())

    def step():
        rule.zero_grad()
        torch.nn.functional.mse_loss(module(inputs), targets).backward()
        rule.step()

    def forward():
        with torch.no_grad():
            module(inputs)

    return {"torch step": step, "torch forward": forward}


def jax_calls(name, x, y):
    """The same in JAX, compiled: periodic convolutions as products of gathered windows, Adam; or nothing.

    Both threads of the machine are JAX's own choice: start Python under ``taskset -c 0`` for one.
    """
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return {}
    net = pq.nn.zoo.build(name, dtype="float32")
    named = {key: jnp.asarray(value, jnp.float32) for key, value in net.named_parameters().items()}
    inputs, targets = jnp.asarray(x), jnp.asarray(y, jnp.float32)

    def apply(p, u):
        for n, layer in enumerate(net.layers):
            kind = type(layer).__name__
            if kind == "Conv":
                size = layer.spec(2)["size"]
                taps = [(i, j) for i in range(size[0]) for j in range(size[1])]
                moved = [jnp.roll(u, ((size[0] - 1) // 2 - i, (size[1] - 1) // 2 - j), (2, 3)) for i, j in taps]
                w = p[f"{n}.weight"].reshape(layer.c_out, layer.c_in, -1)
                u = jnp.einsum("oct,tbcxy->boxy", w, jnp.stack(moved))
                u = u + p[f"{n}.bias"][None, :, None, None] if f"{n}.bias" in p else u
            elif kind == "Linear":
                u = u @ p[f"{n}.weight"].T
                u = u + p[f"{n}.bias"] if f"{n}.bias" in p else u
            elif kind == "LeakyReLU":
                u = jnp.where(u > 0, u, layer.spec(2)["slope"] * u)
            elif kind.startswith("Global"):
                u = {"Avg": jnp.mean, "Sum": jnp.sum, "Max": jnp.max}[kind[6:9]](u, axis=(2, 3))
            else:
                raise NotImplementedError(kind)
        return u

    assert np.allclose(apply(named, inputs), net(x), rtol=1e-3, atol=1e-3)
    state = {"p": named, "m": jax.tree.map(jnp.zeros_like, named), "v": jax.tree.map(jnp.zeros_like, named)}

    @jax.jit
    def update(state):
        g = jax.grad(lambda p: ((apply(p, inputs) - targets) ** 2).mean())(state["p"])
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["m"], g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state["v"], g)
        p = jax.tree.map(lambda p, m, v: p - 1e-3 * m / (jnp.sqrt(v) + 1e-8), state["p"], m, v)
        return {"p": p, "m": m, "v": v}

    forward = jax.jit(apply)
    jax.block_until_ready((update(state), forward(named, inputs)))
    return {
        "jax step": lambda: jax.block_until_ready(update(state)),
        "jax forward": lambda: jax.block_until_ready(forward(named, inputs)),
    }


def compare(name, extents, rounds, threads):
    """Median seconds of each call, in turns."""
    rng = np.random.default_rng(1)
    x = rng.integers(-2, 3, size=(BATCH, 4, *extents)).astype(np.float32)
    net = pq.nn.zoo.build(name, dtype="float32")
    y = rng.normal(size=net(x).shape)
    a = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
    options = {"batch": None, "epochs": 3, "optimizer": pq.optimizers.Adam(1e-3), "progress": False}
    calls = {
        "multiply": lambda: a @ a,
        "plaq step": lambda: net.fit(x, y, **options),  # three steps and the loss of the last parameters
        "plaq forward": lambda: net(x),
        **torch_calls(name, x, y, threads),
        **jax_calls(name, x, y),
    }
    times = {label: [] for label in calls}
    pq.set_num_threads(threads)
    for _ in range(rounds):
        for label, call in calls.items():
            start = time.perf_counter()
            call()
            times[label].append(time.perf_counter() - start)
    median = {label: float(np.median(values)) for label, values in times.items()}
    median["plaq step"] /= 4
    limit = 2 * SIZE**3 / median.pop("multiply")
    print(f"\n{name} on {extents}, batch {BATCH}, float32, plaq on {threads} threads")
    print(f"one thread of BLAS: {limit / 1e9:.1f} GFLOP/s")
    for label, seconds in median.items():
        rate = flops(net, x) * BATCH * (3 if "step" in label else 1) / seconds
        share = rate / limit / threads
        print(f"{label:14s} {1e3 * seconds:9.2f} ms  {rate / 1e9:6.1f} GFLOP/s  {share:4.0%} of the limit")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for threads in (1, 2):
        compare("task1/EQ", (60, 4), count, threads)
        compare("task3/EQ1", (8, 8), count, threads)
        compare("task3/EQ1", (64, 64), max(3, count // 3), threads)
