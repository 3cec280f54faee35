"""Compare a simulated cohort with a real Synthea export: a Markdown table of statistics."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

from survlstm.simulation import simulate_cohort
from survlstm.simulation.cohort_statistics import cohort_statistics

LAST_DAY = datetime.date(2024, 4, 30)


def main() -> None:
    """Simulate into a temporary folder, measure both cohorts with the same function, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder of a Synthea CSV export")
    parser.add_argument("--patients", type=int, default=1123)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--history-years", type=float, default=10.0, help="0 for whole lives")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        simulated = Path(scratch) / "cohort"
        simulate_cohort(
            simulated,
            patients=options.patients,
            seed=options.seed,
            history_years=options.history_years or None,
            end_date=LAST_DAY,
        )
        sys.stdout.write(comparison(cohort_statistics(options.real), cohort_statistics(simulated)))


def comparison(real: dict[str, float], simulated: dict[str, float]) -> str:
    """The Markdown table: figure, real, simulated, simulated / real."""
    lines = ["| figure | real | simulated | ratio |", "|---|---:|---:|---:|"]
    for name, expected in real.items():
        ratio = f"{simulated[name] / expected:.2f}" if expected else "-"
        lines.append(f"| {name} | {expected:.4g} | {simulated[name]:.4g} | {ratio} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
