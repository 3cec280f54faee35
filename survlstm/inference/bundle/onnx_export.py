"""Export the hazards of a model to ONNX, and compare them with those of torch."""

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
# Numbers of rows, visits and codes of the batches with which a written file is checked.
SIZES = ((1, 1, 1), (1, 50, 3), (2, 3, 30), (7, 20, 8), (5, 1, 4))
# The oldest operator set with all operators used here, so that old runtimes can read the file.
OPERATORS = 17
ABOUT = (
    "Discrete-time hazards. codes int64 [row, visit, code]: indices in the vocabulary, 0 for no code. visit_features "
    "float32 [row, visit, feature]. visits_per_row int64 [row], at least 1 each; visits after the end of a row are "
    "padding of any content. hazard float32 {output}."
)
VISIT_CLOCK = "[row, visit]: of the step that begins at the visit; NaN after the end of a row"
LANDMARK_CLOCK = "[row, interval]: of each interval after the last visit of a row"


class _Padded(NamedTuple):
    """Rows of visits, padded to a common number of visits and a common number of codes per visit.

    Attributes:
        codes: indices in the vocabulary, 0 for no code; shape (row, visit, code).
        visit_features: standardised visit features; shape (row, visit, feature).
        visits_per_row: number of visits of each row, at least 1; shape (row,).
    """

    codes: Int64[Tensor, "row visit code"]
    visit_features: Float[Tensor, "row visit feature"]
    visits_per_row: Int64[Tensor, " row"]


def export_onnx(model: nn.Module, *, visit_features: int) -> dict[str, bytes]:
    """Export the model to ONNX for a bundle.

    Args:
        model: the model to export.
        visit_features: number of visit features that it reads.

    Returns:
        Content of the file by its name in a bundle.

    Raises:
        BundleError: the hazards of onnxruntime differ from those of torch by more than ``MOST_DIFFERENCE``.
        ConfigError: the model is of another class, or a package of the extra ``onnx`` is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        difference = write_onnx(model, path, visit_features=visit_features)
        content = path.read_bytes()
    if not difference <= MOST_DIFFERENCE:
        raise BundleError(
            f"the hazards of the ONNX model must agree with torch's within {MOST_DIFFERENCE:g}; they differ by up to "
            f"{difference:.1e}. Use format=native, or other versions of torch and onnxruntime"
        )
    log.info("%s: the hazards of onnxruntime and torch agree within %.1e on random records", FILE, difference)
    return {FILE: content}


def write_onnx(model: nn.Module, path: Path, *, visit_features: int) -> float:
    """Write a model as ONNX and compare its hazards with those of torch on random records.

    Numbers of rows, visits and codes per visit are free. The ``doc_string`` of the file describes inputs and output.

    Args:
        model: the model to export.
        path: file to write.
        visit_features: number of visit features that the model reads.

    Returns:
        The largest absolute difference between a hazard of onnxruntime and of torch; NaN if one of them is not finite.

    Raises:
        ConfigError: the model is of another class, or a package of the extra ``onnx`` is missing.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"format=onnx needs the packages onnx, onnxscript and onnxruntime; {error.name} isn't installed. "
            "pip install 'survlstm[onnx]'"
        ) from error
    if not isinstance(model, DiscreteTimeSurvivalLSTM):
        raise ConfigError(
            f"format=onnx needs a DiscreteTimeSurvivalLSTM; found {type(model).__name__}. Use format=native"
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
        [hazards] = session.run([OUTPUT], {name: part.numpy() for name, part in batch._asdict().items()})
        differences.append(_difference(hazards, batch, model))
    # Unlike max(), np.max returns NaN if any difference is NaN.
    return float(np.max(differences))


class _PaddedHazards(nn.Module):
    """The layers of the model on padded rows, because ONNX has no EmbeddingBag that excludes padding from a mean."""

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
    """Write the file with the older exporter of torch.

    The newer one (dynamo=True) uses torch.export, which unrolls an LSTM over the visits and so fixes their number.
    """
    example = _random(3, 4, 2, padded.embeddings.shape[0], visit_features, torch.Generator().manual_seed(0))
    by_visit = {0: "row", 1: "visit"}
    with warnings.catch_warnings():
        # The warnings say that the exporter is the older one and that other sizes may fail, which write_onnx checks.
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
    """Describe inputs and output in the file, and remove the exporter's notes about the machine and its paths."""
    del exported.metadata_props[:]
    for node in exported.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    exported.doc_string = ABOUT.format(output=output)


def _random(  # noqa: PLR0917  (the sizes of a batch, in the order of its axes)
    rows: int, visits: int, codes: int, vocabulary: int, visit_features: int, generator: torch.Generator
) -> _Padded:
    """Draw records of random lengths up to ``visits``; a fifth of the codes at random positions are padding."""
    numbers = torch.randint(vocabulary, (rows, visits, codes), generator=generator)
    numbers[torch.rand(numbers.shape, generator=generator) < 0.2] = 0
    features = torch.randn(rows, visits, visit_features, generator=generator)
    return _Padded(numbers, features, torch.randint(1, visits + 1, (rows,), generator=generator))


@torch.no_grad()
def _difference(onnx_hazards: np.ndarray, batch: _Padded, model: DiscreteTimeSurvivalLSTM) -> float:
    """Return the largest difference from the hazards of the model's own ``forward``, which reads no padding."""
    lengths = batch.visits_per_row
    is_visit = torch.arange(batch.codes.shape[1]) < lengths[:, None]
    layout = pack_rows(lengths.numpy())
    slot = torch.from_numpy(layout.slot)
    codes = torch.zeros(layout.total, batch.codes.shape[2], dtype=torch.int64)
    codes[slot] = batch.codes[is_visit]
    features = torch.zeros(layout.total, batch.visit_features.shape[2])
    features[slot] = batch.visit_features[is_visit]
    per_slot = (codes != 0).sum(dim=1)
    logits = model(codes[codes != 0], per_slot.cumsum(0) - per_slot, features, layout.slices, slot, lengths)
    hazards = torch.from_numpy(onnx_hazards)
    if model.intervals is None:
        logits, hazards = logits[slot], hazards[is_visit]
    return float((hazard(logits) - hazards).abs().max())
