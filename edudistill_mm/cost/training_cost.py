"""What a training costs, counted from its config without training."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from edudistill_mm.config.check_config import build_untrained
from edudistill_mm.config.epochs import check_batches, epoch_size, images_of, labels_in
from edudistill_mm.config.networks import untrained_network
from edudistill_mm.config.parts import hooks_of
from edudistill_mm.config.resident import count_views
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stand_in import build_for_counting
from edudistill_mm.cost.network_flops import network_flops
from edudistill_mm.cost.stage_cost import StageCost
from edudistill_mm.datasets import GradeSampler
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.grade import Grade
from edudistill_mm.models.network import first_input_channels
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_size


@dataclass(frozen=True)
class TrainingCost:
    """Cost of a whole training, in image passes and FLOPs.

    Attributes:
        stages (tuple[StageCost, ...]): One a grade; a single one for a plain training.
        by_epoch (bool): Whether lengths are epochs; iterations otherwise.
        tables (Mapping[str, tuple[str, str]]): For each teacher whose answers are kept the file
            or the name of the teacher, and all by which trainings share its table.
    """

    stages: tuple[StageCost, ...]
    by_epoch: bool
    tables: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def lengths(self) -> list[int]:
        """list[int]: Epochs (or iterations) of each stage, as the config gives them."""
        return [stage.length for stage in self.stages]

    def image_passes(self, lengths: Sequence[int] | None = None) -> int:
        """Images that the student sees.

        Args:
            lengths (Sequence[int], optional): Epochs (or iterations) of each stage. Defaults to
                None: the config's.
        """
        return self._total([stage.images for stage in self.stages], lengths)

    def student_flops(self, lengths: Sequence[int] | None = None) -> int:
        """FLOPs of the student's forward passes; ``lengths`` as in :meth:`image_passes`."""
        return self._total([stage.student_flops for stage in self.stages], lengths)

    def teacher_flops(self, lengths: Sequence[int] | None = None) -> int:
        """FLOPs of the teachers' forward passes; ``lengths`` as in :meth:`image_passes`.

        Teachers whose answers are kept are not in them: trainings share what these answer, see
        :meth:`filling_flops`.
        """
        return self._total([stage.teacher_flops for stage in self.stages], lengths)

    def total_flops(self, lengths: Sequence[int] | None = None) -> int:
        """FLOPs of forward and backward passes; ``lengths`` as in :meth:`image_passes`.

        Three times :meth:`student_flops`, and :meth:`teacher_flops`.
        """
        return self._total([stage.total_flops for stage in self.stages], lengths)

    def filling_flops(self, lengths: Sequence[int] | None = None) -> int:
        """FLOPs of the teachers whose answers are kept, if this training is the first to ask them.

        Such a teacher runs once for each view of an image, so that fewer and fewer are new: their
        number is the expected one of :func:`different_views`. ``lengths`` as in
        :meth:`image_passes`.
        """
        total = 0.0
        # Of each teacher: images that came in together, and how often each has been shown at which
        # strength.
        groups: dict[str, list[tuple[int, dict[float, float]]]] = {}
        for stage, length in zip(self.stages, self.lengths if lengths is None else lengths):
            for name, (images, flops) in stage.teachers.items():
                if name not in stage.kept:
                    continue
                count, views = stage.kept[name]
                before = groups.get(name, [])
                before = [*before, (count - sum(size for size, _ in before), {})]
                s, times = stage.augmentation, length * images / count
                after = [(size, {**shown, s: shown.get(s, 0.0) + times}) for size, shown in before]
                total += flops * (different_views(after, views) - different_views(before, views))
                groups[name] = after
        return round(total)

    def _total(self, costs: Sequence[int], lengths: Sequence[int] | None) -> int:
        return sum(
            cost * length
            for cost, length in zip(costs, self.lengths if lengths is None else lengths)
        )


def different_views(groups: Sequence[tuple[int, Mapping[float, float]]], views: int) -> float:
    """Expected number of different views among those that images have been shown in.

    Augmented images have each view equally often, the others the neutral one.

    Args:
        groups (Sequence): Of each the number of images, and how often each has been shown at which
            strength of the augmentation.
        views (int): Number of views of an image.
    """
    total = 0.0
    for size, shown in groups:
        # The probabilities that the neutral view, and any other one, has not been shown.
        neutral = math.prod((s * (1 - 1 / views)) ** times for s, times in shown.items())
        other = math.prod((1 - s / views) ** times for s, times in shown.items())
        total += size * (1 - neutral + (views - 1) * (1 - other))
    return total


def training_cost(
    run: RunConfig, dataset: Any = None, algorithm: nn.Module | None = None
) -> TrainingCost:
    """Count what a training by a config costs. No weights are read, nothing is trained.

    Args:
        run (RunConfig): What :func:`load_config` returned for education, plain distillation or a
            training of MMPretrain. Its training data must be at hand, unless they are well known.
        dataset (Dataset, optional): The training data, where they have been read; a curriculum's
            :class:`GradeSampler` takes it over. Defaults to None: they are read, if need be.
        algorithm (nn.Module, optional): What :func:`check_config` has built. Defaults to None: it
            is built.

    Returns:
        TrainingCost: Its cost on one process, on images of the size that the training pipeline
        gives.

    Raises:
        ConfigurationError: If the length of the training is not given, an epoch has no batch, or a
            network cannot be run.
    """
    cfg = run.cfg
    if dataset is None:
        dataset = build_for_counting(cfg.train_dataloader)
    shape = image_shape(dataset)
    if run.is_education:
        return _education_cost(run, dataset, shape, algorithm or build_untrained(run))
    loop = cfg.get('train_cfg') or {}
    by_epoch = 'max_epochs' in loop
    length = loop.get('max_epochs', loop.get('max_iters'))
    if length is None:
        raise ConfigurationError('train_cfg has neither "max_epochs" nor "max_iters"')
    loader = cfg.train_dataloader
    images, batches = epoch_size(loader, images_of(loader, len(dataset)), by_epoch)
    check_batches(batches, len(dataset), loader.batch_size, 'an epoch')
    network = untrained_network(cfg.model.get('architecture') or cfg.model, 'model')
    stage = StageCost(
        length=length,
        images=images,
        batches=batches,
        parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        flops_per_image=network_flops(network, shape),
        teachers={},
    )
    return TrainingCost((stage,), by_epoch)


def _education_cost(
    run: RunConfig, dataset: Any, shape: tuple[int, int, int] | None, algorithm: nn.Module
) -> TrainingCost:
    curriculum, loader = run.curriculum, run.cfg.train_dataloader
    teachers = list(zip(run.teachers, algorithm.faculty.teachers))
    flops = {cfg['name']: _teacher_flops(cfg, teacher.network, shape) for cfg, teacher in teachers}
    keeping = [cfg['name'] for cfg, teacher in teachers if teacher.keeping is not None]
    views = count_views(loader, dataset) if keeping else None
    labels = labels_in(loader, dataset)
    known = {
        teacher['name']: curriculum.classes_of(teacher.get('classes', 'all'))
        for teacher in run.teachers
    }
    # Finds the mistakes of data and curriculum that the training would find.
    GradeSampler(dataset, seed=0).attach(curriculum, known, loader.batch_size)
    stages: list[StageCost] = []
    for grade in curriculum.grades:
        taught = labels[torch.isin(labels, torch.tensor(grade.seen))]
        images, batches = epoch_size(loader, len(taught), curriculum.by_epoch)
        count = len(taught)
        check_batches(min(batches, count), count, loader.batch_size, f'grade "{grade.name}"')
        algorithm.set_grade(algorithm.curriculum.grades[grade.index])
        # Not all that have joined: one with a single taught class, or for whose losses the student
        # is too shallow, is not asked.
        asked = {member.name for t in algorithm.active_teachers for member in t.members}
        routed, kept = {}, {}
        for name in (name for name in grade.teachers if name in asked):
            covered = int(torch.isin(taught, torch.tensor(known[name])).sum())
            passes = images * covered / count * _taught_share(run, grade)
            routed[name] = (passes, flops[name])
            if name in keeping and views is not None and covered:
                kept[name] = (covered, views)
        stages.append(
            StageCost(
                length=grade.length,
                images=images,
                batches=batches,
                parameters=algorithm.student.parameters_in_training(),
                flops_per_image=network_flops(
                    algorithm.student, _at_size(shape, shape and grade.size_of(*shape[1:]))
                ),
                teachers=routed,
                kept=kept,
                augmentation=grade.augmentation,
            )
        )
    tables = {
        cfg['name']: _table(run, cfg, teacher)
        for cfg, teacher in teachers
        if any(cfg['name'] in stage.kept for stage in stages)
    }
    return TrainingCost(tuple(stages), curriculum.by_epoch, tables)


def _taught_share(run: RunConfig, grade: Grade) -> float:
    """The part of a grade in which teachers are asked; MMRazor's StopDistillHook ends that."""
    stops = [
        h.get('stop_epoch', 0) for h in hooks_of(run.cfg) if type_name(h) == 'StopDistillHook'
    ]
    if not stops or not run.curriculum.by_epoch:
        return 1.0
    return min(max((min(stops) - grade.begin) / grade.length, 0.0), 1.0)


def _table(run: RunConfig, cfg: dict, teacher: Any) -> tuple[str, str]:
    """The teacher of a table of kept answers, and all by which trainings share the table."""
    loader = run.cfg.train_dataloader
    shared = dict(
        weights=cfg.get('ckpt') or cfg['architecture'],
        network=str(teacher.network),
        images=[loader['dataset'], loader['resident'], run.cfg.get('data_preprocessor')],
        keeping=vars(teacher.keeping),
        **{
            key: cfg.get(key)
            for key in ('averaged', 'data_preprocessor', 'channel_order', 'input_size')
        },
    )
    return cfg.get('ckpt') or cfg['name'], json.dumps(shared, sort_keys=True, default=repr)


def image_shape(dataset: Any) -> tuple[int, int, int] | None:
    """Shape (C, H, W) of the images that a data set's pipeline gives; None if it packs no image."""
    state = torch.get_rng_state()
    image = dataset[0].get('inputs')
    torch.set_rng_state(state)
    if not isinstance(image, torch.Tensor) or image.ndim != 3:
        return None
    channels, height, width = image.shape
    return channels, height, width


def _teacher_flops(teacher: dict, network: nn.Module, shape: tuple[int, int, int] | None) -> int:
    shape = _at_size(shape, check_size(teacher.get('input_size'), 'input_size'))
    # A teacher of gray images gets them from colour.
    return network_flops(network, shape and (first_input_channels(network), *shape[1:]))


def _at_size(
    shape: tuple[int, int, int] | None, size: tuple[int, int] | None
) -> tuple[int, int, int] | None:
    """The shape (C, H, W) of images after they are resized."""
    return shape if shape is None or size is None else (shape[0], *size)
