"""Laws and numbers of the spin-fermion model and its effective models."""

import pickle

import numpy as np
import plaq as pq
import pytest

FAMILIES = ["linear", "relu", "softmax", "local"]
S8 = pq.spin.random((8, 8), rng=1)


def band(shape, t=1.0):
    kx, ky = (2 * np.pi * np.arange(extent) / extent for extent in shape)
    return -2 * t * (np.cos(kx)[:, None] + np.cos(ky)[None, :])


def effective(kind, shape=(6, 6), seed=1, size=0.3):
    """A model of each family with random parameters."""
    if kind == "linear":
        model = pq.LinearSpinModel(shape, len(pq.spin.shells(shape)))
    else:
        model = pq.EquivariantAttention(shape, 2, 4, 3, block=kind, rng=seed)
    model.parameters = size * np.random.default_rng(seed).normal(size=model.n_parameters)
    return model


def rotation(seed, determinant):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * determinant * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (2, 6), (1, 3), (5, 3)])
def test_spectra_of_ordered_spins(shape):
    t, J = 0.8, 1.3
    eps = band(shape, t)
    model = pq.SpinFermion(shape, t=t, J=J, T=0.1)

    def check(spins, expected):
        assert np.abs(model.energies(spins) - np.sort(np.ravel(expected))).max() < 1e-12

    check(pq.spin.ferromagnet(shape, (1, 2, 3)), [eps + J / 2, eps - J / 2])
    wave = (1, 1)
    shifted = np.roll(eps, (-wave[0], -wave[1]), axis=(0, 1))
    mean, half = (eps + shifted) / 2, np.hypot((eps - shifted) / 2, J / 2)
    check(pq.spin.spiral(shape, wave), [mean + half, mean - half])
    if shape[0] % 2 == shape[1] % 2 == 0:
        gap = np.sqrt(eps**2 + J**2 / 4)
        check(pq.spin.neel(shape, (0, 1, 1)), [gap, -gap])
    free = pq.SpinFermion(shape, t=t, J=0.0, T=0.1)
    spins = pq.spin.random(shape, rng=3)
    assert np.abs(free.energies(spins) - np.sort(np.ravel([eps, eps]))).max() < 1e-12
    atoms = pq.SpinFermion(shape, t=0.0, J=J, T=0.1).energies(spins)
    assert np.abs(np.abs(atoms) - J / 2).max() < 1e-12


@pytest.mark.parametrize("shape", [(6, 6), (5, 3), (1, 1), (2, 1), (3, 8)])
@pytest.mark.parametrize("mu", [0.0, -0.7, 9.0])
def test_energies_and_weight_against_numpy(shape, mu):
    model = pq.SpinFermion(shape, J=1.1, mu=mu, T=0.07)
    spins = pq.spin.random(shape, rng=1, count=3)
    matrix = model.hamiltonian(spins)
    assert np.array_equal(matrix, matrix.conj().swapaxes(-1, -2))
    expected = np.linalg.eigvalsh(matrix)
    assert np.abs(model.energies(spins) - expected).max() < 1e-13
    weight = np.logaddexp(0, -(expected - mu) / model.T).sum(axis=-1)
    assert np.allclose(model.log_weight(spins), weight, rtol=1e-13, atol=1e-12)
    assert model.log_weight(spins[0]) == model.log_weight(spins)[0]


def test_spectrum_is_symmetric_on_bipartite_lattices():
    energies = pq.SpinFermion((6, 4), J=1.0, T=0.1).energies(pq.spin.random((6, 4), rng=2))
    assert np.abs(energies + energies[::-1]).max() < 1e-13


@pytest.mark.parametrize("kind", ["exact", *FAMILIES])
def test_symmetries(kind):
    shape = (6, 6)
    log_weight = (pq.SpinFermion(shape, J=1.0, T=0.05) if kind == "exact" else effective(kind)).log_weight
    spins = pq.spin.random(shape, rng=5)
    value = log_weight(spins)
    images = [
        spins @ rotation(1, 1).T,
        spins @ rotation(2, -1).T,
        -spins,
        np.roll(spins, (1, 2), axis=(0, 1)),
        *(np.rot90(spins, k) for k in (1, 2, 3)),
        spins[::-1],
        spins[:, ::-1],
        spins.swapaxes(0, 1),
        -np.rot90(spins)[::-1] @ rotation(3, 1).T,
    ]
    assert np.abs(log_weight(np.array(images)) - value).max() < 1e-10
    other = spins.copy()
    other[0, 0] *= -1
    assert abs(log_weight(other) - value) > 1e-3


def test_weak_coupling_expansion():
    """log W = log W_0 + (beta J^2 / 4) sum_ij chi_ij S_i . S_j + O(J^4): RKKY."""
    shape, T = (6, 4), 0.3
    eps, beta = band(shape).ravel(), 1 / T
    f = 1 / (1 + np.exp(beta * eps))
    gap = eps[:, None] - eps[None, :]
    near = np.abs(gap) < 1e-9
    ratio = np.where(near, -beta * f[:, None] * (1 - f[:, None]), (f[:, None] - f[None, :]) / np.where(near, 1, gap))
    sites = np.indices(shape).reshape(2, -1)
    phase = np.exp(2j * np.pi * (np.outer(sites[0], sites[0]) / shape[0] + np.outer(sites[1], sites[1]) / shape[1]))
    green = np.einsum("kr,qr,kq->r", phase, phase.conj(), -ratio).real / len(eps) ** 2
    index = (sites[:, :, None] - sites[:, None, :]) % np.array(shape)[:, None, None]
    chi = green[index[0] * shape[1] + index[1]]
    spins = pq.spin.random(shape, rng=4)
    flat = spins.reshape(-1, 3)
    quadratic = np.sum(chi * (flat @ flat.T)) * beta / 4
    free = pq.SpinFermion(shape, J=0.0, T=T).log_weight(spins)
    errors = [
        (pq.SpinFermion(shape, J=J, T=T).log_weight(spins) - free) / (quadratic * J**2) - 1 for J in (0.05, 0.1, 0.2)
    ]
    assert abs(errors[0]) < 2e-3
    assert np.allclose([errors[1] / errors[0], errors[2] / errors[1]], 4, rtol=0.05)


@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_are_derivatives(kind):
    model, spins = effective(kind, (4, 5)), pq.spin.random((4, 5), rng=1)
    rng, h = np.random.default_rng(2), 1e-6
    direction = np.cross(spins, rng.normal(size=spins.shape))

    def moved(step):
        new = spins + step * direction
        return model.log_weight(new / np.linalg.norm(new, axis=-1, keepdims=True))

    assert (moved(h) - moved(-h)) / (2 * h) == pytest.approx(np.sum(model.gradient(spins) * direction), rel=1e-7)
    parameters, step = model.parameters, rng.normal(size=model.n_parameters)
    values = []
    for sign in (1, -1):
        model.parameters = parameters + sign * h * step
        values.append(model.log_weight(spins))
    model.parameters = parameters
    assert (values[0] - values[1]) / (2 * h) == pytest.approx(model.parameter_gradient(spins) @ step, rel=1e-7)


def test_untrained_blocks_give_the_linear_model_bit_for_bit():
    linear = effective("linear")
    spins = pq.spin.random((6, 6), rng=1, count=20)
    for block in FAMILIES[1:]:
        network = pq.EquivariantAttention((6, 6), 3, 9, block=block, rng=2)
        network.couplings, network.constant = linear.couplings, linear.constant
        assert np.array_equal(network.log_weight(spins), linear.log_weight(spins))
        assert np.array_equal(network.with_layer("relu", rng=3).log_weight(spins), linear.log_weight(spins))


def test_attention_by_hand():
    """One block on 3x4 against the formula with dense matrices."""
    shape = (3, 4)
    network = pq.EquivariantAttention(shape, 1, [(1, 0), (2, 1)], [(1, 1)], rng=1)
    network.parameters = np.random.default_rng(1).normal(size=network.n_parameters)
    spins = pq.spin.random(shape, rng=2)
    flat, named = spins.reshape(-1, 3), network.named_parameters()

    def adjacency(shell):
        x, y = np.indices(shape).reshape(2, -1)
        dx, dy = (np.abs(z[:, None] - z[None, :]) for z in (x, y))
        dx, dy = np.minimum(dx, shape[0] - dx), np.minimum(dy, shape[1] - dy)
        return ((np.maximum(dx, dy) == shell[0]) & (np.minimum(dx, dy) == shell[1])).astype(float)

    def field(name):
        matrices = [np.eye(12), adjacency((1, 0)), adjacency((2, 1))]
        return sum(w * m @ flat for w, m in zip(named[f"block0.{name}"], matrices, strict=True))

    scores = field("query") @ field("key").T / np.sqrt(3)
    new = flat + np.maximum(scores, 0) @ field("value")
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    assert np.allclose(network.effective_spins(spins)[1].reshape(-1, 3), new, atol=1e-13)
    value = named["couplings"][0] * 0.5 * np.sum(adjacency((1, 1)) * (new @ new.T)) + named["constant"][0]
    assert network.log_weight(spins) == pytest.approx(value, rel=1e-13)


def test_linear_fit_recovers_couplings():
    truth = effective("linear")
    spins = pq.spin.random((6, 6), rng=1, count=100)
    found, ridge = pq.LinearSpinModel((6, 6), 9), pq.LinearSpinModel((6, 6), 9)
    history = found.fit(spins, truth.log_weight(spins))
    assert history.loss[0] == pytest.approx(np.var(truth.log_weight(spins)))
    assert history.loss[1] < 1e-20
    assert np.allclose(found.parameters, truth.parameters, atol=1e-10)
    assert found.mean_square_error(spins, truth.log_weight(spins)) < 1e-20
    ridge.fit(spins, truth.log_weight(spins), ridge=0.1)
    assert np.linalg.norm(ridge.couplings) < np.linalg.norm(found.couplings)


def test_predicted_acceptance_of_the_reference():
    mse = [0.019, 0.231, 0.362, 0.429, 0.621, 1.07]
    assert np.allclose(pq.spin.predicted_acceptance(mse), [0.922, 0.734, 0.670, 0.643, 0.577, 0.465], atol=6e-4)


def test_training_beats_the_linear_model_and_keeps_the_best():
    model = pq.SpinFermion((4, 4), J=1.0, T=0.05)
    state = pq.SpinMetropolis(model).run(
        pq.spin.random((4, 4), rng=1), 600, rng=1, progress=False, observables={"S": lambda S: S}
    )
    spins = state["S"]
    weights = model.log_weight(spins)
    linear = pq.LinearSpinModel((4, 4), 5).fit_couplings(spins[:450], weights[:450])
    network = pq.EquivariantAttention((4, 4), 1, 5, rng=1)
    # The ratio for 16 pairs of data and start: 0.37 to 0.81 after 1200 steps, four times above 0.85 after 400.
    history = network.fit(spins, weights, steps=1200, rng=1, progress=False)
    assert list(history.step) == list(range(50, 1201, 50))
    found = network.mean_square_error(spins[450:], weights[450:])
    assert found <= history.validation.min() * (1 + 1e-12)
    assert found < 0.85 * linear.mean_square_error(spins[450:], weights[450:])


@pytest.mark.parametrize("kind", FAMILIES)
def test_weights_survive_files_and_pickle(kind, tmp_path):
    model, spins = effective(kind, (4, 6)), pq.spin.random((4, 6), rng=1)
    assert pickle.loads(pickle.dumps(model)).log_weight(spins) == model.log_weight(spins)
    model.save(tmp_path / "net.safetensors")
    again = type(model).load(tmp_path / "net.safetensors")
    assert np.array_equal(again.parameters, model.parameters)
    assert again.log_weight(spins) == model.log_weight(spins)
    if kind == "linear":
        with_block = pq.EquivariantAttention((4, 6), 1, 2, rng=1)
        with_block.save(tmp_path / "net.safetensors")
        with pytest.raises(pq.FormatError, match=r"read it by EquivariantAttention\.load"):
            pq.LinearSpinModel.load(tmp_path / "net.safetensors")
        return
    larger = again.on((8, 8))
    assert larger.shape == (8, 8)
    assert np.array_equal(larger.parameters, model.parameters)
    assert np.array_equal(pickle.loads(pickle.dumps(larger)).effective_spins(S8), larger.effective_spins(S8))


def test_spins_are_drawn():
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = pq.plot.spins(pq.spin.spiral((6, 6), (1, 1)), staggered=True)
    assert axes.get_xlabel() == "x"
    with pytest.raises(ValueError, match="one configuration"):
        pq.plot.spins(np.zeros((2, 6, 6, 3)))
    plt.close("all")


def test_training_from_given_couplings_survives_a_wrong_constant():
    """log W has an offset of hundreds; a network whose constant was never set must not be torn apart by it."""
    model = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    S = np.stack([pq.spin.random((4, 4), rng=n) for n in range(300)])
    log_w = np.array([model.log_weight(s) for s in S])
    net = pq.EquivariantAttention((4, 4), layers=1, shells=3, coupling_shells=3, rng=1)
    net.fit_couplings(S, log_w)
    before = float(np.var(log_w - net.log_weight(S)))
    net.constant = 0.0
    net.fit(S, log_w, steps=200, batch=50, rng=2, progress=False)
    assert np.var(log_w - net.log_weight(S)) < 1.5 * before


@pytest.mark.parametrize("kind", FAMILIES)
def test_weights_are_the_same_function_on_larger_lattices(kind):
    """2x2 copies of a configuration: the same effective spin at every copy of a site, four times log W_eff."""
    if kind == "linear":
        model = effective(kind)
    else:
        model = pq.EquivariantAttention((6, 6), 2, 9, block=kind, rng=1)
        model.parameters = 0.2 * np.random.default_rng(1).normal(size=model.n_parameters)
    model.constant = 0.0
    spins = pq.spin.random((6, 6), rng=2)
    copies = np.tile(spins, (2, 2, 1))
    larger = model.on((12, 12))
    assert larger.log_weight(copies) == pytest.approx(4 * model.log_weight(spins), abs=1e-10)
    if kind != "linear":
        expected = np.tile(model.effective_spins(spins), (1, 2, 2, 1))
        assert np.abs(larger.effective_spins(copies) - expected).max() < 1e-12
        assert np.abs(expected[1] - expected[0]).max() > 1e-2
    back = larger.on((6, 6))
    assert back.log_weight(spins) == pytest.approx(model.log_weight(spins), abs=1e-11)


def test_parameters_change_in_place_and_by_assignment():
    """What is shown is what is used; arrays kept from before an assignment or a fit do not change."""
    spins = pq.spin.random((4, 4), rng=1, count=40)
    model = pq.LinearSpinModel((4, 4), 2)
    model.couplings[0] = 0.5
    assert model.log_weight(spins) == pytest.approx(0.5 * model.features(spins)[:, 0], abs=1e-13)
    model.couplings *= 2
    model.parameters[2] = 3.0
    assert (model.couplings[0], model.constant) == (1.0, 3.0)
    before = model.parameters
    model.fit(spins, pq.SpinFermion((4, 4), J=1.0, T=0.2).log_weight(spins))
    assert list(before) == [1.0, 0.0, 3.0]
    network = pq.EquivariantAttention((4, 4), 1, 2, 2, 1)
    assert network.parameters.tolist() == pq.EquivariantAttention((4, 4), 1, 2, 2, rng=1).parameters.tolist()
    linear = network.log_weight(spins)
    network.couplings[:] = 1.0
    network.named_parameters()["block0.value"][0] = 0.7
    assert np.abs(network.effective_spins(spins)[:, 1] - spins).max() > 1e-3
    assert np.abs(network.log_weight(spins) - linear).min() > 1e-9
    exact = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    sampler = pq.SelfLearningMC(exact, model)
    one, _ = sampler.propose(spins[0], rng=1)
    model.couplings[0] = 5.0
    two, _ = sampler.propose(spins[0], rng=1)
    assert not np.array_equal(one, two)


def test_single_precision_spins_are_made_unit_vectors():
    model = pq.SpinFermion((6, 6), J=1.0, T=0.05)
    spins = pq.spin.random((6, 6), rng=1, count=5)
    single = spins.astype(np.float32)
    assert np.allclose(model.log_weight(single), model.log_weight(spins), atol=1e-5)
    state, _ = pq.SpinMetropolis(model, sweeps=1).step(single[0], rng=1)
    assert np.abs(np.linalg.norm(state, axis=-1) - 1).max() < 1e-14
    with pytest.raises(ValueError, match="unit vectors to 1e-6"):
        model.log_weight(spins.astype(np.float16))


def test_validation_shares_no_configuration_with_training():
    """A chain that rejects repeats its states: repetitions stay on one side."""
    from plaq.spin.regression import hold_out

    rows = pq.spin.random((4, 4), rng=1, count=50).reshape(50, -1)
    index = np.random.default_rng(1).integers(0, 50, size=400)
    data, held = hold_out(rows[index], index.astype(float), 0.3)
    assert not set(data[1]) & set(held[1])
    assert len(data[1]) + len(held[1]) == 400
    assert len(set(held[1])) == 15
    with pytest.raises(ValueError, match="2 of them distinct"):
        hold_out(rows[[0, 1, 0, 1]], np.zeros(4), 0.5)


def test_couplings_that_nothing_determines():
    """Equal features give 0, or an error if all are equal; dependent ones share by smallest norm."""
    model = pq.SpinFermion((4, 4), J=1.0, T=0.2)
    same = np.repeat(pq.spin.random((4, 4), rng=1)[None], 10, axis=0)
    for network in (pq.LinearSpinModel((4, 4), 3), pq.EquivariantAttention((4, 4), 1, 3, rng=1)):
        with pytest.raises(ValueError, match="configurations that differ"):
            network.fit_couplings(same, model.log_weight(same))
    angles = np.linspace(0, 1, 12)
    spins = np.array([pq.spin.ferromagnet((2, 1)) for _ in angles])
    spins[:, 1, 0] = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=-1)
    wide = np.concatenate([spins, spins], axis=2)
    fitted = pq.LinearSpinModel((2, 2), [(1, 0), (1, 1)]).fit_couplings(wide, 2 * wide[:, 1, 0, 2])
    assert np.isfinite(fitted.parameters).all()
    assert fitted.mean_square_error(wide, 2 * wide[:, 1, 0, 2]) < 1e-20
    lines = np.zeros((30, 3, 3, 3))
    lines[..., 2] = 1.0
    constant = pq.LinearSpinModel((3, 3), 2)
    with pytest.raises(ValueError, match="nothing determines"):
        constant.fit(lines, np.arange(30.0))


def test_pole_sums_state_their_error():
    """The change of log W by the sum differs from the exact one by no more than its stated error allows."""
    for mu, T in [(0.0, 0.05), (-0.4, 0.05), (0.0, 0.5)]:
        sampler = pq.SpinMetropolis(pq.SpinFermion((6, 6), J=1.0, mu=mu, T=T), sweeps=2)
        assert sampler.pole_error <= sampler.tolerance
        chain = sampler.run(pq.spin.random((6, 6), rng=1), 60, rng=1, progress=False)
        assert np.abs(chain.info["correction"]).max() < 2 * 72 * sampler.pole_error
        assert chain.acceptance >= 0.95
    with pytest.raises(ValueError, match="out of reach"):
        pq.SpinMetropolis(pq.SpinFermion((6, 6), J=1.0, T=0.05), tolerance=1e-18)


def test_energies_of_tiny_and_huge_couplings():
    spins = pq.spin.random((4, 4), rng=1)
    expected = pq.SpinFermion((4, 4), t=1.0, J=1.0, T=1.0).energies(spins)
    for size in (1e-300, 1e-200, 1e-160, 1e150, 1e300):
        found = pq.SpinFermion((4, 4), t=size, J=size, T=1.0).energies(spins)
        assert np.abs(found / size - expected).max() < 1e-13
        mixed = pq.SpinFermion((4, 4), t=1.0, J=min(size, 1e-100), T=1.0).energies(spins)
        assert np.abs(mixed - np.sort(np.ravel([band((4, 4))] * 2))).max() < 1e-12
