"""Which errors of writing belong to a run's folder."""

from errno import EACCES, ENOSPC
from pathlib import Path

import pytest

from survlstm.utils.errors import CheckpointError
from survlstm.utils.write_access import report_write_errors

RUN = Path("/runs/run1")


def write_that_fails(number, path):
    with report_write_errors(RUN):
        raise OSError(number, "no", path)


@pytest.mark.parametrize(("number", "path"), [(EACCES, "/runs/run1/history.json"), (ENOSPC, "/elsewhere/file")])
def test_an_error_in_the_folder_or_of_a_full_disk_is_reported(number, path):
    with pytest.raises(CheckpointError):
        write_that_fails(number, path)


@pytest.mark.parametrize("path", ["/runs/run10/history.json", "/elsewhere/file", None])
def test_an_error_elsewhere_passes_unchanged(path):
    with pytest.raises(OSError, match="no"):
        write_that_fails(EACCES, path)
