"""Names of files, columns and codes of a MEDS dataset, those that survlstm adds among them."""

from __future__ import annotations

from collections.abc import Collection

DATA, METADATA = "data", "metadata"
DATASET_FILE = "dataset.json"
CODES_FILE = "codes.parquet"
SPLITS_FILE = "subject_splits.parquet"
# survlstm's own files, which other readers of the dataset ignore.
SURVLSTM_FILE = "survlstm.json"
SOURCE_SUBJECTS_FILE = "source_subjects.parquet"
# The format of survlstm.json, and its keys.
FORMAT = 1
FORMAT_KEY, DAY_TOLERANCE_KEY = "format", "day_tolerance"

SUBJECT, TIME, CODE, VALUE, TEXT = "subject_id", "time", "code", "numeric_value", "text_value"
# The unit of the value, which MEDS does not define; datasets that have one usually name it so.
UNIT = "unit"
SOURCE_SUBJECT = "source_subject_id"
SPLIT = "split"
DESCRIPTION, PARENTS = "description", "parent_codes"
# The columns that data.source.encounter_column=auto looks for, in this order.
AUTO = "auto"
ENCOUNTER_COLUMNS = ("encounter_id", "visit_id", "hadm_id", "visit_occurrence_id")

BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
# The last day on which the source observes the subject; survlstm's own code, which MEDS does not define.
OBSERVED_UNTIL = "SURVLSTM_OBSERVED_UNTIL"

TRAIN, TUNING, HELD_OUT = "train", "tuning", "held_out"


def encounter_column(setting: str | None, present: Collection[str]) -> str | None:
    """Return the column that a setting ``encounter_column`` stands for.

    Args:
        setting: Name of a column; ``auto`` for the first of ``ENCOUNTER_COLUMNS`` that is there, None for none.
        present: Names of the columns that are there.

    Returns:
        The name, which may be absent if ``setting`` names it; None for no column.
    """
    if setting != AUTO:
        return setting
    return next((name for name in ENCOUNTER_COLUMNS if name in present), None)


def is_kind(code: str, kind: str) -> bool:
    """Return whether a code is one of MEDS's own codes, alone or with a suffix.

    Args:
        code: The code, such as ``MEDS_DEATH//HOSPITAL``.
        kind: ``BIRTH``, ``DEATH`` or ``OBSERVED_UNTIL``.
    """
    return code == kind or code.startswith(f"{kind}//")
