"""The leaderboard's first page: `harness board` runs this file with Streamlit."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from harness.results.records import Record
from leaderboard_app.details import show_details
from leaderboard_app.grids import show_ranked, show_unranked
from leaderboard_app.plots import score_latency
from leaderboard_app.published import show_published
from leaderboard_app.reading import BadFile, Fingerprint, Reading, fingerprint, read_store
from leaderboard_app.runs import Board, newest
from leaderboard_app.table import ranking
from leaderboard_app.tracks import EVERYBODY, first_choice, tracks_of
from leaderboard_app.wording import as_csv, plain

HOW_TO_START = "harness eval --suite primate-reaching"


def store_folder(arguments: Sequence[str]) -> Path:
    """The `--store` of the command line."""
    parser = argparse.ArgumentParser(prog="leaderboard_app")
    parser.add_argument("--store", type=Path, default=Path("results"))
    return Path(parser.parse_args(arguments).store)


@st.cache_resource(show_spinner="Reading records …", max_entries=2)
def cached_reading(root: Path, state: Fingerprint) -> Reading:
    """The store's content, read again only when `state` says that it changed."""
    return read_store(root)


def show_page(root: Path) -> None:
    """Draw the page for one store."""
    st.set_page_config(page_title="Neural decoder leaderboard", page_icon="📈", layout="wide")
    st.title("Neural decoder leaderboard", anchor=False)
    st.markdown(
        "Every decoder ran in a separate process; a causal one was sent one bin of neural activity at a time, "
        "while the judge kept the clock and the labels."
    )
    reading = cached_reading(root, fingerprint(root))
    show_bad_files(reading.bad_files)
    if not reading.records:
        show_empty(root)
        return
    left, right = st.columns([3, 1])
    with left:
        board = choose_board(reading.records)
    records = [r for r in reading.records if Board.of(r) == board]
    with right:
        track = choose_track(records)
    show_board(board, track, records)


def show_empty(root: Path) -> None:
    """Say what to do when there is nothing to show."""
    with st.container(border=True):
        st.subheader("No results yet", anchor=False)
        st.markdown(f"There is no record in {plain(str(root))}. Run an evaluation, then reload this page:")
        st.code(HOW_TO_START, language="bash")


def show_bad_files(bad_files: Sequence[BadFile]) -> None:
    """Name the files that were left out, and why."""
    if not bad_files:
        return
    one = len(bad_files) == 1
    st.warning(
        f"{len(bad_files)} {'file is' if one else 'files are'} no whole record and left out: "
        f"{plain(', '.join(b.file for b in bad_files[:3]))}{'' if len(bad_files) <= 3 else ' …'}",
        icon=":material/broken_image:",
    )
    with st.expander("What is wrong"):
        st.dataframe(pd.DataFrame(bad_files), hide_index=True, alt="Files left out and why")


def choose_board(records: Sequence[Record]) -> Board:
    """The board that the address names or that is picked, or the newest record's."""
    boards = {b.key: b for b in sorted({Board.of(r) for r in records})}
    titles = {key: board.title for key, board in boards.items()}
    return boards[choose("board", "Suite, tier and profile", titles, Board.of(newest(records)).key)]


def choose_track(records: Sequence[Record]) -> str:
    """The track whose rules decide who is ranked."""
    titles = {name: f"{name}@{version}" for name, version in tracks_of(records).items()} or {EVERYBODY: EVERYBODY}
    return choose("track", "Track", titles, first_choice(titles))


def choose(name: str, label: str, titles: Mapping[str, str], otherwise: str) -> str:
    """What the address says under `name`; picking another changes the address, which alone is remembered."""
    wanted = st.query_params.get(name, otherwise)
    if wanted not in titles:
        st.info(
            f"The link asks for {plain(wanted)}, which is not here; this is {plain(otherwise)}.",
            icon=":material/link_off:",
        )
        wanted = otherwise
    st.query_params[name] = st.session_state[name] = wanted
    st.selectbox(
        label, list(titles), format_func=lambda key: titles.get(key, key), key=name, on_change=remember, args=(name,)
    )
    return wanted


def remember(name: str) -> None:
    """Write into the address what was picked."""
    st.query_params[name] = st.session_state[name]


def show_board(board: Board, track: str, records: Sequence[Record]) -> None:
    """Notice, plot and tables of one ranking."""
    latest = newest(records)
    table = ranking(records, track)
    if board.simulated:
        st.warning(
            "**Simulated recordings.** They come from a generator with a known best score. They test decoders and "
            "the harness, say nothing about a brain, and are never ranked with real recordings.",
            icon=":material/science:",
        )
    ahead_ms = latest.label_look_ahead_s * 1000
    ahead = f"labels look {ahead_ms:g} ms ahead: not strictly causal · " if ahead_ms else ""
    st.caption(
        f"Ranked decoders: {(table['kind'] == 'ranked').sum()} · sessions: {len(latest.sessions)} · "
        f"bins: {latest.bin_s * 1000:g} ms · {ahead}"
        f"newest run: {plain(latest.started_utc[:16].replace('T', ' '))} UTC"
    )
    show_ranked(table, latest.metric, track)
    name = f"leaderboard-{board.key.replace('/', '-')}-{track}.csv"
    st.download_button("Download CSV", as_csv(table), name, "text/csv", icon=":material/download:")
    if table.query("kind == 'ranked'")["p99_ms"].gt(0).any():
        st.subheader("Score against latency", anchor=False)
        st.altair_chart(score_latency(table, metric=latest.metric, bin_s=latest.bin_s))
    show_unranked(table, latest.metric, track)
    show_details(table)
    show_published(board.suite)


if __name__ == "__main__":
    show_page(store_folder(sys.argv[1:]))
