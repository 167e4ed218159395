from mmengine.config import Config

from edudistill_mm.settings import difference, settings


def config(**changes):
    cfg = Config(
        dict(
            model=dict(type='A', stages=(1, 2)),
            train_dataloader=dict(batch_size=8, num_workers=2),
            val_evaluator=dict(type='Accuracy', topk=(1,)),
            randomness=dict(seed=0, deterministic=False),
            work_dir='here',
            helper=3,
        )
    )
    cfg.merge_from_dict(changes)
    return cfg


def test_seed_place_machine_and_helper_variables_are_no_settings():
    same = {'randomness.seed': 5, 'work_dir': 'there', 'helper': 4}
    same['train_dataloader.num_workers'] = 0
    same['train_dataloader.resident'] = True
    assert difference(settings(config(**same)), settings(config())) is None


def test_a_limit_to_the_views_of_an_image_is_a_setting():
    few = config(**{'train_dataloader.resident': dict(views_per_image=4, device='cpu')})
    assert difference(settings(few), settings(config())) == (
        "train_dataloader.resident is {'views_per_image': 4}, was None"
    )


def test_a_default_hook_that_none_of_mmengines_runs_has_is_a_setting():
    writing = {'default_hooks.logger': dict(type='LoggerHook', interval=5)}
    writing['default_hooks.checkpoint'] = dict(type='mmengine.CheckpointHook', interval=5)
    writing['default_hooks.preemption'] = dict(type='PreemptionHook')
    assert difference(settings(config(**writing)), settings(config())) is None
    stopped = config(**{'default_hooks.early': dict(type='EarlyStoppingHook', patience=3)})
    assert difference(settings(stopped), settings(config())).startswith(
        "default_hooks is {'early': "
    )


def test_the_first_value_that_differs_is_named_with_both_values():
    new = config(**{'model.stages': (1, 3), 'randomness.deterministic': True})
    assert difference(settings(new), settings(config())) == 'model.stages.1 is 3, was 2'
    assert difference(settings(config()), settings(new)) == 'model.stages.1 is 2, was 3'
    more = config(**{'optim_wrapper.clip_grad': dict(max_norm=1)})
    assert difference(settings(more), settings(config())) == (
        "optim_wrapper is {'clip_grad': {'max_norm': 1}}, was None"
    )


def test_how_a_teacher_is_measured_is_no_part_of_its_recipe():
    measured = {'val_evaluator.topk': (5,), 'train_cfg.val_interval': 2, 'train_cfg.max_epochs': 3}
    other = settings(config(**measured), training_only=True)
    assert difference(other, settings(config(), training_only=True)) == (
        "train_cfg is {'max_epochs': 3}, was None"
    )
    other = settings(config(**{'val_evaluator.topk': (5,)}), training_only=True)
    assert difference(other, settings(config(), training_only=True)) is None


def test_the_default_scope_is_no_setting():
    scoped = {'default_scope': 'mmpretrain', 'model._scope_': 'mmpretrain'}
    plain = settings(config(default_scope='mmpretrain'))
    assert difference(settings(config(**scoped)), plain) is None
    other = settings(config(**{**scoped, 'model._scope_': 'mmrazor'}))
    assert difference(other, plain) == "model._scope_ is 'mmrazor', was None"
