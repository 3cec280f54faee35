"""Copy the encoder of one model into another one, with embeddings matched by code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from survlstm.models.protocol import CODE_WEIGHTS, VisitEncoder
from survlstm.utils.errors import ConfigError


class CopiedCodes(NamedTuple):
    """Counts of the codes of a model whose encoder was copied from another one.

    Attributes:
        copied: Number of codes that both vocabularies have.
        new: Number of codes that only the model has; their embeddings keep their initial values.
        unused: Number of codes that only the other model has.
    """

    copied: int
    new: int
    unused: int

    def __str__(self) -> str:
        return (
            f"embeddings of {self.copied:,} codes copied; {self.new:,} codes are new and start at random, "
            f"{self.unused:,} of the pretrained ones do not occur"
        )


@torch.no_grad()
def copy_encoder(
    model: VisitEncoder, weights: Mapping[str, Tensor], *, codes: Sequence[str], pretrained_codes: Sequence[str]
) -> CopiedCodes:
    """Set the encoder of a model to that of another one.

    The recurrent weights are copied, and the embedding of each code that both vocabularies have.

    Args:
        model: The model, which is changed.
        weights: Weights of the other model's encoder by name, see ``VisitEncoder.encoder_weights``.
        codes: Vocabulary of the model, padding and the unknown code included.
        pretrained_codes: Vocabulary of the other model.

    Returns:
        Counts of the codes, without padding and the unknown code.

    Raises:
        ConfigError: The encoders differ in their sizes.
    """
    own = model.encoder_weights()
    sizes, others = ({name: _size(name, weight) for name, weight in each.items()} for each in (own, weights))
    if sizes != others:
        differing = sorted(name for name in sizes.keys() | others.keys() if sizes.get(name) != others.get(name))
        name = differing[0]
        raise ConfigError(
            f"pretrain must be an encoder of the model's sizes; {len(differing)} weights differ, such as {name}: "
            f"{others.get(name, 'none')} there, {sizes.get(name, 'none')} here. Set model.embedding_dim, "
            "model.hidden_dim, model.num_layers and the inputs (model.visit_features, data.code_groups, data.values) "
            "as in its config"
        )
    numbers = {code: number for number, code in enumerate(pretrained_codes)}
    pairs = [(number, numbers[code]) for number, code in enumerate(codes) if code in numbers]
    for name, weight in own.items():
        if name != CODE_WEIGHTS:
            weight.copy_(weights[name])
            continue
        to, of = torch.tensor(pairs).T
        weight[to] = weights[name][of].to(weight)
    # Padding and the unknown code are in every vocabulary.
    copied = len(pairs) - 2
    return CopiedCodes(copied, len(codes) - 2 - copied, len(pretrained_codes) - 2 - copied)


def _size(name: str, weight: Tensor) -> list[int]:
    """Return the shape that two encoders must share; the number of codes may differ."""
    return list(weight.shape[1:] if name == CODE_WEIGHTS else weight.shape)
