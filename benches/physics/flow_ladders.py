"""Flows trained from the one before: `python benches/physics/flow_ladders.py [--only TEXT] [--scale X]`.

phi^4 with the parameters of arXiv 1904.12072: a ladder from L = 6 to 14 (networks are convolutions, so that the
parameters of one lattice start the next), from independent normal numbers; and each L alone, from the free field of
mass 4/L. 2D U(1) at beta = 1 to 7 (arXiv 2003.06413): on 8^2 each beta is trained from the one before, and its
parameters start 16^2.
Writes flow_ladders.json beside this file: effective sample size over samples after parts of each training with the
seconds of processor time up to then (of this lattice, and of the whole ladder), acceptance of FlowProposal, and what
flows.py compares.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import plaq as pq
import provenance
from flows import DRAWS, SEED, compared, log_z, measured, phi2, plaquette

PHI4 = {6: 6.975, 8: 6.008, 10: 5.550, 12: 5.276, 14: 5.113}
"""lambda of the article by the extent."""
BETAS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
SECONDS = {6: 150, 8: 150, 10: 300, 12: 300, 14: 360, "8^2": 80, "16^2": 120}
"""Of processor time for a training, about."""
PARTS = 5
"""Efficiencies are measured after each."""


def trained(flow: pq.flows.Flow, action: object, seconds: float, batch: int, rate: float) -> dict[str, object]:
    """In parts of one training, with the same schedule as without."""
    begin = time.process_time()
    flow.copy().fit(action, steps=3, batch=batch, optimizer=pq.optimizers.Adam(rate), rng=SEED, progress=False)
    steps = max(PARTS, round(seconds / (time.process_time() - begin) * 3))
    rule = pq.optimizers.Adam(rate, schedule=pq.optimizers.Cosine(steps))
    samples = flow.reweight(action, 1000, rng=SEED + 1)
    curve, used = [[0.0, samples.efficiency]], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for part in range(1, PARTS + 1):
            begin = time.process_time()
            history = flow.fit(
                action,
                steps=steps * part // PARTS,
                batch=batch,
                optimizer=rule,
                checkpoint=Path(folder) / "training",
                rng=SEED,
                progress=False,
            )
            used += time.process_time() - begin
            curve.append([used, flow.reweight(action, 2000, rng=SEED + 1).efficiency])
    facts = {"couplings": len(flow.layers), "parameters": flow.n_parameters, "steps": steps, "batch": batch}
    return facts | {"seconds": used, "loss": float(history.loss[-20:].mean()), "curve": curve}


def moved(before: pq.flows.Flow | None, flow: pq.flows.Flow) -> pq.flows.Flow:
    """With the parameters of the flow before."""
    if before is not None:
        flow.parameters = before.parameters
    return flow


def phi4(
    before: pq.flows.Flow | None, extent: int, free: bool, scale: float
) -> tuple[pq.flows.Flow, dict[str, object]]:
    action = pq.actions.Scalar(-4.0, PHI4[extent] / 4)
    prior: Any = pq.flows.Normal((extent, extent), width=0.5)
    if free:
        before, prior = None, pq.flows.FreeField((extent, extent), (4 / extent) ** 2)
    flow = moved(before, pq.flows.real_nvp(prior, couplings=10, hidden=(12,), dtype="float32", rng=SEED))
    rate = 2e-3 if free else 5e-3 if before is None else 3e-3
    facts = trained(flow, action, SECONDS[extent] * scale, 64, rate)
    row, samples, chain = measured(flow, action, phi2)
    start = pq.ScalarField.zeros((extent, extent))
    options = {"warmup": 500, "observables": {"x": phi2}, "rng": SEED, "progress": False}
    reference = pq.HMC(action, length=1.5, steps=14).run(start, 8000, **options).estimate("x")
    row |= {"log_z": str(samples.log_z()), "phi2": compared(chain.estimate("x"), reference.mean, reference.error)}
    return flow, facts | row


def u1(before: pq.flows.Flow | None, extent: int, beta: float, scale: float) -> tuple[pq.flows.Flow, dict[str, object]]:
    action, volume = pq.actions.Wilson(beta), extent**2
    settings = {"sweeps": 2, "terms": 6, "hidden": (8,), "dtype": "float32", "rng": SEED}
    flow = moved(before, pq.flows.u1_2d((extent, extent), **settings))
    facts = trained(flow, action, SECONDS[f"{extent}^2"] * scale, 32, 5e-3 if before is None else 3e-3)
    row, samples, chain = measured(flow, action, pq.observables.plaquette)
    row |= {"log_z": compared(samples.log_z(), log_z("U(1)", beta, volume))}
    row |= {"plaquette": compared(chain.estimate("x"), plaquette("U(1)", beta, volume))}
    return flow, facts | row


def main() -> None:
    arguments, path, origin, rows = provenance.begun(
        __doc__, __file__, only="ladder whose name contains this", scale="times the seconds of each training"
    )
    pq.set_num_threads(1)
    jobs = {("phi4", f"phi4 {extent}^2, lambda {lam}"): (phi4, extent, False) for extent, lam in PHI4.items()}
    jobs |= {
        (f"free field, {extent}", f"phi4 {extent}^2, lambda {lam}, from the free field"): (phi4, extent, True)
        for extent, lam in PHI4.items()
    }
    jobs |= {("U(1)", f"U(1) {L}^2, beta {beta:g}"): (u1, L, beta) for beta in BETAS for L in (8, 16)}
    flows: dict[object, pq.flows.Flow] = {}
    total: dict[str, float] = {}
    for (ladder, name), (function, *settings) in jobs.items():
        if arguments.only not in ladder:
            continue
        # Of U(1) what was trained last on 8^2; of phi^4 on the lattice before.
        flow, row = function(flows.get(ladder), *settings, arguments.scale)
        if settings[0] != 16:
            flows[ladder] = flow
        total[ladder] = total.get(ladder, 0.0) + row["seconds"]
        rows[name] = row | {"seconds_of_the_ladder": total[ladder], "draws": DRAWS} | origin
        print(name, rows[name], flush=True)
        path.write_text(json.dumps({"seed": SEED, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
