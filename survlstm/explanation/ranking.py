"""Ranking of codes by importance over many subjects, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.explanation.effects import METHODS, Effects


@dataclass(frozen=True)
class CodeRanking:
    """Ranking of the codes by one method, in the order of ``Effects.code``; values are log-odds of the event.

    The model is the same in all resamples, so that the intervals say nothing about another training.

    Attributes:
        effect: mean effect over the subjects that have the code, above 0 if the code raises the risk; shape (code,).
        effect_interval: 95 % percentile interval of ``effect`` over the resamples of subjects in which at least one
            subject has the code, lower and upper end; shape (code, 2).
        importance: mean absolute effect over all subjects, counting 0 for a subject without the code; shape (code,).
        importance_interval: 95 % percentile interval of ``importance``, lower and upper end; shape (code, 2).
        rank: rank by importance, 1 for the most important code; shape (code,).
        top_share: share of the resamples in which the code is among the first ``top`` codes; shape (code,).
    """

    effect: Float[np.ndarray, " code"]
    effect_interval: Float[np.ndarray, "code 2"]
    importance: Float[np.ndarray, " code"]
    importance_interval: Float[np.ndarray, "code 2"]
    rank: Int64[np.ndarray, " code"]
    top_share: Float[np.ndarray, " code"]


def rank_codes(effects: Effects, *, resamples: int, top: int, seed: int) -> dict[str, CodeRanking]:
    """Rank the codes by each of ``METHODS``, with the same resamples of subjects for both.

    Args:
        effects: effects of the codes on each subject's prediction.
        resamples: number of bootstrap resamples.
        top: number of codes that count as first in ``CodeRanking.top_share``.
        seed: seed of the resamples.

    Returns:
        The ranking by the name of the method.
    """
    return {method: _rank(effects, method, resamples=resamples, top=top, seed=seed) for method in METHODS}


def mean_effect(effects: Effects, method: str) -> Float[np.ndarray, " code"]:
    """Compute the mean effect of each code over the subjects that have it.

    Args:
        effects: effects of the codes on each subject's prediction.
        method: one of ``METHODS``.

    Returns:
        Mean effect in log-odds, above 0 if the code raises the risk, in the order of ``effects.code``; shape (code,).
    """
    return effects.by(method).sum(axis=0) / effects.present.sum(axis=0)


def rank_agreement(first: Float[np.ndarray, " code"], second: Float[np.ndarray, " code"]) -> float:
    """Compute Spearman's rank correlation.

    Args:
        first: one value per code; shape (code,). Equal values share the mean of their ranks.
        second: values of the same codes in the same order; shape (code,).

    Returns:
        The correlation, -1 to 1; NaN for fewer than three codes, or if all values of one side are equal.
    """
    from scipy.stats import rankdata

    ranks = rankdata(first), rankdata(second)
    if len(first) < 3 or any(np.ptp(each) == 0 for each in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _rank(effects: Effects, method: str, *, resamples: int, top: int, seed: int) -> CodeRanking:
    effect = effects.by(method)
    size, present = np.abs(effect), effects.present.astype(np.float64)
    importance = size.mean(axis=0)
    rank = _ranks(importance[None])[0]
    bootstrap = Bootstrap(resamples=resamples, confidence=0.95, min_events=0, seed=seed)
    importances, means, times_in_top = [], [], np.zeros(len(importance))
    # ``weights`` is [resample, subject]: how often each subject is drawn.
    for weights in bootstrap.weights(len(effect)):
        importances.append(weights @ size / len(effect))
        holders = weights @ present
        means.append(np.divide(weights @ effect, holders, out=np.full(holders.shape, np.nan), where=holders > 0))
        times_in_top += (_ranks(importances[-1]) <= top).sum(axis=0)
    ends = [0.025, 0.975]
    return CodeRanking(
        effect=mean_effect(effects, method),
        effect_interval=np.nanquantile(np.concatenate(means), ends, axis=0).T,
        importance=importance,
        importance_interval=np.quantile(np.concatenate(importances), ends, axis=0).T,
        rank=rank,
        top_share=times_in_top / resamples,
    )


def _ranks(importance: Float[np.ndarray, "resample code"]) -> Int64[np.ndarray, "resample code"]:
    """Rank from 1, the most important first; of equally important codes the first in the vocabulary comes first."""
    order = np.argsort(-importance, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1)[None], axis=1)
    return ranks
