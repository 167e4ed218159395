"""Several processes train what one trains on the same global batch."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.model import convert_sync_batchnorm
from networks import build, kd_distiller, resnet
from processes import build_runner, free_port, outcome, run_processes, train_together
from runs import school_config
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce

AREA = 'Several processes'
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
        teacher_of(tmp_path, name, name, 2, seed) for seed, name in enumerate(('low', 'mid', 'high'))
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


KINDS = dict(
    experts=with_experts,
    entropy=with_entropy,
    connectors=with_connectors,
    accumulation=with_accumulation_and_clipping,
    iterations=with_iterations,
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


def assert_same_weights(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
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


@pytest.mark.parametrize('kind', KINDS)
def test_processes_train_what_one_trains_on_the_same_global_batch(kind, tmp_path, full, report):
    def config(processes):
        new = short_config(tmp_path, processes)
        KINDS[kind](new, tmp_path)
        return new

    one = alone(config(1))
    assert len(one['losses']) == 9
    counts = (2, 4) if full or kind in ('experts', 'connectors') else (2,)
    for count in counts:
        several = run_processes(count, train_together, config(count))
        assert any(a != b for a, b in zip(several[0]['losses'], several[1]['losses']))
        assert_same(several, one)
        lacking = somewhere_lacks(several, ({0, 1}, {2, 3}, {4, 5}))
        if kind in ('experts', 'connectors'):
            assert lacking > 0
