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
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from survlstm.data.packing import pack_rows
from survlstm.models.layers import embedding_of
from survlstm.models.protocol import ModelInputs
from survlstm.survival.hazard import hazard
from survlstm.utils.errors import BundleError, ConfigError, first_line

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

FILE = "model.onnx"
MOST_DIFFERENCE = 1e-5
OUTPUT = "hazard"
# Numbers of rows, visits and codes of the batches with which a written file is checked.
SIZES = ((1, 1, 1), (1, 50, 3), (2, 3, 30), (7, 20, 8), (5, 1, 4))
# The oldest operator set with all operators used here, so that old runtimes can read the file.
OPERATORS = 17
ABOUT = (
    "Discrete-time hazards. codes int64 [row, visit, code]: indices in the vocabulary, 0 for no code. visit_features "
    "float32 [row, visit, feature]. {days}{times}visits_per_row int64 [row], at least 1 each; visits after the end of "
    "a row are padding of any content. hazard float32 {output}."
)
DAYS = "visit_days float32 [row, visit]: days since the first visit of the record. "
TIMES = (
    "prediction_features float32 [row, feature]: of one prediction time per row, log(1 + days since its last visit), "
    "standardised as in preprocessing.json. "
)
VISIT_CLOCK = "[row, visit]: of the step that begins at the visit; NaN after the end of a row"
LANDMARK_CLOCK = "[row, interval]: of each interval after the last visit of a row"
DAYS_CLOCK = "[row, interval]: of each interval after the prediction time of a row, whose visits are those up to then"


class _Padded(NamedTuple):
    """Rows of visits, padded to a common number of visits and a common number of codes per visit.

    Attributes:
        codes: indices in the vocabulary, 0 for no code; shape (row, visit, code).
        visit_features: standardised visit features; shape (row, visit, feature).
        visit_days: days since the first visit of the record; shape (row, visit).
        visits_per_row: number of visits of each row, at least 1; shape (row,).
        prediction_features: standardised numbers of the prediction time of each row, on the days clock; shape (row,
            feature). None on the other clocks.
    """

    codes: Int64[Tensor, "row visit code"]
    visit_features: Float[Tensor, "row visit feature"]
    visit_days: Float[Tensor, "row visit"]
    visits_per_row: Int64[Tensor, " row"]
    prediction_features: Float[Tensor, "row prediction_feature"] | None = None

    @property
    def given(self) -> dict[str, Tensor]:
        """The inputs of the clock, by name."""
        return {name: tensor for name, tensor in self._asdict().items() if tensor is not None}


class _Sizes(NamedTuple):
    """Sizes that a model fixes: its vocabulary, and the features of a visit and of a prediction time."""

    vocabulary: int
    visit_features: int
    prediction_features: int


def export_onnx(model: nn.Module, *, visit_features: int, prediction_features: int = 0) -> dict[str, bytes]:
    """Export the model to ONNX for a bundle.

    Args:
        model: the model to export.
        visit_features: number of visit features that it reads.
        prediction_features: number of features of a prediction time that it reads, on the days clock.

    Returns:
        Content of the file by its name in a bundle.

    Raises:
        BundleError: the hazards of onnxruntime differ from those of torch by more than ``MOST_DIFFERENCE``.
        ConfigError: ONNX can't express the model, or a package of the extra ``onnx`` is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        difference = write_onnx(model, path, visit_features=visit_features, prediction_features=prediction_features)
        content = path.read_bytes()
    if not difference <= MOST_DIFFERENCE:
        raise BundleError(
            f"the hazards of the ONNX model must agree with torch's within {MOST_DIFFERENCE:g}; they differ by up to "
            f"{difference:.1e}. Use format=native, or other versions of torch and onnxruntime"
        )
    log.info("%s: the hazards of onnxruntime and torch agree within %.1e on random records", FILE, difference)
    return {FILE: content}


def write_onnx(model: nn.Module, path: Path, *, visit_features: int, prediction_features: int = 0) -> float:
    """Write a model as ONNX and compare its hazards with those of torch on random records.

    Numbers of rows, visits and codes per visit are free. The ``doc_string`` of the file describes inputs and output.

    Args:
        model: the model to export.
        path: file to write.
        visit_features: number of visit features that the model reads.
        prediction_features: number of features of a prediction time that it reads. On the days clock the file makes one
            prediction per row, at its last visit or after it.

    Returns:
        The largest absolute difference between a hazard of onnxruntime and of torch; NaN if one of them is not finite.

    Raises:
        ConfigError: ONNX can't express the model, or a package of the extra ``onnx`` is missing.
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
    model = copy.deepcopy(model).cpu().eval()
    sizes = _Sizes(embedding_of(model).num_embeddings, visit_features, prediction_features)
    generator = torch.Generator().manual_seed(0)
    example = _random(3, 4, 2, sizes, generator)
    _export(_PaddedHazards(model).eval(), path, example)
    exported = onnx.load(path)
    used = {name for node in exported.graph.node for name in node.input}
    for unused in [value for value in exported.graph.input if value.name not in used]:
        exported.graph.input.remove(unused)
    _describe(exported)
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    differences = []
    for rows, visits, codes in SIZES:
        batch = _random(rows, visits, codes, sizes, generator)
        try:
            [hazards] = session.run([OUTPUT], {name: batch.given[name].numpy() for name in names})
        # onnxruntime has many errors; one says that an operator fixed the size of the example.
        except Exception as error:
            raise _not_expressible(model, error) from error
        differences.append(_difference(hazards, batch, model))
    # Unlike max(), np.max returns NaN if any difference is NaN.
    return float(np.max(differences))


def _not_expressible(model: nn.Module, error: Exception) -> ConfigError:
    return ConfigError(
        f"format=onnx needs a model that ONNX can express; {type(model).__name__} is not one "
        f"({first_line(error, with_type=True, at_most=300)}). Use format=native, or read the visits by inputs.pad in it"
    )


class _Grid(ModelInputs):
    """Inputs whose slots are all cells of the padded view, position by position, so that no index is fixed by a size.

    ``slices`` is the number of rows and of visits.
    """

    @property
    def rows(self) -> int:
        return self.slices[0][0]

    def pad(self, values: Shaped[Tensor, "slot ..."]) -> Shaped[Tensor, "row visit ..."]:
        return values.view(self.longest, self.rows, *values.shape[1:]).transpose(0, 1)

    def flatten(self, padded: Shaped[Tensor, "row visit ..."]) -> Shaped[Tensor, "slot ..."]:
        return padded.transpose(0, 1).reshape(self.longest * self.rows, *padded.shape[2:])

    @property
    def longest(self) -> int:
        return self.slices[0][1]

    @property
    def last_slot(self) -> Int64[Tensor, " row"]:
        return (self.visits_per_row - 1) * self.rows + torch.arange(self.rows)


class _PaddedHazards(nn.Module):
    """A model on padded rows of codes, see ``survlstm.models.layers.VisitEmbedding.embed_grid``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        codes: Int64[Tensor, "row visit code"],
        visit_features: Float[Tensor, "row visit feature"],
        visit_days: Float[Tensor, "row visit"],
        visits_per_row: Int64[Tensor, " row"],
        prediction_features: Float[Tensor, "row prediction_feature"] | None = None,
    ) -> Float[Tensor, "row visit"] | Float[Tensor, "row interval"]:
        rows, visits = codes.shape[0], codes.shape[1]

        def in_slots(values: Tensor) -> Tensor:
            return values.transpose(0, 1).reshape(visits * rows, *values.shape[2:])

        embedded = in_slots(embedding_of(self.model).embed_grid(codes))
        inputs = _Grid(
            codes=codes.flatten(),
            code_offsets=torch.zeros(rows * visits, dtype=torch.int64),
            # ONNX can't reshape a tensor without columns: to its Reshape a size of 0 means "as before".
            visit_features=in_slots(visit_features) if int(visit_features.shape[2]) else embedded[:, :0],
            visit_days=in_slots(visit_days),
            slices=((rows, visits),),
            slot=torch.arange(rows * visits),
            visits_per_row=visits_per_row,
            embedded=embedded,
            prediction_features=prediction_features,
        )
        logits = self.model(inputs)
        if logits.ndim == 2:
            return hazard(logits)
        return hazard(inputs.pad(logits)).where(torch.arange(visits) < visits_per_row[:, None], torch.nan)


def _export(padded: _PaddedHazards, path: Path, example: _Padded) -> None:
    """Write the file with the older exporter of torch.

    The newer one (dynamo=True) uses torch.export, which unrolls an LSTM over the visits and so fixes their number.
    """
    by_visit = {0: "row", 1: "visit"}
    is_by_interval = padded.model(_as_inputs(example)).ndim == 2
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The warnings say that the exporter is the older one and that other sizes may fail; write_onnx checks that.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                padded,
                tuple(example.given.values()),
                path,
                dynamo=False,
                opset_version=OPERATORS,
                input_names=list(example.given),
                output_names=[OUTPUT],
                dynamic_axes={
                    "codes": {**by_visit, 2: "code"},
                    "visit_features": by_visit,
                    "visit_days": by_visit,
                    "visits_per_row": {0: "row"},
                    **({} if example.prediction_features is None else {"prediction_features": {0: "row"}}),
                    OUTPUT: {0: "row"} if is_by_interval else by_visit,
                },
            )
    # The exporter raises many kinds of errors for operators that it does not know.
    except Exception as error:
        raise _not_expressible(padded.model, error) from error


def _describe(exported: onnx.ModelProto) -> None:
    """Describe inputs and output in the file, and remove the exporter's notes about the machine and its paths."""
    del exported.metadata_props[:]
    for node in exported.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    axes = [axis.dim_param for axis in exported.graph.output[0].type.tensor_type.shape.dim]
    inputs = {value.name for value in exported.graph.input}
    by_interval = DAYS_CLOCK if "prediction_features" in inputs else LANDMARK_CLOCK
    exported.doc_string = ABOUT.format(
        days=DAYS if "visit_days" in inputs else "",
        times=TIMES if "prediction_features" in inputs else "",
        output=VISIT_CLOCK if "visit" in axes else by_interval,
    )


def _random(rows: int, visits: int, codes: int, sizes: _Sizes, generator: torch.Generator) -> _Padded:
    """Draw records of random lengths up to ``visits``; a fifth of the codes at random positions are padding."""
    numbers = torch.randint(sizes.vocabulary, (rows, visits, codes), generator=generator)
    numbers[torch.rand(numbers.shape, generator=generator) < 0.2] = 0
    features = torch.randn(rows, visits, sizes.visit_features, generator=generator)
    days = 1000 * torch.rand(rows, visits, generator=generator).cumsum(dim=1)
    batch = _Padded(numbers, features, days, torch.randint(1, visits + 1, (rows,), generator=generator))
    if not sizes.prediction_features:
        return batch
    return batch._replace(prediction_features=torch.randn(rows, sizes.prediction_features, generator=generator))


def _as_inputs(batch: _Padded) -> ModelInputs:
    """Arrange padded rows as the training does, without padding."""
    lengths = batch.visits_per_row
    is_visit = torch.arange(batch.codes.shape[1]) < lengths[:, None]
    layout = pack_rows(lengths.numpy())
    slot = torch.from_numpy(layout.slot)

    def in_slots(values: Tensor) -> Tensor:
        return values.new_zeros(layout.total, *values.shape[2:]).index_copy(0, slot, values[is_visit])

    codes = in_slots(batch.codes)
    per_slot = (codes != 0).sum(dim=1)
    return ModelInputs(
        codes=codes[codes != 0],
        code_offsets=per_slot.cumsum(0) - per_slot,
        visit_features=in_slots(batch.visit_features),
        visit_days=in_slots(batch.visit_days),
        slices=layout.slices,
        slot=slot,
        visits_per_row=lengths,
        prediction_features=batch.prediction_features,
    )


@torch.no_grad()
def _difference(onnx_hazards: np.ndarray, batch: _Padded, model: nn.Module) -> float:
    """Return the largest difference from the hazards of the model itself."""
    inputs, hazards = _as_inputs(batch), torch.from_numpy(onnx_hazards)
    logits = model(inputs)
    if logits.ndim == 1:
        is_visit = torch.arange(batch.codes.shape[1]) < batch.visits_per_row[:, None]
        logits, hazards = logits[inputs.slot], hazards[is_visit]
    return float((hazard(logits) - hazards).abs().max())
