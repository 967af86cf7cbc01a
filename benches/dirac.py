"""D psi of Wilson fermions, in JAX, and as a SciPy sparse matrix: `python benches/dirac.py [extent] [rounds]`.

SU(3) in four dimensions, complex128, one thread (``taskset -c 0``): arrays in, arrays out, in turns, medians; all three
agree to 1e-12. `D @ psi` includes the way of the array into lanes and back; its kernel alone is in
``cargo bench --bench kernels -- quarks``. Peers that are not installed are left out.
"""

import sys
import time

import numpy as np
import plaq as pq

MASS = 0.1


def gammas():
    """DeGrand-Rossi, as the conventions have them."""
    s = np.array([[[0, 1], [1, 0]], [[0, 1j], [-1j, 0]], [[1, 0], [0, -1]]])
    blocks = [np.kron([[0, 1j], [-1j, 0]], k) for k in s]
    return np.array([*blocks, np.kron([[0, 1], [1, 0]], np.eye(2))])


def phased(links):
    """Antiperiodic in time."""
    links = np.array(links)
    links[3, :, :, :, -1] *= -1
    return links


def jax_operator(links, psi):
    """The compiled formula, or nothing."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    gamma, u = gammas(), jnp.asarray(phased(links))

    @jax.jit
    def apply(u, psi):
        out = (MASS + 4) * psi
        for mu in range(4):
            ahead = jnp.einsum("...ab,...sb->...sa", u[mu], jnp.roll(psi, -1, mu))
            back = jnp.roll(jnp.einsum("...ba,...sb->...sa", u[mu].conj(), psi), 1, mu)
            out -= 0.5 * jnp.einsum("st,...ta->...sa", np.eye(4) - gamma[mu], ahead)
            out -= 0.5 * jnp.einsum("st,...ta->...sa", np.eye(4) + gamma[mu], back)
        return out

    given = jnp.asarray(psi)
    return lambda: np.asarray(jax.block_until_ready(apply(u, given)))


def sparse_operator(links, psi):
    """Compressed rows of the whole matrix, or nothing."""
    try:
        from scipy import sparse
    except ImportError:
        return None
    shape, gamma, u = links.shape[1:5], gammas(), phased(links)
    volume = int(np.prod(shape))
    sites = np.arange(volume).reshape(shape)
    matrix = (MASS + 4) * sparse.identity(12 * volume, format="csr", dtype=complex)
    for mu in range(4):
        blocks = np.einsum("st,xab->xsatb", np.eye(4) - gamma[mu], u[mu].reshape(-1, 3, 3)).reshape(-1, 12, 12)
        there = np.roll(sites, -1, mu).ravel()
        ahead = sparse.bsr_matrix((blocks, there, np.arange(volume + 1)), shape=(12 * volume, 12 * volume)).tocsr()
        ahead.eliminate_zeros()
        blocks = np.einsum("st,xab->xsatb", np.eye(4) + gamma[mu], u[mu].reshape(-1, 3, 3)).reshape(-1, 12, 12)
        back = sparse.bsr_matrix((blocks, there, np.arange(volume + 1)), shape=(12 * volume, 12 * volume)).tocsr()
        back.eliminate_zeros()
        matrix = matrix - 0.5 * ahead - 0.5 * back.conj().T.tocsr()
    flat = psi.ravel()
    return lambda: (matrix @ flat).reshape(psi.shape)


def main():
    extent = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 21
    pq.set_num_threads(1)
    U = pq.GaugeField.hot((extent,) * 4, "SU(3)", rng=1)
    D = pq.dirac.Wilson(mass=MASS).on(U)
    psi = np.random.default_rng(1).normal(size=(*D.shape, 2)).view(complex)[..., 0]
    calls = {"plaq, D @ psi": lambda: D @ psi}
    for name, make in (("JAX", jax_operator), ("SciPy sparse", sparse_operator)):
        call = make(np.asarray(U), psi)
        if call is not None:
            assert np.abs(call() - D @ psi).max() < 1e-12, name
            calls[name] = call
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        print(f"{extent}^4 {name}: {1e3 * np.median(seconds):.2f} ms")


if __name__ == "__main__":
    main()
