"""The table of `make bench`: figures beside their targets, and an honest verdict."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.perf.rows import keep
from tools.bench_table import is_met, rows_of, table

ROOT = Path(__file__).parents[1]


@pytest.fixture
def noted():
    """One measurement's notes: one target met, one missed, one that is a least."""
    benchmark = SimpleNamespace(extra_info={})
    keep(benchmark, "a start", 0.25, limit=0.3, unit="s")
    keep(benchmark, "a load", 3.5, limit=3, unit="times")
    keep(benchmark, "two workers", 1.8, limit=1.7, unit="times", aim="least")
    return benchmark.extra_info


def test_a_figure_is_met_on_its_own_side_of_the_limit_only(noted):
    assert [is_met(row) for row in noted["rows"]] == [True, False, True]
    assert [is_met(row | {"measured": row["limit"]}) for row in noted["rows"]] == [True, True, True]
    assert not is_met(noted["rows"][2] | {"measured": 1.69})


def test_a_missed_target_is_seen_in_the_table(noted):
    lines = table(noted["rows"]).splitlines()
    assert lines[2:] == [
        "| a start | <= 0.3 s | 0.25 s | yes |",
        "| a load | <= 3 times | 3.5 times | **no** |",
        "| two workers | >= 1.7 times | 1.8 times | yes |",
    ]


def test_the_script_prints_the_table_and_keeps_the_rows(noted, tmp_path):
    measured = {
        "datetime": "2026-01-02T03:04:05+00:00",
        "machine_info": {"python_version": "3.11.7", "cpu": {"brand_raw": "A processor", "count": 2}},
        "benchmarks": [{"extra_info": noted}, {"extra_info": {}}],
    }
    (tmp_path / "in.json").write_text(json.dumps(measured))
    command = [sys.executable, "-m", "tools.bench_table", tmp_path / "in.json", "--keep", tmp_path / "out.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "2 of 3 targets are met." in done.stdout and "**no**" in done.stdout
    kept = json.loads((tmp_path / "out.json").read_text())
    assert kept["rows"] == rows_of(measured) == noted["rows"]
    assert kept["machine"] == {"processor": "A processor", "cores": 2} and kept["date"] == "2026-01-02"
