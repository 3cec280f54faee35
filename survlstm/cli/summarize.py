"""``survlstm summarize``: summarise the runs of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from survlstm.cli.help import argument_help
from survlstm.utils.logs import logging_to

EXAMPLES = ("SWEEP", "SWEEP --metric val_c_td")


def run(arguments: list[str]) -> None:
    """Write the summary of a sweep into its folder, also while its jobs run.

    Args:
        arguments: The words after ``survlstm summarize``.

    Raises:
        ConfigError: The folder holds no run, or the metric is unknown.
        SystemExit: A flag is unknown or lacks its value.
    """
    options = make_parser().parse_args(arguments)
    from survlstm.sweeps.summary import summarize

    with logging_to(None):
        summarize(options.sweep.expanduser(), metric=options.metric)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments, which also formats its help."""
    parser = argparse.ArgumentParser(**argument_help("summarize", EXAMPLES))
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="the folder of the sweep")
    metric = "the metric that chooses the best run: val_nll or val_c_td (default: %(default)s)"
    parser.add_argument("--metric", default="val_nll", help=metric)
    return parser
