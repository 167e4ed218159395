import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner

from edudistill_mm.engine import EducationRunner
from edudistill_mm.engine.lazy_history_buffer import MOST, LazyHistoryBuffer
from edudistill_mm.engine.lazy_message_hub import LazyMessageHub

FLOATS = st.floats(width=32)
INTS = st.integers(-(2**53), 2**53)
COUNTS = st.integers(0, 1000)
# What reads a buffer between updates.
READS = st.sampled_from(['nothing', 'data', 'current', 'mean', 'copy'])
UPDATES = st.lists(
    st.tuples(st.one_of(FLOATS, INTS, st.booleans(), FLOATS.map(torch.tensor)), COUNTS, READS),
    min_size=1,
    max_size=30,
)
BEGINNINGS = st.one_of(
    st.just(((), ())),
    st.lists(st.tuples(FLOATS, COUNTS), min_size=1, max_size=4).map(
        lambda pairs: tuple(zip(*pairs))
    ),
    st.just(((1, 2), (1, 1))),
)


def same(one, other):
    """Whether two arrays or numbers of numpy are the same bit for bit, and of one type."""
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def answers(buffer):
    with np.errstate(all='ignore'):
        return [
            *buffer.data,
            buffer.current(),
            *(getattr(buffer, name)() for name in ('mean', 'min', 'max')),
            *(buffer.statistics(name, 3) for name in ('mean', 'min', 'max')),
        ]


@given(BEGINNINGS, UPDATES, st.integers(1, 40))
def test_a_buffer_answers_as_that_of_mmengine_whenever_it_is_asked(beginning, updates, length):
    begin = [list(part)[-length:] for part in beginning]
    ours, theirs = LazyHistoryBuffer(*begin, length), HistoryBuffer(*begin, length)
    for value, count, read in updates:
        ours.update(value, count)
        theirs.update(value.item() if isinstance(value, torch.Tensor) else value, count)
        if read == 'copy':
            ours = LazyHistoryBuffer(*ours.data, length)
        elif read == 'data':
            assert all(map(same, ours.data, theirs.data))
        elif read != 'nothing':
            with np.errstate(all='ignore'):
                assert same(getattr(ours, read)(), getattr(theirs, read)())
    assert all(map(same, answers(ours), answers(theirs)))


def test_statistics_that_users_register_see_the_history():
    name = 'sum_of_all_for_a_test'

    def method(self):
        return self._log_history.sum() / self._count_history.sum()

    method.__name__ = name
    HistoryBuffer.register_statistics(method)
    try:
        buffer = LazyHistoryBuffer()
        buffer.update(torch.tensor(3.0), 2)
        assert buffer.statistics(name) == 1.5
    finally:
        del HistoryBuffer._statistics_methods[name]


def test_what_was_read_does_not_change_by_later_updates():
    buffer = LazyHistoryBuffer([1.0], [1])
    buffer.update(2.0)
    before, _ = buffer.data
    for value in range(100):
        buffer.update(float(value))
    buffer.data
    assert before.tolist() == [1.0, 2.0]


def test_tensors_do_not_pile_up_where_no_log_is_written():
    buffer = LazyHistoryBuffer()
    for _ in range(3 * MOST):
        buffer.update(torch.tensor(1.0))
        assert len(buffer._waiting) < MOST
    assert buffer.data[0].sum() == 3 * MOST


def test_memory_is_bounded_by_the_longest_history():
    buffer = LazyHistoryBuffer(max_length=10)
    for value in range(1000):
        buffer.update(float(value))
        buffer.data
    assert buffer.data[0].tolist() == [*range(990, 1000)]
    assert len(buffer._logs._room) < 50


@pytest.mark.parametrize('take', [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_a_buffer_of_mmengine(take):
    buffer = LazyHistoryBuffer([1.0], [1], 7)
    buffer.update(torch.tensor(2.0), 3)
    twin = take(buffer)
    assert type(twin) is HistoryBuffer and twin.max_length == 7
    assert all(map(same, twin.data, buffer.data))


@pytest.mark.parametrize('value, count', [('1', 1), (None, 1), (1.0, '1')])
def test_what_is_no_number_is_refused_as_by_mmengine(value, count):
    with pytest.raises(TypeError, match='log_val must be int or float'):
        LazyHistoryBuffer().update(value, count)


def hubs():
    return LazyMessageHub('lazy'), MessageHub('plain')


def test_a_hub_logs_and_saves_what_that_of_mmengine_does():
    ours, theirs = hubs()
    for hub in (ours, theirs):
        for value in (
            1,
            2.5,
            np.float32(0.1),
            np.array([3]),
            torch.tensor(0.1),
            torch.tensor([7]),
        ):
            hub.update_scalar('train/loss', value, count=2)
            hub.update_scalars(dict(a=value, b=dict(value=value, count=3)), resumed=False)
        hub.update_info('iter', 6)
    one, other = ours.state_dict(), theirs.state_dict()
    assert list(one['log_scalars']) == list(other['log_scalars']) == ['train/loss']
    assert type(one['log_scalars']['train/loss']) is HistoryBuffer
    for name in ours.log_scalars:
        assert all(map(same, answers(ours.get_scalar(name)), answers(theirs.get_scalar(name))))
    assert one['resumed_keys'] == other['resumed_keys']


def test_a_hub_goes_on_with_what_it_has_loaded():
    before, resumed = LazyMessageHub('before'), LazyMessageHub('resumed')
    before.update_scalar('train/loss', 1.0)
    before.update_scalar('train/loss', 2.0)
    resumed.load_state_dict(before.state_dict())
    assert resumed.get_scalar('train/loss').mean() == 1.5
    resumed.update_scalar('train/loss', 6.0)
    assert resumed.get_scalar('train/loss').mean() == 3.0
    assert before.get_scalar('train/loss').data[0].tolist() == [1.0, 2.0]


def test_a_hub_refuses_what_that_of_mmengine_refuses():
    for hub in hubs():
        hub.update_scalar('loss', 1.0)
        for wrong in (torch.ones(2), np.ones(2)):
            with pytest.raises(AssertionError):
                hub.update_scalar('loss', wrong)
        with pytest.raises((AssertionError, TypeError)):
            hub.update_scalar('loss', 1.0, count=1.5)
        with pytest.raises(AssertionError, match='used to be True'):
            hub.update_scalar('loss', 1.0, resumed=False)
        assert hub.get_scalar('loss').data[0].tolist() == [1.0]


@pytest.mark.cuda
def test_a_hub_keeps_the_number_that_a_tensor_of_the_device_had():
    hub = LazyMessageHub('device')
    loss = torch.tensor(0.1, device='cuda')
    for _ in range(3):
        hub.update_scalar('loss', loss)
        loss += 1
    assert hub.get_scalar('loss').data[0].tolist() == pytest.approx([0.1, 1.1, 2.1])


def test_mmengines_parts_find_the_hub_of_the_run(config):
    config.experiment_name = 'hub_of_the_run'
    runner = EducationRunner.from_cfg(config)
    assert isinstance(runner.message_hub, LazyMessageHub)
    assert MessageHub.get_current_instance() is runner.message_hub
    assert MessageHub.get_instance(runner.experiment_name) is runner.message_hub
    runner.train()
    assert all(
        type(buffer) is LazyHistoryBuffer for buffer in runner.message_hub.log_scalars.values()
    )


def test_the_log_is_that_of_mmengines_runner(config, tmp_path):
    config.default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
    logs = []
    for runner_type in (EducationRunner, Runner):
        own = copy.deepcopy(config)
        own.work_dir = str(tmp_path / runner_type.__name__)
        own.experiment_name = runner_type.__name__
        runner = (
            EducationRunner.from_completed_cfg(own)
            if runner_type is EducationRunner
            else Runner.from_cfg(own)
        )
        runner.train()
        scalars = runner.message_hub.log_scalars
        logs.append({k: b.data[0].tolist() for k, b in scalars.items() if 'time' not in k})
    assert logs[0] == logs[1] and len(logs[0]) > 4
