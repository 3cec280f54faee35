"""Why every prediction time has the same weight: a total weight of one per subject depends on its later survival."""

import numpy as np

SUBJECTS, STEPS = 20_000, 3
# The probability of an event within a year, at a rate of 0.1 a year.
TRUE_HAZARD = 1 - np.exp(-0.1)


def test_a_weight_of_one_per_subject_raises_the_hazards():
    generator = np.random.default_rng(0)
    event_year, censored_year = generator.exponential(10, SUBJECTS), generator.uniform(2, 12, SUBJECTS)
    end, event = np.minimum(event_year, censored_year), event_year <= censored_year
    # A prediction time at the start of every year under observation.
    rows = np.ceil(end).astype(int)
    subject = np.repeat(np.arange(SUBJECTS), rows)
    years_later = end[subject] - (np.arange(len(subject)) - np.repeat(np.cumsum(rows) - rows, rows))
    happened = event[subject]

    def hazards(weight):
        found = []
        for step in range(STEPS):
            time_at_risk = np.where(happened & (years_later > step), 1.0, np.clip(years_later - step, 0, 1))
            events = happened & (years_later > step) & (years_later <= step + 1)
            found.append((weight * events).sum() / (weight * time_at_risk).sum())
        return np.array(found)

    np.testing.assert_allclose(hazards(np.ones(len(subject))), TRUE_HAZARD, atol=0.003)
    # The figures of docs/prediction_times.md.
    np.testing.assert_allclose(hazards(1 / rows[subject]), [0.214, 0.168, 0.146], atol=0.005)
