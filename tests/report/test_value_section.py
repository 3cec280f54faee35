"""The section of the page about values: its sentence, its table, and what it says if there is nothing to show."""

from survlstm.utils.formatting import MISSING
from tests.report import sample
from tests.report.test_page import report, visit_page, words  # noqa: F401  (visit_page is a fixture)


def test_values_are_told_in_a_sentence_and_a_table(visit_page):  # noqa: F811
    text = words(visit_page)
    assert (
        "39,062 entries of the cohort have a number: 39,000 in bins, 39,031 in columns, and 31 read as the code alone "
        "(too few values or hardly different 24, other unit 7). A number can be in a bin and in a column. 41 lie far "
        "outside of the training's values and are read as the lowest or the highest of those. 12 entries have a text "
        "in place of a number, 1 an infinite number."
    ) in text
    assert (
        "LOINC/2160-0 Creatinine mg/dL 39,000 in columns below 0.8 5,602 0.8 to 0.95 5,588 0.95 to 1.1 5,611 "
        "1.1 to 1.45 5,590 1.45 or more 5,609 41 far outside; 1 visit with several values; 100 of 39,120 entries "
        "without a value; 12 as text; 1 infinite; fewer than 10 subjects with several units LOINC/<b>"
    ) in text
    assert f"µmol/L 31 in columns too few values: 31 in the training, and two bins need 40 {MISSING}" in text
    why = "hardly any other value: equal ones leave fewer than 20 of 61 for a second bin"
    assert f"LOINC/5767-9 {MISSING} 20 {why} {MISSING}" in text
    assert "values.csv holds the same table." in text
    assert "LOINC/<b>" not in visit_page.read_text(encoding="utf-8")


def values_section(folder, **changes):
    """What the section of the values says."""
    page = report(folder, sample.bare_verdict(), flow=sample.flow(values=sample.value_counts(**changes)), history=None)
    text = words(page)[words(page).index("Rows read, by table") :]
    return text[text.index("Values ") : text.index("Conventions")]


def test_the_most_frequent_measures_are_shown_and_the_others_named(tmp_path):
    measures = tuple(sample.measure(f"LOINC/{number}-0", values=1_000 - number) for number in range(41))
    text = values_section(tmp_path, measures=measures, texts=0, infinite=0, far_outside=0)
    assert "The 40 most frequent of 41 are shown; the others are in values.csv" in text
    assert "LOINC/39-0" in text
    assert "LOINC/40-0" not in text
    assert "None lies far outside of the training's values. No entry has a text or an infinite number" in text


def test_values_without_numbers_or_measures_say_so(tmp_path):
    nothing = dict.fromkeys(("numbers", "in_bins", "in_columns", "other_unit", "far_outside", "texts", "infinite"), 0)
    text = values_section(tmp_path, measures=(), **nothing)
    assert text == f"Values {MISSING} No entry of the cohort has a number. "
    text = values_section(tmp_path, measures=())
    assert text.endswith(f"{MISSING} No code has enough values in one unit for a bin or a column. ")
