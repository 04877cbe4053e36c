"""The plot of the leaderboard: score against latency, decoders told apart by shape and colour."""

import altair as alt
import pandas as pd

from harness.score.metrics import metric as metric_of
from leaderboard_app.wording import interval, metric_name, number

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
COLOURS = ("#3b7dd8", "#d9730d", "#1f9e77", "#c2559d", "#8a6fd1", "#a8861b", "#d64550", "#5f7f8f")
"""Each readable (3:1) on white and on the dark page; shapes tell apart what colour-blind readers cannot."""

GREY = "#7d8590"
FAR_BELOW = 0.15
BOUND_DASHES = {"reference": [6, 3], "floor": [2, 3]}


def score_latency(table: pd.DataFrame, *, metric: str, bin_s: float, height_px: int = 520) -> alt.LayerChart:
    """Plot every ranked and timed decoder, its interval, the bin's length, and the best reference and floor.

    Args:
        table: What `table.ranking` returns.
        metric: Name of the score.
        bin_s: Length of a bin; a decoder right of it cannot keep up.
        height_px: Height of the plot with its legend.
    """
    points = table[(table["kind"] == "ranked") & (table["p99_ms"] > 0)].copy()
    points["interval"] = [interval(a, b) for a, b in zip(points["low"], points["high"], strict=True)]
    up = 1 if metric_of(metric).higher_is_better else -1
    layers = [*_bounds(table, up), _deadline(bin_s * 1000), *_decoders(points, f"{metric_name(metric)}, 95 % interval")]
    return (
        alt.layer(*layers)
        .properties(height=height_px, padding={"left": 5, "right": 15, "top": 10, "bottom": 5})
        .configure_legend(orient="bottom", columns=2, symbolSize=90, symbolOpacity=1, title=None)
    )


def _decoders(points: pd.DataFrame, score_title: str) -> list[alt.Chart]:
    names = points["decoder"].tolist()
    axis = alt.Axis(format="~g", tickCount=5, grid=False)
    x = alt.X("p99_ms:Q", title="p99 latency of one bin, ms (logarithmic)", axis=axis)
    x = x.scale(type="log", nice=False, padding=25)
    y = alt.Y("score:Q", title=score_title, scale=alt.Scale(zero=False, nice=True))
    looks = _looks(len(names))
    colour = alt.Color("decoder:N", sort=names, scale=alt.Scale(domain=names, range=looks[1]))
    shape = alt.Shape("decoder:N", sort=names, scale=alt.Scale(domain=names, range=looks[0]))
    tooltip = [
        alt.Tooltip("decoder:N", title="Decoder"),
        alt.Tooltip("score:Q", title="Score", format=".2f"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("p50_ms:Q", title="p50 ms", format=".3f"),
        alt.Tooltip("p99_ms:Q", title="p99 ms", format=".3f"),
        alt.Tooltip("parameters:Q", title="Parameters", format=",.0f"),
        alt.Tooltip("n_seeds:Q", title="Seeds", format=".0f"),
    ]
    base = alt.Chart(points)
    low = alt.Y("low:Q", title=score_title)
    bars = base.mark_errorbar(thickness=1.5, ticks={"size": 9}).encode(x=x, y=low, y2="high:Q", color=colour)
    marks = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=tooltip
    )
    return [bars, marks]


def _looks(n: int) -> tuple[list[str], list[str]]:
    """Shapes and colours of so many decoders; 64 pass before a pair comes again."""
    shapes = [SHAPES[(i + i // len(COLOURS)) % len(SHAPES)] for i in range(n)]
    return shapes, [COLOURS[i % len(COLOURS)] for i in range(n)]


def best_bound(table: pd.DataFrame, shown: pd.DataFrame, kind: str, up: int) -> pd.DataFrame:
    """The best row of a kind, unless it is far below all decoders that are shown; `up` is -1 for an error."""
    worst = (shown[["low", "score", "high"]] * up).min(axis=1).min()
    rows = table[table["kind"] == kind]
    best = rows.loc[(rows["score"] * up).nlargest(1).index]
    return best[best["score"] * up > worst - FAR_BELOW]


def _bounds(table: pd.DataFrame, up: int) -> list[alt.Chart]:
    """A dashed line for the best reference and the best floor, unless it is far below all decoders."""
    layers = []
    for kind, dashes in BOUND_DASHES.items():
        best = best_bound(table, table[table["kind"] == "ranked"], kind, up)
        best = best.assign(words=[f"{d} {number(s)}" for d, s in zip(best["decoder"], best["score"], strict=True)])
        line = alt.Chart(best).mark_rule(color=GREY, strokeDash=dashes).encode(y="score:Q")
        text = alt.Chart(best).mark_text(color=GREY, align="right", baseline="bottom", dx=-4, dy=-2)
        layers += [line, text.encode(x=alt.value("width"), y="score:Q", text="words:N")]
    return layers


def _deadline(bin_ms: float) -> alt.LayerChart:
    """Where a bin ends: slower decoders fall behind."""
    data = pd.DataFrame({"bin_ms": [bin_ms], "words": [f"bin length {bin_ms:g} ms"]})
    line = alt.Chart(data).mark_rule(color=GREY, strokeDash=[1, 2]).encode(x="bin_ms:Q")
    text = alt.Chart(data).mark_text(color=GREY, angle=270, baseline="bottom", dy=-4, y={"expr": "height / 2"})
    return line + text.encode(x="bin_ms:Q", text="words:N")
