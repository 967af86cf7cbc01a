"""Noise along training: Langevin, Fokker-Planck, Wigner and Dyson statistics (arXiv 2407.16427)."""

import json
import math
from pathlib import Path

import numpy as np
import plaq as pq
import pytest

KERNEL = pq.rbm.free_field_kernel(10, 4.0)
KAPPA = np.linalg.eigvalsh(KERNEL)
PAIRS = [(1, 2), (3, 4), (5, 6), (7, 8)]
STORED = Path(__file__).parents[2] / "benches" / "physics" / "dyson.json"


def test_lowest_rate_of_weak_noise_is_the_linear_one():
    for kappa, mu2 in ((4.0, 9.0), (2.0, 5.0), (7.0, 9.0)):
        rate = float(pq.rbm.relaxation_rate(kappa, mu2))
        found = pq.rbm.FokkerPlanck(kappa, mu2, 1e-5 * rate, cells=800).rates(2)
        np.testing.assert_allclose(found, [rate, 2 * rate], rtol=2e-3)


def test_fokker_planck_converges_with_the_cells():
    coarse, fine, finest = (pq.rbm.FokkerPlanck(4.0, 9.0, 0.3, cells=n).rates()[0] for n in (100, 200, 400))
    assert (coarse - fine) / (fine - finest) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_langevin_runs_have_the_stationary_density_and_the_rate(noise):
    operator = pq.rbm.FokkerPlanck(4.0, 9.0, noise)
    step, every, walkers = 0.01, 10, 3000
    runs = pq.rbm.langevin(4.0, 9.0, noise, walkers=walkers, steps=10_000, step=step, every=every, rng=3)[200:]
    mean, width = operator.moments()
    (rate,), (slow,) = operator.modes(1)
    assert rate == pytest.approx(operator.rates()[0], rel=1e-9)
    independent = walkers * len(runs) * step * every * rate / 2
    assert abs(runs.mean() - mean) < 4 * width / math.sqrt(independent) + 2e-3
    assert runs.std() == pytest.approx(width, rel=0.02)
    cumulative = np.cumsum(operator.density) * operator.h
    for edge, expected in zip(operator.x[::40], cumulative[::40], strict=True):
        seen = np.mean(runs < edge + operator.h / 2)
        assert abs(seen - expected) < 4 * math.sqrt(max(expected * (1 - expected), 1e-6) / independent) + 4e-3
    values = np.interp(runs, operator.x, slow)
    correlation = [np.mean(values[lag:] * values[: len(values) - lag]) for lag in (0, 15)]
    measured = -math.log(correlation[1] / correlation[0]) / (15 * every * step)
    assert measured == pytest.approx(rate, rel=0.03)


def test_training_noise_of_one_mode_follows_the_fokker_planck_density():
    """One visible, one hidden unit, PCD with B chains: mean, width and lowest rate of x = xi^2 in training time."""
    kappa, mu2, rate, batch, k, every = 4.0, 9.0, 0.05, 32, 3, 30
    options = {"members": 32, "records": 300, "every": every, "warmup": 400, "k": k, "rng": 5}
    spectra = pq.rbm.dyson([[kappa]], mu2=mu2, learning_rate=rate, batch=batch, **options)
    x = mu2 - spectra[..., 0]
    operator = pq.rbm.FokkerPlanck(kappa, mu2, pq.rbm.minibatch_noise(kappa, mu2, rate, batch, k))
    mean, width = operator.moments()
    assert x.mean() == pytest.approx(mean, abs=0.02)
    assert x.std() == pytest.approx(width, rel=0.05)
    centred = x - x.mean()
    decay = np.mean(centred[:, 1:] * centred[:, :-1]) / np.mean(centred**2)
    assert -math.log(decay) / (every * rate) == pytest.approx(operator.rates()[0], rel=0.15)


def test_wigner_densities_are_normalised():
    s = np.linspace(0, 12, 20_001)
    density = pq.rbm.wigner(s)
    for power, expected in ((0, 1.0), (1, 1.0), (2, 4 / math.pi)):
        assert np.trapezoid(density * s**power, s) == pytest.approx(expected, abs=1e-6)
    x = np.linspace(-12, 12, 20_001)
    assert np.trapezoid(pq.rbm.wigner_pair(x, 0.5, 0.9), x) == pytest.approx(1.0, abs=1e-9)
    assert np.trapezoid(pq.rbm.semicircle(x, 3.0), x) == pytest.approx(1.0, abs=1e-5)
    a = np.random.default_rng(1).standard_normal((200_000, 2, 2))
    values = np.linalg.eigvalsh((a + np.swapaxes(a, 1, 2)) / 2)  # off-diagonal variance 1/2
    assert np.diff(values).mean() == pytest.approx(math.sqrt(math.pi) * 1.0, rel=0.005)
    inside = np.mean((values > -0.7) & (values < 0.7))
    grid = np.linspace(-0.7, 0.7, 2001)
    assert inside == pytest.approx(np.trapezoid(pq.rbm.wigner_pair(grid, 0.0, 1.0), grid), abs=0.004)


def pair_spacings(spectra):
    return np.stack([spectra[..., b] - spectra[..., a] for a, b in PAIRS], axis=-1)


def slope(points, predictions):
    """Slope of measured against predicted spacing through the origin."""
    return float(points @ predictions / (predictions @ predictions))


@pytest.mark.parametrize(("rate", "batch"), [(0.02, 32), (0.04, 64)])
def test_level_spacing_depends_on_rate_over_batch_only(rate, batch):
    """alpha/|B| = 1/1600 at two (alpha, |B|): mean spacings, Wigner's ratio 4/pi, widths of single levels."""
    spectra = pq.rbm.dyson(
        KERNEL,
        mu2=9.0,
        learning_rate=rate,
        batch=batch,
        members=16,
        records=100,
        every=round(3 / rate),
        warmup=round(20 / rate),
        k=1,
        rng=11,
    )
    spacings = pair_spacings(spectra)[..., :3]
    predictions = pq.rbm.spacing_prediction(KAPPA[[1, 3, 5]], 9.0, rate, batch, k=1)
    assert slope(spacings.mean((0, 1)), predictions) == pytest.approx(1.0, abs=0.05)
    ratio = np.mean(spacings[..., 0] ** 2) / np.mean(spacings[..., 0]) ** 2
    assert ratio == pytest.approx(4 / math.pi, rel=0.04)
    width = float(pq.rbm.spread_prediction(KAPPA[0], 9.0, rate, batch, k=1))
    assert spectra[..., 0].std() == pytest.approx(width, rel=0.06)


def test_stored_long_runs_have_the_predicted_slopes():
    """benches/physics/dyson.py: three ratios alpha/|B|, several (alpha, |B|) each."""
    stored = json.loads(STORED.read_text())
    by_ratio = {}
    for run in stored["runs"]:
        predictions = pq.rbm.spacing_prediction(
            KAPPA[[1, 3, 5, 7]], 9.0, run["learning_rate"], run["batch"], stored["setup"]["k"]
        )
        by_ratio.setdefault(run["learning_rate"] / run["batch"], []).append(
            slope(np.array(run["spacing"]), predictions)
        )
    assert len(by_ratio) >= 3
    for ratio, slopes in by_ratio.items():
        assert len(slopes) >= 3
        assert max(slopes) - min(slopes) < 0.05, f"alpha/B = {ratio}"
        if ratio <= 1 / 640:
            assert all(abs(value - 1) < 0.05 for value in slopes)


def test_teacher_and_student():
    """2 x 2 students: Wigner spacing with sigma^2 = alpha noise^2 / (2 B), equal at equal alpha/B."""
    means = []
    for rate, batch in ((0.1, 16), (0.05, 8)):
        values = pq.rbm.teacher_student(
            learning_rate=rate, batch=batch, steps=3000, every=round(4 / rate), members=400, rng=3
        )
        spacing = np.diff(values)[..., 0]
        means.append(spacing.mean())
        assert np.mean(spacing**2) / spacing.mean() ** 2 == pytest.approx(4 / math.pi, rel=0.02)
        expected = math.sqrt(2 * math.pi * rate * 0.01 / (2 * batch) / (1 - rate / 2))
        assert spacing.mean() == pytest.approx(expected, rel=0.05)
    assert means[0] == pytest.approx(means[1], rel=0.05)
