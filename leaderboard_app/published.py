"""Published numbers beside a board: measured by others, by other protocols, and so never a row of the ranking."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

HERE = Path(__file__).parent.parent
FILES = (HERE / "datasets" / "published_results.csv", HERE / "harness" / "_datasets" / "published_results.csv")
"""As checked out, and as installed."""


@dataclass(frozen=True)
class Rows:
    """Which rows of the file stand beside a suite: of a task, and with what dataset and metric begin."""

    task: str
    dataset: str = ""
    metric: str = "R2"


SHOWN = {
    "primate-lfp": Rows("lfp-velocity"),
    "primate-lfp-peer": Rows("lfp-velocity"),
    "primate-reaching": Rows("spike-velocity"),
    "eeg-motor-imagery": Rows("eeg-mi", "PhysionetMI", ""),
    "eeg-motor-imagery-cross-subject": Rows("eeg-mi", "PhysioNet-MI", ""),
    "eeg-motor-imagery-new-subject": Rows("eeg-mi", "PhysioNet-MI", ""),
}
"""Suite -> what others published for it."""
COLUMNS = (
    "method",
    "dataset",
    "session_or_split",
    "metric",
    "value",
    "spread",
    "causal",
    "params",
    "source_id",
    "verified",
    "where_found",
)


def published(suite: str) -> pd.DataFrame:
    """Numbers that others published for the task of a suite, best first; rows of single sessions are left out.

    Args:
        suite: As records have it: `primate-lfp@1`, `primate-lfp/spikes@1`.
    """
    rows = SHOWN.get(suite.partition("@")[0].partition("/")[0])
    path = next((path for path in FILES if path.is_file()), None)
    if path is None or rows is None:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.read_csv(path)
    fits = (table["task"] == rows.task) & table["dataset"].str.startswith(rows.dataset)
    table = table[fits & table["metric"].str.startswith(rows.metric) & ~_single(table)]
    table = table.assign(value=pd.to_numeric(table["value"], errors="coerce")).dropna(subset="value")
    return table.sort_values(["value", "method"], ascending=[False, True], ignore_index=True)[list(COLUMNS)]


def show_published(suite: str) -> None:
    """What others published for this task, apart from everything that was measured here."""
    table = published(suite)
    if table.empty:
        return
    with st.expander(f"Published numbers for this task ({len(table)})"):
        st.caption(
            "As published, on other recordings, splits and filters than this board's, with no judge between: neither "
            "ranked nor comparable row by row. `verified` says whether the number was read in the primary text or at "
            "second hand."
        )
        config = {"value": st.column_config.NumberColumn(format="%.3f")}
        st.dataframe(table, hide_index=True, column_config=config, alt="Published results, not ranked")


def _single(table: pd.DataFrame) -> pd.Series:
    """Rows of one recording, of which a paper has dozens: `20160624_03`, `e2_1`, `I1`, `indy_20160622_01`."""
    return table["session_or_split"].str.fullmatch(r"(?:[A-Za-z]+_)?\d{8}_\d{2}|[a-zA-Z]\d+(?:_\d+)?").fillna(False)
