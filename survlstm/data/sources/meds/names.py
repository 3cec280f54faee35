"""Names of the files and codes of a MEDS dataset, and of what survlstm adds to one."""

from __future__ import annotations

from survlstm.data.split import Split

BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
SHARDS_FOLDER = "data"
DATASET_FILE = "metadata/dataset.json"
CODES_FILE = "metadata/codes.parquet"
SPLITS_FILE = "metadata/subject_splits.parquet"
SPLIT_NAMES = {"train": Split.TRAIN, "tuning": Split.VAL, "held_out": Split.TEST}

# Additions of survlstm, which other readers of MEDS ignore: a code whose time is the last day of observation, the ids
# that the subjects have in the source, and a file with what the standard has no place for.
OBSERVED_UNTIL = "SURVLSTM_OBSERVED_UNTIL"
SUBJECTS_FILE = "metadata/source_subjects.parquet"
OWN_FILE, OWN_FORMAT = "metadata/survlstm.json", 1
