"""Written bundles, one for each clock."""

import pytest

from survlstm.inference.bundle.bundle import write_bundle
from tests.bundles import bundle_on


@pytest.fixture(params=["visit", "landmark", "days"])
def clock(request):
    return request.param


@pytest.fixture
def written(tmp_path, clock):
    write_bundle(bundle_on(clock), tmp_path / "bundle", figures={"c_td.png": b"png"}, extras={"model.onnx": b"onnx"})
    return tmp_path / "bundle"
