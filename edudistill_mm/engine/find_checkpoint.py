import os
import re
from collections.abc import Callable

from ..checkpoint.load import load_checkpoint_file
from ..errors import ConfigurationError


def find_checkpoint_to_resume(
    work_dir: str, folder: str, template: str, warn: Callable[[str], None]
) -> tuple[str | None, dict | None]:
    """Path and content of the last readable checkpoint of a stopped run; None if there is no file.

    It is the one that ``last_checkpoint`` in ``work_dir`` names, or a later one, if the run was
    killed before it could write that name; otherwise the newest readable one. A run that has been
    moved is found where it is now.

    Args:
        work_dir (str): Folder of the run.
        folder (str): Folder of its checkpoints.
        template (str): Their name, with ``{}`` for the epoch or iteration.
        warn (Callable[[str], None]): Gets a sentence for each file that is skipped.

    Raises:
        ConfigurationError: There are checkpoints, and none of them can be read.
    """
    pattern = re.compile(re.escape(template).replace(r'\{\}', r'(\d+)'))
    steps = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        match = pattern.fullmatch(name)
        if match:
            steps[os.path.join(folder, name)] = int(match[1])

    def age(path: str) -> tuple[int, int]:
        return os.stat(path).st_mtime_ns, steps[path]

    candidates = sorted(steps, key=age, reverse=True)
    pointer, named = os.path.join(work_dir, 'last_checkpoint'), None
    if os.path.isfile(pointer):
        with open(pointer, errors='replace') as file:
            named = file.read().strip()
        here = os.path.join(folder, os.path.basename(named))
        # A moved run has its checkpoints under another path.
        last = here if os.path.isfile(here) else named
        if os.path.isfile(last):
            written = os.stat(pointer).st_mtime_ns
            later = [
                path
                for path in candidates
                if steps[path] > steps.get(last, 0) and age(path)[0] >= written
            ]
            others = [path for path in candidates if path not in (last, *later)]
            candidates = [*later, last, *others]
        else:
            warn(f'"{pointer}" names "{named}", which is not there')
    refusals = []
    for path in candidates:
        try:
            return path, load_checkpoint_file(path)
        except ConfigurationError as error:
            refusals.append(error)
            warn(f'passed over: {error}')
    if refusals:
        raise ConfigurationError(
            f'there is no checkpoint in "{folder}" to resume from: {refusals[0]}'
        )
    return None, None
