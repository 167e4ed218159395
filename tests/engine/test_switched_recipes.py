"""MMPretrain's SwitchRecipeHook in an education run."""

import pytest
import torch
from mmengine.runner import Runner
from networks import build, dkd_distiller, resnet
from runs import school_config

from edudistill_mm.engine import GradeSchedulerHook
from edudistill_mm.errors import ConfigurationError

MIXUP = dict(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.2)]))


def run(tmp_path, recipe, generalist=False, **model):
    config = school_config(tmp_path)
    config.model.update(model)
    if generalist:
        config.model.teachers = [
            dict(
                name='all', architecture=config.model.architecture, ckpt=str(tmp_path / 'all.pth')
            )
        ]
        for grade in config.model.curriculum.grades:
            grade.teachers = ['all'] if grade.name == 'low' else []
    schedule = [dict(action_epoch=2, **recipe)]
    config.custom_hooks.append(dict(type='SwitchRecipeHook', schedule=schedule))
    runner = Runner.from_cfg(config)
    assert runner.train_loop  # built as it is asked for
    next(hook for hook in runner.hooks if isinstance(hook, GradeSchedulerHook)).before_run(runner)


@pytest.fixture
def teacher(tmp_path):
    torch.save(dict(state_dict=build(resnet(), 3).state_dict()), tmp_path / 'all.pth')


@pytest.mark.parametrize(
    'recipe, model, words',
    [
        (dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)), {}, 'has a "loss"'),
        (
            dict(batch_augment=None),
            {},
            r'unknown key "batch_augment" \(did you mean "batch_augments"',
        ),
        (MIXUP, {}, r'\(Mixup\), but teacher "low" covers a part'),
        (
            MIXUP,
            dict(generalist=True, distiller=dkd_distiller()),
            'loss_kd of type DKDLoss needs class indices',
        ),
        (MIXUP, dict(generalist=True, teacher_weighting='confidence'), '"confidence" compares'),
    ],
)
def test_what_would_fail_in_mid_run_is_refused_before_it(tmp_path, teacher, recipe, model, words):
    with pytest.raises(ConfigurationError, match=f'action_epoch=2 .*{words}'):
        run(tmp_path, recipe, **model)


@pytest.mark.parametrize('recipe', [MIXUP, dict(batch_augments=None)])
def test_what_a_generalist_can_teach_passes(tmp_path, teacher, recipe):
    one_hot = dict(type='ClsDataPreprocessor', to_onehot=True, num_classes=6)
    run(tmp_path, recipe, generalist=True, data_preprocessor=one_hot)


def test_mixtures_of_labels_that_are_no_one_hot_ones_are_refused(tmp_path, teacher):
    # MMPretrain would set them up and mix nothing.
    with pytest.raises(ConfigurationError, match='set data_preprocessor.to_onehot=True'):
        run(tmp_path, MIXUP, generalist=True)
