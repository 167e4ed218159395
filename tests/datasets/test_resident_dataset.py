import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import DATASETS, FUNCTIONS, DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from edudistill_mm.config.resident import with_resident_data
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.datasets import ClassSubset, Digits, GradeSampler, ResidentDataset
from edudistill_mm.datasets.seeded_index import SeededIndex
from edudistill_mm.engine import EducationRunner
from edudistill_mm.errors import ConfigurationError, DataError

CROP = dict(type='RandomCrop', crop_size=8, padding=1)
FLIP = dict(type='RandomFlip', prob=0.5, direction='horizontal')
ERASE = dict(type='RandomErasing')
PACK = dict(type='PackInputs')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def digits(*transforms, **kwargs):
    return Digits(pipeline=[*transforms, PACK], **kwargs)


def resident(*transforms, training=True, views_per_image=None, **kwargs):
    data = ResidentDataset(digits(*transforms, **kwargs), training, views_per_image)
    data.full_init()
    return data


def at(stream, *numbers, **kwargs):
    return [SeededIndex(number, stream, **kwargs) for number in numbers]


def test_a_batch_is_that_of_mmpretrains_own_transforms_bit_for_bit():
    data = resident(CROP, FLIP)
    batch = data.__getitems__(at('3/1', *range(0, 1442, 7)))
    (sample,) = batch['data_samples']
    preprocessor = ClsDataPreprocessor(mean=[77.8] * 3, std=[95.9] * 3, to_rgb=True)
    ours = preprocessor(batch, True)
    crop, flip, pack = data.dataset.pipeline.transforms
    theirs = []
    for index, view in zip(sample.sample_idx.tolist(), sample.view.tolist()):
        place, unflipped = divmod(view, 2)
        crop.rand_crop_params = lambda image, place=place: (*divmod(place, 3), 8, 8)
        flip._choose_direction = lambda keep=unflipped: None if keep else 'horizontal'
        theirs.append(pack(flip(crop(data.dataset.get_data_info(index)))))
    lists = {key: [item[key] for item in theirs] for key in ('inputs', 'data_samples')}
    expected = preprocessor(lists, True)
    assert torch.equal(ours['inputs'], expected['inputs'])
    labels = torch.cat([item.gt_label for item in expected['data_samples']])
    assert torch.equal(ours['data_samples'][0].gt_label, labels)
    assert len(set(sample.view.tolist())) == data.num_views == 18


def test_a_sample_depends_on_its_stream_and_index_only():
    data = resident(CROP, FLIP, ERASE)
    batch = data.__getitems__(at('0/1', 4, 9, 700, 9))['inputs']
    assert torch.equal(batch[1], batch[3])
    np.random.seed(1)
    torch.manual_seed(1)
    mixed = [*at('0/2', 9), *at('0/1', 700, 9, 4)]  # over the border of two passes
    again = data.__getitems__(mixed)['inputs']
    assert torch.equal(again[1:], batch[[2, 1, 0]])
    assert not torch.equal(again[0], batch[1])


def test_what_is_drawn_is_what_earlier_versions_drew():
    batch = resident(CROP, FLIP).__getitems__(at('3/1', *range(24)))
    views = '3 5 0 0 3 14 0 14 4 3 1 16 1 1 13 7 5 1 6 11 4 15 15 5'
    assert batch['data_samples'][0].view.tolist() == list(map(int, views.split()))


def test_with_the_probability_of_the_strength_an_image_is_augmented_and_else_neutral():
    data, numbers = resident(CROP, FLIP), range(1440)
    strengths = [], []
    for epoch in range(10):
        for views, strength in zip(strengths, (1.0, 0.4)):
            batch = data.__getitems__(at(f'0/{epoch}', *numbers, strength=strength))
            (sample,) = batch['data_samples']
            assert torch.equal(data.render(sample.sample_idx, sample.view), batch['inputs'])
            views.append(sample.view.numpy())
    full, weak = map(np.concatenate, strengths)
    # The place in the middle, without a flip.
    neutral = 4 * 2 + 1
    assert ((weak == full) | (weak == neutral)).all()
    shares = np.full(18, 0.4 / 18)
    shares[neutral] += 0.6
    counts, expected = np.bincount(weak, minlength=18), shares * len(weak)
    # Chi squared of 17 degrees of freedom: 99.9 % are below 40.8.
    assert ((counts - expected) ** 2 / expected).sum() < 40.8


def test_images_at_strength_0_are_as_they_lie_there_whatever_the_transforms():
    rotate = dict(type='torchvision/RandomRotation', degrees=(30, 60))
    pil = [dict(type='NumpyToPIL', to_rgb=True), rotate, dict(type='PILToNumpy', to_bgr=True)]
    data = resident(CROP, FLIP, *pil, ERASE)
    assert data.num_views is None
    batch = data.__getitems__([*at('0/1', 4, 9, strength=0.0), *at('0/2', 4)])['inputs']
    assert torch.equal(batch[:2], data.images[[4, 9]])
    assert not torch.equal(batch[2], data.images[4])
    many = data.__getitems__(at('0/1', *range(1000), strength=0.3))['inputs']
    untouched = (many == data.images[:1000]).flatten(1).all(1).double().mean()
    # Standard deviation 0.0145; hardly any augmented one is untouched.
    assert untouched == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize('unit', ['epochs', 'iters'])
def test_the_strength_is_that_of_the_grade_wherever_a_run_goes_on(unit):
    grades = [dict(classes='all', augmentation=0.0), dict(augmentation=0.5), dict()]
    length = {unit: 1 if unit == 'epochs' else 15}
    curriculum = Curriculum.from_cfg(
        dict(num_classes=10, grades=[dict(grade, **length) for grade in grades]), teachers=[]
    )

    def batches(skipped=0):
        data_loader = loader()
        data_loader.sampler.attach(curriculum, {}, 100)
        if unit == 'iters':
            data_loader.sampler.skip(skipped * 100)
            return data_loader, [batch for batch, _ in zip(data_loader, range(45 - skipped))]
        made = []
        for epoch in range(skipped // 15, 3):
            made += epoch_of(data_loader, epoch)
        return data_loader, made

    data_loader, whole = batches()
    images, shares = data_loader.dataset.images, []
    for grade in range(3):
        same = [
            (batch['inputs'] == images[batch['data_samples'][0].sample_idx]).flatten(1).all(1)
            for batch in whole[grade * 15 : grade * 15 + 15]
        ]
        shares.append(torch.cat(same).double().mean().item())
    # One of 9 places is the middle; shifted images are hardly ever the same.
    assert shares == pytest.approx([1, 0.5 + 0.5 / 9, 1 / 9], abs=0.05) and shares[0] == 1
    for skipped in (15, 20) if unit == 'iters' else (15,):
        _, rest = batches(skipped)
        assert len(rest) == 45 - skipped
        assert all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(whole[skipped:], rest))


def test_resident_data_draw_nothing_from_the_generators_of_the_process():
    data = resident(CROP, FLIP)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    data.__getitems__(at('0/1', 1, 2, 3))
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])


def test_with_another_sampler_numpys_generator_decides():
    data = resident(CROP, FLIP)
    batches = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        batches.append(torch.stack([data.__getitems__([5, 6])['inputs'] for _ in range(3)]))
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0][0], batches[0][1])


@pytest.mark.parametrize('views_per_image', [None, 5])
def test_a_view_is_always_the_same_image(views_per_image):
    data = resident(CROP, FLIP, views_per_image=views_per_image)
    seen = {}
    for epoch in range(30):
        batch = data.__getitems__(at(f'0/{epoch}', *range(40)))
        (sample,) = batch['data_samples']
        rendered = data.render(sample.sample_idx, sample.view)
        assert torch.equal(rendered, batch['inputs'])
        for key, image in zip(zip(sample.sample_idx.tolist(), sample.view.tolist()), rendered):
            assert torch.equal(seen.setdefault(key, image), image)
    most = views_per_image or 18
    assert data.num_views == most
    assert {view for _, view in seen} == set(range(most))


def test_fixed_views_make_any_transform_countable_and_differ_between_images():
    assert resident(CROP, ERASE).num_views is None
    data = resident(CROP, ERASE, views_per_image=4)
    one, zero = torch.ones(50, dtype=torch.long), torch.zeros(50, dtype=torch.long)
    same = data.render(one * 7, zero)
    assert (same == same[0]).all()
    # The places of crops of one view of different images.
    plain = resident(CROP, views_per_image=1)
    outcomes = {
        tuple(np.flatnonzero((plain.render(torch.tensor([i]), zero[:1]) != 0).any(1)[0].any(1)))
        for i in range(50)
    }
    assert len(outcomes) > 1


def test_fingerprints_tell_images_labels_and_views_apart():
    made = [
        resident(CROP, FLIP),
        resident(CROP, FLIP, views_per_image=4),
        resident(CROP),
        resident(CROP, FLIP, split='test'),
        resident(dict(type='Resize', scale=(10, 10)), CROP, FLIP),
    ]
    other = resident(CROP, FLIP)
    assert len({data.fingerprint for data in made}) == 5
    assert other.fingerprint == made[0].fingerprint
    labels = ClassSubset(digits(CROP, FLIP), classes=[1, 0, *range(2, 10)])
    relabelled = ResidentDataset(labels, True)
    relabelled.full_init()
    assert relabelled.fingerprint != other.fingerprint


def test_for_validation_each_image_has_the_sample_of_the_pipeline():
    plain = digits(split='test')
    data = resident(training=False, split='test')
    batch = data.__getitems__([3, 5])
    for index, image, sample in zip((3, 5), batch['inputs'], batch['data_samples']):
        expected = plain[index]
        assert torch.equal(image, expected['inputs'])
        assert sample.gt_label.tolist() == expected['data_samples'].gt_label.tolist()
        assert sample.metainfo == expected['data_samples'].metainfo
        sample.set_pred_score(torch.ones(10))
    assert 'pred_score' not in data.__getitems__([3])['data_samples'][0]


def test_classes_chosen_and_renumbered_are_those_of_the_subset():
    subset = ClassSubset(digits(CROP), classes=[7, 3])
    data = ResidentDataset(subset, True)
    data.full_init()
    assert len(data) == len(subset) and data.metainfo['classes'] == ('7', '3')
    assert data.get_gt_labels().tolist() == subset.get_gt_labels().tolist()
    (sample,) = data.__getitems__(range(20))['data_samples']
    assert sample.gt_label.tolist() == subset.get_gt_labels()[:20].tolist()


@DATASETS.register_module(force=True)
class Odd(BaseDataset):
    """Images as they are given."""

    def __init__(self, infos, pipeline):
        self.infos = infos
        super().__init__(pipeline=pipeline, serialize_data=False)

    def load_data_list(self):
        return [dict(info) for info in self.infos]


def image(height=8, width=8, dtype=np.uint8):
    return np.zeros((height, width, 3), dtype)


@pytest.mark.parametrize(
    'infos, error, words',
    [
        ([dict(img=image(), gt_label=0), dict(img=image(9), gt_label=0)], ConfigurationError,
         ['one size', '8x8', '9x8', 'Resize']),
        ([dict(img=image(dtype=np.float32), gt_label=0)], ConfigurationError, ['uint8', 'float32']),
        ([dict(img=image(), gt_label=[0, 1])], ConfigurationError, ['gt_label', '[0, 1]']),
        ([dict(img=image())], ConfigurationError, ['gt_label', 'none']),
        ([dict(img=image(), gt_label=0.5)], ConfigurationError, ['gt_label=0.5']),
        ([dict(img=image(), gt_label='3')], ConfigurationError, ["gt_label='3'"]),
        ([dict(img=image(), gt_score=[0.5, 0.5], gt_label=0)], ConfigurationError, ['gt_score']),
    ],
    ids=['sizes', 'floats', 'labels', 'no-label', 'half', 'text', 'scores'],
)  # fmt: skip
def test_images_that_cannot_be_resident_are_refused_in_one_sentence(infos, error, words):
    data = ResidentDataset(Odd(infos, [PACK]), training=True)
    with pytest.raises(error) as caught:
        data.full_init()
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / 'broken.png'
    path.write_bytes(b'nothing')
    infos = [dict(img_path=str(path), gt_label=0)]
    data = ResidentDataset(Odd(infos, [dict(type='LoadImageFromFile'), PACK]), training=True)
    with pytest.raises(DataError, match='broken.png'):
        data.full_init()


def test_images_that_do_not_fit_are_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr('edudistill_mm.datasets.resident.room.free_memory', lambda device: 200_000)
    with pytest.raises(ConfigurationError, match=r'1442 images .* 0\.0 GB .*resident=False'):
        resident(CROP)


@pytest.mark.parametrize(
    'transforms, words',
    [
        ([dict(type='ColorJitter', brightness=0.4)], 'ColorJitter'),
        ([FLIP, dict(type='Resize', scale=(16, 16))], 'Resize'),
        ([dict(type='AutoAugment', policies='imagenet')], 'AutoAugment'),
    ],
)
def test_transforms_that_resident_data_lack_are_named(transforms, words):
    with pytest.raises(ConfigurationError, match=words):
        resident(*transforms)


def test_a_pipeline_that_is_replaced_is_followed():
    data = resident(CROP, FLIP)
    images = data.images
    data.dataset.pipeline = Compose([dict(CROP, padding=2), PACK])
    assert data.num_views == 25 and data.images is images
    data.dataset.pipeline = Compose([dict(type='Resize', scale=(6, 6)), PACK])
    assert data.__getitems__(at('0', 1))['inputs'].shape == (1, 3, 6, 6)


def loader(training=True, **kwargs):
    cfg = dict(
        batch_size=100,
        num_workers=2,
        persistent_workers=True,
        resident=True,
        dataset=dict(type='Digits', pipeline=[CROP, PACK]),
        sampler=dict(type='GradeSampler'),
    )
    return EducationRunner.build_dataloader({**cfg, **kwargs}, seed=5, training=training)


def epoch_of(data_loader, epoch):
    data_loader.sampler.set_epoch(epoch)
    return list(data_loader)


def test_the_loaders_key_makes_resident_data_that_go_through_the_samplers_order():
    ours, plain = loader(), loader(resident=False, num_workers=0, persistent_workers=False)
    assert isinstance(ours.dataset, ResidentDataset) and ours.num_workers == 0
    batches = epoch_of(ours, 3)
    assert [len(batch['inputs']) for batch in batches] == [100] * 14 + [42]
    labels = torch.cat([batch['data_samples'][0].gt_label for batch in batches])
    plainly = epoch_of(plain, 3)
    expected = torch.cat([s.gt_label for batch in plainly for s in batch['data_samples']])
    assert torch.equal(labels, expected)
    again = epoch_of(loader(), 3)
    assert all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(batches, again))
    others = epoch_of(ours, 4)
    assert not any(torch.equal(a['inputs'], b['inputs']) for a, b in zip(batches, others))


@pytest.mark.parametrize('resident', [True, False])
def test_a_number_of_batches_takes_the_beginning_of_the_data(resident):
    given = dict(num_batch_per_epoch=3, resident=resident, num_workers=0, persistent_workers=False)
    data_loader = loader(**given)
    grades = [dict(epochs=1, fragments=1, classes='all')]
    curriculum = Curriculum.from_cfg(dict(num_classes=10, grades=grades), teachers=[])
    data_loader.sampler.attach(curriculum, {}, 100)
    batches = epoch_of(data_loader, 0)
    assert [len(batch['inputs']) for batch in batches] == [100] * 3
    if resident:
        numbers = torch.cat([batch['data_samples'][0].sample_idx for batch in batches])
        assert sorted(numbers.tolist()) == list(range(300))


def test_an_empty_data_set_is_named_as_the_config_names_it():
    with pytest.raises(ConfigurationError, match='data set Digits cannot be read: it holds no'):
        loader(dataset=dict(type='Digits', indices=0, pipeline=[CROP, PACK]))


def test_a_pass_over_a_curriculum_by_iterations_is_the_same_wherever_it_goes_on():
    curriculum = Curriculum.from_cfg(
        dict(
            num_classes=10,
            grades=[
                dict(iters=20, fragments=1, classes=[0, 1, 2]),
                dict(iters=20, fragments=1, classes='all'),
            ],
        ),
        teachers=[],
    )

    def batches(skipped, count):
        data_loader = loader(batch_size=50)
        sampler: GradeSampler = data_loader.sampler
        sampler.attach(curriculum, {}, 50)
        sampler.skip(skipped * 50)
        return [batch for batch, _ in zip(data_loader, range(count))]

    whole, rest = batches(0, 40), batches(13, 27)
    for a, b in zip(whole[13:], rest):
        assert torch.equal(a['inputs'], b['inputs'])
        assert torch.equal(a['data_samples'][0].sample_idx, b['data_samples'][0].sample_idx)
    assert max(int(batch['data_samples'][0].gt_label.max()) for batch in whole[:20]) == 2


def test_only_a_training_has_one_sample_a_batch():
    assert not loader(training=False).dataset.training and loader().dataset.training


def test_under_a_plain_data_loader_the_wrapper_and_its_collate_function_are_enough():
    data = DATASETS.build(
        dict(
            type='ResidentDataset',
            dataset=dict(type='Digits', pipeline=[CROP, PACK]),
            training=True,
        )
    )
    data.full_init()
    collate = FUNCTIONS.get('whole_batch')
    batch = next(iter(DataLoader(data, batch_size=6, collate_fn=collate)))
    assert batch['inputs'].shape == (6, 3, 8, 8)
    assert isinstance(batch['data_samples'][0], DataSample)
    with pytest.raises(ConfigurationError, match='num_workers=0'):
        next(iter(DataLoader(data, batch_size=6, collate_fn=collate, num_workers=1)))


def test_a_sample_alone_is_that_of_the_data_set_itself():
    data = resident()
    assert torch.equal(data[4]['inputs'], data.dataset[4]['inputs'])


@pytest.mark.parametrize(
    'value, words',
    [
        ('yes', 'dataloader.resident'),
        (dict(views=3), 'views_per_image'),
        (dict(views_per_image=0), 'positive integer'),
        (3, 'dataloader.resident'),
        (dict(device='gpu'), "dataloader.resident.device .*'gpu'"),
        (dict(device=3), 'dataloader.resident.device .* 3'),
    ],
)
def test_a_wrong_value_of_resident_is_refused(value, words):
    with pytest.raises(ConfigurationError, match=words):
        with_resident_data(dict(dataset={}, resident=value))


def test_data_sets_without_a_pipeline_of_their_own_are_refused():
    with pytest.raises(ConfigurationError, match='RepeatDataset'):
        ResidentDataset(
            dict(type='RepeatDataset', times=2, dataset=dict(type='Digits', pipeline=[PACK]))
        )
