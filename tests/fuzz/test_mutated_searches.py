"""The storage of a search changed at random: one sentence or the search's own trials, never a traceback.

A journal is changed line by line, as an editor does, and byte by byte.
"""

import json
import logging
import random
import shutil

import pytest
from optuna.trial import TrialState

from survlstm.tuning.results import write_results
from survlstm.tuning.space import overrides
from survlstm.tuning.study import open_study
from survlstm.tuning.trial_slot import claim_trial
from survlstm.tuning.trial_table import best_slot, trial_slots
from survlstm.utils.errors import SurvlstmError
from tests.fuzz.mutations import SECRET, SEED, changed_bytes, changed_value, is_clear_error
from tests.tuning.bowl import config_of, make_bare, tuned


@pytest.fixture
def bare(monkeypatch):
    """A search without what takes seconds and has tests of its own."""
    make_bare(monkeypatch)


@pytest.fixture
def searched(tmp_path, bare):
    """A search of six trials over ranges and a choice, one of them queued again."""
    folder, words = tmp_path / "whole", ["trials=6", "startup_trials=2", "+space.seed={kind:choice,choices:[1,2]}"]
    tuned(folder, *words, epochs=3)
    config = config_of(folder, *words)
    with open_study(config) as study:
        study.enqueue_trial(study.trials[0].params, user_attrs={"slot": 0, "retry": 1})
    return folder, words


def changed_journal(content, dice):
    """A journal with one operation changed, gone, twice or elsewhere, or with a change of its bytes."""
    lines, kind = content.splitlines(keepends=True), dice.randrange(8)
    place = dice.randrange(len(lines))
    if kind == 0:
        return changed_bytes(content, dice)
    if kind == 1:
        del lines[place]
    elif kind == 2:
        lines.insert(dice.randrange(len(lines)), lines[place])
    elif kind == 3:
        lines.append(lines.pop(place))
    else:
        lines[place] = json.dumps(changed_value(json.loads(lines[place]), dice)).encode() + b"\n"
    return b"".join(lines)


def test_no_changed_journal_gives_a_traceback_or_words_of_others(searched, tmp_path, times, monkeypatch, caplog):
    def not_written(*_, exc_info):
        raise exc_info

    monkeypatch.setattr("survlstm.tuning.results.log.warning", not_written)
    whole, words = searched
    content, dice, refused = (whole / "study.journal").read_bytes(), random.Random(SEED), 0
    caplog.set_level(logging.ERROR, logger="survlstm")
    for number in range(30 * times):
        folder = shutil.copytree(whole, tmp_path / str(number))
        (folder / "study.journal").write_bytes(changed_journal(content, dice))
        config = config_of(folder, *words)
        try:
            with open_study(config) as study:
                found = trial_slots(study.get_trials(deepcopy=False))
                best = best_slot(found, config.metric, maximised=config.maximised)
                write_results(study, config, with_pictures=False)
                claimed = claim_trial(study, config)
        except SurvlstmError as error:
            refused += is_clear_error(error)
            shutil.rmtree(folder)
            continue
        said = [line for place in found for line in overrides(place.params)]
        assert {line.split("=")[0] for line in said} <= set(config.space)
        assert not any(SECRET in line or "$" in line for line in said)
        if best is not None:
            assert all(config.space[key].holds(value) for key, value in best.params.items())
            assert best.deciding.state == TrialState.COMPLETE
        if claimed is not None:
            claimed.release()
            assert all(config.space[key].holds(value) for key, value in claimed.values.items())
        shutil.rmtree(folder)
    assert refused > 6 * times
