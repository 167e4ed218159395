import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from networks import build, images, kd_distiller, logits_distiller, resnet, samples
from runs import scalars, school_config
from torch.nn import functional as F

from edudistill_mm.errors import ConfigurationError

GRADES = [
    dict(name='low', epochs=1, fragments=1, classes=2),
    dict(name='mid', epochs=1, fragments=2, classes=2),
    dict(name='high', epochs=1, fragments=3, classes=2),
]
PAST = dict(name='past', architecture='previous_grade')


def school(teachers=(PAST,), distiller=kd_distiller()):
    return build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=list(teachers),
            distiller=distiller,
            curriculum=dict(num_classes=6, grades=copy.deepcopy(GRADES)),
        )
    )


def promote(model, index):
    model.faculty.previous_grade.graduate(model.student)
    model.set_grade(model.curriculum.grades[index])


def test_in_the_first_grade_it_teaches_nobody():
    model = school()
    assert model.active_teachers == []
    assert set(model.loss(images(2), samples([0, 1]))) == {'student.loss'}


def test_it_teaches_the_old_classes_as_the_student_knew_them():
    model = school().eval()
    old = model(images(4), mode='tensor')[:, :2]
    promote(model, 1)
    with torch.no_grad():  # the new reference is untrained, the old scores stand
        model.student.references[0].head.fc.weight.add_(1)
    losses = model.loss(images(4), samples([0, 3, 1, 2]))
    rows = torch.tensor([0, 2])
    new = model(images(4), mode='tensor')[rows, :2]
    kl = F.kl_div((new / 4).log_softmax(1), (old[rows] / 4).softmax(1), reduction='batchmean')
    # Two of the four rows are of old classes.
    assert torch.allclose(losses['distill.loss_kd'], 0.5 * 16 * kl, atol=1e-6)


def test_it_stays_as_it_was_while_the_student_learns():
    model = school()
    promote(model, 1)
    before = copy.deepcopy(model.faculty.previous_grade.network.state_dict())
    sum(model.loss(images(4), samples([0, 3, 1, 2])).values()).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    model.loss(images(4), samples([0, 3, 1, 2]))
    for name, tensor in model.faculty.previous_grade.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any('past' in name for name, _ in model.named_parameters())


def test_a_promotion_two_grades_on_brings_the_deeper_student():
    model = school()
    promote(model, 1)
    promote(model, 2)
    previous = model.faculty.previous_grade
    assert previous.network.depth == 2 and previous.classes.classes == (0, 1, 2, 3)


def test_it_shares_samples_with_an_expert_by_weight(teacher_file):
    expert = dict(
        name='low', architecture=resnet(2), ckpt=teacher_file('low', 2, 1), classes='low', weight=3
    )
    model = school((expert, PAST))
    promote(model, 1)
    lessons = model._assign(samples([0, 3, 1, 2]))
    # Half of the rows are of old classes, shared 3 to 1.
    assert [float(lesson.share) for lesson in lessons] == pytest.approx([0.375, 0.125])


@pytest.mark.parametrize(
    'teachers,message',
    [
        ((dict(PAST, ckpt='x.pth'),), r'teachers\[0\].ckpt is given, but'),
        ((dict(PAST, classes='all'),), r'teachers\[0\].classes is given, but'),
        ((PAST, dict(PAST, name='older')), 'teachers past, older all have the architecture'),
        ((dict(PAST, weight=-1),), r'teachers\[0\].weight must be a number'),
    ],
)
def test_what_it_cannot_have_is_refused(teachers, message):
    with pytest.raises(ConfigurationError, match=message):
        school(teachers)


def test_features_are_refused():
    distiller = logits_distiller(dict(type='L2Loss'), names=('s_feature', 't_feature', ''))
    for key in ('student_recorders', 'teacher_recorders'):
        distiller[key]['fc']['source'] = 'backbone.layer1'
    with pytest.raises(ConfigurationError, match='teaches by class scores, but.*backbone.layer1'):
        school(distiller=distiller)


@HOOKS.register_module()
class StopBefore(Hook):
    """Ends a run as a kill between two epochs does."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt


def run_config(tmp_path, name):
    config = school_config(tmp_path)
    config.work_dir = str(tmp_path / name)
    config.experiment_name = f'{tmp_path.name}_{name}'
    config.model.teachers.append(dict(PAST))
    config.model.curriculum.grades[1].teachers.append('past')
    return config


@pytest.mark.parametrize('epoch', [3, 5])
def test_a_resumed_run_has_the_same_previous_grade(epoch, tmp_path):
    whole = Runner.from_cfg(run_config(tmp_path, 'whole'))
    whole.train()
    broken = run_config(tmp_path, 'broken')
    broken.custom_hooks.append(dict(type='StopBefore', epoch=epoch))
    with pytest.raises(KeyboardInterrupt):
        Runner.from_cfg(broken).train()
    again = run_config(tmp_path, 'broken')
    again.resume, again.experiment_name = True, f'{tmp_path.name}_again'
    resumed = Runner.from_cfg(again)
    resumed.train()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    steps = [row['distill.loss_kd'] for row in scalars(whole.work_dir)[0]]
    later = [row['distill.loss_kd'] for row in scalars(resumed.work_dir)[0]]
    assert steps[-len(later) :] == later


def test_without_the_students_file_a_run_is_not_resumed(tmp_path):
    config = run_config(tmp_path, 'run')
    Runner.from_cfg(config).train()
    (tmp_path / 'run' / 'graduate_2.pth').unlink()
    config = run_config(tmp_path, 'run')
    config.resume, config.experiment_name = True, f'{tmp_path.name}_again'
    with pytest.raises(ConfigurationError, match='the student of grade "mid".*graduate_2.pth'):
        Runner.from_cfg(config).train()


def test_a_grade_may_have_a_name_that_no_file_can_have(tmp_path):
    config = run_config(tmp_path, 'run')
    config.model.curriculum.grades[0].name = 'classes 0/1'
    config.model.teachers[0].classes = 'classes 0/1'
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.epoch == 7
