"""README.md's commands and configs, as they stand there, on tiny data.

The two commands of its quick start are what .ci/run runs, at full length.
"""

import re
import shlex
from pathlib import Path

import official_layouts
import pytest
import torch
from image_folders import make_images
from mmengine.config import Config
from run_tool import run_tool

from edudistill_mm.models.network import build_network

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r'^```(bash|python)\n(.*?)^```$', (ROOT / 'README.md').read_text(), re.MULTILINE | re.DOTALL
)
QUICK_START, OWN_IMAGES, LITERATURE = (
    [line.partition('  #')[0].strip() for line in code.splitlines()]
    for language, code in BLOCKS
    if language == 'bash'
)
OWN_NETWORKS, OVER_MMRAZOR = (code for language, code in BLOCKS if language == 'python')
SHORT = ['--epochs', '3', '--no-teacher-test', '--cfg-options']
CIFAR = [
    'data_root=cifar100',
    *(f'{split}_dataloader.dataset.type=SmallCIFAR100' for split in ('train', 'val', 'test')),
]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The folder in which commands run: it has what a clone has, and tiny images."""
    for name in ('configs', 'weights'):
        (tmp_path / name).symlink_to(ROOT / name)
    make_images(tmp_path / 'FOLDER', {'one': 10, 'two': 10}, (32, 32))
    official_layouts.cifar100(tmp_path / 'cifar100')
    official_layouts.food101(tmp_path / 'food')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command, *options):
    python, tool, *arguments = shlex.split(command)
    assert python == 'python' and (ROOT / tool).is_file()
    run_tool(Path(tool).stem, [*arguments, *options])
    if tool == 'tools/train.py':
        assert Path('work_dirs', Path(arguments[0]).stem, 'student.pth').is_file()


def save_untrained(network, file):
    """Write weights in the place of those that would be downloaded."""
    built = build_network(network.to_dict(), 'network')
    torch.save(dict(state_dict=built.state_dict()), file)


def zoo_weights():
    zoo = Config.fromfile('configs/_base_/models/resnet50_small_images.py').teachers[0]
    zoo.architecture.head.num_classes = 100
    save_untrained(zoo.architecture, 'zoo.pth')
    return 'zoo.pth'


def test_the_quick_start_is_what_continuous_integration_runs():
    assert all(command.startswith('bash tools/quickstart.sh') for command in QUICK_START)
    jobs = [' '.join(command.split()[2:]) or 'digits' for command in QUICK_START]
    assert f'for job in ${{@:-{" ".join(jobs)}}}' in (ROOT / '.ci' / 'run').read_text()


def test_own_images_take_two_commands(clone):
    write, train = OWN_IMAGES
    run(write)
    weights = f'teacher_training.model.backbone.init_cfg.checkpoint={zoo_weights()}'
    run(train, *SHORT, 'teacher_training.train_cfg.max_epochs=1', weights)


def test_the_curriculum_of_the_literatures_setting_is_shown_and_trains(clone, capsys):
    show, train, _ = LITERATURE
    run(show, '--cfg-options', *CIFAR)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    grades = [row for row in rows if row and row[0] in ('primary', 'middle', 'university')]
    # Name, epochs, new classes, seen classes, fragments.
    assert [row[:5] for row in grades] == [
        ['primary', '1-90', '100', '100', '1'],
        ['middle', '91-156', '0', '100', '2'],
        ['university', '157-240', '0', '100', '3'],
    ]
    run(train, *SHORT, *CIFAR)


@pytest.mark.slow
def test_a_student_of_the_zoos_network_trains(clone):
    run(LITERATURE[2], *SHORT, *CIFAR, f'model.teachers.0.ckpt={zoo_weights()}')


def test_a_config_of_own_networks_trains_on_any_data(clone):
    Path('mine.py').write_text(OWN_NETWORKS)
    for name, channels in (('student', 4), ('teacher', 8)):
        network = dict(
            type='ImageClassifier',
            backbone=dict(type='ResNet', depth=50, stem_channels=4, base_channels=channels),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=6, in_channels=32 * channels),
        )
        Path(f'my_{name}.py').write_text(f'model = {network}')
        save_untrained(Config(network), f'my_{name}.pth')
    Path('run.py').write_text(
        "_base_ = ['./mine.py', 'edudistill_mm::_base_/datasets/food101.py']"
    )
    run('python tools/train.py run.py', *SHORT, 'data_root=food')


def test_a_config_of_mmrazor_is_a_curriculum_by_inheritance(clone, capsys):
    make_images(
        clone / 'data' / 'imagenet' / 'train', {f'n{label:08}': 1 for label in range(1000)}
    )
    Path('mine.py').write_text(OVER_MMRAZOR)
    run('python tools/print_curriculum.py mine.py')
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    grades = [row for row in rows if row and re.fullmatch(r'grade\d', row[0])]
    # Name, epochs, new classes, seen classes, fragments.
    assert [row[:5] for row in grades] == [
        ['grade1', '1-40', '500', '500', '2'],
        ['grade2', '41-100', '500', '1000', '4'],
    ]
