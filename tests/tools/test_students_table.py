from pathlib import Path

import pytest
from students_table import (
    INTRODUCTION,
    REFUSED,
    STUDENTS,
    check_student,
    registered_backbones,
)

PAGE = Path(__file__).parents[2] / 'docs' / 'students.md'

# One of each kind: plain stages, channels last, blocks, tokens with a size, branches, two-headed,
# own classifier.
SAMPLE = [
    'ResNet_CIFAR',
    'ConvNeXt',
    'MobileViT',
    'VisionTransformer',
    'TNT',
    'HiViT',
    'MViT',
    pytest.param('HRNet', marks=pytest.mark.slow),
    pytest.param('Conformer', marks=pytest.mark.slow),
    'LeViT',
    'LeNet5',
    pytest.param('XCiT', marks=pytest.mark.slow),
]


def row_of(name):
    return next(line for line in PAGE.read_text().splitlines() if line.startswith(f'| {name} |'))


def test_every_registered_backbone_has_a_row():
    assert set(registered_backbones()) <= set(STUDENTS)
    assert all(row_of(name) for name in STUDENTS)


@pytest.mark.parametrize('name', SAMPLE)
def test_the_page_says_what_a_student_does(name):
    row = check_student(name)
    assert row.passed
    assert row.markdown() == row_of(name)


@pytest.mark.parametrize(
    'name', ['TIMMBackbone', 'TIMMBackbone, convnext_atto', 'TIMMBackbone, vit_tiny_patch16_224']
)
def test_timm_backbones_pass(name):
    pytest.importorskip('timm')
    assert check_student(name).passed


@pytest.mark.parametrize('name', sorted(REFUSED))
def test_backbones_of_pretraining_are_refused_in_one_sentence(name):
    row = check_student(name)
    assert not row.cuts and row.reason and '\n' not in row.reason


def test_the_page_begins_with_the_introduction_of_its_tool():
    rows = [line.split(' | ') for line in PAGE.read_text().splitlines() if line.startswith('| ')]
    rows = [row for row in rows if row[0][2:] in registered_backbones()]
    passed = sum(row[3:5] == ['yes', 'yes'] for row in rows)
    grown = sum(len(row) == 7 and row[5] != '-' for row in rows)
    numbers = dict(passed=passed, total=len(registered_backbones()), grown=grown)
    assert PAGE.read_text().startswith(INTRODUCTION.format(**numbers))
