"""Tables of the documentation that follow from the code are those of the code."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "tables.py"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_follow_from_the_code(tables):
    for path, text in tables.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run scripts/tables.py"


def test_the_table_of_arguments_reads_signatures_and_docstrings(tables):
    found = tables.arguments()
    assert ("pq.HMC", "") in found["action"].values()
    assert ("pq.HMC", "None") in found["steps"].values()
    assert tables.meaning("length", ["pq.HMC"]) == "Trajectory length in molecular dynamics time"
    assert tables.meaning("length", ["pq.Heatbath"]) == ""
