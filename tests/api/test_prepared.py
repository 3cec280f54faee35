"""Prepared data as torch datasets."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import survlstm
from survlstm.data.factory import build_batches
from survlstm.data.split import Split


def test_the_datasets_hold_every_subject_once(page):
    prepared, subjects = page["prepared"], page["prepared"].subjects
    rows = [subject.row for part in (prepared.train, prepared.val, prepared.test) for subject in part]
    assert sorted(rows) == list(range(len(subjects)))
    assert subjects["split"].value_counts().to_dict() == {"train": 46, "val": 7, "test": 7}
    for part in (prepared.train, prepared.val, prepared.test):
        for subject in part:
            found = subjects.iloc[subject.row]
            assert found["split"] == part.split.name.lower()
            assert subject[1:5] == tuple(found[name] for name in ("visits", "step", "event", "duration_days"))
    with pytest.raises(IndexError, match="out of bounds"):
        prepared.val[7]


def arrays_of(inputs):
    """The tensors in the inputs of a model, in their order."""
    values = inputs if isinstance(inputs, tuple) else vars(inputs).values()
    return [value.tolist() for value in values if isinstance(value, torch.Tensor)]


def test_a_loader_gives_the_batches_of_the_trainer(page):
    prepared = page["prepared"]
    (batch,) = DataLoader(prepared.val, batch_size=7, collate_fn=prepared.collate)
    batches = build_batches(prepared.config, prepared.data.tensors, Split.VAL)
    # The keys of dropout are random, and the only part that is.
    different = [
        one != other
        for one, other in zip(
            arrays_of(batch.inputs), arrays_of(batches.collate(prepared.val.members).inputs), strict=True
        )
    ]
    assert sum(different) == 1
    assert torch.equal(batch.at_risk, batches.collate(prepared.val.members).at_risk)
    assert batch.subjects == 7
    assert int(batch.event.sum()) == int(prepared.subjects.query("split == 'val'")["event"].sum())


def test_dropout_differs_between_batches_and_repeats_with_the_seed(page):
    prepared = page["prepared"]
    subjects = [prepared.train[number] for number in range(4)]

    def two_batches():
        torch.manual_seed(3)
        return [arrays_of(prepared.collate(subjects).inputs) for _ in range(2)]

    first, second = two_batches()
    assert sum(one != other for one, other in zip(first, second, strict=True)) == 1
    assert two_batches() == [first, second]


def test_a_new_model_begins_near_the_mean_hazard(page):
    prepared = page["prepared"]
    subjects = prepared.subjects.query("split == 'train'")
    mean = subjects["event"].sum() / (subjects["step"] + 1).sum()
    bias = prepared.build_model().head[3].bias.detach()
    assert float(torch.sigmoid(bias)) == pytest.approx(mean, rel=0.2)
    assert len(prepared.vocabulary) == len(prepared.vocabulary.entries)


def test_the_landmark_clock_has_labels_per_interval(workplace):
    prepared = survlstm.prepare(["experiment=smoke", "clock=landmark", "clock.visit=3", "clock.intervals=4"])
    batch = prepared.collate([prepared.train[0], prepared.train[1]])
    assert batch.at_risk.shape == (2, prepared.data.tensors.steps)
    assert np.array_equal(batch.at_risk.sum(dim=1), [prepared.train[0].step + 1, prepared.train[1].step + 1])


def test_prepare_takes_no_resume():
    with pytest.raises(survlstm.SurvlstmError, match="takes no resume"):
        survlstm.prepare(["resume=somewhere"])
