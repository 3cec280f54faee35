"""Schemas of the commands other than ``train`` and ``tune``."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from survlstm.config.schema.cohort import check_cohort_file
from survlstm.config.schema.data import DataConfig, SimulatedConfig
from survlstm.config.schema.evaluation import EvaluationConfig
from survlstm.config.schema.section import LARGEST_INT, PositiveInt, Section, Seed, Share, Text
from survlstm.config.schema.training import Device
from survlstm.utils.data_location import place_exists, refuse_password
from survlstm.utils.time_rules import FILE_ENDINGS


class EvaluatedCohortConfig(Section):
    """The subjects of another cohort that are evaluated; the rules are those of the run.

    Attributes:
        file: A .csv or .parquet file with subject_id and, if the run's landmarks came from a file, prediction_time;
            None means all subjects.
    """

    file: Text | None = None

    @field_validator("file")
    @classmethod
    def _is_a_table(cls, file: str | None, info: ValidationInfo) -> str | None:
        return file if file is None else check_cohort_file(file, info)


class EvaluateConfig(Section):
    """``survlstm evaluate``.

    Attributes:
        run: The folder of the run.
        data: Another cohort, which is then the test split as a whole; None means the run's own.
        cohort: The file of the other cohort.
        evaluation: The intervals, landmarks and baselines; None means those of the run.
        split: The split of the run's own cohort that is evaluated.
        device: The device: auto, cpu, cuda or cuda:N.
        cache_dir: The folder of prepared cohorts.
        output_dir: The folder of the evaluation.
        allow: Classes that are not part of survlstm and may be imported although only the run's folder names them.
        verbose: Whether an error keeps its traceback.
    """

    run: Text
    data: DataConfig | None = None
    cohort: EvaluatedCohortConfig = Field(default=EvaluatedCohortConfig())
    evaluation: EvaluationConfig | None = None
    split: Literal["train", "val", "test"]
    device: Device
    cache_dir: Text
    output_dir: Text
    allow: list[Text]
    verbose: bool

    @model_validator(mode="after")
    def _another_cohort_is_test(self) -> EvaluateConfig:
        if self.data is not None and self.split != "test":
            raise ValueError(f"split must be test if data names another cohort; found {self.split}")
        if self.data is None and self.cohort.file is not None:
            raise ValueError("cohort.file is the file of another cohort, which data= must name; found data=null")
        return self


class CompareConfig(Section):
    """``survlstm compare``.

    Attributes:
        evaluation: The settings of the intervals; landmarks and baselines are not used.
        output: The folder of the comparison's files; None writes none.
        seed: The seed of the bootstrap.
        verbose: Whether an error keeps its traceback.
    """

    evaluation: EvaluationConfig
    output: Text | None
    seed: Seed
    verbose: bool


class RerunConfig(Section):
    """``survlstm rerun``.

    Attributes:
        cache_dir: The folder of prepared cohorts.
        output_dir: The folder of the repeated run.
        allow: Classes that are not part of survlstm and may be imported although only the run's folder names them.
        verbose: Whether an error keeps its traceback.
    """

    cache_dir: Text
    output_dir: Text
    allow: list[Text]
    verbose: bool


class SimulateConfig(SimulatedConfig):
    """``survlstm simulate``.

    Attributes:
        output: The folder of the CSV files.
        verbose: Whether an error keeps its traceback.
    """

    output: Text
    verbose: bool


class ConvertConfig(Section):
    """``survlstm convert``.

    Attributes:
        data: The records; how they are grouped into visits has no influence.
        output: The folder of the MEDS dataset.
        name: The name of the dataset; None means the name of the folder that ``data.path`` names.
        subjects_at_once: The number of records held in memory, and of the subjects of a shard.
        cache_dir: The folder for temporary files.
        verbose: Whether an error keeps its traceback.
    """

    data: DataConfig
    output: Text
    name: Text | None
    subjects_at_once: PositiveInt
    cache_dir: Text
    verbose: bool


class ExportConfig(Section):
    """``survlstm export``.

    Attributes:
        run: The folder of the run.
        output: The bundle, a folder or a file that ends in .zip.
        format: ``native``, or ``onnx`` for an ONNX model beside the native one.
        cache_dir: The folder of prepared cohorts.
        allow: Classes that are not part of survlstm and may be imported although only the run's folder names them.
        verbose: Whether an error keeps its traceback.
    """

    run: Text
    output: Text
    format: Literal["native", "onnx"]
    cache_dir: Text
    allow: list[Text]
    verbose: bool


class ScoredSourceConfig(Section):
    """The part of a bundle's data source that a prediction may change.

    Attributes:
        max_unusable_share: The share of a table's rows that may be unusable; None means the share of the training.
    """

    max_unusable_share: Share | None


class ScoredDataConfig(Section):
    """The export whose subjects are predicted; the bundle says how it is read and grouped into visits.

    Attributes:
        path: A folder with Synthea CSV tables or a MEDS dataset, or what else the bundle's source reads.
        source: What may differ from the bundle's data source.
    """

    path: Text
    source: ScoredSourceConfig

    @field_validator("path")
    @classmethod
    def _exists(cls, path: str) -> str:
        refuse_password(path)
        if not place_exists(path):
            raise ValueError(
                "must be a folder with Synthea CSV tables or a MEDS dataset, or what else the bundle's source reads; "
                f"found {path!r}, which does not exist"
            )
        return path


class _ScoringConfig(Section):
    """The keys that ``predict`` and ``plot`` share; ``takes_table`` says whether ``as_of`` may be a file.

    Attributes:
        bundle: The bundle.
        data: The export.
        as_of: Later events are not read, a day or a time; None reads every event. On the days clock it is the
            prediction time, and None and ``last`` stand for the last visit.
        subjects_at_once: The number of records held in memory.
        cache_dir: The folder of prepared cohorts.
        allow: Classes that are not part of survlstm and may be imported although only the bundle names them.
        verbose: Whether an error keeps its traceback.
    """

    bundle: Text
    data: ScoredDataConfig
    as_of: Text | None
    subjects_at_once: PositiveInt
    cache_dir: Text
    allow: list[Text]
    verbose: bool
    takes_table: ClassVar[bool] = False

    @field_validator("as_of")
    @classmethod
    def _is_a_time(cls, as_of: str | None) -> str | None:
        if as_of is None or as_of == "last" or (cls.takes_table and as_of.endswith(FILE_ENDINGS)):
            return as_of
        try:
            datetime.datetime.fromisoformat(as_of)
        except ValueError as error:
            others = (
                "last, or a .csv or .parquet file with subject_id and prediction_time" if cls.takes_table else "last"
            )
            raise ValueError(
                f"must be a day or a time, written YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, or {others}; found {as_of!r}"
            ) from error
        return as_of


class PredictConfig(_ScoringConfig):
    """``survlstm predict``.

    Attributes:
        output: A file that ends in .parquet or .csv.
        as_of: As for ``plot``; on the days clock also a .csv or .parquet file with subject_id and prediction_time, any
            number of rows per subject.
        per_visit: Whether every visit gets a prediction from what was known then, not only the last one.
        horizons: The prediction times, in the unit of the bundle's clock; None means those of its evaluation.
    """

    output: Text
    per_visit: bool
    horizons: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None
    takes_table: ClassVar[bool] = True

    @field_validator("output")
    @classmethod
    def _known_ending(cls, output: str) -> str:
        if not output.endswith((".parquet", ".csv")):
            raise ValueError(f"must end in .parquet or .csv; found {output!r}")
        return output


def _is_id(value: Any) -> Any:
    # Not checked by type: the message must not show the value, which may contain a subject's id.
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError("must be an id, as text or a whole number; found another value")
    return value


def _are_ids(values: Any) -> Any:
    if not isinstance(values, list) or not values:
        raise ValueError("must be a list with at least one id, as in subjects=[ID,ID]; found none")
    return values


SubjectId = Annotated[Text | int, BeforeValidator(_is_id)]


class PlotConfig(_ScoringConfig):
    """``survlstm plot survival``.

    Attributes:
        output: The folder of the figures.
        subjects: The ids of the plotted subjects; None means those of the lowest, the median and the highest risk.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    output: Text
    subjects: Annotated[list[SubjectId], BeforeValidator(_are_ids)] | None


class ExplainConfig(Section):
    """``survlstm explain``.

    Attributes:
        run: The folder of the run.
        split: The split whose subjects are explained.
        subjects_at_most: The number of explained subjects, drawn at random if the split has more.
        subject: The id of the subject that is explained over time; None means the one of the highest risk.
        integration_steps: The steps of integrated gradients.
        resamples: The number of bootstrap resamples of the explained subjects.
        shuffles: The number of models with shuffled weights, for comparison.
        top: The number of codes shown.
        seed: The seed of the draws.
        cache_dir: The folder of prepared cohorts.
        output: The folder of the explanation; None means ``explanation/`` in the run folder, and a part of its report.
        allow: Classes that are not part of survlstm and may be imported although only the run's folder names them.
        verbose: Whether an error keeps its traceback.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    run: Text
    split: Literal["test", "val", "train"]
    subjects_at_most: PositiveInt
    subject: SubjectId | None
    integration_steps: Annotated[int, Field(ge=2, le=LARGEST_INT)]
    resamples: Annotated[int, Field(ge=100, le=LARGEST_INT)]
    shuffles: PositiveInt
    top: PositiveInt
    seed: Seed
    cache_dir: Text
    output: Text | None
    allow: list[Text]
    verbose: bool


class ServeConfig(Section):
    """``survlstm serve``.

    Attributes:
        bundle: The bundle.
        host: The address to listen on.
        names: Further host names of this server, such as the name of a proxy in front of it.
        port: The port to listen on; 0 lets the system choose one.
        max_body_mib: The largest body of a request, in MiB.
        max_events: The largest number of events in a request.
        allow: Classes that are not part of survlstm and may be imported although only the bundle names them.
        verbose: Whether an error keeps its traceback.
    """

    bundle: Text
    host: Text
    names: list[Text]
    port: Annotated[int, Field(ge=0, le=65535)]
    max_body_mib: Annotated[float, Field(gt=0, le=1024)]
    max_events: PositiveInt
    allow: list[Text]
    verbose: bool
