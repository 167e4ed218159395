"""Small real networks and distillers that the tests of the models share."""

import copy

import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

import edudistill_mm.models  # noqa: F401

NUM_CLASSES = 6


def resnet(num_classes=NUM_CLASSES, base_channels=4, loss=None):
    """Config of a ResNet of three stages, the last of which has 4 * base_channels channels."""
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR',
            depth=18,
            num_stages=3,
            stem_channels=base_channels,
            base_channels=base_channels,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=4 * base_channels,
            loss=loss or dict(type='CrossEntropyLoss'),
        ),
    )


def classifier(backbone, in_channels, num_classes=NUM_CLASSES):
    """Config of a classifier with global pooling and a linear head around a backbone."""
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=in_channels,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )


def logits_distiller(loss, labels=False, names=('preds_S', 'preds_T', 'gt_labels')):
    """Config of a distiller whose loss reads both networks' logits, and the labels if it wants
    them."""
    student, teacher, gt = names
    mapping = {
        student: dict(from_student=True, recorder='fc'),
        teacher: dict(from_student=False, recorder='fc'),
    }
    recorders = dict(fc=dict(type='ModuleOutputs', source='head.fc'))
    if labels:
        recorders['gt'] = dict(type='ModuleInputs', source='head.loss_module')
        mapping[gt] = dict(from_student=True, recorder='gt', data_idx=1)
    return dict(
        type='ConfigurableDistiller',
        student_recorders=recorders,
        teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=dict(loss_kd=loss),
        loss_forward_mappings=dict(loss_kd=mapping),
    )


def kd_distiller(tau=4.0):
    """Config of plain knowledge distillation."""
    return logits_distiller(dict(type='KLDivergence', tau=tau, reduction='batchmean'))


def dkd_distiller():
    """Config of decoupled knowledge distillation."""
    return logits_distiller(
        dict(type='DKDLoss', tau=4.0, beta=2.0, reduction='batchmean'), labels=True
    )


def build(cfg, seed=0):
    """Build and initialise a model from a fixed seed."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(copy.deepcopy(cfg))
    model.init_weights()
    return model


def samples(labels):
    """Data samples with the given labels."""
    return [DataSample().set_gt_label(int(label)) for label in labels]


def images(count, seed=0, size=16):
    """Random images, [count, 3, size, size]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
