"""Template environment of all pages: values are escaped and undefined names raise errors."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from survlstm.report import formatting


@functools.cache
def template_environment(templates: Path) -> Environment:
    """Return an environment with the number formats of the report as filters.

    One for each folder, so that a process that writes many pages compiles each template once.

    Args:
        templates: Folder of the templates; those of the report, with page.css, are found as well.

    Returns:
        The environment.
    """
    environment = Environment(
        loader=FileSystemLoader([templates, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": formatting.format_number,
        "short": formatting.format_short,
        "count": "{:,}".format,
        "counted": formatting.format_count,
        "interval": formatting.format_interval,
        "p_value": formatting.format_p_value,
        "signed": formatting.format_signed,
        "time": formatting.format_time,
        "times": formatting.format_times,
        "since": formatting.format_since,
        "landmark": formatting.format_landmark,
    }
    return environment
