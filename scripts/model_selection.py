"""Choose settings of a model by the validation likelihood over several cohorts and seeds; the test subjects are unused.

    python scripts/model_selection.py [real=DIR] [pbc2=DIR] [omop=FILE] [settings=NAME;…] [variants=NAME;…] [seeds=0,1]
        [override …]

``real`` is a folder with a real Synthea export named cohort_1000, ``pbc2`` the dataset of ``scripts/pbc2_to_meds.py``,
``omop`` the DuckDB file of Eunomia; settings that need them are left out without them. Every variant is the reference
with a few overrides. A row is a variant, a column a setting; a cell is the mean over seeds of the difference in the
validation loss to the reference, in nats per subject or prediction time, and in brackets the number of seeds in which
the variant is better.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from runs import read_options
from tqdm import tqdm

from survlstm.api.composition import compose_one
from survlstm.config.schema.run import RunConfig
from survlstm.data.tensors import Tensors
from survlstm.runs.train import train
from survlstm.training import linear_start
from survlstm.training.history import History, read_history
from survlstm.training.regression.history_regression import HistoryRegression, fit_history_regression

OPTIONS = {"real": "", "pbc2": "", "omop": "", "settings": "", "variants": "", "seeds": "0,1"}
REFERENCE = "nested_lstm"
START = "regression alone (epoch 0)"
SETTINGS = {
    "synthetic, real": ["data=cohort_1000", "data.path={real}/cohort_1000", "outcome=synthetic"],
    "synthetic, real, landmark": [
        "data=cohort_1000",
        "data.path={real}/cohort_1000",
        "outcome=synthetic",
        "clock=landmark",
    ],
    "sequence, built-in": [
        "data=cohort_1000",
        "data.simulated.patients=5000",
        "outcome=synthetic",
        "outcome.mechanism=sequence",
        "outcome.effect=4",
    ],
    "bleeding, every visit, Eunomia": [
        "data=omop",
        "data.path={omop}",
        "outcome=first_code",
        "outcome.codes=[SNOMED/74474003]",
        "clock=days",
        "clock.times=every_visit",
        "clock.horizon_days=365",
    ],
    "pbc2, every visit": [
        "data=meds",
        "data.path={pbc2}",
        "outcome=first_code",
        "outcome.codes=[PBC2//DEATH_OR_TRANSPLANTATION]",
        "clock=days",
        "clock.times=every_visit",
        "clock.edges_days=[183,365,548,731,913,1096]",
        "data.min_visits=1",
        "data.values=continuous",
    ],
}
NEXT_CODES = ["trainer.auxiliary.next_codes_weight=0.01"]
NEXT_VISIT = ["trainer.auxiliary.next_visit_weight=0.1"]
# Trains an encoder on both auxiliary losses alone first, on the same training subjects.
PRETRAINED = "pretrain=ENCODER"
VARIANTS = {
    REFERENCE: [],
    "lstm_medium": ["model=lstm_medium"],
    "lstm_small": ["model=lstm_small"],
    "linear part kept as fitted": ["model.linear_lr=0"],
    "linear learning rate 0.001": ["model.linear_lr=0.001"],
    "linear weight decay 0.1": ["model.linear_weight_decay=0.1"],
    "weight decay 0.1": ["optimizer.weight_decay=0.1"],
    "width 32": ["model.hidden_dim=32"],
    "width 128": ["model.hidden_dim=128"],
    "two layers": ["model.num_layers=2"],
    "dropout 0.5": ["model.dropout=0.5"],
    "code dropout 0.2": ["model.code_dropout=0.2"],
    "average of the weights 0.98": ["trainer.average_decay=0.98"],
    "ensemble of 5": ["model.ensemble=5"],
    "next codes 0.01": NEXT_CODES,
    "next codes 0.1": ["trainer.auxiliary.next_codes_weight=0.1"],
    "next visit 0.1": NEXT_VISIT,
    "next visit 1": ["trainer.auxiliary.next_visit_weight=1"],
    "next codes 0.01 and visit 0.1": [*NEXT_CODES, *NEXT_VISIT],
    "pretrained": [PRETRAINED],
    "pretrained, next codes 0.01 and visit 0.1": [PRETRAINED, *NEXT_CODES, *NEXT_VISIT],
    "gradients clipped at 1": ["model.grad_clip=1"],
    "learning rate 0.0003": ["optimizer.lr=0.0003"],
    "learning rate 0.003": ["optimizer.lr=0.003"],
}


def main(words: list[str]) -> None:
    """Train every variant in every setting with every seed, and print the table."""
    logging.disable(logging.WARNING)
    options, overrides = read_options(words, OPTIONS)
    settings = {name: found for name, found in SETTINGS.items() if _has_data(found, options)}
    settings = {name: settings[name] for name in options["settings"].split(";") if name} or settings
    variants = [REFERENCE, *(name for name in options["variants"].split(";") if name)]
    variants = variants if len(variants) > 1 else list(VARIANTS)
    seeds = options["seeds"].split(",")
    losses: dict[tuple[str, str], list[float]] = {}
    progress = tqdm(total=len(settings) * len(seeds) * len(variants), disable=None)
    for setting, data in settings.items():
        for seed in seeds:
            fit = _remembered()
            for variant in variants:
                task = [word.format(**options) for word in data]
                model = [f"model={REFERENCE}", *VARIANTS[variant]]
                with patch.object(linear_start, "shared_history_regression", fit):
                    history = _history([*task, f"seed={seed}", "trainer=cpu", *model, *overrides])
                losses.setdefault((variant, setting), []).append(history.best.val_loss)
                if variant == REFERENCE and history.start is not None:
                    losses.setdefault((START, setting), []).append(history.start.val_loss)
                progress.update()
    print("| variant | " + " | ".join(settings) + " |\n|---|" + "---:|" * len(settings))
    # Only a model with a linear part has an epoch 0.
    shown = [variant for variant in (START, *variants) if (variant, next(iter(settings))) in losses]
    for variant in shown:
        cells = [_cell(losses[variant, setting], losses[REFERENCE, setting]) for setting in settings]
        print(f"| {variant} | " + " | ".join(cells) + " |")


def _has_data(overrides: list[str], options: dict[str, str]) -> bool:
    return all(options[name] or f"{{{name}}}" not in word for name in ("real", "pbc2", "omop") for word in overrides)


def _history(words: list[str]) -> History:
    # The last of several overrides of the same key is the variant's.
    last = {word.split("=")[0]: word for word in words}
    config = compose_one("train", list(last.values()), RunConfig)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if config.pretrain == PRETRAINED.removeprefix("pretrain="):
            encoder = folder / "encoder"
            encoder.mkdir()
            alone = [*NEXT_CODES, *NEXT_VISIT, "trainer.auxiliary.only=true", "pretrain=null"]
            train(compose_one("train", [*last.values(), *alone], RunConfig), encoder, state=None)
            config = config.model_copy(update={"pretrain": str(encoder)})
        run = folder / "run"
        run.mkdir()
        train(config, run, state=None, judged=False)
        return read_history(run)


def _remembered() -> Callable[[Tensors, tuple[int, ...]], HistoryRegression]:
    """Return the fit of the regression, which is made once for all variants that read the same features."""
    found: dict[tuple[int, ...], HistoryRegression] = {}

    def fit(tensors: Tensors, columns: tuple[int, ...]) -> HistoryRegression:
        if columns not in found:
            found[columns] = fit_history_regression(tensors, columns)
        return found[columns]

    return fit


def _cell(values: list[float], reference: list[float]) -> str:
    if values is reference:
        return f"{statistics.mean(values):.4f}"
    differences = [value - other for value, other in zip(values, reference, strict=True)]
    better = sum(difference < 0 for difference in differences)
    return f"{statistics.mean(differences):+.4f} ({better})"


if __name__ == "__main__":
    main(sys.argv[1:])
