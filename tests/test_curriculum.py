import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict

import edudistill_mm
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError

TEACHERS = ('anna', 'berta', 'carla')


def school(**changes):
    """A valid curriculum of ten classes; changes are keys of it, or ``<index>_<key>`` of a
    grade."""
    cfg = dict(
        num_classes=10,
        grades=[
            dict(name='primary', epochs=4, fragments=1, classes=3, teachers=['anna']),
            dict(name='middle', epochs=2, fragments=2, classes=[7, 5, 6], teachers=['berta']),
            dict(name='university', epochs=6, fragments=3, classes='all', teachers=['carla']),
        ],
    )
    for key, value in changes.items():
        index, _, name = key.partition('_')
        if index.isdigit():
            cfg['grades'][int(index)][name] = value
        else:
            cfg[key] = value
    return cfg


@st.composite
def curricula(draw):
    """A valid config and its teachers: any partition of the classes, by number, by list or by
    'all'."""
    num_classes = draw(st.integers(1, 12))
    num_grades = draw(st.integers(1, 5))
    order = draw(st.permutations(range(num_classes)))
    borders = sorted(
        draw(
            st.lists(st.integers(1, num_classes), min_size=num_grades - 1, max_size=num_grades - 1)
        )
    ) + [num_classes]
    unit = draw(st.sampled_from(['epochs', 'iters']))
    fragments = sorted(draw(st.lists(st.integers(1, 4), min_size=num_grades, max_size=num_grades)))
    teachers = draw(st.lists(st.sampled_from('abcd'), unique=True))
    entry = {name: draw(st.integers(0, num_grades - 1)) for name in teachers}
    exits = {name: draw(st.integers(entry[name] + 1, num_grades)) for name in teachers}
    grades, first = [], 0
    for index, border in enumerate(borders):
        forms = [border - first, list(order[first:border])] + (
            ['all'] if border == num_classes else []
        )
        grades.append(
            {
                unit: draw(st.integers(1, 6)),
                'fragments': fragments[index],
                'classes': draw(st.sampled_from(forms)),
                'teachers': [name for name in teachers if entry[name] == index],
                'leave': [name for name in teachers if exits[name] == index],
                **draw(st.sampled_from([{}, dict(temperature=2.5), dict(task_loss_weight=0)])),
            }
        )
        first = border
    return dict(num_classes=num_classes, class_order=list(order), grades=grades), teachers


@settings(deadline=None)
@given(curricula())
def test_seen_classes_grow_to_all_and_teachers_stay_until_they_leave(drawn):
    cfg, teachers = drawn
    curriculum = Curriculum.from_cfg(cfg, teachers)
    seen, joined, left = set(), (), set()
    for grade in curriculum.grades:
        assert seen.isdisjoint(grade.classes)
        seen |= set(grade.classes)
        joined += grade.new_teachers
        left |= set(grade.leaving)
        assert grade.seen == tuple(sorted(seen)) and grade.classes == tuple(sorted(grade.classes))
        assert grade.teachers == tuple(name for name in joined if name not in left)
    assert seen == set(range(curriculum.num_classes))
    assert sorted(joined) == sorted(teachers)
    assert curriculum.fragments == max(grade.fragments for grade in curriculum.grades)


@settings(deadline=None)
@given(curricula())
def test_grades_tile_the_run_and_grade_at_finds_them(drawn):
    curriculum = Curriculum.from_cfg(*drawn)
    timeline = [grade for grade in curriculum.grades for _ in range(grade.length)]
    assert [curriculum.grade_at(progress) for progress in range(curriculum.length)] == timeline
    assert all(
        timeline[grade.begin] is grade is timeline[grade.end - 1] for grade in curriculum.grades
    )
    assert (
        curriculum.grade_at(curriculum.length)
        is curriculum.grade_at(10**9)
        is curriculum.grades[-1]
    )


@settings(deadline=None)
@given(curricula())
def test_description_survives_json_and_builds_an_equal_curriculum(drawn):
    cfg, teachers = drawn
    curriculum = Curriculum.from_cfg(cfg, teachers)
    description = json.loads(json.dumps(curriculum.to_dict()))
    assert Curriculum.from_cfg(description, teachers) == curriculum
    assert curriculum.difference(description) is None


def test_fields_of_the_grades():
    curriculum = Curriculum.from_cfg(
        school(**{'2_optimizer': 'reset', '1_samples': 'by_teacher'}), TEACHERS
    )
    primary, middle, university = curriculum.grades
    assert (middle.index, middle.name, middle.begin, middle.end, middle.length) == (
        1,
        'middle',
        4,
        6,
        2,
    )
    assert (middle.classes, middle.seen) == ((5, 6, 7), (0, 1, 2, 5, 6, 7))
    assert (middle.new_teachers, middle.teachers) == (('berta',), ('anna', 'berta'))
    assert university.classes == (3, 4, 8, 9)
    assert [grade.optimizer for grade in curriculum.grades] == ['keep', 'keep', 'reset']
    assert [grade.samples for grade in curriculum.grades] == ['mixed', 'by_teacher', 'mixed']
    assert (curriculum.length, curriculum.fragments, curriculum.by_epoch) == (12, 3, True)


def test_defaults_are_names_by_number_no_new_classes_and_the_fragments_of_the_grade_before():
    curriculum = Curriculum.from_cfg(
        dict(
            num_classes=2,
            grades=[dict(iters=1, classes='all'), dict(iters=1, fragments=2), dict(iters=1)],
        )
    )
    assert [grade.name for grade in curriculum.grades] == ['grade1', 'grade2', 'grade3']
    assert [grade.fragments for grade in curriculum.grades] == [1, 2, 2]
    assert [grade.classes for grade in curriculum.grades] == [(0, 1), (), ()]
    assert not curriculum.by_epoch


def test_all_teachers_join_first_if_no_grade_names_any():
    cfg = dict(num_classes=2, grades=[dict(epochs=1, classes=1), dict(epochs=1, classes=1)])
    assert [grade.new_teachers for grade in Curriculum.from_cfg(cfg, TEACHERS).grades] == [
        TEACHERS,
        (),
    ]


def test_class_order_decides_which_classes_a_number_takes():
    def first(order):
        grades = [dict(epochs=1, classes=2), dict(epochs=1, classes='all')]
        return (
            Curriculum.from_cfg(dict(num_classes=10, class_order=order, grades=grades))
            .grades[0]
            .classes
        )

    assert first(None) == (0, 1)
    assert first([9, 4, 0, 1, 2, 3, 5, 6, 7, 8]) == (4, 9)
    shuffled = [
        Curriculum.from_cfg(
            school(class_order=dict(type='shuffle', seed=seed), **{'1_classes': 3}), TEACHERS
        ).class_order
        for seed in (0, 0, 1)
    ]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert sorted(shuffled[0]) == list(range(10))


@pytest.mark.parametrize(
    'num_classes, sizes',
    [(100, [33, 33, 34]), (17, [5, 6, 6]), (10, [3, 3, 4]), (257, [85, 86, 86]), (3, [1, 1, 1])],
)
def test_thirds_of_the_classes_end_at_their_rounded_down_borders(num_classes, sizes):
    thirds = [dict(epochs=1, classes=1 / 3) for _ in sizes]
    curriculum = Curriculum.from_cfg(dict(num_classes=num_classes, grades=thirds))
    assert [len(grade.classes) for grade in curriculum.grades] == sizes
    assert curriculum.grades[-1].seen == tuple(range(num_classes))


def test_a_share_takes_classes_by_class_order_after_other_grades_too():
    curriculum = Curriculum.from_cfg(
        dict(
            num_classes=4,
            class_order=[3, 1, 0, 2],
            grades=[
                dict(epochs=1, classes=[1]),
                dict(epochs=1, classes=0.5),
                dict(epochs=1, classes='all'),
            ],
        )
    )
    assert [grade.classes for grade in curriculum.grades] == [(1,), (0, 3), (2,)]


@given(st.integers(3, 300), st.integers(0, 5))
def test_the_shares_of_teachers_are_the_classes_of_grades_of_the_same_shares(count, seed):
    order = dict(type='shuffle', seed=seed)
    thirds = [dict(epochs=1, classes=1 / 3) for _ in range(3)]
    curriculum = Curriculum.from_cfg(dict(num_classes=count, class_order=order, grades=thirds))
    shares = [(0.0, 1 / 3), [1 / 3, 2 / 3], (2 / 3, 1.0)]
    assert [curriculum.classes_of(share) for share in shares] == [
        grade.classes for grade in curriculum.grades
    ]


def test_shuffled_order_of_seed_1993_is_that_of_the_literature():
    """CIFAR-100 as with iCaRL and its successors: np.random.seed(1993);
    np.random.permutation(100)."""
    order = Curriculum.from_cfg(
        dict(
            num_classes=100,
            class_order=dict(type='shuffle', seed=1993),
            grades=[dict(epochs=1, classes='all')],
        )
    ).class_order
    assert order[:6] == (68, 56, 78, 8, 23, 84)


def test_mmengine_configs_are_accepted():
    assert Curriculum.from_cfg(ConfigDict(school()), TEACHERS) == Curriculum.from_cfg(
        school(), TEACHERS
    )


def test_curriculum_needs_no_torch():
    # Without the package's __init__, which cures upstream and so loads torch.
    code = """
import importlib, sys, types
package = types.ModuleType("edudistill_mm")
package.__path__ = [sys.argv[1]]
sys.modules["edudistill_mm"] = package
importlib.import_module("edudistill_mm.curriculum")
assert not {"torch", "mmengine"} & set(sys.modules)
"""
    subprocess.run([sys.executable, '-c', code, edudistill_mm.__path__[0]], check=True)


def test_classes_of():
    curriculum = Curriculum.from_cfg(school(), TEACHERS)
    assert curriculum.classes_of('all') == tuple(range(10))
    assert curriculum.classes_of('middle') == (5, 6, 7)
    assert curriculum.classes_of([8, 2, 5]) == (8, 2, 5)


@pytest.mark.parametrize(
    'spec, message',
    [
        ('midle', 'did you mean "middle"'),
        ('nowhere', '"primary", "middle", "university"'),
        ([], 'empty'),
        ([1, 10], 'class 10, but classes run from 0 to 9'),
        ([1, -1], 'class -1'),
        ([1, 1], 'class 1 twice'),
        ([1, True], 'integers'),
        ([1, '2'], 'integers'),
        (3, 'integers'),
        (None, 'integers'),
    ],
)
def test_classes_of_refuses(spec, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Curriculum.from_cfg(school(), TEACHERS).classes_of(spec)


def test_classes_of_refuses_a_grade_that_adds_none():
    curriculum = Curriculum.from_cfg(
        dict(num_classes=1, grades=[dict(epochs=1, classes=1), dict(epochs=1)])
    )
    with pytest.raises(ConfigurationError, match='"grade2" names a grade that adds no classes'):
        curriculum.classes_of('grade2')


@pytest.mark.parametrize(
    'changes, message',
    [
        # classes
        ({'1_classes': [5, 6, 5]}, 'curriculum.grades[1].classes holds class 5 twice'),
        (
            {'1_classes': [2, 5]},
            'the grade "middle" holds class 2, which the grade "primary" teaches already',
        ),
        ({'2_classes': 3}, 'class 9 is never taught'),
        ({'2_classes': [3, 4]}, 'classes 8, 9 are never taught'),
        (
            {'2_classes': 5},
            'curriculum.grades[2].classes takes 5 classes, but only 4 of num_classes=10 are left',
        ),
        ({'0_classes': [0, 10]}, 'class 10, but classes run from 0 to 9'),
        ({'0_classes': [0, -1]}, 'class -1, but classes run from 0 to 9'),
        ({'0_classes': 0}, 'the first grade must teach at least one class'),
        ({'0_classes': []}, 'the first grade must teach at least one class'),
        (
            {'0_classes': -1},
            'must be a number of classes, a share of them (a float up to 1.0), a list of class indices or '
            '"all", not -1',
        ),
        ({'0_classes': True}, 'not True'),
        ({'0_classes': 2.0}, 'not 2.0'),
        ({'0_classes': 'al'}, "not 'al'"),
        ({'0_classes': None}, 'not None'),
        ({'0_classes': [0, 1.0]}, 'must list class indices (integers), not [0, 1.0]'),
        # length and depth
        ({'0_epochs': 0}, 'curriculum.grades[0].epochs must be a positive integer, but got 0'),
        ({'0_epochs': '4'}, "but got '4'"),
        ({'0_epochs': 4.0}, 'but got 4.0'),
        ({'0_epochs': True}, 'but got True'),
        ({'1_iters': 5}, 'curriculum.grades[1] gives both epochs and iters'),
        (
            {'1_fragments': 4},
            'grades[2].fragments is 3, but the grade "middle" before it already runs 4',
        ),
        (
            {'0_fragments': 0},
            'curriculum.grades[0].fragments must be a positive integer, but got 0',
        ),
        ({'0_fragments': '1'}, "but got '1'"),
        ({'0_fragments': True}, 'but got True'),
        # teachers
        (
            {'0_teachers': ['ana']},
            'unknown teacher "ana" (did you mean "anna"?); the teachers are "anna",',
        ),
        ({'1_teachers': []}, 'never let the teacher "berta" join'),
        ({'0_teachers': [], '1_teachers': []}, 'never let the teacher "anna" join'),
        (
            {'1_teachers': ['berta', 'anna']},
            'lets the teacher "anna" join a second time, after curriculum.gr',
        ),
        ({'1_teachers': ['berta', 'berta']}, 'lets the teacher "berta" join a second time'),
        ({'1_teachers': 'berta'}, "must be a list of names of teachers, not 'berta'"),
        ({'1_teachers': [3]}, 'must be a list of names of teachers, not [3]'),
        (
            {'1_leave': ['ana']},
            'curriculum.grades[1].leave names an unknown teacher "ana" (did you mean "anna"?); the',
        ),
        ({'1_leave': 'anna'}, "grades[1].leave must be a list of names of teachers, not 'anna'"),
        (
            {'1_leave': ['berta']},
            'curriculum.grades[1].leave has the teacher "berta", which joins at curriculum.grades[1]; a '
            'teacher leaves at a grade after the one at which it joins',
        ),
        ({'0_leave': ['berta']}, '"berta", which joins at curriculum.grades[1]'),
        (
            {'1_leave': ['anna'], '2_leave': ['anna']},
            'curriculum.grades[2].leave lets the teacher "anna" leave a second time, after '
            'curriculum.grades[1]',
        ),
        ({'1_leave': ['anna', 'anna']}, 'lets the teacher "anna" leave a second time'),
        (
            {'1_leave': ['anna'], '2_teachers': ['carla', 'anna']},
            'grades[2].teachers lets the teacher "anna" join a second time',
        ),
        # losses
        (
            {'1_task_loss_weight': -1},
            'curriculum.grades[1].task_loss_weight must be a number >= 0',
        ),
        ({'1_distill_loss_weight': '2'}, "distill_loss_weight must be a number >= 0, but got '2'"),
        ({'2_temperature': 0}, 'curriculum.grades[2].temperature must be a number above 0'),
        ({'2_temperature': True}, 'curriculum.grades[2].temperature must be a number'),
        # names and options
        (
            {'1_name': 'primary'},
            'curriculum.grades[1].name is "primary", which an earlier grade is called',
        ),
        ({'1_name': ''}, 'must be a non-empty string'),
        ({'1_name': 2}, 'must be a non-empty string, not 2'),
        ({'1_name': 'all'}, 'stands for all classes'),
        (
            {'1_optimizer': 'rest'},
            'must be one of keep, reset, but got \'rest\' (did you mean "reset"?)',
        ),
        (
            {'1_optimizer': True},
            'curriculum.grades[1].optimizer must be one of keep, reset, but got True',
        ),
        (
            {'1_samples': 'teacher'},
            "curriculum.grades[1].samples must be one of mixed, by_teacher, but got 'teacher'",
        ),
        ({'1_samples': ['mixed']}, 'must be one of mixed, by_teacher'),
        (
            {'1_class': 3},
            'curriculum.grades[1] has the unknown key "class" (did you mean "classes"?)',
        ),
        # the curriculum itself
        (
            {'num_class': 10},
            'curriculum has the unknown key "num_class" (did you mean "num_classes"?)',
        ),
        ({'num_classes': 0}, 'curriculum.num_classes must be a positive integer, but got 0'),
        ({'num_classes': '10'}, "but got '10'"),
        ({'num_classes': True}, 'but got True'),
        ({'num_classes': None}, 'but got None'),
        ({'grades': []}, 'curriculum.grades must be a list of at least one grade, not []'),
        ({'grades': None}, 'not None'),
        ({'grades': dict(epochs=1)}, 'must be a list of at least one grade'),
        ({'grades': ['primary']}, 'curriculum.grades[0] must be a dict with the keys'),
        ({'grades': [dict(classes='all')]}, 'curriculum.grades[0] gives no duration'),
        (
            {'grades': [dict(epochs=1, classes=5), dict(iters=1, classes=5)]},
            'mix epochs and iters',
        ),
        # class order
        ({'class_order': [0, 1, 2]}, 'classes 3, 4, 5, 6, 7, 8, 9 are missing'),
        ({'class_order': [*range(9), 8]}, 'curriculum.class_order holds class 8 twice'),
        ({'class_order': [*range(9), 10]}, 'class 10, but classes run from 0 to 9'),
        ({'class_order': [*range(9), '9']}, 'must list class indices'),
        (
            {'class_order': 'shuffle'},
            'a list of all classes or dict(type="shuffle", seed=...), not \'shuffle\'',
        ),
        ({'class_order': dict(type='shufle')}, '\'shufle\' (did you mean "shuffle"?)'),
        (
            {'class_order': dict(seed=1)},
            'curriculum.class_order.type must be one of shuffle, but got None',
        ),
        ({'class_order': dict(type='shuffle', sed=1)}, '"sed" (did you mean "seed"?)'),
        ({'class_order': dict(type='shuffle', seed=-1)}, 'not -1'),
        ({'class_order': dict(type='shuffle', seed=True)}, 'not True'),
        ({'class_order': dict(type='shuffle', seed='1')}, "not '1'"),
    ],
)
def test_mistakes_are_one_sentence_that_says_what_is_wrong(changes, message):
    with pytest.raises(ConfigurationError) as error:
        Curriculum.from_cfg(school(**changes), TEACHERS)
    assert message in str(error.value)
    assert '\n' not in str(error.value) and not str(error.value).endswith('.')


def test_curriculum_must_be_a_dict():
    with pytest.raises(ConfigurationError, match='curriculum must be a dict with the keys'):
        Curriculum.from_cfg([dict(epochs=1)])


def test_grade_names_a_teacher_where_there_is_none():
    with pytest.raises(ConfigurationError, match='unknown teacher "anna"; there are no teachers'):
        Curriculum.from_cfg(school())


def test_teachers_need_different_names():
    with pytest.raises(ConfigurationError, match=r'teachers\[2\].name is "anna" again'):
        Curriculum.from_cfg(school(), ['anna', 'berta', 'anna'])


def test_progress_is_not_negative():
    with pytest.raises(ConfigurationError, match='progress is -1'):
        Curriculum.from_cfg(school(), TEACHERS).grade_at(-1)


def test_length_must_be_that_of_the_training_loop():
    curriculum = Curriculum.from_cfg(school(), TEACHERS)
    curriculum.check_length(True, 12)
    with pytest.raises(
        ConfigurationError, match=r'max_epochs is 13, but .* add up to 4 \+ 2 \+ 6 = 12;'
    ):
        curriculum.check_length(True, 13)
    with pytest.raises(
        ConfigurationError, match=re.escape('train_cfg counts iters (max_iters=12)')
    ):
        curriculum.check_length(False, 12)
    by_iter = Curriculum.from_cfg(dict(num_classes=2, grades=[dict(iters=7, classes='all')]))
    by_iter.check_length(False, 7)
    with pytest.raises(ConfigurationError, match='max_iters is 8, but the iters .* add up to 7;'):
        by_iter.check_length(False, 8)
    with pytest.raises(ConfigurationError, match='train_cfg counts epochs'):
        by_iter.check_length(True, 7)


@pytest.mark.parametrize(
    'changes, phrase',
    [
        ({'1_fragments': 3}, 'grade 2 "middle": fragments 2, was 3'),
        ({'1_name': 'high'}, 'grade 2 "middle": name middle, was high'),
        ({'0_epochs': 5}, 'grade 1 "primary": epochs 4, was 5'),
        ({'2_temperature': 2}, 'grade 3 "university": temperature None, was 2'),
        ({'0_task_loss_weight': 0.5}, 'grade 1 "primary": task_loss_weight None, was 0.5'),
        ({'2_optimizer': 'reset'}, 'grade 3 "university": optimizer keep, was reset'),
        ({'2_leave': ['anna']}, 'grade 3 "university": leave None, was [\'anna\']'),
        ({'2_samples': 'by_teacher'}, 'grade 3 "university": samples mixed, was by_teacher'),
        (
            {'0_teachers': ['anna', 'berta'], '1_teachers': []},
            "grade 1 \"primary\": teachers ['anna'], was ['anna', 'berta']",
        ),
        ({'1_classes': [5, 8]}, 'grade 2 "middle": 3 classes, was 2 (added [6, 7], dropped [8])'),
        ({'num_classes': 11}, 'num_classes 10, was 11'),
        ({'1_image_size': 24}, 'grade 2 "middle": image_size None, was [24, 24]'),
        ({'1_augmentation': 0.5}, 'grade 2 "middle": augmentation None, was 0.5'),
    ],
)
def test_difference_names_what_changed(changes, phrase):
    then = Curriculum.from_cfg(school(**changes), TEACHERS).to_dict()
    assert Curriculum.from_cfg(school(), TEACHERS).difference(then) == phrase


def test_teachers_that_all_join_at_the_first_grade_may_leave():
    grades = [
        dict(epochs=1, classes='all'),
        dict(epochs=1, leave=['a']),
        dict(epochs=1, leave=['b']),
    ]
    curriculum = Curriculum.from_cfg(dict(num_classes=2, grades=grades), ['a', 'b'])
    assert [grade.teachers for grade in curriculum.grades] == [('a', 'b'), ('b',), ()]


def test_a_curriculum_without_new_keys_is_described_as_by_earlier_versions():
    keys = {'name', 'epochs', 'fragments', 'classes', 'teachers', 'optimizer', 'samples'}
    described = Curriculum.from_cfg(school(), TEACHERS).to_dict()
    assert all(set(grade) == keys for grade in described['grades'])


def test_the_size_of_images_is_one_number_or_two_and_is_written_where_it_is_given():
    curriculum = Curriculum.from_cfg(school(**{'0_image_size': 16, '1_image_size': 0.7}), TEACHERS)
    assert [grade.image_size for grade in curriculum.grades] == [(16, 16), 0.7, None]
    # 22.4 and 35.7
    assert [g.size_of(32, 51) for g in curriculum.grades] == [(16, 16), (22, 36), (32, 51)]
    assert [g.describe_size() for g in curriculum.grades] == ['16x16', '0.7 of the sides', 'full']
    pair = Curriculum.from_cfg(school(**{'0_image_size': (24, 20)}), TEACHERS).grades[0]
    assert pair.image_size == pair.size_of(32, 32) == (24, 20)
    written = json.loads(json.dumps(curriculum.to_dict()))
    assert Curriculum.from_cfg(written, TEACHERS) == curriculum
    assert curriculum.difference(written) is None
    # Checkpoints of runs without the key are those of earlier versions.
    assert 'image_size' not in str(Curriculum.from_cfg(school(), TEACHERS).to_dict())


@pytest.mark.parametrize(
    'changes, words',
    [
        (
            {'0_image_size': 0},
            'grades[0].image_size must be a positive integer or (height, width)',
        ),
        ({'1_image_size': [16, 16, 3]}, 'grades[1].image_size must be a positive integer or'),
        ({'1_image_size': 1.5}, '(height, width) or a share of the sides (a float such as 0.75)'),
        (
            {'2_image_size': 16},
            'grades[2].image_size is 16, but the last grade is the plain student',
        ),
    ],
)
def test_a_size_of_images_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        Curriculum.from_cfg(school(**changes), TEACHERS)


def test_the_strength_of_the_augmentation_is_1_unless_given_and_written_where_it_is_another():
    curriculum = Curriculum.from_cfg(
        school(**{'0_augmentation': 0, '1_augmentation': 0.5, '2_augmentation': 1}), TEACHERS
    )
    assert [grade.augmentation for grade in curriculum.grades] == [0, 0.5, 1]
    written = json.loads(json.dumps(curriculum.to_dict()))
    assert [grade.get('augmentation') for grade in written['grades']] == [0, 0.5, None]
    assert Curriculum.from_cfg(written, TEACHERS) == curriculum
    assert curriculum.difference(written) is None


@pytest.mark.parametrize('value', [-0.1, 1.5, True, 'strong', None, float('nan')])
def test_a_strength_of_the_augmentation_that_is_no_probability_is_refused(value):
    words = re.escape(f'grades[1].augmentation must be a number from 0 to 1, but got {value!r}')
    with pytest.raises(ConfigurationError, match=words):
        Curriculum.from_cfg(school(**{'1_augmentation': value}), TEACHERS)


def test_difference_of_unit_and_number_of_grades():
    def build(unit, grades):
        return Curriculum.from_cfg(
            dict(num_classes=1, grades=[{unit: 1, 'classes': 'all'}] * grades)
        )

    then = build('epochs', 1).to_dict()
    assert build('epochs', 2).difference(then) == 'number of grades 2, was 1'
    assert build('iters', 1).difference(then) == 'grade 1 "grade1": counts iters, was epochs'


def test_class_order_alone_is_no_difference():
    """With classes in lists the order decides nothing, so a run may resume under another one."""
    orders = [None, dict(type='shuffle')]
    now, then = (
        Curriculum.from_cfg(
            dict(
                num_classes=3,
                class_order=order,
                grades=[dict(epochs=1, classes=[2]), dict(epochs=1, classes=[0, 1])],
            )
        )
        for order in orders
    )
    assert now.class_order != then.class_order and now.difference(then.to_dict()) is None
