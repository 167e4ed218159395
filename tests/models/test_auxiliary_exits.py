import copy

import pytest
import torch
from networks import build, images, kd_distiller, resnet, samples
from torch.nn import functional as F

from edudistill_mm.errors import ConfigurationError

GRADES = [
    dict(name='low', epochs=1, fragments=1, classes=2),
    dict(name='mid', epochs=1, fragments=2, classes=2),
    dict(name='high', epochs=1, fragments=3, classes=2),
]


def school(weight, **kwargs):
    return build(
        dict(
            type='EducationDistill',
            architecture=dict(type='FragmentedStudent', student=resnet(), exit_loss_weight=weight),
            curriculum=dict(num_classes=6, grades=copy.deepcopy(GRADES)),
            **kwargs,
        )
    )


def at(model, index):
    model.set_grade(model.curriculum.grades[index])
    return model


@pytest.mark.parametrize('index,labels', [(0, [0, 1, 1]), (1, [0, 3, 2]), (2, [5, 0, 3])])
def test_exits_add_the_weighted_losses_of_earlier_references(index, labels):
    model = at(school(0.3), index).eval()
    seen = list(model.grade.seen)
    losses = model.loss(images(3), samples(labels))
    assert set(losses) == {'student.loss', *(f'student.loss_exit{n + 1}' for n in range(index))}

    wanted = torch.tensor([seen.index(label) for label in labels])
    for number in range(index):
        shallow = at(school(0.3), index).eval()
        shallow.student.set_grade(number + 1, seen)
        scores = shallow(images(3), mode='tensor')[:, seen]
        expected = 0.3 * F.cross_entropy(scores, wanted)
        assert torch.allclose(losses[f'student.loss_exit{number + 1}'], expected)


def test_the_task_loss_weight_counts_for_exits_too():
    plain, halved = (at(school(0.3, task_loss_weight=w), 2).eval() for w in (1.0, 0.5))
    for name, loss in plain.loss(images(2), samples([0, 5])).items():
        assert torch.allclose(halved.loss(images(2), samples([0, 5]))[name], 0.5 * loss)


@pytest.mark.parametrize('weight', [0, 0.3])
def test_references_of_earlier_grades_learn_only_as_exits(weight):
    model = at(school(weight), 2)
    sum(model.loss(images(4), samples([0, 1, 4, 5])).values()).backward()
    grads = [p.grad is not None for p in model.student.references.parameters()]
    assert all(grads) if weight else not any(grads)


def test_exits_cost_no_second_pass_and_no_later_fragment():
    model, calls = at(school(0.3), 1), []
    for name, module in model.student.backbone.named_children():
        module.register_forward_hook(lambda *_, name=name: calls.append(name), prepend=True)
    model.loss(images(2), samples([0, 3]))
    assert calls.count('layer1') == calls.count('layer2') == 1 and 'layer3' not in calls


def test_predictions_do_not_depend_on_exits_and_keep_no_features():
    with_exits, without = (at(school(weight), 2).eval() for weight in (0.3, 0))
    scores = with_exits(images(2), mode='tensor')
    assert torch.equal(scores, without(images(2), mode='tensor'))
    assert with_exits.student._exit_features is None


def test_a_distiller_of_the_head_sees_the_active_head_only(teacher_file):
    teacher = dict(teacher=resnet(6), teacher_ckpt=teacher_file('all', 6, 9))
    with_exits, without = (
        at(school(weight, distiller=kd_distiller(), **teacher), 2).eval() for weight in (0.3, 0)
    )
    batch = images(4), samples([0, 2, 4, 5])
    ours, plain = with_exits.loss(*batch), without.loss(*batch)
    assert torch.equal(ours['distill.loss_kd'], plain['distill.loss_kd'])
    assert torch.equal(ours['student.loss'], plain['student.loss'])


def test_a_copy_of_the_student_keeps_its_own_features():
    model = at(school(0.3), 1)
    clone = copy.deepcopy(model)
    clone.loss(images(2), samples([0, 3]))
    with torch.no_grad():
        for parameter in clone.parameters():
            parameter.zero_()
    other = model.loss(images(2), samples([0, 3]))
    zeroed = clone.loss(images(2), samples([0, 3]))
    assert zeroed['student.loss_exit1'].item() == pytest.approx(0.3 * 1.3862944, rel=1e-5)
    assert not torch.equal(other['student.loss_exit1'], zeroed['student.loss_exit1'])


def test_exits_are_parameters_in_training():
    counts = []
    for weight in (0, 0.3):
        model = at(school(weight), 1)
        counts.append(model.student.parameters_in_training())
    exit1 = sum(p.numel() for p in model.student.references[0].parameters())
    assert counts[1] - counts[0] == exit1


@pytest.mark.parametrize('weight', [-0.1, True, 'some', float('nan'), None])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ConfigurationError, match='architecture.exit_loss_weight must be a'):
        school(weight)


def test_a_student_that_is_not_trained_gets_no_gradient_from_its_exits():
    model = at(school(0.3, student_trainable=False), 2)
    losses = model.loss(images(3), samples([5, 0, 3]))
    assert 'student.loss_exit1' in losses
    assert not any(loss.requires_grad for loss in losses.values())
