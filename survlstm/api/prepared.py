"""Prepared data as torch datasets, for training loops of your own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from survlstm.api.composition import Overrides, PathLike, compose_one, override_words
from survlstm.api.exclusions import exclusion_table
from survlstm.config.schema.run import RunConfig
from survlstm.data.batches import Batch, Batches
from survlstm.data.factory import build_batches, build_prepared, build_settings
from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.vocabulary import Vocabulary
from survlstm.models.factory import build_model
from survlstm.models.protocol import LinearStart
from survlstm.report.console_summary import log_preparation
from survlstm.report.formatting import format_count
from survlstm.report.value_table import value_rows, value_table
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.linear_start import start_linear_part
from survlstm.utils.errors import ConfigError
from survlstm.utils.logs import logging_to


class Subject(NamedTuple):
    """One subject of a dataset; ``PreparedCohort.collate`` makes a batch of several.

    On the days clock an item is a record with all its prediction times to train on; the label is that of the first one.

    Attributes:
        row: Row of the subject in ``PreparedCohort.subjects``, and in the tensors of all splits.
        visits: Number of visits that a model may see.
        step: Last step at risk, see ``survlstm.survival.steps``.
        event: Whether the event happened in that step.
        duration_days: Days from time zero to the event or the end of follow-up.
        prediction_times: On the days clock, rows of the prediction times to train on in
            ``PreparedCohort.prediction_times``; empty on the other clocks.
    """

    row: int
    visits: int
    step: int
    event: bool
    duration_days: float
    prediction_times: tuple[int, ...] = ()


class SubjectDataset(Dataset[Subject]):
    """The subjects of one split, a map-style dataset.

    Attributes:
        tensors: Arrays of the subjects of all splits.
        members: Rows of the subjects of this split.
        split: The split.
    """

    def __init__(self, tensors: Tensors, split: Split) -> None:
        self.tensors = tensors
        self.split = split
        self.members = tensors.members(split)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> Subject:
        row, tensors = int(self.members[index]), self.tensors
        rows = tensors.rows_of(np.array([row]))
        first = int(rows[0])
        return Subject(
            row=row,
            visits=int(tensors.visit_offsets[row + 1] - tensors.visit_offsets[row]),
            step=int(tensors.step[first]),
            event=bool(tensors.event[first]),
            duration_days=float(tensors.duration_days[first]),
            prediction_times=tuple(rows.tolist()) if tensors.clock == "days" else (),
        )

    def __repr__(self) -> str:
        return (
            f"<SubjectDataset {self.split.name.lower()}: {len(self):,} subjects{self._times}, {self.events:,} with the "
            "event>"
        )

    @property
    def events(self) -> int:
        """Number of subjects with the event, on the days clock within the intervals after a prediction time."""
        return int(self.tensors.has_event[self.members].sum())

    @property
    def _times(self) -> str:
        if self.tensors.clock != "days":
            return ""
        return f" at {format_count(len(self.tensors.rows_of(self.members)), 'prediction time')}"


@dataclass(frozen=True, repr=False)
class PreparedCohort:
    """Prepared data of a cohort: a dataset per split, and a model that reads them.

    Use ``survlstm.prepare`` to make one. Vocabulary and feature scales were fitted on the training subjects.

    Attributes:
        config: The validated config.
        data: Tensors, the fitted values, and counts of what was left out.

    Example:
        >>> prepared = survlstm.prepare("experiment=smoke")
        >>> loader = DataLoader(prepared.train, batch_size=32, shuffle=True, collate_fn=prepared.collate)
        >>> model = prepared.build_model()
    """

    config: RunConfig
    data: PreparedData

    @cached_property
    def train(self) -> SubjectDataset:
        """The training subjects."""
        return SubjectDataset(self.data.tensors, Split.TRAIN)

    @cached_property
    def val(self) -> SubjectDataset:
        """The validation subjects."""
        return SubjectDataset(self.data.tensors, Split.VAL)

    @cached_property
    def test(self) -> SubjectDataset:
        """The test subjects."""
        return SubjectDataset(self.data.tensors, Split.TEST)

    @property
    def vocabulary(self) -> Vocabulary:
        """The codes that the model knows."""
        return self.data.vocabulary

    @property
    def exclusions(self) -> pd.DataFrame:
        """What the preparation left out: one row per reason, of subjects, of visits and of coded entries.

        On the days clock also of prediction times.
        """
        flow = self.data.flow
        subjects = [(rule.reason, rule.subjects, rule.events) for rule in flow.subjects_excluded]
        times = flow.prediction_times.left_out if flow.prediction_times else {}
        return exclusion_table(
            subjects, visits=flow.visits_left_out, entries=flow.entries_left_out, prediction_times=times
        )

    @property
    def values(self) -> pd.DataFrame:
        """The counts of values and the fitted bins: one row per code and unit, the most frequent one first.

        The columns are those of ``survlstm.Run.values``; descriptions are not read. No row with ``data.values=none``.
        """
        counts = self.data.flow.values
        return value_table(() if counts is None else value_rows(counts, {}, build_settings(self.config)))

    @property
    def subjects(self) -> pd.DataFrame:
        """The subjects of all splits by their id: split, last step at risk, event, days of follow-up and visits.

        On the days clock: split, whether any prediction time has the event, visits, and the number of prediction times
        to train on; ``prediction_times`` has their labels.
        """
        tensors = self.data.tensors
        if tensors.clock == "days":
            of_days = {
                "split": [Split(number).name.lower() for number in tensors.split],
                "event": tensors.has_event,
                "visits": tensors.visits_per_subject,
                "prediction_times": tensors.trained_rows,
            }
            return pd.DataFrame(of_days, index=pd.Index(tensors.subject_id, name="subject_id"))
        columns = {
            "split": [Split(number).name.lower() for number in tensors.split],
            "step": tensors.step,
            "event": tensors.event,
            "duration_days": tensors.duration_days,
            "visits": tensors.visits_per_subject,
        }
        return pd.DataFrame(columns, index=pd.Index(tensors.subject_id, name="subject_id"))

    @property
    def prediction_times(self) -> pd.DataFrame:
        """The prediction times of all subjects on the days clock, in the order of their rows in the tensors.

        ``kind`` is "trained" or the rule of ``evaluation.times``, ``visits`` the number of visits on or before the
        time, and ``exposure`` the observed share of the interval after ``step``. No row on the other clocks.
        """
        tensors = self.data.tensors
        kinds = np.array(["trained", *self.config.evaluation.times], dtype=object)
        columns = {
            "subject_id": tensors.subject_id[tensors.row_subject],
            "split": [Split(number).name.lower() for number in tensors.split[tensors.row_subject]],
            "prediction_time": tensors.row_time,
            "kind": kinds[tensors.row_kind],
            "visits": tensors.row_visits,
            "step": tensors.step,
            "event": tensors.event,
            "duration_days": tensors.duration_days,
            "exposure": tensors.exposure,
        }
        table = pd.DataFrame(columns)
        return table if tensors.clock == "days" else table[:0]

    def collate(self, subjects: Sequence[Subject]) -> Batch:
        """Make the batch of some subjects, as the ``collate_fn`` of a ``DataLoader``.

        The dropout of a survlstm model draws its masks from keys in the batch. They are made from a number of torch's
        global generator, so that the masks differ between epochs, and repeat after ``torch.manual_seed``.

        Args:
            subjects: Items of the datasets, at least one.

        Returns:
            The batch, on the CPU: ``inputs`` for the model, ``at_risk`` and ``event`` for the loss; on the days clock
            also ``weight``, and all of them have a row for each prediction time, subject after subject.
        """
        salt = int(torch.randint(2**31 - 1, ()))
        return self._batches.collate(np.array([subject.row for subject in subjects], dtype=np.int64), salt=salt)

    def build_model(self) -> nn.Module:
        """Build the model of the config with new weights, in the sizes of the data.

        Returns:
            The model in training mode, on the CPU. Its weights are drawn from torch's global generator, and its hazards
            begin near the mean hazard of the training subjects. A model with a linear part begins at its regression.
        """
        model = build_model(
            self.config.model,
            self.data.preprocessing.sizes,
            mean_hazard=initial_hazard(self.data.tensors),
        )
        if isinstance(model, LinearStart):
            start_linear_part(model, self._batches, vocabulary_size=len(self.vocabulary))
        return model

    @cached_property
    def _batches(self) -> Batches:
        return build_batches(self.config, self.data.tensors, Split.TRAIN)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part.split.name.lower()} {len(part):,}" for part in (self.train, self.val, self.test))
        tensors = self.data.tensors
        subjects = f"{len(tensors.subject_id):,} subjects ({sizes}), {int(tensors.has_event.sum()):,} with the event"
        if self.data.flow.prediction_times is not None:
            subjects += f", {format_count(self.data.flow.prediction_times.trained, 'prediction time')}"
        return f"<PreparedCohort of {subjects}; {tensors.clock} clock, {len(self.vocabulary):,} codes>"

    def _repr_html_(self) -> str:
        parts = (self.train, self.val, self.test)
        rows = "".join(
            f"<tr><th>{part.split.name.lower()}</th><td>{len(part):,}</td><td>{part.events:,}</td></tr>"
            for part in parts
        )
        head = "<tr><th>split</th><th>subjects</th><th>with the event</th></tr>"
        return f"<p>{escape(repr(self))}</p><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def prepare(overrides: Overrides = (), *, config_dir: PathLike | None = None) -> PreparedCohort:
    """Prepare the data of a run, or load them from the cache, without training.

    Args:
        overrides: Overrides of ``survlstm train``, or Python values by key, see ``survlstm.train``.
        config_dir: A folder with config groups of your own; None for none.

    Returns:
        The datasets of the training, validation and test subjects, with the exclusions.

    Raises:
        ConfigError: The overrides are not valid, or the cache can't be written.
        SourceError: The export can't be read.
        CohortError: No subject is eligible, or a split is empty.
        OutcomeError: The outcome can't be derived from the records.

    Example:
        >>> prepared = survlstm.prepare(["data.path=export", "outcome=first_code"])
        >>> prepared.exclusions
    """
    words = override_words(overrides, function="prepare", config_dir=config_dir)
    config = compose_one("train", words, RunConfig)
    if config.resume is not None:
        raise ConfigError("survlstm.prepare takes no resume; survlstm.train(['resume=RUN']) resumes a run")
    with logging_to(None):
        data = build_prepared(config)
        log_preparation(data)
    return PreparedCohort(config, data)
