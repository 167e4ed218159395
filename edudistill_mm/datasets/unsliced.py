from typing import Any


def unsliced(dataset: Any) -> Any:
    """The data set of which the ``num_batch_per_epoch`` of MMEngine's loaders takes the beginning."""
    # Its wrapper has no public name, and answers for all attributes of what it wraps.
    return vars(dataset).get('_dataset', dataset) if hasattr(dataset, '__dict__') else dataset
