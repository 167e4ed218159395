import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from edudistill_mm.engine import BFloat16OptimWrapper


def wrapper_of(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    return OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer, **kwargs))


def test_layers_compute_in_bfloat16_and_weights_and_gradients_stay_in_float32():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    wrapper = wrapper_of(model)
    assert isinstance(wrapper, BFloat16OptimWrapper)
    with wrapper.optim_context(model):
        # 8 binary digits: 1 + 2 ** -9 becomes 1.
        output = model(torch.tensor([[1 + 2**-9]]))
    assert output.dtype == torch.bfloat16
    assert output.item() == 1
    assert model(torch.tensor([[1.0]])).dtype == torch.float32
    wrapper.update_params(output.float().sum())
    assert model.weight.dtype == torch.float32
    assert model.weight.item() == 0.5


def test_gradients_are_accumulated():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    wrapper = wrapper_of(model, accumulative_counts=2)
    for expected in (1.0, 0.0):
        with wrapper.optim_context(model):
            loss = model(torch.tensor([[2.0]])).float().sum()
        wrapper.update_params(loss)
        # The mean of two gradients of 2, times the learning rate of 0.5.
        assert model.weight.item() == expected


def test_the_state_of_a_run_with_a_loss_scale_is_taken_over():
    models = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    given, other = map(wrapper_of, models)
    given.update_params(models[0](torch.tensor([[3.0]])).sum())
    # What MMEngine's AmpOptimWrapper adds.
    other.load_state_dict(dict(given.state_dict(), loss_scaler=dict(scale=65536.0)))
    momentum = other.optimizer.state[models[1].weight]['momentum_buffer']
    assert momentum.item() == 3
