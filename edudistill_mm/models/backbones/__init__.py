"""Backbones of the distillation literature that MMPretrain does not have."""
from .cifar_resnet import CIFARResNet

__all__ = ['CIFARResNet']
