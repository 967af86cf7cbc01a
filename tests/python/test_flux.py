"""The complex scalar field at chemical potential: fluxes, exact references and the worm algorithm."""

import copy
import pickle

import numpy as np
import plaq as pq
import pytest
from plaq.flux import exact
from plaq.samplers.metropolis import _colours

COLD = pq.flux.FluxField.cold


def pull(estimate, value):
    return abs(estimate.mean - value) / estimate.error


def run(shape, eta, lam, mu, draws, rng=1, thin=5, **options):
    worm = pq.Worm(shape, eta=eta, lam=lam, mu=mu)
    return worm.sample(draws, thin=thin, warmup=200, rng=rng, progress=False, **options)


# Exact references


def test_enumeration_and_transfer_matrix_agree_on_2x2():
    for eta, lam, mu in [(4.25, 1.0, 1.0), (4.01, 1.0, 0.0), (5.0, 0.5, -0.7)]:
        sums = exact.enumeration(eta, lam, mu)
        matrix = exact.transfer_matrix((2, 2), eta, lam, nodes=7, charges=20, spread=7)
        assert sums.truncation < 1e-8
        assert sums.density == pytest.approx(matrix.density(mu), rel=2e-6, abs=1e-12)
        assert sums.phi2 == pytest.approx(matrix.phi_squared(mu), rel=1e-6)
        assert sums.log_partition == pytest.approx(matrix.log_partition(mu), abs=1e-6)


def test_exact_table():
    matrix = exact.transfer_matrix((2, 4), 4.25, 1.0)
    assert matrix.density(1.0) == pytest.approx(0.52569, abs=6e-6)
    assert matrix.phi_squared(1.0) == pytest.approx(0.413554, abs=1.5e-6)
    assert exact.transfer_matrix((2, 4), 4.01, 1.0).phi_squared(0.0) == pytest.approx(0.297758, abs=1.5e-6)


def test_free_theory_is_the_limit_of_the_transfer_matrix():
    matrix = exact.transfer_matrix((2, 4), 6.0, 0.0, nodes=9, charges=10, spread=7)
    free = exact.free((2, 4), 6.0, 0.3)
    assert matrix.density(0.3) == pytest.approx(free.density, rel=1e-5)
    assert matrix.phi_squared(0.3) == pytest.approx(free.phi2, rel=1e-6)
    assert free.correlator[0, 0] == pytest.approx(free.phi2, rel=1e-14)
    found = exact.free((2, 4), 5.0, 0.3)
    assert (round(found.density, 6), round(found.phi2, 6)) == (0.035482, 0.316712)


def test_observables_are_derivatives_of_the_partition_function():
    step = 1e-4
    for shape in [(5,), (2, 3)]:
        options = {"nodes": 12} if len(shape) == 1 else {"nodes": 6, "charges": 8, "spread": 5}

        def log_z(eta, mu, shape=shape, options=options):
            return exact.transfer_matrix(shape, eta, 1.0, **options).log_partition(mu)

        sites, matrix = np.prod(shape), exact.transfer_matrix(shape, 4.2, 1.0, **options)
        in_mu = (log_z(4.2, 0.8 + step) - log_z(4.2, 0.8 - step)) / (2 * step * sites)
        in_eta = -(log_z(4.2 + step, 0.8) - log_z(4.2 - step, 0.8)) / (2 * step * sites)
        assert matrix.density(0.8) == pytest.approx(in_mu, rel=1e-6)
        assert matrix.phi_squared(0.8) == pytest.approx(in_eta, rel=1e-6)


def test_weights_of_a_chain_of_two_sites_by_hand():
    """k, l of two links summed with the Python weight: the same partition function as the transfer matrix."""
    k, l1, l2 = np.meshgrid(np.arange(-12, 13), np.arange(14), np.arange(14), indexing="ij")
    fluxes = np.stack([k, k], axis=-1).reshape(-1, 1, 2)
    pairs = np.stack([l1, l2], axis=-1).reshape(-1, 1, 2)
    logs = pq.flux.log_weight(fluxes, pairs, 2.5, 1.0, 0.6)
    weights = np.exp(logs - logs.max())
    matrix = exact.transfer_matrix((2,), 2.5, 1.0)
    assert np.log(weights.sum()) + logs.max() == pytest.approx(matrix.log_partition(0.6), abs=1e-7)
    density = weights @ pq.flux.density(fluxes) / weights.sum()
    phi2 = weights @ pq.flux.phi_squared(fluxes, pairs, 2.5, 1.0) / weights.sum()
    assert density == pytest.approx(matrix.density(0.6), rel=1e-6)
    assert phi2 == pytest.approx(matrix.phi_squared(0.6), rel=1e-6)


# The worm


CASES = {
    "2x4 charged": ((2, 4), 4.25, 1.0, 1.0, 0.525690, 0.413554),
    "2x4 neutral": ((2, 4), 4.01, 1.0, 0.0, 0.0, 0.297758),
    "4x6 free": ((4, 6), 5.0, 0.0, 0.5, 0.017471, 0.265825),
    "2x4 free": ((2, 4), 5.0, 0.0, 0.3, 0.035482, 0.316712),
}


@pytest.mark.parametrize("name", CASES)
def test_worm_against_exact_values(name):
    shape, eta, lam, mu, density, phi2 = CASES[name]
    chain = run(shape, eta, lam, mu, 3000, thin=20 if "charged" in name else 8, rng=3, chains=2).chain
    found, square = chain.estimate("density"), chain.estimate("phi2")
    assert square.error < 0.003 * phi2
    assert found.error < max(0.003 * density, 3e-4)
    assert pull(found, density) < 3
    assert pull(square, phi2) < 3
    for column, value in (("configuration_density", density), ("configuration_phi2", phi2)):
        assert pull(chain.estimate(column), value) < 3.5


@pytest.mark.parametrize("shape", [(6,), (2, 2), (3, 2, 3), (2, 3, 2, 2)])
def test_free_theory_in_one_to_four_dimensions(shape):
    ensemble = run(shape, 2 * len(shape) + 0.7, 0.0, 0.4, 2000, thin=5)
    free = exact.free(shape, 2 * len(shape) + 0.7, 0.4)
    assert pull(ensemble.chain.estimate("density"), free.density) < 3.5
    assert pull(ensemble.chain.estimate("phi2"), free.phi2) < 3.5
    assert not pq.flux.divergence(ensemble.k, ndim=len(shape)).any()


def test_one_dimensional_chain_with_interaction():
    chain = run((5,), 2.5, 1.0, 0.8, 3000, thin=5).chain
    matrix = exact.transfer_matrix((5,), 2.5, 1.0)
    assert pull(chain.estimate("density"), matrix.density(0.8)) < 3.5
    assert pull(chain.estimate("phi2"), matrix.phi_squared(0.8)) < 3.5


def test_double_well_below_eta_zero():
    chain = run((4,), -1.0, 0.5, 0.5, 3000, thin=5).chain
    matrix = exact.transfer_matrix((4,), -1.0, 0.5, nodes=30, charges=40)
    assert pull(chain.estimate("density"), matrix.density(0.5)) < 3.5
    assert pull(chain.estimate("phi2"), matrix.phi_squared(0.5)) < 3.5


def test_hmc_of_the_field_at_mu_zero_agrees():
    hmc = pq.HMC(pq.flux.neutral_action(4.01, 1.0, ndim=2), length=1.5, steps=6)
    start = pq.ScalarField.random((2, 4), 2, rng=1)
    observables = {"phi2": pq.flux.field_phi_squared}
    chain = hmc.run(start, 4000, warmup=200, rng=3, observables=observables, progress=False)
    assert pull(chain.estimate("phi2"), 0.297758) < 3.5


@pytest.mark.parametrize(("shape", "eta", "hits"), [((2, 4), 4.01, 6), ((5,), 2.5, 6), ((3,), 2.1, 1)])
def test_metropolis_of_the_field_at_mu_zero_agrees(shape, eta, hits):
    """Also on odd rings, which need a third colour."""
    sampler = pq.ScalarMetropolis(pq.flux.neutral_action(eta, 1.0, ndim=len(shape)), width=0.9, hits=hits)
    observables = {"phi2": pq.flux.field_phi_squared}
    start = pq.ScalarField.random(shape, 2, rng=1)
    chain = sampler.run(start, 4000, warmup=100, rng=3, observables=observables, progress=False)
    matrix = exact.transfer_matrix(shape, eta, 1.0)
    found = chain.estimate("phi2")
    assert found.error < 0.03 * found.mean
    assert pull(found, matrix.phi_squared(0.0)) < 3.5
    assert 0.3 < chain.info["acceptance"].mean() < 0.8


@pytest.mark.parametrize("shape", [(2,), (3,), (4, 6), (5, 4), (3, 5, 7), (2, 3, 2, 5)])
def test_neighbours_are_not_updated_at_once(shape):
    """A sum over all sites of one colour is a sum of single-site terms: no energy is counted twice or missed."""
    S = pq.actions.Scalar(0.3, 0.2)
    colours = _colours(shape)
    for mu in range(len(shape)):
        assert not (colours == np.roll(colours, 1, axis=mu)).any()
    old, new = (np.asarray(pq.ScalarField.random(shape, 2, rng=rng)) for rng in (1, 2))
    for colour in range(colours.max() + 1):
        mixed = np.where((colours == colour)[..., None], new, old)
        parts = 0.0
        for site in zip(*np.nonzero(colours == colour), strict=True):
            one = old.copy()
            one[site] = new[site]
            parts += S(pq.ScalarField.from_numpy(one)) - S(pq.ScalarField.from_numpy(old))
        whole = S(pq.ScalarField.from_numpy(mixed)) - S(pq.ScalarField.from_numpy(old))
        assert parts == pytest.approx(whole, abs=1e-9)


def test_metropolis_of_the_field_refuses_other_actions():
    with pytest.raises(TypeError, match=r"actions\.Scalar"):
        pq.ScalarMetropolis(pq.actions.Wilson(1.0))
    with pytest.raises(ValueError, match="width"):
        pq.ScalarMetropolis(pq.actions.Scalar(1.0), width=0)
    with pytest.raises(TypeError, match="ScalarField"):
        pq.ScalarMetropolis(pq.actions.Scalar(1.0)).step(np.zeros((4, 4, 1)), rng=1)


def test_density_is_odd_in_mu():
    up, down = (run((4, 4), 4.1, 1.0, mu, 2000, rng=r).chain for mu, r in ((0.9, 1), (-0.9, 2)))
    for name, sign in (("density", 1), ("phi2", -1)):
        a, b = up.estimate(name), down.estimate(name)
        assert abs(a.mean + sign * b.mean) < 3.5 * np.hypot(a.error, b.error)
    assert up.estimate("density").mean > 0.05


def test_open_sector_is_the_free_propagator():
    worm = pq.Worm((4, 6), eta=5.0, lam=0.0, mu=0.5)
    chain = worm.run(
        COLD((4, 6)), 4000, thin=10, warmup=200, rng=5, progress=False,
        observables={"correlator": lambda field: field.correlator},
    )  # fmt: skip
    free = exact.free((4, 6), 5.0, 0.5)
    for index in np.ndindex(4, 6):
        found = chain.estimate("correlator", lambda c, index=index: c[index])
        assert pull(found, free.correlator[index]) < 4, (index, found, free.correlator[index])
    # Forward and backward differ by more than the errors: the direction is right, not only the sum.
    assert free.correlator[0, 5] > 1.5 * free.correlator[0, 1]


def test_effective_mass_is_that_of_the_free_particle():
    """2 cosh m = eta - 2 at momentum zero in two dimensions, whatever mu."""
    ensemble = run((4, 6), 5.0, 0.0, 0.5, 1500, thin=3)
    for t in (1, 2):
        assert pull(ensemble.effective_mass(t), np.arccosh(1.5)) < 3.5


@pytest.mark.parametrize(
    ("mu", "density", "phi2"), [(0.5, (0.0, 1e-4), (0.2619, 2e-4)), (0.95, (0.1582, 6.1e-3), (0.3174, 2.1e-3))]
)
def test_silver_blaze(mu, density, phi2):
    chain = run((4, 60), 4.01, 1.0, mu, 400, thin=10, chains=2).chain
    found = chain.info["closed_fraction"].mean()
    assert 0.1 < found < 0.4
    values = chain["density"].mean(), chain["phi2"].mean()
    errors = (0.0, chain.estimate("phi2").error) if mu < 0.9 else [chain.estimate(n).error for n in ("density", "phi2")]
    for value, error, (expected, other) in zip(values, errors, (density, phi2), strict=True):
        assert abs(value - expected) < 3.5 * np.hypot(error, other)


def test_closed_fraction_stays_useful_in_the_condensed_phase():
    chain = run((10, 40), 4.01, 1.0, 1.2, 40, thin=5).chain
    assert 0.05 < chain.info["closed_fraction"].mean() < 0.4
    assert chain["density"].mean() > 1


def test_reweighting_in_mu():
    ensemble = run((2, 4), 4.25, 1.0, 1.0, 4000)
    found = ensemble.reweight(0.9)
    matrix = exact.transfer_matrix((2, 4), 4.25, 1.0)
    assert pull(found.density, matrix.density(0.9)) < 3.5
    assert pull(found.phi2, matrix.phi_squared(0.9)) < 3.5
    assert 1000 < found.effective_samples < 4000
    assert ensemble.reweight(1.0).effective_samples == pytest.approx(4000)
    assert ensemble.reweight(8.0).effective_samples < 100


# Chains


def test_runs_are_cut_and_continued_to_the_same_bits(tmp_path):
    worm = pq.Worm((4, 6), eta=4.1, lam=1.0, mu=0.9)
    whole = worm.run(COLD((4, 6)), 30, warmup=20, thin=2, rng=3, progress=False)
    path = tmp_path / "worm.npz"
    worm.run(COLD((4, 6)), 11, warmup=20, thin=2, rng=3, progress=False, checkpoint=path)
    cut = worm.run(COLD((4, 6)), 30, warmup=20, thin=2, rng=3, progress=False, checkpoint=path)
    assert np.array_equal(whole["density"], cut["density"])
    assert np.array_equal(whole["phi2"], cut["phi2"])
    assert whole.state == cut.state
    assert whole.tuned == cut.tuned
    assert whole.tuned["updates"] == 20
    with pytest.raises(pq.CheckpointError, match="eta"):
        pq.Worm((4, 6), eta=4.2, lam=1.0, mu=0.9).run(
            COLD((4, 6)), 40, warmup=20, thin=2, rng=3, progress=False, checkpoint=path
        )


def test_sample_has_the_bits_of_run_for_any_number_of_threads():
    worm = pq.Worm((4, 6), eta=4.1, lam=1.0, mu=0.9)
    chain = worm.run(COLD((4, 6)), 12, warmup=20, rng=3, progress=False)
    ensemble = worm.sample(12, thin=1, warmup=20, rng=3, progress=False)
    assert np.array_equal(chain["density"], ensemble.chain["density"])
    assert np.array_equal(chain.state.k, ensemble.k[-1])
    assert np.array_equal(chain.state.time_correlator, ensemble.chain["time_correlator"][-1])
    before = pq.num_threads()
    found = []
    for threads in (1, 2):
        pq.set_num_threads(threads)
        found.append(worm.sample(11, thin=2, warmup=5, chains=3, rng=3, progress=False))
    pq.set_num_threads(before)
    assert np.array_equal(found[0].k, found[1].k)
    assert found[0].chain.replicas == (4, 4, 3)
    assert len(found[0]) == 11
    assert np.allclose(found[0].density, pq.flux.density(found[0].k))


def test_objects_are_copied_pickled_and_compared():
    worm = pq.Worm((4, 6), eta=4.1, lam=1.0, mu=0.9)
    state, _ = worm.step(COLD((4, 6)), rng=1)
    for twin in (pickle.loads(pickle.dumps(state)), copy.copy(state), copy.deepcopy(state), state.copy()):
        assert twin == state
        assert twin.means["density"] == state.means["density"]
    again = pickle.loads(pickle.dumps(worm))
    assert again.step(state, rng=2)[0] == worm.step(state, rng=2)[0]
    ensemble = pickle.loads(pickle.dumps(worm.sample(3, rng=1, progress=False)))
    assert ensemble.k.shape == (3, 2, 4, 6)
    matrix = exact.transfer_matrix((4,), 3.0, 1.0)
    assert pickle.loads(pickle.dumps(matrix)).density(0.3) == matrix.density(0.3)


# Fluxes


def test_open_worms_have_the_ends_they_say():
    k = run((6, 8), 4.01, 1.0, 1.2, 5).k
    counts = [0, 1, 2, 5, 10]
    worms = pq.flux.open_worms(k, np.zeros_like(k), counts, 4)
    expected = np.zeros((5, 6, 8), int)
    np.add.at(expected, tuple(worms.tails.T), 1)
    np.add.at(expected, tuple(worms.heads.T), -1)
    found = pq.flux.divergence(worms.k)
    assert np.array_equal(found, expected)
    assert np.abs(found).sum(axis=(1, 2)).tolist() == [2 * n for n in counts]
    single = pq.flux.open_worms(k[0], np.zeros_like(k[0]), 24, 4)
    assert np.abs(pq.flux.divergence(single.k)).min() == 1


def test_observables_of_batches_are_those_of_their_members():
    ensemble = run((3, 4), 4.1, 1.0, 1.0, 6, thin=3)
    k, l = ensemble.k, ensemble.l
    for n in range(6):
        assert pq.flux.density(k)[n] == pq.flux.density(k[n]) == ensemble.density[n]
        assert pq.flux.charge(k)[n] == pq.flux.charge(k[n])
        assert pq.flux.phi_squared(k, l, 4.1, 1.0)[n] == pytest.approx(pq.flux.phi_squared(k[n], l[n], 4.1, 1.0))
    assert np.all(pq.flux.occupation(k, l) % 2 == 0)
    assert pq.flux.density(k.reshape(2, 3, 2, 3, 4), ndim=2).shape == (2, 3)


# Data


def test_targets_are_what_the_fluxes_say(tmp_path):
    options = {"warmup": 20, "progress": False, "rng": 5}
    data = pq.datasets.flux_regression(9, (3, 4), mu=[0.9, 1.1], **options)
    k, l = data.x[:, :2].astype(int), data.x[:, 2:].astype(int)
    assert np.allclose(data.y[:, 0], pq.flux.density(k))
    assert np.allclose(data.y[:, 1], pq.flux.phi_squared(k, l, 4.01, 1.0))
    assert sorted(data.mu) == [0.9] * 5 + [1.1] * 4
    again = pq.datasets.flux_regression(9, (3, 4), mu=[0.9, 1.1], **options)
    assert np.array_equal(data.x, again.x)
    data.save(tmp_path / "data.npz")
    loaded = pq.datasets.FluxData.load(tmp_path / "data.npz")
    assert np.array_equal(loaded.x, data.x)
    assert loaded.provenance == data.provenance
    assert loaded.provenance["seed"] == 5
    for name, counts in (("flux_violation", [0, 1]), ("flux_counting", [0, 5])):
        data = getattr(pq.datasets, name)(40, (4, 6), **options)
        divergence = pq.flux.divergence(data.x[:, :2].astype(int))
        assert np.array_equal(np.abs(divergence).sum(axis=(1, 2)) / 2, data.y[:, 0])
        assert [np.count_nonzero(data.y == count) for count in counts] == [20, 20]
        assert set(zip(data.eta, data.mu, strict=True)) == {(4.25, 1.0), (4.01, 1.5)}
    (tmp_path / "data.npz").write_bytes((tmp_path / "data.npz").read_bytes()[:-40])
    with pytest.raises(pq.FormatError, match="damaged"):
        pq.datasets.FluxData.load(tmp_path / "data.npz")


@pytest.mark.filterwarnings("ignore::plaq.statistics.StatisticsWarning")
def test_figure_of_fluxes_and_demo(tmp_path):
    pytest.importorskip("matplotlib")
    from plaq.cli.demos.flux import flux

    lines = []
    figure = tmp_path / "flux.png"
    found = flux(lines.append, draws=20, thin=2, mus=(0.0, 1.1), train=20, epochs=1, figure=figure)
    assert len(found) == 4
    assert any("mass from the propagator" in line for line in lines)
    assert [line[:2] for line in lines if "validation loss" in line] == ["EQ", "ST"]
    assert sum("  EQ " in line and "  ST " in line for line in lines) == 2
    assert (tmp_path / "flux.png").stat().st_size > 10_000
    with pytest.raises(TypeError, match="whole numbers"):
        pq.plot.fluxes(np.full((2, 3, 3), 0.5))


K = np.zeros((2, 4, 4), int)
LOOSE = K.copy()
LOOSE[0, 1, 1] = 1
WORM = {"eta": 4.25, "lam": 1.0, "mu": 1.0}
BAD = {
    "eta at lam 0": (lambda: pq.Worm((4, 4), eta=0.0, lam=0.0, mu=0.0), ValueError, "eta > 0"),
    "lam negative": (lambda: pq.Worm((4, 4), **(WORM | {"lam": -1.0})), ValueError, "lam = -1"),
    "mu NaN": (lambda: pq.Worm((4, 4), **(WORM | {"mu": np.nan})), ValueError, "mu = nan"),
    "mu text": (lambda: pq.Worm((4, 4), **(WORM | {"mu": "1"})), TypeError, "mu is a number"),
    "mu huge": (lambda: pq.Worm((4, 4), **(WORM | {"mu": 1e4})), ValueError, "smaller mu"),
    "mu beyond free": (lambda: pq.Worm((4, 4), eta=4.25, lam=0.0, mu=0.5), ValueError, r"\|mu\| < 0.494933"),
    "no mass": (lambda: pq.Worm((4, 4), eta=4.0, lam=0.0, mu=0.0), ValueError, r"m\^2 = eta - 2 D"),
    "free reference": (lambda: exact.free((4, 4), 4.25, 0.5), ValueError, r"abs\(mu\) < 0.494933"),
    "extent 1": (lambda: pq.Worm((1, 4), **WORM), ValueError, "at least 2"),
    "five directions": (lambda: pq.Worm((2,) * 5, **WORM), ValueError, "one to four"),
    "too large": (lambda: pq.Worm((2**14, 2**14), **WORM), ValueError, "links"),
    "state on another lattice": (lambda: pq.Worm((4, 4), **WORM).step(COLD((4, 6)), rng=1), ValueError, "must agree"),
    "state of another kind": (lambda: pq.Worm((4, 4), **WORM).step(K, rng=1), TypeError, "FluxField.cold"),
    "k of floats": (lambda: pq.flux.density(K.astype(float)), TypeError, "integers"),
    "k of bools": (lambda: pq.flux.density(K.astype(bool)), TypeError, "integers"),
    "k too large": (lambda: pq.flux.density(K + 2**40), ValueError, "allowed are"),
    "k not conserved": (lambda: pq.flux.FluxField(LOOSE, K), ValueError, r"divergence at \(1, 1\) is 1"),
    "phi2 of open": (lambda: pq.flux.phi_squared(LOOSE, K, 4.0, 1.0), ValueError, "not conserved"),
    "l negative": (lambda: pq.flux.FluxField(K, K - 1), ValueError, "l runs from -1"),
    "l unlike k": (lambda: pq.flux.FluxField(K, K[:, :2]), ValueError, "same links"),
    "shape": (lambda: pq.flux.density(np.zeros((3, 4, 4), int)), ValueError, "as many nu"),
    "ambiguous": (lambda: pq.flux.density(np.zeros((3, 2, 4, 4), int)), ValueError, "ndim="),
    "n": (lambda: pq.Worm((4, 4), **WORM).sample(0, rng=1), ValueError, "n = 0"),
    "no rng": (lambda: pq.Worm((4, 4), **WORM).sample(2, rng=None), TypeError, "rng"),
    "memory": (lambda: pq.Worm((64, 64), **WORM).sample(2**31 - 1, rng=1), ValueError, "memory"),
    "worms": (lambda: pq.flux.open_worms(K, K, 9, 1), ValueError, "18 ends"),
    "wide matrix": (lambda: exact.transfer_matrix((3, 4), 4.0, 1.0), ValueError, r"\(2, N_t\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_reason(name):
    call, kind, text = BAD[name]
    with pytest.raises(kind, match=text):
        call()


def lattice_action(x, eta, lam, mu):
    """S of the two complexified components, written out from its definition."""
    phi, bar = x[0] + 1j * x[1], x[0] - 1j * x[1]
    hops = sum(
        np.exp(mu * (nu == x.ndim - 2)) * bar * np.roll(phi, -1, nu)
        + np.exp(-mu * (nu == x.ndim - 2)) * bar * np.roll(phi, 1, nu)
        for nu in range(x.ndim - 1)
    )
    return (eta * phi * bar + lam * (phi * bar) ** 2 - hops).sum()


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 2)])
def test_drift_of_complex_langevin_is_the_derivative_of_the_action(shape):
    sampler = pq.ComplexLangevin(shape, eta=4.3, lam=0.7, mu=0.6)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, *shape)) + 1j * rng.normal(size=(2, *shape))
    drift = sampler.drift(x)
    for index in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[index] = 1e-3
        values = [lattice_action(x + n * h, 4.3, 0.7, 0.6) for n in (1, -1, 2, -2)]
        slope = (8 * (values[0] - values[1]) - (values[2] - values[3])) / 12e-3
        assert abs(drift[index] + slope) < 1e-8 * abs(slope)
    h = 1e-3
    values = [lattice_action(x, 4.3, 0.7, 0.6 + n * h) for n in (1, -1, 2, -2)]
    slope = -(8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * h) / x[0].size
    assert abs(sampler.density(x) - slope) < 1e-9 * abs(slope)


def test_complex_langevin_agrees_with_the_transfer_matrix_and_resumes(tmp_path):
    exact = pq.flux.exact.transfer_matrix((2, 4), 4.25, 1.0)
    sampler = pq.ComplexLangevin((2, 4), eta=4.25, lam=1.0, mu=1.0, time=0.3)
    path = tmp_path / "run"
    sampler.run(sampler.cold(), 100, warmup=50, rng=2, checkpoint=path, progress=False)
    chain = sampler.run(sampler.cold(), 1600, warmup=50, rng=2, checkpoint=path, progress=False)
    again = sampler.run(sampler.cold(), 120, warmup=50, rng=2, progress=False)
    assert np.array_equal(again["phi2"], chain["phi2"][:120])
    for name, value, precision in (("density", exact.density(1.0), 0.06), ("phi2", exact.phi_squared(1.0), 0.03)):
        found = chain.estimate(name)
        assert abs(found.mean - value) < 3 * found.error, (found, value)
        assert found.error < precision * value
    assert sampler.diagnose(chain) > 6


def test_complex_langevin_says_when_it_cannot_be_trusted():
    sampler = pq.ComplexLangevin((2, 4), eta=4.25, lam=1.0, mu=1.0, time=0.1)
    chain = sampler.run(sampler.cold(), 60, rng=2, progress=False)
    chain.info["largest_drift"][:] = np.random.default_rng(1).pareto(2.0, size=60) + 1
    with pytest.warns(UserWarning, match=r"pq\.Worm"):
        assert sampler.diagnose(chain) < 6
    with pytest.raises(RuntimeError, match=r"pq\.Worm"):
        pq.ComplexLangevin((2, 4), eta=1.0, lam=0.0, mu=3.0, time=1000.0).step(sampler.cold() + 1, rng=1)
    with pytest.raises(TypeError, match=r"sampler\.cold"):
        sampler.step(np.zeros((2, 4, 4)), rng=1)
