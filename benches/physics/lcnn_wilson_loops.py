"""Wilson loops of 2D SU(2) learned by L-CNNs on 8x8 lattices, tested up to 64x64: the regression of arXiv 2012.12901.

Writes lcnn_wilson_loops.json beside this file: command, commit, seeds, all mean squared errors, their medians beside
the published ones, and what a random gauge transformation changes. Takes about 15 minutes of one core; an interrupted
run goes on: python benches/physics/lcnn_wilson_loops.py
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


def trained(name, task, data, seed):
    """One network: what was reached, on every lattice."""
    r, t = task["loop"]
    pairs = {key: (fields, loops(fields, r, t)) for key, fields in data.items()}
    net, start = network(task["kernels"], seed), time.process_time()
    rule = pq.optimizers.AdamW(task["rate"], weight_decay=0.0)
    options = {"epochs": task["epochs"], "batch": 50, "patience": task["epochs"] // 4, "rng": seed}
    history = net.fit(*pairs["train"], validation=pairs["held"], optimizer=rule, progress=False, **options)
    run = {"seed": seed, "epochs": history.records, "cpu_seconds": time.process_time() - start}
    run |= {"validation": float(history.validation.min()), "gauge": attack(net, data[8][:100])}
    return run | {"errors": {str(size): errors(net, *pairs[size]) for size in TESTS}}


def summary(task, runs):
    """Medians over seeds beside the published errors."""
    median = {
        str(size): {
            kind: float(np.median([run["errors"][str(size)][kind] for run in runs])) for kind in ("mean", "site")
        }
        for size in TESTS
    }
    return {
        **{key: value for key, value in task.items() if key not in ("published", "cnn", "seeds")},
        "parameters": network(task["kernels"], 1).n_parameters,
        "published": {"lcnn": task["published"], "best_cnn": task["cnn"], "source": "arXiv 2012.12901"},
        "medians": median,
        "largest_change_by_a_gauge_transformation": max(run["gauge"] for run in runs),
        "runs": runs,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, help="by default those of the table")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"), help="runs in it are kept")
    options = parser.parse_args()
    data = {"train": configurations(8, TRAIN, SEED), "held": configurations(8, HELD, SEED + 1)}
    data |= {size: configurations(size, count, SEED + 2) for size, count in TESTS.items()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    setup = {"betas": BETAS.tolist(), "train_per_beta": TRAIN, "held_per_beta": HELD, "tests_per_beta": TESTS}
    setup |= {"warmup": WARMUP, "sweeps_between": BETWEEN, "batch": 50, "optimizer": "AdamW without decay"}
    facts = {"command": "python benches/physics/lcnn_wilson_loops.py", "commit": commit, "version": pq.__version__}
    tasks = json.loads(options.output.read_text())["tasks"] if options.output.exists() else {}
    for name in options.tasks:
        runs = tasks.get(name, {}).get("runs", [])
        for seed in range(len(runs) + 1, 1 + (options.seeds or TASKS[name]["seeds"])):
            runs.append(trained(name, TASKS[name], data, seed))
            tasks[name] = summary(TASKS[name], runs)
            content = facts | {"seed": SEED, "setup": setup, "tasks": tasks}
            options.output.write_text(json.dumps(content, indent=1) + "\n")
            sys.stdout.write(f"{name}: {runs[-1]}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
