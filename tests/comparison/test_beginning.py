"""What a dry run tries of each row."""

import time
from pathlib import Path

from edudistill_mm.comparison.beginning import check_beginning
from edudistill_mm.config.load import load_config

CONFIG = Path(__file__).parents[2] / 'configs' / 'digits' / 'student_resnet14_digits.py'


def test_two_rows_of_one_config_are_tried_within_one_second(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = load_config(str(CONFIG), {})
    # MMEngine names a run by its config and the second of its start.
    monkeypatch.setattr(time, 'strftime', lambda *_: '20000101_000000')
    check_beginning(run)
    check_beginning(run)
    assert list(tmp_path.iterdir()) == []
