"""Runs that a scheduler asks to end save where they are, and end like runs that went through."""

import os
import signal
import subprocess

import pytest
from killed_runs import (
    after_iteration,
    at_log_line,
    before_iteration,
    differences,
    kill,
    last_checkpoint,
    run,
)
from test_killed_runs import AVERAGES, LOADERS, SEED, School

from edudistill_mm.checkpoint.load import load_checkpoint_file

pytestmark = pytest.mark.slow

AREA = 'The folder of a run'
PREEMPTED = 75


def send(number, rank=None):
    """Send a signal to this process, or to one of several."""

    def function(*_):
        if rank is None or os.environ.get('RANK', '0') == str(rank):
            os.kill(os.getpid(), number)

    return function


def send_to_all(number):
    """Let a stranger send a signal to this process and all that it has started, as schedulers do."""

    def function(*_):
        os.setpgid(0, 0)
        command = ['kill', f'-{number}', '--', f'-{os.getpid()}']
        subprocess.run(command, start_new_session=True, check=True)

    return function


class Stopped(School):
    """A school with one run that is asked to end, again and again."""

    @property
    def work_dir(self):
        return self.folder / 'stopped'

    def stop(self, moment):
        """Start or resume the run, and see it end by a signal; return its last sentence."""
        self.kills += 1
        options = SEED if self.kills == 1 else ('--resume',)
        status, text = run(
            self.config, self.work_dir, *options, moment=moment, processes=self.processes
        )
        assert status == PREEMPTED and 'Traceback' not in text, text
        assert text.count(f'status {PREEMPTED}') == self.processes - 1, text
        (said,) = [line for line in text.splitlines() if line.startswith('stopped: ')]
        assert said.endswith('; the same command with --resume goes on from there'), said
        return said

    def go_on(self):
        """Resume, and compare all that is left with what the uninterrupted run has left."""
        work_dir, whole = self.work_dir, self.folder / 'whole'
        status, text = run(self.config, work_dir, '--resume', processes=self.processes)
        assert status == 0, text
        assert differences(self.end, last_checkpoint(work_dir)) == []
        files = {path.relative_to(work_dir): path for path in work_dir.rglob('*.pth')}
        assert set(files) == {path.relative_to(whole) for path in whole.rglob('*.pth')}
        for name, path in files.items():
            one, other = load_checkpoint_file(whole / name), load_checkpoint_file(path)
            assert differences(one['state_dict'], other['state_dict']) == [], name


# In the order of a run.
MOMENTS = {
    'SIGUSR1 in the first step': before_iteration(0, send(signal.SIGUSR1)),
    'SIGTERM in an accumulation of gradients, to the workers as well': before_iteration(
        4, send_to_all(signal.SIGTERM)
    ),
    'SIGUSR1 after the last step of an epoch': after_iteration(5, send(signal.SIGUSR1)),
    'SIGTERM while a checkpoint is written': at_log_line(
        'Saving checkpoint', send(signal.SIGTERM)
    ),
    'SIGTERM in a promotion': at_log_line('Grade 2 of', send(signal.SIGTERM)),
    'SIGUSR1 in a validation': at_log_line('Epoch(val) [4][2/', send(signal.SIGUSR1)),
    'SIGTERM in the last validation': at_log_line('Epoch(val) [5][1/', send(signal.SIGTERM)),
}
SHORT_MOMENTS = (
    'SIGTERM in an accumulation of gradients, to the workers as well',
    'SIGTERM in a promotion',
    'SIGUSR1 in a validation',
)


def test_a_run_that_is_asked_to_end_saves_and_goes_on_as_if_it_never_had(tmp_path, full, report):
    school = Stopped(tmp_path, keep=1, ema=AVERAGES[1], accumulate=2, **LOADERS[2])
    moments = [name for name in MOMENTS if full or name in SHORT_MOMENTS]
    for name in moments:
        school.stop(MOMENTS[name])
        saved = (school.work_dir / 'preempted.pth').exists()
        # Where a regular checkpoint of the same state is there, it will do.
        assert saved != ('validation' in name or 'checkpoint' in name), name
    school.go_on()
    for name in moments:
        report(
            AREA,
            name,
            'sent at that step or log line of one run, which was resumed each time',
            1,
            'the step is finished and saved, status 75; resumed, the same end',
        )


def test_one_signal_ends_all_processes_of_a_run_at_the_same_place(tmp_path, report):
    """The first in a validation before which nothing was saved, with averaged weights in the model;
    both before the first regular checkpoint but one."""
    school = Stopped(
        tmp_path, by_epoch=False, interval=5, accumulate=3, ema=AVERAGES[1], processes=2
    )
    moments = {
        'one of two processes, in a validation that no checkpoint precedes': at_log_line(
            'Iter(val) [2/', send(signal.SIGTERM, rank=0)
        ),
        'both processes, in an accumulation of gradients': before_iteration(
            6, send(signal.SIGUSR1)
        ),
    }
    for (name, moment), iteration in zip(moments.items(), (3, 7)):
        school.stop(moment)
        checkpoint = load_checkpoint_file(school.work_dir / 'preempted.pth')
        assert checkpoint['meta']['iter'] == iteration
        report(
            AREA,
            f'SIGTERM or SIGUSR1 to {name}',
            'sent at that step or log line of one run, which was resumed each time',
            1,
            'both save and end at the same place, status 75, one sentence; resumed, the same end',
        )
    school.go_on()


def test_a_run_that_is_killed_while_it_saves_goes_on_from_the_checkpoint_before(
    tmp_path, full, report
):
    if not full:
        return
    school = School(tmp_path, keep=1)

    def moment():
        before_iteration(8, send(signal.SIGTERM))()
        replace = os.replace

        def die(part, path):
            if str(path).endswith('preempted.pth'):
                kill()
            replace(part, path)

        os.replace = die

    work_dir = school.kill(moment)
    assert (work_dir / 'preempted.pth.part').exists()
    school.resume(work_dir)
    report(
        AREA,
        'SIGKILL while a run saves after SIGTERM',
        'before the file is in its place',
        1,
        'the checkpoint before was whole; resumed, the same end',
    )
