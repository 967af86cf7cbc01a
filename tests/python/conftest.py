"""What holds for every test."""

import signal
import sys

import plaq as pq
import pytest
from _pytest.runner import runtestprotocol

ATTEMPTS = 3


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "machine: signals and kills sent to real processes after a time; another process on the cores may "
        f"spoil one attempt, so one of {ATTEMPTS} has to pass",
    )


def pytest_runtest_protocol(item, nextitem):
    """Tests marked `machine` get three attempts; every other test gets one."""
    if item.get_closest_marker("machine") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(ATTEMPTS):
        if attempt:
            item._initrequest()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard():
    """Tests of it would wait for ever in a process whose shell started it in the background, with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def one_thread():
    """For modules of small lattices, where a second thread only waits."""
    before = pq.num_threads()
    pq.set_num_threads(1)
    yield
    pq.set_num_threads(before)


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Once a test has used pyplot, figures of later tests are its own, and it warns of more than 20 open ones."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
