import pytest
import torch
from networks import build, resnet

from edudistill_mm.engine.student_record import describe_student, student_difference


def model_of(fragments=None, num_classes=6, new_blocks=None, **backbone):
    student = resnet(num_classes)
    student['backbone'].update(backbone)
    grades = [dict(epochs=1, fragments=1, classes=num_classes), dict(epochs=1, fragments=2)]
    return build(
        dict(
            type='EducationDistill',
            architecture=dict(
                type='FragmentedStudent',
                student=student,
                fragments=fragments or ['layer1', 'layer3'],
                new_blocks=new_blocks,
            ),
            curriculum=dict(num_classes=num_classes, grades=grades),
        )
    )


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Weights and description of a student, as a checkpoint gives them back."""
    model = model_of()
    path = tmp_path_factory.mktemp('written') / 'epoch_1.pth'
    torch.save(dict(state=model.state_dict(), student=describe_student(model.student)), path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    'changes, words',
    [
        ({}, None),
        (dict(fragments=['layer2', 'layer3']), ['layer1', 'layer2']),
        (dict(num_classes=8), ['fc.weight', '(6,', '(8,']),
        (dict(depth=34), ['it has no', 'layer1.2']),
        (dict(dilations=(1, 2, 1)), ['layer2', 'dilation=(2, 2)']),
        (dict(drop_path_rate=0.1), ['Identity()', 'DropPath(drop_prob=0.01']),
    ],
    ids=['same', 'cuts', 'classes', 'depth', 'dilation', 'drop_path'],
)
def test_the_first_difference_of_two_students_is_named(written, changes, words):
    difference = student_difference(model_of(**changes), written['state'], written['student'])
    if words is None:
        assert difference is None
    else:
        assert all(word in difference for word in words), difference


def test_other_blocks_or_another_beginning_of_them_are_a_difference(written):
    blocks = [['layer1.0'], ['layer1.1']]
    model = model_of(blocks)
    record, state = describe_student(model.student), model.state_dict()
    for other, words in (
        (model_of(blocks), None),
        (model_of([[], ['layer1.1', 'layer3.1']]), ['blocks', 'layer3.1']),
        (model_of(blocks, new_blocks='copy'), ['new blocks identity', 'copy']),
        (model_of(), ['fragments ended at []', 'layer1']),
    ):
        difference = student_difference(other, state, record)
        if words is None:
            assert difference is None
        else:
            assert all(word in difference for word in words), difference
    difference = student_difference(model, written['state'], written['student'])
    assert 'layer1' in difference


def test_what_the_distiller_or_the_launcher_changes_is_no_other_student(written):
    model = model_of()
    student = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model.student)
    for module in student.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = not module.inplace
    assert student_difference(model, written['state'], written['student']) is None


def test_layers_are_not_compared_between_versions_of_torch(written):
    record = dict(written['student'], torch='0.0')
    assert student_difference(model_of(dilations=(1, 2, 1)), written['state'], record) is None
