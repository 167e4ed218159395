from pathlib import Path

import pytest
from distillers_table import shipped_configs
from mmengine.registry import DATASETS, METRICS

from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WITH_DATA = [n for n in shipped_configs() if not n.startswith(('dafl', 'dfad', 'zskt'))]


@pytest.mark.parametrize('name', WITH_DATA)
def test_data_sets_and_metrics_of_a_config_of_mmrazor_are_found(name, tmp_path):
    file = tmp_path / 'school.py'
    file.write_text(f"_base_ = 'mmrazor::distill/mmcls/{name}'\n")
    cfg = load_config(str(file)).cfg
    for split in ('train', 'val', 'test'):
        nodes = [(METRICS, cfg.get(f'{split}_evaluator'))]
        dataset = cfg[f'{split}_dataloader'].dataset
        while dataset is not None:
            nodes.append((DATASETS, dataset))
            dataset = dataset.get('dataset')
        for root, node in nodes:
            if node is not None:
                scope = node.get('_scope_', cfg.default_scope)
                with root.switch_scope_and_registry(scope) as registry:
                    assert registry.get(node.type) is not None, (split, node)


@pytest.mark.parametrize(
    'key, options',
    [
        ('param_scheduler.periods.0', {'param_scheduler.periods.0': 4}),
        ('model.teachers.0.classes.0', {'model.teachers.0.classes': [0, 1]}),
        ('model.curriculum.grades.0.epochs', {'model.curriculum.grades': [dict(epochs=3)]}),
    ],
)
def test_an_option_that_cannot_reach_into_a_list_is_refused_in_one_sentence(key, options):
    others = {'model.teachers.1.ckpt': 'middle.pth', **options}
    with pytest.raises(ConfigurationError) as error:
        load_config(str(CONFIGS / 'edu_kd_digits.py'), {**others, key: 5})
    message = str(error.value)
    assert f'fit the config: {key} changes an item' in message and 'the whole list' in message
    assert 'ckpt' not in message and '\n' not in message


@pytest.mark.parametrize(
    'key, word', [('train_cfg.max_epochs.first', 'max_epochs'), ('model.teachers.9.ckpt', '9')]
)
def test_another_mistake_is_not_taken_for_an_option_inside_a_list(key, word):
    options = {'model.teachers.1.ckpt': 'middle.pth', key: 3}
    with pytest.raises(ConfigurationError, match='fit the config') as error:
        load_config(str(CONFIGS / 'edu_kd_digits.py'), options)
    assert word in str(error.value) and 'the whole list' not in str(error.value)


def test_an_item_that_a_list_does_not_have_is_named_with_the_length_of_the_list():
    with pytest.raises(ConfigurationError) as error:
        load_config(str(CONFIGS / 'edu_kd_digits.py'), {'model.teachers.5.ckpt': 'x.pth'})
    assert str(error.value) == (
        '--cfg-options do not fit the config: model.teachers.5.ckpt is for item 5 of model.teachers, '
        'which has 3, counted from 0'
    )


def test_options_replace_a_dict_wherever_delete_stands_among_them():
    options = {'param_scheduler.type': 'ConstantLR', 'param_scheduler._delete_': True}
    cfg = load_config(str(CONFIGS / 'digits/kd_resnet14x2_resnet14_digits.py'), options).cfg
    assert cfg.param_scheduler.to_dict() == dict(type='ConstantLR')
