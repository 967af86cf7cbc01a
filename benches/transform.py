"""HMC in new variables beside the same layers in JAX: `python benches/transform.py [rounds] [threads]`.

The force of S(F(V)) - ln det F on 64^2 in 2D U(1), beta = 5, sixteen masked updates: constant coefficients (plaquettes)
and networks of 2 and 4 channels; beside it the plain force, and where JAX is installed the gradient of the same
functions compiled by it (float64; one thread with ``taskset -c 0``), their convolutions written as products of matrices
and as those of the library. In turns, medians; on one thread of the processor time, which others disturb less. Both
give the same force to 1e-10 or better, which is printed.
A training step is the gradient of the force norm against half of beta for one field, pulled back by the inverse first;
it and a trajectory are also what the authors' code was timed with.
With ``su3`` behind the threads: 8^4, a sweep of eight updates.
"""

import sys
import time

import numpy as np
import plaq as pq

EXTENT, BETA, C = 64, 5.0, 0.1


def jax_forces(theta, networks):
    """Compiled forces by their names, or none: constants, and for each network both ways to write its convolutions."""
    try:
        import jax
    except ImportError:
        return {}
    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    x, y = np.indices((EXTENT, EXTENT)) % 2
    classes = x + 2 * y

    def ahead(u, mu, n=1):
        """u(x + n mu) at x."""
        return jnp.roll(u, -n, mu)

    def plaquettes(t):
        return t[0] + ahead(t[1], 0) - ahead(t[0], 1) - t[1]

    def stands_still(mu, subset):
        """Where the plaquette and the rectangles along 0 and along 1 pass no link of the mask."""
        moved = classes == subset
        nu = 1 - mu
        plaquette = moved | np.roll(moved, -1, nu)
        along = [plaquette | np.roll(plaquette, -1, 0), plaquette | np.roll(plaquette, -1, 1)]
        # Of the rectangle across, the link in the middle is not passed.
        along[nu] = moved | np.roll(moved, -2, nu)
        return jnp.asarray(~np.stack([plaquette, *along]), float)

    def windows(u, w, b):
        """A periodic convolution as one product of matrices over taps and channels."""
        taps = [jnp.roll(u, (1 - i, 1 - j), (1, 2)) for i in range(3) for j in range(3)]
        each = jnp.stack(taps, 1).reshape(-1, EXTENT**2)
        return (w.reshape(len(w), -1) @ each).reshape(len(w), EXTENT, EXTENT) + b[:, None, None]

    def library(u, w, b):
        """The convolution of the library on a field with a border of one site."""
        wide = jnp.pad(u, ((0, 0), (1, 1), (1, 1)), mode="wrap")[None]
        return jax.lax.conv_general_dilated(wide, w, (1, 1), "VALID")[0] + b[:, None, None]

    def coefficients(p, weights, mu, subset, convolution):
        """Of plaquettes and of rectangles, from traces without an active link."""
        u = stands_still(mu, subset) * jnp.cos(jnp.stack([p, p + ahead(p, 0), p + ahead(p, 1)]))
        for n, (w, b) in enumerate(weights):
            u = convolution(u if n == 0 else jax.nn.gelu(u, approximate=False), w, b)
        return jnp.arctan(u) * (2 / np.pi / 6)

    def updates():
        return [(mu, subset) for _ in range(2) for mu in range(2) for subset in range(4)]

    def action(t, layers, convolution):
        log_det = 0.0
        for (mu, subset), weights in zip(updates(), layers, strict=True):
            mask, nu = jnp.asarray(classes == subset, float), 1 - mu
            p = plaquettes(t) * (1 - 2 * mu)
            loops = [[p, -ahead(p, nu, -1)]]
            if weights is None:
                c = [C]
            else:
                c = coefficients((1 - 2 * mu) * p, weights, mu, subset, convolution)
                loops += [[each + ahead(each, mu, n) for each in loops[0] for n in (1, -1)]]
            moved = sum(c[k] * jnp.sin(each) for k, group in enumerate(loops) for each in group)
            slope = sum(c[k] * jnp.cos(each) for k, group in enumerate(loops) for each in group)
            log_det += (mask * jnp.log(1 - slope)).sum()
            t = t.at[mu].add(-mask * moved)
        return BETA * (1 - jnp.cos(plaquettes(t))).sum() - log_det

    def taken(network, channels):
        """The weights of each update."""
        found, start = [], 0
        for _ in updates():
            sizes, layers = [(channels, 3), (channels, channels), (2, channels)], []
            for o, i in sizes:
                w = network[start : start + o * i * 9].reshape(o, i, 3, 3)
                b = network[start + o * i * 9 : start + o * i * 9 + o]
                layers.append((jnp.asarray(w), jnp.asarray(b)))
                start += o * (i * 9 + 1)
            found.append(layers)
        assert start == len(network)
        return found

    given, calls = jnp.asarray(theta), {}

    def compiled(layers, convolution):
        force = jax.jit(jax.grad(lambda t: action(t, layers, convolution)))
        return lambda: jax.block_until_ready(force(given))

    calls["constant coefficients", "JAX"] = compiled([None] * 16, None)
    for name, (network, channels) in networks.items():
        for how, convolution in (("JAX, convolutions as products", windows), ("JAX, its convolutions", library)):
            calls[name, how] = compiled(taken(network, channels), convolution)
    return calls


def u1():
    """Calls by their names, the plain force first."""
    S, V = pq.actions.Wilson(BETA), pq.GaugeField.hot((EXTENT, EXTENT), "U(1)", rng=1)
    loops = ["plaquette", "rectangle"]
    constant = pq.transform.Transformed(S, pq.transform.u1_2d(C))
    both = pq.transform.Transformed(S, pq.transform.u1_2d([C, C / 4], loops=loops))
    calls = {"plain force": lambda: S.force(V), "constant coefficients": lambda: constant.force(V)}
    calls["constant, with rectangles"] = lambda: both.force(V)
    loss = pq.losses.TransformedForce(S, pq.actions.Wilson(BETA / 2))
    small = [pq.GaugeField.hot((16, 16), "U(1)", rng=1 + k) for k in range(32)]
    ours, networks = {"constant coefficients": constant}, {}
    for channels in (2, 4):
        F = pq.transform.u1_2d(loops=loops, channels=channels, rng=1)
        learned = pq.transform.Transformed(S, F)
        name = f"networks of {channels} channels"
        calls[name], ours[name], networks[name] = (
            lambda learned=learned: learned.force(V),
            learned,
            (F.parameters, channels),
        )
        calls[f"training step, {channels} channels"] = lambda F=F: loss.of_batch(F, [V], [None])
        sampler = pq.FieldTransformHMC(S, F, length=1.0, steps=10)
        calls[f"trajectory of 10 omelyan2 steps, {channels} channels"] = lambda sampler=sampler: sampler.step(V, rng=1)
        calls[f"training step, 32 fields of 16^2, {channels} channels"] = lambda F=F: loss.of_batch(
            F, small, [None] * 32
        )
    for (name, how), theirs in jax_forces(np.angle(np.asarray(V)[..., 0, 0]), networks).items():
        difference = np.abs(np.asarray(theirs()) - ours[name].force(V)[..., 0, 0].imag).max()
        assert difference < 1e-10, difference
        print(f"{name}, {how}: forces differ by {difference:.1e} at most")
        calls[f"{name}, {how}"] = theirs
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
