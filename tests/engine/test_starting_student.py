"""Ways to start a student from a file, in a run of education."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from networks import build, resnet
from runs import school_config

from edudistill_mm.errors import ConfigurationError

PLAIN = build(resnet(), 7).state_dict()
OTHERS = build(resnet(20), 8).state_dict()


@pytest.fixture(scope='module')
def school(tmp_path_factory):
    """Config of a run without teachers, and its folder."""
    folder = tmp_path_factory.mktemp('start')
    config = school_config(folder)
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
    config.param_scheduler = dict(type='MultiStepLR', milestones=[2])
    torch.save(dict(state_dict=PLAIN), folder / 'student.pth')
    torch.save(dict(model=OTHERS), folder / 'others.pth')
    torch.save({f'model._orig_mod.{name}': PLAIN[name] for name in PLAIN}, folder / 'wrapped.pth')
    both = {f'{prefix}{name}': PLAIN[name] for name in PLAIN for prefix in ('architecture.', 'x.')}
    torch.save(dict(state_dict=both), folder / 'razor.pth')
    Config(dict(model=resnet())).dump(str(folder / 'student.py'))
    return config, folder


def started(config, **changes):
    """The algorithm of a run, just before its first batch."""
    config = copy.deepcopy(config)
    config.experiment_name = f'start_{id(config)}'
    for key, value in changes.items():
        holder, *parts = config, *key.split('__')
        for part in parts[:-1]:
            holder = holder[part]
        holder[parts[-1]] = value
    runner = Runner.from_cfg(config)
    runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.call_hook('before_run')
    runner._init_model_weights()
    runner.load_or_resume()
    return runner.model


def pretrained(path, **more):
    return dict(type='Pretrained', checkpoint=str(path), **more)


def holds(model, state):
    own = model.student.student.state_dict()
    return all(torch.equal(own[name].cpu(), state[name]) for name in state)


WAYS = {
    'load_from': lambda path: dict(load_from=str(path)),
    'model.init_cfg': lambda path: dict(model__init_cfg=pretrained(path)),
    'a list as model.init_cfg': lambda path: dict(model__init_cfg=[pretrained(path)]),
    'architecture.init_cfg': lambda path: dict(model__architecture__init_cfg=pretrained(path)),
    'architecture.pretrained': lambda path: dict(model__architecture__pretrained=str(path)),
    'cfg_path and pretrained': lambda path: dict(
        model__architecture=dict(cfg_path=str(path.parent / 'student.py'), pretrained=str(path))
    ),
    'student.pretrained': lambda path: dict(
        model__architecture=dict(
            type='FragmentedStudent', student=dict(resnet(), pretrained=str(path))
        )
    ),
    'init_cfg of the FragmentedStudent': lambda path: dict(
        model__architecture=dict(
            type='FragmentedStudent', student=resnet(), init_cfg=pretrained(path)
        )
    ),
}


@pytest.mark.parametrize('way', WAYS)
def test_a_plain_student_starts_a_run(school, way):
    config, folder = school
    model = started(config, **WAYS[way](folder / 'student.pth'))
    assert holds(model, PLAIN)


@pytest.mark.parametrize('way', ['load_from', 'model.init_cfg'])
@pytest.mark.parametrize('name', ['wrapped', 'razor'])
def test_names_of_other_trainings_are_understood(school, way, name):
    config, folder = school
    assert holds(started(config, **WAYS[way](folder / f'{name}.pth')), PLAIN)


@pytest.mark.parametrize('way', ['load_from', 'model.init_cfg', 'architecture.pretrained'])
def test_a_classifier_of_other_classes_starts_anew(school, way):
    config, folder = school
    model = started(config, **WAYS[way](folder / 'others.pth'))
    assert holds(model, {name: OTHERS[name] for name in OTHERS if 'head' not in name})
    assert model.student.student.head.fc.weight.shape == (6, 16)


@pytest.mark.parametrize('way', ['load_from', 'model.init_cfg', 'student.pretrained'])
def test_safetensors_start_a_run(school, way):
    save_file = pytest.importorskip('safetensors.torch').save_file
    config, folder = school
    save_file(PLAIN, str(folder / 'student.safetensors'))
    assert holds(started(config, **WAYS[way](folder / 'student.safetensors')), PLAIN)


def test_a_prefix_chooses_one_of_several_networks(school):
    config, folder = school
    both = {f'{prefix}{name}': PLAIN[name] for name in PLAIN for prefix in ('a.', 'b.')}
    torch.save(dict(state_dict=both), folder / 'both.pth')
    with pytest.raises(ConfigurationError, match="'a.' and 'b.'.*prefix='a.'"):
        started(config, load_from=str(folder / 'both.pth'))
    model = started(config, model__init_cfg=pretrained(folder / 'both.pth', prefix='a'))
    assert holds(model, PLAIN)


@pytest.mark.parametrize('file', ['student.pth', 'wrapped.pth'])
def test_a_backbone_starts_from_its_part_of_a_file(school, file):
    config, folder = school
    prefix = 'backbone' if file == 'student.pth' else 'model.backbone.'
    changes = dict(
        model__architecture__backbone__init_cfg=pretrained(folder / file, prefix=prefix)
    )
    model = started(config, **changes)
    assert holds(model, {name: PLAIN[name] for name in PLAIN if 'backbone' in name})


@pytest.mark.parametrize(
    'file, prefix, message',
    [
        ('student.pth', None, 'holds nothing for it: .*set prefix="backbone."'),
        ('student.pth', 'head', 'nothing for it behind \'head\': .*set prefix="backbone."'),
        ('wrapped.pth', None, 'set prefix="model.backbone."'),
        ('student.pth', 'neck.', 'no tensor that begins with "neck."'),
    ],
)
def test_a_file_of_which_nothing_would_be_loaded_is_refused(school, file, prefix, message):
    config, folder = school
    init_cfg = pretrained(folder / file, **(dict(prefix=prefix) if prefix else {}))
    with pytest.raises(ConfigurationError, match=message) as error:
        started(config, model__architecture__backbone__init_cfg=init_cfg)
    assert str(error.value).startswith('init_cfg of ResNet_CIFAR: checkpoint')
    assert file in str(error.value) and '\n' not in str(error.value)
