"""What a user gets: one version, light imports, examples that run, nothing public without a docstring."""

import doctest
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import zipfile
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

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
    assert wheel.stat().st_size < 7e6
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
