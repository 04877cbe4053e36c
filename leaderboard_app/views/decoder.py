"""One decoder: what it is, how it did recording by recording, how fast, by which rules, and how to run it again."""

import streamlit as st

from leaderboard_app.decoder.again import show_environment, show_reproduce
from leaderboard_app.decoder.choosing import choose_its_board, choose_name, choose_run
from leaderboard_app.decoder.past import show_history, show_learning, show_other_boards
from leaderboard_app.decoder.sections import (
    show_audit,
    show_card,
    show_failures,
    show_headline,
    show_latency,
    show_recordings,
)
from leaderboard_app.decoder.standing import membership, runs_named, standing
from leaderboard_app.links import page_link
from leaderboard_app.runs import Board, Run
from leaderboard_app.site import Site, choose_track


def show(site: Site) -> None:
    """Choose a decoder by name, then one of its boards; all about it there."""
    st.title("Decoder", anchor=False)
    left, middle, right = st.columns([2, 3, 1])
    with left:
        name = choose_name(site)
    with middle:
        board = choose_its_board(site, name)
    records = site.on(board)
    with right:
        track = choose_track(records)
    run = choose_run(runs_named(records, name))
    show_card(run, site.root)
    if board.simulated:
        st.info("The recordings of this board are simulated.", icon=":material/science:")
    show_headline(run, standing(site.ranking(board, track), run), membership(run, records))
    show_failures(run)
    _show_links(board, run, track)
    show_recordings(run)
    show_latency(run)
    show_audit(run)
    show_learning(run)
    show_history(records, name)
    show_other_boards(site, name, board)
    show_reproduce(site, run)
    show_environment(run)


def _show_links(board: Board, run: Run, track: str) -> None:
    """To where more is: the answers themselves, another decoder beside this one, all others."""
    first = run.records[0].sessions[0].session if run.records[0].sessions else ""
    with st.container(horizontal=True):
        page_link("recording", "Its answers on a recording", board=board.key, decoder=run.label, recording=first)
        page_link("compare", "Compare it with another", board=board.key, decoder=run.label)
        page_link("board", "The whole board", board=board.key, track=track)
