"""What is predicted and on whose records: the same words everywhere, and a banner where the outcome is drawn."""

import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.report.task import BANNER, describe_task


def task(*words):
    (config,) = check_overrides("train", list(words), RunConfig)
    return describe_task(config)


@pytest.mark.parametrize(
    ("words", "outcome", "is_drawn"),
    [
        (["outcome=synthetic"], "synthetic (drawn by a formula)", True),
        (["outcome.planted_codes=[X/1]"], "synthetic (drawn by a formula)", True),
        (["outcome=random"], "random (drawn by chance)", True),
        (["outcome=death"], "death", False),
        (["outcome=first_code", "outcome.codes=[SNOMED/44054006]"], "first entry of SNOMED/44054006", False),
        (["outcome=first_code", "outcome.codes=[X/1,X/2]"], "first entry of X/1 or 1 other code", False),
        (["outcome=ckd_progression"], "first entry of SNOMED/431857002 or 8 other codes", False),
    ],
)
def test_an_outcome_has_one_name_and_a_drawn_one_a_banner(words, outcome, is_drawn):
    found = task("data=tiny", *words)
    assert found.outcome == outcome
    assert found.banner == (BANNER if is_drawn else "")
    assert found.title == f"outcome {outcome}, 60 simulated patients"
    assert BANNER == ("SYNTHETIC OUTCOME: drawn from the records by a formula; it says nothing about these patients")


def test_data_are_named_by_their_folder(tmp_path, monkeypatch):
    (tmp_path / "MY_EXPORT").mkdir()
    assert task(f"data.path={tmp_path / 'MY_EXPORT'}").data == "export MY_EXPORT"
    monkeypatch.setenv("SURVLSTM_COHORT_1000", str(tmp_path / "MY_EXPORT"))
    assert task("outcome=death").title == "outcome death, export MY_EXPORT"
    monkeypatch.delenv("SURVLSTM_COHORT_1000")
    assert task().data == "1,123 simulated patients"
