"""Self-learning HMC of SU(2), staggered Nf = 4, 4^4, beta = 2.7, m = 0.3 (arXiv 2103.11965): what training gains.

- averages: of HMC and of trained self-learning HMC beside the reference values;
- untrained: acceptances by the mass of the proposal;
- trained: acceptance and <dH^2> of frozen chains by network, mass and seed, and how they depend on loss, optimiser,
  length and start of the training;
- bounds: <dH^2> that the best small change of coefficients leaves, by linear regression.

Trainings and the chains that judge them have random numbers of their own. Results go to self_learning.json after every
row, so that a stopped table is continued, not begun again.

    python benches/physics/self_learning.py [--part averages|untrained|trained|trainings|bounds] [--seeds 3]
"""

import argparse
import json
import math
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import plaq as pq
import provenance

OUTPUT = Path(__file__).with_suffix(".json")
BETA, MASS, STEPS = 2.7, 0.3, 8
STEPS_OF_TRAINING, FROZEN = 150, 300
NEAR, FAR = 3e-3, 1e-2
"""Learning rates at mass 0.4 and beyond, where the coefficients have farther to go: a factor of 1.2 at 0.5."""
REFERENCE = {"plaquette": [0.70280, 0.00026], "polyakov": [0.415, 0.009], "condensate": [0.4232, 0.0005]}
UNTRAINED = {"0.3": 0.983, "0.4": 0.555, "0.5": 0.147, "0.75": 0.003, "1.0": 0.0}
PUBLISHED = ["plaquette", "polyakov_t", "polyakov_s"]


def quark(mass):
    return pq.actions.Pseudofermion(pq.dirac.Staggered(mass=mass), n_flavors=4)


def layers(name):
    """A network by its name: "published x 2" are two layers."""
    loops, _, rest = name.partition(" ")
    if rest.startswith("x "):
        kinds = {"plaquette": ["plaquette"], "published": PUBLISHED, "more": [*PUBLISHED, "rectangle"]}
        return [pq.StoutLayer(kinds[loops])] * int(rest[2:])
    form = rest.removeprefix("+ attention ")
    return [pq.StoutLayer(["plaquette"]), pq.AttentionLayer(["plaquette"], form=form)]


STOUT = [f"{loops} x {count}" for loops in ("plaquette", "published") for count in (1, 2, 3)]
ATTENTION = [f"plaquette + attention {form}" for form in ("symmetric", "score", "authors")]


def sampler(mass, network, factor, gauge=False, rho=0.0):
    """With a trained factor of the quarks; `gauge`: and one of the Wilson action. All of rho at the start."""
    heavy = quark(mass) if network == "none" else pq.actions.Mapped(quark(mass), pq.CovariantNet(layers(network)))
    heavy = pq.actions.Scaled(heavy) if factor else heavy
    wilson = pq.actions.Wilson(BETA)
    made = pq.SelfLearningHMC(
        wilson + quark(MASS), (pq.actions.Scaled(wilson) if gauge else wilson) + heavy, steps=STEPS
    )
    made.parameters = np.where(made.parameters == 0.0, rho, made.parameters)
    return made


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


def train(made, U, seed, loss="change", steps=400, batch=4, rule=None, rate=NEAR):
    rule = (rule or pq.optimizers.Adam)(rate, schedule=pq.optimizers.Cosine(steps))
    return made.train(U, loss=loss, steps=steps, batch=batch, optimizer=rule, rng=seed, progress=False)


def row(made, seed, loss="change", **settings):
    """Trained, then frozen."""
    U, begun = start(seed), time.process_time()
    history = train(made, U, seed, loss, **settings) if len(made.parameters) else None
    trained = time.process_time()
    chain = made.run(U if history is None else made.trained, FROZEN, rng=seed + 20, progress=False)
    acceptance = pq.statistics.estimate(chain.info["accepted"].astype(float)) if 0 < chain.acceptance < 1 else None
    squares = np.minimum(np.asarray(chain.info["delta_h"], float) ** 2, 1e6)
    return {
        "acceptance": chain.acceptance,
        "error": None if acceptance is None else acceptance.error,
        "loss": None if history is None else float(history.loss[-40:].mean()),
        "frozen": [float(squares.mean()), float(squares.std() / np.sqrt(len(squares)))],
        "parameters": made.parameters.tolist(),
        "trajectories": [0 if history is None else settings.get("steps", 400) * settings.get("batch", 4), FROZEN],
        "rate": settings.get("rate", NEAR),
        "seconds": float(np.median(chain.info["seconds"])),
        "processor": [trained - begun, time.process_time() - trained],
    }


TRAININGS = {
    "mean_square, as published": {"loss": "mean_square"},
    "variance": {"loss": "variance", "batch": 16, "steps": 150},
    "force": {"loss": "force"},
    "change": {},
    "change, 6 times as long": {"steps": 1200},
    "change, rate 0.02": {"rate": 2e-2},
    "change, SGD": {"rule": pq.optimizers.SGD, "rate": 1e-4},
    "change, batch 32": {"batch": 32, "steps": 60, "rate": 1e-2},
    "change, from rho = 0.05": {"rho": 0.05},
    "change, from rho = -0.05": {"rho": -0.05},
    "change, rectangles too": {"network": "more x 2"},
    "change, and a factor of the Wilson action": {"gauge": True},
}
"""Two layers of published loops and a factor, mass 0.4, trained in other ways."""


def training(name, seed):
    """One of them."""
    given = {"network": "published x 2", "gauge": False, "rho": 0.0, "steps": STEPS_OF_TRAINING} | TRAININGS[name]
    made = sampler(0.4, given.pop("network"), True, given.pop("gauge"), given.pop("rho"))
    return row(made, seed, **given)


def bounds(mass, count=2500, seed=5):
    """What remains of d, the change of S(proposal) - S(target) in a trajectory, after regression on the changes of its
    derivatives with respect to coefficients of one layer: coefficients from one half of the trajectories, <d^2> of the
    other. Acceptances are those of a Gaussian with <exp(-d)> = 1, so <d^2> = s^2 + s^4/4: erfc(s/sqrt 8).
    """
    names = ["wilson", "factor", *PUBLISHED, "rectangle"]
    net = pq.CovariantNet([pq.StoutLayer(names[2:])])
    heavy = pq.actions.Scaled(pq.actions.Mapped(quark(mass), net), {0.4: 1.09, 0.5: 1.2}[mass])
    wilson = pq.actions.Wilson(BETA)
    made = pq.SelfLearningHMC(wilson + quark(MASS), pq.actions.Scaled(wilson) + heavy, steps=STEPS)
    field, changes, slopes = start(seed)._core, [], []
    for n in range(count):
        field, _, (values, gradients) = made._core.learn(field, seed, n, made.parameters, False)
        changes.append(values[1] - values[0])
        slopes.append(gradients[1] - gradients[0])
    d, G = np.array(changes), np.array(slopes) / np.std(slopes, axis=0)
    halves = [slice(0, count // 2), slice(count // 2, None)]
    found = {}
    for label, columns in {
        "no change": [],
        "factor": [1],
        "published": [2, 3, 4],
        "published and factor": [1, 2, 3, 4],
        "rectangles too": [1, 2, 3, 4, 5],
        "factors of quarks and Wilson action": [0, 1],
        "all": list(range(6)),
    }.items():
        left = []
        for own, other in (halves, halves[::-1]):
            theta = np.linalg.lstsq(G[own][:, columns], -d[own], rcond=None)[0]
            left.append(float(np.mean((d[other] + G[other][:, columns] @ theta) ** 2)))
        found[label] = {"remains": left, "acceptance": math.erfc(math.sqrt((math.sqrt(1 + np.mean(left)) - 1) / 4))}
    return {"rows": found, "trajectories": count, "seed": seed}


def jobs(part, seeds):
    """Keys of rows and what makes them."""
    numbers = range(1, seeds + 1)
    if part == "untrained":
        masses = (0.3, 0.4, 0.5, 0.75, 1.0)
        return {
            f"{m} none False change {n}": partial(row, sampler(m, "none", False), n) for m in masses for n in numbers
        }
    if part == "averages":
        return {"1": partial(averages, 1)}
    if part == "trainings":
        return {f"{name}, seed {n}": partial(training, name, n) for n in numbers for name in TRAININGS}
    if part == "bounds":
        return {str(mass): partial(bounds, mass) for mass in (0.4, 0.5)}
    cases = [(mass, name, True) for mass in (0.4, 0.5) for name in ["none", *STOUT]]
    cases += [(mass, "published x 2", True) for mass in (0.75, 1.0)]
    cases += [(mass, name, False) for mass in (0.4, 0.5) for name in ("plaquette x 1", *STOUT[3:])]
    cases += [(mass, name, True) for mass in (0.4, 0.5) for name in ATTENTION]
    cases += [(mass, ATTENTION[0], False) for mass in (0.4, 0.5)]
    return {
        f"{mass} {name} {factor} change {seed}": partial(
            row, sampler(mass, name, factor), seed, steps=STEPS_OF_TRAINING, rate=NEAR if mass == 0.4 else FAR
        )
        for mass, name, factor in cases
        for seed in numbers
    }


PARTS = ("untrained", "averages", "bounds", "trainings", "trained")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    pq.set_num_threads(1)
    table = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    table |= {"reference": REFERENCE, "reference_untrained": UNTRAINED}
    for part in [options.part] if options.part else PARTS:
        for key, made in jobs(part, options.seeds).items():
            done = table.setdefault(part, {}).get(key)
            if options.only not in key or (done and (part not in ("untrained", "trained") or "frozen" in done)):
                continue
            table[part][key] = made() | {"command": "python " + " ".join(sys.argv), "commit": provenance.commit()}
            OUTPUT.write_text(json.dumps(table, indent=1) + "\n")
            found = table[part][key]
            print(part, key, {k: found.get(k) for k in ("acceptance", "frozen", "loss", "processor")}, flush=True)


if __name__ == "__main__":
    main()
