"""The order of classes from easy to hard, as a teacher finds them."""

import json
import os
import os.path as osp
from typing import List

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.curriculum import CONFIDENCE
from edudistill_mm.datasets.channel_order import channel_order
from edudistill_mm.datasets.samplers.grade_sampler import labels_of
from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.models.network import build_module
from edudistill_mm.models.teachers import Teacher
from edudistill_mm.type_name import type_name

FILE = 'class_order.json'
KEYS = ('type', 'teacher', 'hardest_first')
# What else than its file decides what a teacher says of an image.
READ_BY = ('outputs', 'data_preprocessor', 'channel_order', 'input_size', 'averaged')


def is_by_confidence(cfg: Config) -> bool:
    """Whether a config leaves the order of its classes to a teacher."""
    curriculum = cfg.model.get('curriculum')
    order = curriculum.get('class_order') if isinstance(curriculum, dict) else None
    return isinstance(order, dict) and order.get('type') == CONFIDENCE


def ordering_teacher(cfg: Config, teachers: List[dict]) -> dict:
    """The teacher whose confidence orders the classes of a run.

    Args:
        cfg (Config): A config that leaves the order to it.
        teachers (list[dict]): Its teachers.

    Returns:
        dict: The teacher's config.

    Raises:
        ConfigurationError: If it asks for a teacher that cannot order the classes.
    """
    order, key = cfg.model.curriculum.class_order, 'curriculum.class_order'
    for unknown in set(order) - set(KEYS):
        raise ConfigurationError(
            f'{key} has the unknown key "{unknown}"{did_you_mean(unknown, KEYS)}; possible are '
            f'{", ".join(KEYS)}'
        )
    if not isinstance(order.get('hardest_first', False), bool):
        raise ConfigurationError(
            f'{key}.hardest_first must be True or False, but got {order.hardest_first!r}'
        )
    able = {
        teacher['name']: teacher
        for teacher in teachers
        if teacher.get('classes', 'all') == 'all' and teacher.get('ckpt')
    }
    name = order.get('teacher')
    if name not in able:
        raise ConfigurationError(
            f'{key}.teacher must be a teacher of all classes with a checkpoint, but got {name!r}'
            f'{did_you_mean(name, able)}; possible are {", ".join(able) or "none"}'
        )
    return able[name]


def put_in_order(cfg: Config, teacher: dict) -> None:
    """Put the list of classes in the place of ``class_order=dict(type='confidence', ...)``.

    Classes come from easy to hard: by falling mean probability that the teacher gives the true
    class of the training images, without augmentation (the pipeline of the validation). The order
    is kept in ``work_dir/class_order.json`` and taken from there as long as the teacher and the
    data set's config are the same.

    Args:
        cfg (Config): The config, changed in place.
        teacher (dict): What :func:`ordering_teacher` returned. Its checkpoint and the data are
            there.

    Raises:
        ConfigurationError: If the checkpoint or the data cannot be used.
    """
    path = osp.join(cfg.work_dir, FILE)
    source = dict(
        sha256=file_sha256(resolve_checkpoint(teacher['ckpt'])),
        data=json.dumps(_judged_data(cfg), sort_keys=True, default=str),
        read_by=json.dumps({key: teacher.get(key) for key in READ_BY}),
    )
    kept = _read(path)
    if any(kept.get(key) != value for key, value in source.items()):
        confidence = class_confidence(cfg, teacher)
        kept = dict(teacher=teacher['name'], **source, confidence=confidence.tolist())
        os.makedirs(cfg.work_dir, exist_ok=True)
        atomic_write(path, lambda file: file.write(json.dumps(kept).encode()))
    order = torch.tensor(kept['confidence']).argsort(stable=True, descending=True).tolist()
    if cfg.model.curriculum.class_order.get('hardest_first', False):
        order.reverse()
    cfg.model.curriculum.class_order = order


def class_confidence(cfg: Config, teacher: dict) -> torch.Tensor:
    """Mean probability that a teacher gives the true class, for each class of the training data.

    Args:
        cfg (Config): Config of the run.
        teacher (dict): A teacher of all classes.

    Returns:
        torch.Tensor: Probabilities, [num_classes]; 0 for a class without an image.
    """
    # It reads configs, and so needs this module.
    from .config import build_dataset
    from .export import plain_config

    dataset = build_dataset(_judged_data(cfg))
    labels = labels_of(dataset)
    count = int(cfg.model.curriculum.num_classes)
    student = plain_config(cfg)
    preprocessor = student.get('data_preprocessor') or student.model.get('data_preprocessor')
    preprocessor = build_module(
        {'type': 'ClsDataPreprocessor', **(preprocessor or {})}, 'data_preprocessor', 'mmpretrain'
    )
    own = {key: value for key, value in teacher.items() if key != 'classes'}
    judge = Teacher(classes=range(count), num_classes=count, run_preprocessor=preprocessor, **own)
    judge.check_head()
    judge.introduce_data(getattr(dataset, 'metainfo', {}).get('classes'), channel_order(dataset))
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    judge.network.to(device), judge.inputs.to(device), preprocessor.to(device)
    batches = DataLoader(
        dataset,
        batch_size=cfg.train_dataloader.batch_size,
        num_workers=cfg.train_dataloader.get('num_workers', 0),
        collate_fn=pseudo_collate,
    )
    print_log(f'Ordering the classes by teacher "{teacher["name"]}"', logger='current')
    with torch.no_grad():
        scores = torch.cat(
            [judge.teach(preprocessor(batch, False)['inputs']).float().cpu() for batch in batches]
        )
    own_class = scores.softmax(1).gather(1, labels[:, None]).flatten()
    total = torch.zeros(count).index_add_(0, labels, own_class)
    return total / labels.bincount(minlength=count).clamp_min(1)


def _judged_data(cfg: Config) -> dict:
    """Config of the training images without augmentation.

    Of the wrappers of a data set only those that choose and renumber classes stay; the others
    change how often an image comes, or what comes with it.
    """
    from .config import innermost

    evaluation = innermost(cfg.get('val_dataloader') or cfg.get('test_dataloader')) or {}

    def judged(dataset: dict) -> dict:
        if not isinstance(dataset.get('dataset'), dict):
            given = {'pipeline': evaluation['pipeline']} if 'pipeline' in evaluation else {}
            return {**dataset, **given}
        inner = judged(dataset['dataset'])
        return {**dataset, 'dataset': inner} if type_name(dataset) == 'ClassSubset' else inner

    return judged(cfg.train_dataloader.dataset)


def _read(path: str) -> dict:
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        # Not there, or broken: it is made anew.
        return {}
