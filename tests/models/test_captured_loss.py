"""Captured steps, with a stand-in for the capturing itself, which needs a GPU (test_cuda.py)."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from networks import build, images, kd_distiller, resnet

from edudistill_mm.errors import TrainingError
from edudistill_mm.models.algorithms.captured_loss import PATIENCE, CapturedLoss


def learning_from(teachers, grades, **options):
    return build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=teachers,
            curriculum=dict(num_classes=6, grades=grades),
            distiller=kd_distiller(),
            **options,
        )
    ).train()


@pytest.fixture
def generalists(teacher_file):
    return [
        dict(name=name, architecture=resnet(6), ckpt=teacher_file(name, 6, seed), classes='all')
        for seed, name in enumerate(('one', 'two'))
    ]


@pytest.fixture
def model(generalists):
    grades = [
        dict(epochs=1, fragments=2, classes='all', teachers=['one']),
        dict(epochs=1, fragments=3, classes=[], teachers=['two']),
    ]
    return learning_from(generalists, grades)


class Graphs:
    """What torch.cuda.make_graphed_callables does as far as a CPU can do it."""

    def __init__(self):
        self.captured = []

    def __call__(self, module, arguments, allow_unused_input):
        assert allow_unused_input and module.training
        parameters = [p for p in module.parameters() if p.requires_grad]
        for _ in range(3):
            outputs = [x for x in module(*arguments).values() if x.requires_grad]
            torch.autograd.grad(outputs, parameters, [torch.ones_like(x) for x in outputs],
                                allow_unused=True)  # fmt: skip
        self.captured.append(arguments)
        return module


def batch(count=8, seed=0):
    labels = torch.arange(count) % 6
    return dict(inputs=images(count), data_samples=[DataSample().set_gt_label(labels)])


def train(model, steps, count=8):
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    return [model.train_step(batch(count), optimizer)['loss'].item() for _ in range(steps)]


def test_captured_steps_give_the_losses_and_weights_of_the_plain_ones(model):
    plain = copy.deepcopy(model.state_dict())
    graphs = Graphs()
    losses = train(model, PATIENCE + 10)
    trained = copy.deepcopy(model.state_dict())
    model.load_state_dict(plain)
    model.captured_loss = CapturedLoss(model, make_graph=graphs)
    torch.manual_seed(3)
    random = torch.get_rng_state()
    assert train(model, PATIENCE + 10) == losses
    assert len(graphs.captured) == 1
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_a_promotion_another_weight_and_another_batch_capture_anew(model):
    graphs = Graphs()
    model.captured_loss = CapturedLoss(model, make_graph=graphs)

    def captures(count=8):
        before = len(graphs.captured)
        train(model, PATIENCE + 1, count)
        return len(graphs.captured) - before

    assert captures() == 1 and captures() == 0
    model.set_grade(model.curriculum.grades[1])
    assert captures() == 1
    model.distill_loss_weight = 0.5
    assert captures() == 1
    assert captures(count=6) == 1
    assert [len(arguments[0]) for arguments in graphs.captured] == [8, 8, 8, 6]


def test_the_smaller_last_batches_of_epochs_never_replace_what_is_captured(model):
    graphs = Graphs()
    model.captured_loss = CapturedLoss(model, make_graph=graphs)
    train(model, PATIENCE + 1)
    for _ in range(PATIENCE + 2):
        train(model, 1, count=6)
        train(model, 2)
    assert [len(arguments[0]) for arguments in graphs.captured] == [8]


def test_epochs_of_few_batches_are_captured(model):
    graphs = Graphs()
    model.captured_loss = CapturedLoss(model, make_graph=graphs)
    for _ in range(3):
        train(model, PATIENCE // 2)
        train(model, 1, count=6)
    assert [len(arguments[0]) for arguments in graphs.captured] == [8]


@pytest.mark.parametrize('weighting', ['average', 'entropy', 'confidence'])
def test_an_ensemble_and_a_grade_that_all_have_left_are_captured(generalists, weighting):
    grades = [
        dict(epochs=1, fragments=2, classes='all'),
        dict(epochs=1, fragments=3, leave=['one', 'two']),
    ]
    plain, model = (
        learning_from(generalists, grades, teacher_ensemble=True, teacher_weighting=weighting)
        for _ in range(2)
    )
    graphs = Graphs()
    model.captured_loss = CapturedLoss(model, make_graph=graphs)
    for grade in model.curriculum.grades:
        for one in (plain, model):
            one.set_grade(grade)
        assert train(model, PATIENCE + 3) == train(plain, PATIENCE + 3)
    assert len(graphs.captured) == 2


def test_weights_and_temperature_of_a_grade_are_captured_with_it(generalists):
    grades = [
        dict(epochs=1, fragments=3, classes='all'),
        dict(epochs=1, distill_loss_weight=2.0, task_loss_weight=0.5, temperature=2.0),
    ]
    plain, model = (learning_from(generalists, grades) for _ in range(2))
    graphs = Graphs()
    model.captured_loss = CapturedLoss(model, make_graph=graphs)
    for grade in model.curriculum.grades:
        for one in (plain, model):
            one.set_grade(grade)
        assert train(model, PATIENCE + 3) == train(plain, PATIENCE + 3)
    assert len(graphs.captured) == 2


def test_what_changes_in_each_step_and_a_last_smaller_batch_are_not_captured(model):
    graphs = Graphs()
    model.captured_loss = CapturedLoss(model, make_graph=graphs)
    for step in range(2 * PATIENCE):
        model.distill_loss_weight = step / 100
        train(model, 1)
    assert graphs.captured == []
    train(model, PATIENCE + 1)
    train(model, 1, count=5)
    train(model, 3)
    assert [len(arguments[0]) for arguments in graphs.captured] == [8]


def test_what_is_in_the_way_is_said(model, teacher_file):
    captured = CapturedLoss(model)
    each = [DataSample().set_gt_label(label) for label in range(4)]
    assert 'a sample for each image' in captured.obstacle(each, 4)
    assert captured.obstacle(batch()['data_samples'], 8) is None
    experts = [
        dict(name=name, architecture=resnet(3), ckpt=teacher_file(name, 3, 1), classes=classes)
        for name, classes in (('low', [0, 1, 2]), ('high', [3, 4, 5]))
    ]
    grades = [dict(epochs=1, fragments=3, classes='all', teachers=['low', 'high'])]
    expert = learning_from(experts, grades)
    expert.captured_loss = CapturedLoss(expert)
    assert 'teacher "low" gets' in expert.captured_loss.obstacle(batch()['data_samples'], 8)
    assert train(expert, PATIENCE + 2)  # nothing of CUDA is asked for


def test_a_capture_that_fails_is_one_sentence_with_what_to_set(model):
    def refuse(*_, **__):
        raise RuntimeError(
            'CUDA error: operation not permitted when stream is capturing\nSearch for'
        )

    model.captured_loss = CapturedLoss(model, make_graph=refuse)
    train(model, PATIENCE)
    with pytest.raises(TrainingError) as caught:
        train(model, 1)
    words = 'when stream is capturing)', model.grade.name, 'model.cuda_graphs=False'
    assert all(word in str(caught.value) for word in words) and '\n' not in str(caught.value)


def test_a_copy_of_the_algorithm_captures_nothing(model):
    model.captured_loss = CapturedLoss(model)
    assert copy.deepcopy(model).captured_loss is None
