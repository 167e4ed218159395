"""What MMRazor's special distillers need of EducationDistill, worked out by hand."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from networks import build, classifier, images, kd_distiller, resnet, samples
from torch.nn import functional as F
from toy_images import ToyImages

from edudistill_mm.errors import ConfigurationError

HALF = [
    dict(name='low', epochs=1, fragments=1, classes=[1, 3, 4]),
    dict(name='high', epochs=1, fragments=3, classes='all'),
]


def curriculum(grades=HALF):
    return dict(num_classes=6, grades=copy.deepcopy(grades))


def grade(model, index):
    model.set_grade(model.curriculum.grades[index])
    return model


# ---- overhaul of feature distillation
def wide_resnet(widen):
    return classifier(
        dict(type='mmrazor.WideResNet', depth=10, widen_factor=widen, num_stages=3), 64 * widen
    )


@pytest.fixture
def overhaul(tmp_path):
    teacher = build(wide_resnet(2))
    torch.manual_seed(1)
    for module in teacher.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, mean=1.0, std=0.2)
            torch.nn.init.normal_(module.bias, std=0.5)
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
    source = 'backbone.layer2.0.bn1'
    return dict(
        type='EducationDistill',
        architecture=wide_resnet(1),
        teacher=wide_resnet(2),
        teacher_ckpt=str(tmp_path / 'teacher.pth'),
        curriculum=curriculum([dict(epochs=1, fragments=3, classes='all')]),
        distiller=dict(
            type='OFDDistiller',
            student_recorders=dict(bb=dict(type='ModuleOutputs', source=source)),
            teacher_recorders=dict(bb=dict(type='ModuleOutputs', source=source)),
            distill_losses=dict(loss_ofd=dict(type='OFDLoss', loss_weight=0.5)),
            connectors=dict(
                student=dict(
                    type='ConvModuleConnector',
                    in_channel=16,
                    out_channel=32,
                    norm_cfg=dict(type='BN'),
                    act_cfg=None,
                ),
                teacher=dict(type='OFDTeacherConnector'),
            ),
            loss_forward_mappings=dict(
                loss_ofd=dict(
                    s_feature=dict(from_student=True, recorder='bb', connector='student'),
                    t_feature=dict(from_student=False, recorder='bb', connector='teacher'),
                )
            ),
        ),
    )


def test_overhaul_distillation_reads_features_from_before_the_relu(overhaul):
    model = build(overhaul).eval()
    teacher = model.faculty.teachers[0].network
    x = images(4)

    def before_relu(network):
        # By hand up to the norm, without any module that could work in place.
        backbone = network.backbone
        features = backbone.layer1(backbone.conv1(x))
        return backbone.layer2[0].bn1(features)

    with torch.no_grad():
        t, s = before_relu(teacher), before_relu(model.student)
    assert 0.2 < (t < 0).float().mean() < 0.8

    # The margin is the mean of a normal variable given that it is negative (Heo et al. 2019).
    norm = teacher.backbone.layer2[0].bn1
    margins = []
    for std, mean in zip(norm.weight.abs().tolist(), norm.bias.tolist()):
        draws = torch.distributions.Normal(mean, std).icdf(
            torch.linspace(0, 1, 200_001, dtype=torch.float64)[1:-1]
        )
        margins.append(float(draws[draws < 0].mean()))
    margin = torch.tensor(margins)[None, :, None, None]
    distiller = model.distillers['teacher']
    assert torch.allclose(distiller.connectors['teacher'].margin, margin, atol=1e-2)

    target = torch.max(t, distiller.connectors['teacher'].margin)
    s = distiller.connectors['student'](s)
    expected = (((s - target) ** 2) * ((s > target) | (target > 0))).sum() / 4 / 1000 * 0.5
    loss = model.loss(x, samples([0, 1, 2, 3]))['distill.loss_ofd']
    assert torch.allclose(loss, expected, rtol=1e-4)


def test_overhaul_distillation_from_a_layer_without_margin_is_refused(overhaul):
    overhaul['distiller']['teacher_recorders']['bb']['source'] = 'backbone.layer2.0.conv1'
    with pytest.raises(ConfigurationError, match='BatchNorm2d'):
        build(overhaul)


# ---- self-distillation
def exits():
    """BYOT with one exit, at the first stage."""
    return dict(
        type='BYOTDistiller',
        student_recorders=dict(bb=dict(type='ModuleOutputs', source='backbone.layer1.1.relu')),
        teacher_recorders=dict(
            fc=dict(type='ModuleOutputs', source='head.fc'),
            gap=dict(type='ModuleOutputs', source='neck.gap'),
            labels=dict(type='ModuleInputs', source='head.loss_module'),
        ),
        connectors=dict(
            exit=dict(
                type='BYOTConnector',
                in_channel=4,
                out_channel=16,
                expansion=1,
                kernel_size=3,
                stride=2,
                num_classes=6,
                pool_size=8,
            )
        ),
        distill_losses=dict(
            loss_label=dict(type='mmpretrain.CrossEntropyLoss'),
            loss_soft=dict(type='KLDivergence', tau=3, reduction='batchmean'),
            loss_feature=dict(type='L2Loss', normalize=False),
        ),
        loss_forward_mappings=dict(
            loss_label=dict(
                cls_score=dict(
                    recorder='bb',
                    record_idx=1,
                    from_student=True,
                    connector='exit',
                    connector_idx=1,
                ),
                label=dict(recorder='labels', from_student=False, data_idx=1),
            ),
            loss_soft=dict(
                preds_S=dict(
                    recorder='bb',
                    record_idx=1,
                    from_student=True,
                    connector='exit',
                    connector_idx=1,
                ),
                preds_T=dict(recorder='fc', from_student=False),
            ),
            loss_feature=dict(
                s_feature=dict(
                    recorder='bb',
                    record_idx=1,
                    from_student=True,
                    connector='exit',
                    connector_idx=0,
                ),
                t_feature=dict(recorder='gap', from_student=False),
            ),
        ),
    )


def self_taught(**kwargs):
    cfg = dict(
        type='EducationDistill',
        architecture=resnet(),
        curriculum=curriculum(),
        distiller=exits(),
    )
    return build({**cfg, **kwargs})


def test_the_reference_is_the_deepest_exit_of_a_lower_grade():
    model = grade(self_taught(), 0).eval()
    assert model.losses_awake == ['loss_label', 'loss_soft']
    x, labels = images(4, size=32), [3, 1, 4, 3]
    backbone = model.student.backbone
    features = backbone.relu(backbone.norm1(backbone.conv1(x)))
    features = backbone.layer1[1](backbone.layer1[0](features))
    # Scores of the three classes taught, of the exit and of the reference.
    at_exit = model.distillers['self'].connectors['exit'](features)[1]
    assert at_exit.shape == (4, 3)
    reference = model.student(x)[:, [1, 3, 4]].detach()
    losses = model.loss(x, samples(labels))
    assert torch.allclose(
        losses['distill.loss_label'], F.cross_entropy(at_exit, torch.tensor([1, 0, 2, 1]))
    )
    soft = F.kl_div(
        (at_exit / 3).log_softmax(1), (reference / 3).softmax(1), reduction='batchmean'
    )
    assert torch.allclose(losses['distill.loss_soft'], 9 * soft, rtol=1e-5)


def test_the_student_does_not_learn_as_its_own_teacher():
    model = grade(self_taught(calculate_student_loss=False), 1).train()
    assert model.losses_awake == ['loss_label', 'loss_soft', 'loss_feature']
    losses = model.loss(images(4, size=32), samples([0, 5, 2, 2]))
    assert set(losses) == {'distill.loss_label', 'distill.loss_soft', 'distill.loss_feature'}
    sum(losses.values()).backward()
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    assert model.student.backbone.layer2[0].conv1.weight.grad is None
    assert model.student.head.fc.weight.grad is None


# ---- contrastive representation distillation
def test_the_data_set_of_crd_takes_classes_of_several_sizes():
    from mmrazor.datasets import CRDDataset

    # 2 + 1 + 3 images of class 0, 1, 2.
    data = CRDDataset(ToyImages(counts=(2, 1, 3, 0, 0, 0)), neg_num=4, percent=1.0)
    np.random.seed(0)
    contrast = data.get_data_info(2)['contrast_sample_idxs']
    assert contrast[0] == 2 and sorted(contrast[1:])[0] in (0, 1, 3)
    assert 2 not in contrast[1:] and len(contrast) == 5
    contrast = data.get_data_info(4)['contrast_sample_idxs']
    assert set(contrast[1:]) <= {0, 1, 2}


def test_a_sampler_reads_the_labels_below_the_data_set_of_crd():
    from mmrazor.datasets import CRDDataset

    from edudistill_mm.curriculum import Curriculum
    from edudistill_mm.datasets import GradeSampler

    data = CRDDataset(ToyImages(counts=(2,) * 6), neg_num=4, percent=1.0)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    sampler = GradeSampler(data, seed=0)
    sampler.attach(Curriculum.from_cfg(curriculum()), {}, batch_size=2)
    assert sorted(sampler) == [2, 3, 6, 7, 8, 9]
    # No negatives were drawn for it.
    assert (np.random.get_state()[1] == state).all()


# ---- pretraining stages
def stage(tmp_path, **kwargs):
    teacher = build(resnet(), seed=9)
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
    return dict(
        type='EducationDistill',
        architecture=resnet(),
        curriculum=curriculum([dict(epochs=1, fragments=3, classes='all')]),
        distiller=kd_distiller(),
        teacher=resnet(),
        teacher_ckpt=str(tmp_path / 'teacher.pth'),
        **kwargs,
    )


def second_stage(tmp_path, **kwargs):
    checkpoint = str(tmp_path / 'first.pth')
    return stage(tmp_path, init_cfg=dict(type='Pretrained', checkpoint=checkpoint), **kwargs)


@pytest.mark.parametrize('algorithm', ['EducationDistill', 'SingleTeacherDistill'])
def test_a_second_stage_starts_from_the_student_and_the_connectors_of_the_first(
    tmp_path, algorithm
):
    distiller = kd_distiller()
    distiller['connectors'] = dict(
        score=dict(type='CRDConnector', dim_in=6, dim_out=6),
        spare=dict(type='Paraphraser', in_channel=2, out_channel=2),
    )
    distiller['loss_forward_mappings']['loss_kd']['preds_S']['connector'] = 'score'
    first = dict(stage(tmp_path), distiller=distiller, type=algorithm)
    if algorithm == 'SingleTeacherDistill':
        first.pop('curriculum')
        first['_scope_'] = 'mmrazor'
    first = build(first, seed=5)
    torch.save(dict(state_dict=first.state_dict()), tmp_path / 'first.pth')
    second = build(dict(second_stage(tmp_path), distiller=distiller), seed=6)
    before = first.state_dict()
    after = second.state_dict()
    for name, tensor in second.student.student.state_dict().items():
        assert torch.equal(before[f'architecture.{name}'], tensor), name
    prefix = 'distillers.teacher' if algorithm == 'EducationDistill' else 'distiller'
    assert torch.equal(
        before[f'{prefix}.connectors.score.linear.weight'],
        after['distillers.teacher.connectors.score.linear.weight'],
    )


def test_a_first_stage_of_another_student_is_refused(tmp_path):
    torch.save(
        dict(
            state_dict=dict(
                build(dict(stage(tmp_path), architecture=resnet(base_channels=8))).state_dict()
            )
        ),
        tmp_path / 'first.pth',
    )
    with pytest.raises(
        ConfigurationError, match='init_cfg: the checkpoint .* does not fit the st'
    ):
        build(second_stage(tmp_path))
    (tmp_path / 'first.pth').unlink()
    with pytest.raises(ConfigurationError, match='model.init_cfg: .*first.pth'):
        build(second_stage(tmp_path))


# ---- arguments
@pytest.mark.parametrize(
    'key, words', [('generator', 'data-free'), ('curiculum', 'did you mean "curriculum"')]
)
def test_a_key_that_is_no_argument_is_refused(key, words):
    cfg = Config(dict(type='EducationDistill', architecture=resnet(), **{key: {}}))
    with pytest.raises(ConfigurationError, match=words):
        MODELS.build(cfg._cfg_dict.to_dict())
