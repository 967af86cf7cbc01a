"""The Gamma method against exact autoregressive chains and against pyerrors."""

import math
import warnings

import numpy as np
import pytest
from plaq.statistics import Estimate, autocorrelation, estimate


def ar1(r, n, rng, mean=0.0, columns=None):
    """Stationary AR(1) with unit variance: rho(t) = r^t, tau_int = (1 + r) / (2 (1 - r))."""
    noise = rng.normal(size=(n,) if columns is None else (n, columns))
    x = np.empty_like(noise)
    x[0] = noise[0]
    scale = math.sqrt(1 - r * r)
    for i in range(1, n):
        x[i] = r * x[i - 1] + scale * noise[i]
    return mean + x


def exact_tau(r):
    return (1 + r) / (2 * (1 - r))


def test_white_noise_has_tau_one_half():
    x = np.random.default_rng(1).normal(3.0, 2.0, size=100_000)
    result = estimate(x)
    assert abs(result.tau - 0.5) < 3 * result.tau_error
    assert result.error == pytest.approx(2.0 / math.sqrt(100_000), rel=0.02)
    assert abs(result.mean - 3.0) < 3 * result.error


@pytest.mark.parametrize("r", [-0.4, 0.0, 0.5, 0.9])
def test_errors_cover_the_truth(r):
    """400 chains: means within one error 68 % of the time, chi^2 per chain 1, errors and tau right on average."""
    rng = np.random.default_rng(20 + int(10 * r))
    n, chains = 2000, 400
    results = [estimate(column) for column in ar1(r, n, rng, columns=chains).T]
    pulls = np.array([x.mean / x.error for x in results])
    tau = np.array([x.tau for x in results])
    assert np.mean(np.abs(pulls) < 1) == pytest.approx(0.683, abs=3 * math.sqrt(0.683 * 0.317 / chains))
    assert np.mean(pulls**2) == pytest.approx(1.0, abs=4 * math.sqrt(2 / chains))
    assert tau.mean() == pytest.approx(exact_tau(r), rel=0.03)
    assert np.mean([x.tau_error for x in results]) == pytest.approx(tau.std(), rel=0.3)


def test_short_chains_have_unbiased_errors():
    """The subtracted mean costs C/N in every Gamma(t): 20 % of the variance here (hep-lat/0306017, eq. 49)."""
    n, r, chains = 64, 0.6, 3000
    x = ar1(r, n, np.random.default_rng(6), columns=chains)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # some of the chains look too short, as they are
        variance = np.mean([estimate(column).error ** 2 for column in x.T])
    assert variance == pytest.approx(x.mean(axis=0).var(), rel=0.09)


def test_derived_quantity_follows_its_gradient():
    """Errors of a ratio of correlated chains against their scatter over 300 repetitions."""
    rng = np.random.default_rng(5)
    values, errors = [], []
    for _ in range(300):
        common = ar1(0.7, 1000, rng, columns=2)
        a, b = 5 + common[:, 0], 3 + 0.5 * common[:, 0] + 0.2 * common[:, 1]
        result = estimate(np.stack([a, b], axis=1), lambda m: m[0] / m[1])
        values.append(result.mean)
        errors.append(result.error)
    assert np.mean(values) == pytest.approx(5 / 3, abs=4 * np.std(values) / math.sqrt(300) + 1e-3)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)


def test_linear_function_is_the_plain_estimate():
    x = ar1(0.6, 3000, np.random.default_rng(3), mean=2.0)
    plain, linear = estimate(x), estimate(x, lambda m: 3 * m - 1)
    assert linear.mean == pytest.approx(3 * plain.mean - 1)
    assert linear.error == pytest.approx(3 * plain.error)
    assert linear.tau == pytest.approx(plain.tau)


def test_complex_draws():
    rng = np.random.default_rng(4)
    z = (1 + 2j) + rng.normal(size=5000) + 1j * rng.normal(size=5000)
    with pytest.raises(ValueError, match=r"complex.*\.real"):
        estimate(z)
    result = estimate(z, abs)
    assert abs(result.mean - math.sqrt(5)) < 3 * result.error
    assert result.error == pytest.approx(1 / math.sqrt(5000), rel=0.1)


@pytest.mark.parametrize("r", [0.3, 0.8])
def test_pyerrors_agrees(r):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised while pyerrors imports its own dependencies
        pe = pytest.importorskip("pyerrors")
    x = ar1(r, 20_000, np.random.default_rng(8), mean=0.6)
    y = 2 + 0.3 * ar1(r, 20_000, np.random.default_rng(9))
    a, b = pe.Obs([x], ["ensemble"]), pe.Obs([y], ["ensemble"])
    ratio = a / b
    for mine, theirs in ((estimate(x), a), (estimate(np.stack([x, y], axis=1), lambda m: m[0] / m[1]), ratio)):
        theirs.gamma_method(S=1.5)
        assert mine.mean == pytest.approx(theirs.value, rel=1e-10)
        assert mine.error == pytest.approx(theirs.dvalue, rel=2e-3)
        assert mine.tau == pytest.approx(theirs.e_tauint["ensemble"], rel=4e-3)
        assert mine.tau_error == pytest.approx(theirs.e_dtauint["ensemble"], rel=0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_short_chains_agree_with_pyerrors_to_rounding(seed):
    """150 draws, where the bias of the subtracted mean (eq. 49) is percents: half of its sum would show."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised while pyerrors imports its own dependencies
        pe = pytest.importorskip("pyerrors")
    x = ar1(0.5, 150, np.random.default_rng(seed), mean=0.6)
    theirs = pe.Obs([x], ["ensemble"])
    theirs.gamma_method(S=1.5)
    mine = estimate(x)
    assert mine.mean == pytest.approx(theirs.value, rel=1e-12)
    assert mine.error == pytest.approx(theirs.dvalue, rel=1e-12)
    # both multiply sum Gamma by 1 + (2 W + 1)/N; Gamma(0), the norm of tau, by 1 + 2 tau/N here and by 1 + 1/N there
    n, window, tau = len(x), theirs.e_windowsize["ensemble"], theirs.e_tauint["ensemble"] * (1 + 1 / 150)
    assert mine.tau == pytest.approx(tau / (1 + 2 * tau / (1 + (2 * window + 1) / n) / n), rel=1e-12)


def test_autocorrelation_of_ar1():
    """rho(t) = r^t within its errors, and the errors are the scatter over chains."""
    rng = np.random.default_rng(11)
    r, lags = 0.8, 12
    pairs = [autocorrelation(column, lags) for column in ar1(r, 3000, rng, columns=200).T]
    rho, error = (np.array(part) for part in zip(*pairs, strict=True))
    assert np.all(rho[:, 0] == 1)
    exact = r ** np.arange(lags + 1)
    scatter = rho[:, 1:].std(axis=0)
    assert np.all(np.abs(rho[:, 1:].mean(axis=0) - exact[1:]) < 4 * scatter / math.sqrt(200) + 0.003)
    assert np.allclose(error[:, 1:].mean(axis=0), scatter, rtol=0.25)


def test_long_series_is_fast_and_right():
    x = np.random.default_rng(2).normal(size=1 << 20)
    assert abs(estimate(x).tau - 0.5) < 0.01


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e-300, -1e12])
def test_constant_series_has_an_unknown_error(value):
    with pytest.warns(RuntimeWarning, match="all draws are equal"):
        result = estimate(np.full(1000, value))
    assert (result.error, result.tau, result.tau_error) == (math.inf, math.inf, math.inf)
    assert result.mean == pytest.approx(value)
    rho, error = autocorrelation(np.full(1000, value))
    assert rho[0] == 1
    assert not rho[1:].any()
    assert not error.any()


def test_whole_numbers_and_booleans():
    assert estimate([0, 1] * 50).mean == 0.5
    assert estimate(np.array([True, False] * 50)).mean == 0.5


BAD = [
    ([1.0] * 7, None, "7 draws are too few"),
    (3.0, None, "1 draws are too few"),
    ([1.0, math.nan] * 10, None, r"10 of 20 draws are NaN.*number 1\)"),
    ([1.0, math.inf] * 10, None, "NaN or infinite"),
    (np.zeros((20, 3)), None, r"shape \(3,\).*series\[:, 0\]"),
    (np.arange(20.0), lambda m: [m, m], "one finite real number"),
    (np.arange(20.0), lambda m: m * 1j, "one finite real number"),
    (np.arange(20.0), lambda m: math.nan, "one finite real number"),
]


@pytest.mark.parametrize(("series", "f", "message"), BAD)
def test_bad_series(series, f, message):
    with pytest.raises(ValueError, match=message):
        estimate(series, f)


def test_wrong_type():
    with pytest.raises(TypeError, match="dtype"):
        estimate(["a"] * 20)


def test_bad_lags():
    with pytest.raises(ValueError, match="lags = 60"):
        autocorrelation(np.arange(100.0), 60)


def test_too_short_for_its_autocorrelations_is_said():
    walk = np.cumsum(np.random.default_rng(1).normal(size=300))
    with pytest.warns(RuntimeWarning, match="draw more"):
        estimate(walk)


FORMATS = [
    (0.594668, 0.000162, "", "0.59467(16)"),
    (0.594668, 0.000162, ".1", "0.5947(2)"),
    (0.594668, 0.000162, ">14", "   0.59467(16)"),
    (0.594668, 0.000162, "e", "5.9467(16)e-01"),
    (12.34, 1.23, "", "12.3(1.2)"),
    (1234.5, 99.6, "", "1230(100)"),
    (0.1, 0.0996, "", "0.10(10)"),
    (-5.0, 0.96, ".1", "-5(1)"),
    (3e-10, 2e-12, "", "3.000(20)e-10"),
    (3e-10, 2e-12, "f", "0.0000000003000(20)"),
    (1.5, 0.0, "", "1.5(0)"),
    (0.0, 0.0, "", "0.0(0)"),
    (math.nan, 0.1, "", "nan(0.1)"),
]


@pytest.mark.parametrize(("mean", "error", "spec", "text"), FORMATS)
def test_format(mean, error, spec, text):
    assert format(Estimate(mean, error, 0.5, 0.0), spec) == text


def test_format_errors_and_repr():
    with pytest.raises(ValueError, match=r"\.1"):
        format(Estimate(1, 0.1, 0.5, 0.0), "d")
    x = Estimate(0.594668, 0.000162, 1.26, 0.12)
    assert str(x) == "0.59467(16)"
    assert repr(x) == "Estimate 0.59467(16), tau = 1.26(12)"
    assert float(x) == 0.594668
    with pytest.raises(AttributeError):
        x.mean = 2.0
