"""A data set of six classes that a network learns within a few steps."""

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS


@DATASETS.register_module(force=True)
class ToyImages(BaseDataset):
    """Noisy grey images whose brightness pattern is their class; ``counts`` images of each
    class."""

    METAINFO = dict(classes=[f'class {label}' for label in range(6)])

    def __init__(self, counts=(8,) * 6, **kwargs):
        self.counts = counts
        super().__init__(pipeline=[dict(type='PackInputs', meta_keys=('sample_idx',))], **kwargs)

    def load_data_list(self):
        noise = np.random.default_rng(0)
        images = []
        for label, count in enumerate(self.counts):
            pattern = np.zeros((8, 8, 3))
            pattern[label] = pattern[:, label] = 200
            for _ in range(count):
                image = np.clip(pattern + noise.integers(0, 55, pattern.shape), 0, 255).astype(
                    np.uint8
                )
                images.append(dict(img=image, gt_label=label))
        return images

    def get_gt_labels(self):
        return np.array([self.get_data_info(index)['gt_label'] for index in range(len(self))])
