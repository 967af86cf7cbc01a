"""Every Python block of the README and of the pages in docs/ runs, in a folder of its own, with warnings as errors."""

import importlib.util
import re
import warnings
from pathlib import Path

import pytest
from plaq.cli.main import _parser
from printed import disagreement, numbers

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/howto").glob("*.md")))
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    if not code.startswith("# file: ")  # scripts of docs/howto/cluster.md, which test_executors.py runs
]
PRINTED = [
    pytest.param(code, text, id=str(number))
    for number, (code, text) in enumerate(
        re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize("code", BLOCKS)
def test_block_runs(code, tmp_path, monkeypatch, capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    if "to_pyerrors" in code:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that these import
            for name in ("pyerrors", "arviz", "xarray"):
                pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(("code", "text"), PRINTED)
def test_readme_prints_what_stands_below(code, text, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {"__name__": "__main__"})
    assert not disagreement(capsys.readouterr().out, text)


def test_the_comparison_sees_what_is_wrong():
    assert not disagreement("P = 0.5947(16), 3 chains", "P = 0.5981(10), 3 chains")
    assert disagreement("P = 0.5947(16)", "P = 0.6147(16)")
    assert disagreement("3 chains", "4 chains")
    assert disagreement("0.123456", "0.123556")
    assert disagreement("P = 1", "Q = 1")
    assert list(numbers("1.50(12) -2.5e-3 12.3(1.2)")) == [(1.5, pytest.approx(0.12)), (-2.5e-3, 0.0), (12.3, 1.2)]


def test_there_are_blocks():
    assert len(BLOCKS) >= 3
    assert len(PRINTED) >= 8


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing


def test_every_block_of_the_gallery_has_its_picture():
    page = (ROOT / "docs" / "gallery.md").read_text()
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "scripts" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.BLOCK.findall(page)
    assert len(found) == page.count("```python") > 5
    assert all(re.search(r"^figure\b.* = ", code, re.MULTILINE) for code, _ in found)
    assert all((ROOT / "docs" / picture).exists() for _, picture in found)


def test_notebooks_are_named():
    names = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert [name for name in names if f"`{name}`" not in README] == []


def test_shell_commands_exist():
    """`make` targets and `plaq` subcommands that the README names."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in re.findall(r"^plaq (\w+)", README, re.MULTILINE):
        assert command in _parser().format_help()


def test_tables_of_reproductions_are_those_of_the_committed_results():
    spec = importlib.util.spec_from_file_location("reproductions", ROOT / "scripts" / "reproductions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text()
    assert module.filled(page) == page, "run python scripts/reproductions.py"
    assert set(re.findall(r"<!-- table (\w+) -->", page)) == set(module.TABLES)
