from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from mmengine.model import BaseModel, initialize
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.hooks import RemovableHandle

from edudistill_mm.checkpoint.pretrained import pretrained_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.batch_augments import adopt_augments
from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.labels import as_probabilities
from edudistill_mm.models.network import build_module, build_network
from edudistill_mm.registry import MODELS, register
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_bool, check_choice

from .block_growth import NEW_BLOCKS, BlockGrowth, check_loading
from .class_counts import ClassCounts, check_partial_loss
from .exit_fade import ExitFade
from .feature_layout import feature_of
from .fragment_cuts import automatic_cuts, named_cuts, trace, units
from .handed_on_heads import check_handing_on, hand_on_head
from .modules_behind import modules_behind
from .trainable import check_trainable
from .used_parameters import used_parameters


class _CutReached(Exception):
    """Carries the output of a module out of a backbone that is left at a cut."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


def _leave(module: nn.Module, inputs: tuple, output: Any) -> None:
    raise _CutReached(output)


def _in_float32(module: nn.Module, inputs: tuple) -> tuple | None:
    """Give a loss its inputs in float32.

    Half precision has too few digits for logarithms of softmaxes, which autocast leaves alone on a
    CPU.
    """
    halves = (torch.float16, torch.bfloat16)
    if any(isinstance(value, torch.Tensor) and value.dtype in halves for value in inputs):
        return tuple(
            value.float() if isinstance(value, torch.Tensor) and value.dtype in halves else value
            for value in inputs
        )
    return None


def _each(function: Callable[[torch.Tensor], torch.Tensor], scores: Any) -> Any:
    """Apply a function to a head's scores, or to those of each branch of a ConformerHead."""
    return tuple(map(function, scores)) if isinstance(scores, tuple) else function(scores)


@register(MODELS)
class FragmentedStudent(BaseModel):
    """An MMPretrain classifier that can run its first fragments only.

    At full depth and with all classes it *is* the classifier: the same forward, under the same
    parameter names; only its loss gets half precision as float32. At a lower grade its backbone is
    left right after the module that ends the last active fragment (no later module runs, nothing
    of it is kept), and the :class:`TeachingReference` of that depth classifies. While only a part
    of the classes is taught, losses are computed over those, and predictions score zero for all
    others.

    Fragments can also be blocks inside the stages: a lower grade then runs a shallower network of
    the same family under its own head, without a reference. Blocks that are not active hand their
    input on.

    Args:
        student (str | dict | nn.Module): The classifier: a model config, ``'package::config'``,
            the path of a config file, or a built module.
        fragments (str | Sequence[str] | Sequence[Sequence[str]]): ``'auto'`` for the stages of the
            backbone (its blocks, if the resolution never changes), or the names of the modules
            that end each fragment, in order, the last of which ends the backbone. ``'blocks'``
            shares the residual blocks of each stage out; a list of names for each fragment says
            which blocks it adds (what is named nowhere always runs). Defaults to 'auto'.
        reference (dict, optional): Config of the teaching references, which fragments of blocks do
            not have. Its type defaults to :class:`TeachingReference` at a cut that returns feature
            maps, and to :class:`TokenTeachingReference` at one that returns tokens. Defaults to
            None.
        num_fragments (int, optional): How many fragments ``'auto'`` or ``'blocks'`` shares the
            stages or blocks out to. :class:`EducationDistill` takes it from the curriculum.
            Defaults to None: one a stage, and four of blocks, or fewer if there are fewer; of
            blocks inside the stages three, or fewer.
        new_blocks (str, optional): How blocks of later fragments begin: ``'identity'``, with the
            last parameters of their branches at zero, so that a promotion changes no score;
            ``'copy'``, at their promotion as a copy of the block before; ``'keep'``, as they were
            initialised or loaded. Defaults to None: 'identity' where fragments are blocks.
        hand_on_head (bool): Whether, at a promotion to a new depth, the head that follows starts
            from the weights of the reference's head, where shapes agree. Defaults to False.
        input_shape (tuple[int, int, int], optional): (C, H, W) of an image for the dry run that
            finds shapes and order. Defaults to None: the channels that the student reads, and a
            size that it accepts.
        data_preprocessor (dict | nn.Module, optional): Defaults to None: the student's own.
        init_cfg (dict | list[dict], optional): Counts beside the student's and the references'
            own: a ``Pretrained`` one names a plain student. Defaults to None.

    Raises:
        ConfigurationError: If the student cannot be cut as asked.
    """

    def __init__(
        self,
        student: str | dict | nn.Module,
        fragments: str | Sequence[str] | Sequence[Sequence[str]] = 'auto',
        reference: dict | None = None,
        num_fragments: int | None = None,
        new_blocks: str | None = None,
        hand_on_head: bool = False,
        input_shape: tuple[int, int, int] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        student = build_network(student, 'architecture.student')
        own = getattr(student, 'data_preprocessor', None)
        super().__init__(data_preprocessor or own, init_cfg)
        adopt_augments(self.data_preprocessor, data_preprocessor or own, own)
        # The children are shared and carry the plain names; the classifier itself stays outside of
        # the module tree, or each parameter would have a second name.
        self.__dict__['student'] = student
        for name, child in student.named_children():
            if name != 'data_preprocessor':
                self.add_module(name, child)
        if getattr(self, 'backbone', None) is None:
            raise ConfigurationError(
                f'architecture.student is a {type(student).__name__}, which has no "backbone" that could '
                f'be cut or grow; of timm, take an ImageClassifier with backbone=dict('
                f'type="TIMMBackbone", model_name=...), as tools/new_config.py --student timm:NAME '
                f'writes it'
            )
        check_trainable(getattr(self, 'head', None), getattr(self, 'backbone', None))
        self.input_shape = input_shape
        self.trace = trace(student, input_shape)
        self.num_classes = self.trace.num_classes
        #: list[str]: Names of the linear layers in the head that give class scores.
        self.classifier_names = [
            name
            for name, module in student.named_modules()
            if name.startswith('head.')
            and isinstance(module, nn.Linear)
            and name in self.trace.order
            and module.out_features == self.num_classes
        ]
        self.cuts: list[str] = []
        self.growth: BlockGrowth | None = None
        kinds = (
            {type(part) for part in fragments} if isinstance(fragments, (list, tuple)) else {None}
        )
        if fragments == 'auto':
            self.cuts = automatic_cuts(student, self.trace, num_fragments)
        elif fragments == 'blocks':
            self.growth = BlockGrowth.automatic(student, self.trace, num_fragments)
        elif kinds and kinds <= {list, tuple}:
            self.growth = BlockGrowth.named(student, self.trace, fragments)
        elif kinds <= {str}:
            self.cuts = named_cuts(student, self.trace, cast(Sequence[str], fragments))
        else:
            raise ConfigurationError(
                f'architecture.fragments must be "auto", "blocks", a list of module names or a list of '
                f'lists of blocks, but got {fragments!r}'
            )
        self.new_blocks = self._check_growth(reference, new_blocks, hand_on_head)
        self.hand_on_head = hand_on_head
        self.exit_fade = ExitFade(self)
        #: int: The depth of the first grade; :func:`build_student` sets it.
        self.first_depth = 1
        self.references = nn.ModuleList(
            self._build_reference(index, reference or {}) for index in range(len(self.cuts) - 1)
        )
        if self.hand_on_head:
            check_handing_on(self)
        self._handles: list[RemovableHandle] = []
        heads = [getattr(self, 'head', None), *(reference.head for reference in self.references)]
        losses = [getattr(head, 'loss_module', None) for head in heads]
        # A set, because references share the loss of the head.
        for loss in {loss for loss in losses if isinstance(loss, nn.Module)}:
            loss.register_forward_pre_hook(_in_float32)
            loss.register_forward_pre_hook(as_probabilities)
        self.class_counts = ClassCounts(heads, self.num_classes)
        self.depth = self.num_fragments
        self.seen = ClassIndex(range(self.num_classes), self.num_classes)

    @property
    def num_fragments(self) -> int:
        """int: Number of fragments of the complete student."""
        return self.growth.num_fragments if self.growth else len(self.cuts)

    @property
    def at_full_depth(self) -> bool:
        """bool: Whether all fragments are active."""
        return self.depth == self.num_fragments

    @property
    def reference(self) -> nn.Module | None:
        """nn.Module | None: The active teaching reference; None under the student's own head."""
        if self.growth or self.at_full_depth:
            return None
        return self.references[self.depth - 1]

    @property
    def active_head(self) -> nn.Module:
        """nn.Module: The head that classifies at the current depth."""
        return self.head if self.reference is None else self.reference.head

    def describe_depth(self, fragments: int) -> str:
        """Say what the first fragments are, a clause."""
        if self.growth is None:
            return f'up to {self.cuts[fragments - 1]}'
        total = len(self.growth.passed_by(0))
        return f'{total - len(self.growth.passed_by(fragments))} of {total} residual blocks'

    def _check_growth(
        self, reference: dict | None, new_blocks: str | None, hand_on_head: bool
    ) -> str | None:
        """How new blocks begin; what only one kind of fragments has is refused for the other."""
        check_bool(hand_on_head, 'architecture.hand_on_head')
        if self.growth is None:
            if new_blocks is not None:
                raise ConfigurationError(
                    f'architecture.new_blocks is {new_blocks!r}, but the fragments are no blocks inside '
                    f'the stages; set fragments="blocks", or new_blocks=None'
                )
            return None
        for key, value in dict(reference=reference, hand_on_head=hand_on_head).items():
            if value:
                raise ConfigurationError(
                    f'architecture.{key} has no place where fragments are blocks inside the stages, '
                    f"since the student's own head closes each grade; leave it out"
                )
        new_blocks = 'identity' if new_blocks is None else new_blocks
        check_choice(new_blocks, NEW_BLOCKS, 'architecture.new_blocks')
        # A part that is initialised so early has read its weights itself, as TIMMBackbone does.
        if any(
            getattr(part, '_is_init', False) or pretrained_of(getattr(part, 'init_cfg', None))
            for part in (self, *self.student.modules())
        ):
            check_loading(new_blocks)
        return new_blocks

    def prepare_promotion(self, old: int, new: int) -> None:
        """Start what a promotion between two depths adds from what is there, if it should be."""
        if self.growth and self.new_blocks == 'copy':
            self.growth.copy_from_before(old, new)
        if self.hand_on_head and new > old:
            hand_on_head(self, old, new)

    def _build_reference(self, index: int, cfg: dict) -> nn.Module:
        cut = self.cuts[index]
        layout = self.trace.features.get(cut)
        if layout is None:
            raise ConfigurationError(
                f'architecture.fragments: "{cut}" returns no features of shape [batch, channels, height, '
                f'width] or [batch, tokens, channels], which a teaching reference reads'
            )
        if not isinstance(getattr(self, 'head', None), ClsHead):
            raise ConfigurationError(
                f'architecture.student must have a classification head (mmpretrain ClsHead) to be cut, '
                f'but got {type(getattr(self, "head", None)).__name__}'
            )
        cfg = dict(cfg)
        cfg.setdefault('type', 'TokenTeachingReference' if layout.tokens else 'TeachingReference')
        if type_name(cfg) == ('TeachingReference' if layout.tokens else 'TokenTeachingReference'):
            raise ConfigurationError(
                f'architecture.reference.type is "{type_name(cfg)}", but "{cut}" returns '
                f'{"tokens" if layout.tokens else "feature maps"}; leave the type out'
            )
        final = [name for name in units(self.student, self.trace) if name in self.trace.features]
        cfg.setdefault('in_channels', layout.channels)
        cfg.setdefault('num_classes', self.num_classes)
        cfg.setdefault('width', self.trace.features[final[-1]].channels)
        if not layout.tokens:
            cfg.setdefault('pool_size', 1 if index == self.num_fragments - 2 else 4)
        # The module, not a copy: whatever records `head.loss_module` sees the loss of every grade.
        cfg.setdefault('loss', self.head.loss_module)
        return build_module(cfg, 'architecture.reference', 'mmpretrain')

    def parameters_in_training(self) -> int:
        """int: Number of trainable parameters that the current depth uses."""
        return sum(parameter.numel() for parameter in used_parameters(self, self.depth))

    def parameters_of(self, depth: int) -> list[nn.Parameter]:
        """The trainable parameters that a depth uses and the depth before it did not.

        Args:
            depth (int): Number of active fragments, from 1 on.
        """
        new = used_parameters(self, depth)
        if depth > 1:
            new = new - used_parameters(self, depth - 1)
        return [parameter for parameter in self.parameters() if parameter in new]

    def unused_modules(self) -> list[str]:
        """Names of the student's modules that the current depth does not need, the outermost only."""
        if self.growth:
            return self.growth.passed_by(self.depth)
        if self.at_full_depth:
            return []
        return modules_behind(self.cuts[self.depth - 1], self)

    def counterparts(self, source: str) -> list[nn.Module]:
        """The modules of the references that stand in for the student's module ``source``.

        There is one a reference for the head, a classifier in it, and a loss module that the
        references do not share.
        """
        if source == 'head':
            return [reference.head for reference in self.references]
        if source in self.classifier_names:
            return [reference.head.fc for reference in self.references]
        if source == 'head.loss_module':
            return [
                reference.head.loss_module
                for reference in self.references
                if reference.head.loss_module is not self.head.loss_module
            ]
        return []

    def set_grade(self, fragments: int, seen: Sequence[int]) -> None:
        """Switch to the first fragments and the classes taught, ascending. Nothing is built.

        Raises:
            ConfigurationError: If there are fewer fragments, or the head needs all classes.
        """
        if not 1 <= fragments <= self.num_fragments:
            raise ConfigurationError(
                f'a grade asks for {fragments} fragments, but the student has {self.num_fragments}'
            )
        taught = ClassIndex(seen, self.num_classes)
        if not taught.complete:
            check_partial_loss(getattr(self, 'head', None), self.num_classes)
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for name, child in self.named_children():
            if name in self.student._modules:
                # A runner may have replaced it here alone, by a synchronised BatchNorm.
                self.student._modules[name] = child
        self.depth, self.seen = fragments, taught
        self.class_counts.follow(self.seen)
        if self.growth:
            self.growth.set_depth(fragments)
        elif not self.at_full_depth:
            # Registered at each switch, hence behind the hooks of all recorders of that module.
            cut = self.student.get_submodule(self.cuts[fragments - 1])
            self._handles.append(cut.register_forward_hook(_leave))

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: list[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Run the active fragments; see MMPretrain's ``ImageClassifier.forward``.

        Args:
            inputs (torch.Tensor): Images, [B, C, H, W].
            data_samples (list[DataSample], optional): Labels in the data set's numbering.
            mode (str): 'tensor' | 'loss' | 'predict'.

        Returns:
            torch.Tensor | dict | list: Class scores [B, num_classes] (minus infinity for classes
                not
            taught yet), losses over the classes taught so far, or predictions over all classes.
        """
        if self.reference is None and self.seen.complete:
            return self.student(inputs, data_samples, mode=mode)
        if mode == 'loss':
            return self._loss(self._features(inputs), data_samples)
        scores = self.active_head(self._features(inputs))
        if not self.seen.complete:
            scores = _each(self._mask, scores)
        if mode == 'tensor':
            return scores
        return self.active_head._get_predictions(
            sum(scores) if isinstance(scores, tuple) else scores, data_samples
        )

    def _mask(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores over all classes, minus infinity for those that are not taught yet."""
        columns = self.seen.columns(scores.device)
        return torch.full_like(scores, float('-inf')).index_copy(
            1, columns, self.seen.select(scores)
        )

    def _features(self, inputs: torch.Tensor) -> Any:
        if self.reference is None:
            return self.student.extract_feat(inputs)
        try:
            self.student.extract_feat(inputs)
        except _CutReached as cut:
            layout = self.trace.features[self.cuts[self.depth - 1]]
            return (self.reference(layout.read(feature_of(cut.output, len(inputs)))),)

    def _loss(self, features: Any, data_samples: list[DataSample]) -> dict[str, torch.Tensor]:
        head = self.active_head
        if self.seen.complete:
            return head.loss(features, data_samples)
        return head._get_loss(
            _each(self.seen.select, head(features)), self._restrict(data_samples)
        )

    def _restrict(self, data_samples: list[DataSample]) -> list[DataSample]:
        """Labels numbered within the classes taught so far."""
        if 'gt_score' in data_samples[0]:
            columns = self.seen.columns(data_samples[0].gt_score.device)
            return [DataSample().set_gt_score(sample.gt_score[columns]) for sample in data_samples]
        labels = torch.cat([sample.gt_label for sample in data_samples])
        # One sample with all labels: heads concatenate them anyway, and building B samples in each
        # step is slow.
        return [DataSample().set_gt_label(self.seen.positions(labels.device)[labels])]

    def train(self, mode: bool = True) -> 'FragmentedStudent':
        """Set the training mode, the classifier's own flag included."""
        super().train(mode)
        self.student.training = mode
        return self

    def init_weights(self) -> None:
        """Initialise the student as without this wrapper, then the references."""
        shared = getattr(self, '_params_init_info', None)
        if shared is not None:
            # The classifier, no child of this module, would take itself for the root of the
            # initialisation and clear the real root's records.
            self.student._params_init_info = shared
        try:
            if not getattr(self.student, '_is_init', False):
                self.student.init_weights()
            for reference in self.references:
                reference.init_weights()
            if self.init_cfg:
                initialize(self, self.init_cfg)
            if self.growth and self.new_blocks == 'identity':
                self.growth.begin_as_identity(self.first_depth)
            self._is_init = True
        finally:
            if shared is not None:
                del self.student._params_init_info
