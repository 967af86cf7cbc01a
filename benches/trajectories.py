"""Solves inside trajectories: ``python benches/trajectories.py [EXTENT] [REPEATS]``.

HMC of two flavours of Wilson quarks and of four tastes of staggered ones on EXTENT^4, SU(3), from a quenched field:
double and mixed precision, forces from zero and from earlier solutions, in turns on one thread. Prints processor time
of a trajectory (median), the ratio to the first line, iterations, delta_h, and how far from the start the way back
ends.
"""

import sys
import time

import numpy as np
import plaq as pq

QUARKS = {
    "Wilson, m = -0.6, beta 5.6": (pq.dirac.Wilson(mass=-0.6), 2, 5.6),
    "staggered, m = 0.05, beta 5.3": (pq.dirac.Staggered(mass=0.05), 4, 5.3),
}
WAYS = [
    *[{"precision": precision} for precision in ("double", "mixed")],
    *[{"precision": "double", "chronological": n} for n in (2, 4, 7)],
    {"precision": "mixed", "chronological": 4},
]


def main() -> None:
    extent, repeats = (int(word) for word in [*sys.argv[1:], "8", "3"][:2])
    pq.set_num_threads(1)
    for name, (family, n, beta) in QUARKS.items():
        gauge = pq.actions.Wilson(beta)
        U = pq.GaugeField.cold((extent,) * 4, "SU(3)")
        U = pq.Heatbath(gauge).run(U, 30, rng=1, progress=False).state
        for steps in (10, 30):
            samplers = []
            for way in WAYS:
                action = gauge + pq.actions.Pseudofermion(family, n, force_tol=1e-8, **way)
                samplers.append(pq.HMC(action, length=0.5, steps=steps, levels=[(gauge, 2)]))
            seconds: list[list[float]] = [[] for _ in WAYS]
            infos = [{} for _ in WAYS]
            for _ in range(repeats):
                for spent, sampler, info in zip(seconds, samplers, infos, strict=True):
                    begin = time.process_time()
                    info |= sampler.step(U, rng=2)[1]
                    spent.append(time.process_time() - begin)
            for way, spent, sampler, info in zip(WAYS, seconds, samplers, infos, strict=True):
                found, ratio = np.median(spent), np.median(spent) / np.median(seconds[0])
                back = sampler.check(U, rng=2)["distance"]
                print(
                    f"{name}, {steps} steps, {way}: {found:.3f} s, {ratio:.2f}, {info['solver_iterations']} iterations,"
                    f" delta_h {info['delta_h']:.6f}, back {back:.0e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
