"""A config for one's own images: its text, and what is to be said about it."""

import os.path as osp
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .config_text import assignment
from .data_choice import LARGEST_BATCH, DataChoice
from .growth import RECOMMENDED, Growth, choose_growth, classifier_of
from .network_choice import SMALL_IMAGES, TIMM, ZOO, NetworkChoice

DATA = 'edudistill_mm::_base_/datasets/image_folder.py'
PUBLISHED = 'published'
# At batch size 64: that of configs/_base_/schedules/sgd.py, and for weights that are there already
# that of configs/_base_/models/resnet50_zoo.py.
RATE, RATE_OF_LOADED = 0.05, 0.01
# As long as configs/_base_/models/resnet50_zoo.py.
LONGEST_FINE_TUNING = 60
# From this ratio of the largest class to the smallest one the mean over the classes is told, too.
UNBALANCED = 3
CLASSIFIER = 'head.fc'
# Classes that are named.
SHOWN = 5


@dataclass(frozen=True)
class OwnConfig:
    """A config for one's own images.

    Args:
        images (DataChoice): The images.
        student (NetworkChoice): The student.
        teacher (NetworkChoice): The teacher.
        student_weights (str | None): What the student starts from: 'published', or a file; None if
            it starts anew.
        teacher_weights (str | None): The same of the teacher.
        teacher_ckpt (str | None): The file of a teacher that knows the classes; None if it is to be
            trained.
        teacher_epochs (int | None): How long; None for the usual length.
        epochs (int): Length of the student's training.
    """

    images: DataChoice
    student: NetworkChoice
    teacher: NetworkChoice
    student_weights: str | None
    teacher_weights: str | None
    teacher_ckpt: str | None
    teacher_epochs: int | None
    epochs: int

    @cached_property
    def growth(self) -> Growth:
        """Growth: How the student grows."""
        loaded = self.student_weights is not None
        size = self.images.image_size
        return choose_growth(self.student.config, self._classes, size, self.epochs, loaded)

    @property
    def _classes(self) -> int:
        return len(self.images.survey.images)

    @property
    def _tells_mean(self) -> bool:
        """Whether the mean over the classes is told: some have many more images, and all are measured."""
        survey = self.images.survey
        counts = survey.images.values()
        return max(counts) >= UNBALANCED * min(counts) and not survey.unmeasured

    @property
    def _length_of_teacher(self) -> int:
        usual = self.epochs
        if self.teacher_weights is not None:
            usual = min(max(1, self.epochs // 2), LONGEST_FINE_TUNING)
        return self.teacher_epochs or usual

    def _rate(self, weights: str | None) -> float:
        rate = RATE if weights is None else RATE_OF_LOADED
        return float(f'{rate * self.images.batch_size / LARGEST_BATCH:.3g}')

    def text(self, command: str) -> str:
        """The config file, with a comment on how it was written."""
        return '\n'.join(self._lines(command)) + '\n'

    def _lines(self, command: str) -> Iterator[str]:
        images, survey, growth = self.images, self.images.survey, self.growth
        # Teachers are found by it, and many folders are called "images" or "data".
        path = '-'.join(osp.abspath(survey.root).split(osp.sep)[-2:])
        folder = re.sub(r'\W+', '-', path).strip('-') or 'images'
        yield f'# {self.student.name} learns from {self.teacher.name}. Written by'
        yield f'#     {command}'
        yield '# and yours to edit; another length is `--epochs N` of tools/train.py.'
        yield assignment('_base_', [DATA, RECOMMENDED])
        yield ''
        yield f'# {self._data_remark()}'
        yield '# Teachers are kept by this name: another one for other images, another size or split.'
        yield assignment('dataset_name', images.name(folder))
        yield f'input_shape = (3, {images.image_size}, {images.image_size})'
        if images.resident:
            yield '# All images are small and of one size: they stay in the memory of the training device.'
        yield '# Leave RandomFlip out where left and right matter, as in letters.'
        for split, loader in images.loaders().items():
            yield assignment(f'{split}_dataloader', loader)
        if survey.test is None:
            yield 'test_dataloader = val_dataloader'
        if self._tells_mean:
            yield '# Beside the accuracy, its mean over the classes, as some have many more images.'
            yield (
                "val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='GradeAccuracy'),\n"
                "                 dict(type='SingleLabelMetric', items=('recall', ), average='macro')]"
            )
            yield 'test_evaluator = val_evaluator'
        yield ''
        yield f'# {growth.reason}.'
        architecture: dict = {}
        if growth.fragments != 'blocks':
            architecture.update(fragments=growth.fragments, new_blocks=None)
        elif self.student_weights is not None:
            # Copies, as which blocks begin otherwise, would replace weights that are there.
            architecture['new_blocks'] = 'keep'
        shape = (3, images.image_size, images.image_size)
        architecture.update(input_shape=shape, student=self._student())
        ckpt = self.teacher_ckpt or f'work_dirs/teachers/{{dataset}}_{self.teacher.short_name}.pth'
        network = self.teacher.config
        if self.teacher.source == ZOO and self.teacher_ckpt is None:
            yield '# The teacher is trained on images as the student sees them, without a data_preprocessor.'
            network = {**network, 'data_preprocessor': None}
        teacher = dict(name='teacher', architecture=network, ckpt=ckpt, classes='all')
        model: dict = dict(architecture=architecture, teachers=[teacher])
        distiller = self._recorders()
        if distiller:
            model['distiller'] = distiller
        model['curriculum'] = dict(grades=growth.grades)
        yield assignment('model', model)
        for key, value in growth.recipe.items():
            yield assignment(key, value)
        yield f'# For batches of {images.batch_size}.'
        yield assignment(
            'optim_wrapper', dict(optimizer=dict(lr=self._rate(self.student_weights)))
        )
        if self.student_weights is not None and self.student.source != TIMM:
            yield '# What the student starts from: a URL or a file; None: nothing.'
            yield assignment('load_from', self._source(self.student, self.student_weights))
        if self.teacher_ckpt is None:
            yield ''
            yield '# The training of the teacher, where it differs from that of the student.'
            yield assignment('teacher_training', self._teacher_training())

    def remarks(self) -> Iterator[str]:
        """What was found and chosen, sentences."""
        images, survey = self.images, self.images.survey
        yield self._data_remark()
        if survey.gray:
            yield f'{100 * survey.gray:.3g} % of the images are gray: they become three equal channels.'
        if survey.damaged:
            yield f'{len(survey.damaged)} files cannot be read and are left out: {listed(survey.damaged)}.'
        if survey.leaks:
            kind, harm = 'one of another split', 'They make the accuracy too good'
            if survey.val is None:
                kind = 'another one'
                harm = 'If one is trained on and the other held out, the accuracy is too good'
            yield (
                f'Files that equal {kind}, byte for byte: {len(survey.leaks)}, '
                f'{listed(survey.leaks)}. {harm}; take them away.'
            )
        if survey.two_classes:
            yield (
                f'Files that equal one of another class: {len(survey.two_classes)}, '
                f'{listed(survey.two_classes)}. At least one of the two is in the wrong class.'
            )
        if survey.other_files:
            kinds = ', '.join(f'{count} {suffix}' for suffix, count in survey.other_files.items())
            yield f'Not used are files that are no images of a known kind: {kinds}.'
        for folder in survey.without_classes:
            yield f'Not used is "{folder}", as it has no folders of classes that could be labels.'
        for name, part in survey.unmeasured.items():
            yield f'Class "{name}" has no image in "{part}": no accuracy there tells of it.'
        if self._tells_mean:
            few = min(survey.images, key=survey.images.__getitem__)
            many = max(survey.images, key=survey.images.__getitem__)
            yield (
                f'Class "{many}" has {survey.images[many]} images, "{few}" {survey.images[few]}: '
                f'single-label/recall, the mean over the classes, is told beside the accuracy.'
            )
        yield (
            f'Image size {images.image_size}, as the shorter side of the images is {survey.short_side} '
            f'pixels (median); batch size {images.batch_size}.'
        )
        yield f'Student: {self._network_remark(self.student, self.student_weights)}.'
        yield f'{self.growth.reason}.'
        if images.image_size < SMALL_IMAGES and self.student.name.endswith('_in1k'):
            yield (
                f'The student is made for larger images: networks for {images.image_size} pixels are '
                f'resnet18, resnet20, wrn_16_2 and the like; --image-size {2 * SMALL_IMAGES} enlarges images.'
            )
        teacher = self._network_remark(self.teacher, self.teacher_weights)
        if self.teacher_ckpt is not None:
            yield f'Teacher: {self.teacher.name} of {self.teacher.source}, {self.teacher_ckpt}.'
        else:
            yield (
                f'Teacher: {teacher}; it is trained on your classes for {self._length_of_teacher} epochs '
                f'by --train-teachers.'
            )

    def _data_remark(self) -> str:
        survey, images = self.images.survey, self.images
        counts = survey.images.values()
        kind = f'{min(counts)}' if len(set(counts)) == 1 else f'{min(counts)} to {max(counts)}'
        if survey.val is None:
            split = (
                f'of which {100 * images.val_share:.3g} % of each class (seed {images.seed}) are held '
                f'out for validation'
            )
        else:
            split = f'and those of "{survey.val}" for validation'
            if survey.test is not None:
                split += f', of "{survey.test}" for the test'
        names = [f'"{name}"' for name in survey.images]
        shown = ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
        return f'{len(counts)} classes ({shown}) with {kind} images each, {sum(counts)} in all, {split}.'

    def _network_remark(self, network: NetworkChoice, weights: str | None) -> str:
        if weights is None:
            start = 'from scratch'
        elif weights == PUBLISHED:
            start = 'from its published weights'
        else:
            start = f'from {weights}'
        return f'{network.name} of {network.source}, {start}'

    @staticmethod
    def _source(network: NetworkChoice, weights: str) -> str | None:
        return network.weights if weights == PUBLISHED else weights

    def _student(self) -> dict:
        config = dict(self.student.config)
        if self.student.source == TIMM and self.student_weights is not None:
            config['backbone'] = {**config['backbone'], **self._of_timm(self.student_weights)}
        return config

    @staticmethod
    def _of_timm(weights: str) -> dict:
        return dict(pretrained=True) if weights == PUBLISHED else dict(checkpoint_path=weights)

    def _teacher_training(self) -> dict:
        training: dict = {}
        weights = self.teacher_weights
        if weights is not None:
            if self.teacher.source == TIMM:
                backbone = self._of_timm(weights)
            else:
                source = self._source(self.teacher, weights)
                backbone = dict(
                    init_cfg=dict(type='Pretrained', checkpoint=source, prefix='backbone')
                )
            training['model'] = dict(backbone=backbone)
        training['train_cfg'] = dict(max_epochs=self._length_of_teacher)
        # Only the losses of the student need clipped gradients.
        training['optim_wrapper'] = dict(optimizer=dict(lr=self._rate(weights)), clip_grad=None)
        return training

    def _recorders(self) -> dict:
        """What the distiller has to know of networks whose class scores are not those of head.fc."""
        teacher = classifier_of(self.teacher.config, self._classes, self.images.image_size)
        sources = dict(student_recorders=self.growth.source, teacher_recorders=teacher)
        return {
            side: dict(logits=dict(source=source))
            for side, source in sources.items()
            if source != CLASSIFIER
        }


def listed(files: dict[str, str]) -> str:
    """The first of some files, each with what is told of it."""
    some = [f'"{path}" ({words})' for path, words in list(files.items())[:5]]
    more = len(files) - len(some)
    return ', '.join(some) + (f' and {more} more' if more else '')
