import copy
import math
from pathlib import Path

import pytest
import torch
import toy_images  # noqa: F401
from mmengine.runner import Runner
from networks import build, resnet
from runs import LENGTHS, scalars, train

from edudistill_mm.engine import EducationRunner
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.evaluation.grade_table import grade_table


def hook_of(runner):
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'GradeSchedulerHook')


def iteration_based(config):
    config.train_cfg = dict(by_epoch=False, max_iters=12, val_interval=4)
    for grade, iters in zip(config.model.curriculum.grades, (3, 4, 5)):
        grade.pop('epochs')
        grade['iters'] = iters
    config.default_hooks.checkpoint.update(by_epoch=False, interval=1)
    config.log_processor = dict(by_epoch=False)
    return config


def test_a_run_goes_through_all_grades_and_learns(config):
    runner = train(config)
    steps, validations = scalars(config.work_dir)
    assert [row['grade'] for row in steps] == [1] * 4 + [2] * 8 + [3] * 18
    assert all(math.isfinite(row['loss']) for row in steps)
    assert set(validations[-1]) >= {
        'seen/top1',
        'seen/top1_low',
        'seen/top1_mid',
        'seen/top1_high',
        'seen/forgetting',
        'accuracy/top1',
    }
    assert 'seen/top1_mid' not in validations[0]
    assert (
        validations[-1]['accuracy/top1'] == pytest.approx(validations[-1]['seen/top1'])
        and steps[-1]['loss'] < 2
    )
    assert runner.message_hub.get_info('best_score') == max(
        row['accuracy/top1'] for row in validations
    )


def test_the_number_of_iterations_follows_the_grades(config):
    runner = train(config)
    assert runner.max_iters == runner.iter == sum(LENGTHS)


def test_a_promotion_keeps_or_resets_the_optimizers_state(config):
    from mmengine.hooks import Hook

    runner = Runner.from_cfg(config)
    sizes = []

    class Watch(Hook):
        priority = 'VERY_LOW'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            sizes.append(len(runner.optim_wrapper.optimizer.state))

    runner.register_hook(Watch())
    runner.train()
    assert sizes[4] == 0 and sizes[3] > 0  # promoted to "mid": reset
    assert sizes[12] == sizes[11] > 0  # promoted to "high": kept


def test_data_of_a_class_appear_with_its_grade(config):
    from mmengine.hooks import Hook

    runner = Runner.from_cfg(config)
    labels = []

    class Watch(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            labels.append(
                (runner.epoch, {int(sample.gt_label) for sample in data_batch['data_samples']})
            )

    config.train_dataloader.collate_fn = dict(type='pseudo_collate')
    runner = Runner.from_cfg(config)
    runner.register_hook(Watch())
    runner.train()
    for epochs, seen in (((0, 1), {0, 1}), ((2, 3), {0, 1, 2, 3}), ((4, 5, 6), set(range(6)))):
        assert set().union(*(batch for epoch, batch in labels if epoch in epochs)) == seen


@pytest.mark.parametrize(
    'schedule, expected',
    [
        (
            dict(type='CosineAnnealingLR', eta_min=0, T_max=7),
            lambda step: 0.5 * (1 + math.cos(math.pi * step / 30)),
        ),
        (
            dict(type='MultiStepLR', milestones=[2, 5], gamma=0.1),
            lambda step: 1 if step < 4 else 0.1 if step < 18 else 0.01,
        ),
        (
            dict(type='CosineRestartLR', periods=[2, 2, 3], restart_weights=[1, 1, 1], eta_min=0),
            lambda step: (
                0.5
                * (
                    1
                    + math.cos(
                        math.pi
                        * (
                            step / 4
                            if step < 4
                            else (step - 4) / 8
                            if step < 12
                            else (step - 12) / 18
                        )
                    )
                )
            ),
        ),
        (
            dict(type='LinearLR', start_factor=0.5, begin=0, end=2),
            lambda step: min(1, 0.5 + 0.5 * step / 3),
        ),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_schedules_in_iterations_know_the_length_of_each_epoch(config, schedule, expected):
    config.param_scheduler = [dict(schedule, by_epoch=True, convert_to_iter_based=True)]
    train(config)
    steps, _ = scalars(config.work_dir)
    assert [row['lr'] / 0.05 for row in steps] == pytest.approx(
        [expected(step) for step in range(30)], abs=1e-6
    )


def test_a_step_size_in_epochs_cannot_become_iterations(config):
    config.param_scheduler = dict(
        type='StepLR', step_size=2, by_epoch=True, convert_to_iter_based=True
    )
    with pytest.raises(ConfigurationError, match='StepLR.*MultiStepLR'):
        train(config)


def test_an_iteration_based_run_promotes_between_two_batches(config):
    runner = train(iteration_based(config))
    steps, validations = scalars(config.work_dir)
    assert [row['grade'] for row in steps] == [1] * 3 + [2] * 4 + [3] * 5
    assert [sorted(key for key in row if key.startswith('seen/top1_')) for row in validations][
        0
    ] == ['seen/top1_low', 'seen/top1_mid']
    assert runner.max_iters == 12


def test_the_log_says_at_each_promotion_what_changes(config):
    runner = train(config)
    log = Path(runner.log_dir, f'{runner.timestamp}.log').read_text()
    block = log[log.index('Grade 2 of 3: mid') :].split('mmengine - INFO')[0]
    for words in (
        'epochs: 3-4',
        'classes: 4 of 6 (2 new)',
        'fragments: 2 of 3, up to backbone.layer2',
        'teachers: low, mid',
        'losses awake: loss_kd; asleep: none',
        'learning rate: 0.05',
        'optimizer state: reset',
    ):
        assert words in block, words
    count = sum(
        p.numel()
        for name, p in runner.model.student.named_parameters()
        if name.startswith(
            (
                'backbone.conv1',
                'backbone.bn1',
                'backbone.layer1',
                'backbone.layer2',
                'references.1',
            )
        )
    )
    assert f'parameters in training: {count:,}' in block
    assert 'Accuracy (%) at the end of each grade' in log
    table = grade_table(runner.model.curriculum, hook_of(runner).history).splitlines()
    assert [cell.strip() for cell in table[0].split('|')[1:-1]] == [
        'grade',
        'classes',
        'seen',
        'low',
        'mid',
        'high',
        'forgetting',
    ]
    assert table[2].split('|')[5].strip() == '-' and float(table[4].split('|')[6]) >= 0


def test_the_log_of_a_curriculum_without_teachers_does_not_speak_of_their_losses(config):
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
    runner = train(config)
    log = Path(runner.log_dir, f'{runner.timestamp}.log').read_text()
    block = log[log.index('Grade 2 of 3: mid') :].split('mmengine - INFO')[0]
    assert 'teachers: none' in block and 'losses' not in block


# ---- C8, C9
@pytest.mark.parametrize(
    'kind, by_epoch, ema',
    [
        pytest.param(EducationRunner, True, False, marks=pytest.mark.slow),
        pytest.param(EducationRunner, False, False, marks=pytest.mark.slow),
        (EducationRunner, True, True),
        pytest.param(EducationRunner, False, True, marks=pytest.mark.slow),
        pytest.param(Runner, True, False, marks=pytest.mark.slow),
        pytest.param(Runner, False, True, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one(config, kind, by_epoch, ema):
    if not by_epoch:
        config = iteration_based(config)
    if ema:
        config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    config.param_scheduler = dict(
        type='CosineRestartLR',
        periods=[2, 2, 3] if by_epoch else [3, 4, 5],
        restart_weights=[1, 1, 1],
        eta_min=0,
        by_epoch=by_epoch,
    )
    whole = train(copy.deepcopy(config), kind)
    steps, validations = scalars(config.work_dir)
    points = (1, 2, 3) if by_epoch else (2, 3, 5)
    for point in points:
        again = copy.deepcopy(config)
        again.work_dir = f'{config.work_dir}_{point}'
        again.experiment_name = f'{config.experiment_name}_{point}'
        again.resume = True
        again.load_from = f'{config.work_dir}/{"epoch" if by_epoch else "iter"}_{point}.pth'
        resumed = train(again, kind)
        later, later_validations = scalars(again.work_dir)
        keys = ('loss', 'lr', 'grade', 'student.loss', 'distill.loss_kd')
        assert [[row[key] for key in keys] for row in later] == [
            [row[key] for key in keys] for row in steps[len(steps) - len(later) :]
        ]
        assert 0 < len(later) < len(steps)
        assert later_validations[-1]['seen/forgetting'] == validations[-1]['seen/forgetting']
        state = resumed.model.state_dict()
        assert all(
            torch.equal(tensor, state[name]) for name, tensor in whole.model.state_dict().items()
        )
        assert hook_of(resumed).history == hook_of(whole).history


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    'by_epoch, interval, killed_at',
    [
        pytest.param(True, 1, 3, marks=pytest.mark.slow),
        pytest.param(True, 2, 7, marks=pytest.mark.slow),
        (False, 4, 8),
    ],
)
def test_a_run_killed_between_checkpoint_and_validation_validates_when_resumed(
    config, by_epoch, interval, killed_at
):
    from mmengine.hooks import Hook

    if not by_epoch:
        config = iteration_based(config)
    config.train_cfg.val_interval = interval
    whole = train(copy.deepcopy(config))

    class Kill(Hook):
        def before_val(self, runner):
            if (runner.epoch if by_epoch else runner.iter) == killed_at:
                raise Killed

    config.update(
        work_dir=f'{config.work_dir}_killed', experiment_name=f'{config.experiment_name}_killed'
    )
    runner = Runner.from_cfg(config)
    runner.register_hook(Kill())
    with pytest.raises(Killed):
        runner.train()
    config.update(resume=True, experiment_name=f'{config.experiment_name}_resumed')
    resumed = train(config)
    assert hook_of(resumed).history == hook_of(whole).history
    assert resumed.message_hub.get_info('best_score') == whole.message_hub.get_info('best_score')
    state = resumed.model.state_dict()
    assert all(
        torch.equal(tensor, state[name]) for name, tensor in whole.model.state_dict().items()
    )


def test_a_checkpoint_is_tested_in_its_own_grade_and_under_its_own_curriculum_only(config):
    runner = train(copy.deepcopy(config))
    config.update(
        load_from=f'{config.work_dir}/epoch_3.pth',
        test_dataloader=config.val_dataloader,
        test_cfg=dict(),
        test_evaluator=config.val_evaluator,
        experiment_name=f'{config.experiment_name}_test',
    )
    metrics = Runner.from_cfg(config).test()
    _, validations = scalars(config.work_dir, newest=False)
    assert metrics['seen/top1'] == validations[2]['seen/top1'] and 'seen/forgetting' not in metrics
    config.model.curriculum.class_order = [5, 4, 3, 2, 1, 0]
    config.experiment_name += '_reversed'
    with pytest.raises(ConfigurationError, match='grade "mid" with 4 classes seen.*other classes'):
        Runner.from_cfg(config).test()
    assert runner is not None


@pytest.mark.slow
def test_a_new_training_takes_over_weights_but_no_grade(config):
    first = train(copy.deepcopy(config))
    config.update(
        load_from=f'{config.work_dir}/epoch_3.pth',
        work_dir=f'{config.work_dir}_new',
        experiment_name=f'{config.experiment_name}_new',
    )
    for grade in config.model.curriculum.grades:
        grade['name'] += 'x'
    for teacher in config.model.teachers:
        teacher['classes'] += 'x'
    second = train(config)
    steps, _ = scalars(config.work_dir)
    assert len(steps) == 30 and steps[0]['grade'] == 1
    assert first.iter == second.iter


def test_a_checkpoint_holds_no_teacher_and_names_all(config):
    train(config)
    checkpoint = torch.load(f'{config.work_dir}/epoch_7.pth', weights_only=True)
    student = build(dict(type='FragmentedStudent', student=resnet())).state_dict()
    assert set(checkpoint['state_dict']) == {f'architecture.{name}' for name in student}
    education = checkpoint['meta']['education']
    assert [(teacher['name'], len(teacher['sha256'])) for teacher in education['teachers']] == [
        ('low', 64),
        ('mid', 64),
        ('high', 64),
    ]
    assert education['grade'] == 'high' and education['seen'] == list(range(6))
    momentum = checkpoint['optimizer']['state']
    assert len(momentum) <= len(list(checkpoint['state_dict']))


def changed_grade(config):
    config.model.curriculum.grades[1]['fragments'] = 3


def changed_teacher(config):
    torch.save(
        dict(state_dict=build(resnet(2), 77).state_dict()), config.model.teachers[1]['ckpt']
    )


def renamed_teacher(config):
    config.model.teachers[1]['name'] = 'other'
    config.model.curriculum.grades[1]['teachers'] = ['other']


@pytest.mark.parametrize(
    'change, words',
    [
        (changed_grade, ['another curriculum', 'mid', 'fragments', '2', '3']),
        (changed_teacher, ['teacher "mid"', 'sha256', 'mid.pth']),
        pytest.param(renamed_teacher, ['teachers', 'mid', 'other'], marks=pytest.mark.slow),
    ],
)
def test_resuming_with_another_school_is_refused_with_the_difference(config, change, words):
    first = copy.deepcopy(config)
    first.train_cfg.max_epochs = 7
    train(first)
    change(config)
    config.update(resume=True, load_from=f'{first.work_dir}/epoch_1.pth', experiment_name='again')
    with pytest.raises(ConfigurationError) as error:
        train(config)
    message = str(error.value)
    assert '\n' not in message and all(word in message for word in words), message


# ---- C11
def set_key(path, value):

    def change(config):
        *parents, last = path.split('.')
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value

    return change


@pytest.mark.parametrize(
    'change, words',
    [
        (set_key('train_cfg.max_epochs', 8), ['8', '7']),
        (
            set_key('train_dataloader.sampler', dict(type='DefaultSampler', shuffle=True)),
            ['GradeSampler', 'DefaultSampler'],
        ),
        (
            set_key('train_dataloader.dataset.counts', (0, 0, 8, 8, 8, 8)),
            ['"low"', '0 "class 0", 1 "class 1".'],
        ),
        (set_key('train_dataloader.dataset.counts', (2, 2, 8, 8, 8, 8)), ['']),
    ],
)
def test_data_and_loop_that_do_not_fit_are_refused_before_training(config, change, words):
    change(config)
    if words == ['']:
        config.train_dataloader.drop_last = True
        words = ['drop_last', '"low"', '4 images']
    with pytest.raises(ConfigurationError) as error:
        train(config)
    message = str(error.value)
    assert '\n' not in message and all(word in message for word in words), message


def test_the_hook_wants_the_algorithm(config):
    config.model = dict(resnet(), data_preprocessor=config.model.data_preprocessor)
    with pytest.raises(ConfigurationError, match='EducationDistill.*ImageClassifier'):
        train(config)


def grow_by_copies(config):
    """Blocks that begin as copies at their promotion, and averaged weights."""
    config.model.architecture = dict(
        type='FragmentedStudent',
        student=config.model.architecture,
        fragments=[[], ['layer1.1'], ['layer2.1', 'layer3.1']],
        new_blocks='copy',
    )
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))


def test_new_blocks_begin_at_their_promotion_as_copies_also_in_the_averages(config):
    from mmengine.hooks import EMAHook, Hook

    grow_by_copies(config)
    equal, copied = [], []

    class Watch(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            ema = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
            networks = runner.model, ema.ema_model.module
            blocks = [network.student.backbone.layer1 for network in networks]
            equal.append(
                [torch.equal(first.conv2.weight, second.conv2.weight) for first, second in blocks]
            )
            copied.append([second.conv2.weight.clone() for _, second in blocks])

    runner = EducationRunner.from_completed_cfg(config)
    runner.register_hook(Watch(), priority='VERY_LOW')
    runner.train()
    # Grades begin with iterations 0, 4 and 12: equal at the promotion into the second.
    assert [pair for pair in equal[:4] + equal[5:] if any(pair)] == []
    assert equal[4] == [True, True]
    # Each of what was there, the averages of the averaged block.
    assert not torch.equal(*copied[4])


@pytest.mark.slow
def test_a_run_resumed_at_a_promotion_begins_new_blocks_in_the_averages_too(config):
    grow_by_copies(config)

    def averages(runner):
        hook = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
        return hook.ema_model.state_dict()

    whole = averages(train(copy.deepcopy(config)))
    # The last checkpoint of the second grade.
    config.update(
        resume=True,
        load_from=f'{config.work_dir}/epoch_4.pth',
        work_dir=f'{config.work_dir}_again',
    )
    resumed = averages(train(config))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
