"""Speed of the spin-fermion kernels, with ratios against NumPy's LAPACK measured in the same run on one thread.

``python benches/spin.py``: median processor time of several repetitions taken in turns, so that waiting for other users
of the machine does not count and their load weighs on all columns alike.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import time
from functools import partial

import numpy as np
import plaq as pq


def medians(*functions, repetitions=15):
    """Median processor time of each function, called in turns."""
    times = np.zeros((repetitions, len(functions)))
    for row in times:
        for k, function in enumerate(functions):
            start = time.process_time()
            function()
            row[k] = time.process_time() - start
    return np.median(times, axis=0)


def diagonalisation():
    print("\neigenvalues of one configuration (ms)\n   L  plaq     numpy    ratio")
    for extent in (4, 6, 8, 12):
        model = pq.SpinFermion((extent, extent), J=1.0, T=0.05)
        spins = pq.spin.random((extent, extent), rng=1, count=5)
        matrices = model.hamiltonian(spins)
        calls = partial(model.energies, spins), partial(np.linalg.eigvalsh, matrices)
        ours, theirs = medians(*calls) / len(spins)
        print(f"{extent:4d}  {1e3 * ours:.3f}  {1e3 * theirs:7.3f}  {ours / theirs:7.2f}")


def local_updates():
    print("\nexact local Metropolis, one hit a site, 5 sweeps a step, T = 0.05 (ms a sweep)")
    print("   L    mu  poles  sweep    a diagonalisation for every proposal: plaq (ratio), numpy (ratio)")
    for extent, mu in ((4, 0.0), (6, 0.0), (8, 0.0), (10, 0.0), (6, -0.3), (8, -0.3)):
        shape = (extent, extent)
        model = pq.SpinFermion(shape, J=1.0, mu=mu, T=0.05)
        sampler = pq.SpinMetropolis(model, hits=1)
        state = sampler.run(pq.spin.random(shape, rng=1), 4, rng=1, progress=False).state
        copies = np.repeat(state[None], 8, axis=0)
        calls = (
            partial(sampler.step, state, rng=2),
            partial(model.energies, copies),
            partial(np.linalg.eigvalsh, model.hamiltonian(copies)),
        )
        step, *others = medians(*calls)
        sweep, others = step / sampler.sweeps, np.array(others) / len(copies) * extent**2
        ratios = "".join(f"  {1e3 * each:8.2f} ({each / sweep:.1f})" for each in others)
        print(f"{extent:4d}  {mu:4.1f}  {sampler.poles:5d}  {1e3 * sweep:7.3f}{ratios}")


def attention():
    print("\nattention, 3 layers, 6x6 (us)\n shells  value  gradient  ratio")
    for shells, block in ((3, "relu"), (6, "relu"), (9, "relu"), (9, "softmax")):
        network = pq.EquivariantAttention((6, 6), 3, shells, rng=1, block=block)
        network.parameters = 0.1 * np.random.default_rng(1).normal(size=network.n_parameters)
        spins = pq.spin.random((6, 6), rng=1, count=200)
        value, gradient = medians(partial(network.log_weight, spins), partial(network.gradient, spins)) / len(spins)
        print(f"{shells:7d}  {1e6 * value:5.1f}  {1e6 * gradient:8.1f}  {gradient / value:5.2f}  {block}")


def training():
    spins = pq.spin.random((6, 6), rng=1, count=4000)
    weights = pq.SpinFermion((6, 6), J=1.0, T=0.05).log_weight(spins)
    for batch in (50, 100):
        network = pq.EquivariantAttention((6, 6), 3, 9, rng=1)
        start = time.perf_counter()
        network.fit(spins, weights, steps=2000, batch=batch, rng=1, progress=False)
        seconds = time.perf_counter() - start
        print(f"\ntraining, 4000 configurations, 2000 steps of {batch}, 3 layers, 9 shells: {seconds:.1f} s wall time")


if __name__ == "__main__":
    diagonalisation()
    local_updates()
    attention()
    training()
