"""One CD-1 step and one exact step at 784 x 784 against NumPy and LAPACK in the same process, turn by turn.

python benches/rbm.py [threads] [rounds]. Wall time is what a user waits for; CPU time, summed over threads, hardly
depends on what else the machine does. Between two turns the process rests until OpenBLAS's waiting threads, which spin
for some 30 ms after a product, are asleep: they would hold a core of whoever is next.
"""

import os
import sys
import time

THREADS = sys.argv[1] if len(sys.argv) > 1 else str(os.cpu_count())
for name in ("OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = THREADS

import numpy as np  # noqa: E402
import plaq as pq  # noqa: E402
import scipy.linalg  # noqa: E402

N, BATCH, STEPS = 784, 128, 4
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
REST = 0.06


def turn(work):
    """Wall and CPU milliseconds of one call, after a rest and a call that does not count."""
    time.sleep(REST)
    work(1)
    wall, cpu = time.perf_counter(), time.process_time()
    work(STEPS)
    return 1e3 * (time.perf_counter() - wall) / STEPS, 1e3 * (time.process_time() - cpu) / STEPS


def compare(title, **works):
    """All works turn by turn; the ratios are those of the first to the others."""
    times = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name].append(turn(work))
    sys.stdout.write(f"{title}\n")
    base = np.array(next(iter(times.values())))
    for name, pairs in times.items():
        both = np.array(pairs)
        (wall, cpu), (wall_half, cpu_half) = both.min(axis=0), np.median(both, axis=0)
        line = f"  {name:<28} wall best {wall:6.2f} median {wall_half:6.2f} ms"
        line += f"   CPU best {cpu:6.2f} median {cpu_half:6.2f} ms"
        best, rounds = both.min(axis=0) / base.min(axis=0), np.median(both / base, axis=0)
        ratio = f"   over plaq: wall {best[0]:.2f} ({rounds[0]:.2f}), CPU {best[1]:.2f} ({rounds[1]:.2f})"
        sys.stdout.write(line + (ratio if name != "plaq" else "") + "\n")


def repeat(step):
    def work(count):
        for _ in range(count):
            step()

    return work


def numpy_step(weights, data, mu2, random):
    """CD-1 as NumPy users write it: the same five products, the same noise, the same update; in place."""
    dtype = weights.dtype.type
    hidden = data @ weights
    sample = hidden + random.standard_normal(hidden.shape, dtype=dtype)
    visible = sample @ weights.T
    visible /= dtype(mu2)
    visible += random.standard_normal(visible.shape, dtype=dtype) * dtype(mu2**-0.5)
    end = visible @ weights
    gradient = data.T @ hidden
    gradient -= visible.T @ end
    gradient *= dtype(1e-6 / len(data))
    weights += gradient


def products(weights, data):
    hidden = data @ weights
    visible = hidden @ weights.T
    end = visible @ weights
    return data.T @ hidden, visible.T @ end


def compare_sampled(method, dtype, mu2=144.0):
    random = np.random.default_rng(1)
    data = random.standard_normal((BATCH, N)).astype(dtype)
    machine = pq.GaussianRBM(N, N, mu2=mu2, weight_scale=0.05, dtype=dtype, rng=1)
    weights = machine.weights.copy()
    options = {"method": method, "batch": BATCH, "learning_rate": 1e-6, "record_every": 10**9, "progress": False}
    machine.fit(data, epochs=1, rng=1, **options)
    compare(
        f"{method.upper()}-1 step, {dtype}",
        plaq=machine._trainer.advance,
        NumPy=repeat(lambda: numpy_step(weights, data, mu2, random)),
        **{"NumPy, its five products": repeat(lambda: products(weights, data))},
    )


def compare_exact(mu2=144.0):
    random = np.random.default_rng(1)
    data = random.standard_normal((2000, N)) * 0.2
    machine = pq.GaussianRBM(N, N, mu2=mu2, weight_scale=0.05, rng=1)
    correlation = data.T @ data / len(data)
    machine.fit(correlation=correlation, epochs=1, learning_rate=1e-6, record_every=10**9, progress=False, rng=1)
    kernel, weights = machine.kernel(), machine.weights.copy()

    def solve(k):
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(k, lower=True), weights)

    def step():
        k = mu2 * np.eye(N) - weights @ weights.T
        return weights + 1e-6 * (correlation @ weights - solve(k))

    compare(
        "exact step, float64",
        plaq=machine._trainer.advance,
        **{"LAPACK, K^-1 W by Cholesky": repeat(lambda: solve(kernel)), "NumPy and LAPACK, whole step": repeat(step)},
    )


if __name__ == "__main__":
    load = os.getloadavg()[0]
    sys.stdout.write(f"{THREADS} threads, load {load:.1f}, numpy {np.__version__}, N = {N}, batch {BATCH}\n")
    for name in ("float64", "float32"):
        compare_sampled("cd", name)
        compare_sampled("pcd", name)
    compare_exact()
