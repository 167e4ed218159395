"""Folders of small images that the tests make."""

import numpy as np
from PIL import Image


def make_images(folder, counts, size=(8, 8), mode='RGB', suffix='.png'):
    """Write noise with a bright row, which is the number of the class; ``counts`` by class."""
    noise = np.random.default_rng(0)
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = noise.integers(0, 55, (size[1], size[0], 3), dtype=np.uint8)
            image[label % size[1]] = 200
            Image.fromarray(image).convert(mode).save(folder / name / f'{number}{suffix}')
    return folder
