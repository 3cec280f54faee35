"""Layers that most models share: the embedding of a visit, and the last layer, which gives logits on either clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn

from survlstm.models.protocol import ModelInputs
from survlstm.utils.errors import ConfigError


class VisitEmbedding(nn.EmbeddingBag):
    """Embedding of a visit: the mean of the embeddings of its codes, joined with its numbers.

    Fused codes, which say in which bin a value lies, have a mean of their own, and the two means are added. In one
    mean, a visit with many codes would leave little of a single value. The mean of no codes is 0. A model whose codes
    pass through one such layer can be explained.

    Args:
        vocabulary_size: Number of codes, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of the embedding of a code.
        visit_features: Number of numbers beside the codes of a visit.

    Attributes:
        size: Number of values of an embedded visit, ``embedding_dim + visit_features``.
        is_fused: Whether each number of the vocabulary is a fused code; shape (vocabulary,). It is no weight and in no
            file: ``survlstm.models.factory.build_model`` sets it.
    """

    is_fused: Bool[Tensor, " vocabulary"]

    def __init__(self, vocabulary_size: int, embedding_dim: int, visit_features: int) -> None:
        super().__init__(vocabulary_size, embedding_dim, mode="mean", padding_idx=0)
        self.size = embedding_dim + visit_features
        self.register_buffer("is_fused", torch.zeros(vocabulary_size, dtype=torch.bool), persistent=False)
        self._has_fused = False

    def set_fused(self, numbers: Sequence[int]) -> None:
        """Set which codes are fused.

        Args:
            numbers: Their numbers in the vocabulary.
        """
        self.is_fused[list(numbers)] = True
        self._has_fused = len(numbers) > 0

    @property
    def rows(self) -> Float[Tensor, "vocabulary column"]:
        """The values of each code of which those of a visit are weighted sums; see ``entry_weights``."""
        return self.weight

    @property
    def mean_columns(self) -> int:
        """Number of the first columns of ``rows`` of which a visit has the mean; of the others it has a sum."""
        return self.embedding_dim

    def entry_weights(
        self, codes: Int64[Tensor, " entry"], visit: Int64[Tensor, " entry"]
    ) -> Float[Tensor, "entry column"]:
        """Return the weights of the entries of one record in the sum of their visit.

        Args:
            codes: Code of each entry.
            visit: Index of the visit of each entry, from 0, rising.

        Returns:
            1/n, where n is the number of fused codes in the visit for a fused code, and of other codes for another one;
            one column for all columns of ``rows``, or one for each.
        """
        group = 2 * visit + self.is_fused[codes]
        return (1 / torch.bincount(group)[group])[:, None]

    def embed_grid(self, codes: Int64[Tensor, "row visit code"]) -> Float[Tensor, "row visit column"]:
        """Embed visits whose codes lie in a padded grid, with operators that ONNX has.

        ONNX has no EmbeddingBag that leaves padding out of a mean.

        Args:
            codes: Numbers of the codes in the vocabulary, 0 for no code.

        Returns:
            What ``ModelInputs.embedded`` holds of each visit.
        """
        is_fused = self.is_fused[codes].unsqueeze(3)
        is_other = (codes != 0).unsqueeze(3) & ~is_fused
        embedded = nn.functional.embedding(codes, self.weight)
        others = (embedded * is_other).sum(dim=2) / is_other.sum(dim=2).clamp(min=1)
        fused = (embedded * is_fused).sum(dim=2) / is_fused.sum(dim=2).clamp(min=1)
        return others + fused

    def forward(self, inputs: ModelInputs) -> Float[Tensor, "slot unit"]:  # type: ignore[override]
        """Embed the visits of a batch.

        Args:
            inputs: The visits of the batch.

        Returns:
            The embedding of each slot; shape (slot, size). ``inputs.pad`` of it is [row, visit, size].
        """
        embedded = inputs.embedded
        if embedded is None:
            embedded = self._embed(inputs.codes, inputs.code_offsets)
        return torch.cat([embedded, inputs.visit_features], dim=1)

    def _embed(self, codes: Int[Tensor, " code"], offsets: Int[Tensor, " slot"]) -> Float[Tensor, "slot embedding"]:
        if not self._has_fused:
            return super().forward(codes, offsets)
        # The number 0 is left out of a mean.
        is_fused = self.is_fused[codes]
        others = super().forward(codes.masked_fill(is_fused, 0), offsets)
        fused = super().forward(codes.masked_fill(~is_fused, 0), offsets)
        return others + fused


@runtime_checkable
class CodeEmbedding(Protocol):
    """What explanations and ONNX read of the layer through which the codes pass, see ``VisitEmbedding``."""

    num_embeddings: int
    embedding_dim: int

    @property
    def is_fused(self) -> Bool[Tensor, " vocabulary"]:
        """Whether each number of the vocabulary is a fused code."""

    @property
    def weight(self) -> Float[Tensor, "vocabulary embedding"]:
        """Embedding of each code, the first ``embedding_dim`` columns of ``rows``."""

    @property
    def rows(self) -> Float[Tensor, "vocabulary column"]:
        """See ``VisitEmbedding.rows``."""

    @property
    def mean_columns(self) -> int:
        """See ``VisitEmbedding.mean_columns``."""

    def entry_weights(
        self, codes: Int64[Tensor, " entry"], visit: Int64[Tensor, " entry"]
    ) -> Float[Tensor, "entry column"]:
        """See ``VisitEmbedding.entry_weights``."""

    def embed_grid(self, codes: Int64[Tensor, "row visit code"]) -> Float[Tensor, "row visit column"]:
        """See ``VisitEmbedding.embed_grid``."""


@runtime_checkable
class JoinsEmbeddings(Protocol):
    """A model whose codes pass through several layers that read the same codes."""

    @property
    def joined_embedding(self) -> CodeEmbedding:
        """The layers as one."""


def embedding_of(model: nn.Module) -> CodeEmbedding:
    """Find the layer through which the codes of a model pass.

    Args:
        model: The model.

    Returns:
        Its only ``VisitEmbedding``; those of an ensemble as one layer.

    Raises:
        ConfigError: The model has none, or several.
    """
    if isinstance(model, JoinsEmbeddings):
        return model.joined_embedding
    found = [layer for layer in model.modules() if isinstance(layer, VisitEmbedding)]
    if len(found) != 1:
        raise ConfigError(
            "a model must pass its codes through one survlstm.models.layers.VisitEmbedding to be explained or exported "
            f"to ONNX; {type(model).__name__} has {len(found)}. Use that layer in the model"
        )
    return found[0]


class HazardHead(nn.Module):
    """Linear layer from the state of a visit to the logit of its hazard, on either clock.

    On the visit clock every visit has one logit. On the landmark clock every row has one per interval, all from the
    state at its last visit; on the days clock every prediction time has, from the state at its last visit and its own
    numbers. At first every hazard is near the mean hazard.

    Args:
        states: Number of values of a state.
        intervals: Number of intervals of the landmark clock or the days clock; None on the visit clock.
        mean_hazard: Mean hazards of the training subjects, between 0 and 1: one value on the visit clock, one per
            interval on the other clocks.
        prediction_features: Number of numbers of a prediction time, on the days clock.
    """

    def __init__(
        self, states: int, *, intervals: int | None, mean_hazard: Sequence[float], prediction_features: int = 0
    ) -> None:
        super().__init__()
        self.intervals = intervals
        self.logit = logit_layer(states + prediction_features, mean_hazard)

    def forward(
        self, states: Float[Tensor, "row visit state"], inputs: ModelInputs
    ) -> Float[Tensor, " slot"] | Float[Tensor, "prediction interval"]:
        """Compute the logits as ``survlstm.models.protocol.SurvivalModel`` asks for.

        Args:
            states: State of each visit, in the padded view; shape (row, visit, state). On the visit clock it may depend
                on this visit and earlier ones only.
            inputs: The inputs of the model.

        Returns:
            Logits, of shape (slot,) on the visit clock, (row, interval) on the landmark clock and (prediction,
            interval) on the days clock.
        """
        if self.intervals is None:
            return inputs.flatten(self.logit(states).squeeze(2))
        logits: Tensor = self.logit(inputs.with_prediction_features(inputs.at_last_visit(states)))
        return logits


def causal_mask(visits: Float[Tensor, "row visit unit"]) -> Bool[Tensor, "visit seen"]:
    """Return which visits a visit may depend on: itself and those before it.

    Args:
        visits: Values of visits in the padded view, for their number and device.

    Returns:
        True at [i, j] if j <= i; shape (visit, visit).
    """
    number = torch.arange(visits.shape[1], device=visits.device)
    return number <= number[:, None]


def logit_layer(states: int, mean_hazard: Sequence[float]) -> nn.Linear:
    """Make a linear layer whose bias is the logit of the mean hazard.

    A model that starts at the mean hazard of the training subjects needs no epochs to learn it.

    Args:
        states: Number of inputs.
        mean_hazard: Hazards between 0 and 1, both excluded; one per output.

    Returns:
        The layer, with the weights that torch draws.
    """
    logit = nn.Linear(states, len(mean_hazard))
    with torch.no_grad():
        logit.bias.copy_(log_odds_of(mean_hazard))
    return logit


def log_odds_of(hazard: Sequence[float]) -> Float[Tensor, " hazard"]:
    """Return the log-odds of hazards between 0 and 1, both excluded."""
    return torch.tensor([math.log(one / (1 - one)) for one in hazard])
