import os
import re
import subprocess
import sys
import types
from pathlib import Path

import cv2
import mmcv
import mmrazor
import pytest
import torch
from mmengine import utils
from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config
from surroundings import python_path
from torch import nn

import edudistill_mm
from edudistill_mm import compat

ROOT = Path(edudistill_mm.__file__).parents[1]


def run(script, cwd, *paths):
    """Run a script in a process of its own, with some folders in front of sys.path."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=python_path(*paths, ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
    )


def write_distribution(folder, name, version):
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


# Distributions of an environment: what each has, and the packages of either family.
COMMON = {
    'torch': '2.14.1',
    'torchvision': '0.29.1',
    'mmrazor': '1.0.0',
    'joblib': '1.5.2',
    'scikit-learn': '1.7.2',
}
OPENMMLAB = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmpretrain': '1.2.0'}
ONEDL = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmpretrain': '1.3.6'}

ON_ONEDL = compat.package_family() == 'OneDL'
NO_PKG_RESOURCES = pytest.mark.skipif(ON_ONEDL, reason="OneDL's MMEngine uses no pkg_resources")


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Lets this process see other distributions than are there; what is imported stays so."""

    def install(distributions):
        for name, version in {**COMMON, **distributions}.items():
            write_distribution(tmp_path, name, version)
        for module in ('torchvision', 'mmpretrain', 'joblib', 'sklearn'):
            (tmp_path / f'{module}.py').touch()
        (tmp_path / 'mmrazor').symlink_to(Path(mmrazor.__file__).parent)
        monkeypatch.setattr(sys, 'path', [str(tmp_path)])

    return install


class TestImport:
    AFTERWARDS = """
import sys, mmengine.utils, mmrazor, mmrazor.models, torch
from mmrazor.models.task_modules.tracer import fx_tracer
assert mmrazor.models.SingleTeacherDistill
assert mmrazor.digit_version is fx_tracer.digit_version is mmengine.utils.digit_version
"""

    @pytest.mark.parametrize(
        'first',
        [
            pytest.param(
                """
try:
    import mmrazor.models
except (ImportError, AssertionError):
    pass
import edudistill_mm""",
                marks=pytest.mark.slow,
            ),
            pytest.param(
                """
from mmengine.config import Config
Config.fromfile('config.py')""",
                marks=pytest.mark.slow,
            ),
            """
from mmengine.registry import MODELS
assert MODELS.get('edudistill_mm.EducationDistill') is not None""",
        ],
        ids=['after a failed import', 'custom_imports', 'registry'],
    )
    def test_mmrazor_models_can_be_imported_and_leaves_no_trace(self, tmp_path, first):
        (tmp_path / 'config.py').write_text("custom_imports = dict(imports=['edudistill_mm'])\n")
        done = run(f'{first}\n{self.AFTERWARDS}', tmp_path)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(
        'first',
        [
            pytest.param(
                'import mmrazor.datasets',
                marks=pytest.mark.skipif(ON_ONEDL, reason="MMRazor refuses OneDL's mmcv"),
            ),
            pytest.param('import edudistill_mm', marks=pytest.mark.slow),
        ],
        ids=['mmrazor', 'edudistill'],
    )
    def test_mmrazor_uses_mmpretrain_where_it_asks_for_mmcls(self, tmp_path, first):
        done = run(
            f"""
{first}
import edudistill_mm, mmrazor.models, mmrazor.datasets, sys, torch
from mmrazor.registry import MODELS, TRANSFORMS
from mmpretrain.datasets import PackInputs
from mmpretrain.models.heads import VisionTransformerClsHead
assert issubclass(TRANSFORMS.get('PackCRDClsInputs'), PackInputs)
head = MODELS.get('DeiTClsHead')(num_classes=3, in_channels=4)
assert isinstance(head, VisionTransformerClsHead)
assert head(((torch.ones(2, 4), torch.ones(2, 4)),)).shape == (2, 3)
same = torch.randn(2, 3)
assert MODELS.get('KDSoftCELoss')(tau=1.)(same, same) > 0
assert not [name for name in sys.modules if name.startswith('mmcls')]
try:
    import mmcls
except ImportError:
    print('no mmcls')
""",
            tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith('no mmcls\n')

    @pytest.mark.slow
    def test_mmrazors_channel_pruning_works(self, tmp_path):
        # It needs the recursion limit that MMRazor sets: chains of channels are followed to their
        # ends by recursion, and so are the layers of a network.
        done = run(
            """
import edudistill_mm, sys
import mmrazor.models
from torchvision.models.resnet import BasicBlock, ResNet
from mmrazor.models.mutators import ChannelMutator
assert sys.getrecursionlimit() == 2 ** 20
mutator = ChannelMutator(
    channel_unit_cfg=dict(type='L1MutableChannelUnit', default_args=dict(choice_mode='ratio')),
    parse_cfg=dict(
        type='ChannelAnalyzer', demo_input=(1, 3, 32, 32), tracer_type='FxTracer'))
mutator.prepare_from_supernet(ResNet(BasicBlock, [1, 1, 1, 1]))
print(len(mutator.mutable_units))
""",
            tmp_path,
        )
        assert done.stdout.splitlines()[-1:] == ['8'], done.stderr

    def test_mmcv_lite_says_nothing_of_operators(self, tmp_path):
        done = run(
            """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter('always')
    import edudistill_mm.models
print([str(w.message) for w in seen if 'MultiScaleDeformableAttention' in str(w.message)])
""",
            tmp_path,
        )
        assert done.stdout.endswith('[]\n'), done.stdout + done.stderr

    def test_mmrazors_assertion_on_mmcv_is_passed_by_for_onedl(self, environment, monkeypatch):
        environment(ONEDL)
        monkeypatch.setattr(mmcv, '__version__', '2.3.6')
        monkeypatch.delitem(sys.modules, 'mmrazor')
        compat.apply_patches()
        assert sys.modules['mmrazor'].__version__ == '1.0.0'
        assert mmcv.__version__ == '2.3.6'

    def test_mmrazors_assertion_on_mmcv_holds_for_openmmlab(self, environment, monkeypatch):
        environment(OPENMMLAB)
        monkeypatch.setattr(mmcv, '__version__', '2.3.6')
        monkeypatch.delitem(sys.modules, 'mmrazor')
        with pytest.raises(AssertionError, match='MMCV==2.3.6 is used but incompatible'):
            compat.apply_patches()

    def test_patching_twice_changes_nothing(self):
        before = (
            Config._get_cfg_path,
            utils.is_installed,
            utils.get_installed_path,
            list(sys.meta_path),
        )
        compat.apply_patches()
        assert before == (
            Config._get_cfg_path,
            utils.is_installed,
            utils.get_installed_path,
            sys.meta_path,
        )


class TestVersions:
    @pytest.mark.parametrize(
        'name, version',
        [
            ('torch', '2.0.1'),
            ('mmengine', '0.10.4'),
            ('mmengine', '0.11.0'),
            ('mmcv', '1.7.2'),
            ('mmcv', '2.2.0'),
            ('mmpretrain', '1.1.1'),
            ('mmrazor', '0.3.1'),
            ('mmrazor', '1.0.1'),
        ],
    )
    def test_an_unsupported_version_is_refused_at_import(self, tmp_path, name, version):
        # The family that is there provides it.
        prefix = 'onedl-' if ON_ONEDL and name in compat.FAMILIES['OneDL'] else ''
        write_distribution(tmp_path, prefix + name, version)
        done = run('import edudistill_mm', tmp_path, tmp_path)
        message = done.stderr.strip().splitlines()[-1]
        assert done.returncode != 0
        assert message.startswith('ImportError: ')
        assert f'{name} {version}' in message and 'pip install' in message

    @pytest.mark.parametrize(
        'name, version',
        [
            ('torch', '2.1.0+cu118'),
            ('torch', '2.1.0a0+git32f93b1'),
            ('torch', '3.0.0'),
        ],
    )
    def test_a_supported_version_is_accepted(self, tmp_path, monkeypatch, name, version):
        write_distribution(tmp_path, name, version)
        monkeypatch.syspath_prepend(str(tmp_path))
        compat.check_versions()

    @pytest.mark.parametrize(
        'module', ['torch', 'mmcv', 'mmrazor', 'joblib', 'sklearn', 'packaging']
    )
    def test_a_missing_package_is_named(self, monkeypatch, module):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=f'needs {module}.*pip install'):
            compat.check_versions()

    @pytest.mark.parametrize(
        'family, distributions',
        [
            ('OpenMMLab', OPENMMLAB),
            ('OpenMMLab', {'mmengine-lite': '0.10.7', 'mmcv': '2.0.0', 'mmpretrain': '1.2.0'}),
            ('OneDL', ONEDL),
            ('OneDL', {**ONEDL, 'onedl-mmcv': '2.3.7.post1'}),
        ],
    )
    def test_either_family_is_accepted(self, environment, family, distributions):
        environment(distributions)
        compat.check_versions()
        assert compat.package_family() == family

    @pytest.mark.parametrize(
        'distributions, message',
        [
            (
                {**ONEDL, 'onedl-mmcv': '2.3.5'},
                'needs mmcv>=2.3.6,<2.4 of OneDL, but mmcv 2.3.5 is there: '
                'run `pip install "onedl-mmcv>=2.3.6,<2.4"`.',
            ),
            # OneDL's version under OpenMMLab's name.
            (
                {**OPENMMLAB, 'mmcv-lite': '2.3.6'},
                'needs mmcv>=2.0.0,<=2.1.0 of OpenMMLab, but mmcv 2.3.6 is there: '
                'run `pip uninstall -y mmcv mmcv-lite; pip install "mmcv-lite>=2.0.0,<=2.1.0"`.',
            ),
        ],
    )
    def test_each_family_has_its_own_versions(self, environment, distributions, message):
        environment(distributions)
        with pytest.raises(ImportError, match=re.escape(message)):
            compat.check_versions()

    def test_what_is_missing_beside_onedl_is_onedls(self, environment, monkeypatch):
        environment({'onedl-mmengine': '0.10.12'})
        monkeypatch.setitem(sys.modules, 'mmpretrain', None)
        monkeypatch.setitem(sys.modules, 'mmcv', None)
        with pytest.raises(ImportError, match='mmcv.* of OneDL, which is not there.*onedl-mmcv'):
            compat.check_versions()

    @pytest.mark.parametrize(
        'distributions, there, remove',
        [
            (
                {**OPENMMLAB, 'onedl-mmengine': '0.10.12'},
                'mmengine, mmcv-lite, mmpretrain of OpenMMLab and onedl-mmengine of OneDL are',
                'mmengine mmcv-lite mmpretrain onedl-mmengine',
            ),
            # No import name twice, but OneDL's mmpretrain is not one for OpenMMLab's mmengine.
            (
                {'mmengine-lite': '0.10.7', 'onedl-mmpretrain': '1.3.6'},
                'mmengine-lite of OpenMMLab and onedl-mmpretrain of OneDL are',
                'mmengine-lite onedl-mmpretrain',
            ),
        ],
    )
    def test_both_families_in_one_environment_are_refused(
        self, environment, distributions, there, remove
    ):
        environment(distributions)
        with pytest.raises(ImportError, match=f'{there}.*`pip uninstall -y {remove}`'):
            compat.check_versions()

    def test_a_torch_that_cannot_use_the_numpy_beside_it_is_refused(self, monkeypatch):
        def numpy(tensor):
            # As torch 2.1 answers beside NumPy 2.
            raise RuntimeError('Numpy is not available')

        monkeypatch.setattr(torch.Tensor, 'numpy', numpy)
        with pytest.raises(ImportError, match=r'torch \d.* cannot use numpy \d.*pip install'):
            compat.apply_patches()


class TestPackageLookUp:
    @pytest.fixture
    def without_pkg_resources(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'pkg_resources', None)

    @pytest.fixture
    def pkg_resources_that_says(self, monkeypatch):
        """What pkg_resources does for a distribution that lies at a given place."""

        def install(location):
            module = types.ModuleType('pkg_resources')
            module.DistributionNotFound = type('DistributionNotFound', (Exception,), {})
            module.get_distribution = lambda name: types.SimpleNamespace(
                location=str(location),
                has_metadata=lambda file: True,
                get_metadata=lambda file: f'{name}\n',
            )
            monkeypatch.setitem(sys.modules, 'pkg_resources', module)

        return install

    def test_packages_are_found_without_pkg_resources(self, without_pkg_resources):
        assert utils.is_installed('mmpretrain')
        assert (
            Path(utils.get_installed_path('edudistill_mm')) == Path(edudistill_mm.__file__).parent
        )

    def test_a_distribution_is_found_by_its_own_name(self, without_pkg_resources):
        assert utils.is_installed('opencv-python')
        assert Path(utils.get_installed_path('opencv-python')) == Path(cv2.__file__).parent

    def test_what_is_missing_is_not_found(self, without_pkg_resources, tmp_path, monkeypatch):
        (tmp_path / 'just_a_folder').mkdir()
        monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
        assert not utils.is_installed('no_such_package')
        assert not utils.is_installed('just_a_folder')
        with pytest.raises(ModuleNotFoundError, match='no_such_package'):
            utils.get_installed_path('no_such_package')
        # The latter is OneDL's error.
        with pytest.raises((RuntimeError, ModuleNotFoundError), match='namespace|just_a_folder'):
            utils.get_installed_path('just_a_folder')

    @NO_PKG_RESOURCES
    def test_an_editable_install_is_found_where_it_is(self, pkg_resources_that_says, tmp_path):
        pkg_resources_that_says(tmp_path)
        assert (
            Path(utils.get_installed_path('edudistill_mm')) == Path(edudistill_mm.__file__).parent
        )

    @NO_PKG_RESOURCES
    def test_pkg_resources_is_believed_where_it_is_right(self, pkg_resources_that_says, tmp_path):
        (tmp_path / 'edudistill_mm').mkdir()
        pkg_resources_that_says(tmp_path)
        assert Path(utils.get_installed_path('edudistill_mm')) == tmp_path / 'edudistill_mm'


class TestBases:
    @pytest.mark.slow
    def test_mmrazors_distillation_configs_load(self):
        folder = Path(utils.get_installed_path('mmrazor'), '.mim/configs/distill/mmcls')
        files = sorted(folder.glob('*/*.py'))
        assert len(files) == 19
        for file in files:
            cfg = compat.modernise(Config.fromfile(file))
            assert not list(mentions(cfg._cfg_dict)), file.name

    def test_the_scope_of_an_mmcls_base_is_mmpretrain(self, tmp_path):
        (tmp_path / 'config.py').write_text(
            "_base_ = 'mmcls::resnet/resnet18_8xb16_cifar10.py'\nstudent = _base_.model\n"
        )
        assert Config.fromfile(tmp_path / 'config.py').student['_scope_'] == 'mmpretrain'

    def test_mmengines_hub_finds_mmcls_configs(self):
        assert (
            get_config('mmcls::resnet/resnet18_8xb16_cifar10.py').model.type == 'ImageClassifier'
        )

    def test_a_real_mmcls_is_left_alone(self, tmp_path):
        configs = tmp_path / 'mmcls' / '.mim' / 'configs' / 'resnet'
        configs.mkdir(parents=True)
        (tmp_path / 'mmcls' / '__init__.py').touch()
        (tmp_path / 'mmcls' / '.mim' / 'model-index.yml').write_text('Import: []\n')
        (configs / 'resnet18_8xb16_cifar10.py').write_text("model = dict(type='Ancient')\n")
        (tmp_path / 'config.py').write_text(
            "_base_ = 'mmcls::resnet/resnet18_8xb16_cifar10.py'\nstudent = _base_.model\n"
        )
        done = run(
            'import edudistill_mm\nfrom mmengine import Config\n'
            "assert Config.fromfile('config.py').student == dict(type='Ancient', _scope_='mmcls')",
            tmp_path,
            tmp_path,
        )
        assert done.returncode == 0, done.stderr

    def test_other_packages_are_looked_up_as_before(self):
        assert MODULE2PACKAGE['mmcls'] == 'mmcls' and MODULE2PACKAGE['mmseg'] == 'mmsegmentation'
        with pytest.raises(ValueError, match='specify the package name'):
            get_config('mmpretrain::no_folder.py')


def mentions(node):
    """The strings in a config that speak of mmcls, except folders of that name within MMRazor."""
    if isinstance(node, dict):
        for value in dict.values(node):
            yield from mentions(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from mentions(value)
    elif isinstance(node, str) and node.startswith('mmcls'):
        yield node


class TestModernise:
    def test_scopes_names_and_paths_become_mmpretrains(self):
        old = dict(
            default_scope='mmcls',
            custom_imports=dict(imports=['mmcls', 'mmcls.models'], allow_failed_imports=False),
            model=dict(_scope_='mmcls', type='mmcls.ImageClassifier'),
            teacher=dict(cfg_path='mmcls::resnet/resnet18_8xb16_cifar10.py', pretrained=False),
            old_name=dict(cfg_path='mmcls::deit/deit-base_pt-16xb64_in1k.py'),
            pipeline=[dict(type='PackClsInputs'), dict(type='mmcls.PackClsInputs')],
        )
        assert compat.modernise(old) == dict(
            default_scope='mmpretrain',
            custom_imports=dict(
                imports=['mmpretrain', 'mmpretrain.models'], allow_failed_imports=False
            ),
            model=dict(_scope_='mmpretrain', type='mmpretrain.ImageClassifier'),
            teacher=dict(
                cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py', pretrained=False
            ),
            old_name=dict(cfg_path='mmpretrain::deit/deit-base_16xb64_in1k.py'),
            pipeline=[dict(type='PackInputs'), dict(type='mmpretrain.PackInputs')],
        )

    def test_a_method_path_is_rewritten_if_mmpretrain_has_the_method(self):
        old = dict(
            there='mmcls.models.heads.ClsHead.loss', gone='mmcls.models.utils.Augments.__call__'
        )
        assert compat.modernise(old) == dict(
            there='mmpretrain.models.heads.ClsHead.loss',
            gone='mmcls.models.utils.Augments.__call__',
        )

    def test_everything_else_stays(self):
        cfg = dict(
            name='mmcls',
            note='written for mmcls.',
            path='work_dirs/mmcls',
            scope='mmcls',
            pair=[1],
            other=('a', None),
            base='mmrazor::vanilla/mmcls/wide-resnet/wrn16-w2_b16x8_cifar10.py',
        )
        assert compat.modernise(cfg) == cfg

    def test_the_original_is_untouched_and_the_type_kept(self):
        cfg = Config(dict(model=dict(type='mmcls.ResNet', depths=[dict(n=1)])), filename=None)
        modern = compat.modernise(cfg)
        assert isinstance(modern, Config) and isinstance(modern.model, ConfigDict)
        assert (
            modern.model.type == 'mmpretrain.ResNet' and 'mmpretrain.ResNet' in modern.pretty_text
        )
        modern.model.depths[0].n = 2
        assert cfg.model.type == 'mmcls.ResNet' and cfg.model.depths[0].n == 1

    def test_the_file_name_survives(self, tmp_path):
        (tmp_path / 'config.py').write_text("default_scope = 'mmcls'\n")
        cfg = Config.fromfile(tmp_path / 'config.py')
        assert compat.modernise(cfg).filename == cfg.filename


class TestInplace:
    def test_no_module_overwrites_its_input(self):
        module = nn.Sequential(
            nn.Sequential(nn.ReLU(inplace=True)), nn.ModuleDict(dict(d=nn.Dropout(inplace=True)))
        )
        compat.switch_off_inplace(module)
        values = torch.tensor([-1.0, 1.0])
        module[0](values)
        assert values.tolist() == [-1.0, 1.0]
        assert not module[1]['d'].inplace

    def test_the_module_itself_counts(self):
        relu = nn.ReLU(inplace=True)
        compat.switch_off_inplace(relu)
        assert not relu.inplace
