"""The configs of each data set, on tiny data in the official layouts and with shrunken networks."""

from pathlib import Path

import official_layouts
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

from edudistill_mm.apis import check_config, load_config, train
from edudistill_mm.apis.teachers import teacher_config
from edudistill_mm.apis.train import prepare_runtime
from edudistill_mm.comparison.plan import Plan
from edudistill_mm.config.data import build_dataset
from edudistill_mm.config.networks import network_config
from edudistill_mm.config.parts import innermost
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module, build_network

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
DATASETS = {'cifar100': 100, 'tiny_imagenet': 6, 'caltech256': 6, 'food101': 6}
ALONE = ['edu-student', 'student']
RECOMMENDED = ['dkd-stable', 'edu-dkd-blocks']  # the baseline first
GENERALIST = [*RECOMMENDED, 'edu-kd-blocks', 'kd', 'dkd', *ALONE]
EXPERTS = ['edu-kd-experts', 'kd-experts']
THREE_GRADES = ['edu-kd', 'edu-dkd', 'kd', 'dkd', *EXPERTS, *ALONE]
AT_32_PIXELS = ('resnet14x2', 'resnet20', RECOMMENDED)
# Teacher, student and methods of each data set.
NETWORKS = {
    'cifar100': [
        ('resnet50', 'resnet18', GENERALIST),
        ('resnet110', 'resnet20', [*RECOMMENDED, *THREE_GRADES]),
        ('resnet32-56-110', 'resnet20', ['dkd-generalists', 'edu-dkd-depth-and-teachers']),
        ('resnet56', 'resnet20', RECOMMENDED),
    ],
    'tiny_imagenet': [
        ('resnet50', 'resnet18', GENERALIST),
        ('resnet110', 'resnet20', [*GENERALIST, *EXPERTS]),
        AT_32_PIXELS,
    ],
    'caltech256': [('resnet50', 'resnet18', [*GENERALIST, *EXPERTS]), AT_32_PIXELS],
    'food101': [('resnet50', 'resnet18', [*GENERALIST, *EXPERTS]), AT_32_PIXELS],
}


def name_of(method, teacher, student, folder):
    """A config's name by the scheme of configs/README.md."""
    networks = [student] if method in ALONE else [teacher, student]
    return '_'.join([method, *networks, folder.replace('_', '-')])


NAMES = [
    f'{folder}/{name_of(method, teacher, student, folder)}'
    for folder, networks in NETWORKS.items()
    for teacher, student, methods in networks
    for method in methods
]
# Baselines and ablations on a part of CIFAR-100.
NAMES += [f'small/{file.stem}' for file in sorted((CONFIGS / 'small').glob('*.py'))]


def test_each_data_set_has_a_config_for_each_method():
    there = {
        f'{folder}/{file.stem}' for folder in NETWORKS for file in (CONFIGS / folder).glob('*.py')
    }
    assert there == {name for name in NAMES if not name.startswith('small/')}
    small = {
        f'small/{name_of(method, "resnet14x2", "resnet8", "small")}' for method in THREE_GRADES
    }
    assert small <= set(NAMES)


@pytest.mark.parametrize('file', sorted((CONFIGS / 'compare').glob('*.py')), ids=lambda f: f.stem)
def test_each_plan_gives_its_rows_configs_what_they_take(file):
    for row in Plan.from_file(str(file)).rows:
        cfg = row.load().cfg
        for option, value in row.options.items():
            if option.endswith('._delete_'):  # how MMEngine is to merge, no value
                continue
            given = cfg
            if option == 'hold_out.validate':
                assert ("part='held_out'" in cfg.pretty_text) == value
                continue
            if option.startswith('hold_out.'):
                # It has gone into the data loaders.
                option = option.replace('hold_out', 'train_dataloader.dataset.dataset')
            for key in option.split('.'):
                given = given[int(key) if isinstance(given, list) else key]
            assert given == value, (row.name, option)


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    """Where the tiny data sets are, by name."""
    folder = tmp_path_factory.mktemp('data')
    return {name: str(official_layouts.LAYOUTS[name](folder / name)) for name in DATASETS}


def shrink(network, depth=8):
    """Make a network's config that of a small one of the same family."""
    backbone = network['backbone']
    if backbone['type'] == 'CIFARResNet':
        backbone['depth'] = depth
    else:
        backbone.update(depth=18, stem_channels=4, base_channels=4)
        network['head']['in_channels'] = 32


def load(name, data, folder):
    """A config with small networks and untrained checkpoints of its teachers."""
    dataset = name.split('/')[0].replace('small', 'cifar100')
    cfg = load_config(
        str(CONFIGS / f'{name}.py'), dict(data_root=data[dataset]), str(folder / 'run')
    ).cfg
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=4)
        if dataset == 'cifar100':
            innermost(loader).type = 'SmallCIFAR100'
    teachers = RunConfig(cfg).teachers
    for index, teacher in enumerate(teachers):
        network = network_config(teacher['architecture'], 'teacher')
        network.pop('data_preprocessor', None)
        shrink(network)
        ckpt = str(folder / f'{Path(teacher["ckpt"]).stem}.pth')
        if 'teacher' in cfg.model:
            cfg.model.teacher, cfg.model.teacher_ckpt = network, ckpt
        else:
            cfg.model.teachers[index].architecture = network
            cfg.model.teachers[index].ckpt = ckpt
    architecture = cfg.model.get('architecture', cfg.model)
    # A student that grows by blocks has more than one in a stage.
    grows = architecture.get('fragments') == 'blocks'
    shrink(architecture.get('student', architecture), 20 if grows else 8)
    return cfg


def save_untrained_teachers(cfg):
    for teacher in RunConfig(cfg).missing_teachers:
        network = build_network(teacher['architecture'].to_dict(), 'teacher')
        network.init_weights()
        torch.save(dict(state_dict=network.state_dict()), teacher['ckpt'])


@pytest.mark.parametrize(
    'name',
    [
        # Those of the other data sets differ from CIFAR-100's by data and shapes.
        pytest.param(name, marks=[] if name.startswith('cifar100/') else [pytest.mark.slow])
        for name in NAMES
    ],
)
def test_a_config_is_valid_and_takes_a_finite_training_step(name, data, tmp_path):
    torch.manual_seed(0)
    cfg = load(name, data, tmp_path)
    classes = DATASETS.get(name.split('/')[0], 20)
    save_untrained_teachers(cfg)
    check_config(RunConfig(cfg))
    # The parts of a Runner; what else a Runner does takes seconds.
    settings = dict(cfg.model.to_dict(), data_preprocessor=cfg.data_preprocessor.to_dict())
    model = build_module(settings, 'model', 'mmpretrain')
    model.init_weights()
    model.train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    dataset = build_dataset(cfg.train_dataloader.dataset)
    batch = pseudo_collate([dataset[index] for index in (0, len(dataset) // 2, -1)])
    if RunConfig(cfg).is_education:
        curriculum = RunConfig(cfg).curriculum
        assert curriculum.length == cfg.train_cfg.max_epochs == 240
        model.set_grade(model.curriculum.grades[-1])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    log = model.train_step(batch, optimizer)
    assert all(torch.isfinite(value).all() for value in log.values())
    # Each teacher gives a loss.
    distilling = Path(name).name.split('_')[0] not in ALONE
    assert any('distill' in key for key in log) == distilling
    changed = [not torch.equal(a, b) for a, b in zip(before, model.parameters())]
    assert any(changed)
    scores = model(**model.data_preprocessor(batch, False), mode='predict')[0].pred_score
    assert scores.shape == (classes,)


@pytest.mark.slow
def test_plain_mmrazor_trains_its_teacher_first_on_the_classes_that_are_there(data, tmp_path):
    cfg = load('tiny_imagenet/kd_resnet110_resnet20_tiny-imagenet', data, tmp_path)
    cfg.train_cfg.max_epochs = 1
    cfg.teacher_training.train_cfg.max_epochs = 1
    prepare_runtime(cfg)
    with pytest.raises(ConfigurationError, match='--train-teachers, .* model.teacher_ckpt=FILE'):
        train(RunConfig(cfg))
    # Six images tell no teacher from a guess.
    train(RunConfig(cfg), with_teachers=True, with_teacher_test=False)
    state = torch.load(cfg.model.teacher_ckpt, weights_only=True)['state_dict']
    assert len(state['head.fc.weight']) == 6
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


def test_the_zoos_teacher_starts_from_the_weights_that_are_named(data, tmp_path):
    cfg = load('food101/edu-kd-blocks_resnet50_resnet18_food101', data, tmp_path)
    teacher = cfg.model.teachers[0]
    zoo = build_network(teacher.architecture.to_dict(), 'teacher')
    torch.save(dict(state_dict=zoo.state_dict()), tmp_path / 'zoo.pth')
    cfg.teacher_training.model.backbone.init_cfg.checkpoint = str(tmp_path / 'zoo.pth')
    network = build_network(teacher_config(RunConfig(cfg), teacher).model.to_dict(), 'teacher')
    assert not torch.equal(network.backbone.conv1.weight, zoo.backbone.conv1.weight)
    network.init_weights()
    for name, tensor in zoo.backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], tensor)
