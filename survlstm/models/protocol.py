"""The protocol of a model: one value with the visits of a batch in, logits of hazards out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Int32, Int64, Shaped
from torch import Tensor


@dataclass(frozen=True)
class ModelInputs:
    """The visits of a batch, as one value.

    A row is the record of one subject, or a window of it: a sequence of visits, each with a set of codes and some
    numbers. Rows differ in length. There are two views of them:

    - padded, [row, visit, …]: ``pad`` makes it, ``is_visit`` is its mask, and ``flatten`` goes back. It is what
      recurrent layers with ``batch_first=True`` and attention read.
    - flat, [slot, …]: how the batch is stored. The visits of all rows lie in *slots*, in a layout with little padding.

    The flat layout consists of a few slices of time (``survlstm.data.packing``). The first slice covers the first
    ``length`` visits of all rows, and each further slice the next visits of those rows that are long enough. Every
    (row, position) of a slice is a slot; the slots of a slice are ordered by position, then by row, the longest row
    first. A slot beyond the end of its row is padding. With rows of 3 and 1 visits and one slice::

        slices = ((2, 3),)              2 rows, 3 positions
        slots    0    1    2    3    4    5
        holds    a0   b0   a1   -    a2   -        a, b = rows; a1 = visit 1 of row a; - = padding
        slot   = [0, 2, 4, 1]           slots of a0, a1, a2, b0
        visits_per_row = [3, 1]

    Attributes:
        codes: Number of every code in the vocabulary, slot after slot; shape (code,). 0 is padding, 1 an unknown code.
        code_offsets: Position in ``codes`` at which each slot begins; shape (slot,), dtype of ``codes``. A slot without
            codes begins where the next one begins.
        visit_features: Standardised numbers of each slot: the columns that ``model.visit_features`` names, then those
            of code groups (``data.code_groups``) and of values (``data.values``); float32 of shape (slot, feature), 0
            in padding.
        visit_days: Days from the first visit of the subject's record to the visit in each slot; float32 of shape
            (slot,), 0 in padding.
        slices: (rows, length) of each slice, in order of time.
        slot: Slot of every visit, row after row and in order of time within a row; shape (visit,).
        visits_per_row: Number of visits of each row, at least 1; shape (row,).
        dropout_key: Random key of each slot for ``survlstm.models.keyed_dropout``; shape (slot,). None without dropout.
        embedded: Embedding of the codes of each slot, which ``survlstm.models.layers.VisitEmbedding`` returns instead
            of computing it; shape (slot, embedding). None computes it. Explanations set it.
        prediction_slot: On the days clock, slot of the last visit on or before each prediction time; shape
            (prediction,). None on the other clocks.
        prediction_features: On the days clock, standardised numbers of each prediction time, such as the days since
            that visit; float32 of shape (prediction, feature). None on the other clocks.

    Example:
        >>> padded = inputs.pad(inputs.visit_features)      # [row, visit, feature]
        >>> inputs.flatten(padded).shape == inputs.visit_features.shape
        True
    """

    codes: Int[Tensor, " code"]
    code_offsets: Int[Tensor, " slot"]
    visit_features: Float[Tensor, "slot feature"]
    visit_days: Float[Tensor, " slot"]
    # Pairs of int; of scalar tensors while ONNX traces a model, so that the file holds no size of the example.
    slices: tuple[Any, ...]
    slot: Int64[Tensor, " visit"]
    visits_per_row: Int64[Tensor, " row"]
    dropout_key: Int32[Tensor, " slot"] | None = None
    embedded: Float[Tensor, "slot embedding"] | None = None
    prediction_slot: Int64[Tensor, " prediction"] | None = None
    prediction_features: Float[Tensor, "prediction prediction_feature"] | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.visits_per_row)

    @property
    def slots(self) -> int:
        """Number of slots that a model computes, padding included."""
        return len(self.code_offsets)

    @property
    def longest(self) -> int:
        """Number of visits of the longest row, the second axis of the padded view."""
        longest: int = sum(length for _, length in self.slices)
        return longest

    @cached_property
    def is_visit(self) -> Bool[Tensor, "row visit"]:
        """Mask of the padded view: True for a visit, False for padding behind the end of a row."""
        return torch.arange(self.longest, device=self.slot.device) < self.visits_per_row[:, None]

    @cached_property
    def slot_row(self) -> Int64[Tensor, " slot"]:
        """A number of the row of each slot, the same for all slots of a row and another one for every row."""
        rows = [torch.arange(rows, device=self.slot.device).repeat(length) for rows, length in self.slices]
        return torch.cat(rows)

    @cached_property
    def code_slot(self) -> Int64[Tensor, " code"]:
        """Slot of each code."""
        codes = torch.diff(self.code_offsets, append=self.code_offsets.new_tensor([len(self.codes)]))
        return torch.repeat_interleave(
            torch.arange(self.slots, device=self.codes.device), codes, output_size=len(self.codes)
        )

    @cached_property
    def padded_dropout_key(self) -> Int32[Tensor, "row visit"] | None:
        """``dropout_key`` in the padded view; None if it is None."""
        return None if self.dropout_key is None else self.pad(self.dropout_key)

    @property
    def last_slot(self) -> Int64[Tensor, " prediction"]:
        """Slot of the last visit of each prediction time on the days clock, and of each row on the other clocks."""
        if self.prediction_slot is not None:
            return self.prediction_slot
        return self.slot[self.visits_per_row.cumsum(0) - 1]

    def with_prediction_features(self, states: Float[Tensor, "prediction state"]) -> Float[Tensor, "prediction unit"]:
        """Join the state at each prediction time with its numbers; the states as they are on the other clocks.

        Args:
            states: States at ``last_slot``; shape (prediction, state).

        Returns:
            States and numbers; shape (prediction, state + feature).
        """
        if self.prediction_features is None:
            return states
        return torch.cat([states, self.prediction_features.to(states.dtype)], dim=1)

    def pad(self, values: Shaped[Tensor, "slot ..."]) -> Shaped[Tensor, "row visit ..."]:
        """Convert the flat view to the padded view.

        Args:
            values: Values of each slot; shape (slot, …) of any dtype.

        Returns:
            Values of each visit; shape (row, visit, …), 0 behind the end of a row.
        """
        padded = values.new_zeros(self.rows * self.longest, *values.shape[1:])
        return padded.index_copy(0, self._cell, values.index_select(0, self.slot)).unflatten(
            0, (self.rows, self.longest)
        )

    def flatten(self, padded: Shaped[Tensor, "row visit ..."]) -> Shaped[Tensor, "slot ..."]:
        """Convert the padded view to the flat view.

        Args:
            padded: Values of each visit; shape (row, visit, …). Those behind the end of a row are not used.

        Returns:
            Values of each slot; shape (slot, …), 0 in slots of padding.
        """
        values = padded.flatten(0, 1).index_select(0, self._cell)
        return values.new_zeros(self.slots, *values.shape[1:]).index_copy(0, self.slot, values)

    def at_last_visit(self, padded: Shaped[Tensor, "row visit ..."]) -> Shaped[Tensor, "prediction ..."]:
        """Select the values at ``last_slot`` from the padded view.

        Args:
            padded: Values of each visit; shape (row, visit, …).

        Returns:
            Values of the last visit of each prediction time, or of each row; shape (prediction, …).
        """
        return self.flatten(padded).index_select(0, self.last_slot)

    def replace(self, **changes: Any) -> ModelInputs:
        """Return the inputs with some fields replaced.

        Args:
            **changes: New values by the name of the field.

        Returns:
            New inputs; these are not changed.
        """
        return dataclasses.replace(self, **changes)

    def to(self, device: torch.device) -> ModelInputs:
        """Copy the inputs to a device; from pinned memory, the copy runs while the host goes on.

        Args:
            device: The device; tensors that are on it already are not copied.

        Returns:
            The inputs with all tensors on ``device``.
        """
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> ModelInputs:
        """Copy the inputs to page-locked memory, from which a CUDA device copies on its own."""
        return self._each(torch.Tensor.pin_memory)

    @cached_property
    def _cell(self) -> Int64[Tensor, " visit"]:
        """Position of each visit in the padded view with its first two axes joined."""
        visits, device = len(self.slot), self.slot.device
        starts = self.visits_per_row.cumsum(0) - self.visits_per_row
        # Without output_size a CUDA device would have to tell the host the sum of the repeats.
        shift = torch.repeat_interleave(
            torch.arange(self.rows, device=device) * self.longest - starts, self.visits_per_row, output_size=visits
        )
        return torch.arange(visits, device=device) + shift

    def _each(self, move: Callable[[Tensor], Tensor]) -> ModelInputs:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return self.replace(**{name: move(value) for name, value in fields.items() if isinstance(value, Tensor)})


class ModelSizes(NamedTuple):
    """What the prepared data require of a model.

    Attributes:
        vocabulary_size: Number of embeddings, those of padding and of unknown codes included.
        fused_codes: Numbers in the vocabulary of the codes that say in which bin a value lies.
        added_columns: Number of columns of code groups and of values, which a model reads after the features that its
            config names.
        intervals: Number of intervals of the landmark clock or the days clock; None on the visit clock.
        prediction_features: Number of numbers of a prediction time on the days clock; 0 on the other clocks.
    """

    vocabulary_size: int
    fused_codes: tuple[int, ...] = ()
    added_columns: int = 0
    intervals: int | None = None
    prediction_features: int = 0


@runtime_checkable
class SurvivalModel(Protocol):
    """Protocol of a model, a swap point: ``model`` of the config names any ``torch.nn.Module`` that fulfils it.

    The constructor is called with keyword arguments only: the settings of the config's section ``model``, and four
    values that are known when the data are prepared. A class must take all four by these names:

    - ``vocabulary_size`` (int): number of codes, those of padding (0) and of unknown codes (1) included;
    - ``visit_features`` (int): number of columns of ``ModelInputs.visit_features``. The config's key of that name lists
      the first ones; a section without it has none of these. The columns of code groups and of values come after them;
    - ``intervals`` (int or None): number K of intervals of the landmark clock or the days clock; None on the visit
      clock;
    - ``mean_hazard`` (sequence of floats): mean hazard of the training subjects, between 0 and 1: one value on the
      visit clock, K values on the other clocks. A model that starts there need not learn it.

    On the days clock a fifth one is passed, ``prediction_features`` (int): number of columns of
    ``ModelInputs.prediction_features``, which join the state at a prediction time.

    Hazards are ``sigmoid(logit)``. On the visit clock the logit of a visit is that of the step from this visit to the
    next one, so it may depend on this visit and earlier ones of the same row only. On the landmark clock a row ends at
    the landmark, and its logits may depend on all of it. On the days clock a row has many prediction times: the logits
    of each depend on the visits up to ``ModelInputs.last_slot`` and on its numbers. Logits must not depend on other
    rows or on padding. Training checks all of this first (``survlstm.training.model_checks``).

    Four parts are optional. A model with a linear part can start from a regression (``LinearStart``). A model with a
    state at each visit can have auxiliary losses and a pretrained encoder (``VisitEncoder``). A model whose codes pass
    through one ``survlstm.models.layers.VisitEmbedding`` can be explained. A model that reads its visits by ``pad`` and
    uses operators that ONNX has can be exported to it.
    """

    def __call__(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the hazards of a batch.

        Args:
            inputs: The visits of the batch.

        Returns:
            Logits, of any floating type. On the visit clock shape (slot,), such as ``inputs.flatten(logits)`` of padded
            logits; those in slots of padding are not used. On the landmark clock shape (row, interval), on the days
            clock (prediction, interval).
        """


class LinearPart(NamedTuple):
    """Coefficients of a regression of the log-odds of the hazard::

        logit h = bias of the interval + u · numbers + Σ v[c] log(1 + n) + Σ z[c] log(1 + m)

    where n is the count of code c in the visit and m its count in the record up to the visit.

    Attributes:
        bias: One value on the visit clock, one per interval on the other clocks.
        visit_features: u of ``ModelInputs.visit_features``.
        prediction_features: u of ``ModelInputs.prediction_features``; empty on the other clocks.
        visit_codes: v of each vocabulary entry.
        record_codes: z of each vocabulary entry.
    """

    bias: Float[Tensor, " interval"]
    visit_features: Float[Tensor, " feature"]
    prediction_features: Float[Tensor, " prediction_feature"]
    visit_codes: Float[Tensor, " vocabulary"]
    record_codes: Float[Tensor, " vocabulary"]


@runtime_checkable
class LinearStart(Protocol):
    """Protocol of a model with a linear part, which training starts at a regression on the training subjects.

    The model before its first epoch is then a candidate as any epoch is. The report shows how much of the likelihood
    each part gives.
    """

    def set_linear_part(self, part: LinearPart) -> None:
        """Set the linear part.

        Args:
            part: The coefficients.
        """

    def linear_logits(self, inputs: ModelInputs) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits of the linear part alone.

        Args:
            inputs: The visits of the batch.

        Returns:
            Logits of the shape that the model returns.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of parameters for the optimizer: the linear part is the second one.

        Returns:
            Each with its parameters and the settings that differ from those of the optimizer.
        """


@runtime_checkable
class VisitEncoder(Protocol):
    """Protocol of a model that computes a state at each visit, and its logits from the states.

    Such a model can be trained with auxiliary losses on the next visit (``survlstm.training.auxiliary``), and its
    encoder can start at the weights of another model (``pretrain``).

    Attributes:
        state_size: Number of values of a state.
    """

    state_size: int

    def encode(self, inputs: ModelInputs) -> Float[Tensor, "slot state"]:
        """Compute the state at each visit.

        Args:
            inputs: The visits of the batch.

        Returns:
            State of each slot, which depends on the visits of its row up to the slot's; shape (slot, state).
        """

    def hazard_logits(
        self, states: Float[Tensor, "slot state"], inputs: ModelInputs
    ) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits that the model returns.

        Args:
            states: Result of ``encode``.
            inputs: The visits of the batch.

        Returns:
            Logits of the shape that the model returns.
        """

    def encoder_weights(self) -> dict[str, Any]:
        """Return the parameters of ``encode`` by their name in the model's ``state_dict``.

        ``CODE_WEIGHTS`` is one of them: the embeddings, one row for each vocabulary entry.
        """


# Name of the embeddings among the weights of a ``VisitEncoder``.
CODE_WEIGHTS = "embedding.weight"
# Names of the constructor's arguments that are known when the data are prepared.
RUN_TIME_ARGUMENTS = ("vocabulary_size", "visit_features", "intervals", "mean_hazard")
# One more on the days clock.
DAYS_ARGUMENT = "prediction_features"
