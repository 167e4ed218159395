"""Read a config as the tools do, and find its mistakes before anything is trained."""

import copy
import inspect
import os
import os.path as osp
from typing import Any, Iterator, List, Optional, Union

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import DefaultScope

# Importing them registers their classes, which a config may name without custom_imports.
import edudistill_mm.datasets  # noqa: F401
import edudistill_mm.engine  # noqa: F401
import edudistill_mm.evaluation  # noqa: F401
import edudistill_mm.models  # noqa: F401
from edudistill_mm.compat import modernise
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.network import build_module, build_network, read_network_config
from edudistill_mm.models.teachers import Faculty

LOOPS_OF_MMRAZOR = ('SingleTeacherDistillValLoop', 'SelfDistillValLoop')
DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(
    path: str, options: Optional[dict] = None, work_dir: Optional[str] = None
) -> Config:
    """Read a config file for a run.

    Args:
        path (str): The file.
        options (dict, optional): Values by dotted key that override the file's. ``data_root``
            applies to the data sets of all data loaders. Defaults to None.
        work_dir (str, optional): Defaults to None: the config's ``work_dir``, or
            ``work_dirs/<name of the file>``.

    Returns:
        Config: With ``work_dir`` and the hook that keeps checkpoints free of code.

    Raises:
        ConfigurationError: If the file or an option cannot be used.
    """
    try:
        cfg = modernise(Config.fromfile(path))
    except Exception as error:
        # A config file is code: whatever it raises is the user's to mend.
        raise ConfigurationError(
            f'the config "{path}" cannot be read: {reason_of(error)}'
        ) from error
    if 'model' not in cfg:
        raise ConfigurationError(f'the config "{path}" has no "model"')
    options = dict(options or {})
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise ConfigurationError(
            f'--cfg-options do not fit the config: {reason_of(error)}'
        ) from error
    if 'data_root' in options:
        for loader in DATALOADERS:
            dataset = _innermost(cfg.get(loader))
            if _root_key(dataset) is not None:
                dataset[_root_key(dataset)] = options['data_root']
    if is_education(cfg) and _name(cfg.get('val_cfg') or {}) in LOOPS_OF_MMRAZOR:
        # They read a teacher that is part of the model, or put 'student.' before all metrics.
        cfg.val_cfg = {k: v for k, v in cfg.val_cfg.items() if k not in ('type', '_scope_')}
    name = osp.splitext(osp.basename(path))[0]
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    # The default hooks of the bases that users bring (MMPretrain's, MMRazor's) do not have it.
    if not any(_name(hook) == 'SafeCheckpointHook' for hook in _hooks(cfg)):
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='SafeCheckpointHook')]
    return cfg


def is_education(cfg: Config) -> bool:
    """Whether a config trains by :class:`EducationDistill`."""
    return _name(cfg.model) == 'EducationDistill'


def has_teachers(cfg: Config) -> bool:
    """Whether a config is of a kind that has teachers: :class:`EducationDistill`, or an algorithm
    of MMRazor with one teacher."""
    return is_education(cfg) or isinstance(cfg.model.get('teacher'), (str, dict))


def curriculum_of(cfg: Config) -> Curriculum:
    """The curriculum of a config of :class:`EducationDistill`.

    Raises:
        ConfigurationError: If the config has none, or one that is not valid.
    """
    if not is_education(cfg):
        raise ConfigurationError(
            f'model.type must be "EducationDistill" here, but is "{_name(cfg.model)}"'
        )
    EducationDistill.check_keys(cfg.model)
    if cfg.model.get('curriculum') is None:
        raise ConfigurationError(
            'model.curriculum is missing: EducationDistill needs a dict with "grades"'
        )
    return Curriculum.from_cfg(cfg.model.curriculum, teachers=Faculty.names(teachers_of(cfg)))


def teachers_of(cfg: Config) -> List[dict]:
    """The configs of a run's teachers, in the form of ``model.teachers``."""
    if cfg.model.get('teacher') is not None:
        return [
            dict(
                name='teacher', architecture=cfg.model.teacher, ckpt=cfg.model.get('teacher_ckpt')
            )
        ]
    return list(cfg.model.get('teachers') or []) if is_education(cfg) else []


def network_config(spec: Union[str, dict], key: str) -> ConfigDict:
    """The model config of a network, in whichever way a config names it.

    Args:
        spec (str | dict): What :func:`edudistill_mm.models.network.build_network` takes, except a
            module.
        key (str): Where the spec stands, for the error message.

    Returns:
        ConfigDict: A config with a ``type``.

    Raises:
        ConfigurationError: If the config file that it names cannot be read.
    """
    spec = ConfigDict(cfg_path=spec) if isinstance(spec, str) else ConfigDict(copy.deepcopy(spec))
    if 'type' in spec:
        return spec
    path = spec.pop('cfg_path', None)
    spec.pop('pretrained', None)
    model = read_network_config(path, False, key).model
    cfg = Config(dict(model=model))
    cfg.merge_from_dict(dict(model=spec))
    return cfg.model


def strip_teachers(cfg: Config) -> Config:
    """Copy a config without its teachers, for work that needs the student only."""
    cfg = copy.deepcopy(cfg)
    for key in ('teacher', 'teacher_ckpt', 'teachers', 'distiller'):
        cfg.model.pop(key, None)
    for grade in cfg.model.curriculum.grades:
        grade.pop('teachers', None)
    return cfg


def check_config(cfg: Config) -> None:
    """Find the mistakes that can be found without data, teachers' weights and training.

    The algorithm is built once, with untrained teachers.

    Args:
        cfg (Config): The config. Without effect if its model is not :class:`EducationDistill`.

    Raises:
        ConfigurationError: For the first mistake.
    """
    if not is_education(cfg):
        return
    curriculum = curriculum_of(cfg)
    loop = cfg.get('train_cfg') or {}
    by_epoch = 'max_epochs' in loop
    if by_epoch or 'max_iters' in loop:
        curriculum.check_length(by_epoch, loop['max_epochs' if by_epoch else 'max_iters'])
    hooks = [_name(hook) for hook in _hooks(cfg)]
    if 'GradeSchedulerHook' not in hooks:
        raise ConfigurationError(
            f'custom_hooks lack dict(type="GradeSchedulerHook"), without which no grade is ever entered; '
            f'they are {", ".join(hooks)}'
        )
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    ordered = any(
        len(grade.seen) < curriculum.num_classes or grade.samples != 'mixed'
        for grade in curriculum.grades
    )
    if ordered and _name(sampler) != 'GradeSampler':
        raise ConfigurationError(
            f'train_dataloader.sampler must be dict(type="GradeSampler"), because the curriculum decides '
            f'which classes are taught when, but is "{_name(sampler)}"'
        )

    if any(kind == 'CRDLoss' for kind in types_in(cfg.model.get('distiller') or {})):
        _check_contrast(cfg)
    model = cfg.model.to_dict() if hasattr(cfg.model, 'to_dict') else dict(cfg.model)
    for key in ('teacher', 'teacher_ckpt'):
        model.pop(key, None)
    model['teachers'] = [
        dict(
            teacher,
            architecture=untrained_network(
                teacher['architecture'], f'teachers[{index}].architecture'
            ),
            ckpt=None,
        )
        for index, teacher in enumerate(teachers_of(cfg))
    ]
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    build_module(model, 'model', 'mmpretrain')


def _check_contrast(cfg: Config) -> None:
    """See that the data set numbers its samples, by which CRDLoss remembers them."""
    kinds = list(types_in(cfg.get('train_dataloader') or {}))
    for kind, key in (('CRDDataset', 'dataset'), ('PackCRDClsInputs', 'dataset.dataset.pipeline')):
        if kind not in kinds:
            raise ConfigurationError(
                f'distiller.distill_losses has a CRDLoss, which needs "mmrazor.{kind}" in '
                f'train_dataloader.{key}, but there is none'
            )


def untrained_network(architecture: Any, key: str) -> Any:
    """Build a network without the weights that its config may ask for.

    Args:
        architecture (str | dict): See :func:`network_config`.
        key (str): Where it stands, for the error message.

    Returns:
        nn.Module: The network with random weights.
    """
    config = network_config(architecture, key).to_dict()
    for part in (config, config.get('backbone')):
        if isinstance(part, dict) and 'pretrained' in part:
            part['pretrained'] = False
    return build_network(config, key)


def check_data(cfg: Config) -> None:
    """See that the data sets are there; download those that can be downloaded.

    Args:
        cfg (Config): The config.

    Raises:
        ConfigurationError: If a data set is neither there nor to be had.
    """
    for loader in DATALOADERS:
        dataset = _innermost(cfg.get(loader))
        root = (dataset or {}).get(_root_key(dataset))
        if not root or '://' in root:
            continue
        where = f'{loader}.dataset: the data set {_name(dataset)}'
        hint = 'name the folder where it is by --cfg-options data_root=FOLDER'
        cls = _dataset_class(dataset)
        downloads = (
            getattr(cls, 'url', None)
            and dataset.get('download', True)
            and 'download' in inspect.signature(cls).parameters
        )
        if not downloads:
            if not osp.isdir(root):
                raise ConfigurationError(
                    f'{where} is not in "{root}": there is no such folder; {hint}'
                )
        elif os.environ.get('LOCAL_RANK', '0') == '0' and not _is_complete(root, cls):
            try:
                build_dataset(dataset)
            except (OSError, RuntimeError, AssertionError, EOFError) as error:
                raise ConfigurationError(
                    f'{where} is not in "{root}" and cannot be downloaded from {cls.url} '
                    f'({reason_of(error)}); {hint}'
                ) from error


def _hooks(cfg: Config) -> List[dict]:
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    return [hook for hook in hooks if hook is not None]


def without_hook(cfg: Config, name: str) -> List[dict]:
    """The custom hooks of a config, except those of one type."""
    return [hook for hook in cfg.get('custom_hooks') or [] if _name(hook) != name]


def build_dataset(dataset: dict) -> Any:
    """Build a data set as the runner does."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return ROOT_DATASETS.build(copy.deepcopy(dataset))


def _is_complete(root: str, cls: type) -> bool:
    """Whether the folder into which a data set unpacks itself is there; its reader checks the
    files."""
    return osp.isdir(osp.join(root, getattr(cls, 'base_folder', '')))


def _dataset_class(dataset: dict) -> Any:
    cls = dataset['type']
    if isinstance(cls, str):
        with ROOT_DATASETS.switch_scope_and_registry(
            dataset.get('_scope_', 'mmpretrain')
        ) as registry:
            cls = registry.get(cls)
    if cls is None:
        raise ConfigurationError(f'the data set type "{dataset["type"]}" is not registered')
    return cls


def _root_key(dataset: Optional[dict]) -> Optional[str]:
    """The key that holds a data set's folder; in configs written for mmcls it is
    ``data_prefix``."""
    if dataset is None:
        return None
    if 'data_root' in dataset:
        return 'data_root'
    return 'data_prefix' if isinstance(dataset.get('data_prefix'), str) else None


def _innermost(loader: Optional[dict]) -> Optional[ConfigDict]:
    """The data set of a data loader, below wrappers such as RepeatDataset."""
    dataset = (loader or {}).get('dataset')
    while isinstance(dataset, dict) and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset


def _name(cfg: Any) -> str:
    """Class name in a config, without a scope."""
    kind = cfg.get('type', '') if isinstance(cfg, dict) else cfg
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))).split('.')[-1]


def without_metric(evaluator: Any, name: str) -> List[dict]:
    """The metrics of an evaluator's config, except those of one type."""
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    return [metric for metric in metrics if _name(metric) != name]


def types_in(node: Any) -> Iterator[str]:
    """All class names that a config gives as a ``type``."""
    if isinstance(node, dict):
        if 'type' in node:
            yield _name(node)
        for value in node.values():
            yield from types_in(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from types_in(value)
