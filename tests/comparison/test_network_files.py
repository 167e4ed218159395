from pathlib import Path

import pytest
from mmengine.config import Config

from edudistill_mm.comparison.network_files import networks_in_files
from edudistill_mm.settings import difference

STUDENT = """
model = dict(
    type='ImageClassifier', backbone=dict(type='CIFARResNet', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64))
"""


@pytest.mark.parametrize(
    'key, architecture',
    [
        ('model.architecture', 'student.py'),
        ('model.architecture', dict(cfg_path='student.py', backbone=dict(num_stages=2))),
        ('model.architecture.student', dict(type='FragmentedStudent', student='student.py')),
        ('model.architecture.student', dict(student=dict(cfg_path='student.py'))),
    ],
)
def test_another_network_in_a_file_is_a_difference(tmp_path, monkeypatch, key, architecture):
    monkeypatch.chdir(tmp_path)
    cfg = Config(dict(model=dict(type='EducationDistill', architecture=architecture)))
    Path('student.py').write_text(STUDENT)
    before = networks_in_files(cfg)
    assert list(before) == [key]
    assert difference(networks_in_files(cfg), before) is None
    Path('student.py').write_text(STUDENT.replace('depth=8', 'depth=14'))
    assert difference(networks_in_files(cfg), before) == f'{key}.backbone.depth is 14, was 8'


def test_networks_in_the_config_itself_are_in_its_settings_already():
    teacher = dict(name='a', architecture=dict(type='ImageClassifier'))
    model = dict(architecture=dict(type='FragmentedStudent', student=dict(type='ImageClassifier')))
    assert networks_in_files(Config(dict(model=dict(model, teachers=[teacher])))) == {}
