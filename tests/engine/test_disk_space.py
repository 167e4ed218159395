import errno

import pytest
import torch
from mmengine.runner import Runner

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.engine import disk_space
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.errors import TrainingError

KINDS = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG]


@pytest.mark.parametrize('kind', KINDS)
def test_each_kind_of_lack_of_room_is_a_sentence_with_path_and_space(tmp_path, kind):
    def write(file):
        raise OSError(kind, 'so it says')

    path = tmp_path / 'epoch_1.pth'
    message = rf'^"{path}" cannot be written: so it says, [\d.]+ .B are free in "{tmp_path}"; '
    with pytest.raises(TrainingError, match=message):
        with full_disk_told('elsewhere'):
            atomic_write(str(path), write)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_named_where_the_path_is_not_known(tmp_path):
    with pytest.raises(TrainingError, match=f'a file in "{tmp_path}" cannot be written'):
        with full_disk_told(str(tmp_path)):
            raise OSError(errno.ENOSPC, 'No space left on device')


def test_what_torch_makes_of_a_full_disk_is_found_and_other_errors_are_left_alone(tmp_path):
    with pytest.raises(TrainingError, match='cannot be written: No space left on device'):
        with full_disk_told(str(tmp_path)), open('/dev/full', 'wb', buffering=0) as file:
            torch.save(torch.zeros(9), file)
    for other in (OSError(errno.EIO, 'broken'), RuntimeError('unrelated')):
        with pytest.raises(type(other)) as caught:
            with full_disk_told(str(tmp_path)):
                raise other
        assert caught.value is other


@pytest.fixture
def free(monkeypatch):
    """Says how much is free."""

    def say(size):
        monkeypatch.setattr(disk_space, '_free', lambda folder: size)

    return say


def started(config):
    """A runner of the config right before its first step, which it does not take."""
    config.train_cfg.max_epochs = 7
    runner = Runner.from_cfg(config)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    return runner


def test_a_run_whose_first_checkpoint_has_no_room_is_refused_at_its_start(config, free):
    runner = started(config)
    weights = sum(value.nbytes for value in runner.model.state_dict().values())
    free(weights - 1)
    with pytest.raises(TrainingError, match=r'takes at least \d+ kB, but \d+ kB are free in'):
        disk_space.check_space(runner)
    free(weights)
    disk_space.check_space(runner)


@pytest.mark.parametrize('keep, saved, students', [(2, 3, 4), (-1, 8, 9)])
def test_a_warning_counts_what_is_kept_and_what_an_earlier_session_has_left(
    config, free, keep, saved, students, tmp_path, caplog
):
    config.default_hooks.checkpoint.max_keep_ckpts = keep
    runner = started(config)
    lines = []
    runner.logger.warning = lines.append
    weights = sum(value.nbytes for value in runner.model.state_dict().values())
    trained = sum(p.numel() * 4 for p in runner.model.parameters() if p.requires_grad)
    # Checkpoints with the momenta, the best one, and a student each with the exported one.
    needed = saved * (weights + trained) + weights + students * weights
    free(needed)
    disk_space.check_space(runner)
    assert lines == []
    free(needed - 1)
    disk_space.check_space(runner)
    assert len(lines) == 1 and 'The disk may get full' in lines[0] and 'max_keep_ckpts' in lines[0]
    (tmp_path / 'run').mkdir(exist_ok=True)
    (tmp_path / 'run' / 'epoch_1.pth').write_bytes(b'x')
    disk_space.check_space(runner)
    assert len(lines) == 1
