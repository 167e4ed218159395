"""The CIFAR networks of the distillation literature, and their numbers of parameters."""

from mmpretrain.models import LinearClsHead

from edudistill_mm.apis.convert_mdistiller import NETWORKS
from edudistill_mm.models.network import build_module, dry_run

NUM_CLASSES = 100

# Counted in the networks that the code named by the introduction below builds. Both code bases
# have the same numbers; ResNet18 is mdistiller's only.
PUBLISHED: dict[str, int] = {
    'resnet8': 83_892,
    'resnet14': 181_108,
    'resnet20': 278_324,
    'resnet32': 472_756,
    'resnet44': 667_188,
    'resnet56': 861_620,
    'resnet110': 1_736_564,
    'resnet8x4': 1_233_540,
    'resnet32x4': 7_433_860,
    'ResNet18': 11_220_132,
    'ResNet50': 23_705_252,
    'wrn_16_1': 180_916,
    'wrn_16_2': 703_284,
    'wrn_40_1': 569_780,
    'wrn_40_2': 2_255_156,
    'vgg8': 3_965_028,
    'vgg11': 9_277_284,
    'vgg13': 9_462_180,
    'vgg16': 14_774_436,
    'vgg19': 20_086_692,
    'MobileNetV2': 812_836,
    'ShuffleV1': 949_258,
    'ShuffleV2': 1_355_528,
}

INTRODUCTION = """
## Students of the CIFAR literature

The networks in which the distillation literature gives its figures on CIFAR-100, most of which
MMPretrain lacks. *Published* is what they have in RepDistiller (github.com/HobbitLong/RepDistiller,
commit b84f547) and mdistiller (github.com/megvii-research/mdistiller, commit a08d46f), built there
with 100 classes; the names are theirs.

| network | backbone | parameters | published |
|---|---|---|---|
"""


def count_parameters(name: str) -> int:
    """Number of parameters of a network in :data:`PUBLISHED` with 100 classes."""
    backbone = build_module(dict(NETWORKS[name][0]), name, 'mmpretrain')
    features = dry_run(backbone, backbone, (3, 32, 32))[-1]
    head = LinearClsHead(num_classes=NUM_CLASSES, in_channels=features.shape[1])
    return sum(p.numel() for module in (backbone, head) for p in module.parameters())


def literature_row(name: str) -> str:
    """The row of the table for a network of the literature."""
    backbone = dict(NETWORKS[name][0])
    arguments = [repr(backbone.pop('type')), *(f'{key}={v!r}' for key, v in backbone.items())]
    return (
        f'| {name} | `type={", ".join(arguments)}` | {count_parameters(name):,} | '
        f'{PUBLISHED[name]:,} |'
    )


def literature_table() -> str:
    """Count the networks of the literature; returns a section of docs/students.md."""
    return INTRODUCTION + '\n'.join(map(literature_row, PUBLISHED)) + '\n'
