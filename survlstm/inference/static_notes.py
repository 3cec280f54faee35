"""Sentences about the static codes of subjects: which a model does not read, and which it misses."""

from __future__ import annotations

import numpy as np

from survlstm.data.demographics import DemographicSettings, input_codes, subjects_without
from survlstm.data.events import Subjects
from survlstm.data.vocabulary import UNK, Vocabulary


def notes_on_missing(subjects: Subjects, settings: DemographicSettings, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Count the subjects whose static codes a model misses or does not know.

    Args:
        subjects: the subjects with their static codes.
        settings: the kinds of static codes that the model reads.
        vocabulary: the codes that the model knows.

    Returns:
        A sentence for each kind that subjects lack, and one about unknown codes; none for a model without static codes.
    """
    total = len(subjects)
    notes = [
        f"{number:,} of {total:,} subjects have no static code of the kind {kind}, which the model reads "
        "(data.static): they are predicted without it"
        for kind, number in subjects_without(subjects, settings).items()
    ]
    static = input_codes(subjects.static, settings)
    is_unknown = vocabulary.number(static.codes) == vocabulary.entries.index(UNK)
    owner = np.repeat(np.arange(total), static.per_subject)
    unknown = len(np.unique(owner[is_unknown[static.code]]))
    if unknown:
        notes.append(
            f"{unknown:,} of {total:,} subjects have static codes that are not in the vocabulary of the model: the "
            "training records named them differently, or did not have them"
        )
    return tuple(notes)


def notes_on_unread(subjects: Subjects, settings: DemographicSettings) -> tuple[str, ...]:
    """Count the static codes that a model does not read.

    Args:
        subjects: the subjects with their static codes.
        settings: the kinds of static codes that the model reads.

    Returns:
        One sentence; none if every static code is read.
    """
    static = subjects.static
    unread = len(static.code) - len(input_codes(static, settings).code)
    return (f"static facts (rows without a time) that the model does not read: {unread:,}",) if unread else ()
