from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from mmengine.registry import MODELS as ROOT_MODELS

from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.models.network import build_module
from edudistill_mm.models.teachers.lesson import Lesson
from edudistill_mm.type_name import type_name

KEY = 'model.teacher_weighting'


class TeacherWeighting(ABC):
    """How much each of the teachers that know a sample's class counts on the sample.

    A subclass that is registered in MODELS can stand in ``model.teacher_weighting``: by the name
    of the class, by a config with a ``type``, or by its name without "Weighting" in lower case. It
    needs :meth:`uncertainty` alone; :meth:`shares` and :meth:`weights` can be others, too.
    """

    # The weighting's name in configs and messages.
    name = ''
    # Whether uncertainty() reads labels, which no augmentation may mix then.
    needs_labels = False
    # Whether weights depend on the sample; if not, the faculty's shares hold, which follow from the
    # teachers' weights alone, and no method below is called.
    by_sample = True
    # A message's advice where labels are mixed that the weighting needs.
    advice = 'take "entropy"'

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__name__.removesuffix('Weighting').lower()

    @staticmethod
    def from_cfg(given: Any) -> 'TeacherWeighting':
        """Build ``model.teacher_weighting``: a name, or a config with a ``type``."""
        cfg = dict(given) if isinstance(given, dict) else dict(type=given)
        nodes = (ROOT_MODELS, *ROOT_MODELS.children.values())
        registered = {
            name: cls
            for node in nodes
            for name, cls in node.module_dict.items()
            if isinstance(cls, type) and issubclass(cls, TeacherWeighting)
        }
        known = {cls.name: cls for cls in registered.values()}
        kind = (registered | known).get(type_name(cfg))
        if kind is None:
            raise ConfigurationError(
                f'{KEY} must be one of {", ".join(known)}, but got {given!r}'
                f'{did_you_mean(str(cfg.get("type")), known)}'
            )
        return build_module(dict(cfg, type=kind), KEY, 'mmpretrain')

    @property
    def why_labels(self) -> str:
        """str: What the weighting needs labels for, as a clause."""
        return f'{KEY}="{self.name}" compares teachers with the label'

    def weigh(
        self, lessons: list[Lesson], uncertainties: list[torch.Tensor], batch_size: int
    ) -> list[Lesson]:
        """Give each sample of each lesson its weight, and the lesson their mean as ``share``.

        ``uncertainties`` are those of each lesson's samples, [n].
        """
        device = uncertainties[0].device
        uncertainty = torch.zeros(len(lessons), batch_size, device=device)
        covered = torch.zeros(len(lessons), batch_size, dtype=torch.bool, device=device)
        everything = torch.arange(batch_size, device=device)
        rows = [lesson.select(everything) for lesson in lessons]
        for index, (row, values) in enumerate(zip(rows, uncertainties)):
            covered[index, row] = True
            uncertainty[index, row] = values
        # A tensor made of a list would be copied from the host, in which nothing can be captured.
        fixed = torch.stack([uncertainty.new_full((), own.teacher.weight) for own in lessons])
        weights = self.weights(uncertainty, covered, fixed)
        return [
            replace(lesson, share=weight.sum() / batch_size, weights=weight[row])
            for lesson, weight, row in zip(lessons, weights, rows)
        ]

    @abstractmethod
    def uncertainty(self, scores: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """How unsure one teacher is of its samples.

        Args:
            scores (torch.Tensor): Its scores of those of its classes that have been taught, [n,
                C], C >= 2.
            labels (torch.Tensor, optional): The samples' columns in the scores, [n]; None unless
                ``needs_labels``.

        Returns:
            torch.Tensor: Numbers from 0 on, [n].
        """

    def shares(self, uncertainty: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
        """Each teacher's share of the uncertainty about a sample, as in :meth:`weights`.

        Returns:
            torch.Tensor: Numbers from 0 to 1, [K, B], which sum to 1 over the teachers of a
            sample.
        """
        uncertainty = uncertainty * covered
        total = uncertainty.sum(0)
        # Where no teacher is unsure, no teacher is preferred.
        equal = 1 / covered.sum(0).clamp_min(1)
        return torch.where(total > 0, uncertainty / total.clamp_min(1e-12), equal)

    def weights(
        self, uncertainty: torch.Tensor, covered: torch.Tensor, fixed: torch.Tensor
    ) -> torch.Tensor:
        """Weights of K teachers for each of B samples.

        Of the K' teachers that cover a sample, teacher k gets ``(1 - q_k) / (K' - 1)``, where
        ``q_k`` is its share of the uncertainty. The result is multiplied by the teachers' fixed
        weights and normalised to a sum of 1. A sample of one teacher alone is wholly that
        teacher's.

        Args:
            uncertainty (torch.Tensor): Of each teacher about each sample, [K, B]; read where
                ``covered``.
            covered (torch.Tensor): Whether a teacher covers a sample, bool [K, B].
            fixed (torch.Tensor): The ``weight`` of each teacher, [K].

        Returns:
            torch.Tensor: Weights, [K, B], 0 where not ``covered``, which sum to 1 over the
                teachers
            of each sample that any covers.
        """
        shared = covered.sum(0) > 1
        weights = torch.where(shared, 1 - self.shares(uncertainty, covered), 1.0)
        # With teachers that are sure to the last digit, all of 1 - q could be 0 but for rounding.
        weights = weights.clamp_min(1e-12) * covered * fixed[:, None]
        return weights / weights.sum(0).clamp_min(torch.finfo(weights.dtype).tiny)
