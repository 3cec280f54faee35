"""A folder of templates → jinja2 as every page wants it: what the data hold is escaped, what is undefined an error."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from survlstm.report import formatting


def page_environment(templates: Path) -> Environment:
    """Templates of a folder, and page.css of the report; the filters write numbers as the report does."""
    environment = Environment(
        loader=FileSystemLoader([templates, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": formatting.number,
        "short": formatting.short,
        "count": "{:,}".format,
        "counted": formatting.counted,
        "interval": formatting.interval,
        "p_value": formatting.p_value,
        "signed": formatting.signed,
        "time": formatting.time,
        "times": formatting.times,
        "since": formatting.since,
    }
    return environment
