"""What a sweep was asked for → how many jobs that makes, those that have not begun included."""

from __future__ import annotations

import json
import math
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from survlstm.sweeps.command import RECORD


def planned_jobs(folder: Path) -> int | None:
    """The number of combinations; None where the folder keeps no words, or a sweeper decides as it goes."""
    try:
        words = json.loads((folder / RECORD).read_text(encoding="utf-8"))["words"]
        parser = OverridesParser.create()
        overrides = [parser.parse_override(word) for word in words]
        if any(str(word).startswith("hydra/sweeper") for word in words):
            return None
        return math.prod(len(list(found.sweep_string_iterator())) for found in overrides if found.is_sweep_override())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HydraException):
        return None
