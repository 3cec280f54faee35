"""Write the model card of a bundle in Markdown, with the sections of Mitchell et al. 2019 (FAT* '19)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from survlstm.config.schema.foreign import ForeignOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.data.factory import build_settings
from survlstm.inference.bundle.bundle import BundleInfo, ReferencePredictions
from survlstm.report.task import outcome_banner
from survlstm.utils.formatting import MISSING
from survlstm.utils.time_rules import TimeSpec

# Description of an outcome by its class; the codes are inserted.
OUTCOMES = {
    "DeathOutcome": "Death from any cause.",
    "FirstCodeOutcome": "The first entry of any of the codes {codes}, in a subject who had none at the first visit.",
    "SyntheticOutcome": "Synthetic: events drawn by a formula from the history, for tests of the software.",
    "RandomOutcome": "Random: events drawn independently of the history, as a control.",
}
STEPS = {
    "visit": (
        "Step j is the interval from visit j to visit j+1; its hazard is the probability of the event in the step, "
        "given no event before it and visits 0 to j. The time of a visit is that of its last entry."
    ),
    "landmark": (
        "Step k is an interval of days after the landmark; its hazard is the probability of the event in the step, "
        "given no event before it and the visits dated on or before the landmark."
    ),
    "days": (
        "Step k is an interval of days after a prediction time; its hazard is the probability of the event in the "
        "step, given no event before it, the visits dated on or before the prediction time and the days since the last "
        "of them."
    ),
}


def describe_outcome(outcome: SwapPoint, descriptions: dict[str, str]) -> str:
    """Describe an outcome in one or two sentences.

    Args:
        outcome: config of the outcome.
        descriptions: description of a code by its name, shown in brackets after the code.

    Returns:
        The sentences of ``OUTCOMES`` with the codes inserted; for a class of the user's own its name.
    """
    settings = outcome.settings()
    if isinstance(outcome, ForeignOutcomeConfig):
        return f"As the class {outcome.target} defines it."
    codes = ", ".join(_named(code, descriptions) for code in settings.get("codes", []))
    return OUTCOMES[settings["_target_"].rsplit(".", 1)[1]].format(codes=codes)


def describe_landmark(config: RunConfig) -> str:
    """Describe the position of the landmark.

    Args:
        config: config of the run.

    Returns:
        The number of the visit, from 0, the days after the first visit, the codes of the visit, or the file, as text;
        empty on the other clocks.
    """
    clock = config.clock
    if clock.kind != "landmark":
        return ""
    if clock.first_code is not None:
        return f"the first visit with one of the codes {', '.join(clock.first_code)}"
    if clock.visit is not None:
        return f"visit {clock.visit} (0 = the first)"
    return "the times of a file" if clock.day is None else f"{clock.day:g} days after the first visit"


def describe_times(config: RunConfig) -> str:
    """Describe the prediction times of the training.

    Args:
        config: config of the run.

    Returns:
        The rules in words, separated by semicolons; empty on the other clocks.
    """
    if config.clock.kind != "days":
        return ""
    return "; ".join(_rule_in_words(spec, config.data.min_visits) for spec in config.clock.specs)


def _rule_in_words(spec: TimeSpec, min_visits: int) -> str:
    return {
        "visit": f"visit {spec.number:g} (0 = the first)",
        "every_visit": f"every visit, from the visit on with which a subject has {min_visits}",
        "day": f"{spec.number:g} days after the first visit",
        "every_days": f"every {spec.number:g} days after the first visit",
        "as_of": f"the end of {spec.place}",
        "last": "the last visit",
        "file": f"the times of the file {PurePath(spec.place).name}",
    }[spec.kind]


def describe_cohort(config: RunConfig) -> str:
    """Describe the rules of the cohort that predictions apply as well.

    Args:
        config: config of the run.

    Returns:
        The rules in words, separated by semicolons; empty without rules.
    """
    return "; ".join(f"{name}: {rule.words}" for name, rule in build_settings(config).cohort.named_rules())


def describe_model(config: RunConfig) -> str:
    """Describe the class of the model and its settings.

    Args:
        config: config of the run.

    Returns:
        The name of the class and its settings, without the visit features.
    """
    settings = config.model.settings()
    name = str(settings.pop("_target_")).rpartition(".")[2]
    settings.pop("visit_features", None)
    return ", ".join([name, *(f"{key} {value}" for key, value in settings.items())])


def describe_values(values: dict[str, Any] | None) -> str:
    """Describe how a model uses the numerical values of entries.

    Args:
        values: the part ``values`` of ``TrainingCohort``; None in the bundle of an older version, which used none.

    Returns:
        The form of the values and the number of measures, which are pairs of a code and a unit.
    """
    if values is None or values["form"] == "none":
        return "not read"
    parts = {"bins": ("bins",), "continuous": ("columns",), "both": ("bins", "columns")}[values["form"]]
    counts = ", ".join(f"{values[f'with_{part}']:,} with {part}" for part in parts)
    return f"{values['form']}: of {values['measures']:,} pairs of code and unit, {counts}"


def write_card(
    about: BundleInfo,
    config: RunConfig,
    *,
    reference: ReferencePredictions,
    cohort: dict[str, Any],
    metrics: dict[str, Any],
    figures: Sequence[str],
    has_onnx: bool,
) -> str:
    """Write the model card as Markdown.

    Args:
        about: description of the bundle.
        config: config of the run.
        reference: predictions for the training subjects.
        cohort: summary of the training cohort, see ``TrainingCohort``.
        metrics: evaluation of the model, see ``ReportedMetrics``.
        figures: names of the files in the folder figures.
        has_onnx: whether the bundle holds an ONNX model.

    Returns:
        The text of the card.
    """
    environment = Environment(
        loader=PackageLoader("survlstm.inference.bundle", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {"estimate": _estimate, "cell": _cell, "figure_name": _figure_name}
    return environment.get_template("card.md.jinja").render(
        about=about,
        config=config,
        sizes=describe_model(config),
        banner=outcome_banner(config.outcome),
        landmark=describe_landmark(config),
        times=describe_times(config),
        # None in the bundles of other clocks.
        rows=cohort.get("prediction_times"),
        rules=describe_cohort(config),
        values=describe_values(cohort.get("values")),
        reference=reference,
        cohort=cohort,
        metrics=metrics,
        evaluation=metrics["test"],
        findings=[finding for finding in metrics["diagnostics"] if finding["level"] in {"failure", "warning"}],
        figures=figures,
        has_onnx=has_onnx,
        excluded="; ".join(
            f"{rule['reason']} {rule['subjects']} ({rule['events']} with the event)" for rule in cohort["excluded"]
        ),
    )


def _named(code: str, descriptions: dict[str, str]) -> str:
    return f"{code} ({descriptions[code]})" if code in descriptions else code


def _estimate(estimate: dict[str, Any] | None, digits: int = 3) -> str:
    if estimate is None or estimate["value"] is None:
        return MISSING
    bounds = estimate["interval"]
    value = f"{estimate['value']:.{digits}f}"
    return value if bounds is None else f"{value} ({bounds['low']:.{digits}f} to {bounds['high']:.{digits}f})"


def _cell(text: str) -> str:
    """Escape text from an export or a config for a cell of a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())


def _figure_name(file: str) -> str:
    """Return the alternative text of a figure."""
    return file.rsplit(".", 1)[0].replace("c_td", "C-index").replace("_", " ")
