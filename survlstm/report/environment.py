"""A folder of templates → jinja2 as every page wants it: what the data hold is escaped, what is undefined an error."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from survlstm.report import numbers


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
        "number": numbers.number,
        "short": numbers.short,
        "count": "{:,}".format,
        "counted": numbers.counted,
        "interval": numbers.interval,
        "p_value": numbers.p_value,
        "signed": numbers.signed,
        "time": numbers.time,
        "times": numbers.times,
        "since": numbers.since,
    }
    return environment
