import pytest
import torch
from mmengine.registry import DefaultScope

# The networks of the tests are too small to gain from threads, and data loaders' workers want a
# core too.
torch.set_num_threads(1)


def pytest_addoption(parser):
    group = parser.getgroup('reliability')
    group.addoption('--full', action='store_true', help='inject each fault in all its forms')
    group.addoption(
        '--write-page', action='store_true', help='with --full, write docs/reliability.md'
    )


@pytest.fixture(autouse=True)
def default_scope():
    """Every test begins in the scope that configs have, whatever runners of other tests have
    left."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield
