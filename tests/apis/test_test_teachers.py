"""Teachers that know their classes, teachers that do not, and why."""

import math

import pytest
import torch
import toy_images  # noqa: F401
from mmengine.config import Config
from mmengine.registry import DefaultScope
from networks import build, kd_distiller, resnet
from torch.nn import functional as F
from toy_images import ToyImages

from edudistill_mm.apis import test_teachers as tested
from edudistill_mm.apis.config import build_dataset, load_config
from edudistill_mm.errors import ConfigurationError

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
    x = model.data_preprocessor(dict(inputs=x), True)['inputs']
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.state_dict()


@pytest.fixture(scope='module')
def states():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return dict(
            low=trained([0, 1, 2]), turned=trained([2, 0, 1]), other=trained([0, 1, 2], OTHER)
        )


@pytest.fixture
def config(states, tmp_path):
    """Config with one teacher, of classes 0 to 2."""

    def make(state, **teacher):
        torch.save(dict(state_dict=states[state]), tmp_path / f'{state}.pth')
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
        return load_config(str(file), work_dir=str(tmp_path / 'run'))

    return make


def test_a_teacher_is_tested_on_its_own_classes(config):
    (report,) = tested.test_teachers(config('low'))
    assert (report.name, report.images, report.classes) == ('low', 60, 3)
    assert report.accuracy > 95 and not report.near_chance
    assert report.line() == (
        f'Teacher "low": {report.accuracy:.1f} % of 60 images of its 3 classes (chance 33.3 %)'
    )


def test_few_images_are_drawn_evenly(config):
    (report,) = tested.test_teachers(config('low'), max_samples=16)
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
    (report,) = tested.test_teachers(cfg)
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


def test_the_order_of_the_classes_is_found_out(config):
    (report,) = tested.test_teachers(config('turned'))
    assert report.near_chance
    with pytest.raises(
        ConfigurationError, match=r'not in the order of teachers\[0\].classes'
    ) as e:
        tested.refuse_near_chance(report)
    assert '"low" is right on 0.0 % of 60 images of its 3 classes, and chance is 33.3 %' in str(
        e.value
    )
    (report,) = tested.test_teachers(config('turned', classes=[2, 0, 1]))
    assert not report.near_chance and report.accuracy > 95


def test_the_normalisation_is_found_out(config):
    own = dict(resnet(3), data_preprocessor=OTHER)
    (report,) = tested.test_teachers(config('other', architecture=own))
    assert report.near_chance and 'so set teachers[0].data_preprocessor="own"' in report.reason
    (report,) = tested.test_teachers(config('other', architecture=own, data_preprocessor='own'))
    assert not report.near_chance


def test_training_stops_at_a_teacher_near_chance_unless_told_not_to(config):
    from edudistill_mm.apis.train import prepare_runtime, train

    cfg = config('turned')
    prepare_runtime(cfg)
    with pytest.raises(ConfigurationError, match='--no-teacher-test trains with it all the same'):
        train(cfg)
    cfg = config('turned')
    prepare_runtime(cfg)
    assert train(cfg, with_teacher_test=False).epoch == 1


def test_the_table_tells_all():
    reports = [
        tested.TeacherReport('good', 90.0, 100, 4),
        tested.TeacherReport('bad', 25.0, 100, 4, 'so it is'),
    ]
    assert tested.teachers_table(reports).splitlines()[2:] == [
        '| good | 4 | 100 | 90.00 | 25.00 |',
        '| bad | 4 | 100 | 25.00 **near chance: so it is** | 25.00 |',
    ]
