"""Dynamical staggered quarks: published plaquettes, SU(3) with two flavours by RHMC, where self-learning HMC pays.

- starts: SU(3), beta = 5.7, m = 0.5, 8^4, Nf = 4 and 2, from a cold and from a quenched field, against averages of
  recorded histories of LatticeQCD.jl.
- two_flavours: SU(3), beta = 5.7, m = 0.5, 4^4, Nf = 2: HMC, and self-learning HMC with a quark of mass 0.6.
- pays: SU(2), beta = 2.7, Nf = 4, 4^4 and 8^4, light and heavy masses, heavier proposals with a trained factor.
- light: the light mass of them on 8^4 alone, longer and with one proposal more.
- eight: SU(2), beta = 1.65, m = 0.015, 8^4, Nf = 8 in two factors, against averages of a recorded history.

Seconds are those of the processor. Chains run in pieces; dynamical_quarks.json is written after every piece, so that
a stopped run keeps what it has.

    python benches/physics/dynamical_quarks.py [--part starts|two_flavours|pays|light|eight] [--minutes 20]
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import plaq as pq
import provenance

OUTPUT = Path(__file__).with_suffix(".json")
PLAQUETTE = {"4": [0.5742, 0.0005], "2": [0.5632, 0.0010]}
TWO_FLAVOURS = [0.5683, 0.0010]
EIGHT = {"plaquette": [0.54238, 0.00006], "condensate": [0.06417, 0.00012], "polyakov": [0.0503, 0.0009]}
MASSES = {0.3: (1.1,), 0.05: (1.25,)}
"""Masses of the quarks, and how much heavier those of the proposals are."""
BLOCK = 100
"""Trajectories whose averages show whether a chain still wanders."""
PUBLISHED = ["plaquette", "polyakov_t", "polyakov_s"]


def quark(mass, n_flavors):
    return pq.actions.Pseudofermion(pq.dirac.Staggered(mass=mass), n_flavors=n_flavors)


def estimate(series):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pq.statistics.estimate(np.asarray(series, float))
    return [found.mean, found.error, found.tau, found.tau_error]


class Run:
    """One chain in pieces, its averages kept in a row of the table."""

    def __init__(self, table, key, sampler, start, seed, facts, skip=0, observables=None, least=50):
        self.table, self.key, self.sampler, self.state, self.facts = table, key, sampler, start, facts
        self.observables = observables or {"plaquette": pq.observables.plaquette}
        self.seed, self.pieces, self.processor, self.kept, self.skip = seed, 0, 0.0, {}, skip
        self.least = skip + least

    def more(self, draws):
        self.pieces += 1
        begun = time.process_time()
        settings = {"observables": self.observables, "rng": 1000 * self.seed + self.pieces, "progress": False}
        chain = self.sampler.run(self.state, draws, **settings)
        self.state = chain.state
        self.processor += time.process_time() - begun
        found = {name: chain.info[name] for name in ("accepted", "exp_minus_delta_h", "solver_iterations")}
        for name, values in (found | {name: chain[name] for name in self.observables}).items():
            self.kept.setdefault(name, []).extend(np.asarray(values, float).tolist())
        count = len(self.kept["plaquette"])
        if count < self.least:
            return
        kept = {name: values[self.skip :] for name, values in self.kept.items()}
        row = {name: estimate(kept[name]) for name in (*self.observables, "exp_minus_delta_h")}
        blocks = np.asarray(kept["plaquette"][: (count - self.skip) // BLOCK * BLOCK]).reshape(-1, BLOCK)
        row |= {"trajectories": count, "left_out": self.skip, "blocks": blocks.mean(axis=1).tolist()}
        row["acceptance"] = float(np.mean(kept["accepted"]))
        row["solver_iterations"] = float(np.mean(kept["solver_iterations"]))
        row["seconds"] = self.processor / count
        row |= self.facts | {
            "seed": self.seed,
            "command": "python " + " ".join(sys.argv),
            "commit": provenance.commit() or "unknown",
        }
        self.table[self.key] = row
        print(self.key, {k: v for k, v in row.items() if k not in ("command", "commit")}, flush=True)


def together(runs, draws, piece, until, save):
    """Pieces in turn, until all have their draws or time is up."""
    while time.process_time() < until and any(run.pieces * piece < draws for run in runs):
        for run in runs:
            if run.pieces * piece < draws:
                run.more(piece)
                save()


def starts(table, until, save, seed=3):
    """From a cold start, as the recorded histories, and from a thermalised quenched field."""
    wilson = pq.actions.Wilson(5.7)
    for n_flavors in (4, 2):
        hmc = pq.HMC(wilson + quark(0.5, n_flavors), steps=7, length=1.0, levels=[(wilson, 2)])
        facts = {"reference": PLAQUETTE[str(n_flavors)]}
        hot = pq.GaugeField.hot((8, 8, 8, 8), "SU(3)", rng=seed)
        quenched = pq.Heatbath(wilson, overrelaxation=3).run(hot, 1, warmup=60, rng=seed, progress=False).state
        begin = {"cold": pq.GaugeField.cold((8, 8, 8, 8), "SU(3)"), "quenched": quenched}
        runs = [
            Run(table, f"{name} start, Nf {n_flavors}", hmc, start, seed + n, facts, skip=100)
            for n, (name, start) in enumerate(begin.items())
        ]
        together(runs, 600, 10, until, save)


def two_flavours(table, until, save):
    """Three trainings with chains of their own; those that are there stay."""
    for seed in (1, 2, 3):
        end = time.process_time() + (until - time.process_time()) / (4 - seed)
        if named("training", seed) not in table:
            one_training(table, end, save, seed)


def named(name, seed):
    return name if seed == 1 else f"{name}, seed {seed}"


def one_training(table, until, save, seed):
    wilson = pq.actions.Wilson(5.7)
    target, steps = wilson + quark(0.5, 2), 8
    hmc = pq.HMC(target, steps=steps)
    start = pq.GaugeField.hot((4, 4, 4, 4), "SU(3)", rng=seed)
    start = hmc.run(start, 1, warmup=80, rng=seed, progress=False).state
    heavy = quark(0.6, 2)
    net = pq.CovariantNet([pq.StoutLayer(PUBLISHED)] * 2)
    untrained = pq.SelfLearningHMC(target, wilson + heavy, steps=steps)
    trained = pq.SelfLearningHMC(target, wilson + pq.actions.Scaled(pq.actions.Mapped(heavy, net)), steps=steps)
    rule = pq.optimizers.Adam(3e-3, schedule=pq.optimizers.Cosine(60))
    begun = time.process_time()
    history = trained.train(start, loss="change", steps=60, batch=4, optimizer=rule, rng=seed, progress=False)
    table[named("training", seed)] = {
        "loss": history.loss.tolist(),
        "parameters": trained.parameters.tolist(),
        "seconds": time.process_time() - begun,
    }
    save()
    facts = {"reference": TWO_FLAVOURS}
    runs = [
        Run(table, named(name, seed), made, start, 3 * seed - 2 + n, facts)
        for n, (name, made) in enumerate({"HMC": hmc, "SLHMC trained": trained, "SLHMC untrained": untrained}.items())
    ]
    together(runs, 400, 25, until, save)


def pays(table, until, save, seed=1):
    systems = [((8, 8, 8, 8), 100, 10), ((4, 4, 4, 4), 1000, 100)]
    for n, (shape, draws, piece) in enumerate(systems):
        for k, (mass, heavier) in enumerate(MASSES.items()):
            end = time.process_time() + (until - time.process_time()) / (len(MASSES) * (len(systems) - n) - k)
            side_by_side(table, shape, mass, heavier, draws, piece, end, save, seed)


def light(table, until, save, seed=1):
    side_by_side(table, (8, 8, 8, 8), 0.05, (1.25, 1.5), 800, 20, until, save, seed)


def side_by_side(table, shape, mass, heavier, draws, piece, until, save, seed):
    """HMC and self-learning HMC with proposals so many times heavier."""
    wilson, steps = pq.actions.Wilson(2.7), 6
    target = wilson + quark(mass, 4)
    hmc = pq.HMC(target, steps=steps)
    start = pq.Heatbath(wilson).run(pq.GaugeField.hot(shape, "SU(2)", rng=seed), 1, warmup=50, rng=seed, progress=False)
    start = hmc.run(start.state, 1, warmup=20, rng=seed, progress=False).state
    name = f"{shape[0]}^4, mass {mass}"
    facts = {"mass": mass, "shape": shape, "steps": steps}
    runs = [Run(table, f"{name}, HMC", hmc, start, seed, facts)]
    for n, ratio in enumerate(heavier):
        made = pq.SelfLearningHMC(target, wilson + pq.actions.Scaled(quark(mass * ratio, 4)), steps=steps)
        rule = pq.optimizers.Adam(2e-2, schedule=pq.optimizers.Cosine(12))
        made.train(start, loss="change", steps=12, batch=2, optimizer=rule, rng=seed, progress=False)
        more = facts | {"ratio": ratio, "factor": float(made.parameters[0])}
        runs.append(Run(table, f"{name}, ratio {ratio:g}", made, start, seed + 1 + n, more))
    together(runs, draws, piece, until, save)


class Condensate:
    """tr D^-1/V, colour summed, by noise of its own for every configuration."""

    def __init__(self, mass):
        self.mass, self.count = mass, 0

    def __call__(self, U):
        self.count += 1
        D = pq.dirac.Staggered(mass=self.mass).on(U)
        return pq.observables.chiral_condensate(D, noise="Z2", n_noise=2, rng=self.count).mean


def eight(table, until, save, seed=8):
    """From a quenched field of about the same plaquette and from a cold one, with more steps at first."""
    wilson, mass = pq.actions.Wilson(1.65), 0.015
    quarks = pq.actions.Pseudofermion(pq.dirac.Staggered(mass=mass), n_flavors=8, hasenbusch=[0.12])
    _, heavy = quarks.terms()
    fine, hmc = (pq.HMC(wilson + quarks, steps=steps, levels=[(heavy, 2), (wilson, 2)]) for steps in (8, 4))
    hot = pq.GaugeField.hot((8, 8, 8, 8), "SU(2)", rng=seed)
    quenched = pq.Heatbath(pq.actions.Wilson(2.12)).run(hot, 1, warmup=60, rng=seed, progress=False).state
    begin = {"quenched": quenched, "cold": pq.GaugeField.cold((8, 8, 8, 8), "SU(2)")}
    facts = {"reference": EIGHT, "hasenbusch": [0.12], "steps": [4, 2, 2], "first": 30}
    runs = []
    for n, (name, field) in enumerate(begin.items()):
        measured = {
            "plaquette": pq.observables.plaquette,
            "polyakov": lambda U: abs(pq.observables.polyakov(U)),
            "condensate": Condensate(mass),
        }
        field = fine.run(field, 1, warmup=facts["first"] - 1, rng=seed + n, progress=False).state
        runs.append(Run(table, f"{name} start", hmc, field, seed + n, facts, skip=100, observables=measured))
    together(runs, 2000, 10, until, save)


PARTS = {"starts": starts, "two_flavours": two_flavours, "pays": pays, "light": light, "eight": eight}
TABLES = {"light": "pays"}
"""Where rows of a part stand that has no table of its own."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="of the processor, after which no piece is begun, for each part"
    )
    options = parser.parse_args()
    for name in [options.part] if options.part else PARTS:
        stored = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
        table = stored.setdefault(TABLES.get(name, name), {})
        PARTS[name](
            table,
            time.process_time() + 60 * options.minutes,
            lambda stored=stored: OUTPUT.write_text(json.dumps(stored, indent=1) + "\n"),
        )


if __name__ == "__main__":
    main()
