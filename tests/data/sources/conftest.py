"""Fixture: a small Synthea export that a test writes table by table."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest

from survlstm.data.events import SourceData
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES

CONDITIONS = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"


@dataclass(frozen=True)
class Export:
    """An export; the fixture has written patients.csv with anna, born in 1950, and bert, who lived from 1960 to 2000.

    Attributes:
        folder: Folder of the export.
    """

    folder: Path

    def write(self, name: str, *lines: str, encoding: str = "utf-8") -> Path:
        content = "".join(f"{line}\n" for line in lines).encode(encoding)
        return self.write_bytes(name, gzip.compress(content) if name.endswith(".gz") else content)

    def write_bytes(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def patients(self, *lines: str) -> Path:
        return self.write("patients.csv", "Id,BIRTHDATE,DEATHDATE,FIRST", *lines)

    def conditions(self, *lines: str) -> Path:
        return self.write("conditions.csv", CONDITIONS, *lines)

    def source(self, *tables: str, max_unusable_share: float = 0.01, timezone: str | None = None) -> SyntheaSource:
        return SyntheaSource(str(self.folder), tables or tuple(EVENT_TABLES), max_unusable_share, timezone)

    def read(self, *tables: str, max_unusable_share: float = 0.01) -> SourceData:
        return self.source(*tables, max_unusable_share=max_unusable_share).read()


@pytest.fixture
def export(tmp_path: Path) -> Export:
    made = Export(tmp_path)
    made.patients("bert,1960-05-05,2000-01-01,B", "anna,1950-01-01,,A")
    return made


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server with password authentication, for the session."""
    from tests.omop import PASSWORD, Server, running_server

    with running_server() as server, pytest.MonkeyPatch.context() as patch:
        if not isinstance(server, Server):
            pytest.skip(server)
        patch.setenv("PGPASSWORD", PASSWORD)
        yield server
