"""Longer runs of the spin-fermion model whose results the notebook and the documentation show.

``python benches/physics/spin_fermion.py train|evaluate|acceptance|temperatures|sizes``; results go to
``spin_fermion/*.json`` and the trained networks to ``spin_fermion/*.safetensors`` beside this file, with seed, command
and commit.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq

HERE = Path(__file__).parent
STORE = HERE / "spin_fermion"
SHAPE = (6, 6)
COLD = 0.05
ANNEALING = [0.2, 0.1, 0.08, 0.06]


def provenance(seed):
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    )
    return {"seed": seed, "command": " ".join(["python", *sys.argv]), "commit": commit.stdout.strip()}


def store(name, content, seed):
    STORE.mkdir(exist_ok=True)
    (STORE / f"{name}.json").write_text(json.dumps(provenance(seed) | content, indent=1) + "\n")


def model(T=COLD, shape=SHAPE):
    return pq.SpinFermion(shape, J=1.0, T=T)


def trained_linear(shells, seed, T=COLD, shape=SHAPE):
    effective = pq.LinearSpinModel(shape, shells)
    sampler = pq.SelfLearningMC(model(T, shape), effective, sweeps=10, overrelaxation=1)
    start = pq.spin.random(shape, rng=seed)
    sampler.train(start, temperatures=[t for t in ANNEALING if t > T], rounds=4, draws=200, rng=seed, progress=False)
    return effective


def dataset(count, seed):
    """Distinct proposals of a nine-shell chain, accepted or not, after 200 dropped ones; and that linear model."""
    effective = trained_linear(9, seed)
    sampler = pq.SelfLearningMC(model(), effective, sweeps=10, overrelaxation=1)
    state = thermalised(model(), seed)
    spins, weights = [], []
    for sweep in range(count + 200):
        state, report = sampler._outer(state, seed, sweep)
        spins.append(report["proposal"].reshape(*SHAPE, 3))
        weights.append(report["proposed_log_weight"])
    return np.array(spins[200:]), np.array(weights[200:]), effective


def evaluate(args):
    """Mean square error of every stored model on configurations that none of them was trained with."""
    spins, weights, _ = dataset(args.configurations, args.seed)
    rows = []
    for name in [p.stem for p in sorted([*STORE.glob("linear_*.npy"), *STORE.glob("*.safetensors")])]:
        effective = load(name)
        mse = effective.mean_square_error(spins, weights)
        parts = np.array_split(np.asarray(effective.log_weight(spins)) - weights, 20)
        error = np.std([np.var(part) for part in parts]) / np.sqrt(19)
        family, _, last = name.rpartition("_")
        linear = family == "linear"
        row = {"family": family, "shells": len(effective.coupling_shells), "layers": 0 if linear else int(last)}
        rows.append(row | {"parameters": effective.n_parameters, "mse": mse, "error": error})
        print(rows[-1], flush=True)
    store(args.name, {"configurations": len(weights), "rows": rows}, args.seed)


FAMILIES = {
    "attention_3": {"shells": 6, "coupling_shells": 3, "block": "relu"},
    "attention_9": {"shells": 9, "coupling_shells": 9, "block": "relu"},
    "softmax_9": {"shells": 9, "coupling_shells": 9, "block": "softmax"},
    "local_3": {"shells": 6, "coupling_shells": 3, "block": "local"},
    "local_9": {"shells": 9, "coupling_shells": 9, "block": "local"},
}


def train(args):
    """Linear models and networks with 1..layers blocks, one block added after another."""
    spins, weights, nine = dataset(args.configurations, args.seed)
    cut = len(weights) * 3 // 4
    fit, held = (spins[:cut], weights[:cut]), (spins[cut:], weights[cut:])
    rows = []
    for shells in (1, 3, 9) if args.linear else ():
        effective = nine if shells == 9 else trained_linear(shells, args.seed)
        effective.fit(*fit) if shells == 9 else effective.fit(*fit, ridge=1e-3)
        np.save(STORE / f"linear_{shells}.npy", effective.parameters)
        rows.append({"family": "linear", "shells": shells, "layers": 0, "parameters": effective.n_parameters})
        rows[-1] |= {"mse": effective.mean_square_error(*held), "seconds": 0.0}
        print(rows[-1], flush=True)
    for family in args.families.split(","):
        options = FAMILIES[family]
        network = pq.EquivariantAttention(SHAPE, 0, options["shells"], options["coupling_shells"], rng=args.seed)
        network.fit_couplings(*fit)
        for layers in range(1, args.layers + 1):
            network = network.with_layer(options["block"], rng=args.seed)
            start = time.perf_counter()
            rule = pq.optimizers.AdamW(
                args.rate, weight_decay=1e-4, schedule=pq.optimizers.WarmUp(100, args.steps, 0.01)
            )
            history = network.fit(
                *fit, validation=held, steps=args.steps, batch=args.batch, optimizer=rule, rng=args.seed, progress=False
            )
            seconds = time.perf_counter() - start
            network.save(STORE / f"{family}_{layers}.safetensors")
            history.save(STORE / f"{family}_{layers}_history.npz")
            rows.append({"family": family, "shells": options["coupling_shells"], "layers": layers})
            rows[-1] |= {
                "parameters": network.n_parameters,
                "mse": network.mean_square_error(*held),
                "seconds": seconds,
            }
            print(rows[-1], flush=True)
            content = {"configurations": len(weights), "steps": args.steps, "batch": args.batch, "rows": rows}
            store(args.name, content, args.seed)


def load(name, shape=SHAPE):
    if name.startswith("linear"):
        effective = pq.LinearSpinModel(SHAPE, int(name.split("_")[1]))
        effective.parameters = np.load(STORE / f"{name}.npy")
        return effective.on(shape)
    return pq.EquivariantAttention.load(STORE / f"{name}.safetensors").on(shape)


def thermalised(exact, seed):
    """Start of every chain: a start outside the bulk of W can freeze a self-learning chain (see docs)."""
    sampler = pq.SpinMetropolis(exact, sweeps=5)
    return sampler.run(pq.spin.random(exact.shape, rng=seed), 40, rng=seed, progress=False).state


def describe(chain, seconds):
    m, ms = chain.estimate("magnetization"), chain.estimate("staggered_magnetization")
    return {
        "acceptance": chain.acceptance,
        "magnetization": [m.mean, m.error, m.tau],
        "staggered_magnetization": [ms.mean, ms.error, ms.tau],
        "tau_seconds": max(m.tau, ms.tau) * seconds / len(chain),
        "seconds_per_step": seconds / len(chain),
        "draws": len(chain),
    }


def timed(sampler, state, draws, seed, warmup=100):
    start = time.perf_counter()
    chain = sampler.run(state, draws, warmup=warmup, rng=seed, progress=False)
    return chain, (time.perf_counter() - start) * draws / (draws + warmup)


def sampler_for(effective, exact):
    if isinstance(effective, pq.LinearSpinModel):
        return pq.SelfLearningMC(exact, effective, sweeps=10, overrelaxation=1)
    step = 0.2 * 6 / exact.shape[0]
    return pq.SelfLearningMC(exact, effective, sweeps=8, hmc_steps=10, hmc_step_size=step)


def acceptance(args):
    """Measured acceptance of every stored model, three seeds each, and the exact local reference."""
    rows = []
    names = (
        args.names.split(",") if args.names else ["reference", *(p.stem for p in sorted(STORE.glob("linear_*.npy")))]
    )
    if not args.names:
        names += sorted(p.stem for p in STORE.glob("*.safetensors"))
    for name in names:
        for seed in range(args.seed, args.seed + 3):
            if name == "reference":
                chain, seconds = timed(
                    pq.SpinMetropolis(model(), sweeps=5), thermalised(model(), seed), args.draws, seed
                )
            else:
                chain, seconds = timed(sampler_for(load(name), model()), thermalised(model(), seed), args.draws, seed)
            rows.append({"model": name, "seed": seed} | describe(chain, seconds))
            print({k: v for k, v in rows[-1].items() if k != "draws"}, flush=True)
            store(args.name, {"draws": args.draws, "rows": rows}, args.seed)


def temperatures(args):
    """Exact local Metropolis and nine-shell self-learning chains against temperature."""
    rows = []
    for T in (0.2, 0.1, 0.06, 0.04):
        start = thermalised(model(T), args.seed)
        chain, seconds = timed(pq.SpinMetropolis(model(T), sweeps=5), start, args.draws, args.seed, 500)
        rows.append({"T": T, "sampler": "exact local"} | describe(chain, seconds))
        print(rows[-1], flush=True)
        for shells in (3, 9):
            effective = trained_linear(shells, args.seed, T)
            chain, seconds = timed(sampler_for(effective, model(T)), start, args.draws, args.seed, 500)
            rows.append({"T": T, "sampler": f"linear {shells}"} | describe(chain, seconds))
            print(rows[-1], flush=True)
            store(args.name, {"draws": args.draws, "rows": rows}, args.seed)


def sizes(args):
    """Weights trained on 6x6, used on larger lattices: as they are, and with the read-out fitted again."""
    rows = []
    for extent, draws in ((8, args.draws), (12, args.draws // 2)):
        shape = (extent, extent)
        exact = model(shape=shape)
        start = thermalised(exact, args.seed)
        for name in args.names.split(","):
            effective = load(name, shape)
            for refit in (False, True):
                if refit:
                    fit = {"steps": 1} if isinstance(effective, pq.EquivariantAttention) else None
                    sampler_for(effective, exact).train(start, rounds=2, draws=200, fit=fit, rng=args.seed)
                chain, seconds = timed(sampler_for(effective, exact), start, draws, args.seed, 20)
                spread = float(np.var(chain.info["proposed_residual"]))
                accepted = pq.statistics.estimate(chain.info["accepted"].astype(float))
                row = {"shape": shape, "model": name, "refit": refit, "error": accepted.error}
                inner = float(np.mean(chain.info["inner_acceptance"]))
                row |= {"predicted": pq.spin.predicted_acceptance(spread), "inner": inner}
                rows.append(row | describe(chain, seconds))
                print(rows[-1], flush=True)
                store(args.name, {"rows": rows}, args.seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["train", "evaluate", "acceptance", "temperatures", "sizes"])
    parser.add_argument("--name", default=None)
    parser.add_argument("--names", default="")
    parser.add_argument("--families", default="attention_3,attention_9,local_9")
    parser.add_argument("--configurations", type=int, default=20000)
    parser.add_argument("--linear", action="store_true", help="train: fit the linear models too")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.name = args.name or args.what
    STORE.mkdir(exist_ok=True)
    globals()[args.what](args)


if __name__ == "__main__":
    main()
