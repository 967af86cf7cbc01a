"""Dirac operators against dense matrices written from their formulas; published propagators; solves and bad input."""

import itertools
import math
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.ground import progress

Wilson, Staggered, DomainWall = pq.dirac.Wilson, pq.dirac.Staggered, pq.dirac.DomainWall
DATA = Path(__file__).parents[1] / "data"

X, Y = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]])
Z, ONE = np.diag([1.0, -1.0]), np.eye(2)


def gammas(ndim):
    """Pauli matrices in 2D; DeGrand-Rossi: gamma_k = [[0, i s_k], [-i s_k, 0]], gamma_t = [[0, 1], [1, 0]]."""
    if ndim == 2:
        return [X, Y]
    raising, lowering = np.array([[0, 1], [0, 0]]), np.array([[0, 0], [1, 0]])
    space = [np.kron(raising, 1j * s) + np.kron(lowering, -1j * s) for s in (X, -Y, Z)]
    return [*space, np.kron(raising + lowering, ONE)][:ndim]


def dense(U, *, mass, kind="wilson", csw=0.0, mu=0.0, boundary=None, weights=None, fat=None, long=None):
    """The matrix of the formula of docs/dirac.md on index (site, spin, colour)."""
    links, shape, n = np.asarray(U if fat is None else fat), U.shape, U.n_colors
    ndim, volume = len(shape), math.prod(shape)
    boundary = boundary or (1,) * (ndim - 1) + (-1,)
    weights = weights or (1.0,) * ndim
    g = gammas(ndim) if kind == "wilson" else None
    spins = g[0].shape[0] if g else 1
    size = spins * n
    D = np.zeros((volume * size, volume * size), complex)
    sites = list(itertools.product(*map(range, shape)))
    number = {x: k for k, x in enumerate(sites)}

    def block(x, y):
        return slice(number[x] * size, (number[x] + 1) * size), slice(number[y] * size, (number[y] + 1) * size)

    for x in sites:
        if g:
            local = (mass + sum(weights)) * np.eye(spins)
            local = local + 1j * mu * np.diag([1] * (spins // 2) + [-1] * (spins // 2))
            D[block(x, x)] += np.kron(local, np.eye(n))
        else:
            D[block(x, x)] += mass * np.eye(n)
        for nu in range(ndim):
            y = tuple((c + (k == nu)) % shape[k] for k, c in enumerate(x))
            u = links[(nu, *x)] * (boundary[nu] if x[nu] + 1 == shape[nu] else 1) * weights[nu]
            if g:
                D[block(x, y)] += np.kron(-(np.eye(spins) - g[nu]) / 2, u)
                D[block(y, x)] += np.kron(-(np.eye(spins) + g[nu]) / 2, u.conj().T)
            else:
                eta = (-1) ** sum(x[:nu])
                D[block(x, y)] += eta * u / 2
                D[block(y, x)] -= eta * u.conj().T / 2
                if long is not None:
                    y = tuple((c + 3 * (k == nu)) % shape[k] for k, c in enumerate(x))
                    u = np.asarray(long)[(nu, *x)] * boundary[nu] ** ((x[nu] + 3) // shape[nu])
                    D[block(x, y)] += eta * u / 2
                    D[block(y, x)] -= eta * u.conj().T / 2
    if csw:
        for x in sites:
            for a, b in itertools.combinations(range(ndim), 2):
                F = clover(links, shape, x, a, b)
                D[block(x, x)] -= csw / 2 * np.kron(g[a] @ g[b], F)
    return D


def dense_wall(U, *, mass, m5, ls, b=1.0, c=0.0, boundary=None):
    """(1 + b D_W) psi_s - (1 - c D_W) [P_- psi_(s+1) + P_+ psi_(s-1)] on index (s, site, spin, colour)."""
    W = dense(U, mass=-m5, boundary=boundary)
    size = len(W)
    left = np.tile(np.repeat(chirality(U), U.n_colors), math.prod(U.shape)) > 0
    D = np.zeros((ls, size, ls, size), complex)
    for s in range(ls):
        D[s, :, s] += np.eye(size) + b * W
        for to, around, kept in (((s + 1) % ls, s + 1 == ls, ~left), ((s - 1) % ls, s == 0, left)):
            D[s, :, to] -= (-mass if around else 1) * (np.eye(size) - c * W) * kept
    return D.reshape(ls * size, ls * size)


def chirality(U):
    """The diagonal of gamma_5."""
    return np.array([1, -1]) if U.ndim == 2 else np.array([1, 1, -1, -1])


def matrix_of(family, U):
    """The dense matrix of a family."""
    facts = {name: value for name, value in vars(family).items() if value is not None}
    if isinstance(family, DomainWall):
        return dense_wall(U, **facts)
    nu, xi = facts.pop("nu", 1.0), facts.pop("xi", 1.0)
    weights = (nu / xi,) * (U.ndim - 1) + (1.0,)
    kind = "staggered" if isinstance(family, Staggered) else "wilson"
    return dense(U, kind=kind, weights=weights, **facts)


def clover(links, shape, x, a, b):
    """(sum of the four leaves - h.c.)/8."""

    def walk(path):
        at, product = list(x), np.eye(links.shape[-1])
        for step in path:
            nu = abs(step) - 1
            if step < 0:
                at[nu] = (at[nu] - 1) % shape[nu]
            u = links[(nu, *at)]
            product = product @ (u if step > 0 else u.conj().T)
            if step > 0:
                at[nu] = (at[nu] + 1) % shape[nu]
        return product

    a, b = a + 1, b + 1
    leaves = sum(walk(p) for p in ([a, b, -a, -b], [b, -a, -b, a], [-a, -b, a, b], [-b, a, b, -a]))
    return (leaves - leaves.conj().T) / 8


TWIST = {2: (1, -1), 3: (np.exp(0.3j), 1, -1), 4: (1, -1, np.exp(-0.7j), -1)}
CASES = [
    Wilson(mass=0.3),
    Wilson(mass=-0.1, mu=0.2),
    Wilson(mass=0.3, csw=1.2),
    Wilson(mass=0.3, csw=1.2, mu=0.3),
    Wilson(mass=0.3, nu=1.2, xi=2.0),
    Staggered(mass=0.3),
    DomainWall(mass=0.2, m5=1.4, ls=4),
    DomainWall(mass=0.2, m5=0.9, ls=3, b=1.5, c=0.5),
    DomainWall(mass=-0.3, m5=1.1, ls=1, b=1.5, c=0.25),
    DomainWall(mass=0.1, m5=1.4, ls=2, b=0.5, c=1.0),
]
SHAPES = [(2, 4), (3, 5), (4, 2, 2), (2, 2, 2, 2), (2, 2, 2, 4), (2, 3, 2, 4)]


def cases(shape, n_colors=3):
    """The operators that a lattice allows."""
    rng = np.random.default_rng(8)
    fat, long = rng.normal(size=(2, len(shape), *shape, n_colors, n_colors, 2)) @ [1, 1j]
    improved = [] if any(extent % 2 for extent in shape) else [Staggered(mass=0.3, fat=fat, long=long)]
    for family in CASES + improved:
        odd = isinstance(family, Staggered) and any(extent % 2 for extent in shape)
        if not odd and not (isinstance(family, DomainWall) and len(shape) == 3):
            yield family


@pytest.mark.parametrize("group", ["U(1)", "SU(2)", "SU(3)", "SU(4)"])
@pytest.mark.parametrize("shape", SHAPES)
def test_operators_are_their_formulas(group, shape):
    if group == "SU(4)" and math.prod(shape) > 32:
        pytest.skip("the matrix is too large")
    U = pq.GaugeField.hot(shape, group, rng=3)
    rng = np.random.default_rng(5)
    for family in cases(shape, U.n_colors):
        for boundary in (None, TWIST[len(shape)]):
            bound = type(family)(**{**vars(family), "boundary": boundary})
            D = bound.on(U)
            matrix = matrix_of(bound, U)
            psi = rng.normal(size=(2, *D.shape)) + 1j * rng.normal(size=(2, *D.shape))
            flat = psi.reshape(2, -1)
            assert np.allclose((D @ psi).reshape(2, -1), flat @ matrix.T, atol=1e-12)
            assert np.allclose((D.H @ psi).reshape(2, -1), flat @ matrix.conj(), atol=1e-12)


@pytest.mark.parametrize("family", CASES, ids=repr)
def test_operators_are_covariant(family):
    U = pq.GaugeField.hot((4, 2, 2, 4), "SU(3)", rng=3)
    g = np.asarray(pq.GaugeField.hot(U.shape, U.group, rng=4))[0]
    rng = np.random.default_rng(5)
    D, E = family.on(U), family.on(U.gauge_transform(g))
    psi = rng.normal(size=D.shape) + 1j * rng.normal(size=D.shape)

    def turn(psi):
        return np.einsum("...ab,...sb->...sa", g, psi) if D.n_spins > 1 else np.einsum("...ab,...b->...a", g, psi)

    assert np.abs(E @ turn(psi) - turn(D @ psi)).max() < 1e-12 * np.abs(psi).max()


@pytest.mark.parametrize("improve", [pq.smear.asqtad, pq.smear.hisq])
def test_improved_staggered_fermions(improve):
    """Covariance through the fattening; -D^2 is Hermitian and positive; all solves agree."""
    U = pq.GaugeField.hot((4, 4, 4, 4), "SU(3)", rng=3)
    g = np.asarray(pq.GaugeField.hot(U.shape, U.group, rng=4))[0]
    D, E = (Staggered(0.2, None, *improve(links)).on(links) for links in (U, U.gauge_transform(g)))
    assert D.family.fat.unitarity_violation() > 0.1
    rng = np.random.default_rng(5)
    psi, chi = rng.normal(size=(2, *D.shape, 2)) @ [1, 1j]
    turn = np.einsum("...ab,...b->...a", g, psi)
    assert np.abs(E @ turn - np.einsum("...ab,...b->...a", g, D @ psi)).max() < 1e-12 * np.abs(psi).max()
    hop = [(D @ v) - 0.2 * v for v in (psi, chi)]
    assert np.vdot(chi, hop[0]) == pytest.approx(-np.vdot(hop[1], psi), rel=1e-12)
    values = D.eigenvalues(2, of="staggered").values
    assert (values > 0).all()
    x, info = D.solve(psi, tol=1e-11)
    assert "even-odd cg, mixed" in info.method
    assert np.allclose(x, D.solve(psi, tol=1e-12, precision="double", even_odd=False)[0], atol=1e-8)
    again = pickle.loads(pickle.dumps(D))
    assert np.array_equal(again @ psi, D @ psi)
    assert again.family == D.family


def test_free_improved_staggered_fermions():
    """-D^2 of a plane wave is sum (9/8 sin p - 1/24 sin 3p)^2, whose difference from p^2 is of order p^6."""
    shape = (8, 6, 4, 12)
    U = pq.GaugeField.cold(shape, "SU(2)")
    for fat, long in (pq.smear.asqtad(U), pq.smear.hisq(U)):
        D = Staggered(0.0, boundary=(1, 1, 1, 1), fat=fat, long=long).on(U)
        for n in ((1, 0, 0, 0), (1, 2, 1, 0), (0, 0, 0, 1), (3, 1, 0, 5)):
            p = 2 * np.pi * np.array(n) / shape
            wave = np.exp(1j * np.tensordot(p, np.indices(shape), 1))[..., None] * np.ones(2)
            size = np.sum((9 / 8 * np.sin(p) - np.sin(3 * p) / 24) ** 2)
            assert np.allclose(D.H @ (D @ wave), size * wave, atol=1e-12)
    p = 0.05
    assert (9 / 8 * np.sin(p) - np.sin(3 * p) / 24) / p - 1 == pytest.approx(-3 / 640 * p**4 * 16, rel=1e-2)


def test_clover_lets_the_pion_get_lighter():
    """c_sw adds mass to nothing: at fixed kappa the correlator falls more slowly (sign of the term)."""
    U = pq.datasets.gauge("lat.sample.l4448")
    slopes = []
    for csw in (0.0, 1.0):
        C = pq.observables.pion_correlator(Wilson(kappa=0.12, csw=csw).on(U))
        slopes.append(math.log(C[1] / C[2]))
    assert slopes[1] < slopes[0]


FREE = [  # computed independently from the momentum sums, for 1 - kappa H: its propagator is ours over 2 kappa
    ((4, 4, 4, 4), 0.1, [13.661871851171, 0.483388849599, 0.106511479443, 0.483388849599], 11.865547549638),
    ((4, 4, 4, 4), 0.12, [13.788483554556, 1.150543712366, 0.655299450193], 11.531499873833),
    (
        (4, 4, 4, 8),
        0.1,
        [13.86111980080, 0.4923519697463, 0.05751951325839, 0.01113744867732, 0.004769785023707],
        11.915575169687,
    ),
    (
        (4, 4, 4, 8),
        0.12,
        [14.390997238335, 1.195789163128, 0.556763335147, 0.444389305142, 0.419424218593],
        11.660232424308,
    ),
    (
        (8, 8, 8, 16),
        0.12,
        [
            *(14.013263485569, 0.845684257094, 0.16617775596, 0.068887503177, 0.043418518298, 0.032192324495),
            *(0.025965235757, 0.022638922762, 0.02158222929),
        ],
        11.451614592274,
    ),
]


@pytest.mark.parametrize(("shape", "kappa", "pion", "trace"), FREE)
def test_free_wilson_fermions(shape, kappa, pion, trace):
    D = Wilson(kappa=kappa).on(pq.GaugeField.cold(shape))
    G, info = D.propagator(tol=1e-13, precision="double")
    assert info.residual < 1e-13
    C = pq.observables.pion_correlator(D, tol=1e-13) / (2 * kappa) ** 2
    assert C[: len(pion)] == pytest.approx(pion, rel=1e-10)
    # Translations: the trace of D^-1 is that of one site.
    at_origin = G[(slice(None), slice(None), *(0,) * 4)].reshape(12, 12)
    assert np.trace(at_origin).real / (2 * kappa) == pytest.approx(trace, rel=1e-11)


STAGGERED = [
    ((4, 4, 4, 8), 0.1, [1.078365236861, 0.4877324829232, 0.03231211819315, 0.3253114225054, 0.0], 0.276907728410),
    ((4, 4, 4, 8), 0.5, [1.208889083342, 0.2334747910057, 0.04404994207947, 0.03299730342172, 0.0], 0.914966578178),
    ((4, 4, 4, 4), 0.1, [0.9632923869128, 0.5360398107347, 0.0], 0.203537200838),
    ((4, 4, 4, 4), 0.5, [1.047227750604, 0.3023601506718, 0.0], 0.825974025974),
    ((8, 8, 8, 16), 0.1, [], 0.19989988446908),
]


@pytest.mark.parametrize(("shape", "mass", "pion", "trace"), STAGGERED)
def test_free_staggered_fermions(shape, mass, pion, trace):
    D = Staggered(mass=mass).on(pq.GaugeField.cold(shape))
    C = pq.observables.pion_correlator(D, tol=1e-13)
    assert C[: len(pion)] == pytest.approx(pion, rel=1e-10, abs=1e-20)
    G, _ = D.propagator(tol=1e-13)
    assert np.trace(G[:, 0, 0, 0, 0]).real == pytest.approx(trace, rel=1e-11)


def test_the_shared_configuration_has_its_pions_and_traces():
    U = pq.read_gauge(DATA / "testconf.txt", shape=(4, 4, 4, 4))
    published = {
        1.0: ([1.01536813, 0.11213556, 0.01660014, 0.10936171], 1.2501951856),
        0.5: ([1.54695942, 0.32645895, 0.08634701, 0.30470231], 1.1432448206),
        0.1: ([2.15631691, 0.99827261, 0.48989971, 0.92857082], 0.5016820175),
    }
    for mass, (pion, trace) in published.items():
        D = Staggered(mass=mass).on(U)
        assert pq.observables.pion_correlator(D, tol=1e-12) == pytest.approx(pion, abs=6e-9)
        assert pq.observables.chiral_condensate(D) == pytest.approx(trace, abs=6e-11)
    kappa = 0.141139
    C = pq.observables.pion_correlator(Wilson(kappa=kappa).on(U), tol=1e-12) / (2 * kappa) ** 2
    assert np.abs(C - [15.07580957, 1.24904953, 0.49151911, 1.29535847]).max() < 6e-9


def test_a_pion_of_another_library():
    """random-gauge.qio, kappa = 0.11: first time slice of the point-to-point pion 0.695079543 in single precision."""
    U = pq.read_gauge(DATA / "random-gauge.qio")
    D = Wilson(kappa=0.11).on(U)
    G, _ = D.propagator()
    assert np.sum(np.abs(G) ** 2, axis=(0, 1, -1, -2))[..., 0].sum() == pytest.approx(0.695079543, rel=1e-6)


def test_solves_agree_and_say_what_they_did():
    U = pq.GaugeField.hot((4, 4, 4, 8), rng=2)
    rng = np.random.default_rng(1)
    walls = DomainWall(mass=0.3, m5=1.4, ls=4, b=1.5, c=0.5)
    for family in (Wilson(mass=0.5), Wilson(mass=0.5, csw=1.0), Staggered(mass=0.3), walls):
        D = family.on(U)
        b = rng.normal(size=(3, *D.shape)) + 1j * rng.normal(size=(3, *D.shape))
        x, info = D.solve(b, tol=1e-11, precision="double")
        assert info.residual < 1e-11
        assert np.abs(D @ x - b).max() < 1e-9
        assert "even-odd" in info.method
        for words in ({"method": "cgnr"}, {"even_odd": False}, {"precision": "mixed"}, {"guess": 0.9 * x}):
            again, more = D.solve(b, tol=1e-11, **words)
            assert np.allclose(again, x, atol=1e-8), words
            assert more.residual < 1e-11
        assert "mixed" in D.solve(b)[1].method
        one, _ = D.solve(b[1], tol=1e-11, precision="double")
        assert np.array_equal(one, x[1])
        with pytest.raises(pq.ConvergenceError, match="no iterations left") as caught:
            D.solve(b, max_iterations=3)
        assert len(caught.value.history) >= 3


def test_zero_sources_and_exact_guesses():
    D = Wilson(mass=0.5).on(pq.GaugeField.hot((4, 4, 4, 4), rng=2))
    x, info = D.solve(np.zeros(D.shape))
    assert not x.any()
    assert info.iterations == 0
    psi = D.source()
    _, info = D.solve(D @ psi, guess=psi)
    assert info.iterations == 0


def test_same_bits_on_any_number_of_threads():
    U = pq.GaugeField.hot((8, 8, 8, 8), rng=2)
    D = Wilson(mass=0.5, csw=1.0).on(U)
    before, found = pq.num_threads(), []
    for threads in (1, 3):
        pq.set_num_threads(threads)
        found.append(D.solve(D.source(), tol=1e-8)[0])
    pq.set_num_threads(before)
    assert np.array_equal(*found)


def test_scipy_takes_the_operator():
    linalg = pytest.importorskip("scipy.sparse.linalg", reason="scipy is an extra")
    D = Wilson(mass=0.3).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    A = D.as_linear_operator()
    b = D.source().reshape(-1)
    x, failed = linalg.gmres(A, b, rtol=1e-10)
    assert failed == 0
    assert np.allclose(x, D.solve(D.source())[0].reshape(-1), atol=1e-8)
    exact = np.linalg.eigvals(dense(D.U, mass=0.3))
    found = linalg.eigs(A, k=1, which="LM", return_eigenvectors=False)
    assert abs(found[0]) == pytest.approx(np.abs(exact).max(), rel=1e-8)


def test_condensate_by_noise_has_its_exact_value():
    U = pq.GaugeField.hot((4, 4, 4, 4), "SU(2)", rng=3)
    D = Staggered(mass=0.5).on(U)
    exact = pq.observables.chiral_condensate(D)
    estimate = pq.observables.chiral_condensate(D, noise="Z2", n_noise=200, rng=7)
    assert abs(estimate.mean - exact) < 4 * estimate.error
    assert estimate.error < 0.02 * exact
    assert np.trace(np.linalg.inv(dense(U, mass=0.5, kind="staggered"))).real / 256 == pytest.approx(exact, rel=1e-9)


BAD = {
    "Wilson()": (ValueError, "mass or kappa"),
    "Wilson(mass=0.1, kappa=0.1)": (ValueError, "mass or kappa"),
    "Wilson(kappa=0.6)": (ValueError, "between 0 and 1/2"),
    "Wilson(mass=math.nan)": (ValueError, "finite"),
    "Wilson(mass='x')": (TypeError, "number"),
    "Wilson(mass=0.1, boundary=(1, 2, 1, 1))": (ValueError, "size one"),
    "Wilson(mass=0.1, boundary=(1, 1)).on(U)": (ValueError, "boundary has 2 phases"),
    "Wilson(mass=0.1).on(pq.GaugeField.cold((8,), 'U(1)'))": (ValueError, "2, 3 or 4 dimensions"),
    "Wilson(mass=0.1).on(pq.GaugeField.cold((4, 4), 'SU(5)'))": (ValueError, "SU(5)"),
    "Staggered(mass=0.1).on(pq.GaugeField.cold((4, 3), 'SU(2)'))": (ValueError, "even extents"),
    "Staggered(mass=0.1).on(None)": (TypeError, "GaugeField"),
    "Staggered(0.1, fat=U)": (ValueError, "both of them"),
    "Staggered(0.1, long=U)": (ValueError, "both of them"),
    "Staggered(0.1, fat=U, long=pq.GaugeField.cold((4, 4)))": (ValueError, "must agree"),
    "Staggered(0.1, fat=U, long=np.full((4, 4, 4, 4, 4, 3, 3), np.nan))": (ValueError, "long: "),
    "Staggered(0.1, fat=U, long=np.zeros((4, 4)))": (ValueError, "long: "),
    "Staggered(0.1, fat='x', long=U)": (TypeError, "fat: "),
    "Staggered(0.1, fat=U, long=U).on(pq.GaugeField.cold((4, 4)))": (ValueError, "must agree"),
    "Staggered(0.1, fat=U, long=U).on(pq.GaugeField.cold((4, 4, 4, 4), 'SU(2)'))": (ValueError, "must agree"),
    "pq.HMC(pq.actions.Pseudofermion(Staggered(0.1, fat=U, long=U), 4)).step(U, rng=1)": (
        ValueError,
        "fattening",
    ),
    "pq.smear.asqtad(pq.GaugeField.cold((4, 4)))": (ValueError, "4 dimensions"),
    "pq.smear.asqtad(U, u0=0)": (ValueError, "u0"),
    "pq.smear.hisq(U, epsilon=math.inf)": (ValueError, "finite"),
    "pq.observables.staggered_correlator(D)": (ValueError, "staggered"),
    "D.smear(D.source(), kind='x')": (ValueError, "jacobi"),
    "DomainWall(0.1, m5=2.0, ls=4)": (ValueError, "between 0 and 2"),
    "DomainWall(0.1, m5=math.nan, ls=4)": (ValueError, "finite"),
    "DomainWall(math.nan, m5=1.0, ls=4)": (ValueError, "finite"),
    "DomainWall(0.1, m5=1.0, ls=0)": (ValueError, "at least 1"),
    "DomainWall(0.1, m5=1.0, ls=2.5)": (TypeError, "ls"),
    "DomainWall(0.1, m5=1.0, ls=4, b=1.0, c=-1.0)": (ValueError, "b + c"),
    "DomainWall(0.1, m5=1.0, ls=4).on(pq.GaugeField.cold((8,), 'U(1)'))": (ValueError, "2 or 4 dimensions"),
    "DomainWall(0.1, m5=1.0, ls=4).on(pq.GaugeField.cold((4, 4, 4), 'U(1)'))": (ValueError, "2 or 4 dimensions"),
    "DomainWall(0.1, m5=1.0, ls=4).on(pq.GaugeField.cold((4, 4), 'SU(5)'))": (ValueError, "SU(5)"),
    "DomainWall(0.1, m5=1.0, ls=3).on(U).midpoint(np.zeros((3, 4, 4, 4, 4, 4, 3)))": (ValueError, "even ls"),
    "DomainWall(0.1, m5=1.0, ls=3).on(U) @ np.zeros((4, 4, 4, 4, 4, 3))": (ValueError, "is needed"),
    "DomainWall(0.1, m5=1.0, ls=3).on(U).quark_field(np.zeros((4, 4)))": (ValueError, "is needed"),
    "DomainWall(0.1, m5=1.0, ls=3).on(U).eigenvalues(1, of='hermitian')": (ValueError, "normal"),
    "pq.observables.residual_mass(D)": (TypeError, "domain walls"),
    "pq.observables.residual_mass(DomainWall(0.1, m5=1.0, ls=3).on(U))": (ValueError, "even ls"),
    "D @ np.zeros((4, 4))": (ValueError, "is needed"),
    "D @ np.array('x')": (TypeError, "complex numbers"),
    "D.solve(D.source(), tol=0.0)": (ValueError, "greater than 0"),
    "D.solve(D.source(), tol=1e-20)": (ValueError, "below rounding"),
    "D.solve(D.source(), method='qmr')": (ValueError, "bicgstab"),
    "D.solve(D.source(), precision='half')": (ValueError, "mixed"),
    "D.solve(D.source(), method='cg')": (ValueError, "positive"),
    "D.solve(np.full(D.shape, np.nan))": (ValueError, "finite"),
    "D.solve(D.source(), guess=np.zeros((2, *D.shape)))": (ValueError, "agree"),
    "D.solve(D.source(), max_iterations=-1)": (ValueError, "at least 0"),
    "D.source('gauss')": (ValueError, "wall"),
    "D.source(at=(0, 0, 0, 9))": (ValueError, "0 to 3"),
    "D.source(spin=4)": (ValueError, "0 to 3"),
}


@pytest.mark.parametrize("call", BAD)
def test_bad_input_is_refused_in_words(call):
    kind, words = BAD[call]
    U = pq.GaugeField.hot((4, 4, 4, 4), rng=1)
    D = Wilson(mass=0.5).on(U)
    known = {"Wilson": Wilson, "Staggered": Staggered, "DomainWall": DomainWall}
    with pytest.raises(kind) as caught:
        eval(call, {"pq": pq, "np": np, "math": math, "U": U, "D": D, **known})
    assert words in str(caught.value)


def test_a_long_solve_beyond_the_critical_mass_speaks_and_is_interrupted(monkeypatch, capsys):
    """kappa = 0.161 on a rough field: the residual stagnates; without a word one would wait for nothing."""
    D = Wilson(mass=-0.9).on(pq.GaugeField.hot((8, 8, 8, 8), rng=1))
    monkeypatch.setattr(progress, "LONG_SECONDS", 0.05)
    monkeypatch.setattr(progress, "_watch", progress._Watch())
    monkeypatch.setattr(progress, "WATCH_SECONDS", 0.01)

    def ended(number, frame):
        raise KeyboardInterrupt

    def solve():
        while True:
            D.solve(np.array([D.source()] * 12), tol=1e-14, precision="double", max_iterations=10**9)

    before = signal.signal(signal.SIGALRM, ended)
    begun = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(KeyboardInterrupt):
            solve()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 20
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all("Ctrl-C, then a heavier quark" in line and "at most 1000000000 iterations" in line for line in lines)
    D = Wilson(mass=0.5).on(pq.GaugeField.cold((4, 4), "U(1)"))
    D.solve(D.source())
    assert capsys.readouterr().err == ""
