"""Turn a checkpoint of RepDistiller or mdistiller into an MMPretrain model; see --help."""

import argparse

from edudistill_mm.apis.command_line import run_command
from edudistill_mm.apis.convert_mdistiller import DATA_SETS, NETWORKS, convert_mdistiller


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description='Turn a checkpoint of RepDistiller or mdistiller into an MMPretrain model'
    )
    parser.add_argument('model', help=f'name of the network there: {", ".join(NETWORKS)}')
    parser.add_argument('checkpoint', help='checkpoint file, such as ckpt_epoch_240.pth')
    parser.add_argument(
        'out', help='file to write, such as resnet32x4.pth; the config goes to resnet32x4.py'
    )
    parser.add_argument(
        '--data-set',
        help=f'what it was trained on, one of {", ".join(DATA_SETS)} (default: by its number of classes)',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        checkpoint, config = convert_mdistiller(
            args.model, args.checkpoint, args.out, args.data_set
        )
        print(f'Wrote {checkpoint} and its config {config}.')

    run_command(command)


if __name__ == '__main__':
    main()
