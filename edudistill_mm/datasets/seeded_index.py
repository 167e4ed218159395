class SeededIndex(int):
    """The index of a sample, with the ``stream`` of its random numbers.

    Its ``strength`` is the probability with which resident data augment it.
    """

    stream: str
    strength: float

    def __new__(cls, index: int, stream: str, strength: float = 1.0) -> 'SeededIndex':
        """Make an index whose sample draws by ``stream`` and the index only."""
        self = super().__new__(cls, index)
        self.stream, self.strength = stream, strength
        return self

    def __getnewargs__(self) -> tuple:
        # For pickling, on the way to a data loader's workers.
        return int(self), self.stream, self.strength
