"""A run's folder, whole or half-written → what it says of itself; what can't be read is None and a note, no error.

A sweep is looked at while its jobs run and after it was killed: any file may be missing, cut or of an older version.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from survlstm.evaluation.results import Estimate, Interval
from survlstm.runs.folder import RunRecord, is_finished, read_run_record
from survlstm.utils.errors import first_line
from survlstm.utils.nested import flatten
from survlstm.utils.stored_files import MOST_CONFIG_BYTES, parse_yaml, read_bytes, read_json

STATES = ("finished", "running", "failed", "stopped", "killed", "unknown")
# The parser in C takes a tenth of the time, which is felt over a hundred runs; but a file nested without end overflows
# its stack, and the process is gone. A config of ours is a fifth as long.
_FAST_YAML, _FAST_LENGTH = getattr(yaml, "CSafeLoader", yaml.SafeLoader), 10_000

# A setting as a table shows it: a number where it is one, else as it is written in an override; None where unknown.
Value = int | float | str | None


@dataclass(frozen=True)
class SplitMetrics:
    """The model's figures on one split, None where there are none; nll in nats per subject."""

    nll: Estimate | None = None
    c_td: Estimate | None = None


@dataclass(frozen=True)
class RunRow:
    """What one run's folder says.

    ``name`` is the folder's, or its path below a sweep. ``overrides`` are those of the command by key, None where no
    record tells them; ``config`` is every value by its dotted key. The validation figures of a run that is not finished
    are those of its best epoch so far. ``against_baseline`` is "beats", "not shown", "worse" or "undecided", None where
    nothing was judged. ``seconds`` are those of all the run's lives, ``cost`` is in dollars.
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
        """One of STATES."""
        return self.record.state

    @property
    def is_finished(self) -> bool:
        """Whether its figures are final."""
        return self.state == "finished"

    def setting(self, key: str) -> Value:
        """The value of a key or group: as overridden, else as in the config; None where neither knows it."""
        overrides = self.overrides or {}
        return overrides[key] if key in overrides else self.config.get(key)


def find_runs(folder: Path) -> list[Path]:
    """The run folders below ``folder``, job 2 before job 10; nothing inside a run's folder is looked at."""
    found = []
    for parent, folders, files in os.walk(folder):
        if Path(parent) != folder and _is_run(files):
            found.append(Path(parent))
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(found, key=lambda path: _natural(path.relative_to(folder)))


def _is_run(files: list[str]) -> bool:
    # survlstm evaluate leaves a manifest too, but trains nothing.
    evaluated = "evaluation.log" in files and not {"training.log", "history.json"} & set(files)
    return not evaluated and bool({"manifest.json", "training.log", "history.json"} & set(files))


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = [part for name in path.parts for part in re.split(r"(\d+)", name) if part]
    # isascii: a superscript two is a digit, and no number.
    return [(not _is_digits(part), int(part) if _is_digits(part) else 0, part) for part in parts]


def _is_digits(part: str) -> bool:
    return part.isascii() and part.isdigit()


def read_run(folder: Path, *, name: str | None = None) -> RunRow:
    """Everything a run's folder says; whatever is missing or broken there is None, and ``notes`` say what."""
    notes: list[str] = []
    record, overrides = _read_record(folder, notes)
    metrics = _read(folder / "metrics.json", notes, needed=record.state == "finished")
    history = _read(folder / "history.json", notes, needed=record.state == "finished")
    best, done = _epochs(history)
    baseline, against = _against_baseline(_at(metrics, "test", "rows"))
    if record.state == "finished" and metrics is not None and not _role(_at(metrics, "test", "rows"), "model"):
        notes.append("metrics.json has no test figures of the model")
    return RunRow(
        folder=folder,
        name=name or folder.name,
        record=record,
        overrides=overrides,
        config=_settings(_read(folder / "config.yaml", notes, needed=record.state == "finished")),
        val=_validation(metrics, best),
        test=_test(metrics),
        subjects=_whole(_at(metrics, "test", "subjects")),
        events=_whole(_at(metrics, "test", "events")),
        epochs=done,
        best_epoch=_whole(_at(metrics, "training", "best_epoch")) or _whole(_at(best, "epoch")),
        seconds=_number(_at(history, "usage", "seconds")),
        cost=_number(_at(history, "usage", "cost")),
        parameters=_whole(_at(history, "parameters")),
        against_baseline=against,
        baseline=baseline,
        notes=tuple(notes),
    )


def parse_override(line: str) -> tuple[str, Value]:
    """``model.dropout=0.1`` → ("model.dropout", 0.1); a deleted key, ``~key``, has the value "deleted"."""
    key, _, value = line.partition("=")
    if key.startswith("~"):
        return key.lstrip("~"), "deleted"
    return key.lstrip("+"), parse_value(value)


def parse_value(written: str) -> Value:
    """A number where it is a finite one; else the words, without the quotes around them."""
    written = written.strip()
    if len(written) > 1 and written[0] == written[-1] and written[0] in "'\"":
        return written[1:-1]
    for kind in (int, float):
        try:
            number = kind(written)
        except ValueError:
            continue
        # nan equals nothing, not even itself, and would be a group of its own each time.
        return number if math.isfinite(number) else written
    return written.lower() if written.lower() in {"true", "false", "null"} else written


def _read_record(folder: Path, notes: list[str]) -> tuple[RunRecord, dict[str, Value] | None]:
    """The record with sound types, and its overrides by key."""
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
        # A run of an older version: its page is written last.
        notes.append(sentence or "manifest.json names no known state; its page says that it was finished")
        manifest = _read(folder / "manifest.json", [], needed=False)
        started, ended = (_words(_at(manifest, time)) for time in ("started", "ended"))
        record = record._replace(state="finished", sentence="", started=started, ended=ended)
    return record, None


def _read(path: Path, notes: list[str], *, needed: bool) -> Any:
    """A file's content, None where it has none that can be read."""
    try:
        if path.suffix == ".json":
            return read_json(path)
        content = read_bytes(path, most=MOST_CONFIG_BYTES)
        # An alias, by which a few lines become gigabytes, needs an anchor.
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
    """The baseline with the highest c_td, and how the model stands to it, as the verdict's first line has it."""
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
    """The best epoch so far, and how many are done."""
    epochs = _at(history, "epochs")
    if not isinstance(epochs, list):
        return None, None
    named = [epoch for epoch in epochs if _at(epoch, "epoch") == _at(history, "best_epoch")]
    scored = [(loss, epoch) for epoch in epochs if (loss := _number(_at(epoch, "val_loss"))) is not None]
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
    """What stands at a path of keys; None where the path ends before."""
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
