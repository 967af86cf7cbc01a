"""Figures: what is on the axes, no trace left in matplotlib's global state, clear errors."""

import inspect
import re
import subprocess
import sys

import numpy as np
import plaq as pq
import pytest
from plaq import plot

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402


def series(n=400, seed=1, r=0.7):
    noise = np.random.default_rng(seed).normal(size=n)
    for i in range(1, n):
        noise[i] = r * noise[i - 1] + np.sqrt(1 - r * r) * noise[i]
    return 0.6 + 0.01 * noise


def texts(ax):
    return [text.get_text() for text in ax.texts]


def chain(n=400, seed=1):
    x = series(n, seed)
    draws = {
        "plaquette": x,
        "polyakov": x + 1j,
        "topological_charge": np.round(100 * (x - 0.6)),
        "field": np.ones((n, 2)),
    }
    return pq.Chain(draws, {"accepted": x > 0.59})


def test_history_shows_the_estimate():
    x = series()
    ax = plot.history(x, name="plaquette")
    assert np.array_equal(ax.lines[0].get_ydata(), x)
    assert texts(ax) == [str(pq.statistics.estimate(x))]
    assert ax.get_ylabel() == "plaquette $P$"
    assert ax.get_xlabel() == "draw"


def test_autocorrelation_is_that_of_statistics():
    x = series()
    ax = plot.autocorrelation(x, lags=20)
    rho, _ = pq.statistics.autocorrelation(x, 20)
    assert any(np.array_equal(line.get_ydata(), rho) for line in ax.lines)
    assert "tau" in texts(ax)[0]
    assert ax.get_xlim() == (0, 20)


def test_histogram_has_area_one_and_bins_for_whole_numbers():
    ax = plot.histogram(series(), name="some_name")
    counts, edges, _ = ax.patches[0].get_data()
    assert (counts * np.diff(edges)).sum() == pytest.approx(1)
    assert ax.get_xlabel() == "some name"
    edges = plot.histogram([-1, 0, 0, 1, 3]).patches[0].get_data().edges
    assert np.array_equal(edges, np.arange(-1.5, 4))
    edges = plot.histogram([-1 - 1e-15, 0, 2.0000000000000004]).patches[0].get_data().edges
    assert np.array_equal(edges, np.arange(-1.5, 3))
    assert len(plot.histogram(series(), bins=7).patches[0].get_data().values) == 7
    plot.histogram(np.ones(10))


@pytest.mark.parametrize("plane", [(0, 1), (1, 0), (2, 3), (3, 0)])
def test_slice_shows_the_plane(plane):
    density = np.random.default_rng(1).normal(size=(3, 4, 5, 6))
    site = (1, 2, 3, 4)
    ax = plot.slice(density, plane=plane, at=site)
    image = np.asarray(ax.images[0].get_array())
    right, up = plane
    names = ["$x$", "$y$", "$z$", "$t$"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (names[right], names[up])
    for i in range(density.shape[right]):
        for j in range(density.shape[up]):
            place = list(site)
            place[right], place[up] = i, j
            assert image[j, i] == density[tuple(place)]
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_slice_goes_through_the_peak_by_default():
    density = np.zeros((4, 4, 6))
    density[1, 2, 5] = 1.0
    ax = plot.slice(density)
    assert ax.get_title() == "$t$ = 5"
    assert np.asarray(ax.images[0].get_array()).max() == 1


BAD_SLICES = [
    ({"density": np.zeros(4)}, "2 to 4 dimensions"),
    ({"density": np.zeros((4, 4)) * 1j}, "real values"),
    ({"density": np.zeros((4, 4)), "plane": (0, 0)}, "two different directions"),
    ({"density": np.zeros((4, 4)), "plane": (0, 2)}, "from 0 to 1"),
    ({"density": np.zeros((4, 4)), "at": (0, 4)}, "a site of the lattice"),
    ({"density": np.zeros((4, 4)), "at": (0,)}, "a site of the lattice"),
]


@pytest.mark.parametrize(("options", "message"), BAD_SLICES)
def test_bad_slices(options, message):
    with pytest.raises(ValueError, match=message):
        plot.slice(options.pop("density"), **options)


@pytest.mark.parametrize("draw", [plot.history, plot.autocorrelation, plot.histogram])
@pytest.mark.parametrize("bad", [np.zeros((9, 2)), np.zeros(9) * 1j, np.zeros(0), ["a"] * 9])
def test_bad_series(draw, bad):
    with pytest.raises(ValueError, match="real numbers"):
        draw(bad)


@pytest.mark.parametrize("draw", [plot.history, plot.autocorrelation, plot.histogram])
def test_given_axes_are_used(draw):
    figure = Figure()
    ax = figure.subplots()
    assert draw(series(), ax=ax) is ax
    assert len(figure.axes) == 1


def test_chain_has_a_row_for_each_scalar_observable(tmp_path):
    figure = chain().plot()
    assert len(figure.axes) == 9
    assert figure.axes[3].get_ylabel() == "Re Polyakov loop $L$"
    figure.savefig(tmp_path / "chain.png")
    assert len(chain().plot(["plaquette"]).axes) == 3
    with pytest.raises(KeyError, match='did you mean "plaquette"'):
        chain().plot(["plaquete"])
    with pytest.raises(ValueError, match="at least 8 needed"):
        pq.Chain({"x": np.zeros(3)}).plot()


def test_several_chains_in_one_figure():
    figure = plot.chains({"heatbath": chain(), "HMC": chain(200, 2)}, ["plaquette"], title="both")
    ax = figure.axes[0]
    assert [text.split(":")[0] for text in texts(ax)] == ["heatbath", "HMC"]
    assert ax.get_xlim() == (0, 599)


def test_lists_of_chains_and_single_names():
    sampler = pq.Heatbath(pq.actions.Wilson(2.0))
    drawn = sampler.run(pq.GaugeField.cold((4, 4), "U(1)"), 30, rng=1, progress=False)
    figure = pq.plot.chains([drawn, drawn])
    legends = " ".join(label for ax in figure.axes for label in ax.get_legend_handles_labels()[1])
    assert "chain 1" in legends
    assert "chain 2" in legends
    assert len(drawn.plot("plaquette").axes) == len(drawn.plot(["plaquette"]).axes) == 3


def test_training(tmp_path):
    epochs = np.arange(20)
    history = pq.History({"epoch": epochs, "loss": 1.0 / (1 + epochs), "eigenvalues": np.outer(epochs, np.ones(4))})
    figure = history.plot()
    assert [ax.get_xlabel() for ax in figure.axes] == ["epoch", "epoch"]
    assert len(figure.axes[1].lines) == 4
    figure.savefig(tmp_path / "training.png")
    with pytest.raises(ValueError, match="nothing to plot"):
        pq.History({"epoch": epochs}).plot()


def test_no_global_state_changes():
    before = dict(matplotlib.rcParams)
    backend = matplotlib.get_backend(auto_select=False)
    chain().plot().canvas.draw()
    plot.slice(np.eye(4))
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend(auto_select=False) == backend


def test_scripts_need_no_pyplot_and_plaq_no_matplotlib():
    code = (
        "import sys, numpy as np, plaq as pq\n"
        "assert not {'matplotlib', 'tqdm', 'xarray', 'arviz', 'pyerrors'} & set(sys.modules)\n"
        "figure = pq.Chain({'x': np.arange(50.0) % 7}).plot()\n"
        "assert figure._repr_png_().startswith(b'\\x89PNG')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_of_pyplot_users_are_found_by_show():
    code = (
        "import matplotlib; matplotlib.use('Agg')\n"
        "import matplotlib.pyplot as plt, numpy as np, plaq as pq\n"
        "pq.plot.history(np.arange(50.0) % 7)\n"
        "figure = pq.Chain({'x': np.arange(50.0) % 7}).plot()\n"
        "assert plt.get_fignums() == [1, 2] and plt.figure(2) is figure\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=re.escape("of the extra plaq[plot]")):
        plot.history(series())
    with pytest.raises(ImportError, match=re.escape("of the extra plaq[plot]")):
        chain().plot()


def test_all_plots_take_their_arguments_in_one_order():
    """Data first; everything else by name, in the order label, color, ax at the end."""
    for name in pq.plot.__all__:
        parameters = inspect.signature(getattr(pq.plot, name)).parameters
        if "ax" not in parameters:
            continue
        options = [each.name for each in parameters.values() if each.kind is each.KEYWORD_ONLY]
        assert options[-1] == "ax", name
        last = [each for each in ("label", "color", "ax") if each in options]
        assert options[-len(last) :] == last, name
        assert next(each for each in parameters if each not in options) != "ax"


def test_correlators_show_negative_values_and_densities_are_centred():
    C = np.array([4.0, -2.0, 1.0, -2.0])
    ax = pq.plot.correlator(C, label="C")
    drawn = {tuple(xy) for line in ax.lines if line.get_marker() == "o" for xy in line.get_xydata()}
    assert drawn == {(0.0, 4.0), (1.0, 2.0), (2.0, 1.0), (3.0, 2.0)}
    assert "negative" in ax.get_ylabel()
    assert len(ax.get_legend().get_texts()) == 1
    assert pq.plot.correlator(np.abs(C)).get_ylabel() == "$C(t)$"
    q = np.zeros((2, 3, 4))
    q[0, 0], q[1, 1, 2] = [0.5, 0.2, 0.1, 0.4], -1.0
    image = pq.plot.slice(q, plane=(1, 2), at=(0, 0, 0)).images[0]  # this plane has one sign only
    assert image.get_clim() == (-0.5, 0.5)
    assert pq.plot.slice(np.abs(q), plane=(1, 2)).images[0].get_clim()[0] == 0.0


def test_fluxes_of_any_dtype_are_whole_numbers():
    k = np.zeros((2, 4, 4), np.float32)
    k[0, 1, 1] = 2.0
    assert len(pq.plot.fluxes(k).patches) == 1
    with pytest.raises(TypeError, match="whole numbers"):
        pq.plot.fluxes(k + 0.5)
