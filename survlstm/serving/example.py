"""Make up the record of a patient, as CSV, to try a model on."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from survlstm.config.schema.cohort import CodesRuleConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.demographics import KINDS, OTHER
from survlstm.data.factory import demographic_settings
from survlstm.data.values.measures import FittedValues

if TYPE_CHECKING:
    from survlstm.inference.predictor import Predictor

SUBJECT, BIRTH = "example", "1957-03-21"
FIRST_DAY = datetime.date(2013, 2, 11)
# Limits in days that keep the end of the record in the past.
LONGEST_DAYS, LONGEST_GAP = 3600, 120
CODES_A_VISIT, DIFFERENT_CODES = 4, 24
# The first two entries of a vocabulary, [PAD] and [UNK], are not codes.
FIRST_CODE = 2
ATTEMPTS = 8


def example_csv(predictor: Predictor) -> str:
    """Make up the events of one subject.

    All codes are in the model's vocabulary, and have a description where the bundle has any. A record may be refused,
    for instance because one of its codes defines the outcome; other codes are then tried, up to ``ATTEMPTS`` times.

    Args:
        predictor: Gives the vocabulary and the clock, and tries the records.

    Returns:
        A CSV table with the columns subject_id, time, code and encounter_id of MEDS, and with numeric_value and unit if
        the model uses values. If every record was refused, the last one is returned all the same.
    """
    config = predictor.bundle.config
    days, static = _days(config), _static_codes(predictor)
    required = _required_codes(predictor)
    values = predictor.bundle.preprocessing.values
    # Landmarks that were given by a file must be given here too.
    is_given = config.clock.kind == "landmark" and not config.clock.placed_by
    as_of = FIRST_DAY + datetime.timedelta(days=days[-4]) if is_given else None
    text = ""
    for attempt in range(ATTEMPTS):
        text = _format_csv(days, _codes(predictor, attempt), static, required, values)
        if len(predictor.predict(pd.read_csv(io.StringIO(text), dtype=str), as_of=as_of).table):
            break
    return text


def _format_csv(
    days: Sequence[int],
    codes: Sequence[str],
    static: Sequence[str],
    required: Mapping[int, Sequence[str]],
    values: FittedValues | None,
) -> str:
    text = io.StringIO()
    columns = ["subject_id", "time", "code", *(["numeric_value", "unit"] if values else []), "encounter_id"]
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for time, code in [(BIRTH, "MEDS_BIRTH"), *(("", code) for code in static)]:
        writer.writerow({"subject_id": SUBJECT, "time": time, "code": code})
    position = 0
    for visit, day in enumerate(days, start=1):
        date = FIRST_DAY + datetime.timedelta(days=day)
        entries = []
        for minute in range(0, 5 * min(CODES_A_VISIT, len(codes)), 5):
            entries.append((f"{date}T09:{minute:02d}:00", codes[position % len(codes)]))
            # Steps of 5, so that codes recur, each time together with others.
            position += 5
        entries += [(f"{date}T09:30:00", code) for code in required.get(visit, ())]
        for time, code in entries:
            row = {"subject_id": SUBJECT, "time": time, "code": code, "encounter_id": f"visit-{visit}"}
            writer.writerow(row | _value(code, visit, values))
    return text.getvalue()


def _value(code: str, visit: int, values: FittedValues | None) -> dict[str, object]:
    """Make up a value of a code, from another bin at each visit; in the unit that most training values have."""
    measures = [measure for measure in values.measures if measure.code == code] if values else []
    if not measures:
        return {}
    measure = max(measures, key=lambda each: sum(each.bin_values))
    bounds = sorted({measure.low, *measure.edges, measure.high})
    number = visit % max(1, len(bounds) - 1)
    return {"numeric_value": f"{np.mean(bounds[number : number + 2]):.4g}", "unit": measure.unit}


def _days(config: RunConfig) -> list[int]:
    """Return the days of the visits, counted from the first one; enough of them are before a landmark."""
    clock, least = config.clock, max(config.data.min_visits, 8)
    if clock.kind == "landmark" and clock.day is not None:
        before = [int(clock.day * number / least) for number in range(least)]
        return [*before, int(clock.day) + 30, int(clock.day) + 75]
    visits = max(least, clock.visit + 1) + 4 if clock.kind == "landmark" and clock.visit is not None else least + 4
    gap = min(LONGEST_GAP, LONGEST_DAYS // visits)
    # Irregular gaps, as in real records.
    return [gap * number + (17 * number * number) % (1 + gap // 2) for number in range(visits)]


def _static_codes(predictor: Predictor) -> list[str]:
    """Choose the first known code of each kind of static code that the model reads."""
    bundle = predictor.bundle
    settings = demographic_settings(bundle.config)
    entries = bundle.preprocessing.vocabulary.entries
    of_kind = {kind: code for code, (kind, _) in reversed(list(zip(entries, settings.kinds(entries), strict=True)))}
    return [of_kind[kind] for kind in KINDS if kind in settings.inputs and kind in of_kind]


def _codes(predictor: Predictor, attempt: int) -> list[str]:
    """Choose codes spread over the vocabulary, different ones in each attempt."""
    bundle = predictor.bundle
    codes = bundle.config.outcome.settings().get("codes", [])
    outcome = {code for code in codes if isinstance(code, str)} if isinstance(codes, list) else set()
    landmark = bundle.config.clock.first_code or () if bundle.config.clock.kind == "landmark" else ()
    avoided = outcome.union(landmark)
    entries = _known_codes(predictor)
    kinds = demographic_settings(bundle.config).kinds(entries)
    known = [code for code, (kind, _) in zip(entries, kinds, strict=True) if code not in avoided and kind == OTHER]
    described = [code for code in known if code in bundle.descriptions] or known
    step = max(1, len(described) // DIFFERENT_CODES)
    return described[attempt % step :: step][:DIFFERENT_CODES]


def _known_codes(predictor: Predictor) -> list[str]:
    """Return the codes of the vocabulary that stand in records: all but the fused codes of values."""
    preprocessing = predictor.bundle.preprocessing
    measures = preprocessing.values.measures if preprocessing.values else ()
    fused = {code for measure in measures for code in measure.bin_codes}
    return [code for code in preprocessing.vocabulary.entries[FIRST_CODE:] if code not in fused]


def _required_codes(predictor: Predictor) -> dict[int, list[str]]:
    """Return codes without which no record is scored, by the number of a visit from 1.

    These are a code that places the landmark, in a visit with enough visits before it, and one of each rule of
    ``cohort.include``, in the first visit.
    """
    config, known = predictor.bundle.config, _known_codes(predictor)
    of_rules = [rule for rule in config.cohort.include if isinstance(rule, CodesRuleConfig)]
    first = [next((code for code in known if code.startswith(rule.codes[0])), rule.codes[0]) for rule in of_rules]
    required = {1: first} if first else {}
    if config.clock.kind == "landmark" and config.clock.first_code is not None:
        required[max(config.data.min_visits, 8)] = [config.clock.first_code[0]]
    return required
