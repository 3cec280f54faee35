"""The words of a sweep: job folders that never collide, and what a sweep is completed with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from survlstm.config.overrides import quote_override
from survlstm.sweeps.sweep_overrides import (
    fixed_keys,
    job_folder_name,
    read_sweep_words,
    record_words,
    swept_keys,
)
from survlstm.utils.errors import ConfigError


def test_a_job_is_named_by_its_overrides():
    assert job_folder_name("model.dropout=0.1,optimizer.weight_decay=1e-05") == (
        "model.dropout=0.1,optimizer.weight_decay=1e-05"
    )
    assert job_folder_name("") == "job"


@given(st.lists(st.text(min_size=1, max_size=300), min_size=2, max_size=6, unique=True))
def test_other_overrides_have_another_folder_and_every_name_is_a_files(overrides):
    names = [job_folder_name(each) for each in overrides]
    assert len(set(names)) == len(names)
    for name in names:
        assert "/" not in name
        assert "\0" not in name
        assert 0 < len(name.encode()) <= 255 * 2
        assert name not in {".", ".."}


def test_swept_and_fixed_keys():
    words = ["-m", "model.dropout=0.1,0.3", "data=tiny", "seed=range(0,3)", "outcome.codes=[A/1,B/2]", "+x=choice(1,2)"]
    assert swept_keys(words) == ["model.dropout", "seed", "+x"]
    assert fixed_keys(words) == ["data", "outcome.codes"]


def test_a_sweep_is_completed_with_the_words_it_began_with(tmp_path):
    record_words(tmp_path, ["-m", "data=tiny", "seed=1,2", f"output_dir={tmp_path}"])
    words, resumed = read_sweep_words([f"sweep.resume={tmp_path}"])
    assert resumed == tmp_path
    assert words == ["-m", "data=tiny", "seed=1,2", f"output_dir={tmp_path}"]
    # Another seed is another job of the same sweep.
    words, _ = read_sweep_words(["-m", "seed=1,2,3", "data=tiny", f"sweep.resume={tmp_path}"])
    assert words == ["-m", "seed=1,2,3", "data=tiny", f"output_dir={tmp_path}"]
    assert read_sweep_words(["data=tiny"]) == (["data=tiny"], None)


def test_another_sweep_is_no_completion(tmp_path):
    record_words(tmp_path, ["-m", "data=tiny", "seed=1,2"])
    with pytest.raises(ConfigError, match=r"run with others \(without data=tiny, data=cohort_106\)"):
        read_sweep_words(["-m", "data=cohort_106", "seed=1,2", f"sweep.resume={tmp_path}"])
    with pytest.raises(ConfigError, match="leave out output_dir"):
        read_sweep_words([f"sweep.resume={tmp_path}", "output_dir=x"])
    with pytest.raises(ConfigError, match=r"must name the folder of a sweep, which holds sweep.json; .*nowhere"):
        read_sweep_words([f"sweep.resume={tmp_path / 'nowhere'}"])
    (tmp_path / "sweep.json").write_text("torn")
    with pytest.raises(ConfigError, match="has none that can be read"):
        read_sweep_words([f"sweep.resume={tmp_path}"])


def test_the_keys_that_are_swept_are_the_same_when_it_is_completed(tmp_path):
    record_words(tmp_path, ["-m", "data=tiny", "seed=0,1"])
    with pytest.raises(ConfigError, match=r"swept then: seed; now: nothing"):
        read_sweep_words(["-m", "data=tiny", "seed=0", f"sweep.resume={tmp_path}"])
    with pytest.raises(ConfigError, match=r"run with others \(trainer.epochs=2,3\)"):
        read_sweep_words(["-m", "data=tiny", "seed=0,1", "trainer.epochs=2,3", f"sweep.resume={tmp_path}"])


def test_a_folder_of_configs_is_kept_with_the_words_and_has_to_be_named_again(tmp_path):
    configs = str(tmp_path / "my configs")
    record_words(tmp_path / "sweep", ["-m", "--config-dir", configs, "seed=0,1"])
    resume = f"sweep.resume={tmp_path / 'sweep'}"
    with pytest.raises(ConfigError, match=r"used configs from .*my configs\. Configs can run code, so the folder must"):
        read_sweep_words([resume])
    with pytest.raises(ConfigError, match=r"completed with the configs it was started with, from .*my configs; found"):
        read_sweep_words([resume, "--config-dir", str(tmp_path)])
    words, _ = read_sweep_words(["--config-dir", configs, resume])
    assert words[:4] == ["-m", "--config-dir", configs, "seed=0,1"]
    assert swept_keys(words) == ["seed"]
    record_words(tmp_path / "other", ["-m", "seed=0,1"])
    with pytest.raises(ConfigError, match=r"from no further folder; found --config-dir .*\. Leave it out"):
        read_sweep_words([f"sweep.resume={tmp_path / 'other'}", "--config-dir", configs])


@pytest.mark.parametrize("path", ["/a/seed=0,model.dropout=0.1", "/tmp/My (work)/é", "it's", "a b", "C:\\x"])
def test_a_path_is_read_as_it_is_whatever_it_holds(path):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert OverridesParser.create().parse_override(quote_override(f"run={path}")).value() == path
    assert quote_override("output_dir=outputs/${now:%Y}/x") == "output_dir=outputs/${now:%Y}/x"
