"""Choices of the decoder's page: a name over all boards, one of its boards, one of its settings and versions."""

from collections.abc import Mapping

import streamlit as st

from leaderboard_app.choices import choose
from leaderboard_app.runs import Board, Run
from leaderboard_app.site import Site


def choose_name(site: Site) -> str:
    """The decoder that the address names, by its name or by the label of one of its runs; else the newest record's."""
    rows = site.listing.rows
    names = {name: name for name in sorted({row["decoder"] for row in rows})}
    newest = max(rows, key=lambda row: (row["started_utc"], row["id"]))["decoder"]
    said = st.query_params.get("decoder", newest)
    if said not in names and name_in(said, names):
        names[said] = name_in(said, names)
    chosen = choose("decoder", "Decoder", names, newest, forgets=["variant"])
    return names[chosen]


def name_in(label: str, names: Mapping[str, str]) -> str:
    """The name in a run's label, as in `wiener (alpha=1)`; empty if none of the known ones is."""
    return max((name for name in names if label.startswith(f"{name} (")), key=len, default="")


def choose_its_board(site: Site, name: str) -> Board:
    """One of the boards that this decoder is on."""
    found = {Board.of_row(row) for row in site.listing.rows if row["decoder"] == name}
    return site.choose_board({board.key: board for board in sorted(found)}, forgets=["variant"])


def choose_run(runs: Mapping[str, Run]) -> Run:
    """Which of one decoder's settings and versions, where there are several; the newest unless said otherwise."""
    titles = {label: label for label in runs}
    linked = st.query_params.get("decoder", "")
    first = linked if linked in titles else next(iter(titles))
    return runs[choose("variant", "Settings or version", titles, first) if len(titles) > 1 else first]
