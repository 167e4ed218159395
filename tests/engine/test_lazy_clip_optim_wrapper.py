import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from edudistill_mm.engine import EducationRunner
from edudistill_mm.engine.lazy_clip_optim_wrapper import LazyClipOptimWrapper


@pytest.mark.parametrize(
    'clip',
    [dict(max_norm=0.1), dict(max_norm=9.0, norm_type='inf'), dict(type='value', clip_value=0.1)],
)
def test_weights_and_log_are_those_of_mmengines_wrapper(clip):
    trained = []
    for kind in (OptimWrapper, LazyClipOptimWrapper):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        model[0].bias.requires_grad_(False)
        hub = MessageHub.get_instance(f'clip {kind.__name__} {clip}')
        wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.5), clip_grad=dict(clip))
        for _ in range(3):
            wrapper.update_params(model(torch.randn(5, 3)).square().sum())
        norms = {name: buffer.data[0].tolist() for name, buffer in hub.log_scalars.items()}
        trained.append(([p.tolist() for p in model.parameters()], norms))
    assert trained[0] == trained[1]
    assert list(trained[0][1]) == ([] if 'type' in clip else ['train/grad_norm'])


@pytest.mark.parametrize('kind', [None, 'OptimWrapper', OptimWrapper])
def test_a_run_takes_it_for_mmengines_wrapper(config, kind):
    config.optim_wrapper = dict(config.optim_wrapper, clip_grad=dict(max_norm=1.0))
    if kind is not None:
        config.optim_wrapper.type = kind
    runner = EducationRunner.from_cfg(config)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert type(runner.optim_wrapper) is LazyClipOptimWrapper
    assert runner.optim_wrapper.clip_grad_kwargs == dict(max_norm=1.0)


@OPTIM_WRAPPERS.register_module()
class WrapperOfAUser(OptimWrapper):
    pass


def test_other_wrappers_stay_as_they_are(config):
    config.optim_wrapper.type = 'WrapperOfAUser'
    runner = EducationRunner.from_cfg(config)
    assert type(runner.build_optim_wrapper(runner.optim_wrapper)) is WrapperOfAUser
