"""Two runs in one folder, and disks without room."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from killed_runs import at_log_line, before_iteration, run, write_config
from test_killed_runs import SEED, School, readable

from edudistill_mm.apis.folder_lock import hold_folder

AREA = 'The folder of a run'


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB, and a function that leaves so many bytes of it free."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('mounting is not permitted here')

    def leave(free):
        filler = folder / 'filler'
        filler.unlink(missing_ok=True)
        status = subprocess.run(
            ['df', '-B1', '--output=avail', str(folder)], capture_output=True, text=True
        )
        filler.write_bytes(bytes(max(int(status.stdout.split()[-1]) - free, 0)))

    yield folder, leave
    subprocess.run(['umount', str(folder)], check=True)


def contents(work_dir):
    return {path: path.read_bytes() for path in Path(work_dir).rglob('*') if path.is_file()}


def refusal(text):
    """The one sentence with which a run has ended."""
    assert 'Traceback' not in text and 'Logging error' not in text, text
    (line,) = [line for line in text.splitlines() if line.startswith('error: ')]
    return line


@pytest.mark.parametrize('processes', [1, 2])
def test_a_second_run_in_a_folder_is_refused_and_touches_nothing(tmp_path, processes, report):
    config, folder = write_config(tmp_path), tmp_path / 'run'
    with hold_folder(str(folder)):
        before = contents(folder)
        status, text = run(config, folder, *SEED, processes=processes)
        assert status == 2 and text.count('status 2') == processes - 1, text
        assert f'another run is at work in "{folder}" (process {os.getpid()} ' in refusal(text)
        assert contents(folder) == before
    report(
        AREA,
        f'a second run, of {processes} processes, is started in the folder of another',
        'tools/train.py while another process holds the folder',
        1,
        'refused in one sentence with process, machine, time and command of the other; nothing '
        'of the first is touched',
    )


@pytest.mark.slow
def test_a_run_on_a_disk_that_gets_full_ends_with_a_sentence_and_goes_on_with_room(
    small_disk, tmp_path, report
):
    disk, leave = small_disk
    school = School(tmp_path, keep=1)
    size = (tmp_path / 'whole' / 'epoch_5.pth').stat().st_size
    leave(size // 3)
    status, text = run(school.config, disk / 'none', *SEED)
    assert status == 1 and 'a checkpoint of this run takes at least' in refusal(text), text
    leave(4 << 20)
    moment = at_log_line('Saving checkpoint', lambda: leave(size // 2), times=3)
    status, text = run(school.config, disk / 'run', *SEED, moment=moment)
    assert status == 1, text
    path = disk / 'run' / 'epoch_3.pth'
    assert f'"{path}" cannot be written: No space left on device, ' in refusal(text)
    assert f' kB are free in "{disk / "run"}"' in refusal(text)
    assert len(readable(disk / 'run')) == 2  # the last one and the best
    leave(4 << 20)
    school.resume(disk / 'run')
    report(
        AREA,
        'a full disk',
        'a small file system is full at the start, or gets full while the third checkpoint is '
        'written',
        2,
        'one sentence with path and space, status 1; resumed with room, the same end',
    )


def test_a_disk_without_room_for_kept_answers_costs_the_answers_and_not_the_run(
    small_disk, tmp_path, report
):
    disk, leave = small_disk
    config = write_config(tmp_path, keep_answers=dict(folder=str(disk / 'answers')))
    leave(0)
    status, text = run(config, tmp_path / 'run', *SEED)
    assert status == 0, text
    lines = [line for line in text.splitlines() if 'are not kept' in line]
    assert len(lines) == 3 and all('WARNING' in line for line in lines)
    assert f'"{disk / "answers"}" cannot take them: no space left on device' in lines[0]
    report(
        AREA,
        'no room for kept answers',
        'a file system without room for the tables of three teachers',
        1,
        'one warning for each; the run goes on and asks its teachers',
    )


def limit(size):
    """Let the system refuse files that are longer."""

    def function(*_):
        # What the process prints goes to a file as well.
        sys.stderr.truncate(0)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    return function


def after_replacing(end):
    """Limit files when one whose path ends so is in its place."""

    def arm():
        replace = os.replace

        def function(part, path):
            replace(part, path)
            if str(path).endswith(end):
                limit(4000)()

        os.replace = function

    return arm


def before_export():
    """Limit files when all is trained."""
    train = sys.modules['edudistill_mm.apis.train']
    plain = train.export_student

    def function(*arguments):
        limit(4000)()
        return plain(*arguments)

    train.export_student = function


WRITES = {
    'a checkpoint': (at_log_line('Saving checkpoint', limit(30_000)), 'run/epoch_1.pth"'),
    'a plain student': (after_replacing('students/epoch_1.py'), 'run/students/epoch_1.pth"'),
    'the log': (before_iteration(1, limit(4000)), '.log"'),
    'the exported student': (before_export, 'a file in "{}"'),
}


@pytest.mark.slow
def test_whichever_file_cannot_be_written_the_run_ends_with_a_sentence(tmp_path, full, report):
    config = write_config(tmp_path)
    for name, (moment, path) in WRITES.items():
        if not full and moment is before_export:
            continue
        status, text = run(config, tmp_path / 'run', *SEED, moment=moment)
        assert status == 1, text
        words = f'{path} cannot be written: File too large'.format(tmp_path / 'run')
        assert words in refusal(text), text
        report(
            AREA,
            f'{name} cannot be written',
            'the system refuses files of more than 4 kB, or half a checkpoint',
            1,
            'one sentence with path and space, status 1',
        )
