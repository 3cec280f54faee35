"""Read values.csv into a table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from survlstm.report.value_table import COLUMNS, VALUES, value_table
from survlstm.utils.errors import CheckpointError, first_line


def read_values(folder: Path, *, is_used: bool) -> pd.DataFrame:
    """Read values.csv of a run or an evaluation.

    Args:
        folder: The folder.
        is_used: Whether the run uses values; without them there is no file, and the table has no row.

    Returns:
        One row per code and unit, with the columns of ``survlstm.report.value_table.COLUMNS``.

    Raises:
        CheckpointError: The file is missing, or is not as survlstm writes it.
    """
    if not is_used:
        return value_table(())
    path = folder / VALUES
    try:
        # A code or a unit may be "NA".
        table = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False)
        if list(table.columns) != list(COLUMNS):
            raise ValueError("its columns are not those of this version")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} must be as survlstm writes it; it is not: {first_line(error, with_type=True, at_most=200)}. "
            "Evaluate the run again"
        ) from error
    return table
