"""Scalar fields and their HMC against plain numpy, exact spectra and quadrature."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plaq as pq
import pytest


def plain_action(phi: np.ndarray, mass2: float, lam: float) -> float:
    hops = sum(((np.roll(phi, -1, mu) - phi) ** 2).sum() for mu in range(phi.ndim - 1))
    norm2 = (phi**2).sum(axis=-1)
    return float(0.5 * hops + (0.5 * mass2 * norm2 + lam * norm2**2).sum())


@pytest.mark.parametrize(("shape", "components"), [((6,), 1), ((4, 3), 2), ((2, 4, 3), 1), ((2, 3, 2, 4), 3)])
def test_value_and_force(shape: tuple[int, ...], components: int) -> None:
    phi = pq.ScalarField.random(shape, components, rng=2)
    values, S = np.asarray(phi), pq.actions.Scalar(-0.4, 0.7)
    assert S(phi) == pytest.approx(plain_action(values, -0.4, 0.7), rel=1e-13)
    delta, h = np.random.default_rng(1).normal(size=values.shape), 1e-5
    slope = (plain_action(values + h * delta, -0.4, 0.7) - plain_action(values - h * delta, -0.4, 0.7)) / (2 * h)
    assert float((S.force(phi) * delta).sum()) == pytest.approx(slope, rel=1e-8)


def test_single_site_potential_by_quadrature() -> None:
    """Far from the neighbours: on 2 sites, <phi^2> of exp(-S) by two-dimensional quadrature."""
    mass2, lam = 0.5, 0.3
    x = np.linspace(-5, 5, 801)
    a, b = np.meshgrid(x, x)
    weight = np.exp(-((a - b) ** 2 + 0.5 * mass2 * (a**2 + b**2) + lam * (a**4 + b**4)))
    exact = float((weight * (a**2 + b**2) / 2).sum() / weight.sum())
    chain = pq.HMC(pq.actions.Scalar(mass2, lam), steps=5, length=1.0).run(
        pq.ScalarField.zeros((2,)), 20000, warmup=100, rng=3, progress=False
    )
    estimate = chain.estimate("phi2")
    assert estimate.error < 0.01 * exact
    assert abs(estimate.mean - exact) < 3 * estimate.error
    weights = np.exp(-chain.info["delta_h"])
    assert abs(weights.mean() - 1) < 3 * weights.std() / np.sqrt(len(weights))


def test_free_field_in_two_dimensions() -> None:
    mass2, shape = 0.7, (6, 4)
    k = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    exact = float(np.mean(1 / (mass2 + sum(4 * np.sin(p / 2) ** 2 for p in k))))
    hmc = pq.HMC(pq.actions.Scalar(mass2), steps=6, integrator="omelyan4", length=1.2)
    estimate = hmc.run(pq.ScalarField.zeros(shape), 25000, warmup=100, rng=14, progress=False).estimate("phi2")
    assert estimate.error < 0.005 * exact
    assert abs(estimate.mean - exact) < 3 * estimate.error


def test_state_round_trips_and_resume(tmp_path: Path) -> None:
    phi = pq.ScalarField.random((4, 6), 2, rng=1)
    assert pq.ScalarField.from_numpy(np.asarray(phi)) == phi
    assert pickle.loads(pickle.dumps(phi)) == phi
    hmc = pq.HMC(pq.actions.Scalar(0.1, 0.2), steps=4)
    whole = hmc.run(phi, 30, rng=5, progress=False)
    hmc.run(phi, 12, rng=5, progress=False, checkpoint=tmp_path / "phi.npz")
    resumed = hmc.run(phi, 30, rng=5, progress=False, checkpoint=tmp_path / "phi.npz")
    assert np.array_equal(whole["phi2"], resumed["phi2"])
    assert resumed.state == whole.state


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: pq.ScalarField.zeros((4, 1)), ValueError, "extent 1"),
    (lambda: pq.ScalarField.zeros((4, 4), 0), ValueError, "components = 0"),
    (lambda: pq.ScalarField.from_numpy(np.ones((4, 4, 1)) * 1j), TypeError, "real numbers"),
    (lambda: pq.ScalarField.from_numpy(np.full((4, 4, 1), np.nan)), ValueError, "NaN"),
    (lambda: pq.ScalarField.from_numpy(np.ones(4)), ValueError, "components"),
    (lambda: pq.actions.Scalar(float("nan")), ValueError, "finite"),
    (lambda: pq.actions.Scalar(-1.0), ValueError, "no integral"),
    (lambda: pq.actions.Scalar(1.0, -0.1), ValueError, "no integral"),
    (lambda: pq.actions.Scalar(1.0)(pq.GaugeField.cold((4, 4))), TypeError, "needs a ScalarField"),
    (lambda: pq.actions.Scalar(1.0) + pq.actions.Wilson(1.0), TypeError, "different fields"),
    (lambda: pq.Heatbath(pq.actions.Scalar(1.0)), TypeError, "gauge links"),
    (lambda: pq.HMC(pq.actions.Scalar(1.0)).step(pq.GaugeField.cold((4, 4)), rng=1), TypeError, "ScalarField"),
    (lambda: pq.HMC(pq.actions.Wilson(1.0)).step(pq.ScalarField.zeros((4, 4)), rng=1), TypeError, "GaugeField"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input_is_named(case: int) -> None:
    call, kind, fragment = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    assert fragment in str(caught.value)


def test_a_python_function_is_an_action():
    S = pq.actions.Scalar(0.5, 0.2)

    def function(values):
        phi = pq.ScalarField.from_numpy(values)
        return S(phi), S.force(phi)

    same = pq.actions.Custom(function, "same", pq.ScalarField)
    phi = pq.ScalarField.random((4, 3), components=2, rng=1)
    assert same(phi) == S(phi)
    assert np.array_equal(same.force(phi), S.force(phi))
    a, b = (pq.HMC(each, length=1.0, steps=4) for each in (S, same + 0.0 * S))
    for k in range(3):
        assert np.allclose(np.asarray(a.step(phi, rng=k)[0]), np.asarray(b.step(phi, rng=k)[0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda phi: (0.0, phi[:1]), ValueError, "shape"),
        (lambda phi: 0.0, TypeError, "value, force"),
        (lambda phi: (0.0, np.nan * phi), ValueError, "NaN"),
        (lambda phi: (np.nan, phi), ValueError, "value NaN"),
    ],
)
def test_a_python_function_that_returns_something_else_is_refused(function, error, message):
    action = pq.actions.Custom(function, field_class=pq.ScalarField)
    with pytest.raises(error, match=message):
        action.force(pq.ScalarField.zeros((2, 2)))
    with pytest.raises(TypeError, match="ScalarField"):
        action(pq.GaugeField.cold((2, 2), "U(1)"))


def test_only_known_fields_have_python_actions():
    with pytest.raises(TypeError, match="GaugeField or ScalarField"):
        pq.actions.Custom(lambda x: (0.0, x), field_class=int)
