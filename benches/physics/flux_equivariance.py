"""Equivariant, strided and flattening networks on fluxes.

`python benches/physics/flux_equivariance.py [TASK ...] [--networks NAME ...]`.

Tasks: regression, violation, counting (arXiv 2103.14686, 2112.12474; networks of `pq.nn.zoo`), sizes: regression by
the number of training samples, at the same number of steps, with and without random translations of the samples, and
windows: how well anything can count that sees heads of worms through a maximum over windows of 2 x 2 sites, as ST2
does. Writes flux_equivariance.json beside this file: validation loss of every instance beside its test losses on the
lattice of the training and on others, medians and means, the published losses of counting, seeds, seconds, command and
commit.

As in the study: ten instances (three of sizes), counting trained with 20000 samples. Smaller: hundreds of test
configurations. The optimiser of the study is not known here; ours is Adam with a cosine schedule (a later article of
the group trains with AdamW without weight decay), and the parameters of the epoch with the smallest validation loss are
kept. Of the learning rates and warm-ups that were tried in counting a network has the one with the smallest median of
the validation loss (medians of all are kept). With AMSGrad, whose second moments never fall, counting ended one to
three orders of magnitude higher: its first gradients are huge, and the rate never recovers.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
import provenance
from plaq.nn import Flatten, GlobalSumPool, GroupConv, LeakyReLU, Linear, Sequential

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
INSTANCES = 10
BATCH = 50
STEPS = {"regression": 500, "violation": 4800, "counting": 24000, "sizes": 4000}
TRIALS = {
    "regression": {"0.003": (3e-3, 0)},
    "violation": {"0.003": (3e-3, 0)},
    "sizes": {"0.003": (3e-3, 0)},
    "counting": {"0.01": (1e-2, 0), "0.003": (3e-3, 0), "0.01 after a warm-up": (1e-2, 2000)},
}
"""Learning rate, and steps in which it rises to its value before it falls as a cosine."""
TRAIN = {"regression": 1000, "violation": 4000, "counting": 20000}
SIZES = (100, 4000, 600)
"""Of training sets, the ends first."""
HELD = 100
"""Samples that choose the epoch in sizes: small, since 100 samples have 250 epochs."""
FEWER = 3
"""Instances of sizes."""
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


def network(number, name, seed=0):
    """The untrained network."""
    if name in OWN:
        return Sequential(OWN[name], dtype="float32", rng=seed)
    return pq.nn.zoo.build(f"task{number}/{name}", dtype="float32", rng=seed)


def one(task, trial, net, seed, train, validation, tests, loss, translations=False):
    """Train one instance; its losses, and for detection the fraction of wrong answers."""
    epochs = -(-STEPS[task] // -(-len(train[0]) // BATCH))
    (rate, rise), steps = TRIALS[task][trial], epochs * -(-len(train[0]) // BATCH)
    schedule = pq.optimizers.WarmUp(rise, steps) if rise else pq.optimizers.Cosine(steps)
    rule = pq.optimizers.Adam(rate, schedule=schedule)
    begin = time.process_time()
    history = net.fit(
        *train,
        validation=validation,
        loss=loss,
        epochs=epochs,
        batch=BATCH,
        optimizer=rule,
        translations=translations,
        rng=seed,
        progress=False,
    )
    row = {"seed": seed, "seconds": time.process_time() - begin, "validation": float(np.min(history.validation))}
    for label, test in tests.items():
        if any(isinstance(layer, Flatten) for layer in net.layers) and test.x.shape[2:] != train[0].shape[2:]:
            continue
        row[label] = net.loss(test.x, test.y, loss=loss)
        if loss == "bce":
            row[f"{label} wrong"] = float(np.mean((net(test.x) > 0.5) != (test.y > 0.5)))
    if loss == "mse" and "64x64" in row:
        row["up to 64x64"] = float(np.mean([row[label] for label in tests]))
    return row


def summary(rows):
    """Medians and means of the instances, and the instances."""
    keys = [key for key in rows[0] if key != "seed"]
    medians = {key: float(np.median([row[key] for row in rows])) for key in keys}
    means = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    return {"medians": medians, "means": means, "instances": rows}


def head(task, samples, held, tests, loss):
    """Where rows come from."""
    settings = {"train": samples, "validation": held, "steps": STEPS[task], "batch": BATCH, "loss": loss}
    settings |= {"optimizer": "Adam, cosine", "trials": TRIALS[task], "instances": INSTANCES}
    settings["test"] = {label: len(test) for label, test in tests.items()}
    return {"seed": SEED, "command": " ".join(sys.argv), "commit": provenance.commit(), "settings": settings}


def main() -> None:
    makers = {"regression": regression, "violation": violation, "counting": counting}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join([*makers, "sizes", "windows"]))
    parser.add_argument("--networks", nargs="+", default=[], help="only these; rows of the others stay")
    parser.add_argument("--trial", help="only this learning rate, as in TRIALS")
    arguments = parser.parse_args()
    pq.set_num_threads(1)
    path = Path(__file__).with_suffix(".json")
    results = json.loads(path.read_text()) if path.exists() else {}
    for task in arguments.tasks or [*makers, "sizes", "windows"]:
        if task == "windows":
            results[task] = windows()
            print(task, results[task])
            path.write_text(json.dumps(rounded(results), indent=1) + "\n")
            continue
        if task == "sizes":
            for results[task] in sizes():
                path.write_text(json.dumps(rounded(results), indent=1) + "\n")
            continue
        names, data, held, tests, loss = makers[task]()
        number, cut = list(makers).index(task) + 1, len(data) - held
        train, validation = (data.x[:cut], data.y[:cut]), (data.x[cut:], data.y[cut:])
        kept = {key: results.get(task, {}).get(key, {}) for key in ("networks", "trials")}
        results[task] = head(task, cut, held, tests, loss) | kept
        for trial, name in [(t, n) for t in TRIALS[task] for n in arguments.networks or names]:
            if arguments.trial not in (None, trial):
                continue
            nets = [network(number, name, seed) for seed in range(INSTANCES)]
            rows = [one(task, trial, net, seed, train, validation, tests, loss) for seed, net in enumerate(nets)]
            entry = {"parameters": nets[0].n_parameters, "learning_rate": trial} | summary(rows)
            entry["published medians"] = PUBLISHED.get(name) if task == "counting" else None
            kept["trials"].setdefault(name, {})[trial] = entry["medians"]
            best = kept["networks"].get(name, entry)
            if (
                trial == best.get("learning_rate", trial)
                or entry["medians"]["validation"] < best["medians"]["validation"]
            ):
                kept["networks"][name] = entry
            print(task, name, trial, {key: f"{value:.3g}" for key, value in entry["medians"].items()}, flush=True)
            path.write_text(json.dumps(rounded(results), indent=1) + "\n")


def sizes():
    """Regression by the number of training samples; what there is after each network and number."""
    options = {"eta": 4.01, "lam": 1.0, "progress": False}
    count = max(SIZES)
    data = pq.datasets.flux_regression(count + HELD, (4, 60), mu=1.05, rng=SEED + 100, **options)
    tests = {"60x4": pq.datasets.flux_regression(400, (4, 60), mu=1.05, rng=SEED + 101, **options)}
    tests["60x4 mu 1.2"] = pq.datasets.flux_regression(400, (4, 60), mu=1.2, rng=SEED + 102, **options)
    validation = data.x[count:], data.y[count:]
    origin, entries = head("sizes", SIZES, HELD, tests, "mse"), {}
    origin["settings"]["instances"] = FEWER
    for count in SIZES:
        for name, moved in (("EQ", False), ("ST", False), ("FL", False), ("ST", True), ("FL", True)):
            label = f"{name}, translations" if moved else name
            train = data.x[:count], data.y[:count]
            nets = [network(1, name, seed) for seed in range(FEWER)]
            rows = [one("sizes", "0.003", net, n, train, validation, tests, "mse", moved) for n, net in enumerate(nets)]
            found = entries.setdefault(label, {})[str(count)] = summary(rows)
            print(label, count, {key: f"{v:.3g}" for key, v in found["medians"].items()}, flush=True)
            yield origin | {"networks": entries}


def windows():
    """Smallest losses of sums over 2 x 2 blocks of windows of any function of which windows hold heads of which sign,
    by least squares; and how often two heads of one sign share a window.
    """

    def seen(data):
        heads = pq.flux.divergence(data.x[:, :2].astype(np.int64))
        n, extent, _ = heads.shape
        blocks = heads.reshape(n, extent // 2, 2, extent // 2, 2).transpose(0, 1, 3, 2, 4).reshape(n, -1, 4)
        largest = [np.maximum(sign * blocks, 0).max(-1) for sign in (1, -1)]
        code = sum((most > 0) << bit for bit, most in enumerate(largest)).reshape(n, extent // 2, extent // 2)
        near = sum(np.roll(code, (-a, -b), (1, 2)) << 2 * (2 * a + b) for a in (0, 1) for b in (0, 1))
        patterns = np.stack([np.bincount(row.ravel(), minlength=256) for row in near])
        return np.column_stack([patterns, *(most.sum(1) for most in largest)]), data.y.ravel()

    found = {"seed": SEED, "command": " ".join(sys.argv), "commit": provenance.commit()}
    samples = {
        "0 and 5 worms": pq.datasets.flux_counting(6000, rng=SEED, progress=False),
        "0 to 10 worms": pq.datasets.flux_counting(6000, worms=range(11), rng=SEED, progress=False),
    }
    for name, data in samples.items():
        design, count = seen(data)
        weights = np.linalg.lstsq(design, count, rcond=None)[0]
        found[name] = float(np.mean((design @ weights - count) ** 2))
    design, count = seen(samples["0 and 5 worms"])
    found["5 worms with a shared window"] = float(np.mean((design[count == 5, -2:] < 5).any(1)))
    return found


def rounded(value):
    """The same with five digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
