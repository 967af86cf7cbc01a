"""Long runs of the spectrum under stochastic training: mean spacing of degenerate pairs at several alpha and |B|.

Writes dyson.json beside this file: command, commit and seed, and for every run the measured spacings with errors.
Takes a few minutes on 2 cores: python benches/physics/dyson.py
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import plaq as pq

SEED = 20240716
RATIOS = {
    1 / 1600: ((0.01, 16), (0.02, 32), (0.04, 64)),
    1 / 640: ((0.025, 16), (0.05, 32), (0.1, 64)),
    1 / 160: ((0.05, 8), (0.1, 16), (0.2, 32)),
}
MEMBERS, RECORDS, K = 24, 120, 1
PAIRS = [(1, 2), (3, 4), (5, 6), (7, 8)]


def measure(rate, batch, seed):
    kernel = pq.rbm.free_field_kernel(10, 4.0)
    start = time.perf_counter()
    options = {"members": MEMBERS, "records": RECORDS, "every": round(3 / rate), "warmup": round(40 / rate), "k": K}
    spectra = pq.rbm.dyson(kernel, mu2=9.0, learning_rate=rate, batch=batch, rng=seed, **options)
    spacings = np.stack([spectra[..., b] - spectra[..., a] for a, b in PAIRS], axis=-1)
    by_member = spacings.mean(1)
    return {
        "learning_rate": rate,
        "batch": batch,
        "spacing": spacings.mean((0, 1)).tolist(),
        "spacing_error": (by_member.std(0, ddof=1) / np.sqrt(len(by_member))).tolist(),
        "ratio": ((spacings**2).mean((0, 1)) / spacings.mean((0, 1)) ** 2).tolist(),
        "width": spectra[..., 0].std().item(),
        "histogram": np.histogram(spacings[..., 0] / spacings[..., 0].mean(), bins=24, range=(0, 4))[0].tolist(),
        "seconds": time.perf_counter() - start,
    }


def main():
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    runs = []
    for ratio, settings in RATIOS.items():
        for rate, batch in settings:
            assert abs(rate / batch - ratio) < 1e-12
            runs.append(measure(rate, batch, SEED + len(runs)))
            sys.stdout.write(f"{rate} {batch} {runs[-1]['spacing']} {runs[-1]['seconds']:.0f} s\n")
            sys.stdout.flush()
    facts = {"command": "python benches/physics/dyson.py", "commit": commit, "seed": SEED, "version": pq.__version__}
    setup = {"n": 10, "m2": 4.0, "mu2": 9.0, "k": K, "members": MEMBERS, "records": RECORDS}
    setup |= {"every": "3/alpha", "warmup": "40/alpha"}
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts | {"setup": setup, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
