"""Read the folder of a finished run: its config, its data and its best model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from survlstm.config.schema.foreign import ForeignModelConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate_stored
from survlstm.data.factory import build_prepared, cache_folder
from survlstm.data.prepared_cache import load_prepared
from survlstm.data.prepared_data import PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.values.descriptions import with_fused_codes
from survlstm.models.factory import build_model_with_weights
from survlstm.runs.descriptions import CodeDescriptions, read_code_descriptions
from survlstm.training.checkpoint import load_checkpoint
from survlstm.training.saved_state import checkpoint_info
from survlstm.utils.data_location import place_exists
from survlstm.utils.errors import CheckpointError, CohortError, ConfigError
from survlstm.utils.shell import format_command

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: The run folder.
        config: The config that the run was trained with.
        best: The checkpoint of the best epoch.
    """

    folder: Path
    config: RunConfig
    best: dict[str, Any]

    def __repr__(self) -> str:
        return f"<FinishedRun {self.folder}, best epoch {self.best['epoch']}>"

    @property
    def preprocessing(self) -> PreprocessingState:
        """The state of the preprocessing fitted on the run's training subjects."""
        return PreprocessingState.from_plain(self.best["about"]["fitted"])

    def model(self) -> nn.Module:
        """Build the best model, on the CPU and in evaluation mode.

        Returns:
            The model with the weights of the best epoch.

        Raises:
            CheckpointError: If the weights do not fit the model of the config, or are not finite.
        """
        try:
            return build_model_with_weights(
                self.config.model,
                self.preprocessing.sizes,
                weights=self.best["model"],
            )
        except ValueError as error:
            raise _broken(self.folder, str(error)) from error

    def data_with_times(self, cache_dir: str, times: list[str]) -> PreparedData:
        """Return the data that the run was trained on, with other prediction times that are only evaluated.

        Args:
            cache_dir: The cache folder, as for ``own_data``.
            times: The rules, as ``evaluation.times`` in a config.

        Returns:
            The data of ``own_data`` if the run has these rules, or is on another clock; otherwise those that its source
            gives now.

        Raises:
            CohortError: If the source is gone, or the data do not give the preprocessing of the run.
            ConfigError: If the cache folder can't be created or written.
        """
        if self.config.clock.kind != "days" or times == self.config.evaluation.times:
            return self.own_data(cache_dir)
        log.info("The prediction times to evaluate differ from those of the run: its data are prepared with them")
        evaluation = self.config.evaluation.model_copy(update={"times": times})
        changed = self.config.model_copy(update={"evaluation": evaluation, "cache_dir": cache_dir})
        self._refuse_missing_source(cache_dir)
        prepared = build_prepared(changed)
        if not prepared.preprocessing.gives(self.best["about"]["fitted"]):
            raise CohortError(
                f"the training data of {self.folder} must still give the preprocessing of its model with "
                f"evaluation.times=[{','.join(times)}]; they give another vocabulary, other feature scales or other "
                "edges, because the source has changed or these times divide visits. Leave evaluation.times out, or "
                "train again with them"
            )
        return prepared

    def _refuse_missing_source(self, cache_dir: str) -> None:
        path = self.config.data.path
        if path is not None and not place_exists(path):
            raise CohortError(
                "a run is evaluated with the baselines of its training subjects, so that their export must still be at "
                f"{path}, or their prepared data in cache_dir={cache_dir}; found neither. Put the export back there"
            )

    def own_data(self, cache_dir: str) -> PreparedData:
        """Return the data that the run was trained on, from the cache or prepared again from its source.

        Args:
            cache_dir: The cache folder, as in a config; ``~`` stands for the home folder. It is created if it is
                missing.

        Returns:
            The prepared data of all splits.

        Raises:
            CohortError: If the source is gone, or now gives other data than the model was trained on.
            ConfigError: If the cache folder can't be created or written.
        """
        fingerprint = self.best["about"]["data_fingerprint"]
        kept = load_prepared(cache_folder(cache_dir), fingerprint)
        if kept is not None:
            log.info("The run's own data: as prepared for it (cache), whatever its export holds by now")
            return kept
        self._refuse_missing_source(cache_dir)
        prepared = build_prepared(self.config.model_copy(update={"cache_dir": cache_dir}))
        if not prepared.preprocessing.gives(self.best["about"]["fitted"]):
            raise CohortError(
                f"the data of {self.folder} must still be what its model was trained on; its source now gives another "
                "vocabulary, other feature scales or other edges. Put the old export back, or train again"
            )
        if prepared.fingerprint != fingerprint:
            log.warning(
                "The export, or survlstm, has changed since the run: what was fitted on the training subjects is the "
                "same, the evaluated subjects may not be"
            )
        return prepared

    def descriptions(self, cache_dir: str) -> CodeDescriptions:
        """Read the descriptions of the codes in the run's export, and add those of the fused codes of values.

        Args:
            cache_dir: The cache folder, as in a config; a simulated cohort is read from there, and made again if it is
                missing.

        Returns:
            The descriptions; ``missing`` names the tables that could not be read, which is logged as a warning.
        """
        found = read_code_descriptions(self.config, cache_dir)
        return CodeDescriptions(with_fused_codes(found.texts, self.preprocessing.values), found.missing)


def open_run(folder: Path, *, allow: Sequence[str] = (), pretraining: bool = False) -> FinishedRun:
    """Read a run's folder.

    Args:
        folder: The folder that ``survlstm train`` made.
        allow: Dotted names of classes outside survlstm that may be imported although only the run names them.
        pretraining: Whether the run may be one that trained an encoder without the outcome.

    Returns:
        The run, with the config that its checkpoint holds, because ``config.yaml`` may have been edited since.

    Raises:
        ConfigError: If the folder is not that of a run, or that of a pretraining run.
        ClosedClassError: If the model is of a class that is not part of survlstm and that ``allow`` does not name.
        CheckpointError: If the run has no checkpoint of its best epoch, or it is damaged.
    """
    if not folder.is_dir():
        raise ConfigError(f"a run must be the folder that survlstm train made; found no folder {folder}")
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"a run must hold config.yaml; found none in {folder}: it is not the folder of a run")
    best = folder / "checkpoints" / "best.pt"
    if not best.is_file():
        raise CheckpointError(
            f"a finished run must hold {best.relative_to(folder)}; found none in {folder}: it has not ended its first "
            "epoch. Train it again"
        )
    checkpoint = load_checkpoint(best)
    try:
        about = checkpoint_info(checkpoint)
        # Taken from the checkpoint, because config.yaml may have been edited since.
        config = validate_stored(about.config, RunConfig, finished=True, allow=allow)
        if config.clock.kind != about.preprocessing.clock:
            raise ValueError(f"the clock of its config, {config.clock.kind}, is not the one it was fitted for")
        if not (type(checkpoint.get("epoch")) is int and checkpoint["epoch"] >= 0 and "model" in checkpoint):
            raise ValueError("it must hold the weights of an epoch and the epoch's number")
    except ConfigError as error:
        raise _broken(folder, f"its config can't be used: {error}") from error
    except ValueError as error:
        raise _broken(folder, str(error)) from error
    if config.trainer.auxiliary.only and not pretraining:
        raise ConfigError(
            f"a run must have been trained on its outcome; that in {folder} trained an encoder alone "
            f"(trainer.auxiliary.only=true). Train with {format_command('train', f'pretrain={folder}')} first"
        )
    if isinstance(config.model, ForeignModelConfig):
        config.model.load()
    return FinishedRun(folder, config, checkpoint)


def _broken(folder: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{folder / 'checkpoints' / 'best.pt'} must be the checkpoint of a run; {why}. Train again")
