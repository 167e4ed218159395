import pytest
import torch
from networks import NUM_CLASSES, build, images, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.students import TeachingReference, TokenTeachingReference

TINY = dict(embed_dims=24, num_layers=6, num_heads=2, feedforward_channels=48)


def vit(backbone='VisionTransformer', head='VisionTransformerClsHead', **kwargs):
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type=backbone, arch=TINY, img_size=32, patch_size=8, **kwargs),
        head=dict(
            type=head, num_classes=NUM_CLASSES, in_channels=24, loss=dict(type='CrossEntropyLoss')
        ),
    )


def conformer():
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='Conformer',
            base_channels=8,
            arch=dict(embed_dims=24, depths=12, num_heads=2, channel_ratio=1),
        ),
        head=dict(
            type='ConformerHead',
            num_classes=NUM_CLASSES,
            in_channels=[32, 24],
            loss=dict(type='CrossEntropyLoss'),
        ),
    )


def fragmented(student, **kwargs):
    return build(dict(type='FragmentedStudent', student=student, **kwargs))


@pytest.mark.parametrize(
    'count, cuts',
    [
        (None, ['layers.1', 'layers.2', 'layers.3', 'ln1']),
        (2, ['layers.2', 'ln1']),
        (3, ['layers.1', 'layers.3', 'ln1']),
        (6, ['layers.0', 'layers.1', 'layers.2', 'layers.3', 'layers.4', 'ln1']),
    ],
)
def test_blocks_of_one_resolution_are_shared_out_evenly(count, cuts):
    student = fragmented(vit(), num_fragments=count)
    assert student.cuts == [f'backbone.{cut}' for cut in cuts]


def test_more_fragments_than_blocks_are_refused():
    with pytest.raises(
        ConfigurationError, match='finds 6 blocks in VisionTransformer.*7 fragments'
    ):
        fragmented(vit(), num_fragments=7)


@pytest.mark.parametrize(
    'backbone, head, prefix',
    [
        ('VisionTransformer', 'VisionTransformerClsHead', 1),
        ('DistilledVisionTransformer', 'DeiTClsHead', 2),
    ],
)
def test_a_reference_reads_the_mean_of_the_adapted_patches(backbone, head, prefix):
    student = fragmented(vit(backbone, head), num_fragments=2).eval()
    student.set_grade(1, range(NUM_CLASSES))
    tokens = []
    student.backbone.layers[2].register_forward_hook(
        lambda m, i, o: tokens.append(o), prepend=True
    )
    scores = student(images(3, size=32))
    (reference,) = student.references
    assert isinstance(reference, TokenTeachingReference) and tokens[0].shape == (
        3,
        16 + prefix,
        24,
    )
    norm, linear = reference.adapter
    expected = reference.head.fc(linear(norm(tokens[0][:, prefix:])).mean(1))
    assert torch.allclose(scores, expected, atol=1e-6)


def test_a_lower_grade_reads_images_of_another_size():
    student = fragmented(vit(), num_fragments=2)
    student.set_grade(1, [0, 4])
    student(images(2, size=48), samples([4, 0]), mode='loss')['loss'].backward()
    assert student.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


def test_class_token_and_position_embedding_count_as_trained():
    student = fragmented(vit(), num_fragments=2)
    student.set_grade(1, range(NUM_CLASSES))
    student(images(2, size=32), samples([4, 0]), mode='loss')['loss'].backward()
    assert student.backbone.cls_token.grad is not None
    trained = sum(p.numel() for p in student.parameters() if p.grad is not None)
    assert student.parameters_in_training() == trained


def test_the_kind_of_reference_follows_the_cut():
    assert isinstance(fragmented(conformer()).references[0], TeachingReference)
    assert fragmented(vit(), reference=dict(adapter=False)).references[0].head.fc.in_features == 24
    assert fragmented(vit(), reference=dict(width=10)).references[0].head.fc.in_features == 10
    with pytest.raises(ConfigurationError, match='"backbone.layers.1" returns tokens'):
        fragmented(vit(), reference=dict(type='TeachingReference'))
    with pytest.raises(ConfigurationError, match='reference.width'):
        fragmented(vit(), reference=dict(width=0))


def test_both_branches_of_a_conformer_are_restricted_to_the_classes_taught():
    student = fragmented(conformer()).eval()
    student.set_grade(student.num_fragments, [1, 3])
    x = images(2, size=64)
    plain = student.student(x)
    targets = torch.tensor([1, 0])
    losses = [torch.nn.functional.cross_entropy(scores[:, [1, 3]], targets) for scores in plain]
    loss = student(x, samples([3, 1]), mode='loss')['loss']
    assert torch.allclose(loss, sum(losses))
    for prediction, score in zip(student(x, mode='predict'), sum(plain)):
        assert torch.allclose(prediction.pred_score[[1, 3]], score[[1, 3]].softmax(0))
        assert prediction.pred_score[[0, 2, 4, 5]].eq(0).all()


def test_reversible_layers_need_the_usual_backward():
    config = vit('RevVisionTransformer', 'LinearClsHead', out_type='avg_featmap')
    config['head']['in_channels'] = 48
    with pytest.raises(ConfigurationError, match='RevVisionTransformer.*no_custom_backward=True'):
        fragmented(config)
    config['backbone']['no_custom_backward'] = True
    student = fragmented(config)
    student.set_grade(1, range(NUM_CLASSES))
    student(images(2, size=32), samples([0, 1]), mode='loss')['loss'].backward()
    assert student.backbone.layers[0].attn.qkv.weight.grad is not None


def test_backbones_of_pretraining_are_refused():
    with pytest.raises(ConfigurationError, match='MAEViT is one of self-supervised pretraining'):
        fragmented(vit('MAEViT'))


@pytest.mark.parametrize('head', ['LeViTClsHead', 'EfficientFormerClsHead'])
def test_heads_that_mmpretrain_cannot_train_are_refused(head):
    with pytest.raises(ConfigurationError, match=f'{head}.*distillation=False'):
        fragmented(vit(head=head))


def test_named_cuts_may_end_with_branches():
    config = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='HRNet', arch='w18'),
        neck=[
            dict(type='HRFuseScales', in_channels=(18, 36, 72, 144)),
            dict(type='GlobalAveragePooling'),
        ],
        head=dict(
            type='LinearClsHead',
            num_classes=NUM_CLASSES,
            in_channels=2048,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )
    student = fragmented(config, fragments=['layer1', 'stage2', 'stage3', 'stage4'])
    student.set_grade(2, range(NUM_CLASSES))
    student(images(2, size=32), samples([0, 1]), mode='loss')['loss'].backward()
    assert all(p.grad is not None for p in student.backbone.layer1.parameters())
    assert all(p.grad is None for p in student.backbone.stage3.parameters())
