"""Sources, smearing, noise, correlators of mesons and nucleons."""

import itertools

import numpy as np
import plaq as pq
import pytest
from test_dirac import gammas

Wilson, Staggered = pq.dirac.Wilson, pq.dirac.Staggered


def rotation(U, rng=3):
    """A random gauge transformation as matrices, and the field it makes."""
    g = np.asarray(pq.GaugeField.hot(U.shape, U.group, rng=rng))[0]
    return g, U.gauge_transform(g)


def test_gamma_matrices_are_those_of_the_operator():
    """The names of mesons mean the matrices that the formula of D has."""
    from plaq.observables.hadrons import GAMMAS, _gamma

    for spins, ndim in ((2, 2), (4, 4)):
        for mu, matrix in enumerate(gammas(ndim)):
            assert np.array_equal(_gamma(str(mu), spins), matrix)
            assert np.array_equal(_gamma(f"5{mu}", spins), _gamma("5", spins) @ matrix)
    basis = np.array([_gamma(name, 4) for name in GAMMAS]).reshape(16, 16)
    assert np.allclose(basis.conj() @ basis.T, 4 * np.eye(16))


def test_charge_conjugation():
    g = gammas(4)
    C = g[1] @ g[3]
    for matrix in g:
        assert np.allclose(C @ matrix @ np.linalg.inv(C), -matrix.T)


def epsilon(a, b, c):
    return (a - b) * (b - c) * (c - a) / 2


def test_the_nucleon_is_its_contraction():
    """Every index of the formula in a loop over epsilon tensors and spins, on one site column."""
    U = pq.GaugeField.hot((2, 2, 2, 4), rng=2)
    D = Wilson(mass=0.8).on(U)
    G, _ = D.propagator(tol=1e-12)
    g = gammas(4)
    Gamma = g[1] @ g[3] @ np.diag([1, 1, -1, -1])
    mirrored = g[3] @ Gamma.conj().T @ g[3]
    eps = np.array([[[epsilon(a, b, c) for c in range(3)] for b in range(3)] for a in range(3)])
    S = np.moveaxis(G, (0, 1), (-2, -1))  # x.., spin, colour, spin', colour'
    for parity in (1, -1):
        P = (np.eye(4) + parity * g[3]) / 2
        direct = np.einsum(
            "abc,ABC,pq,QP,ij,...paPA,...qbQB,...jciC->...", eps, eps, Gamma, mirrored, P, S, S, S, optimize=True
        )
        crossed = np.einsum(
            "abc,ABC,pq,QP,ij,...paiC,...qbQB,...jcPA->...", eps, eps, Gamma, mirrored, P, S, S, S, optimize=True
        )
        expected = (direct - crossed).reshape(-1, 4).sum(axis=0)
        C = pq.observables.nucleon_correlator(D, G, parity=parity)
        assert np.allclose(C, expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())


def test_correlators_are_gauge_invariant():
    U = pq.GaugeField.hot((4, 2, 2, 4), rng=2)
    _, V = rotation(U)
    family = Wilson(mass=0.8, csw=0.5)
    found = []
    for links in (U, V):
        D = family.on(links)
        G, _ = D.propagator(tol=1e-14, precision="double")
        smeared, _ = D.propagator(D.smear(D.sources(), steps=3), tol=1e-14, precision="double")
        smeared = D.smear(smeared, steps=2)
        moving = {"momentum": (1, 0, 0)}
        found.append(
            [
                pq.observables.pion_correlator(D, G),
                pq.observables.meson_correlator(D, "53", "5", G),
                pq.observables.meson_correlator(D, "0", "0", G, **moving),
                pq.observables.nucleon_correlator(D, G),
                pq.observables.nucleon_correlator(D, smeared, **moving),
                pq.observables.pcac_mass(D, G),
            ]
        )
    for one, other in zip(*found, strict=True):
        assert np.abs(one - other).max() < 1e-12 * max(1.0, np.abs(one).max())


def test_smearing_is_its_formula_and_covariant():
    U = pq.GaugeField.hot((4, 4, 4, 2), "SU(2)", rng=4)
    D = Wilson(mass=0.5).on(U)
    rng = np.random.default_rng(2)
    psi = rng.normal(size=D.shape) + 1j * rng.normal(size=D.shape)
    links, expected = np.asarray(U), psi.copy()
    for x in itertools.product(*map(range, U.shape)):
        for k in range(3):
            step = np.eye(4, dtype=int)[k]
            ahead, behind = tuple((x + step) % U.shape), tuple((x - step) % U.shape)
            expected[x] += 0.3 * psi[ahead] @ links[(k, *x)].T
            expected[x] += 0.3 * psi[behind] @ links[(k, *behind)].conj()
    assert np.allclose(D.smear(psi, alpha=0.3, steps=1), expected / (1 + 6 * 0.3), atol=1e-13)
    g, V = rotation(U)
    turn = lambda phi: np.einsum("...ab,...sb->...sa", g, phi)  # noqa: E731
    there = Wilson(mass=0.5).on(V).smear(turn(psi), alpha=0.3, steps=4)
    assert np.allclose(there, turn(D.smear(psi, alpha=0.3, steps=4)), atol=1e-12)
    assert np.array_equal(D.smear(psi, steps=0), psi)
    staggered = Staggered(mass=0.5).on(U)
    assert staggered.smear(staggered.source(), links=pq.smear.ape(U, alpha=0.5)).shape == staggered.shape


def test_smearing_widens_a_free_source():
    """<x^2> of n steps is n 2 alpha/(1 + 6 alpha) a direction, as of a random walk."""
    D = Staggered(mass=0.5).on(pq.GaugeField.cold((32, 2, 2, 2), "U(1)"))
    b = D.smear(D.source(), alpha=0.25, steps=20).real.sum(axis=(1, 2, 3, 4))
    x = (np.arange(32) + 16) % 32 - 16
    assert (x**2 * b).sum() / b.sum() == pytest.approx(20 * 2 * 0.25 / (1 + 6 * 0.25), rel=1e-6)


def test_momenta_of_walls_and_sinks_agree():
    """A wall of momentum p makes a free quark of that momentum; the sink finds nothing at another one."""
    D = Wilson(mass=0.4).on(pq.GaugeField.cold((4, 4, 4, 8)))
    psi, _ = D.solve(D.source("wall", momentum=(1, 0, 3)))
    x = np.indices((4, 4, 4))
    wave = np.exp(2j * np.pi * (x[0] + 3 * x[2]) / 4)[..., None, None, None]
    assert np.allclose(psi, wave * psi[:1, :1, :1], atol=1e-9)
    G, _ = D.propagator()
    still, moving, back = (
        pq.observables.meson_correlator(D, "5", "5", G, momentum=n) for n in ((0, 0, 0), (1, 0, 0), (-1, 0, 0))
    )
    assert np.allclose(still, pq.observables.meson_correlator(D, "5", "5", G))
    assert np.allclose(moving, back, atol=1e-12)
    assert moving[4].real < still[4].real
    # Parseval: the sum over all momenta is the correlator at the spatial origin times the volume.
    everything = sum(
        pq.observables.meson_correlator(D, "5", "5", G, momentum=n) for n in itertools.product(range(4), repeat=3)
    )
    here = np.sum(np.abs(G[:, :, 0, 0, 0]) ** 2, axis=(0, 1, 3, 4))
    assert np.allclose(everything, 64 * here, atol=1e-10)


def matrix(name, basis):
    """The product of matrices that the name lists."""
    spins = len(basis[0])
    five = np.diag([1.0] * (spins // 2) + [-1.0] * (spins // 2)) + 0j
    product = np.eye(spins, dtype=complex)
    for factor in name.replace("I", ""):
        product = product @ (five if factor == "5" else basis[int(factor)])
    return product


@pytest.mark.parametrize(("shape", "group"), [((2, 2, 2, 4), "SU(3)"), ((3, 4), "U(1)"), ((2, 3, 4), "SU(2)")])
def test_mesons_of_all_matrices_are_traces_over_both_quark_lines(shape, group):
    """-tr[Gamma G(x, 0) Gamma-bar G(0, x)] with both propagators solved for, on a rough field."""
    D = Wilson(mass=0.6).on(pq.GaugeField.hot(shape, group, rng=2))
    spins, colors = D.quark_shape[-2:]
    basis = gammas(len(shape))
    time, n = len(shape) - 1, spins * colors
    there, _ = D.propagator(tol=1e-12)
    there = there.reshape(n, *shape, n)  # [source, x, sink]
    x = (*[1] * time, 2)
    source = np.zeros((n, *D.quark_shape), complex)
    for k in range(n):
        source[(k, *x)].flat[k] = 1.0
    back = np.stack([D.solve(b, tol=1e-12)[0][(0,) * len(shape)].ravel() for b in source])
    G, H = there[(slice(None), *x)].T, back.T  # [sink, source] of G(x, 0) and G(0, x)
    whole = D.propagator(tol=1e-12)[0]
    only = np.zeros_like(whole)
    only[(slice(None), slice(None), *x)] = whole[(slice(None), slice(None), *x)]
    names = ["I", "5", *map(str, range(time + 1)), *(f"5{k}" for k in range(time + 1)), "01"]
    for name in [*names, "23", "13"] if time == 3 else names:
        gamma = matrix(name, basis)
        bar = basis[time] @ gamma.conj().T @ basis[time]
        one, other = (np.kron(m, np.eye(colors)) for m in (gamma, bar))
        expected = -np.trace(one @ G @ other @ H)
        assert (
            abs(pq.observables.meson_correlator(D, name, name, only)[2] - expected) < 1e-9 * np.abs(G).max() ** 2 * n
        ), name


def test_polarisations_of_a_free_vector_meson_agree():
    D = Wilson(mass=0.3).on(pq.GaugeField.cold((4, 4, 4, 8)))
    G, _ = D.propagator(tol=1e-12)
    rho = [pq.observables.meson_correlator(D, name, name, G) for name in "012"]
    assert np.allclose(rho, rho[0], rtol=1e-10)
    assert np.all(rho[0].real > 0)


@pytest.mark.parametrize(("shape", "group"), [((8, 24), "U(1)"), ((4, 4, 24), "SU(2)")])
def test_the_axial_ward_identity_in_fewer_dimensions(shape, group):
    D = Wilson(mass=0.1).on(pq.GaugeField.cold(shape, group))
    assert np.allclose(pq.observables.pcac_mass(D)[9:13], 0.1, rtol=0.1)


@pytest.mark.parametrize(("length", "mass"), [(16, 0.3), (32, 1.7), (64, 1.0), (128, 2.5)])
def test_effective_masses_of_heavy_states_on_long_lattices(length, mass):
    t = np.arange(length)
    for form, sign in (("cosh", 1), ("sinh", -1)):
        C = np.exp(-mass * t) + sign * np.exp(-mass * (length - t))
        found = pq.observables.effective_mass(C, form)
        known = np.abs(t[:-1] + 0.5 - length / 2) > 1  # in the middle the sinh vanishes
        assert np.allclose(found[known], mass, rtol=1e-6), form
        if form == "sinh":
            assert np.isnan(found[length // 2 - 1 : length // 2 + 1]).all()


def test_the_axial_ward_identity_knows_the_free_mass():
    """Two quarks at rest of mass log(1 + m): the identity gives sinh(2 log(1 + m))/2 times the ratio of amplitudes."""
    found = []
    for mass in (0.05, 0.1, 0.2):
        D = Wilson(mass=mass).on(pq.GaugeField.cold((4, 4, 4, 24)))
        plateau = pq.observables.pcac_mass(D)[9:13]
        assert np.ptp(plateau) < 0.05 * mass
        found.append(plateau.mean() / mass)
    assert abs(found[0] - 1) < abs(found[2] - 1) < 0.25


def test_noise_is_diluted_into_pieces_that_add_up():
    D = Wilson(mass=0.5).on(pq.GaugeField.cold((4, 4), "SU(2)"))
    for kind, allowed in (("Z2", [1, -1]), ("Z4", [1, -1, 1j, -1j])):
        whole = D.noise(3, kind, rng=7)
        assert whole.shape == (3, 1, *D.shape)
        assert np.isin(whole, allowed).all()
        for names in (("time",), ("spin", "color"), ("time", "spin", "color"), "color"):
            cut = D.noise(3, kind, dilute=names, rng=7)
            assert np.array_equal(cut.sum(axis=1), whole[:, 0])
            assert ((cut != 0).sum(axis=1) == 1).all()
    many = D.noise(4000, rng=1)[:, 0]
    assert abs(many.mean()) < 5 / np.sqrt(many.size)
    assert Staggered(mass=0.1).on(D.U).noise(2, dilute=("time", "spin"), rng=1).shape == (2, 4, 4, 4, 2)


def test_dilution_gives_the_trace_with_a_smaller_error():
    """Dilution by time and spin against none: 60 vectors of noise each, the trace within 4 sigma."""
    D = Wilson(mass=0.3).on(pq.GaugeField.hot((4, 4), "U(1)", rng=1))
    exact = pq.observables.chiral_condensate(D) * 16
    found = []
    for names in ((), ("time", "spin")):
        eta = D.noise(60, dilute=names, rng=5)
        x, _ = D.solve(eta)
        traces = (eta.conj() * x).real.reshape(60, -1).sum(axis=1)
        error = traces.std(ddof=1) / np.sqrt(60)
        assert abs(traces.mean() - exact) < 4 * error
        found.append(error)
    assert found[1] < found[0]


def test_effective_masses_and_their_errors():
    t, m = np.arange(12), 0.6
    shapes = {"log": np.exp(-m * t), "cosh": np.cosh(m * (t - 6)), "sinh": np.sinh(m * (6 - t))}
    for form, C in shapes.items():
        assert pq.observables.effective_mass(C, form)[:5] == pytest.approx(m, rel=1e-8)
    rng = np.random.default_rng(3)
    runs = [np.exp(-m * t) * (1 + 0.05 * rng.normal(size=(40, 12))) for _ in range(200)]
    spread = np.std([pq.observables.effective_mass(C) for C in runs], axis=0)
    errors = np.mean([pq.observables.effective_mass_error(C) for C in runs], axis=0)
    # 200 masses know their spread to 5 per cent.
    assert errors == pytest.approx(spread, rel=0.25)


def test_figures_of_correlators_and_spectra():
    rng = np.random.default_rng(1)
    C = np.cosh(0.5 * (np.arange(8) - 4)) * (1 + 0.01 * rng.normal(size=(10, 8)))
    assert pq.plot.correlator(C, label="pion").get_yscale() == "log"
    axes = pq.plot.correlator(C, kind="mass", form="cosh")
    bars = axes.containers[0].has_yerr
    assert bars
    assert not pq.plot.correlator(C[0]).containers[0].has_yerr
    assert pq.plot.spectrum([0.1, 0.2]).get_xlabel() == "number"
    assert "Im" in pq.plot.spectrum([0.1 + 1j, 0.2]).get_ylabel()


def test_demo_prints_and_draws(tmp_path):
    from plaq.cli.demos.hadrons import hadrons

    lines = []
    found = hadrons(lines.append, configurations=2, modes=4, figure=tmp_path / "demo.png")
    text = "\n".join(lines)
    assert "differs" not in text
    assert "8.386433167625e-01" in text
    assert found.correlators["nucleon"].shape == (2, 8)
    assert found.spectrum.values.shape == (4,)
    assert (tmp_path / "demo.png").stat().st_size > 20_000


def test_local_staggered_mesons_have_the_phases_of_their_matrices():
    """s(x) = epsilon(x) tr(g_x^dagger Gamma g_x Gamma^dagger)/4 from products of the matrices themselves."""
    from plaq.observables.hadrons import GAMMAS, _gamma

    U = pq.GaugeField.hot((4, 2, 2, 4), "SU(2)", rng=3)
    _, V = rotation(U)
    D, E = (Staggered(mass=0.4).on(links) for links in (U, V))
    G, _ = D.propagator(tol=1e-13)
    H, _ = E.propagator(tol=1e-13)
    g = gammas(4)
    density = (np.abs(G) ** 2).sum(axis=(0, -1))
    for name in GAMMAS:
        matrix = _gamma(name, 4)
        expected = np.zeros(4, complex)
        for x in np.ndindex(U.shape):
            turn = np.eye(4)
            for nu in range(4):
                turn = turn @ np.linalg.matrix_power(g[nu], x[nu])
            phase = np.trace(turn.conj().T @ matrix @ turn @ matrix.conj().T) / 4 * (-1) ** sum(x)
            expected[x[-1]] += phase * density[x] * np.exp(-1j * np.pi * x[0] / 2)
        C = pq.observables.staggered_correlator(D, name, G, momentum=(1, 0, 0))
        assert np.allclose(C, expected, atol=1e-12), name
        assert np.allclose(C, pq.observables.staggered_correlator(E, name, H, momentum=(1, 0, 0)), atol=1e-10)
    assert np.allclose(pq.observables.staggered_correlator(D, "5", G), pq.observables.pion_correlator(D, G))
    # The others are bounded by the Goldstone pion.
    assert (np.abs(pq.observables.staggered_correlator(D, "0", G)) <= pq.observables.pion_correlator(D, G)).all()


def test_jacobi_smearing_is_the_series_of_the_inverse():
    U = pq.GaugeField.hot((2, 3, 4), "SU(2)", rng=3)
    g, V = rotation(U)
    for family in (Wilson(mass=0.5), pq.dirac.Wilson(mass=0.5, csw=1.0)):
        D = family.on(U)
        size, alpha = int(np.prod(D.shape)), 0.2
        basis = np.eye(size).reshape(size, *D.shape)
        # 1 + alpha H is what one Gaussian step is, without its norm.
        H = ((D.smear(basis, alpha=alpha, steps=1) * (1 + 4 * alpha)).reshape(size, size).T - np.eye(size)) / alpha
        b = D.source(at=(1, 1, 1))
        for steps in (0, 1, 4):
            series = sum(np.linalg.matrix_power(alpha * H, n) for n in range(steps + 1)) @ b.reshape(-1)
            found = D.smear(b, kind="jacobi", alpha=alpha, steps=steps)
            assert np.allclose(found.reshape(-1), series, atol=1e-12)
        whole = np.linalg.solve(np.eye(size) - alpha * H, b.reshape(-1))
        found = D.smear(b, kind="jacobi", alpha=alpha, steps=200)
        assert np.allclose(found.reshape(-1), whole, atol=1e-9)
        turned = np.einsum("...ab,...sb->...sa", g, D.smear(b, kind="jacobi", alpha=alpha, steps=5))
        assert np.allclose(
            family.on(V).smear(np.einsum("...ab,...sb->...sa", g, b), kind="jacobi", alpha=alpha, steps=5), turned
        )


FAMILIES = {
    "wilson": lambda U: Wilson(mass=0.6, csw=1.0),
    "staggered": lambda U: Staggered(mass=0.5),
    "improved": lambda U: Staggered(0.5, fat=0.9 * np.asarray(U), long=-0.04 * np.asarray(U)),
    "walls": lambda U: pq.dirac.DomainWall(0.3, m5=1.2, ls=4),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_propagators_come_back_from_their_files(kind, tmp_path):
    U = pq.GaugeField.hot((4, 4), "SU(2)", rng=3)
    D = FAMILIES[kind](U).on(U)
    G, _ = D.propagator()
    path = tmp_path / "quark.npz"
    pq.dirac.write_propagator(path, G, D)
    assert np.array_equal(pq.dirac.read_propagator(path), G)
    assert np.array_equal(pq.dirac.read_propagator(path, D), G)
    assert np.array_equal(np.load(path)["propagator"], G)
    elsewhere = FAMILIES[kind](U).on(pq.GaugeField.hot((4, 4), "SU(2)", rng=4))
    with pytest.raises(ValueError, match="another operator: links"):
        pq.dirac.read_propagator(path, elsewhere)
    with pytest.raises(ValueError, match="family"):
        pq.dirac.read_propagator(path, Wilson(mass=0.7).on(U))
    with pytest.raises(ValueError, match="is needed"):
        pq.dirac.write_propagator(path, G[0], D)
    with pytest.raises(ValueError, match="not finite"):
        pq.dirac.write_propagator(path, np.full_like(G, np.nan), D)
    content = path.read_bytes()
    start = content.index(G.tobytes()[:64])
    for spot in (start, start + G.nbytes - 1, content.index('"operator"'.encode("utf-32-le")) + 80):
        damaged = bytearray(content)
        damaged[spot] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(pq.FormatError, match="damaged"):
            pq.dirac.read_propagator(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(pq.FormatError):
        pq.dirac.read_propagator(path)
