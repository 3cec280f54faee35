"""``survlstm runs``: list the runs below a folder."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from survlstm.cli.help import argument_help
from survlstm.sweeps.columns import COLUMNS
from survlstm.utils.logs import logging_to

EXAMPLES = ("--sort test.c_td --where data=cohort_1000", "SWEEP --where state=failed --where trainer.epochs=50")

log = logging.getLogger(__name__)


def run(arguments: list[str]) -> None:
    """List the runs below a folder with their state, metrics and settings.

    Args:
        arguments: The words after ``survlstm runs``.

    Raises:
        ConfigError: The folder is missing, or a column or a key is unknown.
        SystemExit: A flag is unknown or lacks its value.
    """
    options = make_parser().parse_args(arguments)
    from survlstm.sweeps.listing import format_listing, list_runs

    with logging_to(None):
        table = list_runs(options.folder.expanduser(), sort=options.sort, where=tuple(options.where))
        log.info("%s", format_listing(table).to_string(index=False))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments, which also formats its help."""
    parser = argparse.ArgumentParser(**argument_help("runs", EXAMPLES))
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("outputs"), help="the folder (default: %(default)s)"
    )
    columns = f"a column: {', '.join(COLUMNS)}; by default the newest run comes first"
    parser.add_argument("--sort", metavar="COLUMN", help=columns)
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs whose config, choice of a group or state has this value; may be repeated (default: every run)",
    )
    return parser
