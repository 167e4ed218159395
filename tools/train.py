"""Train by a config; see --help."""

import os

from edudistill_mm.apis.command_line import EPOCHS_OF_RUN, config_parser, run_command
from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.config.load import load_config
from edudistill_mm.config.stretch import stretch
from edudistill_mm.errors import ConfigurationError


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Train by a config', launcher=True, epochs=EPOCHS_OF_RUN)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to go on from; without a value the last one in the work dir',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 on a GPU, bfloat16 on a CPU; see optim_wrapper.dtype',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the batch size by auto_scale_lr',
    )
    parser.add_argument(
        '--train-teachers',
        action='store_true',
        help='first train the teachers that have no checkpoint yet',
    )
    parser.add_argument(
        '--no-teacher-test',
        action='store_true',
        help='do not test the teachers on images of their classes first',
    )
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    def command() -> None:
        run = load_config(args.config, args.cfg_options, args.work_dir)
        if args.epochs is not None:
            run = stretch(run, args.epochs)
        cfg = run.cfg
        prepare_runtime(cfg, args.launcher, args.amp)
        if args.no_validate:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        if args.auto_scale_lr:
            if not cfg.get('auto_scale_lr'):
                raise ConfigurationError(
                    '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config'
                )
            cfg.auto_scale_lr.enable = True
        train(run, args.resume, args.train_teachers, not args.no_teacher_test)

    run_command(command)


if __name__ == '__main__':
    main()
