"""Speed of the spin-fermion kernels, with ratios against NumPy's LAPACK measured in the same run on one thread.

``python benches/spin.py``: best of several repetitions, because the machine is shared.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import time

import numpy as np

import plaq as pq


def best(call, repetitions=15, batch=1):
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        for _ in range(batch):
            call()
        times.append((time.perf_counter() - start) / batch)
    return min(times)


def diagonalisation():
    print("\neigenvalues of one configuration (ms)\n   L  plaq     numpy    ratio")
    for extent in (4, 6, 8, 12):
        model = pq.SpinFermion((extent, extent), J=1.0, T=0.05)
        spins = pq.spin.random((extent, extent), rng=1, count=4)
        matrices = model.hamiltonian(spins)
        ours = best(lambda: model.energies(spins)) / 4
        theirs = best(lambda: np.linalg.eigvalsh(matrices), 7) / 4
        print(f"{extent:4d}  {1e3 * ours:.3f}  {1e3 * theirs:7.3f}  {ours / theirs:7.2f}")


def local_updates():
    print("\nexact local Metropolis, one hit a site, 5 sweeps a step, T = 0.05 (ms a sweep)")
    print("   L  sweep  rediagonalising every proposal: plaq (ratio), numpy (ratio)")
    for extent in (4, 6, 8, 10):
        shape = (extent, extent)
        model = pq.SpinFermion(shape, J=1.0, T=0.05)
        sampler = pq.SpinMetropolis(model, hits=1)
        state = sampler.run(pq.spin.random(shape, rng=1), 4, rng=1, progress=False).state
        sweep = best(lambda: sampler.step(state, rng=2), 5) / sampler.sweeps
        spins = state[None]
        matrix = model.hamiltonian(state)
        ours = extent**2 * best(lambda: model.energies(spins), 7)
        theirs = extent**2 * best(lambda: np.linalg.eigvalsh(matrix), 5)
        print(
            f"{extent:4d}  {1e3 * sweep:7.3f}  {1e3 * ours:8.2f} ({ours / sweep:.1f})  {1e3 * theirs:8.2f} ({theirs / sweep:.1f})"
        )


def attention():
    print("\nattention, 3 layers, 6x6 (us)\n shells  value  gradient  ratio")
    for shells in (3, 6, 9):
        network = pq.EquivariantAttention((6, 6), 3, shells, rng=1)
        network.parameters = 0.1 * np.random.default_rng(1).normal(size=network.n_parameters)
        spins = pq.spin.random((6, 6), rng=1, count=500)
        value = best(lambda: network.log_weight(spins)) / 500
        gradient = best(lambda: network.gradient(spins)) / 500
        print(f"{shells:7d}  {1e6 * value:5.1f}  {1e6 * gradient:8.1f}  {gradient / value:5.2f}")


def training():
    spins = pq.spin.random((6, 6), rng=1, count=4000)
    weights = pq.SpinFermion((6, 6), J=1.0, T=0.05).log_weight(spins)
    for batch in (50, 100, 250):
        network = pq.EquivariantAttention((6, 6), 3, 9, rng=1)
        start = time.perf_counter()
        network.fit(spins, weights, steps=2000, batch=batch, rng=1, progress=False)
        print(
            f"\ntraining, 4000 configurations, 2000 steps of {batch}, 3 layers, 9 shells: {time.perf_counter() - start:.1f} s"
        )


if __name__ == "__main__":
    diagonalisation()
    local_updates()
    attention()
    training()
