"""``survlstm convert``: write the records of a source as a MEDS dataset."""

from __future__ import annotations

from pathlib import Path

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.config.schema.commands import ConvertConfig


def run(arguments: list[str]) -> None:
    """Write a MEDS dataset.

    Args:
        arguments: The flags and overrides after ``survlstm convert``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The conversion failed or a signal stopped it; the code is that of the error or of the signal.
    """
    config = compose_config("convert", ConvertConfig, arguments, work="writes one dataset")
    if config is not None:
        run_to_console(_convert, config, verbose=config.verbose)


def _convert(config: ConvertConfig) -> None:
    from survlstm.data.convert import convert_to_meds
    from survlstm.data.factory import build_source, cache_folder

    cache = cache_folder(config.cache_dir)
    convert_to_meds(
        build_source(config.data, cache),
        Path(config.output),
        dataset_name=config.name or ("simulated" if config.data.path is None else Path(config.data.path).name),
        subjects_per_shard=config.subjects_at_once,
        max_unusable_share=float(config.data.source.settings().get("max_unusable_share", 1.0)),
        cache=cache,
    )
