"""Write and read bundles: the model with its vocabulary, preprocessing, reference risks and evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float64
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights
from torch import nn

from survlstm.config.schema.foreign import ForeignOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import Section, Share, Text, Weight, as_yaml
from survlstm.config.validation import validate_stored
from survlstm.data.cohort_rules import with_codes
from survlstm.data.factory import build_settings
from survlstm.data.features import FEATURES, PREDICTION_FEATURES
from survlstm.data.preprocessing_state import FIRST_FEATURES, PreprocessingState
from survlstm.data.vocabulary import PAD, UNK
from survlstm.evaluation.hazard_extrapolation import HazardExtrapolation
from survlstm.inference.bundle.container import read_container, write_container
from survlstm.inference.bundle.reported_metrics import ReportedMetrics, TrainingCohort, validate_reported
from survlstm.models.factory import build_model_with_weights
from survlstm.utils.errors import BundleError, ClosedClassError, ConfigError, first_line
from survlstm.utils.stored_files import MOST_CONFIG_BYTES, parse_json, parse_yaml

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "MODEL_CARD.md"
VOCABULARY, PREPROCESSING, REFERENCE = "vocabulary.json", "preprocessing.json", "reference.json"
COHORT, METRICS = "cohort.json", "metrics.json"
# The other files of a bundle are not read: its figures, and the model in another format.
READ = (WEIGHTS, CONFIG, CARD, VOCABULARY, PREPROCESSING, REFERENCE, COHORT, METRICS)
# Largest accepted sizes in bytes, which no export reaches: a vocabulary has some hundred thousand codes, each with a
# description of a few words.
MOST_BYTES = {
    CONFIG: MOST_CONFIG_BYTES,
    CARD: 1 << 22,
    VOCABULARY: 1 << 27,
    # It may hold the codes below those of a rule of the cohort.
    PREPROCESSING: 1 << 26,
    REFERENCE: 1 << 20,
    COHORT: 1 << 22,
    METRICS: 1 << 23,
}


def _check_rises(values: list[float]) -> list[float]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("must rise")
    return values


Rising = Annotated[list[float], AfterValidator(_check_rises)]
# Wider than the logits of all hazards that are neither 0 nor 1 in double precision.
Logit = Annotated[float, Field(ge=-1000, le=1000)]
OfFeatures = Field(min_length=FIRST_FEATURES, max_length=len(FEATURES))
OfTimes = Field(min_length=len(PREDICTION_FEATURES), max_length=len(PREDICTION_FEATURES))


class BundleInfo(Section):
    """Description of a bundle, stored in its index and shown on the card and by the server.

    Attributes:
        name: name of the bundle.
        created: time of the export, ISO 8601 in UTC.
        survlstm: version of survlstm that wrote the bundle.
        torch: version of torch that wrote the bundle.
        run: name of the run's folder.
        epoch: epoch of the exported weights, from 1; 0 for a model that starts from a fit and was not improved on.
        fingerprint: fingerprint of the data that the model was trained on.
        clock: clock of the model.
        unit: unit of the grid and the horizons.
        outcome: the outcome as a sentence.
        steps: the step convention as a sentence.
        parameters: number of weights.
    """

    name: Text
    created: Text
    survlstm: Text
    torch: Text
    run: Text
    epoch: int = Field(ge=0)
    fingerprint: Text
    clock: Literal["visit", "landmark", "days"]
    unit: Literal["visits", "days"]
    outcome: Text
    steps: Text
    parameters: int = Field(ge=1)


class ReferencePredictions(Section):
    """Predictions for the training subjects, to which new predictions are compared.

    Attributes:
        risk: quantiles of the training subjects' risks, at equally spaced probabilities from 0 to 1.
        grid: times of a curve in the unit of the bundle, ascending and above 0.
        horizons: times at which survival is reported by default, ascending, at most the end of ``grid``.
        drift: shift, slope and centre of the hazard extrapolation (``docs/conventions.md``, Landmarks and baselines);
            None on the other clocks, where the model predicts every step.
        tables: names of the tables of the training export that had rows.
        stale_days: on the days clock, days from the newest entry to a prediction time that 19 in 20 training rows do
            not exceed, or 19 in 20 gaps between two visits if that is more; None on the other clocks.
    """

    risk: list[Share] = Field(min_length=2)
    grid: Rising = Field(min_length=1)
    horizons: Rising = Field(min_length=1)
    drift: tuple[Logit, Logit, Logit] | None
    tables: list[str]
    stale_days: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _within_each_other(self) -> ReferencePredictions:
        if self.risk != sorted(self.risk):
            raise ValueError("risk must not fall")
        if self.grid[0] <= 0:
            raise ValueError(f"grid must begin above 0; found {self.grid[0]:g}")
        if self.horizons[0] <= 0 or self.horizons[-1] > self.grid[-1]:
            raise ValueError(f"horizons must lie above 0 and up to the grid's end; found {self.horizons}")
        return self

    def percentile(self, risk: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " row"]:
        """Return the percentile of a risk among the risks of the training subjects.

        Args:
            risk: probabilities of the event; shape (row,).

        Returns:
            Values from 0 to 100; for a risk that equals several quantiles, the middle of their positions.
        """
        known = np.asarray(self.risk)
        # Between two quantiles the position is interpolated, from the last position of the lower value to the first
        # position of the upper one.
        last = len(known) - 1
        between = np.interp(risk, known, np.linspace(0, 100, len(known)), left=0.0, right=100.0)
        # ``first`` and ``end`` enclose the positions at which ``known`` equals the risk.
        first, end = (np.searchsorted(known, risk, side=side) for side in ("left", "right"))
        # Between quantiles that hardly differ the slope of np.interp overflows.
        between = np.clip(between, 100 * np.maximum(first - 1, 0) / last, 100 * np.minimum(first, last) / last)
        return np.where(first < end, 50 * (first + end - 1) / last, between)


class _Entry(Section):
    code: str
    description: str


class _Preprocessing(Section):
    feature_mean: list[float] = OfFeatures
    feature_spread: list[Weight] = OfFeatures
    edge_days: Rising
    descendants: dict[str, list[str]] = Field(default={})
    values: list[dict[str, Any]] | None = None
    prediction_mean: Annotated[list[float], OfTimes] | None = None
    prediction_spread: Annotated[list[Weight], OfTimes] | None = None
    code_groups: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Bundle:
    """A trained model with everything that its use needs.

    Attributes:
        about: description of the bundle.
        config: config of the run, without paths and addresses of the machine.
        preprocessing: vocabulary and preprocessing, fitted on the training subjects.
        model: the model.
        reference: predictions for the training subjects, to which new predictions are compared.
        descriptions: description of a code by its name, from the export that the model was trained on.
        cohort: summary of the training cohort, see ``TrainingCohort``. Nothing is computed from it.
        metrics: evaluation of the model, see ``ReportedMetrics``. Nothing is computed from it.
        card: model card in Markdown.
    """

    about: BundleInfo
    config: RunConfig
    preprocessing: PreprocessingState
    model: nn.Module
    reference: ReferencePredictions
    descriptions: dict[str, str]
    cohort: dict[str, Any]
    metrics: dict[str, Any]
    card: str

    def __repr__(self) -> str:
        return (
            f"<Bundle {self.about.name!r}: {self.about.clock} clock, {len(self.preprocessing.vocabulary):,} codes, "
            f"{self.about.parameters:,} parameters>"
        )

    @property
    def drift(self) -> HazardExtrapolation | None:
        """Extrapolation of a hazard of the visit clock to later steps; None on the other clocks."""
        return None if self.reference.drift is None else HazardExtrapolation(*self.reference.drift)


def write_bundle(bundle: Bundle, path: Path, *, figures: dict[str, bytes], extras: dict[str, bytes]) -> None:
    """Write a bundle.

    Args:
        bundle: the bundle to write.
        path: new folder, or new archive if the name ends in .zip.
        figures: content by file name, written to the folder figures.
        extras: content by file name, written beside the weights, such as an ONNX model.

    Raises:
        BundleError: ``path`` exists or cannot be written.
    """
    preprocessing = bundle.preprocessing.as_plain()
    vocabulary = [
        {"code": code, "description": bundle.descriptions.get(code, "")} for code in preprocessing.pop("vocabulary")
    ]
    weights = {name: weight.clone().contiguous() for name, weight in bundle.model.state_dict().items()}
    files = {
        WEIGHTS: save_weights(weights),
        CONFIG: as_yaml(bundle.config).encode(),
        VOCABULARY: _json(vocabulary),
        PREPROCESSING: _json(preprocessing),
        REFERENCE: _json(bundle.reference.model_dump(exclude=_unset(bundle.reference))),
        COHORT: _json(bundle.cohort),
        METRICS: _json(bundle.metrics),
        CARD: bundle.card.encode(),
        **{f"figures/{name}": data for name, data in figures.items()},
        **extras,
    }
    write_container(path, files, bundle.about.model_dump())


def read_bundle(path: Path, *, allow: Sequence[str] = ()) -> Bundle:
    """Read and check a bundle. A bundle holds no code.

    Args:
        path: folder or .zip archive that ``write_bundle`` wrote.
        allow: dotted names of classes outside survlstm that may be imported although only the bundle names them.

    Returns:
        The bundle; its model is on the CPU.

    Raises:
        BundleError: ``path`` holds no bundle, was changed or damaged, was written by a newer survlstm, or holds parts
            that do not fit together.
        ClosedClassError: the model is of a class that is not part of survlstm and that ``allow`` does not name.
    """
    container = read_container(path, READ, most=MOST_BYTES)
    files = container.files
    try:
        vocabulary = TypeAdapter(list[_Entry]).validate_json(files[VOCABULARY])
        about = BundleInfo.model_validate(container.about)
        preprocessing = _fitted([entry.code for entry in vocabulary], files[PREPROCESSING])
        config = validate_stored(parse_yaml(files[CONFIG]), RunConfig, finished=True, allow=allow)
        reference = ReferencePredictions.model_validate_json(files[REFERENCE])
        _check_clock(about, config, preprocessing, reference)
        with_codes(build_settings(config).cohort, preprocessing.descendants)
        model = build_model_with_weights(
            config.model,
            preprocessing.sizes,
            weights=load_weights(files[WEIGHTS]),
        )
        _check_parameters(about, model)
        if isinstance(config.outcome, ForeignOutcomeConfig):
            # Every prediction needs it, so that its class must be permitted too.
            config.outcome.load()
        return Bundle(
            about=about,
            config=config,
            preprocessing=preprocessing,
            model=model,
            reference=reference,
            descriptions={entry.code: entry.description for entry in vocabulary if entry.description},
            cohort=validate_reported(TrainingCohort, parse_json(files[COHORT])),
            metrics=validate_reported(ReportedMetrics, parse_json(files[METRICS])),
            card=files[CARD].decode(),
        )
    except ClosedClassError:
        raise
    except (KeyError, ValueError, TypeError, RuntimeError, ConfigError, SafetensorError) as error:
        raise BundleError(
            f"{path} must hold a model that this survlstm can build; found "
            f"{content_error(error)}. Export it again, or use the survlstm that wrote it"
        ) from error


def content_error(error: Exception) -> str:
    """Describe an error that a file of a bundle caused.

    Args:
        error: the error, of any type.

    Returns:
        Its type and its message in one line; for a ``ValidationError`` the place and the message of its first fault.
    """
    if isinstance(error, ValidationError):
        # The first line of its message says only how many faults there are.
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        return f"{type(error).__name__}: {error.title}{place and ' '}{place}: {fault['msg']}"
    return first_line(error, with_type=True)


def _fitted(codes: list[str], preprocessing: bytes) -> PreprocessingState:
    if codes[:2] != [PAD, UNK]:
        raise ValueError("the vocabulary must begin with [PAD] and [UNK]")
    if len(set(codes)) != len(codes):
        raise ValueError("the vocabulary must hold each code once")
    plain = _Preprocessing.model_validate_json(preprocessing)
    return PreprocessingState.from_plain({"vocabulary": codes, **plain.model_dump(exclude_none=True)})


def _check_clock(
    about: BundleInfo, config: RunConfig, preprocessing: PreprocessingState, reference: ReferencePredictions
) -> None:
    """Raise ValueError unless all parts have the same clock and the grid holds the ends of the model's steps."""
    by_visit, edges = about.clock == "visit", preprocessing.edge_days.tolist()
    times = [float(step) for step in range(1, len(reference.grid) + 1)] if by_visit else edges[1:]
    must_hold = {
        f"clock.kind must be {about.clock}, as the index says": config.clock.kind == about.clock,
        f"the unit of the {about.clock} clock must not be {about.unit}": about.unit
        == ("visits" if by_visit else "days"),
        "drift must be set on the visit clock and null on the other clocks": (reference.drift is not None) == by_visit,
        "edge_days must begin at 0, and be empty on the visit clock": edges[:1] == ([] if by_visit else [0.0]),
        f"preprocessing must be that of the {about.clock} clock": preprocessing.clock == about.clock,
        "stale_days must be set on the days clock and null on the other clocks": (reference.stale_days is not None)
        == (about.clock == "days"),
        "grid must hold the ends of the model's steps": reference.grid == times,
        "horizons must be whole numbers of visits": not by_visit or set(reference.horizons) <= set(times),
    }
    broken = [sentence for sentence, holds in must_hold.items() if not holds]
    if broken:
        raise ValueError("; ".join(broken))


def _unset(reference: ReferencePredictions) -> set[str]:
    """Return the keys that the files of other clocks do not have."""
    return {"stale_days"} if reference.stale_days is None else set()


def _check_parameters(about: BundleInfo, model: nn.Module) -> None:
    parameters = sum(weight.numel() for weight in model.parameters())
    if about.parameters != parameters:
        raise ValueError(f"the index must hold the number of parameters, {parameters:,}; found {about.parameters:,}")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
