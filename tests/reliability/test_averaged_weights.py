"""The student's weights are averaged through all grades, and nothing else is."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from killed_runs import EPOCHS, write_config
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner, load_checkpoint

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.export.export_student import export_student
from edudistill_mm.random_state import random_state_preserved

pytestmark = pytest.mark.slow

AREA = 'Averaged weights'
GRADES = [0] * 6 + [1] * 5 + [2] * 14  # of each iteration
EARLY, LATE = 'architecture.backbone.layer1.0.conv1.weight', 'architecture.head.fc.weight'
REFERENCE = 'architecture.references.0.head.fc.weight'
BUFFER = 'architecture.backbone.bn1.running_mean'
KINDS = {
    'ExponentialMovingAverage': dict(momentum=0.2),
    'ExponentialMovingAverage, each second step, with buffers': dict(
        momentum=0.2, interval=2, update_buffers=True
    ),
    'MomentumAnnealingEMA': dict(momentum=0.1, gamma=4),
    'StochasticWeightAverage': dict(begin_iter=4),
}


class Watch(Hook):
    """Keeps what the tests compare, after all other hooks."""

    priority = 'LOWEST'

    def __init__(self):
        self.steps, self.scores, self.before, self.untouched = [], [], None, []

    def before_run(self, runner):
        found = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
        self.average = found[0].ema_model if found else None

    def before_train(self, runner):
        # The step before the first one.
        self.steps.append(self.pair(runner))

    def pair(self, runner):
        """Training weights, and their averages."""
        states = [runner.model.state_dict()]
        if self.average is not None:
            states.append(self.average.module.state_dict())
        return [{name: tensor.clone() for name, tensor in state.items()} for state in states]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(self.pair(runner))

    def before_val_epoch(self, runner):
        self.scores.append([])

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.scores[-1] += [sample.pred_score for sample in outputs]

    def after_val_epoch(self, runner, metrics=None):
        self.untouched.append(same(self.pair(runner)[0], self.steps[-1][0]))
        if self.average is None:
            return
        # The averaged model by itself gives the scores of the validation.
        copied = self.average.module.eval()
        with torch.no_grad(), random_state_preserved():
            again = [s.pred_score for b in runner.val_dataloader for s in copied.val_step(b)]
        self.untouched.append(all(map(torch.equal, again, self.scores[-1])))


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def train(folder, name, average=None, connectors=False):
    """Train; returns config, runner and what was watched."""
    folder = folder / name
    folder.mkdir()
    ema = None if average is None else dict(type='EMAHook', **average)
    config = Config.fromfile(write_config(folder, ema=ema), format_python_code=False)
    if connectors:
        distiller = config.model.distiller
        source = dict(type='ModuleOutputs', source='backbone.layer3')
        distiller.student_recorders.f = distiller.teacher_recorders.f = source
        distiller.connectors = dict(
            c=dict(type='ConvModuleConnector', in_channel=16, out_channel=16)
        )
        distiller.distill_losses.loss_f = dict(type='L2Loss')
        distiller.loss_forward_mappings.loss_f = dict(
            s_feature=dict(from_student=True, recorder='f', connector='c'),
            t_feature=dict(from_student=False, recorder='f'),
        )
    config.custom_hooks.append(dict(type='SafeCheckpointHook'))
    config.update(
        work_dir=str(folder / 'run'),
        experiment_name=str(folder).replace('/', '_'),
        randomness=dict(seed=4),
    )
    config.default_hooks.checkpoint.max_keep_ckpts = -1
    runner, watch = Runner.from_cfg(copy.deepcopy(config)), Watch()
    runner.register_hook(watch)
    runner.train()
    return config, runner, watch


@pytest.fixture(scope='module')
def averaged(tmp_path_factory):
    """A run with an average of the weights, and with connectors in its distillers."""
    folder = tmp_path_factory.mktemp('averaged')
    return train(folder, 'ema', dict(momentum=0.2), connectors=True)


def by_hand(kind, options, weights):
    """The averages of a number after each step, from its formula."""
    average, averages, count = weights[0], [], 0
    interval, begin = options.get('interval', 1), options.get('begin_iter', 0)
    for step, weight in enumerate(weights[1:]):
        if step + 1 < begin or count == 0:
            average = weight
        elif count % interval == 0:
            factor = {
                'ExponentialMovingAverage': options.get('momentum'),
                'MomentumAnnealingEMA': max(
                    options.get('momentum', 0), options.get('gamma', 0) / (4 + count)
                ),
                'StochasticWeightAverage': 1 / (count // interval + 1),
            }[kind]
            average += factor * (weight - average)
        count += step + 1 >= begin
        averages.append(average)
    return averages


@pytest.mark.parametrize('name', KINDS)
def test_averages_are_those_worked_out_by_hand_through_all_promotions(tmp_path, name, report):
    kind, options = name.split(',')[0], KINDS[name]
    _, _, watch = train(tmp_path, 'run', dict(options, ema_type=kind))
    for parameter in (EARLY, LATE, REFERENCE, BUFFER):
        weights = [step[0][parameter].flatten()[0].item() for step in watch.steps]
        averages = [step[1][parameter].flatten()[0].item() for step in watch.steps]
        if parameter == BUFFER and not options.get('update_buffers'):
            assert averages == weights
            continue
        expected = by_hand(kind, options, weights)
        assert averages[1:] == pytest.approx(expected, rel=1e-5, abs=1e-8)
        assert len(set(averages)) > 5
    # What the lower grades do not train is averaged to its initial value, exactly.
    for average in [step[1] for step in watch.steps[1 : GRADES.index(2) + 1]]:
        assert torch.equal(average[LATE], watch.steps[0][0][LATE])
    assert not torch.equal(watch.steps[-1][1][LATE], watch.steps[0][0][LATE])
    # The reference of the first grade rests when its grade is over; its average follows.
    rest = [step[0][REFERENCE] for step in watch.steps[GRADES.index(1) :]]
    assert all(torch.equal(weight, rest[0]) for weight in rest)
    gaps = [(watch.steps[at][1][REFERENCE] - rest[0]).abs().max() for at in (GRADES.index(1), -1)]
    assert gaps[1] < gaps[0]
    report(
        AREA,
        f'averaging by {name}',
        'four tensors (fragment 1, head, first reference, BatchNorm) over three grades',
        len(watch.steps) - 1,
        'after each step the average is that of the formula',
    )


def test_averaging_changes_nothing_of_the_training(tmp_path, averaged, report):
    _, plain, watch = train(tmp_path, 'plain', connectors=True)
    assert same(plain.model.state_dict(), averaged[1].model.state_dict())
    assert [same(a[0], b[0]) for a, b in zip(watch.steps, averaged[2].steps)] == [True] * 26
    assert averaged[2].untouched == [True, True] * sum(EPOCHS)
    assert not same(averaged[2].steps[-1][0], averaged[2].steps[-1][1])
    report(
        AREA,
        'validation with the averages',
        'weights compared after each step and each validation with a run without averages',
        sum(EPOCHS),
        'the training weights are the same bit for bit; the scores are those of the averages',
    )


def test_only_the_student_is_averaged(averaged, report):
    config, runner, watch = averaged
    checkpoint = torch.load(f'{config.work_dir}/epoch_5.pth', weights_only=True)
    student = {f'module.architecture.{name}' for name in runner.model.student.state_dict()}
    assert set(checkpoint['ema_state_dict']) == student | {'steps'}
    connectors = [name for name in checkpoint['state_dict'] if name.startswith('distillers.')]
    assert len(connectors) >= 3 and not any('teacher' in name for name in connectors)
    trained = runner.model.state_dict()
    assert all(
        torch.equal(checkpoint['state_dict'][name], trained[name].cpu()) for name in connectors
    )
    twin = watch.average.module
    assert twin.faculty.teachers == [] and len(twin.distillers) == 0
    frozen = {id(p) for t in runner.model.faculty.teachers for p in t.network.parameters()}
    assert frozen and not frozen & {id(parameter) for parameter in watch.average.parameters()}
    report(
        AREA,
        'teachers and connectors beside the average',
        'a run of three experts with a connector each',
        1,
        'the average holds the student and its references, no tensor of a teacher or connector',
    )


def test_a_checkpoint_gives_the_metrics_of_its_validation_at_its_grade(averaged, report):
    config, runner, watch = averaged
    rows = next(Path(config.work_dir).glob('*/vis_data/scalars.json')).read_text().splitlines()
    validations = [row for row in map(json.loads, rows) if 'seen/top1' in row]
    config = copy.deepcopy(config)
    config.custom_hooks = [h for h in config.custom_hooks if h.type != 'EMAHook']
    config.update(
        test_dataloader=config.val_dataloader,
        test_cfg=dict(),
        test_evaluator=config.val_evaluator,
        experiment_name=f'{config.experiment_name}_test',
    )
    tester = Runner.from_cfg(config)
    for epoch, grade in ((2, 'low'), (3, 'mid'), (5, 'high')):
        tester._has_loaded, tester._load_from = False, f'{config.work_dir}/epoch_{epoch}.pth'
        metrics = tester.test()
        assert tester.model.grade.name == grade
        for name in ('seen/top1', 'accuracy/top1', f'seen/top1_{grade}'):
            assert metrics[name] == validations[epoch - 1][name]
    assert watch.average.module.grade.name == 'high'
    report(
        AREA,
        'checkpoints of averages are tested',
        'the last checkpoint of each grade, by a runner without EMAHook',
        3,
        'the metrics are those of the validation in training, at the same grade',
    )


def test_the_exported_student_has_the_averages_and_the_checkpoint_both(averaged, tmp_path, report):
    config, runner, watch = averaged
    last = f'{config.work_dir}/epoch_5.pth'
    out, _ = export_student(RunConfig(config), last, str(tmp_path / 'student.pth'))
    training, average = watch.steps[-1]
    exported = torch.load(out, weights_only=True)['state_dict']
    assert len(exported) > 40
    for name, tensor in exported.items():
        assert torch.equal(tensor, average[f'architecture.{name}'].cpu())
    checkpoint = torch.load(last, weights_only=True)
    for name, tensor in watch.average.module.state_dict().items():
        assert torch.equal(checkpoint['state_dict'][name], tensor.cpu())
        raw = training[name].cpu()
        assert torch.equal(checkpoint['ema_state_dict'][f'module.{name}'], raw)
    # As new weights to start from, they are the averages.
    fresh = copy.deepcopy(watch.average.module)
    load_checkpoint(fresh, last)
    assert same(fresh.state_dict(), watch.average.module.state_dict())
    report(
        AREA,
        'the student is exported',
        'the last checkpoint of a run with averages',
        1,
        'the exported weights are the averages; the training weights are in the checkpoint, too',
    )


# The last grade has 14 of 25 batches.
@pytest.mark.parametrize(
    'options, words',
    [
        (dict(), 'averages over about 5,000 updates, but the last grade "high" has 14 of them'),
        (dict(momentum=0.07), None),
        (dict(momentum=0.068), 'about 15 updates, but the last grade "high" has 14 of them'),
        (
            dict(momentum=0.1, interval=2),
            'about 10 updates, but the last grade "high" has 7 of them',
        ),
        (dict(ema_type='MomentumAnnealingEMA'), None),
        (dict(ema_type='MomentumAnnealingEMA', gamma=1), 'about 26 updates.*a larger gamma'),
        (dict(ema_type='StochasticWeightAverage'), 'about 26 updates.*by begin_epoch=4'),
        (dict(ema_type='StochasticWeightAverage', begin_epoch=4), None),
    ],
)
def test_an_average_that_reaches_back_before_the_last_grade_is_warned_of(tmp_path, options, words):
    config = Config.fromfile(
        write_config(tmp_path, ema=dict(type='EMAHook', **options)), format_python_code=False
    )
    config.update(work_dir=str(tmp_path / 'run'), experiment_name=str(tmp_path).replace('/', '_'))
    runner = Runner.from_cfg(config)
    runner.train_loop.run = lambda: runner.call_hook('before_train')
    runner.train()
    log = Path(runner.log_dir, f'{runner.timestamp}.log').read_text()
    assert bool(re.search(words or 'EMAHook: ', log)) == (words is not None)
