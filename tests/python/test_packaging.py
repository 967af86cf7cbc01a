"""What a user gets: one version, light imports, examples that run, nothing public without a docstring."""

import doctest
import inspect
import os
import pickle
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import plaq as pq
import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(pq.__path__, "plaq.")
    if not found.name.endswith(("__main__", "plaq._plaq"))
)
HEAVY = (
    "matplotlib",
    "tqdm",
    "xarray",
    "arviz",
    "pyerrors",
    "pandas",
    "scipy",
    "sklearn",
    "h5py",
    "IPython",
    "torch",
    "jax",
)


def public(module, prefix):
    """Names and objects that a module offers, those of its public submodules included."""
    for name in module.__all__:
        obj = getattr(module, name)
        if isinstance(obj, ModuleType):
            yield from public(obj, f"{prefix}.{name}")
        elif name != "__version__":
            yield f"{prefix}.{name}", obj


PUBLIC = {
    name: obj for name, obj in public(pq, "pq") if not isinstance(obj, int | float)
}  # constants speak for themselves


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **options).stdout


def test_the_version_is_that_of_cargo():
    cargo = re.search(r'(?m)^version = "(.+?)"', (ROOT / "Cargo.toml").read_text())[1]
    shown = subprocess.run([sys.executable, "-m", "plaq", "--version"], capture_output=True, text=True, check=True)
    assert pq.__version__ == cargo
    assert shown.stdout.strip() == f"plaq {cargo}"


def test_the_version_is_written_once():
    for name in ("pyproject.toml", "CITATION.cff", "README.md", "python/plaq/__init__.py", "docs/conf.py"):
        assert pq.__version__ not in (ROOT / name).read_text(), name


@pytest.mark.parametrize(
    ("core", "message"),
    [
        ("__version__ = '0.0.1'", "the files are of plaq"),
        ("__version__ = 'VERSION'", "it has no ActionCore"),
        ("raise ImportError('built for another Python')", "cannot be loaded (built for another Python)"),
    ],
)
def test_a_stale_core_is_named(core, message, tmp_path):
    """New Python files beside an old compiled module."""
    package = tmp_path / "plaq"
    shutil.copytree(Path(pq.__file__).parent, package, ignore=shutil.ignore_patterns("_plaq*.so", "_plaq*.pyd", "data"))
    (package / "_plaq.py").write_text(core.replace("VERSION", pq.__version__))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", "import plaq"], capture_output=True, text=True, check=False, env=environment
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: the compiled core")
    assert message in last
    assert "make demo" in last


def test_import_is_light():
    loaded = python("import sys, plaq; print(*sys.modules)").split()
    assert not [name for name in HEAVY if name in loaded]


def test_import_is_silent():
    assert python("import plaq") == ""


@pytest.mark.parametrize("name", PUBLIC)
def test_public_objects_are_documented(name):
    obj = PUBLIC[name]
    text = inspect.getdoc(obj) or ""
    assert text.strip()
    if not (isinstance(obj, type) and issubclass(obj, Exception)):
        assert "Examples\n--------" in text, "the docstring has no Examples section"
    for key, member in vars(obj).items() if isinstance(obj, type) else ():
        if not key.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
            assert inspect.getdoc(getattr(obj, key)), f"{name}.{key} has no docstring"


def public_modules(module, name):
    """The package and its public submodules."""
    yield name, module
    for key in module.__all__:
        inner = getattr(module, key)
        if isinstance(inner, ModuleType):
            yield from public_modules(inner, f"{name}.{key}")


SHOWN = dict(public_modules(pq, "pq"))


@pytest.mark.parametrize("name", SHOWN)
def test_completion_shows_public_names_only(name):
    module = SHOWN[name]
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, each) for each in dir(module))


INTERNAL = {"advance", "learn", "tuned", "tuning", "inside", "from_record"}


def test_completion_of_objects_leaves_internals_out():
    U = pq.GaugeField.cold((4, 4))
    worm = pq.Worm((4, 4), eta=4.0, lam=1.0, mu=0.5)
    samplers = [pq.HMC(pq.actions.Wilson(1.0)), pq.Heatbath(pq.actions.Wilson(1.0)), worm, pq.ising.Wolff(0.4)]
    assert "from_record" not in dir(pq.Chain({"x": np.arange(3.0)}))
    for obj in [U, *samplers]:
        assert not INTERNAL & set(dir(obj)), obj
        assert all(hasattr(obj, name) for name in dir(obj) if not name.startswith("_"))
    assert {"run", "step"} <= set(dir(samplers[0]))
    assert {"copy", "write", "shape"} <= set(dir(U))


MISSPELLED = {
    "pq.Heatbat": 'did you mean "Heatbath"',
    "pq.actions.Wilso": 'did you mean "Wilson"',
    "pq.observables.plaquete": 'did you mean "plaquette"',
    "pq.flux.exact.enumeratio": 'did you mean "enumeration"',
    "pq.torch2": "known: ",
    "pq.HMC(A, step=3)": 'HMC: unknown argument "step"; did you mean "steps"?',
    "pq.HMC(A).run(U, 1, warmupp=3, rng=1)": 'Sampler.run: unknown argument "warmupp"; did you mean "warmup"?',
    "pq.GaugeField.cold((4, 4), grup='SU(2)')": 'GaugeField.cold: unknown argument "grup"; did you mean "group"?',
    "pq.smear.stout(U, rh=0.1)": 'stout: unknown argument "rh"; did you mean "rho"?',
    "pq.observables.plaquette(links=U)": "plaquette: unknown argument",
    "pq.StoutLayer(loop=['plaquette'])": 'did you mean "loops"',
    "U.plaquette": "what is measured is a function, as pq.observables.plaquette(U)",
    "U.shap": 'did you mean "shape"',
    "pq.nn.Conv(size=3, input=1, outputs=2)": "Conv: unknown argument",
}


@pytest.mark.parametrize("call", MISSPELLED)
def test_misspelled_names_are_answered_with_the_nearest(call):
    names = {"pq": pq, "A": pq.actions.Wilson(1.0), "U": pq.GaugeField.cold((4, 4))}
    with pytest.raises((AttributeError, TypeError)) as caught:
        eval(call, names)
    assert MISSPELLED[call] in str(caught.value)
    if not MISSPELLED[call].startswith("known"):
        assert "known: " in str(caught.value) or "did you mean" in str(caught.value)


def test_modules_that_are_imported_by_name_say_so():
    code = "import plaq; plaq.torch"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "plaq.torch is imported by name: import plaq.torch" in run.stderr


def test_explained_functions_are_the_functions():
    """Pickled by name, found by doctest, with their signatures; a keyword of a user's own class is its own affair."""
    assert pickle.loads(pickle.dumps(pq.observables.plaquette)) is pq.observables.plaquette
    assert "steps" in inspect.signature(pq.HMC).parameters
    found = {test.name for test in doctest.DocTestFinder().find(import_module("plaq.observables.links"))}
    assert "plaq.observables.links.plaquette" in found

    class Mine(pq.actions.Wilson):
        def __init__(self, beta, color):
            super().__init__(beta)

    assert Mine(1.0, color=3).beta == 1.0


DIRAC = {"pq.dirac.Adjoint", "pq.dirac.Family"}


@pytest.mark.parametrize("name", [name for name, obj in PUBLIC.items() if isinstance(obj, type)])
def test_public_objects_say_what_they_are(name):
    assert PUBLIC[name].__repr__ is not object.__repr__ or name in DIRAC


def test_samplers_are_shown_as_their_calls():
    wilson = pq.actions.Wilson(6.0)
    assert repr(pq.HMC(wilson, steps=8)) == "HMC(Wilson(beta=6.0), steps=8)"
    assert repr(pq.Heatbath(wilson, overrelaxation=4)) == "Heatbath(Wilson(beta=6.0), overrelaxation=4)"
    assert repr(pq.ising.Wolff(0.4)) == "Wolff(0.4)"
    flow = pq.flows.Flow(pq.flows.Haar((4, 4)), [])
    assert repr(pq.FlowProposal(flow, wilson)).startswith("FlowProposal(<Flow of Haar((4, 4))")
    assert repr(pq.FieldTransformHMC(wilson, pq.transform.su3_4d(0.1))).startswith("FieldTransformHMC(Wilson(beta=6.0)")


@pytest.mark.parametrize("name", ["plaq", *MODULES, "plaq._plaq"])
def test_examples_run(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    if name in ("plaq.torch", "plaq.jax"):
        pytest.importorskip(name.partition(".")[2])
    monkeypatch.chdir(tmp_path)
    module = import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    if name == "plaq._plaq":
        globs = {"__name__": name}
        for key, function in inspect.getmembers(module, inspect.isbuiltin):
            test = doctest.DocTestParser().get_doctest(function.__doc__ or "", dict(globs), key, None, None)
            failed += doctest.DocTestRunner().run(test).failed
    plt.close("all")
    assert not failed


def test_docs_name_only_what_exists():
    """Files and functions that the pages point at."""
    missing = []
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text()
        paths = re.findall(r"`((?:src|python|tests|scripts|docs)/[\w/.]+\.\w+)`", text)
        links = [target for target in re.findall(r"\]\(([\w/.]+\.\w+)\)", text)]
        missing += [f"{page.name}: {path}" for path in paths if not (ROOT / path).exists()]
        links = [target for target in links if not target.startswith(("tutorials/", "_api/"))]  # written by `make docs`
        missing += [f"{page.name}: {path}" for path in links if not (page.parent / path).exists()]
        laws = "".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
        words = re.findall(r"`([a-z]+(?:_[a-z0-9]+){4,})`", text)
        missing += [f"{page.name}: {word}" for word in words if f"fn {word}" not in laws]
    assert not missing


def test_stub_names_everything():
    """The stub has every name of the compiled module (types are compared by `make lint`)."""
    from plaq import _plaq

    stub = (ROOT / "python" / "plaq" / "_plaq.pyi").read_text()
    names = [name for name in vars(_plaq) if not name.startswith("__")]
    assert not [name for name in names if not re.search(rf"\b{name}\b", stub)]


@pytest.mark.skipif(
    not list((ROOT / "dist").glob("*.whl")), reason="no wheel in dist/ (make test and make wheel build it)"
)
def test_wheel_has_what_it_needs_and_no_more(tmp_path):
    wheel = max((ROOT / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("plaq/py.typed", "plaq/_plaq.pyi", "plaq/data/lat.sample.l4444.ildg", "plaq/data/LICENSE.MILC"):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests", "docs", "notebooks")) or name.endswith(".rs")]
    assert wheel.stat().st_size < 8.2e6
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import plaq as pq; print(pq.__file__, pq.Heatbath)"
    assert python(code, cwd=tmp_path).startswith(str(tmp_path))


def test_metadata_asks_for_little():
    try:
        requirements = metadata.requires("plaq") or []
    except metadata.PackageNotFoundError:
        pytest.skip("plaq is used from its source folder")
    always = [each for each in requirements if ";" not in each]
    assert [re.match(r"[\w-]+", each)[0] for each in always] == ["numpy"]


@pytest.mark.parametrize(("name", "message"), [("avx1024", "scalar, avx2, avx512"), ("scalar", ""), ("", "")])
def test_an_unknown_instruction_set_is_a_warning_that_names_the_known_ones(name: str, message: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import plaq"],
        env={**os.environ, "PLAQ_SIMD": name},
        capture_output=True,
        text=True,
        check=True,
    )
    assert message in run.stderr
    assert ("PLAQ_SIMD" in run.stderr) == bool(message)
