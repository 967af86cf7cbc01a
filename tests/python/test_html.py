"""What notebooks show of objects: HTML that closes its tags, with every text escaped."""

import base64
import html.parser
import re

import numpy as np
import plaq as pq
import pytest

U = pq.GaugeField.hot((4, 4), "SU(2)", rng=1)
SCALAR = pq.ScalarField.random((4, 6), 2, rng=1)
WORM = pq.Worm((2, 4), eta=4.25, lam=1.0, mu=1.0)
LCNN = [pq.lcnn.Loops(), pq.lcnn.LCB(1, 2, 2), pq.lcnn.Trace(), pq.lcnn.Dense(4, 1), pq.lcnn.Mean()]
OBJECTS = {
    "gauge field": (U, ["SU(2)", "4 x 4", f"{pq.observables.plaquette(U):.6f}"]),
    "scalar field": (SCALAR, ["4 x 6", "2", f"{np.asarray(SCALAR).max():.4g}"]),
    "fluxes": (pq.flux.FluxField.cold((2, 4)), ["2 x 4", "charge"]),
    "fluxes with means": (WORM.step(pq.flux.FluxField.cold((2, 4)), rng=1)[0], ["density", "phi2"]),
    "chain": (pq.Chain({"<x>": np.random.default_rng(1).normal(size=100)}), ["&lt;x&gt;", "Chain of 100 draws"]),
    "history": (pq.History({"loss": [1.0, 0.5]}), ["1 -&gt; 0.5", "History of 2 records"]),
    "stout net": (
        pq.CovariantNet([pq.StoutLayer(["plaquette", "rectangle"])] * 2),
        ["4 parameters", "StoutLayer"],
    ),
    "transformation": (pq.transform.u1_2d(0.1), ["2 parameters", "StoutMask"]),
    "L-CNN": (pq.LCNN(LCNN, ndim=2, group="SU(2)", rng=1), ["47 parameters", "LCB", "42", "Dense", "5"]),
    "convolutions": (pq.nn.zoo["task3/ST2"], ["132 parameters", "LeakyReLU", "64"]),
    "attention": (pq.EquivariantAttention((4, 4), rng=1), ["block0.query", "couplings"]),
    "linear": (pq.LinearSpinModel((4, 4), 2), ["LinearSpinModel on (4, 4)", "constant"]),
    "machine": (pq.GaussianRBM(4, 2, mu2=9.0, rng=1), ["weights", "8", "4 visible"]),
    "binary machine": (pq.BernoulliRBM(4, 2, rng=1), ["bias of the visible units", "4 bernoulli"]),
}


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", OBJECTS)
def test_html_of_objects(name):
    shown, wanted = OBJECTS[name]
    text = shown._repr_html_()
    found = Tags(text)
    assert not found.open
    cells = re.split("<[^>]*>", text)
    for part in wanted:
        assert any(part == cell or part in cell for cell in cells), (part, text)
    assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", text)
    assert "nan" not in "".join(found.text).lower()


def test_counts_of_layers_add_up():
    for name in ("stout net", "transformation", "L-CNN", "convolutions"):
        net = OBJECTS[name][0]
        counts = re.findall(r">(\d+)</td></tr>", net._repr_html_())
        assert sum(map(int, counts)) == len(net.parameters)


LIVE = """
import re
import numpy as np
import plaq as pq
sampler, cold = pq.Heatbath(pq.actions.Wilson(1.0)), pq.GaugeField.cold((4, 4), "U(1)")
chain = sampler.run(cold, 3000, rng=1)
"""


def test_a_run_in_a_notebook_shows_one_panel_with_the_running_mean():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LIVE + "print(chain['plaquette'].mean())")])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    panels = [each for each in notebook.cells[0].outputs if each["output_type"] == "display_data"]
    printed = "".join(each.text for each in notebook.cells[0].outputs if each.get("name") == "stdout")
    assert len(panels) == 1, "one output, which is replaced"
    text = panels[0]["data"]["text/html"]
    assert not Tags(text).open
    assert '<progress value="3000" max="3000"' in text
    assert f"plaquette {float(printed):.5g}" in text
    assert "script" not in text


WATCHED = """
import plaq as pq
sampler, cold = pq.Heatbath(pq.actions.Wilson(1.0)), pq.GaugeField.cold((4, 4), "U(1)")
import plaq.chains.live as live
live.SECONDS = 0.05
chain = sampler.run(cold, 3000, rng=1, progress="plot")
"""


@pytest.mark.parametrize("pyplot", ["", "import matplotlib.pyplot as plt\n"])
def test_a_run_in_a_notebook_shows_one_figure_on_request(pyplot):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(pyplot + WATCHED)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    shown = [each["data"] for each in notebook.cells[0].outputs if each["output_type"] == "display_data"]
    assert [sorted(set(each) - {"text/plain"}) for each in shown] == [["text/html"], ["image/png"]]
    assert base64.b64decode(shown[1]["image/png"])[:4] == b"\x89PNG"


def test_a_live_figure_has_a_panel_for_each_scalar_observable(monkeypatch):
    pytest.importorskip("matplotlib")
    from plaq.chains import live

    rng = np.random.default_rng(1)
    columns = {"x": rng.normal(size=50), "z": rng.normal(size=50) + 1j, "C": rng.normal(size=(50, 4))}
    figure = live._figure(columns)
    assert [ax.get_ylabel() for ax in figure.axes] == ["x", "z"]
    assert live._figure({"C": columns["C"], "x": np.zeros(1)}) is None
    monkeypatch.setattr(live, "in_notebook", lambda: False)
    asked = []
    live.LivePlot(lambda: asked.append(1) or columns, enabled=True).update(last=True)
    assert not asked, "nothing is drawn outside of notebooks"


def test_progress_is_true_false_or_plot():
    sampler, cold = pq.Heatbath(pq.actions.Wilson(1.0)), pq.GaugeField.cold((4, 4), "U(1)")
    draws = [sampler.run(cold, 5, rng=1, progress=each)["plaquette"] for each in (False, True, "plot")]
    assert all(np.array_equal(draws[0], each) for each in draws)
    with pytest.raises(ValueError, match=r'progress is True, False or "plot"; got .plots'):
        sampler.run(cold, 5, rng=1, progress="plots")
    with pytest.raises(TypeError, match="progress"):
        sampler.run(cold, 5, rng=1, progress=3)
