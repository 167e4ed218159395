from edudistill_mm.comparison.about_devices import about_devices
from edudistill_mm.comparison.row_result import RowResult
from edudistill_mm.comparison.run_record import RunRecord

CARD, CPU = 'NVIDIA H200 with PyTorch 2.11.0', 'CPU with PyTorch 2.15.0'


def row(name, **devices):
    runs = {int(seed[1:]): RunRecord({}, 1, None, {}, found) for seed, found in devices.items()}
    return RowResult(name, 'epoch', [('', 1)], {}, {}, runs=runs)


def test_one_device_is_named_and_several_with_their_runs():
    assert about_devices([row('KD', s0=[CPU]), row('DKD', s0=[CPU], s1=[CPU])]) == [
        f'All runs were made on: {CPU}.'
    ]
    rows = [row('KD', s0=[CPU], s1=[CPU]), row('DKD', s0=[CARD], s1=[CARD, CPU])]
    assert about_devices(rows) == [
        'Runs were made in different places, which their times and their rounding depend on: '
        f'{CPU} (KD: seeds 0, 1; DKD: seed 1), {CARD} (DKD: seeds 0, 1).'
    ]


def test_runs_of_which_nothing_is_known_are_told_where_others_are_known():
    assert about_devices([row('KD', s0=[])]) == []
    (text,) = about_devices([row('KD', s0=[], s1=[CPU])])
    assert text.endswith(f': not known (KD: seed 0), {CPU} (KD: seed 1).')
