"""Subjects whose codes tell their hazard, or don't."""

import dataclasses

import numpy as np

from survlstm.data.split import Split
from tests.tensors import tensors_from

TELLING_CODE = 2


def cohort(subjects=700, *, seed=0, low=0.04, high=0.3, noise_codes=25, longest=20, clock="visit"):
    """Tensors, and the subjects' hazards: ``high`` with ``TELLING_CODE`` in every visit, else ``low`` at every step.

    The other codes of a visit are noise. On the landmark clock a record has its visits up to the landmark, as many as
    chance wants, and there are ten steps of thirty days.
    """
    generator = np.random.default_rng(seed)
    is_high = generator.random(subjects) < 0.5
    hazard = np.where(is_high, high, low)
    end = np.minimum(generator.geometric(0.04, subjects) - 1, longest if clock == "visit" else 9)
    drawn = generator.geometric(hazard) - 1
    event = drawn <= end
    step = np.where(event, drawn, end)
    visits = step + 1 if clock == "visit" else generator.integers(1, 8, subjects)
    records = [
        [
            [TELLING_CODE] * int(tells) + list(3 + generator.integers(0, noise_codes, size=1 + generator.poisson(1)))
            for _ in range(number)
        ]
        for tells, number in zip(is_high, visits, strict=True)
    ]
    split = generator.choice([Split.TRAIN, Split.VAL, Split.TEST], size=subjects, p=[0.6, 0.2, 0.2])
    landmark = {"edge_days": 30.0 * np.arange(11), "duration_days": 30.0 * (step + 0.9)} if clock == "landmark" else {}
    # Noise, and one of the summaries of the history that visits have among their features.
    codes_so_far = np.concatenate([np.cumsum([len(visit) for visit in record]) for record in records])
    features = np.column_stack([generator.normal(size=(visits.sum(), 5)), np.log(codes_so_far)])
    return tensors_from(records, step=step, event=event, split=split, features=features, **landmark), hazard


def with_other_test_subjects(tensors, changed):
    """The same tensors, but the subjects named have other codes, features and labels."""
    code, features = tensors.code.copy(), tensors.features.copy()
    step, event = tensors.step.copy(), tensors.event.copy()
    for subject in changed:
        visits = slice(*tensors.visit_offsets[subject : subject + 2])
        codes = slice(*tensors.code_offsets[tensors.visit_offsets[subject : subject + 2]])
        features[visits] += 5
        code[codes] = tensors.code.max() + 1
        event[subject] = not event[subject]
    return dataclasses.replace(tensors, code=code, features=features, step=step, event=event)
