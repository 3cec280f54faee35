"""Read metrics.json into tables and into the values that the figures draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from survlstm.api.exclusions import exclusion_table
from survlstm.data.split import Split
from survlstm.evaluation.results import Calibration, Curves
from survlstm.runs.folder import read_run_record
from survlstm.utils.errors import CheckpointError, first_line
from survlstm.utils.stored_files import read_json

STEP_METRICS = ("c_td", "nll")
HORIZON_METRICS = ("c_harrell", "c_uno", "auc", "brier", "nbll")
INTEGRATED_METRICS = ("ibs", "inbll")
GROUP_COLUMNS = ("kind", "name", "subjects", "events", "c_td", "at_risk", "predicted", "observed")
LANDMARK_COLUMNS = ("landmark", "unit", "at_risk", "horizon", "name", "role")


class NamedCalibration(NamedTuple):
    """Calibration of a model at one horizon of a landmark.

    Attributes:
        landmark: Name of the landmark.
        unit: Unit of the horizon.
        calibration: The calibration.
    """

    landmark: str
    unit: str
    calibration: Calibration


class StoredMetrics(NamedTuple):
    """Content of metrics.json, as it was read.

    Attributes:
        folder: Folder of the file.
        content: Plain values, of any type: the file may come from elsewhere.
    """

    folder: Path
    content: dict[str, Any]

    @property
    def banner(self) -> str:
        """Warning about a drawn outcome; empty for an outcome from records."""
        with _as_written(self.folder):
            return str(self.content["task"]["banner"])

    @property
    def evaluation(self) -> dict[str, Any]:
        """The part of the evaluated split; raises CheckpointError if the run failed before it was evaluated."""
        with _as_written(self.folder):
            for split in Split:
                if split.name.lower() in self.content:
                    part: dict[str, Any] = self.content[split.name.lower()]
                    return part
            why = "; ".join(str(finding["finding"]) for finding in self.content["diagnostics"])
        raise CheckpointError(f"{self.folder} holds no evaluation: {why}")

    @property
    def lines(self) -> list[str]:
        """Sentences that summarise the evaluation, the most important one first."""
        with _as_written(self.folder):
            return [str(line) for line in self.evaluation["lines"]]

    @property
    def subjects(self) -> str:
        """The evaluated subjects and their events, as a text."""
        with _as_written(self.folder):
            part = self.evaluation
            return f"{int(part['subjects']):,} {part['split']} subjects with {int(part['events']):,} events"

    def table(self) -> pd.DataFrame:
        """Return one row per model and comparator, with its metrics at every step."""
        with _as_written(self.folder):
            rows = [
                {"name": str(row["name"]), "role": str(row["role"])}
                | _merged(_estimate(name, row[name]) for name in STEP_METRICS)
                | _merged(_difference(f"{name}_difference", row[f"{name}_difference"]) for name in STEP_METRICS)
                for row in self.evaluation["rows"]
            ]
        return pd.DataFrame(rows).set_index("name")

    def landmark_table(self) -> pd.DataFrame:
        """Return one row per landmark, horizon and model; no row if the run has no landmark."""
        with _as_written(self.folder):
            # On the days clock ``at_risk`` counts prediction times.
            by_times = self.evaluation["clock"] == "days"
            rows = [
                {
                    "landmark": str(landmark["name"]),
                    "unit": str(landmark["unit"]),
                    "at_risk": int(landmark["at_risk"]),
                }
                | ({"subjects": int(landmark.get("subjects", landmark["at_risk"]))} if by_times else {})
                | {
                    "horizon": float(cell["horizon"]),
                    "name": str(row["name"]),
                    "role": str(row["role"]),
                }
                | _merged(_estimate(name, cell[name]) for name in HORIZON_METRICS)
                | {"d_calibration": _number(cell["d_calibration"])}
                | _merged(_estimate(name, row[name]) for name in INTEGRATED_METRICS)
                for landmark in self.evaluation["landmarks"]
                for row in landmark["rows"]
                for cell in row["cells"]
            ]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(LANDMARK_COLUMNS))

    def group_table(self) -> pd.DataFrame:
        """Return one row per group of subjects; no row if the run was not evaluated in groups."""
        with _as_written(self.folder):
            groups = self.evaluation.get("groups") or {"rows": []}
            rows = [
                {
                    "kind": str(row["kind"]),
                    "name": str(row["name"]),
                    "subjects": int(row["subjects"]),
                    "events": _number(row["events"]),
                }
                | _estimate("c_td", row["c_td"])
                | {
                    "landmark": groups["landmark"] and str(groups["landmark"]),
                    "horizon": _number(groups["horizon"]),
                    "unit": _unit(groups["unit"]),
                    "at_risk": _number(row["at_risk"]),
                    "predicted": _number(row["predicted"]),
                }
                | _estimate("observed", row["observed"])
                for row in groups["rows"]
            ]
        table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(GROUP_COLUMNS))
        return table.astype({"events": "Int64", "at_risk": "Int64"})

    def exclusions(self) -> pd.DataFrame:
        """Return the counts of what the preparation left out, see ``survlstm.api.exclusions``."""
        with _as_written(self.folder):
            data = self.content["data"]
            subjects = [
                (str(rule["reason"]), int(rule["subjects"]), int(rule["events"])) for rule in data["subjects_excluded"]
            ]
            times = data.get("prediction_times")
            return exclusion_table(
                subjects,
                visits=_counts(data["visits_left_out"]),
                entries=_counts(data["entries_left_out"]),
                prediction_times=_counts(times["left_out"]) if times else None,
            )

    @property
    def uses_values(self) -> bool:
        """Whether numerical values are used, so that there is a values.csv."""
        with _as_written(self.folder):
            # Older versions used no values.
            return self.content["data"].get("values") is not None

    def curves(self) -> list[Curves]:
        """Return the survival curves from each landmark with enough subjects."""
        with _as_written(self.folder):
            return [_curves(dict(curves)) for curves in self.evaluation["curves"]]

    def calibration(self) -> list[NamedCalibration]:
        """Return the calibration at each horizon of each landmark."""
        with _as_written(self.folder):
            return [
                NamedCalibration(str(landmark["name"]), _unit(landmark["unit"]), _calibration(dict(one)))
                for landmark in self.evaluation["landmarks"]
                for one in landmark["calibration"]
            ]


def read_metrics(folder: Path) -> StoredMetrics:
    """Read metrics.json of a run or an evaluation.

    Args:
        folder: The folder.

    Returns:
        The content; nothing of it is trusted, so that its properties can raise CheckpointError.

    Raises:
        CheckpointError: The file is missing, or is no JSON object.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        record = read_run_record(folder)
        raise CheckpointError(
            f"a finished run must hold metrics.json; found none in {folder}, whose state is {record.state}. Let the "
            "run end: survlstm.train('resume=RUN')"
        )
    with _as_written(folder):
        try:
            return StoredMetrics(folder, dict(read_json(path)))
        except OSError as error:
            raise CheckpointError(f"{path} can't be read: {error}") from error


@contextmanager
def _as_written(folder: Path) -> Iterator[None]:
    """Turn the errors of reading values of another form into one sentence."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = first_line(error, with_type=True, at_most=200)
        raise CheckpointError(
            f"{folder / 'metrics.json'} must be as survlstm writes it; it is not: {why}. Evaluate the run again"
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(f"a number is needed; found {type(value).__name__}")
    return float("nan") if value is None else float(value)


def _unit(value: Any) -> Literal["steps", "days"]:
    if value not in ("steps", "days"):
        raise ValueError("a unit must be steps or days")
    return "days" if value == "days" else "steps"


def _counts(values: dict[str, Any]) -> dict[str, int]:
    return {str(reason): int(number) for reason, number in values.items()}


def _estimate(name: str, estimate: dict[str, Any] | None) -> dict[str, float]:
    estimate = estimate or {"value": None, "interval": None}
    interval = estimate["interval"] or {"low": None, "high": None}
    return {
        name: _number(estimate["value"]),
        f"{name}_low": _number(interval["low"]),
        f"{name}_high": _number(interval["high"]),
    }


def _difference(name: str, difference: dict[str, Any] | None) -> dict[str, float]:
    return _estimate(name, difference) | {f"{name}_p": _number(difference["p"] if difference else None)}


def _merged(parts: Iterator[dict[str, float]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _curves(plain: dict[str, Any]) -> Curves:
    arrays = {
        name: np.array(plain[name], dtype=np.float64)
        for name in ("time", "example_survival", "group_survival", "group_observed", "group_low", "group_high")
    }
    at_risk = np.array(plain["group_at_risk"], dtype=np.int64)
    groups, times = len(plain["group_name"]), len(arrays["time"])
    of_groups = (at_risk, *(array for name, array in arrays.items() if name.startswith("group_")))
    if arrays["time"].ndim != 1 or any(array.shape != (groups, times) for array in of_groups if groups):
        raise ValueError("the curves of the groups must have one value per time")
    return Curves(
        landmark=str(plain["landmark"]),
        unit=_unit(plain["unit"]),
        example_name=tuple(str(name) for name in plain["example_name"]),
        example_duration=tuple(_number(value) for value in plain["example_duration"]),
        example_event=tuple(bool(value) for value in plain["example_event"]),
        group_name=tuple(str(name) for name in plain["group_name"]),
        group_at_risk=at_risk,
        covariate_free=np.array(plain["covariate_free"], dtype=np.float64),
        **arrays,
    )


def _calibration(plain: dict[str, Any]) -> Calibration:
    columns = {
        name: tuple(_number(value) for value in plain[name]) for name in ("predicted", "observed", "low", "high")
    }
    if len({len(column) for column in (plain["subjects"], *columns.values())}) > 1:
        raise ValueError("a calibration must have one value per group")
    return Calibration(
        horizon=_number(plain["horizon"]),
        subjects=tuple(int(number) for number in plain["subjects"]),
        p_value=plain["p_value"],
        slope=plain["slope"],
        intercept=plain["intercept"],
        in_the_large=plain["in_the_large"],
        why_not=plain["why_not"],
        **columns,
    )
