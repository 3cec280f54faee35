"""The page and its figures from values written by hand: contents, missing values and escaping."""

import dataclasses
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from survlstm.data.cohort import Exclusion
from survlstm.data.values.settings import ValueSettings
from survlstm.evaluation.results import Estimate, Finding, LandmarkCell
from survlstm.report.figures.canvas import PALETTE
from survlstm.report.page import write_report
from survlstm.report.task import RunDescription, RunTask
from survlstm.report.value_table import value_rows
from survlstm.training.history import History
from survlstm.utils.formatting import MISSING
from tests.records import SETTINGS as PREPARATION
from tests.report import sample

SETTINGS = dataclasses.replace(PREPARATION, values=ValueSettings("both"))
VOID = {"meta", "link", "br", "hr", "img", "use", "path", "rect", "circle", "line"}


def report(folder, summary, **changes):
    """Write the report of a summary with everything else as in the sample."""
    values = {"history": sample.history(), "flow": sample.flow()}
    run = sample.run(summary, **{name: changes.pop(name, value) for name, value in values.items()})
    counts = run.prepared.flow.values
    rows = () if counts is None else value_rows(counts, {"LOINC/2160-0": "Creatinine"}, SETTINGS)
    others = {
        "values": rows,
        "findings": sample.FINDINGS,
        "description": sample.description(),
        "manifest": sample.MANIFEST,
    }
    return write_report(folder, run, **{**others, **changes})


def words(path):
    """What the page says, without its marks and style."""
    page = re.sub(r"<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


class Outline(HTMLParser):
    """Ids, references, headings and the balance of tags."""

    def __init__(self):
        super().__init__()
        self.ids, self.references, self.headings, self.open, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.references += [value[1:] for value in attributes.values() if value and value.startswith("#")]
        self.references += [
            found for value in attributes.values() for found in re.findall(r"url\(#(.+?)\)", value or "")
        ]
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def outline(path):
    """The page's structure."""
    found = Outline()
    found.feed(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def visit_page(tmp_path_factory):
    """The page of the visit clock; only read."""
    return report(tmp_path_factory.mktemp("visit"), sample.visit_verdict())


@pytest.fixture(scope="module")
def bare_page(tmp_path_factory):
    """The page where almost everything is missing; only read."""
    folder = tmp_path_factory.mktemp("bare")
    return report(folder, sample.bare_verdict(), findings=(), history=None, manifest={})


def test_the_verdict_leads_and_the_key_figures_follow(visit_page):
    page = visit_page.read_text(encoding="utf-8")
    assert f'<p class="headline">{sample.LINES[0]}</p>' in page
    said = words(visit_page)
    assert all(line in said for line in sample.LINES)
    assert "C-index, test split 0.732 interval 0.684 to 0.780" in said
    assert "Events 74 in 176 subjects; 8,213 comparable pairs" in said
    assert "Best baseline, C-index 0.614 number of visits so far; model +0.118 (0.068 to 0.168)" in said
    assert "Oracle, C-index 0.781 model \N{MINUS SIGN}0.049" in said
    assert "1 failed, 1 with a warning, of 5 diagnostics" in said


def test_findings_stand_worst_first_with_their_advice_and_the_passed_ones_folded(visit_page):
    page = visit_page.read_text(encoding="utf-8")
    levels = re.findall(r'<li class="(failure|warning|note|ok)">', page[: page.index('id="metrics"')])
    assert levels == ["failure", "warning", "note", "ok", "ok"]
    assert "<code>optimizer.weight_decay=1e-3</code>" in page
    assert "<summary>2 checks passed</summary>" in page


def test_landmarks_show_their_counts_and_name_what_lies_behind_the_follow_up(visit_page):
    said = words(visit_page)
    assert "84 subjects at risk, 61 events after the landmark. Follow-up: median 17.5 steps" in said
    assert "After the follow-up and therefore without metrics: 20 steps." in said
    assert "By 1 step: 14 events by then, 121 at risk after it" in said
    assert "all scores are equal; the weights need two" in said
    assert "Slope 0.83, intercept \N{MINUS SIGN}0.11" in said
    minus, dash = "\N{MINUS SIGN}", "\N{EN DASH}"
    row = f"10 steps {dash} 0.71 {minus}0.20 {minus}0.15 {dash} no calibration test: fewer than two groups of 15"
    assert row in said


def test_the_cohort_flow_counts_every_reason(visit_page):
    said = words(visit_page)
    for line in (
        "read 1,278",
        "left out: outcome at the first visit (prevalent) 31 31",
        "used 1,172",
        "evaluated: test split 176 74",
        "left out: behind the last at-risk step 11,002",
        "observations 531,144 482,902 48,230 12 book-keeping without an encounter 48,230; no time 12",
        "conditions 38,094 38,094 0 0 nothing left out",
        "612 are unknown to the vocabulary (41 codes)",
        "Histories are cut on the left",
    ):
        assert line in said


def test_training_conventions_config_and_manifest_are_there(visit_page):
    said = words(visit_page)
    assert "34, best: 24 (validation loss 1.886, C-index 0.734)" in said
    assert "Final learning rate 0.0005" in said
    assert all(sentence in said for sentence in sample.CONVENTIONS.values())
    assert "hidden: 128 # <units> & more" in said
    assert "3f2a9c81d04be77a51c0aa12" in said


def test_the_landmark_clock_counts_in_days(tmp_path):
    said = words(report(tmp_path, sample.landmark_verdict()))
    assert "By 1,095 days: 208 events by then, 718 at risk after it" in said
    assert "Calibration from the landmark by 365 days" in said
    assert "Follow-up: median 1,204 days" in said


def test_what_is_missing_is_a_dash_with_its_reason(bare_page):
    said = words(bare_page)
    dash = "\N{EN DASH}"
    for line in (
        f"C-index, test split {dash} no interval, why",
        "no interval: 0 events among 9 test subjects, 30 are needed",
        f"Failures and warnings {dash} no diagnostic was run",
        f"{dash} No figure: no model has a C-index.",
        f"covariate-free hazard baseline {dash} {dash} ∞ {dash}",
        f"{dash} No landmark was evaluated, so there is no calibration.",
        f"{dash} No survival curve was computed",
        f"{dash} A saved model was evaluated without training",
        f"{dash} No definition of a metric was recorded.",
        f"{dash} No manifest was given.",
    ):
        assert line in said


def test_figures_missing_in_one_cell_are_dashes_and_the_heat_map_falls_back_to_c(tmp_path):
    summary = sample.visit_verdict()
    landmark = summary.landmarks[0]
    model = landmark.rows[0]
    cells = (
        dataclasses.replace(model.cells[0], auc=None),
        LandmarkCell(5.0, None, None, None, None, None, 0.5),
        *model.cells[2:],
    )
    rows = (dataclasses.replace(model, cells=cells, ibs=None, inbll=None), *landmark.rows[1:])
    changed = dataclasses.replace(landmark, rows=rows, calibration=(), notes=("no weights behind step 5",))
    path = report(tmp_path, dataclasses.replace(summary, landmarks=(changed,), curves=()))
    assert "no weights behind step 5" in words(path)
    alt = next(tag["aria-label"] for name, tag in outline(path).tags if "Heat map" in tag.get("aria-label", ""))
    assert "visit 3, 1 step: C 0.730, 121 at risk, 14 events" in alt
    assert "visit 3, 5 steps: \N{EN DASH}, 97 at risk, 28 events" in alt


def test_a_horizon_without_an_event_says_why_it_has_no_figures(tmp_path):
    summary = sample.visit_verdict()
    landmark = summary.landmarks[0]
    nothing = LandmarkCell(1.0, None, None, None, None, None, None, "no event until then")
    rows = tuple(dataclasses.replace(row, cells=(nothing, *row.cells[1:])) for row in landmark.rows)
    changed = dataclasses.replace(landmark, rows=rows, events_by=(0, *landmark.events_by[1:]))
    path = report(tmp_path, dataclasses.replace(summary, landmarks=(changed,)))
    dash = "\N{EN DASH}"
    said = words(path)
    assert "By 1 step: 0 events by then, 121 at risk after it; no metrics: no event until then" in said
    assert f"model {' '.join([dash] * 6)} oracle" in said


def test_a_landmark_without_any_figure_says_why(tmp_path):
    empty = dataclasses.replace(
        sample.landmark("visit 99", (1, 5)),
        at_risk=0,
        events=0,
        horizons=(),
        at_risk_after=(),
        events_by=(),
        unsupported=(1.0, 5.0),
        rows=(),
        calibration=(),
        notes=("no subject is at risk at this landmark",),
    )
    said = words(report(tmp_path, sample.visit_verdict(landmarks=(empty,), curves=())))
    assert "No metrics at this landmark: no subject is at risk at this landmark" in said
    assert "without metrics: 1 and 5 steps" in said
    assert "No horizon of this landmark lies within the follow-up." in said


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_history_of_hardly_an_epoch_is_shown(tmp_path, epochs):
    history = sample.history(epochs, best_epoch=epochs)
    if epochs:
        history.epochs[0] = dataclasses.replace(history.epochs[0], val_c_td=float("nan"))
    said = words(report(tmp_path, sample.bare_verdict(), history=history))
    assert ("No epoch was finished" in said) == (epochs == 0)
    assert ("C-index \N{EN DASH})" in said) == (epochs == 1)


def test_names_from_the_data_are_escaped(tmp_path):
    bad = "<script>alert('x')</script> $a_b$ \"&"
    summary = sample.visit_verdict(lines=(bad,), notes=(bad,), conventions={bad: bad}, landmarks=())
    rows = (*summary.rows[:-1], dataclasses.replace(summary.rows[-1], name=bad))
    curves = (dataclasses.replace(summary.curves[0], example_name=(bad, "median risk", "highest risk")),)
    path = report(
        tmp_path,
        dataclasses.replace(summary, rows=rows, curves=curves),
        findings=(Finding(bad, "warning", bad, bad, (bad,)),),
        flow=sample.flow(
            subjects_excluded=(Exclusion(bad, 3, 1),),
            warnings=(bad,),
            entries_left_out={bad: 1},
            outcome_facts={bad: 1.0},
        ),
        history=History(1, 1.0, sample.history().epochs, 24, bad),
        description=RunDescription(bad, RunTask(bad, bad, bad), bad),
        manifest={bad: bad},
    )
    assert "<script" not in path.read_text(encoding="utf-8")
    assert "script" not in {name for name, _ in outline(path).tags}
    assert all("<script" not in file.read_text(encoding="utf-8") for file in (tmp_path / "figures").glob("*.svg"))


@pytest.mark.parametrize("page", ["visit_page", "bare_page"])
def test_the_page_is_sound_html_that_asks_for_nothing(request, page):
    path = request.getfixturevalue(page)
    text, found = path.read_text(encoding="utf-8"), outline(path)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert set(found.references) <= set(found.ids)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(found.headings, found.headings[1:], strict=False))
    sources = [value for _, tag in found.tags for key, value in tag.items() if key in {"src", "href"}]
    assert all(value.startswith(("#", "data:")) for value in sources)
    assert "@import" not in text
    assert "url(http" not in text


def test_every_figure_has_words_and_both_files_and_colours_of_the_page(visit_page):
    found = outline(visit_page)
    figures = [tag["id"].removeprefix("figure-") for name, tag in found.tags if name == "figure"]
    alts = [tag for name, tag in found.tags if name == "svg"]
    assert len(figures) == 2 + 8 + 6 + 2 + 1
    assert len(alts) == len(figures)
    assert all(tag["role"] == "img" and len(tag["aria-label"]) > 40 for tag in alts)
    files = {file.name for file in (visit_page.parent / "figures").iterdir()}
    assert files == {f"{figure}.{ending}" for figure in figures for ending in ("svg", "png")}
    body = visit_page.read_text(encoding="utf-8").split("</style>")[-1]
    assert re.findall(r"#[0-9a-f]{6}\b", body) == []
    assert "var(--blue)" in body


def test_the_style_sheet_and_the_files_agree_on_the_light_colours():
    style = Path(sample.__file__).parents[2] / "survlstm" / "report" / "page.css"
    light = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", style.read_text(encoding="utf-8").split("@media")[0]))
    assert {name: light[name] for name in PALETTE} == PALETTE


def test_equal_values_give_equal_bytes(visit_page, tmp_path):
    again = report(tmp_path, sample.visit_verdict())
    first, second = visit_page.parent, again.parent
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) == 39
    assert [name for name in names if (first / name).read_bytes() != (second / name).read_bytes()] == []


def test_one_comparator_below_chance_is_drawn(tmp_path):
    worse = dataclasses.replace(sample.rows()[0], c_td=Estimate(0.29))
    path = report(tmp_path, sample.visit_verdict(rows=(worse,), landmarks=(), curves=()))
    assert "Forest plot of the C-index: model 0.290." in path.read_text(encoding="utf-8")
    assert "Best baseline" not in words(path)


def test_a_page_that_can_not_be_written_whole_does_not_say_that_the_run_is_finished(tmp_path, monkeypatch):
    written = Path.write_text

    def half(path, text, **options):
        written(path, text[: len(text) // 2], **options)
        if path.suffix != ".svg":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        report(tmp_path, sample.bare_verdict(), history=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures"]


def test_groups_have_their_figures_and_small_ones_a_number_only(tmp_path):
    path = report(tmp_path, sample.visit_verdict())
    text = words(path)
    assert "Risks are those by 20 steps, from visit 3" in text
    assert "F 90 41 0.741 0.670 to 0.810 80 0.412 0.431 0.330 to 0.550" in text
    assert (
        f"white 21 0 {' '.join([MISSING] * 4)} fewer than 10 subjects 7 {' '.join([MISSING] * 5)} C-index and" in text
    )
    assert "no C-index, because no two subjects can be compared, in 1 group" in text
    assert 'href="#groups"' in path.read_text(encoding="utf-8")


def test_without_groups_there_is_no_section(tmp_path):
    page = report(tmp_path, sample.visit_verdict(groups=None)).read_text(encoding="utf-8")
    assert 'href="#groups"' not in page
    assert "Groups of subjects" not in page


def test_groups_without_a_landmark_have_no_risks_and_those_without_rows_say_why(tmp_path):
    nothing = {"landmark": None, "horizon": None}
    text = words(report(tmp_path, sample.visit_verdict(groups=sample.groups(**nothing))))
    assert "F 90 41 0.741 0.670 to 0.810 M" in text
    assert "Predicted risk" not in text
    empty = sample.groups(**nothing, rows=(), notes=("no groups by sex: not known of any evaluated subject",))
    text = words(report(tmp_path, sample.visit_verdict(groups=empty)))
    assert "No group is known. no groups by sex: not known of any evaluated subject" in text


def test_static_and_fused_codes_are_entries_that_were_added(tmp_path, visit_page):
    only_static = sample.flow(entries_added=45_890, fused_added=0, values=None)
    page = report(tmp_path, sample.bare_verdict(), flow=only_static)
    assert "read 582,455 added: static codes, at every visit 45,890 left out" in words(page)
    assert 'href="#values"' not in page.read_text(encoding="utf-8")
    assert "read 582,455 added: fused codes of values 39,000 left out" in words(visit_page)
