"""Teachers whose files were written by other code bases."""

import argparse

import pytest
import torch
from mmengine.config import Config
from networks import build, resnet

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models import network
from edudistill_mm.models.teachers import Faculty, Teacher

PLAIN, AVERAGED = (build(resnet(), seed).state_dict() for seed in (0, 1))


@pytest.fixture
def said(monkeypatch):
    """The sentences that were logged."""
    lines = []
    monkeypatch.setattr(network, 'log_once', lines.append)
    return lines


def teacher(tmp_path, content, architecture=None, **keys):
    path = tmp_path / 'teacher.pth'
    torch.save(content, path)
    return Teacher(
        't', architecture or resnet(), range(6), 6, ckpt=str(path), key='teachers[0]', **keys
    )


def holds(taught, state):
    own = taught.network.state_dict()
    return all(torch.equal(own[name], state[name]) for name in state)


def behind(prefix, state):
    return {f'{prefix}{name}': tensor for name, tensor in state.items()}


def test_the_averaged_weights_teach_unless_the_key_says_otherwise(tmp_path, said):
    content = dict(
        model=PLAIN,
        model_ema={'n_averaged': torch.tensor(3), **behind('module.', AVERAGED)},
        args=argparse.Namespace(lr=0.1),
    )
    assert holds(teacher(tmp_path, content), AVERAGED)
    assert 'teachers[0].ckpt' in said[0] and 'averaged weights are taken' in said[0]
    assert holds(teacher(tmp_path, content, averaged=False), PLAIN)
    assert 'plain weights are taken' in said[1]
    assert holds(teacher(tmp_path, dict(model=PLAIN)), PLAIN) and len(said) == 2


def test_the_key_is_checked(tmp_path):
    with pytest.raises(ConfigurationError, match=r'teachers\[0\].ckpt: .*holds no averaged'):
        teacher(tmp_path, dict(model=PLAIN), averaged=True)
    with pytest.raises(
        ConfigurationError, match=r'teachers\[0\].averaged must be .*"ema"|\'ema\''
    ):
        teacher(tmp_path, dict(model=PLAIN), averaged='ema')
    trained = build(resnet())
    with pytest.raises(ConfigurationError, match=r'averaged chooses among the weights of a file'):
        Teacher('t', trained, range(6), 6, averaged=True)
    assert Faculty.names([dict(name='t', architecture='resnet18', averaged=True)]) == ['t']


@pytest.mark.parametrize('prefix', ['model.', 'architecture.', 'net._orig_mod.'])
def test_names_of_a_training_wrapper_are_understood(prefix, tmp_path, said):
    content = dict(state_dict=behind(prefix, PLAIN) | {'loss.weight': torch.ones(3)})
    assert holds(teacher(tmp_path, content), PLAIN)
    assert 'is taken off the names' in said[0]


def test_of_two_networks_that_fit_one_is_chosen_by_prefix(tmp_path):
    content = dict(state_dict=behind('student.', PLAIN) | behind('teacher.', AVERAGED))
    with pytest.raises(ConfigurationError, match='several networks') as error:
        teacher(tmp_path, content)
    assert "'student.' and 'teacher.'" in str(error.value) and '\n' not in str(error.value)
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'teacher.pth'), prefix='teacher.')
    for architecture in (dict(resnet(), init_cfg=init_cfg), dict(resnet(), init_cfg=[init_cfg])):
        assert holds(Teacher('t', architecture, range(6), 6), AVERAGED)


def test_a_misfit_behind_a_prefix_is_named(tmp_path):
    state = dict(PLAIN, **{'head.fc.weight': torch.zeros(9, 16)})
    with pytest.raises(ConfigurationError, match=r'"head.fc.weight" is \(9, 16\)'):
        teacher(tmp_path, dict(state_dict=behind('model.', state)))


def test_safetensors_teach(tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    path = str(tmp_path / 'teacher.safetensors')
    save_file(PLAIN, path)
    assert holds(Teacher('t', resnet(), range(6), 6, ckpt=path), PLAIN)


def test_pretrained_may_be_a_file(tmp_path):
    Config(dict(model=resnet())).dump(str(tmp_path / 'network.py'))
    torch.save(dict(model=PLAIN), tmp_path / 'network.pth')
    architecture = dict(
        cfg_path=str(tmp_path / 'network.py'), pretrained=str(tmp_path / 'network.pth')
    )
    assert holds(Teacher('t', architecture, range(6), 6), PLAIN)
    architecture['pretrained'] = str(tmp_path / 'missing.pth')
    with pytest.raises(ConfigurationError, match=r'architecture.pretrained: .*missing.pth'):
        Teacher('t', architecture, range(6), 6)


def test_a_config_that_is_not_there_is_called_a_config(tmp_path):
    with pytest.raises(ConfigurationError) as error:
        Teacher('t', 'my_teacher.py', range(6), 6, key='teachers[0]')
    sentence = 'teachers[0].architecture: the config "my_teacher.py" does not exist'
    assert str(error.value) == sentence
