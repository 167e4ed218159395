"""The student of a lower grade, as MMPretrain alone can run it.

The configs of such students carry a copy of this file, so that they load where this package is not
installed: nothing of the package may be used here.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from mmpretrain.models import BaseClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn


class GradeStudent(BaseClassifier):
    """The first fragments of a classifier with a head of their own, over some of the classes.

    Scores are over the data set's own numbering; classes that are not taught yet score zero.

    Args:
        student (dict): Config of the complete classifier.
        seen (Sequence[int]): The classes that are taught, ascending.
        cut (str, optional): Name of the module after which the backbone is left. Defaults to None:
            the complete classifier, whose head then stays.
        unused (Sequence[str]): Names of modules that never run before the cut; they are dropped.
            Defaults to ().
        channels_last (bool): Whether the features at the cut are [B, H, W, C]. Defaults to False.
        prefix (int, optional): How many leading tokens of the features at the cut, tokens [B, N,
            C], are no patches. Defaults to None: the features are a map.
        adapter (Sequence[dict]): Configs of the layers between the features and the head. What
            they leave as tokens is averaged over the tokens. Defaults to ().
        head (dict, optional): Config of the head at the cut. Defaults to None.
        data_preprocessor (dict, optional): Defaults to None: the student's own.
        passed_by (Sequence[str]): Names of residual blocks that hand their input on. Defaults to
            ().
        init_cfg (dict, optional): Defaults to None.
    """

    class Left(Exception):
        """Carries the output of a module out of a backbone that is left there."""

    def __init__(
        self,
        student: dict,
        seen: Sequence[int],
        cut: str | None = None,
        unused: Sequence[str] = (),
        channels_last: bool = False,
        prefix: int | None = None,
        adapter: Sequence[dict] = (),
        head: dict | None = None,
        data_preprocessor: dict | None = None,
        passed_by: Sequence[str] = (),
        init_cfg: dict | None = None,
    ) -> None:
        student = dict(student)
        if data_preprocessor is not None:
            student['data_preprocessor'] = data_preprocessor
        classifier = MODELS.build(student)
        super().__init__(init_cfg, classifier.data_preprocessor)
        # Its children are shared under their own names; the classifier itself stays outside of the
        # module tree, or each parameter would have a second name.
        self.__dict__['classifier'] = classifier
        self.cut, self.channels_last, self.prefix = cut, channels_last, prefix
        for name in passed_by:
            block = classifier.get_submodule(name)
            block._modules.clear()
            block._parameters.clear()
            block._buffers.clear()
            block.forward = self._pass_by
        if cut is not None:
            classifier.get_submodule(cut).register_forward_hook(self._leave)
            for name in unused:
                parent, _, child = name.rpartition('.')
                setattr(classifier.get_submodule(parent), child, nn.Identity())
            classifier.head = MODELS.build(head)
            self.adapter = MODELS.build(list(adapter))
        for name, child in classifier.named_children():
            if name != 'data_preprocessor':
                self.add_module(name, child)
        self.register_buffer('seen', torch.tensor(list(seen)), persistent=False)

    @classmethod
    def _leave(cls, module: nn.Module, inputs: tuple, output: Any) -> None:
        raise cls.Left(output)

    @staticmethod
    def _pass_by(inputs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return inputs

    def extract_feat(self, inputs: torch.Tensor) -> Any:
        """What the head reads, for images [B, C, H, W]."""
        if self.cut is None:
            return self.classifier.extract_feat(inputs)
        try:
            self.classifier.extract_feat(inputs)
        except self.Left as left:
            output = left.args[0]
        # Some modules also return sizes, or other branches.
        outputs = output if isinstance(output, (tuple, list)) else (output,)
        feature = next(
            x
            for x in outputs
            if isinstance(x, torch.Tensor)
            and len(x) == len(inputs)
            and (x.ndim > 3 or (x.ndim == 3 and x.shape[2] > 1))
        )
        if self.prefix is not None:
            feature = feature.flatten(1, -2)[:, self.prefix :]
        elif self.channels_last:
            feature = feature.movedim(-1, 1)
        feature = self.adapter(feature)
        return (feature.mean(1) if feature.ndim == 3 else feature,)

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: list[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> torch.Tensor | dict[str, torch.Tensor] | list[DataSample]:
        """Classify images [B, C, H, W] in the ``mode`` 'tensor', 'loss' or 'predict'.

        Returns:
            torch.Tensor | dict | list: Class scores [B, num_classes] (minus infinity for classes
                not
            taught yet), losses, or predictions over all classes.
        """
        scores = self.head(self.extract_feat(inputs))
        scores = reduce(torch.add, scores) if isinstance(scores, tuple) else scores
        taught = torch.full_like(scores, float('-inf')).index_copy(
            1, self.seen, scores.index_select(1, self.seen)
        )
        if mode == 'tensor':
            return taught
        if mode == 'loss':
            return self.head._get_loss(taught, data_samples)
        return self.head._get_predictions(taught, data_samples)
