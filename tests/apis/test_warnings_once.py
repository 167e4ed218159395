import warnings

from edudistill_mm.apis.warnings_once import warnings_once


def old():
    warnings.warn('this is old', stacklevel=1)


def train():
    for _ in range(3):
        old()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')


def test_a_warning_comes_once_though_filters_change_in_between():
    show = warnings.showwarning
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter('default')
        with warnings_once():
            train()
            train()
        assert len(shown) == 1
        # Outside, Python's own rule holds: once after each change of the filters.
        train()
        assert len(shown) == 1 + 3
    assert warnings.showwarning is show


def test_warnings_of_other_places_and_texts_are_shown(recwarn):
    with warnings_once():
        for text in ('one', 'two', 'one'):
            warnings.warn(text, stacklevel=1)
        warnings.warn('one', stacklevel=1)
    assert [str(warning.message) for warning in recwarn] == ['one', 'two', 'one']
