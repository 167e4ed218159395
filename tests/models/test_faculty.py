import pytest
import torch
from mmengine.registry import DefaultScope
from networks import images, resnet

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.labels import MIXED
from edudistill_mm.models.teachers import Faculty

CURRICULUM = dict(
    num_classes=6,
    grades=[
        dict(name='low', epochs=1, fragments=1, classes=2),
        dict(name='mid', epochs=1, fragments=1, classes=2),
        dict(name='high', epochs=1, fragments=1, classes=2),
    ],
)


def faculty_of(teachers, names=None):
    curriculum = Curriculum.from_cfg(CURRICULUM, teachers=names or Faculty.names(teachers))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Faculty.from_cfg(teachers, curriculum)


@pytest.fixture
def experts(teacher_file):
    """Three experts, one a grade, and a generalist."""
    teachers = [
        dict(name=name, architecture=resnet(2), ckpt=teacher_file(name, 2, seed), classes=name)
        for seed, name in enumerate(('low', 'mid', 'high'))
    ]
    return teachers + [
        dict(name='all', architecture=resnet(6), ckpt=teacher_file('all', 6, 9), weight=3.0)
    ]


def test_each_sample_goes_to_the_teachers_of_its_class(experts):
    faculty = faculty_of(experts[:3])
    lessons = faculty.assign(faculty.teachers, torch.tensor([5, 0, 1, 0, 4, 0]))
    assert {lesson.teacher.name: lesson.rows.tolist() for lesson in lessons} == {
        'low': [1, 2, 3, 5],
        'high': [0, 4],
    }
    assert {lesson.teacher.name: round(float(lesson.share), 6) for lesson in lessons} == {
        'low': round(4 / 6, 6),
        'high': round(2 / 6, 6),
    }


def test_teachers_that_share_a_sample_share_its_weight(experts):
    faculty = faculty_of(experts)
    low, _, _, everyone = faculty.teachers
    lessons = faculty.assign([low, everyone], torch.tensor([0, 1, 2, 3]))
    # Rows 0 and 1: low 1/4, all 3/4; rows 2 and 3: all alone. Shares of four rows: (1/4 + 1/4) / 4
    # and the rest.
    assert [(lesson.teacher.name, float(lesson.share)) for lesson in lessons] == [
        ('low', 0.125),
        ('all', 0.875),
    ]
    assert lessons[0].rows.tolist() == [0, 1] and lessons[1].rows is None


def test_a_generalist_alone_gets_the_batch_as_it_is(experts):
    faculty = faculty_of(experts)
    (lesson,) = faculty.assign(faculty.teachers[3:], torch.tensor([0, 5]))
    assert lesson.rows is None and lesson.share is None
    batch = images(2)
    assert lesson.select(batch) is batch


def test_generalists_share_batches_of_mixed_labels_by_weight(experts):
    faculty = faculty_of(experts[3:] + [dict(experts[3], name='second', weight=1.0)])
    lessons = faculty.assign(faculty.teachers, torch.full((4,), MIXED))
    assert [float(lesson.share) for lesson in lessons] == [0.75, 0.25]
    assert all(lesson.rows is None for lesson in lessons)


def test_mixed_samples_of_a_batch_go_to_generalists_alone(experts):
    faculty = faculty_of(experts)
    lessons = faculty.assign(faculty.teachers, torch.tensor([0, MIXED, 4, MIXED]))
    assert [(lesson.teacher.name, float(lesson.share)) for lesson in lessons] == [
        ('low', 0.0625),
        ('high', 0.0625),
        ('all', 0.875),
    ]
    assert lessons[0].rows.tolist() == [0] and lessons[1].rows.tolist() == [2]
    assert lessons[2].rows is None
    # The last class is no stand-in for a mixture.
    (lesson,) = faculty.assign(faculty.teachers[:3], torch.tensor([MIXED, 5]))
    assert lesson.teacher.name == 'high' and lesson.rows.tolist() == [1]


def test_three_experts_on_one_batch_run_each_image_once(experts):
    faculty = faculty_of(experts[:3])
    seen = []
    for teacher in faculty.teachers:
        teacher.network.register_forward_hook(
            lambda module, inputs, output: seen.append(len(inputs[0]))
        )
    labels, batch = torch.arange(6).repeat(3), images(18)
    for lesson in faculty.assign(faculty.teachers, labels):
        lesson.teacher.teach(lesson.select(batch))
    assert seen == [6, 6, 6]


def test_teachers_are_frozen_and_in_eval_mode(experts):
    teacher = faculty_of(experts[3:]).teachers[0]
    assert not any(module.training for module in teacher.network.modules())
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    before = teacher.network.backbone.bn1.running_mean.clone()
    assert not teacher.teach(images(2)).requires_grad
    assert torch.equal(before, teacher.network.backbone.bn1.running_mean)


def test_no_module_of_a_teacher_overwrites_its_input(experts):
    teacher = faculty_of(experts[3:]).teachers[0]
    assert not any(getattr(module, 'inplace', False) for module in teacher.network.modules())


def test_a_checkpoint_names_its_teachers(experts):
    import hashlib

    first = faculty_of(experts[:3]).describe()[0]
    with open(experts[0]['ckpt'], 'rb') as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert first == dict(name='low', source=experts[0]['ckpt'], sha256=digest, classes=[0, 1])


def test_pretrained_through_init_cfg_counts_as_a_checkpoint(experts):
    import copy

    architecture = copy.deepcopy(experts[0]['architecture'])
    architecture['init_cfg'] = dict(type='Pretrained', checkpoint=experts[0]['ckpt'])
    with_ckpt = faculty_of(experts[:3]).teachers[0].teach(images(2))
    faculty = faculty_of([dict(name='low', architecture=architecture, classes='low')])
    assert torch.equal(with_ckpt, faculty.teachers[0].teach(images(2)))


def test_a_checkpoint_wins_over_the_weights_that_a_config_file_names(experts, tmp_path):
    file = tmp_path / 'network.py'
    file.write_text(f'model = {experts[0]["architecture"]!r}')
    architecture = dict(cfg_path=str(file), pretrained=True)
    teacher = faculty_of([dict(experts[0], architecture=architecture)]).teachers[0]
    assert torch.equal(
        teacher.teach(images(2)), faculty_of(experts[:3]).teachers[0].teach(images(2))
    )
    with pytest.raises(ConfigurationError, match='pretrained=True needs "package::config"'):
        faculty_of([dict(name='low', architecture=architecture, classes='low')])


def test_a_teacher_of_one_class_is_refused(experts):
    with pytest.raises(
        ConfigurationError, match=r'^teachers\[0\].classes is class 3 alone'
    ) as error:
        faculty_of([dict(experts[0], classes=[3])])
    assert '\n' not in str(error.value)


def test_a_teacher_with_several_branches_is_refused_by_what_it_gives():
    class TwoBranches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3, 6)

        def forward(self, inputs, mode='tensor'):
            scores = self.fc(inputs.mean((2, 3)))
            return scores, scores

    teacher = dict(name='two', architecture=TwoBranches())
    with pytest.raises(ConfigurationError, match='gives 2 results for an image') as error:
        faculty_of([teacher])
    assert str(error.value).endswith('give teachers[0].architecture another network or head')


def test_a_list_of_classes_keeps_the_order_of_the_teachers_outputs(experts):
    teacher = faculty_of([dict(experts[0], classes=[3, 1])]).teachers[0]
    assert teacher.classes.classes == (3, 1)
    assert teacher.classes.positions(torch.device('cpu')).tolist() == [-1, 1, -1, 0, -1, -1]


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(classes=[0, 1, 2]), ['teachers[0]', '3 classes', '2 outputs']),
        (dict(classes='lwo'), ['teachers[0].classes', 'lwo', 'low']),
        (dict(ckpt=None), ['no checkpoint', 'teachers[0].ckpt', 'train_teachers']),
        (dict(ckpt='nowhere.pth'), ['teachers[0].ckpt', 'nowhere.pth']),
        (dict(ckpt=5), ['teachers[0].ckpt', '5']),
        (dict(weight=0), ['teachers[0].weight', '0']),
        (dict(weight=True), ['teachers[0].weight', 'True']),
        (dict(chkpt='x'), ['"chkpt"', 'did you mean "ckpt"']),
        (dict(name='a.b'), ['teachers[0].name', 'a.b']),
        (dict(architecture=resnet(6)), ['does not fit', 'head.fc']),
    ],
)
def test_a_wrong_teacher_is_one_sentence_that_names_the_key(experts, change, words):
    with pytest.raises(ConfigurationError) as error:
        faculty_of([{**experts[0], **change}])
    message = str(error.value)
    assert '\n' not in message and all(word in message for word in words), message


def test_the_same_name_twice_is_refused(experts):
    with pytest.raises(ConfigurationError, match='"low" is given twice'):
        Faculty.names([experts[0], experts[0]])


def test_a_missing_key_is_named():
    with pytest.raises(ConfigurationError, match=r'teachers\[0\] lacks the key "architecture"'):
        Faculty.names([dict(name='low')])
