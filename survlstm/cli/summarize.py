"""``survlstm summarize``: summarise the runs of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from survlstm.utils.logs import logging_to


def run(arguments: list[str]) -> None:
    """Write the summary of a sweep into its folder, also while its jobs run."""
    parser = argparse.ArgumentParser(prog="survlstm summarize", description=run.__doc__)
    parser.add_argument("sweep", type=Path, help="the folder of the sweep")
    parser.add_argument("--metric", default="val_nll", help="the metric of the best run: val_nll or val_c_td")
    options = parser.parse_args(arguments)
    from survlstm.sweeps.summary import summarize

    with logging_to(None):
        summarize(options.sweep.expanduser(), metric=options.metric)
