"""MMRazor's losses on classification features, those included that none of its configs uses."""

import copy
import inspect
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as ROOT_MODELS
from mmrazor.models.losses import CRDLoss
from mmrazor.registry import MODELS
from networks import build, images, logits_distiller, resnet, samples
from torch import nn
from torch.nn import functional as F

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.distillers import build_distillers

TWO_GRADES = [
    dict(epochs=1, fragments=1, classes=3),
    dict(epochs=1, fragments=3, classes='all'),
]
# Last stages: 16 channels of the student, 32 of the teacher, 4 x 4 places.
ALIGN = dict(type='ConvModuleConnector', in_channel=16, out_channel=32, act_cfg=None)
LAST = 'backbone.layer3'
FEATURES = ('s_feature', 't_feature')
PREDICTIONS = ('preds_S', 'preds_T')

# Name -> source, loss, names of its arguments for student and teacher (None: not read), connectors
# for student and teacher.
LOSSES = {
    'AT': (LAST, dict(type='ATLoss'), FEATURES, (None, None)),
    'CWD': (LAST, dict(type='ChannelWiseDivergence'), PREDICTIONS, (ALIGN, None)),
    'MGD': (
        LAST,
        dict(type='MGDLoss'),
        PREDICTIONS,
        (dict(type='MGDConnector', student_channels=16, teacher_channels=32), None),
    ),
    'PKD': (LAST, dict(type='PKDLoss'), PREDICTIONS, (ALIGN, None)),
    'FBKD': (
        LAST,
        dict(type='FBKDLoss'),
        ('s_input', 't_input'),
        (
            [ALIGN, dict(type='FBKDStudentConnector', in_channels=32)],
            dict(type='FBKDTeacherConnector', in_channels=32),
        ),
    ),
    'L1': (LAST, dict(type='L1Loss'), FEATURES, (ALIGN, None)),
    'L2': (LAST, dict(type='L2Loss'), FEATURES, (ALIGN, None)),
    'AB': (LAST, dict(type='ABLoss'), FEATURES, (ALIGN, None)),
    'FT': (
        LAST,
        dict(type='FTLoss'),
        FEATURES,
        (
            dict(type='Translator', in_channel=16, out_channel=8),
            dict(type='Paraphraser', phase='train', in_channel=32, out_channel=8),
        ),
    ),
    'Activation': ('neck.gap', dict(type='ActivationLoss'), ('feat_T', None), (None, None)),
    'OnehotLike': ('head.fc', dict(type='OnehotLikeLoss'), ('preds_T', None), (None, None)),
    'InformationEntropy': (
        'head.fc',
        dict(type='InformationEntropyLoss'),
        ('preds_T', None),
        (None, None),
    ),
    'KDSoftCE': ('head.fc', dict(type='KDSoftCELoss', tau=4.0), PREDICTIONS, (None, None)),
    'KL without reduction': (
        'head.fc',
        dict(type='KLDivergence', tau=4.0, reduction='none'),
        PREDICTIONS,
        (None, None),
    ),
    'L1 without reduction': (LAST, dict(type='L1Loss', reduction='none'), FEATURES, (ALIGN, None)),
    'CrossEntropy': ('head.fc', dict(type='CrossEntropyLoss'), PREDICTIONS, (None, None)),
}


def distiller_of(name):
    source, loss, arguments, connectors = LOSSES[name]
    recorders = dict(record=dict(type='ModuleOutputs', source=source))
    mapping, built = {}, {}
    for of_student, argument, connector in zip((True, False), arguments, connectors):
        if argument is not None:
            mapping[argument] = dict(from_student=of_student, recorder='record')
            if connector is not None:
                built[argument] = connector
                mapping[argument]['connector'] = argument
    return copy.deepcopy(
        dict(
            type='ConfigurableDistiller',
            student_recorders=recorders,
            teacher_recorders=recorders,
            connectors=built,
            distill_losses=dict(loss_kd=loss),
            loss_forward_mappings=dict(loss_kd=mapping),
        )
    )


@pytest.fixture
def config(tmp_path):
    teacher = resnet(base_channels=8)
    torch.save(dict(state_dict=build(teacher, 7).state_dict()), tmp_path / 'teacher.pth')

    def make(name):
        return dict(
            architecture=resnet(),
            teacher=teacher,
            teacher_ckpt=str(tmp_path / 'teacher.pth'),
            distiller=distiller_of(name),
        )

    return make


def steps(model, labels, count=3):
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    log = []
    for step in range(count):
        torch.manual_seed(step)
        losses = model.loss(images(len(labels), seed=step), samples(labels))
        total, values = model.parse_losses(losses)
        log.append({key: float(value) for key, value in values.items()})
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return log


@pytest.mark.parametrize('name', LOSSES)
def test_a_loss_sleeps_until_its_features_exist_and_then_trains_its_connectors(config, name):
    model = build(
        dict(
            config(name),
            type='EducationDistill',
            curriculum=dict(num_classes=6, grades=copy.deepcopy(TWO_GRADES)),
        )
    )
    # The encoder of factor transfer is trained before, in a stage of its own.
    connectors = [
        parameter
        for connector in model.distillers['teacher'].connectors.values()
        if getattr(connector, 'phase', '') != 'train'
        for parameter in connector.parameters()
    ]
    for grade, labels in zip(model.curriculum.grades, ([0, 1, 2, 2], [3, 4, 5, 0])):
        model.set_grade(grade)
        awake = LOSSES[name][0] == 'head.fc' or grade.fragments == 3
        log = steps(model, labels)
        assert all(math.isfinite(value) for step in log for value in step.values())
        assert all(('distill.loss_kd' in step) == awake for step in log)
        assert len({step['loss'] for step in log}) == 3
        assert all((parameter.grad is not None) == awake for parameter in connectors)


@pytest.mark.parametrize('name', LOSSES)
def test_in_one_grade_a_loss_is_mmrazors(config, name):
    ours = build(
        dict(
            config(name),
            type='EducationDistill',
            curriculum=dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]),
        )
    )
    theirs = build(dict(config(name), type='SingleTeacherDistill', _scope_='mmrazor'))
    theirs.architecture.load_state_dict(ours.student.student.state_dict())
    theirs.distiller.load_state_dict(ours.distillers['teacher'].state_dict())
    labels = [0, 1, 2, 3, 4, 5]
    assert steps(ours, labels) == steps(theirs, labels)


# ---- weights
SCORES, FEATURE = (4, 6), (4, 8, 4, 4)
# What constructors need beside the weight.
NEEDED = dict(
    CRDLoss=dict(neg_num=3, sample_n=4, dim_out=6),
    WSLD=dict(num_classes=6),
)
ON_FEATURES = ('ATLoss', 'OFDLoss', 'ABLoss', 'FTLoss', 'ChannelWiseDivergence', 'PKDLoss')
# Masks of places and of channels, pools of both, relations of places, features.
OF_FBKD = dict(
    s_input=((4, 1, 4, 4), (4, 8, 1, 1), (4, 8), (4, 1, 4, 4), (4, 8, 16), FEATURE),
    t_input=((4, 1, 4, 4), (4, 8, 1, 1), (4, 1, 4, 4), (4, 8, 16), FEATURE),
)


def weighted_losses():
    """Names of all registered losses of MMRazor that take a ``loss_weight``."""
    return [
        name
        for name, cls in MODELS.module_dict.items()
        if cls.__module__.startswith('mmrazor.models.losses')
        and 'loss_weight' in inspect.signature(cls.__init__).parameters
    ]


def arguments_of(name, cls):
    values = {}
    for argument, parameter in inspect.signature(cls.forward).parameters.items():
        if argument == 'self' or parameter.default is not parameter.empty:
            continue
        if argument == 'data_samples':
            values[argument] = samples([0, 1, 2, 3])
            for number, sample in enumerate(values[argument]):
                sample.set_field(torch.tensor(number), 'sample_idx')
        elif argument == 'gt_labels':
            values[argument] = torch.tensor([0, 1, 2, 3])
        elif name == 'FBKDLoss':
            values[argument] = tuple(map(torch.randn, OF_FBKD[argument]))
        else:
            values[argument] = torch.randn(FEATURE if name in ON_FEATURES else SCORES)
    return values


@pytest.mark.parametrize('name', weighted_losses())
def test_the_weight_of_a_loss_counts(name):
    cls, recorder = MODELS.get(name), dict(recorder='record', from_student=True)

    def value(weight):
        torch.manual_seed(0)
        arguments = arguments_of(name, cls)
        config = dict(
            type='ConfigurableDistiller',
            student_recorders=dict(record=dict(type='ModuleOutputs', source='head.fc')),
            distill_losses=dict(loss=dict(type=name, loss_weight=weight, **NEEDED.get(name, {}))),
            loss_forward_mappings=dict(loss={argument: recorder for argument in arguments}),
        )
        distiller = build_distillers(config, ['teacher'])['teacher']
        torch.manual_seed(0)
        return distiller.distill_losses['loss'](**arguments)

    assert value(1.0).abs().sum() > 0
    assert torch.allclose(value(3.0), 3 * value(1.0))


def contrast(weight):
    """Config of contrastive distillation of the pooled features."""
    recorders = dict(
        feature=dict(type='ModuleOutputs', source='neck.gap'),
        data_samples=dict(type='ModuleInputs', source=''),
    )
    return dict(
        type='ConfigurableDistiller',
        student_recorders=recorders,
        teacher_recorders=dict(feature=recorders['feature']),
        connectors=dict(
            student=dict(type='CRDConnector', dim_in=16, dim_out=4),
            teacher=dict(type='CRDConnector', dim_in=32, dim_out=4),
        ),
        distill_losses=dict(
            loss_crd=dict(type='CRDLoss', neg_num=3, sample_n=6, dim_out=4, loss_weight=weight)
        ),
        loss_forward_mappings=dict(
            loss_crd=dict(
                s_feats=dict(from_student=True, recorder='feature', connector='student'),
                t_feats=dict(from_student=False, recorder='feature', connector='teacher'),
                data_samples=dict(from_student=True, recorder='data_samples', data_idx=1),
            )
        ),
    )


@pytest.mark.parametrize('weight', [1.0, 0.8])
def test_crd_is_mmrazors_times_the_weight_which_mmrazor_leaves_out(config, weight):
    networks = {key: value for key, value in config('AT').items() if key != 'distiller'}
    ours = build(
        dict(
            networks,
            type='EducationDistill',
            distiller=contrast(weight),
            curriculum=dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]),
        )
    )
    theirs = build(
        dict(networks, type='SingleTeacherDistill', distiller=contrast(weight), _scope_='mmrazor')
    )
    theirs.architecture.load_state_dict(ours.student.student.state_dict())
    theirs.distiller.load_state_dict(ours.distillers['teacher'].state_dict())
    losses = []
    for model in (ours, theirs):
        data = samples([0, 1, 2, 3, 4, 5])
        for number, sample in enumerate(data):
            sample.set_field(torch.tensor(number), 'sample_idx')
        model.train()
        torch.manual_seed(0)
        losses.append(model.loss(images(6), data)['distill.loss_crd'])
    assert losses[0] == weight * losses[1]
    # The class itself is MMRazor's.
    assert not CRDLoss(neg_num=3, sample_n=6, dim_out=4)._forward_hooks


# ---- what cannot count
def test_a_loss_of_a_name_that_mmengine_does_not_sum_up_is_refused(config):
    distiller = logits_distiller(dict(type='KLDivergence'))
    for key in ('distill_losses', 'loss_forward_mappings'):
        distiller[key] = dict(soft=distiller[key]['loss_kd'])
    with pytest.raises(
        ConfigurationError, match='distiller.distill_losses.soft would never count.*"loss_soft"'
    ):
        build_distillers(distiller, ['teacher'])


@ROOT_MODELS.register_module(force=True)
class LossByParts(nn.Module):
    """Returns what MMEngine cannot sum up."""

    def forward(self, preds_S, preds_T):
        return dict(first=F.mse_loss(preds_S, preds_T))


def test_a_loss_that_is_no_tensor_is_refused_before_training(config):
    cfg = dict(
        config('KDSoftCE'),
        type='EducationDistill',
        curriculum=dict(num_classes=6, grades=copy.deepcopy(TWO_GRADES)),
    )
    cfg['distiller']['distill_losses']['loss_kd'] = dict(type='LossByParts')
    with pytest.raises(ConfigurationError, match='a distillation loss returns a dict'):
        build(cfg)
