"""Mistakes in the config of a distiller."""

import copy
import warnings

import pytest
import torch
from mmengine.registry import MODELS
from networks import dkd_distiller, logits_distiller
from torch import nn

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.distillers.build_distillers import build_distillers
from edudistill_mm.models.distillers.distiller_config import (
    check_distiller_config,
    check_loss_arguments,
)


def distiller():
    config = dkd_distiller()
    config['connectors'] = dict(conv=dict(type='ConvModuleConnector', in_channel=4, out_channel=4))
    config['loss_forward_mappings']['loss_kd']['preds_S'].update(connector='conv')
    return config


def test_a_sound_config_passes():
    check_distiller_config(distiller())
    several = distiller()
    several['connectors']['conv'] = [several['connectors']['conv']] * 2
    check_distiller_config(several)
    check_distiller_config(dict(type='ConfigurableDistiller'))


@pytest.mark.parametrize(
    'path, value, sentence',
    [
        ('student_recorders', 'fc', 'distiller.student_recorders must be a dict of dicts'),
        ('student_recorders.fc', 3, 'distiller.student_recorders.fc must be a dict with a "type"'),
        ('teacher_recorders.fc.source', 3, 'distiller.teacher_recorders.fc.source must be'),
        (
            'teacher_recorders.fc.type',
            'ModuleOutput',
            "distiller.teacher_recorders.fc.type is 'ModuleOutput', which is no recorder "
            '(did you mean "ModuleOutputs"?)',
        ),
        ('connectors.conv', [], 'distiller.connectors.conv must be a dict with a "type"'),
        (
            'loss_forward_mappings',
            {},
            'distiller.distill_losses.loss_kd would never',
        ),
        (
            'loss_forward_mappings.loss_dk',
            {},
            'distiller.loss_forward_mappings.loss_dk belongs to no loss in distiller.distill_losses '
            '(did you mean "loss_kd"?)',
        ),
        ('loss_forward_mappings.loss_kd', [], 'distiller.loss_forward_mappings.loss_kd must be'),
        (
            'loss_forward_mappings.loss_kd.preds_S',
            'fc',
            'distiller.loss_forward_mappings.loss_kd.preds_S must be a dict with "recorder" and',
        ),
        (
            'loss_forward_mappings.loss_kd.preds_S.from_studnet',
            True,
            'distiller.loss_forward_mappings.loss_kd.preds_S has the unknown key "from_studnet" '
            '(did you mean "from_student"?)',
        ),
        (
            'loss_forward_mappings.loss_kd.preds_S.from_student',
            'yes',
            'distiller.loss_forward_mappings.loss_kd.preds_S.from_student must be True or False',
        ),
        (
            'loss_forward_mappings.loss_kd.gt_labels.data_idx',
            -1,
            'distiller.loss_forward_mappings.loss_kd.gt_labels.data_idx must not be negative',
        ),
        (
            'loss_forward_mappings.loss_kd.gt_labels.from_student',
            False,
            'distiller.loss_forward_mappings.loss_kd.gt_labels.recorder is "gt", which is not in '
            'distiller.teacher_recorders; there are fc',
        ),
        (
            'loss_forward_mappings.loss_kd.preds_S.connector',
            'cnov',
            'distiller.loss_forward_mappings.loss_kd.preds_S.connector is "cnov", which is not in '
            'distiller.connectors (did you mean "conv"?)',
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_key(path, value, sentence):
    config = distiller()
    node = config
    *way, last = path.split('.')
    for part in way:
        node = node[part]
    node[last] = value
    with pytest.raises(ConfigurationError) as caught:
        check_distiller_config(config)
    assert str(caught.value).startswith(sentence)


def test_a_loss_that_rests_among_others_is_told_in_a_warning():
    config = distiller()
    config['distill_losses']['loss_x'] = dict(type='L2Loss')
    with pytest.warns(UserWarning, match='distill_losses.loss_x would never be computed'):
        check_distiller_config(config)


def test_an_inherited_connector_is_switched_off_by_none():
    config = distiller()
    config['loss_forward_mappings']['loss_kd']['preds_S']['connector'] = None
    (built,) = build_distillers(config, ['teacher']).values()
    record = built.loss_forward_mappings['loss_kd']['preds_S']
    built.student_recorders.get_recorder('fc')._data_buffer = [torch.ones(2, 4)]
    assert torch.equal(built.get_record(**record), torch.ones(2, 4))
    # The config itself stays as it was.
    assert config['loss_forward_mappings']['loss_kd']['preds_S']['connector'] is None


def test_records_of_student_and_teacher_that_are_exchanged_are_told_in_a_warning():
    config = logits_distiller(dict(type='KLDivergence'))
    mapping = config['loss_forward_mappings']['loss_kd']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_distiller_config(config)
    mapping['preds_S']['from_student'], mapping['preds_T']['from_student'] = False, True
    with pytest.warns(UserWarning, match='loss_kd.preds_S is what the teacher gives.*exchanged'):
        check_distiller_config(config)


def test_a_record_without_its_recorder_is_refused():
    config = distiller()
    del config['loss_forward_mappings']['loss_kd']['preds_T']['recorder']
    with pytest.raises(ConfigurationError, match='preds_T lacks the key "recorder"'):
        check_distiller_config(config)


def test_a_loss_gets_all_arguments_that_it_needs_and_no_others():
    config = logits_distiller(dict(type='mmrazor.DKDLoss'), labels=True)
    losses = nn.ModuleDict(
        {name: MODELS.build(loss) for name, loss in config['distill_losses'].items()}
    )
    mappings = config['loss_forward_mappings']
    check_loss_arguments(losses, mappings)
    lacking, strange = copy.deepcopy(mappings), copy.deepcopy(mappings)
    del lacking['loss_kd']['gt_labels']
    with pytest.raises(ConfigurationError, match='loss_kd lacks "gt_labels", which DKDLoss needs'):
        check_loss_arguments(losses, lacking)
    strange['loss_kd']['pred_S'] = strange['loss_kd']['preds_S']
    with pytest.raises(ConfigurationError, match=r'has "pred_S", .*did you mean "preds_S"\?'):
        check_loss_arguments(losses, strange)
