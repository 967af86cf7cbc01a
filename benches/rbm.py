"""One CD-1 step and one exact step at 784 x 784 against NumPy and LAPACK in the same process, turn by turn.

OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE must not be set: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python
benches/rbm.py
"""

import os
import sys
import time

import numpy as np
import plaq as pq
import scipy.linalg

N, BATCH, ROUNDS, STEPS = 784, 128, 40, 3


def timed(work, count=1):
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start) / count


def report(name, times):
    sys.stdout.write(f"{name:<38} best {min(times):7.2f}  median {np.median(times):7.2f} ms\n")


def numpy_step(weights, data, mu2, random):
    """CD-1 as NumPy users write it: the same five products, the same noise, the same update; returns the new
    weights."""
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


def compare_cd(dtype, mu2=144.0):
    random = np.random.default_rng(1)
    data = random.standard_normal((BATCH, N)).astype(dtype)
    machine = pq.GaussianRBM(N, N, mu2=mu2, weight_scale=0.05, dtype=dtype, rng=1)
    weights = machine.weights.copy()
    options = {"method": "cd", "batch": BATCH, "learning_rate": 1e-6, "record_every": 10**9, "progress": False}
    machine.fit(data, epochs=1, rng=1, **options)
    ours, numpys, bare = [], [], []
    trainer = machine._trainer
    for _ in range(ROUNDS):
        ours.append(timed(lambda: trainer.advance(STEPS), STEPS))
        numpys.append(timed(lambda: [numpy_step(weights, data, mu2, random) for _ in range(STEPS)], STEPS))
        bare.append(timed(lambda: [products(weights, data) for _ in range(STEPS)], STEPS))
    report(f"CD-1 {dtype}, plaq", ours)
    report(f"CD-1 {dtype}, NumPy", numpys)
    report(f"five products {dtype}, NumPy", bare)
    ratio = [b / a for a, b in zip(ours, numpys, strict=True)]
    sys.stdout.write(
        f"  NumPy / plaq: best over best {min(numpys) / min(ours):.2f}, median of rounds {np.median(ratio):.2f}\n"
    )


def compare_exact(mu2=144.0):
    random = np.random.default_rng(1)
    data = random.standard_normal((2000, N)) * 0.2
    machine = pq.GaussianRBM(N, N, mu2=mu2, weight_scale=0.05, rng=1)
    correlation = data.T @ data / len(data)
    machine.fit(correlation=correlation, epochs=1, learning_rate=1e-6, record_every=10**9, progress=False, rng=1)
    kernel, weights, trainer = machine.kernel(), machine.weights.copy(), machine._trainer
    ours, solves, whole = [], [], []

    def lapack_step():
        k = mu2 * np.eye(N) - weights @ weights.T
        gradient = correlation @ weights - scipy.linalg.cho_solve(scipy.linalg.cho_factor(k, lower=True), weights)
        return weights + 1e-6 * gradient

    for _ in range(ROUNDS):
        ours.append(timed(lambda: trainer.advance(3), 3))
        solves.append(
            timed(
                lambda: [
                    scipy.linalg.cho_solve(scipy.linalg.cho_factor(kernel, lower=True), weights) for _ in range(3)
                ],
                4,
            )
        )
        whole.append(timed(lambda: [lapack_step() for _ in range(3)], 3))
    report("exact step, plaq", ours)
    report("Cholesky solve alone, LAPACK", solves)
    report("exact step, NumPy and LAPACK", whole)
    ratio = np.median([a / b for a, b in zip(ours, solves, strict=True)])
    best = min(ours) / min(solves)
    sys.stdout.write(f"  plaq / LAPACK solve: best over best {best:.2f}, median of rounds {ratio:.2f}\n")


if __name__ == "__main__":
    sys.stdout.write(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, numpy {np.__version__}, N = {N}, batch {BATCH}\n"
    )
    for name in ("float64", "float32"):
        compare_cd(name)
    compare_exact()
