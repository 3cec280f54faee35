"""What a run was made with → the facts that another machine needs to make it again, as manifest.json keeps them."""

from __future__ import annotations

import datetime
import platform
import sys
from importlib.metadata import version

from survlstm import __version__

LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "pycox", "hydra-core", "omegaconf")


def make_manifest(*, device: str, seed: int, fingerprint: str, started: datetime.datetime) -> dict[str, str]:
    """Versions, machine, seed, data and times, as what stands on the page."""
    ended = datetime.datetime.now(datetime.UTC)
    return {
        "survlstm": __version__,
        "command": " ".join(sys.argv),
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seed": str(seed),
        "data fingerprint": fingerprint,
        "device": device,
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    } | {name: version(name) for name in LIBRARIES}
