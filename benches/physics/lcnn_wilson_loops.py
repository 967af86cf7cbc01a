"""Wilson loops of 2D SU(2) learned by L-CNNs on 8x8 lattices, tested up to 64x64: the regression of arXiv 2012.12901.

Writes lcnn_wilson_loops.json beside this file: command, commit, seeds, all mean squared errors, their medians beside
the published ones, and what a random gauge transformation changes. Takes about 15 minutes:
python benches/physics/lcnn_wilson_loops.py
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
from plaq.lcnn import LCB, Dense, Loops, Trace

SEED = 201212901
BETAS = np.linspace(0.1, 6.0, 10)
WARMUP, BETWEEN = 100, 5
# Lattice -> configurations of each beta.
TESTS = {8: 100, 16: 20, 32: 10, 64: 5}
TRAIN, HELD = 200, 20
# Channels and kernels of the smallest networks of the authors' program, learning rate, epochs, seeds, published errors.
TASKS = {
    "1x1": {"loop": (1, 1), "kernels": (2,), "rate": 3e-3, "epochs": 100, "seeds": 5, "published": None, "cnn": None},
    "1x2": {
        "loop": (1, 2),
        "kernels": (2,),
        "rate": 3e-3,
        "epochs": 100,
        "seeds": 5,
        "published": 2.1e-9,
        "cnn": 2.0e-3,
    },
    "2x2": {
        "loop": (2, 2),
        "kernels": (2, 2),
        "rate": 1e-3,
        "epochs": 100,
        "seeds": 5,
        "published": 1.1e-8,
        "cnn": 4.0e-3,
    },
    "4x4": {
        "loop": (4, 4),
        "kernels": (2, 2, 3, 3),
        "rate": 1e-3,
        "epochs": 300,
        "seeds": 5,
        "published": 1.4e-7,
        "cnn": 4.2e-3,
    },
}


def configurations(size, count, seed):
    """`count` configurations of each beta by heatbath and overrelaxation."""
    fields = []
    for k, beta in enumerate(BETAS):
        sampler, generator = (
            pq.Heatbath(pq.actions.Wilson(beta), overrelaxation=1),
            np.random.default_rng([seed, size, k]),
        )
        U = pq.GaugeField.hot((size, size), "SU(2)", rng=generator)
        for sweep in range(WARMUP + BETWEEN * count):
            U, _ = sampler.step(U, rng=generator)
            if sweep >= WARMUP and (sweep - WARMUP) % BETWEEN == BETWEEN - 1:
                fields.append(U)
    return fields


def loops(fields, r, t):
    """Re tr W / N of the r x t loop on every site."""
    path = [1] * r + [2] * t + [-1] * r + [-2] * t
    return [pq.observables.loop_density(U, path).real for U in fields]


def network(kernels, seed):
    channels = [1] + [2] * len(kernels)
    layers = [LCB(a, b, kernel) for a, b, kernel in zip(channels, channels[1:], kernels, strict=False)]
    return pq.LCNN([Loops(), *layers, Trace(), Dense(4, 1)], ndim=2, group="SU(2)", rng=seed)


def errors(net, fields, targets):
    """Mean squared errors of lattice means and of single sites."""
    difference = net(fields)[..., 0] - np.array(targets)
    return {"mean": float(np.mean(difference.mean(axis=(1, 2)) ** 2)), "site": float(np.mean(difference**2))}


def attack(net, fields):
    """Largest change of a lattice mean by a random gauge transformation, relative to the largest mean."""
    before = net(fields).mean(axis=(1, 2, 3))
    after = net([U.random_gauge_transform(rng=n) for n, U in enumerate(fields)]).mean(axis=(1, 2, 3))
    return float(np.abs(after - before).max() / np.abs(before).max())


def study(name, task, data, seeds):
    r, t = task["loop"]
    train, held = ((fields, loops(fields, r, t)) for fields in (data["train"], data["held"]))
    tests = {size: (data[size], loops(data[size], r, t)) for size in TESTS}
    runs = []
    for seed in range(1, seeds + 1):
        net, start = network(task["kernels"], seed), time.process_time()
        rule = pq.optimizers.AdamW(task["rate"], weight_decay=0.0)
        options = {"epochs": task["epochs"], "batch": 50, "patience": task["epochs"] // 4, "rng": seed}
        history = net.fit(*train, validation=held, optimizer=rule, progress=False, **options)
        run = {"seed": seed, "epochs": history.records, "cpu_seconds": time.process_time() - start}
        run |= {"validation": float(history.validation.min()), "gauge": attack(net, data[8][:100])}
        run |= {"errors": {size: errors(net, *test) for size, test in tests.items()}}
        runs.append(run)
        sys.stdout.write(f"{name} seed {seed}: {run}\n")
        sys.stdout.flush()
    medians = {
        size: {k: float(np.median([run["errors"][size][k] for run in runs])) for k in ("mean", "site")}
        for size in TESTS
    }
    spread = {size: float(np.var([y.mean() for y in targets])) for size, (_, targets) in tests.items()}
    summary = {"parameters": network(task["kernels"], 1).n_parameters, "medians": medians, "variance_of_target": spread}
    published = {"lcnn": task["published"], "best_cnn": task["cnn"], "source": "arXiv 2012.12901"}
    gauge = max(run["gauge"] for run in runs)
    return (
        {k: v for k, v in task.items() if k not in ("published", "cnn")}
        | summary
        | {
            "published": published,
            "largest_change_by_a_gauge_transformation": gauge,
            "runs": runs,
        }
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, help="by default those of the table")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    start = time.process_time()
    data = {"train": configurations(8, TRAIN, SEED), "held": configurations(8, HELD, SEED + 1)}
    data |= {size: configurations(size, count, SEED + 2) for size, count in TESTS.items()}
    facts = {"command": "python " + " ".join(sys.argv), "commit": commit, "version": pq.__version__, "seed": SEED}
    setup = {"betas": BETAS.tolist(), "train_per_beta": TRAIN, "held_per_beta": HELD, "tests_per_beta": TESTS}
    setup |= {"warmup": WARMUP, "sweeps_between": BETWEEN, "data_cpu_seconds": time.process_time() - start}
    tasks = {}
    for name in options.tasks:
        tasks[name] = study(name, TASKS[name], data, options.seeds or TASKS[name]["seeds"])
        content = facts | {"setup": setup, "cpu_seconds": time.process_time() - start, "tasks": tasks}
        options.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
