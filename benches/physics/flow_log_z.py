"""Whether ln Z of SU(N) flows is biased: `python benches/physics/flow_log_z.py [--only TEXT] [--scale X]`.

The flows of flows.py (SU(2), SU(3) on 4^2, 100 steps) from two seeds each, weights of independent batches of 4000
samples: deviations from the exact ln Z in units of the error of each batch, and of the mean over all samples. Beside it
the same from HMC at growing couplings without any coupling layers (`StochasticFlow` of the Haar measure). Writes
flow_log_z.json beside this file.
"""

import json

import numpy as np
import plaq as pq
import provenance
from flows import BETAS, EXTENTS, STEPS, log_z, trained

BATCHES, SAMPLES, SEEDS = 12, 4000, (12, 13)


def pulls(draw: object, exact: float, batches: int) -> dict[str, object]:
    """Of batches with seeds of their own."""
    found = [draw(1000 + k) for k in range(batches)]
    weights = np.concatenate([np.exp(each.log_weights - exact) for each in found])
    mean, error = float(weights.mean()), float(weights.std(ddof=1) / np.sqrt(len(weights)))
    sigmas = []
    for each in found:
        z = each.log_z()
        sigmas.append((z.mean - exact) / z.error)
    return {
        "samples": len(weights),
        "z_over_exact": mean,
        "error": error,
        "sigma": (mean - 1) / error,
        "efficiency": float(weights.sum() ** 2 / (len(weights) * (weights**2).sum())),
        "largest_share": float(weights.max() / weights.sum()),
        "sigmas_of_batches": sigmas,
    }


def main() -> None:
    arguments, path, origin, rows = provenance.begun(
        __doc__, __file__, only="rows whose name contains this", scale="times the number of batches"
    )
    pq.set_num_threads(1)
    batches = max(2, round(BATCHES * arguments.scale))
    for group in ("SU(2)", "SU(3)"):
        shape, volume = (EXTENTS[group],) * 2, EXTENTS[group] ** 2
        settings = {"sweeps": 1, "terms": 4, "hidden": (8,), "dtype": "float32"}
        flows = [pq.flows.su_2d(shape, group, rng=seed, **settings) for seed in SEEDS]
        for beta in BETAS[group]:
            S, exact, name = pq.actions.Wilson(beta), log_z(group, beta, volume), f"{group} 4^2, beta {beta:g}"
            if arguments.only not in name:
                continue
            row: dict[str, object] = {"exact": exact, "flows": []}
            for flow in flows:
                trained(flow, S, STEPS[group], 0.01)
                row["flows"].append(pulls(lambda k, f=flow, S=S: f.reweight(S, SAMPLES, rng=k), exact, batches))
            haar = pq.flows.Flow(pq.flows.Haar(shape, group), [])
            annealed = pq.flows.StochasticFlow(haar, S, round(8 * beta), length=1.0, steps=3)
            row["annealed"] = pulls(lambda k, a=annealed: a.reweight(500, rng=k), exact, batches)
            rows[name] = row | origin
            print(name, rows[name], flush=True)
            path.write_text(json.dumps({"seeds": SEEDS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
