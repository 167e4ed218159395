import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.evaluation import GradeAccuracy
from edudistill_mm.registry import METRICS

CURRICULUM = Curriculum.from_cfg(
    dict(
        num_classes=6,
        grades=[
            dict(name='primary', epochs=1, classes=[0, 1]),
            dict(name='middle', epochs=1, classes=[2, 3]),
            dict(name='pause', epochs=1),
            dict(name='university', epochs=1, classes=[4, 5]),
        ],
    )
)
PRIMARY, MIDDLE, PAUSE, UNIVERSITY = CURRICULUM.grades
ALL_IN_ONE = Curriculum.from_cfg(dict(num_classes=6, grades=[dict(epochs=1, classes='all')]))


def evaluate(metric, samples):
    evaluator = Evaluator(metric)
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def by_score(label, *scores):
    return DataSample().set_gt_label(label).set_pred_score(torch.tensor(scores, dtype=torch.float))


def by_label(label, predicted):
    return DataSample().set_gt_label(label).set_pred_label(predicted)


def validation(**right):
    """Four samples per class group, of which so many as said are right."""
    samples = []
    for grade in CURRICULUM.grades:
        for number in range(4 if grade.classes else 0):
            label = grade.classes[number % 2]
            samples.append(
                by_label(label, label if number < right.get(grade.name, 0) else (label + 1) % 6)
            )
    return samples


def test_registered_by_its_bare_name_and_in_its_own_node():
    for registry in (METRICS, METRICS.root):
        assert registry.get('GradeAccuracy') is GradeAccuracy


def test_only_seen_classes_count():
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, PRIMARY)
    samples = [
        by_label(0, 0),
        by_label(1, 0),
        by_label(1, 1),
        by_label(0, 5),
        by_label(4, 0),
        by_label(2, 2),
    ]
    assert evaluate(metric, samples) == {
        'seen/top1': 50,
        'seen/top1_primary': 50,
        'seen/forgetting': 0,
    }


def test_groups_are_those_taught_so_far_and_weigh_by_their_samples():
    metric = GradeAccuracy(prefix='val')
    metric.set_grade(CURRICULUM, MIDDLE)
    samples = [
        by_label(0, 0),
        by_label(1, 1),
        by_label(2, 3),
        by_label(3, 3),
        by_label(2, 0),
        by_label(5, 5),
    ]
    assert evaluate(metric, samples) == {
        'val/top1': 60,
        'val/top1_primary': 100,
        'val/top1_middle': pytest.approx(100 / 3),
    }


def test_topk_by_hand():
    metric = GradeAccuracy(topk=[1, 3])
    metric.set_grade(CURRICULUM, MIDDLE)
    samples = [
        by_score(0, 0.5, 0.3, 0.2, 0, 0, 0),  # first
        by_score(1, 0.5, 0.3, 0.2, 0, 0, 0),  # second
        by_score(2, 0.1, 0.2, 0.3, 0.4, 0, 0),  # second
        by_score(3, 0.3, 0.3, 0.3, 0.1, 0, 0),  # fourth
        by_score(4, 0, 0, 0, 0, 1, 0),  # not seen
    ]
    assert evaluate(metric, samples) == {
        'seen/top1': 25,
        'seen/top3': 75,
        'seen/top1_primary': 50,
        'seen/top1_middle': 0,
    }


def test_forgetting_over_a_run():
    """Primary 50, 100, 75, 25, 100 and middle 0, 100, 50, 25 % by validation; worked by hand."""
    metric = GradeAccuracy()
    steps = [
        (PRIMARY, dict(primary=2), 0),
        (PRIMARY, dict(primary=4), 0),  # the only group is the newest
        (MIDDLE, dict(primary=3, middle=0), 25),  # 100 - 75
        (MIDDLE, dict(primary=1, middle=4), 75),  # still against the best, 100 - 25
        (UNIVERSITY, dict(primary=4, middle=2), 25),  # (100 - 100 + 100 - 50) / 2
        (UNIVERSITY, dict(primary=4, middle=1, university=4), 37.5),  # (0 + 75) / 2
    ]
    for grade, right, forgetting in steps:
        metric.set_grade(CURRICULUM, grade)
        results = evaluate(metric, validation(**right))
        assert results['seen/forgetting'] == forgetting
        assert [results[f'seen/top1_{name}'] for name in right] == [
            25 * count for count in right.values()
        ]
    assert metric.state_dict() == dict(primary=100, middle=100, university=100)


def test_without_an_earlier_validation_nothing_is_said_of_forgetting():
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, MIDDLE)
    assert 'seen/forgetting' not in evaluate(metric, validation(primary=3, middle=2))
    assert 'seen/forgetting' in evaluate(metric, validation(primary=3, middle=2))


def test_nothing_is_forgotten_where_earlier_groups_improve():
    """One group that has become better does not hide that another has become worse."""
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, PRIMARY)
    evaluate(metric, validation(primary=2))
    metric.set_grade(CURRICULUM, MIDDLE)
    assert evaluate(metric, validation(primary=3, middle=4))['seen/forgetting'] == 0
    metric.set_grade(CURRICULUM, UNIVERSITY)
    results = evaluate(metric, validation(primary=4, middle=3))
    assert results['seen/forgetting'] == 12.5  # (0 + 25) / 2
    assert metric.state_dict() == dict(primary=100, middle=100, university=0)


def test_a_grade_without_classes_adds_no_group():
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, PAUSE)
    results = evaluate(metric, validation(primary=4, middle=2, university=4))
    assert set(results) == {'seen/top1', 'seen/top1_primary', 'seen/top1_middle'}
    assert results['seen/top1'] == 75


def test_forgetting_goes_on_from_a_saved_state():
    before = GradeAccuracy()
    before.set_grade(CURRICULUM, PRIMARY)
    evaluate(before, validation(primary=4))
    resumed = GradeAccuracy()
    resumed.load_state_dict(json.loads(json.dumps(before.state_dict())))
    for metric in (before, resumed):
        metric.set_grade(CURRICULUM, MIDDLE)
        assert evaluate(metric, validation(primary=1))['seen/forgetting'] == 75


def test_a_saved_state_does_not_change_with_the_metric():
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, PRIMARY)
    evaluate(metric, validation(primary=1))
    state = metric.state_dict()
    evaluate(metric, validation(primary=4))
    assert state == dict(primary=25)


def test_a_group_without_samples_has_no_accuracy():
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, MIDDLE)
    results = evaluate(metric, [by_label(2, 2)])
    assert results == {'seen/top1': 100, 'seen/top1_middle': 100}


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.sampled_from([(1,), (1, 3), (2, 6)]),
    st.sampled_from(['rounded', 'sharp', 'double']),
    st.booleans(),
)
def test_equals_mmpretrain_when_all_classes_are_seen(seed, size, topk, kind, set_grade):
    """Also with ties (rounded scores), with ties in single precision and with scores that vanish
    (sharp)."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(size, 6, generator=generator)
    if kind == 'rounded':
        scores = (scores * 3).round() / 3
    elif kind == 'sharp':
        scores = (scores * 2000).softmax(1)
    elif kind == 'double':
        scores = (scores * 3).round().double() + 1e-10 * scores
    labels = torch.randint(6, (size,), generator=generator)
    samples = [
        DataSample().set_gt_label(label).set_pred_score(score)
        for label, score in zip(labels, scores)
    ]
    metric = GradeAccuracy(topk=topk, prefix='accuracy')
    if set_grade:
        metric.set_grade(ALL_IN_ONE, ALL_IN_ONE.grades[0])
    results, reference = evaluate(metric, samples), evaluate(Accuracy(topk=topk), samples)
    assert {name: results[name] for name in reference} == pytest.approx(reference, rel=1e-6)
    if not set_grade:
        assert set(results) == set(reference)


def test_equals_mmpretrain_for_label_predictions():
    samples = [by_label(label, label % 4) for label in range(6)]
    assert evaluate(GradeAccuracy(), samples)['seen/top1'] == pytest.approx(
        evaluate(Accuracy(), samples)['accuracy/top1']
    )


@pytest.mark.parametrize('topk', [0, (1, -2), (), '1', 1.5, True, None])
def test_refuses_topk_that_is_no_number_of_classes(topk):
    with pytest.raises(ConfigurationError, match='topk must be a positive integer'):
        GradeAccuracy(topk=topk)


def test_refuses_topk_beyond_the_classes():
    metric = GradeAccuracy(topk=(1, 7))
    with pytest.raises(
        ConfigurationError, match=r'topk is \(1, 7\), but there are only 6 classes'
    ):
        metric.set_grade(CURRICULUM, PRIMARY)
    with pytest.raises(ConfigurationError, match='only 6 classes'):
        evaluate(metric, [by_score(0, 1, 0, 0, 0, 0, 0)])


def test_refuses_topk_of_predictions_without_scores():
    with pytest.raises(ConfigurationError, match='labels and no scores'):
        evaluate(GradeAccuracy(topk=(1, 2)), [by_label(0, 0)])


def test_refuses_validation_data_without_seen_classes():
    metric = GradeAccuracy()
    metric.set_grade(CURRICULUM, PRIMARY)
    with pytest.raises(
        ConfigurationError, match=r"no sample of the seen classes \(grades \['primary'\]\)"
    ):
        evaluate(metric, [by_label(5, 5)])


def test_groups_of_a_training_without_curriculum_are_those_that_a_curriculum_would_give():
    samples = [by_score(label, *((1, 0) * 3)) for label in (0, 0, 1, 2, 3, 4, 5)]
    metric = GradeAccuracy(groups={grade.name: grade.classes for grade in CURRICULUM.grades})
    taught = GradeAccuracy()
    taught.set_grade(CURRICULUM, CURRICULUM.grades[-1])
    assert evaluate(metric, samples) == evaluate(taught, samples)
    metric.set_grade(CURRICULUM, PRIMARY)
    taught.set_grade(CURRICULUM, PRIMARY)
    assert evaluate(metric, samples) == evaluate(taught, samples)


def test_groups_that_are_given_stay_where_a_single_grade_has_all_classes():
    samples = [by_score(label, *((1, 0) * 3)) for label in (0, 0, 1, 2, 3, 4, 5)]
    groups = {grade.name: grade.classes for grade in CURRICULUM.grades}
    alone, single = GradeAccuracy(groups=groups), GradeAccuracy(groups=groups)
    grades = [dict(epochs=1, fragments=1, classes='all')]
    one = Curriculum.from_cfg(dict(num_classes=CURRICULUM.num_classes, grades=grades))
    single.set_grade(one, one.grades[0])
    assert evaluate(single, samples) == evaluate(alone, samples)


@pytest.mark.parametrize('groups', [[0, 1], {'a': 3}, {'a': [0, '1']}, {1: [0]}, {'a': [-1]}])
def test_refuses_groups_that_are_no_lists_of_classes(groups):
    with pytest.raises(ConfigurationError, match='must be a dict of names with lists of class'):
        GradeAccuracy(groups=groups)


def test_refuses_groups_that_share_a_class():
    with pytest.raises(ConfigurationError, match='must not share classes'):
        GradeAccuracy(groups={'a': [0, 1], 'b': [1]})


@pytest.mark.parametrize('labels', [[0, 1, 2], []], ids=['several', 'none'])
def test_predictions_that_have_another_number_of_labels_are_refused(labels):
    sample = dict(gt_label=torch.tensor(labels, dtype=torch.long), pred_score=torch.rand(4))
    with pytest.raises(ConfigurationError, match='one gt_label for each prediction'):
        GradeAccuracy().process(None, [sample])
