"""What the pages name is there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *ROOT.glob('*.md'),
    *(page for folder in ('docs', 'configs', 'weights') for page in (ROOT / folder).rglob('*.md')),
]
LINK = re.compile(r'\]\((?!https?:|#)([^)#]+)')
# A path in backquotes, or in a command.
PATH = re.compile(
    r'(?<![\w/.-])((?:edudistill_mm|tests|tools|configs|docs|requirements)/[\w./-]*\w)'
)
# What a name stands for in a pattern or belongs to another checkout.
PLACEHOLDERS = ('configs/DATASET', 'tools/X')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_of_a_page_lead_somewhere(page):
    text = page.read_text()
    links = {link: page.parent / link for link in LINK.findall(text)}
    paths = {path: ROOT / path for path in PATH.findall(text) if not path.startswith(PLACEHOLDERS)}
    missing = [name for name, target in (links | paths).items() if not target.exists()]
    assert missing == []


def test_the_contracts_that_tests_cite_are_on_the_page():
    listed = re.findall(
        r'^\| C(\d+) \|', (ROOT / 'docs' / 'concepts.md').read_text(), re.MULTILINE
    )
    assert [int(number) for number in listed] == list(range(1, 15))
    for file in (ROOT / 'tests').rglob('test_*.py'):
        for heading in re.findall(r'^# ---- (C\d.*)$', file.read_text(), re.MULTILINE):
            assert set(re.findall(r'C(\d+)', heading)) <= set(listed)


def test_the_api_pages_describe_what_the_package_offers():
    described = {
        name
        for page in (ROOT / 'docs' / 'api').glob('*.md')
        for name in re.findall(r'^::: (\S+)$', page.read_text(), re.MULTILINE)
    }
    for name in described:
        room, _, last = name.rpartition('.')
        assert getattr(import_module(room), last).__doc__
    rooms = (
        *('', '.apis', '.datasets', '.engine', '.evaluation', '.models', '.models.backbones'),
        *('.models.teachers', '.models.teachers.weighting'),
    )
    offered = {
        name
        for room in rooms
        for name in import_module(f'edudistill_mm{room}').__all__
        if name not in ('SOURCES', '__version__')
    }
    assert offered <= {name.rpartition('.')[2] for name in described}
