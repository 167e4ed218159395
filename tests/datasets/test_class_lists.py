import pytest

from edudistill_mm.datasets.class_lists import check_class_lists, class_names_of
from edudistill_mm.errors import ConfigurationError

PETS = ('ape', 'bee', 'cat', 'dog')


def check(names, trained=PETS):
    check_class_lists(trained, 'train', names, 'val')


@pytest.mark.parametrize('names', [PETS, list(PETS), PETS[:3], None])
def test_lists_that_give_each_class_one_number_pass(names):
    check(names)
    check(PETS, trained=None if names is None else PETS)


def test_a_class_that_comes_twice_is_no_difference():
    # ImageNet has two classes "crane".
    check(('crane', 'ape', 'crane'), trained=('crane', 'ape', 'crane'))


@pytest.mark.parametrize(
    'names, sentence',
    [
        (('ape', 'cat', 'dog'), r'val lacks the class "bee" of train, so that .*\(3 and 4\)'),
        (('ape', 'dog'), r'lacks 2 classes \("bee", "cat"\) of train'),
        ((*PETS, 'eel'), 'val has the class "eel", which train does not have'),
        (('ant', *PETS[1:]), 'lacks the class "ape" of train and has the class "ant"'),
        (
            ('ape', 'cat', 'bee', 'dog'),
            'another order than train: class 1 is "cat" in it, and "bee"',
        ),
        (('x', 'y'), r'lacks 4 classes \("ape", "bee", "cat", \.\.\.\)'),
    ],
)
def test_a_class_of_another_number_is_named(names, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        check(names)


def test_names_of_another_kind_are_a_warning():
    with pytest.warns(UserWarning, match="name their 4 classes differently, the first 'n01' and"):
        check(('n01', 'n02', 'n03', 'n04'))


@pytest.mark.parametrize(
    'meta, names',
    [
        (dict(dataset_meta=dict(classes=('a', 'b'))), ('a', 'b')),
        (dict(CLASSES=['a', 'b']), ['a', 'b']),
        (dict(dataset_meta=dict(classes=None), CLASSES='ab'), None),
        ({}, None),
    ],
)
def test_names_are_read_from_what_mm_projects_write(meta, names):
    assert class_names_of(dict(meta=meta)) == names
    assert class_names_of(dict(state_dict={})) is None
