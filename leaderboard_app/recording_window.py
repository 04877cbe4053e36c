"""The part of the page Recording that shows a movement: a chosen window of inputs, traces and the path."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from harness.results.shown import Shown
from leaderboard_app.answers import Material
from leaderboard_app.choices import choose
from leaderboard_app.trace_plots import path_chart, raster_chart, signal_chart, trace_chart
from leaderboard_app.traces import MOST_POINTS, TRUE, Window, bands, paths, spikes, stretches_of, traces
from leaderboard_app.wording import plain, short

LENGTHS_S = (1, 2, 5, 10, 20, 30, 60)
MOST_OUTPUTS = 8
"""Charts of one recording; a hand of sixteen muscles would be a long page."""


def show_window(found: Material, bin_s: float) -> None:
    """Sliders for the window, then all that there is in it."""
    series = _series(found)
    if not series:
        return
    window = _chosen_window(found, bin_s, n_bins=min(len(values) for values in series.values()))
    thinned = []
    if found.truth is not None:
        thinned += _show_inputs(found.truth, window)
    thinned += _show_traces(found.truth, series, window)
    if found.truth is not None and found.truth.about.quantity:
        thinned += _show_path(found.truth, series, window)
    if thinned:
        st.caption(f"Thinned out to at most {MOST_POINTS:,} points a chart. {' '.join(dict.fromkeys(thinned))}")


def _series(found: Material) -> dict[str, np.ndarray]:
    truth = {} if found.truth is None else {TRUE: found.truth.targets}
    return truth | {f"{label} (decoder)" if label == TRUE else label: v for label, v in found.outputs.items()}


def _chosen_window(found: Material, bin_s: float, *, n_bins: int) -> Window:
    whole_s = n_bins * bin_s
    fitting = [s for s in LENGTHS_S if 2 * bin_s <= s <= min(whole_s, bin_s * MOST_POINTS)] or [whole_s]
    titles = {f"{s:g}": f"{s:g} s" for s in fitting}
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with right:
        length_s = float(choose("length", "Length", titles, "10" if "10" in titles else list(titles)[-1]))
    last_s = int(whole_s - min(fitting))
    with left:
        start_s = _start(min(int(_first_scored(found.truth) * bin_s), last_s), last_s)
    starts = None if found.truth is None else found.truth.starts
    return Window.of(start_s, length_s, bin_s=bin_s, n_bins=n_bins, starts=starts)


def _start(otherwise_s: int, last_s: int) -> int:
    if last_s < 1:
        return 0
    return st.slider("Window begins at second", 0, last_s, otherwise_s, step=1, key="start", bind="query-params")


def _first_scored(truth: Shown | None) -> int:
    return int(np.argmax(truth.scored)) if truth is not None and truth.scored.any() else 0


def _show_inputs(truth: Shown, window: Window) -> list[str]:
    """What decoders were given; returns what was left out."""
    said = []
    for name, stream in truth.about.streams.items():
        if not stream.channels:
            continue
        values, n = truth.streams[name], f"{len(stream.channels)} of {stream.n_channels}"
        if stream.kind == "counts":
            rows, every = spikes(values, window)
            if every > 1:
                said.append(f"Of {every} units of {plain(name)}, one is drawn.")
            chart = raster_chart(rows, stream.channels, window, title=f"{name}: unit")
            words = f"{plain(name)}: a mark for each bin in which a unit fired; {n} units are kept to be drawn."
        else:
            drawn = bands(values, window)
            if drawn.n_grouped > 1:
                said.append(f"A bar of {plain(name)} spans {drawn.n_grouped} bins.")
            chart = signal_chart(drawn, stream.channels, window, title=name)
            words = (
                f"{plain(name)}: from the lowest to the highest sample of each bin; {n} channels are kept to be "
                f"drawn; they are {short(drawn.row_height)} {plain(stream.unit)} apart."
            )
        st.altair_chart(chart, alt=f"Inputs of the window: {name}")
        st.caption(words)
    return said


def _show_traces(truth: Shown | None, series: Mapping[str, np.ndarray], window: Window) -> list[str]:
    n_outputs = min(values.shape[1] for values in series.values())
    names = [f"output {i + 1}" for i in range(n_outputs)] if truth is None else list(truth.about.outputs)
    scored = stretches_of(np.zeros(window.bins.stop, bool) if truth is None else truth.scored, window)
    n_grouped = 1
    for i, name in enumerate(names[:MOST_OUTPUTS]):
        rows, n_grouped = traces(series, window, i)
        title = f"{name} {truth.about.quantity}".strip() if truth is not None else name
        chart = trace_chart(rows, scored, window, title=title, legend=not i)
        st.altair_chart(chart, alt=f"True and decoded {title} over time" if truth is not None else f"Decoded {title}")
    if len(names) > MOST_OUTPUTS:
        st.caption(f"The first {MOST_OUTPUTS} of {len(names)} outputs.")
    if truth is not None:
        bar = "The grey bar at the foot marks scored bins." if len(scored) else "No bin of this window is scored."
        st.caption(f"{bar} Stretches of the test part follow one another without the gaps between them.")
    return [f"Of every {n_grouped} bins of a trace, the lowest and the highest are drawn."] if n_grouped > 1 else []


def _show_path(truth: Shown, series: Mapping[str, np.ndarray], window: Window) -> list[str]:
    integrate = truth.about.quantity == "velocity"
    rows, step = paths(series, window, integrate=integrate)
    st.subheader("Path", anchor=False)
    if rows.empty:
        st.caption("In this window the movement was not measured.")
        return []
    st.altair_chart(path_chart(rows), width="content", alt="True and decoded path through the plane")
    st.caption(
        "Velocities summed up within the window, every unbroken stretch from 0, 0 (ring): errors of a decoder add up "
        "on the way, though its score is of velocities alone."
        if integrate
        else "Positions as they were; a ring marks where a stretch begins."
    )
    return [f"Of {step} bins of a path, one is drawn."] if step > 1 else []
