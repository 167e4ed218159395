from reliability_page import PAGE, page_of, rows_of


def test_the_page_is_made_of_its_rows():
    page = PAGE.read_text()
    rows = rows_of(page)
    assert len(rows) > 100
    assert page_of(rows) == page
