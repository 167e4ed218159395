import copy

import pytest
from mmengine.runner import Runner
from networks import dkd_distiller, resnet
from runs import scalars, train

from edudistill_mm.engine import DistillWarmupHook
from edudistill_mm.errors import ConfigurationError


def warmed_up(config, **kwargs):
    config = copy.deepcopy(config)
    config.custom_hooks.append(dict(type='DistillWarmupHook', **kwargs))
    return config


def factors(config):
    train(config)
    steps, _ = scalars(config.work_dir)
    by_epoch = {}
    for step in steps:
        by_epoch.setdefault(step['epoch'], set()).add(round(step['distill_warmup'], 6))
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def test_losses_grow_linearly_from_the_first_epoch(config):
    config.default_hooks.logger.interval = 1
    config.log_processor = dict(window_size=1)
    assert factors(warmed_up(config, epochs=4)) == [{0.25}, {0.5}, {0.75}, {1}, {1}, {1}, {1}]


def test_each_grade_may_start_anew(config):
    config.log_processor = dict(window_size=1)
    hook = warmed_up(config, epochs=3, each_grade=True)
    third = [{round(n / 3, 6)} for n in (1, 2, 1, 2, 1, 2, 3)]
    assert factors(hook) == third


def test_the_loss_and_its_gradient_have_the_factor(config, tmp_path):
    config.log_processor = dict(window_size=1)
    plain = copy.deepcopy(config)
    plain.work_dir = str(tmp_path / 'plain')
    train(plain)
    train(warmed_up(config, iters=4))
    first_plain = scalars(plain.work_dir)[0]
    warm = scalars(config.work_dir)[0]
    # The first step starts from the same weights; the second does not.
    assert warm[0]['distill.loss_kd'] == pytest.approx(first_plain[0]['distill.loss_kd'] / 4)
    assert warm[0]['student.loss'] == first_plain[0]['student.loss']
    assert warm[1]['student.loss'] != first_plain[1]['student.loss']


@pytest.mark.slow
def test_the_factor_multiplies_the_weight_of_the_grade(config, tmp_path):
    config.log_processor = dict(window_size=1)
    plain = copy.deepcopy(config)
    plain.work_dir = str(tmp_path / 'plain')
    train(plain)
    config.model.curriculum.grades[0].distill_loss_weight = 3.0
    train(warmed_up(config, iters=4))
    first, others = (scalars(c.work_dir)[0][0] for c in (config, plain))
    assert first['distill.loss_kd'] == pytest.approx(others['distill.loss_kd'] * 3 / 4)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_its_factor(config, tmp_path):
    config = warmed_up(config, epochs=6)
    config.log_processor = dict(window_size=1)
    train(config)
    whole = scalars(config.work_dir)[0]
    resumed = copy.deepcopy(config)
    resumed.work_dir = str(tmp_path / 'resumed')
    resumed.load_from, resumed.resume = f'{config.work_dir}/epoch_3.pth', True
    train(resumed)
    keys = ('distill_warmup', 'distill.loss_kd', 'loss')
    again = scalars(resumed.work_dir)[0]
    assert [[step[key] for key in keys] for step in again] == [
        [step[key] for key in keys] for step in whole if step['epoch'] > 3
    ]


def test_mmrazors_own_algorithm_warms_up_too(config):
    config.model = dict(
        _scope_='mmrazor',
        type='SingleTeacherDistill',
        architecture=resnet(),
        teacher=resnet(),
        distiller=dkd_distiller(),
        data_preprocessor=dict(config.model.data_preprocessor, _scope_='mmpretrain'),
    )
    config.custom_hooks = [dict(type='SafeCheckpointHook')]
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    config.train_cfg.max_epochs = 3
    config.val_evaluator = [dict(type='Accuracy', topk=1)]
    config.default_hooks.logger.interval = 1
    config.log_processor = dict(window_size=1)
    runner = train(warmed_up(config, epochs=2, losses='loss_kd'))
    assert runner.message_hub.get_scalar('train/distill_warmup').data[0].tolist() == (
        [0.5] * 6 + [1.0] * 12
    )


@pytest.mark.parametrize('model', ['school', 'plain student'])
def test_a_run_that_only_tests_has_nothing_to_warm_up(config, model):
    config = warmed_up(config, epochs=2)
    if model == 'plain student':
        config.model = resnet()
        config.custom_hooks = [hook for hook in config.custom_hooks if 'Grade' not in hook['type']]
        config.val_evaluator = config.val_evaluator[:1]
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    config.test_cfg = dict()
    training = ('train_dataloader', 'train_cfg', 'optim_wrapper')
    for key in (*training, 'val_dataloader', 'val_cfg', 'val_evaluator'):
        config[key] = None
    assert 'accuracy/top1' in Runner.from_cfg(config).test()


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(epochs=2, losses='loss_kl'), r'did you mean "loss_kd"'),
        (dict(iters=2, each_grade=True), 'needs epochs, the unit of the curriculum'),
    ],
)
def test_what_does_not_fit_the_run_is_refused_when_it_begins(config, kwargs, words):
    with pytest.raises(ConfigurationError, match=words):
        train(warmed_up(config, **kwargs))


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(), 'either epochs or iters'),
        (dict(epochs=1, iters=1), 'either epochs or iters'),
        (dict(epochs=0), 'DistillWarmupHook.epochs must be a positive integer, but got 0'),
        (dict(iters=1.5), 'DistillWarmupHook.iters must be a positive integer, but got 1.5'),
        # It would do nothing, or warm up twice.
        (dict(iters=1, losses=[]), r'DistillWarmupHook.losses must name losses.* but got \[\]'),
        (dict(iters=1, losses=['loss_kd', 'loss_kd']), 'DistillWarmupHook.losses .* each once'),
    ],
)
def test_a_length_and_losses_that_are_none_are_refused(kwargs, words):
    with pytest.raises(ConfigurationError, match=words):
        DistillWarmupHook(**kwargs)


def test_an_algorithm_without_a_distiller_is_refused(config):
    config.model = resnet()
    config.custom_hooks = []
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    config.val_evaluator = [dict(type='Accuracy', topk=1)]
    with pytest.raises(ConfigurationError, match='a model with a distiller'):
        train(warmed_up(config, epochs=1))
