"""Composed values that are not validated: what is resolved, what is shown as it is written, and errors."""

import pytest

from survlstm.config.compose import check_overrides, compose_unresolved, compose_values
from survlstm.config.schema.commands import PredictConfig
from survlstm.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed=${oc.env:NO_SUCH_VARIABLE}", "seed: .*Environment variable 'NO_SUCH_VARIABLE' not found"),
        ("vocabulary.min_frequency=${no.such.key}", "vocabulary.min_frequency: Interpolation key 'no.such.key' not"),
        ("vocabulary.min_frequency=${no_such:1}", "vocabulary.min_frequency: Unsupported interpolation type no_such"),
        ("trainer.epochs=${trainer.epochs}", "trainer.epochs: .*[Rr]ecursive"),
    ],
)
def test_an_interpolation_that_does_not_resolve_is_a_config_error(override, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compose_values("train", [override])


def test_of_several_unknown_keys_one_is_explained():
    with pytest.raises(
        ConfigError, match=r"trainer\.epoch is not a known key; the nearest valid key is trainer\.epochs"
    ):
        compose_values("train", ["trainer.epoch=1", "no_such_key=2"])


def test_a_config_with_missing_values_is_shown_if_the_others_resolve():
    assert check_overrides("predict", ["--cfg", "job", "output=x.csv"], PredictConfig) == []
    with pytest.raises(ConfigError, match=r"cache_dir: .*'NO_SUCH_VARIABLE' not found"):
        check_overrides("predict", ["--cfg", "job", "cache_dir=${oc.env:NO_SUCH_VARIABLE}"], PredictConfig)
    with pytest.raises(ConfigError, match="bundle has no value and needs one"):
        check_overrides("predict", ["output=x.csv"], PredictConfig)


def test_unresolved_values_are_shown_as_written():
    composition = compose_unresolved("train", ["-m", "seed=3,4", "scheduler=cosine", "data=synthea"])
    assert composition.values["seed"] == 3
    assert composition.values["scheduler"]["T_max"] == "${trainer.epochs}"
    assert composition.values["data"]["path"] == "???"
    assert (composition.choices["scheduler"], composition.choices["experiment"]) == ("cosine", None)
    assert composition.overrides == ["seed=3", "scheduler=cosine", "data=synthea"]
    assert "hydra" not in composition.values
