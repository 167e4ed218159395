import pytest
from mmengine.registry import DATASETS, METRICS

from edudistill_mm.apis.config import load_config
from edudistill_mm.apis.distillers_table import shipped_configs

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
