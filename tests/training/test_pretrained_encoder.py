"""copy_encoder: recurrent weights as they are, embeddings by code, and nothing else."""

import pytest
import torch

from survlstm.training.pretrained_encoder import copy_encoder
from survlstm.utils.errors import ConfigError
from tests.learning import batches_of, model_for, prepared_on
from tests.nested import nested_for
from tests.states import written_out


@pytest.fixture(scope="module")
def prepared():
    return prepared_on("visit")


@pytest.mark.parametrize("of", [model_for, nested_for])
def test_with_codes_in_another_order_the_states_are_those_of_the_pretrained_model(prepared, of):
    codes = list(prepared.vocabulary.entries)
    order = [0, 1, *range(len(codes) - 1, 1, -1)]
    source, model = of(prepared, seed=1).eval(), of(prepared, seed=2).eval()
    inputs = batches_of(prepared).collate(batches_of(prepared).members[:7]).inputs
    expected = source.encode(inputs)
    counts = copy_encoder(
        model, source.encoder_weights(), codes=[codes[number] for number in order], pretrained_codes=codes
    )
    assert counts == (len(codes) - 2, 0, 0)
    renumbered = torch.argsort(torch.tensor(order))[inputs.codes.long()].to(inputs.codes)
    torch.testing.assert_close(model.encode(inputs.replace(codes=renumbered)), expected)


def test_new_codes_keep_their_embeddings_and_the_head_its_weights(prepared):
    codes = list(prepared.vocabulary.entries)
    source, model = model_for(prepared, seed=1), model_for(prepared, seed=2)
    before = written_out(model.state_dict())
    counts = copy_encoder(
        model, source.encoder_weights(), codes=codes, pretrained_codes=[*codes[:5], "OTHER/1", "OTHER/2"]
    )
    assert counts == (3, len(codes) - 5, 2)
    after, given = written_out(model.state_dict()), written_out(source.state_dict())
    assert after["embedding.weight"][:5] == given["embedding.weight"][:5]
    assert after["embedding.weight"][5:] == before["embedding.weight"][5:]
    for name in before.keys() - {"embedding.weight"}:
        assert after[name] == (given if name.startswith("lstm.") else before)[name]


def test_an_encoder_of_another_size_is_refused_and_nothing_changes(prepared):
    codes = prepared.vocabulary.entries
    source, model = nested_for(prepared), model_for(prepared)
    before = written_out(model.state_dict())
    with pytest.raises(
        ConfigError, match=r"such as embedding.weight: \[6\] there, \[8\] here. Set model.embedding_dim"
    ):
        copy_encoder(model, source.encoder_weights(), codes=codes, pretrained_codes=codes)
    assert written_out(model.state_dict()) == before
