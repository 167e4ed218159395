from argparse import ArgumentParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config, DictAction

from edudistill_mm.comparison.options import as_arguments, flatten
from edudistill_mm.errors import ConfigurationError

scalars = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.sampled_from(['SGD', 'work_dirs/a-b_c.pth', 'head.fc']),
)
values = st.one_of(scalars, st.lists(scalars, min_size=1, max_size=3))


@given(st.dictionaries(st.sampled_from(['a', 'b.c', 'd.0.e']), values, min_size=1))
def test_the_command_line_gives_the_values_that_were_meant(options):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    assert parser.parse_args(['--cfg-options', *as_arguments(options)]).cfg_options == options


@pytest.mark.parametrize(
    'value',
    ['a,b', '1', 'with blank', [dict(type='A')], [dict(type='A', steps=[1, 2])], {}, 'a,(b'],
)
def test_a_value_that_the_command_line_would_change_is_refused(value):
    with pytest.raises(ConfigurationError, match='"key" is .* config file of its own'):
        as_arguments({'key': value})


def test_a_key_that_the_command_line_would_cut_is_refused():
    with pytest.raises(ConfigurationError, match='"a=b" is 1'):
        as_arguments({'a=b': 1})


def test_nested_options_replace_the_same_values_as_dotted_ones():
    options = dict(model=dict(head=dict(_delete_=True, type='B'), neck=None))
    cfg = Config(dict(model=dict(head=dict(type='A', classes=3), neck=dict(type='N'))))
    cfg.merge_from_dict(flatten(options))
    assert cfg.model.to_dict() == dict(head=dict(type='B'), neck=None)
