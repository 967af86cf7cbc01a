"""Training on blocks against training on whole lattices: `python benches/physics/force_blocks.py [--scale X]`.

2D U(1) on 64^2, beta = 4, the force of S(F(V)) - ln det F near that of beta = 2.5, networks of 2 channels in one sweep
of masked updates. The same processor time for the loss of whole lattices and for those of blocks of 8^2 sites with
windows of 12^2 and 16^2. Writes force_blocks.json beside this file: seconds of a gradient, the
loss of held-back lattices after parts of the time.
"""

import json
import time

import plaq as pq
import provenance

EXTENT, SEED, SECONDS = 64, 64, 8.0
S, T = pq.actions.Wilson(4.0), pq.actions.Wilson(2.5)
LOSSES = {
    "whole lattice": pq.losses.TransformedForce(S, T),
    "blocks of 8^2, margin 2": pq.losses.SubVolumeForce(S, T, block=(8, 8), margin=2, rng=SEED),
    "blocks of 8^2, margin 4": pq.losses.SubVolumeForce(S, T, block=(8, 8), margin=4, rng=SEED),
}
PARTS = 4


def row(loss: pq.losses.TransformedForce, fields: list[pq.GaugeField], scale: float) -> dict[str, object]:
    """Parts of one training, each field with a block of its own in every place of the list."""
    train, held = fields[:-2] * 8, fields[-2:]
    whole, F = (
        LOSSES["whole lattice"],
        pq.transform.u1_2d(loops=["plaquette", "rectangle"], channels=2, sweeps=1, rng=1),
    )
    targets = loss.targets(train)
    loss.of_batch(F, train[:1], targets[:1])
    begin = time.process_time()
    for k in range(4):
        loss.of_batch(F, train[k : k + 1], targets[k : k + 1])
    step = (time.process_time() - begin) / 4
    steps = max(PARTS, round(SECONDS * scale / (2 * step)))
    curve = [[0.0, whole.of_batch(F, held, [None] * 2)[0]]]
    sampler = pq.FieldTransformHMC(S, F, length=1.0, steps=8)
    for part in range(PARTS):
        begin = time.process_time()
        each = steps // PARTS
        few = [train[k % len(train)] for k in range(part * 2 * each, (part + 1) * 2 * each)]
        rule = pq.optimizers.Adam(5e-3 * (1 - part / PARTS))
        sampler.train(few, loss, epochs=1, batch=2, optimizer=rule, rng=SEED + part, progress=False)
        used = curve[-1][0] + time.process_time() - begin
        curve.append([used, whole.of_batch(sampler.transform, held, [None] * 2)[0]])
    return {"seconds_of_a_gradient": step, "steps": steps, "curve": curve, "parameters": F.n_parameters}


def main() -> None:
    arguments, path, origin, rows = provenance.begun(
        __doc__, __file__, only="rows whose name contains this", scale="times the seconds of each training"
    )
    pq.set_num_threads(1)
    heatbath, fields = pq.Heatbath(S, overrelaxation=3), []
    U = heatbath.run(pq.GaugeField.hot((EXTENT, EXTENT), "U(1)", rng=SEED), 200, rng=SEED, progress=False).state
    for k in range(10):
        U = heatbath.run(U, 20, rng=SEED + 1 + k, progress=False).state
        fields.append(U)
    for name, loss in LOSSES.items():
        if arguments.only in name:
            rows[name] = row(loss, fields, arguments.scale) | origin
            print(name, rows[name], flush=True)
            path.write_text(json.dumps({"seed": SEED, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
