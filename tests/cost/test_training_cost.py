from pathlib import Path

import pytest
from mmengine.registry import MODELS
from torch import nn

from edudistill_mm.config.data import build_dataset
from edudistill_mm.config.epochs import batches_of_grades
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.curriculum_table import curriculum_table
from edudistill_mm.cost.filling import Filling, fillings
from edudistill_mm.cost.network_flops import network_flops
from edudistill_mm.cost.stage_cost import StageCost
from edudistill_mm.cost.training_cost import TrainingCost, training_cost
from edudistill_mm.datasets.samplers.grade_sampler import labels_of
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Training images of the digits 0 to 9, of which there are 1442.
DIGITS = (143, 146, 142, 147, 145, 146, 145, 144, 140, 144)


class TinyNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, inputs, mode):
        return self.fc(self.conv(inputs).mean((2, 3)))


def test_flops_are_two_for_each_multiply_add_of_one_image():
    convolution, classifier = 2 * (8 * 8) * (3 * 3 * 3) * 8, 2 * 8 * 5
    assert network_flops(TinyNetwork(), (3, 8, 8)) == convolution + classifier
    assert network_flops(TinyNetwork(), (3, 16, 16)) == 4 * convolution + classifier


def test_attention_is_counted_as_the_products_that_it_is():
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)
    network = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=8),
        )
    )
    patches, tokens, width = 16, 17, 8
    linear = tokens * width * (4 * width + 2 * 16)
    attention = 2 * tokens * tokens * width
    products = patches * (3 * 8 * 8) * width + 2 * (linear + attention) + width * 5
    assert network_flops(network, (3, 32, 32)) == 2 * products


@pytest.fixture
def digits():
    def load(method, **options):
        (file,) = (CONFIGS / 'digits').glob(f'{method}_*.py')
        return load_config(str(file), options).cfg

    return load


def test_a_curriculum_pays_for_seen_classes_depth_and_the_teachers_that_cover_them(digits):
    cost = training_cost(RunConfig(digits('edu-kd-experts')))
    seen = [sum(DIGITS[:count]) for count in (4, 7, 10)]
    assert [stage.images for stage in cost.stages] == seen
    assert [stage.batches for stage in cost.stages] == [19, 32, 46]
    assert cost.image_passes() == 6 * seen[0] + 6 * seen[1] + 18 * seen[2]
    primary, middle, university = cost.stages
    assert {name: images for name, (images, _) in university.teachers.items()} == dict(
        primary=sum(DIGITS[:4]), middle=sum(DIGITS[4:7]), university=sum(DIGITS[7:])
    )
    assert list(primary.teachers) == ['primary']
    assert primary.flops_per_image < middle.flops_per_image < university.flops_per_image
    assert cost.student_flops([1, 0, 2]) == primary.student_flops + 2 * university.student_flops
    # The experts are the student with fewer classes: one forward of it for each image.
    assert university.teacher_flops == pytest.approx(university.student_flops, rel=0.001)


def test_a_teacher_that_has_left_costs_nothing(digits):
    cfg = digits('edu-kd-experts')
    cfg.model.curriculum.grades[2].leave = ['primary']
    university = training_cost(RunConfig(cfg)).stages[-1]
    assert list(university.teachers) == ['middle', 'university']


def test_a_teacher_whose_losses_are_asleep_costs_nothing_yet(digits):
    cfg = digits('edu-kd-experts')
    for side in ('student', 'teacher'):
        cfg.model.distiller[f'{side}_recorders'] = dict(
            map=dict(type='ModuleOutputs', source='backbone.layer3')
        )
    cfg.model.distiller.distill_losses = dict(loss_map=dict(type='L2Loss'))
    cfg.model.distiller.loss_forward_mappings = dict(
        loss_map=dict(
            s_feature=dict(from_student=True, recorder='map'),
            t_feature=dict(from_student=False, recorder='map'),
        )
    )
    asked = [list(stage.teachers) for stage in training_cost(RunConfig(cfg)).stages]
    assert asked == [[], [], ['primary', 'middle', 'university']]


def test_a_distillation_that_is_stopped_pays_no_teacher_from_then_on(digits):
    stop = dict(type='StopDistillHook', stop_epoch=9)
    whole, stopped = digits('edu-kd-experts'), digits('edu-kd-experts')
    stopped.custom_hooks = [*stopped.custom_hooks, stop]
    primary, middle, _ = training_cost(RunConfig(whole)).stages
    # Grades of 6, 6 and 18 epochs.
    found = training_cost(RunConfig(stopped))
    assert found.teacher_flops() == 6 * primary.teacher_flops + 3 * middle.teacher_flops
    assert found.student_flops() == training_cost(RunConfig(whole)).student_flops()


def test_a_teacher_of_gray_images_costs_its_own_pass(digits):
    gray = {'model.teachers.0.architecture.backbone.in_channels': 1}
    usual, of_gray = (
        training_cost(RunConfig(digits('edu-kd-experts', **options))).stages[0].teachers['primary']
        for options in ({}, gray)
    )
    # The first convolution, 3x3 to 16 channels, reads one channel of 8x8 pixels for three.
    assert usual[1] - of_gray[1] == 2 * 9 * 16 * 64 * 2


def test_kd_pays_for_student_and_teacher_on_all_images(digits):
    kd, alone = training_cost(RunConfig(digits('kd'))), training_cost(RunConfig(digits('student')))
    assert kd.image_passes() == alone.image_passes() == 30 * sum(DIGITS)
    assert kd.student_flops() == alone.student_flops()
    (stage,) = kd.stages
    assert stage.teachers['teacher'][0] == sum(DIGITS)
    assert alone.teacher_flops() == 0
    # The last grade of the curriculum is the plain student on all classes.
    last = training_cost(RunConfig(digits('edu-kd-experts'))).stages[-1]
    assert (last.images, last.flops_per_image) == (stage.images, stage.flops_per_image)


def test_incomplete_batches_that_are_dropped_cost_nothing(digits):
    cost = training_cost(RunConfig(digits('kd', **{'train_dataloader.drop_last': True})))
    (stage,) = cost.stages
    assert (stage.images, stage.batches) == (45 * 32, 45)
    assert stage.teachers['teacher'][0] == 45 * 32


def test_an_epoch_that_is_cut_to_some_batches_costs_those(digits):
    cut = {'train_dataloader.num_batch_per_epoch': 5}
    (stage,) = training_cost(RunConfig(digits('kd', **cut))).stages
    assert (stage.images, stage.batches, stage.teachers['teacher'][0]) == (160, 5, 160)
    assert batches_of_grades(RunConfig(digits('kd', **cut))) == [5]
    # They are the first 160 images, which a curriculum parts by class.
    run = RunConfig(digits('edu-kd-experts', **cut))
    first = labels_of(build_dataset(run.cfg.train_dataloader.dataset))[:160]
    seen = [int((first < count).sum()) for count in (4, 7, 10)]
    assert [stage.images for stage in training_cost(run).stages] == seen
    assert batches_of_grades(run) == [-(-count // 32) for count in seen]


def test_an_epoch_without_a_batch_is_refused(digits):
    large = {'train_dataloader.drop_last': True, 'train_dataloader.batch_size': 600}
    with pytest.raises(ConfigurationError) as error:
        training_cost(RunConfig(digits('edu-kd-experts', **large)))
    assert str(error.value) == (
        'train_dataloader.drop_last=True leaves grade "primary" without a batch: it has 578 images, '
        'batch_size is 600'
    )
    large['train_dataloader.batch_size'] = 2000
    with pytest.raises(
        ConfigurationError, match='leaves an epoch without a batch: it has 1442 im'
    ):
        training_cost(RunConfig(digits('student', **large)))


def test_a_teacher_of_larger_images_costs_more(digits):
    usual, larger = (
        training_cost(RunConfig(digits('edu-kd-experts', **options)))
        .stages[0]
        .teachers['primary'][1]
        for options in ({}, {'model.teachers.0.input_size': 16})
    )
    assert larger == pytest.approx(4 * usual, rel=0.01)


def test_smaller_images_cost_the_student_less_and_the_teachers_as_much(digits):
    small = {'model.curriculum.grades.0.image_size': 4}
    usual, smaller = (
        training_cost(RunConfig(digits('edu-kd-experts', **options))) for options in ({}, small)
    )
    # A quarter of the pixels; the classifier is the same.
    first = usual.stages[0].flops_per_image
    assert smaller.stages[0].flops_per_image == pytest.approx(first / 4, rel=0.05)
    assert smaller.stages[1:] == usual.stages[1:]
    assert smaller.stages[0].teachers == usual.stages[0].teachers
    assert smaller.total_flops() == usual.total_flops() - 3 * (
        usual.student_flops() - smaller.student_flops()
    )


def test_the_table_of_grades_shows_sizes_where_there_are_any(digits):
    small = {'model.curriculum.grades.1.image_size': [6, 4]}
    usual, smaller = (
        curriculum_table(RunConfig(digits('edu-kd-experts', **options))) for options in ({}, small)
    )
    assert 'image size' not in usual and 'image size' in smaller
    assert 'augmentation' not in usual
    column = smaller.splitlines()[0].index('image size')
    sizes = [line[column:].split()[0] for line in smaller.splitlines()[2:5]]
    assert sizes == ['full', '6x4', 'full']


def test_the_table_of_grades_shows_the_strength_of_the_augmentation_where_there_is_any(digits):
    weak = curriculum_table(
        RunConfig(digits('edu-kd-experts', **{'model.curriculum.grades.1.augmentation': 0.25}))
    )
    column = weak.splitlines()[0].index('augmentation')
    strengths = [line[column:].split()[0] for line in weak.splitlines()[2:5]]
    assert strengths == ['1', '0.25', '1']


def test_a_run_that_counts_iterations_pays_for_full_batches(digits):
    cfg = digits('student')
    cfg.train_cfg = dict(by_epoch=False, max_iters=100)
    cost = training_cost(RunConfig(cfg))
    assert not cost.by_epoch and cost.image_passes() == 3200


def test_experts_of_iterations_share_the_images_of_a_batch_without_rounding(digits):
    cfg = digits('edu-kd-experts', **{'train_dataloader.batch_size': 1})
    for grade in cfg.model.curriculum.grades:
        grade['iters'] = grade.pop('epochs')
    cfg.train_cfg = dict(by_epoch=False, max_iters=30)
    cfg.param_scheduler = []
    university = training_cost(RunConfig(cfg)).stages[-1]
    assert sum(images for images, _ in university.teachers.values()) == pytest.approx(1)
    assert university.teacher_flops == pytest.approx(university.student_flops, rel=0.001)


def test_the_rate_that_a_config_leaves_out_is_the_default_of_its_optimizer(digits):
    cfg = digits('edu-kd-experts')
    cfg.optim_wrapper = dict(optimizer=dict(type='Adam'))
    cfg.param_scheduler = []
    assert '0.001 to 0.001' in curriculum_table(RunConfig(cfg))


# ---- kept answers
def stage(length, images, count, views, augmentation=1.0, **others):
    return StageCost(
        length=length,
        images=images,
        batches=1,
        parameters=0,
        flops_per_image=1,
        teachers=dict(kept=(images, 10), **others),
        kept=dict(kept=(count, views)),
        augmentation=augmentation,
    )


def test_a_view_that_was_shown_before_costs_no_pass_of_a_teacher_whose_answers_are_kept():
    # In 3 epochs an image of 2 views shows 2 * (1 - 1/8) = 1.75 different ones.
    cost = TrainingCost((stage(3, 4, 4, 2),), True)
    assert cost.filling_flops() == 4 * 1.75 * 10
    assert cost.filling_flops([1]) == 4 * 10
    # A single view is asked once, however long the training is.
    assert TrainingCost((stage(100, 4, 4, 1),), True).filling_flops() == 4 * 10


def test_images_of_an_earlier_grade_are_not_asked_again_in_the_next():
    # 4 images in 1 + 2 epochs, 2 more in the last 2: 4 * 1.75 and 2 * 1.5 different views.
    cost = TrainingCost((stage(1, 4, 4, 2), stage(2, 6, 6, 2)), True)
    assert cost.filling_flops() == (4 * 1.75 + 2 * 1.5) * 10
    # The first grade has been ended before its first epoch.
    assert cost.filling_flops([0, 2]) == 6 * 1.5 * 10


def test_weak_augmentation_asks_for_the_neutral_view_more_often_and_for_the_others_less():
    # Of 2 views the neutral one is shown with 3/4: 15/16 + 7/16 different ones in 2 epochs.
    assert TrainingCost((stage(2, 4, 4, 2, 0.5),), True).filling_flops() == 55
    # Without augmentation one view is shown, and another one half of the times in an epoch with.
    cost = TrainingCost((stage(3, 4, 4, 2, 0.0), stage(1, 4, 4, 2)), True)
    assert cost.filling_flops() == (4 + 2) * 10
    assert cost.filling_flops([3, 0]) == 4 * 10
    assert fillings([(training(*cost.stages), [3, 1], 1)]) == [Filling('a.pth', 6, 8, 60)]
    # A second seed shows that view in three quarters of the cases.
    assert fillings([(training(*cost.stages), [3, 1], 2)]) == [Filling('a.pth', 7, 8, 70)]


def test_iterations_and_dropped_batches_show_each_image_less_often():
    # 12 iterations of 1 of 4 images: each image is shown 3 times.
    assert TrainingCost((stage(12, 1, 4, 2),), False).filling_flops() == 4 * 1.75 * 10


def test_the_total_is_three_student_passes_and_the_teachers_that_run():
    # The student costs 1 an image; a teacher of 7 an image runs, one of 10 answers from its table.
    cost = TrainingCost((stage(3, 4, 4, 2, other=(4, 7)), stage(2, 6, 6, 2)), True)
    assert cost.teacher_flops() == 3 * 4 * 7
    assert cost.total_flops() == 3 * (3 * 4 + 3 * 2 * 2) + 3 * 4 * 7
    assert cost.total_flops([1, 0]) == 3 * 4 + 4 * 7
    (first, _) = cost.stages
    assert first.total_flops == 3 * 4 + 4 * 7


# ---- tables that trainings share
def training(*stages, table='a'):
    return TrainingCost(stages, True, dict(kept=(f'{table}.pth', table)))


def test_trainings_fill_a_table_together():
    # 1 and 2 epochs show each image in 3 of its 2 views: 1.75 different ones.
    rows = [(training(stage(1, 4, 4, 2)), [1], 1), (training(stage(2, 4, 4, 2)), [2], 1)]
    assert fillings(rows) == [Filling('a.pth', 7, 8, 70)]
    # So do three seeds of a row of one epoch.
    assert fillings([(training(stage(1, 4, 4, 2)), [1], 3)]) == [Filling('a.pth', 7, 8, 70)]
    # The whole table is the most that can be asked.
    assert fillings([(training(stage(1, 4, 4, 2)), [1], 1000)]) == [Filling('a.pth', 8, 8, 80)]


def test_a_training_of_some_of_the_images_fills_its_part_of_a_table():
    all_images, some = training(stage(1, 8, 8, 2)), training(stage(1, 2, 2, 2))
    rows = [(all_images, [1], 1), (some, [1], 1)]
    assert fillings(rows) == fillings(rows[::-1])
    assert fillings(rows)[0].possible == 16


def test_each_table_is_filled_by_itself_and_rows_without_one_fill_none():
    rows = [
        (training(stage(1, 4, 4, 2)), [1], 1),
        (training(stage(1, 4, 4, 2), table='b'), [1], 1),
        (TrainingCost((stage(1, 4, 4, 2),), True), [1], 1),
    ]
    assert fillings(rows) == [Filling('a.pth', 4, 8, 40), Filling('b.pth', 4, 8, 40)]


def test_configs_of_one_teacher_and_the_same_images_share_a_table():
    def tables(method, **options):
        (file,) = (CONFIGS / 'small').glob(f'{method}_*.py')
        run = load_config(str(file), {'model.keep_answers': True, **options})
        return list(training_cost(run).tables.values())

    ((teacher, one),) = tables('kd')
    assert teacher.endswith('.pth')
    assert tables('edu-dkd') == [(teacher, one)]
    ((_, few),) = tables('kd', **{'train_dataloader.resident.views_per_image': 2})
    assert few != one


def test_a_config_pays_for_the_views_that_its_pipeline_has(digits):
    keep = {'model.keep_answers': True}
    plain, kept = (training_cost(RunConfig(digits('kd', **each))) for each in ({}, keep))
    # RandomCrop of 8x8 pixels with a padding of 1 has 9 places.
    assert kept.stages[0].kept == dict(teacher=(sum(DIGITS), 9))
    share = 9 * (1 - (8 / 9) ** 30) / 30
    assert kept.filling_flops() == pytest.approx(share * plain.teacher_flops(), rel=1e-6)
    assert kept.teacher_flops() == plain.filling_flops() == 0
    assert kept.student_flops() == plain.student_flops()
    cfg = digits('kd', **keep)
    cfg.train_dataloader.resident = dict(views_per_image=2)
    few = training_cost(RunConfig(cfg))
    assert few.stages[0].kept == dict(teacher=(sum(DIGITS), 2))


def test_experts_pay_for_views_of_their_own_classes(digits):
    cost = training_cost(RunConfig(digits('edu-kd-experts', **{'model.keep_answers': True})))
    assert cost.stages[-1].kept == dict(
        primary=(sum(DIGITS[:4]), 9), middle=(sum(DIGITS[4:7]), 9), university=(sum(DIGITS[7:]), 9)
    )
