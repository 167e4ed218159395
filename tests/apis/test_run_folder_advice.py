import os

import pytest
from mmengine.config import Config

from edudistill_mm.apis.run_folder import in_its_folder
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import Preempted


@pytest.mark.parametrize(
    'under_way, to_resume', [('run', True), ('teacher', False), (None, False)]
)
def test_a_run_is_to_be_resumed_if_it_was_under_way_itself(
    tmp_path, monkeypatch, under_way, to_resume
):
    """MMEngine makes the work dir of a runner absolute, that of a config stays as it was given."""
    monkeypatch.chdir(tmp_path)

    @in_its_folder
    def train(cfg):
        raise Preempted('by SIGTERM', under_way and os.path.abspath(under_way))

    with pytest.raises(Preempted) as stop:
        train(RunConfig(Config(dict(work_dir='run'))))
    assert stop.value.to_resume is to_resume
