"""The files of kept answers: what is damaged, foreign or half written is never an answer."""

import json
import multiprocessing
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surroundings import needs_fork

from edudistill_mm.models.teachers.answers.answer_table import AnswerTable, ForeignTable
from edudistill_mm.models.teachers.answers.check_values import check_values

SHAPE = 3, 2, 5  # images, views, scores
ABOUT = dict(network='a')


def rows(count, seed=0, dtype='float16'):
    return np.random.default_rng(seed).normal(size=(count, 5)).astype(dtype)


@pytest.fixture
def open_table(tmp_path):
    def make(about=ABOUT, shape=SHAPE, dtype='float16'):
        return AnswerTable(str(tmp_path / 'answers'), about, shape, dtype)

    return make


@pytest.fixture
def said(monkeypatch):
    """The lines of the log."""
    lines = []
    place = 'edudistill_mm.models.teachers.answers.answer_table.print_log'
    monkeypatch.setattr(place, lambda message, **kwargs: lines.append(message))
    return lines


# ---- check values
@st.composite
def flips(draw):
    dtype = draw(st.sampled_from(['float16', 'float32']))
    count = draw(st.integers(1, 12))
    data = draw(st.binary(min_size=count * 4, max_size=count * 4))
    row = np.frombuffer(data, dtype)[None, :count].copy()
    return row, draw(st.integers(0, row.nbytes * 8 - 1)), draw(st.integers(0, 2**40))


@given(flips(), st.integers(0, 2**32 - 1))
def test_any_flipped_bit_of_a_row_changes_its_check_value(case, salt):
    row, bit, entry = case
    entries = np.array([entry])
    (before,) = check_values(row, entries, salt)
    row.view(np.uint8)[0, bit // 8] ^= 1 << bit % 8
    (after,) = check_values(row, entries, salt)
    assert before != after and before != 0


@given(flips(), st.integers(0, 31))
def test_any_flipped_bit_of_a_check_value_is_found(case, bit):
    row, _, entry = case
    (value,) = check_values(row, np.array([entry]), 0)
    assert value ^ np.uint32(1 << bit) != value


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_row_in_the_place_of_another_or_of_another_table_is_found(one, other, salt):
    row = rows(1)
    (value,) = check_values(row, np.array([one]), 0)
    if one != other:
        assert value != check_values(row, np.array([other]), 0)[0]
    if salt:
        assert value != check_values(row, np.array([one]), salt)[0]


def test_check_values_of_many_rows_are_those_of_each():
    table = rows(7)
    together = check_values(table, np.arange(7), 3)
    assert together.tolist() == [
        check_values(table[i : i + 1], np.array([i]), 3)[0] for i in range(7)
    ]


# ---- what a table holds
def test_a_table_is_empty_at_first_and_then_holds_what_was_written(open_table):
    table = open_table()
    assert not table.read(np.arange(6))[1].any()
    table.write(np.array([4, 1]), rows(2))
    found, filled = table.read(np.arange(6))
    assert filled.tolist() == [False, True, False, False, True, False]
    assert np.array_equal(found[[4, 1]], rows(2))
    assert table.filled(np.array([0, 2])).tolist() == [[False, True], [True, False]]
    again = open_table()
    assert np.array_equal(again.read(np.array([4, 1]))[0], rows(2))


def test_rows_of_zeros_are_answers_too(open_table):
    table = open_table(dtype='float32')
    table.write(np.array([0]), np.zeros((1, 5), np.float32))
    assert table.read(np.arange(2))[1].tolist() == [True, False]


def test_what_is_filled_stays_as_it_is(open_table):
    one, other = open_table(), open_table()
    one.write(np.array([1]), rows(1))
    other.write(np.array([0, 1]), rows(2, seed=1))
    found, filled = one.read(np.array([0, 1]))
    assert filled.all()
    assert np.array_equal(found[1], rows(1)[0]) and np.array_equal(found[0], rows(2, seed=1)[0])


def test_half_of_what_was_written_is_no_answer(open_table):
    table = open_table()
    # A process that was killed between the rows and their check values.
    table._rows[3] = rows(1)[0]
    again = open_table()
    assert not again.read(np.array([3]))[1].any()
    again.write(np.array([3]), rows(1, seed=2))
    assert np.array_equal(again.read(np.array([3]))[0], rows(1, seed=2))


def test_its_size_is_told_before_it_is_made_and_reserved(open_table, said):
    table = open_table(shape=(1000, 10, 50))
    assert said == [f'A table of 1.0 MB is made for kept answers: {table.path}']
    files = {path.name: path for path in Path(table.path).iterdir()}
    assert files['answers.bin'].stat().st_size == table.size == 1000 * 10 * 50 * 2
    assert files['answers.bin'].stat().st_blocks * 512 >= table.size
    assert json.loads(files['table.json'].read_text()) == dict(
        network='a', images=1000, views=10, scores=50, dtype='float16'
    )


# ---- damaged and foreign ones
def test_damaged_answers_are_counted_said_and_empty(open_table, said):
    table = open_table()
    table.write(np.arange(6), rows(6))
    file = Path(table.path) / 'answers.bin'
    content = bytearray(file.read_bytes())
    content[0] ^= 1  # in entry 0
    content[23] ^= 128  # in entry 2
    file.write_bytes(content)
    said.clear()
    again = open_table()
    assert said == [f'2 of the kept answers in "{table.path}" are damaged; they are asked again']
    assert again.filled(np.arange(3)).tolist() == [[False, True], [False, True], [True, True]]
    again.write(np.arange(6), rows(6))
    assert np.array_equal(again.read(np.arange(6))[0], rows(6))


def test_an_answer_that_is_damaged_meanwhile_is_none(open_table):
    table = open_table()
    table.write(np.arange(6), rows(6))
    table._rows.view(np.uint16)[5, 4] ^= 1
    assert table.read(np.arange(6))[1].tolist() == [True] * 5 + [False]
    table.write(np.arange(6), rows(6, seed=1))
    assert np.array_equal(table.read(np.array([5]))[0], rows(6, seed=1)[5:])
    assert np.array_equal(table.read(np.arange(5))[0], rows(6)[:5])


@pytest.mark.parametrize('name', ['answers.bin', 'checks.bin'])
@pytest.mark.parametrize('how', ['shorter', 'missing'])
def test_a_truncated_table_is_made_anew(open_table, said, name, how):
    table = open_table()
    table.write(np.arange(6), rows(6))
    file = Path(table.path) / name
    if how == 'shorter':
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    said.clear()
    again = open_table()
    assert f'The kept answers in "{table.path}" are truncated: ' in said[0] and len(said) == 2
    assert not again.read(np.arange(6))[1].any()


@pytest.mark.parametrize('content', ['{"network": "b"}', '{"netw', ''])
def test_a_table_that_says_it_is_another_is_refused_and_left_alone(open_table, content):
    table = open_table()
    table.write(np.arange(6), rows(6))
    file = Path(table.path) / 'table.json'
    file.write_text(content)
    before = (Path(table.path) / 'answers.bin').read_bytes()
    with pytest.raises(ForeignTable, match='holds those of another one: its table.json'):
        open_table()
    assert (Path(table.path) / 'answers.bin').read_bytes() == before
    assert file.read_text() == content


def test_files_of_another_table_hold_no_answer(open_table, said):
    one, other = open_table(), open_table(dict(network='b'))
    assert one.path != other.path
    one.write(np.arange(6), rows(6))
    for name in ('answers.bin', 'checks.bin'):
        (Path(other.path) / name).write_bytes((Path(one.path) / name).read_bytes())
    said.clear()
    assert not open_table(dict(network='b')).read(np.arange(6))[1].any()
    assert '6 of the kept answers' in said[0]


def test_each_thing_that_answers_depend_on_has_its_table(open_table):
    tables = [
        open_table(),
        open_table(dict(network='b')),
        open_table(shape=(3, 4, 5)),
        open_table(dtype='float32'),
    ]
    assert len({table.path for table in tables}) == 4


def test_what_a_killed_process_was_making_is_made_anew(open_table):
    path = Path(open_table().path)
    path.rename(f'{path}.part')
    (Path(f'{path}.part') / 'answers.bin').write_bytes(b'half')
    assert not open_table().read(np.arange(6))[1].any()
    assert not Path(f'{path}.part').exists()


# ---- disks and processes
def test_a_table_without_room_is_an_os_error_and_leaves_nothing(open_table, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match='too large'):
            open_table(shape=(1000, 10, 50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.suffix for path in (tmp_path / 'answers').iterdir()] == ['.lock']
    open_table(shape=(1000, 10, 50))


def _fill(folder, seed, barrier):
    table = AnswerTable(folder, ABOUT, (500, 4, 5), 'float16')
    order = np.random.default_rng(seed).permutation(2000)
    barrier.wait()
    for start in range(0, 2000, 20):
        entries = order[start : start + 20]
        table.write(entries, np.tile(entries[:, None] + seed / 4, 5).astype(np.float16))


def test_processes_that_fill_at_once_give_one_right_table(tmp_path):
    needs_fork()
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    folder = str(tmp_path / 'answers')
    both = [context.Process(target=_fill, args=(folder, seed, barrier)) for seed in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    table = AnswerTable(folder, ABOUT, (500, 4, 5), 'float16')
    found, filled = table.read(np.arange(2000))
    assert filled.all()
    # Each row is wholly that of the one or of the other.
    numbers = np.arange(2000)[:, None]
    of_one = (found == (numbers + 0.0).astype(np.float16)).all(1)
    of_other = (found == (numbers + 0.25).astype(np.float16)).all(1)
    assert (of_one | of_other).all()
    assert (of_one & ~of_other).any() and (of_other & ~of_one).any()
