"""HMC in new variables beside the same layers in JAX: `python benches/transform.py [rounds]`.

The force of S(F(V)) - ln det F on 64^2 in 2D U(1), beta = 5, sixteen masked updates: constant coefficients (plaquettes)
and, of ours, networks; beside it the plain force, and where JAX is installed the gradient of the same function
compiled by it (float64; one thread with ``taskset -c 0``). In turns, medians. Both give the same force to 1e-12.
"""

import sys
import time

import numpy as np
import plaq as pq

EXTENT, BETA, C = 64, 5.0, 0.1


def jax_force(theta):
    """The compiled force and its result, or nothing."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    x, y = np.indices((EXTENT, EXTENT)) % 2
    masks = [jnp.asarray(x + 2 * y == subset, float) for subset in range(4)]

    def plaquettes(t):
        return t[0] + jnp.roll(t[1], -1, 0) - jnp.roll(t[0], -1, 1) - t[1]

    def action(t):
        log_det = 0.0
        for _ in range(2):
            for mu in range(2):
                for mask in masks:
                    p = plaquettes(t)
                    a, b = (p, -jnp.roll(p, 1, 1)) if mu == 0 else (-p, jnp.roll(p, 1, 0))
                    log_det += (mask * jnp.log(1 - C * (jnp.cos(a) + jnp.cos(b)))).sum()
                    t = t.at[mu].add(-mask * C * (jnp.sin(a) + jnp.sin(b)))
        return BETA * (1 - jnp.cos(plaquettes(t))).sum() - log_det

    force = jax.jit(jax.grad(action))
    given = jnp.asarray(theta)
    return lambda: jax.block_until_ready(force(given))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    pq.set_num_threads(1)
    S, V = pq.actions.Wilson(BETA), pq.GaugeField.hot((EXTENT, EXTENT), "U(1)", rng=1)
    constant = pq.transform.Transformed(S, pq.transform.u1_2d(C))
    calls = {"plain force": lambda: S.force(V), "constant coefficients": lambda: constant.force(V)}
    for channels in (2, 4):
        F = pq.transform.u1_2d(loops=["plaquette", "rectangle"], channels=channels, rng=1)
        learned = pq.transform.Transformed(S, F)
        calls[f"networks of {channels} channels"] = lambda learned=learned: learned.force(V)
    theirs = jax_force(np.angle(np.asarray(V)[..., 0, 0]))
    if theirs:
        assert np.abs(np.asarray(theirs()) - constant.force(V)[..., 0, 0].imag).max() < 1e-12
        calls["JAX, constant coefficients"] = theirs
    times = {label: [] for label in calls}
    for _ in range(rounds):
        for label, call in calls.items():
            start = time.perf_counter()
            call()
            times[label].append(time.perf_counter() - start)
    plain = np.median(times["plain force"])
    for label, values in times.items():
        print(f"{label:30s} {1e3 * np.median(values):9.3f} ms  {np.median(values) / plain:7.1f} plain forces")


if __name__ == "__main__":
    main()
