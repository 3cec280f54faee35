"""The verbs that ship a model, ``export`` to ``serve``: each composes its config, validates it and hands it on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from survlstm.config.commands import ExplainConfig, ExportConfig, PlotConfig, PredictConfig, ServeConfig
from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.overrides import HELP
from survlstm.config.schema import conf_dir
from survlstm.config.section import SectionT
from survlstm.utils.errors import ConfigError
from survlstm.utils.logs import logging_to, run_reporting_errors


def export(arguments: list[str]) -> None:
    """Write a finished run's model with all that it takes to use it."""
    for config in _composed("export", ExportConfig, arguments):
        from survlstm.runs.export import export as write

        _tell(write, config, verbose=config.verbose)


def predict(arguments: list[str]) -> None:
    """Score the subjects of an export with a bundle."""
    for config in _composed("predict", PredictConfig, arguments):
        from survlstm.inference.predict_export import predict as score

        _tell(score, config, verbose=config.verbose)


def plot(arguments: list[str]) -> None:
    """Draw survival curves; the first word says what is plotted."""
    what = [word for word in arguments if "=" not in word and not word.startswith("-")]
    if what != ["survival"] and not HELP & set(arguments):
        raise ConfigError(f"survlstm plot draws survival: survlstm plot survival bundle=…; found {' '.join(what)!r}")
    for config in _composed("plot", PlotConfig, [word for word in arguments if word not in what]):
        from survlstm.inference.plot_survival import plot_survival

        _tell(plot_survival, config, verbose=config.verbose)


def explain(arguments: list[str]) -> None:
    """Say which codes move a run's predicted hazard."""
    for config in _composed("explain", ExplainConfig, arguments):
        from survlstm.runs.explain import explain as attribute

        _tell(attribute, config, verbose=config.verbose)


def serve(arguments: list[str]) -> None:
    """Answer over HTTP with a bundle's predictions, until it is told to stop."""
    for config in _composed("serve", ServeConfig, arguments):
        from survlstm.serving import serve as answer

        _tell(answer, config, verbose=config.verbose)


VERBS: dict[str, Callable[[list[str]], None]] = {
    "export": export,
    "predict": predict,
    "plot": plot,
    "explain": explain,
    "serve": serve,
}


def _composed(verb: str, schema: type[SectionT], arguments: list[str]) -> list[SectionT]:
    """The validated config; none where only help is asked for, which is then given."""
    refuse_sweep(verb, "does one thing", arguments)
    if HELP & set(arguments):
        sys.stdout.write((conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8"))
        return []
    return check_overrides(verb, arguments, schema)


def _tell(job: Callable[[SectionT], object], config: SectionT, *, verbose: bool) -> None:
    def told() -> None:
        with logging_to(None):
            job(config)

    # What is written aside goes when it is told to stop, too.
    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.signal(kind, lambda number, _: sys.exit(128 + number)) for kind in kinds}
    try:
        run_reporting_errors(told, verbose=verbose)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
