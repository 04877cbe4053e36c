"""One recording: all decoders on it, and what they answered beside what was true."""

import shlex
from collections.abc import Sequence

import streamlit as st

from harness.results.published import open_store
from leaderboard_app.answers import NO_ANSWERS, Material, material
from leaderboard_app.choices import choose
from leaderboard_app.decoder.reproduce import command
from leaderboard_app.links import page_link
from leaderboard_app.recording_trials import show_trials
from leaderboard_app.recording_window import show_window
from leaderboard_app.recordings import Answered, answered, bounds_of, recordings_of, seeds_of, table_of
from leaderboard_app.runs import Run, runs_of
from leaderboard_app.site import Site
from leaderboard_app.wording import interval, metric_name, number, plain, without_minus_zero

MOST_DECODERS, FIRST_DECODERS = 4, 3
NEWEST = "newest"
NOBODY = [""]
"""What an address says if no decoder is picked."""


def show(site: Site) -> None:
    """Choices, the table, and traces or decisions."""
    st.title("One recording", anchor=False)
    board = site.choose_board(forgets=["recording", "seed", "matrix", "decoder", "decoders"])
    runs = runs_of(site.on(board))
    recordings = recordings_of(runs)
    if not recordings:
        st.info("The records of this board name no recording.", icon=":material/hourglass_empty:")
        return
    left, right = st.columns([3, 1])
    with left:
        session = choose("recording", "Recording", {name: name for name in recordings}, next(iter(recordings)))
    with right:
        seed = _choose_seed(runs)
    decoders = answered(runs, session, recordings[session], seed)
    if board.simulated:
        st.caption("A simulated recording: it comes from a generator and says nothing about a brain.")
    if not decoders:
        st.info("No decoder has run on this recording with this seed.", icon=":material/hourglass_empty:")
        return
    _show_table(decoders)
    chosen = _choose_decoders(decoders)
    page_link("board", "All recordings of this board", board=board.key)
    if not chosen:
        st.info("Choose a decoder to see what it answered.", icon=":material/touch_app:")
    elif any(one.result.trials for one in decoders) or decoders[0].record.chance is not None:
        show_trials(open_store(site.root), decoders, chosen)
    else:
        _show_movement("" if site.is_published else str(site.root), material(open_store(site.root), chosen), chosen)


def _choose_seed(runs: Sequence[Run]) -> int | None:
    titles = {NEWEST: "newest of each decoder"} | {str(seed): str(seed) for seed in seeds_of(runs)}
    picked = choose("seed", "Seed", titles, NEWEST)
    return None if picked == NEWEST else int(picked)


def _choose_decoders(decoders: Sequence[Answered]) -> list[Answered]:
    """Up to four: those that the address names, else the best."""
    labels = [one.label for one in decoders]
    linked = [*st.query_params.get_all("decoders"), *st.query_params.get_all("decoder")]
    kept = list(dict.fromkeys(label for label in linked if label in labels))[:MOST_DECODERS]
    if not kept and linked != NOBODY:
        kept = labels[:FIRST_DECODERS]
    st.session_state["decoders"] = kept
    st.multiselect(
        "Decoders to look at", labels, key="decoders", max_selections=MOST_DECODERS, on_change=_remember_decoders
    )
    return [one for one in decoders if one.label in kept]


def _remember_decoders() -> None:
    """Write into the address who was picked."""
    st.query_params.pop("decoder", None)
    st.query_params["decoders"] = st.session_state["decoders"] or NOBODY


def _show_table(decoders: Sequence[Answered]) -> None:
    """Every decoder of the board on this recording."""
    table = table_of(decoders)
    spans = [interval(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    shown = table.assign(interval=spans, score=without_minus_zero(table["score"])).dropna(axis=1, how="all")
    columns = ["decoder", "seed", "score", "interval", "p99_ms", "status", "error"]
    text, num = st.column_config.TextColumn, st.column_config.NumberColumn
    empty = [name for name in ("interval", "error") if shown[name].eq("").all()]
    metric = decoders[0].record.metric
    st.dataframe(
        shown,
        hide_index=True,
        column_order=[name for name in columns if name in shown and name not in empty],
        column_config={
            "decoder": text("Decoder", pinned=True, width=165),
            "seed": num("Seed", format="%d", width=60),
            "score": num(metric_name(metric), format="%.2f", help="On this recording alone."),
            "interval": text("95 % interval", width=110),
            "p99_ms": num("p99 ms", format="%.3f", help="99 of 100 bins of this recording were answered faster."),
            "status": text("Status", width=110),
            "error": text("Error", width="large"),
        },
        placeholder="-",
        alt="All decoders on this recording: score, latency, status",
    )
    if bounds := bounds_of(decoders):
        said = " · ".join(f"{plain(name)} {number(value)}" for name, value in bounds.items())
        st.caption(f"Bounds of this recording in {metric_name(metric)}: {said}")


def _show_movement(own_store: str, found: Material, chosen: Sequence[Answered]) -> None:
    for why in dict.fromkeys(found.missing.values()):
        names = ", ".join(plain(label) for label, reason in found.missing.items() if reason == why)
        st.warning(f"Nothing to draw of {names}: {plain(why)}.", icon=":material/draft:")
    if found.truth is None:
        st.info(
            f"What was true is not in this store ({plain(found.no_truth)}). It is left there by a test pass of any "
            f"decoder, and is no part of a record.",
            icon=":material/visibility_off:",
        )
    if found.truth is None or NO_ANSWERS in found.missing.values():
        st.markdown("To have both, run the decoder here, with the recordings in reach:")
        st.code(how_to_get(own_store, chosen[0]) or "# a name in the record cannot be typed", language="bash")
    show_window(found, chosen[0].record.bin_s)


def how_to_get(store: str, one: Answered) -> str:
    """The command that leaves predictions and the test part in a store; empty if a name in it cannot be typed.

    Args:
        store: Folder; empty for the usual one.
        one: The decoder that is looked at.
    """
    again = command([one.record])
    more = ["--rerun all", *([f"--store {shlex.quote(store)}"] if store else [])]
    return again and " \\\n  ".join([again, *more])
