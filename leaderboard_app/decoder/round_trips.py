"""How long answers took: the histogram of round trips, with the length of a bin and p99 drawn in."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from harness.results.records import Latency
from leaderboard_app.plots import COLOURS, GREY
from leaderboard_app.wording import short

BARS_PER_DECADE = 10
US_PER_MS = 1000.0
COLUMNS = ["from_ms", "to_ms", "share"]


def bars(passes: Sequence[Latency]) -> pd.DataFrame:
    """The histogram of several passes together: `from_ms`, `to_ms`, and the share of all round trips in percent."""
    counts: dict[float, int] = {}
    for latency in passes:
        for edge, count in latency.histogram.items():
            if (edge_us := _edge_us(edge)) > 0:
                counts[edge_us] = counts.get(edge_us, 0) + count
    total = sum(counts.values())
    width = 10 ** (1 / BARS_PER_DECADE)
    rows = [(us / US_PER_MS, us * width / US_PER_MS, 100 * n / total) for us, n in sorted(counts.items()) if n > 0]
    return pd.DataFrame(rows, columns=COLUMNS)


def span_ms(tables: Sequence[pd.DataFrame], bin_ms: float) -> tuple[float, float]:
    """What all histograms and the length of a bin fit into, to draw them on one scale."""
    low = min([bin_ms, *(t["from_ms"].min() for t in tables if len(t))])
    high = max([bin_ms, *(t["to_ms"].max() for t in tables if len(t))])
    return low / 1.3, high * 1.6


def histogram(table: pd.DataFrame, *, p99_ms: float, bin_ms: float, between_ms: tuple[float, float]) -> alt.LayerChart:
    """Draw one histogram on a logarithmic scale.

    Args:
        table: What `bars` returns, not empty.
        p99_ms: 99 of 100 bins were answered faster.
        bin_ms: Length of a bin; a decoder right of it cannot keep up.
        between_ms: Ends of the scale.
    """
    scale = alt.Scale(type="log", domain=list(between_ms), nice=False)
    axis = alt.Axis(format="~g", tickCount=5, grid=False)
    x = alt.X("from_ms:Q", title="Round trip of one bin, ms (logarithmic)", scale=scale, axis=axis)
    y = alt.Y("share:Q", title="% of bins", axis=alt.Axis(tickCount=4, minExtent=32))
    tooltip = [
        alt.Tooltip("from_ms:Q", title="From ms", format=".3~r"),
        alt.Tooltip("to_ms:Q", title="To ms", format=".3~r"),
        alt.Tooltip("share:Q", title="% of bins", format=".2f"),
    ]
    area = alt.Chart(table.assign(zero=0.0)).mark_rect(color=COLOURS[0])
    drawn = area.encode(x=x, x2="to_ms:Q", y=y, y2="zero:Q", tooltip=tooltip)
    marked = [
        (bin_ms, f"bin {short(bin_ms)} ms", [1, 2], GREY),
        (p99_ms, f"p99 {short(p99_ms)} ms", [6, 3], COLOURS[1]),
    ]
    middle_ms = (between_ms[0] * between_ms[1]) ** 0.5
    lines = [_line(*mark, at_px=12 + 16 * i, leftwards=mark[0] > middle_ms) for i, mark in enumerate(marked)]
    return alt.layer(drawn, *lines).properties(height=190, padding={"left": 5, "right": 15, "top": 5, "bottom": 5})


def _line(at_ms: float, words: str, dashes: list[int], colour: str, *, at_px: int, leftwards: bool) -> alt.LayerChart:
    """A rule and its words, on the side where there is room for them."""
    data = pd.DataFrame({"ms": [at_ms], "words": [words]})
    line = alt.Chart(data).mark_rule(color=colour, strokeDash=dashes, strokeWidth=1.5).encode(x="ms:Q")
    text = alt.Chart(data).mark_text(color=colour, align="right" if leftwards else "left", dx=-4 if leftwards else 4)
    return line + text.encode(x="ms:Q", y=alt.value(at_px), text="words:N")


def _edge_us(edge: str) -> float:
    """A key of `Latency.histogram`; 0 for what is no number."""
    try:
        value = float(edge)
    except ValueError:
        return 0.0
    return value if value < float("inf") else 0.0
