import json

import pytest
import torch
from mmengine.config import Config
from networks import build, resnet
from runs import school_config

from edudistill_mm.apis.class_order import class_confidence
from edudistill_mm.apis.config import curriculum_of, load_config
from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.errors import ConfigurationError

# How sure the teacher is of each class, in logits: class 3 is the easiest, 0 the hardest.
BIASES = [-3.0, -1.0, 0.0, 2.0, 1.0, -2.0]
EASY_TO_HARD = [3, 4, 2, 1, 5, 0]


def teacher_file(path):
    """A teacher that gives the same scores to every image."""
    model = build(resnet(6))
    with torch.no_grad():
        model.head.fc.weight.zero_()
        model.head.fc.bias.copy_(torch.tensor(BIASES))
    torch.save(dict(state_dict=model.state_dict()), path)


def run_file(tmp_path, ckpt=True, **order):
    """Config file of a short run whose classes a generalist orders."""
    config = school_config(tmp_path)
    path = tmp_path / 'generalist.pth'
    if ckpt:
        teacher_file(path)
    config.model.teachers = [
        dict(name='generalist', architecture=resnet(6), ckpt=str(path), classes='all')
    ]
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
    config.model.curriculum.class_order = dict(
        type='confidence', **{'teacher': 'generalist', **order}
    )
    file = tmp_path / 'config.py'
    file.write_text(config.pretty_text)
    return str(file)


def test_a_class_is_as_easy_as_the_teacher_is_sure_of_it(tmp_path):
    cfg = Config.fromfile(run_file(tmp_path))
    confidence = class_confidence(cfg, cfg.model.teachers[0])
    assert torch.allclose(confidence, torch.tensor(BIASES).softmax(0), atol=1e-5)


def test_the_judge_is_read_by_its_outputs(tmp_path):
    cfg = Config.fromfile(run_file(tmp_path))
    wanted = torch.tensor(BIASES).softmax(0)
    checkpoint = torch.load(tmp_path / 'generalist.pth', weights_only=True)
    bias = checkpoint['state_dict']['head.fc.bias']
    bias.copy_(bias.clone().flip(0))
    torch.save(checkpoint, tmp_path / 'generalist.pth')
    teacher = dict(cfg.model.teachers[0])
    by_number = class_confidence(cfg, dict(teacher, outputs=[5, 4, 3, 2, 1, 0]))
    names = [f'class {label}' for label in (5, 4, 3, 2, 1, 0)]
    checkpoint['meta'] = dict(dataset_meta=dict(classes=names))
    torch.save(checkpoint, tmp_path / 'generalist.pth')
    by_name = class_confidence(cfg, teacher)
    assert torch.allclose(by_number, wanted, atol=1e-5) and torch.equal(by_number, by_name)


def test_only_the_classes_of_a_subset_are_judged_under_their_new_numbers(tmp_path):
    cfg = Config.fromfile(run_file(tmp_path))
    model = build(resnet(2))
    with torch.no_grad():
        model.head.fc.weight.zero_()
        model.head.fc.bias.copy_(torch.tensor([1.0, 0.0]))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'generalist.pth')
    cfg.model.curriculum.num_classes = 2
    cfg.model.teachers[0].architecture = resnet(2)
    whole = cfg.train_dataloader.dataset
    subset = dict(type='ClassSubset', classes=[5, 3], dataset=whole)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=subset)
    confidence = class_confidence(cfg, cfg.model.teachers[0])
    assert torch.allclose(confidence, torch.tensor([1.0, 0.0]).softmax(0), atol=1e-5)


def test_the_order_is_made_anew_for_other_data(tmp_path):
    file = run_file(tmp_path)
    kept = tmp_path / 'run' / 'class_order.json'
    load_config(file)
    order = json.loads(kept.read_text())
    order['confidence'].reverse()
    kept.write_text(json.dumps(order))
    other = {'train_dataloader.dataset.counts': [4] * 6}
    assert load_config(file, other).model.curriculum.class_order == EASY_TO_HARD


@pytest.mark.parametrize('hardest_first', [False, True])
def test_easy_classes_are_taught_first_or_last(hardest_first, tmp_path):
    cfg = load_config(run_file(tmp_path, hardest_first=hardest_first))
    wanted = EASY_TO_HARD[::-1] if hardest_first else EASY_TO_HARD
    assert cfg.model.curriculum.class_order == wanted
    assert curriculum_of(cfg).grades[0].classes == tuple(sorted(wanted[:2]))


def test_the_order_is_kept_until_the_teacher_changes(tmp_path):
    file = run_file(tmp_path)
    kept = tmp_path / 'run' / 'class_order.json'
    load_config(file)
    order = json.loads(kept.read_text())
    order['confidence'].reverse()
    kept.write_text(json.dumps(order))
    assert load_config(file).model.curriculum.class_order == [5 - c for c in EASY_TO_HARD]
    order['sha256'] = 'of another teacher'
    kept.write_text(json.dumps(order))
    assert load_config(file).model.curriculum.class_order == EASY_TO_HARD


def test_a_teacher_that_orders_is_trained_before_the_curriculum_is_made(tmp_path):
    file = run_file(tmp_path, ckpt=False)
    cfg = load_config(file)
    with pytest.raises(ConfigurationError, match='class_order.*"confidence".*--train-teachers'):
        train(cfg)
    cfg = load_config(file)
    cfg.teacher_training = dict(train_cfg=dict(max_epochs=1))
    prepare_runtime(cfg)
    train(cfg, with_teachers=True, with_teacher_test=False)
    order = json.loads((tmp_path / 'run' / 'class_order.json').read_text())
    wanted = torch.tensor(order['confidence']).argsort(stable=True, descending=True).tolist()
    assert cfg.model.curriculum.class_order == wanted
    # What the other tools read afterwards.
    assert load_config(file).model.curriculum.class_order == wanted


@pytest.mark.parametrize(
    'order,message',
    [
        (dict(teacher='generalists'), '\'generalists\'.*did you mean "generalist"'),
        (dict(teacher=None), 'class_order.teacher must be a teacher of all classes'),
        (dict(hardest='first'), 'unknown key "hardest".*hardest_first'),
        (dict(hardest_first='yes'), "hardest_first must be True or False, but got 'yes'"),
    ],
)
def test_a_mistake_is_one_sentence(order, message, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        load_config(run_file(tmp_path, **order))
