"""The board: who does what how well, and who has no rank for which reason."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from harness.results.records import Record
from leaderboard_app.details import show_details
from leaderboard_app.filters import KINDS, LIMITS, Wanted, of_subject, subjects_of, within
from leaderboard_app.grids import show_ranked, show_unranked
from leaderboard_app.links import page_link
from leaderboard_app.published import show_published
from leaderboard_app.runs import Board, newest
from leaderboard_app.site import Site, choose_track
from leaderboard_app.suites import MODALITIES, modality_of, title_of
from leaderboard_app.table import ranking
from leaderboard_app.trade_off_plot import score_latency
from leaderboard_app.trust import ORDER
from leaderboard_app.wording import as_csv, as_json, as_parquet, plain, short

ANY = "any"
SIMULATED = (
    "**Simulated recordings.** They come from a generator with a known best score. They test decoders and the harness, "
    "say nothing about a brain, and are never ranked with real recordings."
)


def show(site: Site) -> None:
    """Notice, plot and tables of one ranking."""
    st.title("Neural decoder leaderboard", anchor=False)
    st.markdown(
        "Every decoder ran in a separate process; a causal one was sent one bin of neural activity at a time, "
        "while the judge kept the clock and the labels."
    )
    boards = site.boards()
    with st.expander("Filter"):
        wanted, limits = _wanted(list(boards.values())), _limits()
        subject_box = st.container()
    fitting = {key: board for key, board in boards.items() if board in wanted}
    if not fitting:
        st.info("No board fits the filter; take something out of it.", icon=":material/filter_alt_off:")
        return
    left, right = st.columns([3, 2])
    with left:
        board = site.choose_board(fitting)
    every = site.on(board)
    with right:
        track = choose_track(every)
    with subject_box:
        records = _subject(every)
    table = site.ranking(board, track) if records is every else ranking(records, track, site.marks(board))
    _show_ranking(board, track, table, newest(records), limits)


def _wanted(boards: Sequence[Board]) -> Wanted:
    """Which boards can be chosen; each choice is in the address."""
    modalities = [m for m in MODALITIES if any(modality_of(b.suite) == m for b in boards)]
    one, two = st.columns(2)
    with one:
        chosen = {
            "modalities": st.pills(
                "Signal", modalities, selection_mode="multi", format_func=MODALITIES.get, key="signal", bind=BIND
            ),
            "kinds": st.pills(
                "Recordings", list(KINDS), selection_mode="multi", format_func=KINDS.get, key="kind", bind=BIND
            ),
        }
    with two:
        tiers, profiles = sorted({b.tier for b in boards}), sorted({b.profile for b in boards})
        chosen["tiers"] = st.multiselect("Tier", tiers, key="tier", bind=BIND, placeholder="all tiers")
        chosen["profiles"] = st.multiselect("Profile", profiles, key="profile", bind=BIND, placeholder="all profiles")
    return Wanted(**chosen)


BIND = "query-params"


def _limits() -> dict[str, float]:
    """Column of the table -> the largest value that is shown."""
    limits = {}
    labels = {"parameters": "Parameters up to", "artefact": "Artefact, bytes, up to"}
    labels |= {"operations": "Operations a second up to", "p99": "p99 latency, ms, up to"}
    for place, (name, (column, steps)) in zip(st.columns(len(LIMITS)), LIMITS.items(), strict=True):
        words = {short(step): step for step in steps}
        with place:
            picked = st.select_slider(labels[name], [*words, ANY], ANY, key=f"most-{name}", bind=BIND)
        if picked in words:
            limits[column] = words[picked]
    return limits


def _subject(records: Sequence[Record]) -> Sequence[Record]:
    """The records, or what they say of one subject."""
    subjects = subjects_of(records)
    if len(subjects) < 2:
        return records
    chosen = st.selectbox("Subject", [ANY, *subjects], key="subject", bind=BIND)
    return records if chosen == ANY else of_subject(records, chosen)


def _show_ranking(board: Board, track: str, whole: pd.DataFrame, latest: Record, limits: dict[str, float]) -> None:
    table = within(whole, limits)
    st.markdown(f"**{plain(title_of(board.suite))}**")
    if board.simulated:
        st.warning(SIMULATED, icon=":material/science:")
    st.caption(_about(whole, latest, n_hidden=len(whole) - len(table)))
    show_ranked(table, latest.metric, track)
    _downloads(table, f"leaderboard-{board.key.replace('/', '-')}-{track}")
    _open(table, board, track)
    if table.query("kind == 'ranked'")["p99_ms"].gt(0).any():
        st.subheader("Score against latency", anchor=False)
        st.altair_chart(score_latency(table, metric=latest.metric, bin_s=latest.bin_s), alt="Score against p99 latency")
        page_link("trade-offs", "More trade-offs, with the frontier", board=board.key, track=track)
    show_unranked(table, latest.metric, track)
    show_details(table)
    show_published(board.suite)


def _about(table: pd.DataFrame, latest: Record, *, n_hidden: int) -> str:
    ahead_ms = latest.label_look_ahead_s * 1000
    return " · ".join(
        filter(
            None,
            [
                f"Ranked decoders: {(table['kind'] == 'ranked').sum()}",
                f"hidden by the filter: {n_hidden}" if n_hidden else "",
                f"sessions: {len(latest.sessions)}",
                f"bins: {latest.bin_s * 1000:g} ms",
                f"chance: {latest.chance:g}" if latest.chance is not None else "",
                f"labels look {ahead_ms:g} ms ahead: not strictly causal" if ahead_ms else "",
                f"newest run: {plain(latest.started_utc[:16].replace('T', ' '))} UTC",
                _trusted(table),
            ],
        )
    )


def _trusted(table: pd.DataFrame) -> str:
    """How many rows there are of each tier of trust."""
    counts = table[table["kind"].isin(["ranked", "unranked"])]["trust"].value_counts()
    return f"trust: {', '.join(f'{name} {counts[name]}' for name in ORDER if name in counts)}"


def _downloads(table: pd.DataFrame, name: str) -> None:
    """The table, unrounded, in three formats."""
    files = (("CSV", as_csv, "text/csv"), ("JSON", as_json, "application/json"))
    with st.container(horizontal=True):
        for label, written, kind in (*files, ("Parquet", as_parquet, "application/vnd.apache.parquet")):
            st.download_button(
                label,
                lambda written=written: written(table),
                f"{name}.{label.lower()}",
                kind,
                icon=":material/download:",
            )


def _open(table: pd.DataFrame, board: Board, track: str) -> None:
    """Ways on: a decoder's card, a recording, a comparison."""
    names = table.query("kind in ('ranked', 'unranked')")["decoder"].tolist()
    if not names:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Look closer at", names, key="look", bind=BIND, width=320)
        page_link("decoder", "Its card", board=board.key, track=track, decoder=chosen)
        page_link("compare", "Compare it", board=board.key, decoder=chosen)
        page_link("recording", "Recordings of this board", board=board.key)
