"""Faults are injected into real runs; what happened is kept as a row of docs/reliability.md.

Without --full each test injects a sample of its faults. All of them, and the page:

    python -m pytest tests/reliability --full --write-page

With names of test files in the place of the folder, only their rows are written anew.
"""

from dataclasses import astuple
from pathlib import Path

import pytest
from reliability_page import PAGE, Row, page_of, rows_of

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
        if config.option.keyword:
            raise pytest.UsageError('--write-page needs all tests of a file: leave -k out')
        new = config.stash[ROWS]
        anew = {row.source for row in new}
        kept = [row for row in rows_of(PAGE.read_text()) if row.source not in anew]
        PAGE.write_text(page_of(kept + new))
