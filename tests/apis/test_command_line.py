import pytest

from edudistill_mm.apis.command_line import config_parser


def test_an_option_without_a_value_is_refused_in_one_sentence(capsys):
    with pytest.raises(SystemExit) as end:
        config_parser('Train').parse_args(['a.py', '--cfg-options', 'train_cfg=3', 'model'])
    assert end.value.code == 2
    assert 'argument --cfg-options: must be KEY=VALUE, but got "model"' in capsys.readouterr().err


def test_options_are_values_by_key():
    args = config_parser('Train').parse_args(['a.py', '--cfg-options', 'a.b=[1,2]', 'c=x=y'])
    assert args.cfg_options == {'a.b': [1, 2], 'c': 'x=y'}
