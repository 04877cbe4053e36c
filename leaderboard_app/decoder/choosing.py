"""Choices of the decoder's page: a name over all boards, one of its boards, one of its settings and versions."""

from collections.abc import Mapping

import streamlit as st

from leaderboard_app.choices import choose
from leaderboard_app.runs import Board, Run
from leaderboard_app.site import Site

SHOWN = "decoder that was shown last"
OF_ONE_DECODER = ("board", "variant")
"""What an address says of one decoder, and what another one need not have."""


def choose_name(site: Site) -> str:
    """The decoder that the address names, by its name or by the label of one of its runs; else the newest record's."""
    rows = site.listing.rows
    names = {name: name for name in sorted({row["decoder"] for row in rows})}
    label = st.query_params.get("decoder", "")
    if label not in names and (name := name_in(label, names)):
        st.query_params.update(decoder=name, variant=label)
    return choose("decoder", "Decoder", names, max(rows, key=lambda row: (row["started_utc"], row["id"]))["decoder"])


def name_in(label: str, names: Mapping[str, str]) -> str:
    """The name in a run's label, as in `wiener (alpha=1)`; empty if none of the known ones is."""
    return max((name for name in names if label.startswith(f"{name} (")), key=len, default="")


def choose_its_board(site: Site, name: str) -> Board:
    """One of the boards that this decoder is on."""
    found = {Board.of_row(row) for row in site.listing.rows if row["decoder"] == name}
    boards = {board.key: board for board in sorted(found)}
    if st.session_state.get(SHOWN, name) != name:
        _forget(boards)
    st.session_state[SHOWN] = name
    return site.choose_board(boards)


def choose_run(runs: Mapping[str, Run]) -> Run:
    """Which of one decoder's settings and versions, where there are several; the newest unless said otherwise."""
    titles = {label: label for label in runs}
    first = next(iter(titles))
    if len(titles) == 1:
        st.query_params.pop("variant", None)
        return runs[first]
    return runs[choose("variant", "Settings or version", titles, first)]


def _forget(boards: Mapping[str, Board]) -> None:
    """When another decoder was picked: drop from the address what was said of the one before."""
    if st.query_params.get("board") not in boards:
        st.query_params.pop("board", None)
    st.query_params.pop("variant", None)
