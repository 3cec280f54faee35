"""Tests of the descriptions of fused codes."""

from survlstm.data.values.descriptions import with_fused_codes
from survlstm.data.values.measures import FittedValues, Measure


def measure(code, unit, edges):
    return Measure(code, unit, 0.0, 9.0, edges, (10,) * (len(edges) + 1), (), ())


def test_the_interval_follows_the_description_of_the_code():
    fitted = FittedValues(
        (
            measure("LOINC/1", "mg/dL", (0.8, 1.1)),
            measure("LOINC/2", "", (-5.0,)),
            measure("LOINC/3", "%", ()),
            measure("LOINC/4", "%", (7.0,)),
        )
    )
    descriptions = {"LOINC/1": "Creatinine", "LOINC/2": "Base excess", "LOINC/3": "HbA1c", "LOINC/4": ""}
    described = with_fused_codes(descriptions, fitted)
    assert {code: text for code, text in described.items() if code not in descriptions} == {
        "LOINC/1//mg/dL//value_[-inf,0.8)": "Creatinine (below 0.8 mg/dL)",
        "LOINC/1//mg/dL//value_[0.8,1.1)": "Creatinine (0.8 to 1.1 mg/dL)",
        "LOINC/1//mg/dL//value_[1.1,inf)": "Creatinine (1.1 mg/dL or more)",
        "LOINC/2//value_[-inf,-5)": "Base excess (below -5)",
        "LOINC/2//value_[-5,inf)": "Base excess (-5 or more)",
    }
    assert descriptions.items() <= described.items()


def test_without_values_nothing_is_added():
    assert with_fused_codes({"X/1": "a"}, None) == {"X/1": "a"}
