import pickle
from typing import IO

# Bytes per element of the storage types that torch's pickles name.
_ITEMSIZES = {
    f'{kind}Storage': size
    for size, kinds in {
        1: 'Untyped Byte Char Bool QInt8 QUInt8 QUInt4x2 QUInt2x4',
        2: 'Half BFloat16 Short',
        4: 'Float Int QInt32',
        8: 'Double Long ComplexFloat',
        16: 'ComplexDouble',
    }.items()
    for kind in kinds.split()
}


class StorageReader(pickle._Unpickler):
    """Reads the sizes of the storages in a pickle of torch; imports and calls nothing from it."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.sizes: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> type:
        """Return a harmless class of the name."""
        return type(name, (_Nothing,), {})

    def get_extension(self, code: int) -> None:
        """Refuse what torch never writes."""
        raise pickle.UnpicklingError('torch writes no extension codes')

    def persistent_load(self, pid: tuple) -> None:
        """Note the size of a storage in bytes."""
        _, kind, key, _, count = pid
        itemsize = _ITEMSIZES[kind.__name__]
        self.sizes[key] = max(self.sizes.get(key, 0), count * itemsize)


class _Nothing:
    """Stands for whatever a pickle makes."""

    def __new__(cls, *args: object, **kwargs: object) -> '_Nothing':
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def _ignore(self, *args: object, **kwargs: object) -> '_Nothing':
        return self

    __call__ = __setitem__ = __setstate__ = append = extend = add = _ignore
