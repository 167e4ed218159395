import hashlib
from pathlib import Path

from mmengine.config import Config

from edudistill_mm.comparison.weight_files import weights_in_files


def test_all_files_that_a_training_starts_from_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digests = {}
    for name in ('student.pth', 'backbone.pth', 'whole.pth', 'plain.pth', 'timm.pth'):
        Path(name).write_text(name)
        digests[name] = hashlib.sha256(name.encode()).hexdigest()
    backbone = dict(init_cfg=[dict(type='mmengine.Pretrained', checkpoint='backbone.pth')])
    other = dict(init_cfg=dict(type='Pretrained', checkpoint='https://example.org/absent.pth'))
    cfg = Config(
        dict(
            load_from='whole.pth',
            model=dict(
                init_cfg=dict(type='Pretrained', checkpoint='student.pth'),
                architecture=dict(backbone=backbone, pretrained='plain.pth'),
                teachers=[other, dict(pretrained=True), dict(checkpoint_path='timm.pth')],
            ),
        )
    )
    assert weights_in_files(cfg) == digests
    Path('whole.pth').unlink()
    Path('backbone.pth').unlink()
    assert list(weights_in_files(cfg)) == ['plain.pth', 'student.pth', 'timm.pth']


def test_a_training_that_begins_at_random_starts_from_no_file():
    assert weights_in_files(Config(dict(model=dict(type='ImageClassifier')))) == {}
