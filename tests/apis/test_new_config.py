import warnings

import pytest
import torch
from image_folders import make_images
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from PIL import ExifTags, Image
from run_tool import run_tool

from edudistill_mm.apis.new_config import new_config
from edudistill_mm.apis.own_images.config_text import assignment
from edudistill_mm.apis.own_images.data_choice import choose_batch_size
from edudistill_mm.apis.own_images.growth import choose_growth, classifier_of
from edudistill_mm.apis.own_images.image_survey import survey_images
from edudistill_mm.apis.own_images.network_choice import choose_network
from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.students import FragmentedStudent


def write(folder, data, student='resnet14', teacher='resnet8', epochs=6, **options):
    out = str(folder / 'own_run.py')
    return new_config(str(data), student, teacher, epochs, out, **options)


def said(written):
    return ' '.join(written.remarks)


# ---- The images


def test_one_folder_is_split_by_a_seed_and_no_test_image_is_trained_on(tmp_path):
    data = make_images(tmp_path / 'my images', {'a b': 15, 'ü': 5}, (40, 30), 'L')
    written = write(tmp_path, data, val_share=0.2, seed=3)
    assert '2 classes ("a b", "ü") with 5 to 15 images each, 20 in all' in said(written)
    assert 'seed 3' in said(written) and '100 % of the images are gray' in said(written)
    assert 'Class "a b" has 15 images, "ü" 5' in said(written)
    assert 'Image size 32' in said(written) and 'batch size 8' in said(written)
    cfg = load_config(written.path).cfg
    assert cfg.val_evaluator[-1].type == 'SingleLabelMetric'
    # MMEngine would hand any other key to the function.
    assert set(cfg.train_dataloader.collate_fn) == {'type', 'one_sample'}

    def parts(options=None):
        cfg = load_config(written.path, options).cfg
        built = [cfg[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test')]
        return [_files(dataset) for dataset in built]

    train, val, test = parts()
    assert len(train) == 16 and len(val) == 4 and val == test and not train & val
    # Choosing among curricula takes the images for that from the training, never from the test.
    train, val, unseen = parts({'hold_out.share': 0.25})
    assert unseen == test and len(train) + len(val) == 16
    assert not train & val and not (train | val) & test


def _files(dataset):
    from edudistill_mm.config.data import build_dataset

    built = build_dataset(dataset)
    return {built.get_data_info(index)['img_path'] for index in range(len(built))}


def test_train_val_and_test_are_found_in_any_case(tmp_path):
    make_images(tmp_path / 'Training', {'a': 1, 'b': 1})
    make_images(tmp_path / 'validation', {'a': 1})
    make_images(tmp_path / 'Test', {'b': 2})
    survey = survey_images(str(tmp_path))
    assert (survey.train, survey.val, survey.test) == ('Training', 'validation', 'Test')
    assert survey.images == dict(a=1, b=1)


def test_a_class_may_be_called_as_a_split(tmp_path):
    make_images(tmp_path, {'bus': 2, 'car': 2, 'train': 2})
    survey = survey_images(str(tmp_path))
    assert (survey.train, survey.val) == ('', None) and survey.images == dict(
        bus=2, car=2, train=2
    )


@pytest.mark.parametrize('other', ['val', 'test', 'Validation'])
def test_splits_without_classes_are_no_two_classes(tmp_path, other):
    make_images(tmp_path, {'train': 4, other: 4})
    with pytest.raises(ConfigurationError, match='train" holds no folder with images'):
        survey_images(str(tmp_path))


def test_a_class_that_nothing_measures_is_told_and_no_mean_over_the_classes(tmp_path):
    make_images(tmp_path / 'data' / 'train', {'ant': 30, 'bee': 30, 'cat': 5})
    make_images(tmp_path / 'data' / 'val', {'ant': 2, 'bee': 2}, (9, 9))
    written = write(tmp_path, tmp_path / 'data')
    assert 'Class "cat" has no image in "val": no accuracy there tells of it.' in said(written)
    assert 'single-label/recall' not in said(written)
    kinds = [metric.type for metric in load_config(written.path).cfg.val_evaluator]
    assert kinds == ['Accuracy', 'GradeAccuracy']


def test_photos_have_the_size_that_they_have_when_they_are_turned(tmp_path):
    data = make_images(tmp_path, {'a': 2, 'b': 2}, (40, 30), suffix='.jpg')
    assert survey_images(str(data)).one_size == (40, 30)
    photo = data / 'a' / '0.jpg'
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(photo).save(photo, exif=exif)
    survey = survey_images(str(data))
    assert survey.one_size is None and sorted(set(survey.sizes)) == [(30, 40), (40, 30)]
    assert LoadImageFromFile()(dict(img_path=str(photo)))['img'].shape == (40, 30, 3)


def test_what_lies_among_the_images_and_is_not_used_is_told(tmp_path):
    make_images(tmp_path / 'data' / 'train', {'a': 6, 'b': 6})
    make_images(tmp_path / 'data' / 'train', {'b': 2}, suffix='.gif')
    # As on Kaggle: images without labels.
    make_images(tmp_path / 'data' / 'test', {'': 3})
    written = write(tmp_path, tmp_path / 'data')
    assert '12 in all, of which 20 % of each class (seed 0) are held out' in said(written)
    assert 'no images of a known kind: 2 .gif.' in said(written)
    assert 'Not used is "test", as it has no folders of classes' in said(written)
    train, val = (
        _files(load_config(written.path).cfg[f'{split}_dataloader'].dataset)
        for split in ('train', 'val')
    )
    assert (len(train), len(val)) == (10, 2) and not train & val


def test_damaged_files_are_refused_with_their_names_or_left_out(tmp_path):
    data = make_images(tmp_path / 'data', {'a': 5, 'b': 5}, (300, 200), suffix='.jpg')
    whole = (data / 'a' / '0.jpg').read_bytes()
    (data / 'a' / '0.jpg').write_bytes(whole[: len(whole) // 2])
    (data / 'b' / '1.jpg').write_bytes(b'')
    (data / 'b' / '2.jpg').write_text('no image')
    (data / 'b' / 'notes.txt').write_text('no image')
    with pytest.raises(ConfigurationError, match='^3 of the files.*"a/0.jpg".*"b/1.jpg"') as error:
        write(tmp_path, data)
    assert '--damaged skip' in str(error.value) and not (tmp_path / 'own_run.py').exists()
    written = write(tmp_path, data, damaged='skip', image_size=32)
    assert '3 files cannot be read and are left out' in said(written)
    train = load_config(written.path).cfg.train_dataloader.dataset
    assert train.dataset.leave_out == ['a/0.jpg', 'b/1.jpg', 'b/2.jpg']
    assert len(_files(train)) == 5


def test_files_of_two_splits_or_classes_are_told(tmp_path):
    data = tmp_path / 'data'
    make_images(data / 'train', {'a': 3, 'b': 4})
    # Of other sizes, as all noise is of one seed.
    make_images(data / 'val', {'a': 1, 'b': 1}, (9, 9))
    make_images(data / 'test', {'a': 2}, (10, 10))

    def copy(path, to):
        (data / to).write_bytes((data / path).read_bytes())

    copy('train/b/1.png', 'val/b/one.png')
    copy('train/b/1.png', 'train/b/again.png')  # within a split nothing is wrong
    copy('val/b/0.png', 'test/a/other.png')
    copy('train/a/0.png', 'test/a/0.png')
    words = said(write(tmp_path, data))
    assert (
        'Files that equal one of another split, byte for byte: 2, "val/b/one.png" '
        '(train/b/1.png), "test/a/0.png" (train/a/0.png). They make the accuracy too good'
    ) in words
    assert 'another class: 1, "test/a/other.png" (val/b/0.png). At least one' in words
    # Where looking takes too long, nothing is said.
    words = said(write(tmp_path, data, damaged='ignore', force=True))
    assert 'Files that equal' not in words


def test_files_that_a_split_may_part_are_told_but_not_damaged_ones(tmp_path):
    data = make_images(tmp_path / 'data', {'a': 6, 'b': 6}, (40, 30))
    for name in ('b/copy', 'b/third', 'a/other'):
        (data / f'{name}.png').write_bytes((data / 'b' / '1.png').read_bytes())
    for name in ('a/broken', 'b/broken'):
        (data / f'{name}.png').write_text('no image')
    # The same picture, but another file.
    Image.open(data / 'a' / '0.png').resize((20, 15)).save(data / 'a' / 'small.png')
    survey = survey_images(str(data))
    # The first one is in class a.
    assert survey.two_classes == dict.fromkeys(
        ['b/1.png', 'b/copy.png', 'b/third.png'], 'a/other.png'
    )
    assert survey.leaks == {}
    (data / 'a' / 'other.png').unlink()
    survey = survey_images(str(data))
    assert survey.leaks == {'b/copy.png': 'b/1.png', 'b/third.png': 'b/1.png'}
    assert survey.two_classes == {}
    words = said(write(tmp_path, data, damaged='skip'))
    assert 'Files that equal another one, byte for byte: 2, "b/copy.png" (b/1.png)' in words
    assert 'If one is trained on and the other held out, the accuracy is too good' in words


@pytest.mark.parametrize(
    'counts, match',
    [
        (dict(a=5, b=1), 'class "b" has 1 image,.*--val-share 0.2.*folders train and val'),
        (dict(a=5), 'has one folder with images, "a"'),
        (dict(), 'holds no folder with images'),
        ({'val/a': 1, 'val/b': 1}, 'none of training images, which must be called "train"'),
        ({'train/a': 1, 'train/b': 1, 'val/c': 1}, '"c".*is none of the 2 classes'),
    ],
)
def test_folders_that_cannot_be_used_are_one_sentence(tmp_path, counts, match):
    (tmp_path / 'data').mkdir()
    data = make_images(tmp_path / 'data', counts)
    with pytest.raises(ConfigurationError, match=match):
        write(tmp_path, data)


def test_an_existing_config_is_kept_and_other_mistakes_are_one_sentence(tmp_path):
    data = make_images(tmp_path / 'data', {'a': 5, 'b': 5})
    (tmp_path / 'own_run.py').write_text('mine')
    with pytest.raises(ConfigurationError, match='exists.*--force'):
        write(tmp_path, data)
    assert (tmp_path / 'own_run.py').read_text() == 'mine'
    for options, match in (
        (dict(data=tmp_path / 'nowhere'), 'is no folder'),
        (dict(epochs=2), '--epochs 2 is less than the number of grades'),
        (dict(epochs=0), '--epochs must be a positive integer'),
        (dict(student='resnet21'), '--student resnet21 is no network.*near names are .*resnet20'),
        (dict(student_weights='x.pth'), '--student-weights "x.pth" is neither'),
        (dict(damaged='keep'), '--damaged must be one of'),
    ):
        with pytest.raises(ConfigurationError, match=match):
            write(tmp_path, **{**dict(data=data, force=True), **options})
    assert (tmp_path / 'own_run.py').read_text() == 'mine'
    with pytest.raises(ConfigurationError, match='such as my_run.py'):
        new_config(str(data), 'resnet14', 'resnet20', 6, str(tmp_path / 'own.yml'))


# ---- The networks


@pytest.mark.parametrize(
    'name, size, found',
    [
        ('mobilenet_v2', 224, 'mobilenet-v2_8xb32_in1k'),
        ('ResNet50', 224, 'resnet50_8xb32_in1k'),
        ('mobilenet_v2_8XB32-in1k', 224, 'mobilenet-v2_8xb32_in1k'),
        ('resnet50', 32, 'resnet50_8xb16_cifar100'),
        ('resnet50_8xb32_in1k', 32, 'resnet50_8xb32_in1k'),
        ('resnet20', 224, 'resnet20'),
        ('WRN-16-2', 32, 'wrn_16_2'),
    ],
)
def test_short_names_stand_for_a_network_of_the_size_of_the_images(name, size, found):
    assert choose_network(name, size, '--student').name == found


@pytest.mark.slow
def test_networks_of_timm_have_the_prefix_or_a_name_of_their_own():
    pytest.importorskip('timm')
    assert choose_network('timm:resnet18', 32, '--student').config['backbone'] == dict(
        type='TIMMBackbone', model_name='resnet18'
    )


def test_a_student_grows_by_blocks_or_else_by_stages():
    blocks = choose_network('resnet14', 32, '--student').config
    growth = choose_growth(blocks, 5, 32, 12, loaded=False)
    assert growth.fragments == 'blocks' and sum(grade['epochs'] for grade in growth.grades) == 12
    # Two blocks a stage: the last two grades have the same depth.
    assert [grade['fragments'] for grade in growth.grades] == [1, 2, 2]
    stages = choose_network('vgg8', 32, '--student').config
    growth = choose_growth(stages, 5, 32, 12, loaded=False)
    assert growth.fragments == 'auto' and 'no residual blocks' in growth.reason


def test_the_config_of_a_student_without_blocks_is_checked_like_a_run(tmp_path):
    data = make_images(tmp_path / 'data', {'a': 5, 'b': 5})
    cfg = load_config(write(tmp_path, data, student='vgg8').path).cfg
    assert cfg.model.architecture.fragments == 'auto'
    # Those of the curriculum that it inherits begin as copies.
    assert cfg.model.architecture.new_blocks is None


@pytest.mark.slow
def test_weights_from_a_file_are_what_student_and_teacher_start_from(tmp_path):
    data = make_images(tmp_path / 'data', {'a': 5, 'b': 5})
    file = tmp_path / 'weights.pth'
    torch.save({}, file)
    options = dict(student_weights=str(file), teacher_weights=str(file), teacher_epochs=2)
    cfg = load_config(write(tmp_path, data, **options).path).cfg
    assert cfg.load_from == str(file) and cfg.model.architecture.new_blocks == 'keep'
    assert cfg.teacher_training.model.backbone.init_cfg.checkpoint == str(file)
    assert cfg.teacher_training.train_cfg.max_epochs == 2
    written = write(tmp_path, data, teacher_ckpt=str(file), force=True)
    assert not written.trains_teacher and not load_config(written.path).missing_teachers


def test_a_teacher_of_the_zoo_is_trained_on_the_images_of_the_student(tmp_path):
    # The zoo's CIFAR networks have other means than the data set ImageFolder.
    data = make_images(tmp_path / 'data', {'a': 5, 'b': 5}, (32, 32))
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*normalises them differently')
        written = write(tmp_path, data, teacher='resnet18')
    (teacher,) = load_config(written.path).cfg.model.teachers
    assert teacher.architecture.cfg_path == 'resnet18_8xb16_cifar10'
    assert teacher.architecture.data_preprocessor is None


def test_of_a_network_with_two_classifiers_the_mean_of_both_is_distilled():
    backbone = dict(
        type='DistilledVisionTransformer',
        arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16),
        img_size=32,
        patch_size=8,
    )
    head = dict(type='DeiTClsHead', num_classes=10, in_channels=8)
    network = dict(type='ImageClassifier', backbone=backbone, head=head)
    assert classifier_of(network, 3, 32) == 'head'
    assert choose_growth(network, 3, 32, 6, loaded=False).source == 'head'
    network = FragmentedStudent(network, num_fragments=1).student.eval()
    recorded = []
    network.head.register_forward_hook(lambda *args: recorded.append(args[-1]))
    scores = network(torch.rand(2, 3, 32, 32), mode='tensor')
    assert torch.equal(recorded[0], scores) and scores.shape == (2, 10)


# ---- The text


def test_the_text_of_a_value_is_code_of_short_lines():
    value = dict(type='A', more=[dict(name='x' * 40, share=0.5), dict(name='y' * 40, size=(3, 4))])
    text = assignment('value', value)
    assert Config.fromstring(text, '.py').value.to_dict() == value
    assert max(map(len, text.splitlines())) <= 99 and '\n' in text


def test_batches_are_smaller_where_images_are_few():
    assert [choose_batch_size(n) for n in (3, 400, 900, 50000)] == [8, 16, 32, 64]


def test_folders_of_one_name_have_teachers_of_their_own(tmp_path):
    ckpts = []
    for place in ('here', 'there'):
        data = make_images(tmp_path / place / 'images', {'a': 10, 'b': 10})
        cfg = load_config(write(tmp_path, data, force=True).path).cfg
        ckpts += [teacher.ckpt for teacher in cfg.model.teachers]
    assert len(set(ckpts)) == 2


def test_held_out_images_are_none_of_training(tmp_path):
    make_images(tmp_path, {'a': 10, 'b': 6})
    assert survey_images(str(tmp_path)).count_training(0.25) == 7 + 4
    make_images(tmp_path / 'split/train', {'a': 3, 'b': 2})
    make_images(tmp_path / 'split/val', {'a': 1, 'b': 1})
    assert survey_images(str(tmp_path / 'split')).count_training(0.25) == 5


# ---- The whole way


def test_the_command_ends_with_the_next_one(tmp_path, capsys, monkeypatch):
    make_images(tmp_path / 'data', {'a': 5, 'b': 5})
    monkeypatch.chdir(tmp_path)
    networks = '--student resnet14 --teacher resnet8 --epochs 6 --out own.py'
    networks = networks.split()
    run_tool('new_config', ['--data', 'data', *networks])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith('train.py own.py --train-teachers')
    with pytest.raises(SystemExit, match='2'):
        run_tool('new_config', ['--data', 'no', *networks, '--force'])
    assert 'error: --data "no" is no folder' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize('splits', [True, False])
def test_the_config_trains_and_exports_and_the_exported_student_is_tested(
    tmp_path, capsys, monkeypatch, splits
):
    for part in ('train', 'val') if splits else ('',):
        make_images(tmp_path / 'data' / part, {'a b': 20, 'c': 20}, (40, 32))
    monkeypatch.chdir(tmp_path)
    new = '--student resnet14 --teacher resnet20 --epochs 6 --teacher-epochs 6 --out own.py'
    run_tool('new_config', ['--data', 'data', *new.split()])
    run_tool('train', ['own.py', '--train-teachers', '--no-teacher-test'])
    capsys.readouterr()
    run_tool('test', ['own.py', 'work_dirs/own/student.pth'])
    assert 'accuracy/top1' in capsys.readouterr().out
