"""Sizes of forces on a block of the lattice: that of the whole lattice, its gradient, its range, training."""

import math

import numpy as np
import plaq as pq
import pytest
from plaq.transform import Transformed, su3_4d, u1_2d

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [{}, {"norms": {2: 1.0, 4: 0.5, 8: 0.1}, "largest": 0.3}, {"norms": {}, "log_mean_exp": 1.0}]
CONSTANT = u1_2d([0.05, 0.03], loops=["plaquette", "rectangle"])
NETWORK = u1_2d(loops=["plaquette", "rectangle"], channels=2, sweeps=1, rng=5)
S, T = pq.actions.Wilson(3.0), pq.actions.Wilson(1.5)
CASES = {
    "U(1)": ("U(1)", (4, 8), CONSTANT, S, T),
    "U(1) network": ("U(1)", (8, 4), NETWORK, S, T),
    "SU(2)": ("SU(2)", (2, 4, 2, 4), su3_4d(0.05), pq.actions.Wilson(2.3), None),
    "SU(3)": ("SU(3)", (4, 2, 4, 2), su3_4d([0.01, 0.001], loops=["plaquette", "chair"]), pq.actions.DBW2(0.8), S),
}


def thermal(shape, beta, seed=1):
    start = pq.GaugeField.hot(shape, "U(1)", rng=seed)
    return pq.HMC(pq.actions.Wilson(beta), length=1.0, steps=8).run(start, 1, warmup=30, rng=seed, progress=False).state


def norms_of(F, V):
    f = Transformed(S, F).force(V) - T.force(V)
    return np.abs(f[..., 0, 0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("case", CASES)
def test_a_block_that_is_the_lattice_has_value_and_gradient_of_the_lattice(case, size, margin):
    group, shape, F, action, target = CASES[case]
    U = pq.GaugeField.hot(shape, group, rng=1)
    value, gradient = pq.losses.TransformedForce(action, target, **size).of_batch(F, [U], [None])
    part = pq.losses.SubVolumeForce(action, target, block=shape, margin=margin, **size)
    found, slope = part.of_batch(F, [U], part.targets([U]))
    assert found == pytest.approx(value, rel=1e-12)
    assert np.abs(slope - gradient).max() < 3e-7 * np.abs(gradient).max()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("F", [CONSTANT, NETWORK], ids=["constant", "network"])
def test_gradient_of_a_block_is_the_derivative_of_its_force_at_fixed_v(F, size):
    """The window is the whole lattice, so that links outside of the block move and count only by what they do to it."""
    V, block = pq.GaugeField.hot((8, 8), "U(1)", rng=2), (4, 2)
    loss = pq.losses.SubVolumeForce(S, T, block=block, margin=4, **size)
    seen = F.inverse(loss.targets([F(V)])[0])

    def value(x):
        G = F.copy()
        G.parameters = x
        f = norms_of(G, seen)[:, : block[0], : block[1]].ravel()
        exact = loss.log_mean_exp * math.log(np.exp(f).mean()) + loss.largest * f.max()
        return exact + sum(w * (f**p).mean() ** (1 / p) for p, w in loss.norms.items())

    x = F.parameters
    found, gradient = loss.of_batch(F, [F(V)], [F(seen)])
    assert found == pytest.approx(value(x), rel=1e-10)
    scale = np.abs(gradient).max()
    for k in np.linspace(0, len(x) - 1, 4).astype(int):
        h = 1e-4 * np.eye(len(x))[k]
        slope = (8 * (value(x + h) - value(x - h)) - (value(x + 2 * h) - value(x - 2 * h))) / 12e-4
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-6 * scale)


def test_windows_know_the_force_of_the_lattice_up_to_their_margin():
    """Masked updates of a sweep and the plaquette reach six sites in each direction, beyond them nothing is felt."""
    F, U, block = u1_2d(0.1, sweeps=1), thermal((32, 32), 4.0), (4, 4)
    links, force = np.asarray(U), norms_of(F, F.inverse(U))
    errors = []
    for margin in (0, 2, 4, 6, 8):
        loss = pq.losses.SubVolumeForce(S, T, block=block, margin=margin, rng=3)
        (window,) = loss.targets([U])
        value, _ = loss.of_batch(F, [U], [window])
        (x,), (y,) = np.nonzero(links[0, :, :, 0, 0] == np.asarray(window)[0, 0, 0, 0, 0])
        sites = np.ix_(range(2), (x + margin + np.arange(4)) % 32, (y + margin + np.arange(4)) % 32)
        errors.append(abs(value / math.sqrt((force[sites] ** 2).mean()) - 1))
    assert errors[0] > 0.01
    assert errors[1] < 0.02
    assert errors[2] < 1e-3 * errors[0]
    assert max(errors[3:]) < 1e-12


@pytest.mark.parametrize("margins", [(6, 8, 14, 40), (7, 9, 15, 41)])
def test_a_block_is_at_the_same_place_in_all_windows(margins):
    F, U = u1_2d(0.1, sweeps=1), thermal((32, 8), 4.0)
    losses = [pq.losses.SubVolumeForce(S, T, block=(4, 2), margin=margin, rng=3) for margin in margins]
    values = [loss.of_batch(F, [U], loss.targets([U])) for loss in losses]
    for value, gradient in values[1:]:
        assert value == pytest.approx(values[0][0], rel=1e-12)
        assert gradient == pytest.approx(values[0][1], rel=1e-5)


def test_training_on_blocks_shrinks_the_force_of_the_lattice():
    fields = [thermal((16, 16), 3.0, seed) for seed in range(8)]
    train, held = fields[:6], fields[6:]
    sampler = pq.FieldTransformHMC(S, u1_2d(), length=1.0, steps=8)
    whole = pq.losses.TransformedForce(S, T)
    before = whole.of_batch(sampler.transform, held, [None] * 2)[0]
    loss = pq.losses.SubVolumeForce(S, T, block=(4, 4), margin=2, rng=1)
    history = sampler.train(
        3 * train, loss, epochs=6, batch=6, optimizer=pq.optimizers.Adam(0.03), validation=held, rng=1, progress=False
    )
    after = whole.of_batch(sampler.transform, held, [None] * 2)[0]
    best = pq.FieldTransformHMC(S, u1_2d(), length=1.0, steps=8)
    best.train(train, whole, epochs=18, batch=6, optimizer=pq.optimizers.Adam(0.03), rng=1, progress=False)
    limit = whole.of_batch(best.transform, held, [None] * 2)[0]
    assert history.validation[-1] < history.validation[0]
    assert after < 0.95 * before
    assert before - after > 0.9 * (before - limit)


def test_places_are_those_of_the_seed_and_of_even_sites():
    fields = [pq.GaugeField.hot((16, 16), "U(1)", rng=k) for k in range(3)]
    loss = pq.losses.SubVolumeForce(S, block=(4, 4), margin=1, rng=7)
    first, again = loss.targets(fields), pq.losses.SubVolumeForce(S, block=(4, 4), margin=1, rng=7).targets(fields)
    assert first == again
    other = pq.losses.SubVolumeForce(S, block=(4, 4), margin=1, rng=8).targets(fields)
    assert other != first
    twice = loss.targets([fields[0]] * 2)
    assert twice[0] != twice[1]
    for U, W in zip(fields, first, strict=True):
        (x,), (y,) = np.nonzero(np.asarray(U)[0, :, :, 0, 0] == np.asarray(W)[0, 0, 0, 0, 0])
        assert x % 2 == y % 2 == 0


U1 = pq.GaugeField.hot((8, 8), "U(1)", rng=1)
QUARK = pq.actions.Pseudofermion(pq.dirac.Wilson(kappa=0.1), n_flavors=2)


def fitted(**settings):
    loss = pq.losses.SubVolumeForce(S, **settings)
    return loss.of_batch(CONSTANT, [U1], loss.targets([U1]))


WRONG = {
    "no extents": (lambda: fitted(block=4), TypeError, "block is a sequence of ints"),
    "other dimensions": (lambda: fitted(block=(4, 4, 4)), ValueError, "at most the lattice"),
    "larger than the lattice": (lambda: fitted(block=(4, 10)), ValueError, "at most the lattice"),
    "odd": (lambda: fitted(block=(3, 4), margin=1), ValueError, "odd extent"),
    "negative margin": (lambda: fitted(block=(4, 4), margin=-1), ValueError, "margin"),
    "pseudofermions": (lambda: pq.losses.SubVolumeForce(S + QUARK, block=(4, 4)), ValueError, "pseudofermions"),
    "another network": (
        lambda: pq.losses.SubVolumeForce(S, block=(4, 4)).of_batch(
            pq.CovariantNet([pq.StoutLayer(["plaquette"])]), [U1], [U1]
        ),
        TypeError,
        "SubVolumeForce is a loss of a FieldTransform",
    ),
    "no window": (
        lambda: pq.losses.SubVolumeForce(S, block=(2, 2), margin=1).of_batch(CONSTANT, [U1], [U1]),
        ValueError,
        "window",
    ),
    "too few": (
        lambda: pq.losses.SubVolumeForce(S, block=(4, 4)).of_batch(CONSTANT, [U1], []),
        ValueError,
        "0 targets for 1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_what_works(case):
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()
