from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from edudistill_mm.apis.config import load_config
from edudistill_mm.apis.test import test as evaluate

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
    model = cfg.model.to_dict()
    model.pop('teacher_ckpt')
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta={}, state_dict=MODELS.build(model).state_dict()), path)
    assert 'accuracy/top1' in evaluate(cfg, str(path))
