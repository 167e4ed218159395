from collections.abc import Sequence

from .row_result import RowResult


def about_devices(results: Sequence[RowResult]) -> list[str]:
    """Say where the runs of a report were made, in a sentence; in none if nothing is known of it."""
    seeds: dict[str, dict[str, list[str]]] = {}
    for result in results:
        for seed, run in result.runs.items():
            for device in run.devices or ['not known']:
                seeds.setdefault(device, {}).setdefault(result.name, []).append(str(seed))
    if len(seeds) < 2:
        return [f'All runs were made on: {device}.' for device in seeds if device != 'not known']
    places = []
    for device, rows in seeds.items():
        parts = [
            f'{name}: seed{"s" * (len(found) > 1)} {", ".join(found)}'
            for name, found in rows.items()
        ]
        places.append(f'{device} ({"; ".join(parts)})')
    return [
        'Runs were made in different places, which their times and their rounding depend on: '
        f'{", ".join(places)}.'
    ]
