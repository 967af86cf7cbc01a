"""docs/robustness.md says what the package answers today."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "robustness.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="messages of the system differ")
def test_the_page_follows_from_the_code():
    spec = importlib.util.spec_from_file_location("robustness", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run scripts/robustness.py"
    assert len(module.answers()) >= 150
    assert "| no error |" not in module.page()
