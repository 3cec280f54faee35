"""A model of the user's own is checked before training: each leak, each wrong shape and each error is found."""

import re

import pytest
import torch
from torch import nn

from survlstm.models.layers import HazardHead, VisitEmbedding
from survlstm.survival.loss import nll_per_step
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.model_checks import check_model
from survlstm.utils.errors import ConfigError
from tests.learning import CPU, batches_of, model_for, prepared_on


class Sound(nn.Module):
    """A GRU as a user would write it."""

    directions = 1

    def __init__(self, prepared):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = VisitEmbedding(len(prepared.vocabulary), 8, 5)
        self.gru = nn.GRU(self.embedding.size, 8, batch_first=True, bidirectional=self.directions == 2)
        intervals = prepared.preprocessing.intervals
        self.head = HazardHead(
            8 * self.directions,
            intervals=intervals,
            mean_hazard=initial_hazard(prepared.tensors),
            prediction_features=prepared.preprocessing.sizes.prediction_features,
        )

    def states(self, inputs):
        return self.gru(inputs.pad(self.embedding(inputs)))[0]

    def forward(self, inputs):
        return self.head(self.states(inputs), inputs)


class ReadsBothWays(Sound):
    """A GRU in both directions, which leaves padding out."""

    directions = 2

    def states(self, inputs):
        visits, lengths = inputs.pad(self.embedding(inputs)), inputs.visits_per_row
        packed = nn.utils.rnn.pack_padded_sequence(visits, lengths, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class ReadsPadding(Sound):
    directions = 2


class ReadsBothWaysBehindZeros(ReadsBothWays):
    """The last layer starts at 0, so that the leak does not show before a step of training."""

    def __init__(self, prepared):
        super().__init__(prepared)
        nn.init.zeros_(self.head.logit.weight)


class KnowsTheLength(Sound):
    def states(self, inputs):
        return super().states(inputs) * inputs.visits_per_row[:, None, None].log1p()


class KnowsTheLastDay(Sound):
    def states(self, inputs):
        return super().states(inputs) + inputs.pad(inputs.visit_days).amax(dim=1)[:, None, None] / 1e4


class Normalises(Sound):
    """Centres states by the first visits of the batch, so that a subject's hazards depend on its neighbours."""

    def states(self, inputs):
        states = super().states(inputs)
        return states - states[:, :1].mean(dim=0, keepdim=True)


class ReturnsPadded(Sound):
    def forward(self, inputs):
        return self.head.logit(self.states(inputs)).squeeze(2)


class ReturnsNothing(Sound):
    def forward(self, inputs):
        return None


class NotFinite(Sound):
    def forward(self, inputs):
        return super().forward(inputs) / 0


class Raises(Sound):
    def forward(self, inputs):
        raise KeyError("spam")


def check(kind, clock="visit", **options):
    prepared = prepared_on(clock)
    model = kind(prepared)
    check_model(model, batches_of(prepared, **options), CPU, vocabulary_size=len(prepared.vocabulary))
    return model


@pytest.mark.parametrize("clock", ["visit", "landmark", "days"])
@pytest.mark.parametrize("max_visits", [None, 4])
@pytest.mark.parametrize("kind", [Sound, model_for])
def test_a_sound_model_passes_and_is_not_changed(kind, max_visits, clock):
    before = kind(prepared_on(clock)).train()
    after = check(kind, clock, max_visits=max_visits)
    assert after.training
    for one, other in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("clock", ["visit", "days"])
@pytest.mark.parametrize("kind", [ReadsBothWays, ReadsBothWaysBehindZeros, KnowsTheLength, KnowsTheLastDay])
def test_a_model_that_knows_the_future_is_refused(kind, clock):
    said = r"must not depend on later visits; \d+ of \d+ hazards of {} moved, by up to [\d.e-]+, when .*clock=landmark"
    with pytest.raises(ConfigError, match=said.format(kind.__name__)):
        check(kind, clock)


@pytest.mark.parametrize("kind", [ReadsBothWays, KnowsTheLength])
def test_on_the_landmark_clock_the_whole_row_may_be_read(kind):
    check(kind, "landmark")


@pytest.mark.parametrize(
    ("kind", "clock"),
    [(Normalises, "visit"), (Normalises, "landmark"), (ReadsPadding, "landmark"), (Normalises, "days")],
)
def test_a_model_that_knows_its_neighbours_is_refused(kind, clock):
    said = r"must depend on one subject only; \d+ of \d+ hazards of {} moved, .*leave it out by inputs.is_visit"
    with pytest.raises(ConfigError, match=said.format(kind.__name__)):
        check(kind, clock)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            ReturnsPadded,
            r"must return logits of shape \(\d+,\), \[slot\], such as inputs.flatten of padded logits; Retu",
        ),
        (ReturnsNothing, "ReturnsNothing returned NoneType"),
        (NotFinite, "must return finite logits; NotFinite returned NaN or infinite values before training"),
        (Raises, "must read a batch of 8 subjects; Raises raised KeyError: 'spam'"),
    ],
)
def test_a_model_that_breaks_the_protocol_is_refused(kind, said):
    with pytest.raises(ConfigError, match=said):
        check(kind)


class OneRowPerSubject(Sound):
    """Reads the end of each row, as if a row had one prediction time."""

    def forward(self, inputs):
        return self.head.logit.bias.expand(inputs.rows, -1) + self.states(inputs).sum() * 0


def test_on_the_days_clock_every_prediction_time_has_logits():
    said = r"shape \(\d+, 5\), \[prediction, interval\], from the states at inputs\.last_slot; OneRow.* \(8, 5\)"
    with pytest.raises(ConfigError, match=said):
        check(OneRowPerSubject, "days")


def test_out_of_memory_is_not_taken_for_a_fault_of_the_model():
    def no_memory(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    class Large(Sound):
        forward = staticmethod(no_memory)

    with pytest.raises(torch.OutOfMemoryError, match=re.escape("Tried to allocate")):
        check(Large)


def test_the_head_starts_at_the_mean_hazard_on_both_clocks():
    for clock in ("visit", "landmark"):
        prepared = prepared_on(clock)
        model, batch = Sound(prepared), batches_of(prepared).collate(batches_of(prepared).members[:5])
        nn.init.zeros_(model.head.logit.weight)
        logits = model(batch.inputs)
        assert logits.shape == batch.at_risk.shape
        expected = torch.tensor(initial_hazard(prepared.tensors)).expand_as(logits)
        torch.testing.assert_close(logits.sigmoid()[batch.at_risk], expected[batch.at_risk])
        nll_per_step(logits, at_risk=batch.at_risk, event=batch.event).sum().backward()
