"""Teachers that teach as one: the mean of their probabilities, then one loss."""

import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from networks import build, dkd_distiller, images, kd_distiller, resnet, samples
from torch.nn import functional as F

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.teachers import TeacherEnsemble
from edudistill_mm.models.teachers.base_teacher import BaseTeacher
from edudistill_mm.models.teachers.weighting import TeacherWeighting

LABELS = (0, 1, 2, 5)
ONE_GRADE = [dict(epochs=1, fragments=3, classes='all')]


class Said(BaseTeacher):
    """A teacher that always gives the same scores."""

    def __init__(self, name, probabilities, weight=1.0):
        super().__init__(name, ClassIndex(range(3), 3), weight)
        self.scores = torch.tensor([probabilities]).log() + 7

    def teach(self, inputs):
        return self.scores.expand(len(inputs), -1)


def test_the_mean_is_that_of_the_probabilities_by_hand():
    # (0.8, 0.1, 0.1) once and (0.2, 0.2, 0.6) three times: (0.35, 0.175, 0.475).
    ensemble = TeacherEnsemble(
        [Said('a', [0.8, 0.1, 0.1]), Said('b', [0.2, 0.2, 0.6], 3.0)],
        TeacherWeighting.from_cfg('average'),
    )
    grades = [dict(epochs=1, classes=2), dict(epochs=1, classes=1, leave=['b'])]
    first, second = Curriculum.from_cfg(dict(num_classes=3, grades=grades), ['a', 'b']).grades
    assert ensemble.enter(first)
    # Of the first two classes alone: (8/9, 1/9) once and (1/2, 1/2) three times.
    two = torch.tensor([[8 / 9 + 1.5, 1 / 9 + 1.5]]) / 4
    assert torch.allclose(ensemble.teach(torch.zeros(1)).exp(), two)
    assert ensemble.enter(second) and [member.name for member in ensemble.members] == ['a']
    assert torch.allclose(ensemble.teach(torch.zeros(1)).exp(), torch.tensor([[0.8, 0.1, 0.1]]))


def test_three_classes_by_hand():
    ensemble = TeacherEnsemble(
        [Said('a', [0.8, 0.1, 0.1]), Said('b', [0.2, 0.2, 0.6], 3.0)],
        TeacherWeighting.from_cfg('average'),
    )
    curriculum = dict(num_classes=3, grades=[dict(epochs=1, classes='all')])
    ensemble.enter(Curriculum.from_cfg(curriculum, ['a', 'b']).grades[0])
    said = ensemble.teach(torch.zeros(2))
    assert torch.allclose(said.exp(), torch.tensor([[0.35, 0.175, 0.475]] * 2))


@pytest.fixture
def school(teacher_file):
    """Two generalists, the second of which has its outputs in another order and two more."""

    def make(names=('one', 'two'), distiller=None, **kwargs):
        known = dict(
            one=dict(name='one', architecture=resnet(), ckpt=teacher_file('one', 6, 1)),
            two=dict(
                name='two',
                architecture=resnet(8),
                ckpt=teacher_file('two', 8, 2),
                outputs=[3, 0, 1, 2, 7, 5],
                weight=2.0,
            ),
            expert=dict(
                name='expert',
                architecture=resnet(2),
                ckpt=teacher_file('expert', 2, 3),
                classes=[1, 0],
            ),
        )
        cfg = dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[known[name] for name in names],
            distiller=distiller or kd_distiller(),
            teacher_ensemble=True,
            curriculum=dict(num_classes=6, grades=ONE_GRADE),
        )
        return build({**cfg, **kwargs}).eval()

    return make


def probabilities(model, x):
    """What each teacher says, [K, B, 6]."""
    one, two = (teacher.network(x).detach() for teacher in model.faculty.teachers)
    return torch.stack([one.softmax(1), two[:, [3, 0, 1, 2, 7, 5]].softmax(1)])


def kd(student, mean, tau=4):
    """T^2 KL(softmax(log p / T), softmax(s / T)), the mean over samples."""
    target = (mean.log() / tau).softmax(1)
    return tau**2 * F.kl_div((student / tau).log_softmax(1), target, reduction='batchmean')


@pytest.mark.parametrize('weighting', ['average', 'entropy', 'confidence'])
def test_one_loss_is_computed_from_the_mean_by_each_weighting(school, weighting):
    model, x = school(teacher_weighting=weighting), images(4)
    said = probabilities(model, x)
    doubt = dict(
        average=torch.ones(2, 4),
        entropy=-(said * said.log()).sum(2) / math.log(6),
        confidence=1 / said[:, range(4), LABELS],
    )[weighting]
    if weighting == 'confidence':
        # A softmax of cross-entropies is a share of inverse probabilities.
        assert torch.allclose((-said[:, range(4), LABELS].log()).softmax(0), doubt / doubt.sum(0))
    # Of two teachers each weighs by the other's doubt, and by its own fixed weight.
    weights = (1 - doubt / doubt.sum(0)) * torch.tensor([[1.0], [2.0]])
    mean = (weights / weights.sum(0))[..., None] * said
    losses = model.loss(x, samples(LABELS))
    assert torch.allclose(losses['distill.loss_kd'], kd(model.student(x), mean.sum(0)), rtol=1e-4)
    losses['distill.loss_kd'].backward()
    assert model.student.head.fc.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('distiller', [kd_distiller(), dkd_distiller()], ids=['kd', 'dkd'])
def test_one_teacher_is_the_same_within_rounding(school, distiller):
    alone, ensemble = (
        school(['one'], distiller, teacher_ensemble=wanted).loss(images(4), samples(LABELS))
        for wanted in (False, True)
    )
    assert torch.allclose(alone['distill.loss_kd'], ensemble['distill.loss_kd'], rtol=1e-5)
    assert torch.equal(alone['student.loss'], ensemble['student.loss'])


def test_it_follows_the_classes_and_the_faculty_of_a_grade(school):
    grades = [
        dict(epochs=1, fragments=1, classes=3, teachers=['one']),
        dict(epochs=1, fragments=2, teachers=['two']),
        dict(epochs=1, fragments=3, classes='all', leave=['one']),
    ]
    model, x = school(curriculum=dict(num_classes=6, grades=grades)), images(2)
    for grade, weights, count in zip(model.curriculum.grades, ([1, 0], [1, 2], [0, 1]), (3, 3, 6)):
        model.set_grade(grade)
        said = probabilities(model, x)[..., :count]
        said = said / said.sum(2, keepdim=True)
        mean = (torch.tensor(weights)[:, None, None] * said).sum(0) / sum(weights)
        loss = model.loss(x, samples([0, 2]))['distill.loss_kd']
        assert torch.allclose(loss, kd(model.student(x)[:, :count], mean), rtol=1e-4)


def test_connectors_are_those_of_one_distiller_and_learn(school):
    distiller = kd_distiller()
    distiller['connectors'] = dict(wide=dict(type='LogitStandardization'))
    distiller['loss_forward_mappings']['loss_kd']['preds_T']['connector'] = 'wide'
    model = school(distiller=distiller)
    assert list(model.distillers) == ['ensemble']
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    log = model.train_step(dict(inputs=images(4), data_samples=samples(LABELS)), wrapper)
    assert torch.isfinite(log['distill.loss_kd'])


FEATURES = dict(
    kd_distiller(), teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='backbone'))
)
DELIVERIES = dict(
    kd_distiller(),
    distill_deliveries=dict(
        mix=dict(type='FunctionOutputs', max_keep_data=1, func_path='networks.images')
    ),
)


@pytest.mark.parametrize(
    'options, words',
    [
        (
            dict(names=('one', 'expert')),
            'teacher "expert" covers 2 of 6; leave the teacher out, or set teacher_ensemble=False',
        ),
        (
            dict(names=('one',), distiller=FEATURES),
            'teacher_ensemble=True averages class scores alone, but .* records "backbone"',
        ),
        (
            dict(names=('one',), distiller=DELIVERIES),
            'teacher_ensemble=True averages class scores alone, but distiller.distill_deliveries',
        ),
        (dict(teacher_ensemble='mean'), 'model.teacher_ensemble must be True or False'),
        (
            dict(teachers=None, distiller=None),
            'teacher_ensemble is True, but there are no teachers',
        ),
    ],
)
def test_what_cannot_teach_as_one_is_refused(school, options, words):
    with pytest.raises(ConfigurationError, match=words):
        school(**options)
