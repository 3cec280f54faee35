"""A bundle → the record of a patient who never was, as CSV, to try its model on."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from survlstm.config.schema.run import RunConfig

if TYPE_CHECKING:
    from survlstm.inference.predictor import Predictor

SUBJECT, BIRTH = "example", "1957-03-21"
FIRST_DAY = datetime.date(2013, 2, 11)
# Of a record that is not to end in the future.
LONGEST_DAYS, LONGEST_GAP = 3600, 120
CODES_A_VISIT, DIFFERENT_CODES = 4, 24
# [PAD] and [UNK] are no codes.
FIRST_CODE = 2
ATTEMPTS = 8


def example_csv(predictor: Predictor) -> str:
    """Events with the columns of MEDS; the codes are known to the model, those with a description before others.

    Some codes are the outcome itself, or lead up to it by a rule: the first choice that is scored is taken.
    """
    days = _days(predictor.bundle.config)
    text = ""
    for attempt in range(ATTEMPTS):
        text = _written(days, _codes(predictor, attempt))
        if len(predictor.predict(pd.read_csv(io.StringIO(text), dtype=str)).table):
            break
    return text


def _written(days: Sequence[int], codes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subject_id", "time", "code", "encounter_id"])
    writer.writerow([SUBJECT, BIRTH, "MEDS_BIRTH", ""])
    place = 0
    for visit, day in enumerate(days, start=1):
        date = FIRST_DAY + datetime.timedelta(days=day)
        for minute in range(0, 5 * min(CODES_A_VISIT, len(codes)), 5):
            writer.writerow([SUBJECT, f"{date}T09:{minute:02d}:00", codes[place % len(codes)], f"visit-{visit}"])
            # Each comes again, and not always in the same company.
            place += 5
    return text.getvalue()


def _days(config: RunConfig) -> list[int]:
    """Days of the visits after the first: enough of them, by the landmark too where there is one."""
    clock, least = config.clock, max(config.data.min_visits, 8)
    if clock.kind == "landmark" and clock.day is not None:
        before = [int(clock.day * place / least) for place in range(least)]
        return [*before, int(clock.day) + 30, int(clock.day) + 75]
    visits = least + 4 if clock.kind == "visit" or clock.visit is None else max(least, clock.visit + 1) + 4
    gap = min(LONGEST_GAP, LONGEST_DAYS // visits)
    # As in records, no two gaps are alike.
    return [gap * place + (17 * place * place) % (1 + gap // 2) for place in range(visits)]


def _codes(predictor: Predictor, attempt: int) -> list[str]:
    """Codes from all over the vocabulary, others in each attempt."""
    bundle = predictor.bundle
    outcome = set(bundle.config.outcome.settings().get("codes", []))
    known = [code for code in bundle.fitted.vocabulary.entries[FIRST_CODE:] if code not in outcome]
    described = [code for code in known if code in bundle.descriptions] or known
    step = max(1, len(described) // DIFFERENT_CODES)
    return described[attempt % step :: step][:DIFFERENT_CODES]
