"""Labels in all the forms in which MMPretrain hands them to losses: classes, one-hot, mixed."""

import copy
import warnings

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample
from networks import build, dkd_distiller, images, kd_distiller, logits_distiller, resnet, samples
from torch import nn
from torch.nn import functional

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.labels import MIXED, accept_one_hot, classes_of

SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1)
BINARY = dict(type='CrossEntropyLoss', use_sigmoid=True)
SOFT = dict(type='CrossEntropyLoss', use_soft=True)
MIXUP = dict(augments=dict(type='Mixup', alpha=0.5))
LABELS = [0, 1, 2, 3, 4, 5, 0, 3]


def preprocessor(**kwargs):
    return dict(type='ClsDataPreprocessor', **kwargs)


def grades(names=(None, None, None)):
    return [
        dict(epochs=1, fragments=index + 1, classes=2, **(dict(teachers=[name]) if name else {}))
        for index, name in enumerate(names)
    ]


@pytest.fixture
def experts(teacher_file):
    return [
        dict(
            name=f'expert{index}',
            architecture=resnet(2),
            ckpt=teacher_file(f'expert{index}', 2, index),
            classes=[2 * index, 2 * index + 1],
        )
        for index in range(3)
    ]


@pytest.fixture
def generalist(teacher_file):
    return dict(name='all', architecture=resnet(), ckpt=teacher_file('all', 6, 9))


def school(teachers=None, loss=None, **kwargs):
    names = [teacher['name'] for teacher in teachers or ()]
    curriculum = dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')])
    if names:
        kwargs = dict(teachers=teachers, distiller=kd_distiller(), **kwargs)
    cfg = dict(
        type='EducationDistill', architecture=resnet(loss=loss), curriculum=curriculum, **kwargs
    )
    return build(cfg)


def train(model, steps=2, labels=LABELS):
    """Train from fixed random states and return the log of each step."""
    np.random.seed(0)
    torch.manual_seed(0)
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    log = []
    for step in range(steps):
        batch = dict(inputs=images(len(labels), seed=step), data_samples=samples(labels))
        values = model.train_step(batch, optimizer)
        log.append({key: value.item() for key, value in values.items()})
    return log


# ---- whose labels
def test_a_label_is_mixed_where_no_score_reaches_one():
    mixed = DataSample().set_gt_label(2).set_gt_score([0.0, 0.3, 0.7])
    plain = DataSample().set_gt_label(1).set_gt_score([0.0, 1.0, 0.0])
    without_class = DataSample().set_gt_score(torch.tensor([0, 0, 1]))
    assert classes_of([plain, mixed]).tolist() == [1, MIXED]
    assert classes_of([without_class, plain]).tolist() == [2, 1]
    assert classes_of(samples([4, 0])).tolist() == [4, 0]


@pytest.mark.parametrize('loss', [SMOOTH, None], ids=['smooth', 'plain'])
def test_with_one_hot_labels_each_expert_teaches_its_own_rows(experts, loss):
    one_hot = school(experts, loss, data_preprocessor=preprocessor(to_onehot=True))
    index = school(experts, loss, data_preprocessor=preprocessor())
    for ours, expected in zip(train(one_hot), train(index)):
        assert ours == pytest.approx(expected, rel=1e-5)


def test_with_one_hot_labels_teachers_are_weighed_by_the_class(experts, generalist):
    def log(**kwargs):
        weighting = dict(teacher_weighting='confidence', data_preprocessor=preprocessor(**kwargs))
        return train(school([*experts, generalist], SMOOTH, **weighting))

    assert log(to_onehot=True) == log()


def test_mixed_samples_are_taught_by_the_generalist_alone(experts, generalist):
    model = school([*experts, generalist], SOFT, data_preprocessor=preprocessor(to_onehot=True))
    scores = torch.eye(6)[[0, 2, 5]]
    scores[1] = 0.5 * scores[1] + 0.5 * scores[2]
    batch = [DataSample().set_gt_label(2).set_gt_score(score) for score in scores]
    rows = {lesson.teacher.name: lesson.rows for lesson in model._assign(batch, len(batch))}
    assert {k: v if v is None else v.tolist() for k, v in rows.items()} == dict(
        expert0=[0], expert2=[2], all=None
    )


def test_mixed_samples_that_nobody_teaches_are_told_of_once(experts):
    model = school(experts, SOFT, data_preprocessor=preprocessor(to_onehot=True))
    scores = ([0.9, 0.1, 0, 0, 0, 0], [0, 0, 1.0, 0, 0, 0])
    batch = [DataSample().set_gt_score(list(score)) for score in scores]
    with pytest.warns(UserWarning, match='1 of 2 samples .* this grade has no generalist'):
        (lesson,) = model._assign(batch, len(batch))
    assert lesson.teacher.name == 'expert1' and lesson.rows.tolist() == [1]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model._assign(batch, len(batch))


def test_soft_labels_of_the_data_set_do_not_turn_distillation_off_unseen(experts, generalist):
    labels = dict(data_preprocessor=preprocessor(to_onehot=True))
    batch = [DataSample().set_gt_label(0).set_gt_score([0.9, 0.1, 0, 0, 0, 0]) for _ in range(2)]
    with pytest.raises(ConfigurationError, match='nothing would be distilled'):
        school(experts, SOFT, **labels).loss(images(2), batch)
    losses = school([*experts, generalist], SOFT, **labels).loss(images(2), batch)
    assert losses['distill.loss_kd'] > 0


def test_confidence_refuses_samples_of_several_classes(experts, generalist):
    model = school([*experts, generalist], teacher_weighting='confidence')
    scores = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0]])
    batch = [DataSample().set_gt_score(score) for score in scores]
    with pytest.raises(ConfigurationError, match='take "entropy"'):
        model.loss(images(2), batch)


# ---- C1
@pytest.mark.parametrize(
    'loss, labels',
    [
        (SMOOTH, dict(to_onehot=True)),
        (SMOOTH, dict(batch_augments=dict(MIXUP, probs=[0.5]))),
        (BINARY, dict(batch_augments=MIXUP)),
        (SOFT, dict(batch_augments=dict(augments=dict(type='CutMix', alpha=1.0)))),
        (dict(type='SeesawLoss', num_classes=6), dict()),
    ],
    ids=['one-hot', 'mixup at times', 'binary', 'cutmix', 'seesaw'],
)
def test_one_grade_is_mmrazor_bit_for_bit_with_labels_of_all_forms(teacher_file, loss, labels):
    def model(**kwargs):
        return build(
            dict(
                _scope_='mmrazor',
                architecture=resnet(loss=loss),
                # MMRazor's computes its loss as well.
                teacher=resnet(loss=SMOOTH if labels.get('to_onehot') else None),
                teacher_ckpt=teacher_file('all', 6, 9),
                distiller=kd_distiller(),
                data_preprocessor=dict(
                    preprocessor(num_classes=6, **copy.deepcopy(labels)), _scope_='mmpretrain'
                ),
                **kwargs,
            )
        )

    curriculum = dict(num_classes=6, grades=[dict(epochs=1, fragments=1, classes='all')])
    ours = train(model(type='EducationDistill', curriculum=curriculum))
    assert ours == train(model(type='SingleTeacherDistill')) and ours[0]['loss'] != ours[1]['loss']


# ---- the student's own recipe
@pytest.mark.parametrize('wrapped, probs', [(False, None), (True, [0.7])])
def test_the_augments_of_the_student_act_as_in_mmpretrain(wrapped, probs):
    student = dict(resnet(), train_cfg=dict(MIXUP, probs=probs))
    data = preprocessor(mean=[1.0] * 3, std=[2.0] * 3)
    architecture = dict(type='FragmentedStudent', student=student) if wrapped else student
    curriculum = dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')])
    ours = build(
        dict(
            type='EducationDistill',
            architecture=copy.deepcopy(architecture),
            data_preprocessor=data,
            curriculum=curriculum,
        )
    )
    plain = build(dict(student, data_preprocessor=dict(data, num_classes=6)))
    without = build(dict(resnet(), data_preprocessor=data))
    weights = {k: v for k, v in ours.student.state_dict().items() if k in plain.state_dict()}
    for model in (plain, without):
        model.load_state_dict(copy.deepcopy(weights))
    losses = [[step['loss'] for step in train(model)] for model in (ours, plain, without)]
    assert losses[0] == losses[1] and losses[0] != losses[2]


def test_batch_augments_of_the_run_come_before_those_of_the_student():
    student = dict(resnet(), train_cfg=MIXUP)

    def names(**kwargs):
        cfg = dict(type='FragmentedStudent', student=student, **kwargs.pop('student', {}))
        model = build(
            dict(
                type='EducationDistill',
                architecture=cfg,
                curriculum=dict(num_classes=6, grades=grades()),
                data_preprocessor=kwargs or None,
            )
        )
        augments = model.data_preprocessor.batch_augments
        return augments and [type(one).__name__ for one in augments.augments]

    assert names(**preprocessor()) == ['Mixup']
    assert names(**preprocessor(batch_augments=None)) is None
    cutmix = dict(augments=dict(type='CutMix', alpha=1.0))
    assert names(**preprocessor(batch_augments=cutmix)) == ['CutMix']
    assert names(student=dict(data_preprocessor=preprocessor(num_classes=6))) == ['Mixup']


def test_experts_refuse_the_augments_of_the_student(experts):
    student = dict(resnet(), train_cfg=MIXUP)
    cfg = dict(
        type='EducationDistill',
        architecture=student,
        teachers=experts,
        distiller=kd_distiller(),
        curriculum=dict(num_classes=6, grades=grades([t['name'] for t in experts])),
    )
    with pytest.raises(
        ConfigurationError,
        match=r'batch_augments \(Mixup, from architecture.student.train_cfg\).*"expert0"',
    ):
        build(dict(cfg, data_preprocessor=preprocessor()))
    build(dict(cfg, data_preprocessor=preprocessor(batch_augments=None)))


def test_a_preprocessor_that_cannot_augment_is_refused():
    with pytest.raises(ConfigurationError, match=r'\(Mixup, train_cfg.augments\).*ImgDataPre'):
        build(
            dict(
                type='EducationDistill',
                architecture=dict(resnet(), train_cfg=MIXUP),
                data_preprocessor=dict(type='mmengine.ImgDataPreprocessor'),
                curriculum=dict(num_classes=6, grades=grades()),
            )
        )


def test_one_hot_labels_are_as_wide_as_there_are_classes():
    def width(**kwargs):
        return school(data_preprocessor=preprocessor(**kwargs)).data_preprocessor.num_classes

    assert width(to_onehot=True) == 6 and width(batch_augments=MIXUP) == 6
    # Nobody reads it.
    assert width(num_classes=1000) == 1000
    with pytest.raises(ConfigurationError, match='num_classes is 1000, .* set it to 6'):
        width(num_classes=1000, to_onehot=True)


# ---- losses that want labels of a certain form
@pytest.mark.parametrize('loss', [BINARY, dict(SMOOTH, mode='multi_label'), None])
def test_losses_of_soft_labels_train_at_every_grade(generalist, loss):
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(loss=loss),
            teachers=[generalist],
            distiller=kd_distiller(),
            data_preprocessor=preprocessor(batch_augments=MIXUP),
            curriculum=dict(num_classes=6, grades=grades()),
        )
    )
    for grade in model.curriculum.grades:
        model.set_grade(grade)
        log = train(model, 1, [*grade.seen, *grade.seen])[0]
        assert 0 < log['student.loss'] < 20 and log['distill.loss_kd'] > 0


@MMPRETRAIN_MODELS.register_module()
class ShiftedLoss(nn.Module):
    """A loss with a number of its own for each class."""

    def __init__(self, shifts, terms=(1.0, 2.0)):
        super().__init__()
        self.shifts, self.terms = torch.tensor(shifts), terms

    def forward(self, scores, target, avg_factor=None):
        return functional.cross_entropy(scores + self.shifts, target) * sum(self.terms)


def test_every_argument_that_has_a_value_for_each_class_follows_the_grade():
    weights, shifts = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    seen, target, x = [0, 2, 5], torch.tensor([1, 2]), images(2)

    def loss(cfg):
        student = build(dict(type='FragmentedStudent', student=resnet(loss=cfg))).eval()
        student.set_grade(2, seen)
        value, scores = student(x, samples([2, 5]), mode='loss')['loss'], student(x)[:, seen]
        # At full width they are what they were.
        student.set_grade(3, range(6))
        assert torch.isfinite(student(x, samples([2, 5]), mode='loss')['loss'])
        return value, scores

    wanted = torch.tensor([1.0, 3.0, 6.0])
    value, scores = loss(dict(type='CrossEntropyLoss', class_weight=weights))
    plain = functional.cross_entropy(scores, target, weight=wanted, reduction='none')
    assert torch.allclose(value, plain.mean())
    value, scores = loss(dict(SMOOTH, class_weight=weights))
    smooth = 0.9 * functional.one_hot(target, 3) + 0.1 / 3
    assert torch.allclose(value, -(wanted * smooth * scores.log_softmax(1)).sum(1).mean())
    value, scores = loss(dict(type='ShiftedLoss', shifts=shifts))
    shifted = scores + torch.tensor([6.0, 4.0, 1.0])
    assert torch.allclose(value, 3 * functional.cross_entropy(shifted, target))


def test_weights_of_a_binary_loss_follow_the_grade():
    loss = dict(BINARY, class_weight=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], pos_weight=[2.0] * 5 + [7.0])
    student = build(dict(type='FragmentedStudent', student=resnet(loss=loss))).eval()
    student.set_grade(1, [1, 5])
    x, score = images(2), torch.tensor([[0, 0.25, 0, 0, 0, 0.75], [0, 1.0, 0, 0, 0, 0]])
    value = student(x, [DataSample().set_gt_score(row) for row in score], mode='loss')['loss']
    expected = functional.binary_cross_entropy_with_logits(
        student(x)[:, [1, 5]],
        score[:, [1, 5]],
        weight=torch.tensor([2.0, 6.0]),
        pos_weight=torch.tensor([2.0, 7.0]),
        reduction='sum',
    )
    assert torch.allclose(value, expected / 2)


@pytest.mark.parametrize(
    'kind, distiller, labels, words',
    [
        (
            'DKDLoss',
            dkd_distiller(),
            dict(batch_augments=MIXUP),
            r'batch_augments \(Mixup\) mixes the labels',
        ),
        (
            'WSLD',
            logits_distiller(
                dict(type='WSLD', num_classes=6),
                labels=True,
                names=('student', 'teacher', 'gt_labels'),
            ),
            dict(to_onehot=True),
            'to_onehot=True makes one-hot labels',
        ),
    ],
)
def test_a_distillation_loss_of_class_indices_is_named_with_what_mixes_them(
    generalist, kind, distiller, labels, words
):
    with pytest.raises(
        ConfigurationError,
        match=f'distill_losses.loss_kd of type {kind} needs class indices, but data_prep.*{words}',
    ) as error:
        build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=[generalist],
                distiller=distiller,
                data_preprocessor=preprocessor(**labels),
                curriculum=dict(num_classes=6, grades=grades()),
            )
        )
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'loss, labels, words',
    [
        (BINARY, dict(), 'CrossEntropyLoss needs one-hot labels, so set .*to_onehot=True'),
        (SOFT, dict(), 'CrossEntropyLoss needs one-hot labels'),
        (
            dict(type='SeesawLoss', num_classes=6),
            dict(batch_augments=MIXUP),
            r'SeesawLoss needs class indices, but .*\(Mixup\)',
        ),
        (
            dict(SMOOTH, num_classes=7),
            dict(to_onehot=True),
            'cannot compute its loss: num_classes',
        ),
    ],
)
def test_a_loss_that_does_not_take_the_labels_of_the_run_is_named(loss, labels, words):
    with pytest.raises(ConfigurationError, match=words):
        school(loss=loss, data_preprocessor=preprocessor(**labels))


def test_two_classes_are_no_excuse_for_soft_labels_that_are_indices():
    cfg = dict(
        type='EducationDistill',
        architecture=resnet(2, loss=SOFT),
        curriculum=dict(num_classes=2, grades=[dict(epochs=1, fragments=3, classes='all')]),
    )
    with pytest.raises(ConfigurationError, match='needs one-hot labels'):
        build(cfg)


def test_a_plain_classifier_takes_the_one_hot_labels_of_its_preprocessor():
    model = build(dict(resnet(), data_preprocessor=preprocessor(to_onehot=True)))
    accept_one_hot(model)
    plain = build(dict(resnet(), data_preprocessor=preprocessor()))
    losses = [[step['loss'] for step in train(network)] for network in (model, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_samples_that_no_pipeline_has_packed_are_refused_with_what_to_add():
    plain = build(resnet())
    accept_one_hot(plain)
    for model in (plain, school()):
        with pytest.raises(
            ConfigurationError, match='have no "inputs" but img, gt_label; .*"PackInputs"'
        ):
            model.val_step(dict(img=images(2), gt_label=torch.tensor([0, 1])))
