"""``survlstm runs``: list the runs below a folder."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from survlstm.utils.logs import logging_to

log = logging.getLogger(__name__)


def run(arguments: list[str]) -> None:
    """List the runs below a folder with their state, metrics and settings."""
    parser = argparse.ArgumentParser(prog="survlstm runs", description=run.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("outputs"), help="outputs by default")
    parser.add_argument("--sort", help="a column, as in test.c_td; by default the newest run comes first")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this value")
    options = parser.parse_args(arguments)
    from survlstm.sweeps.listing import format_listing, list_runs

    with logging_to(None):
        table = list_runs(options.folder.expanduser(), sort=options.sort, where=tuple(options.where))
        log.info("%s", format_listing(table).to_string(index=False))
