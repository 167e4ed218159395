"""Which backbones of MMPretrain can be cut automatically, found by cutting each of them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from literature_table import literature_table
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from page import run_page_tool
from torch import nn

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models import FragmentedStudent
from edudistill_mm.models.network import build_module

NUM_CLASSES = 6
# Classes that a lower grade teaches in the check, and the labels of the two images.
SEEN, LABELS = (0, 2, 3), (3, 0)

_DISTILLED = '`head.distillation=False`: MMPretrain cannot train the distilled head'

# The smallest official variant of each backbone (of a small image, where the backbone is told the
# size), with the channels that its head reads. Neck and head are GlobalAveragePooling and
# LinearClsHead unless given.
STUDENTS: dict[str, dict[str, Any]] = {
    'AlexNet': dict(backbone=dict(num_classes=NUM_CLASSES), neck=None, head=dict(type='ClsHead')),
    'BEiTViT': dict(
        backbone=dict(
            arch='deit-tiny',
            img_size=64,
            patch_size=16,
            out_type='avg_featmap',
            use_abs_pos_emb=False,
            use_rel_pos_bias=True,
        ),
        channels=192,
        neck=None,
    ),
    'CSPDarkNet': dict(backbone=dict(depth=53), channels=1024),
    'CSPResNeXt': dict(backbone=dict(depth=50), channels=2048),
    'CSPResNet': dict(backbone=dict(depth=50), channels=1024),
    'Conformer': dict(
        backbone=dict(arch='tiny', drop_path_rate=0.1),
        neck=None,
        head=dict(type='ConformerHead', in_channels=[256, 384]),
    ),
    'ConvMixer': dict(backbone=dict(arch='768/32'), channels=768),
    'ConvNeXt': dict(
        backbone=dict(arch='atto', drop_path_rate=0.1, use_grn=True, layer_scale_init_value=0.0),
        channels=320,
        neck=None,
    ),
    'DaViT': dict(backbone=dict(arch='t', out_indices=(3,), drop_path_rate=0.1), channels=768),
    'DeiT3': dict(
        backbone=dict(arch='s', img_size=64, patch_size=16, drop_path_rate=0.05),
        channels=384,
        neck=None,
        head=dict(type='VisionTransformerClsHead'),
    ),
    'DenseNet': dict(backbone=dict(arch='121'), channels=1024),
    'DistilledVisionTransformer': dict(
        backbone=dict(arch='deit-tiny', img_size=64, patch_size=16),
        channels=192,
        neck=None,
        head=dict(type='DeiTClsHead'),
    ),
    'EdgeNeXt': dict(
        backbone=dict(arch='xxsmall', out_indices=(3,), gap_before_final_norm=True),
        channels=168,
        neck=None,
    ),
    'EfficientFormer': dict(
        backbone=dict(arch='l1'),
        channels=448,
        neck=dict(type='GlobalAveragePooling', dim=1),
        head=dict(type='EfficientFormerClsHead', distillation=False),
        note=_DISTILLED,
    ),
    'EfficientNet': dict(backbone=dict(arch='b0'), channels=1280),
    'EfficientNetV2': dict(backbone=dict(arch='b0'), channels=1280),
    'HRNet': dict(
        backbone=dict(arch='w18'),
        channels=2048,
        neck=[
            dict(type='HRFuseScales', in_channels=(18, 36, 72, 144)),
            dict(type='GlobalAveragePooling'),
        ],
    ),
    'HiViT': dict(
        backbone=dict(arch='tiny', img_size=64, ape=True, rpe=True, drop_path_rate=0.05),
        channels=384,
    ),
    'HorNet': dict(backbone=dict(arch='tiny', drop_path_rate=0.2), channels=512, neck=None),
    'InceptionV3': dict(
        backbone=dict(num_classes=NUM_CLASSES, aux_logits=False),
        neck=None,
        head=dict(type='ClsHead'),
    ),
    'LeNet5': dict(backbone=dict(num_classes=NUM_CLASSES), neck=None, head=dict(type='ClsHead')),
    'LeViT': dict(
        backbone=dict(arch='128s', img_size=64, patch_size=16, out_indices=(2,)),
        channels=384,
        head=dict(type='LeViTClsHead', distillation=False),
        note=_DISTILLED,
    ),
    'MViT': dict(backbone=dict(arch='tiny', img_size=64, drop_path_rate=0.1), channels=768),
    'MixMIMTransformer': dict(
        backbone=dict(arch='B', drop_path_rate=0.1), channels=1024, neck=None
    ),
    'MlpMixer': dict(
        backbone=dict(arch='s', img_size=64, patch_size=16, drop_rate=0.1),
        channels=512,
        neck=dict(type='GlobalAveragePooling', dim=1),
    ),
    'MobileNetV2': dict(backbone=dict(), channels=1280),
    'MobileNetV3': dict(backbone=dict(arch='small'), channels=576),
    'MobileOne': dict(backbone=dict(arch='s0', out_indices=(3,)), channels=1024),
    'MobileViT': dict(backbone=dict(arch='xx_small'), channels=320),
    'PCPVT': dict(
        backbone=dict(
            arch='small', out_indices=(3,), norm_after_stage=[False, False, False, True]
        ),
        channels=512,
    ),
    'PoolFormer': dict(backbone=dict(arch='s12', drop_path_rate=0.1), channels=512),
    'PyramidVig': dict(
        backbone=dict(arch='tiny', drop_path=0.1),
        channels=384,
        head=dict(type='VigClsHead', hidden_dim=1024),
    ),
    'RIFormer': dict(backbone=dict(arch='s12', drop_path_rate=0.1), channels=512),
    'RegNet': dict(backbone=dict(arch='regnetx_400mf'), channels=384),
    'RepLKNet': dict(backbone=dict(arch='31B', out_indices=(3,)), channels=1024),
    'RepMLPNet': dict(
        backbone=dict(arch='B', img_size=224, out_indices=(3,), reparam_conv_kernels=(1, 3)),
        channels=768,
    ),
    'RepVGG': dict(backbone=dict(arch='A0', out_indices=(3,)), channels=1280),
    'Res2Net': dict(backbone=dict(depth=50, scales=8, base_width=14), channels=2048),
    'ResNeSt': dict(backbone=dict(depth=50, out_indices=(3,)), channels=2048),
    'ResNeXt': dict(backbone=dict(depth=50, groups=32, width_per_group=4), channels=2048),
    'ResNet': dict(backbone=dict(depth=18), channels=512),
    'ResNetV1c': dict(backbone=dict(depth=50), channels=2048),
    'ResNetV1d': dict(backbone=dict(depth=50), channels=2048),
    'ResNet_CIFAR': dict(backbone=dict(depth=18), channels=512),
    'RevVisionTransformer': dict(
        backbone=dict(
            arch='deit-tiny',
            img_size=64,
            patch_size=16,
            out_type='avg_featmap',
            no_custom_backward=True,
        ),
        channels=384,
        neck=None,
        note='`no_custom_backward=True`: its own backward function runs all layers at once',
    ),
    'SEResNeXt': dict(backbone=dict(depth=50, groups=32, width_per_group=4), channels=2048),
    'SEResNet': dict(backbone=dict(depth=50), channels=2048),
    'SVT': dict(
        backbone=dict(
            arch='small', out_indices=(3,), norm_after_stage=[False, False, False, True]
        ),
        channels=512,
    ),
    'ShuffleNetV1': dict(backbone=dict(), channels=960),
    'ShuffleNetV2': dict(backbone=dict(), channels=1024),
    'SparseConvNeXt': dict(backbone=dict(arch='small'), channels=768, neck=None),
    'SparseResNet': dict(backbone=dict(depth=50), channels=2048),
    'SwinTransformer': dict(
        backbone=dict(arch='tiny', img_size=64, pad_small_map=True, drop_path_rate=0.2),
        channels=768,
    ),
    'SwinTransformerV2': dict(
        backbone=dict(arch='tiny', img_size=64, pad_small_map=True, drop_path_rate=0.2),
        channels=768,
    ),
    'T2T_ViT': dict(
        backbone=dict(
            img_size=64,
            t2t_cfg=dict(token_dims=64, use_performer=False),
            num_layers=14,
            layer_cfgs=dict(num_heads=6, feedforward_channels=1152),
            drop_path_rate=0.1,
        ),
        channels=384,
        neck=None,
        head=dict(type='VisionTransformerClsHead'),
    ),
    'TIMMBackbone': dict(backbone=dict(model_name='resnet18'), channels=512),
    'TNT': dict(
        backbone=dict(arch='s', img_size=64, patch_size=16, drop_path_rate=0.1),
        channels=384,
        neck=None,
    ),
    'TinyViT': dict(
        backbone=dict(
            arch='5m',
            img_size=(64, 64),
            window_size=[7, 7, 14, 7],
            out_indices=(3,),
            gap_before_final_norm=True,
        ),
        channels=320,
        neck=None,
    ),
    'VAN': dict(backbone=dict(arch='tiny', drop_path_rate=0.1), channels=256),
    'VGG': dict(backbone=dict(depth=11), channels=512),
    'ViTEVA02': dict(
        backbone=dict(arch='t', img_size=56, patch_size=14, out_type='avg_featmap'),
        channels=192,
        neck=None,
    ),
    'ViTSAM': dict(
        backbone=dict(arch='base', img_size=64, patch_size=16, out_channels=256, window_size=14),
        channels=256,
    ),
    'Vig': dict(
        backbone=dict(arch='tiny', drop_path=0.1),
        channels=192,
        head=dict(type='VigClsHead', hidden_dim=1024),
    ),
    'VisionTransformer': dict(
        backbone=dict(arch='deit-tiny', img_size=64, patch_size=16),
        channels=192,
        neck=None,
        head=dict(type='VisionTransformerClsHead'),
    ),
    'XCiT': dict(
        backbone=dict(
            patch_size=16,
            embed_dims=128,
            depth=12,
            num_heads=4,
            mlp_ratio=4,
            qkv_bias=True,
            layer_scale_init_value=1.0,
            tokens_norm=False,
        ),
        channels=128,
        neck=None,
    ),
    'TIMMBackbone, convnext_atto': dict(
        backbone=dict(type='TIMMBackbone', model_name='convnext_atto'), channels=320
    ),
    'TIMMBackbone, vit_tiny_patch16_224': dict(
        backbone=dict(
            type='TIMMBackbone',
            model_name='vit_tiny_patch16_224',
            features_only=True,
            img_size=64,
            out_indices=(-1,),
        ),
        channels=192,
    ),
    # Backbones of self-supervised pretraining.
    'MoCoV3ViT': dict(
        backbone=dict(arch='mocov3-small', img_size=64, patch_size=16, stop_grad_conv1=True),
        channels=384,
        neck=None,
        head=dict(type='VisionTransformerClsHead'),
    ),
    'BEiTPretrainViT': dict(
        backbone=dict(arch='deit-tiny', img_size=64, patch_size=16, out_type='raw'), channels=192
    ),
    'CAEPretrainViT': dict(
        backbone=dict(arch='deit-tiny', img_size=64, patch_size=16, layer_scale_init_value=0.1),
        channels=192,
    ),
    'MAEHiViT': dict(backbone=dict(arch='tiny', img_size=64), channels=384),
    'MAEViT': dict(backbone=dict(arch='deit-tiny', img_size=64, patch_size=16), channels=192),
    'MFFViT': dict(
        backbone=dict(arch='deit-tiny', img_size=64, patch_size=16, out_indices=[0, 11]),
        channels=192,
    ),
    'MILANViT': dict(backbone=dict(arch='deit-tiny', img_size=64, patch_size=16), channels=192),
    'MaskFeatViT': dict(backbone=dict(arch='deit-tiny', img_size=64, patch_size=16), channels=192),
    'MixMIMPretrainTransformer': dict(backbone=dict(arch='B'), channels=1024),
    'SimMIMSwinTransformer': dict(backbone=dict(arch='tiny', img_size=64), channels=768),
    'iTPNHiViT': dict(
        backbone=dict(arch='base', img_size=64, reconstruction_type='pixel'), channels=512
    ),
}

# What a user trains instead of a backbone that is refused.
_MASKED = 'its forward pass wants the masks of the pretraining; fine-tune its checkpoints with {}'
REFUSED: dict[str, str] = {
    'BEiTPretrainViT': _MASKED.format('BEiTViT'),
    'CAEPretrainViT': _MASKED.format('BEiTViT'),
    'MAEHiViT': _MASKED.format('HiViT'),
    'MAEViT': _MASKED.format('VisionTransformer'),
    'MFFViT': _MASKED.format('VisionTransformer'),
    'MILANViT': _MASKED.format('VisionTransformer'),
    'MaskFeatViT': _MASKED.format('VisionTransformer'),
    'MixMIMPretrainTransformer': _MASKED.format('MixMIMTransformer'),
    'SimMIMSwinTransformer': _MASKED.format('SwinTransformer'),
    'SparseConvNeXt': _MASKED.format('ConvNeXt'),
    'SparseResNet': _MASKED.format('ResNet'),
    'iTPNHiViT': _MASKED.format('HiViT'),
}

PAGE = Path(__file__).parents[2] / 'docs' / 'students.md'

INTRODUCTION = """\
# Students

Every backbone that MMPretrain registers, cut by `fragments='auto'`. Generated by
`tools/dev/students_table.py`, which builds the smallest official variant of each, cuts it and checks,
with random images and in training and evaluation:

- **last grade**: scores, losses and predictions are bit-identical to those of the plain model;
- **lower grades**: no module of a later fragment runs, and each active fragment gets gradients;
- **blocks**: how many residual blocks run at each depth with `fragments='blocks'` (-: there are
  none to pass by). Scores are equal before and after each promotion, within rounding, no module
  of a later block runs, and the last grade is the plain model.

{passed} of {total} registered backbones pass the first two, {grown} of them grow by blocks.

How the cuts are found: a stage is a part of the backbone of equal resolution, and each stage is a
fragment; a curriculum of fewer fragments shares them out evenly. Where the resolution never
changes, the blocks are shared out, to four fragments unless the curriculum says otherwise. A cut
that returns feature maps is closed by `TeachingReference`, one that returns tokens by
`TokenTeachingReference`; of a module that returns several tensors, such as the branches of HRNet,
the first is read. To cut elsewhere, name modules: `fragments=['layers.3', 'layers.11']`.

| backbone | variant | fragments end with | last grade | lower grades | blocks | remark |
|---|---|---|---|---|---|---|
"""


def registered_backbones() -> list[str]:
    """Names of MMPretrain's backbones, with those of its pretraining algorithms."""
    import mmpretrain.models  # noqa: F401

    return sorted(
        name
        for name, cls in MODELS.module_dict.items()
        if cls.__module__.startswith('mmpretrain.models.backbones.')
        or (
            cls.__module__.startswith('mmpretrain.')
            and isinstance(cls, type)
            and issubclass(cls, BaseBackbone)
        )
    )


def student_config(name: str) -> dict:
    """Config of the classifier around an entry of :data:`STUDENTS`."""
    spec = STUDENTS[name]
    head = {'type': 'LinearClsHead', **spec.get('head', {})}
    if head['type'] != 'ClsHead':
        head = {'num_classes': NUM_CLASSES, 'in_channels': spec.get('channels'), **head}
    return dict(
        type='ImageClassifier',
        backbone={'type': name, **spec['backbone']},
        neck=spec.get('neck', dict(type='GlobalAveragePooling')),
        head=dict(head, loss=dict(type='CrossEntropyLoss')),
    )


@dataclass(frozen=True)
class StudentRow:
    """What a backbone turned out to do.

    Args:
        name (str): The entry of :data:`STUDENTS`.
        cuts (tuple[str, ...]): Ends of the fragments; none if the backbone was refused.
        last_grade (bool): Whether the last grade is the plain model.
        lower_grades (bool): Whether a lower grade runs its fragments, and only those.
        blocks (tuple[int, ...]): Residual blocks that run at each depth of ``'blocks'``; none if
            there are none to pass by.
        reason (str): The error message of a backbone that was refused.
    """

    name: str
    cuts: Sequence[str] = ()
    last_grade: bool = False
    lower_grades: bool = False
    blocks: Sequence[int] = ()
    reason: str = ''

    @property
    def passed(self) -> bool:
        """Whether both contracts hold."""
        return self.last_grade and self.lower_grades

    def markdown(self) -> str:
        """The row of the table."""
        spec = STUDENTS[self.name]
        shown = ('arch', 'depth', 'model_name', 'img_size')
        variant = ', '.join(
            f'{key}={spec["backbone"][key]!r}' for key in shown if key in spec['backbone']
        )
        cuts = ', '.join(f'`{cut}`' for cut in self.cuts)
        if not self.cuts:
            remark = f'refused: {REFUSED.get(self.name, self.reason)}'
            return f'| {self.name} | {variant or "default"} | - | - | - | - | {remark} |'
        last, lower = ('yes' if held else 'no' for held in (self.last_grade, self.lower_grades))
        return (
            f'| {self.name} | {variant or "default"} | {cuts} | {last} | {lower} | '
            f'{", ".join(map(str, self.blocks)) or "-"} | {spec.get("note", "")} |'
        )


def check_student(name: str) -> StudentRow:
    """Cut a backbone of :data:`STUDENTS` automatically and check both contracts."""
    config = student_config(name)
    size = config['backbone'].get('img_size')
    size = (size, size) if isinstance(size, int) else size
    plain = build_module(config, name, 'mmpretrain')
    try:
        student = FragmentedStudent(copy.deepcopy(plain), input_shape=size and (3, *size))
    except ConfigurationError as error:
        return StudentRow(name, reason=str(error))
    images = torch.randn(2, *student.trace.image_shape, generator=torch.Generator().manual_seed(0))
    samples = [DataSample().set_gt_label(label) for label in LABELS]
    return StudentRow(
        name,
        [cut.removeprefix('backbone.') for cut in student.cuts],
        last_grade=_last_grade_is_plain(plain, student, images, samples),
        lower_grades=_lower_grades_stop(student, images, samples),
        blocks=_blocks_by_depth(plain, student.input_shape, images, samples),
    )


def _last_grade_is_plain(
    plain: nn.Module, student: FragmentedStudent, images: torch.Tensor, samples: list[DataSample]
) -> bool:
    student.set_grade(1, SEEN)
    student.set_grade(student.num_fragments, range(student.num_classes))

    def outputs(model: nn.Module) -> list[torch.Tensor]:
        found = []
        for training in (True, False):
            model.train(training)
            for mode in ('tensor', 'loss') + (() if training else ('predict',)):
                torch.manual_seed(0)
                with torch.no_grad():
                    output = model(images, copy.deepcopy(samples), mode=mode)
                if mode == 'predict':
                    output = [sample.pred_score for sample in output]
                elif mode == 'loss':
                    output = [output['loss']]
                found += output if isinstance(output, (list, tuple)) else [output]
        return found

    return all(map(torch.equal, outputs(plain), outputs(student)))


def _blocks_by_depth(
    plain: nn.Module,
    input_shape: tuple[int, int, int] | None,
    images: torch.Tensor,
    samples: list[DataSample],
) -> list[int]:
    try:
        student = FragmentedStudent(
            copy.deepcopy(plain), fragments='blocks', new_blocks='keep', input_shape=input_shape
        )
    except ConfigurationError:
        return []
    assert student.growth is not None
    if not _last_grade_is_plain(plain, student, images, samples):
        raise RuntimeError('the last grade of blocks is not the plain model')
    student.growth.begin_as_identity()
    student.eval()
    total, counts, scores = len(student.growth.passed_by(0)), [], []
    for depth in range(1, student.num_fragments + 1):
        student.set_grade(depth, range(student.num_classes))
        passed = tuple(f'{name}.' for name in student.growth.passed_by(depth))
        with torch.no_grad():
            ran = _modules_run(student, lambda: scores.append(student(images)))
        if any(name.startswith(passed) for name in ran):
            raise RuntimeError(f'a block that is passed by at depth {depth} runs')
        counts.append(total - len(student.growth.passed_by(depth)))
    for one, other in zip(scores, scores[1:]):
        pairs = zip(one, other) if isinstance(one, tuple) else [(one, other)]
        for before, after in pairs:
            torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)
    return counts


def _modules_run(student: FragmentedStudent, forward: Callable[[], Any]) -> list[str]:
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name), prepend=True)
        for name, module in student.named_modules()
        if name.startswith('backbone.')
    ]
    forward()
    for handle in handles:
        handle.remove()
    return ran


def _lower_grades_stop(
    student: FragmentedStudent, images: torch.Tensor, samples: list[DataSample]
) -> bool:
    def lesson() -> None:
        student(images, samples, mode='loss')['loss'].backward()

    student.train()
    student.set_grade(student.num_fragments, range(student.num_classes))
    complete = _modules_run(student, lambda: student(images))
    for depth in range(1, student.num_fragments):
        student.zero_grad()
        student.set_grade(depth, SEEN)
        if (
            _modules_run(student, lesson)
            != complete[: complete.index(student.cuts[depth - 1]) + 1]
        ):
            return False
        for cut in student.cuts[:depth]:
            parameters = list(student.get_submodule(cut).parameters())
            if parameters and all(parameter.grad is None for parameter in parameters):
                return False
    return True


def students_table(progress: Callable[[str], None] = lambda line: None) -> str:
    """Check all backbones; returns the page about them in Markdown."""
    rows = {}
    for name in sorted(STUDENTS, key=lambda name: (name in REFUSED, name.lower())):
        rows[name] = check_student(name)
        progress(rows[name].markdown())
    total = registered_backbones()
    passed = sum(rows[name].passed for name in total)
    lines = '\n'.join(row.markdown() for row in rows.values())
    grown = sum(bool(rows[name].blocks) for name in total)
    page = INTRODUCTION.format(passed=passed, total=len(total), grown=grown) + lines + '\n'
    return page + literature_table()


def main() -> None:
    run_page_tool(
        __doc__,
        PAGE,
        'tools/dev/students_table.py',
        'backbones',
        lambda name: check_student(name).markdown(),
        students_table,
    )


if __name__ == '__main__':
    main()
