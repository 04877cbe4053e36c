"""The part of the page Recording that shows decisions: accuracy over time, and what was taken for what."""

from collections.abc import Sequence

import streamlit as st

from harness.results.store import Store
from leaderboard_app.answers import material
from leaderboard_app.choices import choose
from leaderboard_app.recordings import Answered
from leaderboard_app.trial_plots import curve_chart, curves, decided_at, matrix, matrix_chart
from leaderboard_app.wording import plain


def show_trials(store: Store, decoders: Sequence[Answered], chosen: Sequence[Answered]) -> None:
    """Accuracy over time, and a confusion matrix.

    Args:
        store: Where a test pass may have left when decisions are due.
        decoders: All on one recording.
        chosen: Those to draw.
    """
    rows = curves(chosen)
    for one in chosen:
        if one.result.trials is None:
            why = one.result.error or "its record is older than these numbers; run it again"
            st.warning(f"Nothing of trials of {plain(one.label)}: {plain(why)}.", icon=":material/draft:")
    if rows.empty:
        return
    st.subheader("Accuracy since the cue", anchor=False)
    truth = material(store, chosen[:1]).truth
    decision_s = truth.about.decision_s if truth is not None else decided_at(decoders)
    st.altair_chart(
        curve_chart(rows, chance=chosen[0].record.chance, decision_s=decision_s),
        alt="Balanced accuracy of each decoder over the time since the cue",
    )
    _show_matrix([one for one in chosen if one.result.trials])


def _show_matrix(having: Sequence[Answered]) -> None:
    st.subheader("What was taken for what", anchor=False)
    labels = {one.label: one.label for one in having}
    picked = choose("matrix", "Decoder of the matrix", labels, having[0].label)
    trials = next(one.result.trials for one in having if one.label == picked)
    table = matrix(trials)
    st.altair_chart(matrix_chart(table), width="content", alt=f"Confusion matrix of {picked}")
    st.caption(f"{table['trials'].sum()} trials at the time of the decision; shares are of the trials of a true class.")
