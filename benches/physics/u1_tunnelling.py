"""Tunnelling of 2D U(1): `python benches/physics/u1_tunnelling.py [--only TEXT] [--scale X]`.

HMC and HMC in new variables with a constant coefficient c of plaquettes (2 x 8 masked updates) on 16^2, 32^2 and 64^2,
trajectories of length 4. Writes u1_tunnelling.json beside this file: <(Q(t + 16) - Q(t))^2> (four trajectories), the
gain over HMC by trajectory, by step of the integrator and by second of processor time, plaquette and susceptibility
beside the exact values, on 64^2 the numbers of the authors (reference page of field transformations, 4.5, 4.6).
"""

import json
import time

import numpy as np
import plaq as pq
import provenance

SMALL = [
    *[(2.0, 0.0, 14), (3.0, 0.0, 17), (4.0, 0.0, 18), (5.0, 0.0, 20), (6.0, 0.0, 21)],
    *[(4.0, 0.1, 24), (5.0, 0.1, 25), (6.0, 0.1, 24)],
]
LARGE = [
    *[(3.0, 0.0, 16), (4.0, 0.0, 17), (5.0, 0.0, 19), (6.0, 0.0, 20)],
    *[(5.0, 0.0429, 15), (6.0, 0.0429, 16), (5.0, 0.1, 24), (6.0, 0.1, 24)],
]
ROWS = [*[(16, *row) for row in SMALL], *[(32, *row) for row in SMALL], *[(64, *row) for row in LARGE]]
"""Extent, beta, c, steps; those of 64^2 have an acceptance of about 0.8 as those of the authors (who needed one step
more), smaller lattices more. <dQ^2> rises with the acceptance: one more step of HMC makes 0.87 and 8 % of it."""
HMC = {3.0: (73.16, 0.18), 4.0: (18.439, 0.040), 5.0: (3.258, 0.009), 6.0: (0.4830, 0.0019)}
"""Published <dQ^2(16)> of HMC, 64^2."""
GAINS = {(5.0, 0.0429): 1.37, (6.0, 0.0429): 1.43, (5.0, 0.1): 2.06, (6.0, 0.1): 2.11}
"""Published ratios to it."""
SECONDS = {16: (20, 40), 32: (20, 60), 64: (45, 150)}
"""Of a row of HMC and of transformed HMC."""
SEED = 64


def charge(U: pq.GaugeField) -> float:
    return float(np.rint(pq.observables.topological_charge(U, "geometric")))


def exact(beta: float) -> tuple[float, float]:
    """Plaquette and susceptibility of infinite volume; corrections are of the order (I_1/I_0)^V, below 1e-38 here."""
    phi = np.linspace(-np.pi, np.pi, 200_001)
    weight = np.exp(beta * (np.cos(phi) - 1))
    weight[[0, -1]] /= 2
    weight /= weight.sum()
    return float(weight @ np.cos(phi)), float(weight @ phi**2) / (4 * np.pi**2)


def run(extent: int, beta: float, F: pq.FieldTransform | None, steps: int, seconds: float) -> dict[str, object]:
    """HMC, in new variables if there are any."""
    S = pq.actions.Wilson(beta)
    options = {"length": 4.0, "steps": steps}
    sampler = pq.FieldTransformHMC(S, F, **options) if F else pq.HMC(S, **options)
    hot = pq.GaugeField.hot((extent, extent), "U(1)", rng=SEED)
    # Heatbath moves the charge faster than HMC: its end is a start in equilibrium.
    start = pq.Heatbath(S, overrelaxation=5).run(hot, 2000, rng=SEED, progress=False).state
    observables = {"Q": charge, "plaquette": pq.observables.plaquette}
    begin = time.process_time()
    chain = sampler.run(start, 10**6, rng=SEED, observables=observables, max_seconds=seconds, progress=False)
    used = (time.process_time() - begin) / len(chain)
    moves = pq.statistics.estimate((chain["Q"][4:] - chain["Q"][:-4]) ** 2)
    row: dict[str, object] = {"dq2": moves.mean, "error": moves.error, "text": str(moves), "steps": steps}
    row |= {"acceptance": chain.acceptance, "seconds": used, "trajectories": len(chain)}
    for name, found, value in (
        ("plaquette", chain.estimate("plaquette"), exact(beta)[0]),
        ("chi", chain.estimate("Q", lambda Q: Q**2 / extent**2), exact(beta)[1]),
    ):
        sigma = (found.mean - value) / found.error
        row[name] = {"text": str(found), "exact": value, "sigma": sigma, "tau": found.tau}
    return row


def compare(row: dict[str, object], plain: dict[str, object]) -> None:
    """Adds the gains over HMC."""
    gain = row["dq2"] / plain["dq2"]
    row["gain"] = gain
    row["gain_error"] = gain * float(np.hypot(row["error"] / row["dq2"], plain["error"] / plain["dq2"]))
    row["gain_per_step"] = gain * plain["steps"] / row["steps"]
    row["gain_per_second"] = gain * plain["seconds"] / row["seconds"]


def main() -> None:
    arguments, path, origin, rows = provenance.begun(
        __doc__, __file__, only="rows whose name contains this", scale="times the seconds of each row"
    )
    pq.set_num_threads(1)
    for extent, beta, c, steps in ROWS:
        name = f"{extent}^2, beta {beta:g}, c {c:g}"
        if arguments.only not in name:
            continue
        F = pq.transform.u1_2d(c) if c else None
        row = run(extent, beta, F, steps, SECONDS[extent][c > 0] * arguments.scale)
        if extent == 64:
            ratio = GAINS.get((beta, c), 1.0)
            row["published"] = {"dq2": HMC[beta][0] * ratio, "gain": ratio if c else None}
        if c:
            compare(row, rows[f"{extent}^2, beta {beta:g}, c 0"])
        rows[name] = row | origin
        print(name, row, flush=True)
        path.write_text(json.dumps({"seed": SEED, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
