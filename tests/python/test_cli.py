"""Command line: exit codes, messages, typed TOML, examples; with stand-ins where the physics is not the point."""

import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import numpy as np
import plaq as pq
import pytest
from plaq.cli import config, main
from plaq.ground.arguments import unknown
from plaq.sampler import Sampler

demo = import_module("plaq.cli.demos.gauge")  # the package has its function by this name

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))

GOOD = """
[field]
shape = [4, 4]
group = "U(1)"
[action]
name = "Wilson"
beta = 2
[sampler]
name = "hmc"
steps = 4
[run]
draws = 20
seed = 1
"""


class Field:
    """Stand-in of GaugeField: one number."""

    boundary = "periodic"

    def __init__(self, value, shape=(4, 4), group="U(1)"):
        self.value, self.shape, self.group = value, tuple(shape), group

    @classmethod
    def cold(cls, shape, group):
        return cls(1.0, shape, group)

    @classmethod
    def hot(cls, shape, group, *, rng):
        return cls(0.0, shape, group)

    def to_checkpoint(self):
        return {"value": self.value, "shape": self.shape, "group": self.group}

    @classmethod
    def from_checkpoint(cls, parts):
        return cls(**parts)

    def write(self, path, **options):
        Path(path).write_text(repr(sorted(options.items())))


class Noise(Sampler):
    """Stand-in of the samplers."""

    def __init__(self, action, **options):
        self.action, self.options, self.stop_at = action, options, None

    def advance(self, state, seed, sweep):
        if sweep == Noise.stop_at:
            raise KeyboardInterrupt
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, sweep, 0]))
        return Field(rng.normal(), state.shape, state.group), {"accepted": True}

    def fingerprint(self):
        return {"action": str(self.action), **self.options}

    stop_at = None


class Observables:
    @staticmethod
    def plaquette(links):
        return 0.6 + 0.01 * links.value

    rectangle = energy_density = plaquette

    @staticmethod
    def topological_charge(links, definition="clover"):
        return {"clover": 0.5, "geometric": 1.0}[definition] * links.value

    @staticmethod
    def polyakov(links):
        return complex(links.value, 1.0)


class Actions:
    Wilson = Symanzik = Iwasaki = DBW2 = staticmethod(lambda beta: f"beta {beta}")
    Loops = staticmethod(lambda terms: f"terms {terms}")


class Datasets:
    path = None
    configurations = staticmethod(dict)


@pytest.fixture
def physics(monkeypatch, tmp_path):
    """The command line with stand-ins for the core, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Noise, "stop_at", None)
    replaced = {
        "GaugeField": Field,
        "Heatbath": Noise,
        "HMC": Noise,
        "observables": Observables,
        "actions": Actions,
        "datasets": Datasets,
        "read_gauge": lambda path, **options: Field(float(Path(path).read_text()), **options),
        "read_header": lambda path, **options: {
            "format": "number",
            "shape": (4, 4),
            "length": len(Path(path).read_text()),
        },
    }
    for module in (import_module("plaq.cli.main"), import_module("plaq.cli.build"), demo):
        for name in replaced.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, replaced[name])
    return tmp_path


def write(text, name="run.toml"):
    Path(name).write_text(textwrap.dedent(text))
    return name


def test_run(physics, capsys):
    assert main(["run", write(GOOD), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"plaquette +0\.\d+\(\d+\) +tau = ", out)
    assert "saved in chain.npz" in out
    chain = pq.Chain.load("chain.npz")
    assert len(chain) == 20
    assert chain.fingerprint["sampler"]["action"] == "beta 2.0"
    assert chain.fingerprint["sampler"]["steps"] == 4
    assert main(["info", "chain.npz"]) == 0
    assert "Chain of 20 draws" in capsys.readouterr().out


def test_run_of_every_option(physics):
    text = """
    [field]
    start = "links.txt"
    [action]
    name = "Loops"
    terms = [[1, "plaquette"], [-0.1, "rectangle"]]
    [sampler]
    name = "heatbath"
    overrelaxation = 2
    [run]
    draws = 10
    seed = 3
    warmup = 5
    thin = 2
    checkpoint = "check.npz"
    checkpoint_every = 4
    output = "out.npz"
    [observables]
    names = ["topological_charge:geometric", "polyakov"]
    """
    Path("links.txt").write_text("0.25")
    assert main(["run", write(text), "--quiet"]) == 0
    chain = pq.Chain.load("out.npz")
    assert chain.names == ["topological_charge:geometric", "polyakov"]
    assert np.array_equal(chain["topological_charge:geometric"], chain["polyakov"].real)
    assert chain.sweep == 25
    assert chain.fingerprint["sampler"]["action"] == "terms [(1.0, 'plaquette'), (-0.1, 'rectangle')]"
    assert len(pq.Chain.load("check.npz")) == 10


def test_ctrl_c_saves_and_returns_130(physics, monkeypatch, capsys):
    monkeypatch.setattr(Noise, "stop_at", 12)
    assert main(["run", write(GOOD), "--quiet"]) == 130
    assert len(pq.Chain.load("chain.npz")) == 12
    assert "interrupted" in capsys.readouterr().out


BAD_CONFIGS = [
    ("draws = 20", 'draws = "20"', "[run] draws: wanted a whole number, given '20' (string)"),
    ("draws = 20", "draws = 2.5", "[run] draws: wanted a whole number, given 2.5 (number)"),
    ("draws = 20", "draws = true", "[run] draws: wanted a whole number, given True (truth value)"),
    ("draws = 20", "", "[run] draws: missing; wanted a whole number"),
    ("draws = 20", "draws = -4", "draws = -4: at least 0 is needed"),
    ("seed = 1", "sed = 1", '[run] unknown key "sed"; did you mean "seed"?'),
    ("seed = 1", "seed = -1", "rng = -1"),
    ("seed = 1", "seed = 1\ncheckpoint = 3", "[run] checkpoint: wanted a string, given 3"),
    ("seed = 1", 'seed = 1\noutput = "no/such/out.npz"', "[run] output = no/such/out.npz"),
    ("seed = 1", 'seed = 1\noutput = "a.npz"\ncheckpoint = "a.npz"', "give two names"),
    ("beta = 2", 'beta = "2"', "[action] beta: wanted a number, given '2' (string)"),
    ("beta = 2", "betta = 2", '[action] unknown key "betta"; did you mean "beta"?'),
    ('"Wilson"', '"Willson"', '[action] name: unknown action "Willson"; did you mean "Wilson"?'),
    (
        'name = "Wilson"',
        "",
        "[action] name: wanted one of Wilson, Symanzik, Iwasaki, DBW2, Loops, Scalar; it is missing",
    ),
    ('"Wilson"', "3", "[action] name: wanted one of Wilson, Symanzik, Iwasaki, DBW2, Loops, Scalar; given 3"),
    (
        'name = "Wilson"\nbeta = 2',
        'name = "Loops"\nterms = [[1]]',
        '[action] terms: wanted a list of [coefficient, "lo',
    ),
    ('"hmc"', '"hcm"', '[sampler] name: unknown sampler "hcm"; did you mean "hmc"?'),
    ("steps = 4", "overrelaxation = 4", '[sampler] unknown key "overrelaxation"; known: name, length, steps, integ'),
    ("[4, 4]", "4", "[field] shape: wanted a list of whole numbers, given 4"),
    ("[4, 4]", "[4, 4.5]", "[field] shape: wanted a list of whole numbers, given [4, 4.5]"),
    ("shape = [4, 4]", "", '[field] shape: needed for start = "cold"'),
    ("[field]", "[feild]", 'unknown section "feild"; did you mean "field"?'),
    ("[field]", "field = 3\n[feld]", "field: wanted a section [field], given 3"),
    ("[run]\n", "[observables]\n", '[observables] unknown key "draws"|section [run] is missing'),
    ("[run]", '[observables]\nnames = ["plaquete"]\n[run]', 'unknown observable "plaquete"; did you mean "plaquette"?'),
    ("[run]", '[observables]\nnames = "plaquette"\n[run]', "[observables] names: wanted a list of strings"),
    ("[run]", "[run", "is not TOML"),
    ("[field]", '[field]\nstart = "missing.ildg"', "missing.ildg"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD_CONFIGS)
def test_bad_configs(physics, capsys, old, new, message):
    assert old in GOOD
    assert main(["run", write(GOOD.replace(old, new, 1)), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert any(part in err for part in message.split("|"))
    assert err.startswith("plaq: ")
    assert err.count("\n") == 1
    assert not Path("chain.npz").exists()


def test_missing_config_and_traceback(physics, capsys):
    assert main(["run", "no.toml"]) == 2
    assert "no.toml" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        main(["--traceback", "run", "no.toml"])


def test_resume_with_other_physics_is_one_line(physics, capsys):
    text = GOOD + 'checkpoint = "check.npz"\n'
    assert main(["run", write(text), "--quiet"]) == 0
    assert main(["run", write(text.replace("beta = 2", "beta = 3")), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "sampler.action: the file has 'beta 2.0', this run 'beta 3.0'" in err
    assert err.count("\n") == 1


def test_info(physics, capsys):
    Path("links.txt").write_text("0.5")
    assert main(["info", "links.txt"]) == 0
    assert capsys.readouterr().out.split() == ["format", "number", "lattice", "4", "x", "4", "length", "3"]
    assert main(["info", "links.txt", "--measure", "--shape", "4,4", "--group", "U(1)"]) == 0
    assert "plaquette           0.605000000000\n" in capsys.readouterr().out
    assert main(["info", "missing"]) == 2
    assert "missing" in capsys.readouterr().err


REAL = {
    "lat.sample.l4444.ildg": ("suma 37affb9c", "plaquette           0.594850158947", "- 0.000817755197 i"),
    "lat.sample.inst": ("records no checksum", "topological charge  0.458697377778"),
    "random-gauge.nersc": ("CHECKSUM 337cf07b", "recorded trace      0.379318", "ENSEMBLE_ID         X1252533771"),
    "numpy_u1.npz": ("2 x 3, U(1)", "1 row of each link", "topological charge  0 (geometric)"),
    "testconf.txt": ("4 x 4 x 4 x 4, SU(3)", "64 bit, 3 rows", "plaquette           0.587818337847"),
}


@pytest.mark.parametrize("name", REAL)
def test_info_of_real_files(name, capsys):
    assert main(["info", str(ROOT / "tests" / "data" / name), "--measure"]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in REAL[name]), out
    assert "None" not in out


def test_info_of_a_file_that_states_no_lattice(capsys):
    path = str(ROOT / "tests" / "data" / "su2_heatbath_4444.ildg")
    assert main(["info", path]) == 0
    assert "not stated; give --shape" in capsys.readouterr().out
    assert main(["info", path, "--shape", "4,4,4,4", "--measure"]) == 0
    assert "plaquette           0.477641263313" in capsys.readouterr().out


def test_convert(physics, capsys):
    Path("links.txt").write_text("0.5")
    assert main(["convert", "links.txt", "out.nersc", "--format", "nersc", "--rows", "2", "--precision", "32"]) == 0
    assert Path("out.nersc").read_text() == "[('format', 'nersc'), ('precision', 32), ('rows', 2)]"
    assert main(["convert", "links.txt", "out.nersc"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["convert", "links.txt", "out.nersc", "--force"]) == 0
    assert Path("out.nersc").read_text() == "[('precision', 64)]"


def test_demo_names(physics, capsys):
    assert main(["demo", "--list"]) == 0
    assert capsys.readouterr().out.startswith("gauge: ")
    assert main(["demo", "guage"]) == 2
    assert 'unknown demo "guage"; did you mean "gauge"?' in capsys.readouterr().err


def test_demonstrations_need_matplotlib_before_they_begin(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for function in import_module("plaq.cli.demos").DEMOS.values():
        with pytest.raises(ImportError, match=r"of the extra plaq\[plot\]"):
            function(lambda text: pytest.fail(f"said {text}"))


def test_demo_gauge_tells_and_draws(physics, monkeypatch):
    pytest.importorskip("matplotlib")
    Path("sample").write_text("0.5")
    monkeypatch.setattr(Datasets, "path", staticmethod(lambda name: "sample"))
    with pytest.raises(pq.FormatError, match="SHA-256"):
        demo.gauge(print)
    monkeypatch.setattr(demo, "SHA256", "d2cbad71ff333de67d07ec676e352ab7f38248eb69c942950157220607c55e84")
    lines = []
    chains = demo.gauge(lines.append, draws=50, warmup=5)
    text = "\n".join(lines)
    assert [chain.thin for chain in chains.values()] == [1, demo.HMC_THIN]
    assert text.count("tau = ") == 6
    assert "0.605000000000" in text
    assert "differs" in text
    assert Path("plaq-demo-gauge.png").read_bytes().startswith(b"\x89PNG")
    before = Path("plaq-demo-gauge.png").stat().st_mtime_ns
    demo.gauge(lines.append, draws=50, warmup=5)
    assert lines[-1] == "\nFigure: plaq-demo-gauge-2.png"
    assert Path("plaq-demo-gauge.png").stat().st_mtime_ns == before, "no figure is replaced"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path):
    config.load(path)


EXACT = {"u1_2d_hmc": (0.69777465801084, 0.0), "su2_4d_heatbath": (0.60935, 0.00033), "slhmc_su2": (0.70280, 0.00026)}


@pytest.mark.skipif(not hasattr(pq, "Heatbath"), reason="needs the samplers of the core")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_give_the_known_plaquette(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(path), "--quiet"]) == 0
    result = pq.Chain.load(f"{path.stem}.npz").estimate("plaquette")
    value, error = EXACT[path.stem]
    assert abs(result.mean - value) < 4 * np.hypot(result.error, error)


def test_version_as_a_process():
    for command in ([sys.executable, "-m", "plaq", "--version"], [sys.executable, "-m", "plaq.cli", "--version"]):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"plaq {pq.__version__}\n"


def test_no_command_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    capsys.readouterr()


def test_suggestions():
    assert unknown("loop", "plaquete", ["plaquette"]) == (
        'unknown loop "plaquete"; did you mean "plaquette"? known: plaquette'
    )
    assert unknown("group", "xyz", ["SU(2)"]) == 'unknown group "xyz"; known: SU(2)'
    assert unknown("action", "WILSON", ["Wilson"]).endswith('did you mean "Wilson"? known: Wilson')


def test_a_run_does_not_replace_its_output_unasked(physics, capsys):
    path = write(GOOD)
    assert main(["run", path, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["run", path, "--quiet"]) == 2
    assert "exists; choose another name or give --force" in capsys.readouterr().err
    assert main(["run", path, "--quiet", "--force"]) == 0
