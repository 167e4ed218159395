import json
from dataclasses import asdict

from edudistill_mm.comparison.run_record import RunRecord


def session(work_dir, name, lines, log=''):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(
        '\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    (folder.parent / f'{name}.log').write_text(log)


def train(epoch):
    return dict(loss=1.0, epoch=epoch, iter=10 * epoch, step=10 * epoch)


def val(epoch, accuracy):
    return {'accuracy/top1': accuracy, 'time': 0.1, 'step': epoch}


def test_a_resumed_session_takes_the_place_of_what_came_after_its_checkpoint(tmp_path):
    log = '2026/01/02 10:00:00 - mmengine - INFO - a\n2026/01/02 10:0{}:30 - mmengine - INFO - b\n'
    session(
        tmp_path,
        '20260102_100000',
        [train(1), val(1, 10), train(2), val(2, 20), train(3), val(3, 30), train(4), '{"loss": 1'],
        log.format(2),
    )
    # The checkpoint was that of epoch 2.
    session(tmp_path, '20260102_110000', [train(3), val(3, 33)], log.format(1))
    record = RunRecord.read(tmp_path)
    assert record.accuracy == {1: 10, 2: 20, 3: 33}
    assert record.progress == 3
    assert record.seconds == 150 + 90


def test_a_run_that_began_anew_forgets_the_former_one(tmp_path):
    session(tmp_path, '20260102_100000', [train(1), val(1, 10), train(2), val(2, 20)])
    session(tmp_path, '20260102_110000', [train(1)])
    record = RunRecord.read(tmp_path)
    assert record.accuracy == {} and record.progress == 1 and record.seconds is None


def test_iterations_are_counted_where_there_are_no_epochs(tmp_path):
    session(
        tmp_path,
        '20260102_100000',
        [dict(loss=1.0, iter=50, step=50), {'student.accuracy/top1': 5.0, 'step': 100}],
    )
    record = RunRecord.read(tmp_path, by_epoch=False)
    assert record.accuracy == {100: 5.0} and record.progress == 100


LOG = """2026/01/02 10:00:00 - mmengine - INFO -
System environment:
    CUDA available: {cuda}
{gpu}    PyTorch: 2.{minor}.0
    PyTorch compiling details: PyTorch built with:
"""


def test_the_devices_of_the_sessions_are_known_from_their_logs(tmp_path):
    card = LOG.format(cuda=True, gpu='    GPU 0,1: NVIDIA H200\n', minor=11)
    session(tmp_path, '20260102_100000', [train(1), val(1, 10), train(2)], card)
    session(tmp_path, '20260102_110000', [train(2)], LOG.format(cuda=False, gpu='', minor=15))
    session(tmp_path, '20260102_120000', [train(3), val(3, 30)], card)
    record = RunRecord.read(tmp_path)
    assert record.devices == ['NVIDIA H200 with PyTorch 2.11.0', 'CPU with PyTorch 2.15.0']
    assert RunRecord.from_dict(json.loads(json.dumps(asdict(record)))) == record
    # What began anew is of the last session alone.
    session(tmp_path, '20260102_130000', [train(1)], LOG.format(cuda=False, gpu='', minor=15))
    assert RunRecord.read(tmp_path).devices == ['CPU with PyTorch 2.15.0']
    # Earlier versions have written none.
    former = {key: value for key, value in asdict(record).items() if key != 'devices'}
    assert RunRecord.from_dict(former).devices == []


def jump(at, to):
    return {'grade/jumps_to': to, 'step': at}


def test_jumps_of_early_stopping_shorten_grades_and_may_be_the_end(tmp_path):
    # Three grades of 4, 3 and 4 epochs.
    session(
        tmp_path,
        '20260102_100000',
        [train(1), val(1, 10), train(2), val(2, 20), jump(2, 4), train(5), val(5, 30), train(6)],
    )
    record = RunRecord.read(tmp_path)
    assert record.accuracy == {1: 10, 2: 20, 5: 30} and record.jumps == {2: 4}
    assert record.spent([4, 3, 4]) == [2, 3, 4] and record.end(11) == 11
    # The checkpoint was that of epoch 5; this time early stopping ends the run as well.
    session(
        tmp_path,
        '20260102_110000',
        [train(6), val(6, 40), jump(6, 7), train(8), val(8, 50), jump(8, 11)],
    )
    record = RunRecord.read(tmp_path)
    assert record.accuracy == {1: 10, 2: 20, 5: 30, 6: 40, 8: 50}
    assert record.jumps == {2: 4, 6: 7, 8: 11}
    assert record.spent([4, 3, 4]) == [2, 2, 1] and record.end(11) == 8
    copied = RunRecord.from_dict(json.loads(json.dumps(asdict(record))))
    assert copied == record


def test_a_session_that_does_not_stop_forgets_the_jump_of_the_one_before(tmp_path):
    session(tmp_path, '20260102_100000', [train(1), train(2), val(2, 20), jump(2, 4), train(5)])
    # Resumed from epoch 2 without early stopping.
    session(tmp_path, '20260102_110000', [train(3), val(3, 30)])
    record = RunRecord.read(tmp_path)
    assert record.jumps == {} and record.accuracy == {2: 20, 3: 30}
    # Resumed from a checkpoint that was written in the validation of epoch 3: it jumps at once.
    session(tmp_path, '20260102_120000', [jump(3, 4), train(5), val(5, 40)])
    record = RunRecord.read(tmp_path)
    assert record.jumps == {3: 4} and record.accuracy == {2: 20, 3: 30, 5: 40}
