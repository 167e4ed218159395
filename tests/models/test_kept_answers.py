"""Teachers whose class scores are kept: the losses of the plain path, and no second question."""

import copy
import logging
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from networks import build, dkd_distiller, kd_distiller, resnet

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.teachers.answers import KeptAnswers

DISTILLERS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'distillers'
COUNT, VIEWS = 24, 4
LABELS = torch.arange(COUNT) % 6
NORMALISED = dict(type='ClsDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3)
ONE_GRADE = [dict(epochs=1, fragments=3, classes='all')]
# The answers as they are, and rounded to 11 bits.
EXACT, ROUNDED = dict(rtol=1e-5, atol=1e-5), dict(rtol=5e-3, atol=5e-3)


class ShiftedImages:
    """Images in views that are shifted by a number of pixels."""

    def __init__(self, seed=0, fingerprint='images 0', num_views=VIEWS):
        random = torch.Generator().manual_seed(seed)
        self.images = torch.randint(256, (COUNT, 3, 16, 16), generator=random, dtype=torch.uint8)
        self.num_views, self.fingerprint = num_views, fingerprint

    def __len__(self):
        return COUNT

    def get_gt_labels(self):
        return LABELS.numpy()

    def render(self, indices, views):
        shifted = [image.roll(int(view), 2) for image, view in zip(self.images[indices], views)]
        return torch.stack(shifted)

    def batch(self, model, indices, views):
        """Preprocessed images and the samples of views."""
        indices, views = torch.as_tensor(indices), torch.as_tensor(views)
        samples = []
        for index, view in zip(indices, views):
            sample = DataSample().set_gt_label(int(LABELS[index]))
            sample.set_field(index, 'sample_idx')
            sample.set_field(view, 'view')
            samples.append(sample)
        data = dict(inputs=self.render(indices, views), data_samples=samples)
        data = model.data_preprocessor(data, False)
        return data['inputs'], data['data_samples']


def open_tables(model, data, folder, precision=torch.float32):
    model.faculty.open_answers(data, model.data_preprocessor, folder, precision)


@pytest.fixture
def school(teacher_file, tmp_path):
    """Function that builds a school; ``answers`` says where its teachers' are kept."""
    files = {}

    def make(names=('all',), keep_answers=False, answers='answers', data=None, **options):
        of = dict(all=(6, 1, 'all'), other=(6, 2, 'all'), low=(2, 3, [0, 1]), high=(4, 4, 'rest'))
        teachers = []
        for name in names:
            width, seed, classes = of[name]
            if name not in files:
                files[name] = teacher_file(name, width, seed)
            teachers.append(
                dict(
                    name=name,
                    architecture=resnet(width),
                    ckpt=files[name],
                    classes=[2, 3, 4, 5] if classes == 'rest' else classes,
                    **options.pop(f'of_{name}', {}),
                )
            )
        model = build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=teachers,
                distiller=options.pop('distiller', None) or kd_distiller(),
                data_preprocessor=options.pop('data_preprocessor', NORMALISED),
                curriculum=dict(
                    num_classes=6, grades=copy.deepcopy(options.pop('grades', ONE_GRADE))
                ),
                keep_answers=keep_answers,
                **options,
            )
        )
        model.introduce_data()
        if data is not None:
            open_tables(model, data, str(tmp_path / answers))
        return model

    return make


def forwards(model):
    """Counts the images that each teacher's network is run on."""
    counts = {teacher.name: 0 for teacher in model.faculty.teachers}

    def count(name):
        def hook(module, inputs, outputs):
            counts[name] += len(outputs)

        return hook

    for teacher in model.faculty.teachers:
        teacher.network.register_forward_hook(count(teacher.name))
    return counts


def losses_of(model, data, batches):
    """The losses of training steps."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.001))
    losses = []
    for indices, views in batches:
        with wrapper.optim_context(model):
            computed = model.loss(*data.batch(model, indices, views))
        total, log_vars = model.parse_losses(computed)
        wrapper.update_params(total)
        losses.append({name: value.item() for name, value in log_vars.items()})
    return losses


def some_batches(count=6, size=10, seed=0):
    random = np.random.default_rng(seed)
    return [
        (random.permutation(COUNT)[:size], random.integers(VIEWS, size=size)) for _ in range(count)
    ]


def assert_equal_losses(some, others, rtol, atol):
    for one, other in zip(some, others):
        assert list(one) == list(other)
        for name in one:
            assert one[name] == pytest.approx(other[name], rel=rtol, abs=atol), name


# ---- C13: the losses are those of the plain path
def of_page(name):
    return Config.fromfile(DISTILLERS / f'{name}.py').distiller.to_dict()


SLOW = pytest.mark.slow
DISTILLER_FILES = ['kd', 'dkd', 'dist', 'wsld', 'kd_standardized']


@pytest.mark.parametrize(
    'name, dtype, tolerance',
    [
        *((name, 'float32', EXACT) for name in DISTILLER_FILES),
        ('kd', 'float16', ROUNDED),
        *(pytest.param(name, 'float16', ROUNDED, marks=SLOW) for name in DISTILLER_FILES[1:]),
        pytest.param('kd_experts', 'float32', EXACT, marks=SLOW),
    ],
)
def test_each_distiller_that_reads_scores_has_its_losses(school, name, dtype, tolerance):
    data, batches = ShiftedImages(), some_batches(4)
    plain = losses_of(school(distiller=of_page(name)), data, batches)
    model = school(distiller=of_page(name), keep_answers=dict(dtype=dtype), data=data)
    counts = forwards(model)
    assert_equal_losses(losses_of(model, data, batches), plain, **tolerance)
    assert 0 < counts['all'] <= 40


EXPERTS, MIXED = ('low', 'high'), ('all', 'other', 'low')


@pytest.mark.parametrize(
    'names, weighting',
    [
        (EXPERTS, 'average'),
        (MIXED, 'entropy'),
        *(
            pytest.param(*case, marks=SLOW)
            for case in [
                (EXPERTS, 'entropy'),
                (EXPERTS, 'confidence'),
                (MIXED, 'average'),
                (MIXED, 'confidence'),
            ]
        ),
    ],
)
def test_experts_and_generalists_have_their_losses_under_each_weighting(school, names, weighting):
    data, batches = ShiftedImages(), some_batches(3) * 2
    options = dict(names=names, teacher_weighting=weighting, distiller=dkd_distiller())
    plain = losses_of(school(**options), data, batches)
    model = school(**options, keep_answers=dict(dtype='float32'), data=data)
    counts = forwards(model)
    first = losses_of(model, data, batches)
    assert_equal_losses(first, plain, **EXACT)
    asked = {(int(i), int(v)) for indices, views in batches for i, v in zip(indices, views)}
    for teacher in model.faculty.teachers:
        known = [(i, v) for i, v in asked if LABELS[i] in teacher.classes.classes]
        # The first view of the first image was asked at the beginning.
        begun = (teacher.classes.classes[0], 0) in known
        assert counts[teacher.name] == len(known) - begun


@pytest.mark.parametrize('weighting', ['average', 'confidence'])
def test_an_ensemble_has_its_losses_with_answers_of_some_teachers_or_all(school, weighting):
    data, batches = ShiftedImages(), some_batches(2) * 2
    options = dict(names=('all', 'other'), teacher_ensemble=True, teacher_weighting=weighting)
    plain = losses_of(school(**options), data, batches)
    keep = dict(dtype='float32')
    for kept in (dict(keep_answers=keep), dict(of_all=dict(keep_answers=keep))):
        model = school(**options, **kept, data=data)
        counts = forwards(model)
        assert_equal_losses(losses_of(model, data, batches), plain, **EXACT)
        assert counts['all'] <= 20 and counts['other'] == (
            40 if 'of_all' in kept else counts['all']
        )


def test_some_teachers_of_a_run_may_be_kept_and_others_run(school):
    data, batches = ShiftedImages(), some_batches(2) * 2
    plain = losses_of(school(names=('all', 'other')), data, batches)
    keep = dict(of_all=dict(keep_answers=dict(dtype='float32')))
    model = school(names=('all', 'other'), data=data, **keep)
    counts = forwards(model)
    assert_equal_losses(losses_of(model, data, batches), plain, **EXACT)
    assert counts['other'] == 40 and 0 < counts['all'] <= 20
    assert [teacher.keeping is None for teacher in model.faculty.teachers] == [False, True]


def test_a_grade_of_some_classes_reads_the_same_table(school):
    grades = [
        dict(name='low', epochs=1, fragments=1, classes=3),
        dict(name='high', epochs=1, fragments=3, classes=3),
    ]
    data = ShiftedImages()
    plain = school(grades=grades, distiller=dkd_distiller())
    kept = school(grades=grades, distiller=dkd_distiller(), keep_answers=True, data=data)
    counts = forwards(kept)
    for grade, images in ((0, [0, 1, 2, 6, 7, 8]), (1, range(12))):
        some = []
        for model in (plain, kept):
            model.set_grade(model.curriculum.grades[grade])
            some.append(losses_of(model, data, [(list(images), [1] * len(images))]))
        assert_equal_losses(*some, **ROUNDED)
    assert counts['all'] == 12


def test_a_teacher_of_more_outputs_than_classes_has_all_its_columns_kept(school, teacher_file):
    data, batches = ShiftedImages(), some_batches(2)
    wide = dict(of_all=dict(outputs=[1, 0, 5, 4, 3, 2]))
    plain = losses_of(school(**wide), data, batches)
    model = school(**wide, keep_answers=dict(dtype='float32'), data=data)
    assert_equal_losses(losses_of(model, data, batches), plain, **EXACT)


@SLOW
def test_scores_of_the_whole_network_and_of_its_head_are_kept_as_well(school):
    data, batches = ShiftedImages(), some_batches(2)
    for source in ('', 'head'):
        distiller = kd_distiller()
        distiller['teacher_recorders']['fc']['source'] = source
        plain = losses_of(school(distiller=distiller), data, batches)
        model = school(distiller=distiller, keep_answers=dict(dtype='float32'), data=data)
        assert_equal_losses(losses_of(model, data, batches), plain, **EXACT)


def test_one_hot_labels_and_accumulation_change_nothing(school):
    data, batches = ShiftedImages(), some_batches(3)
    one_hot = dict(NORMALISED, to_onehot=True, num_classes=6)
    plain = losses_of(school(data_preprocessor=one_hot), data, batches)
    keep = dict(dtype='float32')
    model = school(data_preprocessor=one_hot, keep_answers=keep, data=data)
    assert_equal_losses(losses_of(model, data, batches), plain, **EXACT)


# ---- asked once
def test_what_is_kept_is_not_asked_again_in_the_same_run_or_the_next(school):
    data, batches = ShiftedImages(), some_batches(2)
    model = school(keep_answers=True, data=data)
    counts = forwards(model)
    first = losses_of(model, data, batches)
    asked = counts['all']
    assert asked > 0
    again = school(keep_answers=True, data=data)
    counts = forwards(again)
    assert losses_of(again, data, batches) == first
    assert counts['all'] == 0


def test_a_view_that_is_twice_in_a_batch_is_asked_once(school):
    data = ShiftedImages()
    model = school(keep_answers=True, data=data)
    counts = forwards(model)
    losses_of(model, data, [([3, 5, 3, 3], [2, 1, 2, 1])])
    assert counts['all'] == 3


def test_the_first_answer_is_the_rounded_one_too(school):
    data = ShiftedImages()
    model = school(keep_answers=True, data=data)
    answers = model.faculty.teachers[0].answers
    indices, views = torch.arange(8), torch.ones(8, dtype=torch.long)
    inputs, _ = data.batch(model, indices, views)
    first = answers.look_up(lambda: inputs, indices, views)
    assert first.dtype == torch.float32 and torch.equal(first, first.half().float())
    exact = model.faculty.teachers[0].network(inputs, mode='tensor')
    assert torch.allclose(first, exact, rtol=1e-3) and not torch.equal(first, exact)

    def never():
        raise AssertionError('asked again')

    assert torch.equal(answers.look_up(never, indices, views), first)


def test_answers_filled_ahead_are_those_that_are_asked_on_the_way(school):
    data, batches = ShiftedImages(), some_batches(4)
    keep = dict(dtype='float32')
    on_the_way = losses_of(school(keep_answers=keep, data=data), data, batches)
    model = school(keep_answers=keep, answers='ahead', data=data)
    (teacher,) = model.faculty.teachers
    assert teacher.answers.wanted == COUNT * VIEWS
    # The beginning has asked one.
    assert sum(teacher.answers.fill(7)) == COUNT * VIEWS - 1
    assert len(teacher.answers.missing()) == 0
    counts = forwards(model)
    assert_equal_losses(losses_of(model, data, batches), on_the_way, **EXACT)
    assert counts['all'] == 0


def test_an_expert_is_filled_on_the_images_of_its_classes(school):
    model = school(names=('low', 'high'), keep_answers=True, data=ShiftedImages())
    low, high = (teacher.answers for teacher in model.faculty.teachers)
    assert (low.wanted, high.wanted) == (8 * VIEWS, 16 * VIEWS)
    assert set(LABELS[low.missing() // VIEWS].tolist()) == {0, 1}


def test_a_copy_on_the_device_gives_what_the_file_gives(school):
    data, batches = ShiftedImages(), some_batches(3) * 2
    expected = losses_of(school(keep_answers=True, data=data), data, batches)
    model = school(keep_answers=True, answers='copied', data=data)
    answers = model.faculty.teachers[0].answers
    answers.copy_to(torch.device('cpu'))
    counts = forwards(model)
    assert losses_of(model, data, batches) == expected
    asked = {(int(i), int(v)) for indices, views in batches for i, v in zip(indices, views)}
    assert counts['all'] == len(asked - {(0, 0)})
    # What was asked is in the file, too, and the copy may be complete.
    for _ in answers.fill(50):
        pass
    assert not answers._complete
    answers.copy_to(torch.device('cpu'))
    assert answers._complete
    counts['all'] = 0
    losses_of(model, data, some_batches(4, seed=1))
    assert counts['all'] == 0


# ---- which answers may be used
@pytest.fixture
def asked_by(school):
    """Function that trains a step with some options, and tells how many images were asked."""

    def train(data=None, precision=torch.float32, **options):
        data = data or ShiftedImages()
        model = school(keep_answers=True, **options)
        counts = forwards(model)
        folder = str(train.folder)
        open_tables(model, data, folder, precision)
        losses_of(model, data, [(range(8), [1] * 8)])
        return counts['all']

    return train


OTHER_QUESTIONS = dict(
    normalisation=dict(data_preprocessor=dict(NORMALISED, std=[61.0] * 3)),
    data=dict(data=ShiftedImages(fingerprint='images 1')),
    precision=dict(precision=torch.bfloat16),
    colours=dict(data_preprocessor=dict(NORMALISED, to_rgb=True)),
    size=dict(of_all=dict(input_size=20)),
    inputs=dict(of_all=dict(data_preprocessor=dict(mean=[1.0] * 3, std=[2.0] * 3))),
    views=dict(data=ShiftedImages(num_views=5)),
)


@pytest.mark.parametrize(
    'change',
    [
        pytest.param(change, id=name, marks=SLOW if number > 2 else ())
        for number, (name, change) in enumerate(OTHER_QUESTIONS.items())
    ],
)
def test_answers_to_other_questions_are_not_used(asked_by, tmp_path, change):
    asked_by.folder = tmp_path / 'tables'
    assert asked_by() == 9  # one at the beginning
    assert asked_by() == 1
    assert asked_by(**change) == 9
    assert asked_by() == 1
    assert len(list(asked_by.folder.glob('*.lock'))) == 2


def test_answers_of_another_teacher_are_not_used(school, asked_by, tmp_path):
    asked_by.folder = tmp_path / 'tables'
    assert asked_by() == 9
    folder = str(asked_by.folder)
    model = school(names=('other',), keep_answers=True)
    open_tables(model, ShiftedImages(), folder)
    assert len(list(asked_by.folder.glob('*.lock'))) == 2
    # The same network in another file and by another name.
    state = dict(state_dict=model.faculty.teachers[0].network.state_dict())
    torch.save(state, tmp_path / 'copy.pth')
    copied = school(keep_answers=True, of_all=dict())
    copied.faculty.teachers[0].network.load_state_dict(state['state_dict'])
    counts = forwards(copied)
    open_tables(copied, ShiftedImages(), folder)
    assert counts['all'] == 1 and len(list(asked_by.folder.glob('*.lock'))) == 2


@pytest.fixture
def said(monkeypatch):
    """The warnings of the log."""
    lines = []
    for name in ('answer_table', 'kept_answers', 'open_answers'):
        module = import_module(f'edudistill_mm.models.teachers.answers.{name}')
        monkeypatch.setattr(
            module,
            'print_log',
            lambda message, logger, level=logging.INFO: lines.append((level, message)),
        )
    return lambda: [message for level, message in lines if level >= logging.WARNING]


def test_a_network_whose_answers_have_changed_is_found_by_its_first_answer(school, said):
    data = ShiftedImages()
    school(keep_answers=True, data=data)
    model = school(keep_answers=True)
    # As a class whose code has been changed: the same weights and structure, other scores.
    network = model.faculty.teachers[0].network
    network.register_forward_hook(lambda module, inputs, scores: scores.flip(1))
    folder = model.faculty.teachers[0].source.replace('all.pth', 'answers')
    open_tables(model, data, folder)
    assert model.faculty.teachers[0].answers is None
    (sentence,) = said()
    assert sentence.startswith(
        'The answers of teacher "all" are not kept, and its network runs in each step: "'
    )
    assert 'the first is not what the teacher says' in sentence
    losses_of(model, data, some_batches(1))


@pytest.mark.parametrize('fault', ['file in the place of the folder', 'foreign'])
def test_a_run_goes_on_without_a_table_that_cannot_be_had(school, tmp_path, said, fault):
    data, batches = ShiftedImages(), some_batches(2)
    if fault == 'foreign':
        school(keep_answers=True, data=data)
        (about,) = (tmp_path / 'answers').glob('*/table.json')
        about.write_text('{}')
    else:
        (tmp_path / 'answers').write_text('')
    plain = losses_of(school(), data, batches)
    model = school(keep_answers=True, data=data)
    assert losses_of(model, data, batches) == plain
    (sentence,) = said()
    assert 'teacher "all" are not kept, and its network runs in each step' in sentence


# ---- what cannot be kept
def features():
    distiller = kd_distiller()
    distiller['teacher_recorders']['feat'] = dict(type='ModuleOutputs', source='backbone')
    distiller['student_recorders']['feat'] = dict(type='ModuleOutputs', source='backbone')
    distiller['distill_losses']['loss_feat'] = dict(type='L2Loss')
    distiller['loss_forward_mappings']['loss_feat'] = dict(
        s_feature=dict(from_student=True, recorder='feat'),
        t_feature=dict(from_student=False, recorder='feat'),
    )
    return distiller


def inputs_of_head():
    distiller = kd_distiller()
    distiller['teacher_recorders']['fc'] = dict(type='ModuleInputs', source='head.fc')
    return distiller


@pytest.mark.parametrize(
    'options, sentence',
    [
        (
            dict(distiller=features()),
            'distiller.teacher_recorders.feat of type ModuleOutputsRecorder records "backbone"',
        ),
        (
            dict(
                data_preprocessor=dict(
                    NORMALISED,
                    num_classes=6,
                    batch_augments=dict(augments=dict(type='Mixup', alpha=1.0)),
                )
            ),
            r'keep_answers of teacher "all" is impossible: data_preprocessor.batch_augments \(Mixup\)',
        ),
        (dict(keep_answers='yes'), 'keep_answers must be True, False or a dict .* but got .yes.'),
        (
            dict(keep_answers=dict(dtyp='float16')),
            '^model.keep_answers has the unknown key "dtyp" .did you mean "dtype"',
        ),
        (dict(keep_answers=dict(dtype='int8')), 'must be one of float16, float32, but got .int8.'),
        (dict(keep_answers=dict(folder=3)), 'folder must be a path, but got 3'),
    ],
)
def test_what_cannot_be_kept_is_refused_when_it_is_built(school, options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        school(**dict(dict(keep_answers=True), **options))


def test_keeping_without_teachers_is_refused():
    with pytest.raises(ConfigurationError, match='there are no teachers whose answers'):
        build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                keep_answers=True,
                curriculum=dict(num_classes=6, grades=copy.deepcopy(ONE_GRADE)),
            )
        )


def test_scores_beyond_half_precision_are_refused_with_what_to_set(school):
    model = school(keep_answers=True)
    model.faculty.teachers[0].network.head.fc.weight.data *= 1e6
    with pytest.raises(ConfigurationError, match='end at 65504, .* set .*dict.dtype="float32".'):
        open_tables(model, ShiftedImages(), model.faculty.teachers[0].source + '.answers')


def test_averages_copy_no_answers(school):
    model = school(keep_answers=True, data=ShiftedImages())
    twin = copy.deepcopy(model)
    assert twin.faculty.teachers == []
    assert isinstance(model.faculty.teachers[0].answers, KeptAnswers)


def test_a_checkpoint_says_nothing_of_kept_answers(school):
    kept, plain = school(keep_answers=True, data=ShiftedImages()), school()
    assert kept.faculty.describe() == plain.faculty.describe()
    assert list(kept.state_dict()) == list(plain.state_dict())
