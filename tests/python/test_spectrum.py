"""Eigenvalues of Dirac operators against dense matrices; answers of solves that cannot be done."""

import math

import numpy as np
import plaq as pq
import pytest
from test_dirac import dense

Wilson, Staggered = pq.dirac.Wilson, pq.dirac.Staggered


def wanted(D, of, matrix):
    """All eigenvalues of the dense operator, nearest to zero first."""
    if of == "normal":
        return np.linalg.eigvalsh(matrix.conj().T @ matrix)
    if of == "hermitian":
        spins, colors = D.n_spins, D.shape[-1]
        five = np.tile(np.repeat(np.repeat([1.0, -1.0], spins // 2), colors), math.prod(D.U.shape))
        values = np.linalg.eigvalsh(five[:, None] * matrix)
        return values[np.argsort(np.abs(values))]
    colors = D.shape[-1]
    even = np.repeat(np.indices(D.U.shape).sum(axis=0).reshape(-1) % 2 == 0, colors)
    hop = matrix - D.family.mass * np.eye(len(matrix))
    return np.linalg.eigvalsh(-(hop @ hop)[np.ix_(even, even)])


def image(D, of, v):
    if of == "normal":
        return D.H @ (D @ v)
    if of == "hermitian":
        five = np.repeat([1.0, -1.0], D.n_spins // 2)[:, None]
        return five * (D @ v)
    hop = D @ v - D.family.mass * v
    return -(D @ hop - D.family.mass * hop)


def check(D, of, k, values, **options):
    found = D.eigenvalues(k, of=of, vectors=True, **options)
    largest = options.get("which") == "largest"
    expected = values[np.argsort(np.abs(values))[::-1]][:k] if largest else values[:k]
    assert np.abs(found.values) == pytest.approx(np.abs(expected), rel=1e-9, abs=1e-9), (of, options)
    flat = found.vectors.reshape(k, -1)
    assert np.allclose(flat.conj() @ flat.T, np.eye(k), atol=1e-10)
    residuals = np.linalg.norm((image(D, of, found.vectors).reshape(k, -1) - found.values[:, None] * flat), axis=1)
    assert residuals == pytest.approx(found.residuals, abs=1e-12 * found.scale)
    assert residuals.max() <= 1e-10 * found.scale
    return found


@pytest.mark.parametrize("group", ["U(1)", "SU(2)", "SU(3)"])
@pytest.mark.parametrize("shape", [(4, 4), (2, 2, 2, 2), (2, 3, 2, 4)])
def test_eigenvalues_are_those_of_dense_matrices(group, shape):
    U = pq.GaugeField.hot(shape, group, rng=3)
    for family, words in ((Wilson(mass=0.2), {}), (Wilson(mass=-0.4, csw=1.1), {"csw": 1.1})):
        D = family.on(U)
        matrix = dense(U, mass=family.mass, **words)
        for of in ("normal", "hermitian"):
            values = wanted(D, of, matrix)
            for which in ("smallest", "largest"):
                check(D, of, 7, values, which=which)
    if shape != (2, 3, 2, 4):
        D = Staggered(mass=0.3).on(U)
        values = wanted(D, "staggered", dense(U, mass=0.3, kind="staggered"))
        check(D, "staggered", 4, values)
        check(D, "staggered", len(values), values)


BEYOND = {
    "hot, normal": (Wilson(mass=0.1), pq.GaugeField.hot((4, 4, 4, 4), "U(1)", rng=5), "normal"),
    "hot, hermitian": (Wilson(mass=0.1), pq.GaugeField.hot((4, 4, 4, 4), "U(1)", rng=5), "hermitian"),
    "free, normal": (Wilson(mass=0.1), pq.GaugeField.cold((4, 4, 2, 2), "SU(2)"), "normal"),
    "free, hermitian": (Wilson(mass=0.1), pq.GaugeField.cold((4, 4, 2, 2), "SU(2)"), "hermitian"),
    "SU(2), staggered": (Staggered(mass=0.1), pq.GaugeField.hot((4, 4, 4, 6), "SU(2)", rng=5), "staggered"),
}


@pytest.mark.parametrize("name", BEYOND)
def test_restarts_and_the_filter_find_every_value(name):
    """More dimensions than the basis holds; SU(2) and free fields have degenerate values."""
    family, U, of = BEYOND[name]
    D = family.on(U)
    values = wanted(D, of, dense(U, mass=0.1, kind="staggered" if of == "staggered" else "wilson"))
    for degree in (None, 0, 12):
        assert check(D, of, 10, values, degree=degree).applications > 0
    check(D, of, 10, values, which="largest")


def test_low_modes_make_solves_cheaper():
    U = pq.datasets.gauge("lat.sample.l4444.ildg")
    D = Staggered(mass=0.02).on(U)
    low = D.eigenvalues(24, vectors=True)
    assert low.values[0] >= 0.02**2 * (1 - 1e-12)
    plain, before = D.solve(D.source())
    x, after = D.solve(D.source(), deflate=low)
    assert np.allclose(x, plain, atol=1e-7)
    assert after.iterations < 0.9 * before.iterations


def test_low_modes_stay_out_of_every_restart():
    """Restarts of mixed precision bring low modes back to a guess that was free of them; deflation does not."""
    U = pq.datasets.gauge("lat.sample.l4444.ildg")
    D = Staggered(mass=0.0002).on(U)
    low = D.eigenvalues(48, vectors=True)
    b = D.source()
    v = low.vectors.reshape(len(low.values), -1)
    guess = ((v.conj() @ (D.H @ b).reshape(-1)) / low.values) @ v
    options = {"method": "cgnr", "even_odd": False, "tol": 1e-11}
    guessed = D.solve(b, guess=guess.reshape(b.shape), **options)[1]
    x, deflated = D.solve(b, deflate=low, **options)
    assert np.linalg.norm(b - D @ x) <= 1e-11 * np.linalg.norm(b)
    assert deflated.iterations < 0.7 * guessed.iterations, (deflated.iterations, guessed.iterations)


DEFLATED = {
    "staggered": (Staggered(mass=0.01), {}),
    "staggered, all sites": (Staggered(mass=0.01), {"even_odd": False, "method": "cgnr"}),
    "Wilson": (Wilson(kappa=0.135), {"method": "cgnr"}),
    "Wilson, bicgstab": (Wilson(kappa=0.135), {"method": "bicgstab", "precision": "double"}),
    "clover, all sites": (Wilson(kappa=0.13, csw=1.0), {"even_odd": False, "method": "cgnr"}),
    "domain wall": (pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4), {}),
}


@pytest.mark.parametrize("name", DEFLATED)
def test_deflated_solves_are_solves(name):
    """Also where the vectors are no eigenvectors of what is solved, for several sources and with a guess."""
    family, options = DEFLATED[name]
    D = family.on(pq.datasets.gauge("lat.sample.l4444.ildg"))
    low = D.eigenvalues(6, vectors=True, tol=1e-6)
    b = np.random.default_rng(4).normal(size=(2, *D.shape)) * np.array([1.0, 1e-3j]).reshape(2, *[1] * len(D.shape))
    x, info = D.solve(b, deflate=low, **options)
    plain, before = D.solve(b, **options)
    rest = (b - D @ x).reshape(len(b), -1)
    assert (np.linalg.norm(rest, axis=1) <= 1e-10 * np.linalg.norm(b.reshape(len(b), -1), axis=1)).all()
    assert info.iterations <= before.iterations
    again, _ = D.solve(b, deflate=low, guess=plain, **options)
    assert np.allclose(again, x, atol=1e-6 * np.abs(x).max())
    alone = [D.solve(one, deflate=low, **options)[0] for one in b]
    assert np.array_equal(np.stack(alone), x)


SHIFTED = {
    "Wilson 2D": (Wilson(mass=0.1), pq.GaugeField.hot((4, 6), "U(1)", rng=2)),
    "clover": (Wilson(kappa=0.12, csw=1.0), pq.GaugeField.hot((4, 4, 2, 2), "SU(3)", rng=2)),
    "twisted": (Wilson(mass=0.3, mu=0.2), pq.GaugeField.hot((2, 2, 2, 4), "SU(2)", rng=2)),
    "staggered": (Staggered(mass=0.1), pq.GaugeField.hot((4, 4, 4, 8), "SU(3)", rng=2)),
    "domain wall": (pq.dirac.DomainWall(mass=0.1, m5=1.4, ls=4), pq.GaugeField.hot((4, 4), "U(1)", rng=2)),
}


@pytest.mark.parametrize("name", SHIFTED)
def test_shifted_systems_are_solved(name):
    family, U = SHIFTED[name]
    D = family.on(U)
    rng = np.random.default_rng(3)
    b = rng.normal(size=(2, *D.shape)) + 1j * rng.normal(size=(2, *D.shape))
    b[1] *= 1e-9
    shifts = np.array([0.3, 0.0, 20.0, 0.001])
    x, info = D.solve_shifted(b, shifts, tol=1e-11)
    assert x.shape == (4, *b.shape)
    rest = b - (D.H @ (D @ x) + shifts.reshape(-1, *[1] * b.ndim) * x)
    sizes = np.linalg.norm(rest.reshape(4, 2, -1), axis=2) / np.linalg.norm(b.reshape(2, -1), axis=1)
    assert sizes.max() <= 1.001e-11
    assert sizes.max() == pytest.approx(info.residual, rel=1e-3)
    assert info.method == "multi-shift cg"
    # A source has the bits of a solve of its own; one shift costs about as much as four.
    assert np.array_equal(D.solve_shifted(b[1], shifts, tol=1e-11)[0], x[:, 1])
    alone = D.solve_shifted(b, [0.0], tol=1e-11)[1]
    assert info.applications < 1.3 * alone.applications + 16
    assert not D.solve_shifted(np.zeros(D.shape), shifts)[0].any()


FREE = pq.GaugeField.cold((4, 4, 4, 4))
PERIODIC = (1, 1, 1, 1)


def constant(D):
    return np.ones(D.shape)


def zero_source():
    D = Wilson(mass=0.5).on(FREE)
    x, info = D.solve(np.zeros(D.shape), guess=constant(D))
    return not x.any() and info.residual == 0 and info.iterations == 0


def zero_source_among_others():
    D = Wilson(mass=0.5).on(FREE)
    x, info = D.solve(np.array([np.zeros(D.shape), D.source()]), guess=np.array([constant(D)] * 2))
    return not x[0].any() and bool(x[1].any()) and info.residual <= 1e-10


def exact_guess():
    D = Wilson(mass=0.5).on(FREE)
    psi = D.source()
    x, info = D.solve(D @ psi, guess=psi)
    return np.array_equal(x, psi) and info.iterations == 0


def solution_in_the_range_of_a_singular_operator():
    """b has no part of the zero modes: D x = b has solutions, and one is found."""
    D = Staggered(mass=0.0, boundary=PERIODIC).on(FREE)
    b = D @ np.random.default_rng(1).normal(size=D.shape)
    x, info = D.solve(b)
    return info.residual <= 1e-10 and np.linalg.norm(D @ x - b) <= 1e-10 * np.linalg.norm(b)


ANSWERS = [zero_source, zero_source_among_others, exact_guess, solution_in_the_range_of_a_singular_operator]


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.__name__)
def test_unusual_systems_have_their_answers(case):
    assert case()


def singular():
    D = Staggered(mass=0.0, boundary=PERIODIC).on(FREE)
    return D, constant(D), {}


def critical():
    D = Wilson(mass=0.0, boundary=PERIODIC).on(FREE)
    return D, constant(D), {}


def breakdown():
    """<b, H b> = 0 for the hopping term of staggered fermions: BiCGStab takes no step."""
    D = Staggered(mass=0.0).on(FREE)
    return D, D.source(), {"method": "bicgstab", "even_odd": False, "precision": "double"}


def stagnation():
    """Rounding: |D| |x| epsilon is larger than what is asked for."""
    D = Wilson(mass=1e-9, boundary=PERIODIC).on(FREE)
    return D, D.source(), {"tol": 2e-15, "method": "cgnr", "precision": "double", "max_iterations": 300}


def no_iterations():
    D = Wilson(mass=0.5).on(FREE)
    return D, D.source(), {"max_iterations": 0}


def few_iterations():
    D = Wilson(mass=0.1).on(pq.GaugeField.hot((4, 4, 4, 4), rng=1))
    return D, np.array([D.source(), D.source("wall")]), {"max_iterations": 4}


FAILURES = {
    singular: "does not get smaller",
    critical: "does not get smaller",
    breakdown: "bicgstab reached a relative residual",
    stagnation: "does not get smaller|no iterations left",
    no_iterations: "no iterations left",
    few_iterations: "no iterations left",
}


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case.__name__)
def test_failures_carry_their_best_iterate(case):
    D, b, options = case()
    with pytest.raises(pq.ConvergenceError, match=FAILURES[case]) as caught:
        D.solve(b, **options)
    error = caught.value
    assert error.best.shape == b.shape
    assert np.isfinite(error.best).all()
    assert np.linalg.norm(b - D @ error.best) <= np.linalg.norm(b) * (1 + 1e-12)
    assert error.history.ndim == 1
    assert "try a larger tolerance" in str(error)
    if case is no_iterations:
        assert not error.best.any()
        assert len(error.history) == 0


def test_links_that_are_not_finite_are_refused():
    links = np.array(FREE)
    links[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"finite|NaN"):
        Wilson(mass=0.5).on(pq.GaugeField.from_numpy(links))


BAD = {
    "D.eigenvalues(0)": (ValueError, "at least 1"),
    "D.eigenvalues(257)": (ValueError, "has 256 dimensions"),
    "D.eigenvalues(2**62)": (ValueError, "at most"),
    "D.eigenvalues(2.5)": (TypeError, "k"),
    "D.eigenvalues(2, which='middle')": (ValueError, "largest"),
    "D.eigenvalues(2, of='square')": (ValueError, "hermitian"),
    "D.eigenvalues(2, of='staggered')": (ValueError, "staggered fermions"),
    "D.eigenvalues(2, tol=1e-30)": (ValueError, "below rounding"),
    "D.eigenvalues(2, degree=-1)": (ValueError, "at least 0"),
    "D.eigenvalues(2, max_applications=3)": (pq.ConvergenceError, "no applications left"),
    "Wilson(mass=0.1, mu=0.2).on(U).eigenvalues(2, of='hermitian')": (ValueError, "twisted"),
    "S.eigenvalues(2, of='hermitian')": (ValueError, "staggered"),
    "S.eigenvalues(65, of='staggered')": (ValueError, "has 64 dimensions"),
    "D.solve(D.source(), deflate=D.eigenvalues(2))": (ValueError, "vectors=True"),
    "D.solve(D.source(), deflate=3)": (TypeError, "Spectrum"),
    "D.solve_shifted(D.source(), 0.1)": (ValueError, "[0.1] is a sequence"),
    "D.solve_shifted(D.source(), [])": (ValueError, "shape"),
    "D.solve_shifted(D.source(), [0.1, -0.1])": (ValueError, "at least 0"),
    "D.solve_shifted(D.source(), [np.nan])": (ValueError, "NaN"),
    "D.solve_shifted(np.full(D.shape, np.nan), [0.1])": (ValueError, "finite"),
    "D.solve_shifted(D.source()[0], [0.1])": (ValueError, "leading axes"),
    "D.solve_shifted(D.source(), [0.1], tol=1e-20)": (ValueError, "below rounding"),
    "D.solve_shifted(D.source(), [0.1], max_iterations=2)": (pq.ConvergenceError, "no iterations left"),
    "D.propagator(np.zeros((3, 2)))": (ValueError, "D.sources"),
    "D.source(momentum=(1,))": (ValueError, "wall"),
    "D.source('wall', momentum=(1, 1))": (ValueError, "1 whole numbers"),
    "D.smear(D.source(), alpha=-1)": (ValueError, "at least 0"),
    "D.smear(D.source(), links=pq.GaugeField.cold((4, 4), 'U(1)'))": (ValueError, "is needed"),
    "D.noise(1, dilute='parity', rng=1)": (ValueError, "dilution"),
    "D.noise(1, dilute=3, rng=1)": (TypeError, "dilute"),
    "D.noise(1, dilute=('spin', 'spin'), rng=1)": (ValueError, "twice"),
    "D.noise(1)": (ValueError, "rng"),
    "D.noise(2**30, rng=1)": (ValueError, "free"),
    "pq.observables.nucleon_correlator(D)": (ValueError, "SU(3)"),
    "pq.observables.meson_correlator(D, momentum=(1, 2))": (ValueError, "1 whole numbers"),
    "pq.observables.pcac_mass(S)": (ValueError, "Wilson"),
    "pq.observables.effective_mass_error([[1.0, 2.0]])": (ValueError, "at least 2 configurations"),
    "pq.plot.correlator([1.0])": (ValueError, "L_t"),
    "pq.plot.spectrum([[1.0]])": (ValueError, "shape"),
}


@pytest.mark.parametrize("call", BAD)
def test_bad_input_is_refused_in_words(call):
    kind, words = BAD[call]
    U = pq.GaugeField.hot((8, 8), "SU(2)", rng=1)
    names = {"pq": pq, "np": np, "U": U, "D": Wilson(mass=0.5).on(U), "S": Staggered(mass=0.5).on(U), "Wilson": Wilson}
    with pytest.raises(kind) as caught:
        eval(call, names)
    assert words in str(caught.value)
