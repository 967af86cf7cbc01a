"""Autocorrelation times of the topological charge in 2D U(1) at fixed physical volume, V = 64 beta.

Writes `u1_critical_slowing_down.npz` next to this file: a table for HMC and heatbath, two stretches of charge history,
and the seed, command, commit and versions that made them. About five minutes on one core:

    python benches/physics/u1_critical_slowing_down.py
"""

import argparse
import json
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import plaq as pq

HERE = Path(__file__).parent
SHAPES = ((8, 8), (12, 8), (12, 12), (16, 12), (16, 16), (20, 16), (20, 20))
SHOWN = ((12, 8), (20, 16))
SHOWN_DRAWS = 4000
WARMUP = 2000


def beta_of(shape: tuple[int, int]) -> float:
    return shape[0] * shape[1] / 64


def samplers(beta: float) -> dict[str, pq.Sampler[pq.GaugeField]]:
    action = pq.actions.Wilson(beta)
    return {"hmc": pq.HMC(action, length=1.0, steps=8, integrator="omelyan2"), "heatbath": pq.Heatbath(action)}


def sample(sampler: pq.Sampler[pq.GaugeField], shape: tuple[int, int], draws: int, seed: int) -> pq.Chain:
    observables = {
        "plaquette": pq.observables.plaquette,
        "charge": lambda links: pq.observables.topological_charge(links, "geometric"),
    }
    start = pq.GaugeField.hot(shape, "U(1)", rng=seed)
    return sampler.run(start, draws, warmup=WARMUP, observables=observables, rng=seed, progress=False)


def row(chain: pq.Chain) -> list[float]:
    plaquette, charge = chain.estimate("plaquette"), pq.statistics.estimate(chain["charge"])
    squared = pq.statistics.estimate(chain["charge"] ** 2)
    return [
        *(plaquette.mean, plaquette.error, plaquette.tau, plaquette.tau_error),
        *(squared.mean, squared.error, squared.tau, squared.tau_error),
        *(charge.tau, charge.tau_error, chain.acceptance),
    ]


COLUMNS = [
    *("plaquette", "plaquette_error", "tau_plaquette", "tau_plaquette_error"),
    *("charge2", "charge2_error", "tau_charge2", "tau_charge2_error"),
    *("tau_charge", "tau_charge_error", "acceptance"),
]


def provenance(draws: int, seed: int) -> dict[str, Any]:
    """What made the file; the commit is the last one that changed the package."""
    command = ["git", "log", "-1", "--format=%H", "--", "src", "python", "Cargo.lock"]
    commit = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=True)
    return {
        "command": f"python benches/physics/{Path(__file__).name} --draws {draws} --seed {seed}",
        "commit": commit.stdout.strip(),
        "seed": seed,
        "draws": draws,
        "warmup": WARMUP,
        "samplers": "HMC: omelyan2, length 1, 8 steps; heatbath without overrelaxation",
        "plaq": pq.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--output", type=Path, default=HERE / "u1_critical_slowing_down.npz")
    options = parser.parse_args()
    pq.set_num_threads(1)
    arrays: dict[str, Any] = {"shape": np.array(SHAPES), "beta": np.array([beta_of(shape) for shape in SHAPES])}
    origin = json.dumps(provenance(options.draws, options.seed))
    tables: dict[str, list[list[float]]] = {"hmc": [], "heatbath": []}
    for shape in SHAPES:
        for name, sampler in samplers(beta_of(shape)).items():
            chain = sample(sampler, shape, options.draws, options.seed)
            tables[name].append(row(chain))
            if shape in SHOWN:
                history = np.round(chain["charge"][:SHOWN_DRAWS]).astype(np.int8)
                arrays[f"{name}_history_{shape[0]}x{shape[1]}"] = history
            print(shape, name, *(f"{value:.5g}" for value in tables[name][-1]), flush=True)
    np.savez_compressed(options.output, columns=np.array(COLUMNS), provenance=origin, **tables, **arrays)


if __name__ == "__main__":
    main()
