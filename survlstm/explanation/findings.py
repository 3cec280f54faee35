"""The results of an explanation, from which its tables, its page and its log lines are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survlstm.data.vocabulary import UNK
from survlstm.explanation.effects import METHODS, Effects
from survlstm.explanation.planted_codes import PlantedCodeRanks, rank_planted_codes
from survlstm.explanation.ranking import CodeRanking, rank_agreement
from survlstm.explanation.risk_over_time import RiskOverTime
from survlstm.explanation.sanity_checks import FEWEST_SUBJECTS, RandomizationCheck

# A warning is given if integrated gradients miss a larger share of the log-odds that they explain.
MOST_MISSED = 0.05


@dataclass(frozen=True)
class ExplanationSettings:
    """Subjects and settings of an explanation.

    Attributes:
        run: name of the run's folder.
        split: split of the explained subjects: train, val or test.
        members: number of subjects in the split.
        subjects: number of explained subjects, at most ``members``.
        clock: clock of the run: visit, landmark or days.
        integration_steps: number of points on the path of integrated gradients.
        resamples: number of bootstrap resamples of the subjects.
        top: number of codes on the page.
        seed: seed of the bootstrap and of the shuffled weights.
        banner: warning that the outcome was drawn by a formula; empty for an outcome from the records.
    """

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
    """Ranks of the planted codes under each method.

    Attributes:
        by_importance: by method, the ranks by importance among all codes.
        by_effect: by method, the ranks by absolute mean effect among the codes of ``FEWEST_SUBJECTS`` subjects or more.
    """

    by_importance: dict[str, PlantedCodeRanks]
    by_effect: dict[str, PlantedCodeRanks]


@dataclass(frozen=True)
class ExplanationResults:
    """The results of ``survlstm explain``.

    Attributes:
        about: subjects and settings.
        effects: effects of the codes on each subject's prediction.
        rankings: by method, the codes ranked by importance.
        sanity: comparison with models whose weights were shuffled.
        names: names of the codes, in the order of ``effects.code``.
        described: description of a code by its name; codes that the export does not describe are absent or empty.
        planted_codes: names of the codes that the outcome was drawn from; empty for other outcomes.
        planted: ranks of the planted codes; None if the outcome was not drawn from planted codes.
        over_time: explanation of one subject visit by visit.
        subject_id: id of that subject. Only the files of that subject may hold it.
        notes: further sentences for the page and the log.
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
        """Spearman's rank correlation between the importances of both methods."""
        first, second = (self.rankings[method].importance for method in METHODS)
        return rank_agreement(first, second)

    @property
    def missed(self) -> float:
        """Mean absolute error of the integration, as a share of the mean absolute difference that it explains."""
        explained = np.abs(self.effects.log_odds - self.effects.baseline_log_odds).mean()
        return float(np.abs(self.effects.delta).mean() / explained) if explained else float("nan")

    def order(self) -> np.ndarray:
        """Order the codes by the mean of their ranks under both methods.

        Returns:
            Indices of the codes in ``names``, the most important one first; shape (code,).
        """
        return np.argsort(sum(self.rankings[method].rank for method in METHODS), kind="stable")

    def label(self, name: str) -> str:
        """Return the text that stands for a code on the page.

        Args:
            name: name of the code in the vocabulary.

        Returns:
            The description of the code; its name if it has no description.
        """
        if name == UNK:
            return "[UNK]: codes outside the vocabulary (too rare in training)"
        return self.described.get(name) or name


def evaluate_planted_codes(
    planted: tuple[str, ...], entries: tuple[str, ...], effects: Effects, rankings: dict[str, CodeRanking]
) -> PlantedCodeResults | None:
    """Rank the planted codes by importance and by mean effect.

    Args:
        planted: names of the planted codes; empty if the outcome was not drawn from planted codes.
        entries: names in the vocabulary, in the order of their indices.
        effects: effects of the codes on each subject's prediction.
        rankings: by method, the codes ranked by importance.

    Returns:
        The ranks under each method; None if ``planted`` is empty.
    """
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
