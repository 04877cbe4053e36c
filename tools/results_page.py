"""Write a page of results from the records of a store: `python tools/results_page.py STORE PAGE.md "how it was run"`.

Every number on the page comes from a record; running the tool again on the same store gives the same page.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.results.records import Record
from harness.results.store import Store
from leaderboard_app.runs import Board, runs_of
from leaderboard_app.table import ranking
from leaderboard_app.wording import interval, metric_name, number

BOARD_HEAD = (
    "| decoder | {metric} | 95 % interval | sd over seeds | p50 ms | p99 ms | paced p99 ms | missed | parameters "
    "| bytes | operations/s | fit s | tracks |"
)


def main() -> None:
    """Read the store, write the page."""
    store, page, how = sys.argv[1:4]
    boards: dict[Board, list[Record]] = defaultdict(list)
    for record in Store(Path(store)).records():
        boards[Board.of(record)].append(record)
    parts = [f"# Results\n\nWritten by `tools/results_page.py` from records; measured by\n\n```\n{how}\n```"]
    ordered = sorted(boards, key=lambda board: ("/" in board.suite, board))
    parts += [text for board in ordered for text in board_section(board, boards[board])]
    Path(page).write_text("\n\n".join(parts) + "\n")


def board_section(board: Board, records: Sequence[Record]) -> list[str]:
    """A board's heading, table, what was left out and why, and scores per recording."""
    table, metric = ranking(records), metric_name(records[0].metric)
    simulated = " Simulated recordings: never ranked with real ones." if board.simulated else ""
    ahead_ms = records[0].label_look_ahead_s * 1e3
    if ahead_ms:
        simulated += f" Labels look {ahead_ms:g} ms ahead: not strictly causal, whatever the decoder is."
    noisy = " The machine was busy: compare these latencies with care." if table["noisy"].any() else ""
    head = BOARD_HEAD.format(metric=metric)
    rows = [_row(row) for _, row in table.iterrows()]
    scores = "\n".join([head, "|---" * (head.count("|") - 1) + "|", *rows])
    each = [_per_session(records, metric, list(table["decoder"]))] if len(records[0].sessions) > 1 else []
    return [f"## {board.title}", f"{_machine(records[0])}.{simulated}{noisy}", scores, *_left_out(table), *each]


def _left_out(table: pd.DataFrame) -> list[str]:
    """Why rows of the table have no rank, with the numbers that broke a budget."""
    rows = table[table["kind"] == "unranked"]
    lines = [f"- {name}: {reason}" for name, reason in zip(rows["decoder"], rows["reason"], strict=True)]
    return ["Not ranked:\n\n" + "\n".join(lines)] if lines else []


def _machine(record: Record) -> str:
    environment = record.environment
    packages = ", ".join(f"{name} {environment['packages'][name]}" for name in ("numpy", "torch"))
    return f"{environment['cpu']}, {environment['cores']} cores; Python {environment['python']}, {packages}"


def _row(row: pd.Series) -> str:
    """One line of the table; what a floor or reference has no number for stays empty."""

    def show(name: str, digits: int, unit: str = "") -> str:
        return "" if pd.isna(row[name]) else f"{round(row[name], digits) + 0:,.{digits}f}{unit}"

    missed = "" if pd.isna(row["deadline_miss_rate"]) else f"{row['deadline_miss_rate']:.2%}"
    name = row["decoder"] if row["kind"] in ("ranked", "unranked") else f"*{row['decoder'].replace('_', ' ')}*"
    cells = [name, show("score", 3), interval(row["low"], row["high"]), show("seed_sd", 3), show("p50_ms", 3)]
    cells += [show("p99_ms", 3), show("paced_p99_ms", 3), missed, show("parameters", 0), show("artifact_bytes", 0)]
    declared = " declared" if row["operations"] == "declared" else ""
    cells += [show("operations_per_s", 0, declared), show("fit_s", 1), row["tracks"]]
    return "| " + " | ".join(cells) + " |"


def _per_session(records: Sequence[Record], metric: str, order: list[str]) -> str:
    """Scores of every recording, means over seeds, decoders in the order of the table above."""
    sessions = list(dict.fromkeys(s.session for r in records for s in r.sessions))
    lines = [f"{metric} per recording, mean over seeds:", "", "| decoder | " + " | ".join(sessions) + " |"]
    lines.append("|---" * (len(sessions) + 1) + "|")
    for run in sorted(runs_of(records), key=lambda run: order.index(run.label)):
        found: dict[str, list[float]] = defaultdict(list)
        for record in run.records:
            for s in record.sessions:
                if record.metric in s.scores:
                    found[s.session].append(s.scores[record.metric])
        cells = [number(sum(found[s]) / len(found[s]), 3) if found[s] else "" for s in sessions]
        lines.append(f"| {run.label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
