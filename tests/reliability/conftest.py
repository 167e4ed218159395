"""Faults are injected into real runs; what happened is kept as a row of docs/reliability.md.

Without --full each test injects a sample of its faults. All of them, and the page:

    python -m pytest tests/reliability --full --write-page
"""

from dataclasses import astuple
from pathlib import Path

import pytest
from reliability_page import PAGE, Row, page_of

ROWS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[ROWS] = []


@pytest.fixture
def full(request):
    """Whether to inject each fault in all its forms."""
    return request.config.getoption('--full')


@pytest.fixture
def report(request):
    """Keep what a test has seen: ``report(area, fault, injected, times, happened, lost)``."""

    def keep(area, fault, injected, times, happened, lost='nothing'):
        source = Path(request.node.path).name
        request.config.stash[ROWS].append(
            Row(area, fault, injected, str(times), happened, lost, source)
        )

    return keep


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    # One of the processes of pytest-xdist has ended.
    output = getattr(node, 'workeroutput', {})
    node.config.stash[ROWS] += [Row(*row) for row in output.get('reliability', ())]


def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if hasattr(config, 'workeroutput'):
        config.workeroutput['reliability'] = [astuple(row) for row in config.stash[ROWS]]
    elif config.option.write_page and config.option.full and exitstatus == 0:
        PAGE.write_text(page_of(config.stash[ROWS]))
