"""What MMRazor 1.0.0 and the packages below it, OpenMMLab's or OneDL's, need on today's Python.

This is the only file that knows about versions of other packages. Each patch first tries what
upstream does and acts only where that fails. Other software in the process sees no change, except
that things which raised an error before now work.
"""

import copy
import functools
import os.path as osp
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from .type_name import type_name

if TYPE_CHECKING:  # check_versions must be able to say that torch is missing
    from torch import nn

Cfg = TypeVar('Cfg')

# Import name -> (distributions that provide it, supported versions, command that installs one).
Packages = dict[str, tuple[tuple[str, ...], str, str]]
SUPPORTED: Packages = {
    'torch': (('torch',), '>=2.1', 'pip install "torch>=2.1"'),
    'torchvision': (('torchvision',), '', 'pip install torchvision'),
    'mmrazor': (('mmrazor',), '==1.0.0', 'pip install "mmrazor==1.0.0"'),
    'joblib': (('joblib',), '', 'pip install joblib'),
    'sklearn': (('scikit-learn',), '', 'pip install scikit-learn'),
}
# The same for each family of packages that share their import names and thus their folders.
FAMILIES: dict[str, Packages] = {
    'OpenMMLab': {
        'mmengine': (
            ('mmengine', 'mmengine-lite'),
            '>=0.10.7,<0.11',
            'pip install "mmengine>=0.10.7,<0.11"',
        ),
        # Both distributions write into one folder, so the wrong one has to go first.
        'mmcv': (
            ('mmcv', 'mmcv-lite'),
            '>=2.0.0,<=2.1.0',
            'pip uninstall -y mmcv mmcv-lite; pip install "mmcv-lite>=2.0.0,<=2.1.0"',
        ),
        'mmpretrain': (('mmpretrain',), '>=1.2.0,<1.3', 'pip install "mmpretrain>=1.2.0,<1.3"'),
    },
    'OneDL': {
        'mmengine': (
            ('onedl-mmengine',),
            '>=0.10.12,<0.11',
            'pip install "onedl-mmengine>=0.10.12,<0.11"',
        ),
        'mmcv': (('onedl-mmcv',), '>=2.3.6,<2.4', 'pip install "onedl-mmcv>=2.3.6,<2.4"'),
        'mmpretrain': (
            ('onedl-mmpretrain',),
            '>=1.3.6,<1.4',
            'pip install "onedl-mmpretrain>=1.3.6,<1.4"',
        ),
    },
}

# MMRazor imports names here that torch 1.13 has and newer releases lack.
QUANTIZATION = 'mmrazor.structures.quantization.backend_config'

RECURSION_LIMIT = 1000  # Python's default

CRD_DATASET = 'mmrazor.datasets.crd_dataset_wrapper'
DEIT_HEAD = 'mmrazor.models.architectures.heads.deit_head'

# Modules of MMRazor that bind a placeholder without MMPretrain's predecessor `mmcls`, and what they
# import from it: module of `mmcls` -> names there, and where MMPretrain has them.
NEED_MMCLS = {
    'mmrazor.datasets.transforms.formatting': {
        'mmcls.datasets.transforms.formatting': {
            'PackClsInputs': 'mmpretrain.datasets.transforms.formatting:PackInputs',
            'to_tensor': 'mmpretrain.datasets.transforms.formatting:to_tensor',
        },
        'mmcls.structures': {'ClsDataSample': 'mmpretrain.structures:DataSample'},
    },
    DEIT_HEAD: {
        'mmcls.models': {
            'VisionTransformerClsHead': 'mmpretrain.models.heads:VisionTransformerClsHead'
        },
    },
    'mmrazor.models.losses.kd_soft_ce_loss': {
        'mmcls.models.losses.cross_entropy_loss': {
            'soft_cross_entropy': 'mmpretrain.models.losses.cross_entropy_loss:soft_cross_entropy'
        },
    },
}

# Names that MMPretrain has changed since it was MMClassification (`mmcls`).
RENAMED_CONFIGS = {'deit/deit-base_pt-16xb64_in1k.py': 'deit/deit-base_16xb64_in1k.py'}
# In mmcls, ``test_mode=True`` chose the test split of these data sets; MMPretrain needs
# ``split='test'`` and otherwise reads the training split, with a warning.
SPLIT_BY_TEST_MODE = ('CIFAR10', 'CIFAR100', 'FashionMNIST', 'MNIST')
RENAMED_CLASSES = {'PackClsInputs': 'PackInputs', 'ClsVisualizer': 'UniversalVisualizer'}


def apply_patches() -> None:
    """Make the packages below edudistill_mm work together; a second call does nothing.

    Raises:
        ImportError: If a package is missing or has a version that is not supported.
    """
    check_versions()
    check_numpy()
    _guard_imports()
    _import_mmrazor()
    _import_quantization()
    _replace_placeholders()
    _find_packages_without_pkg_resources()
    _resolve_bases()


def check_versions() -> None:
    """Raise ImportError for a package that is missing or of an unsupported version."""
    if find_spec('packaging') is None:
        raise ImportError(
            'edudistill_mm needs packaging, which is not there: run `pip install packaging`.'
        )
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    family = package_family()
    for module, (distributions, versions, command) in {**SUPPORTED, **FAMILIES[family]}.items():
        needed = f'{module}{versions}' + (f' of {family}' if module in FAMILIES[family] else '')
        version = _version_of(module, distributions)
        if version is None:
            raise ImportError(
                f'edudistill_mm needs {needed}, which is not there: run `{command}`.'
            )
        # A local build (2.1.0a0+cu118) counts as the release that it was made from.
        if versions and Version(Version(version).base_version) not in SpecifierSet(versions):
            raise ImportError(
                f'edudistill_mm needs {needed}, but {module} {version} is there: run `{command}`.'
            )


def package_family() -> str:
    """Whose MMEngine, mmcv and MMPretrain are installed: ``'OpenMMLab'`` or ``'OneDL'``.

    Raises:
        ImportError: If packages of both are there, since each overwrites files of the other.
    """
    found = {
        family: [
            name
            for distributions, *_ in packages.values()
            for name in distributions
            if _distribution_version(name)
        ]
        for family, packages in FAMILIES.items()
    }
    if all(found.values()):
        there = ' and '.join(f'{", ".join(names)} of {family}' for family, names in found.items())
        raise ImportError(
            f'edudistill_mm needs the packages of OpenMMLab or those of OneDL, but {there} are '
            f'there, which share their folders: run `pip uninstall -y '
            f'{" ".join(sum(found.values(), []))}` and install edudistill_mm again, for OneDL '
            f'after requirements/onedl.txt.'
        )
    return 'OneDL' if found['OneDL'] else 'OpenMMLab'


def check_numpy() -> None:
    """Raise ImportError for a NumPy that the installed torch cannot use: NumPy 2 up to torch 2.2.

    Installers put them together, because OpenCV 4.12 and later need NumPy 2 and no requirement can
    depend on torch's version. Everything can then be imported, and the first batch fails.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            torch.zeros(1).numpy()
        except RuntimeError as error:
            raise ImportError(
                f'edudistill_mm needs a torch and a numpy that work together, but torch '
                f'{torch.__version__} cannot use numpy {metadata.version("numpy")} ({error}): run '
                f'`pip install "numpy<2" "opencv-python<4.12"`, or `pip install "torch>=2.3"`.'
            ) from error


def compiles_students() -> bool:
    """Whether ``torch.compile`` can translate a student cut off early; torch 2.1 crashes."""
    import torch
    from packaging.version import Version

    return Version(torch.__version__) >= Version('2.2')


def modernise(cfg: Cfg) -> Cfg:
    """Copy a config written for the scope ``mmcls``, rewritten so that it means MMPretrain.

    Rewritten are scopes (``_scope_``, ``default_scope``), names of classes (``mmcls.ResNet``),
    paths of configs (``mmcls::resnet/...``), ``custom_imports`` and, where MMPretrain has the
    object, dotted paths of methods (``mmcls.models.heads.ClsHead.loss``). Data sets that ``mmcls``
    split by ``test_mode`` get their ``split``.
    """
    from mmengine.config import Config

    if not isinstance(cfg, Config):
        return _modernise(cfg, key=None)
    modern = copy.copy(cfg)
    # Config forwards plain attributes to its content.
    object.__setattr__(modern, '_cfg_dict', _modernise(cfg._cfg_dict, key=None))
    return modern


def switch_off_inplace(module: 'nn.Module') -> None:
    """Set ``inplace=False`` in all submodules, so that no operation overwrites a recorded tensor.

    MMRazor's own ``BaseAlgorithm.set_module_inplace_false`` looks for submodules in an
    ``OrderedDict``, but newer releases of torch keep them in a plain dict.
    """
    for submodule in module.modules():
        if hasattr(submodule, 'inplace'):
            submodule.inplace = False


@contextmanager
def usual_recursion_limit() -> Iterator[None]:
    """Python's own recursion limit, for reading what users write.

    MMRazor's pruning raises the limit to 2 ** 20, with which a config that inherits from itself
    would fill disk and memory before it ends in ``RecursionError``.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _version_of(module: str, distributions: Sequence[str]) -> str | None:
    """Version that would be imported, or None if the module is missing."""
    if find_spec(module) is None:
        return None
    installed = filter(None, map(_distribution_version, distributions))
    # A source tree on PYTHONPATH has no metadata.
    return next(installed, None) or import_module(module).__version__


def _distribution_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


class _PatchingFinder(MetaPathFinder):
    """Imports each module in ``PATCHED_IMPORTS`` inside the context given there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname not in PATCHED_IMPORTS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                with PATCHED_IMPORTS[fullname](fullname):
                    execute(module)

            # Of this loader alone.
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextmanager
def _mmpretrain_as_mmcls(module: str) -> Iterator[None]:
    """MMPretrain stands in for ``mmcls``, only while a module in ``NEED_MMCLS`` is imported."""
    if _is_module('mmcls'):
        yield
        return
    aliases = {}
    for name, attributes in NEED_MMCLS[module].items():
        aliases[name] = ModuleType(name)
        for attribute, source in attributes.items():
            setattr(aliases[name], attribute, pkgutil.resolve_name(source))
    sys.modules.update(aliases)
    try:
        yield
    finally:
        for name in aliases:
            del sys.modules[name]


@contextmanager
def _two_tokens(module: str) -> Iterator[None]:
    """Let the head of MMRazor's DeiT read what MMPretrain's backbone returns.

    That is the class token and the distillation token, before which ``mmcls`` returned those of
    the patches. The method of MMPretrain's own head reads both.
    """
    with _mmpretrain_as_mmcls(module):
        yield
    from mmpretrain.models.heads import DeiTClsHead

    sys.modules[module].DeiTClsHead.pre_logits = DeiTClsHead.pre_logits


@contextmanager
def _ragged_arrays(module: str) -> Iterator[None]:
    """Let MMRazor's CRDDataset make arrays of lists of several lengths, as numpy < 1.24 did.

    Its lists of indices, one for each class, are of several lengths if the classes are.
    """
    import numpy

    yield

    def asarray(value: Any) -> numpy.ndarray:
        try:
            return numpy.asarray(value)
        except ValueError:
            ragged = numpy.empty(len(value), dtype=object)
            ragged[:] = value
            return ragged

    # What the module calls of numpy, for itself alone.
    sys.modules[module].np = SimpleNamespace(  # type: ignore[attr-defined]
        asarray=asarray, hstack=numpy.hstack, random=numpy.random
    )


@contextmanager
def _no_word_of_mmcv_ops(module: str) -> Iterator[None]:
    """Suppress the warning of mmcv-lite about an operator that no classifier uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*MultiScaleDeformableAttention')
        yield


@contextmanager
def _our_modules_too(module: str) -> Iterator[None]:
    """Let registries that have just been made look for names in this package."""
    yield
    from edudistill_mm.registration import offer_modules

    offer_modules()


PATCHED_IMPORTS = {
    **{module: _mmpretrain_as_mmcls for module in NEED_MMCLS},
    DEIT_HEAD: _two_tokens,
    CRD_DATASET: _ragged_arrays,
    'mmcv.cnn.bricks.transformer': _no_word_of_mmcv_ops,
    'mmpretrain.registry': _our_modules_too,
}


def _guard_imports() -> None:
    if not any(isinstance(finder, _PatchingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PatchingFinder())


def _replace_placeholders() -> None:
    """Import those modules in ``NEED_MMCLS`` again that have been imported with placeholders.

    Their classes leave the registries first.
    """
    from mmrazor import registry

    for name, modules in NEED_MMCLS.items():
        bound = [
            getattr(sys.modules.get(name), a, None) for names in modules.values() for a in names
        ]
        if any(getattr(item, '__name__', '') == 'PlaceHolder' for item in bound):
            for node in (registry.MODELS, registry.TRANSFORMS):
                for key in [k for k, v in node.module_dict.items() if v.__module__ == name]:
                    del node.module_dict[key]
            del sys.modules[name]
            import_module(name)


def _import_mmrazor() -> None:
    """Import MMRazor, whose assertion that mmcv is 2.1.0 at most OneDL's mmcv passes by.

    ``check_versions`` has looked at that version.
    """
    try:
        import_module('mmrazor')
    except AssertionError:
        if package_family() != 'OneDL':
            raise
        import mmcv

        version, mmcv.__version__ = mmcv.__version__, '2.1.0'
        try:
            import_module('mmrazor')
        finally:
            mmcv.__version__ = version


def _import_quantization() -> None:
    """Import the part of MMRazor that breaks ``import mmrazor.models`` on torch >= 2.

    It imports names that torch has dropped and puts placeholders in their place, which it then
    uses because torch is new enough. With an older version of torch it leaves the backends out, as
    MMRazor's unreleased fix does. Only this import may see that version: MMRazor's FX tracer needs
    the true one.
    """
    try:
        import_module(QUANTIZATION)
    except ImportError:
        with _torch_looks_old():
            import_module(QUANTIZATION)


@contextmanager
def _torch_looks_old() -> Iterator[None]:
    import mmrazor
    import torch

    digit_version = mmrazor.digit_version

    def old_torch(version: str, *args, **kwargs):
        return digit_version(
            '1.12.0' if version == torch.__version__ else version, *args, **kwargs
        )

    mmrazor.digit_version = old_torch
    try:
        yield
    finally:
        mmrazor.digit_version = digit_version


def _spec_of(package: str) -> ModuleSpec | None:
    """Find what the name of a distribution or of a module imports; None if there is neither."""
    if (spec := find_spec(package)) is not None:
        return spec
    modules = metadata.packages_distributions().items()
    module = next((module for module, names in modules if package in names), None)
    return find_spec(module) if module else None


def _is_installed(package: str) -> bool:
    return _has_origin(_spec_of(package))


def _is_module(name: str) -> bool:
    return _has_origin(find_spec(name))


def _has_origin(spec: ModuleSpec | None) -> bool:
    # A namespace package has no origin: any folder of that name on sys.path.
    return spec is not None and spec.origin is not None


def _get_installed_path(package: str) -> str:
    spec = _spec_of(package)
    if spec is None:
        raise metadata.PackageNotFoundError(package)
    if spec.origin is None:
        raise RuntimeError(f'{package} is a namespace package: it has no single folder.')
    return osp.dirname(spec.origin)


def _find_packages_without_pkg_resources() -> None:
    """Let ``_base_ = 'package::...'`` find packages.

    MMEngine looks them up by ``pkg_resources``, which setuptools >= 82 no longer has and which
    names a folder that does not exist for an editable install.
    """
    from mmengine.config import utils as config_utils
    from mmengine.utils import package_utils

    # Otherwise MMEngine refuses `edudistill_mm::...`.
    config_utils.MODULE2PACKAGE.setdefault('edudistill_mm', 'edudistill_mm')

    upstream_is_installed = package_utils.is_installed
    upstream_get_installed_path = package_utils.get_installed_path
    if getattr(upstream_is_installed, 'patched', False):
        return

    @functools.wraps(upstream_is_installed)
    def is_installed(package: str) -> bool:
        try:
            return upstream_is_installed(package)
        except ModuleNotFoundError as error:
            if error.name != 'pkg_resources':
                raise
            return _is_installed(package)

    @functools.wraps(upstream_get_installed_path)
    def get_installed_path(package: str) -> str:
        try:
            path = upstream_get_installed_path(package)
        except ValueError:  # an editable install that does not list its modules
            return _get_installed_path(package)
        except ModuleNotFoundError as error:
            if error.name != 'pkg_resources':
                raise
            return _get_installed_path(package)
        return path if osp.isdir(path) else _get_installed_path(package)

    is_installed.patched = True  # type: ignore[attr-defined]  # a mark on a function
    _replace_in_mmengine(upstream_is_installed, is_installed)
    _replace_in_mmengine(upstream_get_installed_path, get_installed_path)


def _resolve_bases() -> None:
    """Make ``_base_ = 'edudistill_mm::edu_kd_digits.py'`` and ``'mmcls::...'`` work.

    MMEngine refuses configs that lie directly in a package's ``configs``. Configs of this package
    get MMPretrain's scope, for which they are written: no data set is found in this package's own.
    ``mmcls``, as in MMRazor's configs, becomes MMPretrain unless it is installed.
    """
    from mmengine.config import Config
    from mmengine.config import utils as config_utils

    upstream_split = config_utils._get_package_and_cfg_path
    upstream_find = Config._get_cfg_path
    if getattr(upstream_split, 'patched', False):
        return
    scopes = {'edudistill_mm': 'mmpretrain'}
    if not _is_module('mmcls'):
        scopes['mmcls'] = 'mmpretrain'

    @functools.wraps(upstream_split)
    def get_package_and_cfg_path(cfg_path: str) -> tuple[str, str]:
        package, _, name = cfg_path.partition('::')
        if package == 'edudistill_mm' and re.fullmatch(r'\w+\.py', name):
            return package, name
        return upstream_split(_modern_config_path(cfg_path) if 'mmcls' in scopes else cfg_path)

    @functools.wraps(upstream_find)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = upstream_find(cfg_path, filename)
        return path, scopes.get(scope, scope)

    get_package_and_cfg_path.patched = True  # type: ignore[attr-defined]  # a mark on a function
    _replace_in_mmengine(upstream_split, get_package_and_cfg_path)
    Config._get_cfg_path = staticmethod(get_cfg_path)


def _replace_in_mmengine(upstream: Callable, patched: Callable) -> None:
    """Replace a function of MMEngine in all modules that hold a reference to it."""
    for name in ('utils', 'utils.package_utils', 'config.config', 'config.utils', 'hub.hub'):
        module = sys.modules.get(f'mmengine.{name}')
        if getattr(module, upstream.__name__, None) is upstream:
            setattr(module, upstream.__name__, patched)


def _modern_config_path(path: str) -> str:
    package, separator, name = path.partition('::')
    if package != 'mmcls' or not separator:
        return path
    return f'mmpretrain::{RENAMED_CONFIGS.get(name, name)}'


def _modernise(node: Any, key: str | None) -> Any:
    if isinstance(node, dict):
        # dict.items: a ConfigDict's own would import the objects of a lazy config.
        modern = type(node)({k: _modernise(v, k) for k, v in dict.items(node)})
        test_mode = dict.get(modern, 'test_mode') is True and 'split' not in modern
        if test_mode and type_name(modern) in SPLIT_BY_TEST_MODE:
            modern['split'] = 'test'
        return modern
    if type(node) in (list, tuple):
        return type(node)(_modernise(v, key) for v in node)
    if isinstance(node, str):
        return _modernise_string(node, key)
    return copy.deepcopy(node)


def _modernise_string(value: str, key: str | None) -> str:
    if value == 'mmcls':
        return 'mmpretrain' if key in ('_scope_', 'default_scope', 'imports') else value
    if key == 'type' and value in RENAMED_CLASSES:
        return RENAMED_CLASSES[value]
    if not value.startswith('mmcls.'):
        return _modern_config_path(value)
    name = value[len('mmcls.') :]
    modern = f'mmpretrain.{RENAMED_CLASSES.get(name, name)}'
    if '.' not in name and key != 'imports':
        return modern
    try:
        pkgutil.resolve_name(modern)
    except (ImportError, AttributeError, ValueError):
        return value
    return modern
