"""Teachers that share samples: fixed weights, entropies (EBKD), confidences (CA-MKD)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.optim import OptimWrapper
from networks import build, dkd_distiller, images, kd_distiller, logits_distiller, resnet, samples
from torch.nn import functional as F

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.teachers.weighting import (
    ConfidenceWeighting,
    EntropyWeighting,
    TeacherWeighting,
)
from edudistill_mm.registry import MODELS

LABELS = [0, 1, 2, 0]
BY_SAMPLE = [EntropyWeighting(), ConfidenceWeighting()]


# ---- formulas
def test_entropy_is_a_share_of_the_largest():
    scores = torch.log(torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 1e-30, 1e-30]]))
    # log 4 / log 4, log 2 / log 4
    entropy = EntropyWeighting().uncertainty
    assert torch.allclose(entropy(scores, None), torch.tensor([1.0, 0.5]))
    assert torch.allclose(entropy(torch.zeros(1, 7), None), torch.ones(1))


def test_ebkd_by_hand():
    # Sample 0: entropies 1, 2, 3 of 6 -> (1 - 1/6) / 2, ...; sample 1: teachers 0 and 2 of 4 ->
    # 1 - 1/4, 1 - 3/4; sample 2: teacher 1 alone.
    uncertainty = torch.tensor([[1.0, 1.0, 0.0], [2.0, 9.0, 5.0], [3.0, 3.0, 0.0]])
    covered = torch.tensor([[True, True, False], [True, False, True], [True, True, False]])
    expected = torch.tensor([[5 / 12, 3 / 4, 0], [4 / 12, 0, 1], [3 / 12, 1 / 4, 0]])
    weights = EntropyWeighting().weights(uncertainty, covered, torch.ones(3))
    assert torch.allclose(weights, expected)


def test_ca_mkd_by_hand():
    # Softmax over the teachers of log 1, log 2, log 5 is 1/8, 2/8, 5/8; of log 1 and log 3, 1/4, 3/4.
    uncertainty = torch.tensor([[1.0, 1.0], [2.0, 100.0], [5.0, 3.0]]).log()
    covered = torch.tensor([[True, True], [True, False], [True, True]])
    expected = torch.tensor([[7 / 16, 3 / 4], [6 / 16, 0], [3 / 16, 1 / 4]])
    weights = ConfidenceWeighting().weights(uncertainty, covered, torch.ones(3))
    assert torch.allclose(weights, expected)


def test_fixed_weights_multiply():
    uncertainty, covered = torch.ones(2, 1), torch.ones(2, 1, dtype=torch.bool)
    weights = EntropyWeighting().weights(uncertainty, covered, torch.tensor([3.0, 1.0]))
    assert torch.allclose(weights, torch.tensor([[0.75], [0.25]]))


matrices = st.integers(1, 5).flatmap(
    lambda teachers: st.integers(1, 4).flatmap(
        lambda size: st.tuples(
            *(
                st.lists(
                    st.lists(element, min_size=size, max_size=size),
                    min_size=teachers,
                    max_size=teachers,
                )
                for element in (st.floats(0, 50), st.booleans())
            )
        )
    )
)


@given(matrices, st.sampled_from(BY_SAMPLE), st.randoms())
def test_weights_are_a_distribution_over_the_teachers_whatever_their_order(
    case, weighting, random
):
    uncertainty, covered = torch.tensor(case[0]), torch.tensor(case[1])
    fixed = torch.arange(1, len(uncertainty) + 1, dtype=torch.float32)
    weights = weighting.weights(uncertainty, covered, fixed)
    assert (weights >= 0).all() and (weights[~covered] == 0).all()
    assert torch.allclose(weights.sum(0), covered.any(0).float(), atol=1e-5)
    order = list(range(len(uncertainty)))
    random.shuffle(order)
    again = weighting.weights(uncertainty[order], covered[order], fixed[order])
    assert torch.allclose(again, weights[order], atol=1e-5)


@given(st.floats(0, 10), st.floats(0, 10), st.sampled_from(BY_SAMPLE))
def test_the_surer_of_two_teachers_weighs_more(one, other, weighting):
    uncertainty = torch.tensor([[one], [other]])
    first, second = weighting.weights(
        uncertainty, torch.ones(2, 1, dtype=torch.bool), torch.ones(2)
    )
    assert (first >= second - 1e-6) if one <= other else (first <= second + 1e-6)


# ---- in a school
@pytest.fixture
def school(teacher_file):
    """Two generalists, and an expert of classes 0 and 1."""

    def make(weighting, distiller=None, **kwargs):
        teachers = [
            dict(name='one', architecture=resnet(), ckpt=teacher_file('one', 6, 1)),
            dict(name='two', architecture=resnet(), ckpt=teacher_file('two', 6, 2), weight=2.0),
            dict(
                name='expert',
                architecture=resnet(2),
                ckpt=teacher_file('expert', 2, 3),
                classes=[1, 0],
            ),
        ]
        return build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=teachers,
                distiller=distiller or kd_distiller(),
                teacher_weighting=weighting,
                curriculum=dict(
                    num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]
                ),
                **kwargs,
            )
        ).eval()

    return make


def expected_loss(model, scheme):
    """The sum over samples and teachers, one by one, in plain Python."""
    x = images(4)
    student = model.student(x)
    networks = [teacher.network for teacher in model.faculty.teachers]
    total = 0.0
    for row, label in enumerate(LABELS):
        answers = []
        for network, fixed, classes in zip(
            networks, (1.0, 2.0, 1.0), (range(6), range(6), (1, 0))
        ):
            if label in classes:
                logits = network(x[row : row + 1]).detach()[0]
                p = logits.softmax(0)
                doubt = (
                    float(-(p * p.log()).sum()) / math.log(len(p))
                    if scheme == 'entropy'
                    else math.exp(-math.log(float(p[list(classes).index(label)])))
                )
                s = student[row, list(classes)]
                kl = 16 * F.kl_div(
                    (s / 4).log_softmax(0), (logits / 4).softmax(0), reduction='sum'
                )
                answers.append((doubt, fixed, kl))
        sum_of_doubts = sum(doubt for doubt, _, _ in answers)
        if len(answers) > 1:
            weights = [
                (1 - doubt / sum_of_doubts) / (len(answers) - 1) * fixed
                for doubt, fixed, _ in answers
            ]
        else:
            weights = [1.0]
        total = total + sum(
            weight / sum(weights) * kl for weight, (_, _, kl) in zip(weights, answers)
        )
    return total / len(LABELS)


@pytest.mark.parametrize('scheme', ['entropy', 'confidence'])
def test_each_sample_listens_to_the_teachers_that_know_it(school, scheme):
    model = school(scheme)
    losses = model.loss(images(4), samples(LABELS))
    assert torch.allclose(losses['distill.loss_kd'], expected_loss(model, scheme), rtol=1e-4)
    losses['distill.loss_kd'].backward()
    assert model.student.head.fc.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    'distiller',
    [
        dkd_distiller(),
        logits_distiller(
            dict(type='WSLD', tau=2.0), labels=True, names=('student', 'teacher', 'gt_labels')
        ),
    ],
    ids=['dkd', 'wsld'],
)
def test_losses_with_labels_are_weighed_by_sample(school, distiller):
    model = school('confidence', distiller)
    losses = model.loss(images(4), samples(LABELS))
    assert model._by_sample == dict(loss_kd=True)
    assert torch.isfinite(losses['distill.loss_kd'])


def test_a_loss_between_samples_takes_the_mean_of_the_weights(school):
    model = school(
        'entropy', logits_distiller(dict(type='DISTLoss'), names=('logits_S', 'logits_T', ''))
    )
    losses = model.loss(images(4), samples(LABELS))
    assert model._by_sample == dict(loss_kd=False)
    assert torch.isfinite(losses['distill.loss_kd'])


def test_a_single_teacher_is_not_weighed(teacher_file):
    def loss(weighting):
        model = build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teacher=resnet(),
                teacher_ckpt=teacher_file('one', 6, 1),
                distiller=kd_distiller(),
                teacher_weighting=weighting,
                curriculum=dict(
                    num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]
                ),
            )
        )
        return model.loss(images(4), samples(LABELS))['distill.loss_kd']

    assert torch.equal(loss('average'), loss('confidence'))


class MarginWeighting(TeacherWeighting):
    """A user's own: by how near the second class is to the first."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def uncertainty(self, scores, labels):
        first, second = scores.topk(2).values.T
        return (self.scale * (second - first)).exp()


def test_a_weighting_without_its_uncertainty_is_refused_when_it_is_built(school):
    @MODELS.register_module(force=True)
    class BareWeighting(TeacherWeighting):
        pass

    try:
        with pytest.raises(ConfigurationError, match='abstract .*uncertainty'):
            school('bare')
    finally:
        del MODELS.module_dict['BareWeighting']


@pytest.fixture
def margin():
    """Registered as in a file of a user."""
    MODELS.register_module(module=MarginWeighting)
    yield
    del MODELS.module_dict['MarginWeighting']


@pytest.mark.parametrize(
    'given', ['margin', 'MarginWeighting', dict(type='MarginWeighting', scale=0.5)]
)
def test_a_weighting_of_a_user_trains_by_its_name_or_a_config(margin, school, given):
    model, x = school(given), images(4)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    log = model.train_step(dict(inputs=x, data_samples=samples(LABELS)), optimizer)
    assert type(model.teacher_weighting) is MarginWeighting
    assert model.teacher_weighting.scale == (0.5 if isinstance(given, dict) else 1.0)
    plain = school('average').loss(x, samples(LABELS))['distill.loss_kd']
    assert log['distill.loss_kd'].item() > 0 and log['distill.loss_kd'] != plain


@pytest.mark.parametrize(
    'given, words',
    [
        (
            'confidance',
            'must be one of average, entropy, confidence, but got .confidance. '
            r'\(did you mean "confidence"\?\)',
        ),
        (dict(type='KLDivergence'), 'must be one of average, entropy, confidence, but got'),
        (
            dict(type='EntropyWeighting', tau=2),
            r'model.teacher_weighting \(type "EntropyWeighting"\)',
        ),
        (None, 'must be one of average, entropy, confidence, but got None'),
    ],
)
def test_a_weighting_that_is_none_is_refused(school, given, words):
    with pytest.raises(ConfigurationError, match=words):
        school(given)


def test_confidence_needs_labels_of_one_class(teacher_file):
    with pytest.raises(ConfigurationError, match='take "entropy", or remove the batch augments'):
        build(
            dict(
                type='EducationDistill',
                architecture=dict(
                    resnet(),
                    train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
                    data_preprocessor=dict(num_classes=6),
                ),
                teacher=resnet(),
                teacher_ckpt=teacher_file('one', 6, 1),
                distiller=kd_distiller(),
                teacher_weighting='confidence',
                curriculum=dict(
                    num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]
                ),
            )
        )
