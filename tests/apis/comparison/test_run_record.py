import json

from edudistill_mm.apis.comparison.run_record import RunRecord


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
