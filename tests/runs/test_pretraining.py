"""A run that trains an encoder alone, runs that start at it, and those that would leak."""

import json

import pytest
import torch

import survlstm
from survlstm.training.checkpoint import load_checkpoint
from survlstm.training.history import read_history
from survlstm.utils.errors import ConfigError
from tests.lives import SMALL
from tests.states import written_out

SETTINGS = [
    *SMALL[1:],
    "model=lstm_small",
    "trainer.epochs=1",
    "model.embedding_dim=8",
    "model.hidden_dim=8",
    "trainer.batch_size=64",
]
ALONE = [
    "trainer.auxiliary.next_codes_weight=0.01",
    "trainer.auxiliary.next_visit_weight=0.1",
    "trainer.auxiliary.only=true",
]


@pytest.fixture(scope="module", autouse=True)
def cache(shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SURVLSTM_CACHE_DIR", str(shared_cache))
        yield shared_cache


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("run") / "encoder"
    survlstm.train([*SETTINGS, *ALONE], output_dir=str(folder))
    return folder


@pytest.fixture(scope="module")
def run(encoder):
    # A learning rate at which an epoch changes nothing that a float32 holds.
    words = [*SETTINGS, f"pretrain={encoder}", "optimizer.lr=1e-20", "optimizer.weight_decay=0"]
    return survlstm.train(words, output_dir=str(encoder.parent / "run"))


def weights_of(folder):
    return load_checkpoint(folder / "checkpoints" / "best.pt")["model"]


def test_a_run_starts_at_the_encoder_and_says_which_codes_it_has(encoder, run):
    found, given = weights_of(run.folder), weights_of(encoder)
    copied = [name for name in found if name == "embedding.weight" or name.startswith("lstm.")]
    assert len(copied) == 5
    assert written_out({name: found[name] for name in copied}) == written_out({name: given[name] for name in copied})
    manifest = json.loads((run.folder / "manifest.json").read_text())
    codes = len(found["embedding.weight"]) - 2
    assert manifest["pretrained encoder"].startswith(f"embeddings of {codes:,} codes copied; 0 codes are new")
    assert manifest["state"] == "finished"
    assert run.config.pretrain == str(encoder)


def test_a_pretraining_run_is_chosen_by_its_losses_and_not_evaluated(encoder):
    history = read_history(encoder)
    (losses,) = history.auxiliary
    assert history.best.val_loss == pytest.approx(0.01 * losses.val_next_codes + 0.1 * losses.val_next_visit)
    assert not (encoder / "metrics.json").exists()
    with pytest.raises(survlstm.SurvlstmError, match=r"must have been trained on its outcome; that in .* pretrain="):
        survlstm.load_run(encoder).export(encoder.parent / "none.zip")


def test_a_bundle_gives_its_encoder(encoder, tmp_path):
    run = survlstm.train(SETTINGS, output_dir=str(tmp_path / "new"))
    bundle = run.export(tmp_path / "bundle.zip")
    words = [*SETTINGS, f"pretrain={bundle}", "trainer.auxiliary.next_visit_weight=0.1"]
    again = survlstm.train([*words, "optimizer.lr=1e-20"], output_dir=str(tmp_path / "run"))
    name = "lstm.0.weight_hh_l0"
    assert torch.equal(weights_of(again.folder)[name], weights_of(run.folder)[name])
    # Of the same sizes, but its embeddings are summed.
    features = f"model.visit_features=[{','.join(run.config.model.visit_features)}]"
    with pytest.raises(ConfigError, match=r"of the same class .*DiscreteTimeSurvivalLSTM there and NestedSurvivalLSTM"):
        survlstm.train([*words, "model=nested_lstm", features], output_dir=str(tmp_path / "nested"))


def test_a_bundle_names_no_folder_so_that_the_subjects_of_its_own_encoder_are_unknown(run, tmp_path):
    bundle = run.export(tmp_path / "bundle.zip")
    assert survlstm.load_bundle(bundle).bundle.config.pretrain == "encoder"
    with pytest.raises(ConfigError, match=r"bundle\.zip started at the encoder of encoder itself, which"):
        survlstm.train([*SETTINGS, f"pretrain={bundle}"], output_dir=str(tmp_path / "run"))


def test_subjects_of_an_encoder_before_the_encoder_leak_too(encoder, tmp_path):
    # Trained on other patients, so that it can start at the encoder.
    others = [*SETTINGS, *ALONE, f"pretrain={encoder}", "data.simulated.seed=9", "data.simulated.patients=60"]
    survlstm.train([*others, "split.seed=1"], output_dir=str(tmp_path / "others"))
    with pytest.raises(ConfigError, match=rf"trained or tuned on [1-9]\d* of .*, the split of {encoder},"):
        survlstm.train([*SETTINGS, f"pretrain={tmp_path / 'others'}", "split.seed=1"], output_dir=str(tmp_path / "run"))


@pytest.mark.parametrize("other", ["seed=1", "split.train=0.6 split.val=0.25", "split.folds=3 split.fold=0"])
def test_another_split_of_the_same_data_is_refused(encoder, tmp_path, other):
    words = [*SETTINGS, f"pretrain={encoder}", *other.split()]
    with pytest.raises(
        ConfigError,
        match=r"trained or tuned on [1-9]\d* of \d+ of them\. Set split\.train=0\.7 split\.val=0\.15 split\.test=0\.15 "
        rf"split\.seed=0{' split.fold=null' if 'fold=' in other else ''}, the split of",
    ):
        survlstm.train(words, output_dir=str(tmp_path / "run"))
    # Another seed of everything else is no leak.
    if other == "seed=1":
        survlstm.train([*words, "split.seed=0"], output_dir=str(tmp_path / "same_split"))


def test_without_the_earlier_data_the_rules_of_the_splits_are_compared(encoder, tmp_path):
    words = [*SETTINGS, f"pretrain={encoder}", f"cache_dir={tmp_path / 'cache'}"]
    # Another way to form visits gives other prepared data, so that those of the earlier run are not in the cache.
    words += ["data.visits.grouping=same_day"]
    with pytest.raises(ConfigError, match=r"divided the subjects by another rule, .* split\.seed=0, the split"):
        survlstm.train([*words, "split.seed=3"], output_dir=str(tmp_path / "other"))
    survlstm.train(words, output_dir=str(tmp_path / "run"))


def test_other_numbers_of_a_visit_and_other_models_are_refused(encoder, tmp_path):
    words = [*SETTINGS, f"pretrain={encoder}"]
    features = "model.visit_features=[log_codes,age,log_days_since_last,log_days_since_first,log_visit_number]"
    with pytest.raises(ConfigError, match=r"reads log_days_since_last, .*, the new model log_codes, age"):
        survlstm.train([*words, features], output_dir=str(tmp_path / "features"))
    with pytest.raises(ConfigError, match=r"DiscreteTimeSurvivalLSTM there and SurvivalEnsemble here"):
        survlstm.train([*words, "model.ensemble=2"], output_dir=str(tmp_path / "ensemble"))
