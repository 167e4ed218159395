import copy
import logging
import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn
from torch.utils.data import DataLoader

from edudistill_mm.validation.build_errors import BUILDERS, BUILT, errors_name_keys

from ..checkpoint.download import resolve_checkpoint
from ..checkpoint.harmless_globals import harmless_globals
from ..checkpoint.load import load_checkpoint_file
from ..checkpoint.weights import to_start_from
from ..config.check_config import check_config
from ..config.complete import complete_config
from ..config.ranks import wrap_for_ranks
from ..config.resident import with_resident_data
from ..datasets.reading_errors import clear_annotation_errors, name_samples
from ..distributed import unwrap_model
from ..errors import ConfigurationError, reason_of
from ..models.labels import accept_one_hot
from ..registration import register_all_modules
from ..registry import HOOKS, MODELS, RUNNERS, register
from .best_metric import check_best_metric
from .join_ranks import join_ranks
from .lazy_clip_optim_wrapper import LazyClipOptimWrapper
from .lazy_message_hub import LazyMessageHub
from .loading import read_checkpoint
from .log_file import LogFile
from .plain_run import RECORDS
from .preemption import shield_workers
from .shared_datasets import with_shared_dataset

# MMEngine's own, as a config may name it.
PLAIN_WRAPPERS = ('OptimWrapper', 'mmengine.OptimWrapper', OptimWrapper)


@register(RUNNERS)
class EducationRunner(Runner):
    """MMEngine's ``Runner``, which runs no code from files and explains errors in one sentence.

    - A checkpoint to load or resume from is found, downloaded, read once and checked. An error
      names the file.
    - After each checkpoint the main process calls the hooks' method
      ``after_save_checkpoint(runner, out_dir, filename, backend_args)``.
    - Annotations without labels or samples, and a sample that cannot be read, raise a
      ConfigurationError that names the data set, or the sample's file. Workers ignore a
      scheduler's signals.
    - A part of the config that cannot be built raises a ConfigurationError that names its key.
    - Losses take the one-hot labels that ``to_onehot`` makes.
    - A log file on a full disk ends the run.

    Apart from that a run is the same, bit for bit.
    """

    _checkpoint: dict | None = None
    _train_dataloader: Any
    _key = ''

    # ---- building
    @classmethod
    def from_cfg(cls, cfg: Any) -> 'EducationRunner':
        """Complete and check a config as its file has it, and build a runner.

        Args:
            cfg (ConfigType): The config, which is not changed. ``work_dir`` defaults to
                ``work_dirs/<name of the file>``.

        Raises:
            ConfigurationError: There is a mistake in the config.
        """
        register_all_modules()
        cfg = copy.deepcopy(cfg) if isinstance(cfg, Config) else Config(copy.deepcopy(cfg))
        name = osp.splitext(osp.basename(cfg.filename or 'run'))[0]
        cfg.work_dir = cfg.get('work_dir') or osp.join('work_dirs', name)
        run = complete_config(cfg)
        if cfg.get('launcher', 'none') != 'none':
            # MMEngine's own set-up fails without a GPU, and without a word where nothing has been
            # launched.
            join_ranks(cfg, cfg.launcher)
            wrap_for_ranks(cfg)
        check_config(run)
        return cls.from_completed_cfg(cfg)

    @classmethod
    def from_completed_cfg(cls, cfg: Config, key: str = '') -> 'EducationRunner':
        """Build a runner from a completed config; ``key`` is its place in the user's config."""
        with errors_name_keys(cfg._cfg_dict, key):
            runner = super().from_cfg(cfg)
        runner._key = key
        return runner

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, whose file raises for lack of room."""
        logger = super().build_logger(*args, **kwargs)
        logger.handlers[:] = [
            LogFile(handler) if type(handler) is logging.FileHandler else handler
            for handler in logger.handlers
        ]
        return logger

    def dump_config(self) -> None:
        """Write the config into the work dir; that of a test beside its log.

        A test in the work dir of a run would replace the run's config, which other tools read.
        """
        if self.cfg.get('train_cfg') is not None or self.cfg.filename is None:
            super().dump_config()
        elif is_main_process():
            self.cfg.dump(osp.join(self.log_dir, osp.basename(self.cfg.filename)))

    def build_message_hub(self, message_hub: dict | None = None) -> MessageHub:
        """Build the message hub, which does not wait for the device at each iteration."""
        return LazyMessageHub.get_instance(
            **dict(name=self._experiment_name) | (message_hub or {})
        )

    def build_model(self, model: Any) -> nn.Module:
        """Build the model; checkpoints that its parts read meanwhile may be of MMEngine's form."""
        with harmless_globals():
            model = super().build_model(model)
        if not isinstance(model, MODELS.get('EducationDistill')):
            accept_one_hot(model)
        return model

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer wrapper, which logs the norm of gradients without waiting for it."""
        if (
            isinstance(optim_wrapper, dict)
            and 'optimizer' in optim_wrapper
            and optim_wrapper.get('type', 'OptimWrapper') in PLAIN_WRAPPERS
        ):
            optim_wrapper = dict(optim_wrapper, type=LazyClipOptimWrapper)
        return super().build_optim_wrapper(optim_wrapper)

    @staticmethod
    def build_dataloader(
        dataloader: Any,
        seed: int | None = None,
        diff_rank_seed: bool = False,
        training: bool = False,
    ) -> DataLoader:
        """Build a data loader that names what it cannot read, with resident data if it says so.

        ``training``: whether resident data have one ``DataSample`` for a batch.
        """
        # ``dataloader`` stays as the config has it: errors are named by it.
        given = dataloader
        if isinstance(dataloader, dict):
            given = with_resident_data(dataloader, training)
        with clear_annotation_errors(dataloader):
            given = with_shared_dataset(given)
            loader = Runner.build_dataloader(given, seed, diff_rank_seed)
        name_samples(loader.dataset)
        shield_workers(loader)
        return loader

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Build the training loop, whose data loader is that of a training."""
        if isinstance(self._train_dataloader, dict):
            self._train_dataloader = self.build_dataloader(
                self._train_dataloader,
                self.seed,
                self._randomness_cfg.get('diff_rank_seed', False),
                training=True,
            )
        return super().build_train_loop(loop)

    # ---- running
    def train(self) -> nn.Module:
        """Train, and return the model."""
        # Data loaders, loops, optimizer and schedules are built here.
        with errors_name_keys(self.cfg._cfg_dict, self._key):
            return super().train()

    def test(self) -> dict:
        """Test, and return the metrics."""
        with errors_name_keys(self.cfg._cfg_dict, self._key):
            return super().test()

    @property
    def _is_education(self) -> bool:
        scheduler: Any = HOOKS.get('GradeSchedulerHook')
        return any(isinstance(hook, scheduler) for hook in self.hooks)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call all hooks; the result by which the best checkpoint is chosen must be there."""
        if fn_name == 'after_val_epoch':
            check_best_metric(self.hooks, kwargs.get('metrics') or {})
        if fn_name in RECORDS and not self._is_education:
            RECORDS[fn_name](self, **kwargs)
        super().call_hook(fn_name, **kwargs)

    # ---- checkpoints
    def load_or_resume(self) -> None:
        """Load or resume from the config's or the last checkpoint, once."""
        if self._has_loaded:
            return
        self._checkpoint = read_checkpoint(self)
        if self._checkpoint is None:
            return
        path = self._load_from
        try:
            super().load_or_resume()
        except Exception as error:
            if isinstance(error, ConfigurationError) and path in str(error):
                raise
            # MMEngine, torch and other hooks do not check what they read.
            reason = ' '.join(str(error).split())[:300] or type(error).__name__
            if isinstance(error, KeyError):
                reason = f'{reason_of(error)} is missing in it'
            verb = 'resume from' if self._resume else 'load'
            raise ConfigurationError(f'cannot {verb} "{path}": {reason}') from error

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r'^module.', ''),),
    ) -> dict:
        """Load a checkpoint without running code from it.

        Args:
            filename (str): A local file or a URL.
            map_location (Any): Without effect: tensors are read onto the CPU and copied from
                there.
            strict (bool): Whether model and weights must have the same names. Defaults to False.
            revise_keys (Sequence[tuple[str, str]]): Patterns in names and their replacements.

        Returns:
            dict: What is in the file or, for a new run, what it takes over.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is None:
            filename = resolve_checkpoint(filename)
            checkpoint = load_checkpoint_file(filename)
        if not self._resume:
            checkpoint = to_start_from(checkpoint, filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = unwrap_model(self.model)
        _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint and call ``after_save_checkpoint`` of the hooks."""
        super().save_checkpoint(out_dir, filename, *args, **kwargs)
        if is_main_process():
            self.call_hook(
                'after_save_checkpoint',
                out_dir=out_dir,
                filename=filename,
                backend_args=kwargs.get('backend_args'),
            )

    # ---- the end
    def end_workers(self) -> None:
        """End the worker processes that the data loaders of a finished run keep.

        PyTorch waits five seconds in vain for each that the garbage collection finds.
        """
        for loop in (self._train_loop, self._val_loop):
            loader: Any = getattr(loop, 'dataloader', None)
            owners: tuple[Any, ...] = (loader, getattr(loop, 'dataloader_iterator', None))
            for owner in owners:
                iterator: Any = getattr(owner, '_iterator', None)
                if hasattr(iterator, '_shutdown_workers'):
                    iterator._shutdown_workers()
                    owner._iterator = None


BUILDERS[EducationRunner.build_dataloader.__code__] = 'dataloader'
BUILT[EducationRunner.build_dataloader.__code__] = DataLoader
