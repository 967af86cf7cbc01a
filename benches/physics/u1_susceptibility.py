"""<Q^2> of 2D U(1) on the 8^2 torus at high precision: `python benches/physics/u1_susceptibility.py`.

Writes u1_susceptibility.json beside this file: estimates by heatbath and HMC, exact values, seed, command, commit.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import plaq as pq
import provenance

EXACT = {1.0: 2.60071911072, 2.0: 1.23929891072}
"""From Z = sum_n I_n(beta)^V by twisting (gauge checks of the project's reference)."""
SEED = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1_000_000)
    draws = parser.parse_args().draws
    pq.set_num_threads(1)
    path = Path(__file__).with_suffix(".json")
    commit = provenance.commit()
    rows = {}
    samplers = {"heatbath": lambda S: pq.Heatbath(S), "HMC": lambda S: pq.HMC(S, steps=6, length=1.5)}
    for beta, exact in EXACT.items():
        for name, make in samplers.items():
            chain = make(pq.actions.Wilson(beta)).run(
                pq.GaugeField.cold((8, 8), "U(1)"),
                draws,
                warmup=200,
                rng=SEED + int(beta),
                observables={"Q": lambda U: pq.observables.topological_charge(U, "geometric")},
                progress=False,
            )
            Q2 = pq.statistics.estimate(np.rint(chain["Q"]) ** 2)
            row = {"mean": Q2.mean, "error": Q2.error, "tau": Q2.tau, "exact": exact, "draws": draws}
            rows[f"beta {beta} {name}"] = row | {"sigma": (Q2.mean - exact) / Q2.error, "text": str(Q2)}
            head = {"seed": SEED, "command": " ".join(sys.argv), "commit": commit}
            path.write_text(json.dumps(head | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
