"""``survlstm plot survival`` as it is typed: who is drawn, who is not and why, and what ends in a sentence."""

import re
import shutil

import pandas as pd
import pytest

from survlstm.inference.score_subjects import reason_without_dates
from survlstm.report.task import BANNER

FILES = [
    "subjects.csv",
    "survival.html",
    *(f"survival_{name}.{kind}" for name in ("groups", "subjects") for kind in ("png", "svg")),
]


@pytest.fixture(scope="module")
def scored(trained, tmp_path_factory):
    """What ``predict`` says of the same export; only read."""
    import survlstm
    from survlstm.inference.score_export import score_export

    _, bundle, export = trained
    cache = tmp_path_factory.mktemp("cache")
    (found,) = score_export(survlstm.load_bundle(bundle), export, subjects_at_once=1000, cache_dir=str(cache))
    return found.table.set_index("subject_id"), dict(found.not_scored.itertuples(index=False))


def rows_of(page):
    """The first table's rows: the cells' words."""
    body = re.search(r"<tbody>(.*?)</tbody>", page, flags=re.DOTALL).group(1)
    rows = re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL)
    return [re.sub(r"<[^>]*>", " ", row).split() for row in rows]


def test_without_names_the_ends_and_the_median_are_drawn(survlstm, trained, scored, tmp_path, capsys):
    _, bundle, export = trained
    assert survlstm("plot", "survival", f"bundle={bundle}", f"data.path={export}") == 0
    folder = tmp_path / "survival_curves"
    assert sorted(file.name for file in folder.iterdir()) == FILES
    page = (folder / "survival.html").read_text(encoding="utf-8")
    table, left_out = scored
    ordered = table.sort_values(["risk", "subject_id"])
    expected = [ordered.index[place] for place in (0, (len(ordered) - 1) // 2, -1)]
    rows = rows_of(page)
    assert [" ".join(row[:4]) for row in rows] == [
        f"subject {number} {called} risk" for number, called in enumerate(("lowest", "median", "highest"), start=1)
    ]
    numbered = pd.read_csv(folder / "subjects.csv")
    assert numbered["subject_id"].tolist() == expected
    assert numbered["chosen_as"].tolist() == ["lowest risk", "median risk", "highest risk"]
    assert numbered["history_end"].tolist() == [str(table["history_end"][name]) for name in expected]
    assert (folder / "subjects.csv").stat().st_mode & 0o777 == 0o600
    for row, name in zip(rows, expected, strict=True):
        assert row[4] == f"{table['risk'][name]:.3f}"
        assert row[6] == f"{table['survival_1'][name]:.3f}"
        assert name not in page
        assert f"{table['history_end'][name]:%Y-%m-%d}" not in page
    assert f"{len(table)} of {len(table) + len(left_out)} subjects scored" in page
    groups = pd.cut(table["percentile"], [-1, 100 / 3, 200 / 3, 101], right=False).value_counts(sort=False).tolist()
    low, medium, high = groups
    assert f"{low} at low risk, {medium} at medium risk and {high} at high risk" in page
    said = capsys.readouterr().out
    assert f'<p class="banner">{BANNER}</p>' in page
    assert BANNER in said
    assert f"Scored: {len(table)} subjects; not scored: {len(left_out)}" in said
    assert "Survival curves: survival_curves/survival.html" in said


def test_parts_change_nothing(survlstm, trained, tmp_path):
    _, bundle, export = trained
    words = ["plot", "survival", f"bundle={bundle}", f"data.path={export}"]
    assert survlstm(*words, "output=whole") == 0
    assert survlstm(*words, "output=parts", "subjects_at_once=7") == 0
    whole, parts = ((tmp_path / name / "survival.html").read_text(encoding="utf-8") for name in ("whole", "parts"))
    assert rows_of(whole) == rows_of(parts)


def test_the_named_are_drawn_and_who_cannot_be_is_told(survlstm, trained, scored, tmp_path, capsys):
    _, bundle, export = trained
    table, left_out = scored
    names = [*table.index[8::-1], next(iter(left_out)), table.index[0]]
    words = [f"bundle={bundle}", f"data.path={export}", f"subjects=[{','.join(names)}]", "output=a/b"]
    assert survlstm("plot", "survival", *words) == 0
    page = (tmp_path / "a/b/survival.html").read_text(encoding="utf-8")
    assert [" ".join(row[:2]) for row in rows_of(page)] == [f"subject {number}" for number in range(1, 10)]
    assert pd.read_csv(tmp_path / "a/b/subjects.csv")["subject_id"].tolist() == names[:10]
    assert (tmp_path / "a/b/survival_subjects_2.png").is_file()
    reason = reason_without_dates(left_out[names[9]])
    assert reason in page
    assert "1 of the 10 subjects requested cannot be drawn" in page
    said = capsys.readouterr().out
    assert f"WARNING: subject 10 is not drawn: {reason}" in said
    assert not [name for name in names if name in page + said]


def test_an_id_that_is_not_there_costs_no_scoring(survlstm, trained, scored, tmp_path, capsys):
    _, bundle, export = trained
    name = scored[0].index[0]
    words = [f"bundle={bundle}", f"data.path={export}", f"subjects=[{name},{name[:-1]}]"]
    assert survlstm("plot", "survival", *words) == 2
    said = " ".join(capsys.readouterr())
    assert "1 of the 2 given are not among its 60 patients: position 2 of the list. Name others" in said
    assert name[:-1] not in said
    assert "Scoring" not in said
    assert survlstm("plot", "survival", f"bundle={bundle}", f"data.path={export}", f"subjects=[{name.upper()}]") == 2
    assert "1 of them differ from an id only in case or spaces" in " ".join(capsys.readouterr())
    assert list(tmp_path.iterdir()) == []


def test_only_subjects_that_cannot_be_scored(survlstm, trained, scored, tmp_path, capsys):
    _, bundle, export = trained
    name, reason = next(iter(scored[1].items()))
    assert survlstm("plot", "survival", f"bundle={bundle}", f"data.path={export}", f"subjects=[{name}]") == 4
    said = " ".join(capsys.readouterr())
    assert f"one of the given subjects must be scored; found none (subject 1: {reason_without_dates(reason)})" in said
    assert name not in said
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_row_of_the_patients_table_is_a_reason(survlstm, trained, scored, tmp_path, capsys):
    _, bundle, export = trained
    name, other = scored[0].index[:2]
    copy = shutil.copytree(export, tmp_path / "export")
    patients = pd.read_csv(copy / "patients.csv", dtype=str, keep_default_na=False)
    patients.loc[patients["Id"] == name, "BIRTHDATE"] = ""
    # One of few would be more than the bundle's training admits.
    others = patients.iloc[[0] * 100].assign(Id=[f"other{number}" for number in range(100)])
    pd.concat([patients, others]).to_csv(copy / "patients.csv", index=False)
    words = [f"bundle={bundle}", f"data.path={copy}", f"subjects=[{name},{other}]", "output=curves"]
    assert survlstm("plot", "survival", *words) == 0
    said = capsys.readouterr().out
    assert "subject 1 is not drawn: its row of the patients table can't be used" in said
    page = (tmp_path / "curves" / "survival.html").read_text(encoding="utf-8")
    assert [" ".join(row[:2]) for row in rows_of(page)] == ["subject 2"]
    assert pd.read_csv(tmp_path / "curves" / "subjects.csv")["subject_id"].tolist() == [name, other]


def test_nobody_can_be_scored(survlstm, trained, tmp_path, capsys):
    _, bundle, export = trained
    assert survlstm("plot", "survival", f"bundle={bundle}", f"data.path={export}", "as_of=1900-01-01") == 4
    said = " ".join(capsys.readouterr())
    assert re.search(
        r"at least one subject must be scored; found none of 60 \(.*: 60\)\. Check data\.path, as_of", said
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (["survival", "output=here"], 2, r"output must be new; here is there already"),
        (["survival", "output=file/below"], 8, r"curves must be written to file/below; the system says: .*"),
        (["hazard"], 2, r"survlstm plot must name the plot, as in survlstm plot survival bundle=…; found 'hazard'"),
        (["survival", "subjects=[]"], 2, r"subjects"),
    ],
)
def test_wrong_words_end_in_a_sentence(survlstm, trained, tmp_path, capsys, words, code, match):  # noqa: PLR0917
    _, bundle, export = trained
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    assert survlstm("plot", *words, f"bundle={bundle}", f"data.path={export}") == code
    assert re.search(match, " ".join(capsys.readouterr()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "here"]
