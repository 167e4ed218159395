from .resident_dataset import ResidentDataset
from .whole_batch import whole_batch

__all__ = ['ResidentDataset', 'whole_batch']
