from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from ..curriculum import Curriculum, Grade
from ..errors import ConfigurationError
from ..registry import METRICS, register


@register(METRICS)
class GradeAccuracy(BaseMetric):
    """Accuracy over the seen classes, per class group, and forgetting; all in percent.

    A class group is what one grade adds. The results are

    - ``top1`` (``topk`` for each k): over the samples of seen classes. With all classes seen it is
      MMPretrain's ``Accuracy``;
    - ``top1_<name of a grade>``: over the samples of that grade's class group, for each group
      taught so far;
    - ``forgetting``: how far the groups before the newest are below their best validation so far,
      this one included, on average; 0 without an earlier group. It is the measure of Chaudhry et
      al., "Riemannian Walk for Incremental Learning" (ECCV 2018), with validations for tasks;
      theirs leaves the present one out of the best, so that a group that has improved makes it
      negative.

    Without a grade (see :meth:`set_grade`) and without ``groups`` all classes are one group, and
    only the first result is reported.

    Args:
        topk (int | Sequence[int]): A sample is right if its class is among the k best scores.
            Defaults to (1, ).
        collect_device (str): Where the results of all ranks are gathered, 'cpu' or 'gpu'. Defaults
            to 'cpu'.
        prefix (str, optional): What precedes the names of the results. Defaults to None: 'seen'.
        groups (Mapping[str, Sequence[int]], optional): Class groups by name, for a training
            without a curriculum, or with a single grade, that is compared with one of several
            grades, whose groups take precedence. Defaults to None.

    Raises:
        ConfigurationError: A k is no positive integer or exceeds the number of classes, or the
            groups cannot be used.
    """

    default_prefix = 'seen'

    def __init__(
        self,
        topk: int | Sequence[int] = (1,),
        collect_device: str = 'cpu',
        prefix: str | None = None,
        groups: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk) if isinstance(topk, (list, tuple)) else (topk,)
        if not self.topk or any(type(k) is not int or k < 1 for k in self.topk):
            raise ConfigurationError(
                f'topk must be a positive integer or a list of such, not {topk!r}.'
            )
        self._groups = _checked_groups(groups)
        self._best: dict[str, float] = {}

    def set_grade(self, curriculum: Curriculum, grade: Grade) -> None:
        """Set the class groups that the curriculum has taught up to a grade."""
        self._check_topk(curriculum.num_classes)
        if self._groups and len(curriculum.grades) == 1:
            return
        self._groups = {
            g.name: g.classes for g in curriculum.grades[: grade.index + 1] if g.classes
        }

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Find the place of each sample's class among the scores.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Predictions with ``gt_label`` of shape (1, ) and
                ``pred_score`` of shape (num_classes, ), or ``pred_label`` of shape (1, ), which is
                enough for top-1.
        """
        if not data_samples:
            return
        deepest = max(self.topk)
        # All samples at once: a device is waited for once a batch.
        labels = torch.cat([sample['gt_label'] for sample in data_samples]).cpu()
        if len(labels) != len(data_samples):
            raise ConfigurationError(
                f'GradeAccuracy needs one gt_label for each prediction, but {len(data_samples)} predictions '
                f'have {len(labels)}; one sample for a batch, as stacked_batch(one_sample=True) and '
                f'ResidentDataset(training=True) make it, is for training only'
            )
        if all('pred_score' in sample for sample in data_samples):
            scores = torch.stack([sample['pred_score'] for sample in data_samples]).cpu().float()
            count = scores.shape[1]
            self._check_topk(count)
            strange = labels[(labels < 0) | (labels >= count)].tolist()
            if strange:
                raise ConfigurationError(
                    f'the data to evaluate on hold the label {strange[0]}, but there are {count} classes; '
                    f'labels must run from 0 to {count - 1}'
                )
            values, best = scores.topk(deepest)
            # A class without any score is no prediction, as in MMPretrain's Accuracy.
            hits = (best == labels[:, None]) & (values > 0)
        elif deepest > 1:
            raise ConfigurationError(
                f'topk is {self.topk}, but the predictions have labels and no scores; only topk=1 is '
                'possible.'
            )
        else:
            predicted = torch.cat([sample['pred_label'] for sample in data_samples]).cpu()
            hits = (predicted == labels)[:, None]
        places = torch.where(hits.any(1), hits.int().argmax(1), deepest)
        # Gathering from several ranks needs one result per sample, unseen classes included.
        self.results += zip(labels.tolist(), places.tolist())

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Compute the accuracies in percent, by name, and remember the best of each group.

        ``results`` holds the class of each sample and its place among the scores, from 0. A
        ConfigurationError is raised without a sample of a seen class.
        """
        labels, places = torch.tensor(results, dtype=torch.long).reshape(-1, 2).unbind(1)
        groups = {
            name: places[torch.isin(labels, torch.tensor(classes))]
            for name, classes in self._groups.items()
        }
        seen = torch.cat(list(groups.values())) if groups else places
        if not len(seen):
            raise ConfigurationError(
                f'the validation data hold no sample of the seen classes (grades {list(groups)}) to measure.'
            )
        metrics = {f'top{k}': _percent(seen < k) for k in self.topk}
        if not groups:
            return metrics

        # A group without a sample in the validation data has no accuracy.
        top1 = {name: _percent(places < 1) for name, places in groups.items() if len(places)}
        metrics.update({f'top1_{name}': value for name, value in top1.items()})
        earlier = list(groups)[:-1]
        drops = [
            max(self._best[name] - top1[name], 0.0)
            for name in earlier
            if name in top1 and name in self._best
        ]
        if drops or not earlier:
            # A test alone has no earlier validation, and reports no forgetting.
            metrics['forgetting'] = sum(drops) / len(drops) if drops else 0.0
        for name, value in top1.items():
            self._best[name] = max(value, self._best.get(name, value))
        return metrics

    def state_dict(self) -> dict[str, float]:
        """Best top-1 accuracy of each class group so far, in percent, by the name of its grade."""
        return dict(self._best)

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self._best = dict(state_dict)

    def _check_topk(self, num_classes: int) -> None:
        if max(self.topk) > num_classes:
            raise ConfigurationError(
                f'topk is {self.topk}, but there are only {num_classes} classes; no k may exceed that.'
            )


def _percent(correct: torch.Tensor) -> float:
    return 100.0 * correct.sum().item() / len(correct)


def _checked_groups(groups: Any) -> dict[str, tuple[int, ...]]:
    if groups is None:
        return {}
    if not isinstance(groups, Mapping) or not all(
        isinstance(name, str)
        and isinstance(classes, (list, tuple, range))
        and all(type(c) is int and c >= 0 for c in classes)
        for name, classes in groups.items()
    ):
        raise ConfigurationError(
            f'GradeAccuracy.groups must be a dict of names with lists of class indices, not {groups!r}.'
        )
    listed = [c for classes in groups.values() for c in classes]
    if len(set(listed)) < len(listed):
        raise ConfigurationError(
            f'GradeAccuracy.groups must not share classes, but {dict(groups)!r} do.'
        )
    return {name: tuple(classes) for name, classes in groups.items()}
