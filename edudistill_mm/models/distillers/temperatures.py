from collections.abc import Mapping

from torch import nn

from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.errors import ConfigurationError


class Temperatures:
    """The temperatures of distillation losses, which a grade may set.

    A loss has one if it has an attribute ``tau``, as MMRazor's have that soften scores or features.

    Args:
        distillers (Mapping[str, nn.Module]): MMRazor's distillers, all from one config.
        curriculum (Curriculum): The grades.

    Attributes:
        given (dict[str, float]): The temperature of each such loss that the distiller's config gives.

    Raises:
        ConfigurationError: If a grade sets a temperature, and no loss has one.
    """

    def __init__(self, distillers: Mapping[str, nn.Module], curriculum: Curriculum) -> None:
        self.given: dict[str, float] = {}
        for distiller in distillers.values():
            for name, loss in distiller.distill_losses.items():
                if hasattr(loss, 'tau'):
                    self.given[name] = loss.tau
        setting = [grade for grade in curriculum.grades if grade.temperature is not None]
        self._set = bool(setting)
        for grade in setting:
            if not self.given:
                raise ConfigurationError(
                    f'curriculum.grades[{grade.index}].temperature is {grade.temperature}, but no loss in '
                    'distiller.distill_losses has a temperature, which is an attribute "tau"; leave it out'
                )

    def describe(self, grade: Grade) -> str:
        """str: The temperatures of a grade, such as '4'; empty if no loss has one."""
        values = dict.fromkeys(grade.value('temperature', own) for own in self.given.values())
        return ', '.join(f'{value:.4g}' for value in values)

    def set(self, distillers: Mapping[str, nn.Module], grade: Grade) -> None:
        """Give the losses the temperature of a grade, or their own."""
        # Where no grade sets one, a hook of a user may.
        for distiller in distillers.values() if self._set else ():
            for name, own in self.given.items():
                distiller.distill_losses[name].tau = grade.value('temperature', own)
