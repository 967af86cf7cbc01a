"""Forked and spawned processes, Ctrl-C in long calls, counts that no machine has memory for: always an answer."""

import concurrent.futures
import multiprocessing as mp
import os
import subprocess
import sys

import numpy as np
import plaq as pq
import pytest

HUGE = [2**34, 2**63 - 1]
DATA = np.random.default_rng(1).normal(size=(20, 6))

SETUP = """
import os, signal, sys, threading, numpy as np, plaq as pq
signal.signal(signal.SIGINT, signal.default_int_handler)
def model(): return pq.SpinFermion((4, 4), J=1.0, T=0.1)
def spins(count=None): return pq.spin.random((4, 4), rng=1, count=count)
def linear(): return pq.LinearSpinModel((4, 4), 3)
D = np.random.default_rng(1).normal(size=(50, 20))
def dyson(**options):
    kernel = pq.rbm.free_field_kernel(6, 1.0)
    return pq.rbm.dyson(kernel, mu2=10.0, learning_rate=.001, batch=10, members=4, records=3, rng=1, **options)
shape = (16, 16, 16, 16, 4, 3)
def quark(kappa): return pq.dirac.Wilson(kappa=kappa).on(pq.GaugeField.hot((16,) * 4, rng=1))
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    CALL
except KeyboardInterrupt:
    print("heard")
"""

ENDLESS = {
    "clusters": "pq.ising.Wolff(0.44, clusters=10**8).step(np.ones((64, 64)), rng=1)",
    "overrelaxation": "pq.SelfLearningMC(model(), linear(), overrelaxation=10**8).step(spins(), rng=1)",
    "sweeps": "pq.SelfLearningMC(model(), linear(), sweeps=10**8).step(spins(), rng=1)",
    "hmc_steps": "net = pq.EquivariantAttention((4, 4), rng=1); "
    "pq.SelfLearningMC(model(), net, hmc_steps=10**8).step(spins(), rng=1)",
    "hits": "pq.SpinMetropolis(model(), hits=10**8).step(spins(), rng=1)",
    "worm": "pq.Worm((32, 32), eta=4.01, lam=1.0, mu=1.2, visits=10**9).step(pq.flux.FluxField.cold((32, 32)), rng=1)",
    "worms": "worm = pq.Worm((32, 32), eta=4.01, lam=1.0, mu=0.5); print("
    "'heard' * (worm.sample(20_000, thin=1000, warmup=1, chains=3, "
    "progress=False, rng=1).chain.interrupted))",
    "dense": "pq.SpinFermion((56, 56), J=1.0, T=0.1).log_weight(pq.spin.random((56, 56), rng=1))",
    "dyson": "dyson(k=10**8)",
    "dyson-every": "dyson(every=10**8)",
    "gibbs": "pq.GaussianRBM(200, 100, mu2=90.0, rng=1).sample(300, steps=10**8, rng=1)",
    "k": "print('heard' * pq.GaussianRBM(20, 10, mu2=20.0, rng=1).fit(D, epochs=1, method='pcd', k=10**8, "
    "learning_rate=1e-6, progress=False, rng=1).interrupted)",
    # far beyond the critical kappa of a hot field: the condition number needs thousands of iterations
    "solve": "quark(0.24).solve(np.random.default_rng(1).normal(size=shape) + 0j, tol=1e-13, max_iterations=10**9, "
    "method='cgnr')",
    "eigenvalues": "quark(0.24).eigenvalues(300, tol=1e-14)",
    "first-array": "[pq.observables.topological_charge(pq.GaugeField.cold((16,) * 4), 'improved') for _ in range(999)]",
}


@pytest.mark.machine
@pytest.mark.parametrize("name", ENDLESS)
def test_calls_without_end_hear_the_user(name):
    code = SETUP.replace("CALL", ENDLESS[name])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "heard", run.stderr


def kernel(seed):
    return pq.observables.plaquette(pq.GaugeField.hot((8, 8, 8, 8), rng=seed))


def machine(seed):
    return float(pq.GaussianRBM(80, 70, mu2=70.0, rng=seed).sample(300, steps=3, rng=seed).sum())


def quark(seed):
    D = pq.dirac.Wilson(mass=0.5).on(pq.GaugeField.hot((8, 8), "SU(2)", rng=seed))
    return float(abs(D.solve(D.source())[0]).sum() + D.eigenvalues(2).values.sum())


def training(seed):
    rbm = pq.GaussianRBM(6, 4, mu2=10.0, rng=seed)
    rbm.fit(DATA, epochs=2, method="pcd", learning_rate=1e-3, progress=False, rng=seed)
    return float(rbm.weights.sum())


@pytest.fixture
def two_threads():
    before = pq.num_threads()
    pq.set_num_threads(2)
    yield
    pq.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_forked_children_get_the_values_of_the_parent(two_threads, threads):
    pq.set_num_threads(threads)
    for job in (kernel, quark, machine, training):
        expected = [job(1), job(2)]
        pool = mp.get_context("fork").Pool(2)
        try:
            assert pool.map_async(job, [1, 2]).get(60) == expected
            assert pool.apply_async(pq.num_threads).get(60) == threads
        finally:
            pool.terminate()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_a_process(method):
    expected = [kernel(1), kernel(2)]
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=mp.get_context(method)) as pool:
        assert list(pool.map(kernel, [1, 2], timeout=120)) == expected


def test_joblib_and_threads():
    expected = [kernel(1), kernel(2)]
    joblib = pytest.importorskip("joblib")
    assert joblib.Parallel(n_jobs=2, timeout=120)(joblib.delayed(kernel)(seed) for seed in (1, 2)) == expected
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(kernel, [1, 2])) == expected


@pytest.mark.parametrize("text", ["20000", "-3", "many"])
def test_a_wrong_number_of_threads_is_named(text):
    code = "import plaq; print(plaq.num_threads())"
    env = os.environ | {"RAYON_NUM_THREADS": text}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert text in run.stderr
    assert "1 to 1024" in run.stderr
    assert int(run.stdout) <= 1024


def gaussian(**options):
    options = {"epochs": 1, "method": "pcd", "learning_rate": 1e-3, "progress": False, "rng": 1} | options
    return pq.GaussianRBM(6, 4, mu2=6.0, rng=1).fit(DATA, **options)


def dyson(**options):
    options = {"mu2": 6.0, "learning_rate": 1e-3, "batch": 10, "members": 2, "records": 2, "rng": 1} | options
    return pq.rbm.dyson(pq.rbm.free_field_kernel(6, 1.0), **options)


COUNTS = {
    "spins": lambda n: pq.spin.random((4, 4), rng=1, count=n),
    "gaussian records": lambda n: pq.GaussianRBM(6, 4, mu2=6.0, rng=1).sample(3, steps=n, every=1, rng=1),
    "binary records": lambda n: pq.BernoulliRBM(6, 4, rng=1).sample(3, steps=n, every=1, rng=1),
    "chains": lambda n: gaussian(chains=n),
    "samples": lambda n: pq.BernoulliRBM(6, 4, rng=1).sample(n, steps=1, rng=1),
    "k": lambda n: gaussian(k=n),
    "records": lambda n: dyson(records=n),
    "batch": lambda n: dyson(batch=n),
    "ising": lambda n: pq.ising.sample((4, 4), 0.4, n, rng=1),
}


@pytest.mark.parametrize("n", HUGE)
@pytest.mark.parametrize("name", COUNTS)
def test_counts_beyond_the_machine_are_refused(name, n):
    with pytest.raises(ValueError, match=r"GiB are available|allowed"):
        COUNTS[name](n)


def test_a_scalar_field_beyond_the_machine_is_refused():
    with pytest.raises(ValueError, match="GiB are available"):
        pq.ScalarField.random((16384, 16383), 1024, rng=1)
