from edudistill_mm.config.parts import types_in


def begin_without_weights(model: dict) -> None:
    """Take the weights that a network begins with out of its config, in place.

    Those of a checkpoint come after, and need no other file.
    """
    for part in (model, model.get('backbone')):
        if not isinstance(part, dict):
            continue
        part.pop('pretrained', None)
        part.pop('checkpoint_path', None)
        if next(types_in(part.get('init_cfg')), None) == 'Pretrained':
            del part['init_cfg']
