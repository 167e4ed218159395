"""Several processes train what one trains on the same global batch."""

import copy
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from killed_runs import PipedImages  # noqa: F401
from networks import build, kd_distiller, resnet
from processes import build_runner, free_port, outcome, run_processes, train_together
from run_tool import run_tool
from runs import school_config
from surroundings import python_path
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

AREA = 'Several processes'
ROOT = Path(__file__).parents[2]
GLOBAL_BATCH = 12  # of 16, 32 and 48 images: the last batches of the first grades are smaller
GROUP_NORM = dict(type='GN', num_groups=2)


def plain_student():
    """A student without BatchNorm, whose samples do not see each other."""
    student = resnet()
    student['backbone']['norm_cfg'] = GROUP_NORM
    return dict(
        type='FragmentedStudent',
        student=student,
        fragments=['layer1', 'layer2', 'layer3'],
        reference=dict(adapter=False),
    )


def connected_distiller(norm=None, source='backbone.layer1'):
    """Logits and a feature, which a connector of each teacher brings to the teacher's width."""
    distiller = kd_distiller()
    connector = dict(type='ConvModuleConnector', in_channel=4, out_channel=8, norm_cfg=norm)
    distiller.update(connectors=dict(to_teacher=connector))
    for side in ('student', 'teacher'):
        distiller[f'{side}_recorders']['feature'] = dict(type='ModuleOutputs', source=source)
    distiller['distill_losses']['loss_feature'] = dict(type='L2Loss', normalize=True)
    distiller['loss_forward_mappings']['loss_feature'] = dict(
        s_feature=dict(from_student=True, recorder='feature', connector='to_teacher'),
        t_feature=dict(from_student=False, recorder='feature'),
    )
    return distiller


def teacher_of(tmp_path, name, classes, count, seed, width=8):
    """A teacher with fixed weights, written to a file."""
    network = resnet(count, base_channels=width)
    torch.save(
        dict(state_dict=build(network, seed).state_dict()), tmp_path / f'teacher_{name}.pth'
    )
    return dict(
        name=name,
        architecture=network,
        ckpt=str(tmp_path / f'teacher_{name}.pth'),
        classes=classes,
    )


def short_config(tmp_path, processes=1):
    """Three grades of an epoch each with an expert each, the same global batch on any number of
    processes."""
    config = school_config(tmp_path)
    config.model.architecture = plain_student()
    for grade in config.model.curriculum.grades:
        grade.epochs = 1
    config.train_cfg.max_epochs = 3
    config.model.teachers = [
        teacher_of(tmp_path, name, name, 2, seed)
        for seed, name in enumerate(('low', 'mid', 'high'))
    ]
    # Weight decay and momentum change what has a gradient of zero, and leave alone what has none.
    config.optim_wrapper.optimizer.update(weight_decay=0.01)
    config.train_dataloader.batch_size = GLOBAL_BATCH // processes
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1)
    config.default_hooks.logger = dict(type='LoggerHook', interval=100)
    config.vis_backends = config.visualizer = None
    config.work_dir = str(tmp_path / f'run_{processes}')
    config.experiment_name = f'{tmp_path.name}_{processes}'
    return config


def with_experts(config, tmp_path):
    pass


def with_entropy(config, tmp_path):
    config.model.teachers = [
        teacher_of(tmp_path, name, 'all', 6, seed) for seed, name in enumerate(('one', 'two'))
    ]
    config.model.teacher_weighting = 'entropy'
    for grade in config.model.curriculum.grades:
        del grade['teachers']


def with_connectors(config, tmp_path):
    config.model.distiller = connected_distiller()


def with_accumulation_and_clipping(config, tmp_path):
    config.optim_wrapper.update(accumulative_counts=2, clip_grad=dict(max_norm=0.3))


def with_iterations(config, tmp_path):
    for grade, iters in zip(config.model.curriculum.grades, (2, 3, 4)):
        del grade['epochs']
        grade.iters = iters
    config.train_cfg = dict(by_epoch=False, max_iters=9)


def with_resident_data(config, tmp_path):
    with_experts(config, tmp_path)
    loader = config.train_dataloader
    pipeline = [
        dict(type='RandomCrop', crop_size=8, padding=1),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs'),
    ]
    images = dict(loader.dataset, type='PipedImages', pipeline=pipeline)
    loader.dataset = dict(type='ResidentDataset', training=True, dataset=images)
    loader.collate_fn = dict(type='whole_batch')


NAMES = dict(
    experts='an expert a grade',
    entropy='two generalists weighed by entropy',
    connectors='experts with connectors to their features',
    accumulation='accumulation over 2 steps and clipped gradients',
    iterations='grades that count iterations',
    resident='resident data that are augmented',
)
KINDS = dict(
    experts=with_experts,
    entropy=with_entropy,
    connectors=with_connectors,
    accumulation=with_accumulation_and_clipping,
    iterations=with_iterations,
    resident=with_resident_data,
)


def alone(config):
    """What a single process makes of a config."""
    return run_processes(1, train_together, config, 'none')[0]


def assert_same(several, one):
    """Losses, on the average of the processes, and weights, in each of them, are those of one."""
    for step, losses in enumerate(one['losses']):
        for name, value in losses.items():
            found = [process['losses'][step][name] for process in several]
            assert sum(found) / len(found) == pytest.approx(value, abs=2e-5), (step, name)
    assert all(len(process['losses']) == len(one['losses']) for process in several)
    for process in several:
        assert_same_weights(process['weights'], one['weights'])


def assert_same_weights(found, wanted, parameters_only=False):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        if parameters_only and name.endswith(('_mean', '_var', '_tracked')):
            continue
        torch.testing.assert_close(
            torch.tensor(found[name]), torch.tensor(value), rtol=2e-4, atol=2e-5, msg=name
        )


def somewhere_lacks(processes, groups):
    """How many batches of single processes lack a group of classes that another one has then."""
    count = 0
    for step in zip(*(process['labels'] for process in processes)):
        for group in groups:
            has = [bool(group & set(labels)) for labels in step]
            count += sum(not one for one in has) if any(has) else 0
    return count


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_processes_train_what_one_trains_on_the_same_global_batch(kind, tmp_path, full, report):
    def config(processes):
        new = short_config(tmp_path, processes)
        KINDS[kind](new, tmp_path)
        return new

    one = alone(config(1))
    assert len(one['losses']) == 9
    counts = (2, 4) if full or kind == 'connectors' else (2,)
    for count in counts:
        several = run_processes(count, train_together, config(count))
        assert any(a != b for a, b in zip(several[0]['losses'], several[1]['losses']))
        assert_same(several, one)
        lacking = somewhere_lacks(several, ({0, 1}, {2, 3}, {4, 5}))
        if kind in ('experts', 'connectors'):
            assert lacking > 0
        report(
            AREA,
            'the same global batch on several processes',
            f'{count} processes by gloo and one alone, three grades, {NAMES[kind]}',
            len(one['losses']),
            'each step has the same mean losses, and each process ends with the same weights',
        )
        if lacking:
            report(
                AREA,
                'a process whose batch lacks the classes of an expert',
                f'batches of {GLOBAL_BATCH // count} images, {NAMES[kind]}',
                lacking,
                'nobody waits; losses and weights are those of one process',
            )


def synchronised_on_cpu(self, inputs):
    """SyncBatchNorm's arithmetic by sums over the processes: torch has it for GPUs only."""
    if not self.training:
        return nn.functional.batch_norm(
            inputs, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    shape = [1, -1] + [1] * (inputs.ndim - 2)
    count = torch.tensor([float(inputs.numel() // inputs.shape[1])])
    sums = all_reduce(torch.cat([inputs.sum(axes), inputs.pow(2).sum(axes), count]))
    count = sums[-1].detach()
    mean, square = (sums[:-1] / count).chunk(2)
    variance = square - mean.pow(2)
    with torch.no_grad():
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
    normed = (inputs - mean.view(shape)) / (variance.view(shape) + self.eps).sqrt()
    return normed * self.weight.view(shape) + self.bias.view(shape)


def train_synchronised(rank, config):
    """Train with synchronised BatchNorm; say which modules are."""
    nn.SyncBatchNorm.forward = synchronised_on_cpu
    # It refuses SyncBatchNorm off the GPU.
    DistributedDataParallel._passing_sync_batchnorm_handle = lambda self, module: None
    runner = build_runner(config)
    runner.train()
    modules = runner.model.module.named_modules()
    return dict(
        outcome(runner),
        synchronised=[name for name, module in modules if isinstance(module, nn.SyncBatchNorm)],
        teachers=[
            type(module).__name__
            for teacher in runner.model.module.faculty.teachers
            for module in teacher.network.modules()
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['generalists', 'experts'])
def test_synchronised_batchnorm_sees_the_global_batch(kind, tmp_path, report):
    """A BatchNorm is recorded, one ends a fragment, some are in references and connectors."""

    def config(processes):
        new = short_config(tmp_path, processes)
        if kind == 'generalists':
            with_entropy(new, tmp_path)
        new.model.architecture = dict(
            type='FragmentedStudent', student=resnet(), fragments=['bn1', 'layer2', 'layer3']
        )
        new.model.distiller = connected_distiller(dict(type='BN'), 'backbone.bn1')
        new.sync_bn = 'torch'
        return new

    several = run_processes(2, train_synchronised, config(2))
    found = several[0]['synchronised']
    assert {'architecture.backbone.bn1', 'architecture.references.0.adapter.1'} <= set(found)
    assert 'SyncBatchNorm' not in several[0]['teachers']
    of_connectors = [name for name in found if name.startswith('distillers.')]
    if kind == 'experts':
        # A process without rows of an expert would never come to wait for the others there.
        assert of_connectors == []
        assert somewhere_lacks(several, ({0, 1}, {2, 3}, {4, 5})) > 0
        assert_same_weights(several[1]['weights'], several[0]['weights'], parameters_only=True)
        return
    assert len(of_connectors) == 2
    assert_same(several, alone(config(1)))
    report(
        AREA,
        'sync_bn on a student with BatchNorm as recorded module, as end of a fragment, in references '
        'and connectors',
        '2 processes against one on the global batch; the sums over processes by gloo stand in for '
        "torch's own kernel, which needs GPUs",
        9,
        'losses, weights and running statistics are those of one process; no BatchNorm of a teacher is '
        'converted',
    )


@pytest.mark.parametrize('student_learns', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_process_without_any_lesson_goes_on(student_learns, tmp_path, report):
    def config(processes):
        new = short_config(tmp_path, processes)
        new.model.teachers = [teacher_of(tmp_path, 'low', [0, 1], 2, 0)]
        for grade in new.model.curriculum.grades:
            grade.update(classes=6 if grade.name == 'low' else 0)
            grade.pop('teachers')
        new.model.distiller = connected_distiller()
        if not student_learns:
            # The pretraining stage of a distiller: connectors alone are trained.
            for key in ('distill_losses', 'loss_forward_mappings'):
                del new.model.distiller[key]['loss_kd']
            new.model.update(calculate_student_loss=False, student_trainable=False)
        new.train_dataloader.dataset.counts = (2, 2, 3, 3, 3, 3)
        new.train_dataloader.batch_size = 2 // processes
        return new

    one = alone(config(1))
    several = run_processes(2, train_together, config(2))
    without = [[not {0, 1} & set(labels) for labels in process['labels']] for process in several]
    assert any(a != b for a, b in zip(*without)) and any(a and b for a, b in zip(*without))
    assert_same(several, one)
    report(
        AREA,
        'a process without a sample for any teacher, and steps in which no process has one',
        '1 image a process, a teacher of 2 of 6 classes, '
        + ('student and connectors train' if student_learns else 'connectors alone train'),
        sum(map(sum, without)),
        'nobody waits; losses and weights are those of one process',
    )


@pytest.mark.slow
def test_a_checkpoint_moves_between_numbers_of_processes(tmp_path, report):
    def config(processes, source=None):
        new = short_config(tmp_path, processes)
        new.default_hooks.checkpoint.interval = 1
        # One image more than the processes can share out evenly.
        new.val_dataloader = copy.deepcopy(new.train_dataloader)
        new.val_dataloader.update(sampler=dict(type='DefaultSampler', shuffle=False))
        new.val_dataloader.dataset.counts = (10, 6, 8, 8, 7, 8)
        new.val_cfg, new.val_evaluator = {}, dict(type='GradeAccuracy')
        new.train_cfg.val_interval = 1
        if source is not None:
            new.resume, new.load_from = True, str(tmp_path / f'run_{source}' / 'epoch_2.pth')
            new.work_dir += '_resumed'
        return new

    one = alone(config(1))
    two = run_processes(2, train_together, config(2))
    assert_same(two, one)
    assert two[0]['metrics'] == two[1]['metrics'] == pytest.approx(one['metrics'])
    assert {'val/seen/top1', 'val/seen/forgetting', 'val/seen/top1_low'} <= set(one['metrics'])
    for processes, source in ((1, 2), (2, 1)):
        new = config(processes, source)
        resumed = [alone(new)] if processes == 1 else run_processes(2, train_together, new)
        rest = dict(one, losses=one['losses'][-4:])
        assert_same(resumed, rest)
        assert resumed[0]['metrics'] == pytest.approx(one['metrics'])
    report(
        AREA,
        'a run resumed with another number of processes',
        'from 2 to 1 and from 1 to 2, the same global batch, at a promotion',
        2,
        'losses, weights, accuracies and forgetting are those of an uninterrupted run',
    )
    report(
        AREA,
        'a validation set that the processes cannot share out evenly',
        '47 images on 2 processes, after each grade',
        3,
        'each image counts once; all processes know the accuracies of one process',
    )


def own_teachers(rank, config):
    """Train with teachers from this process's own folder, changed in the second process."""
    for teacher in config.model.teachers:
        teacher.ckpt = str(
            Path(teacher.ckpt).with_name(f'process_{rank}') / Path(teacher.ckpt).name
        )
    config.model_wrapper_cfg = dict(broadcast_buffers=True)
    runner = build_runner(config)
    faculty = runner.model.module.faculty
    tensors = [
        tensor for teacher in faculty.teachers for tensor in teacher.network.state_dict().values()
    ]
    with torch.no_grad():
        for tensor in tensors:
            tensor.add_(rank)
    before = [tensor.clone() for tensor in tensors]
    runner.train()
    inside = {
        tensor.data_ptr() for tensor in [*runner.model.parameters(), *runner.model.buffers()]
    }
    return dict(
        sources=[teacher.source for teacher in faculty.teachers],
        unchanged=all(torch.equal(a, b) for a, b in zip(before, tensors)),
        shared=sum(tensor.data_ptr() in inside for tensor in tensors),
        sums=[float(tensor.double().sum()) for tensor in tensors],
        sizes=[tensor.numel() for tensor in tensors],
        reduced=sum(parameter.numel() for parameter in runner.model.parameters()),
    )


def test_teachers_are_neither_broadcast_nor_reduced(tmp_path, report):
    config = short_config(tmp_path, 2)
    for rank in range(2):
        (tmp_path / f'process_{rank}').mkdir()
        for teacher in config.model.teachers:
            path = Path(teacher.ckpt)
            (tmp_path / f'process_{rank}' / path.name).write_bytes(path.read_bytes())
    for teacher in config.model.teachers:
        Path(teacher.ckpt).unlink()
    first, second = run_processes(2, own_teachers, config)
    assert all('process_0' in source for source in first['sources'])
    assert all('process_1' in source for source in second['sources'])
    assert first['unchanged'] and second['unchanged']
    assert first['shared'] == second['shared'] == 0
    for mine, theirs, size in zip(first['sums'], second['sums'], first['sizes']):
        assert theirs == pytest.approx(mine + size, rel=1e-3)
    student = build(dict(config.model.architecture, student=dict(plain_student()['student'])))
    assert first['reduced'] == sum(parameter.numel() for parameter in student.parameters())
    report(
        AREA,
        "a process's teachers",
        "each process reads its own files; then the second's tensors are changed",
        sum(first['sizes']),
        'of these numbers none is a parameter or buffer of the wrapped model, and none is changed by '
        'broadcasts (broadcast_buffers=True) and reductions of a run',
    )


def other_teacher(rank, config):
    if rank == 1:
        config.model.teachers[0].ckpt = config.model.teachers[0].ckpt.replace('low', 'mid')
    build_runner(config).train()


def nothing_to_resume(rank, config):
    config.resume = True
    config.work_dir += f'_{rank}'
    if rank == 0:
        Path(config.work_dir).mkdir()
        source = Path(config.load_from)
        (Path(config.work_dir) / 'epoch_1.pth').write_bytes(source.read_bytes())
        (Path(config.work_dir) / 'last_checkpoint').write_text(
            str(Path(config.work_dir) / 'epoch_1.pth')
        )
    config.load_from = None
    build_runner(config).train()


def unequal_batches(rank, config):
    config.train_dataloader.sampler.round_up = False
    config.train_dataloader.dataset.counts = (7, 6, 8, 8, 7, 9)
    build_runner(config).train()


def other_order(rank, config):
    config.model.curriculum.class_order = [5, 4, 3, 2, 1, 0] if rank else [0, 1, 2, 3, 4, 5]
    build_runner(config).train()


@pytest.mark.parametrize(
    'given, message',
    [
        (other_order, 'another choice of classes in grade "low"'),
        (other_teacher, 'another checkpoint of teacher "low"'),
        (nothing_to_resume, 'another checkpoint to load'),
        (unequal_batches, 'another number of batches in grade "low"'),
    ],
)
def test_processes_that_have_been_given_different_things_all_refuse(
    given, message, tmp_path, report
):
    config = short_config(tmp_path, 2)
    if given is nothing_to_resume:
        config.load_from = config.model.teachers[0].ckpt
    errors = run_processes(2, given, config, fails=True)
    sentences = {error.splitlines()[0] for error in errors}
    assert len(sentences) == 1
    assert message in sentences.pop()
    report(
        AREA,
        f'process 1 has {message}',
        'a file or a setting differs between 2 processes',
        1,
        'both end with the same sentence before training',
    )


def sampler_seed(rank, config):
    config.randomness = dict(seed=None)
    runner = build_runner(config)
    sampler = runner.train_loop.dataloader.sampler
    return dict(seed=sampler.seed, indices=list(sampler))


def test_without_a_seed_the_processes_agree_on_one(tmp_path):
    first, second = run_processes(2, sampler_seed, short_config(tmp_path, 2))
    assert first['seed'] == second['seed']
    assert sorted(first['indices'] + second['indices']) == list(range(48))


# ---- the command line
def run_command(rank, tool, options, folder):
    """Run a command line; return its exit code. What it prints goes to a file."""
    with open(folder / f'output_{rank}', 'w') as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, 'w'), os.fdopen(2, 'w', buffering=1)
        try:
            run_tool(tool, [*options[rank % len(options)], '--launcher', 'pytorch'])
            return 0
        except SystemExit as end:
            return end.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def printed(folder, count=2):
    return [(folder / f'output_{rank}').read_text() for rank in range(count)]


def written_config(tmp_path, **changes):
    """A short config as a file that imports what the tests' data set needs."""
    config = short_config(tmp_path, 2)
    config.custom_imports = dict(imports=['toy_images'], allow_failed_imports=False)
    config.test_dataloader = copy.deepcopy(config.train_dataloader)
    config.test_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
    config.test_cfg, config.test_evaluator = {}, dict(type='GradeAccuracy')
    config.merge_from_dict(changes)
    config.dump(str(tmp_path / 'school.py'))
    return str(tmp_path / 'school.py')


# What is wrong, the changes of the config, and what the sentence says.
MISTAKES = [
    (
        'in the config of both processes, a grade named twice',
        {'model.curriculum.grades.1.name': 'low'},
        '"low"',
    ),
    (
        "in the config of process 1 alone, a teacher's checkpoint that is not there",
        {},
        '"/nowhere/low.pth" of teacher "low" does not exist',
    ),
    (
        "MMEngine's FlexibleRunner, with FSDPStrategy",
        dict(runner_type='FlexibleRunner', strategy=dict(type='FSDPStrategy')),
        'runner_type is "FlexibleRunner"',
    ),
    (
        'model_wrapper_cfg of type MMFullyShardedDataParallel',
        dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')),
        'model_wrapper_cfg.type must be',
    ),
    (
        'model_wrapper_cfg with static_graph=True and three depths',
        dict(model_wrapper_cfg=dict(static_graph=True)),
        'model_wrapper_cfg.static_graph must be False',
    ),
    ('sync_bn="torch" without GPUs', dict(sync_bn='torch'), 'on GPUs only'),
    pytest.param(
        'teachers that are no better than chance',
        {},
        'and chance is 50.0 %',
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize('what, changes, words', MISTAKES)
def test_a_mistake_ends_all_processes_with_one_sentence(what, changes, words, tmp_path, report):
    path = written_config(tmp_path, **changes)
    options = [[path], [path]]
    if 'alone' in what:
        options[1] += ['--cfg-options', 'model.teachers.0.ckpt=/nowhere/low.pth']
    start = time.monotonic()
    assert run_processes(2, run_command, 'train', options, tmp_path) == [2, 2]
    text = ''.join(printed(tmp_path))
    assert text.count('error: ') == 1, text
    assert 'Traceback' not in text
    assert words in text
    report(
        AREA,
        'a mistake that a user can make',
        what,
        1,
        'both processes end with status 2, one sentence in all is printed, no traceback',
    )
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_teachers_are_trained_and_the_student_is_exported_once(tmp_path, report):
    path = written_config(
        tmp_path,
        teacher_training=dict(train_cfg=dict(max_epochs=1)),
        default_hooks=dict(checkpoint=dict(interval=1)),
    )
    for name in ('low', 'mid', 'high'):
        (tmp_path / f'teacher_{name}.pth').unlink()
    options = [[path, '--train-teachers', '--no-teacher-test']]
    assert run_processes(2, run_command, 'train', options, tmp_path) == [0, 0]
    first, second = printed(tmp_path)
    assert first.count('Training teacher') == 3
    assert 'Training teacher' not in second and 'plain MMPretrain student' not in second
    files = {file.name for file in tmp_path.rglob('*') if file.is_file()}
    assert {'teacher_low.pth', 'teacher_mid.pth', 'teacher_high.pth', 'student.pth'} <= files
    assert not [name for name in files if name.endswith('.part')]
    loads = torch.load(tmp_path / 'run_2' / 'student.pth', weights_only=True)
    assert loads['state_dict']['head.fc.weight'].shape[0] == 6
    report(
        AREA,
        '--train-teachers and the export at the end on several processes',
        '2 processes, 3 experts without a checkpoint',
        4,
        'each expert is trained by both processes; process 0 alone writes files, the other waits',
    )


def shell(script, *arguments, **environment):
    """Run a script of tools/; return its exit code and what it printed."""
    environment = dict(
        os.environ,
        PYTHONPATH=python_path(ROOT, ROOT / 'tests'),
        PYTHON=sys.executable,
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='-1',
        PORT=str(free_port()),
        **environment,
    )
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        timeout=300,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_a_script_without_its_arguments_says_what_they_are(script):
    code, text = shell(script)
    assert code == 2
    assert text.startswith('usage: ') and 'CONFIG' in text and len(text.splitlines()) == 1


@pytest.mark.slow
def test_dist_train_ends_when_one_process_has_no_teacher(tmp_path, full, report):
    """torchrun's own processes; one has a checkpoint that the other lacks."""
    path = written_config(tmp_path)
    text = Path(path).read_text().replace('teacher_low.pth', 'teacher_{{$RANK:0}}.pth')
    Path(path).write_text(text)
    (tmp_path / 'teacher_low.pth').rename(tmp_path / 'teacher_0.pth')
    start = time.monotonic()
    code, text = shell('dist_train.sh', path, 2)
    assert code != 0
    assert text.count('error: the checkpoint') == 1, text
    assert 'teacher_1.pth" of teacher "low" does not exist' in text
    report(
        AREA,
        'an error in one of the processes of tools/dist_train.sh',
        "a teacher's checkpoint that process 1 lacks, while process 0 waits for it",
        1,
        'one sentence is printed and torchrun ends both processes within seconds',
    )
    assert time.monotonic() - start < 120


@pytest.mark.slow
def test_dist_train_and_dist_test_run(tmp_path, full, report):
    if not full:
        pytest.skip('only with --full')
    path = written_config(tmp_path, default_hooks=dict(checkpoint=dict(interval=1)))
    code, text = shell('dist_train.sh', path, 2, '--no-teacher-test')
    assert code == 0, text
    one, two = tmp_path / 'one.json', tmp_path / 'two.json'
    checkpoint = tmp_path / 'run_2' / 'epoch_3.pth'
    for processes, out in ((1, one), (2, two)):
        code, text = shell('dist_test.sh', path, checkpoint, processes, '--out', out)
        assert code == 0, text
    assert one.read_text() == two.read_text()
    report(
        AREA,
        'tools/dist_train.sh and tools/dist_test.sh without a GPU',
        '2 processes of torchrun train three grades; 1 and 2 test the last checkpoint',
        3,
        'the tests give equal accuracies',
    )


SRUN = """#!/usr/bin/env bash
# Does what slurm's srun does for one machine: starts the processes, tells each its number.
echo "$@" > "$(dirname "$0")/srun_arguments"
while [ "$1" != "$PYTHON" ]; do
    if [ "$1" = --ntasks ]; then tasks="$2"; fi
    shift
done
for ((task = 0; task < tasks; task++)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=$tasks SLURM_NNODES=1 "$@" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
exit ${code:-0}
"""


@pytest.mark.slow
def test_slurm_train_joins_the_processes_of_srun(tmp_path, full, report):
    tasks = 2 if full else 1
    srun = tmp_path / 'bin' / 'srun'
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    path = written_config(tmp_path, **{'model.curriculum.grades.1.name': 'low'})
    code, text = shell(
        'slurm_train.sh',
        'school',
        'lesson',
        path,
        tmp_path / 'run',
        GPUS=str(tasks),
        GPUS_PER_NODE='0',
        SRUN_ARGS='--quiet --exclusive',
        PATH=f'{srun.parent}{os.pathsep}{os.environ["PATH"]}',
    )
    assert code == 2
    # Once, because the processes know each other.
    assert text.count('error: ') == 1, text
    arguments = (srun.parent / 'srun_arguments').read_text()
    for expected in (
        f'--partition school --job-name lesson --ntasks {tasks} --cpus-per-task 5',
        '--kill-on-bad-exit=1 --quiet --exclusive',
        f'{path} --work-dir {tmp_path / "run"} --launcher slurm',
    ):
        assert expected in arguments
    assert '--gres' not in arguments
    report(
        AREA,
        'an error in a job of tools/slurm_train.sh without GPUs',
        f"a stand-in for srun starts {tasks} processes with slurm's variables",
        1,
        'the processes find each other, one sentence is printed, the job ends with status 2',
    )
