"""Which of a teacher's outputs stand for its classes: by number, by name, and by the names in its
checkpoint."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from networks import build, dkd_distiller, images, kd_distiller, resnet, samples

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms.weigh_samples import weigh_samples
from edudistill_mm.models.class_names import find_names, names_in_config
from edudistill_mm.models.labels import classes_of
from edudistill_mm.models.network import build_network
from edudistill_mm.models.teachers import Faculty

LETTERS = tuple('abcdefghij')
DATA = LETTERS[:6]
# Outputs of the network of ten classes that stand for the six of the data, by some map.
OUTPUTS = [7, 2, 9, 0, 4, 5]


def save(path, state, **meta):
    torch.save(dict(meta=meta, state_dict=state), path)
    return str(path)


@pytest.fixture
def wide():
    """State of a network of ten classes."""
    model = build(resnet(10), 3)
    torch.nn.init.normal_(model.head.fc.weight, std=1.0)
    return model.state_dict()


def cut(state, outputs):
    """The same network with some of its outputs alone."""
    state = copy.deepcopy(state)
    for name in ('head.fc.weight', 'head.fc.bias'):
        state[name] = state[name][outputs]
    return state


def teacher_of(width=6, **cfg):
    curriculum = Curriculum.from_cfg(
        dict(num_classes=6, grades=[dict(epochs=1, fragments=1, classes='all')]), teachers=['t']
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = dict(dict(name='t', architecture=resnet(width)), **cfg)
        return Faculty.from_cfg([cfg], curriculum).teachers[0]


def school(distiller, width, **teacher):
    """Two grades, three classes each."""
    return build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[dict(name='t', architecture=resnet(width), **teacher)],
            distiller=distiller,
            curriculum=dict(
                num_classes=6, grades=[dict(epochs=1, fragments=3, classes=3) for _ in range(2)]
            ),
        )
    )


# ---- by number
def test_a_teacher_gives_the_scores_of_the_outputs_that_are_named(wide, tmp_path):
    ckpt = save(tmp_path / 'wide.pth', wide)
    teacher = teacher_of(10, ckpt=ckpt, classes=[4, 0, 1], outputs=[8, 3, 1])
    x = images(4)
    with torch.no_grad():
        assert torch.equal(teacher.teach(x), teacher.network(x)[:, [8, 3, 1]])
    assert teacher.describe()['outputs'] == [8, 3, 1]


@pytest.mark.parametrize('distiller', [kd_distiller(), dkd_distiller()], ids=['kd', 'dkd'])
def test_some_outputs_of_a_wide_teacher_teach_as_a_teacher_that_has_these_alone(
    distiller, wide, tmp_path
):
    one = school(distiller, 10, ckpt=save(tmp_path / 'wide.pth', wide), outputs=OUTPUTS)
    other = school(distiller, 6, ckpt=save(tmp_path / 'cut.pth', cut(wide, OUTPUTS)))
    other.load_state_dict(one.state_dict())
    x = images(5)
    for grade, labels in zip(one.curriculum.grades, ([0, 1, 2, 1, 0], [5, 1, 2, 3, 4])):
        one.set_grade(grade), other.set_grade(grade)
        ours, theirs = one.loss(x, samples(labels)), other.loss(x, samples(labels))
        assert ours['distill.loss_kd'] > 0
        # The last layer of both is another product of matrices.
        assert torch.allclose(ours['distill.loss_kd'], theirs['distill.loss_kd'], rtol=1e-5)


@pytest.mark.parametrize('scheme', ['entropy', 'confidence'])
def test_teachers_are_weighed_by_the_outputs_that_are_named(scheme, wide, tmp_path):
    parts = [
        (10, dict(ckpt=save(tmp_path / 'wide.pth', wide), outputs=OUTPUTS)),
        (6, dict(ckpt=save(tmp_path / 'cut.pth', cut(wide, OUTPUTS)))),
    ]
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[
                dict(name=f't{width}', architecture=resnet(width), **part) for width, part in parts
            ],
            teacher_weighting=scheme,
            distiller=kd_distiller(),
            curriculum=dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]),
        )
    )
    x, labels = images(4), samples([0, 5, 2, 3])
    scores = [teacher.teach(x) for teacher in model.faculty.teachers]
    classes = classes_of(labels)
    lessons = model._assign(labels, len(labels))
    lessons = weigh_samples(model.teacher_weighting, model.views, lessons, scores, classes, 4)
    # Both say the same.
    for lesson in lessons:
        assert torch.allclose(lesson.weights, torch.full((4,), 0.5), atol=1e-4)


@pytest.mark.parametrize(
    'outputs, words',
    [
        ([0, 1], ['teachers[0].outputs has 2 entries', 'classes are 3']),
        ([0, 1, 1], ['the output 1 more than once']),
        ([0, 1, 10], ['the number 10', '0 to 9']),
        ([0, 1, -1], ['the number -1']),
        ([0, 1, True], ['must be a list of output numbers']),
        ('abc', ["but got 'abc'"]),
        (['a', 'b', 'c'], ['does not say what its 10 outputs are called', 'give their numbers']),
        (None, ['covers 3 classes, but its head has 10 outputs', 'give teachers[0].outputs']),
    ],
)
def test_outputs_that_are_none_are_one_sentence(outputs, words, wide, tmp_path):
    with pytest.raises(ConfigurationError) as error:
        teacher_of(10, ckpt=save(tmp_path / 'wide.pth', wide), classes=[0, 1, 2], outputs=outputs)
    assert '\n' not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_outputs_go_by_name_where_the_checkpoint_has_names(wide, tmp_path):
    ckpt = save(tmp_path / 'wide.pth', wide, dataset_meta=dict(classes=LETTERS))
    teacher = teacher_of(10, ckpt=ckpt, classes=[0, 1], outputs=['h', 'c'])
    assert teacher.columns.classes == (7, 2)
    with pytest.raises(ConfigurationError, match=r'has "hh", which is no class of the checkpoint'):
        teacher_of(10, ckpt=ckpt, classes=[0, 1], outputs=['hh', 'c'])


# ---- by the names in the checkpoint
@pytest.mark.parametrize(
    'meta',
    [
        lambda names: dict(dataset_meta=dict(classes=names)),
        lambda names: dict(CLASSES=list(names)),
    ],
    ids=['mmengine', 'mmcls'],
)
def test_classes_in_another_order_are_found_by_name(meta, wide, tmp_path):
    order = [3, 0, 5, 1, 4, 2]
    names = tuple(DATA[label] for label in order)
    plain = save(tmp_path / 'plain.pth', cut(wide, [0, 1, 2, 3, 4, 5]))
    turned = save(tmp_path / 'turned.pth', cut(wide, order), **meta(names))
    right, teacher = teacher_of(ckpt=plain), teacher_of(ckpt=turned)
    teacher.introduce_data(DATA)
    assert torch.allclose(teacher.teach(images(3)), right.teach(images(3)), atol=1e-6)
    expert = teacher_of(ckpt=turned, classes=[5, 2, 1], outputs=['f', 'c', 'b'])
    expert.introduce_data(DATA)
    assert expert.columns.classes == (2, 5, 3)


def test_some_classes_of_a_wide_teacher_are_found_by_name(wide, tmp_path):
    names = ('Pickup Truck', 'c', 'j', 'i', 'a', 'e', 'h', 'b', 'd', 'f')
    ckpt = save(tmp_path / 'wide.pth', wide, dataset_meta=dict(classes=names))
    teacher = teacher_of(10, ckpt=ckpt)
    assert 'head has 10 outputs' in teacher.open_question
    teacher.introduce_data(('a', 'b', 'pickup_truck', 'd', 'e', 'f'))
    assert teacher.columns.classes == (4, 7, 0, 8, 5, 9) and teacher.open_question is None


def test_no_loss_is_computed_before_the_names_are_known(wide, tmp_path):
    ckpt = save(tmp_path / 'wide.pth', wide, dataset_meta=dict(classes=LETTERS[::-1]))
    model = school(kd_distiller(), 10, ckpt=ckpt)
    with pytest.raises(ConfigurationError, match=r'give teachers\[0\].outputs'):
        model.loss(images(2), samples([0, 1]))
    with pytest.raises(ConfigurationError, match=r'give teachers\[0\].outputs'):
        model.introduce_data(None)
    model.introduce_data(DATA)
    other = school(kd_distiller(), 6, ckpt=save(tmp_path / 'cut.pth', cut(wide, range(9, 3, -1))))
    other.load_state_dict(model.state_dict())
    ours, theirs = (m.loss(images(2), samples([0, 1])) for m in (model, other))
    assert torch.allclose(ours['distill.loss_kd'], theirs['distill.loss_kd'], rtol=1e-5)


def test_a_class_that_the_teacher_lacks_is_named(wide, tmp_path):
    names = ('a', 'b', 'c', 'd', 'e', 'pinetree')
    ckpt = save(tmp_path / 'six.pth', cut(wide, range(6)), dataset_meta=dict(classes=names))
    with pytest.raises(ConfigurationError, match='does not know the class "pine tree" .*outputs'):
        teacher_of(ckpt=ckpt).introduce_data((*DATA[:5], 'pine tree'))
    # It may be the checkpoint that is wrong.
    teacher = teacher_of(ckpt=ckpt, outputs=range(6))
    teacher.introduce_data((*DATA[:5], 'pine tree'))
    assert teacher.columns.complete and 'outputs' not in teacher.describe()


@pytest.fixture
def told(monkeypatch):
    """What is logged."""
    from edudistill_mm.models.teachers import teacher

    lines = []
    monkeypatch.setattr(teacher, 'print_log', lambda line, **kwargs: lines.append(line))
    return lines


def test_names_of_another_kind_are_no_names(wide, told, tmp_path):
    names = [f'n0{number}' for number in range(6)]
    ckpt = save(tmp_path / 'six.pth', cut(wide, range(6)), dataset_meta=dict(classes=names))
    teacher = teacher_of(ckpt=ckpt)
    teacher.introduce_data(DATA), teacher.introduce_data(DATA)
    assert teacher.columns.complete
    assert len(told) == 1 and '"n00", "n01"' in told[0] and 'in the order of' in told[0]


@pytest.mark.parametrize('names', [LETTERS, 'abcdef', [1, 2, 3, 4, 5, 6]])
def test_names_of_other_than_the_outputs_say_nothing(names, wide, told, tmp_path):
    ckpt = save(tmp_path / 'six.pth', cut(wide, range(6)), dataset_meta=dict(classes=names))
    teacher = teacher_of(ckpt=ckpt)
    teacher.introduce_data(DATA[::-1])
    assert teacher.columns.complete and not told


def test_outputs_of_the_config_win_over_names_that_contradict_them(wide, told, tmp_path):
    ckpt = save(tmp_path / 'wide.pth', wide, dataset_meta=dict(classes=LETTERS))
    teacher = teacher_of(10, ckpt=ckpt, outputs=[1, 0, 2, 3, 4, 5])
    teacher.introduce_data(DATA)
    assert teacher.columns.classes == (1, 0, 2, 3, 4, 5)
    assert len(told) == 1 and 'output 1, given for the class "a", is "b"' in told[0]


def test_names_in_the_order_of_the_classes_change_nothing(wide, told, tmp_path):
    ckpt = save(tmp_path / 'six.pth', cut(wide, range(6)), dataset_meta=dict(classes=DATA))
    teacher = teacher_of(ckpt=ckpt)
    x = images(2)
    with torch.no_grad():
        before = teacher.network(x)
    teacher.introduce_data(DATA)
    assert torch.equal(teacher.teach(x), before)
    assert not told and 'outputs' not in teacher.describe()


def test_names_that_are_there_twice_are_told_apart_by_their_order_or_not_at_all():
    assert find_names(['crane', 'b', 'crane'], ['b', 'crane', 'crane']) == [1, 0, 2]
    with pytest.raises(ConfigurationError, match='2 of them are called "crane"'):
        find_names(['crane', 'b'], ['b', 'crane', 'crane'])


def test_names_that_differ_in_their_case_are_taken_as_they_are_spelt_or_not_at_all():
    assert find_names(['Cat', 'cat', 'Sea_Lion'], ['cat', 'sea lion', 'Cat']) == [2, 0, 1]
    assert find_names(['cat'], ['Cat', 'cat']) == [1]
    assert find_names(['Cat', 'cat'], ['cat']) == [None, 0]
    with pytest.raises(ConfigurationError, match='2 of them are called "cat"'):
        find_names(['CAT', 'cAT'], ['cat', 'Cat'])


# ---- names in a config
def test_a_config_names_its_classes_by_its_metainfo(tmp_path):
    file = tmp_path / 'network.py'
    dataset = dict(type='CustomDataset', metainfo=dict(classes=LETTERS))
    file.write_text(f'model = {resnet(10)!r}\ntest_dataloader = dict(dataset={dataset!r})\n')
    network = build_network(str(file), 'teacher')
    torch.save(network.state_dict(), tmp_path / 'bare.pth')
    teacher = teacher_of(architecture=str(file), ckpt=str(tmp_path / 'bare.pth'))
    teacher.introduce_data(('j', 'a', 'b', 'c', 'd', 'e'))
    assert teacher.columns.classes == (9, 0, 1, 2, 3, 4)


def test_a_type_of_data_set_names_the_classes_of_published_weights_alone():
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='CIFAR10'))))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert names_in_config(cfg, published=True)[:2] == ('airplane', 'automobile')
        assert names_in_config(cfg, published=False) is None
