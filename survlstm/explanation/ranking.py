"""Effects of many subjects → codes in the order of their importance, and how steady that order is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.explanation.effects import METHODS, Effects


@dataclass(frozen=True)
class CodeRanking:
    """What one method says of each code, in the order of ``Effects.code``; log-odds of the event.

    ``effect`` is the mean over the subjects that have the code, and its sign is that of the risk. ``importance`` is the
    mean of the absolute effect over all subjects, 0 where one does not have the code: what the code does in the cohort
    as a whole. ``rank`` 1 is the most important. The intervals hold 95 % of the bootstrap's resamples of subjects (of
    those in which somebody has the code, for the effect), and ``top_share`` is the share of resamples in which a code
    is among the first ``top``.
    """

    effect: Float[np.ndarray, " code"]
    effect_interval: Float[np.ndarray, "code 2"]
    importance: Float[np.ndarray, " code"]
    importance_interval: Float[np.ndarray, "code 2"]
    rank: Int64[np.ndarray, " code"]
    top_share: Float[np.ndarray, " code"]


def rank_codes(effects: Effects, *, resamples: int, top: int, seed: int) -> dict[str, CodeRanking]:
    """The ranking by each of ``METHODS``; the resamples are the same for both."""
    return {method: _rank(effects, method, resamples=resamples, top=top, seed=seed) for method in METHODS}


def mean_effect(effects: Effects, method: str) -> Float[np.ndarray, " code"]:
    """The mean effect over the subjects that have the code."""
    return effects.by(method).sum(axis=0) / effects.present.sum(axis=0)


def rank_agreement(first: Float[np.ndarray, " code"], second: Float[np.ndarray, " code"]) -> float:
    """Spearman's rank correlation; NaN where it is undefined: under three codes, or all alike."""
    from scipy.stats import rankdata

    ranks = rankdata(first), rankdata(second)
    if len(first) < 3 or any(np.ptp(each) == 0 for each in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _rank(effects: Effects, method: str, *, resamples: int, top: int, seed: int) -> CodeRanking:
    found = effects.by(method)
    size, present = np.abs(found), effects.present.astype(np.float64)
    importance = size.mean(axis=0)
    rank = _ranks(importance[None])[0]
    bootstrap = Bootstrap(resamples=resamples, confidence=0.95, min_events=0, seed=seed)
    sizes, means, is_top = [], [], np.zeros(len(importance))
    for weights in bootstrap.weights(len(found)):
        sizes.append(weights @ size / len(found))
        holders = weights @ present
        means.append(np.divide(weights @ found, holders, out=np.full(holders.shape, np.nan), where=holders > 0))
        is_top += (_ranks(sizes[-1]) <= top).sum(axis=0)
    ends = [0.025, 0.975]
    return CodeRanking(
        effect=mean_effect(effects, method),
        effect_interval=np.nanquantile(np.concatenate(means), ends, axis=0).T,
        importance=importance,
        importance_interval=np.quantile(np.concatenate(sizes), ends, axis=0).T,
        rank=rank,
        top_share=is_top / resamples,
    )


def _ranks(importance: Float[np.ndarray, "resample code"]) -> Int64[np.ndarray, "resample code"]:
    """From 1, the most important first; of equally important ones the first in the vocabulary."""
    order = np.argsort(-importance, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1)[None], axis=1)
    return ranks
