"""The config of a plain student."""

from collections.abc import Callable
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain_registry
from mmrazor import registry as mmrazor_registry

from edudistill_mm import registry
from edudistill_mm.config.networks import network_config
from edudistill_mm.config.parts import types_in, without_metric
from edudistill_mm.config.without_weights import begin_without_weights
from edudistill_mm.type_name import type_name


def plain_config(cfg: Config) -> Config:
    """Derive the config of the plain student: model, preprocessing and test data.

    Args:
        cfg (Config): Config of an :class:`EducationDistill` run.

    Returns:
        Config: An MMPretrain config. It imports this package only if the student or the data set
            is one of this package's or of MMRazor's, and for a data set only where the package is
            installed.
    """
    architecture, given = cfg.model.architecture, [cfg.model, cfg]
    if isinstance(architecture, dict) and type_name(architecture) == 'FragmentedStudent':
        given.append(architecture)
        architecture = architecture['student']
    model = _without_scope(network_config(architecture, 'model.architecture'))
    begin_without_weights(model)
    # In the order in which the runner and the algorithm look for it.
    preprocessor = next((c.data_preprocessor for c in given if c.get('data_preprocessor')), None)
    if preprocessor is not None:
        model.pop('data_preprocessor', None)
    plain = Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=_imports(model, _without_scope(cfg.get('test_dataloader'))),
            model=model,
        )
    )
    if preprocessor is not None:
        plain.data_preprocessor = _plain_preprocessor(_without_scope(preprocessor))
    _set_label_width(plain)
    for key in ('test_dataloader', 'test_cfg', 'env_cfg', 'visualizer'):
        if cfg.get(key) is not None:
            plain[key] = _without_scope(cfg[key])
    # A key of this package's runner.
    (plain.get('test_dataloader') or {}).pop('resident', None)
    if cfg.get('test_evaluator') is not None:
        plain.test_evaluator = _without_scope(without_metric(cfg.test_evaluator, 'GradeAccuracy'))
    if plain.custom_imports is None:
        plain.pop('custom_imports')
    return plain


def _plain_preprocessor(preprocessor: dict) -> dict:
    """The preprocessor as MMPretrain's classifiers take it.

    MMRazor's configs name MMEngine's, which MMPretrain's ``ImageClassifier`` refuses to build:
    it passes batch augmentations. MMPretrain's own computes the same.
    """
    if next(types_in(preprocessor), None) != 'ImgDataPreprocessor':
        return preprocessor
    plain = ConfigDict(preprocessor, type='ClsDataPreprocessor')
    # Both reverse the channels.
    turns = [plain.pop(key, False) for key in ('bgr_to_rgb', 'rgb_to_bgr')]
    plain.pop('non_blocking', None)
    return ConfigDict(plain, to_rgb=any(turns))


def _set_label_width(plain: Config) -> None:
    """Give a preprocessor that makes one-hot labels the number of classes.

    :class:`EducationDistill` does so in training; the preprocessor makes them in tests, too.
    """
    owner = plain if plain.get('data_preprocessor') else plain.model
    preprocessor = owner.get('data_preprocessor') or {}
    makes = preprocessor.get('to_onehot') or preprocessor.get('batch_augments')
    width = (plain.model.get('head') or {}).get('num_classes')
    if width is not None and (makes or plain.model.get('train_cfg')):
        owner['data_preprocessor'] = {'num_classes': width, **preprocessor}


def _without_scope(node: Any) -> Any:
    """Copy a part of a config with classes by name and MMRazor's scope on its own classes only.

    What a config inherits from MMRazor's has its scope, also classes of other packages. Only names
    of classes can be written into a file.
    """
    if isinstance(node, (list, tuple)):
        return type(node)(map(_without_scope, node))
    if not isinstance(node, dict):
        return node
    bare = type(node)((key, _without_scope(value)) for key, value in node.items())
    if callable(bare.get('type')):
        bare['type'] = _name_of(bare['type'])
    if bare.get('_scope_') == 'mmrazor' and not _is_of_mmrazor(bare.get('type')):
        del bare['_scope_']
    return bare


def _name_of(cls: Callable) -> str:
    """The name by which MMPretrain finds a class: that in its registries, or its full path."""
    for scope, nodes in (('', mmpretrain_registry), ('mmrazor.', mmrazor_registry)):
        for node in vars(nodes).values():
            if isinstance(node, Registry) and node.get(cls.__name__) is cls:
                return f'{scope}{cls.__name__}'
    return f'{cls.__module__}.{cls.__qualname__}'


def _is_of_mmrazor(kind: Any) -> bool:
    """Whether a ``type`` in MMRazor's scope is a class of MMRazor."""
    own = (mmrazor_registry.MODELS, mmrazor_registry.DATASETS, mmrazor_registry.TRANSFORMS)
    return isinstance(kind, str) and any(kind in registry.module_dict for registry in own)


def _names_mmrazor(node: Any) -> bool:
    if isinstance(node, dict):
        kind = node.get('type')
        if node.get('_scope_') == 'mmrazor' or str(kind).startswith('mmrazor.'):
            return True
        return any(map(_names_mmrazor, node.values()))
    return isinstance(node, (list, tuple)) and any(map(_names_mmrazor, node))


def _imports(model: dict, loader: Any) -> dict | None:
    ours = {*registry.MODELS.module_dict}
    # MMRazor's models cannot be imported on today's torch without this package.
    if ours.intersection(types_in(model)) or _names_mmrazor(model):
        return dict(
            imports=['edudistill_mm.models', 'edudistill_mm.datasets'], allow_failed_imports=False
        )
    data = {*registry.DATASETS.module_dict}
    if data.intersection(types_in(loader)) or _names_mmrazor(loader):
        return dict(imports=['edudistill_mm.datasets'], allow_failed_imports=True)
    return None
