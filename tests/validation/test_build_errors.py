"""Errors of constructors, as sentences that name the key of the config."""

import pytest
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from networks import kd_distiller, resnet
from runs import school_config

from edudistill_mm.engine import EducationRunner
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module
from edudistill_mm.validation.build_errors import errors_name_keys


def refusal(config, scope='mmpretrain'):
    with pytest.raises(ConfigurationError) as caught:
        build_module(config, 'architecture', scope)
    return str(caught.value)


def test_a_failed_assertion_without_words_says_what_it_asserts():
    config = resnet()
    config['backbone']['strides'] = (1, 2)
    message = refusal(config)
    assert message.startswith('architecture.backbone (type "ResNet_CIFAR") cannot be built: ')
    assert '"assert len(strides) == len(dilations) == num_stages" failed' in message


def test_an_argument_that_a_part_does_not_have_is_named_with_the_part():
    config = resnet()
    config['head']['topkk'] = 3
    message = refusal(config)
    assert 'architecture.head (type "LinearClsHead")' in message
    assert 'it has no argument "topkk" (did you mean "topk"?)' in message


def test_a_type_that_is_not_registered_is_named_where_it_stands():
    config = resnet()
    config['head']['loss']['type'] = 'CrossEntropyLos'
    message = refusal(config)
    assert 'architecture.head.loss (type "CrossEntropyLos")' in message
    assert 'did you mean "CrossEntropyLoss"?' in message


def test_a_part_that_is_no_config_is_shown():
    config = resnet()
    config['head']['loss'] = None
    assert 'architecture.head.loss cannot be built: it must be a dict, but got None' in refusal(
        config
    )


def test_of_equal_parts_the_one_that_was_being_built_is_named():
    config = kd_distiller()
    broken = dict(type='ConvModuleConnector', in_channel=4, out_channel=6, groups=3)
    sound = dict(type='ConvModuleConnector', in_channel=4, out_channel=4)
    config['connectors'] = dict(sound=sound, broken=broken, same=dict(broken))
    assert 'architecture.connectors.broken (type' in refusal(config, 'mmrazor')


@pytest.mark.parametrize(
    ('key', 'part', 'words'),
    [
        ('train_dataloader', 'batchsize', r'"batchsize" \(did you mean "batch_size"\?\)'),
        ('train_cfg', 'max_epoch', r'"max_epoch" \(did you mean "max_epochs"\?\)'),
        ('log_processor', 'window_sze', r'"window_sze" \(did you mean "window_size"\?\)'),
    ],
)
def test_an_argument_that_only_the_runners_own_classes_lack_has_a_suggestion(
    tmp_path, key, part, words
):
    config = school_config(tmp_path)
    config.merge_from_dict({f'{key}.{part}': 2})
    with pytest.raises(ConfigurationError, match=f'{key} cannot be built.*{words}'):
        EducationRunner.from_completed_cfg(config).train()


@pytest.mark.parametrize(
    ('hook', 'words'),
    [
        (dict(type='EarlyStoppingHook'), 'the key "monitor" is missing'),
        (
            dict(type='CheckpointHook', save_best='x', rule='bigger'),
            'cannot be built: rule must be greater, less or None, but got bigger',
        ),
    ],
)
def test_what_a_hook_lacks_is_said_in_plain_words(hook, words):
    config = dict(custom_hooks=[hook])
    with pytest.raises(ConfigurationError, match=words), errors_name_keys(config):
        HOOKS.build(hook)


@pytest.mark.parametrize('wrap', [dict, ConfigDict])
def test_the_place_is_found_after_mmengine_has_taken_the_priority_out(wrap):
    config = wrap(custom_hooks=[dict(type='LoggerHook', priority=49, intervall=1)])
    with pytest.raises(ConfigurationError, match=r'^custom_hooks\[0\] .*intervall'):
        with errors_name_keys(config):
            hook = dict(config['custom_hooks'][0])
            hook.pop('priority')
            HOOKS.build(hook)


@HOOKS.register_module(force=True)
class BrokenHook(Hook):
    """Builds, and fails in training."""

    def before_train(self, runner):
        raise KeyError('a bug')


def test_what_a_hook_builds_in_the_run_is_named_with_the_hook(tmp_path):
    config = school_config(tmp_path)
    config.custom_hooks.append(dict(type='EMAHook', momentun=0.1))
    runner = Runner.from_cfg(config)
    with pytest.raises(ConfigurationError) as caught:
        with errors_name_keys(config._cfg_dict):
            runner.train()
    place = len(config.custom_hooks) - 1
    assert str(caught.value) == (
        f'custom_hooks[{place}] (type "EMAHook") cannot be built: it has no argument "momentun" '
        '(did you mean "momentum"?)'
    )


def test_errors_that_come_out_of_no_config_keep_their_traceback():
    config = dict(hook=dict(type='BrokenHook'))
    with pytest.raises(KeyError, match='a bug'):
        with errors_name_keys(config):
            HOOKS.build(config['hook']).before_train(None)
    with pytest.raises(ZeroDivisionError):
        with errors_name_keys(config):
            1 / 0
    # Built, but by no part of this config.
    with pytest.raises(TypeError):
        with errors_name_keys(config):
            MODELS.build(dict(type='mmpretrain.LinearClsHead', nothing=1))


@pytest.mark.parametrize('key', ['train_dataloader', 'val_dataloader'])
def test_a_loader_with_resident_data_is_named_as_one_without(key):
    loader = dict(
        batch_size=4,
        resident=True,
        dataset=dict(type='Digits', pipeline=[dict(type='PackInputs')]),
        sampler=dict(type='DefaultSampler', shuffle=key == 'train_dataloader'),
    )
    for wrong, words in (
        (dict(batchsize=2), rf'{key} cannot be built.*\(did you mean "batch_size"\?\)'),
        (dict(sampler=dict(type='DefaultSampler', shufle=True)), rf'{key}\.sampler .*"shuffle"'),
    ):
        cfg = {key: dict(loader, **wrong)}
        with pytest.raises(ConfigurationError, match=words), errors_name_keys(cfg):
            EducationRunner.build_dataloader(cfg[key])
