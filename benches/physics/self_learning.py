"""Self-learning HMC of SU(2), staggered Nf = 4, 4^4, beta = 2.7, m = 0.3 (arXiv 2103.11965): what training gains.

Averages of HMC and of trained self-learning HMC beside the reference values; untrained acceptances by the mass of the
proposal; trained ones by network, loss and seed. Results go to self_learning.json after every run, so that a stopped
table is continued, not begun again.

    python benches/physics/self_learning.py [--part averages|untrained|trained] [--seeds 3]
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq

OUTPUT = Path(__file__).with_suffix(".json")
BETA, MASS, STEPS = 2.7, 0.3, 8
REFERENCE = {"plaquette": [0.70280, 0.00026], "polyakov": [0.415, 0.009], "condensate": [0.4232, 0.0005]}
UNTRAINED = {"0.3": 0.983, "0.4": 0.555, "0.5": 0.147, "0.75": 0.003, "1.0": 0.0}
PUBLISHED = ["plaquette", "polyakov_t", "polyakov_s"]


def quark(mass):
    return pq.actions.Pseudofermion(pq.dirac.Staggered(mass=mass), n_flavors=4)


def layers(name):
    kinds = {
        "plaquette": [pq.StoutLayer(["plaquette"])],
        "published x 1": [pq.StoutLayer(PUBLISHED)],
        "published x 2": [pq.StoutLayer(PUBLISHED)] * 2,
        "published x 3": [pq.StoutLayer(PUBLISHED)] * 3,
        "plaquette + attention": [pq.StoutLayer(["plaquette"]), pq.AttentionLayer(["plaquette"])],
    }
    return kinds[name]


NETWORKS = ["none", "plaquette", "published x 1", "published x 2", "published x 3", "plaquette + attention"]


def sampler(mass, network, factor):
    heavy = quark(mass) if network == "none" else pq.actions.Mapped(quark(mass), pq.CovariantNet(layers(network)))
    heavy = pq.actions.Scaled(heavy) if factor else heavy
    wilson = pq.actions.Wilson(BETA)
    return pq.SelfLearningHMC(wilson + quark(MASS), wilson + heavy, steps=STEPS)


def polyakov(U):
    return abs(pq.observables.polyakov(U))


class Noisy:
    """The condensate with noise of its own for every configuration."""

    def __init__(self):
        self.count = 0

    def __call__(self, U):
        self.count += 1
        D = pq.dirac.Staggered(mass=MASS).on(U)
        return pq.observables.chiral_condensate(D, noise="Z2", n_noise=4, rng=self.count).mean


def start(seed):
    U = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=seed)
    return pq.HMC(pq.actions.Wilson(BETA) + quark(MASS), steps=STEPS).run(U, 100, rng=seed, progress=False).state


def averages(seed):
    hmc = pq.HMC(pq.actions.Wilson(BETA) + quark(MASS), steps=STEPS)
    untrained, trained = sampler(0.4, "none", False), sampler(0.4, "published x 2", True)
    U = start(seed)
    history = train(trained, U, seed)
    rows = {}
    for name, made in {"HMC": hmc, "SLHMC untrained": untrained, "SLHMC trained": trained}.items():
        begun = time.time()
        measured = {"plaquette": pq.observables.plaquette, "polyakov": polyakov, "condensate": Noisy()}
        chain = made.run(U, 4000, warmup=50, observables=measured, rng=seed + 10, progress=False)
        row = {"acceptance": chain.acceptance, "trajectories": len(chain)}
        found = {observable: chain.estimate(observable) for observable in measured}
        found["exp_minus_delta_h"] = pq.statistics.estimate(chain.info["exp_minus_delta_h"])
        row |= {observable: [each.mean, each.error, each.tau] for observable, each in found.items()}
        row["solver_iterations"] = float(np.mean(chain.info["solver_iterations"]))
        row["seconds"] = float(np.median(chain.info["seconds"]))
        row["total_seconds"] = time.time() - begun
        row["histogram"] = {o: [part.tolist() for part in np.histogram(chain[o], 30)] for o in measured}
        rows[name] = row
        print(name, {k: v for k, v in row.items() if k != "histogram"}, flush=True)
    rows["training"] = {"loss": history.loss.tolist(), "acceptance": history.acceptance.tolist()}
    rows["parameters"] = trained.parameters.tolist()
    return rows


def train(made, U, seed, loss="change", steps=400, batch=4):
    rule = pq.optimizers.Adam(3e-3, schedule=pq.optimizers.Cosine(steps))
    return made.train(U, loss=loss, steps=steps, batch=batch, optimizer=rule, rng=seed, progress=False)


def row(mass, network, factor, loss, seed):
    made, U = sampler(mass, network, factor), start(seed)
    history = train(made, U, seed, loss) if len(made.parameters) else None
    chain = made.run(U if history is None else made.trained, 500, rng=seed + 20, progress=False)
    acceptance = pq.statistics.estimate(chain.info["accepted"].astype(float)) if 0 < chain.acceptance < 1 else None
    return {
        "acceptance": chain.acceptance,
        "error": None if acceptance is None else acceptance.error,
        "loss": None if history is None else float(history.loss[-40:].mean()),
        "parameters": made.parameters.tolist(),
        "seconds": float(np.median(chain.info["seconds"])),
    }


def commit():
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["averages", "untrained", "trained"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    table = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    table |= {"reference": REFERENCE, "reference_untrained": UNTRAINED}
    jobs = []
    if options.part in (None, "untrained"):
        jobs += [("untrained", (mass, "none", False, "change", 1)) for mass in (0.3, 0.4, 0.5, 0.75, 1.0)]
    if options.part in (None, "averages"):
        jobs.append(("averages", (1,)))
    if options.part in (None, "trained"):
        cases = [(n, f) for n in NETWORKS for f in (False, True) if n != "none" or f]
        jobs += [
            ("trained", (mass, n, f, "change", seed))
            for seed in range(1, options.seeds + 1)
            for mass in (0.4, 0.5)
            for n, f in cases
        ]
        jobs += [("trained", (0.4, "published x 2", f, "mean_square", 1)) for f in (False, True)]
        jobs += [("trained", (mass, "published x 2", True, "change", 1)) for mass in (0.75, 1.0)]
    for part, arguments in jobs:
        key = " ".join(map(str, arguments))
        if key in table.setdefault(part, {}):
            continue
        result = averages(*arguments) if part == "averages" else row(*arguments)
        result |= {"command": "python " + " ".join(sys.argv), "commit": commit()}
        table[part][key] = result
        OUTPUT.write_text(json.dumps(table, indent=1) + "\n")
        if part != "averages":
            print(part, key, result["acceptance"], result["loss"], flush=True)


if __name__ == "__main__":
    main()
