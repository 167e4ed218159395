"""Grades in which the student sees smaller images than its teachers."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from networks import build, classifier, images, kd_distiller, resnet, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms.captured_loss import PATIENCE, CapturedLoss
from edudistill_mm.models.resize import resize

LABELS = [0, 1, 2, 3, 4, 5, 0, 3]


@pytest.fixture
def school(teacher_file):
    def make(size=8, distiller=None, architecture=None, **teacher):
        known = dict(name='all', architecture=resnet(), ckpt=teacher_file('all', 6, 9))
        first = dict(epochs=1, fragments=2, classes='all')
        return build(
            dict(
                type='EducationDistill',
                architecture=architecture or dict(
                    type='FragmentedStudent', student=resnet(), input_shape=(3, 16, 16)
                ),
                teachers=[{**known, **teacher}],
                distiller=distiller or kd_distiller(),
                curriculum=dict(
                    num_classes=6,
                    grades=[
                        dict(first, **({'image_size': size} if size else {})),
                        dict(epochs=1, fragments=3),
                    ],
                ),
            )
        ).train()  # fmt: skip

    return make


def enter(model, index):
    model.set_grade(model.curriculum.grades[index])
    return model


def sizes_seen(model, run):
    """The sizes of the images that student and teacher get while something is run."""
    seen = {'student': [], 'teacher': []}
    networks = dict(student=model.student.backbone, teacher=model.faculty.teachers[0].network)
    handles = [
        network.register_forward_pre_hook(
            lambda module, args, name=name: seen[name].append(tuple(args[0].shape[2:]))
        )
        for name, network in networks.items()
    ]
    run()
    for handle in handles:
        handle.remove()
    return seen


# ---- resizing
def test_a_pixel_of_half_the_size_is_a_mean_of_all_that_it_stands_for():
    # Of a checkerboard nothing is left but its mean, where unweighted neighbours would show stripes.
    board = (torch.arange(16)[:, None] + torch.arange(16)[None]).remainder(2).float()[None, None]
    small = resize(board, (8, 8))
    assert small.shape == (1, 1, 8, 8)
    assert torch.allclose(small[..., 1:-1, 1:-1], torch.full((6, 6), 0.5), atol=1e-6)


def test_images_that_have_the_size_are_the_very_tensor():
    x = images(2)
    assert resize(x, None) is x and resize(x, (16, 16)) is x


# ---- in a school
def test_in_training_the_student_alone_sees_smaller_images(school):
    model = school(size=(8, 12))
    assert sizes_seen(model, lambda: model.loss(images(8), samples(LABELS))) == dict(
        student=[(8, 12)], teacher=[(16, 16)]
    )
    # Validation and test at any grade, and training in the last one, are at full size.
    model.eval()
    assert sizes_seen(model, lambda: model(images(2), mode='tensor'))['student'] == [(16, 16)]
    last = enter(model, 1).train()
    assert sizes_seen(last, lambda: last.loss(images(8), samples(LABELS))) == dict(
        student=[(16, 16)], teacher=[(16, 16)]
    )


def test_a_teacher_has_its_own_size(school):
    model = school(size=8, input_size=24)
    assert sizes_seen(model, lambda: model.loss(images(8), samples(LABELS))) == dict(
        student=[(8, 8)], teacher=[(24, 24)]
    )


def test_the_losses_are_those_of_resized_images_beside_the_teachers_scores_of_full_ones(school):
    model = school()
    inputs = images(8)
    with torch.no_grad():
        teacher = model.faculty.teachers[0].network(inputs, mode='tensor')
        student = copy.deepcopy(model)
        scores = student.student(resize(inputs, (8, 8)), mode='tensor')
        losses = model.loss(inputs, samples(LABELS))
    distilled = 16 * torch.nn.functional.kl_div(
        (scores / 4).log_softmax(1), (teacher / 4).softmax(1), reduction='batchmean'
    )
    task = torch.nn.functional.cross_entropy(scores, torch.tensor(LABELS))
    assert losses['distill.loss_kd'].item() == pytest.approx(distilled.item(), rel=1e-5)
    assert losses['student.loss'].item() == pytest.approx(task.item(), rel=1e-5)


def train(model, steps):
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    log = []
    for step in range(steps):
        batch = dict(inputs=images(8, seed=step), data_samples=samples(LABELS))
        log.append(model.train_step(batch, optimizer)['loss'].item())
    return log


def test_the_size_that_the_images_have_changes_nothing_bit_for_bit(school):
    assert train(school(size=16), 5) == train(school(size=None), 5) != train(school(size=8), 5)


def test_a_promotion_to_full_size_captures_steps_anew(school):
    model, captured = school(), []

    def graph(module, arguments, allow_unused_input):
        captured.append(model.grade.image_size)
        return module

    batch = dict(
        inputs=images(8), data_samples=[samples([0])[0].set_gt_label(torch.tensor(LABELS))]
    )
    plain = model.loss(**dict(batch_inputs=batch['inputs'], data_samples=batch['data_samples']))
    model.captured_loss = CapturedLoss(model, make_graph=graph)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    for index in (0, 1):
        enter(model, index)
        for _ in range(PATIENCE + 1):
            losses = model.train_step(copy.deepcopy(batch), optimizer)
            if index == 0 and not captured:
                assert losses['student.loss'].isfinite()
    assert captured == [(8, 8), None]
    assert plain.keys() == losses.keys() - {'loss'}


# ---- what does not go together is found when the model is built
def test_losses_that_need_features_of_one_size_are_refused(school):
    distiller = kd_distiller()
    source = dict(type='ModuleOutputs', source='backbone.layer2')
    for side in ('student', 'teacher'):
        distiller[f'{side}_recorders']['map'] = source
    distiller['distill_losses']['loss_map'] = dict(type='L2Loss')
    distiller['loss_forward_mappings']['loss_map'] = dict(
        s_feature=dict(from_student=True, recorder='map'),
        t_feature=dict(from_student=False, recorder='map'),
    )
    school(size=None, distiller=distiller)
    with pytest.raises(ConfigurationError) as error:
        school(distiller=copy.deepcopy(distiller))
    message = str(error.value)
    assert '\n' not in message
    assert 'the losses of grade "grade1" cannot be computed' in message
    assert 'the student saw them at 8x8 (curriculum.grades[0].image_size)' in message


def test_a_student_of_one_size_is_refused():
    mixer = classifier(
        dict(
            type='MlpMixer',
            arch=dict(embed_dims=16, num_layers=3, tokens_mlp_dims=16, channels_mlp_dims=16),
            img_size=32,
            patch_size=8,
        ),
        16,
    )
    mixer['neck']['dim'] = 1
    grades = [dict(epochs=1, fragments=1, classes='all', image_size=16), dict(epochs=1)]

    def make():
        return build(
            dict(
                type='EducationDistill',
                architecture=mixer,
                curriculum=dict(num_classes=6, grades=grades),
            )
        )

    with pytest.raises(ConfigurationError) as error:
        make()
    message = str(error.value)
    assert '16x16 (curriculum.grades[0].image_size), which it must be able to take' in message
    grades[0]['image_size'] = 32
    make()
