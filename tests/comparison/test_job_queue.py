"""Real processes, but of a few lines: what they train is none of the queue's business."""

import fcntl
import multiprocessing
import os
import signal
import sys
import time

import pytest

from edudistill_mm.comparison.job import Job
from edudistill_mm.comparison.job_queue import JobQueue, duration


@pytest.fixture
def job(tmp_path):
    def make(name, code, **options):
        options.setdefault('work', 1.0)
        options.setdefault('progress', lambda: 0.0)
        return Job(name, [sys.executable, '-c', code], tmp_path / f'{name}.log', **options)

    return make


def test_a_failing_job_stops_no_other_but_those_that_need_it(job):
    lines = []
    bad = job('bad', 'print("out of paper"); raise SystemExit(3)')
    good, heir = job('good', 'print(1)'), job('heir', 'print(1)', after=[bad])
    late = job('late', 'print(1)', after=[good])
    JobQueue([{}], lines.append).run([bad, heir, late, good])
    assert all(one.done for one in (bad, good, heir, late))
    assert (good.error, late.error) == (None, None)
    assert bad.error == f'it ended with status 3 (out of paper); its log is {bad.log}'
    assert heir.error == 'it needs "bad", which failed' and not heir.log.exists()


def test_the_reason_of_a_failure_is_the_error_that_this_session_tells(job):
    reasons = []
    bad = job(
        'bad',
        'print("error: no teacher"); print("a worker says good-bye"); raise SystemExit(2)',
        fail=reasons.append,
    )
    bad.log.write_text('error: of the session before\n')
    heir = job('heir', 'print(1)', after=[bad], fail=reasons.append)
    JobQueue([{}], lambda line: None).run([bad, heir])
    assert reasons[0] == 'it ended with status 2 (error: no teacher)'
    assert reasons[1] == f'it needs "bad", which failed: {reasons[0]}; its log is {bad.log}'
    crash = job('crash', 'int("x")', fail=reasons.append)
    crash.log.write_text('error: of the session before\n')
    JobQueue([{}], lambda line: None).run([crash])
    assert reasons[2].startswith('it ended with status 1 (ValueError: invalid literal')


def test_each_place_runs_one_job_at_a_time_in_its_own_environment(job, tmp_path):
    code = (
        'import os, time\n'
        f'mark = os.path.join({str(tmp_path)!r}, "busy" + os.environ["CUDA_VISIBLE_DEVICES"])\n'
        'os.mkdir(mark); time.sleep(0.3); os.rmdir(mark)\n'
        'print(os.environ["CUDA_VISIBLE_DEVICES"])\n'
    )
    jobs = [job(f'job{number}', code) for number in range(4)]
    places = [dict(CUDA_VISIBLE_DEVICES='0'), dict(CUDA_VISIBLE_DEVICES='3')]
    JobQueue(places, lambda line: None).run(jobs)
    # mkdir would have failed in a place that is taken.
    assert [one.error for one in jobs] == [None] * 4
    assert {one.log.read_text().strip() for one in jobs} == {'0', '3'}


def test_results_that_are_not_as_they_should_be_are_a_failure(job):
    empty = job('empty', 'pass', finish=lambda: 'it has left nothing')
    JobQueue([{}], lambda line: None).run([empty])
    assert empty.error == 'it has left nothing'


def test_jobs_end_with_the_queue_and_so_do_their_own_processes(job, tmp_path):
    code = (
        'import subprocess, sys, time\n'
        'child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])\n'
        f'open({str(tmp_path / "pids")!r}, "w").write(str(child.pid))\n'
        'time.sleep(60)\n'
    )

    class Enough(Exception):
        pass

    def say(line):
        while not (tmp_path / 'pids').exists() or not (tmp_path / 'pids').read_text():
            time.sleep(0.05)
        raise Enough

    with pytest.raises(Enough):
        JobQueue([{}], say).run([job('long', code)])
    pid = int((tmp_path / 'pids').read_text())
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().split()[2] != 'Z'
    except FileNotFoundError:
        return False


def test_the_remaining_time_is_what_the_work_left_takes_at_the_speed_so_far(job):
    """Work of earlier sessions does not count as speed."""
    lines = []
    half = job('half', 'import time; time.sleep(1)', work=4.0, progress=lambda: 0.5)
    rest = job('rest', 'pass', work=4.0)
    JobQueue([{}], lines.append).run([half, rest])
    # 2 units took 1 s, so the 4 of the other job take 2 s.
    told = next(line for line in lines if line.startswith('finished: half'))
    assert 2 <= int(told.split('about ')[1].split(' s left')[0]) <= 9


def test_time_spans_are_told_in_the_unit_that_people_use():
    assert [duration(seconds) for seconds in (42, 150, 7100, 9000)] == [
        '42 s', '2 min', '118 min', '2.5 h',
    ]  # fmt: skip


def test_the_lock_of_a_killed_queue_is_held_as_long_as_its_job_runs(job, tmp_path):
    code = (
        'import os, time\n'
        f'open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))\n'
        'time.sleep(60)\n'
    )

    def run():
        with open(tmp_path / 'lock', 'w') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            JobQueue([{}], lambda line: None, file.fileno()).run([job('orphan', code)])

    queue = multiprocessing.get_context('fork').Process(target=run)
    queue.start()
    while not (tmp_path / 'pid').exists() or not (tmp_path / 'pid').read_text():
        assert queue.is_alive()
        time.sleep(0.05)
    queue.kill()
    queue.join()
    with open(tmp_path / 'lock') as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(int((tmp_path / 'pid').read_text()), signal.SIGKILL)
        fcntl.flock(file, fcntl.LOCK_EX)
