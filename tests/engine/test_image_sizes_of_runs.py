import copy
from pathlib import Path

import pytest
import torch
from runs import scalars, train

from edudistill_mm.errors import ConfigurationError


@pytest.mark.slow
def test_a_run_of_growing_images_is_resumed_bit_for_bit_and_with_its_own_sizes_only(config):
    for grade, size in zip(config.model.curriculum.grades, (4, (6, 4))):
        grade['image_size'] = size
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    whole = train(copy.deepcopy(config))
    steps, _ = scalars(config.work_dir)
    log = Path(whole.log_dir, f'{whole.timestamp}.log').read_text()
    assert log.count('image size: 4x4 for the student') == 1
    assert log.count('image size: 6x4 for the student') == 1

    again = copy.deepcopy(config)
    again.update(
        work_dir=f'{config.work_dir}_again',
        resume=True,
        load_from=f'{config.work_dir}/epoch_1.pth',
        experiment_name=f'{config.experiment_name}_again',
    )
    other = copy.deepcopy(again)
    resumed = train(again)
    later, _ = scalars(again.work_dir)
    assert len(later) == len(steps) - 2
    assert [row['loss'] for row in later] == [row['loss'] for row in steps[2:]]
    state = resumed.model.state_dict()
    assert all(
        torch.equal(tensor, state[name]) for name, tensor in whole.model.state_dict().items()
    )

    other.model.curriculum.grades[1]['image_size'] = 6
    other.experiment_name += '_other'
    with pytest.raises(ConfigurationError, match=r'"mid": image_size \[6, 6\], was \[6, 4\]'):
        train(other)
