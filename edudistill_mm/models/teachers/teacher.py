import warnings
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Union

import torch
from torch import nn

from edudistill_mm.compat import switch_off_inplace
from edudistill_mm.engine.checkpoint import file_sha256
from edudistill_mm.engine.foreign_weights import pretrained_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.network import (
    build_network,
    dry_run,
    load_weights,
    published_weights,
)

from .teacher_inputs import TeacherInputs, normalisation


class Teacher:
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
        data_preprocessor (str | dict, optional): How the teacher's images are normalised:
            ``'own'`` as its architecture's ``data_preprocessor`` says, or a dict with ``mean``,
            ``std`` and ``to_rgb``. Defaults to None: as the student's.
        input_size (int | tuple[int, int], optional): Size to which the student's images are
            resized for this teacher. Defaults to None: theirs.
        run_preprocessor (nn.Module, optional): The data preprocessor that normalises the student's
            images.
        keep_inplace (bool): Whether modules may go on overwriting their inputs. Defaults to False,
            because recorders would see the overwritten tensors.
        averaged (bool, optional): Whether its checkpoint's weights averaged over the training (EMA)
            are taken, if there are others beside them. Defaults to None: they are, and the log
            says so.
        key (str): Where the teacher stands in the config, for error messages.

    Raises:
        ConfigurationError: If the network has no weights, or another number of outputs than
        classes.
    """

    def __init__(
        self,
        name: str,
        architecture: Union[str, dict, nn.Module],
        classes: Sequence[int],
        num_classes: int,
        ckpt: Optional[str] = None,
        weight: float = 1.0,
        data_preprocessor: Optional[Union[str, dict]] = None,
        input_size: Optional[Union[int, Sequence[int]]] = None,
        run_preprocessor: Optional[nn.Module] = None,
        keep_inplace: bool = False,
        averaged: Optional[bool] = None,
        key: str = 'teachers',
    ) -> None:
        if (
            isinstance(weight, bool)
            or not isinstance(weight, (int, float))
            or not 0 < weight < float('inf')
        ):
            raise ConfigurationError(f'{key}.weight must be a positive number, but got {weight!r}')
        if averaged is not None and not isinstance(averaged, bool):
            raise ConfigurationError(f'{key}.averaged must be True or False, but got {averaged!r}')
        self.name, self.weight, self.key = name, float(weight), key
        self.classes = ClassIndex(classes, num_classes)
        # What the network's outputs stand for: its classes, and nothing else.
        self.outputs = self.classes
        trained = isinstance(architecture, nn.Module)
        if ckpt is None and not trained:
            ckpt = published_weights(architecture)
        if ckpt is not None and isinstance(architecture, dict) and 'cfg_path' in architecture:
            # MMRazor's configs name the weights twice; the checkpoint wins.
            architecture = dict(architecture, pretrained=False)
        self.network = build_network(architecture, f'{key}.architecture')
        self.source = str(ckpt) if ckpt is not None else 'architecture'
        self.sha256: Optional[str] = None
        if ckpt is not None:
            if not isinstance(ckpt, (str, Path)):
                raise ConfigurationError(f'{key}.ckpt must be a path or a URL, but got {ckpt!r}')
            self.sha256 = file_sha256(
                load_weights(self.network, str(ckpt), f'{key}.ckpt', averaged)
            )
        elif not trained and not _brings_weights(architecture, self.network):
            pretrained = pretrained_of(getattr(self.network, 'init_cfg', None))
            if pretrained is None:
                raise ConfigurationError(
                    f'{key} ("{name}") has no checkpoint: give its path or URL as {key}.ckpt, '
                    f'or train it with tools/train_teachers.py'
                )
            load_weights(
                self.network,
                pretrained['checkpoint'],
                f'{key}.architecture.init_cfg',
                averaged,
                pretrained.get('prefix'),
            )
        elif averaged is not None:
            raise ConfigurationError(
                f'{key}.averaged chooses among the weights of a file, which {key}.ckpt must name'
            )
        self.inputs = self.build_inputs(run_preprocessor, data_preprocessor, input_size)
        if not keep_inplace:
            switch_off_inplace(self.network)
        self.network.eval().requires_grad_(False)

    def build_inputs(
        self, run: Optional[nn.Module], wanted: Optional[Union[str, dict]], size: Any
    ) -> TeacherInputs:
        """What turns the student's images into this teacher's.

        Args:
            run (nn.Module, optional): Normalises the student's images.
            wanted (str | dict, optional): The ``data_preprocessor`` of the config.
            size (int | tuple[int, int], optional): The ``input_size`` of the config.

        Raises:
            ConfigurationError: If one of them is none.
        """
        own = getattr(self.network, 'data_preprocessor', None)
        has_own = getattr(own, '_enable_normalize', False)
        if wanted == 'own':
            if not has_own:
                raise ConfigurationError(
                    f'{self.key}.data_preprocessor is "own", but the architecture of "{self.name}" has '
                    f'no data_preprocessor with mean and std; give them as a dict'
                )
            wanted = own
        elif wanted is None:
            if has_own and run is not None and _differ(own, run):
                warnings.warn(
                    f'{self.key} ("{self.name}") sees the images as the student does, but its '
                    f'architecture normalises them differently; if it was trained so, set '
                    f'{self.key}.data_preprocessor="own"',
                    stacklevel=2,
                )
        elif not isinstance(wanted, dict):
            raise ConfigurationError(
                f'{self.key}.data_preprocessor must be "own" or a dict with mean and std, but got '
                f'{wanted!r}'
            )
        return TeacherInputs(run, wanted, size, self.key)

    def check_head(self) -> None:
        """Raise ConfigurationError unless the network has one output for each of the teacher's
        classes."""
        output = self.rehearse(lambda image: self.network(image, mode='tensor'))
        width = output.shape[-1] if isinstance(output, torch.Tensor) and output.ndim == 2 else None
        if width != len(self.classes):
            raise ConfigurationError(
                f'{self.key} ("{self.name}") covers {len(self.classes)} classes, but its head has '
                f'{width if width is not None else "no"} outputs; '
                f'give {self.key}.classes that fit the checkpoint'
            )

    def rehearse(self, forward: Callable[[torch.Tensor], Any]) -> Any:
        """Run ``forward`` on a zero image; a failure becomes a ConfigurationError."""
        try:
            return dry_run(self.network, forward)
        except RuntimeError as error:
            raise ConfigurationError(
                f'{self.key} ("{self.name}") cannot be run on a zero image: {error}'
            ) from error

    @property
    def is_generalist(self) -> bool:
        """bool: Whether the teacher covers all classes of the data set."""
        return len(self.classes) == self.classes.num_classes

    def describe(self) -> dict:
        """What a checkpoint says of the teacher: name, source, sha256 of the file, classes."""
        return dict(
            name=self.name,
            source=self.source,
            sha256=self.sha256,
            classes=list(self.classes.classes),
        )

    def teach(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run the network without gradients.

        Args:
            inputs (torch.Tensor): Images of the teacher's classes, [n, C, H, W].

        Returns:
            torch.Tensor: Class scores, [n, len(classes)].
        """
        with torch.no_grad():
            return self.network(self.inputs(inputs), mode='tensor')


def _brings_weights(architecture: Any, network: nn.Module) -> bool:
    """Whether the architecture has loaded weights by itself, as ``pretrained=True`` asks for."""
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
