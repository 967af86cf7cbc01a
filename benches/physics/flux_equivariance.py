"""Equivariant, strided and flattening networks on fluxes.

`python benches/physics/flux_equivariance.py [TASK ...] [--networks NAME ...]`.

Tasks: regression, violation, counting (arXiv 2103.14686, 2112.12474; networks of `pq.nn.zoo`). Writes
flux_equivariance.json beside this file: validation loss of every instance beside its test losses on the lattice of the
training and on others, medians and means, the published losses of counting, seeds, seconds, command and commit.

Smaller than the study: `INSTANCES` instances (10 there), one training-set size a task (counting: 20000 as there),
hundreds of test configurations. The optimiser of the study is not known here; ours is AMSGrad with a cosine schedule,
and the parameters of the epoch with the smallest validation loss are kept.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
import provenance
from plaq.nn import GlobalSumPool, GroupConv, LeakyReLU, Linear, Sequential

ETAS, MUS = (4.01, 4.04, 4.25), (1.0, 1.25, 1.5)
PAIRS = [(eta, mu) for eta in ETAS for mu in MUS]
PUBLISHED = {
    "EQ1": (4.137e-5, 1.483e-4, 8.308e-4),
    "EQ2": (2.440e-5, 8.783e-5, 7.936e-4),
    "EQ3": (3.072e-4, 9.163e-4, 4.031e-2),
    "ST1": (2.173e-5, 3.576e-3, 3.026),
    "ST2": (4.372e-5, 9.340e-5, 1.171e-3),
    "ST3": (2.171e-5, 1.381e-3, 9.580e-1),
    "FL1": (1.787e-5, 3.817e-2, None),
    "FL2": (1.117e-5, 1.285e-3, None),
    "FL3": (1.031e-5, 3.556e-2, None),
}
"""Counting, medians of ten: validation 8x8, test 8x8, test up to 64x64."""
REGULAR, SCALAR = {"regular": 4}, {"scalar": 8}
OWN = {
    "D4": [
        *[GroupConv(3, {"vector": 1, "bond": 1}, REGULAR, bias=False), LeakyReLU()],
        *[GroupConv(3, REGULAR, SCALAR, bias=False), LeakyReLU(), GlobalSumPool(), Linear(8, 1, False)],
    ]
}
"""Beyond the study: reflections and rotations too, fluxes as vector fields."""
INSTANCES = {"regression": 3, "violation": 10, "counting": 5}
EPOCHS = {"regression": 25, "violation": 60, "counting": 60}
RATE = {"regression": 3e-3, "violation": 3e-3, "counting": 1e-2}
TRAIN = {"regression": 1000, "violation": 4000, "counting": 20000}
SEED = 2103


def regression():
    """Density and mean of abs(phi)^2 at mu = 1.05 on 60x4; test at other sizes and chemical potentials."""
    options = {"eta": 4.01, "lam": 1.0, "progress": False}
    data = pq.datasets.flux_regression(TRAIN["regression"] + 200, (4, 60), mu=1.05, rng=SEED, **options)
    tests = {}
    for j, shape in enumerate([(4, 60), (2, 50), (5, 100), (8, 125), (10, 200)]):
        tests[f"{shape[1]}x{shape[0]}"] = pq.datasets.flux_regression(100, shape, mu=1.05, rng=SEED + 1 + j, **options)
    for j, mu in enumerate([0.8, 0.95, 1.2, 1.5]):
        tests[f"60x4 mu {mu:g}"] = pq.datasets.flux_regression(100, (4, 60), mu=mu, rng=SEED + 10 + j, **options)
    return ["EQ", "ST", "FL"], data, 200, tests, "mse"


def violation():
    """Is one worm open? 8x8, two pairs (eta, mu); test at nine pairs on four sizes."""
    data = pq.datasets.flux_violation(TRAIN["violation"] + 800, rng=SEED, progress=False)
    tests = {
        f"{extent}x{extent}": pq.datasets.flux_violation(
            count, (extent, extent), parameters=PAIRS, rng=SEED + extent, progress=False
        )
        for extent, count in ((8, 900), (16, 450), (32, 180), (64, 90))
    }
    return ["EQ", "ST", "FL"], data, 800, tests, "bce"


def counting():
    """How many worms are open? Trained with 0 and 5 on 8x8; test with 0 to 10 at nine pairs on four sizes."""
    data = pq.datasets.flux_counting(TRAIN["counting"] + 2000, rng=SEED, progress=False)
    tests = {
        f"{extent}x{extent}": pq.datasets.flux_counting(
            count, (extent, extent), worms=range(11), parameters=PAIRS, rng=SEED + extent, progress=False
        )
        for extent, count in ((8, 990), (16, 396), (32, 198), (64, 99))
    }
    return [*PUBLISHED, *OWN], data, 2000, tests, "mse"


def network(task, name, seed=0):
    """The untrained network."""
    if name in OWN:
        return Sequential(OWN[name], dtype="float32", rng=seed)
    return pq.nn.zoo.build(f"{task}/{name}", dtype="float32", rng=seed)


def one(task, name, seed, data, held, tests, loss):
    """Train one instance; its losses, and for detection the fraction of wrong answers."""
    net = network(task, name, seed)
    cut, epochs = len(data) - held, EPOCHS[data.provenance["task"]]
    batch, rate = 50, RATE[data.provenance["task"]]
    rule = pq.optimizers.AMSGrad(rate, schedule=pq.optimizers.Cosine(epochs * -(-cut // batch)))
    begin = time.process_time()
    history = net.fit(
        data.x[:cut],
        data.y[:cut],
        validation=(data.x[cut:], data.y[cut:]),
        loss=loss,
        epochs=epochs,
        batch=batch,
        optimizer=rule,
        rng=seed,
        progress=False,
    )
    row = {"seed": seed, "seconds": time.process_time() - begin, "validation": float(np.min(history.validation))}
    for label, test in tests.items():
        if name.startswith("FL") and test.x.shape[2:] != data.x.shape[2:]:
            continue
        row[label] = net.loss(test.x, test.y, loss=loss)
        if loss == "bce":
            row[f"{label} wrong"] = float(np.mean((net(test.x) > 0.5) != (test.y > 0.5)))
    if loss == "mse" and "64x64" in row:
        row["up to 64x64"] = float(np.mean([row[label] for label in tests]))
    return row


def main() -> None:
    makers = {"regression": regression, "violation": violation, "counting": counting}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(makers))
    parser.add_argument("--networks", nargs="+", default=[], help="only these; rows of the others stay")
    arguments = parser.parse_args()
    tasks = arguments.tasks or list(makers)
    pq.set_num_threads(1)
    path = Path(__file__).with_suffix(".json")
    commit = provenance.commit()
    results = json.loads(path.read_text()) if path.exists() else {}
    for task in tasks:
        names, data, held, tests, loss = makers[task]()
        number = list(makers).index(task) + 1
        settings = {"train": len(data) - held, "validation": held, "epochs": EPOCHS[task], "batch": 50, "loss": loss}
        settings |= {"optimizer": "AMSGrad, cosine", "learning_rate": RATE[task]}
        settings["test"] = {label: len(test) for label, test in tests.items()}
        head = {"seed": SEED, "command": " ".join(sys.argv), "commit": commit, "settings": settings}
        results[task] = head | {"networks": results.get(task, {}).get("networks", {})}
        for name in arguments.networks or names:
            rows = [one(f"task{number}", name, seed, data, held, tests, loss) for seed in range(INSTANCES[task])]
            keys = [key for key in rows[0] if key != "seed"]
            medians = {key: float(np.median([row[key] for row in rows])) for key in keys}
            means = {key: float(np.mean([row[key] for row in rows])) for key in keys}
            entry = {"parameters": network(f"task{number}", name).n_parameters, "medians": medians, "means": means}
            entry["published medians"] = PUBLISHED.get(name) if task == "counting" else None
            results[task]["networks"][name] = entry | {"instances": rows}
            print(task, name, {key: f"{value:.3g}" for key, value in medians.items()}, flush=True)
            path.write_text(json.dumps(rounded(results), indent=1) + "\n")


def rounded(value):
    """The same with five digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
