import gc
import weakref

import pytest
import torch
from mmpretrain.structures import DataSample
from networks import build, classifier, images, resnet, samples
from torch.utils.flop_counter import FlopCounterMode

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models import FragmentedStudent

ALL = range(6)


def fragmented(student=None, **kwargs):
    return build(dict(type='FragmentedStudent', student=student or resnet(), **kwargs))


FAMILIES = {
    'resnet': (dict(type='ResNet', depth=18), 512, ['layer1', 'layer2', 'layer3', 'layer4']),
    'resnet_deep_stem': (
        dict(type='ResNetV1d', depth=50),
        2048,
        ['layer1', 'layer2', 'layer3', 'layer4'],
    ),
    'vgg': (
        dict(type='VGG', depth=11, norm_cfg=dict(type='BN')),
        512,
        ['features.5', 'features.8', 'features.12'],
    ),
    'mobilenet': (
        dict(type='MobileNetV2', widen_factor=0.5),
        1280,
        ['layer2', 'layer3', 'layer5', 'conv2'],
    ),
    'mobilenet_v3': (
        dict(type='MobileNetV3', arch='small'),
        576,
        ['layer1', 'layer3', 'layer8', 'layer12'],
    ),
    'shufflenet_v1': (dict(type='ShuffleNetV1'), 960, ['layers.0', 'layers.1', 'layers.2']),
    'shufflenet_v2': (dict(type='ShuffleNetV2'), 1024, ['layers.0', 'layers.1', 'layers.3']),
}


@pytest.mark.parametrize('family', FAMILIES)
def test_auto_cuts_each_family_at_its_stages(family):
    backbone, channels, ends = FAMILIES[family]
    student = fragmented(classifier(backbone, channels))
    assert student.cuts == [f'backbone.{end}' for end in ends]


@pytest.mark.parametrize('family', FAMILIES)
def test_the_last_grade_is_the_plain_student_bit_for_bit(family):
    backbone, channels, _ = FAMILIES[family]
    cfg = classifier(backbone, channels)
    plain, student = build(cfg), fragmented(cfg)
    student.load_state_dict(plain.state_dict(), strict=False)
    student.set_grade(1, [0, 1])
    student.set_grade(student.num_fragments, ALL)
    x = images(2, size=32)
    for mode in (True, False):
        plain.train(mode)
        student.train(mode)
        for model in (plain, student):
            torch.manual_seed(0)
            model.scores = model(x)
            model.losses = model(x, samples([1, 5]), mode='loss')
        assert torch.equal(plain.scores, student.scores)
        assert torch.equal(plain.losses['loss'], student.losses['loss'])
    for a, b in zip(plain(x, mode='predict'), student(x, mode='predict')):
        assert torch.equal(a.pred_score, b.pred_score)


def test_parameters_keep_the_plain_names_and_the_plain_initialisation():
    plain, student = build(resnet()), fragmented()
    own = {
        name: p for name, p in student.state_dict().items() if not name.startswith('references.')
    }
    assert list(own) == list(plain.state_dict())
    one_fragment = build(dict(type='FragmentedStudent', student=resnet(), num_fragments=1))
    assert all(
        torch.equal(p, one_fragment.state_dict()[name]) for name, p in plain.state_dict().items()
    )


@pytest.mark.parametrize('family', FAMILIES)
def test_a_lower_grade_runs_no_module_of_a_later_fragment(family):
    backbone, channels, _ = FAMILIES[family]
    student = fragmented(classifier(backbone, channels))

    def modules_run(model):
        ran = []
        handles = [
            m.register_forward_hook(lambda *_, name=name: ran.append(name), prepend=True)
            for name, m in student.student.named_modules()
            if name
        ]
        model(images(2, size=32))
        for handle in handles:
            handle.remove()
        return ran

    complete = modules_run(student)
    for depth in range(1, student.num_fragments):
        student.set_grade(depth, ALL)
        assert modules_run(student) == complete[: complete.index(student.cuts[depth - 1]) + 1]


def test_a_lower_grade_costs_the_flops_and_the_memory_of_the_truncated_network():
    student = fragmented()
    student.set_grade(1, ALL)
    backbone, reference = student.backbone, student.references[0]

    def by_hand(x):
        x = backbone.relu(backbone.norm1(backbone.conv1(x)))
        for block in backbone.layer1:
            x = block(x)
        return reference.head((reference(x),))

    def cost(function):
        held = 0

        def pack(tensor):
            nonlocal held
            held += tensor.numel() * tensor.element_size()
            return tensor

        with (
            FlopCounterMode(display=False) as counter,
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        ):
            function(images(4)).sum().backward()
        return counter.get_total_flops(), held

    student.train()
    assert cost(student) == cost(by_hand)


def test_leaving_the_backbone_keeps_no_activation_alive():
    student = fragmented().eval()
    student.set_grade(1, ALL)
    alive = []
    student.backbone.layer1.register_forward_hook(
        lambda m, i, o: alive.append(weakref.ref(o)), prepend=True
    )
    gc.disable()
    try:
        with torch.no_grad():
            student(images(2))
        assert [reference() for reference in alive] == [None]
    finally:
        gc.enable()


def test_promotions_change_no_name_shape_or_trainable_flag():
    student = fragmented()

    def layout():
        return [(n, p.shape, p.requires_grad, id(p)) for n, p in student.named_parameters()] + [
            (n, b.shape, id(b)) for n, b in student.named_buffers()
        ]

    before = layout()
    for depth, seen in ((1, [0, 1]), (2, [0, 1, 2]), (3, ALL), (1, [4])):
        student.set_grade(depth, seen)
        student(images(2), samples([4, 4] if seen == [4] else [0, 1]), mode='loss')[
            'loss'
        ].backward()
        assert layout() == before


def test_the_references_have_the_layout_of_the_paper():
    student = fragmented(resnet(base_channels=16))
    first, second = student.references
    assert first.adapter[0].weight.shape == (64, 16, 1, 1) and second.adapter[0].weight.shape == (
        64,
        32,
        1,
        1,
    )
    assert first.head.fc.in_features == 64 * 4 * 4 and second.head.fc.in_features == 64
    pooled = torch.randn(2, 64, 32, 32)
    assert torch.allclose(first.pool(pooled), torch.nn.functional.avg_pool2d(pooled, 8), atol=1e-6)


def test_the_reference_can_be_configured():
    student = fragmented(reference=dict(width=8, pool_size=2))
    assert student.references[0].head.fc.in_features == 8 * 4
    plain = fragmented(reference=dict(adapter=False, pool_size=1))
    assert plain.references[1].head.fc.in_features == 8
    assert not list(plain.references[0].adapter.parameters())


def test_the_loss_of_a_grade_is_cross_entropy_over_the_classes_taught():
    student = fragmented().eval()
    for depth in (1, 2, 3):
        student.set_grade(depth, [1, 3, 4])
        x = images(3)
        scores = student(x)[:, [1, 3, 4]]
        expected = torch.nn.functional.cross_entropy(scores, torch.tensor([2, 0, 1]))
        loss = student(x, samples([4, 1, 3]), mode='loss')['loss']
        assert torch.allclose(loss, expected)


def test_soft_labels_are_cut_to_the_classes_taught():
    student = fragmented().eval()
    student.set_grade(2, [0, 2])
    x = images(2)
    soft = torch.tensor([[0.25, 0, 0.75, 0, 0, 0], [1.0, 0, 0, 0, 0, 0]])
    scores = student(x)[:, [0, 2]]
    expected = -(soft[:, [0, 2]] * scores.log_softmax(1)).sum(1).mean()
    loss = student(x, [DataSample().set_gt_score(row) for row in soft], mode='loss')['loss']
    assert torch.allclose(loss, expected)


@pytest.mark.parametrize('depth', [1, 3])
def test_predictions_cover_all_classes_and_untaught_ones_score_zero(depth):
    student = fragmented().eval()
    student.set_grade(depth, [1, 4])
    for prediction in student(images(5), samples([1] * 5), mode='predict'):
        assert prediction.pred_score.shape == (6,)
        assert prediction.pred_score[[0, 2, 3, 5]].eq(0).all()
        assert torch.isclose(prediction.pred_score.sum(), torch.tensor(1.0))
        assert int(prediction.pred_label) in (1, 4)
        assert prediction.gt_label.item() == 1


def test_training_mode_reaches_the_wrapped_classifier():
    student = fragmented()
    assert student.train().student.training and not student.eval().student.training


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(fragments=['layer1', 'layre2', 'layer3']), ['layre2', 'did you mean "layer2"']),
        (dict(fragments=['layer2', 'layer1', 'layer3']), ['out of order', 'layer1', 'layer2']),
        (dict(fragments=['layer1', 'layer2']), ['layer3', 'must end the backbone']),
        (dict(fragments=[]), ['at least one']),
        (dict(fragments='automatic'), ['"auto"', 'automatic']),
        (dict(fragments=3), ['"auto"', '3']),
        (dict(fragments=['maxpool', 'layer3']), ['maxpool', 'not a module']),
        (dict(num_fragments=7), ['3 stages', '7']),
        (dict(reference=dict(pool_size=0)), ['pool_size', '0']),
        (
            dict(reference=dict(type='TeachingReferense')),
            ['TeachingReferense', 'did you mean "TeachingReference"'],
        ),
        (dict(student='mmpretrain::resnet/no_such_config.py'), ['no_such_config']),
        (dict(student=dict(type='ImageClassifire')), ['did you mean "ImageClassifier"']),
        (dict(student=17), ['architecture.student', '17']),
    ],
)
def test_a_wrong_cut_is_one_sentence_that_names_it(kwargs, words):
    with pytest.raises(ConfigurationError) as error:
        FragmentedStudent(**{'student': resnet(), **kwargs})
    message = str(error.value)
    assert '\n' not in message and all(word in message for word in words), message


def test_a_classifier_without_a_backbone_is_refused_with_the_one_to_take():
    with pytest.raises(ConfigurationError, match='TIMMBackbone') as error:
        build(
            dict(
                type='FragmentedStudent',
                student=dict(type='TimmClassifier', model_name='resnet10t', num_classes=6),
            )
        )
    message = str(error.value)
    assert 'TimmClassifier, which has no "backbone"' in message and '\n' not in message


def test_a_cut_in_the_middle_of_a_stage_is_possible():
    student = fragmented(fragments=['layer1.0', 'layer2', 'layer3'])
    student.set_grade(1, ALL)
    ran = []
    student.backbone.layer1[1].register_forward_hook(lambda *_: ran.append(1))
    assert student(images(2)).shape == (2, 6) and not ran


def test_the_classifier_uses_a_child_of_its_own_that_has_been_replaced():
    wrapped = build(dict(type='FragmentedStudent', student=resnet(), fragments=['layer3']))
    wrapped.backbone = build(resnet()).backbone
    wrapped.set_grade(1, range(6))
    assert wrapped.student.backbone is wrapped.backbone


def test_each_depth_has_the_parameters_that_it_trains_first():
    student = fragmented()
    names = {id(p): name for name, p in student.named_parameters()}
    new = [{names[id(p)] for p in student.parameters_of(depth)} for depth in (1, 2, 3)]
    assert set().union(*new) == set(names.values())
    assert sum(map(len, new)) == len(names)
    parts = [{'.'.join(name.split('.')[:2]) for name in of_depth} for of_depth in new]
    assert parts == [
        {'backbone.conv1', 'backbone.bn1', 'backbone.layer1', 'references.0'},
        {'backbone.layer2', 'references.1'},
        {'backbone.layer3', 'head.fc'},
    ]
