"""Sentences about the results of an explanation, and the definitions of its numbers."""

from __future__ import annotations

import numpy as np

from survlstm.explanation.effects import METHODS
from survlstm.explanation.findings import MOST_MISSED, ExplanationResults
from survlstm.explanation.sanity_checks import FEWEST_SUBJECTS
from survlstm.report.formatting import format_count, format_number, format_short, format_signed

_CONVENTIONS = {
    "effect": "log-odds of the event with the code minus log-odds without it; above 0 the code raises the predicted "
    "risk. An effect says what changes the model's prediction, not what causes the event",
    "mean effect": "mean over the explained subjects that have the code",
    "importance": "mean absolute effect over all explained subjects, counting 0 for a subject without the code; rank 1 "
    "is the largest",
    "integrated gradients": "Sundararajan et al. 2017, over the embeddings of the codes. The baseline is the record "
    "with the average code of the training subjects at every entry. The attributions of the entries of a code are "
    "summed; the sum over all codes of a record is its log-odds minus those of the baseline",
    "occlusion": "all entries of one code are left out; a visit is then the mean of its other codes, or 0 if it has no "
    "other code (fused codes of values have a mean of their own). This also gives more weight to the other codes of "
    "the visit, so that a code that often occurs together with a predictive one has an effect for that reason alone",
    "visit features": "not changed by either method: no code's effect includes the number of codes, the times "
    "between visits or the columns of values",
    "interval": "95 % percentile bootstrap interval over the explained subjects; the model is the same in all "
    "resamples",
    "in the first": "share of the resamples in which the code is among the first codes",
    "shuffled weights": "copies of the model in which the entries of every weight tensor are permuted (Adebayo et al. "
    "2018); Spearman's rank correlation of the mean effects with those of the model, over the codes of "
    f"{FEWEST_SUBJECTS} explained subjects or more. Near 0 the explanation depends on what the model has learned",
    "agreement": "Spearman's rank correlation of the importances under both methods",
}
_SCORE = {
    "visit": "log-odds of the event in the step after the last visit that the model reads: the logit of its hazard",
    "landmark": "log-odds of the event by the end of the last interval after the landmark: log((1-S)/S)",
    "days": "log-odds of the event by the end of the last interval after the last prediction time of a subject to "
    "train on: log((1-S)/S). After an earlier visit they are those of a prediction as many days after that visit",
}
_LAST_TIME = (
    "Each subject is explained at its last prediction time to train on, which is nearer to the event or the end of "
    "follow-up than the others."
)
_PLANTED = (
    "precision at k: share of planted codes among the first k codes, where k is the number of planted codes in the "
    "vocabulary; chance is the expected precision of a random order. By effect: ordered by the absolute mean effect, "
    f"without codes of fewer than {FEWEST_SUBJECTS} subjects"
)


def conventions(results: ExplanationResults) -> dict[str, str]:
    """Return the definition of every number on the page, by its name.

    Args:
        results: the results of the explanation; its clock and its planted codes decide which definitions are needed.

    Returns:
        Definition by the name of the number.
    """
    planted = {"planted codes": _PLANTED} if results.planted else {}
    return {"score": _SCORE[results.about.clock], **_CONVENTIONS, **planted}


def headline(results: ExplanationResults) -> str:
    """Return the main result as one sentence.

    Args:
        results: the results of the explanation.

    Returns:
        The number of planted codes in front if the outcome was drawn from such codes; otherwise the code that is first
        under both methods together, with its mean effects.
    """
    if results.planted:
        first, second = (results.planted.by_importance[method] for method in METHODS)
        return (
            f"{first.in_front} of the {format_count(first.k, 'planted code')} are among the {first.k} most important "
            f"by {METHODS[0]}, {second.in_front} by {METHODS[1]}."
        )
    first_code = int(results.order()[0])
    effects = [float(results.rankings[method].effect[first_code]) for method in METHODS]
    return (
        f"“{results.label(results.names[first_code])}” moves the predicted risk most: by "
        f"{format_signed(effects[0])} log-odds ({METHODS[0]}) and {format_signed(effects[1])} ({METHODS[1]}) "
        "on average over the subjects that have it."
    )


def summary_lines(results: ExplanationResults) -> tuple[str, ...]:
    """Return the sentences that follow the headline.

    Args:
        results: the results of the explanation.

    Returns:
        Complete sentences; those of ``results.notes`` come last.
    """
    about = results.about
    return (
        f"{format_count(about.subjects, 'subject')} explained, of {about.members:,} in the {about.split} split; "
        f"{format_count(len(results.names), 'code')} ranked, the first {about.top} shown.",
        *planted_code_lines(results),
        f"Agreement of the two methods: rank correlation of the importances {format_number(results.agreement, 2)}.",
        *((_LAST_TIME,) if about.clock == "days" else ()),
        *results.notes,
    )


def planted_code_lines(results: ExplanationResults) -> tuple[str, ...]:
    """Return the sentences about planted codes.

    Args:
        results: the results of the explanation.

    Returns:
        One sentence per method, then those about codes without a rank; none if the outcome was not drawn from planted
        codes.
    """
    if results.planted is None:
        return ()
    sentences = []
    for method in METHODS:
        by_importance, by_effect = results.planted.by_importance[method], results.planted.by_effect[method]
        sentences.append(
            f"Planted codes by {method}: precision at {by_importance.k} is {format_number(by_importance.precision, 2)} "
            f"(chance {format_number(by_importance.chance, 3)}), mean rank "
            f"{format_short(by_importance.mean_rank)} (at best {format_short((by_importance.k + 1) / 2)}); ordered by "
            f"mean effect the precision is "
            f"{format_number(by_effect.precision, 2)}."
        )
    last = results.planted.by_importance[METHODS[0]]
    if last.unseen:
        sentences.append(f"Planted codes that no explained subject has: {', '.join(last.unseen)}.")
    if last.unknown:
        sentences.append(f"Planted codes outside the vocabulary: {', '.join(last.unknown)}.")
    return tuple(sentences)


def warnings(results: ExplanationResults) -> tuple[str, ...]:
    """Return the reasons why the numbers may be wrong, each with what to change.

    Args:
        results: the results of the explanation.

    Returns:
        Sentences without a full stop; none if all checks pass.
    """
    sentences = [
        results.sanity.sentence(method)
        for method in METHODS
        if not (results.sanity.passes(method) or np.isnan(results.sanity.mean(method)))
    ]
    if results.missed > MOST_MISSED:
        sentences.append(
            f"integrated gradients must miss less than {MOST_MISSED:.0%} of the log-odds that they explain; they miss "
            f"{results.missed:.0%}. Raise integration_steps (now {results.about.integration_steps})"
        )
    return tuple(sentences)
