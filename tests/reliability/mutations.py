"""Valid configs, and what becomes of them when one value in them is wrong."""

import contextlib
import copy
import functools
import io
import json
import logging
import math
import re
import traceback
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import toy_images  # noqa: F401
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.utils.dl_utils import collect_env
from networks import build, dkd_distiller, kd_distiller, resnet
from run_tool import run_tool

REMOVED = object()
COUNTS = (4, 4, 4, 4, 4, 4)
SECTIONS = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'train_cfg',
    'custom_hooks',
    'optim_wrapper',
    'param_scheduler',
    'val_evaluator',
)


class Enough(BaseException):
    """A run has trained as long as a test wants it to."""


@HOOKS.register_module(force=True)
class StopHook(Hook):
    """Ends a run, whatever its length, after six iterations."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not torch.isfinite(outputs['loss']):
            raise FloatingPointError('the loss is not finite')
        if runner.iter + 1 >= 6:
            raise Enough


# ---- valid configs
def experts(folder):
    """Three grades in epochs with an expert each, whose scores are distilled."""
    grades = [
        dict(name='low', epochs=1, fragments=1, classes=2, teachers=['low']),
        dict(name='mid', epochs=1, fragments=2, classes=2, teachers=['mid'], optimizer='reset'),
        dict(name='high', epochs=2, fragments=3, classes='all', teachers=['high']),
    ]
    teachers = [
        dict(
            name=grade['name'],
            architecture=resnet(2),
            ckpt=_weights(folder, resnet(2), grade['name']),
            classes=grade['name'],
        )
        for grade in grades
    ]
    return _run(
        folder,
        model=dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=teachers,
            distiller=kd_distiller(),
            curriculum=dict(num_classes=6, grades=grades),
            task_loss_weight=0.3,
            distill_loss_weight=0.7,
        ),
        data_preprocessor=dict(
            type='ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3, to_rgb=True
        ),
        train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=2),
        custom_hooks=[dict(type='GradeSchedulerHook'), dict(type='SafeCheckpointHook')],
        param_scheduler=[dict(type='MultiStepLR', milestones=[2], gamma=0.1, by_epoch=True)],
        val_dataloader=_loader(dict(type='DefaultSampler', shuffle=False)),
        val_cfg=dict(),
        val_evaluator=[dict(type='Accuracy', topk=1), dict(type='GradeAccuracy', topk=[1, 2])],
    )


def features(folder):
    """Two grades in iterations with a generalist, whose features are distilled and warmed up."""
    wide = resnet(base_channels=8)
    return _run(
        folder,
        model=dict(
            type='EducationDistill',
            architecture=dict(
                type='FragmentedStudent',
                student=resnet(),
                fragments=['layer1', 'layer3'],
                reference=dict(type='TeachingReference', width=8, pool_size=2, adapter=True),
                input_shape=[3, 8, 8],
            ),
            teachers=[
                dict(
                    name='wide',
                    architecture=wide,
                    ckpt=_weights(folder, wide, 'wide'),
                    classes='all',
                    weight=1.0,
                    input_size=16,
                )
            ],
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=dict(
                    early=dict(type='ModuleOutputs', source='backbone.layer1.1.relu'),
                    gap=dict(type='ModuleOutputs', source='neck.gap'),
                ),
                teacher_recorders=dict(
                    early=dict(type='ModuleOutputs', source='backbone.layer2.1.relu'),
                    gap=dict(type='ModuleOutputs', source='neck.gap'),
                ),
                connectors=dict(
                    early=dict(
                        type='ConvModuleConnector',
                        in_channel=4,
                        out_channel=16,
                        norm_cfg=dict(type='BN'),
                    ),
                    gap=dict(type='ConvModuleConnector', in_channel=16, out_channel=32),
                ),
                distill_losses=dict(
                    loss_early=dict(type='L2Loss', loss_weight=10.0, normalize=True),
                    loss_gap=dict(type='L2Loss', loss_weight=1.0),
                ),
                loss_forward_mappings=dict(
                    loss_early=dict(
                        s_feature=dict(
                            from_student=True, recorder='early', record_idx=1, connector='early'
                        ),
                        t_feature=dict(from_student=False, recorder='early', record_idx=1),
                    ),
                    loss_gap=dict(
                        s_feature=dict(from_student=True, recorder='gap', connector='gap'),
                        t_feature=dict(from_student=False, recorder='gap'),
                    ),
                ),
            ),
            curriculum=dict(
                num_classes=6,
                class_order=dict(type='shuffle', seed=1),
                grades=[
                    dict(name='low', iters=3, fragments=1, classes=3),
                    dict(name='high', iters=3, fragments=2, classes=[0, 3, 5]),
                ],
            ),
            data_preprocessor=dict(type='ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3),
        ),
        train_cfg=dict(by_epoch=False, max_iters=6, val_interval=3),
        custom_hooks=[
            dict(type='GradeSchedulerHook'),
            dict(type='DistillWarmupHook', iters=2, losses=['loss_early'], each_grade=True),
            dict(type='EMAHook', momentum=0.01),
        ],
        param_scheduler=[
            dict(type='CosineAnnealingLR', T_max=6, eta_min=0.001, by_epoch=False),
        ],
    )


def shared(folder):
    """Two teachers that share classes, weighed sample by sample, with decoupled distillation."""
    return _run(
        folder,
        model=dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[
                dict(
                    name='all',
                    architecture=resnet(),
                    ckpt=_weights(folder, resnet(), 'all'),
                    weight=2.0,
                    data_preprocessor=dict(mean=[50.0] * 3, std=[50.0] * 3, to_rgb=True),
                ),
                dict(
                    name='some',
                    architecture=resnet(4),
                    ckpt=_weights(folder, resnet(4), 'some'),
                    classes=[0, 2, 3, 5],
                    input_size=[16, 16],
                ),
            ],
            teacher_weighting='confidence',
            distiller=dkd_distiller(),
            curriculum=dict(
                num_classes=6,
                class_order=[5, 4, 3, 2, 1, 0],
                grades=[
                    dict(epochs=1, fragments=2, classes=4, samples='by_teacher'),
                    dict(epochs=1, fragments=3, classes=2),
                ],
            ),
            student_trainable=True,
            calculate_student_loss=True,
            teacher_trainable=False,
            teacher_norm_eval=True,
            module_inplace=False,
        ),
        data_preprocessor=dict(
            type='ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3, to_rgb=False
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
        custom_hooks=[
            dict(type='GradeSchedulerHook'),
            dict(type='DistillWarmupHook', epochs=1),
        ],
    )


def alone(folder):
    """The student as its own teacher, with an early exit (BYOT)."""
    exit_of = dict(from_student=True, recorder='bb', record_idx=1, connector='exit')
    return _run(
        folder,
        model=dict(
            type='EducationDistill',
            architecture=dict(type='FragmentedStudent', student=resnet(), input_shape=[3, 8, 8]),
            distiller=dict(
                type='BYOTDistiller',
                student_recorders=dict(
                    bb=dict(type='ModuleOutputs', source='backbone.layer1.1.relu')
                ),
                teacher_recorders=dict(
                    fc=dict(type='ModuleOutputs', source='head.fc'),
                    labels=dict(type='ModuleInputs', source='head.loss_module'),
                ),
                connectors=dict(
                    exit=dict(
                        type='BYOTConnector',
                        in_channel=4,
                        out_channel=16,
                        expansion=1,
                        kernel_size=3,
                        stride=2,
                        num_classes=6,
                        pool_size=2,
                    )
                ),
                distill_losses=dict(
                    loss_label=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.7),
                    loss_soft=dict(type='KLDivergence', tau=3.0, reduction='batchmean'),
                ),
                loss_forward_mappings=dict(
                    loss_label=dict(
                        cls_score=dict(exit_of, connector_idx=1),
                        label=dict(recorder='labels', from_student=False, data_idx=1),
                    ),
                    loss_soft=dict(
                        preds_S=dict(exit_of, connector_idx=1),
                        preds_T=dict(recorder='fc', from_student=False),
                    ),
                ),
            ),
            curriculum=dict(
                num_classes=6,
                grades=[
                    dict(epochs=1, fragments=2, classes=3),
                    dict(epochs=1, fragments=3, classes=3),
                ],
            ),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        custom_hooks=[dict(type='GradeSchedulerHook')],
    )


CONFIGS = dict(experts=experts, features=features, shared=shared, alone=alone)


def _weights(folder, network, name):
    path = folder / f'{name}.pth'
    torch.save(dict(state_dict=build(network, len(name)).state_dict()), path)
    return str(path)


def _loader(sampler):
    return dict(
        batch_size=8,
        num_workers=0,
        sampler=sampler,
        dataset=dict(type='ToyImages', counts=COUNTS),
    )


def _run(folder, **parts):
    return dict(
        default_scope='mmpretrain',
        train_dataloader=dict(
            _loader(dict(type='GradeSampler', shuffle=True, seed=3, round_up=True)),
            drop_last=False,
        ),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.0005),
            clip_grad=dict(max_norm=5.0),
        ),
        default_hooks=dict(
            runtime_info=dict(type='RuntimeInfoHook'),
            checkpoint=None,
            logger=None,
            stop=dict(type='StopHook'),
        ),
        env_cfg=dict(),
        vis_backends=[],
        visualizer=dict(type='Visualizer', vis_backends=[]),
        randomness=dict(seed=0),
        log_level='ERROR',
        **parts,
    )


# ---- mutations
@dataclass(frozen=True)
class Mutation:
    """One fault in a config.

    Args:
        config (str): Which of :data:`CONFIGS`.
        path (tuple): Keys and indices that lead to the value.
        kind (str): What was done to it.
        value (Any): What stands there instead.
        new_key (str, optional): Under which key; None: the same.
    """

    config: str
    path: tuple
    kind: str
    value: Any
    new_key: str = None

    @property
    def key(self):
        """str: The dotted path."""
        return '.'.join(map(str, self.path))

    def named_in(self, sentence):
        """Whether a sentence names the key itself, and whether it names an option that it is
        in."""
        options = [str(part) for part in self.path if not isinstance(part, int)]
        options = options[1:] if options[0] == 'model' and len(options) > 1 else options
        words = set(re.findall(r'\w+', sentence))
        itself = bool({self.new_key, options[-1]} & words)
        return itself, itself or bool(set(options) & words)

    @property
    def section(self):
        """str: The part of the config that it is in."""
        if self.path[0] == 'model':
            part = self.path[1] if len(self.path) > 1 else 'model'
            return part if part in PARTS_OF_MODEL else 'model'
        return 'sampler' if 'sampler' in self.path else self.path[0]

    def apply(self, config):
        """The config with the fault; the given one is left untouched."""
        config = copy.deepcopy(config)
        node = config
        for part in self.path[:-1]:
            node = node[part]
        last = self.path[-1]
        if self.new_key is not None:
            node[self.new_key] = node.pop(last) if self.value is REMOVED else self.value
        elif self.value is REMOVED:
            del node[last]
        else:
            node[last] = copy.deepcopy(self.value)
        return config

    def __str__(self):
        return f'{self.config}: {self.key} {self.kind}'


PARTS_OF_MODEL = ('architecture', 'teachers', 'distiller', 'curriculum', 'data_preprocessor')


def misspell(word):
    """A word with two letters swapped."""
    for index in range(len(word) // 2, len(word) - 1):
        if word[index] != word[index + 1]:
            return f'{word[:index]}{word[index + 1]}{word[index]}{word[index + 2 :]}'
    return f'{word}{word[-1:] or "x"}'


def values_instead(value):
    """(what is wrong with it, wrong value) for a value, by its type."""
    none, text, number = ('None', None), ('a text', 'text'), ('a number', 7)
    empty_list, empty_dict = ('an empty list', []), ('an empty dict', {})
    if isinstance(value, bool):
        return [none, ('a text', 'yes'), ('a number', 2), empty_list]
    if isinstance(value, (int, float)):
        return [
            none,
            text,
            ('its digits as a text', str(value)),
            ('a list', [value]),
            ('a bool', True),
            ('negative', -abs(value) or -1),
            ('zero', 0),
            ('NaN', math.nan),
            ('infinite', math.inf),
            *([('a fraction', value + 0.5)] if isinstance(value, int) else []),
        ]
    if isinstance(value, str):
        return [
            none,
            number,
            ('an empty text', ''),
            ('a list', [value]),
            empty_dict,
            ('misspelt', misspell(value)),
        ]
    if isinstance(value, list):
        return [
            none,
            text,
            number,
            empty_dict,
            empty_list,
            ('with its last item twice', value + value[-1:]),
            ('with None in it', [*value, None]),
        ]
    return [none, text, number, empty_list, empty_dict]


def walk(name, node, path):
    """All mutations of a part of a config."""
    for kind, value in values_instead(node):
        if type(value) is not type(node) or value != node:
            yield Mutation(name, path, f'is {kind}', value)
    if isinstance(node, dict) and path[-1] != 'dataset':
        for key in node:
            yield Mutation(name, (*path, key), 'is missing', REMOVED)
            yield Mutation(name, (*path, key), 'has a misspelt key', REMOVED, misspell(key))
        first = next(iter(node))
        yield Mutation(name, (*path, first), 'has an unknown key beside it', 1, f'{first}_2')
        for key, value in node.items():
            yield from walk(name, value, (*path, key))
    elif isinstance(node, list) and node:
        # Numbers and names in a list are alike; dicts are not.
        count = len(node) if isinstance(node[0], dict) else 1
        for index in range(count):
            yield from walk(name, node[index], (*path, index))


def all_mutations(configs):
    """Mutations of all configs, each form once: indices in lists, names that are free to choose
    and networks in several places count as one another."""
    seen = set()
    for name, config in configs.items():
        for section in SECTIONS:
            if section not in config:
                continue
            for mutation in walk(name, config[section], (section,)):
                form = (_form(mutation.path), mutation.kind)
                if form not in seen:
                    seen.add(form)
                    yield mutation


def _form(path):
    form = ['*' if isinstance(part, int) else part for part in path]
    for network in ('backbone', 'neck', 'head'):
        if network in form[:-1] and path[1] in ('architecture', 'teachers'):
            return tuple(form[form.index(network) :])
    if form[:2] == ['model', 'data_preprocessor']:
        return tuple(form[1:])
    if form[:2] == ['model', 'distiller'] and len(form) > 3:
        # The loss's own arguments are no names that are free to choose.
        form[3] = '*'
        form[2] = form[2].replace('teacher_', 'student_')
        if form[2] == 'loss_forward_mappings' and len(form) > 4:
            form[4] = '*'
    return tuple(form)


# ---- outcomes
environment = functools.cache(collect_env)


@dataclass
class Outcome:
    """What the command line did: 'refused' | 'trained' | 'traceback', and what it said."""

    what: str
    said: str


def outcome(config, folder):
    """Train by a config as ``tools/train.py`` does, for six iterations at most."""
    file = folder / 'config.json'
    file.write_text(json.dumps(config))
    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            # Half of the time, otherwise: laying out the config for the log, asking for compilers.
            mock.patch(
                'mmengine.config.config.FormatCode', lambda text, **_: (text, True), create=True
            ),
            mock.patch('mmengine.runner.runner.collect_env', environment),
        ):
            arguments = [str(file), '--no-teacher-test', '--work-dir', str(folder / 'run')]
            run_tool('train', arguments)
        return Outcome('trained', '')
    except Enough:
        return Outcome('trained', '')
    except SystemExit as end:
        lines = [line for line in err.getvalue().splitlines() if line.startswith('error: ')]
        rest = err.getvalue().split('error: ', 1)[-1].strip().splitlines()
        if end.code == 2 and len(lines) == 1 and len(rest) == 1:
            return Outcome('refused', lines[0])
        return Outcome('traceback', f'status {end.code}: {err.getvalue()}')
    except Exception:
        return Outcome('traceback', traceback.format_exc())
    finally:
        for logger in logging.Logger.manager.loggerDict.values():
            for handler in list(getattr(logger, 'handlers', ())):
                if isinstance(handler, logging.FileHandler):
                    handler.close()
                    logger.removeHandler(handler)
