import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn

from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.checkpoint.pretrained import pretrained_of
from edudistill_mm.compat import switch_off_inplace
from edudistill_mm.datasets.channel_order import other_order
from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.class_names import as_names, names_of, remember_names
from edudistill_mm.models.network import (
    build_network,
    dry_run,
    first_input_channels,
    load_weights,
    published_names,
    published_weights,
)
from edudistill_mm.validation.values import check_bool

from .answers import Keeping
from .base_teacher import BaseTeacher
from .outputs import checked_outputs, contradiction, listed, outputs_by_name
from .teacher_inputs import TeacherInputs, normalisation
from .teacher_keys import part_of


class Teacher(BaseTeacher):
    """A frozen network and the classes that it knows.

    Args:
        name (str): Name by which the curriculum calls the teacher.
        architecture (str | dict | nn.Module): The network; see :func:`build_network`.
        classes (Sequence[int]): The classes it covers, in the order of its outputs, in the data
            set's numbering.
        num_classes (int): Number of classes of the data set.
        ckpt (str, optional): Path or URL of its checkpoint. May be None only if the architecture
            itself brings its weights (``pretrained=True``, an ``init_cfg`` of type ``Pretrained``,
            a trained module).
        weight (float): Weight among the teachers that share a sample. Defaults to 1.
        outputs (Sequence[int] | Sequence[str], optional): Which of the network's outputs stand for
            ``classes``, in their order: numbers from 0, or names where the checkpoint has such, so
            that a network of more classes can teach some of them. Defaults to None: those that
            the checkpoint calls as the data set calls the classes (see :meth:`introduce_data`);
            where it has no names, all, in order.
        data_preprocessor (str | dict, optional): How the teacher's images are normalised:
            ``'own'`` as its architecture's ``data_preprocessor`` says, or a dict with ``mean``,
            ``std`` and ``to_rgb``. As in MMPretrain, ``to_rgb`` means that the channels are
            swapped after loading: CIFAR's images are RGB as they are loaded, and BGR with it.
            Defaults to None: as the student's.
        channel_order (str, optional): The order of the channels that the teacher reads, 'rgb' or
            'bgr', however the run loads them; ``mean`` and ``std`` are in this order, and the
            architecture's own ``to_rgb`` does not count. Defaults to None: by ``to_rgb``, or as
            the student's.
        input_size (int | tuple[int, int], optional): Size to which the student's images are
            resized for this teacher. Defaults to None: theirs.
        run_preprocessor (nn.Module, optional): The data preprocessor of the student's images.
        run_channels (int, optional): Number of channels of the student's images. A teacher of
            three can teach a gray student, and the reverse; see :class:`TeacherInputs`. Defaults
            to None: the teacher's.
        keep_inplace (bool): Whether modules may go on overwriting their inputs. Defaults to False,
            because recorders would hold the overwritten tensors.
        averaged (bool, optional): Whether its checkpoint's weights averaged over the training
            (EMA) are taken, if there are others beside them. Defaults to None: they are, and the
            log says so.
        keep_answers (bool | dict): Whether its class scores are kept, by image and view, instead
            of running it again; a dict has the arguments of :class:`Keeping`. Defaults to False.
        key (str): Where the teacher stands in the config, for error messages.

    Attributes:
        class_names (tuple[str, ...] | None): What the checkpoint calls the network's outputs.

    Raises:
        ConfigurationError: If the network has no weights, or a value is none of these.
    """

    def __init__(
        self,
        name: str,
        architecture: str | dict | nn.Module,
        classes: Sequence[int],
        num_classes: int,
        ckpt: str | None = None,
        weight: float = 1.0,
        outputs: Sequence[int] | Sequence[str] | None = None,
        data_preprocessor: str | dict | None = None,
        channel_order: str | None = None,
        input_size: int | Sequence[int] | None = None,
        run_preprocessor: nn.Module | None = None,
        run_channels: int | None = None,
        keep_inplace: bool = False,
        averaged: bool | None = None,
        keep_answers: bool | dict = False,
        key: str = 'teachers',
    ) -> None:
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < float('inf'):
            raise ConfigurationError(f'{key}.weight must be a positive number, but got {weight!r}')
        if averaged is not None:
            check_bool(averaged, f'{key}.averaged')
        #: Keeping | None: How its answers are kept, if they are.
        self.keeping = Keeping.from_cfg(keep_answers, part_of(key, 'keep_answers'))
        super().__init__(name, ClassIndex(classes, num_classes), float(weight))
        self.key = key
        self._check_order(channel_order, data_preprocessor)
        self.class_names: tuple[str, ...] | None = None
        self._given_outputs, self._unnamed = outputs, False
        self._data_names: tuple[str, ...] | None = None
        trained = isinstance(architecture, nn.Module)
        published = None
        if ckpt is None and not trained:
            ckpt = published = published_weights(architecture)
        if ckpt is not None and isinstance(architecture, dict) and 'cfg_path' in architecture:
            # MMRazor's configs name the weights twice; the checkpoint wins.
            architecture = dict(architecture, pretrained=False)
        self.network = build_network(architecture, part_of(key, 'architecture'))
        if published is not None:
            remember_names(self.network, published_names(str(architecture)))
        self.source = str(ckpt) if ckpt is not None else 'architecture'
        self.sha256: str | None = None
        if ckpt is not None:
            self.sha256 = file_sha256(
                load_weights(self.network, str(ckpt), part_of(key, 'ckpt'), averaged)
            )
        elif not trained and not _brings_weights(architecture, self.network):
            pretrained = pretrained_of(getattr(self.network, 'init_cfg', None))
            if pretrained is None:
                raise ConfigurationError(
                    f'{key} ("{name}") has no checkpoint: give its path or URL as '
                    f'{part_of(key, "ckpt")}, '
                    f'or train it with tools/train_teachers.py'
                )
            load_weights(
                self.network,
                pretrained['checkpoint'],
                f'{part_of(key, "architecture")}.init_cfg',
                averaged,
                pretrained.get('prefix'),
            )
        elif averaged is not None:
            raise ConfigurationError(
                f'{key}.averaged chooses among the weights of a file, which {key}.ckpt must name'
            )
        self.data_preprocessor, self.channel_order = data_preprocessor, channel_order
        self._run_preprocessor, self._input_size = run_preprocessor, input_size
        self._loaded: str | None = None
        self._run_channels, self._channels = run_channels, self._other_channels(run_channels)
        self.inputs = self.build_inputs(data_preprocessor)
        if not keep_inplace:
            switch_off_inplace(self.network)
        self.network.eval().requires_grad_(False)

    def _check_order(self, order: Any, wanted: Any) -> None:
        if order not in (None, 'rgb', 'bgr'):
            raise ConfigurationError(
                f'{self.key}.channel_order must be "rgb" or "bgr", but got {order!r}'
                f'{did_you_mean(order, ("rgb", "bgr"))}'
            )
        if order is not None and isinstance(wanted, dict) and 'to_rgb' in wanted:
            raise ConfigurationError(
                f'{self.key} has both channel_order="{order}", which says what the teacher wants to see, and '
                f'data_preprocessor.to_rgb, which swaps what the run loads; give one of them'
            )

    def _other_channels(self, given: int | None) -> int | None:
        """The number of channels that the network reads, if the student's images have another."""
        wanted = first_input_channels(self.network)
        if given in (None, wanted):
            return None
        if {given, wanted} != {1, 3}:
            raise ConfigurationError(
                f'{self.key} ("{self.name}") reads images of {wanted} channels, but the student reads '
                f'{given}: only gray images (1) can be made of colours (3), and the reverse; take a teacher '
                f'for {given} channels'
            )
        return wanted

    def build_inputs(self, wanted: str | dict | None, swap: bool | None = None) -> TeacherInputs:
        """What turns the student's images into this teacher's.

        ``wanted`` is as ``data_preprocessor`` of the config, ``swap`` as in
        :class:`TeacherInputs`.
        """
        run, own = self._run_preprocessor, getattr(self.network, 'data_preprocessor', None)
        has_own = getattr(own, '_enable_normalize', False)
        if wanted == 'own':
            if not has_own:
                raise ConfigurationError(
                    f'{self.key}.data_preprocessor is "own", but the architecture of "{self.name}" has '
                    f'no data_preprocessor with mean and std; give them as a dict'
                )
            wanted = own
        elif wanted is None:
            if swap is None and has_own and run is not None and _differ(own, run):
                warnings.warn(
                    f'{self.key} ("{self.name}") sees the images as the student does, but its '
                    f'architecture normalises them differently; if it was trained so, set '
                    f'{part_of(self.key, "data_preprocessor")}="own", and '
                    f'{part_of(self.key, "channel_order")} if it was trained '
                    f'on images loaded in another order',
                    stacklevel=2,
                )
        elif not isinstance(wanted, dict):
            raise ConfigurationError(
                f'{self.key}.data_preprocessor must be "own" or a dict with mean and std, but got '
                f'{wanted!r}'
            )
        order = 'rgb'
        if self._channels == 1 and self._loaded is not None:
            order = other_order(self._loaded) if normalisation(run)[2] else self._loaded
        inputs = TeacherInputs(
            run, wanted, self._input_size, self.key, swap, self._channels, order
        )
        device = next((p.device for p in self.network.parameters()), torch.device('cpu'))
        return inputs.to(device)

    def check_head(self) -> None:
        """Find the outputs that stand for the teacher's classes; refuse a head without them."""
        output = self.dry_run(lambda image: self.network(image, mode='tensor'))
        if isinstance(output, (tuple, list)):
            raise ConfigurationError(
                f'{self.key} ("{self.name}") gives {len(output)} results for an image, such as the scores '
                f'of several branches, and a teacher must give one score for each class; give '
                f'{part_of(self.key, "architecture")} another network or head'
            )
        width = output.shape[-1] if isinstance(output, torch.Tensor) and output.ndim == 2 else None
        count, names = len(self.classes), names_of(self.network)
        # Names of another number are those of a data set of which the network knows a part.
        self.class_names = names if names is not None and len(names) == width else None
        if self._given_outputs is not None and width is not None:
            columns = checked_outputs(
                self._given_outputs, count, width, self.class_names, self.key
            )
            self.columns = ClassIndex(columns, width)
            return
        self._unnamed = width is not None and width > count
        if width is None or width < count or (self._unnamed and self.class_names is None):
            advice = f'give {part_of(self.key, "classes")} that fit the checkpoint'
            if self._unnamed:
                advice = f'give {part_of(self.key, "outputs")}, those of them that stand for the classes'
            raise ConfigurationError(
                f'{self.key} ("{self.name}") covers {count} classes, but its head has '
                f'{width if width is not None else "no"} outputs; {advice}'
            )
        # Any of the right number, until the data set says what its classes are called.
        self.columns = ClassIndex(range(count), width)

    @property
    def open_question(self) -> str | None:
        """What must be known of the data before this teacher can teach, an error message."""
        if self._unnamed:
            return (
                f'{self.key} ("{self.name}") covers {len(self.classes)} classes, but its head has '
                f'{self.columns.num_classes} outputs, which its checkpoint calls {listed(self.class_names)}, '
                f'and no class of the data set is called so; '
                f'give {part_of(self.key, "outputs")}, those of them that '
                f'stand for the classes'
            )
        if self._channels == 1 and self._loaded is None:
            return (
                f'{self.key} ("{self.name}") reads gray images, which are made of colours, but in which '
                f'order these are loaded is not known: set metainfo=dict(channel_order="rgb" or "bgr") of '
                f'the data sets'
            )
        colours = self._run_channels != 1
        if self.channel_order is not None and self._loaded is None and colours:
            return (
                f'{self.key}.channel_order is "{self.channel_order}", but in which order the images are '
                f'loaded is not known: GradeSchedulerHook reads it off CIFAR, LoadImageFromFile, or '
                f'metainfo=dict(channel_order="rgb" or "bgr") of the data sets'
            )
        return None

    def introduce_data(
        self, class_names: Sequence[str] | None = None, channel_order: str | None = None
    ) -> None:
        """Choose the network's outputs and inputs by what is known of the data.

        Where both the checkpoint and the data set name their classes, outputs go by name, unless
        ``outputs`` of the config says which they are. ``class_names`` are in the data set's order;
        ``channel_order``, 'rgb' or 'bgr', is that in which images are loaded.

        Raises:
            ConfigurationError: If the checkpoint lacks a class, or :attr:`open_question` remains
                one.
        """
        names = as_names(class_names)
        if names is not None and len(names) == self.classes.num_classes and self.class_names:
            # The teacher test and the training call this with the same names.
            if names != self._data_names:
                self._take_outputs_by_name([names[label] for label in self.classes.classes])
            self._data_names = names
        self._loaded = channel_order or self._loaded
        if self.open_question is not None:
            raise ConfigurationError(self.open_question)
        if self.channel_order is not None:
            swap = (self._loaded != self.channel_order) != normalisation(self._run_preprocessor)[2]
            self.inputs = self.build_inputs(self.data_preprocessor, swap)
        elif self._channels == 1:
            self.inputs = self.build_inputs(self.data_preprocessor)

    def _take_outputs_by_name(self, wanted: Sequence[str]) -> None:
        where = f'{self.key} ("{self.name}")'
        if self._given_outputs is not None:
            doubt = contradiction(wanted, self.columns.classes, self.class_names)
            if doubt is not None:
                _warn(f'{where}: {self.key}.outputs are followed, though {doubt}')
            return
        outputs = outputs_by_name(wanted, self.class_names, self.key, where)
        if outputs is None:
            if not self._unnamed:
                _warn(
                    f'{where}: its checkpoint calls its classes {listed(self.class_names)}, and the data '
                    f'set {listed(wanted)}, so that outputs cannot go by name and are taken in the order of '
                    f'{part_of(self.key, "classes")}'
                )
            return
        self._unnamed = False
        if outputs != self.columns.classes:
            self.columns = ClassIndex(outputs, self.columns.num_classes)
            print_log(
                f'Teacher "{self.name}": its {self.columns.num_classes} outputs go by the class names in '
                f'its checkpoint; those for {listed(wanted)} are {listed(outputs)}',
                logger='current',
            )

    def dry_run(self, forward: Callable[[torch.Tensor], Any]) -> Any:
        """Run ``forward`` on a zero image; a failure becomes a ConfigurationError."""
        try:
            return dry_run(self.network, forward)
        except RuntimeError as error:
            raise ConfigurationError(
                f'{self.key} ("{self.name}") cannot be run on a zero image: {error}'
            ) from error

    def describe(self) -> dict:
        """What a checkpoint records of the teacher; ``outputs`` only if not all in order."""
        outputs = {} if self.columns.complete else dict(outputs=list(self.columns.classes))
        return dict(super().describe(), source=self.source, sha256=self.sha256, **outputs)

    def teach(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores [n, len(classes)] of images [n, C, H, W], without gradients."""
        with torch.no_grad():
            return self.columns.select(self.network(self.inputs(inputs), mode='tensor'))


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)


def _brings_weights(architecture: Any, network: nn.Module) -> bool:
    """Whether the architecture has loaded weights by itself, as for ``pretrained=True``."""
    if getattr(network, '_is_init', False):
        return True
    # timm's models, as a classifier or as a backbone.
    parts = [architecture, architecture.get('backbone')] if isinstance(architecture, dict) else []
    return any(isinstance(part, dict) and part.get('pretrained') is True for part in parts)


def _differ(one: nn.Module, other: nn.Module) -> bool:
    (mean, std, rgb), (other_mean, other_std, other_rgb) = map(normalisation, (one, other))
    return rgb != other_rgb or not (
        mean.shape == other_mean.shape
        and torch.allclose(mean, other_mean, atol=0.01)
        and torch.allclose(std, other_std, atol=0.01)
    )
