"""Findings → the sentences that people read first, and what every figure means."""

from __future__ import annotations

import numpy as np

from survlstm.explanation.effects import METHODS
from survlstm.explanation.findings import MOST_MISSED, ExplanationResults
from survlstm.explanation.sanity_checks import FEWEST_SUBJECTS
from survlstm.report.formatting import format_count, format_number, format_short, format_signed

_CONVENTIONS = {
    "effect": "log-odds of the event with the code minus without it; above 0 the code raises the predicted risk. It "
    "says what moves the model's prediction, not what causes the event",
    "mean effect": "over the explained subjects that have the code",
    "importance": "mean absolute effect over all explained subjects, 0 where one does not have the code; rank 1 is the "
    "largest",
    "integrated gradients": "Sundararajan, Taly & Yan 2017, over the embeddings of the codes, from a record in which "
    "every code is the average code of the training subjects; the entries of a code are summed. Added up over the "
    "codes of a record they give the log-odds of the record minus those of that average record",
    "occlusion": "all entries of one code are left out; a visit is then the mean of its other codes, nothing where it "
    "has none. Leaving a code out also gives the other codes of its visits more weight: one that often stands beside a "
    "telling code has an effect by that alone",
    "visit features": "held fixed by both methods: what the number of codes and the times between visits do is in no "
    "code's effect",
    "interval": "95 % percentile bootstrap over the explained subjects; the model is the same in all resamples",
    "in the first": "share of the resamples in which the code is among the first",
    "shuffled weights": "copies of the model in which the entries of every weight tensor have changed places (Adebayo "
    "et al. 2018); Spearman's correlation of the mean effects with those of the model, over the codes that "
    f"{FEWEST_SUBJECTS} explained subjects or more have. Near 0 the explanation hangs on what was learned",
    "agreement": "Spearman's correlation of the importances by both methods",
}
_SCORE = {
    "visit": "log-odds of the event in the step after the last visit that the model reads: the logit of its hazard",
    "landmark": "log-odds of the event by the end of the last interval after the landmark: log((1-S)/S)",
}
_PLANTED = (
    "precision at k: share of planted codes among the first k, k being how many of them the model knows; chance is "
    "what any order gives on average. By effect: ordered by the absolute mean effect, codes of fewer than "
    f"{FEWEST_SUBJECTS} subjects left out"
)


def conventions(found: ExplanationResults) -> dict[str, str]:
    """What every figure means, by its name."""
    planted = {"planted codes": _PLANTED} if found.planted else {}
    return {"score": _SCORE[found.about.clock], **_CONVENTIONS, **planted}


def headline(found: ExplanationResults) -> str:
    """The one sentence to remember."""
    if found.planted:
        first, second = (found.planted.by_importance[method] for method in METHODS)
        return (
            f"{first.in_front} of the {format_count(first.k, 'planted code')} are among the {first.k} most "
            f"important by "
            f"{METHODS[0]}, {second.in_front} by {METHODS[1]}."
        )
    foremost = int(found.order()[0])
    effects = [float(found.rankings[method].effect[foremost]) for method in METHODS]
    return (
        f"“{found.label(found.names[foremost])}” moves the predicted risk most: in those who have it by "
        f"{format_signed(effects[0])} log-odds ({METHODS[0]}) and {format_signed(effects[1])} ({METHODS[1]})."
    )


def summary_lines(found: ExplanationResults) -> tuple[str, ...]:
    """What else is worth a sentence, after the headline."""
    about = found.about
    return (
        f"{format_count(about.subjects, 'subject')} explained, of {about.members:,} in the {about.split} split; "
        f"{format_count(len(found.names), 'code')} ranked, the {about.top} foremost shown.",
        *planted_code_lines(found),
        f"Agreement of the two methods: rank correlation {format_number(found.agreement, 2)}.",
        *found.notes,
    )


def planted_code_lines(found: ExplanationResults) -> tuple[str, ...]:
    """Precision, ranks and what could not be found, where codes were planted."""
    if found.planted is None:
        return ()
    said = []
    for method in METHODS:
        by_importance, by_effect = found.planted.by_importance[method], found.planted.by_effect[method]
        said.append(
            f"Planted codes by {method}: precision at {by_importance.k} is {format_number(by_importance.precision, 2)} "
            f"(chance {format_number(by_importance.chance, 3)}), mean rank "
            f"{format_short(by_importance.mean_rank)} (at best "
            f"{format_short((by_importance.k + 1) / 2)}); ordered by mean effect the precision is "
            f"{format_number(by_effect.precision, 2)}."
        )
    last = found.planted.by_importance[METHODS[0]]
    if last.unseen:
        said.append(f"No explained subject has: {', '.join(last.unseen)}.")
    if last.unknown:
        said.append(f"The vocabulary of the training subjects does not know: {', '.join(last.unknown)}.")
    return tuple(said)


def warnings(found: ExplanationResults) -> tuple[str, ...]:
    """What makes the figures doubtful, and what to change."""
    said = [
        found.sanity.sentence(method)
        for method in METHODS
        if not (found.sanity.passes(method) or np.isnan(found.sanity.mean(method)))
    ]
    if found.missed > MOST_MISSED:
        said.append(
            f"integrated gradients must miss less than {MOST_MISSED:.0%} of what they explain; they miss "
            f"{found.missed:.0%}. Raise integration_steps (now {found.about.integration_steps})"
        )
    return tuple(said)
