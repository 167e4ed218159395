"""num_classes='auto' in a config, with data of different numbers of classes."""

from pathlib import Path

import official_layouts
import pytest
import toy_images
from mmengine.config import Config
from mmengine.registry import DATASETS
from networks import kd_distiller, resnet

from edudistill_mm.apis.teachers import teacher_config
from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def food(tmp_path, classes, config='edu-kd-experts_resnet50_resnet18_food101', **options):
    root = official_layouts.food101(tmp_path / str(len(classes)), classes)
    file = CONFIGS / 'food101' / f'{config}.py'
    return load_config(str(file), dict(data_root=str(root), **options)).cfg


def test_head_curriculum_and_experts_follow_the_data(tmp_path):
    for classes, sizes in (
        (official_layouts.FOODS[:5], [1, 2, 2]),
        (official_layouts.FOODS, [2, 2, 2]),
    ):
        cfg = food(tmp_path, classes)
        assert cfg.model.architecture.student.head.num_classes == len(classes)
        assert cfg.data_preprocessor.num_classes == len(classes)
        assert [len(grade.classes) for grade in RunConfig(cfg).curriculum.grades] == sizes
        heads = [teacher.architecture.head.num_classes for teacher in cfg.model.teachers]
        assert heads == sizes
        experts = [teacher_config(RunConfig(cfg), teacher) for teacher in cfg.model.teachers]
        assert [len(expert.train_dataloader.dataset.classes) for expert in experts] == sizes
        assert [expert.model.head.num_classes for expert in experts] == sizes


def test_experts_without_a_curriculum_are_those_of_the_curriculum(tmp_path):
    with_it = food(tmp_path / 'a', official_layouts.FOODS)
    without = food(tmp_path / 'b', official_layouts.FOODS, 'kd-experts_resnet50_resnet18_food101')
    for one, other in zip(with_it.model.teachers, without.model.teachers):
        assert one.ckpt == other.ckpt
        one, other = (
            teacher_config(RunConfig(with_it), one),
            teacher_config(RunConfig(without), other),
        )
        for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'data_preprocessor'):
            assert one[key] == other[key]
        assert one.train_dataloader.dataset.classes == other.train_dataloader.dataset.classes


@pytest.mark.parametrize('name', ['kd', 'dkd', 'edu-kd-blocks', 'edu-dkd-blocks'])
def test_all_experiments_train_a_generalist_by_one_recipe(tmp_path, name):
    cfg = food(tmp_path, official_layouts.FOODS, f'{name}_resnet50_resnet18_food101')
    teacher = cfg.model.get('teachers', [None])[0] or dict(
        name='teacher', architecture=cfg.model.teacher, ckpt=cfg.model.teacher_ckpt
    )
    assert teacher['ckpt'] == 'work_dirs/teachers/food101_resnet50.pth'
    derived = teacher_config(RunConfig(cfg), teacher)
    assert derived.model.head.num_classes == 6
    assert derived.model.backbone.init_cfg.checkpoint.endswith('in1k_20210831-ea4938fc.pth')
    assert derived.train_cfg.max_epochs == derived.param_scheduler.T_max == 60
    assert derived.optim_wrapper.optimizer.lr == 0.01
    assert derived.optim_wrapper.get('clip_grad') is None
    assert [hook.type for hook in derived.custom_hooks] == []
    assert derived.train_dataloader.dataset.type == 'Food101Subset'


def test_what_was_found_stands_in_the_dumped_config(tmp_path):
    cfg = food(tmp_path, official_layouts.FOODS)
    cfg.dump(tmp_path / 'dumped.py')
    written = Config.fromfile(tmp_path / 'dumped.py')
    assert written.model.curriculum.num_classes == 6
    assert "'auto'" not in (tmp_path / 'dumped.py').read_text()
    # It no longer needs the data.
    official = load_config(str(tmp_path / 'dumped.py'), dict(data_root='/nonexistent')).cfg
    assert official.model.architecture.student.head.num_classes == 6


def test_a_number_in_the_config_counts_and_needs_no_data():
    options = {
        'data_root': '/nonexistent',
        'data_preprocessor.num_classes': 7,
        'model.curriculum.num_classes': 7,
        'model.architecture.student.head.num_classes': 7,
    }
    name = str(CONFIGS / 'food101/edu-student_resnet18_food101.py')
    # What gives no number has that of the complete data set, if it is well known.
    cfg = load_config(name, {key: options[key] for key in list(options)[:3]}).cfg
    assert cfg.model.architecture.student.head.num_classes == 101
    # The parts of the bases that stay beside the model are no reason to read data.
    cfg = load_config(name, options).cfg
    assert RunConfig(cfg).curriculum.num_classes == 7


def toy(tmp_path, dataset, classes='all', num_classes='auto'):
    file = tmp_path / 'toy.py'
    Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='EducationDistill',
                architecture=resnet(num_classes),
                teachers=[
                    dict(name='a', architecture=resnet('auto'), ckpt='a.pth', classes=classes)
                ],
                distiller=kd_distiller(),
                curriculum=dict(num_classes='auto', grades=[dict(epochs=1, classes='all')]),
            ),
            train_dataloader=dict(
                batch_size=2, dataset=dataset, sampler=dict(type='GradeSampler')
            ),
        ),
    ).dump(file)
    return load_config(str(file)).cfg


def test_a_subset_of_classes_counts_as_the_wrapper_says(tmp_path):
    dataset = dict(type='ClassSubset', classes=[4, 1], dataset=dict(type='ToyImages'))
    cfg = toy(tmp_path, dataset)
    assert cfg.model.curriculum.num_classes == cfg.model.architecture.head.num_classes == 2


def test_a_teacher_of_listed_classes_gets_as_many_outputs(tmp_path):
    cfg = toy(tmp_path, dict(type='ToyImages'), classes=[5, 0, 2])
    assert cfg.model.teachers[0].architecture.head.num_classes == 3
    assert cfg.model.architecture.head.num_classes == 6


def test_the_classes_of_an_image_folder_are_counted(tmp_path):
    for name in ('cat', 'dog', 'emu'):
        official_layouts.picture(tmp_path / 'images' / name / '1.jpg')
    dataset = dict(type='CustomDataset', data_root=str(tmp_path / 'images'))
    assert toy(tmp_path, dataset).model.curriculum.num_classes == 3


def test_an_image_folder_that_is_not_there_is_one_sentence(tmp_path):
    dataset = dict(type='CustomDataset', data_root=str(tmp_path / 'nowhere'))
    with pytest.raises(ConfigurationError, match='CustomDataset, which cannot be read: .*nowhere'):
        toy(tmp_path, dataset)


@DATASETS.register_module(force=True)
class NamelessImages(toy_images.ToyImages):
    """Toy images whose classes have no names."""

    METAINFO = {}


def test_data_without_names_of_classes_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match='names its classes, but NamelessImages does not'):
        toy(tmp_path, dict(type='NamelessImages'))


def test_a_plain_classifier_with_fewer_outputs_than_the_data_have_classes_is_refused():
    file = str(CONFIGS / 'digits' / 'student_resnet14_digits.py')
    check_classes(load_config(file))
    few = load_config(file, {'model.head.num_classes': 7})
    with pytest.raises(
        ConfigurationError,
        match='model.head.num_classes is 7, .*has 10 classes; give 10, or "auto"',
    ):
        check_classes(few)
