from collections.abc import Sequence

import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from edudistill_mm.registry import FUNCTIONS, register


@register(FUNCTIONS)
def stacked_batch(samples: Sequence[dict], one_sample: bool = False) -> dict:
    """Collate function that stacks images, which costs the main process least with workers.

    MMPretrain's data preprocessors normalise a stack at once, and one tensor is handed over by a
    worker instead of one an image. Images of several sizes are left as they are.

    Args:
        samples (Sequence[dict]): ``inputs`` [C, H, W] and ``data_samples`` of each image.
        one_sample (bool): For training: whether samples that have nothing but a label become one
            ``DataSample`` with ``gt_label`` [B] and ``sample_idx`` [B]. Defaults to False.

    Returns:
        dict: ``inputs`` [B, C, H, W] and ``data_samples``, a list.
    """
    batch = pseudo_collate(samples)
    images = batch['inputs']
    if len({image.shape for image in images}) == 1:
        batch['inputs'] = torch.stack(images)
        each = batch['data_samples']
        if one_sample and all(_has_label_alone(sample) for sample in each):
            together = DataSample().set_gt_label(torch.cat([sample.gt_label for sample in each]))
            numbers = [sample.get('sample_idx', -1) for sample in each]
            together.set_field(torch.tensor(numbers), 'sample_idx')
            batch['data_samples'] = [together]
    return batch


def _has_label_alone(sample: DataSample) -> bool:
    return list(sample.keys()) == ['gt_label'] and len(sample.gt_label) == 1
