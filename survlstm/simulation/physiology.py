"""Expected laboratory values and vital signs at each visit, given the person's traits and diseases."""

from __future__ import annotations

import numpy as np

from survlstm.simulation.life_course import Lives, disease_number
from survlstm.simulation.population import DAYS_PER_YEAR, People
from survlstm.simulation.schedule import SECONDS_PER_DAY, PlannedVisits

HEALTHY_EGFR = 105.0
# eGFR (mL/min/1.73 m²) at the onset of each stage of chronic kidney disease, and the lowest eGFR within the stage.
STAGE_BEGINS = {"ckd1": 98.0, "ckd2": 90.0, "ckd3": 60.0, "ckd4": 30.0, "esrd": 15.0}
STAGE_FLOOR = {"ckd1": 88.0, "ckd2": 62.0, "ckd3": 32.0, "ckd4": 16.0, "esrd": 6.0}
# Loss of eGFR per year for a person of average severity, in a stage whose end lies outside the record.
YEARLY_LOSS = 2.0
EGFR_AFTER_TRANSPLANT = 58.0

Values = dict[str, np.ndarray]


def expected_values(people: People, lives: Lives, visits: PlannedVisits) -> Values:
    """Compute the expected values of the measurements that depend on a person's health.

    Args:
        people: the people of a chunk.
        lives: their life courses. Only diseases whose onset is at or before a visit affect its values, except for the
            eGFR, which declines towards the onset of the next stage.
        visits: their visits.

    Returns:
        By LOINC code, the expected value at each visit, in the unit of ``codes/panels.csv``; shape (visit,).
    """
    state = _State(people, lives, visits)
    egfr = _filtration_rate(state)
    values = _growth(state) | _glucose(state) | _lipids(state)
    values |= _kidney(state, egfr) | _heart_and_lungs(state) | _mind(state)
    return values | _pressure(state, values["39156-5"])


class _State:
    """State of the person at each visit: index, day, age in years and latent traits, all of shape (visit,)."""

    def __init__(self, people: People, lives: Lives, visits: PlannedVisits) -> None:
        self.people, self.lives = people, lives
        self.person = visits.person
        self.day = visits.time / SECONDS_PER_DAY
        self.age = (self.day - people.birth_day[self.person]) / DAYS_PER_YEAR
        self.severity = people.severity[self.person]
        self.uncontrolled = people.uncontrolled[self.person]

    def onset(self, name: str) -> np.ndarray:
        """Return the day of onset of a disease; infinite if it never begins."""
        return self.lives.onset[disease_number()[name]][self.person]

    def has(self, name: str) -> np.ndarray:
        """Return whether a disease has begun by the visit."""
        return self.onset(name) <= self.day


def _filtration_rate(state: _State) -> np.ndarray:
    """Return the eGFR, which falls linearly from one stage's threshold to the next between their onsets.

    If the next stage never begins, it falls by ``YEARLY_LOSS``, faster with higher severity, to the floor of the stage.
    """
    egfr = HEALTHY_EGFR - 0.4 * np.clip(state.age - 40, 0, None)
    loss = YEARLY_LOSS * np.exp(0.5 * state.severity)
    names = list(STAGE_BEGINS)
    for name, following in zip(names, [*names[1:], None], strict=True):
        onset = state.onset(name)
        in_stage = np.flatnonzero(onset <= state.day)
        years = (state.day[in_stage] - onset[in_stage]) / DAYS_PER_YEAR
        begins = STAGE_BEGINS[name]
        value = np.maximum(begins - loss[in_stage] * years, STAGE_FLOOR[name])
        if following:
            stage_years = (state.onset(following)[in_stage] - onset[in_stage]) / DAYS_PER_YEAR
            known = np.isfinite(stage_years)
            share = np.where(known, years / np.where(known, np.maximum(stage_years, 1e-3), 1), 0)
            value = np.where(known, begins - share * (begins - STAGE_BEGINS[following]), value)
        # A later stage overwrites the value of an earlier one.
        egfr[in_stage] = value
    return np.where(state.has("transplant"), EGFR_AFTER_TRANSPLANT - 3 * state.severity, egfr)


def _kidney(state: _State, egfr: np.ndarray) -> Values:
    renal_loss = np.clip((60 - egfr) / 60, 0, 1)
    creatinine, urea = np.clip(93 / egfr, 0.4, 14), 13 + 45 * renal_loss
    potassium, bicarbonate = 4.2 + 0.8 * renal_loss, 25.5 - 5 * renal_loss
    sex = 0.9 * state.people.female[state.person]
    hemoglobin = 14.6 - sex - 1.6 * state.has("anemia") - 2.5 * renal_loss - 0.2 * state.severity
    albumin = 60 * state.has("microalbuminuria") + 240 * state.has("proteinuria") * (0.6 + state.uncontrolled)
    return {
        "33914-3": egfr,
        "38483-4": creatinine,
        "2160-0": creatinine,
        "6299-2": urea,
        "3094-0": urea,
        "6298-4": potassium,
        "2823-3": potassium,
        "20565-8": bicarbonate,
        "2028-9": bicarbonate,
        "1751-7": 4.4 - 0.5 * renal_loss - 0.1 * state.severity,
        "14959-1": 12 + albumin,
        "718-7": hemoglobin,
        "4544-3": 2.95 * hemoglobin,
        "789-8": hemoglobin / 3.05,
    }


def _heart_and_lungs(state: _State) -> Values:
    heart_failure = state.has("heart_failure")
    lung_disease = state.has("chronic_bronchitis") | state.has("emphysema")
    return {
        "2708-6": 97 - 4.0 * lung_disease - 2 * heart_failure,
        "8867-4": 74 + 8 * heart_failure + 2 * state.severity + 20 * (state.age < 5),
        "33762-6": 200 + 1800 * heart_failure * (0.5 + state.uncontrolled),
        "10230-1": 60.0 - 20 * heart_failure - 8 * state.has("myocardial_infarction"),
    }


def _mind(state: _State) -> Values:
    pain, dementia = state.has("chronic_pain"), state.has("alzheimers") | state.has("early_alzheimers")
    mood = 2 + 7 * state.has("depression") + 2 * pain + 0.8 * state.severity
    return {
        "72514-3": np.clip(1.5 + 2.0 * pain + 0.4 * state.severity, 0.5, 9),
        "55758-7": np.clip(0.4 * mood, 0, 6),
        "44261-6": np.clip(mood + 4, 0, 27),
        "70274-6": np.clip(mood, 0, 21),
        "59460-6": 15 + 0.5 * np.clip(state.age - 60, 0, 50) + 4 * state.severity,
        "72106-8": 27.0 - 12 * dementia,
    }


def _growth(state: _State) -> Values:
    adult_bmi = state.people.bmi[state.person]
    height = state.people.height_cm[state.person] * (0.3 + 0.7 * np.clip(state.age / 17, 0, 1) ** 0.8)
    childhood = 16 + (adult_bmi - 16) * np.clip((state.age - 4) / 14, 0, 0.9)
    bmi = np.where(state.age < 17, childhood, adult_bmi)
    return {"8302-2": height, "39156-5": bmi, "29463-7": bmi * (height / 100) ** 2}


def _pressure(state: _State, bmi: np.ndarray) -> Values:
    normal = 104 + 0.22 * np.clip(state.age, 0, 80) + 0.4 * (bmi - 27) + 2 * state.severity
    systolic = normal + state.has("hypertension") * (4 + 34 * state.uncontrolled)
    return {"8480-6": systolic, "8462-4": 0.66 * systolic}


def _glucose(state: _State) -> Values:
    a1c = 5.1 + 0.1 * state.severity + 0.8 * state.has("prediabetes")
    a1c = a1c + state.has("diabetes") * (0.5 + 3.2 * state.uncontrolled)
    glucose = 28.7 * a1c - 60
    return {"4548-4": a1c, "2339-0": glucose, "2345-7": glucose}


def _lipids(state: _State) -> Values:
    hypertriglyceridemia = state.has("hypertriglyceridemia")
    ldl = 106 + 4 * state.severity + state.has("hyperlipidemia") * (15 + 60 * state.uncontrolled)
    triglycerides = 125 + 6 * state.severity + hypertriglyceridemia * (30 + 90 * state.uncontrolled)
    hdl = 56 - 2 * state.severity - 6 * hypertriglyceridemia
    return {"18262-6": ldl, "2571-8": triglycerides, "2085-9": hdl, "2093-3": ldl + hdl + triglycerides / 5}
