"""Whether the best two of a sweep are told apart: by differences of repeats, or of the subjects they share."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from survlstm.runs.validation_file import NAME, read_validation, write_validation
from survlstm.sweeps.summary import read_sweep, sweep_as_json
from survlstm.sweeps.text import summary_sentences
from survlstm.training.prediction import Predictions
from tests.sweeps import sample

SUBJECTS = 200


def repeats(folder, differences, *, seeds=None):
    """Runs with dropout 0.1 and 0.5 for each seed; the second is worse by the differences, the seeds differ more."""
    for seed, difference in enumerate(differences):
        for dropout, nll in ((0.1, 2.0 + 0.3 * seed), (0.5, 2.0 + 0.3 * seed + difference)):
            shown = seed if dropout == 0.1 or seeds is None else seeds[seed]
            overrides = [f"model.dropout={dropout}", f"seed={shown}"]
            sample.write_run(folder / f"{dropout}-{seed}", overrides, val=(nll, 0.8 - 0.1 * (nll - 2.0)))
    return read_sweep(folder)


@pytest.mark.parametrize(
    ("differences", "is_tied"), [([0.02, 0.03, 0.025], False), ([0.05, -0.03, 0.02], True), ([0.0, 0.0, 0.0], True)]
)
def test_repeats_are_paired_by_seed(tmp_path, differences, is_tied):
    sweep = repeats(tmp_path, differences)
    tie = sweep.winner.tie
    assert tie.is_tied is is_tied
    low, high = np.mean(differences), np.mean(differences)
    if np.std(differences):
        low, high = stats.t.interval(0.95, 2, loc=np.mean(differences), scale=stats.sem(differences))
    assert bool(low <= 0 <= high) is is_tied
    assert "paired over 3 repeats" in tie.sentence
    lead, *others = summary_sentences(sweep)
    # Unpaired nothing could be told: the seeds differ by 0.3.
    assert lead.startswith(f"6 jobs: 6 finished. {'Tied' if is_tied else 'Best'} by validation nll: model.dropout=0.1")
    assert ("model.dropout=0.5" in lead) is is_tied
    assert any(
        ("which is too little to distinguish the two" if is_tied else "the best leads by") in line for line in others
    )
    assert sweep_as_json(sweep)["winner"]["tied_with_second"] is is_tied


def test_a_worked_lead(tmp_path):
    # t(2, 0.975) = 4.303; sd = 0.005; 4.303 x 0.005 / sqrt(3) = 0.01242
    tie = repeats(tmp_path / "coarse", [0.02, 0.03, 0.025]).winner.tie
    assert tie.sentence == "leads by 0.025 ± 0.012 (95%, paired over 3 repeats)"
    finer = repeats(tmp_path / "finer", [0.00020, 0.00030, 0.00025]).winner.tie
    assert finer.sentence == "leads by 0.00025 ± 0.00012 (95%, paired over 3 repeats)"


def test_a_better_mean_by_a_repeat_of_its_own_is_no_lead(tmp_path):
    repeats(tmp_path, [-0.02, -0.03, -0.025])
    sample.write_run(tmp_path / "alone", ["model.dropout=0.1", "seed=9"], val=(0.5, 0.9))
    tie = read_sweep(tmp_path).winner.tie
    assert tie == (True, "leads by \N{MINUS SIGN}0.025 ± 0.012 (95%, paired over 3 repeats)")


def test_repeats_of_other_seeds_are_no_pairs(tmp_path):
    tie = repeats(tmp_path, [0.02, 0.03, 0.025], seeds=[0, 7, 8]).winner.tie
    assert tie == (None, "not told apart: 1 pair of repeats, 3 are needed")


def predictions(*, knows, noise=0, events=True):
    """A model that knows a share of each subject's risk, and takes some noise of its own for more of it."""
    generator = np.random.default_rng(0)
    risk = generator.normal(size=SUBJECTS)
    step = np.minimum(generator.geometric(1 / (1 + np.exp(1.5 - risk))) - 1, 5)
    event = (step < 5) & (generator.random(SUBJECTS) < 0.9) & events
    logit = -1.5 + knows * risk + 0.3 * np.random.default_rng(100 + noise).normal(size=SUBJECTS)
    hazard = np.repeat(1 / (1 + np.exp(-logit))[:, None], step.max() + 1, axis=1)
    hazard[np.arange(hazard.shape[1]) > step[:, None]] = np.nan
    return Predictions(np.arange(SUBJECTS), step, event, hazard, np.cumprod(1 - hazard, axis=1), np.zeros(SUBJECTS))


def single_runs(folder, *found, metric="val_nll", ids=None):
    for number, one in enumerate(found):
        val = (2.0 + 0.1 * number, 0.8 - 0.1 * number)
        sample.write_run(folder / str(number), [f"model.dropout=0.{number}"], val=val)
        names = np.array([f"subject {name}" for name in range(SUBJECTS)]) if ids is None else ids[number]
        write_validation(folder / str(number), one, names, clock="visit")
    return read_sweep(folder, metric=metric).winner.tie


@pytest.mark.parametrize("metric", ["val_nll", "val_c_td"])
def test_single_runs_are_paired_by_the_subjects_they_were_validated_on(tmp_path, metric):
    good, bad = predictions(knows=1.0), predictions(knows=0.0)
    tie = single_runs(tmp_path / "apart", good, bad, metric=metric)
    assert tie.is_tied is False
    assert tie.sentence.endswith(f"paired over {SUBJECTS} validation subjects)")
    alike = predictions(knows=1.0, noise=1)
    assert single_runs(tmp_path / "tied", good, alike, metric=metric).is_tied is True
    assert single_runs(tmp_path / "same", good, good, metric=metric).is_tied is True


def test_what_stands_against_a_pairing_is_said(tmp_path):
    one = predictions(knows=1.0)
    names = np.array([f"subject {name}" for name in range(SUBJECTS)])
    assert single_runs(tmp_path / "ids", one, one, ids=[names, names[::-1]]) == (
        None,
        "not told apart: one run each, on other validation subjects",
    )
    other_labels = dataclasses.replace(one, event=~one.event)
    assert single_runs(tmp_path / "labels", one, other_labels).is_tied is None
    few = predictions(knows=1.0, events=False)
    assert single_runs(tmp_path / "few", few, few) == (
        None,
        "not told apart: one run each, 0 validation events, 30 are needed",
    )


def test_the_file_holds_no_id_and_is_its_owners(tmp_path):
    one = predictions(knows=1.0)
    names = np.array([f"patient-{name}" for name in range(SUBJECTS)])
    write_validation(tmp_path, one, names, clock="visit")
    content = (tmp_path / NAME).read_bytes()
    assert b"patient" not in content
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    found = read_validation(tmp_path)
    np.testing.assert_array_equal(found.hazard, one.hazard)
    np.testing.assert_array_equal(found.step, one.step)
    np.testing.assert_array_equal(found.event, one.event)
    write_validation(tmp_path, one, names, clock="visit")
    assert (tmp_path / NAME).read_bytes() == content
    for damaged in (b"", content[: len(content) // 2], b"no zip", content[:-300] + b"\0" * 300):
        (tmp_path / NAME).write_bytes(damaged)
        assert read_validation(tmp_path) is None
    assert read_validation(tmp_path / "nowhere") is None
