import copy

import pytest
import torch
from runs import generalist_run, scalars, train


def test_a_fused_optimizer_follows_promotions(tmp_path):
    config = generalist_run(tmp_path)
    config.optim_wrapper.optimizer.lr = 0.01
    plain = copy.deepcopy(config)
    plain.work_dir, plain.experiment_name = str(tmp_path / 'plain'), f'{tmp_path.name}_plain'
    config.optim_wrapper.optimizer.fused = True
    ours, theirs = train(config), train(plain)
    found, wanted = ([row['loss'] for row in scalars(c.work_dir)[0]] for c in (config, plain))
    assert found == pytest.approx(wanted, rel=1e-3)
    for name, value in theirs.model.state_dict().items():
        torch.testing.assert_close(ours.model.state_dict()[name], value, rtol=1e-2, atol=1e-3)
