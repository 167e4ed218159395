"""Teachers from elsewhere, whose outputs are not in the order of the data set's classes."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from networks import build, kd_distiller, resnet
from runs import COUNTS, school_config
from torch.nn import functional as F
from toy_images import ToyImages

from edudistill_mm.apis.test_teachers import test_teachers as run_test_teachers
from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

pytestmark = pytest.mark.slow

AREA = 'Hostile and broken files'
NAMES = [f'class {label}' for label in range(6)]
TURNED, SWAPPED = [4, 2, 0, 5, 1, 3], [0, 1, 3, 2, 4, 5]


@pytest.fixture(scope='module')
def knowing():
    """State of a network that knows the toy images."""
    model = build(resnet()).train()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = ToyImages(counts=COUNTS)
    images = (torch.stack([data[i]['inputs'] for i in range(len(data))]).float() - 60) / 60
    labels = torch.from_numpy(data.get_gt_labels())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.state_dict()


def run(folder, state, order, named, classes=range(6)):
    """Config of a short run whose teacher has its outputs in some order, and perhaps more of
    them than are taught."""
    state = copy.deepcopy(state)
    for key in ('head.fc.weight', 'head.fc.bias'):
        state[key] = state[key][list(order)]
    meta = dict(dataset_meta=dict(classes=[NAMES[label] for label in order])) if named else {}
    torch.save(dict(meta=meta, state_dict=state), folder / 'teacher.pth')
    cfg = school_config(folder)
    cfg.model.teachers = [
        dict(name='t', architecture=resnet(len(order)), ckpt=str(folder / 'teacher.pth'))
    ]
    cfg.model.distiller = kd_distiller()
    cfg.model.architecture = resnet(len(classes))
    cfg.model.curriculum = dict(
        num_classes=len(classes), grades=[dict(epochs=1, fragments=3, classes='all')]
    )
    cfg.train_cfg.max_epochs = 1
    for split in ('train', 'val'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset = dict(type='ClassSubset', dataset=loader.dataset, classes=list(classes))
        # More of an image prove more.
        loader.dataset.dataset.counts = (20,) * 6
    (folder / 'config.py').write_text(cfg.pretty_text)
    cfg = load_config(str(folder / 'config.py'), work_dir=str(folder / 'run')).cfg
    prepare_runtime(cfg)
    return cfg


def test_outputs_in_another_order_or_number_go_by_name(knowing, tmp_path, report):
    for order, classes in ((TURNED, range(6)), (range(6), [5, 1, 2])):
        (tested,) = run_test_teachers(RunConfig(run(tmp_path, knowing, order, True, classes)))
        assert tested.accuracy > 95 and not tested.remark
    runner = train(RunConfig(run(tmp_path, knowing, TURNED, True)))
    assert runner.model.faculty.teachers[0].columns.classes == (2, 4, 1, 5, 0, 3)
    report(
        AREA,
        'a teacher has its classes in another order, or more of them, and its checkpoint names them',
        'in the test of teachers and in training',
        3,
        'its outputs are taken by name, and the log says so',
    )


def test_an_order_that_nothing_names_is_seen_by_the_answers(knowing, tmp_path, report):
    with pytest.raises(ConfigurationError, match=r'outputs=\[2, 4, 1, 5, 0, 3\]'):
        train(RunConfig(run(tmp_path, knowing, TURNED, False)))
    with pytest.raises(ConfigurationError, match=r'6 outputs; give teachers\[0\].outputs'):
        train(RunConfig(run(tmp_path, knowing, range(6), False, [5, 1, 2])))
    train(RunConfig(run(tmp_path, knowing, SWAPPED, False)))
    log = max((tmp_path / 'run').glob('*/*.log')).read_text().splitlines()
    (warning,) = [line for line in log if 'WARNING' in line and 'exchanged' in line]
    assert 'images of "class 2" go to the output of "class 3"' in warning
    assert warning.endswith(f'outputs={SWAPPED}')
    report(
        AREA,
        'a teacher has its classes in another order, or more of them, and nothing names them',
        'all classes turned, two of six exchanged, three of six taught',
        3,
        'refused, or with two exchanged warned of: the classes are named, and the outputs that would be '
        'right',
    )
