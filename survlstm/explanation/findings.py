"""All that an explanation found → one value that the tables, the page and the log are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survlstm.data.vocabulary import UNK
from survlstm.explanation.effects import METHODS, Effects
from survlstm.explanation.planted_codes import PlantedCodeRanks, rank_planted_codes
from survlstm.explanation.ranking import CodeRanking, rank_agreement
from survlstm.explanation.risk_over_time import RiskOverTime
from survlstm.explanation.sanity_checks import FEWEST_SUBJECTS, RandomizationCheck

# A larger share of what is explained must not be lost in integration.
MOST_MISSED = 0.05


@dataclass(frozen=True)
class ExplanationSettings:
    """Whom the figures are about, and how they were made; ``banner`` is that of a drawn outcome."""

    run: str
    split: str
    members: int
    subjects: int
    clock: str
    integration_steps: int
    resamples: int
    top: int
    seed: int
    banner: str = ""


@dataclass(frozen=True)
class PlantedCodeResults:
    """How each method ranks the planted codes: by importance, and by mean effect among codes of enough subjects."""

    by_importance: dict[str, PlantedCodeRanks]
    by_effect: dict[str, PlantedCodeRanks]


@dataclass(frozen=True)
class ExplanationResults:
    """The results of ``survlstm explain``.

    ``names`` holds the code names in the order of ``effects.code``; ``described`` maps a name to its description, which
    is empty where the export has none. ``subject_id`` is the subject of ``over_time``: only its own files hold it.
    ``planted`` is None where the outcome was not drawn from planted codes.
    """

    about: ExplanationSettings
    effects: Effects
    rankings: dict[str, CodeRanking]
    sanity: RandomizationCheck
    names: tuple[str, ...]
    described: dict[str, str]
    planted_codes: tuple[str, ...]
    planted: PlantedCodeResults | None
    over_time: RiskOverTime
    subject_id: str
    notes: tuple[str, ...]

    @property
    def agreement(self) -> float:
        """Spearman's correlation of the two methods' importances."""
        first, second = (self.rankings[method].importance for method in METHODS)
        return rank_agreement(first, second)

    @property
    def missed(self) -> float:
        """By how much integrated gradients miss the log-odds they explain, as a share of those."""
        explained = np.abs(self.effects.log_odds - self.effects.baseline_log_odds).mean()
        return float(np.abs(self.effects.delta).mean() / explained) if explained else float("nan")

    def order(self) -> np.ndarray:
        """Places of the codes, the best mean of both ranks first."""
        return np.argsort(sum(self.rankings[method].rank for method in METHODS), kind="stable")

    def label(self, name: str) -> str:
        """What a person reads for a code: its description, or its name where there is none."""
        if name == UNK:
            return "[UNK]: codes too rare in training to be known"
        return self.described.get(name) or name


def evaluate_planted_codes(
    planted: tuple[str, ...], entries: tuple[str, ...], effects: Effects, rankings: dict[str, CodeRanking]
) -> PlantedCodeResults | None:
    """How both methods rank the planted codes; None where there are none."""
    if not planted:
        return None
    common = effects.present.sum(axis=0) >= FEWEST_SUBJECTS
    by_effect = {}
    for method, ranking in rankings.items():
        order = np.argsort(-np.abs(ranking.effect[common]), kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(1, len(order) + 1)
        by_effect[method] = rank_planted_codes(planted, entries, effects.code[common], rank)
    return PlantedCodeResults(
        {
            method: rank_planted_codes(planted, entries, effects.code, ranking.rank)
            for method, ranking in rankings.items()
        },
        by_effect,
    )
