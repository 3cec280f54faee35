"""Rules of the cohort as they are written on the command line and in files: kinds, keys, ranges and contradictions."""

import pytest
import yaml

from survlstm.config.compose import check_overrides
from survlstm.config.overrides import format_override
from survlstm.config.schema.cohort import CohortConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import as_yaml
from survlstm.config.validation import validate_stored
from survlstm.data.cohort_rules import AgeRule, CodesRule, DatesRule, HistoryRule, VisitsRule
from survlstm.data.factory import build_settings
from survlstm.utils.errors import ConfigError

ON_LANDMARK = "clock=landmark"
INDEX = [ON_LANDMARK, "clock.visit=null", "clock.first_code=[X/1]"]


def composed(*overrides):
    (config,) = check_overrides("train", list(overrides), RunConfig)
    return config


def test_every_kind_of_rule_on_the_command_line():
    config = composed(
        "cohort.include=[{age:{at_least:18,below:90}},{codes:[SNOMED/44054006],match:prefix},"
        "{dates:{from:2010-01-01,to:2019-12-31}},{history_days:{at_least:365}}]",
        "cohort.exclude=[{codes:[SNOMED/22298006,X/1],within_days:365,at_least:2},{visits:{at_least:900}}]",
        "cohort.sample=200",
        ON_LANDMARK,
    )
    settings = build_settings(config).cohort
    assert settings.include == (
        AgeRule(18.0, 90.0),
        CodesRule(("SNOMED/44054006",), "prefix", None, 1),
        DatesRule("2010-01-01", "2019-12-31"),
        HistoryRule(365.0),
    )
    assert settings.exclude == (CodesRule(("SNOMED/22298006", "X/1"), "exact", 365.0, 2), VisitsRule(900))
    assert (settings.sample, settings.file) == (200, None)


def test_the_stored_config_gives_the_same_rules():
    config = composed("cohort.include=[{dates:{from:2010-01-01}},{codes:[X/1],within_days:30}]")
    assert validate_stored(yaml.safe_load(as_yaml(config)), RunConfig) == config


def test_rules_of_python_are_written_as_an_override():
    rules = [{"codes": ["SNOMED/44054006"], "match": "prefix"}, {"dates": {"from": "2010-01-01"}}]
    written = composed(format_override("cohort.include", rules)).cohort
    assert (
        written == composed("cohort.include=[{codes:[SNOMED/44054006],match:prefix},{dates:{from:2010-01-01}}]").cohort
    )


def test_a_config_of_an_earlier_version_has_no_rules():
    values = yaml.safe_load(as_yaml(composed()))
    del values["cohort"]
    assert validate_stored(values, RunConfig).cohort == CohortConfig()
    values = yaml.safe_load(as_yaml(composed(ON_LANDMARK)))
    del values["clock"]["first_code"]
    assert validate_stored(values, RunConfig).clock.first_code is None


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("{}", "must be of one of the kinds age, codes, visits, history_days, dates, such as .*; found none"),
        ("adults", "must be a mapping of one kind.*found 'adults'"),
        ("{age:{at_least:18},codes:[X/1]}", "must be of one kind; found age and codes in one rule"),
        ("{ages:{at_least:18}}", "ages is not a known key of a rule; the nearest valid key is age"),
        ("{codes:[X/1],within:365}", "within is not a known key of a rule; the nearest valid key is within_days"),
        ("{age:{atleast:18}}", "atleast is not a known key of age; the nearest valid key is at_least"),
        ("{visits:3}", "visits must be a mapping with at_least; found 3"),
        ("{age:{}}", "must give at_least, below or both"),
        ("{age:{at_least:x}}", "age.at_least: must be a valid number; found 'x'"),
        ("{age:{at_least:40,below:40}}", "at_least must be lower than below; found 40 and 40"),
        ("{codes:[44054006]}", "each must read SYSTEM/CODE.*found 44054006"),
        ("{codes:[' '],match:prefix}", "each must be the beginning of a code"),
        ("{codes:[]}", "codes: .*at least 1 item"),
        ("{codes:[X/1],match:regex}", "match: must be 'exact', 'prefix' or 'descendants'; found 'regex'"),
        ("{codes:[X/1],at_least:0}", "at_least: must be greater than 0; found 0"),
        ("{dates:{from:2010-13-01}}", "dates.from: must be a day, written YYYY-MM-DD; found '2010-13-01'"),
        ("{dates:{from:2020-01-01,to:2019-01-01}}", "from must not be later than to"),
        ("{dates:{}}", "must give from, to or both"),
        ("{history_days:{at_least:-1}}", "history_days.at_least: must be greater than or equal to 0"),
    ],
)
def test_a_wrong_rule_is_one_sentence(rule, sentence):
    with pytest.raises(ConfigError, match=rf"^cohort.include.0.*{sentence}"):
        composed(f"cohort.include=[{rule}]", ON_LANDMARK)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["cohort.includes=[]"], "cohort.includes is not a known key; the nearest valid key is cohort.include"),
        (
            ["cohort.include=[{visits:{at_least:3}}]"],
            r"include 1: a rule on visits needs clock=landmark.*data.min_visits",
        ),
        (["cohort.exclude=[{age:{below:18}},{history_days:{at_least:9}}]"], "exclude 2: a rule on history_days needs"),
        (["cohort.sample=0"], "cohort.sample: must be greater than 0; found 0"),
        (["cohort.file=labels.txt"], "cohort.file: must end in .csv or .parquet; found 'labels.txt'"),
        (["cohort.file=labels.csv"], "cohort.file: must be a file with the column subject_id; .*which is no file"),
        ([*INDEX, "clock.day=30"], r"found clock.day=30 and clock.first_code=\[X/1\]"),
        ([*INDEX[:2], "clock.first_code=[]"], "clock.first_code: .*at least 1 item"),
        ([*INDEX[:2], "clock.first_code=[1]"], "clock.first_code: each must read SYSTEM/CODE"),
        (
            [*INDEX, "outcome=first_code", "outcome.codes=[X/1,X/2]"],
            "clock.first_code must hold a code that is not one of outcome.codes.*found X/1 in both",
        ),
    ],
)
def test_contradictions(overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        composed(*overrides)


def test_a_file_may_place_the_landmark(tmp_path):
    file = tmp_path / "labels, of ours.csv"
    file.write_text("subject_id,prediction_time\n1,2020-01-01\n")
    config = composed(f"cohort.file={file}", ON_LANDMARK, "clock.visit=null")
    assert build_settings(config).landmark.is_given
    assert build_settings(config).cohort.file == str(file)
