import pytest
from page import check_page, write_page

from edudistill_mm.errors import ConfigurationError


def test_a_page_that_was_written_is_up_to_date(tmp_path):
    page = tmp_path / 'docs' / 'table.md'
    write_page(page, 'one\ntwo\n')
    check_page(page, 'one\ntwo\n', 'make it')


@pytest.mark.parametrize('old', [None, 'one\n', 'one\ntwo\nthree\n'])
def test_the_lines_of_a_page_that_is_out_of_date_are_shown(old, tmp_path):
    page = tmp_path / 'table.md'
    if old is not None:
        page.write_text(old)
    with pytest.raises(ConfigurationError, match='table.md is out of date: run make it') as error:
        check_page(page, 'one\nthree\n', 'make it')
    added = [line for line in str(error.value).splitlines() if line in ('+three', '-two', '+one')]
    assert added == {None: ['+one', '+three'], 'one\n': ['+three']}.get(old, ['-two'])
