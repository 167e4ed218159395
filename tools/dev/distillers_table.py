"""Train by each classification config of MMRazor in grades; writes docs/distillers.md."""

import math
import os.path as osp
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import mmrazor
import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from page import run_page_tool
from torch import nn

from edudistill_mm.compat import switch_off_inplace
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.load import load_config
from edudistill_mm.config.networks import network_config
from edudistill_mm.config.plain_distillation import as_written
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.distillers import count_weights
from edudistill_mm.models.network import build_module, build_network

FOLDER = Path(mmrazor.__file__).parent / '.mim' / 'configs' / 'distill' / 'mmcls'
BATCH, STEPS = 4, 2
# A sample and the negatives that MMRazor's config of CRD asks for.
CONTRASTS = 1 + 16384

# What a config distils, by the folder in which it is.
KINDS = {
    'abloss': 'activation boundaries, two stages',
    'byot': 'self-distillation, exits at the stages',
    'crd': 'contrastive, memory bank',
    'dafl': 'data-free',
    'deit': 'hard label to the distillation token',
    'dfad': 'data-free',
    'dist': 'logits',
    'dkd': 'logits and labels',
    'factor_transfer': 'factors of features, two stages',
    'fitnets': 'features and logits',
    'kd': 'logits',
    'ofd': 'features before the ReLU, margins',
    'rkd': 'relations of pooled features',
    'wsld': 'logits and labels',
    'zskt': 'data-free',
}

# The second stage of a two-stage distiller starts from the checkpoint of the first.
FIRST_STAGE = {
    'abloss/abloss_logits_resnet50_resnet18_8xb32_in1k.py': (
        'abloss/abloss_pretrain_backbone_resnet50_resnet18_8xb32_in1k.py'
    ),
    'factor_transfer/factor-transfer_backbone_resnet50_resnet18_8xb16_cifar10_train.py': (
        'factor_transfer/factor-transfer_backbone_resnet50_resnet18_8xb16_cifar10_pretrain.py'
    ),
}

REMARKS = {
    'byot': (
        "the reference is the deepest exit of a lower grade; the exits' features learn from "
        'those of the complete student'
    ),
    'crd': "identical once MMRazor's `CRDLoss` counts its `loss_weight`",
    'dkd': "`reduction='mean'` is a sum in MMRazor 1.0.0, of which a warning tells",
    'ofd': "identical to MMRazor's once modules work out of place there too",
}

PAGE = Path(__file__).parents[2] / 'docs' / 'distillers.md'

INTRODUCTION = """# Distillers

Written by `python tools/dev/distillers_table.py`; do not edit.

Each of the {total} distillation configs that MMRazor 1.0.0 ships for classification is used as it is,
through `_base_ = 'mmrazor::distill/mmcls/...'`, with `type='EducationDistill'` and a curriculum:
**{ran} of {total} train**, and {refused} are refused with the reason.

- *Grade 1* and *last grade*: the distillation losses that are awake in a curriculum of two grades,
  the first of which has half of the stages and half of the classes. The others sleep until the modules
  exist whose outputs they read. All losses were finite over two optimizer steps in each grade.
- *= MMRazor*: in a curriculum of one grade, losses and weights are those of MMRazor's own algorithm
  bit for bit, over two optimizer steps.
- *Connectors*: each trainable parameter of a connector got a gradient as soon as a loss that reads it
  was awake.

| config | distils | grade 1 | last grade | = MMRazor | connectors | remark |
|---|---|---|---|---|---|---|
"""


@dataclass
class DistillerRow:
    """What became of a config.

    Args:
        name (str): Path of the config below MMRazor's ``configs/distill/mmcls``.
        awake (list[list[str]]): Names of the losses awake at each of two grades.
        finite (bool): Whether all losses were finite.
        identical (bool): Whether one grade equals MMRazor's algorithm bit for bit.
        connectors_learn (bool, optional): Whether each trainable parameter of the connectors that
            awake losses read had a gradient. None if there are no such parameters.
        reason (str): Why the config is refused. Empty if it is not.
    """

    name: str
    awake: list[list[str]] = field(default_factory=list)
    finite: bool = False
    identical: bool = False
    connectors_learn: bool | None = None
    reason: str = ''

    @property
    def ran(self) -> bool:
        """bool: Whether the config trained, and as it should."""
        return self.finite and self.identical and self.connectors_learn is not False

    def markdown(self) -> str:
        """The row of the table."""
        kind = osp.dirname(self.name)
        start = f'| `{self.name}` | {KINDS[kind]} |'
        if self.reason:
            return f'{start} - | - | - | - | refused: {self.reason} |'
        first, last = (', '.join(f'`{name}`' for name in names) or 'none' for names in self.awake)
        identical = 'yes' if self.identical else 'no'
        learn = {None: '-', True: 'yes', False: 'no'}[self.connectors_learn]
        return f'{start} {first} | {last} | {identical} | {learn} | {REMARKS.get(kind, "")} |'


def shipped_configs() -> list[str]:
    """All of MMRazor's distillation configs for classification."""
    files = [file.relative_to(FOLDER) for file in sorted(FOLDER.glob('*/*.py'))]
    return [file.as_posix() for file in files]


def check_distiller(name: str, folder: str, options: dict | None = None) -> DistillerRow:
    """Train by a config of MMRazor in two grades and in one.

    Weights that the config would download are replaced by random ones.
    """
    try:
        algorithm = _algorithm(_education_config(name, folder, 2, options))
    except ConfigurationError as error:
        return DistillerRow(name, reason=str(error))
    row = DistillerRow(name, finite=True)
    connectors: list[bool] = []
    for grade in algorithm.curriculum.grades:
        algorithm.set_grade(grade)
        row.awake.append(algorithm.losses_awake)
        for losses in _train(algorithm, grade.seen, name):
            row.finite = row.finite and all(map(math.isfinite, losses.values()))
        connectors += _connectors_with_gradients(algorithm)
    row.connectors_learn = all(connectors) if connectors else None
    row.identical = _equals_mmrazor(name, folder, options)
    return row


def _education_config(name: str, folder: str, grades: int, options: dict | None) -> Config:
    """What a user writes over one of MMRazor's configs, with local weights."""
    plain = _mmrazor_config(name, folder, options)
    if 'generator' not in plain.model:
        student = network_config(plain.model.architecture, 'architecture')
        total = student.head.num_classes
    else:
        total = 10
    first = [dict(epochs=1, fragments=1, classes=total // 2)] if grades == 2 else []
    curriculum = dict(
        num_classes=total, grades=[*first, dict(epochs=1, fragments=grades, classes='all')]
    )
    cfg = _mmrazor_config(
        name,
        folder,
        options,
        f"""
model = dict(type='EducationDistill', curriculum={curriculum!r})
train_cfg = dict(max_epochs={grades})
train_dataloader = dict(sampler=dict(type='GradeSampler'))
custom_hooks = [dict(type='GradeSchedulerHook')]
""",
    )
    check_config(RunConfig(cfg))
    return cfg


def _mmrazor_config(name: str, folder: str, options: dict | None, lines: str = '') -> Config:
    """One of MMRazor's configs with some lines below it, and random weights for its teacher."""
    file = Path(folder) / 'education.py'
    file.write_text(f"_base_ = 'mmrazor::distill/mmcls/{name}'\n{lines}")
    cfg = load_config(str(file), options).cfg
    model = cfg.model
    if isinstance(model.get('teacher'), dict):
        # Neither the architecture nor the head may ask for published weights.
        for part in (model.teacher, model.teacher.get('backbone') or {}):
            if 'pretrained' in part:
                part.pretrained = False
        (model.teacher.get('head') or {}).pop('init_cfg', None)
        model.teacher_ckpt = osp.join(folder, 'teacher.pth')
        if not osp.exists(model.teacher_ckpt):
            _save(build_network(model.teacher.to_dict(), 'teacher'), model.teacher_ckpt)
    if name in FIRST_STAGE:
        model.init_cfg.checkpoint = osp.join(folder, 'first_stage.pth')
        if not osp.exists(model.init_cfg.checkpoint):
            with TemporaryDirectory() as other:
                first = _algorithm(_mmrazor_config(FIRST_STAGE[name], other, options))
            _save(first, model.init_cfg.checkpoint)
    return cfg


def _save(network: nn.Module, path: str) -> None:
    torch.manual_seed(0)
    network.init_weights()
    torch.save(dict(state_dict=network.state_dict()), path)


def _algorithm(cfg: Config) -> nn.Module:
    """Build the algorithm of a config as a runner does, with fixed weights."""
    model = cfg.model.to_dict()
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    torch.manual_seed(0)
    algorithm = build_module(model, 'model', 'mmpretrain')
    algorithm.init_weights()
    return algorithm


def _train(algorithm: nn.Module, classes: Sequence[int], name: str) -> list[dict[str, float]]:
    """Two optimizer steps; the losses of each. The gradients of the last are left in place."""
    algorithm.train()
    optimizer = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=1e-3, momentum=0.9))
    random, log = torch.Generator().manual_seed(0), []
    side = 224 if 'deit' in name else 32
    for step in range(STEPS):
        pictures = torch.randint(256, (BATCH, 3, side, side), generator=random, dtype=torch.uint8)
        samples = [DataSample().set_gt_label(classes[index % 3]) for index in range(BATCH)]
        if 'crd' in name:
            for index, sample in enumerate(samples):
                sample.set_field(torch.tensor(index), 'sample_idx')
                others = torch.randint(1000, (CONTRASTS,), generator=random)
                others[0] = index
                sample.set_field(others, 'contrast_sample_idxs')
        torch.manual_seed(step)
        np.random.seed(step)
        batch = algorithm.data_preprocessor(
            dict(inputs=list(pictures), data_samples=samples), training=True
        )
        losses = algorithm(**batch, mode='loss')
        total, values = algorithm.parse_losses(losses)
        log.append({key: float(value) for key, value in values.items()})
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return log


def _connectors_with_gradients(algorithm: nn.Module) -> list[bool]:
    """Whether each trainable parameter of connectors in active losses has a gradient."""
    found = []
    for distiller in algorithm.distillers.values():
        for loss in algorithm.losses_awake:
            for record in distiller.loss_forward_mappings[loss].values():
                connector = (
                    distiller.connectors[record['connector']] if record.get('connector') else None
                )
                # In its second stage, the paraphraser of factor transfer is frozen.
                if connector is not None and getattr(connector, 'phase', '') != 'train':
                    found += [
                        p.grad is not None for p in connector.parameters() if p.requires_grad
                    ]
    return found


def _equals_mmrazor(name: str, folder: str, options: dict | None) -> bool:
    """Whether a curriculum of one grade has the losses and weights of MMRazor's algorithm."""
    ours = _algorithm(_education_config(name, folder, 1, options))
    cfg = as_written(_mmrazor_config(name, folder, options))
    # MMRazor looks for the networks, and for the defaults in them, in its own scope.
    for key in ('architecture', 'teacher'):
        if key in cfg.model:
            cfg.model[key] = network_config(cfg.model[key], key)
            cfg.model[key]['_scope_'] = 'mmpretrain'
    theirs = _algorithm(cfg)
    if not ours.module_inplace:
        # MMRazor's own switch does nothing on new torch.
        switch_off_inplace(theirs)
    # Nor does the weight of its CRDLoss count.
    count_weights(theirs.distiller)
    theirs.architecture.load_state_dict(ours.student.student.state_dict())
    theirs.distiller.load_state_dict(next(iter(ours.distillers.values())).state_dict())
    classes = ours.curriculum.grades[0].seen
    if _train(ours, classes, name) != _train(theirs, classes, name):
        return False
    mine = ours.student.student.state_dict()
    return all(
        torch.equal(mine[key], tensor) for key, tensor in theirs.architecture.state_dict().items()
    )


def distillers_table(progress: Callable[[str], None] = lambda line: None) -> str:
    """Check all of MMRazor's configs; returns the page about them in Markdown."""
    rows = []
    for name in shipped_configs():
        with TemporaryDirectory() as folder:
            rows.append(check_distiller(name, folder))
        progress(rows[-1].markdown())
    ran = sum(row.ran for row in rows)
    refused = sum(bool(row.reason) for row in rows)
    lines = '\n'.join(row.markdown() for row in rows)
    return INTRODUCTION.format(total=len(rows), ran=ran, refused=refused) + lines + '\n'


def _row(name: str) -> str:
    with TemporaryDirectory() as folder:
        return check_distiller(name, folder).markdown()


def main() -> None:
    run_page_tool(
        __doc__, PAGE, 'tools/dev/distillers_table.py', 'configs', _row, distillers_table
    )


if __name__ == '__main__':
    main()
