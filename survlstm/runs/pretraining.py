"""Start the encoder of a new run at that of an earlier run or a bundle, unless that would leak."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from survlstm.config.schema.data import SplitConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import cache_folder
from survlstm.data.prepared_cache import load_prepared
from survlstm.data.prepared_data import PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.split import Split
from survlstm.inference.bundle.bundle import read_bundle
from survlstm.models.protocol import VisitEncoder
from survlstm.runs.finished import open_run
from survlstm.training.pretrained_encoder import CopiedCodes, copy_encoder
from survlstm.utils.errors import ConfigError

log = logging.getLogger(__name__)

# Keys of the section ``split`` that decide about a subject, unless the dataset does.
DECIDING = ("train", "val", "seed", "fold", "folds")


@dataclass(frozen=True)
class Pretrained:
    """A model from which an encoder is taken.

    Attributes:
        place: The run folder or the bundle.
        config: Config of its run.
        preprocessing: Its vocabulary and preprocessing.
        model: The model.
        fingerprint: Fingerprint of the data that it was trained on.
    """

    place: Path
    config: RunConfig
    preprocessing: PreprocessingState
    model: nn.Module
    fingerprint: str


def start_encoder(model: nn.Module, config: RunConfig, prepared: PreparedData) -> CopiedCodes:
    """Set the encoder of a new model to that of ``config.pretrain``.

    Args:
        model: The model, before its first epoch.
        config: Config of the new run.
        prepared: Its data.

    Returns:
        Counts of the codes.

    Raises:
        ConfigError: A model has no encoder over visits; the models differ in class, sizes or inputs; or the earlier
            run, or one whose encoder it started from, used validation or test subjects of the new one, or may have.
        SurvlstmError: The run or the bundle can't be read.
    """
    assert config.pretrain is not None
    source = read_pretrained(Path(config.pretrain), allow=config.allow)
    old = source.model
    # Embeddings that are summed and those that are averaged differ in meaning, not in shape.
    is_same = type(model) is type(old)
    if not (isinstance(model, VisitEncoder) and isinstance(old, VisitEncoder) and is_same):
        classes = f"{type(old).__name__} there and {type(model).__name__} here"
        raise ConfigError(
            f"pretrain needs two single models of the same class with an LSTM over visits; found {classes}. Set the "
            "model of that run and model.ensemble=1 in both, or pretrain=null"
        )
    for each in (source, *encoders_before(source, allow=config.allow)):
        refuse_leak(each, config, prepared)
    inputs, others = visit_columns(config, prepared.preprocessing), visit_columns(source.config, source.preprocessing)
    if inputs != others:
        raise ConfigError(
            f"pretrain must be an encoder that reads the same numbers of a visit; it reads {', '.join(others) or '-'}, "
            f"the new model {', '.join(inputs) or '-'}. Set model.visit_features, data.code_groups and data.values as "
            "in its config"
        )
    counts = copy_encoder(
        model,
        old.encoder_weights(),
        codes=prepared.vocabulary.entries,
        pretrained_codes=source.preprocessing.vocabulary.entries,
    )
    log.info("Encoder from %s: %s", source.place, counts)
    return counts


def read_pretrained(place: Path, *, allow: Sequence[str] = ()) -> Pretrained:
    """Read the model of a run, of a pretraining run or of a bundle.

    Args:
        place: The folder of a run, or the folder or archive of a bundle.
        allow: Dotted names of classes outside survlstm that may be imported although only the files name them.

    Raises:
        SurvlstmError: The run or the bundle can't be read.
    """
    place = place.expanduser().absolute()
    if place.suffix == ".zip" or (place / "bundle.json").is_file():
        bundle = read_bundle(place, allow=allow)
        return Pretrained(place, bundle.config, bundle.preprocessing, bundle.model, bundle.about.fingerprint)
    run = open_run(place, allow=allow, pretraining=True)
    fingerprint: str = run.best["about"]["data_fingerprint"]
    return Pretrained(place, run.config, run.preprocessing, run.model(), fingerprint)


def encoders_before(source: Pretrained, *, allow: Sequence[str] = ()) -> Iterator[Pretrained]:
    """Read the models at whose encoders a model and its predecessors started, the latest first.

    Args:
        source: The model.
        allow: As for ``read_pretrained``.

    Raises:
        ConfigError: One of them is not there any more, or only its name is known.
        SurvlstmError: One of them can't be read.
    """
    while source.config.pretrain is not None:
        earlier = Path(source.config.pretrain)
        # A bundle holds the name only, and a file of that name in the working folder can be another one.
        if not (earlier.is_absolute() and earlier.exists()):
            raise ConfigError(
                "pretrain must have used subjects that can all be compared with those of this run; "
                f"{source.place} started at the encoder of {earlier} itself, which can't be found. Set pretrain to "
                "the run of that encoder, or to one that started at none"
            )
        source = read_pretrained(earlier, allow=allow)
        yield source


def refuse_leak(source: Pretrained, config: RunConfig, prepared: PreparedData) -> None:
    """Raise ConfigError if the earlier run used subjects that the new run validates or tests on.

    If its data are in the cache, the subjects are compared. Otherwise both runs must divide subjects by the same rule,
    because the data of one can hold subjects of the other.

    Args:
        source: The earlier run.
        config: Config of the new run.
        prepared: Data of the new run.
    """
    advice = f"Set {_split_overrides(source.config.split, config.split)}, the split of {source.place}, or pretrain=null"
    earlier = load_prepared(cache_folder(config.cache_dir), source.fingerprint)
    if earlier is None:
        if _rule(source.config.split) != _rule(config.split):
            raise ConfigError(
                "pretrain must not have used validation or test subjects of this run; its run divided the subjects by "
                f"another rule, and its data are not in cache_dir to compare them. {advice}"
            )
        return
    before, now = earlier.tensors, prepared.tensors
    fitted, chosen = (
        np.isin(now.subject_id, before.subject_id[before.split <= part]) for part in (Split.TRAIN, Split.VAL)
    )
    # Its epoch was chosen by its validation subjects, which may be validation subjects here too.
    leaks = int((((now.split == Split.VAL) & fitted) | ((now.split == Split.TEST) & chosen)).sum())
    if leaks:
        raise ConfigError(
            f"pretrain must not have used validation or test subjects of this run; its run was trained or tuned on "
            f"{leaks:,} of {int((now.split != Split.TRAIN).sum()):,} of them. {advice}"
        )


def visit_columns(config: RunConfig, preprocessing: PreprocessingState) -> list[str]:
    """Return the names of the numbers of a visit that a model reads, in their order.

    Args:
        config: Config of the model's run.
        preprocessing: Its preprocessing.
    """
    values = preprocessing.values
    measures = [] if values is None else [values.measures[number] for number in values.column_measures]
    return [
        *config.model.visit_features,
        *(f"code group {group.name}" for group in preprocessing.code_groups.groups),
        *(f"value {measure.code} {measure.unit or ''}".rstrip() for measure in measures),
    ]


def _rule(split: SplitConfig) -> dict[str, object]:
    if split.by == "dataset":
        return {"by": "dataset"}
    decides = split.model_dump(include=set(DECIDING))
    return decides if split.fold is not None else decides | {"folds": None}


def _split_overrides(split: SplitConfig, now: SplitConfig) -> str:
    """Return the overrides that change one split to another."""
    if split.by == "dataset":
        return "split=dataset"
    words = ["split=hash"] if now.by == "dataset" else []
    words += [f"split.train={split.train:g} split.val={split.val:g} split.test={split.test:g} split.seed={split.seed}"]
    if split.fold is not None:
        words += [f"split.folds={split.folds} split.fold={split.fold}"]
    elif now.fold is not None:
        words += ["split.fold=null"]
    return " ".join(words)
