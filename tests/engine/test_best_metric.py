import pytest
from mmengine.hooks import CheckpointHook
from runs import school_config

from edudistill_mm.engine import EducationRunner
from edudistill_mm.engine.best_metric import check_best_metric
from edudistill_mm.errors import ConfigurationError

METRICS = {'accuracy/top1': 50.0, 'seen/top1': 60.0}
WORDS = (
    r'save_best is "accuracy/top2", which no metric of val_evaluator gives \(did you mean '
    r'"accuracy/top1"\?\); possible are accuracy/top1, seen/top1'
)


def test_the_runner_names_a_result_that_no_metric_gives(tmp_path):
    config = school_config(tmp_path)
    config.default_hooks.checkpoint.update(save_best='accuracy/top2', rule='greater')
    runner = EducationRunner.from_cfg(config)
    with pytest.raises(ConfigurationError, match=WORDS):
        runner.call_hook('after_val_epoch', metrics=METRICS)


@pytest.mark.parametrize('save_best', [None, 'auto', 'seen/top1', ['seen/top1', 'accuracy/top1']])
def test_results_that_are_there_pass(save_best):
    hook = CheckpointHook(save_best=save_best, rule=None if save_best is None else 'greater')
    check_best_metric([hook], METRICS)
    check_best_metric([hook], {})
