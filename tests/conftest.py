import pytest
import torch
from mmengine.registry import DefaultScope

# The networks of the tests are too small to gain from threads, and data loaders' workers want a
# core too.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def default_scope():
    """Every test begins in the scope that configs have, whatever runners of other tests have
    left."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield
