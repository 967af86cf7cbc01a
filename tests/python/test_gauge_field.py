"""Gauge fields in Python: construction, copies, gauge transformations, and files of every format to the bit."""

import copy
import pickle
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from reference import GROUPS, SHAPES, dagger, mean, plaquettes, product

DATA = Path(__file__).parents[1] / "data"
BARE = {"shape": (4, 4, 4, 4)}
FILES = [
    ("testconf.txt", "bridge", 0.587818337847024, 1e-15, BARE | {"group": "SU(3)"}),
    ("lat.sample.l4444", "milc", 0.594850158947, 1e-12, {}),
    ("lat.sample.l4444.ildg", "ildg", 0.594850158947, 1e-12, {}),
    ("lat.sample.l4444.scidac", "scidac", 0.594850158947, 1e-12, {}),
    ("lat.sample.l4444.nersc", "nersc", 0.594850158947, 2e-9, {}),
    ("lat.sample.l4448", "milc", 0.569055724369, 1e-12, {}),
    ("lat.sample.l4448.gf", "milc", 0.569055724369, 2e-8, {}),
    ("lat.sample.l4448.scidac", "scidac", 0.569055724369, 1e-12, {}),
    ("lat.sample.inst", "milc", 2.973028 / 3, 2e-7, {}),
    ("random-gauge.qio", "ildg", 0.994764948925992, 3e-15, {}),
    ("random-gauge.nersc", "nersc", 0.994764948925992, 2e-10, {}),
    ("sample_4x4x4x4_su2.orig.mdp", "mdp", 0.58416374374822344, 1e-15, {}),
    ("su2_heatbath_4444.ildg", "ildg", 0.47764126331268303, 1e-15, BARE | {"group": "SU(2)"}),
    ("su4_heatbath_4444.ildg", "ildg", 0.3440725748564459, 1e-15, BARE | {"group": "SU(4)"}),
]
every_field = pytest.mark.parametrize(("group", "ndim"), [(group, ndim) for group in GROUPS for ndim in SHAPES])


def hot(group="SU(3)", ndim=4, rng=1):
    return pq.GaugeField.hot(SHAPES[ndim], group, rng=rng)


@every_field
def test_fields_of_every_group_and_dimension(group, ndim):
    U, n = hot(group, ndim), 1 if group == "U(1)" else int(group[3:-1])
    links = np.asarray(U)
    assert (U.shape, U.ndim, U.group, U.n_colors) == (SHAPES[ndim], ndim, group, n)
    assert links.shape == (ndim, *SHAPES[ndim], n, n)
    assert links.dtype == np.complex128
    assert np.abs(links @ dagger(links) - np.eye(n)).max() < 1e-13
    if n > 1:
        assert np.abs(np.linalg.det(links) - 1).max() < 1e-13
    assert U.unitarity_violation() < 1e-13
    assert np.array_equal(np.asarray(pq.GaugeField.from_numpy(links)), links)
    assert np.array_equal(np.asarray(pq.GaugeField.cold(U.shape, group)), np.broadcast_to(np.eye(n), links.shape))
    for twin in (copy.copy(U), copy.deepcopy(U), U.copy(), pickle.loads(pickle.dumps(U))):
        assert twin == U
        assert twin is not U
    assert hot(group, ndim) == U
    assert hot(group, ndim, rng=2) != U


def test_equality_is_to_the_last_bit_and_needs_the_same_lattice():
    U = hot()
    links = np.asarray(U)
    links[1, 0, 1, 2, 1, 0, 2] += 1e-16
    assert pq.GaugeField.from_numpy(links) != U
    assert pq.GaugeField.cold((4, 4), "SU(2)") != pq.GaugeField.cold((4, 4), "SU(3)")
    assert pq.GaugeField.cold((2, 4), "SU(2)") != pq.GaugeField.cold((4, 2), "SU(2)")
    assert links.tobytes() != U
    with pytest.raises(TypeError, match="unhashable"):
        hash(U)


def test_arrays_are_copies_in_any_layout():
    U = hot()
    links = np.asarray(U)
    links[:] = 0
    assert hot() == U
    fortran = np.asfortranarray(np.asarray(U))
    assert pq.GaugeField.from_numpy(fortran) == U
    assert pq.GaugeField.from_numpy(np.asarray(U).tolist()) == U
    assert np.asarray(U, np.complex64).dtype == np.complex64
    with pytest.raises(ValueError, match="without a copy"):
        np.array(U, copy=False)


def test_text_and_html_show_group_lattice_and_plaquette():
    U = pq.read_gauge(DATA / "lat.sample.l4448")
    assert repr(U) == "<GaugeField SU(3) 4x4x4x8, plaquette 0.569056>"
    html = U._repr_html_()
    assert all(text in html for text in ("SU(3)", "4 x 4 x 4 x 8", "0.569056", "<table>", "</table>"))
    assert repr(hot("U(1)", 1)) == "<GaugeField U(1) 6>"
    assert "plaquette" not in hot("U(1)", 1)._repr_html_()


def test_a_copy_does_not_follow_its_original():
    U = pq.GaugeField.from_numpy(np.asarray(hot()).astype(np.complex64))
    kept, before = U.copy(), np.asarray(U)
    U.reunitarize()
    assert kept != U
    assert np.array_equal(np.asarray(kept), before)


@every_field
def test_gauge_transformation_is_its_law(group, ndim):
    U = hot(group, ndim)
    links, n = np.asarray(U), U.n_colors
    g = np.asarray(hot(group, ndim, rng=5))[0]
    ahead = [np.roll(g, -1, mu) for mu in range(ndim)]
    expected = np.array([g @ links[mu] @ dagger(ahead[mu]) for mu in range(ndim)])
    assert np.abs(np.asarray(U.gauge_transform(g)) - expected).max() < 1e-14 * n
    V = U.random_gauge_transform(rng=3)
    assert np.abs(np.asarray(V) - links).max() > 0.1
    path = [1] * U.shape[0]
    assert np.abs(pq.observables.loop_density(V, path) - pq.observables.loop_density(U, path)).max() < 1e-12
    assert U.random_gauge_transform(rng=3) == V


@pytest.mark.parametrize("group", ["U(1)", "SU(2)", "SU(3)", "SU(5)"])
def test_reunitarization_projects_small_errors_away(group):
    U = hot(group)
    noise = np.random.default_rng(1).normal(size=(2, *np.asarray(U).shape)) * 1e-7
    links = np.asarray(U) + noise[0] + 1j * noise[1]
    V = pq.GaugeField.from_numpy(links)
    assert 1e-7 < V.unitarity_violation() < 1e-5
    assert V.reunitarize() is V
    assert V.unitarity_violation() < 1e-13
    # The projection is the polar factor: of all unitary matrices the nearest one, up to the phase of the determinant.
    u, _, vh = np.linalg.svd(links)
    polar = u @ vh
    if U.n_colors > 1:
        polar = polar / np.linalg.det(polar)[..., None, None] ** (1 / U.n_colors)
    assert np.abs(np.asarray(V) - polar).max() < 1e-12


@pytest.mark.parametrize(("name", "format", "plaquette", "tolerance", "layout"), FILES)
def test_real_files_have_their_recorded_plaquette(name, format, plaquette, tolerance, layout):
    for path in (DATA / name, str(DATA / name)):
        U = pq.read_gauge(path, **layout)
    assert pq.observables.plaquette(U) == pytest.approx(plaquette, abs=tolerance, rel=0)
    assert mean(np.asarray(U), plaquettes(4)) == pytest.approx(plaquette, abs=tolerance + 1e-15, rel=0)
    assert U.header["format"] == format
    header = pq.read_header(DATA / name)
    assert header["format"] == format
    assert header["shape"] in (None, list(U.shape))
    assert pq.read_gauge(DATA / name, format=format, **layout) == U


def test_u1_arrays_saved_by_numpy():
    plain, squeezed = (pq.read_gauge(DATA / f"numpy_u1{kind}.npz") for kind in ("", "_compressed"))
    assert plain.shape == (2, 3)
    assert np.array_equal(np.asarray(plain).ravel(), np.exp(0.1j * np.arange(12)))
    assert plain == squeezed
    assert squeezed.header["metadata"]["beta"] == "2.5"


def writable():
    for group in ("U(1)", "SU(2)", "SU(3)", "SU(4)"):
        for ndim in SHAPES:
            for format in ("npy", "npz"):
                yield format, group, ndim
        yield from ((format, group, 4) for format in ("nersc", "ildg", "scidac"))
    yield "openqcd", "SU(3)", 4


@pytest.mark.parametrize(("format", "group", "ndim"), list(writable()))
def test_write_then_read_keeps_every_bit(format, group, ndim, tmp_path):
    shape = (4, 4, 4, 4) if format == "openqcd" else SHAPES[ndim]
    U = pq.GaugeField.hot(shape, group, rng=9)
    for path in (tmp_path / "first", str(tmp_path / "second")):
        U.write(path, format=format)
        again = pq.read_gauge(path)
        assert again == U
        assert again.header["format"] == format
        assert again.header["warnings"] == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["first", "second"]


@pytest.mark.parametrize("format", ["nersc", "ildg", "scidac", "npy", "npz"])
def test_single_precision_loses_rounding_only(format, tmp_path):
    U = hot()
    U.write(tmp_path / "file", format=format, precision=32)
    V = pq.read_gauge(tmp_path / "file")
    assert V.header["precision"] == 32
    assert 0 < np.abs(np.asarray(V) - np.asarray(U)).max() < 1e-6
    assert (tmp_path / "file").stat().st_size < 0.62 * np.asarray(U).nbytes


@pytest.mark.parametrize(("group", "rows"), [("SU(2)", 1), ("SU(2)", 2), ("SU(3)", 2), ("SU(3)", 3), ("SU(4)", 3)])
def test_rows_that_nersc_files_leave_out_are_restored(group, rows, tmp_path):
    U = hot(group)
    U.write(tmp_path / "file", format="nersc", rows=rows)
    V = pq.read_gauge(tmp_path / "file")
    assert V.header["rows"] == rows
    assert np.abs(np.asarray(V) - np.asarray(U)).max() < (1e-300 if rows == U.n_colors else 2e-14)


@pytest.mark.parametrize(
    ("suffix", "format"), [(".nersc", "nersc"), (".ildg", "ildg"), (".lime", "ildg"), (".npy", "npy"), (".npz", "npz")]
)
def test_format_follows_the_extension_of_a_path(suffix, format, tmp_path):
    path = tmp_path / f"conf{suffix}"
    hot().write(path)
    assert pq.read_header(path)["format"] == format
    path.rename(tmp_path / "anything")
    assert pq.read_gauge(tmp_path / "anything") == hot()


@pytest.mark.parametrize("format", ["nersc", "ildg", "scidac", "npz"])
def test_metadata_comes_back(format, tmp_path):
    U = hot()
    U.write(tmp_path / "file", format=format, beta=6.0, ensemble="quenched test")
    metadata = pq.read_gauge(tmp_path / "file").header["metadata"]
    found = {str(key).lower(): str(value) for key, value in dict(metadata).items()}
    assert "6.0" in str(found)
    assert "quenched test" in str(found)


def test_writing_replaces_a_file_whole_or_not_at_all(tmp_path):
    path = tmp_path / "conf.ildg"
    hot().write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="four-dimensional"):
        hot("SU(3)", 2).write(path)
    assert path.read_bytes() == before
    hot(rng=4).write(path)
    assert pq.read_gauge(path) == hot(rng=4)


def test_shipped_configurations():
    for name, known in pq.datasets.configurations().items():
        U = pq.datasets.gauge(name)
        assert pq.observables.plaquette(U) == pytest.approx(known.plaquette, abs=1e-12)
        assert pq.read_gauge(DATA / name) == U


def test_generators_and_seeds():
    shape = (4, 4)
    assert pq.GaugeField.hot(shape, rng=np.int64(3)) == pq.GaugeField.hot(shape, rng=3)
    sequence = np.random.SeedSequence(8)
    assert pq.GaugeField.hot(shape, rng=sequence) == pq.GaugeField.hot(shape, rng=np.random.SeedSequence(8))
    generator = np.random.default_rng(1)
    assert pq.GaugeField.hot(shape, rng=generator) != pq.GaugeField.hot(shape, rng=generator)


def test_links_point_the_way_the_convention_says():
    U = hot()
    links = np.asarray(U)
    assert (
        np.abs(
            pq.observables.loop_density(U, [1, 2, -1, -2])
            - np.trace(product(links, [1, 2, -1, -2]), axis1=-2, axis2=-1) / 3
        ).max()
        < 1e-14
    )
    path = [4] * U.shape[3]
    line = (
        np.linalg.multi_dot([links[3, 1, 1, 2, t] for t in range(U.shape[3])])
        if U.shape[3] > 1
        else links[3, 1, 1, 2, 0]
    )
    assert pq.observables.loop_density(U, path)[1, 1, 2, 0] == pytest.approx(np.trace(line) / 3, abs=1e-14)


@pytest.mark.parametrize(
    ("guess", "answer"),
    [
        (lambda: pq.GaugeField((4, 4, 4, 4), "SU(3)"), r"GaugeField\.hot\(\(4, 4, 4, 4\), 'SU\(3\)', rng=1\)"),
        (lambda: pq.GaugeField([4, 4]), r"GaugeField\.cold\(\[4, 4\]\)"),
        (lambda: pq.GaugeField(np.ones((2, 4, 4, 1, 1))), "from_numpy"),
    ],
)
def test_first_guesses_are_answered(guess, answer):
    with pytest.raises(TypeError, match=answer):
        guess()
