"""Every file in conf/ composes and validates; every wrong override gets its sentence."""

from itertools import cycle, product
from typing import get_args

import pytest
from hydra import compose, initialize_config_dir

from survlstm.config.compose import check_overrides
from survlstm.config.conf_dir import conf_dir
from survlstm.config.schema.commands import SimulateConfig
from survlstm.config.schema.data import EventTableName, SplitConfig
from survlstm.config.schema.outcome import SyntheticOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import Feature
from survlstm.config.validation import validate
from survlstm.data.features import FEATURES
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.utils.errors import ConfigError

GROUPS = sorted(path for path in conf_dir().iterdir() if path.is_dir())
# Those of conf/tune belong to survlstm tune, which has tests of its own.
FILES = [(group.name, file.stem) for group in GROUPS if group.name != "tune" for file in sorted(group.glob("*.yaml"))]
# What a group file leaves to the command line.
NEEDED = {
    ("data", "synthea"): ["data.path=."],
    ("data", "meds"): ["data.path=."],
    ("data", "omop"): ["data.path=."],
    ("outcome", "first_code"): ["outcome.codes=[SNOMED/44054006]"],
}


def composed(overrides, name="train", schema=RunConfig):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return validate(compose(name, overrides=overrides), schema)


def refused(*overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_overrides("train", list(overrides), RunConfig)


def test_the_groups_are_the_ones_promised():
    promised = {
        "data": {"cohort_106", "cohort_1000", "meds", "omop", "synthea", "tiny"},
        "outcome": {"synthetic", "random", "death", "ckd_progression", "first_code"},
        "clock": {"visit", "landmark"},
        "model": {"lstm_small", "lstm_medium", "lstm_large"},
        "scheduler": {"reduce_on_plateau", "cosine", "none"},
        "trainer": {"a40", "cpu", "ddp", "smoke"},
        "experiment": {"smoke", "guide_106", "guide_1000"},
        "logger": {"none", "tensorboard", "mlflow"},
    }
    for group, files in promised.items():
        assert files <= {file for name, file in FILES if name == group}


@pytest.mark.parametrize(("group", "file"), FILES)
def test_every_config_file_composes_and_validates(group, file):
    composed([f"{group}={file}", *NEEDED.get((group, file), [])])


def test_every_outcome_goes_with_every_model_and_every_scheduler_with_some():
    names = {group: [file for name, file in FILES if name == group] for group in ("outcome", "model", "scheduler")}
    pairs = product(names["outcome"], names["model"])
    # Schedulers take turns: their keys depend on the trainer only.
    for (outcome, model), scheduler in zip(pairs, cycle(names["scheduler"]), strict=False):
        needed = NEEDED.get(("outcome", outcome), [])
        composed([f"outcome={outcome}", f"model={model}", f"scheduler={scheduler}", *needed])


def test_the_guides_run_has_the_guides_values():
    config = composed(["experiment=guide_1000"])
    assert (config.model.embedding_dim, config.model.hidden_dim, config.model.num_layers) == (128, 256, 2)
    assert (config.optimizer.lr, config.optimizer.weight_decay, config.model.dropout) == (0.001, 0.0001, 0.3)
    assert (config.trainer.epochs, config.trainer.batch_size, config.trainer.grad_clip) == (100, 64, 1.0)
    assert (config.trainer.early_stopping.patience, config.trainer.early_stopping.min_delta) == (10, 0.001)


def test_the_rule_of_the_split_is_a_key_with_a_short_form_and_stored_configs_lack_it():
    assert composed([]).split.by == "hash"
    (config,) = check_overrides("train", ["split=dataset", "split.train=0.6", "split.test=0.25"], RunConfig)
    assert (config.split.by, config.split.train) == ("dataset", 0.6)
    found = check_overrides("train", ["-m", "split=hash,dataset"], RunConfig)
    assert [each.split.by for each in found] == ["hash", "dataset"]
    older = composed([]).split.model_dump(exclude={"by"})
    assert SplitConfig.model_validate(older).by == "hash"


def test_stored_outcomes_from_before_the_mechanism_are_those_of_the_counts():
    new = set(SyntheticOutcomeConfig.model_fields) - {"target", "event_rate", "effect", "censoring_chance", "seed"}
    new -= {"comorbidity_weight", "frequency_weight", "repetition_weight", "planted_codes", "planted_values"}
    now = composed([]).outcome
    assert SyntheticOutcomeConfig.model_validate(now.model_dump(by_alias=True, exclude=new)) == now


def test_stored_outcomes_from_before_planted_values_have_none():
    older = composed([]).outcome.model_dump(by_alias=True, exclude={"planted_values"})
    assert SyntheticOutcomeConfig.model_validate(older).planted_values == []


FLAGS = [
    ("data.path=.", lambda c: c.data.path == "."),
    ("outcome=death", lambda c: c.outcome.target.endswith("DeathOutcome")),
    ("trainer.epochs=7", lambda c: c.trainer.epochs == 7),
    ("trainer.batch_size=16", lambda c: c.trainer.batch_size == 16),
    ("model.embedding_dim=9", lambda c: c.model.embedding_dim == 9),
    ("model.hidden_dim=9", lambda c: c.model.hidden_dim == 9),
    ("model.num_layers=3", lambda c: c.model.num_layers == 3),
    ("model.dropout=0.5", lambda c: c.model.dropout == 0.5),
    ("optimizer.lr=0.01", lambda c: c.optimizer.lr == 0.01),
    ("optimizer.weight_decay=0.001", lambda c: c.optimizer.weight_decay == 0.001),
    ("trainer.grad_clip=2.0", lambda c: c.trainer.grad_clip == 2.0),
    ("trainer.early_stopping.patience=5", lambda c: c.trainer.early_stopping.patience == 5),
    ("trainer.early_stopping.min_delta=0.01", lambda c: c.trainer.early_stopping.min_delta == 0.01),
    ("scheduler=cosine", lambda c: c.scheduler.target.endswith("CosineAnnealingLR")),
    ("scheduler.patience=3", lambda c: c.scheduler.patience == 3),
    ("scheduler.factor=0.1", lambda c: c.scheduler.factor == 0.1),
    ("output_dir=checkpoints_large", lambda c: c.output_dir == "checkpoints_large"),
    ("data.max_visits=50", lambda c: c.data.max_visits == 50),
    ("trainer.micro_batch_size=8", lambda c: c.trainer.micro_batch_size == 8),
    ("trainer.budget.hours=2", lambda c: c.trainer.budget.hours == 2),
    ("trainer.checkpoint.every_epochs=5", lambda c: c.trainer.checkpoint.every_epochs == 5),
]


@pytest.mark.parametrize(("override", "holds"), FLAGS)
def test_every_flag_of_the_guide_has_its_override(override, holds):
    assert holds(composed([override]))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["trainer.batch_sise=3"],
            "trainer.batch_sise is not a known key; the nearest valid key is trainer.batch_size",
        ),
        (["trainer.lr=0.1"], "trainer.lr is not a known key; the nearest valid key is optimizer.lr"),
        (["early_stopping_patience=3"], "nearest valid key is trainer.early_stopping.patience"),
        (["modle=lstm_small"], "modle is not a known key; the nearest valid key is model"),
        (["outcome=death", "outcome.event_rate=0.5"], "outcome.event_rate is not a known key"),
        (["optimizer.lr=abc"], "optimizer.lr: must be a valid number; found 'abc'"),
        (["optimizer.lr="], "optimizer.lr: must be a valid number; found ''"),
        (["optimizer.lr=null"], "optimizer.lr: must be a valid number; found None"),
        (["optimizer.lr=-1"], "optimizer.lr: must be greater than 0; found -1"),
        (["model.dropout=1.0"], "model.dropout: must be less than 1; found 1.0"),
        (["trainer.batch_size=64.5"], "trainer.batch_size: must be a valid integer; found 64.5"),
        (["trainer.batch_size=true"], "trainer.batch_size: must be a valid integer; found True"),
        (["+trainer.foo=1"], r"trainer.foo is not a known key \(found value 1\)"),
        (["+foo=1"], "foo is not a known key"),
        (["judgement.baselines=[]"], "judgement.baselines is now called evaluation.baselines; write evaluation"),
        (["judgement=default"], "judgement is now called evaluation; write evaluation instead"),
        (["+tracker=mlflow"], "tracker is now called logger; write logger instead"),
        (["~trainer.epochs"], "trainer.epochs is missing; set trainer.epochs=VALUE"),
        (
            ["model=lstm_smal"],
            "model must be one of gru, lstm_large, .*; found 'lstm_smal'; the nearest is model=lstm_small",
        ),
        (["experiment=smok"], "experiment must be one of .*; the nearest is experiment=smoke"),
        (["data=synthea"], "data.path has no value and needs one; set data.path=VALUE"),
        (["outcome=first_code"], "outcome.codes has no value and needs one"),
        (["outcome.planted_codes=[44054006]"], "outcome.planted_codes: each must read SYSTEM/CODE, .*; found 44054006"),
        (["outcome.planted_codes=[X/1,X/1]"], "outcome.planted_codes: must name each code once; found"),
        (["outcome.planted_values=[7]"], "outcome.planted_values: each must read SYSTEM/CODE, .*; found 7"),
        (["outcome.planted_values=[X/1,X/1]"], "outcome.planted_values: must name each code once; found"),
        (
            ["outcome.planted_codes=[X/1,X/2]", "outcome.planted_values=[X/1]"],
            r"one of outcome.planted_codes and outcome.planted_values must be empty; found 2 and 1 codes\. Set one",
        ),
        (["outcome.mechanism=order"], "outcome.mechanism: must be 'counts' or 'sequence'; found 'order'"),
        (
            ["outcome.mechanism=sequence", "outcome.planted_codes=[X/1]"],
            r"outcome.planted_codes needs outcome.mechanism=counts; found outcome.mechanism=sequence\. Set",
        ),
        (
            ["outcome.sequence_pairs=[[X/1,X/2]]"],
            r"outcome.sequence_pairs needs outcome.mechanism=sequence; found outcome.mechanism=counts\. Set",
        ),
        (
            ["outcome.mechanism=sequence", "outcome.sequence_pairs=[[X/1,X/2],[X/2,X/1]]"],
            "outcome.sequence_pairs: must name each pair once, and not also in the reverse order, which would cancel "
            "it; found",
        ),
        (
            ["outcome.mechanism=sequence", "outcome.sequence_pairs=[[X/1,X/1]]"],
            "outcome.sequence_pairs: a pair must hold two different codes; found",
        ),
        (["outcome.sequence_pairs=[[X/1,7]]"], "outcome.sequence_pairs: each must read SYSTEM/CODE, .*; found 7"),
        (["outcome.fading_codes=[X/1,X/1]"], "outcome.fading_codes: must name each code once; found"),
        (
            ["outcome.mechanism=sequence"] + [f"outcome.{name}_weight=0" for name in ("order", "fading", "rise")],
            "at least one of order_weight, fading_weight, rise_weight must be above 0",
        ),
        (
            ["outcome=first_code", "outcome.codes=[44054006]"],
            "outcome.codes: each must read SYSTEM/CODE, .*; found 44054006",
        ),
        (["data=meds"], "data.path has no value and needs one"),
        (["data=meds", "data.path=/not/there"], "data.path must be a folder with a MEDS dataset; found '/not/there'"),
        (["split=datset"], "split: must be hash or dataset; found 'datset'"),
        (["split.by=other"], "split.by: must be 'hash' or 'dataset'; found 'other'"),
        (["split=dataset", "split.fold=1"], "split.fold must be null with split=dataset, .*found 1. Set split=hash"),
        (["data.path=/not/there"], "data.path must be a folder with Synthea CSV tables; found '/not/there'"),
        (["data.path=${oc.env:SURVLSTM_NOT_SET}"], "data.path: .*SURVLSTM_NOT_SET"),
        (["data.simulated=null"], "must name an export: set data.path=DIR"),
        (
            ["data.simulated.end_date=2024-02-30"],
            "simulated.end_date: must be a day between .*; found '2024-02-30'",
        ),
        (["trainer.device=gpu"], "trainer.device: must be auto, cpu, cuda or cuda:0, cuda:1, …; found 'gpu'"),
        (["data.visits.grouping=week"], "must be 'encounter', 'same_day', 'time_window' or 'hybrid'; found 'week'"),
        (["model.visit_features=[agee]"], "model.visit_features.0: must be .*; found 'agee'"),
        (["model.visit_features=[age,age]"], "must name each feature once"),
        (["split.train=0.5"], r"train, val and test must add up to 1; found 0.8"),
        (
            ["outcome.comorbidity_weight=0", "outcome.frequency_weight=0", "outcome.repetition_weight=0"],
            "at least one of comorbidity_weight",
        ),
        (["model.dropout=0.1,0.2"], "several values are a sweep, which needs -m"),
        (["experiment=null"], "leave the override out for none"),
        (["data.path=~/export"], "write .HOME: ~ is not expanded there"),
        (["--cfg", "job", "bad=1"], "bad is not a known key"),
        (["=3"], "an override must read key=value; found '=3'"),
        (["--config-name", "simulate"], "leave out --config-name"),
        (["data.source.tables=[conditionz]"], "data.source.tables.0: must be 'encounters', .*; found 'conditionz'"),
        (["data.visits.window_hours=0.0001"], "data.visits.window_hours: must be greater than or equal to 1"),
        (["outcome.effect=inf"], "outcome.effect: must be a finite number; found inf"),
        (["model.hidden_dim=100000000"], "model.hidden_dim: must be less than or equal to 16384"),
        (["cache_dir="], "cache_dir: must have at least 1 character"),
        (["trainer.batch_size"], "an override must read key=value; found 'trainer.batch_size'"),
        (
            ["clock=landmrk"],
            "clock must be one of days, landmark, visit; found 'landmrk'; the nearest is clock=landmark",
        ),
        (["clock.kind=weeks"], "clock.kind must be visit, landmark or days; found 'weeks'"),
        (["clock=days", "clock.times=every_day"], "prediction times must read like one of visit:10, .*'every_day'"),
        (["clock=days", "clock.times=visit:x"], "prediction times must read like one of visit:10, .*'visit:x'"),
        (["clock=days", "clock.times=every_days:0"], "prediction times must read like one of .*'every_days:0'"),
        (["clock=days", "clock.times=as_of:2015-02-30"], "prediction times must .*'as_of:2015-02-30'"),
        (
            ["clock=days", "clock.times=[]"],
            "clock.times: Value should have at least 1 item after validation, not 0; found",
        ),
        (["clock=days", "clock.times=[last,last]"], "must name each kind of prediction times once"),
        (["clock=days", "clock.edges_days=[30,30]"], "clock.edges_days: must rise; found"),
        (
            ["clock=days", "clock.edges_days=[30]"],
            "clock.edges_days: List should have at least 2 items after validation, not 1",
        ),
        (["evaluation.times=last"], "evaluation.times needs clock=days, .* found clock=visit"),
        (["clock=days", "evaluation.times=[last,every_visit]"], "must differ from clock.times; found every_visit in"),
        (["clock.day=30"], "clock.day is not a known key"),
        (
            ["clock=landmark", "clock.day=30"],
            "one of clock.day, clock.visit and clock.first_code must .*; found clock.day=30 and clock.visit=10",
        ),
        (["clock=landmark", "clock.visit=null"], "found clock.day=null, clock.visit=null, clock.first_code=null"),
        (["clock=landmark", "clock.day=-1", "clock.visit=null"], "clock.day: must be greater than or equal to 0"),
        (["clock=landmark", "clock.visit=-1"], "clock.visit: must be greater than or equal to 0; found -1"),
        (["clock=landmark", "clock.intervals=1"], "clock.intervals: must be greater than or equal to 2; found 1"),
        (["clock=landmark", "clock.horizon_days=0"], "clock.horizon_days: must be greater than 0; found 0"),
        (["clock=landmark", "clock.edges=log"], "clock.edges: must be 'equidistant' or 'quantile'; found 'log'"),
        (["clock=landmark", "+clock.hour=3"], "clock.hour is not a known key"),
        (
            ["trainer.checkpoint_every=5"],
            "trainer.checkpoint_every is not a known key; the nearest valid key is trainer.checkpoint",
        ),
        (["trainer.device=mps"], "trainer.device: must be auto, cpu, cuda or cuda:0, cuda:1, …; found 'mps'"),
        (["trainer.device=cuda:x"], "trainer.device: must be auto, cpu, cuda or .*; found 'cuda:x'"),
        (["trainer.distributed=2"], "trainer.distributed: must be a valid boolean; found 2"),
        (["trainer.micro_batch_size=0"], "trainer.micro_batch_size: must be greater than 0; found 0"),
        (["trainer.micro_batch_size=1.5"], "trainer.micro_batch_size: must be a valid integer; found 1.5"),
        (["trainer.on_oom=retry"], "trainer.on_oom: must be 'stop' or 'halve'; found 'retry'"),
        (["trainer.precision=float16"], "trainer.precision: must be 'float32' or 'bfloat16'; found 'float16'"),
        (["trainer.grad_clip=0"], "trainer.grad_clip: must be greater than 0; found 0"),
        (["trainer.checkpoint.every_epochs=0"], "trainer.checkpoint.every_epochs: must be greater than 0; found 0"),
        (["trainer.checkpoint.every_minutes=0"], "trainer.checkpoint.every_minutes: must be greater than 0; found 0"),
        (["trainer.checkpoint.every_steps=5"], "trainer.checkpoint.every_steps is not a known key; the nearest"),
        (["trainer.cost_per_hour=-1"], "trainer.cost_per_hour: must be greater than or equal to 0; found -1"),
        (["trainer.budget.hours=0"], "trainer.budget.hours: must be greater than 0; found 0"),
        (["trainer.budget.dollars=-2"], "trainer.budget.dollars: must be greater than 0; found -2"),
        (
            ["trainer.budget.dollars=5"],
            "trainer.budget.dollars=5 needs trainer.cost_per_hour above 0; found null",
        ),
        (
            ["trainer.budget.dollars=5", "trainer.cost_per_hour=0"],
            "trainer.budget.dollars=5 needs trainer.cost_per_hour above 0; found 0",
        ),
        (["trainer.budget=5"], "trainer.budget"),
        (["trainer.dry_run=maybe"], "trainer.dry_run: must be a valid boolean; found 'maybe'"),
        (["optimizer.fused=fast"], "optimizer.fused: must be a valid boolean; found 'fast'"),
        (["resume="], "resume: must have at least 1 character"),
        (
            ["data=tiny", "data.source.timezone=Australia/Melborne"],
            r"data.source.timezone: must be the IANA name of a time zone.*found 'Australia/Melborne', the nearest is "
            r"Australia/Melbourne",
        ),
    ],
)
def test_wrong_overrides(overrides, sentence):
    refused(*overrides, sentence=sentence)


def test_what_a_place_needs_beside_its_defaults():
    here, rented, several = (composed([f"trainer={name}"]).trainer for name in ("cpu", "a40", "ddp"))
    assert rented.model_copy(update={"device": "cpu", "cost_per_hour": None}) == here
    assert (rented.device, rented.cost_per_hour) == ("auto", 0.4)
    assert several.model_copy(update={"device": "cpu", "distributed": False}) == here
    assert (several.device, several.distributed) == ("auto", True)
    # Without an override nothing is capped, halved or rounded.
    assert (here.micro_batch_size, here.on_oom, here.precision) == (None, "stop", "float32")
    assert (here.budget.hours, here.budget.dollars, here.dry_run) == (None, None, False)
    composed(["trainer=a40", "trainer.budget.dollars=5"])


def test_every_wrong_key_is_named_at_once():
    refused("optimizer.lr=-1", "model.dropout=2", sentence=r"(?s)model.dropout: .*\n.*optimizer.lr: ")


def test_a_sweep_is_checked_before_its_first_job():
    refused("-m", "model.dropout=0.1,1.2", sentence="model.dropout: must be less than 1; found 1.2")
    refused("-m", "model.dropuot=0.1,0.2", sentence="nearest valid key is model.dropout")
    check_overrides("train", ["-m", "model.dropout=0.1,0.3", "optimizer.weight_decay=1e-5,1e-4"], RunConfig)


def test_simulate():
    with pytest.raises(ConfigError, match="output has no value and needs one"):
        check_overrides("simulate", ["patients=10"], SimulateConfig)
    with pytest.raises(ConfigError, match="patients: must be greater than 0; found 0"):
        check_overrides("simulate", ["patients=0", "output=x"], SimulateConfig)
    with pytest.raises(ConfigError, match="patient is not a known key; the nearest valid key is patients"):
        check_overrides("simulate", ["patient=10", "output=x"], SimulateConfig)


def test_environment_variables_point_to_real_exports(monkeypatch, tmp_path):
    monkeypatch.setenv("SURVLSTM_COHORT_1000", str(tmp_path))
    assert composed(["data=cohort_1000"]).data.path == str(tmp_path)
    monkeypatch.delenv("SURVLSTM_COHORT_1000")
    assert composed(["data=cohort_1000"]).data.path is None


def test_code_groups_are_named_codes():
    assert composed([]).data.code_groups == {}
    found = composed(["data.code_groups={heart:[X/1,X/2],kidney_2:[Y/1]}"]).data.code_groups
    assert list(found.items()) == [("heart", ["X/1", "X/2"]), ("kidney_2", ["Y/1"])]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("{Heart:[X/1]}", "must begin with a lower-case letter and contain only lower-case letters, .*; found 'Heart'"),
        ("{age:[X/1]}", "must not be that of a visit feature; found age"),
        ("{heart:[]}", r"heart must name one code or more, each once; found \[\]"),
        ("{heart:[X/1,X/1]}", "heart must name one code or more, each once"),
        ("{heart:[44054006]}", "each must read SYSTEM/CODE, as in SNOMED/44054006; found 44054006"),
        ("{heart:X/1}", "must be a valid list"),
    ],
)
def test_unsound_code_groups_are_refused(groups, said):
    with pytest.raises(ConfigError, match=said):
        composed([f"data.code_groups={groups}"])


def test_the_names_that_config_allows_are_those_that_the_stages_know():
    assert get_args(Feature) == FEATURES
    assert get_args(EventTableName) == tuple(EVENT_TABLES)
