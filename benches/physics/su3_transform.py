"""Field transformations of 4D SU(3): `python benches/physics/su3_transform.py [--only TEXT] [--scale X]`.

The setting of X.-Y. Jin (arXiv 2405.19692; reference page of field transformations, 4.7, 4.9): DBW2 at beta = 0.7796,
the force of S(F(V)) - ln det F is to be like that of beta = 0.7099 at V, loss ln <exp f> over links, one sweep of
eight masked updates. Trained are constants of plaquettes, constants of plaquettes and chairs, and networks of the
plaquettes and rectangles around (windows of 2^4 sites), on 4^4 and, from the parameters of 4^4, on 8^3 x 16. Writes
su3_transform.json beside this file:

- training: sizes of forces on held-back configurations before and after, seconds and peak memory (each in a process of
  its own);
- blocks: seconds, memory and errors of a gradient of the force on a block of 4^4 sites, by the margin of its window;
- sampling: HMC and HMC in the trained variables on 4^4, plaquette, rectangle, and the square of the charge after
  gradient flow.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq
import provenance
from plaq import nn

BETA, TARGET = 0.7796, 0.7099
S, T = pq.actions.DBW2(BETA), pq.actions.DBW2(TARGET)
SEED = 405
SMALL, LARGE = (4, 4, 4, 4), (8, 8, 8, 16)
FIELDS = {SMALL: (96, 16), LARGE: (6, 2)}
"""Configurations to train with and to hold back."""
SECONDS = {
    ("4x4x4x4", "plaquettes"): 40,
    ("4x4x4x4", "plaquettes and chairs"): 80,
    ("4x4x4x4", "network"): 150,
    ("8x8x8x16", "plaquettes"): 80,
    ("8x8x8x16", "plaquettes and chairs"): 120,
    ("8x8x8x16", "network"): 150,
    ("8x8x8x16", "network from the start"): 150,
    ("8x8x8x16", "network from the start, on blocks"): 150,
}
"""Of processor time for a training, about."""
BLOCK, MARGIN = (4, 4, 4, 4), 2
"""Of trainings on blocks."""
RATES = {"plaquettes": 0.05, "plaquettes and chairs": 0.05, "network": 0.02}
BLOCKS = 4
"""Of each configuration of a training."""
DRAWS = {"HMC": 3000, "plaquettes": 1500, "network": 250}


def transformation(kind: str) -> pq.FieldTransform:
    """One sweep close to the identity."""
    if kind == "plaquettes":
        return pq.transform.su3_4d(0.001)
    if kind == "plaquettes and chairs":
        return pq.transform.su3_4d([0.001, 0.0001], loops=["plaquette", "chair"])
    net = nn.Sequential([nn.Conv(2, 18, 8), nn.Swish(), nn.Conv(1, 8, 1)], ndim=4, rng=SEED)
    weights = net.parameters
    weights[-9:] *= 0.1
    net.parameters = weights
    return pq.FieldTransform([pq.transform.StoutMask(ndim=4, network=net)])


def configurations(shape: tuple[int, ...], count: int) -> list[pq.GaugeField]:
    """From a heatbath, eight sweeps apart."""
    heatbath = pq.Heatbath(S, overrelaxation=3)
    U = heatbath.run(pq.GaugeField.hot(shape, "SU(3)", rng=SEED), 100, rng=SEED, progress=False).state
    fields = []
    for k in range(count):
        U = heatbath.run(U, 8, rng=SEED + 1 + k, progress=False).state
        fields.append(U)
    return fields


def sizes(F: pq.FieldTransform | None, fields: list[pq.GaugeField]) -> dict[str, float]:
    """Root mean square, largest, and ln <exp f> of forces on links, and of their differences to those of the target."""
    found: dict[str, list[float]] = {}
    for U in fields:
        V = F.inverse(U) if F else U
        force = (pq.transform.Transformed(S, F) if F else S).force(V)
        for name, value in (("force", force), ("difference", force - T.force(V))):
            f = np.sqrt(-2 * np.trace(value @ value, axis1=-2, axis2=-1).real).ravel()
            each = {"rms": np.sqrt((f**2).mean()), "largest": f.max(), "log_mean_exp": np.log(np.exp(f).mean())}
            for key, number in each.items():
                found.setdefault(f"{name}_{key}", []).append(float(number))
    return {name: float(np.mean(values)) for name, values in found.items()}


def train(shape: tuple[int, ...], kind: str, seconds: float, path: Path, start: Path | None) -> dict[str, object]:
    """With the parameters of a file, or close to the identity; a name that ends in "on blocks" says what is counted."""
    kind, _, part = kind.partition(" from the start")
    count, held = FIELDS[shape]
    fields = configurations(shape, count + held)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    F = pq.FieldTransform.load(start) if start else transformation(kind)
    before = sizes(F, fields[count:])
    loss = objective(part)
    chosen = fields[:count] * (BLOCKS if part else 1)
    targets = loss.targets(fields[:1])
    begin = time.process_time()
    loss.of_batch(F, fields[:1], targets)
    step = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    validation = fields[count:]
    batch = 4 if shape == SMALL else 1
    epochs = max(1, round(seconds / (step * (len(chosen) + len(validation)))))
    total = epochs * len(chosen) // batch
    rule = pq.optimizers.Adam(RATES[kind] * (0.2 if start else 1.0), schedule=pq.optimizers.Cosine(total))
    sampler = pq.FieldTransformHMC(S, F, length=1.0, steps=8)
    begin = time.process_time()
    history = sampler.train(
        chosen,
        loss,
        epochs=epochs,
        batch=batch,
        optimizer=rule,
        validation=validation,
        rng=SEED,
        progress=False,
    )
    used = time.process_time() - begin
    trained = sampler.transform
    trained.save(path)
    kept = [layer.coefficients.tolist() for layer in trained.layers if layer.network is None]
    return {
        "parameters": trained.n_parameters,
        "coefficients": kept,
        "configurations": [count, len(validation)],
        "batch": batch,
        "epochs": epochs,
        "steps": total,
        "seconds": used,
        "seconds_of_a_gradient": step,
        "memory_gib": {
            "with configurations": base,
            "with one gradient": peak,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        },
        "validation": [float(history["validation"][0]), float(min(history["validation"]))],
        "plain": sizes(None, validation),
        "target": {"force_rms": float(np.mean([rms(T.force(U)) for U in validation]))},
        "start": before | {"parameters": "those of 4^4" if start else "close to the identity"},
        "trained": sizes(trained, validation),
    }


def objective(part: str) -> pq.losses.TransformedForce:
    """ln <exp f> of the lattice, or of blocks."""
    if not part:
        return pq.losses.TransformedForce(S, T, norms={}, log_mean_exp=1.0)
    return pq.losses.SubVolumeForce(S, T, norms={}, log_mean_exp=1.0, block=BLOCK, margin=MARGIN, rng=SEED)


def block(shape: tuple[int, ...], kind: str, margin: int, path: Path) -> dict[str, object]:
    """A gradient on a window, and how far it is off from that of the same links in the whole lattice."""
    heatbath, U = pq.Heatbath(S, overrelaxation=1), pq.GaugeField.hot(shape, "SU(3)", rng=SEED)
    U = heatbath.run(U, 30, rng=SEED, progress=False).state
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    F = pq.FieldTransform.load(path)

    def found(margin: int) -> tuple[float, float, np.ndarray, tuple[int, ...]]:
        loss = pq.losses.SubVolumeForce(S, T, norms={}, log_mean_exp=1.0, block=BLOCK, margin=margin, rng=SEED)
        targets = loss.targets([U])
        begin = time.process_time()
        value, gradient = loss.of_batch(F, [U], targets)
        return time.process_time() - begin, value, gradient, targets[0].shape

    seconds, value, gradient, window = found(margin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _, exact, slope, _ = found(max(shape) + margin % 2)
    return {
        "window": window,
        "seconds": seconds,
        "memory_gib": {"before": before, "peak": peak},
        "value": [value, exact],
        "gradient_error": float(np.linalg.norm(gradient - slope) / np.linalg.norm(slope)),
        "gradient_cosine": float(gradient @ slope / np.linalg.norm(gradient) / np.linalg.norm(slope)),
    }


def rms(force: np.ndarray) -> float:
    return float(np.sqrt((-2 * np.trace(force @ force, axis1=-2, axis2=-1).real).mean()))


def gradient(shape: tuple[int, ...], kind: str) -> dict[str, object]:
    """Seconds and memory of one gradient alone."""
    U = pq.GaugeField.hot(shape, "SU(3)", rng=SEED)
    U = pq.Heatbath(S).run(U, 2, rng=SEED, progress=False).state
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    F, loss = transformation(kind), pq.losses.TransformedForce(S, T, norms={}, log_mean_exp=1.0)
    begin = time.process_time()
    loss.of_batch(F, [U], [None])
    step = time.process_time() - begin
    plain = []
    for _ in range(5):
        begin = time.process_time()
        S.force(U)
        plain.append(time.process_time() - begin)
    action, forces = pq.transform.Transformed(S, F), []
    for _ in range(2):
        begin = time.process_time()
        action.force(U)
        forces.append(time.process_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sites = int(np.prod(shape))
    return {
        "sites": sites,
        "seconds": step,
        "seconds_of_a_force": min(forces),
        "seconds_of_a_plain_force": min(plain),
        "memory_gib": {"before": before, "peak": peak},
    }


def charge2(U: pq.GaugeField) -> float:
    """Of the field at flow time 1."""
    flowed = pq.smear.flow(U, 1.0, step=0.1).field
    return pq.observables.topological_charge(flowed, "improved") ** 2


def sample(kind: str, path: Path | None, scale: float) -> dict[str, object]:
    start = configurations(SMALL, 1)[0]
    options = {"length": 1.0, "steps": 5}
    sampler = pq.FieldTransformHMC(S, pq.FieldTransform.load(path), **options) if path else pq.HMC(S, **options)
    observables = {"plaquette": pq.observables.plaquette, "rectangle": pq.observables.rectangle, "charge2": charge2}
    begin = time.process_time()
    draws = round(DRAWS[kind] * scale)
    chain = sampler.run(start, draws, warmup=30, observables=observables, rng=SEED, progress=False)
    row: dict[str, object] = {
        "draws": len(chain),
        "acceptance": chain.acceptance,
        "seconds": time.process_time() - begin,
    }
    row |= {key: value for key, value in options.items()}
    for name in observables:
        found = chain.estimate(name)
        row[name] = {"text": str(found), "mean": found.mean, "error": found.error, "tau": found.tau}
    w = pq.statistics.estimate(chain.info["exp_minus_delta_h"])
    row["exp_minus_delta_h"] = {"text": str(w), "mean": w.mean, "error": w.error}
    return row


def alone(*arguments: str) -> dict[str, object]:
    """The row of a process of its own, whose memory is measured."""
    command = [sys.executable, __file__, "--row", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--scale", type=float, default=1.0, help="times the seconds and draws of each row")
    parser.add_argument("--row", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pq.set_num_threads(1)
    path = Path(__file__).with_suffix(".json")

    def weights(shape: str, kind: str) -> Path:
        return path.with_name(
            f"su3_transform {shape} {kind}.safetensors".replace(", ", "_").replace(" ", "_").replace("^", "")
        )

    if arguments.row:
        job, *rest = arguments.row
        if job == "train":
            shape = tuple(map(int, rest[0].split("x")))
            start = None if shape == SMALL or "start" in rest[1] else weights(SMALL_NAME, rest[1])
            row = train(shape, rest[1], float(rest[2]), weights(rest[0], rest[1]), start)
        elif job == "gradient":
            row = gradient(tuple(map(int, rest[0].split("x"))), rest[1])
        elif job == "block":
            row = block(tuple(map(int, rest[0].split("x"))), rest[1], int(rest[2]), weights(SMALL_NAME, rest[1]))
        else:
            row = sample(rest[0], weights(SMALL_NAME, rest[0]) if rest[0] != "HMC" else None, float(rest[1]))
        print(json.dumps(row))
        return
    commit = provenance.commit()
    origin = {"command": " ".join(sys.argv), "commit": commit}
    stored = (
        json.loads(path.read_text())
        if path.exists()
        else {"seed": SEED, "training": {}, "gradient": {}, "sampling": {}}
    )
    small = [key for key in SECONDS if key[0] == SMALL_NAME]
    large = [key for key in SECONDS if key[0] != SMALL_NAME]
    jobs = [
        ("training", f"{shape}, {kind}", ("train", shape, kind, f"{SECONDS[shape, kind] * arguments.scale}"))
        for shape, kind in small
    ]
    jobs += [("sampling", kind, ("sample", kind, f"{arguments.scale}")) for kind in DRAWS]
    sizes_of = ["8x8x8x16", "12x12x12x24"]
    jobs += [
        ("gradient", f"{shape}, {kind}", ("gradient", shape, kind))
        for kind in ("plaquettes", "network", "plaquettes and chairs")
        for shape in sizes_of
    ]
    jobs += [
        ("blocks", f"{shape}, {kind}, margin {margin}", ("block", shape, kind, str(margin)))
        for kind in ("plaquettes", "network")
        for shape in sizes_of
        for margin in (0, 1, 2)
    ]
    jobs += [
        ("training", f"{shape}, {kind}", ("train", shape, kind, f"{SECONDS[shape, kind] * arguments.scale}"))
        for shape, kind in large
    ]
    for part, name, job in jobs:
        if arguments.only in f"{part} {name}":
            stored.setdefault(part, {})[name] = alone(*job) | origin
            print(part, name, stored[part][name], flush=True)
            path.write_text(json.dumps(stored, indent=1) + "\n")


SMALL_NAME = "x".join(map(str, SMALL))

if __name__ == "__main__":
    main()
