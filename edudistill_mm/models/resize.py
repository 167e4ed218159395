from torch import Tensor
from torch.nn import functional as F


def resize(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Resize images [B, C, H, W] to a height and width; the same tensor if they have it, or None.

    Bilinear, and antialiased as Pillow's and torchvision's resizing is: each pixel of a smaller
    image is a weighted mean of all pixels that it stands for. Without that, high frequencies that
    a smaller image cannot show would turn up as patterns that are in no image.
    """
    if size is None or tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size, mode='bilinear', antialias=True)
