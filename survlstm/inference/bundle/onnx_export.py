"""A model → an ONNX file that gives its hazards, checked against it by onnxruntime as it is written."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from survlstm.data.packing import pack_rows
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.survival.hazard import hazard
from survlstm.utils.errors import BundleError, ConfigError

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

FILE = "model.onnx"
MOST_DIFFERENCE = 1e-5
INPUTS, OUTPUT = ["codes", "visit_features", "visits_per_row"], "hazard"
# Rows, visits and codes of the batches that a written file is checked with.
SIZES = ((1, 1, 1), (1, 50, 3), (2, 3, 30), (7, 20, 8), (5, 1, 4))
# The first operator set with everything used here, so that old runtimes read the file too.
OPERATORS = 17
ABOUT = (
    "Discrete-time hazards. codes int64 [row, visit, code]: numbers in the vocabulary, 0 where there is none. "
    "visit_features float32 [row, visit, feature]. visits_per_row int64 [row], each at least 1; visits behind a row's "
    "end are padding of any content. hazard float32 {output}."
)
VISIT_CLOCK = "[row, visit]: of the step that begins at the visit; NaN behind a row's end"
LANDMARK_CLOCK = "[row, interval]: of the intervals after a row's last visit"


class _Padded(NamedTuple):
    """Rows of visits, filled up to a common length and a common number of codes a visit."""

    codes: Int64[Tensor, "row visit code"]
    visit_features: Float[Tensor, "row visit feature"]
    visits_per_row: Int64[Tensor, " row"]


def export_onnx(model: nn.Module, *, visit_features: int) -> dict[str, bytes]:
    """The file by its name in a bundle; BundleError where onnxruntime's hazards are not torch's to 1e-5."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        difference = write_onnx(model, path, visit_features=visit_features)
        content = path.read_bytes()
    if not difference <= MOST_DIFFERENCE:
        raise BundleError(
            f"the ONNX model must give torch's hazards to {MOST_DIFFERENCE:g}; it is off by up to {difference:.1e}. "
            "Use format=native, or other versions of torch and onnxruntime"
        )
    log.info("%s: onnxruntime's hazards are torch's to %.1e over random records", FILE, difference)
    return {FILE: content}


def write_onnx(model: nn.Module, path: Path, *, visit_features: int) -> float:
    """Write the model's hazards as ONNX and return how far onnxruntime is from torch's at most, over random records.

    Rows, visits and codes per visit may be any number; what the inputs are stands in the file's ``doc_string``. Raises
    ConfigError for a model that is no LSTM of ours, and where the packages of the extra ``onnx`` are missing.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"format=onnx must have the packages onnx and onnxruntime; {error.name} isn't installed. "
            "pip install 'survlstm[onnx]'"
        ) from error
    if not isinstance(model, DiscreteTimeSurvivalLSTM):
        raise ConfigError(
            f"format=onnx must have a DiscreteTimeSurvivalLSTM; found {type(model).__name__}. Use format=native"
        )
    model = copy.deepcopy(model).cpu().eval()
    _export(_PaddedHazards(model).eval(), path, visit_features)
    exported = onnx.load(path)
    _describe(exported, VISIT_CLOCK if model.intervals is None else LANDMARK_CLOCK)
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = []
    for rows, visits, codes in SIZES:
        batch = _random(rows, visits, codes, model.embedding.num_embeddings, visit_features, generator)
        [found] = session.run([OUTPUT], {name: part.numpy() for name, part in batch._asdict().items()})
        differences.append(_difference(found, batch, model))
    # Of floats and a NaN, max() may return a float.
    return float(np.max(differences))


class _PaddedHazards(nn.Module):
    """The model's own layers on padded rows: ONNX has no EmbeddingBag that leaves padding out of a mean."""

    def __init__(self, model: DiscreteTimeSurvivalLSTM) -> None:
        super().__init__()
        self.intervals = model.intervals
        self.embeddings = model.embedding.weight
        self.lstm = model.lstm
        self.head = model.head

    def forward(
        self,
        codes: Int64[Tensor, "row visit code"],
        visit_features: Float[Tensor, "row visit feature"],
        visits_per_row: Int64[Tensor, " row"],
    ) -> Float[Tensor, "row visit"] | Float[Tensor, "row interval"]:
        is_code = (codes != 0).unsqueeze(3)
        total = (nn.functional.embedding(codes, self.embeddings) * is_code).sum(dim=2)
        mean = total / is_code.sum(dim=2).clamp(min=1)
        states = torch.cat([mean, visit_features], dim=2).transpose(0, 1)
        for layer in self.lstm:
            states, _ = layer(states)
        states = states.transpose(0, 1)
        if self.intervals is not None:
            last = (visits_per_row - 1)[:, None, None].expand(-1, 1, states.shape[2])
            return hazard(self._logits(states.gather(1, last).squeeze(1)))
        hazards = hazard(self._logits(states).squeeze(2))
        return hazards.where(torch.arange(hazards.shape[1]) < visits_per_row[:, None], torch.nan)

    def _logits(self, states: Tensor) -> Tensor:
        hidden, relu, _, logit = self.head
        logits: Tensor = logit(relu(hidden(states)))
        return logits


def _export(padded: _PaddedHazards, path: Path, visit_features: int) -> None:
    """Write the file with torch's older exporter.

    torch.export, and with it the newer exporter (dynamo=True), unrolls an LSTM visit by visit and fixes their number.
    """
    example = _random(3, 4, 2, padded.embeddings.shape[0], visit_features, torch.Generator().manual_seed(0))
    by_visit = {0: "row", 1: "visit"}
    with warnings.catch_warnings():
        # That the exporter is the older one, and doubts about other sizes, which write_onnx tries out.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            padded,
            tuple(example),
            path,
            dynamo=False,
            opset_version=OPERATORS,
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_axes={
                "codes": {**by_visit, 2: "code"},
                "visit_features": by_visit,
                "visits_per_row": {0: "row"},
                OUTPUT: by_visit if padded.intervals is None else {0: "row"},
            },
        )


def _describe(exported: onnx.ModelProto, output: str) -> None:
    """Say what goes in and out, and remove what an exporter says of the place where it ran."""
    del exported.metadata_props[:]
    for node in exported.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    exported.doc_string = ABOUT.format(output=output)


def _random(  # noqa: PLR0917  (the sizes of a batch, in the order of its axes)
    rows: int, visits: int, codes: int, vocabulary: int, visit_features: int, generator: torch.Generator
) -> _Padded:
    """Records of any length up to ``visits``; a fifth of the codes is padding, wherever it stands."""
    numbers = torch.randint(vocabulary, (rows, visits, codes), generator=generator)
    numbers[torch.rand(numbers.shape, generator=generator) < 0.2] = 0
    features = torch.randn(rows, visits, visit_features, generator=generator)
    return _Padded(numbers, features, torch.randint(1, visits + 1, (rows,), generator=generator))


@torch.no_grad()
def _difference(found: np.ndarray, batch: _Padded, model: DiscreteTimeSurvivalLSTM) -> float:
    """How far hazards are from those of the model's own ``forward``, which reads records without padding."""
    lengths = batch.visits_per_row
    is_visit = torch.arange(batch.codes.shape[1]) < lengths[:, None]
    slots = pack_rows(lengths.numpy())
    slot = torch.from_numpy(slots.slot)
    codes = torch.zeros(slots.total, batch.codes.shape[2], dtype=torch.int64)
    codes[slot] = batch.codes[is_visit]
    features = torch.zeros(slots.total, batch.visit_features.shape[2])
    features[slot] = batch.visit_features[is_visit]
    per_slot = (codes != 0).sum(dim=1)
    logits = model(codes[codes != 0], per_slot.cumsum(0) - per_slot, features, slots.slices, slot, lengths)
    hazards = torch.from_numpy(found)
    if model.intervals is None:
        logits, hazards = logits[slot], hazards[is_visit]
    return float((hazard(logits) - hazards).abs().max())
