"""Connectors and checks of losses, and the precision in which losses are computed."""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import build, dkd_distiller, images, kd_distiller, logits_distiller, resnet, samples

from edudistill_mm.models import LogitStandardization

ONE_GRADE = dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')])


@pytest.fixture
def school(teacher_file):
    def make(distiller, **kwargs):
        return build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teacher=resnet(),
                teacher_ckpt=teacher_file('teacher', 6, 3),
                distiller=distiller,
                curriculum=ONE_GRADE,
                **kwargs,
            )
        )

    return make


# ---- logit standardization
def test_logits_are_standardized_by_sample():
    # Mean 2, unbiased deviation 1; mean 0, deviation 4.
    logits = torch.tensor([[1.0, 2.0, 3.0], [-4.0, 0.0, 4.0]])
    expected = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
    assert torch.allclose(LogitStandardization()(logits), expected, atol=1e-6)


@given(
    st.lists(st.floats(-10, 10), min_size=3, max_size=8).filter(
        lambda row: max(row) > min(row) + 1
    ),
    st.floats(-100, 100),
    st.floats(0.1, 10),
)
def test_shift_and_scale_of_a_sample_change_nothing(row, shift, scale):
    logits = torch.tensor([row], dtype=torch.float64)
    standardize = LogitStandardization()
    assert torch.allclose(
        standardize(logits), standardize(logits * scale + shift), rtol=1e-5, atol=1e-5
    )


def test_standardized_kd_is_kd_on_standardized_logits(school):
    distiller = kd_distiller(tau=2.0)
    distiller['connectors'] = dict(
        student=dict(type='LogitStandardization'), teacher=dict(type='LogitStandardization')
    )
    for key, connector in (('preds_S', 'student'), ('preds_T', 'teacher')):
        distiller['loss_forward_mappings']['loss_kd'][key]['connector'] = connector
    model = school(distiller).eval()
    x = images(4)

    def standardized(scores):
        return (scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True)

    s = standardized(model.student(x)) / 2
    t = standardized(model.faculty.teachers[0].network(x)) / 2
    kl = (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1).mean()
    loss = model.loss(x, samples([0, 1, 2, 3]))['distill.loss_kd']
    assert torch.allclose(loss, 4 * kl, rtol=1e-4)


def test_a_classifier_of_timm_teaches_by_the_scores_of_the_whole_network(tmp_path):
    timm = pytest.importorskip('timm')
    torch.save(timm.create_model('resnet10t', num_classes=6).state_dict(), tmp_path / 'timm.pth')
    network = dict(type='TimmClassifier', model_name='resnet10t', num_classes=6)
    distiller = kd_distiller(tau=2.0)
    distiller['teacher_recorders']['fc']['source'] = ''
    teacher = dict(name='timm', architecture=network, ckpt=str(tmp_path / 'timm.pth'))
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[dict(teacher, outputs=[3, 1, 0, 2, 5, 4])],
            distiller=distiller,
            curriculum=ONE_GRADE,
        )
    ).eval()
    x = images(4, size=32)
    s = model.student(x) / 2
    t = model.faculty.teachers[0].network(x)[:, [3, 1, 0, 2, 5, 4]] / 2
    kl = (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1).mean()
    loss = model.loss(x, samples([0, 1, 2, 3]))['distill.loss_kd']
    assert torch.allclose(loss, 4 * kl, rtol=1e-4)


# ---- mixed precision
@pytest.mark.parametrize('distiller', [kd_distiller(), dkd_distiller()], ids=['kd', 'dkd'])
def test_losses_are_computed_in_float32_under_autocast(school, distiller):
    from mmrazor.models.losses import DKDLoss, KLDivergence

    model = school(distiller).eval()
    x, labels = images(4), torch.tensor([0, 1, 2, 5])
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(x, samples(labels))
        s, t = model.student(x), model.faculty.teachers[0].network(x)
    assert s.dtype == t.dtype == torch.bfloat16
    if 'gt' in distiller['student_recorders']:
        loss = DKDLoss(tau=4.0, beta=2.0, reduction='batchmean')
        expected = loss(s.float(), t.float(), labels)
    else:
        expected = KLDivergence(tau=4.0, reduction='batchmean')(s.float(), t.float())
    assert losses['distill.loss_kd'].dtype == losses['student.loss'].dtype == torch.float32
    assert torch.equal(losses['distill.loss_kd'], expected)


def test_connectors_learn_in_float32_under_autocast(school):
    distiller = kd_distiller()
    distiller['connectors'] = dict(scores=dict(type='CRDConnector', dim_in=6, dim_out=6))
    distiller['loss_forward_mappings']['loss_kd']['preds_S']['connector'] = 'scores'
    model = school(distiller).train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(images(4), samples([0, 1, 2, 5]))
    sum(losses.values()).backward()
    gradient = model.distillers['teacher'].connectors['scores'].linear.weight.grad
    assert gradient.dtype == torch.float32 and gradient.abs().sum() > 0


# ---- reductions
@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
def test_every_other_reduction_of_dkd_is_the_sum_of_which_a_warning_tells(school, reduction):
    from mmrazor.models.losses import DKDLoss

    s, t, labels = torch.randn(4, 6), torch.randn(4, 6), torch.tensor([0, 1, 2, 5])
    mean, other = (DKDLoss(reduction=r)(s, t, labels) for r in ('batchmean', reduction))
    assert torch.allclose(other.sum(), 4 * mean)
    distiller = logits_distiller(dict(type='DKDLoss', reduction=reduction), labels=True)
    with pytest.warns(UserWarning, match=r'distill_losses.loss_kd.reduction=.*sum over the batch'):
        school(distiller)


@pytest.mark.parametrize('reduction', ['mean', 'none'])
def test_kl_averaged_over_classes_is_told_of(school, reduction):
    with pytest.warns(UserWarning, match='shrinks as a curriculum introduces classes'):
        school(logits_distiller(dict(type='KLDivergence', reduction=reduction)))


def test_a_sum_over_the_samples_is_told_of(school):
    with pytest.warns(UserWarning, match='loss_kd.reduction="sum" adds up the samples'):
        school(logits_distiller(dict(type='KDSoftCELoss', reduction='sum')))


@pytest.mark.filterwarnings('ignore:.*shrinks as a curriculum')
@pytest.mark.parametrize('weighting', ['average', 'entropy'])
def test_a_loss_without_reduction_counts_by_its_mean_whatever_the_shares(teacher_file, weighting):
    def losses(reduction, labels):
        loss = dict(type='KLDivergence', tau=2.0, reduction=reduction)
        model = build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=[
                    dict(
                        name=f'of_{len(classes)}',
                        architecture=resnet(len(classes)),
                        ckpt=teacher_file(f'of_{len(classes)}', len(classes), 5),
                        classes=classes,
                    )
                    for classes in ([0, 1, 2, 3], [2, 3, 4, 5, 1])
                ],
                teacher_weighting=weighting,
                distiller=logits_distiller(loss),
                curriculum=ONE_GRADE,
            )
        )
        return model.loss(images(len(labels)), samples(labels))['distill.loss_kd']

    # Three samples of the one, two of the other, and one or three of both.
    for labels in ([0, 0, 0, 4, 5, 2], [0, 0, 0, 4, 5, 2, 3, 1]):
        assert losses('none', labels).ndim == 0
        assert torch.allclose(losses('none', labels), losses('mean', labels), rtol=1e-5)


def test_right_reductions_give_no_warning(school):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        school(dkd_distiller())
        school(kd_distiller())
    assert not [warning for warning in seen if 'distill_losses' in str(warning.message)]
