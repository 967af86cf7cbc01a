"""Trained networks in HMC of 2D U(1): `python benches/physics/u1_networks.py [--measure] [--scale X]`.

Sixteen masked updates with a network each (`plaq.transform.u1_2d(channels=2)`) are trained on 16^2 by the size of the
force, sum of the 2-norm and the largest, less that of beta = 2.5, at beta = 3, 4, 5 one after the other, from each of
which the next starts (reference page of field transformations, 4.4: the ladder of 16^2, there 1024 steps of batches of
128 for each beta). The result then samples other couplings and lattices. Writes u1_networks.json (training, and the
columns of u1_tunnelling.json) and u1_networks.safetensors beside this file.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import plaq as pq
import provenance
from u1_tunnelling import compare, run

LADDER = (3.0, 4.0, 5.0)
SEED = 16
CHANNELS = 2
ROWS = [(16, 4.0, 14, 100), (16, 5.0, 14, 150), (32, 5.0, 16, 200)]
"""Extent, beta, steps of a trajectory of length 4, seconds."""
PLAIN = {4.0: 18, 5.0: 20, 6.0: 21}
PUBLISHED = {4.0: 2.15, 5.0: 2.86}
"""Gains on 64^2 of networks with 4 channels that were trained on 64^2 at beta = 3, 4, 5."""


def train(steps: int) -> tuple[pq.FieldTransform, list[dict[str, object]]]:
    F = pq.transform.u1_2d(loops=["plaquette", "rectangle"], channels=CHANNELS, rng=SEED)
    records = []
    for beta in LADDER:
        S = pq.actions.Wilson(beta)
        hot = pq.GaugeField.hot((16, 16), "U(1)", rng=SEED)
        U, fields = pq.Heatbath(S, overrelaxation=5).run(hot, 500, rng=SEED, progress=False).state, []
        for k in range(72):
            U = pq.Heatbath(S, overrelaxation=5).run(U, 20, rng=SEED + k, progress=False).state
            fields.append(U)
        loss = pq.losses.TransformedForce(S, pq.actions.Wilson(2.5), norms={2: 1.0}, largest=1.0)
        sampler = pq.FieldTransformHMC(S, F, length=4.0, steps=20)
        begin = time.process_time()
        history = sampler.train(
            fields,
            loss,
            optimizer=pq.optimizers.Adam(2e-3),
            epochs=max(1, steps // 4),
            batch=16,
            rng=SEED,
            validation=1 / 9,
            progress=False,
        )
        F = sampler.transform
        used = time.process_time() - begin
        first, best = float(history["validation"][0]), float(min(history["validation"]))
        records.append({"beta": beta, "loss": [first, best], "epochs": len(history["loss"]) - 1, "seconds": used})
        print(records[-1], flush=True)
    return F, records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1024, help="of the optimiser for each beta")
    parser.add_argument("--measure", action="store_true", help="with the parameters that are there")
    parser.add_argument("--scale", type=float, default=1.0, help="times the seconds of each row")
    arguments = parser.parse_args()
    pq.set_num_threads(1)
    path = Path(__file__).with_suffix(".json")
    commit = provenance.commit()
    if arguments.measure:
        F, training = pq.FieldTransform.load(path.with_suffix(".safetensors")), json.loads(path.read_text())["training"]
    else:
        F, training = train(arguments.steps)
        F.save(path.with_suffix(".safetensors"))
    rows: dict[str, dict[str, object]] = {}
    for extent, beta, steps, seconds in ROWS:
        plain = run(extent, beta, None, PLAIN[beta], 30 * arguments.scale)
        row = run(extent, beta, F, steps, seconds * arguments.scale)
        compare(row, plain)
        row["published"] = {"gain": PUBLISHED[beta]}
        rows[f"{extent}^2, beta {beta:g}"] = row | {"hmc": plain}
        print(extent, beta, row, flush=True)
        content = {"seed": SEED, "command": " ".join(sys.argv), "commit": commit, "training": training, "rows": rows}
        path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
