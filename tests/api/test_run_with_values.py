"""A run that uses values: what its folder, its objects and its bundle say about them."""

import json
import shutil

import pandas as pd
import pytest

import survlstm
from survlstm.report.value_table import COLUMNS

SETTINGS = {
    "experiment": "smoke",
    "data.values": "both",
    "evaluation.resamples": 100,
    "evaluation.landmarks.visits": [2],
    "evaluation.landmarks.horizons": [1],
    "evaluation.baselines": [],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    """The run; only read."""
    return survlstm.train({**SETTINGS, "cache_dir": str(shared_cache)}, output_dir=tmp_path_factory.mktemp("values"))


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the run, to change files of."""
    return survlstm.load_run(shutil.copytree(run.folder, tmp_path / "run"))


def test_the_table_is_the_one_of_the_prepared_data_with_descriptions(run, shared_cache):
    table = run.values
    prepared = survlstm.prepare({**SETTINGS, "cache_dir": str(shared_cache)})
    pd.testing.assert_frame_equal(table.assign(description=""), prepared.values)
    assert table.set_index("code").loc["LOINC/8302-2", ["description", "unit"]].tolist() == ["Body Height", "cm"]
    assert (table["bins"] == "").any()
    assert ((table["bins"] == "") == (table["note"] != "")).all()


def test_metrics_hold_the_totals_of_the_table(run):
    table, data = run.values, json.loads((run.folder / "metrics.json").read_text())["data"]
    totals = data["values"]
    assert totals["in_bins"] == data["fused_added"] == table["values"][table["bins"] != ""].sum()
    assert totals["in_columns"] == table["values"][table["has_columns"]].sum()
    counted = (len(table), (table["bins"] != "").sum(), table["has_columns"].sum())
    assert tuple(totals[name] for name in ("measures", "with_bins", "with_columns")) == counted
    assert totals["with_columns"] == 20
    page = run.report().read_text(encoding="utf-8")
    assert f"The 40 most frequent of {len(table)} are shown" in page
    assert "Body Height" in page


def test_a_bundle_says_how_values_are_used(run, tmp_path):
    bundle = survlstm.load_bundle(run.export(tmp_path / "bundle")).bundle
    totals = json.loads((run.folder / "metrics.json").read_text())["data"]["values"]
    counts = {name: totals[name] for name in ("measures", "with_bins", "with_columns")}
    assert bundle.cohort["values"] == {"form": "both", **counts}
    assert (
        f"| Values | both: of {counts['measures']} pairs of code and unit, {counts['with_bins']} with bins, 20 with "
        "columns |"
    ) in bundle.card


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "FileNotFoundError"),
        ("", "EmptyDataError"),
        ("code,unit\nA,B\n", "its columns are not those of this version"),
        (",".join(COLUMNS) + "\n" + ",".join("x" for _ in COLUMNS) + "\n", "ValueError"),
        (b"\xff\xfe", "UnicodeDecodeError"),
    ],
)
def test_a_damaged_table_is_one_sentence(copied, content, why):
    path = copied.folder / "values.csv"
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(survlstm.SurvlstmError, match=rf"values\.csv must be as survlstm writes it.*{why}.*Evaluate"):
        _ = copied.values


def test_codes_and_units_named_like_a_missing_value_are_kept(copied):
    path = copied.folder / "values.csv"
    copied.values.head(1).assign(code="NA", unit="nan").to_csv(path, index=False)
    assert copied.values.loc[0, ["code", "unit"]].tolist() == ["NA", "nan"]
