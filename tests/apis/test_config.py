from pathlib import Path

import pytest
from mmengine.registry import DATASETS, METRICS

from edudistill_mm.apis.config import load_config
from edudistill_mm.apis.distillers_table import shipped_configs

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WITH_DATA = [n for n in shipped_configs() if not n.startswith(('dafl', 'dfad', 'zskt'))]


@pytest.mark.parametrize('name', WITH_DATA)
def test_data_sets_and_metrics_of_a_config_of_mmrazor_are_found(name, tmp_path):
    file = tmp_path / 'school.py'
    file.write_text(f"_base_ = 'mmrazor::distill/mmcls/{name}'\n")
    cfg = load_config(str(file))
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


def test_an_option_for_an_item_of_a_list_applies_to_the_list_of_another_option():
    two = [
        dict(epochs=6, fragments=1, classes=4, teachers=['primary']),
        dict(epochs=20, fragments=3, classes=6, teachers=['middle', 'university']),
    ]
    options = {
        'model.curriculum.grades.1.epochs': 24,
        'model.curriculum.grades': two,
        'model.teachers.1.classes': [4, 5, 6],
        'model.teachers.2.classes': [7, 8, 9],
        'model.teachers.0.classes': [0, 1, 2, 3],
    }
    cfg = load_config(str(CONFIGS / 'edu_kd_digits.py'), options)
    assert [grade.epochs for grade in cfg.model.curriculum.grades] == [6, 24]
    assert cfg.model.curriculum.grades[1].teachers == ['middle', 'university']


def test_options_replace_a_dict_wherever_delete_stands_among_them():
    options = {'param_scheduler.type': 'ConstantLR', 'param_scheduler._delete_': True}
    cfg = load_config(str(CONFIGS / 'kd_digits.py'), options)
    assert cfg.param_scheduler.to_dict() == dict(type='ConstantLR')
