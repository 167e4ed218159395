"""Runs that are killed and resumed end like runs that were never killed, bit for bit."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import killed_runs
import pytest
import torch
from killed_runs import (
    after_iteration,
    at_byte,
    at_call,
    at_log_line,
    before_iteration,
    differences,
    last_checkpoint,
    run,
    write_config,
)
from networks import build, resnet

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.errors import ConfigurationError

pytestmark = pytest.mark.slow

AREA = 'Killed and resumed'
SEED = ('--cfg-options', 'randomness.seed=3')
AVERAGES = [
    None,
    dict(type='EMAHook', momentum=0.2),
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=4, update_buffers=True),
    dict(type='mmengine.EMAHook', ema_type='StochasticWeightAverage', begin_iter=4),
]
LOADERS = [dict(workers=0), dict(workers=2), dict(workers=2, persistent=True)]
GROWTH = dict(fragments=[[], ['layer1.1'], ['layer2.1', 'layer3.1']], new_blocks='copy')
SHORT = [
    (dict(by_epoch=True, accumulate=1, ema=AVERAGES[0], **LOADERS[1]), (8,)),
    (dict(by_epoch=True, accumulate=2, ema=AVERAGES[2], keep=1, **LOADERS[2]), (7, 12)),
    (dict(by_epoch=False, accumulate=3, ema=AVERAGES[3], **LOADERS[0]), (5, 8)),
    (dict(by_epoch=False, accumulate=1, ema=AVERAGES[1], interval=2, **LOADERS[2]), (9,)),
]
# Resident data; blocks inside the stages, which begin as copies.
OTHERS = [
    (dict(by_epoch=True, accumulate=2, ema=AVERAGES[1], keep_answers=False), (8,)),
    (dict(by_epoch=False, accumulate=1, ema=AVERAGES[2], keep_answers=False), (5, 8)),
    (dict(by_epoch=True, ema=AVERAGES[1], growth=GROWTH), (2, 8, 11, 13)),
    (dict(by_epoch=False, ema=AVERAGES[2], accumulate=2, growth=GROWTH), (4, 5, 7)),
]


def options_matrix():
    """Loops, averages, accumulations and loaders; each pair of values of two of them occurs."""
    rows = itertools.product((True, False), (1, 3), range(3))
    for number, (by_epoch, accumulate, loader) in enumerate(rows):
        yield dict(
            by_epoch=by_epoch,
            accumulate=accumulate,
            ema=AVERAGES[(number + number // 4) % 4],
            keep=1 + number % 2,
            interval=1 + (number // 2) % 2 * (not by_epoch),
            **LOADERS[loader],
        )


class School:
    """A config, its uninterrupted run, and any number of killed ones."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.processes = options.pop('processes', 1)
        self.config = write_config(folder, **options)
        status, text = run(self.config, folder / 'whole', *SEED, processes=self.processes)
        assert status == 0, text
        self.end = last_checkpoint(folder / 'whole')
        self.kills = 0

    @property
    def iterations(self):
        return self.end['meta']['iter']

    def kill(self, moment, *options, work_dir=None):
        """The work dir of a run that was killed."""
        self.kills += 1
        work_dir = work_dir or self.folder / f'killed_{self.kills}'
        options = options or SEED
        status, text = run(
            self.config, work_dir, *options, moment=moment, processes=self.processes
        )
        assert status in (-signal.SIGKILL, -signal.SIGXFSZ), text
        return work_dir

    def resume(self, work_dir, *options):
        """Resume a run and compare its end with that of the uninterrupted one."""
        if not any(work_dir.glob('*.pth')):
            # It begins anew.
            options = SEED
        status, text = run(self.config, work_dir, '--resume', *options, processes=self.processes)
        assert status == 0, text
        assert differences(self.end, last_checkpoint(work_dir)) == []
        best = [path.name for path in (self.folder / 'whole').glob('best_*')]
        assert [path.name for path in work_dir.glob('best_*')] == best
        for name in ('student.pth', *best):
            one, other = (
                load_checkpoint_file(d / name) for d in (self.folder / 'whole', work_dir)
            )
            assert differences(one['state_dict'], other['state_dict']) == [], name
        shutil.rmtree(work_dir)
        return text


def readable(work_dir):
    """The checkpoints in a work dir, each of which can be read."""
    paths = sorted(Path(work_dir).glob('*.pth'))
    for path in paths:
        load_checkpoint_file(path)
    return paths


def test_a_run_killed_at_any_iteration_ends_like_the_uninterrupted_one(tmp_path, full, report):
    times, schools = 0, 0
    runs = SHORT
    if full:
        runs = [(options, None) for options in options_matrix()]
    for options, points in runs:
        folder = tmp_path / f'school_{schools}'
        folder.mkdir()
        school = School(folder, **options)
        schools += 1
        for iteration in points or range(school.iterations):
            moment = (before_iteration, after_iteration)[iteration % 2]
            school.resume(school.kill(moment(iteration)))
            times += 1
        shutil.rmtree(folder)
    report(
        AREA,
        'the process is killed at an iteration',
        f'SIGKILL before or after the step, in {schools} combinations of epochs or iterations, '
        'optimizer kept and reset, averaged weights, accumulation, workers (persistent or not), '
        'random augmentation and dropped paths',
        times,
        'resumed; losses, learning rates, batches, metrics, optimizer, random states and weights '
        'at the end are those of the uninterrupted run bit for bit',
    )


@pytest.mark.parametrize('number', range(len(OTHERS)))
def test_a_run_of_another_kind_killed_at_any_iteration_ends_the_same(
    tmp_path, full, report, number
):
    options, points = OTHERS[number]
    school, times = School(tmp_path, **options), 0
    for iteration in range(school.iterations) if full else points:
        moment = (before_iteration, after_iteration)[iteration % 2]
        school.resume(school.kill(moment(iteration)))
        times += 1
    kind = (
        'blocks inside the stages that begin as copies' if 'growth' in options else 'resident data'
    )
    report(
        AREA,
        f'the process is killed at an iteration of a run with {kind}',
        f'SIGKILL before or after the step, with averaged weights, in a run that counts '
        f'{"epochs" if options["by_epoch"] else "iterations"}',
        times,
        'resumed; the same end bit for bit',
    )


MOMENTS = {
    'in a promotion': at_log_line('Grade 2 of 3'),
    'before the first checkpoint': before_iteration(1),
    'before a checkpoint is written': at_log_line('Saving checkpoint', times=3),
    'in the middle of writing a checkpoint': at_byte(30_000, times=3),
    'when a checkpoint is written but not in its place': at_call('replace', times=5),
    'between a checkpoint and its name in last_checkpoint': at_call('replace', 5, after=True),
    'before a validation': at_log_line('Epoch(train) [3]', times=5),
    'when the best checkpoint makes room for the next': at_log_line('The previous best'),
    'between the best checkpoint and the last': at_log_line('The best checkpoint'),
    'in the middle of writing the best checkpoint': at_byte(30_000, 'The previous best'),
    'when all is trained, before the export': at_log_line('Accuracy (%) at the end'),
}
SHORT_MOMENTS = (
    'in a promotion',
    'before the first checkpoint',
    'between a checkpoint and its name in last_checkpoint',
    'in the middle of writing the best checkpoint',
    'when all is trained, before the export',
)


def test_a_run_killed_at_a_delicate_moment_has_a_whole_checkpoint_and_ends_the_same(
    tmp_path, full, report
):
    school = School(tmp_path, keep=1, ema=AVERAGES[1], accumulate=2)
    for name, moment in MOMENTS.items():
        if not full and name not in SHORT_MOMENTS:
            continue
        work_dir = school.kill(moment)
        assert len(readable(work_dir)) >= (name != 'before the first checkpoint'), name
        anew = name == 'before the first checkpoint'
        text = school.resume(work_dir)
        assert ('begins anew' in text) == anew, name
        report(
            AREA,
            f'killed {name}',
            'the process is ended by a signal at that log line, system call or byte; one '
            'checkpoint is kept besides the best',
            1,
            'begun anew, the same end'
            if anew
            else 'a whole checkpoint was there; resumed, the same end',
        )
    size = (tmp_path / 'whole' / 'epoch_5.pth').stat().st_size
    # The log, which grows in the same process, has to stay below the limit.
    offsets = range(30_000, size, size // 12) if full else [size // 2]
    for offset in offsets:
        work_dir = school.kill(at_byte(offset, times=2))
        assert readable(work_dir)
        school.resume(work_dir)
    report(
        AREA,
        'killed at a byte of a checkpoint',
        f'the system ends the process when it writes beyond byte n of about {size // 1000} kB',
        len(offsets),
        'the checkpoint before was whole; resumed, the same end',
    )


def test_a_run_that_is_killed_again_and_again_ends_the_same(tmp_path, full, report):
    school = School(tmp_path, by_epoch=False, accumulate=2, ema=AVERAGES[2])
    work_dir = school.kill(before_iteration(2))
    points = range(3, school.iterations) if full else (4, 9)
    for iteration in points:
        school.kill(before_iteration(iteration), '--resume', work_dir=work_dir)
    school.resume(work_dir)
    report(
        AREA,
        'killed again after each resumption',
        'SIGKILL before an iteration, resumed, SIGKILL before a later one, and so on',
        len(points) + 1,
        'the same end',
    )


def test_checkpoints_in_the_middle_of_an_epoch_are_resumed_there(tmp_path, full, report):
    config = (
        '--cfg-options',
        'default_hooks.checkpoint.by_epoch=False',
        'default_hooks.checkpoint.interval=2',
    )
    school = School.__new__(School)
    school.folder, school.processes, school.kills = tmp_path, 1, 0
    school.config = write_config(tmp_path, accumulate=2, workers=1, persistent=True)
    options = (*config, SEED[1])
    status, text = run(school.config, tmp_path / 'whole', *options)
    assert status == 0, text
    school.end = last_checkpoint(tmp_path / 'whole')
    points = range(2, school.iterations) if full else (9,)
    for iteration in points:
        work_dir = school.kill(before_iteration(iteration), *options)
        school.resume(work_dir, *config)
    report(
        AREA,
        'killed in an epoch, with checkpoints each two iterations',
        'CheckpointHook(by_epoch=False) in a run that counts epochs',
        len(points),
        'resumed in the middle of the epoch, the same end',
    )


def test_several_processes_go_on_with_random_numbers_and_gradients_of_their_own(
    tmp_path, full, report
):
    school = School(tmp_path, by_epoch=False, accumulate=3, processes=2)
    points = range(2, school.iterations) if full else (5, 7)
    for iteration in points:
        school.resume(school.kill(before_iteration(iteration)))
    report(
        AREA,
        'two processes are killed in an accumulation',
        'SIGKILL of both before an iteration; each had dropped other paths and seen other images',
        len(points),
        'resumed, the same end',
    )


# Of each grade the second validation is the last, because nothing is an improvement after the
# first; or the first one, because any accuracy is enough.
SECOND, FIRST = (
    dict(type='EarlyStoppingHook', monitor='seen/top1', patience=1, **more)
    for more in (dict(min_delta=200), dict(stopping_threshold=-1))
)
# 3, 5 and 7 batches an epoch: stopped after epoch 2 of 4, 6 of 7 and 9 of 10. In iterations, with
# a validation each third: after 3 of 4, 6 of 8 (in an accumulation) and 9 of 13.
STOPPED = {
    'epochs': dict(lengths=(4, 3, 3), stop=SECOND, accumulate=2, ema=AVERAGES[2], **LOADERS[0]),
    'iterations': dict(
        by_epoch=False, lengths=(4, 4, 5), stop=FIRST, accumulate=3, interval=2, **LOADERS[2]
    ),
    'epochs, in two processes': dict(lengths=(4, 3, 3), stop=SECOND, processes=2),
}
STOPS = {
    'epochs': {
        'before a validation that ends a grade': [before_iteration(5)],
        'after a jump': [before_iteration(12), before_iteration(13)],
        'after the checkpoint after a jump': [before_iteration(18), before_iteration(29)],
        'in a validation that ends a grade': [
            at_log_line('the monitored metric did not', times=time) for time in (3, 1, 2)
        ],
        'between a stop and its jump': [
            at_log_line('Early stopping ends', times=time) for time in (1, 2, 3)
        ],
    },
    'iterations': {
        'after a jump': [before_iteration(4), before_iteration(5)],
        'after the checkpoint after a jump': [before_iteration(8)],
        'between a stop and its jump': [
            at_log_line('Early stopping ends', times=time) for time in (1, 2, 3)
        ],
    },
    'epochs, in two processes': {'after a jump': [before_iteration(12)]},
}


@pytest.mark.parametrize('kind', STOPPED)
def test_a_run_whose_grades_early_stopping_ends_is_killed_and_resumed(
    tmp_path, full, report, kind
):
    school = School(tmp_path, **STOPPED[kind])
    ends = school.end['meta']['education']['early_ends']['at']
    assert ends == (
        dict(low=3, mid=6, high=9) if kind == 'iterations' else dict(low=2, mid=6, high=9)
    )
    unjudged = 0
    for name, moments in STOPS[kind].items():
        if not full and name.startswith(('before', 'after the checkpoint')):
            continue
        for moment in moments if full else moments[:1]:
            work_dir = school.kill(moment)
            education = last_checkpoint(work_dir)['meta']['education']
            unjudged += education['early_ends']['judged'] < education['validated']
            school.resume(work_dir)
        report(
            AREA,
            f'early stopping ends each grade; killed {name}',
            f'EarlyStoppingHook in a run of three grades that counts {kind}',
            len(moments) if full else 1,
            'resumed; progress, learning rates, batches, what early stopping has counted and weights at '
            'the end are those of the uninterrupted run bit for bit',
        )
    # In iterations the checkpoint of the stop was written in its validation, before it.
    assert unjudged or kind != 'iterations'


def test_the_tool_is_killed_from_outside_and_resumed(tmp_path, report):
    school = School(tmp_path, ema=AVERAGES[1])
    tests = Path(__file__).parents[1]
    environment = dict(
        os.environ,
        # As many as the uninterrupted run has: with others, sums are rounded otherwise.
        OMP_NUM_THREADS='1',
        PYTHONPATH=os.pathsep.join(
            [str(tests.parent), str(tests), str(tests / 'reliability'), *sys.path]
        ),
    )
    work_dir = tmp_path / 'tool'
    command = [
        sys.executable,
        str(tests.parent / 'tools' / 'train.py'),
        str(school.config),
        '--work-dir',
        str(work_dir),
        '--no-teacher-test',
    ]
    with open(tmp_path / 'tool.log', 'w') as log:
        process = subprocess.Popen(
            [*command, *SEED], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        # At an arbitrary moment of the second epoch or later.
        while process.poll() is None and not (work_dir / 'last_checkpoint').exists():
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL, (tmp_path / 'tool.log').read_text()
    assert len(readable(work_dir)) >= 1
    done = subprocess.run([*command, '--resume'], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert differences(school.end, last_checkpoint(work_dir)) == []
    report(
        AREA,
        'tools/train.py is killed from outside',
        'SIGKILL by another process when the first checkpoint is there; tools/train.py --resume',
        1,
        'the same end',
    )


def contents(work_dir):
    return {
        path.name: path.read_bytes() for path in Path(work_dir).iterdir() if path.suffix == '.pth'
    }


def test_resuming_a_finished_run_says_so_and_changes_nothing(tmp_path, report):
    school = School(tmp_path, ema=AVERAGES[1])
    before = contents(tmp_path / 'whole')
    assert set(before) >= {'epoch_4.pth', 'epoch_5.pth', 'student.pth'}
    status, text = run(school.config, tmp_path / 'whole', '--resume')
    assert status == 0 and 'This run is finished' in text, text
    assert contents(tmp_path / 'whole') == before
    report(
        AREA,
        'a finished run is resumed',
        '--resume',
        1,
        'it says that the run is finished, status 0; all files are as they were',
    )


def test_another_curriculum_student_or_faculty_is_refused_with_the_difference(tmp_path, report):
    school = School(tmp_path)
    work_dir = school.kill(before_iteration(7))
    before = contents(work_dir)
    model = 'model.architecture'
    torch.save(dict(state_dict=build(resnet(2), 9).state_dict()), tmp_path / 'other.pth')
    refusals = {
        'model.curriculum.grades.1.fragments=3': ['another curriculum', '"mid"', 'fragments 3'],
        f'{model}.backbone.dilations=(1,2,1)': ['another student', 'layer2', 'dilation=(2, 2)'],
        f'{model}.backbone.drop_path_rate=0.1': [
            'another student',
            'drop_prob=0.04',
            'drop_prob=0.01',
        ],
        f'{model}.backbone.depth=34': ['another student', 'it has no', 'layer1.2'],
        f'model.teachers.0.ckpt={tmp_path / "other.pth"}': ['teacher "low"', 'sha256', 'low.pth'],
        'model.teachers.0.name=first model.curriculum.grades.0.teachers=[first]': [
            'another curriculum',
            "teachers ['first'], was ['low']",
        ],
    }
    for option, words in refusals.items():
        status, text = run(school.config, work_dir, '--resume', '--cfg-options', *option.split())
        sentence = text.splitlines()[-1]
        assert status == 2 and sentence.startswith('error: cannot resume'), text[-2000:]
        assert all(word in sentence for word in words), sentence
        assert 'Traceback' not in text
    wider = [
        f'{model}.backbone.base_channels=8',
        f'{model}.backbone.stem_channels=8',
        f'{model}.head.in_channels=32',
    ]
    status, text = run(school.config, work_dir, '--resume', '--cfg-options', *wider)
    assert status == 2 and 'has the shape' in text.splitlines()[-1], text[-2000:]
    assert contents(work_dir) == before
    report(
        AREA,
        'resumed with another curriculum, student or faculty',
        'depth of a grade, strides, dropped paths, blocks, channels, weights and names of '
        'teachers changed',
        len(refusals) + 1,
        'refused before training with the difference named; the checkpoints are untouched',
    )


def empty_pointer(work_dir):
    (work_dir / 'last_checkpoint').write_text('')


def no_pointer(work_dir):
    (work_dir / 'last_checkpoint').unlink()


def stale_pointer(work_dir):
    (work_dir / 'last_checkpoint').write_text('elsewhere/epoch_1.pth')


def truncated_last(work_dir):
    os.truncate(work_dir / 'epoch_4.pth', 5_000)


def moved(work_dir):
    folder = work_dir.parent / 'moved'
    work_dir.rename(folder)
    return folder


FAULTS = {
    'last_checkpoint is empty': empty_pointer,
    'last_checkpoint is missing': no_pointer,
    'last_checkpoint names a file that is gone': stale_pointer,
    'the last checkpoint is truncated': truncated_last,
    'the work dir has been moved': moved,
}


def test_a_broken_pointer_or_last_file_falls_back_to_the_newest_whole_checkpoint(
    tmp_path, full, report
):
    school = School(tmp_path)
    killed = school.kill(before_iteration(school.iterations - 2))
    for name, fault in FAULTS.items():
        if not full and name not in (
            'last_checkpoint is empty',
            'the last checkpoint is truncated',
        ):
            continue
        work_dir = tmp_path / 'broken'
        shutil.copytree(killed, work_dir)
        work_dir = fault(work_dir) or work_dir
        text = school.resume(work_dir)
        number = 3 if fault is truncated_last else 4
        assert f'epoch_{number}.pth' in text
        if fault is not moved and fault is not no_pointer:
            assert 'which is not there' in text or 'passed over' in text
        report(AREA, name, 'after a kill', 1, 'resumed from the newest whole checkpoint, same end')
    for path in killed.glob('epoch_*.pth'):
        os.truncate(path, 100)
    status, text = run(school.config, killed, '--resume')
    assert status == 2 and 'to resume from' in text.splitlines()[-1], text[-2000:]
    with pytest.raises(ConfigurationError):
        readable(killed)
    report(
        AREA,
        'no checkpoint of the work dir can be read',
        'all are truncated to 100 bytes',
        1,
        'refused in one sentence; the run does not begin anew over them',
    )


assert killed_runs  # its classes are registered


# ---- kept answers
def at_check_value(times):
    """Kill where check values are computed for the ``times``-th time: of read or of written rows."""

    def arm():
        module = import_module('edudistill_mm.models.teachers.answers.answer_table')
        plain, calls = module.check_values, []

        def function(*arguments):
            calls.append(arguments)
            if len(calls) == times:
                killed_runs.kill()
            return plain(*arguments)

        module.check_values = function

    return arm


def test_a_run_killed_while_it_keeps_answers_ends_like_the_uninterrupted_one(
    tmp_path, full, report
):
    # Three teachers begin with nine check values; then come up to four for each lesson.
    moments = [*map(at_check_value, range(10, 60, 1 if full else 13)), after_iteration(9)]
    school = School(tmp_path, keep_answers=dict(folder=str(tmp_path / 'answers')))
    for number, moment in enumerate(moments):
        own = f'model.keep_answers.folder={tmp_path / f"answers_{number}"}'
        work_dir = school.kill(moment, *SEED, own)
        started = [] if any(work_dir.glob('*.pth')) else ['randomness.seed=3']
        status, text = run(school.config, work_dir, '--resume', '--cfg-options', own, *started)
        assert status == 0, text
        assert differences(school.end, last_checkpoint(work_dir)) == []
        assert 'damaged' not in text
        shutil.rmtree(work_dir)
    report(
        AREA,
        'the process is killed while a teacher is asked and its answers are kept',
        'SIGKILL where answers are read, or between their rows and their check values',
        len(moments),
        'resumed; the same end bit for bit, with the answers that were kept',
    )


def test_processes_of_a_run_share_the_answers_that_they_keep(tmp_path, report):
    folder = tmp_path / 'answers'
    school = School(tmp_path, processes=2, keep_answers=dict(dtype='float32', folder=str(folder)))
    tables = [path for path in folder.iterdir() if path.is_dir()]
    assert len(tables) == 3
    again = tmp_path / 'again'
    status, text = run(school.config, again, *SEED, processes=2)
    assert status == 0 and 'damaged' not in text, text
    assert differences(school.end, last_checkpoint(again)) == []
    report(
        AREA,
        'two processes of a run ask the same teachers',
        'a run of 2 processes, and another beside it that finds the tables',
        1,
        'the same end bit for bit',
    )
