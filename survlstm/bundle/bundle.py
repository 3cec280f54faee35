"""Files of a bundle ↔ a model that predicts, with its vocabulary, preparation, reference risks and figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml  # type: ignore[import-untyped]
from jaxtyping import Float64
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights

from survlstm.build import build_model
from survlstm.bundle.container import read_container, write_container
from survlstm.compose import as_yaml
from survlstm.config import RunConfig
from survlstm.data.fitted import Fitted
from survlstm.data.vocabulary import PAD, UNK
from survlstm.errors import BundleError
from survlstm.judgement.drift import Drift
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.section import Section, Text

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "MODEL_CARD.md"
VOCABULARY, PREPROCESSING, REFERENCE = "vocabulary.json", "preprocessing.json", "reference.json"
COHORT, METRICS = "cohort.json", "metrics.json"
# Their hazard before any training: the bundle's weights replace it.
SOME_HAZARD = 0.5


class About(Section):
    """What a bundle is, in words: shown by the index, the card and the server.

    ``fingerprint`` is that of the data that the model was trained on; ``steps`` is the step convention.
    """

    name: Text
    created: Text
    survlstm: Text
    torch: Text
    run: Text
    epoch: int = Field(ge=1)
    fingerprint: Text
    clock: Literal["visit", "landmark"]
    unit: Literal["visits", "days"]
    outcome: Text
    steps: Text
    parameters: int = Field(ge=1)


class Reference(Section):
    """Whom a prediction is compared with, and how a visit's hazard is carried on.

    ``risk`` are the quantiles of the training subjects' risk, equally spaced in probability from 0 to 1. ``grid`` are
    the times of a curve in the bundle's unit, ``horizons`` those that tables show. ``drift`` (shift, slope, centre) is
    None on the landmark clock, where every step is known. ``tables`` are those of the training export that held rows.
    """

    risk: list[float] = Field(min_length=2)
    grid: list[float] = Field(min_length=1)
    horizons: list[float] = Field(min_length=1)
    drift: tuple[float, float, float] | None
    tables: list[str]

    def percentile(self, risk: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " row"]:
        """0 to 100: the share of the training subjects below a risk, and half of those at it."""
        known = np.asarray(self.risk)
        places = [np.interp(risk, *_rising(known, side), left=0.0, right=1.0) for side in ("left", "right")]
        return 50 * (places[0] + places[1])


def _rising(known: np.ndarray, side: Literal["left", "right"]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct risks and, of equal ones, the first or the last place, as shares of 1."""
    values = np.unique(known)
    last = side == "right"
    place = np.searchsorted(known, values, side=side) - last
    return values, place / (len(known) - 1)


@dataclass(frozen=True)
class Bundle:
    """A trained model and all that it takes to use it; ``descriptions`` are those of the export it was trained on.

    ``cohort`` and ``metrics`` are for people: nothing is computed from them.
    """

    about: About
    config: RunConfig
    fitted: Fitted
    model: DiscreteTimeSurvivalLSTM
    reference: Reference
    descriptions: dict[str, str]
    cohort: dict[str, Any]
    metrics: dict[str, Any]
    card: str

    @property
    def drift(self) -> Drift | None:
        """How a hazard of the visit clock is carried on behind the last visit."""
        return None if self.reference.drift is None else Drift(*self.reference.drift)


def write_bundle(bundle: Bundle, path: Path, *, figures: dict[str, bytes], extras: dict[str, bytes]) -> None:
    """Write a bundle; ``figures`` by file name go to figures/, ``extras`` (an ONNX model) beside the weights."""
    fitted = bundle.fitted.as_plain()
    vocabulary = [{"code": code, "description": bundle.descriptions.get(code, "")} for code in fitted.pop("vocabulary")]
    weights = {name: weight.contiguous() for name, weight in bundle.model.state_dict().items()}
    files = {
        WEIGHTS: save_weights(weights),
        CONFIG: as_yaml(bundle.config).encode(),
        VOCABULARY: _json(vocabulary),
        PREPROCESSING: _json(fitted),
        REFERENCE: _json(bundle.reference.model_dump()),
        COHORT: _json(bundle.cohort),
        METRICS: _json(bundle.metrics),
        CARD: bundle.card.encode(),
        **{f"figures/{name}": data for name, data in figures.items()},
        **extras,
    }
    write_container(path, files, bundle.about.model_dump())


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle; no code of the file is run. BundleError with what is wrong, and what to do."""
    container = read_container(path)
    files = container.files
    try:
        vocabulary = json.loads(files[VOCABULARY])
        entries = [entry["code"] for entry in vocabulary]
        if entries[:2] != [PAD, UNK]:
            raise ValueError("the vocabulary must begin with [PAD] and [UNK]")
        fitted = Fitted.from_plain({"vocabulary": entries, **json.loads(files[PREPROCESSING])})
        # Not by hydra's loader, which would look up what a file asks for, such as this machine's environment.
        config = RunConfig.model_validate(yaml.safe_load(files[CONFIG]), context={"finished": True})
        return Bundle(
            about=About.model_validate(container.about),
            config=config,
            fitted=fitted,
            model=_model(config, fitted, files[WEIGHTS]),
            reference=Reference.model_validate_json(files[REFERENCE]),
            descriptions={entry["code"]: entry["description"] for entry in vocabulary if entry["description"]},
            cohort=json.loads(files[COHORT]),
            metrics=json.loads(files[METRICS]),
            card=files[CARD].decode(),
        )
    except (KeyError, ValueError, TypeError, RuntimeError, SafetensorError, yaml.YAMLError, ValidationError) as error:
        raise BundleError(
            f"{path} must hold a model that this survlstm can build; it can't be ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}). Export it again, or use the survlstm that wrote it"
        ) from error


def _model(config: RunConfig, fitted: Fitted, weights: bytes) -> DiscreteTimeSurvivalLSTM:
    model = build_model(
        config.model,
        vocabulary_size=len(fitted.vocabulary),
        intervals=fitted.intervals,
        mean_hazard=[SOME_HAZARD] * (fitted.intervals or 1),
    )
    model.load_state_dict(load_weights(weights))
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise ValueError("some of its weights are not finite")
    return model.eval()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
