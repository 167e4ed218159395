import re
import shutil
import subprocess

import pytest
from report_rows import row

from edudistill_mm.comparison.html_page import number_in
from edudistill_mm.comparison.write import write_report

BROWSER = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)


@pytest.fixture
def page(tmp_path):
    rows = [row('A & <b>', 9e11, s0=50), row('"C"', 1.2e12, s0=9.5), row('to come')]
    write_report(rows, str(tmp_path), 'A <study>', baselines=['"C"'])
    return tmp_path / 'report.html'


def test_the_page_holds_everything_and_names_no_other_file(page):
    text = page.read_text()
    assert '<title>A &lt;study&gt;</title>' in text and '<td>A &amp; &lt;b&gt;</td>' in text
    assert text.count('<table>') == 2
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert sources and all(source.startswith('data:image/svg+xml;base64,') for source in sources)
    assert '://' not in text and "default-src 'none'" in text


@pytest.mark.parametrize(
    'cell, number',
    [
        ('63.18 ± 0.60', 63.18),
        ('1.126 TFLOPs', 1.126e12),
        ('320 MFLOPs', 3.2e8),
        ('180,000', 180_000),
        ('-2.1 (-4.0 to -0.2)', -2.1),
        ('+0.5', 0.5),
        ('7+7+14', 28),
        ('8+8 iterations', 16),
        ('1.5 h', 5400),
        ('9 min', 540),
        ('-', None),
        ('edu KD', None),
    ],
)
def test_cells_are_sorted_by_what_their_numbers_mean(cell, number):
    assert number_in(cell) == number


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed')
def test_a_click_on_a_heading_sorts_a_table_in_a_browser(page, tmp_path):
    def order(*headings):
        """Names of the rows after clicks on headings."""
        clicks = ''.join(
            "[...document.querySelectorAll('th button')]"
            f".find(button => button.textContent === '{heading}').click();"
            for heading in headings
        )
        copy = tmp_path / 'clicked.html'
        copy.write_text(page.read_text().replace('</body>', f'<script>{clicks}</script></body>'))
        command = [
            BROWSER,
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--dump-dom',
            copy.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        table = re.search('<tbody>(.*?)</tbody>', done.stdout, re.DOTALL)[1]
        return re.findall(r'<tr><td[^>]*>(.*?)</td>', table)

    first, second, empty = 'A &amp; &lt;b&gt;', '"C"', 'to come'
    assert order() == [first, second, empty]
    # The best first; 9.5 is less than 50, and 900 GFLOPs than 1.2 TFLOPs; what is missing is last.
    assert order('last epoch') == [first, second, empty]
    assert order('last epoch', 'last epoch') == [second, first, empty]
    assert order('student FLOPs') == [second, first, empty]
    assert order('student FLOPs', 'student FLOPs') == [first, second, empty]
