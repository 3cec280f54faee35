"""``split=dataset``: the assigned split is taken, and subjects without one are excluded and counted."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.cohort import Exclusion
from survlstm.data.events import SourceData, TableCount
from survlstm.data.factory import build_settings
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.prepare import prepare_uncached, refuse_empty_split
from survlstm.data.split import Split
from survlstm.runs.evaluation_settings import run_settings
from survlstm.utils.errors import CohortError
from tests.records import SETTINGS, events_of, random_records

BY_DATASET = replace(SETTINGS, split_by_dataset=True)
OUTCOME = FirstCodeOutcome(["X/7"])
SUBJECTS = 60


@dataclass(frozen=True)
class SplitSource:
    """Random records, and a split."""

    split: np.ndarray | None

    def files(self):
        return []

    def read(self):
        events = events_of(random_records(SUBJECTS, seed=1))
        count = TableCount("records", len(events), len(events), {}, {})
        return SourceData(events, (count,), (), self.split)


def assigned(*, unlisted=0):
    split = np.arange(SUBJECTS).astype(np.int8) % 3
    split[:unlisted] = -1
    return split


def test_the_split_is_that_of_the_dataset():
    split = assigned()
    prepared = prepare_uncached(SplitSource(split), OUTCOME, BY_DATASET)
    tensors = prepared.tensors
    # The names of the records are their numbers.
    assert tensors.split.tolist() == [split[int(name[1:])] for name in tensors.subject_id]
    assert {int(part) for part in tensors.split} == set(Split)
    assert prepared.flow.subjects_excluded[-1] == Exclusion("not in the dataset's split", 0, 0)


def test_subjects_without_a_split_are_excluded_and_counted():
    everyone = prepare_uncached(SplitSource(assigned()), OUTCOME, BY_DATASET)
    prepared = prepare_uncached(SplitSource(assigned(unlisted=7)), OUTCOME, BY_DATASET)
    reason, subjects, events = prepared.flow.subjects_excluded[-1]
    left_out = set(everyone.tensors.subject_id) - set(prepared.tensors.subject_id)
    assert (reason, subjects) == ("not in the dataset's split", len(left_out))
    assert left_out <= {f"s{number:04d}" for number in range(7)}
    assert events == everyone.tensors.event.sum() - prepared.tensors.event.sum() > 0


def test_a_hash_splits_whatever_the_dataset_assigns():
    one, other = (prepare_uncached(SplitSource(split), OUTCOME, SETTINGS) for split in (assigned(unlisted=9), None))
    np.testing.assert_array_equal(one.tensors.split, other.tensors.split)
    assert one.flow == other.flow


def test_a_dataset_without_a_split_is_refused():
    with pytest.raises(CohortError, match=r"split=dataset needs a dataset that assigns .*assigns none. Set split=hash"):
        prepare_uncached(SplitSource(None), OUTCOME, BY_DATASET)


def test_an_empty_part_is_refused_with_advice_that_fits():
    split = np.where(assigned() == Split.VAL, Split.TRAIN, assigned()).astype(np.int8)
    with pytest.raises(CohortError, match=r"each of train, val and test needs a subject; .*'val': 0.*, or set split=h"):
        prepare_uncached(SplitSource(split), OUTCOME, BY_DATASET)
    with pytest.raises(CohortError, match=r"larger cohort, or set split=hash$"):
        refuse_empty_split(split, BY_DATASET)


def test_another_cohort_takes_part_as_a_whole_and_needs_no_split():
    own = prepare_uncached(SplitSource(assigned()), OUTCOME, BY_DATASET)
    applied = prepare_uncached(SplitSource(None), OUTCOME, BY_DATASET, preprocessing=own.preprocessing)
    assert applied.tensors.subject_id.tolist() == own.tensors.subject_id.tolist()


def test_the_config_reaches_the_preparation_and_the_advice():
    for words, by_dataset, share in (([], False, 0.15), (["split=dataset"], True, 1.0)):
        (config,) = check_overrides("train", ["data=tiny", *words], RunConfig)
        assert build_settings(config).split_by_dataset == by_dataset
        # No advice raises a share of 1: the shares are not used.
        assert run_settings(config).test_share == share
