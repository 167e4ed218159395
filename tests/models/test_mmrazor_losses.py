"""MMRazor's losses on classification features, those included that none of its configs uses."""

import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from networks import build, images, resnet, samples

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
