import pytest
from runs import scalars, school_config, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_tensorboard_gets_what_the_log_gets(tmp_path):
    config = school_config(tmp_path)
    config.visualizer = dict(
        type='UniversalVisualizer',
        vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
    )
    train(config)
    (events,) = (tmp_path / 'run').glob('2*/vis_data/events*')
    found = EventAccumulator(str(events)).Reload()
    steps, validations = scalars(tmp_path / 'run')
    for key, logged in (('loss', steps), ('grade', steps), ('seen/top1_low', validations)):
        shown = {event.step: event.value for event in found.Scalars(key)}
        assert shown == pytest.approx({row['step']: row[key] for row in logged})
        assert len(shown) == len(logged) > 0
