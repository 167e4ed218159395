"""A step of distillation with kept answers, against the student alone."""

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from edudistill_mm.models.network import build_module, build_network
from edudistill_mm.registry import DATASETS

from .timed_run import CONFIGS, loader_config
from .tiny import CLASSES, MEAN, STD
from .turns import median_ratio, take_turns

# Names, depths and widths of teacher and student.
PAIRS = {
    'ResNet-14x2 to ResNet-8': ((14, 32), (8, 16)),
    'ResNet-110 to ResNet-20': ((110, 16), (20, 16)),
}
ALONE, KEPT, ASKED = 'the student alone', 'KD with kept answers', 'KD with the teacher'


def kept_answers_benchmark(
    batch_size: int = 64, repeats: int = 10, pairs: dict | None = None
) -> list[tuple[str, float]]:
    """Measure training steps on one batch, whose answers are kept already, as ratios.

    A step is preprocessing, losses, backward pass and SGD; images have the size of CIFAR-100's.
    """
    results = []
    for name, (teacher, student) in (pairs or PAIRS).items():
        with tempfile.TemporaryDirectory() as folder:
            steps = _steps(network(*teacher), network(*student), batch_size, Path(folder))
            turns = take_turns(steps, repeats)
        results += [
            (f'step, {name}: {side} / {ALONE}', median_ratio(turns, side, ALONE))
            for side in (KEPT, ASKED)
        ]
    return results


def network(depth: int, width: int) -> dict:
    """Config of a ResNet for CIFAR."""
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='CIFARResNet', depth=depth, base_channels=width),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=CLASSES,
            in_channels=4 * width,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )


def _steps(
    teacher: dict, student: dict, batch_size: int, folder: Path
) -> dict[str, Callable[[], float]]:
    given = loader_config(2 * batch_size, batch_size)['dataset']
    given['pipeline'] = [
        dict(step, type=f'mmpretrain.{step["type"]}') for step in given['pipeline']
    ]
    dataset = DATASETS.build(dict(type='ResidentDataset', training=True, dataset=given))
    dataset.full_init()
    preprocessor = dict(type='mmpretrain.ClsDataPreprocessor', mean=MEAN, std=STD)
    batch = dataset.__getitems__(range(batch_size))
    network = build_network(teacher, 'teacher')
    alone = build_network(dict(student, data_preprocessor=preprocessor), 'student')
    steps = {ALONE: _step(alone, batch)}
    for name, keep in ((KEPT, True), (ASKED, False)):
        model = build_module(
            dict(
                type='EducationDistill',
                architecture=copy.deepcopy(student),
                teacher=network,
                distiller=Config.fromfile(CONFIGS / '_base_/distillers/kd.py').distiller.to_dict(),
                curriculum=dict(
                    num_classes=CLASSES, grades=[dict(epochs=1, fragments=1, classes='all')]
                ),
                data_preprocessor=preprocessor,
                keep_answers=keep,
            ),
            'model',
            'mmpretrain',
        )
        model.introduce_data()
        model.to(dataset.device)
        model.faculty.open_answers(dataset, model.data_preprocessor, str(folder))
        steps[name] = _step(model, batch)
    return steps


def _step(model: nn.Module, batch: dict) -> Callable[[], float]:
    model.to(batch['inputs'].device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    wrapper = OptimWrapper(optimizer)

    def run() -> float:
        begin = now()
        model.train_step(dict(batch), wrapper)
        return now() - begin

    return run


def now() -> float:
    """Seconds: of CPU time, or, where there is a GPU, of the clock when the GPU is done."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
