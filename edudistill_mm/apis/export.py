"""Turn a checkpoint of a run into a plain MMPretrain model."""

import os
import os.path as osp
from typing import Any, Dict, Optional, Tuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from edudistill_mm import registry
from edudistill_mm.engine.checkpoint import extract_state_dict, load_checkpoint_file
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module, build_network, dry_run

from .config import curriculum_of, network_config, strip_teachers, types_in, without_metric

STUDENT, REFERENCES = 'architecture.', 'architecture.references.'


def plain_student_state(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The student in a run's state dict, under the names of the plain model; empty if there is
    none."""
    return {
        name.removeprefix(STUDENT): tensor
        for name, tensor in state.items()
        if name.startswith(STUDENT)
        and not name.startswith((REFERENCES, f'{STUDENT}data_preprocessor.'))
    }


def plain_config(cfg: Config) -> Config:
    """Derive the config of the plain student: model, preprocessing and test data.

    Args:
        cfg (Config): Config of an :class:`EducationDistill` run.

    Returns:
        Config: An MMPretrain config. It imports this package only if the student or the data set
        is one of this package's, and for a data set only where the package is installed.
    """
    architecture = cfg.model.architecture
    if isinstance(architecture, dict) and str(architecture.get('type', '')).endswith(
        'FragmentedStudent'
    ):
        architecture = architecture.student
    model = network_config(architecture, 'model.architecture')
    if cfg.get('data_preprocessor') is not None:
        model.pop('data_preprocessor', None)
    plain = Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=_imports(model, cfg.get('test_dataloader')),
            model=model,
        )
    )
    for key in ('data_preprocessor', 'test_dataloader', 'test_cfg', 'env_cfg', 'visualizer'):
        if cfg.get(key) is not None:
            plain[key] = cfg[key]
    if cfg.get('test_evaluator') is not None:
        plain.test_evaluator = without_metric(cfg.test_evaluator, 'GradeAccuracy')
    if plain.custom_imports is None:
        plain.pop('custom_imports')
    return plain


def _imports(model: dict, loader: Any) -> Optional[dict]:
    ours = {*registry.MODELS.module_dict}
    if ours.intersection(types_in(model)):
        return dict(
            imports=['edudistill_mm.models', 'edudistill_mm.datasets'], allow_failed_imports=False
        )
    if {*registry.DATASETS.module_dict}.intersection(types_in(loader)):
        return dict(imports=['edudistill_mm.datasets'], allow_failed_imports=True)
    return None


def export_student(cfg: Config, checkpoint: str, out: str) -> Tuple[str, str]:
    """Write the student of a checkpoint as a plain MMPretrain checkpoint with its config.

    What was written is read back: the plain model must take all of its tensors and give the very
    class scores of the run's student.

    Args:
        cfg (Config): Config of the :class:`EducationDistill` run.
        checkpoint (str): A checkpoint of it, of any grade.
        out (str): The file to write, ``<name>.pth``; its config becomes ``<name>.py``.

    Returns:
        tuple[str, str]: Path of the checkpoint and of the config.

    Raises:
        ConfigurationError: If the checkpoint is unreadable or does not belong to the config.
    """
    curriculum_of(cfg)
    config_out = f'{osp.splitext(out)[0]}.py'
    if config_out == out or osp.isdir(out):
        raise ConfigurationError(f'OUT must be a file such as "student.pth", not "{out}"')
    loaded = load_checkpoint_file(checkpoint)
    state = plain_student_state(extract_state_dict(loaded))
    if not state:
        raise ConfigurationError(
            f'checkpoint "{checkpoint}" holds no student (no tensor "{STUDENT}..."): give a checkpoint of an '
            'EducationDistill run'
        )
    plain = plain_config(cfg)
    meta = loaded.get('meta', {})
    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    # Written aside until it has been checked.
    part = f'{out}.part'
    try:
        meta = {key: meta[key] for key in ('dataset_meta', 'education') if key in meta}
        torch.save(dict(meta=meta, state_dict=state), part)
        _check(cfg, plain, state, load_checkpoint_file(part)['state_dict'], checkpoint)
        os.replace(part, out)
    finally:
        if osp.exists(part):
            os.remove(part)
    plain.dump(config_out)
    return out, config_out


def _check(
    cfg: Config, plain: Config, state: Dict[str, Tensor], exported: Dict[str, Tensor], source: str
) -> None:
    """Compare the plain model with exported tensors to the run's student with the original
    ones."""
    model = build_network(plain.model.to_dict(), 'model.architecture')
    try:
        model.load_state_dict(exported)
    except RuntimeError as error:
        reason = ' '.join(line.strip() for line in str(error).splitlines()[1:2])
        raise ConfigurationError(
            f'checkpoint "{source}" does not fit the student of the config: {reason}'
        ) from error
    algorithm = build_module(strip_teachers(cfg).model.to_dict(), 'model', 'mmpretrain')
    student = algorithm.architecture
    student.load_state_dict(state, strict=False)
    algorithm.set_grade(algorithm.curriculum.grades[-1])

    def scores(network: nn.Module) -> Tensor:
        def forward(image: Tensor) -> Tensor:
            noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
            return network(noise, mode='tensor')

        return dry_run(network, forward, student.input_shape)

    if not torch.equal(scores(model).nan_to_num(), scores(student).nan_to_num()):
        raise ConfigurationError(
            f'the plain student of "{source}" gives other class scores than the student of the run'
        )
