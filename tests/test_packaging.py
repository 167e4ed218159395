import re
import runpy
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import setuptools
import yaml

import edudistill_mm
from edudistill_mm.compat import FAMILIES, SUPPORTED

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    'edudistill_mm',
    'configs',
    'tools',
    'requirements',
    'setup.py',
    'pyproject.toml',
    'model-index.yml',
    'MANIFEST.in',
    'LICENSE',
    '.gitignore',
)


def run(*command, cwd):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A fresh clone."""
    folder = tmp_path_factory.mktemp('clone') / 'edudistill'
    folder.mkdir()
    for name in FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.mim')
            )
        else:
            shutil.copy(source, folder / name)
    run('git', 'init', '--quiet', cwd=folder)
    run('git', 'add', '--all', cwd=folder)
    run(
        'git',
        '-c',
        'user.name=test',
        '-c',
        'user.email=test@localhost',
        'commit',
        '--quiet',
        '-m',
        'clone',
        cwd=folder,
    )
    return folder


@pytest.fixture(scope='module', params=['wheel', pytest.param('editable', marks=pytest.mark.slow)])
def installed(request, checkout, tmp_path_factory):
    """The Python of an environment in which the clone is installed, and the kind of
    installation."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder, with_pip=False)
    python = folder / ('Scripts' if sys.platform == 'win32' else 'bin') / 'python'
    purelib = run(
        python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))', cwd=folder
    ).strip()
    # The dependencies, and pip itself, are those of the environment that runs the tests.
    dependencies = [path for path in sys.path if path.endswith(('site-packages', 'dist-packages'))]
    Path(purelib, 'dependencies.pth').write_text('\n'.join(dependencies))
    what = ['--editable', checkout] if request.param == 'editable' else [checkout]
    # --ignore-installed: that environment may hold an installation of its own, which must stay.
    run(
        python,
        '-m',
        'pip',
        'install',
        '--quiet',
        '--no-deps',
        '--no-build-isolation',
        '--ignore-installed',
        *what,
        cwd=folder,
    )
    return python, request.param


class TestInstallation:
    SCRIPT = """
from pathlib import Path
import edudistill_mm
from mmengine.config import Config
from mmengine.registry import MODELS
package = Path(edudistill_mm.__file__).parent
mim = package / '.mim'
assert (mim / 'tools' / 'train.py').is_file()
assert (package / 'py.typed').is_file()
assert (mim / 'configs').is_symlink() or not (mim / 'tools' / 'dev').exists()
print((mim / 'configs').is_symlink(), (mim / 'model-index.yml').read_text() != '')
cfg = Config.fromfile('config.py')
assert cfg.model.type == 'EducationDistill'
assert cfg.data['_scope_'] == 'mmpretrain'
"""

    def test_mim_files_are_there_and_bases_resolve(self, installed, tmp_path):
        (tmp_path / 'config.py').write_text(
            "_base_ = 'edudistill_mm::edu_kd_cifar100.py'\ndata = _base_.train_dataloader.dataset\n"
        )
        python, kind = installed
        output = run(python, '-W', 'ignore', '-c', self.SCRIPT, cwd=tmp_path)
        assert output.split() == [str(kind == 'editable'), 'True']

    def test_the_checkout_stays_clean(self, installed, checkout):
        assert run('git', 'status', '--porcelain', cwd=checkout) == ''


@pytest.fixture(scope='module')
def setup_script():
    """What setup.py passes to setuptools, and what it defines."""
    passed, original = {}, setuptools.setup
    setuptools.setup = passed.update
    try:
        defined = runpy.run_path(str(ROOT / 'setup.py'))
    finally:
        setuptools.setup = original
    return passed, defined


class TestMetadata:
    def test_the_version_and_that_to_cite_are_the_packages(self, setup_script):
        passed, _ = setup_script
        assert passed['version'] == edudistill_mm.__version__
        citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
        assert citation['version'] == edudistill_mm.__version__

    def test_every_folder_with_code_is_a_package(self, setup_script):
        passed, _ = setup_script
        with_code = {
            file.parent.relative_to(ROOT).as_posix().replace('/', '.')
            for file in (ROOT / 'edudistill_mm').rglob('*.py')
            if '.mim' not in file.parts
        }
        assert with_code == set(passed['packages'])

    @pytest.mark.parametrize(
        'name, supported',
        [
            ('runtime', {**SUPPORTED, **FAMILIES['OpenMMLab']}),
            ('onedl', FAMILIES['OneDL']),
        ],
    )
    def test_what_the_installation_asks_for_is_what_the_import_accepts(self, name, supported):
        lines = (ROOT / 'requirements' / f'{name}.txt').read_text().split()
        wanted = {re.split('[<>=]', line)[0]: line for line in lines}
        for distributions, versions, _ in supported.values():
            (distribution,) = set(distributions) & set(wanted)
            assert wanted[distribution] == f'{distribution}{versions}'

    @pytest.fixture
    def requirements_beside(self, setup_script, tmp_path, monkeypatch):
        """Asks setup.py for the requirements of an environment that holds one distribution."""
        _, defined = setup_script

        def ask(name, version):
            info = tmp_path / f'{name.replace("-", "_")}-{version}.dist-info'
            info.mkdir()
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
            )
            monkeypatch.setattr(sys, 'path', [str(tmp_path)])
            monkeypatch.setattr(defined['sysconfig'], 'get_path', lambda name: str(tmp_path))
            return {re.split('[<>=]', line)[0] for line in defined['runtime_requirements']()}

        return ask

    @pytest.mark.parametrize(
        'mmcv, lite',
        [
            ('2.1.0', False),
            ('2.0.1', False),
            ('2.1.0+cu118', False),
            ('2.2.0', True),
            ('1.7.2', True),
        ],
    )
    def test_a_suitable_mmcv_replaces_mmcv_lite(self, requirements_beside, mmcv, lite):
        assert ('mmcv-lite' in requirements_beside('mmcv', mmcv)) == lite

    @pytest.mark.parametrize('name', ['onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain'])
    def test_a_package_of_onedl_replaces_those_of_openmmlab(self, requirements_beside, name):
        needed = requirements_beside(name, '9.9')
        assert {line for line in needed if 'mm' in line} == {
            'onedl-mmengine',
            'onedl-mmcv',
            'onedl-mmpretrain',
            'mmrazor',
        }
        assert {'torch', 'scikit-learn'} <= needed
