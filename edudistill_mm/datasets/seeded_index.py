class SeededIndex(int):
    """The index of a sample, with the ``stream`` of its random numbers."""

    stream: str

    def __new__(cls, index: int, stream: str) -> 'SeededIndex':
        """Make an index whose sample draws by ``stream`` and the index only."""
        self = super().__new__(cls, index)
        self.stream = stream
        return self

    def __getnewargs__(self) -> tuple:
        # For pickling, on the way to a data loader's workers.
        return int(self), self.stream
