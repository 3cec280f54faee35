"""An ensemble of one model with different initial weights, trained at once and used as a single model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from survlstm.models.keyed_dropout import member_keys
from survlstm.models.layers import CodeEmbedding, embedding_of
from survlstm.models.protocol import LinearPart, LinearStart, ModelInputs


class SurvivalEnsemble(nn.Module):
    """Members of one class, whose mean hazard is the hazard of the ensemble.

    The members read the same batches in training, each with dropout masks of its own, and each has a loss of its own:
    a member is trained as it would be alone. Memory and time grow with the number of members.

    Args:
        members: The models, in training mode or not, which differ in their weights only.

    Attributes:
        members: The models.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: ModelInputs) -> Float[Tensor, "member ..."] | Float[Tensor, ...]:
        """Compute the logits of the members in training mode, and those of the mean hazard in evaluation mode.

        Args:
            inputs: The visits of the batch. Where ``embedded`` is set, it has the columns of ``joined_embedding``.

        Returns:
            Logits of the shape that ``survlstm.models.protocol.SurvivalModel`` asks for; in training mode with a first
            axis of the members.
        """
        logits = torch.stack(
            [member(own) for member, own in zip(self.members, self._inputs_of_members(inputs), strict=True)]
        )
        return logits if self.training else mean_hazard_logits(logits)

    @cached_property
    def joined_embedding(self) -> JoinedEmbedding:
        """The embeddings of the members as one layer, by which the ensemble is explained and exported to ONNX."""
        return JoinedEmbedding([embedding_of(member) for member in self.members])

    def _inputs_of_members(self, inputs: ModelInputs) -> list[ModelInputs]:
        found = []
        for number in range(len(self.members)):
            own = inputs
            if inputs.dropout_key is not None:
                own = own.replace(dropout_key=member_keys(inputs.dropout_key, number))
            if inputs.embedded is not None:
                own = own.replace(embedded=self.joined_embedding.of_member(inputs.embedded, number))
            found.append(own)
        return found


class LinearStartEnsemble(SurvivalEnsemble):
    """An ensemble whose members have a linear part; all of them start from the same regression."""

    members: Any

    @property
    def grad_clip(self) -> float | None:
        """Largest norm of the gradients of each member, in place of the trainer's."""
        limit: float | None = self.members[0].grad_clip
        return limit

    def set_linear_part(self, part: LinearPart) -> None:
        """Set the linear part of each member, see ``survlstm.models.protocol.LinearStart``."""
        for member in self.members:
            member.set_linear_part(part)

    def linear_logits(self, inputs: ModelInputs) -> Float[Tensor, ...]:
        """Compute the logits of the mean hazard of the members' linear parts."""
        own = self._inputs_of_members(inputs)
        return mean_hazard_logits(
            torch.stack([member.linear_logits(each) for member, each in zip(self.members, own, strict=True)])
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of one member, with the parameters of all members."""
        of_members = zip(*(member.parameter_groups() for member in self.members), strict=True)
        return [
            groups[0] | {"params": [parameter for group in groups for parameter in group["params"]]}
            for groups in of_members
        ]


class JoinedEmbedding:
    """The embedding layers of the members of an ensemble, with their columns side by side.

    The embeddings of all members come first. They are followed by the columns that a subclass adds to
    ``VisitEmbedding.rows``, such as the effects of counts in ``CountedEmbedding``.

    Args:
        layers: The layer of each member, all of the same sizes.
    """

    def __init__(self, layers: Sequence[CodeEmbedding]) -> None:
        self._layers = tuple(layers)
        self._embedding, self._columns = layers[0].embedding_dim, layers[0].rows.shape[1]
        self.num_embeddings = layers[0].num_embeddings
        self.embedding_dim = len(layers) * self._embedding

    @property
    def is_fused(self) -> Bool[Tensor, " vocabulary"]:
        """Whether each number of the vocabulary is a fused code."""
        return self._layers[0].is_fused

    @property
    def weight(self) -> Float[Tensor, "vocabulary embedding"]:
        """The embeddings of each code in all members."""
        return torch.cat([layer.weight for layer in self._layers], dim=1)

    @property
    def rows(self) -> Float[Tensor, "vocabulary column"]:
        """See ``VisitEmbedding.rows``."""
        return self._joined([layer.rows for layer in self._layers])

    @property
    def mean_columns(self) -> int:
        """See ``VisitEmbedding.mean_columns``."""
        return sum(layer.mean_columns for layer in self._layers)

    def entry_weights(
        self, codes: Int64[Tensor, " entry"], visit: Int64[Tensor, " entry"]
    ) -> Float[Tensor, "entry column"]:
        """See ``VisitEmbedding.entry_weights``; they are the same for all members."""
        of_member = self._layers[0].entry_weights(codes, visit).expand(-1, self._columns)
        return self._joined([of_member] * len(self._layers))

    def embed_grid(self, codes: Int64[Tensor, "row visit code"]) -> Float[Tensor, "row visit column"]:
        """See ``VisitEmbedding.embed_grid``."""
        return self._joined([layer.embed_grid(codes) for layer in self._layers])

    def of_member(self, embedded: Float[Tensor, "slot column"], number: int) -> Float[Tensor, "slot own_column"]:
        """Select the columns of one member.

        Args:
            embedded: What ``ModelInputs.embedded`` holds for the ensemble.
            number: Number of the member.

        Returns:
            What it holds for the member.
        """
        others = self._columns - self._embedding
        begin = self.embedding_dim + number * others
        own = embedded[:, number * self._embedding : (number + 1) * self._embedding]
        return torch.cat([own, embedded[:, begin : begin + others]], dim=1)

    def _joined(self, of_members: Sequence[Tensor]) -> Tensor:
        embeddings = [values[..., : self._embedding] for values in of_members]
        return torch.cat([*embeddings, *(values[..., self._embedding :] for values in of_members)], dim=-1)


def join_members(members: Sequence[nn.Module]) -> SurvivalEnsemble:
    """Make an ensemble.

    Args:
        members: Models that differ in their weights only.

    Returns:
        The ensemble; with a linear start if the members have one.
    """
    has_start = isinstance(members[0], LinearStart)
    return LinearStartEnsemble(members) if has_start else SurvivalEnsemble(members)


def mean_hazard_logits(logits: Float[Tensor, "member ..."]) -> Float[Tensor, ...]:
    """Compute the log-odds of the mean over members of sigmoid(logit).

    They are log Σ h - log Σ (1 - h), from the logarithms of h and 1 - h. The mean of the hazards itself would round to
    0 or 1 for large logits.

    Args:
        logits: Log-odds of each member.

    Returns:
        Log-odds, between the smallest and the largest of the members.
    """
    # logsigmoid(x) = -softplus(-x). The operator of ONNX for logsigmoid is log(sigmoid(x)), which is not finite below
    # -104 in single precision.
    log_hazard, log_survival = -nn.functional.softplus(-logits), -nn.functional.softplus(logits)
    return log_hazard.logsumexp(dim=0) - log_survival.logsumexp(dim=0)


def separate_models(model: nn.Module) -> Iterable[nn.Module]:
    """Return the parts of a model that are trained independently: the members of an ensemble, or the model itself."""
    return model.members if isinstance(model, SurvivalEnsemble) else [model]
