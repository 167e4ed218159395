"""docs/extend.md does what it says: its files are written and its commands run as they stand there."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from mmengine.registry import DATASETS, MODELS
from run_tool import run_tool

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    text.partition('\n')[0]: text
    for text in re.split('^## ', (ROOT / 'docs' / 'extend.md').read_text(), flags=re.MULTILINE)[1:]
}
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
# Fewer images and epochs, of which teachers learn too little for a test of them.
QUICK = [
    '--no-teacher-test',
    '--cfg-options',
    'teacher_training.train_cfg.max_epochs=1',
    'train_dataloader.dataset.indices=320',
]
FILE = re.compile(r'^`mine/(\w+\.py)`[^\n]*:\n\n```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(section, language):
    return [code for kind, code in BLOCK.findall(SECTIONS[section]) if kind == language]


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A folder that has the configs of the clone; teachers of one test serve the next."""
    folder = tmp_path_factory.mktemp('clone')
    (folder / 'mine').mkdir()
    (folder / 'configs').symlink_to(ROOT / 'configs')
    return folder


@pytest.fixture
def own_names():
    """What the page registers and imports is gone after the test."""
    yield
    modules = {name.removesuffix('.py') for name, _ in FILE.findall('\n'.join(SECTIONS.values()))}
    for root in (MODELS, DATASETS):
        for node in (root, *root.children.values()):
            for name, registered in list(node.module_dict.items()):
                if registered.__module__ in modules:
                    del node.module_dict[name]
    for name in modules:
        sys.modules.pop(name, None)


@pytest.mark.parametrize('section', SECTIONS)
def test_the_files_of_a_section_train_by_its_commands(section, clone, own_names, monkeypatch):
    files = FILE.findall(SECTIONS[section])
    assert [code for _, code in files] == blocks(section, 'python')
    for name, code in files:
        (clone / 'mine' / name).write_text(code)
    monkeypatch.chdir(clone)
    (commands,) = blocks(section, 'bash')
    for command in commands.splitlines():
        words = shlex.split(command)
        if words[0] == 'PYTHONPATH=mine':
            monkeypatch.syspath_prepend(words.pop(0).partition('=')[2])
        python, tool, *arguments = words
        assert python == 'python' and (ROOT / tool).is_file()
        if tool == 'tools/train.py':
            arguments += QUICK
        run_tool(Path(tool).stem, arguments)
        if tool == 'tools/train.py':
            assert (clone / 'work_dirs' / Path(arguments[0]).stem / 'student.pth').is_file()


def test_every_section_has_a_file_and_a_command():
    assert len(SECTIONS) == 4
    assert all(blocks(section, 'python') and blocks(section, 'bash') for section in SECTIONS)


def test_the_distiller_takes_ten_lines():
    (code,) = blocks('A distiller', 'python')
    assert len(code.splitlines()) <= 10 + 1  # and its base
