import os
import shutil

import pytest
from checkpoint_files import Call, save

from edudistill_mm.engine.find_checkpoint import find_checkpoint_to_resume
from edudistill_mm.errors import ConfigurationError


@pytest.fixture
def run_folder(tmp_path):
    """A work dir with three checkpoints, written one after the other, and the name of the last."""
    for step in (1, 2, 10):
        save(tmp_path / f'epoch_{step}.pth', dict(meta=dict(epoch=step)))
        os.utime(tmp_path / f'epoch_{step}.pth', (step, step))
    save(tmp_path / 'best_accuracy_top1_epoch_2.pth', dict(meta={}))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    os.utime(tmp_path / 'last_checkpoint', (11, 11))
    return tmp_path


def resumable(folder, warnings=0):
    lines = []
    path, checkpoint = find_checkpoint_to_resume(
        str(folder), str(folder), 'epoch_{}.pth', lines.append
    )
    assert len(lines) == warnings and all('\n' not in line for line in lines), lines
    assert (path is None) == (checkpoint is None)
    return path and os.path.basename(path)


def test_a_run_goes_on_from_the_checkpoint_that_it_names(run_folder):
    assert resumable(run_folder) == 'epoch_10.pth'
    (run_folder / 'last_checkpoint').write_text('epoch_2.pth')
    # epoch_10.pth is older than the name: left over from an earlier run.
    assert resumable(run_folder) == 'epoch_2.pth'


def test_a_run_killed_before_it_named_its_checkpoint_goes_on_from_it(run_folder):
    (run_folder / 'last_checkpoint').write_text('epoch_2.pth')
    os.utime(run_folder / 'last_checkpoint', (5, 5))
    assert resumable(run_folder) == 'epoch_10.pth'


@pytest.mark.parametrize('text', ['', 'nowhere/epoch_99.pth', '\x00\xff', '/'])
def test_a_name_that_is_none_falls_back_to_the_newest_checkpoint(run_folder, text):
    (run_folder / 'last_checkpoint').write_bytes(text.encode('latin-1'))
    assert resumable(run_folder, warnings=1) == 'epoch_10.pth'
    (run_folder / 'last_checkpoint').unlink()
    assert resumable(run_folder) == 'epoch_10.pth'


def test_damaged_checkpoints_are_passed_over_and_named(run_folder):
    os.truncate(run_folder / 'epoch_10.pth', 50)
    assert resumable(run_folder, warnings=1) == 'epoch_2.pth'
    (run_folder / 'epoch_2.pth').write_bytes(b'')
    assert resumable(run_folder, warnings=2) == 'epoch_1.pth'
    (run_folder / 'epoch_1.pth').unlink()
    with pytest.raises(ConfigurationError, match='epoch_10.pth'):
        resumable(run_folder, warnings=2)


def test_a_checkpoint_that_wants_to_run_code_is_passed_over(run_folder):
    marker = run_folder / 'marker'
    save(run_folder / 'epoch_10.pth', dict(meta=Call(os.system, f'touch {marker}')))
    assert resumable(run_folder, warnings=1) == 'epoch_2.pth' and not marker.exists()


def test_a_moved_run_is_found_where_it_is(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp('moved') / 'run'
    shutil.copytree(run_folder, folder)
    path, checkpoint = find_checkpoint_to_resume(str(folder), str(folder), 'epoch_{}.pth', print)
    assert path == str(folder / 'epoch_10.pth')


def test_without_any_checkpoint_there_is_none_to_resume(tmp_path):
    assert resumable(tmp_path) is None and resumable(tmp_path / 'missing') is None
    save(tmp_path / 'best_epoch_2.pth', {})
    assert resumable(tmp_path) is None
