import hypothesis.strategies as st
import torch
from hypothesis import given
from torch.nn import functional

from edudistill_mm.models.students import teaching_reference
from edudistill_mm.models.students.teaching_reference import _average_pool


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_the_pooling_in_a_fixed_order_is_that_of_torch(height, width, size):
    generator = torch.Generator().manual_seed(height * 10 + width)
    feature = torch.rand(2, 3, height, width, dtype=torch.float64, generator=generator)
    weights = torch.rand(2, 3, size, size, dtype=torch.float64, generator=generator)
    results = []
    for pool in (_average_pool, functional.adaptive_avg_pool2d):
        leaf = feature.clone().requires_grad_()
        pooled = pool(leaf, size)
        (pooled * weights).sum().backward()
        results.append((pooled.detach(), leaf.grad))
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-8)


def test_the_pooling_in_a_fixed_order_makes_its_matrices_once(monkeypatch):
    feature = torch.rand(2, 3, 13, 11)
    first = _average_pool(feature, 2)
    # A step that is captured as a CUDA graph may copy nothing to the device.
    monkeypatch.setattr(teaching_reference, '_windows', None)
    assert torch.equal(_average_pool(feature, 2), first)
