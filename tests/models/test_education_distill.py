import copy

import pytest
import torch
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from networks import build, dkd_distiller, images, kd_distiller, logits_distiller, resnet, samples
from torch import nn
from torch.nn import functional

from edudistill_mm.errors import ConfigurationError

GRADES = [
    dict(name='low', epochs=1, fragments=1, classes=2, teachers=['low']),
    dict(name='mid', epochs=1, fragments=2, classes=2, teachers=['mid']),
    dict(name='high', epochs=1, fragments=3, classes=2, teachers=['high']),
]


def one_grade():
    return dict(num_classes=6, grades=[dict(epochs=1, fragments=1, classes='all')])


def three_grades(teachers=True):
    grades = copy.deepcopy(GRADES)
    if not teachers:
        for grade in grades:
            grade.pop('teachers')
    return dict(num_classes=6, grades=grades)


@pytest.fixture
def experts(teacher_file):
    return [
        dict(name=name, architecture=resnet(2), ckpt=teacher_file(name, 2, seed), classes=name)
        for seed, name in enumerate(('low', 'mid', 'high'))
    ]


@pytest.fixture
def generalist(teacher_file):
    return dict(teacher=resnet(6), teacher_ckpt=teacher_file('all', 6, 9))


KD = kd_distiller()


def school(experts, distiller=KD, **kwargs):
    cfg = dict(
        type='EducationDistill',
        architecture=resnet(),
        teachers=experts,
        curriculum=three_grades(),
        distiller=distiller,
    )
    return build({**cfg, **kwargs})


def grade(model, index):
    model.set_grade(model.curriculum.grades[index])
    return model


def train(model, steps, labels):
    """Train and return the log of each step."""
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    log = []
    for step in range(steps):
        batch = dict(inputs=images(len(labels), seed=step), data_samples=samples(labels))
        log.append(
            {key: float(value) for key, value in model.train_step(batch, optimizer).items()}
        )
    return log


# ---- C1
@pytest.mark.parametrize(
    'distiller',
    [
        kd_distiller(),
        dkd_distiller(),
        logits_distiller(dict(type='DISTLoss', tau=1.0), names=('logits_S', 'logits_T', '')),
        logits_distiller(
            dict(type='WSLD', tau=2.0, num_classes=6),
            labels=True,
            names=('student', 'teacher', 'gt_labels'),
        ),
    ],
    ids=['kd', 'dkd', 'dist', 'wsld'],
)
def test_one_grade_with_one_generalist_is_mmrazor_bit_for_bit(distiller, generalist):
    common = dict(_scope_='mmrazor', architecture=resnet(), distiller=distiller, **generalist)
    ours = build(dict(common, type='EducationDistill', curriculum=one_grade()))
    theirs = build(dict(common, type='SingleTeacherDistill'))
    labels = [0, 1, 2, 3, 4, 5, 0, 3]
    log = train(ours, 12, labels)
    assert log == train(theirs, 12, labels)
    assert len({step['loss'] for step in log}) == 12
    mine = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        if name.startswith('architecture.'):
            assert torch.equal(tensor, mine[name]), name


def test_the_weights_of_task_and_distillation_scale_their_losses(generalist):
    plain = dict(
        type='EducationDistill',
        architecture=resnet(),
        distiller=kd_distiller(),
        curriculum=one_grade(),
        **generalist,
    )
    base = train(build(plain), 1, [0, 1])[0]
    weighed = train(build(dict(plain, task_loss_weight=0.3, distill_loss_weight=0.7)), 1, [0, 1])[
        0
    ]
    assert weighed['student.loss'] == pytest.approx(0.3 * base['student.loss'])
    assert weighed['distill.loss_kd'] == pytest.approx(0.7 * base['distill.loss_kd'])
    assert weighed['loss'] == pytest.approx(weighed['student.loss'] + weighed['distill.loss_kd'])


def test_stopping_distillation_stops_paying_for_the_teacher(generalist):
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            distiller=kd_distiller(),
            curriculum=one_grade(),
            **generalist,
        )
    )
    calls = []
    model.faculty.teachers[0].network.register_forward_hook(lambda *_: calls.append(1))
    train(model, 1, [0, 1])
    model.distillation_stopped = True
    assert 'distill.loss_kd' not in train(model, 1, [0, 1])[0] and calls == [1]


def test_a_grade_without_anything_to_learn_is_refused(experts):
    curriculum = three_grades()
    curriculum['grades'][1].update(teachers=[], leave=['low'])
    curriculum['grades'][2]['teachers'] = ['mid', 'high']
    school(experts, curriculum=curriculum)
    with pytest.raises(ConfigurationError, match='grade "mid" has nothing to learn: no teacher'):
        school(experts, curriculum=curriculum, calculate_student_loss=False)


# ---- C5, C6, C7
def kl(student, teacher, tau=4.0):
    return tau**2 * functional.kl_div(
        (student / tau).log_softmax(1), (teacher / tau).softmax(1), reduction='batchmean'
    )


@pytest.mark.parametrize('index', [0, 1, 2])
def test_each_expert_speaks_in_its_own_classes_at_every_grade(experts, index):
    model = grade(school(experts), index).eval()
    labels = torch.tensor([[0, 1, 1], [3, 0, 0], [5, 2, 1]][index])
    x = images(3)
    losses = model.loss(x, samples(labels))
    scores = model.student(x)
    expected = torch.tensor(0.0)
    for number, teacher in enumerate(model.faculty.teachers[: index + 1]):
        rows = labels // 2 == number
        if rows.any():
            columns = list(teacher.classes.classes)
            expected = expected + rows.float().mean() * kl(
                scores[rows][:, columns], teacher.network(x[rows])
            )
    assert torch.allclose(losses['distill.loss_kd'], expected, rtol=1e-5)
    seen = list(model.grade.seen)
    assert torch.allclose(
        losses['student.loss'], functional.cross_entropy(scores[:, seen], labels)
    )


def test_labels_are_numbered_within_the_experts_classes(experts):
    from mmrazor.models.losses import DKDLoss

    model = grade(school(experts, dkd_distiller()), 1).eval()
    x, labels = images(4), torch.tensor([3, 0, 2, 1])
    scores, (low, mid, _) = model.student(x), model.faculty.teachers
    loss = DKDLoss(tau=4.0, beta=2.0, reduction='batchmean')
    expected = 0.5 * loss(
        scores[[1, 3]][:, [0, 1]], low.network(x[[1, 3]]), torch.tensor([0, 1])
    ) + 0.5 * loss(scores[[0, 2]][:, [2, 3]], mid.network(x[[0, 2]]), torch.tensor([1, 0]))
    assert torch.allclose(model.loss(x, samples(labels))['distill.loss_kd'], expected, rtol=1e-5)


@pytest.mark.parametrize('index', [0, 1, 2])
def test_a_generalist_is_restricted_to_the_classes_taught(generalist, index):
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            distiller=dkd_distiller(),
            curriculum=three_grades(teachers=False),
            **generalist,
        )
    )
    model = grade(model, index).eval()
    from mmrazor.models.losses import DKDLoss

    seen, x, labels = list(model.grade.seen), images(2), [0, 1]
    expected = DKDLoss(tau=4.0, beta=2.0, reduction='batchmean')(
        model.student(x)[:, seen],
        model.faculty.teachers[0].network(x)[:, seen],
        torch.tensor(labels),
    )
    assert torch.allclose(model.loss(x, samples(labels))['distill.loss_kd'], expected, rtol=1e-5)


def test_an_expert_may_order_its_classes_as_its_head_does(experts):
    experts[0]['classes'] = [1, 0]
    model = grade(school(experts), 0).eval()
    x = images(2)
    expected = kl(model.student(x)[:, [1, 0]], model.faculty.teachers[0].network(x))
    assert torch.allclose(model.loss(x, samples([0, 1]))['distill.loss_kd'], expected, rtol=1e-5)


def test_losses_that_build_one_hot_labels_are_told_the_experts_number_of_classes(experts):
    distiller = logits_distiller(
        dict(type='WSLD', tau=2.0), labels=True, names=('student', 'teacher', 'gt_labels')
    )
    model = grade(school(experts, distiller), 2).eval()
    from mmrazor.models.losses import WSLD

    x = images(2)
    expected = WSLD(tau=2.0, num_classes=2)(
        model.student(x)[:, [4, 5]], model.faculty.teachers[2].network(x), torch.tensor([1, 0])
    )
    assert torch.allclose(model.loss(x, samples([5, 4]))['distill.loss_kd'], expected, rtol=1e-5)


def test_the_student_runs_once_and_the_experts_share_the_batch(experts):
    model = grade(school(experts), 2)
    sizes = {'student': [], 'low': [], 'mid': [], 'high': []}
    model.student.backbone.register_forward_hook(
        lambda m, i, o: sizes['student'].append(len(i[0]))
    )
    for teacher in model.faculty.teachers:
        teacher.network.register_forward_hook(
            lambda m, i, o, name=teacher.name: sizes[name].append(len(i[0]))
        )
    model.loss(images(6), samples([0, 2, 2, 5, 4, 2]))
    assert sizes == {'student': [6], 'low': [1], 'mid': [3], 'high': [2]}


def test_a_batch_without_a_sample_for_any_teacher_has_a_zero_loss(experts):
    grades = copy.deepcopy(GRADES)
    grades[1]['teachers'], grades[2]['teachers'] = [], ['high', 'mid']
    model = grade(school(experts, curriculum=dict(num_classes=6, grades=grades)), 1)
    losses = model.loss(images(2), samples([2, 3]))
    assert losses['distill.loss_kd'] == 0 and losses['student.loss'] > 0


def feature_distiller():
    """FitNets at stages 2 and 3, and KD."""
    cfg = kd_distiller()
    for stage in (2, 3):
        source = dict(type='ModuleOutputs', source=f'backbone.layer{stage}.1.conv2')
        cfg['student_recorders'][f'f{stage}'] = source
        cfg['teacher_recorders'][f'f{stage}'] = source
        cfg.setdefault('connectors', {})[f'c{stage}'] = dict(
            type='ConvModuleConnector',
            in_channel=4 * 2 ** (stage - 1),
            out_channel=4 * 2 ** (stage - 1),
            norm_cfg=dict(type='BN'),
        )
        cfg['distill_losses'][f'loss_f{stage}'] = dict(type='L2Loss', loss_weight=1.0)
        cfg['loss_forward_mappings'][f'loss_f{stage}'] = dict(
            s_feature=dict(from_student=True, recorder=f'f{stage}', connector=f'c{stage}'),
            t_feature=dict(from_student=False, recorder=f'f{stage}'),
        )
    return cfg


def test_a_feature_loss_sleeps_until_its_fragment_exists(experts):
    model = school(experts, feature_distiller())
    awake = [grade(model, index).losses_awake for index in range(3)]
    assert awake == [['loss_kd'], ['loss_kd', 'loss_f2'], ['loss_kd', 'loss_f2', 'loss_f3']]
    assert grade(model, 0).losses_asleep == ['loss_f2', 'loss_f3']
    model.train()
    for index, names in enumerate(awake):
        losses = grade(model, index).loss(images(2), samples([0, 1]))
        assert [name for name in losses if name.startswith('distill')] == [
            f'distill.{name}' for name in names
        ]


def test_the_connectors_of_an_awake_loss_get_gradients_and_each_teacher_has_its_own(experts):
    model = grade(school(experts, feature_distiller()), 2).train()
    sum(model.loss(images(3), samples([0, 2, 4])).values()).backward()
    for name in ('low', 'mid', 'high'):
        parameters = dict(model.distillers[name].connectors.named_parameters())
        assert parameters and all(
            p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values()
        )


def test_a_feature_loss_compares_the_rows_of_its_teacher(experts):
    model = grade(school(experts, feature_distiller()), 1).eval()
    x, records = images(3), {}
    handle = model.student.backbone.layer2[1].conv2.register_forward_hook(
        lambda m, i, o: records.update(student=o.clone())
    )
    model.student(x)
    handle.remove()
    teacher = model.faculty.teachers[1]
    handle = teacher.network.backbone.layer2[1].conv2.register_forward_hook(
        lambda m, i, o: records.update(teacher=o.clone())
    )
    teacher.network(x[[0, 2]])
    handle.remove()
    distiller = model.distillers['mid']
    connected = distiller.connectors['c2'](records['student'][[0, 2]])
    expected = distiller.distill_losses['loss_f2'](connected, records['teacher']) * 2 / 3
    low = model.distillers['low']
    first = model.faculty.teachers[0]
    handle = first.network.backbone.layer2[1].conv2.register_forward_hook(
        lambda m, i, o: records.update(first=o.clone())
    )
    first.network(x[[1]])
    handle.remove()
    expected = (
        expected
        + low.distill_losses['loss_f2'](
            low.connectors['c2'](records['student'][[1]]), records['first']
        )
        / 3
    )
    assert torch.allclose(
        model.loss(x, samples([2, 0, 3]))['distill.loss_f2'], expected, rtol=1e-4
    )


# ---- BatchNorm that a runner replaces
def norm_distiller():
    """A feature loss on a BatchNorm, through a connector with another one, and KD."""
    cfg = kd_distiller()
    for side in ('student', 'teacher'):
        cfg[f'{side}_recorders']['bn'] = dict(type='ModuleOutputs', source='backbone.bn1')
    cfg['connectors'] = dict(
        c=dict(type='ConvModuleConnector', in_channel=4, out_channel=4, norm_cfg=dict(type='BN'))
    )
    cfg['distill_losses']['loss_bn'] = dict(type='L2Loss')
    cfg['loss_forward_mappings']['loss_bn'] = dict(
        s_feature=dict(from_student=True, recorder='bn', connector='c'),
        t_feature=dict(from_student=False, recorder='bn'),
    )
    return cfg


def with_norms(teachers, norm='BN'):
    """A student whose first fragment ends with a BatchNorm that is recorded, too."""
    student = resnet()
    student['backbone']['norm_cfg'] = dict(type=norm)
    return school(
        teachers,
        norm_distiller(),
        architecture=dict(
            type='FragmentedStudent', student=student, fragments=['bn1', 'layer2', 'layer3']
        ),
        curriculum=three_grades(teachers=teachers[0]['name'] == 'low'),
    )


def kinds(module):
    return {
        type(m).__name__
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
    }


@pytest.mark.parametrize('convert', [convert_sync_batchnorm, revert_sync_batchnorm])
def test_recorders_and_cuts_survive_the_replacement_of_their_batchnorm(experts, convert):
    norm = 'BN' if convert is convert_sync_batchnorm else 'SyncBN'
    plain, replaced = with_norms(experts), with_norms(experts, norm)
    replaced.load_state_dict(plain.state_dict())
    replaced = convert(replaced)
    for index in (0, 1, 2):
        labels = [label % (2 * index + 2) for label in (0, 2, 4, 1, 3, 5)]
        found = [
            grade(model.train(), index).loss(images(6), samples(labels))
            for model in (plain, replaced)
        ]
        assert found[0].keys() == found[1].keys() and 'distill.loss_bn' in found[0]
        for name, value in found[0].items():
            assert torch.equal(value, found[1][name]), (index, name)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, replaced.state_dict()[name])


def test_synchronised_are_the_student_its_references_and_connectors_that_always_run(
    experts, teacher_file
):
    generalist = dict(name='all', architecture=resnet(6), ckpt=teacher_file('all', 6, 9))
    for teachers, of_connectors in ((experts, '_BatchNormXd'), ([generalist], 'SyncBatchNorm')):
        model = grade(convert_sync_batchnorm(with_norms(teachers)), 0)
        assert kinds(model.student.student) == {'SyncBatchNorm'}
        assert kinds(model.student.references) == {'SyncBatchNorm'}
        # An expert's connector does not run in a process whose batch lacks the expert's classes.
        assert kinds(model.distillers) == {of_connectors}
        assert kinds(model.faculty.teachers[0].network) == {'BatchNorm2d'}


def test_a_step_without_lessons_and_without_the_students_own_loss_changes_nothing(experts):
    grades = copy.deepcopy(GRADES)
    grades[1]['teachers'], grades[2]['teachers'] = [], ['high', 'mid']
    model = grade(
        school(
            experts,
            feature_distiller(),
            curriculum=dict(num_classes=6, grades=grades),
            calculate_student_loss=False,
            student_trainable=False,
        ),
        1,
    )
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1))
    batch = dict(inputs=images(2), data_samples=samples([2, 3]))
    assert model.train_step(batch, optimizer)['loss'] == 0
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


def test_no_graph_of_a_step_outlives_it(experts):
    model = school(experts)
    model.loss(images(2), samples([0, 1]))
    for distiller in model.distillers.values():
        for recorders in (distiller.student_recorders, distiller.teacher_recorders):
            assert all(not recorder.data_buffer for recorder in recorders.recorders.values())


# ---- C4, C9
def test_no_tensor_of_a_teacher_is_in_parameters_buffers_or_state(experts):
    model = school(experts)
    owned = {id(t) for t in [*model.parameters(), *model.buffers()]}
    for teacher in model.faculty.teachers:
        assert not owned & {
            id(t) for t in [*teacher.network.parameters(), *teacher.network.buffers()]
        }
    student = {f'architecture.{name}' for name in model.student.state_dict()}
    assert set(model.state_dict()) == student


def test_a_copy_of_the_model_classifies_at_any_grade_without_teachers_and_distillers(experts):
    model = school(experts, feature_distiller())
    twin = copy.deepcopy(model)
    assert twin.faculty.teachers == [] and len(twin.distillers) == 0 and not twin.active_teachers
    assert list(twin.state_dict()) == list(model.state_dict())[: len(twin.state_dict())]
    x = images(2)
    for index in range(3):
        scores = grade(twin, index).eval()(x)
        assert torch.equal(scores, grade(model, index).eval()(x))
    twin.student.head.fc.weight.data.add_(1)
    assert not torch.equal(twin.student.head.fc.weight, model.student.head.fc.weight)
    assert twin.student.student.head is twin.student.head
    model.train()
    assert model.loss(x, samples([0, 5]))['distill.loss_kd'] > 0


def test_moving_the_model_moves_its_teachers(experts):
    model = school(experts).to(torch.float64)
    assert model.faculty.teachers[0].network.head.fc.weight.dtype == torch.float64


def test_state_names_and_shapes_are_the_same_at_every_grade(experts):
    model = school(experts, feature_distiller())
    layouts = [
        [(n, t.shape) for n, t in grade(model, i).state_dict().items()] for i in (0, 1, 2, 0)
    ]
    assert all(layout == layouts[0] for layout in layouts)
    assert any(name.startswith('distillers.mid.connectors.c3') for name, _ in layouts[0])


# ---- heads
@pytest.mark.parametrize(
    'loss',
    [
        dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='classy_vision'),
        dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original', num_classes=6),
        dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    ],
    ids=['smooth', 'smooth6', 'weighted'],
)
def test_a_loss_that_knows_the_number_of_classes_learns_it_at_each_grade(experts, loss):
    model = school(experts, architecture=resnet(loss=loss)).eval()
    plain = build(resnet(loss=loss)).eval()
    for index, labels in enumerate(([0, 1], [3, 0], [5, 2])):
        grade(model, index)
        count = len(model.grade.seen)
        if loss['type'] == 'LabelSmoothLoss':
            smooth = torch.full(
                (2, count), 0.1 / count if loss['mode'] == 'original' else 0.1 / (count * 1.1)
            )
            hard = 0.9 + 0.1 / count if loss['mode'] == 'original' else (1 + 0.1 / count) / 1.1
            smooth[[0, 1], labels] = hard
            expected = -(smooth * model.student(images(2))[:, :count].log_softmax(1)).sum(1).mean()
        else:
            weight = torch.tensor(loss['class_weight'][:count])
            expected = functional.cross_entropy(
                model.student(images(2))[:, :count],
                torch.tensor(labels),
                weight=weight,
                reduction='none',
            ).mean()
        assert torch.allclose(
            model.loss(images(2), samples(labels))['student.loss'], expected, rtol=1e-5
        )
    plain.load_state_dict(model.student.state_dict(), strict=False)
    assert torch.equal(
        plain(images(2), samples([5, 2]), mode='loss')['loss'],
        model.loss(images(2), samples([5, 2]))['student.loss'],
    )


def test_top_k_beyond_the_classes_taught_is_left_out_of_the_training_log(experts):
    cfg = resnet()
    cfg['head'].update(topk=(1, 5), cal_acc=True)
    model = school(experts, architecture=cfg)
    names = [
        sorted(
            name for name in grade(model, index).loss(images(2), samples([0, 1])) if 'top' in name
        )
        for index in (0, 2)
    ]
    assert names == [[], ['student.accuracy_top-1', 'student.accuracy_top-5']]


def test_a_head_loss_with_statistics_of_all_classes_is_refused_for_a_part_of_them(experts):
    with pytest.raises(ConfigurationError, match='SeesawLoss keeps statistics of all classes'):
        school(experts, architecture=resnet(loss=dict(type='SeesawLoss', num_classes=6)))


def test_inputs_of_the_classifier_sleep_until_it_is_the_students_own(experts):
    cfg = kd_distiller()
    for side in ('student_recorders', 'teacher_recorders'):
        cfg[side]['feature'] = dict(type='ModuleInputs', source='head.fc')
    cfg['distill_losses']['loss_feature'] = dict(type='L2Loss')
    cfg['loss_forward_mappings']['loss_feature'] = dict(
        s_feature=dict(from_student=True, recorder='feature', data_idx=0),
        t_feature=dict(from_student=False, recorder='feature', data_idx=0),
    )
    model = school(experts, cfg)
    assert [grade(model, index).losses_asleep for index in range(3)] == [
        ['loss_feature'],
        ['loss_feature'],
        [],
    ]


def test_a_reference_with_a_loss_of_its_own_hands_labels_to_the_distiller(experts):
    own = dict(
        type='FragmentedStudent',
        student=resnet(),
        reference=dict(
            type='TeachingReference', loss=dict(type='CrossEntropyLoss', loss_weight=2.0)
        ),
    )
    model = school(experts, dkd_distiller(), architecture=own)
    for index in range(3):
        assert grade(model, index).losses_awake == ['loss_kd']
        assert model.loss(images(2), samples([0, 1]))['distill.loss_kd'] > 0


@pytest.mark.parametrize(
    'recorder',
    [dict(type='MethodOutputs', source='mmpretrain.models.heads.LinearClsHead.forward')],
)
def test_recorders_of_methods_serve_several_teachers(experts, recorder):
    cfg = kd_distiller()
    cfg['student_recorders']['fc'] = recorder
    model, same = grade(school(experts, cfg), 2).eval(), grade(school(experts), 2).eval()
    batch = images(4), samples([0, 2, 4, 5])
    assert torch.equal(model.loss(*batch)['distill.loss_kd'], same.loss(*batch)['distill.loss_kd'])


def test_a_teacher_of_a_single_class_taught_so_far_waits(generalist):
    grades = [dict(epochs=1, fragments=1, classes=1), dict(epochs=1, fragments=3, classes='all')]
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            distiller=dkd_distiller(),
            curriculum=dict(num_classes=6, grades=grades),
            **generalist,
        )
    )
    assert grade(model, 0).active_teachers == [] and len(grade(model, 1).active_teachers) == 1
    assert set(grade(model, 0).loss(images(2), samples([0, 0]))) == {'student.loss'}


def test_losses_that_relate_samples_wait_for_two_of_them(experts):
    cfg = kd_distiller()
    cfg['distill_losses']['loss_kd'] = dict(type='DistanceWiseRKD', loss_weight=1.0)
    model = grade(school(experts, cfg), 1).train()
    assert torch.isfinite(model.loss(images(3), samples([0, 2, 3]))['distill.loss_kd'])
    assert model.loss(images(2), samples([0, 2]))['distill.loss_kd'] == 0


def test_losses_that_relate_samples_wait_for_two_of_them_if_the_last_grade_has_no_teacher(experts):
    cfg = kd_distiller()
    cfg['distill_losses']['loss_kd'] = dict(type='DistanceWiseRKD', loss_weight=1.0)
    curriculum = three_grades()
    curriculum['grades'][2].update(teachers=[], leave=['low', 'mid'])
    model = grade(school(experts[:2], cfg, curriculum=curriculum), 1).train()
    assert model.loss(images(2), samples([0, 2]))['distill.loss_kd'] == 0


@pytest.mark.parametrize('features', [False, True])
def test_modules_overwrite_their_inputs_only_where_no_feature_is_recorded(experts, features):
    model = school(experts, feature_distiller() if features else kd_distiller())
    for network in (model.student, model.faculty.teachers[0].network):
        inplace = [m.inplace for m in network.modules() if hasattr(m, 'inplace')]
        assert inplace and all(value is not features for value in inplace)


def test_a_rehearsal_leaves_no_trace_in_the_distiller(experts):
    model = school(experts, feature_distiller())
    for distiller in model.distillers.values():
        for name, buffer in distiller.named_buffers():
            if name.endswith('num_batches_tracked'):
                assert buffer == 0


# ---- C11
def wrong_width():
    cfg = feature_distiller()
    cfg['connectors']['c2']['out_channel'] = 5
    return cfg


def mapped(loss='loss_kd', **change):
    cfg = kd_distiller()
    mapping = cfg['loss_forward_mappings'].pop('loss_kd')
    record = dict(mapping.pop('preds_S'), **change)
    cfg['loss_forward_mappings'][loss] = {'preds_S': record, **mapping}
    return cfg


def missing_source(source, side='student_recorders', kind='ModuleOutputs'):
    cfg = kd_distiller()
    cfg[side]['fc'] = dict(type=kind, source=source)
    return cfg


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(curriculum=None), ['model.curriculum is missing']),
        (dict(distiller=None), ['model.distiller is missing']),
        (dict(teacher=resnet()), ['"teacher" and "teachers"']),
        (dict(teachers=None, teacher_ckpt='x.pth'), ['teacher_ckpt', 'without model.teacher']),
        (dict(teacher_trainable=True), ['teacher_trainable', 'True']),
        (dict(task_loss_weight=-1), ['task_loss_weight', '-1']),
        (dict(distill_loss_weight='1'), ['distill_loss_weight', "'1'"]),
        (
            dict(distiller=missing_source('head.fcc')),
            ['head.fcc', 'did you mean "head.fc"', 'student_recorders.fc'],
        ),
        (
            dict(distiller=missing_source('backbone.layer4', 'teacher_recorders')),
            ['backbone.layer4', 'did you mean "backbone.layer', 'teacher_recorders.fc'],
        ),
        (
            dict(
                distiller=missing_source('head.loss_module', 'teacher_recorders', 'ModuleInputs')
            ),
            ['head.loss_module', 'never runs', '"low"'],
        ),
        (
            dict(distiller=missing_source('data_preprocessor', kind='ModuleInputs')),
            ['loss_kd', 'never wake up'],
        ),
        (
            dict(distiller=mapped(recorder='fcc')),
            ['loss_kd.preds_S.recorder', '"fcc"', 'student_recorders', 'did you mean "fc"'],
        ),
        (
            dict(distiller=mapped(connector='c')),
            ['loss_kd.preds_S.connector', '"c"', 'distiller.connectors', 'there are none'],
        ),
        (
            dict(distiller=mapped(loss='loss_dk')),
            ['loss_forward_mappings.loss_dk', 'distill_losses', 'did you mean "loss_kd"'],
        ),
        (
            dict(distiller=logits_distiller(dict(type='KLDivergense'))),
            ['KLDivergense', 'did you mean "KLDivergence"'],
        ),
        (
            dict(
                architecture=dict(
                    type='FragmentedStudent', student=resnet(), fragments=['layer1', 'layer3']
                )
            ),
            ['2 fragments', 'fragments=3'],
        ),
        (dict(architecture=resnet(7)), ['7 outputs', '6']),
        (dict(distiller=wrong_width()), ['losses of grade "mid" cannot be computed', '(1280)']),
        (
            dict(distiller=missing_source('no.such.module.Class.forward', kind='MethodOutputs')),
            ['distiller', 'no.such'],
        ),
        (
            dict(architecture=resnet(loss=dict(type='CrossEntropyLoss', use_sigmoid=True))),
            ['loss'],
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(experts, change, words):
    with pytest.raises(ConfigurationError) as error:
        school(experts, **change)
    message = str(error.value)
    assert '\n' not in message and all(word in message for word in words), message


def test_mixing_augmentations_are_refused_with_experts_only(experts, generalist):
    mixing = dict(
        resnet(),
        train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
        data_preprocessor=dict(num_classes=6),
    )
    with pytest.raises(ConfigurationError, match='batch_augments'):
        school(experts, architecture=mixing)
    with pytest.raises(ConfigurationError, match='losses of grade "grade1" cannot be computed'):
        build(
            dict(
                type='EducationDistill',
                architecture=mixing,
                distiller=dkd_distiller(),
                curriculum=one_grade(),
                **generalist,
            )
        )
    model = build(
        dict(
            type='EducationDistill',
            architecture=mixing,
            distiller=kd_distiller(),
            curriculum=one_grade(),
            **generalist,
        )
    )
    assert train(model, 1, [0, 1])[0]['distill.loss_kd'] > 0


# ---- speed
def test_channels_last_changes_the_format_of_weights_and_not_one_of_them(experts):
    plain, last = school(experts), school(experts, channels_last=True)
    for (name, one), other in zip(plain.named_parameters(), last.parameters()):
        assert torch.equal(one, other), name
    networks = [last.student, *(teacher.network for teacher in last.faculty.teachers)]
    for network in networks:
        weight = network.backbone.layer1[0].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not weight.is_contiguous()


def test_channels_last_that_is_no_truth_value_is_refused(experts):
    with pytest.raises(ConfigurationError, match='model.channels_last must be True or False'):
        school(experts, channels_last='yes')


def test_grades_that_bring_a_teacher_nothing_new_are_not_rehearsed_with_it():
    """What is rehearsed at building would grow with grades times teachers."""
    networks = [build(resnet(2), seed) for seed in range(3)]
    calls = [0, 0, 0]
    for index, network in enumerate(networks):

        def count(*_, index=index):
            calls[index] += 1

        network.register_forward_hook(count)
    experts = [
        dict(name=f'expert{index}', architecture=network, classes=[2 * index, 2 * index + 1])
        for index, network in enumerate(networks)
    ]
    few = [dict(epochs=1, fragments=3, classes=2) for _ in range(3)]
    school(experts, curriculum=dict(num_classes=6, grades=few))
    before, calls[:] = list(calls), [0, 0, 0]
    many = [*few, *(dict(epochs=1) for _ in range(20))]
    school(experts, curriculum=dict(num_classes=6, grades=many))
    # In grades without anything new the first teacher of the seen classes is kept.
    assert calls == [before[0] + 20, *before[1:]]
