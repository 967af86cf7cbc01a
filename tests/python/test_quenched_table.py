"""The committed table of quenched plaquettes and rectangles agrees with an independent Monte Carlo; cheap rows live."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import plaq as pq
import pytest

FOLDER = Path(__file__).parents[2] / "benches" / "physics"
SIGMA = 4  # the published errors are uncertain by 50 %


def script():
    spec = importlib.util.spec_from_file_location("quenched_table", FOLDER / "quenched_table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TABLE = {row.name: row for row in script().TABLE}
RESULTS = json.loads((FOLDER / "quenched_table.json").read_text())


def sigma(found, published):
    return abs(found["mean"] - published[0]) / math.hypot(found["error"], published[1])


def test_every_row_was_run():
    assert {f"{name} Heatbath" for name in TABLE} <= RESULTS.keys()
    assert all(result["draws"] >= 300 for result in RESULTS.values())


@pytest.mark.parametrize("key", RESULTS)
def test_committed_row(key):
    name, kind = key.rsplit(" ", 1)
    row, result = TABLE[name], RESULTS[key]
    assert result["sampler"]["action"] == row.samplers()[kind].fingerprint()["action"]
    for observable in ("P", "R"):
        found, published = result[observable], getattr(row, observable)
        assert found["published"] == list(published)
        assert sigma(found, published) < SIGMA
        assert found["error"] < 6 * published[1]
        assert abs(found["sigma"]) == pytest.approx(sigma(found, published), abs=0.01)
    if kind == "HMC":
        assert result["acceptance"] > 0.5
        assert abs(result["exp_dh"]["mean"] - 1) < SIGMA * result["exp_dh"]["error"]


@pytest.mark.parametrize("name", [name for name in TABLE if f"{name} HMC" in RESULTS])
def test_both_samplers_agree(name):
    for observable in ("P", "R"):
        heatbath, hmc = (RESULTS[f"{name} {kind}"][observable] for kind in ("Heatbath", "HMC"))
        assert sigma(heatbath, (hmc["mean"], hmc["error"])) < SIGMA


@pytest.mark.parametrize("kind", ["Heatbath", "HMC"])
@pytest.mark.parametrize(
    ("name", "draws"),
    [
        ("SU(2) 4^4 Wilson b2.7", 1500),
        ("SU(2) 8^3 Wilson b5.0", 600),
        ("SU(3) 4^4 Wilson b2.0", 600),
        ("SU(3) 2^4 Wilson b6.0", 5000),
    ],
)
def test_live_row(name, draws, kind):
    row, before = TABLE[name], pq.num_threads()
    pq.set_num_threads(1)
    both = {"P": pq.observables.plaquette, "R": pq.observables.rectangle}
    chain = row.samplers()[kind].run(row.field(), draws, warmup=150, observables=both, rng=5, progress=False)
    pq.set_num_threads(before)
    for observable in both:
        found, published = chain.estimate(observable), getattr(row, observable)
        assert sigma({"mean": found.mean, "error": found.error}, published) < SIGMA, str(found)
        assert found.error < 12 * published[1]
