"""Domain walls: the operator in four dimensions, index theorem, quarks of the free theory, residual mass."""

import itertools
import math

import numpy as np
import plaq as pq
import pytest
from test_dirac import chirality, dense

DomainWall = pq.dirac.DomainWall
TIGHT = {"tol": 1e-13, "precision": "double"}


def five(U):
    """The diagonal of gamma_5 on index (site, spin, colour)."""
    return np.tile(np.repeat(chirality(U), U.n_colors), math.prod(U.shape))


def kernel(family, U):
    """H = gamma_5 (b + c) D_W / (2 + (b - c) D_W), Hermitian."""
    W = dense(U, mass=-family.m5, boundary=family.boundary)
    H = five(U)[:, None] * ((family.b + family.c) * W) @ np.linalg.inv(2 * np.eye(len(W)) + (family.b - family.c) * W)
    assert np.allclose(H, H.conj().T)
    return H


def sign_of(H, ls=None):
    """The sign function, or its approximation by ls slices."""
    h, v = np.linalg.eigh(H)
    if ls is None:
        values = np.sign(h)
    else:
        up, down = (1 + h) ** ls, (1 - h) ** ls
        values = (up - down) / (up + down)
    return (v * values) @ v.conj().T


def columns(operator):
    """The matrix of an operator on flat vectors."""
    size = math.prod(operator.shape)
    return (operator @ np.eye(size).reshape(size, *operator.shape)).reshape(size, size).T


KERNELS = [
    DomainWall(mass=0.2, m5=1.2, ls=4),
    DomainWall(mass=0.05, m5=1.4, ls=5, b=1.5, c=0.5),
    DomainWall(mass=0.3, m5=0.9, ls=6, b=1.0, c=1.0),
]


@pytest.mark.parametrize("family", KERNELS, ids=repr)
@pytest.mark.parametrize(("shape", "group"), [((4, 4), "U(1)"), ((3, 4), "SU(2)"), ((2, 2, 2, 2), "SU(2)")])
def test_the_walls_are_the_overlap_with_their_sign_function(family, shape, group):
    U = pq.GaugeField.hot(shape, group, rng=3)
    D, m = family.on(U), family.mass
    expected = (1 + m) / 2 * np.eye(len(five(U))) + (1 - m) / 2 * five(U)[:, None] * sign_of(
        kernel(family, U), family.ls
    )
    effective = D.effective(**TIGHT)
    assert np.abs(columns(effective) - expected).max() < 1e-10
    assert np.abs(columns(effective.H) - expected.conj().T).max() < 1e-10
    b = D.source(at=(1,) * len(shape))
    x, info = effective.solve(b)
    assert info.residual < 1e-12
    assert np.allclose(expected @ x.reshape(-1), b.reshape(-1), atol=1e-9)
    # <q qbar> = (1/D_eff - 1)/(1 - m): the quark has no contact term.
    q, _ = D.quark_field(b, **TIGHT)
    assert np.allclose(q, (x - b) / (1 - m), atol=1e-10)
    scipy = pytest.importorskip("scipy.sparse.linalg", reason="scipy is an extra")
    found, failed = scipy.gmres(effective.as_linear_operator(), b.reshape(-1), rtol=1e-10)
    assert failed == 0
    assert np.allclose(found, x.reshape(-1), atol=1e-8)


def test_shamirs_operator_is_hermitian_up_to_a_reflection():
    """gamma_5 R D is Hermitian, R: s -> ls - 1 - s."""
    D = DomainWall(mass=0.2, m5=1.2, ls=6).on(pq.GaugeField.hot((2, 3, 2, 4), rng=3))
    rng = np.random.default_rng(1)
    psi = rng.normal(size=D.shape) + 1j * rng.normal(size=D.shape)
    gamma = np.array([1, 1, -1, -1])[:, None]

    def turned(psi):
        return gamma * psi[::-1]

    assert np.abs(turned(D @ turned(psi)) - D.H @ psi).max() < 1e-13 * np.abs(psi).max()


def constant_field(L, charge):
    """U(1) links in two dimensions whose plaquettes are all exp(2 pi i charge / L^2)."""
    x, y = np.indices((L, L))
    omega = 2 * np.pi * charge / L**2
    theta = np.stack([np.where(x == L - 1, -omega * L * y, 0.0), omega * x])
    return pq.GaugeField.from_numpy(np.exp(1j * theta)[..., None, None])


@pytest.mark.parametrize("charge", [-2, -1, 0, 1, 3])
def test_index_theorem(charge):
    """Many slices: zero modes of one chirality, n_- - n_+ = Q = tr(eps)/2."""
    U = constant_field(6, charge)
    assert pq.observables.topological_charge(U, "geometric") == pytest.approx(charge, abs=1e-9)
    family = DomainWall(mass=0.0, m5=1.0, ls=32, b=1.0, c=1.0, boundary=(1, 1))
    D = columns(family.on(U).effective(tol=1e-12))
    expected = (np.eye(len(D)) + five(U)[:, None] * sign_of(kernel(family, U))) / 2
    assert np.abs(D - expected).max() < 1e-7
    _, s, vh = np.linalg.svd(D)
    count = int((s < 1e-6).sum())
    if charge == 0:
        # Two zero modes of constant spinors, one for each chirality: the periodic free theory.
        assert count == 2
        return
    assert count == abs(charge)
    modes = vh[len(s) - count :].conj()
    chiralities = np.einsum("ns,s,ns->n", modes.conj(), five(U), modes).real
    assert np.allclose(chiralities, -np.sign(charge), atol=1e-6)
    assert np.trace(sign_of(kernel(family, U))).real / 2 == pytest.approx(charge, abs=1e-9)


def test_more_slices_are_nearer_to_the_sign_function():
    """The distance falls exponentially with ls, and the residual mass with it."""
    U = pq.GaugeField.hot((4, 4), "U(1)", rng=3)
    distances, residuals = [], []
    for ls in (4, 8, 16, 32):
        family = DomainWall(mass=0.1, m5=1.2, ls=ls)
        D = family.on(U)
        exact = 0.55 * np.eye(32) + 0.45 * five(U)[:, None] * sign_of(kernel(family, U))
        distances.append(np.abs(columns(D.effective()) - exact).max())
        residuals.append(pq.observables.residual_mass(D, tol=1e-12).max())
    for values in (distances, residuals):
        assert all(b < 0.7 * a for a, b in itertools.pairwise(values))
    assert distances[-1] < 5e-2 * distances[0]


@pytest.mark.parametrize("family", [KERNELS[0], KERNELS[2]], ids=repr)
def test_residual_mass_is_the_defect_of_the_sign_function(family):
    """Sources everywhere: sum |q_mid|^2 = |sqrt(1 - eps^2)/2 D_eff^-1 eta|^2."""
    U = pq.GaugeField.hot((4, 4), "U(1)", rng=3)
    D, m = family.on(U), family.mass
    eps = sign_of(kernel(family, U), family.ls)
    inverse = np.linalg.inv((1 + m) / 2 * np.eye(32) + (1 - m) / 2 * five(U)[:, None] * eps)
    rng = np.random.default_rng(2)
    eta = rng.normal(size=D.quark_shape) + 1j * rng.normal(size=D.quark_shape)
    psi, _ = D.solve(D.boundary(eta), **TIGHT)
    x = inverse @ eta.reshape(-1)
    expected = (x.conj() @ (np.eye(32) - eps @ eps) @ x).real / 4
    assert np.sum(np.abs(D.midpoint(psi)) ** 2) == pytest.approx(expected, rel=1e-9)
    # R(t) of a point source is the ratio of the two sums on the slice.
    psi, _ = D.solve(D.boundary(D.sources()), **TIGHT)
    ratio = [np.sum(np.abs(part[..., 2, :, :]) ** 2) for part in (D.midpoint(psi), D.at_walls(psi))]
    assert pq.observables.residual_mass(D, **TIGHT)[2] == pytest.approx(ratio[0] / ratio[1], rel=1e-9)


def pole(family):
    """Energy of the quark at rest for ls -> infinity: D_eff has X/|X + iY| with the kernel X + i gamma Y at p = iE."""
    m, low, high = family.mass, 1e-9, 0.9
    for _ in range(80):
        energy = (low + high) / 2
        w, s2 = 1 - math.cosh(energy) - family.m5, -(math.sinh(energy) ** 2)
        # (b + c) D (2 + (b - c) D^dagger): real part, and the square of the rest.
        d = family.b - family.c
        X, Y2 = 2 * w + d * (w * w + s2), 4 * s2
        value = X / math.sqrt(X * X + Y2) + (1 + m * m) / (1 - m * m)
        low, high = (energy, high) if value > 0 else (low, energy)
    return low


@pytest.mark.parametrize(("shape", "group"), [((4, 48), "U(1)"), ((4, 4, 4, 32), "SU(2)")])
@pytest.mark.parametrize(
    "family", [DomainWall(0.1, m5=1.2, ls=16), DomainWall(0.2, m5=0.8, ls=16, b=1.5, c=0.5)], ids=repr
)
def test_free_quarks_have_the_mass_of_the_pole(family, shape, group):
    D = family.on(pq.GaugeField.cold(shape, group))
    q, _ = D.quark_field(D.source("wall"), tol=1e-12)
    C = np.abs(q).sum(axis=(-1, -2)).reshape(-1, shape[-1]).sum(axis=0)
    t = 3 * shape[-1] // 8
    energy = pole(family)
    assert pq.observables.effective_mass(C, "log")[t] == pytest.approx(energy, rel=1e-3)
    # For small m, where every kernel is m5 (2 - m5) times its free quark at low momentum.
    assert energy == pytest.approx(family.mass * family.m5 * (2 - family.m5), rel=1e-2)
