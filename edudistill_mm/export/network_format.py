from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from edudistill_mm.export.deployed_student import DeployedStudent

INPUT, OUTPUT = 'images', 'scores'


class NetworkFormat(ABC):
    """A file format of networks that run without their Python code.

    Attributes:
        name (str): As the command line calls it.
        suffix (str): Of its files.
    """

    name: str
    suffix: str

    @abstractmethod
    def check_packages(self) -> None:
        """Raise ConfigurationError if what the format needs is not installed."""

    @abstractmethod
    def write(
        self, network: DeployedStudent, images: Tensor, path: str, metadata: dict[str, str]
    ) -> None:
        """Write a network with a free number of images, run on ``images`` [B, C, H, W] for that."""

    @abstractmethod
    def load(self, path: str, threads: int = 1) -> Callable[[Tensor], Tensor]:
        """What a file computes on the CPU: scores [B, num_classes] of images [B, C, H, W]."""
