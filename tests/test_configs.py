"""Where configs lie, how they are called, and what names them."""

import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from edudistill_mm.config.load import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
FOLDERS = ['caltech256', 'cifar100', 'digits', 'food101', 'small', 'tiny_imagenet']
FILES = [file for folder in ['.', *FOLDERS] for file in sorted((CONFIGS / folder).glob('*.py'))]
NETWORK = r'resnet\d+(x\d)?(-\d+(x\d)?)*'
KNOWN = {
    'edu_dkd_cifar100': 'cifar100/edu-dkd-blocks_resnet50_resnet18_cifar100.py',
    'edu_kd_cifar100': 'cifar100/edu-kd-blocks_resnet50_resnet18_cifar100.py',
    'edu_kd_experts_cifar100': 'cifar100/edu-kd-experts_resnet110_resnet20_cifar100.py',
    'dkd_cifar100': 'cifar100/dkd_resnet50_resnet18_cifar100.py',
    'kd_cifar100': 'cifar100/kd_resnet50_resnet18_cifar100.py',
    'edu_kd_digits': 'digits/edu-kd-experts_resnet14_resnet14_digits.py',
    'edu_dkd_digits': 'digits/edu-dkd-experts_resnet14_resnet14_digits.py',
}


def metafile(folder):
    return yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())


@pytest.fixture(scope='module')
def loaded():
    """Every config as MMEngine reads it."""
    return {file: Config.fromfile(file) for file in FILES}


def test_every_config_lies_in_the_folder_of_its_data_set():
    there = {file.parent.name for file in CONFIGS.glob('*/*.py')}
    assert there == {'_base_', 'compare', *FOLDERS}
    for folder in FOLDERS:
        last = folder.replace('_', '-')
        for file in (CONFIGS / folder).glob('*.py'):
            teacher = '' if re.match('(edu-)?student_', file.stem) else f'_{NETWORK}'
            assert re.fullmatch(rf'(\w+-)*[^_]+{teacher}_{NETWORK}_{last}', file.stem)


def test_mim_finds_every_config_by_its_file_name_alone():
    everywhere = [file.name for file in CONFIGS.rglob('*.py')]
    assert all(everywhere.count(file.name) == 1 for file in FILES)


def test_the_known_names_are_the_configs_of_the_folders(loaded):
    assert {file.stem for file in CONFIGS.glob('*.py')} == set(KNOWN)
    for name, target in KNOWN.items():
        assert loaded[CONFIGS / f'{name}.py'].to_dict() == loaded[CONFIGS / target].to_dict()
        assert len((CONFIGS / f'{name}.py').read_text().splitlines()) == 2
        assert f'| `{name}.py` | `{target}` |' in (CONFIGS / 'README.md').read_text()


def test_a_run_is_called_by_the_file_that_was_given():
    assert load_config(str(CONFIGS / 'edu_kd_digits.py')).cfg.work_dir == 'work_dirs/edu_kd_digits'


@pytest.mark.parametrize('folder', ['.', *FOLDERS])
def test_metafile_and_readme_of_a_folder_name_its_configs_and_no_others(folder, loaded):
    files = {
        file.relative_to(ROOT).as_posix() for file in FILES if file.parent == CONFIGS / folder
    }
    entries = metafile(folder)['Models']
    assert [model['Config'] for model in entries] == sorted(files)
    collections = {collection['Name'] for collection in metafile('.')['Collections']}
    for model in entries:
        assert Path(model['Config']).stem == model['Name']
        assert loaded[ROOT / model['Config']].model.type == model['In Collection']
        assert model['In Collection'] in collections
    readme = (CONFIGS / folder / 'README.md').read_text()
    rows = re.findall(r'^\| \W?([\w-]+\.py)\W', readme, flags=re.MULTILINE)
    assert sorted(rows) == sorted(Path(file).name for file in files)


def test_the_model_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert set(index['Import']) == {
        file.relative_to(ROOT).as_posix() for file in CONFIGS.rglob('metafile.yml')
    }
