"""Teachers that know their classes, teachers that do not, and why."""

import math

import pytest
import torch
import toy_images  # noqa: F401
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from networks import build, kd_distiller, resnet
from torch.nn import functional as F
from toy_images import ToyImages

from edudistill_mm.apis import test_teachers as tested
from edudistill_mm.config.data import build_dataset
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

pytestmark = pytest.mark.slow

NORMAL = dict(type='ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3)
# Its images vary so much more that those normalised as usual look all alike.
OTHER = dict(type='ClsDataPreprocessor', mean=[60.0] * 3, std=[0.001] * 3)


def trained(classes, preprocessor=NORMAL):
    """State of a :func:`resnet` that knows some classes of the toy images, outputs in that
    order."""
    model = build(dict(resnet(len(classes)), data_preprocessor=preprocessor)).train()
    data = ToyImages(counts=(8,) * 6)
    rows = [i for i in range(len(data)) if data.get_data_info(i)['gt_label'] in classes]
    x = torch.stack([data[i]['inputs'] for i in rows])
    y = torch.tensor([classes.index(data.get_data_info(i)['gt_label']) for i in rows])
    return trained_on(x, y, model)


def trained_on(x, y, model=None):
    """State of a :func:`resnet` after a few steps on all of some images."""
    if model is None:
        model = build(dict(resnet(int(y.max()) + 1), data_preprocessor=NORMAL)).train()
    x = model.data_preprocessor(dict(inputs=x), True)['inputs']
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.state_dict()


COLOURS = {}


@DATASETS.register_module(force=True)
class Colours(BaseDataset):
    """Images of two colours, red and blue exchanged or not."""

    METAINFO = ToyImages.METAINFO

    def __init__(self, swapped, **kwargs):
        self.swapped = swapped
        super().__init__(pipeline=[dict(type='PackInputs')], **kwargs)

    def load_data_list(self):
        images = COLOURS['images'].flip(1) if self.swapped else COLOURS['images']
        return [
            dict(img=image.permute(1, 2, 0).numpy(), gt_label=int(label))
            for image, label in zip(images, COLOURS['labels'])
        ]


@pytest.fixture(scope='module')
def states():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return dict(
            low=trained([0, 1, 2]),
            turned=trained([2, 0, 1]),
            other=trained([0, 1, 2], OTHER),
            all=trained([0, 1, 2, 3, 4, 5]),
            names=trained([5, 2, 0, 4, 3, 1]),
        )


@pytest.fixture
def config(states, tmp_path):
    """Config with one teacher, of classes 0 to 2."""

    def make(state, meta=None, **teacher):
        torch.save(dict(meta=meta or {}, state_dict=states[state]), tmp_path / f'{state}.pth')
        file = tmp_path / 'config.py'
        cfg = Config(
            dict(
                default_scope='mmpretrain',
                model=dict(
                    type='EducationDistill',
                    architecture=resnet(),
                    teachers=[
                        dict(
                            dict(
                                name='low',
                                architecture=resnet(3),
                                ckpt=str(tmp_path / f'{state}.pth'),
                                classes=[0, 1, 2],
                            ),
                            **teacher,
                        )
                    ],
                    distiller=kd_distiller(),
                    data_preprocessor=NORMAL,
                    curriculum=dict(
                        num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]
                    ),
                ),
                train_dataloader=dict(
                    batch_size=8,
                    num_workers=0,
                    sampler=dict(type='GradeSampler'),
                    dataset=dict(type='ToyImages', counts=(8,) * 6),
                ),
                val_dataloader=dict(
                    batch_size=16,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    dataset=dict(type='ToyImages', counts=(20, 30, 10, 5, 5, 5)),
                ),
                val_cfg=dict(),
                val_evaluator=dict(type='Accuracy'),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
                custom_hooks=[dict(type='GradeSchedulerHook')],
            )
        )
        cfg.dump(file)
        return load_config(str(file), work_dir=str(tmp_path / 'run')).cfg

    return make


def test_a_teacher_is_tested_on_its_own_classes(config):
    (report,) = tested.test_teachers(RunConfig(config('low')))
    assert (report.name, report.images, report.classes) == ('low', 60, 3)
    assert report.accuracy > 95 and not report.near_chance
    assert report.line() == (
        f'Teacher "low": {report.accuracy:.1f} % of 60 images of its 3 classes (chance 33.3 %)'
    )


def test_few_images_are_drawn_evenly(config):
    (report,) = tested.test_teachers(RunConfig(config('low')), max_samples=16)
    assert report.images == 15


def test_the_random_numbers_of_the_training_stay_as_they_were(config):
    cfg = config('low')
    model = build(cfg.model.to_dict())
    before = torch.get_rng_state()
    assert tested.report_teachers(model, cfg)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_accuracy_is_that_of_the_network(config, states):
    cfg = config('low')
    cfg.val_dataloader.dataset.counts = (20, 0, 0, 0, 0, 0)
    (report,) = tested.test_teachers(RunConfig(cfg))
    network = build(resnet(3))
    network.load_state_dict(states['low'])
    data = build_dataset(cfg.val_dataloader.dataset)
    x = (torch.stack([data[i]['inputs'] for i in range(20)]).float() - 60) / 60
    right = (network.eval()(x).argmax(1) == 0).float().mean()
    assert report.accuracy == pytest.approx(100 * float(right))


@pytest.mark.parametrize('accuracy, near', [(50, True), (60, True), (65, False)])
def test_near_chance_is_four_standard_deviations(accuracy, near):
    # A coin thrown 200 times: 50 % with a deviation of 3.54 %.
    assert math.isclose(100 * 4 * math.sqrt(0.25 / 200), 14.14, abs_tol=0.01)
    assert tested.TeacherReport('coin', accuracy, 200, 2).near_chance == near


@pytest.mark.parametrize(
    'images, classes, accuracy, near',
    [
        (16, 2, 100, False),
        (16, 2, 75, True),
        (5, 4, 100, False),
        (8, 4, 75, False),
        (8, 4, 25, True),
    ],
)
def test_a_teacher_that_is_right_is_not_near_chance_however_few_the_images_are(
    images, classes, accuracy, near
):
    assert tested.TeacherReport('few', accuracy, images, classes).near_chance == near


def test_the_order_of_the_classes_is_found_out(config):
    (report,) = tested.test_teachers(RunConfig(config('turned')))
    assert report.near_chance
    with pytest.raises(
        ConfigurationError, match=r'not in the order of teachers\[0\].classes'
    ) as e:
        tested.refuse_near_chance(report)
    assert '"low" is right on 0.0 % of 60 images of its 3 classes, and chance is 33.3 %' in str(
        e.value
    )
    (report,) = tested.test_teachers(RunConfig(config('turned', classes=[2, 0, 1])))
    assert not report.near_chance and report.accuracy > 95
    (report,) = tested.test_teachers(RunConfig(config('turned', outputs=[1, 2, 0])))
    assert not report.near_chance and report.accuracy > 95


def test_the_outputs_that_would_be_right_are_given(config):
    (report,) = tested.test_teachers(RunConfig(config('turned')))
    assert report.reason.endswith('these would be the right ones: teachers[0].outputs=[1, 2, 0]')


SIX = dict(architecture=resnet(6), classes='all')


def test_two_exchanged_classes_are_named_though_the_teacher_is_far_from_chance(config):
    cfg = config('all', outputs=[0, 1, 3, 2, 4, 5], **SIX)
    cfg.val_dataloader.dataset.counts = (20, 20, 20, 10, 5, 5)
    (report,) = tested.test_teachers(RunConfig(cfg))
    assert 50 < report.accuracy < 70 and not report.near_chance
    assert report.remark == (
        'classes look exchanged: 20 of 20 images of "class 2" go to the output of "class 3", '
        '10 of 10 images of "class 3" go to the output of "class 2"; these would be the right ones: '
        'teachers[0].outputs=[0, 1, 2, 3, 4, 5]'
    )
    cfg = config('all', **SIX)
    (report,) = tested.test_teachers(RunConfig(cfg))
    assert report.accuracy > 95 and report.remark == ''


def test_a_teacher_of_more_classes_is_tested_by_its_outputs(config):
    (report,) = tested.test_teachers(
        RunConfig(config('names', architecture=resnet(6), classes=[0, 1, 2], outputs=[2, 5, 1]))
    )
    assert report.accuracy > 95 and (report.images, report.classes) == (60, 3)
    # The right outputs are found among all of them.
    (report,) = tested.test_teachers(
        RunConfig(config('names', architecture=resnet(6), classes=[0, 1, 2], outputs=[2, 3, 1]))
    )
    assert report.reason.endswith('these would be the right ones: teachers[0].outputs=[2, 5, 1]')


def test_outputs_go_by_the_names_in_the_checkpoint(config):
    names = [f'class {label}' for label in (5, 2, 0, 4, 3, 1)]
    meta = dict(dataset_meta=dict(classes=names))
    (report,) = tested.test_teachers(RunConfig(config('names', meta, **SIX)))
    assert report.accuracy > 95
    # An expert cut out of it.
    expert = dict(architecture=resnet(6), classes=[4, 0])
    (report,) = tested.test_teachers(RunConfig(config('names', meta, **expert)))
    assert report.accuracy > 95 and report.classes == 2
    with pytest.raises(ConfigurationError, match=r'give teachers\[0\].outputs'):
        tested.test_teachers(RunConfig(config('names', {}, **expert)))
    names[2] = 'classy'
    with pytest.raises(
        ConfigurationError, match='does not know the class "class 0" .did you mean'
    ):
        tested.test_teachers(RunConfig(config('names', meta, **expert)))


def test_scores_need_not_be_positive(config, states):
    states['low']['head.fc.bias'] -= 1000
    (report,) = tested.test_teachers(RunConfig(config('low')))
    states['low']['head.fc.bias'] += 1000
    assert report.accuracy > 95


def test_the_order_of_the_channels_is_found_out(config, states):
    # Twice as much red as blue, or the reverse.
    images = torch.rand(40, 1, 8, 8) * 100 + torch.tensor([0.0, 20.0, 40.0]).view(3, 1, 1)
    images[20:] = images[20:].flip(1)
    state = trained_on(images, torch.arange(40) // 20)
    states['colour'] = state
    COLOURS.update(images=images, labels=torch.arange(40) // 20)
    teacher = dict(architecture=resnet(2), classes=[0, 1])

    def test(order=None, **more):
        cfg = config('colour', **teacher, **more)
        metainfo = dict(metainfo=dict(channel_order=order)) if order else {}
        cfg.val_dataloader.dataset = dict(type='Colours', swapped=True, **metainfo)
        return tested.test_teachers(RunConfig(cfg))[0]

    reports = [test(), test('bgr'), test('rgb')]
    assert all(report.near_chance for report in reports)
    assert [report.reason.partition('%, so set ')[2] for report in reports] == [
        'teachers[0].data_preprocessor.to_rgb=True (with its mean and std)',
        'teachers[0].channel_order="rgb"',
        'teachers[0].channel_order="bgr"',
    ]
    assert 'with the channels in the other order it is right on 100.0 % of 40 images' in str(
        reports[0].reason
    )
    report = test('bgr', channel_order='rgb')
    assert report.accuracy == 100 and report.remark == ''
    assert test('rgb', channel_order='rgb').near_chance


def test_the_normalisation_is_found_out(config):
    own = dict(resnet(3), data_preprocessor=OTHER)
    (report,) = tested.test_teachers(RunConfig(config('other', architecture=own)))
    assert report.near_chance and 'so set teachers[0].data_preprocessor="own"' in report.reason
    (report,) = tested.test_teachers(
        RunConfig(config('other', architecture=own, data_preprocessor='own'))
    )
    assert not report.near_chance


def test_training_stops_at_a_teacher_near_chance_unless_told_not_to(config):
    from edudistill_mm.apis.train import prepare_runtime, train

    cfg = config('turned')
    prepare_runtime(cfg)
    with pytest.raises(ConfigurationError, match='--no-teacher-test trains with it all the same'):
        train(RunConfig(cfg))
    cfg = config('turned')
    prepare_runtime(cfg)
    assert train(RunConfig(cfg), with_teacher_test=False).epoch == 1


def test_the_table_tells_all():
    reports = [
        tested.TeacherReport('good', 90.0, 100, 4),
        tested.TeacherReport('bad', 25.0, 100, 4, 'so it is'),
    ]
    assert tested.teachers_table(reports).splitlines()[2:] == [
        '| good | 4 | 100 | 90.00 | 25.00 |',
        '| bad | 4 | 100 | 25.00 **near chance: so it is** | 25.00 |',
    ]
