"""Normalising flows: `python benches/physics/flows.py [--only TEXT] [--scale X]`.

Real NVP for phi^4 with the parameters of arXiv 1904.12072 (there S = sum (d phi)^2 + m^2 phi^2 + lambda phi^4, so that
phi here is sqrt 2 times phi there: m^2 = -4 and lambda/4), flows of 2D U(1) on 8^2, SU(2) and SU(3) on 4^2, each
beta of a group trained from the one before. Writes flows.json beside this file: effective sample size over samples,
acceptance of FlowProposal, tau of the chain, ln Z; for phi^4 <phi^2> beside that of HMC, for links plaquette and ln Z
beside the exact values.
"""

import itertools
import json
import math
import time

import numpy as np
import plaq as pq
import provenance

PHI4 = {6: 6.975, 8: 6.008}
"""lambda of the article by the extent."""
BETAS = {"U(1)": [1.0, 2.0, 3.0, 4.0], "SU(2)": [2.0, 4.0], "SU(3)": [2.0, 4.0]}
EXTENTS = {"U(1)": 8, "SU(2)": 4, "SU(3)": 4}
STEPS = {6: 1000, 8: 500, "U(1)": 100, "SU(2)": 100, "SU(3)": 100}
SAMPLES, DRAWS, SEED = 4000, 3000, 12


def log_z(group: str, beta: float, volume: int) -> float:
    """Over the Haar measure: U(1) ln sum_n [I_n e^-beta]^V, SU(N) ln sum_r (c_r/d_r)^V over representations of highest
    weight lambda, c = e^-beta sum_k det I_(lambda_j + i - j + k)(beta/N).
    """
    n, phi = 1 if group == "U(1)" else int(group[3]), np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    weight = np.exp(beta / n * (np.cos(phi) - 1))
    bessel = {k: float(np.mean(weight * np.cos(k * phi))) for k in range(-60, 61)}
    if n == 1:
        return float(np.log(sum(value**volume for value in bessel.values())))
    total = 0.0
    for lines in itertools.combinations_with_replacement(range(16), n - 1):
        top = [*sorted(lines, reverse=True), 0]
        tables = [[[bessel[top[j] + i - j + k] for j in range(n)] for i in range(n)] for k in range(-30, 31)]
        pairs = itertools.combinations(range(n), 2)
        dimension = math.prod((top[i] - top[j] + j - i) / (j - i) for i, j in pairs)
        total += (float(np.linalg.det(np.array(tables)).sum()) / dimension) ** volume
    return math.log(total)


def plaquette(group: str, beta: float, volume: int) -> float:
    """1 + d ln Z / d beta / V."""
    h = 1e-4 * beta
    return 1 + (log_z(group, beta + h, volume) - log_z(group, beta - h, volume)) / (2 * h * volume)


def compared(found: pq.Estimate, value: float, error: float = 0.0) -> dict[str, object]:
    sigma = (found.mean - value) / float(np.hypot(found.error, error))
    return {"text": str(found), "mean": found.mean, "error": found.error, "reference": value, "sigma": sigma}


def trained(flow: pq.flows.Flow, action: object, steps: int, rate: float) -> dict[str, object]:
    rule = pq.optimizers.Adam(rate, schedule=pq.optimizers.Cosine(steps))
    begin = time.process_time()
    history = flow.fit(action, steps=steps, batch=64, optimizer=rule, rng=SEED, progress=False)
    used = time.process_time() - begin
    facts = {"couplings": len(flow.layers), "parameters": flow.n_parameters, "steps": steps, "batch": 64}
    return facts | {"seconds": used, "loss": float(history.loss[-20:].mean())}


def measured(flow: pq.flows.Flow, action: object, observable: object) -> tuple[dict[str, object], object, pq.Chain]:
    samples = flow.reweight(action, SAMPLES, rng=SEED)
    sampler = pq.FlowProposal(flow, action)
    options = {"warmup": 50, "observables": {"x": observable}, "rng": SEED, "progress": False}
    chain = sampler.run(sampler.start(rng=SEED), DRAWS, **options)
    row = {"efficiency": samples.efficiency, "acceptance": chain.acceptance, "tau": chain.estimate("x").tau}
    return row, samples, chain


def phi2(phi: pq.ScalarField) -> float:
    return float((np.asarray(phi) ** 2).mean())


def phi4(extent: int, scale: float) -> dict[str, object]:
    action = pq.actions.Scalar(-4.0, PHI4[extent] / 4)
    prior = pq.flows.Normal((extent, extent), width=0.5)
    flow = pq.flows.real_nvp(prior, couplings=8, hidden=(8,), dtype="float32", rng=SEED)
    training = trained(flow, action, round(STEPS[extent] * scale), 5e-3)
    row, samples, chain = measured(flow, action, phi2)
    start = pq.ScalarField.zeros((extent, extent))
    hmc = pq.HMC(action, length=1.5, steps=12).run(
        start, 20_000, warmup=500, observables={"x": phi2}, rng=SEED, progress=False
    )
    reference = hmc.estimate("x")
    row |= {"log_z": str(samples.log_z()), "phi2": compared(chain.estimate("x"), reference.mean, reference.error)}
    return training | row


def gauge(group: str, beta: float, flow: pq.flows.Flow, scale: float) -> dict[str, object]:
    action = pq.actions.Wilson(beta)
    training = trained(flow, action, round(STEPS[group] * scale), 0.01)
    row, samples, chain = measured(flow, action, pq.observables.plaquette)
    row |= {"log_z": compared(samples.log_z(), log_z(group, beta, EXTENTS[group] ** 2))}
    row |= {"plaquette": compared(chain.estimate("x"), plaquette(group, beta, EXTENTS[group] ** 2))}
    return training | row


def main() -> None:
    arguments, path, origin, rows = provenance.begun(
        __doc__, __file__, only="rows whose name contains this", scale="times the steps of each training"
    )
    pq.set_num_threads(1)
    jobs = {f"phi4 {extent}^2, lambda {lam}": (phi4, extent, arguments.scale) for extent, lam in PHI4.items()}
    settings = {"terms": 4, "hidden": (8,), "dtype": "float32", "rng": SEED}
    flows = {"U(1)": pq.flows.u1_2d((8, 8), sweeps=2, **settings)}
    flows |= {group: pq.flows.su_2d((4, 4), group, sweeps=1, **settings) for group in ("SU(2)", "SU(3)")}
    for group, flow in flows.items():
        jobs |= {
            f"{group} {EXTENTS[group]}^2, beta {beta:g}": (gauge, group, beta, flow, arguments.scale)
            for beta in BETAS[group]
        }
    for name, (function, *settings) in jobs.items():
        if arguments.only in name:
            rows[name] = function(*settings) | origin
            print(name, rows[name], flush=True)
            path.write_text(json.dumps({"seed": SEED, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
