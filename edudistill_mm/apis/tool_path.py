from pathlib import Path

from edudistill_mm.errors import ConfigurationError


def tool_path(name: str) -> str:
    """The file of one of the tools: in the checkout, or where an installation keeps it.

    Raises:
        ConfigurationError: If it is in neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parent / 'tools', package / '.mim' / 'tools'):
        if (folder / f'{name}.py').exists():
            return str(folder / f'{name}.py')
    raise ConfigurationError(f'tools/{name}.py is neither beside the package nor in it')
