import os

# The suite is one about a CPU, whatever the machine has; CUDA_VISIBLE_DEVICES=0 runs it on a GPU.
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
# Sums in a fixed order, where a test asks for them.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

import pytest  # noqa: E402
import torch  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

# The networks of the tests are too small to gain from threads, and data loaders' workers want a
# core too.
torch.set_num_threads(1)


def pytest_addoption(parser):
    group = parser.getgroup('reliability')
    group.addoption('--full', action='store_true', help='inject each fault in all its forms')
    group.addoption(
        '--write-page', action='store_true', help='with --full, write docs/reliability.md'
    )


def pytest_configure(config):
    if config.getoption('--full'):
        # The slow tests too, which the default options leave out.
        config.option.markexpr = ''


def pytest_collection_modifyitems(items):
    """Skip what is about the other kind of machine."""
    has_gpu = torch.cuda.is_available()
    for name, here in (('cpu', not has_gpu), ('cuda', has_gpu)):
        for item in [] if here else items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f'is about a {name} device'))


@pytest.fixture(autouse=True)
def default_scope():
    """Every test begins in the scope that configs have, whatever runners of other tests have
    left."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield
