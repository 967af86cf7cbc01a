"""What holds for every test."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Once a test has used pyplot, figures of later tests are its own, and it warns of more than 20 open ones."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
