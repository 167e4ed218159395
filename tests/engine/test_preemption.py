"""How signals are heeded; whole runs are stopped in tests/reliability/test_asked_to_end.py."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from edudistill_mm.engine import preemption as module
from edudistill_mm.engine.preemption import preemption
from edudistill_mm.errors import Preempted


@pytest.fixture
def usual():
    """What SIGTERM did before: it is written down."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append('usual'))
    yield seen
    signal.signal(signal.SIGTERM, before)


def ask(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def test_outside_of_the_context_signals_act_as_before(usual):
    handlers = [signal.getsignal(number) for number in module.SIGNALS]
    with preemption.heeded():
        assert [signal.getsignal(number) for number in module.SIGNALS] != handlers
    assert [signal.getsignal(number) for number in module.SIGNALS] == handlers
    ask()
    assert usual == ['usual'] and preemption.asked() == 0


def test_outside_of_a_training_loop_the_run_ends_at_once():
    with pytest.raises(Preempted, match='by SIGUSR1: outside of the training loop'):
        with preemption.heeded():
            ask(signal.SIGUSR1)
    with preemption.heeded():
        assert preemption.asked() == 0


def test_in_a_loop_the_signal_is_kept_and_a_later_one_acts_as_usual(usual, monkeypatch):
    with preemption.heeded():
        preemption.in_loop = True
        ask()
        # A launcher passes on what a scheduler has sent to all.
        ask()
        assert preemption.asked() == signal.SIGTERM and usual == []
        monkeypatch.setattr(module, 'SAME_REQUEST', 0)
        time.sleep(0.001)
        ask()
        assert usual == ['usual']


def test_what_the_user_sets_meanwhile_stays(usual):
    def mine(*_):
        pass

    with preemption.heeded():
        signal.signal(signal.SIGTERM, mine)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_processes_that_are_forked_meanwhile_end_as_usual():
    with preemption.heeded():
        preemption.in_loop = True
        context = multiprocessing.get_context('fork')
        running = context.Event()
        child = context.Process(target=lambda: (running.set(), time.sleep(60)))
        child.start()
        assert running.wait(10)
        child.terminate()
        child.join(10)
        assert child.exitcode == -signal.SIGTERM


def test_nothing_is_asked_of_another_thread():
    seen = []

    def run():
        with preemption.heeded():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
