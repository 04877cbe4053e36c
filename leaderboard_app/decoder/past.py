"""Sections of the decoder's page on time: stages of learning, versions on this board, and its other boards."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from harness.results.records import Record
from leaderboard_app.decoder.history import history, learned, old_cost
from leaderboard_app.links import page_link
from leaderboard_app.runs import Board, Run, newest
from leaderboard_app.site import Site
from leaderboard_app.wording import metric_name, number, plain, short

MANY_BOARDS = 8


def show_learning(run: Run) -> None:
    """What was learned from, and how long that took."""
    st.subheader("Learning", anchor=False)
    table = learned(run.records)
    if table.empty:
        told = ", ".join(f"{stage} {short(seconds)} s" for stage, seconds in old_cost(run.records).items())
        st.markdown(f"The record lists no stages of learning; it took: {told or 'not known'}.")
        return
    text, num = st.column_config.TextColumn, st.column_config.NumberColumn
    config = {
        "stage": text("Stage", width=80),
        "decoder": text("Of", width=130, help="A pretraining may be another decoder's, such as a teacher's."),
        "sessions": text("Learned from", width=280),
        "labels": text("Labels", width=60, help="Whether it was given their labels."),
        "times": num("Times", format="%g", width=60, help="Per seed: once for each recording, or once for all."),
        "seconds": num("Seconds", format="%.1f", width=80, help="Of all of them, for one seed."),
        "backend": text("Backend", width=100),
    }
    shown = table if table["backend"].ne("").any() else table.drop(columns="backend")
    st.dataframe(shown, hide_index=True, column_config=config, alt="Stages of learning with sessions and seconds")


def show_history(records: Sequence[Record], name: str) -> None:
    """All versions and settings that ran on this board."""
    table = history(records, name)
    st.subheader("History on this board", anchor=False)
    table["score"] = table["score"].map(lambda value: None if pd.isna(value) else float(number(value)))
    text, num = st.column_config.TextColumn, st.column_config.NumberColumn
    metric = metric_name(newest(records).metric)
    config = {
        "started_utc": text("Started, UTC", width=130),
        "score": num(metric, format="%.2f", width=max(60, 8 * len(metric))),
        "p99_ms": num("p99 ms", format="%.3f", width=70),
        "n_seeds": num("Seeds", format="%d", width=55),
        "status": text("Status", width=80),
        "version": text("Version", width=65),
        "source": text("Source", width=75),
        "changed": text("What changed", width=380, help="Against the row below."),
    }
    st.dataframe(
        table[list(config)],
        hide_index=True,
        column_config=config,
        placeholder="-",
        alt="Versions of this decoder on this board, newest first",
    )


def show_other_boards(site: Site, name: str, here: Board) -> None:
    """Links to the same decoder elsewhere."""
    others = sorted({Board.of_row(row) for row in site.listing.rows if row["decoder"] == name} - {here})
    if not others:
        return
    st.markdown(f"**Also on** {len(others)} other board{'s' if len(others) > 1 else ''}:")
    for board in others[:MANY_BOARDS]:
        page_link("decoder", plain(board.title), board=board.key, decoder=name)
