"""Kill every sampler and training at random moments until it gets through: the bits are those of an unbroken run.

Each case runs in forked processes with a checkpoint. They are killed (SIGKILL) after a random part of the time of an
unbroken run and started again, until the wanted number of kills is reached; then the case runs to its end, and the
digest of all that it drew or learned is compared. The moments are random numbers of `--seed`.

    python scripts/soak.py --kills 100 --only heatbath,worm --results soak.json
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plaq as pq
from plaq.cli import main as command_line  # the function

Case = Callable[[Path, int], str]
LONGEST = 10_000
"""Processes after which a case that is killed too early each time gives up."""

U1 = pq.GaugeField.hot((6, 6), "U(1)", rng=1)
SU2 = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
FIELDS = [pq.GaugeField.hot((4, 4), "SU(2)", rng=k) for k in range(6)]
SPINS = pq.spin.random((4, 4), rng=1, count=40)
EXACT = pq.SpinFermion((4, 4), J=1.0, T=0.2)
WILSON = pq.actions.Wilson(2.0)
RULE = pq.optimizers.Adam(0.01)
ROWS = pq.rbm.free_field(4, 1.0, 60, rng=1)
QUIET: dict[str, Any] = {"progress": False, "rng": 3}

RUN_FILE = """
[field]
shape = [4, 4]
group = "SU(2)"
start = "hot"
[action]
name = "Wilson"
beta = 2.0
[sampler]
name = "hmc"
[run]
draws = {draws}
warmup = 20
seed = 1
output = "{folder}/out.npz"
checkpoint = "{folder}/checkpoint.npz"
checkpoint_every = 1
"""


def digest(*parts: Any) -> str:
    """One number for arrays, by their bits."""
    total = hashlib.sha256()
    for part in parts:
        total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()


def of_chain(chain: pq.Chain) -> str:
    """Draws, reports without times, and state."""
    info = [values for name, values in sorted(chain.info.items()) if name != "seconds"]
    state = [] if isinstance(chain.state, tuple) or not hasattr(chain.state, "__array__") else [np.asarray(chain.state)]
    return digest(*(chain[name] for name in chain.names), *info, *state)


def of_history(history: pq.History, *parts: Any) -> str:
    """Records and what was learned."""
    return digest(*history.values(), *parts)


def sampled(sampler: Any, state: Any, draws: int, **options: Any) -> Case:
    """A case of a run."""

    def case(path: Path, size: int) -> str:
        settings = QUIET | {"warmup": 10, "checkpoint_every": 1} | options
        return of_chain(sampler.run(state, draws * size, checkpoint=path / "run", **settings))

    return case


def trained(make: Callable[[], Any], fit: Callable[..., Any], key: str, count: int, **options: Any) -> Case:
    """A case of a training of `count` units, whose number is the argument `key`."""

    def case(path: Path, size: int) -> str:
        model = make()
        history = fit(model, checkpoint=path / "training", **(QUIET | options | {key: count * size}))
        values = getattr(model, "parameters", None)
        return of_history(history, model.weights if values is None else values)

    return case


def run_file(path: Path, size: int) -> str:
    """A case of `plaq run`."""
    source = path / "run.toml"
    source.write_text(RUN_FILE.format(folder=path, draws=20 * size))
    with open(os.devnull, "w") as nowhere:
        sys.stdout = nowhere
        if command_line(["run", str(source), "--quiet", "--force"]):
            raise RuntimeError("plaq run failed")
    return of_chain(pq.Chain.load(path / "out.npz"))


def many(path: Path, size: int) -> str:
    """A case of several chains in one folder."""
    jobs = [pq.Job(pq.Heatbath(pq.actions.Wilson(beta)), U1, 20 * size) for beta in (1.0, 2.0)]
    chains = pq.run_many(jobs, chains=2, folder=path / "runs", progress=False, rng=3)
    return digest(*(chain["plaquette"] for chain in chains))


def staggered(flavors: int) -> Any:
    """Dynamical quarks in two dimensions."""
    return pq.actions.Wilson(2.0) + pq.actions.Pseudofermion(pq.dirac.Staggered(mass=0.5), n_flavors=flavors)


def learning() -> Any:
    """Self-learning HMC of pure gauge actions."""
    return pq.SelfLearningHMC(WILSON, pq.actions.Scaled(pq.actions.Wilson(1.8)), length=0.5, steps=3)


def net() -> Any:
    """A network of stout and attention layers."""
    return pq.CovariantNet([pq.StoutLayer(["plaquette"], [0.1]), pq.AttentionLayer(["plaquette"])])


def lcnn() -> Any:
    """A small L-CNN."""
    layers = [pq.lcnn.Loops(), pq.lcnn.Trace(), pq.lcnn.Dense(2, 1), pq.lcnn.Mean()]
    return pq.LCNN(layers, ndim=2, group="SU(2)", rng=1)


def convolutional() -> Any:
    """A small convolutional network."""
    return pq.nn.Sequential([pq.nn.Conv(3, 1, 2), pq.nn.Tanh(), pq.nn.GlobalAvgPool(), pq.nn.Linear(2, 1)], rng=1)


X = np.random.default_rng(1).normal(size=(40, 1, 4, 4))
FLOW = pq.flows.u1_2d((4, 4), hidden=[4], rng=1)
TRANSFORM = pq.transform.u1_2d(channels=2, rng=1)

CASES: dict[str, Case] = {
    "heatbath": sampled(pq.Heatbath(WILSON, overrelaxation=1), SU2, 40),
    "hmc": sampled(pq.HMC(WILSON, steps=4), SU2, 40),
    "hmc-tuned": sampled(pq.HMC(WILSON), SU2, 30, warmup=30),
    "hmc-scalar": sampled(pq.HMC(pq.actions.Scalar(0.5, 0.1), steps=4), pq.ScalarField.zeros((4, 4)), 40),
    "scalar-metropolis": sampled(
        pq.ScalarMetropolis(pq.actions.Scalar(0.5, 0.1)), pq.ScalarField.zeros((4, 4)), 40, thin=5
    ),
    "l2hmc": sampled(pq.L2HMC(pq.actions.Wilson(2.0), rng=1), U1, 20),
    "hmc-quarks": sampled(pq.HMC(staggered(4), steps=3), SU2, 15, warmup=3),
    "rhmc": sampled(pq.HMC(staggered(1), steps=3), SU2, 8, warmup=2),
    "self-learning-hmc": sampled(learning(), SU2, 40),
    "field-transform-hmc": sampled(pq.FieldTransformHMC(pq.actions.Wilson(2.0), TRANSFORM, steps=4), U1, 30),
    "flow-proposal": sampled(
        pq.FlowProposal(FLOW, pq.actions.Wilson(2.0)), pq.GaugeField.hot((4, 4), "U(1)", rng=1), 40
    ),
    "worm": sampled(pq.Worm((4, 4), eta=4.01, lam=1.0, mu=1.0), pq.flux.FluxField.cold((4, 4)), 40),
    "complex-langevin": sampled(
        pq.ComplexLangevin((4, 4), eta=4.01, lam=1.0, mu=0.5), np.zeros((2, 4, 4), complex), 40, thin=5
    ),
    "spin-metropolis": sampled(pq.SpinMetropolis(EXACT), SPINS[0], 15, warmup=2),
    "self-learning-mc": sampled(pq.SelfLearningMC(EXACT, pq.LinearSpinModel((4, 4), 3)), SPINS[0], 30),
    "wolff": sampled(pq.ising.Wolff(0.4), np.ones((8, 8)), 40),
    "covariant-net": trained(
        net,
        lambda model, **options: model.fit(FIELDS, pq.losses.FieldDistance(FIELDS[::-1]), **options),
        "epochs",
        30,
        batch=2,
        optimizer=RULE,
    ),
    "lcnn": trained(
        lcnn,
        lambda model, **options: model.fit(FIELDS, [pq.observables.plaquette(U) for U in FIELDS], **options),
        "epochs",
        30,
        batch=2,
        optimizer=RULE,
    ),
    "sequential": trained(
        convolutional,
        lambda model, **options: model.fit(X, X.mean(axis=(1, 2, 3))[:, None], **options),
        "epochs",
        40,
        batch=8,
        optimizer=RULE,
    ),
    "flow": trained(
        lambda: pq.flows.u1_2d((4, 4), hidden=[4], rng=1),
        lambda model, **options: model.fit(pq.actions.Wilson(1.0), **options),
        "steps",
        30,
        batch=8,
        optimizer=RULE,
    ),
    "spin-attention": trained(
        lambda: pq.EquivariantAttention((4, 4), 1, 3, rng=3),
        lambda model, **options: model.fit(SPINS, EXACT.log_weight(SPINS), **options),
        "steps",
        60,
        batch=16,
        record_every=2,
        optimizer=RULE,
    ),
    "self-learning-hmc-training": trained(
        learning,
        lambda sampler, **options: sampler.train(FIELDS[0], **options),
        "steps",
        25,
        batch=2,
        optimizer=RULE,
    ),
    "field-transform-training": trained(
        lambda: pq.transform.u1_2d(channels=2, rng=1),
        lambda transform, **options: pq.FieldTransformHMC(pq.actions.Wilson(2.0), transform, steps=4).train(
            [pq.GaugeField.hot((4, 4), "U(1)", rng=k) for k in range(4)], **options
        ),
        "epochs",
        15,
        batch=2,
        optimizer=RULE,
    ),
    "gaussian-rbm": trained(
        lambda: pq.GaussianRBM(4, 3, mu2=9.0, rng=1),
        lambda machine, **options: machine.fit(ROWS, **options),
        "epochs",
        40,
        method="pcd",
        batch=16,
        learning_rate=0.02,
    ),
    "bernoulli-rbm": trained(
        lambda: pq.BernoulliRBM(4, 3, rng=1),
        lambda machine, **options: machine.fit((ROWS > 0).astype(float), **options),
        "epochs",
        40,
        method="pcd",
        batch=16,
    ),
    "run-file": run_file,
    "run-many": many,
}
"""From a folder and a length to the digest of the whole."""


def _child(case: Case, folder: Path, size: int, result: Path) -> None:
    text = case(folder, size)
    result.with_suffix(".part").write_text(text)
    os.replace(result.with_suffix(".part"), result)


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [each for each in folder.rglob("*") if each.is_file()]


def soak(name: str, kills: int, *, seed: int = 1, size: int = 1, longest: float = float("inf")) -> dict[str, Any]:
    """Kill a case so many times.

    Returns
    -------
    dict
        ``kills``; ``resumed``, how many processes found a checkpoint; ``finished``, how many runs came to their end;
        ``equal``, whether all have the bits of the unbroken run; ``seconds``.
    """
    context = multiprocessing.get_context("fork")
    moments, case, begin = random.Random(f"{name}:{seed}"), CASES[name], time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole, broken, result = folder / "whole", folder / "broken", folder / "result"
        whole.mkdir()
        start = time.monotonic()
        process = context.Process(target=_child, args=(case, whole, size, result))
        process.start()
        process.join()
        unbroken, spent = result.read_text(), time.monotonic() - start
        done = processes = rounds = resumed = 0
        equal = True
        while done < kills and processes < LONGEST and time.monotonic() - begin < longest:
            rounds += 1
            result.unlink(missing_ok=True)
            broken = folder / f"broken-{rounds}"
            broken.mkdir()
            while not result.exists():
                resumed += any(each.suffix in ("", ".npz") and not each.name.startswith(".") for each in files(broken))
                process = context.Process(target=_child, args=(case, broken, size, result))
                process.start()
                processes += 1
                process.join(moments.uniform(0.0, 0.6 * spent) if done < kills else None)
                if process.is_alive():
                    process.kill()
                    done += 1
                process.join()
                if process.exitcode not in (0, -9):
                    raise RuntimeError(f"{name}: a process ended with {process.exitcode}, see above")
            equal &= result.read_text() == unbroken
            left = [each.name for each in broken.rglob("*.tmp")]
            if left:
                raise RuntimeError(f"{name}: left behind {left}")
    seconds = round(time.monotonic() - begin, 1)
    return {"kills": done, "resumed": resumed, "finished": rounds, "equal": equal, "seconds": seconds}


def add(path: Path, name: str, result: dict[str, Any]) -> None:
    """Add what a run counted to a file of results."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    before = kept.get(name, {"equal": True})
    kept[name] = {key: round(before.get(key, 0) + value, 1) for key, value in result.items() if key != "equal"}
    kept[name]["equal"] = before["equal"] and result["equal"]
    path.write_text(json.dumps(kept, indent=1) + "\n")


def main() -> int:
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each case")
    parser.add_argument("--only", help="cases, with commas between")
    parser.add_argument("--size", type=int, default=2, help="length of the runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=float("inf"), help="seconds of a case")
    parser.add_argument("--results", type=Path, help="file of results, to whose counts these are added")
    options = parser.parse_args()
    found = {}
    for name in options.only.split(",") if options.only else CASES:
        found[name] = soak(name, options.kills, seed=options.seed, size=options.size, longest=options.longest)
        print(f"{name:28} {found[name]}", flush=True)
        if options.results:
            add(options.results, name, found[name])
    return int(not all(each["equal"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
