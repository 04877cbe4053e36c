"""The board: who does what how well, and who has no rank for which reason."""

import streamlit as st

from leaderboard_app.details import show_details
from leaderboard_app.grids import show_ranked, show_unranked
from leaderboard_app.plots import score_latency
from leaderboard_app.published import show_published
from leaderboard_app.runs import newest
from leaderboard_app.site import Site, choose_track
from leaderboard_app.table import ranking
from leaderboard_app.wording import as_csv, plain


def show(site: Site) -> None:
    """Notice, plot and tables of one ranking."""
    st.title("Neural decoder leaderboard", anchor=False)
    st.markdown(
        "Every decoder ran in a separate process; a causal one was sent one bin of neural activity at a time, "
        "while the judge kept the clock and the labels."
    )
    left, right = st.columns([3, 1])
    with left:
        board = site.choose_board()
    records = site.on(board)
    with right:
        track = choose_track(records)
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
