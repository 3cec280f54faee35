"""Where a run finds the descriptions of its codes: the tables of Synthea, or the source's own method."""

import pyarrow as pa
import pyarrow.parquet as pq

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.values.measures import FittedValues, Measure
from survlstm.data.vocabulary import PAD, UNK
from survlstm.runs.finished import FinishedRun
from tests.prepared import unscaled_state


def described(folder, values=None):
    (config,) = check_overrides("train", ["data=meds", f"data.path={folder}"], RunConfig)
    fitted = unscaled_state((PAD, UNK), values=values)
    return FinishedRun(folder, config, {"epoch": 1, "about": {"fitted": fitted.as_plain()}}).descriptions("unused")


def test_a_meds_dataset_describes_its_codes(tmp_path, caplog):
    for name in ("data", "metadata"):
        (tmp_path / name).mkdir()
    rows = {"subject_id": [1], "time": pa.nulls(1, pa.timestamp("us")), "code": ["A"]}
    pq.write_table(pa.table(rows), tmp_path / "data" / "0.parquet")
    assert described(tmp_path) == ({}, "")
    pq.write_table(pa.table({"code": ["A"], "description": ["Fever"]}), tmp_path / "metadata" / "codes.parquet")
    assert described(tmp_path) == ({"A": "Fever"}, "")
    values = FittedValues((Measure("A", "°C", 36.0, 41.0, (38.5,), (10, 10), (), ()),))
    fused = {"A//°C//value_[-inf,38.5)": "Fever (below 38.5 °C)", "A//°C//value_[38.5,inf)": "Fever (38.5 °C or more)"}
    assert described(tmp_path, values) == ({"A": "Fever", **fused}, "")
    (tmp_path / "metadata" / "codes.parquet").write_bytes(b"")
    texts, missing = described(tmp_path)
    assert (texts, "metadata/codes.parquet is not" in missing) == ({}, True)
    assert "codes are shown without descriptions: every parquet file" in caplog.text
