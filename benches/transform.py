"""HMC in new variables beside the same layers in JAX: `python benches/transform.py [rounds] [threads]`.

The force of S(F(V)) - ln det F on 64^2 in 2D U(1), beta = 5, sixteen masked updates: constant coefficients (plaquettes)
and, of ours, networks; beside it the plain force, and where JAX is installed the gradient of the same function
compiled by it (float64; one thread with ``taskset -c 0``). In turns, medians; on one thread of the processor time,
which others disturb less. Both give the same force to 1e-12.
A training step is the gradient of the force norm against half of beta for one field, pulled back by the inverse first.
With ``su3`` behind the threads: 8^4, a sweep of eight updates.
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


def u1():
    """Calls by their names, the plain force first."""
    S, V = pq.actions.Wilson(BETA), pq.GaugeField.hot((EXTENT, EXTENT), "U(1)", rng=1)
    loops = ["plaquette", "rectangle"]
    constant = pq.transform.Transformed(S, pq.transform.u1_2d(C))
    both = pq.transform.Transformed(S, pq.transform.u1_2d([C, C / 4], loops=loops))
    calls = {"plain force": lambda: S.force(V), "constant coefficients": lambda: constant.force(V)}
    calls["constant, with rectangles"] = lambda: both.force(V)
    loss = pq.losses.TransformedForce(S, pq.actions.Wilson(BETA / 2))
    for channels in (2, 4):
        F = pq.transform.u1_2d(loops=loops, channels=channels, rng=1)
        learned = pq.transform.Transformed(S, F)
        calls[f"networks of {channels} channels"] = lambda learned=learned: learned.force(V)
        calls[f"training step, {channels} channels"] = lambda F=F: loss.of_batch(F, [V], [None])
    theirs = jax_force(np.angle(np.asarray(V)[..., 0, 0]))
    if theirs:
        assert np.abs(np.asarray(theirs()) - constant.force(V)[..., 0, 0].imag).max() < 1e-12
        calls["JAX, constant coefficients"] = theirs
    return calls


def su3():
    """The same of SU(3)."""
    S, V = pq.actions.Wilson(6.0), pq.GaugeField.hot((8,) * 4, "SU(3)", rng=1)
    constant = pq.transform.Transformed(S, pq.transform.su3_4d(0.05))
    calls = {"plain force": lambda: S.force(V), "constant coefficients": lambda: constant.force(V)}
    for loops, channels in ((["plaquette"], 6), (["plaquette", "rectangle"], 18)):
        for size in (1, 3):
            layers = [pq.nn.Conv(size, channels, 8), pq.nn.GELU(), pq.nn.Conv(1, 8, 1)]
            network = pq.nn.Sequential(layers, ndim=4, rng=1)
            mask = pq.transform.StoutMask(ndim=4, network=network, inputs=loops)
            learned = pq.transform.Transformed(S, pq.transform.FieldTransform([mask]))
            name = f"networks of {' and '.join(loops)}s, {size}^4"
            calls[name] = lambda learned=learned: learned.force(V)
    return calls


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    pq.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    calls = su3() if sys.argv[3:] == ["su3"] else u1()
    times = {label: [] for label in calls}
    for _ in range(rounds):
        for label, call in calls.items():
            start = clock()
            call()
            times[label].append(clock() - start)
    plain = np.median(times["plain force"])
    for label, values in times.items():
        middle, best = np.median(values), min(values)
        print(f"{label:40s} {1e3 * middle:9.3f} ms (best {1e3 * best:8.3f})  {middle / plain:7.1f} plain forces")


if __name__ == "__main__":
    main()
