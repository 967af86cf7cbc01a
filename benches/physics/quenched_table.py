"""Mean plaquettes and rectangles of quenched SU(N) theories against an independent Monte Carlo, by heatbath and HMC.

Each row is run with both samplers until its error is about half of the published one (or the seconds allowed are
used up), but for at least 1000 draws: of fewer the autocorrelation time is not known. Results go to
quenched_table.json after every run, so that a stopped table is continued, not begun again.

    python benches/physics/quenched_table.py [--rows TEXT] [--seconds 60] [--again]
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import plaq as pq

OUTPUT = Path(__file__).with_suffix(".json")
WARMUP = 100
PILOT = 150
LEAST = 1000
BOTH = {"P": pq.observables.plaquette, "R": pq.observables.rectangle}


@dataclass(frozen=True)
class Row:
    """A published line: P and R are means of plaquettes and 2x1 rectangles with their errors (uncertain by 50 %)."""

    group: str
    ndim: int
    extent: int
    beta: float
    P: tuple[float, float]
    R: tuple[float, float]
    action: str = "Wilson"

    @property
    def name(self) -> str:
        return f"{self.group} {self.extent}^{self.ndim} {self.action} b{self.beta:.1f}"

    def field(self) -> pq.GaugeField:
        """A hot start: from a cold one an HMC of few steps accepts nothing."""
        return pq.GaugeField.hot((self.extent,) * self.ndim, self.group, rng=1)

    def samplers(self) -> dict[str, pq.Sampler]:
        action = getattr(pq.actions, self.action)(self.beta)
        large = self.extent == 8
        return {
            "Heatbath": pq.Heatbath(action, overrelaxation=2 if large else 1),
            "HMC": pq.HMC(action, length=1.0, steps=6 if large else 4),
        }


TABLE = (
    Row("SU(2)", 4, 8, 2.0, (0.50122, 0.00025), (0.25882, 0.00036)),
    Row("SU(2)", 4, 8, 2.3, (0.60217, 0.00025), (0.38568, 0.00042)),
    Row("SU(2)", 4, 8, 2.5, (0.65267, 0.00013), (0.45744, 0.00027)),
    Row("SU(2)", 4, 4, 1.9, (0.47014, 0.00012), (0.22630, 0.00018)),
    Row("SU(2)", 4, 4, 2.3, (0.60935, 0.00033), (0.39853, 0.00056)),
    Row("SU(2)", 4, 4, 2.7, (0.68704, 0.00008), (0.50810, 0.00022)),
    Row("SU(3)", 4, 8, 5.5, (0.49684, 0.00044), (0.25942, 0.00063)),
    Row("SU(3)", 4, 8, 5.7, (0.54923, 0.00028), (0.32478, 0.00050)),
    Row("SU(3)", 4, 8, 6.0, (0.59421, 0.00008), (0.38456, 0.00012)),
    Row("SU(3)", 4, 4, 1.0, (0.06009, 0.00011), (0.00370, 0.00015)),
    Row("SU(3)", 4, 4, 2.0, (0.12877, 0.00013), (0.01652, 0.00013)),
    Row("SU(3)", 4, 4, 6.0, (0.59639, 0.00022), (0.38894, 0.00038)),
    Row("SU(3)", 4, 2, 5.5, (0.56829, 0.00029), (0.39669, 0.00049)),
    Row("SU(3)", 4, 2, 5.7, (0.58987, 0.00025), (0.42437, 0.00040)),
    Row("SU(3)", 4, 2, 6.0, (0.61796, 0.00028), (0.46039, 0.00057)),
    Row("SU(2)", 4, 8, 1.6, (0.60091, 0.00038), (0.36403, 0.00075), "Symanzik"),
    Row("SU(2)", 3, 8, 5.0, (0.78684, 0.00010), (0.63623, 0.00020)),
)


def measure(row: Row, sampler: pq.Sampler, seed: int, seconds: float, shrink: float) -> dict[str, object]:
    """One row by one sampler; the pilot run, which sets the number of draws, is dropped."""
    start = time.process_time()
    pilot = sampler.run(row.field(), PILOT, warmup=WARMUP, observables=BOTH, rng=seed, progress=False)
    allowed = seconds / (time.process_time() - start) * (WARMUP + PILOT)
    wanted = PILOT * max((pilot.estimate(name).error / (shrink * getattr(row, name)[1])) ** 2 for name in BOTH)
    draws = math.ceil(max(min(wanted, allowed), LEAST))
    start = time.process_time()
    chain = sampler.run(pilot.state, draws, observables=BOTH, rng=seed + 1, progress=False)
    result: dict[str, object] = {"seed": seed, "draws": draws, "cpu_seconds": round(time.process_time() - start, 1)}
    for name in BOTH:
        estimate, (value, error) = chain.estimate(name), getattr(row, name)
        sigma = (estimate.mean - value) / math.hypot(estimate.error, error)
        result[name] = asdict(estimate) | {"text": str(estimate), "published": [value, error], "sigma": round(sigma, 2)}
    if "delta_h" in chain.info:
        result |= {
            "acceptance": chain.acceptance,
            "exp_dh": asdict(pq.statistics.estimate(np.exp(-chain.info["delta_h"]))),
        }
    return result


def commit() -> str:
    command = ["git", "-C", str(OUTPUT.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="only rows whose name contains this text")
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of one sampler on one row, at most")
    parser.add_argument("--shrink", type=float, default=0.5, help="error wanted, in units of the published one")
    parser.add_argument("--seed", type=int, default=2026, help="seed of the first row")
    parser.add_argument("--again", action="store_true", help="replace results that exist")
    options = parser.parse_args()
    pq.set_num_threads(1)
    results = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    for kind, (number, row) in itertools.product(("Heatbath", "HMC"), enumerate(TABLE)):
        key = f"{row.name} {kind}"
        if options.rows not in key or (key in results and not options.again):
            continue
        sampler = row.samplers()[kind]
        result = measure(row, sampler, options.seed + 10 * number, options.seconds, options.shrink)
        command = " ".join(["python", *sys.argv])
        results[key] = result | {"sampler": sampler.fingerprint(), "command": command, "commit": commit()}
        OUTPUT.write_text(json.dumps(results, indent=1) + "\n")
        print(key, *(f"{name} {result[name]['text']} ({result[name]['sigma']:+.1f})" for name in BOTH), flush=True)


if __name__ == "__main__":
    main()
