import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import edudistill_mm

from .job import Job

POLL, REPORT, PATIENCE = 0.2, 30.0, 60.0  # seconds


class JobQueue:
    """Runs jobs, each in a process of its own, on a number of places at once.

    A place is the environment variables of its jobs, one at a time. A job that fails stops no
    other, except those that need it. If the queue is left early (Ctrl-C, an error), SIGTERM ends
    the running processes, so that a training can save its state, and SIGKILL ends them with their
    workers after a minute. The processes inherit the file descriptor ``lock``, and so keep it
    locked if this process is killed.
    """

    def __init__(
        self,
        places: Sequence[Mapping[str, str]],
        say: Callable[[str], None],
        lock: int | None = None,
    ) -> None:
        self.places, self.say, self.lock = list(places), say, lock
        self._running: dict[Job, subprocess.Popen] = {}
        self._places: dict[Job, Mapping[str, str]] = {}
        self._log_begins: dict[Job, int] = {}

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs in order, except those that wait for others; sets ``done`` and ``error``."""
        self._jobs, self._begin = list(jobs), time.monotonic()
        self._before = sum(job.work * job.progress() for job in jobs)
        waiting, free, said = list(jobs), list(self.places), time.monotonic()
        try:
            while waiting or self._running:
                for job in [job for job in waiting if any(other.error for other in job.after)]:
                    waiting.remove(job)
                    missing = next(other for other in job.after if other.error)
                    error = f'it needs "{missing.name}", which failed'
                    self._end(job, error, f'{error}: {missing.error}')
                ready = [job for job in waiting if all(other.done for other in job.after)]
                for job in ready[: len(free)]:
                    waiting.remove(job)
                    self._start(job, free.pop(0))
                time.sleep(POLL)
                for job, process in list(self._running.items()):
                    if process.poll() is None:
                        continue
                    del self._running[job]
                    free.append(self._places.pop(job))
                    if process.returncode:
                        reason = _reason(process.returncode, job, self._log_begins[job])
                        self._end(job, f'{reason}; its log is {job.log}', reason)
                    else:
                        self._end(job, job.finish())
                    said = time.monotonic()
                if time.monotonic() - said > REPORT and (waiting or self._running):
                    said = time.monotonic()
                    self.say(self._status())
        finally:
            self._stop()

    def _start(self, job: Job, place: Mapping[str, str]) -> None:
        job.prepare()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        # The package of this process, even if another one is installed.
        root = str(Path(edudistill_mm.__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
        environment = {**os.environ, **place, 'PYTHONPATH': os.pathsep.join(paths)}
        with open(job.log, 'a') as log:
            self._log_begins[job] = log.tell()
            self._running[job] = subprocess.Popen(
                job.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                # A process group, to end with the workers of its data loaders.
                start_new_session=True,
                pass_fds=() if self.lock is None else (self.lock,),
            )
        self._places[job] = place
        self.say(f'started: {job.name}')

    def _end(self, job: Job, error: str | None, reason: str | None = None) -> None:
        job.done, job.error = True, error
        if error is None:
            self.say(f'finished: {job.name}; {self._status()}')
        else:
            job.fail(reason or error)
            self.say(f'failed: {job.name}: {error}')

    def _status(self) -> str:
        ended = [job for job in self._jobs if job.done]
        text = f'{len(ended)} of {len(self._jobs)} done'
        if self._running:
            shares = [f'{job.name} {min(job.progress(), 1):.0%}' for job in self._running]
            text += f', running: {", ".join(shares)}'
        counted = [job for job in self._jobs if not (job.done and job.error)]
        total = sum(job.work for job in counted)
        done = sum(job.work * (1.0 if job.done else min(job.progress(), 1)) for job in counted)
        new = done - self._before
        if new > 0 and done < total:
            seconds = (time.monotonic() - self._begin) * (total - done) / new
            text += f', about {duration(seconds)} left'
        return text

    def _stop(self) -> None:
        """End what still runs; a training finishes its step and saves."""
        end = time.monotonic() + PATIENCE
        try:
            for process in self._running.values():
                _kill(process, signal.SIGTERM)
            for process in self._running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(end - time.monotonic(), 0))
        finally:
            # Also after a second Ctrl-C.
            for process in self._running.values():
                _kill(process, signal.SIGKILL)
                process.wait()
            self._running.clear()


def _kill(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _reason(code: int, job: Job, begin: int) -> str:
    """How a process ended, with the error in its part of the log, or else the last line there."""
    lines: list[str] = []
    if job.log.exists():
        text = job.log.read_bytes()[begin:].decode(errors='replace')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines[-50:] if line.startswith('error: ')]
    said = (errors or lines)[-1:]
    how = f'signal {-code}' if code < 0 else f'status {code}'
    return f'it ended with {how} ({said[0] if said else "no output"})'


def duration(seconds: float) -> str:
    """A time span in words."""
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{minutes} min' if minutes < 120 else f'{hours:g} h'
