import os
import signal
import threading
import time

import pytest

from edudistill_mm.apis.folder_lock import FILE, hold_folder
from edudistill_mm.errors import ConfigurationError


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['tools/train.py', 'my config.py'])
    with hold_folder(str(tmp_path)):
        message = (
            f'another run is at work in "{tmp_path}" .process {os.getpid()} on .*, since '
            r"\d{4}-.*: tools/train.py 'my config.py'.; wait for its end"
        )
        with pytest.raises(ConfigurationError, match=message):
            with hold_folder(str(tmp_path)):
                pass
    with hold_folder(str(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_was_written_goes_again(tmp_path):
    with hold_folder(str(tmp_path / 'new' / 'run')) as file:
        assert file is not None and (tmp_path / 'new' / 'run' / FILE).exists()
    assert not (tmp_path / 'new' / 'run').exists()
    with hold_folder(str(tmp_path / 'new' / 'run')):
        (tmp_path / 'new' / 'run' / 'log').touch()
    assert os.listdir(tmp_path / 'new' / 'run') == ['log']


def test_the_hold_ends_with_a_killed_process_though_its_workers_live_on(tmp_path):
    reading, writing = os.pipe()
    holder = os.fork()
    if holder == 0:
        with hold_folder(str(tmp_path)):
            worker = os.fork()
            if worker:
                os.write(writing, f'{worker}\n'.encode())
            time.sleep(60)
        os._exit(1)
    worker = int(os.read(reading, 20))
    try:
        with pytest.raises(ConfigurationError, match=f'process {holder} on'):
            with hold_folder(str(tmp_path)):
                pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with hold_folder(str(tmp_path)):
            os.kill(worker, 0)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_whoever_waits_is_told_once_and_goes_on_when_the_other_has_ended(tmp_path):
    ended, told = threading.Event(), []

    def hold():
        with hold_folder(str(tmp_path)):
            begun.set()
            while not told:
                time.sleep(0.01)
            ended.set()

    begun = threading.Event()
    threading.Thread(target=hold, daemon=True).start()
    begun.wait()
    with hold_folder(str(tmp_path), wait=told.append):
        assert ended.is_set()
    assert len(told) == 1 and f'process {os.getpid()}' in told[0]


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(
        ConfigurationError, match='file/run" cannot be written to: not a directory'
    ):
        with hold_folder(str(tmp_path / 'file' / 'run')):
            pass


def test_a_file_system_that_cannot_lock_is_a_warning(tmp_path, monkeypatch, caplog):
    def unable(*_):
        raise OSError(38, 'Function not implemented')

    monkeypatch.setattr('fcntl.flock', unable)
    with hold_folder(str(tmp_path)) as file:
        assert file is None
