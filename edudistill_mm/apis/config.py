"""Read a config as the tools do, and find its mistakes before anything is trained."""

import copy
import inspect
import os.path as osp
from typing import Any, Iterator, List, Optional, Sequence, Union

from mmengine.config import Config, ConfigDict
from mmengine.dist import broadcast_object_list
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    DefaultScope,
    Registry,
)
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import find_folders
from torch import nn
from torch.utils.data import DataLoader

from edudistill_mm.arguments import check_arguments, check_value, parameters_of
from edudistill_mm.checkpoint.files import check_file
from edudistill_mm.compat import modernise, usual_recursion_limit
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError, did_you_mean, reason_of
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.network import build_module, build_network, read_network_config
from edudistill_mm.models.teachers import Faculty
from edudistill_mm.models.teachers.teacher_keys import SINGLE, part_of
from edudistill_mm.registration import register_all_modules
from edudistill_mm.type_name import type_name as _name

from .classes import fill_in_classes
from .config_parts import schedulers_of
from .output_names import note_output_names
from .overtaken import check_overtaken
from .plain_distillation import PLAIN_DISTILLATIONS, follow_loop, run_as_one_grade
from .processes import check_processes
from .runtime_settings import check_runtime_settings

# What the sections of a config are.
FORMS = dict(
    model=(dict,),
    data_preprocessor=(dict,),
    train_dataloader=(dict,),
    val_dataloader=(dict,),
    test_dataloader=(dict,),
    train_cfg=(dict,),
    val_cfg=(dict,),
    test_cfg=(dict,),
    custom_hooks=(list, tuple),
    default_hooks=(dict,),
    optim_wrapper=(dict,),
    param_scheduler=(dict, list, tuple),
    val_evaluator=(dict, list, tuple),
    test_evaluator=(dict, list, tuple),
)
# What MMEngine takes from a data loader's config before it builds the rest, and where it is
# registered.
LOADER_PARTS = dict(
    dataset=DATASETS,
    sampler=DATA_SAMPLERS,
    batch_sampler=DATA_SAMPLERS,
    collate_fn=None,
    worker_init_fn=None,
    num_batch_per_epoch=None,
)
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
        Config: With ``work_dir``, the hooks that keep checkpoints free of code and of numbers that
        are not finite and leave plain students beside them, a curriculum of one grade in the place
        of MMRazor's plain distillation, the number of classes of the data in the place of each
        ``num_classes='auto'``, and ``dataset_name`` in the place of each ``{dataset}`` in the path
        of a teacher's checkpoint.

    Raises:
        ConfigurationError: If the file or an option cannot be used.
    """
    # A config may name the classes of this package without custom_imports.
    register_all_modules()
    try:
        check_file(path, 'the config')
        with usual_recursion_limit():
            cfg = modernise(Config.fromfile(path))
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        # A config file is code: whatever it raises is the user's to mend.
        raise ConfigurationError(
            f'the config "{path}" cannot be read: {reason_of(error)}'
        ) from error
    if 'model' not in cfg:
        raise ConfigurationError(f'the config "{path}" has no "model"')
    for kind in ('train', 'val', 'test'):
        _name_scope(cfg.get(f'{kind}_dataloader'), DATASETS)
        _name_scope(cfg.get(f'{kind}_evaluator'), METRICS)
    options = dict(options or {})
    check_overtaken(path, cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AssertionError, AttributeError) as error:
        reason = reason_of(error)
        inside = [key for key in options if _is_inside_list(key, cfg, options)]
        if inside:
            reason = (
                f'{" or ".join(inside)} changes an item of a list that holds plain values or is given by '
                'another option; give the whole list instead'
            )
        raise ConfigurationError(f'--cfg-options do not fit the config: {reason}') from error
    if 'data_root' in options:
        for loader in DATALOADERS:
            dataset = innermost(cfg.get(loader))
            if _root_key(dataset) is not None:
                dataset[_root_key(dataset)] = options['data_root']
    _check_forms(cfg)
    if _name(cfg.model) in PLAIN_DISTILLATIONS:
        run_as_one_grade(cfg, _name(cfg.model), network_config)
    follow_loop(cfg)
    if is_education(cfg):
        EducationDistill.check_keys(cfg.model)
        Faculty.names(cfg.model.get('teachers'))
    fill_in_classes(cfg, class_names)
    name_checkpoints(cfg)
    check_values(cfg)
    if is_education(cfg) and _name(cfg.get('val_cfg') or {}) in LOOPS_OF_MMRAZOR:
        # They read a teacher that is part of the model, or put 'student.' before all metrics.
        cfg.val_cfg = {k: v for k, v in cfg.val_cfg.items() if k not in ('type', '_scope_')}
    name = osp.splitext(osp.basename(path))[0]
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    # The default hooks of the bases that users bring (MMPretrain's, MMRazor's) do not have them.
    kinds = ['SafeCheckpointHook', 'FiniteLossHook', 'PreemptionHook']
    if is_education(cfg):
        kinds.append('StudentCheckpointHook')
    for kind in kinds:
        if not any(_name(hook) == kind for hook in _hooks(cfg)):
            cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type=kind)]
    return cfg


def _is_inside_list(key: str, cfg: Config, options: dict) -> bool:
    """Whether an option is for what MMEngine cannot reach: an item of a list of plain values, or of
    a list that another option gives."""
    if any(
        key.startswith(f'{other}.') and isinstance(value, (list, tuple))
        for other, value in options.items()
    ):
        return True
    node = cfg._cfg_dict
    for part in key.split('.'):
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            if not isinstance(node, dict):
                return True
    return False


def is_missing(teacher: dict) -> bool:
    """Whether a teacher's checkpoint is a local file that does not exist."""
    ckpt = teacher.get('ckpt')
    return bool(ckpt) and '://' not in ckpt and not osp.exists(ckpt)


def check_values(cfg: Config) -> None:
    """Find values that cannot be what a config needs there, before anything is built.

    Args:
        cfg (Config): The config.

    Raises:
        ConfigurationError: For the first value of a wrong type, type that is not registered, or
            number that is not finite.
    """
    _check_forms(cfg)
    scope = cfg.get('default_scope') or 'mmpretrain'
    check_runtime_settings(cfg, scope)
    _check_typed(cfg.model, 'model', MODELS, scope)
    check_arguments(cfg.get('data_preprocessor'), 'data_preprocessor', MODELS, scope)
    for key in DATALOADERS:
        _check_loader(cfg.get(key), key, scope)
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        _check_hook(hook, f'custom_hooks[{index}]', scope)
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if hook is not None:
            _check_hook(hook, f'default_hooks.{name}', scope)
    if cfg.get('train_cfg') is not None:
        _check_loop(cfg.train_cfg, scope)
    for key in ('val_evaluator', 'test_evaluator'):
        metrics = cfg.get(key) if cfg.get(key) is not None else []
        if isinstance(metrics, dict):
            metrics = metrics.get('metrics', [metrics])
        for index, metric in enumerate([metrics] if isinstance(metrics, dict) else metrics):
            _check_typed(metric, f'{key}[{index}]', METRICS, scope)
    for index, scheduler in enumerate(schedulers_of(cfg)):
        _check_typed(scheduler, f'param_scheduler[{index}]', PARAM_SCHEDULERS, scope)
    for key in ('custom_hooks', 'param_scheduler', 'val_evaluator', 'test_evaluator'):
        _check_repetition(cfg.get(key), key)
    if cfg.get('optim_wrapper') is not None:
        _check_optimizer(cfg.optim_wrapper, scope)


def _check_forms(cfg: Config) -> None:
    """See that each section is a dict, or a list, or is not there."""
    for key, kinds in FORMS.items():
        value = cfg.get(key)
        if not isinstance(value, kinds) and not (value is None and key != 'model'):
            raise ConfigurationError(
                f'{key} must be a {" or a ".join(kind.__name__ for kind in kinds)}, but got {value!r}'
            )


def _check_repetition(items: Any, key: str) -> None:
    for index, item in enumerate(items if isinstance(items, (list, tuple)) else []):
        if isinstance(item, dict) and item in items[:index]:
            raise ConfigurationError(
                f'{key}[{index}] is the same as {key}[{items.index(item)}], {dict(item)!r}, and '
                f'would act twice'
            )


def _check_typed(value: Any, key: str, registry: Registry, scope: Optional[str]) -> None:
    if not isinstance(value, dict):
        # Objects that are built already, as in configs written in pure Python.
        if isinstance(value, (str, int, float, list, tuple, type(None))):
            raise ConfigurationError(f'{key} must be a dict with a "type", but got {value!r}')
        return
    if 'type' not in value:
        raise ConfigurationError(f'{key} lacks the key "type"; it is {dict(value)!r}')
    check_arguments(value, key, registry, scope, registered=True)


def _check_hook(hook: Any, key: str, scope: Optional[str]) -> None:
    _check_typed(hook, key, HOOKS, scope)


def _check_loader(loader: Optional[dict], key: str, scope: Optional[str]) -> None:
    if not loader:
        return
    own = {name: value for name, value in loader.items() if name not in LOADER_PARTS}
    check_arguments(own, key, DATASETS, scope, default=DataLoader)
    if 'batch_sampler' not in loader and 'batch_size' not in loader:
        raise ConfigurationError(f'{key} lacks the key "batch_size"')
    if 'batch_size' in own and own['batch_size'] is None:
        raise ConfigurationError(f'{key}.batch_size must be a positive integer, but got None')
    for name, registry in LOADER_PARTS.items():
        if name not in loader and name in ('dataset', 'sampler'):
            raise ConfigurationError(f'{key} lacks the key "{name}"')
        if name in loader and registry is not None:
            _check_typed(loader[name], f'{key}.{name}', registry, scope)


def _check_loop(loop: dict, scope: Optional[str]) -> None:
    if 'type' in loop:
        _check_typed(loop, 'train_cfg', LOOPS, scope)
        return
    if not isinstance(loop.get('by_epoch'), bool):
        raise ConfigurationError(
            f'train_cfg.by_epoch must be True or False, but got {loop.get("by_epoch")!r}'
        )
    cls = EpochBasedTrainLoop if loop.by_epoch else IterBasedTrainLoop
    check_arguments(loop, 'train_cfg', LOOPS, scope, default=cls)


def _check_optimizer(wrapper: dict, scope: Optional[str]) -> None:
    # With a constructor, or one dict for each of several optimizers, it may have any keys.
    if 'type' in wrapper:
        _check_typed(wrapper, 'optim_wrapper', OPTIM_WRAPPERS, scope)
    if not any(isinstance(value, dict) for value in wrapper.values()):
        raise ConfigurationError(
            f'optim_wrapper lacks the key "optimizer"; it is {dict(wrapper)!r}'
        )
    if 'optimizer' in wrapper:
        _check_typed(wrapper.optimizer, 'optim_wrapper.optimizer', OPTIMIZERS, scope)
    clip = wrapper.get('clip_grad')
    if isinstance(clip, dict):
        by_value = clip.get('type') == 'value'
        function = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
        known = parameters_of(function)
        for name, value in clip.items():
            if name == 'type':
                continue
            if name not in known:
                raise ConfigurationError(
                    f'optim_wrapper.clip_grad has the unknown key "{name}"'
                    f'{did_you_mean(name, known)}; possible are {", ".join(list(known)[1:])}'
                )
            check_value(value, known[name], f'optim_wrapper.clip_grad.{name}')


def name_checkpoints(cfg: Config) -> None:
    """Put ``dataset_name`` into the paths of teachers' checkpoints that say ``{dataset}``."""
    named = [(teacher, 'ckpt') for teacher in cfg.model.get('teachers') or []]
    named.append((cfg.model, 'teacher_ckpt'))
    for owner, key in named:
        ckpt = owner.get(key) if isinstance(owner, dict) else None
        if not isinstance(ckpt, str) or '{dataset}' not in ckpt:
            continue
        if not isinstance(cfg.get('dataset_name'), str):
            raise ConfigurationError(
                f'the checkpoint "{ckpt}" of a teacher takes the name of the data set from '
                f'dataset_name, which the config must give, but it is {cfg.get("dataset_name")!r}'
            )
        owner[key] = ckpt.replace('{dataset}', cfg.dataset_name)


def _name_scope(node: Any, registry: Registry) -> None:
    """Look for a data set or a metric in MMPretrain if MMRazor does not have it.

    MMEngine takes what a config inherits by ``mmrazor::`` for MMRazor's, but MMRazor's own bases
    name data sets and metrics of MMPretrain.
    """
    if not isinstance(node, dict):
        return
    if node.get('_scope_') == 'mmrazor' and isinstance(node.get('type'), str):
        with registry.switch_scope_and_registry('mmrazor') as own:
            if own.get(node.type) is None:
                node['_scope_'] = 'mmpretrain'
    _name_scope(node.get('dataset'), registry)


def is_education(cfg: Config) -> bool:
    """Whether a config trains by :class:`EducationDistill`, as those of plain distillation do once
    they are loaded."""
    return _name(cfg.model) == 'EducationDistill'


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
    teacher = cfg.model.get('teacher')
    if teacher is not None:
        return [dict(name='teacher', architecture=teacher, ckpt=cfg.model.get('teacher_ckpt'))]
    Faculty.names(cfg.model.get('teachers'))
    return list(cfg.model.get('teachers') or [])


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
    """Copy a config without its teachers and what speeds up training, for work that needs the
    student only."""
    cfg = copy.deepcopy(cfg)
    for key in ('teacher', 'teacher_ckpt', 'teachers', 'distiller', 'channels_last'):
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
    for index, scheduler in enumerate(schedulers_of(cfg)):
        if not by_epoch and 'max_iters' in loop and scheduler.get('by_epoch', True):
            raise ConfigurationError(
                f'param_scheduler[{index}] counts epochs (by_epoch=True, its default), but train_cfg '
                f'counts iterations; set by_epoch=False'
            )
    hooks = [_name(hook) for hook in _hooks(cfg)]
    if hooks.count('GradeSchedulerHook') > 1:
        raise ConfigurationError(
            'custom_hooks have dict(type="GradeSchedulerHook") more than once'
        )
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
    single = model.pop('teacher', None) is not None
    model.pop('teacher_ckpt', None)
    teachers = teachers_of(cfg)
    if single:
        model['teacher'] = _untrained(teachers[0], SINGLE, curriculum)['architecture']
    elif teachers:
        model['teachers'] = [
            _untrained(teacher, f'teachers[{index}]', curriculum)
            for index, teacher in enumerate(teachers)
        ]
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    check_processes(cfg, build_module(model, 'model', 'mmpretrain'))


def _check_contrast(cfg: Config) -> None:
    """See that the data set numbers its samples, by which CRDLoss remembers them."""
    kinds = list(types_in(cfg.get('train_dataloader') or {}))
    for kind, key in (('CRDDataset', 'dataset'), ('PackCRDClsInputs', 'dataset.dataset.pipeline')):
        if kind not in kinds:
            raise ConfigurationError(
                f'distiller.distill_losses has a CRDLoss, which needs "mmrazor.{kind}" in '
                f'train_dataloader.{key}, but there is none'
            )


def _untrained(teacher: dict, key: str, curriculum: Curriculum) -> dict:
    """A teacher's config with an untrained network and no checkpoint."""
    network = untrained_network(teacher['architecture'], part_of(key, 'architecture'))
    if not is_missing(teacher):
        try:
            count = len(curriculum.classes_of(teacher.get('classes', 'all')))
        except ConfigurationError as error:
            raise ConfigurationError(f'{key}.classes: {error}') from error
        note_output_names(network, teacher, count, key)
    return dict(teacher, architecture=network, ckpt=None)


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
        dataset = innermost(cfg.get(loader))
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
            if hasattr(cls, 'source'):
                # Those of this package look for their folders and say where to get them.
                build_dataset(dict(dataset, lazy_init=True))
            elif not osp.isdir(root):
                raise ConfigurationError(
                    f'{where} is not in "{root}": there is no such folder; {hint}'
                )
        elif main_says(not _is_complete(root, cls)):
            try:
                # In all processes: the first downloads, and the others wait for it in there.
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
        return DATASETS.build(copy.deepcopy(dataset))


def main_says(value: bool) -> bool:
    """What the main process says, so that all processes do the same."""
    said = [value]
    broadcast_object_list(said)
    return said[0]


def class_names(dataset: dict) -> Optional[Sequence[str]]:
    """Names of the classes of a data set's config; the samples are read only if they are needed."""
    parameters = inspect.signature(_dataset_class(dataset)).parameters.values()
    lazy = any(p.name == 'lazy_init' or p.kind is p.VAR_KEYWORD for p in parameters)
    if not lazy and isinstance(dataset.get('dataset'), dict):
        # A wrapper that adds something to each sample, such as MMRazor's CRDDataset.
        return class_names(dataset['dataset'])
    try:
        built = build_dataset({**dataset, 'lazy_init': True} if lazy else dataset)
        names = getattr(built, 'metainfo', {}).get('classes')
        if names is None and isinstance(built, CustomDataset) and not built.ann_file:
            # Its folders are its classes: there is no need to look for the files in them.
            names = find_folders(built.img_prefix)[0] if built.with_label else None
        elif names is None and hasattr(built, 'full_init'):
            built.full_init()
            names = getattr(built, 'metainfo', {}).get('classes')
    except ConfigurationError:
        raise
    except (OSError, RuntimeError, AssertionError, TypeError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f'num_classes="auto" is counted in the data set {_name(dataset)}, which cannot be read: '
            f'{reason_of(error)}'
        ) from error
    return names


def _is_complete(root: str, cls: type) -> bool:
    """Whether the folder into which a data set unpacks itself is there; its reader checks the
    files."""
    return osp.isdir(osp.join(root, getattr(cls, 'base_folder', '')))


def _dataset_class(dataset: dict) -> Any:
    cls = dataset['type']
    if isinstance(cls, str):
        with DATASETS.switch_scope_and_registry(dataset.get('_scope_', 'mmpretrain')) as registry:
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


def innermost(loader: Optional[dict]) -> Optional[ConfigDict]:
    """The data set of a data loader, below wrappers such as RepeatDataset."""
    dataset = (loader or {}).get('dataset')
    while isinstance(dataset, dict) and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset


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
