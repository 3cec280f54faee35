"""Read the folders of runs into table rows; a value that is missing or can't be read is None and noted.

A sweep is read while its jobs run and after it was killed, so any file may be missing, cut off or of an older version.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from survlstm.evaluation.results import Estimate, Interval
from survlstm.report.task import is_drawn
from survlstm.runs.folder import RunRecord, is_finished, read_run_record
from survlstm.utils.errors import first_line
from survlstm.utils.nested import flatten
from survlstm.utils.stored_files import MOST_CONFIG_BYTES, parse_yaml, read_bytes, read_json

STATES = ("finished", "running", "failed", "stopped", "killed", "unknown")
# libyaml's parser takes a tenth of the time, which matters for a hundred runs. But a deeply nested file overflows its
# stack and ends the process, so it is used for short files only; a config of survlstm has a fifth of this length.
_FAST_YAML, _FAST_LENGTH = getattr(yaml, "CSafeLoader", yaml.SafeLoader), 10_000

# A setting as a table shows it: a number, or the text of an override; None if unknown.
Value = int | float | str | None


@dataclass(frozen=True)
class SplitMetrics:
    """The model's metrics on one split, each None if missing.

    Attributes:
        nll: Negative log-likelihood in nats per subject; lower is better.
        c_td: C-index; higher is better.
    """

    nll: Estimate | None = None
    c_td: Estimate | None = None


@dataclass(frozen=True)
class RunRow:
    """The content of one run's folder; values that are missing or can't be read are None.

    Attributes:
        folder: The run folder.
        name: Name of the folder, or its path below the sweep's folder.
        record: State, times and error of the run, from ``manifest.json``.
        overrides: Value of each key overridden on the command line; None if no manifest records them.
        config: Every value of the config, by dotted key.
        val: Metrics on the validation subjects; of a run that is not finished, those of its best epoch so far.
        test: Metrics on the test subjects.
        subjects: Number of test subjects.
        events: Number of test subjects with the event.
        epochs: Number of epochs done.
        best_epoch: The epoch with the lowest validation loss, from 1; 0 if none is clearly better than a fitted start.
        seconds: Training time over all starts of the run.
        cost: Cost in dollars.
        parameters: Number of model parameters.
        against_baseline: "beats", "worse", "not shown" or "undecided": the model's C-index against the best baseline.
        baseline: Name of the baseline with the highest C-index.
        notes: What could not be read.
    """

    folder: Path
    name: str
    record: RunRecord
    overrides: Mapping[str, Value] | None
    config: Mapping[str, Value]
    val: SplitMetrics
    test: SplitMetrics
    subjects: int | None
    events: int | None
    epochs: int | None
    best_epoch: int | None
    seconds: float | None
    cost: float | None
    parameters: int | None
    against_baseline: str | None
    baseline: str | None
    notes: tuple[str, ...]

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return self.record.state

    @property
    def is_finished(self) -> bool:
        """Whether the run's metrics are final."""
        return self.state == "finished"

    @property
    def is_drawn(self) -> bool:
        """Whether the run's outcome is drawn by a formula instead of read from the records."""
        return is_drawn(str(self.config.get("outcome._target_", ""))) or self.config.get("outcome.drawn") is True

    def setting(self, key: str) -> Value:
        """Return the value of a config key or group.

        Args:
            key: A dotted config key, or a group that may have been overridden.

        Returns:
            The override, else the config's value, else None.
        """
        overrides = self.overrides or {}
        return overrides[key] if key in overrides else self.config.get(key)


def find_runs(folder: Path) -> list[Path]:
    """List the run folders below a folder.

    Folders inside a run folder and hidden folders are not searched.

    Args:
        folder: The folder; it is not listed itself.

    Returns:
        The run folders, sorted by path with numbers by value (job 2 before job 10).
    """
    found = []
    for parent, folders, files in os.walk(folder):
        if Path(parent) != folder and is_run(files):
            found.append(Path(parent))
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(found, key=lambda path: _natural(path.relative_to(folder)))


def is_run(files: Collection[str]) -> bool:
    """Return whether a folder with these files is a run folder.

    Args:
        files: The names of the folder's files.

    Returns:
        True for a run in any state, False for the folder of an evaluation of a run.
    """
    # The folder of survlstm evaluate has a manifest too, but is no run.
    evaluated = "evaluation.log" in files and not {"training.log", "history.json"} & set(files)
    return not evaluated and bool({"manifest.json", "training.log", "history.json"} & set(files))


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = [part for name in path.parts for part in re.split(r"(\d+)", name) if part]
    # isascii, because str.isdigit accepts a superscript two, which int() refuses.
    return [(not _is_digits(part), int(part) if _is_digits(part) else 0, part) for part in parts]


def _is_digits(part: str) -> bool:
    return part.isascii() and part.isdigit()


def read_run(folder: Path, *, name: str | None = None) -> RunRow:
    """Read everything that a run's folder records.

    Args:
        folder: The run folder.
        name: Name for tables; the folder's name if None.

    Returns:
        The row. What is missing or damaged is None, and ``notes`` say what it was. No error is raised.
    """
    notes: list[str] = []
    record, overrides = _read_record(folder, notes)
    config = _settings(_read(folder / "config.yaml", notes, needed=record.state == "finished"))
    only_encoder = config.get("trainer.auxiliary.only") == "true"
    if only_encoder:
        notes.append("it trained an encoder without the outcome: it has no figures to compare")
    metrics = _read(folder / "metrics.json", notes, needed=record.state == "finished" and not only_encoder)
    history = _read(folder / "history.json", notes, needed=record.state == "finished")
    best, done = _epochs(history)
    in_metrics = _whole(_at(metrics, "training", "best_epoch"))
    baseline, against = _against_baseline(_at(metrics, "test", "rows"))
    if record.state == "finished" and metrics is not None and not _role(_at(metrics, "test", "rows"), "model"):
        notes.append("metrics.json has no test figures of the model")
    return RunRow(
        folder=folder,
        name=name or folder.name,
        record=record,
        overrides=overrides,
        config=config,
        val=SplitMetrics() if only_encoder else _validation(metrics, best),
        test=_test(metrics),
        subjects=_whole(_at(metrics, "test", "subjects")),
        events=_whole(_at(metrics, "test", "events")),
        epochs=done,
        best_epoch=_whole(_at(best, "epoch")) if in_metrics is None else in_metrics,
        seconds=_number(_at(history, "usage", "seconds")),
        cost=_number(_at(history, "usage", "cost")),
        parameters=_whole(_at(history, "parameters")),
        against_baseline=against,
        baseline=baseline,
        notes=tuple(notes),
    )


def parse_override(line: str) -> tuple[str, Value]:
    """Split an override into key and value: ``model.dropout=0.1`` gives ``("model.dropout", 0.1)``.

    A deleted key, ``~key``, has the value "deleted".

    Args:
        line: The override, as a manifest records it; a leading ``+`` is left out of the key.

    Returns:
        The key and the value.
    """
    key, _, value = line.partition("=")
    if key.startswith("~"):
        return key.lstrip("~"), "deleted"
    return key.lstrip("+"), parse_value(value)


def parse_value(written: str) -> Value:
    """Convert the text of an override to a setting.

    Args:
        written: The text behind the equals sign.

    Returns:
        A finite number if the text is one; true, false and null in lower case; otherwise the text, without surrounding
        quotes.
    """
    written = written.strip()
    if len(written) > 1 and written[0] == written[-1] and written[0] in "'\"":
        return written[1:-1]
    for kind in (int, float):
        try:
            number = kind(written)
        except ValueError:
            continue
        # nan is unequal to itself, so each nan would form a group of its own.
        return number if math.isfinite(number) else written
    return written.lower() if written.lower() in {"true", "false", "null"} else written


def _read_record(folder: Path, notes: list[str]) -> tuple[RunRecord, dict[str, Value] | None]:
    """Read the manifest, replacing fields of the wrong type, and return it with its overrides by key."""
    record = read_run_record(folder)
    known = record.state in STATES and record.state != "unknown"
    lines = [line for line in record.overrides if isinstance(line, str) and ("=" in line or line.startswith("~"))]
    if len(lines) < len(record.overrides):
        notes.append("manifest.json names overrides that can't be read")
    sentence = record.sentence if isinstance(record.sentence, str) else ""
    record = record._replace(
        state=record.state if known else "unknown",
        sentence=sentence,
        overrides=tuple(lines),
        started=_words(record.started),
        ended=_words(record.ended),
    )
    if known:
        return record, dict(parse_override(line) for line in lines)
    if is_finished(folder):
        # A run of an older version: report.html is the last file that a run writes.
        notes.append(sentence or "manifest.json names no known state; report.html shows that the run was finished")
        manifest = _read(folder / "manifest.json", [], needed=False)
        started, ended = (_words(_at(manifest, time)) for time in ("started", "ended"))
        record = record._replace(state="finished", sentence="", started=started, ended=ended)
    return record, None


def _read(path: Path, notes: list[str], *, needed: bool) -> Any:
    """Return the content of a file; None, with a note, if it can't be read."""
    try:
        if path.suffix == ".json":
            return read_json(path)
        content = read_bytes(path, most=MOST_CONFIG_BYTES)
        # Aliases, which can expand a few lines to gigabytes, need an anchor.
        is_fast = len(content) <= _FAST_LENGTH and b"&" not in content
        return yaml.load(content.decode(), _FAST_YAML) if is_fast else parse_yaml(content)
    except FileNotFoundError:
        if needed:
            notes.append(f"{path.name} is missing")
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        notes.append(f"{path.name} can't be read: {first_line(error, with_type=True)}")
    return None


def _validation(metrics: Any, best: Any) -> SplitMetrics:
    judged = _figures(_at(metrics, "validation"))
    if judged.nll or judged.c_td:
        return judged
    training = _at(metrics, "training")
    source = training if _number(_at(training, "val_loss")) is not None else best
    nll, c_td = _number(_at(source, "val_loss")), _number(_at(source, "val_c_td"))
    return SplitMetrics(None if nll is None else Estimate(nll), None if c_td is None else Estimate(c_td))


def _test(metrics: Any) -> SplitMetrics:
    models = _role(_at(metrics, "test", "rows"), "model")
    return _figures(models[0]) if models else SplitMetrics()


def _figures(found: Any) -> SplitMetrics:
    return SplitMetrics(_estimate(_at(found, "nll")), _estimate(_at(found, "c_td")))


def _estimate(found: Any) -> Estimate | None:
    value = _number(_at(found, "value"))
    if value is None:
        return None
    low, high = (_number(_at(found, "interval", end)) for end in ("low", "high"))
    return Estimate(value, Interval(low, high) if low is not None and high is not None else None)


def _against_baseline(rows: Any) -> tuple[str | None, str | None]:
    """Return the baseline with the highest C-index and the model's result against it, as the report states it."""
    scored = [(_number(_at(row, "c_td", "value")), row) for row in _role(rows, "baseline")]
    known = [(value, row) for value, row in scored if value is not None]
    if not known or not _role(rows, "model"):
        return None, None
    _, best = max(known, key=lambda pair: pair[0])
    low, high = (_number(_at(best, "c_td_difference", "interval", end)) for end in ("low", "high"))
    name = _words(_at(best, "name")) or "a baseline without a name"
    if low is None or high is None:
        return name, "undecided"
    return name, "beats" if low > 0 else "worse" if high < 0 else "not shown"


def _role(rows: Any, role: str) -> list[Any]:
    return [row for row in rows if _at(row, "role") == role] if isinstance(rows, list) else []


def _epochs(history: Any) -> tuple[Any, int | None]:
    """Return the best epoch so far and the number of epochs done."""
    epochs = _at(history, "epochs")
    if not isinstance(epochs, list):
        return None, None
    # The model before its first epoch, where it starts from a fit.
    start = _at(history, "start")
    candidates = epochs if start is None else [start, *epochs]
    named = [epoch for epoch in candidates if _at(epoch, "epoch") == _at(history, "best_epoch")]
    scored = [(loss, epoch) for epoch in candidates if (loss := _number(_at(epoch, "val_loss"))) is not None]
    if named and _number(_at(named[0], "val_loss")) is not None:
        return named[0], len(epochs)
    return (min(scored, key=lambda pair: pair[0])[1] if scored else None), len(epochs)


def _settings(config: Any) -> dict[str, Value]:
    """Every value of a config by its dotted key, lists as an override writes them."""
    return {key: _setting(item) for key, item in flatten(config).items()} if isinstance(config, dict) else {}


def _setting(item: Any) -> Value:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, list):
        return f"[{','.join(str(_setting(part)) for part in item)}]"
    if item is None or (isinstance(item, float) and not math.isfinite(item)):
        return "null" if item is None else str(item)
    return item if isinstance(item, int | float | str) else str(item)


def _at(content: Any, *path: str) -> Any:
    """Return the value at a path of keys; None if a key is missing."""
    for step in path:
        content = content.get(step) if isinstance(content, dict) else None
    return content


def _number(found: Any) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(found: Any) -> int | None:
    number = _number(found)
    return int(number) if number is not None and number.is_integer() else None


def _words(found: Any) -> str:
    return found if isinstance(found, str) else ""
