"""Embedding of the counts of the codes of a visit, and their linear effects, without a column for each code."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from survlstm.models.layers import VisitEmbedding
from survlstm.models.protocol import ModelInputs

# Columns that the counts add to the embedding of a visit: the effect of the visit and that of the record.
COUNT_COLUMNS = 2


class CountedEmbedding(VisitEmbedding):
    """Embedding of the counts of a visit, with the linear effects of the counts of the visit and of the record.

    The embedding of a visit is the sum over its codes of log(1 + count) times the embedding of the code, for fused
    codes as for others. The mean of ``VisitEmbedding`` would dilute each code of a visit with many codes.

    A regression on log(1 + count) of every code has one column for each code. Here each entry of a record adds its
    share instead. The n-th entry of a code adds log((n + 1) / n) times the weight of the code, and the shares of n
    entries add up to log(1 + n) times the weight. The cost is linear in the number of entries.

    Args:
        vocabulary_size: Number of codes, those of padding (0) and of unknown codes (1) included.
        embedding_dim: Size of the embedding of a code.
        visit_features: Number of numbers beside the codes of a visit.

    Attributes:
        visit_count: Effect of each code's count in a visit; shape (vocabulary,).
        record_count: Effect of each code's count in the record up to a visit; shape (vocabulary,).
    """

    def __init__(self, vocabulary_size: int, embedding_dim: int, visit_features: int) -> None:
        super().__init__(vocabulary_size, embedding_dim, visit_features)
        self.visit_count, self.record_count = (nn.Parameter(torch.zeros(vocabulary_size)) for _ in range(COUNT_COLUMNS))

    @property
    def rows(self) -> Float[Tensor, "vocabulary column"]:
        """The embedding of each code, followed by its two effects."""
        return torch.cat([self.weight, self.visit_count[:, None], self.record_count[:, None]], dim=1)

    @property
    def mean_columns(self) -> int:
        """0: all columns of a visit are sums."""
        return 0

    def entry_weights(
        self, codes: Int64[Tensor, " entry"], visit: Int64[Tensor, " entry"]
    ) -> Float[Tensor, "entry column"]:
        """Return the weight of each entry's row in that of its visit, see ``VisitEmbedding.entry_weights``."""
        in_visit, in_record = (shares_of_log_count(codes, group)[:, None] for group in (visit, torch.zeros_like(visit)))
        return torch.cat([in_visit.expand(-1, self.embedding_dim + 1), in_record], dim=1)

    def embed_grid(self, codes: Int64[Tensor, "row visit code"]) -> Float[Tensor, "row visit column"]:
        """Embed visits in a padded grid of codes, see ``VisitEmbedding.embed_grid``."""
        in_record = _shares_in_grid(codes.flatten(1), self.num_embeddings).view_as(codes)
        in_visit = _shares_in_grid(codes.flatten(0, 1), self.num_embeddings).view_as(codes)
        of_visit = torch.cat([self.weight, self.visit_count[:, None]], dim=1)
        sums = [
            (nn.functional.embedding(codes, columns) * (shares * (codes != 0)).unsqueeze(3)).sum(dim=2)
            for columns, shares in ((of_visit, in_visit), (self.record_count[:, None], in_record))
        ]
        return torch.cat(sums, dim=2)

    def forward(self, inputs: ModelInputs) -> Float[Tensor, "slot unit"]:  # type: ignore[override]
        """Embed the visits of a batch without the effects of the counts.

        Args:
            inputs: The visits of the batch. Where ``embedded`` is set, it has the columns of ``rows``.

        Returns:
            The embedding of each slot; shape (slot, size).
        """
        if inputs.embedded is None:
            embedded = self._sums(self.weight, inputs, shares_of_log_count(inputs.codes, inputs.code_slot))
        else:
            embedded = inputs.embedded[:, : self.embedding_dim]
        return torch.cat([embedded, inputs.visit_features], dim=1)

    def count_effect(self, inputs: ModelInputs) -> Float[Tensor, " slot"]:
        """Compute the effect of all counts at each visit.

        Args:
            inputs: The visits of the batch.

        Returns:
            Sum over the codes c of v[c] log(1 + count in the visit) + z[c] log(1 + count in the record so far), where v
            is ``visit_count`` and z is ``record_count``; shape (slot,).
        """
        if inputs.embedded is None:
            slot = inputs.code_slot
            groups = slot, inputs.slot_row[slot]
            in_visit, in_record = (
                self._sums(effect[:, None], inputs, shares_of_log_count(inputs.codes, group)).squeeze(1)
                for effect, group in zip((self.visit_count, self.record_count), groups, strict=True)
            )
        else:
            in_visit, in_record = inputs.embedded[:, self.embedding_dim :].unbind(dim=1)
        return in_visit + inputs.flatten(running_sum(inputs.pad(in_record)))

    def _sums(
        self, rows: Float[Tensor, "vocabulary column"], inputs: ModelInputs, shares: Float[Tensor, " entry"]
    ) -> Float[Tensor, "slot column"]:
        return embedding_bag(
            inputs.codes,
            rows,
            inputs.code_offsets,
            mode="sum",
            per_sample_weights=shares.to(rows.dtype),
            padding_idx=0,
        )


def shares_of_log_count(codes: Int[Tensor, " entry"], group: Int[Tensor, " entry"]) -> Float[Tensor, " entry"]:
    """Divide log(1 + count) among the entries of a code in a group, in their order.

    Args:
        codes: Code of each entry.
        group: Group of each entry, such as its visit.

    Returns:
        log((n + 1) / n) for the n-th entry of its code in its group, so that the first n of them add up to log(n + 1).
    """
    if not len(codes):
        return torch.zeros(0, device=codes.device)
    key = group.long() * 2**31 + codes
    key, order = torch.sort(key, stable=True)
    place = torch.arange(len(key), device=key.device)
    begins = torch.ones_like(key, dtype=torch.bool)
    begins[1:] = key[1:] != key[:-1]
    first = torch.cummax(torch.where(begins, place, 0), dim=0).values
    number = torch.empty_like(place)
    number[order] = place - first + 1
    return torch.log1p(1 / number)


def running_sum(values: Float[Tensor, "row visit"]) -> Float[Tensor, "row visit"]:
    """Sum the values of a row up to each visit, in a form that is deterministic on every device.

    ``torch.cumsum`` has no deterministic kernel on CUDA, where ``blocked_running_sum`` is used.

    Args:
        values: Values of each visit; shape (row, visit).

    Returns:
        Sums of the same shape.
    """
    return blocked_running_sum(values) if values.device.type == "cuda" else values.cumsum(dim=1)


def blocked_running_sum(values: Float[Tensor, "row visit"]) -> Float[Tensor, "row visit"]:
    """Compute ``running_sum`` by matrix products.

    The visits are divided into blocks of about the square root of their number. Triangular products sum within the
    blocks and over them, which costs the power 1.5 of the number of visits.

    Args:
        values: Values of each visit; shape (row, visit).

    Returns:
        Sums of the same shape.
    """
    visits = values.shape[1]
    size = max(1, round(visits**0.5))
    blocks = nn.functional.pad(values, (0, -visits % size)).unflatten(1, (-1, size))
    within = blocks @ _upper(size, values, diagonal=0)
    before = within[:, :, -1] @ _upper(blocks.shape[1], values, diagonal=1)
    return (within + before[:, :, None]).flatten(1)[:, :visits]


def _upper(size: int, like: Tensor, *, diagonal: int) -> Float[Tensor, "from to"]:
    return torch.ones(size, size, dtype=like.dtype, device=like.device).triu(diagonal)


def _shares_in_grid(codes: Int64[Tensor, "group entry"], vocabulary_size: int) -> Float[Tensor, "group entry"]:
    """Compute ``shares_of_log_count`` in rows of codes, with operators that ONNX has.

    The entries of a row are ordered by their codes. The place of an entry minus the number of entries with smaller
    codes is its number among those of its code.
    """
    # ONNX has no stable sort; keys that hold the place as well are all different.
    entries = codes.shape[1]
    order = torch.sort(codes * entries + torch.arange(entries), dim=1).indices
    ordered = codes.gather(1, order)
    counts = torch.zeros(codes.shape[0], vocabulary_size, dtype=torch.int64).scatter_add(
        1, codes, torch.ones_like(codes)
    )
    smaller = counts.cumsum(dim=1) - counts
    number = torch.ones_like(ordered).cumsum(dim=1) - smaller.gather(1, ordered)
    return torch.log1p(1 / torch.zeros_like(number).scatter(1, order, number))
