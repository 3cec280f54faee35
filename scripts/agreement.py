# mypy: disable-error-code="import-untyped"
"""Public data sets and random tied follow-up → a Markdown table: ours, the named library's, the difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_rossi
from lifelines.utils import concordance_index
from pycox.evaluation import EvalSurv
from pycox.evaluation.concordance import concordance_td as pycox_concordance
from sklearn.linear_model import LogisticRegression
from sksurv.datasets import load_bmt
from sksurv.metrics import (
    brier_score,
    concordance_index_censored,
    concordance_index_ipcw,
    integrated_brier_score,
)
from sksurv.metrics import cumulative_dynamic_auc as sksurv_auc
from sksurv.nonparametric import (
    CensoringDistributionEstimator,
    cumulative_incidence_competing_risks,
    kaplan_meier_estimator,
)
from SurvivalEVAL import d_calibration as survivaleval_d_calibration
from SurvivalEVAL import one_calibration as survivaleval_one_calibration

from survlstm.survival.aalen_johansen import aalen_johansen
from survlstm.survival.auc import cumulative_dynamic_auc
from survlstm.survival.brier import brier, integrated_brier, nbll
from survlstm.survival.calibration_line import calibration_line
from survlstm.survival.concordance import concordance_td
from survlstm.survival.d_calibration import d_calibration
from survlstm.survival.ipcw import outcome_at
from survlstm.survival.kaplan_meier import KaplanMeier, censoring_curve, confidence_band, kaplan_meier
from survlstm.survival.one_calibration import calibration_groups, one_calibration
from survlstm.survival.rank_concordance import c_harrell, c_uno
from tests.survival.reference import FollowUp, gbsg2, random_follow_up, survival_of, whas500

YEARS = np.array([365, 730, 1095, 1460, 1825])
SKSURV, LIFELINES, PYCOX = "scikit-survival", "lifelines", "pycox"
SURVIVALEVAL, SKLEARN = "SurvivalEVAL", "scikit-learn"
VARIANCES: tuple[Literal["greenwood", "binomial"], ...] = ("greenwood", "binomial")


class Row(NamedTuple):
    """One comparison; of arrays the entry with the largest difference is shown."""

    metric: str
    data: str
    library: str
    ours: Any
    theirs: Any


def main() -> None:
    """Print the agreement, then how often the calibration test rejects true models."""
    _print_agreement()
    print()
    _print_rejections()


def _print_agreement() -> None:
    print("| metric | data | ours | library's | library | difference |")
    print("|---|---|---:|---:|---|---:|")
    for rows in (_curves(), _ranks(), _ranks_with_ties(), _auc(), _brier(), _calibration()):
        for row in rows:
            ours, theirs = (np.atleast_1d(np.asarray(side, dtype=float)).ravel() for side in (row.ours, row.theirs))
            worst = np.argmax(np.abs(ours - theirs))
            library = f"{row.library} {version(row.library)}"
            shown = f"{ours[worst]:.10f} | {theirs[worst]:.10f} | {library} | {abs(ours - theirs)[worst]:.1e}"
            print(f"| {row.metric} | {row.data} | {shown} |")


def _curves() -> Iterator[Row]:
    sample = gbsg2(YEARS)
    curve, band = kaplan_meier(*sample[:2]), confidence_band(kaplan_meier(*sample[:2]))
    _, survival, (low, _) = kaplan_meier_estimator(sample.event, sample.duration, conf_type="log-log")
    fitted = KaplanMeierFitter().fit(sample.duration, sample.event)
    yield Row("Kaplan-Meier, whole curve", "GBSG2", SKSURV, curve.survival, survival)
    yield Row("Kaplan-Meier, whole curve", "GBSG2", LIFELINES, curve.survival, fitted.survival_function_.iloc[1:, 0])
    inside = curve.survival < 1
    yield Row("its log-log interval, lower end", "GBSG2", SKSURV, band.low[inside], low[inside])
    censoring = CensoringDistributionEstimator().fit(sample.structured)
    ours = censoring_curve(*sample[:2])
    yield Row("censoring curve G, whole", "GBSG2", SKSURV, ours.survival, censoring.predict_proba(ours.times))
    _, outcome = load_bmt()
    cause, duration = outcome["status"].astype(int), outcome["ftime"].astype(float)
    _, incidence = cumulative_incidence_competing_risks(cause, duration)
    ours_incidence = aalen_johansen(duration, cause, causes=2).incidence.T
    yield Row("Aalen-Johansen, two causes, whole curves", "BMT", SKSURV, ours_incidence, incidence[1:])


def _ranks() -> Iterator[Row]:
    table = load_rossi()
    fitted = CoxPHFitter().fit(table, "week", "arrest")
    duration, event = table["week"].to_numpy(), table["arrest"].to_numpy(bool)
    score = fitted.predict_partial_hazard(table).to_numpy()
    ours = c_harrell(score, duration=duration, event=event).c
    yield Row("c_harrell, Cox", "Rossi", LIFELINES, ours, fitted.concordance_index_)
    sample = whas500()
    labels: dict[str, Any] = {"duration": sample.duration, "event": sample.event}
    ours = c_harrell(sample.prediction, **labels).c
    theirs = concordance_index_censored(sample.event, sample.duration, sample.prediction)[0]
    yield Row("c_harrell", "WHAS500", SKSURV, ours, theirs)
    ours = c_uno(sample.prediction, **labels, censoring=censoring_curve(**labels)).c
    theirs = concordance_index_ipcw(sample.structured, sample.structured, sample.prediction)[0]
    yield Row("c_uno", "WHAS500", SKSURV, ours, theirs)


def _ranks_with_ties() -> Iterator[Row]:
    train, test = _tied_samples()
    labels: dict[str, Any] = {"duration": test.duration, "event": test.event}
    name = "random, 700, tied, 65 % censored"
    ours = c_harrell(test.prediction, **labels).c
    theirs = concordance_index_censored(test.event, test.duration, test.prediction)[0]
    yield Row("c_harrell", name, SKSURV, ours, theirs)
    yield Row("c_harrell", name, LIFELINES, ours, concordance_index(test.duration, -test.prediction, test.event))
    ours = c_uno(test.prediction, **labels, censoring=censoring_curve(train.duration, train.event), tau=9).c
    theirs = concordance_index_ipcw(train.structured, test.structured, test.prediction, tau=9)[0]
    yield Row("c_uno, tau = 9", name, SKSURV, ours, theirs)
    generator = np.random.default_rng(1)
    survival = np.cumprod(1 - generator.uniform(0.01, 0.3, (700, 13)), axis=1)
    ours = concordance_td(survival, step=test.duration, event=test.event).c_td
    theirs = pycox_concordance(test.duration, test.event, survival.T, test.duration, method="antolini")
    yield Row("c_td, no tied predictions", name, PYCOX, ours, theirs)


def _auc() -> Iterator[Row]:
    sample = whas500()
    labels: dict[str, Any] = {"duration": sample.duration, "event": sample.event}
    found = cumulative_dynamic_auc(sample.prediction, **labels, horizon=YEARS, censoring=censoring_curve(**labels))
    auc, mean = sksurv_auc(sample.structured, sample.structured, sample.prediction, YEARS)
    yield Row("auc_t, 1 to 5 years", "WHAS500", SKSURV, found.auc, auc)
    yield Row("mean auc_t", "WHAS500", SKSURV, found.mean_auc, mean)


def _brier() -> Iterator[Row]:
    sample, days = gbsg2(YEARS), np.arange(1095, 1826)
    labels: dict[str, Any] = {"duration": sample.duration, "event": sample.event}
    censoring = censoring_curve(**labels)
    at_event = replace(censoring, times=censoring.times - 0.5)
    options: dict[str, Any] = {**labels, "horizon": YEARS}
    _, theirs = brier_score(sample.structured, sample.structured, sample.prediction, YEARS)
    found = brier(sample.prediction, **options, censoring=at_event)
    yield Row("brier_t with G(T), 1 to 5 years", "GBSG2", SKSURV, found, theirs)
    found = brier(sample.prediction, **options, censoring=censoring)
    yield Row("**brier_t with G(T-), 1 to 5 years**", "GBSG2", SKSURV, found, theirs)
    yield from _pycox(sample, censoring)
    daily = gbsg2(days)
    theirs = integrated_brier_score(sample.structured, sample.structured, daily.prediction, days)
    options["horizon"] = days
    ibs = integrated_brier(daily.prediction, **options, censoring=at_event)
    yield Row("ibs with G(T)", "GBSG2", SKSURV, ibs, theirs)
    ibs = integrated_brier(daily.prediction, **options, censoring=censoring)
    yield Row("**ibs with G(T-)**", "GBSG2", SKSURV, ibs, theirs)


def _pycox(sample: FollowUp, censoring: KaplanMeier) -> Iterator[Row]:
    """pycox divides by the sum of the weights; ours are divided by it here too, and both are given the same G."""
    options: dict[str, Any] = {"duration": sample.duration, "event": sample.event, "censoring": censoring}
    nobody = np.zeros(len(sample.event))
    values, times = np.append(1.0, censoring.survival), np.append(0.0, censoring.times)
    curve = EvalSurv(pd.DataFrame(np.tile(values[:, None], len(nobody)), index=times), nobody, nobody)
    frame = pd.DataFrame(sample.prediction.T, index=YEARS)
    judged = EvalSurv(frame, sample.duration, sample.event.astype(int), censor_surv=curve)
    share = np.array([outcome_at(at, **options).weight.mean() for at in YEARS.tolist()])
    ours = brier(sample.prediction, horizon=YEARS, **options) / share
    yield Row("brier_t with G(T-), over the sum of weights", "GBSG2", PYCOX, ours, judged.brier_score(YEARS))
    ours = nbll(sample.prediction, horizon=YEARS, **options) / share
    yield Row("nbll_t with G(T-), over the sum of weights", "GBSG2", PYCOX, ours, judged.nbll(YEARS))


def _calibration() -> Iterator[Row]:
    survival, event = np.array([0.95, 0.55, 0.5, 0.05, 0.33]), np.array([True, True, False, True, False])
    ours, (_, p_value, bins) = d_calibration(survival, event=event), survivaleval_d_calibration(survival, event)
    yield Row("d_calibration, bins", "five subjects", SURVIVALEVAL, ours.subjects, bins)
    yield Row("d_calibration, p", "five subjects", SURVIVALEVAL, ours.p_value, p_value)
    sample = whas500()
    survival = survival_of(sample.prediction)
    labels: dict[str, Any] = {"duration": sample.duration, "event": sample.event}
    table = calibration_groups(survival, **labels, horizon=365)
    for variance in VARIANCES:
        found = one_calibration(table, variance=variance)
        p_value, statistic, _, _ = survivaleval_one_calibration(
            1 - survival, sample.duration, sample.event, 365, adjust_variance=variance == "greenwood"
        )
        yield Row(f"one_calibration, {variance}, statistic", "WHAS500", SURVIVALEVAL, found.statistic, statistic)
        yield Row(f"one_calibration, {variance}, p", "WHAS500", SURVIVALEVAL, found.p_value, p_value)
    censoring = censoring_curve(**labels)
    happened, weight = outcome_at(365, **labels, censoring=censoring)
    logit = np.log((1 - survival) / survival)[:, None]
    fitted = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(logit, happened, weight)
    line = calibration_line(survival, **labels, horizon=365, censoring=censoring)
    yield Row("calibration slope", "WHAS500", SKLEARN, line.slope, fitted.coef_)
    yield Row("calibration intercept", "WHAS500", SKLEARN, line.intercept, fitted.intercept_)


def _tied_samples() -> tuple[FollowUp, FollowUp]:
    generator = np.random.default_rng(0)
    return random_follow_up(generator, subjects=700), random_follow_up(generator, subjects=700)


def _print_rejections() -> None:
    """400 cohorts of 1,000 drawn from the predicting model itself, more and more of them censored; five groups."""
    generator = np.random.default_rng(0)
    print("| censored before the horizon | greenwood | binomial |")
    print("|---:|---:|---:|")
    for longest_follow_up in (30.0, 3.0, 1.3):
        seen = [_true_model(generator, longest_follow_up=longest_follow_up) for _ in range(400)]
        print("| " + " | ".join(f"{100 * share:.1f} %" for share in np.mean(seen, axis=0)) + " |")


def _true_model(generator: np.random.Generator, *, longest_follow_up: float) -> tuple[float, bool, bool]:
    """The share censored before the horizon, and whether either variance rejects at 5 %."""
    rate = generator.uniform(0.5, 1.5, 1000)
    duration, follow_up = generator.exponential(1 / rate), generator.uniform(0, longest_follow_up, 1000)
    observed, event = np.minimum(duration, follow_up), duration <= follow_up
    table = calibration_groups(np.exp(-rate), duration=observed, event=event, horizon=1.0, groups=5)
    greenwood, binomial = (one_calibration(table, variance=variance).p_value for variance in VARIANCES)
    return float(np.mean(~event & (observed < 1))), greenwood < 0.05, binomial < 0.05


if __name__ == "__main__":
    main()
