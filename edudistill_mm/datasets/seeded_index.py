"""An index that carries where in a run its sample is drawn."""


class SeededIndex(int):
    """The index of a sample, equal to the plain number, with the seed of its augmentation.

    Args:
        index (int): The index.
        stream (str): What is drawn along with it depends on this and the index, and on nothing
            else.
    """

    stream: str

    def __new__(cls, index: int, stream: str) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.stream = stream
        return self

    def __getnewargs__(self) -> tuple:
        # For the way to the workers of a data loader.
        return int(self), self.stream
