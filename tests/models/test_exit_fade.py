import copy

import pytest
import torch
from networks import build, classifier, images, resnet, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models import FragmentedStudent

ALL = range(6)


def student_of(cfg=None, **kwargs):
    return build(dict(type='FragmentedStudent', student=cfg or resnet(), **kwargs))


def scores_at(student, depth, x):
    """In training, as at a promotion; running statistics do not count there."""
    student.train()
    student.set_grade(depth, ALL)
    with torch.no_grad():
        return student(x)


def test_scores_fade_from_the_former_exit_to_the_new_one():
    student, x = student_of(), images(4)
    former, new = (scores_at(student, depth, x) for depth in (2, 3))
    assert not torch.allclose(former, new)
    for rest in (1.0, 0.75, 0.25, 0.0):
        student.exit_fade.set(2, rest)
        with torch.no_grad():
            torch.testing.assert_close(student(x), rest * former + (1 - rest) * new)
    student.exit_fade.set(None, 0.0)
    with torch.no_grad():
        torch.testing.assert_close(student(x), new)


def test_a_lower_exit_takes_over_too_and_both_exits_learn():
    student, x = student_of(), images(4)
    former, new = (scores_at(student, depth, x) for depth in (1, 2))
    student.exit_fade.set(1, 0.25)
    with torch.no_grad():
        torch.testing.assert_close(student(x), 0.25 * former + 0.75 * new)
    student(x, samples([0, 1, 2, 3]), mode='loss')['loss'].backward()
    assert all(reference.head.fc.weight.grad.abs().sum() > 0 for reference in student.references)
    assert student.head.fc.weight.grad is None


def test_what_is_recorded_of_the_classifier_is_what_the_loss_sees():
    student, x = student_of(), images(4)
    recorded = []
    student.head.fc.register_forward_hook(lambda module, inputs, output: recorded.append(output))
    student.references[1].head.fc.register_forward_hook(lambda *_: recorded.append('former'))
    scores_at(student, 3, x)
    student.exit_fade.set(2, 0.5)
    recorded.clear()
    scores = student(x)
    assert len(recorded) == 1 and torch.equal(recorded[0], scores)


def test_validation_copies_and_other_grades_have_their_own_exit():
    student, x = student_of(), images(4)
    student.set_grade(3, ALL)
    with torch.no_grad():
        own = student.eval()(x)
        student.exit_fade.set(2, 1.0)
        assert torch.equal(student(x), own)
        twin = copy.deepcopy(student).train()
        assert not twin.exit_fade.depth
        torch.testing.assert_close(twin(x), scores_at(student_of(), 3, x))


def test_the_head_that_follows_starts_from_the_references_where_shapes_agree():
    student = student_of(hand_on_head=True)
    first, second = (reference.head.fc for reference in student.references)
    before = first.weight.clone(), second.weight.clone(), student.head.fc.weight.clone()
    student.set_grade(1, ALL)
    # The first reference pools to 4x4 places, the others to one.
    student.prepare_promotion(1, 2)
    assert torch.equal(second.weight, before[1])
    student.set_grade(2, ALL)
    student.prepare_promotion(2, 3)
    assert torch.equal(student.head.fc.weight, before[1])
    assert torch.equal(student.head.fc.bias, second.bias)

    # To ask whether shapes agree changes no weight, which may have been loaded.
    loaded = build(resnet(), seed=1)
    weight = loaded.head.fc.weight.clone()
    FragmentedStudent(loaded, hand_on_head=True)
    assert torch.equal(loaded.head.fc.weight, weight)

    plain = student_of()
    plain.set_grade(2, ALL)
    plain.prepare_promotion(2, 3)
    assert torch.equal(plain.head.fc.weight, before[2])


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(hand_on_head='yes'), ['hand_on_head', "'yes'"]),
        (dict(hand_on_head=True, fragments='blocks', num_fragments=2), ['hand_on_head', 'blocks']),
        (
            dict(hand_on_head=True, num_fragments=2, reference=dict(pool_size=2)),
            ['no head', 'pool_size=1'],
        ),
    ],
)
def test_heads_that_cannot_be_handed_on_are_refused(kwargs, words):
    with pytest.raises(ConfigurationError) as error:
        student_of(**kwargs)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_two_classifiers_do_not_fade():
    student = student_of(classifier(dict(type='MobileNetV2', widen_factor=0.25), 1280))
    student.classifier_names = ['head.a', 'head.b']
    with pytest.raises(ConfigurationError, match='one linear classifier.*head.a, head.b'):
        student.exit_fade.check()
