"""The table of `make bench`: every target of design, section 9, with what was measured and the verdict.

    PYTHONPATH=. python tools/bench_table.py .benchmarks/bench.json [--keep docs/results/bench.json]

The input is what pytest-benchmark writes; its measurements note their rows by tests/perf/rows.py.
"""

import argparse
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from tools import markdown

Row = dict[str, Any]


def rows_of(measured: dict[str, Any]) -> list[Row]:
    """All rows of a run, in the order of the measurements.

    Args:
        measured: pytest-benchmark's JSON.
    """
    return [row for one in measured["benchmarks"] for row in one["extra_info"].get("rows", ())]


def is_met(row: Row) -> bool:
    """Whether the figure is on the right side of its limit."""
    least = row["target"].startswith(">=")
    return bool(row["measured"] >= row["limit"] if least else row["measured"] <= row["limit"])


def table(rows: list[Row]) -> str:
    """Rows in Markdown."""
    return markdown.table(("what", "target", "measured", "met"), map(_cells, rows))


def _cells(row: Row) -> list[str]:
    measured = f"{row['measured']:.3g} {row['unit']}"
    return [row["what"], row["target"].strip(), measured.strip(), "yes" if is_met(row) else "**no**"]


def record_of(measured: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run: its rows, on what machine, at which commit."""
    cpu = measured["machine_info"].get("cpu", {})
    return {
        "command": "make bench",
        "commit": _commit(),
        "date": measured["datetime"][:10],
        "machine": {"processor": cpu.get("brand_raw", platform.machine()), "cores": cpu.get("count")},
        "python": measured["machine_info"]["python_version"],
        "rows": rows_of(measured),
    }


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    """Print the table; say how many targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--keep", type=Path, help="Also write the rows there, for docs/performance.md.")
    given = parser.parse_args()
    record = record_of(json.loads(given.measured.read_text()))
    print(table(record["rows"]))
    print(f"\n{sum(map(is_met, record['rows']))} of {len(record['rows'])} targets are met.")
    if given.keep:
        given.keep.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
