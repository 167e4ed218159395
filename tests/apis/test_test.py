from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain import get_model

from edudistill_mm.apis.config import load_config
from edudistill_mm.apis.export import export_student
from edudistill_mm.apis.plain_distillation import as_written
from edudistill_mm.apis.test import test as evaluate
from edudistill_mm.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    'ckpt', ['/nonexistent/teacher.pth', 'https://nowhere.invalid/teacher.pth']
)
def test_a_run_of_mmrazor_is_tested_without_its_teachers_checkpoint(tmp_path, ckpt):
    cfg = load_config(
        str(ROOT / 'configs' / 'kd_digits.py'),
        {'model.teacher_ckpt': ckpt, 'test_dataloader.dataset.indices': 20},
        str(tmp_path / 'run'),
    )
    model = as_written(cfg).model.to_dict()
    model.pop('teacher_ckpt')
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta={}, state_dict=MODELS.build(model).state_dict()), path)
    assert 'accuracy/top1' in evaluate(cfg, str(path))


def test_the_student_of_a_run_of_mmrazor_is_exported_and_tested_alone(tmp_path):
    name, options = str(ROOT / 'configs' / 'kd_digits.py'), {'model.teacher_ckpt': None}
    cfg = load_config(name, options, str(tmp_path / 'run'))
    algorithm = MODELS.build(as_written(cfg).model.to_dict())
    state = algorithm.state_dict()
    torch.save(dict(meta={}, state_dict=state), tmp_path / 'epoch_1.pth')
    out, _ = export_student(cfg, str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'student.pth'))
    student = torch.load(out, weights_only=True)['state_dict']
    assert set(student) == set(algorithm.architecture.state_dict())
    model = get_model(str(tmp_path / 'student.py'), out)
    images = torch.rand(4, 3, 8, 8)
    algorithm.eval()
    assert torch.equal(model(images), algorithm.architecture(images))
    whole, alone = (
        evaluate(load_config(name, options, str(tmp_path / 'run')), str(tmp_path / file))
        for file in ('epoch_1.pth', 'student.pth')
    )
    assert whole['accuracy/top1'] == alone['accuracy/top1']


def test_a_plain_training_has_no_student_to_export(tmp_path):
    cfg = load_config(str(ROOT / 'configs' / 'student_digits.py'), work_dir=str(tmp_path))
    message = 'EducationDistill or SingleTeacherDistill here, but is "ImageClassifier"'
    with pytest.raises(ConfigurationError, match=message):
        export_student(cfg, 'epoch_1.pth', 'student.pth')
