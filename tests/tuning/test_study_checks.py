"""A storage with trials that the search can't have made: one sentence that names the trial."""

import json
import shutil

import pytest

from survlstm.utils.errors import ConfigError
from tests.tuning.bowl import tuned

pytestmark = pytest.mark.usefixtures("bare")


@pytest.fixture
def searched(tmp_path):
    """A search of two trials, a third of which is asked for."""
    tuned(tmp_path / "search", "trials=2", epochs=2)
    return tmp_path / "search"


def operations(folder):
    return [json.loads(line) for line in (folder / "study.journal").read_text().splitlines()]


def rewritten(folder, change):
    """The journal with every operation changed."""
    lines = [json.dumps(found) for operation in operations(folder) if (found := change(operation)) is not None]
    (folder / "study.journal").write_text("".join(f"{line}\n" for line in lines))


def attribute(name, value):
    """Another value for a user attribute of trial 0."""

    def change(operation):
        if operation.get("trial_id") == 0 and name in operation.get("user_attr", {}):
            operation["user_attr"][name] = value
        return operation

    return change


def parameter(**changes):
    """Another parameter for what trial 0 drew as its dropout."""

    def change(operation):
        if operation.get("trial_id") == 0 and operation.get("param_name") == "model.dropout":
            operation |= changes
        return operation

    return change


def distribution(**changes):
    def change(operation):
        if operation.get("param_name") == "model.dropout":
            found = json.loads(operation["distribution"])
            found["attributes"] |= changes
            operation["distribution"] = json.dumps(found)
        return operation

    return change


def figure(**changes):
    """Another ending of trial 0."""

    def change(operation):
        if operation.get("trial_id") == 0 and operation.get("values"):
            operation |= changes
        return operation

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            parameter(param_name="model.dropuot"),
            r"trial 0 in .*study\.journal has the parameter model\.dropuot, which is",
        ),
        (
            parameter(param_name="hydra.callbacks.x"),
            r"has the parameter hydra\.callbacks\.x, which is not in the search space",
        ),
        (
            parameter(param_name="model._target_"),
            r"has the parameter model\._target_, which is not in the search space",
        ),
        (
            parameter(param_value_internal=7.0),
            r"trial 0 in .* has a value for model\.dropout that is not in the search space",
        ),
        (
            distribution(high=0.9),
            r"trial 0 in .* has drawn model\.dropout from another range than the search space has",
        ),
        (
            lambda operation: None if operation.get("param_name") == "model.dropout" else operation,
            r"trial 0 in .* is complete without a value for model\.dropout",
        ),
        (attribute("slot", "0"), "trial 0 in .* has a slot that survlstm does not write"),
        (attribute("slot", -1), "has a slot that survlstm does not write"),
        (attribute("slot", 10**9), "has a slot that survlstm does not write"),
        (attribute("seen", "yesterday"), "has a seen that survlstm does not write"),
        (attribute("seen", "2026-01-01T00:00:00"), "has a seen that survlstm does not write"),
        (attribute("token", 7), "has a token that survlstm does not write"),
        (attribute("best_epoch", "2"), "has a best_epoch that survlstm does not write"),
        (attribute("val_nll", "low"), "has a val_nll that survlstm does not write"),
        (attribute("val_nll", 0.0001), "has two different values of val_nll"),
        (figure(values=["low"]), "storage must be one that can be read and written|is complete without a val_nll"),
    ],
)
def test_what_the_search_did_not_write_is_named(searched, change, said):
    rewritten(searched, change)
    before = (searched / "study.journal").read_bytes()
    with pytest.raises(ConfigError, match=said) as caught:
        tuned(searched, "trials=3", epochs=2)
    assert "\n" not in str(caught.value)
    # optuna has noted that the study is asked for; no trial was.
    after = (searched / "study.journal").read_bytes()
    assert after.startswith(before)
    assert after.count(b"trial_id") == before.count(b"trial_id")


def test_an_untouched_journal_goes_on(searched, tmp_path):
    rewritten(searched, lambda operation: operation)
    shutil.copytree(searched, tmp_path / "copy")
    assert len(tuned(searched, "trials=3", epochs=2).asked) == 1


def test_a_study_whose_search_is_no_config_is_told(searched):
    def change(operation):
        if "search" in operation.get("user_attr", {}):
            operation["user_attr"]["search"] = ["x"]
        return operation

    rewritten(searched, change)
    with pytest.raises(ConfigError, match=r"storage must say what the search .* is; it does not: a config must be a"):
        tuned(searched, "trials=3", epochs=2)
