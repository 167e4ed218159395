import copy

import pytest
import torch
from runs import scalars, train

from edudistill_mm.engine import ExitFadeHook
from edudistill_mm.errors import ConfigurationError


def faded(config, **kwargs):
    config = copy.deepcopy(config)
    config.log_processor = dict(window_size=1)
    config.custom_hooks.append(dict(type='ExitFadeHook', **kwargs))
    return config


def test_the_former_exit_fades_after_each_promotion_and_a_resumed_run_is_exact(config):
    config = faded(config, share=0.5)
    config.model.architecture = dict(
        type='FragmentedStudent', student=config.model.architecture, hand_on_head=True
    )
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    whole = train(copy.deepcopy(config)).model.state_dict()
    steps, _ = scalars(config.work_dir)
    # Epochs of 4 and 6 batches, two and three a grade.
    assert [row['former_exit'] for row in steps] == pytest.approx(
        [0] * 4 + [max(1 - t / 4, 0) for t in range(8)] + [max(1 - t / 9, 0) for t in range(18)],
        abs=1e-4,
    )
    for epoch in (2, 5):
        again = copy.deepcopy(config)
        again.update(
            work_dir=f'{config.work_dir}_{epoch}',
            experiment_name=f'{config.experiment_name}_{epoch}',
            resume=True,
            load_from=f'{config.work_dir}/epoch_{epoch}.pth',
        )
        state = train(again).model.state_dict()
        later, _ = scalars(again.work_dir)
        assert [(row['loss'], row['former_exit']) for row in later] == [
            (row['loss'], row['former_exit']) for row in steps[len(steps) - len(later) :]
        ]
        assert all(torch.equal(tensor, state[name]) for name, tensor in whole.items())


def test_blocks_have_no_exits_to_fade_between(config):
    config = faded(config, epochs=1)
    config.model.architecture = dict(
        type='FragmentedStudent',
        student=config.model.architecture,
        fragments=[[], ['layer1.1'], ['layer2.1']],
    )
    with pytest.raises(ConfigurationError, match='ExitFadeHook fades between teaching references'):
        train(config)


def test_a_run_that_never_deepens_has_nothing_to_fade(config):
    config = faded(config, epochs=1)
    for grade in config.model.curriculum.grades:
        grade.fragments = 3
    with pytest.raises(ConfigurationError, match='would do nothing: all grades have 3 fragments'):
        train(config)


@pytest.mark.parametrize(
    'kwargs, words',
    [
        ({}, 'ExitFadeHook needs one of epochs, iters and share, but got none'),
        (dict(share=2), 'ExitFadeHook.share must be a number above 0 and up to 1'),
    ],
)
def test_values_that_are_none_are_refused(kwargs, words):
    with pytest.raises(ConfigurationError, match=words):
        ExitFadeHook(**kwargs)
