"""Stages that train no classifier."""

import pytest
from mmengine.config import Config

from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import export_student
from edudistill_mm.export.preparation import preparation_of

STAGES = {
    'factor_transfer/factor-transfer_backbone_resnet50_resnet18_8xb16_cifar10_pretrain.py': True,
    'factor_transfer/factor-transfer_backbone_resnet50_resnet18_8xb16_cifar10_train.py': False,
    'abloss/abloss_pretrain_backbone_resnet50_resnet18_8xb32_in1k.py': True,
    'abloss/abloss_logits_resnet50_resnet18_8xb32_in1k.py': False,
    'ofd/ofd_backbone_resnet50_resnet18_8xb16_cifar10.py': False,
    'byot/byot_resnet18_8xb16_cifar100.py': False,
}


@pytest.mark.parametrize('name', STAGES)
def test_the_first_stages_of_mmrazors_distillers_are_known(name, tmp_path):
    file = tmp_path / 'stage.py'
    file.write_text(f"_base_ = 'mmrazor::distill/mmcls/{name}'\n")
    cfg = load_config(str(file)).cfg
    assert (preparation_of(cfg) is not None) == STAGES[name]
    if STAGES[name]:
        with pytest.raises(ConfigurationError) as error:
            export_student(RunConfig(cfg), 'epoch_20.pth', str(tmp_path / 'student.pth'))
        assert 'has no student to export, because' in str(error.value)
        assert 'model.init_cfg=dict(type="Pretrained", checkpoint="epoch_20.pth")' in str(
            error.value
        )


def stage(source='backbone.layer3', kind='ModuleOutputs', **model):
    return Config(
        dict(
            model=dict(
                architecture=dict(type='ImageClassifier'),
                calculate_student_loss=False,
                distiller=dict(
                    student_recorders=dict(f=dict(type=kind, source=source)),
                    loss_forward_mappings=dict(loss=dict(s=dict(from_student=True, recorder='f'))),
                ),
            )
            | model
        )
    )


def test_a_stage_trains_a_classifier_if_a_loss_reads_its_scores_or_the_classifier_has_weights():
    assert preparation_of(stage()) is not None
    assert preparation_of(stage('head.fc', 'ModuleInputs')) is not None
    assert preparation_of(stage('head.fc')) is None
    assert preparation_of(stage('head.loss_module', 'ModuleInputs')) is None
    assert preparation_of(stage(calculate_student_loss=True)) is None
    weights = dict(type='Pretrained', checkpoint='student.pth')
    assert preparation_of(stage(init_cfg=weights)) is None
    assert preparation_of(stage(architecture=dict(student=dict(init_cfg=weights)))) is None
    assert preparation_of(stage(init_cfg=weights, student_trainable=False)) is not None
