"""The plot of a trade-off: score against one cost, the frontier drawn and named, budgets as lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from harness.score.metrics import metric as metric_of
from leaderboard_app.plots import BOUND_DASHES, COLOURS, GREY, SHAPES, best_bound
from leaderboard_app.trade_offs import COSTS, Cost, Limit, decades, limits, points
from leaderboard_app.wording import interval, metric_name, number

PLOT_PX, LABEL_PX = 420, 15
NAME_PX, LETTER_PX, MARK_PX = 170, 6, 28
COLUMNS = "max(1, floor(width / 200))"
"""Of the legend, by the width of the plot."""

PLACE = "scale('x', datum.cost)"
FITS = f"{PLACE} > min({NAME_PX}, {LETTER_PX} * length(datum.decoder)) + 8"
BESIDE = {"align": f"{FITS} ? 'right' : 'left'", "dx": f"{FITS} ? -4 : 4"}
BESIDE |= {"limit": f"{FITS} ? {NAME_PX} : width - {PLACE}"}
"""A name stands left of its point, where no better decoder is, unless the plot's edge is too near."""

DRAWN = ["kind", "decoder", "score", "low", "high", "p99_ms", "n_seeds"]
"""All that the plot against latency reads: each further column would be copied into each of its layers."""

HOLLOW = "transparent"
CROWD = 48
"""With more decoders than this, the legend names those on the frontier alone."""


@dataclass(frozen=True)
class Frame:
    """What all layers share.

    x, y: Axes with their scales.
    y_title: For layers with another column on the axis.
    """

    x: alt.X
    y: alt.Y
    y_title: str


def score_latency(table: pd.DataFrame, *, metric: str, bin_s: float) -> alt.LayerChart:
    """Plot every ranked and timed decoder against its p99 latency, with the bin's length as the limit.

    Args:
        table: What `table.ranking` returns; of its columns `DRAWN` are enough.
        metric: Name of the score.
        bin_s: Length of a bin; a decoder right of it cannot keep up.
    """
    up = metric_of(metric).higher_is_better
    found = points(table, COSTS["p99"], higher_is_better=up)
    lines = limits("p99", [], bin_s=bin_s)
    return trade_off(found, table, COSTS["p99"], lines, metric=metric, up=1 if up else -1)


def trade_off(
    points: pd.DataFrame, table: pd.DataFrame, cost: Cost, limits: Sequence[Limit], *, metric: str, up: int
) -> alt.LayerChart:
    """Plot every ranked decoder whose cost is known.

    Args:
        points: What `trade_offs.points` returns; at least one row has a cost.
        table: The whole ranking, for references and floors.
        cost: Of the axis across.
        limits: Budgets on it.
        metric: Name of the score.
        up: 1 if a higher score is better, else -1.
    """
    shown = points[points["cost"].notna()].copy()
    shown["interval"] = [interval(a, b) for a, b in zip(shown["low"], shown["high"], strict=True)]
    named = labels(shown, up)
    bounds = _bounds(table, shown, up)
    frame = _frame(shown, named, bounds, (cost, limits), metric=metric, up=up)
    layers = [
        *_bound_lines(bounds, frame),
        *_limit_lines(limits, frame),
        _steps(shown, limits, frame),
        *_decoders(shown, cost, frame),
        *_names(named, frame),
    ]
    chart = alt.layer(*layers).properties(
        height=PLOT_PX,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        padding={"left": 5, "right": 15, "top": 10, "bottom": 5},
    )
    return chart.configure_legend(
        orient="bottom",
        columns={"expr": COLUMNS},
        symbolLimit=0,
        symbolSize=90,
        symbolOpacity=1,
        rowPadding=3,
        title=None,
        labelLimit={"expr": f"floor(width / {COLUMNS}) - {MARK_PX}"},
    )


def looks(n: int) -> pd.DataFrame:
    """Colour, shape and filling of each of n decoders: 128 differ, of which neighbours differ in colour and shape."""
    rows = range(n)
    colours = [COLOURS[i % 8] for i in rows]
    return pd.DataFrame(
        {
            "colour": colours,
            "shape": [SHAPES[(i + i // 16) % 8] for i in rows],
            "fill": [colours[i] if i // 8 % 2 == 0 else HOLLOW for i in rows],
        }
    )


def labels(points: pd.DataFrame, up: int) -> pd.DataFrame:
    """Where the names of the frontier's decoders stand: above their points, so far apart that none hides another.

    Along the frontier scores rise with costs, and so do the names: apart in height, they cannot overlap on any width
    of page. Above the frontier there is no other decoder.

    Args:
        points: With `cost` and `frontier`.
        up: 1 if a higher score is better, else -1.
    """
    named = points[points["frontier"]].sort_values(["cost", "score"]).drop_duplicates(["cost", "score", "decoder"])
    ends = pd.concat([points["score"], points["low"].dropna(), points["high"].dropna()])
    gap = (ends.max() - ends.min() or 1.0) * 1.1 * LABEL_PX / PLOT_PX
    heights: list[float] = []
    for score in named["score"] * up:
        heights.append(max(score + gap / 2, heights[-1] + gap if heights else float("-inf")))
    return named.assign(label_score=[height * up for height in heights])


def _frame(
    shown: pd.DataFrame,
    named: pd.DataFrame,
    bounds: pd.DataFrame,
    across: tuple[Cost, Sequence[Limit]],
    *,
    metric: str,
    up: int,
) -> Frame:
    cost, limits = across
    values = pd.concat([shown["cost"], pd.Series([limit.value for limit in limits], dtype=float)])
    ticks = decades(values.to_numpy())
    positive = values[values > 0]
    # A logarithm has no place for 0; symlog does, and beyond its constant it is one.
    scale = alt.Scale(type="symlog", constant=positive.min() / 3 if positive.size else 1.0, nice=False, padding=25)
    if values.min() > 0:
        scale = alt.Scale(type="log", nice=False, padding=25)
    x = alt.X("cost:Q", title=f"{cost.title} (logarithmic)", scale=scale)
    spaced = "replace(format(datum.value, '~s'), regexp('([kMGT])'), ' $1')"
    words = f"datum.value < 1 ? format(datum.value, '~g') : {spaced}"
    x = x.axis(labelExpr=words, values=ticks, grid=False)
    ends = pd.concat([shown["score"], shown["low"], shown["high"], named["label_score"], bounds["score"]]).dropna()
    room = (ends.max() - ends.min() or 1.0) * 0.05
    low, high = ends.min() - room, ends.max() + room
    title = f"{metric_name(metric)}, 95 % interval{'' if up > 0 else '; less is better, drawn upwards'}"
    y = alt.Y("score:Q", title=title, scale=alt.Scale(domain=[low, high], nice=False, reverse=up < 0))
    return Frame(x, y, title)


def _decoders(shown: pd.DataFrame, cost: Cost, frame: Frame) -> list[alt.Chart]:
    names, look = shown["decoder"].tolist(), looks(len(shown))

    def scale(column: str) -> alt.Scale:
        return alt.Scale(domain=names, range=look[column].tolist())

    told = shown[shown["frontier"]]["decoder"].tolist() if len(names) > CROWD else names
    legend = alt.Legend(values=told)
    stroke = alt.Stroke("decoder:N", sort=names, scale=scale("colour"), legend=legend)
    tooltip = [
        alt.Tooltip("decoder:N", title="Decoder"),
        alt.Tooltip("score:Q", title="Score", format=".2f"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("cost:Q", title=cost.title, format=",.4~g"),
        alt.Tooltip("n_seeds:Q", title="Seeds", format=".0f"),
    ]
    base = alt.Chart(shown)
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.5, opacity=0.75)
    marks = base.mark_point(size=75, opacity=1, strokeWidth=2).encode(
        x=frame.x,
        y=frame.y,
        stroke=stroke,
        fill=alt.Fill("decoder:N", sort=names, scale=scale("fill"), legend=legend),
        shape=alt.Shape("decoder:N", sort=names, scale=scale("shape"), legend=legend),
        tooltip=tooltip,
    )
    return [bars.encode(x=frame.x, y=alt.Y("low:Q", title=frame.y_title), y2="high:Q", stroke=stroke), marks]


def _steps(shown: pd.DataFrame, limits: Sequence[Limit], frame: Frame) -> alt.Chart:
    """The frontier, from its cheapest decoder to the right edge."""
    corners = shown[shown["frontier"]].sort_values("cost")[["cost", "score"]]
    right = max([shown["cost"].max(), *(limit.value for limit in limits)])
    end = corners.tail(1).assign(cost=right)
    line = alt.Chart(pd.concat([corners, end])).mark_line(interpolate="step-after", color=GREY, strokeWidth=1.5)
    return line.encode(x=frame.x, y=frame.y)


def _names(named: pd.DataFrame, frame: Frame) -> list[alt.Chart]:
    """The names along the frontier, with a line to the point of those that had to move away from it."""
    moved = alt.Chart(named).mark_rule(color=GREY, strokeWidth=0.7)
    beside = {name: alt.ExprRef(expr) for name, expr in BESIDE.items()}
    text = alt.Chart(named).mark_text(color=GREY, fontWeight="bold", baseline="bottom", **beside)
    return [
        moved.encode(x=frame.x, y=frame.y, y2="label_score:Q"),
        text.encode(x=frame.x, y=alt.Y("label_score:Q", title=frame.y_title), text="decoder:N"),
    ]


def _bounds(table: pd.DataFrame, shown: pd.DataFrame, up: int) -> pd.DataFrame:
    """The best reference and the best floor, unless one is far below all decoders."""
    bounds = pd.concat([best_bound(table, shown, kind, up) for kind in BOUND_DASHES])[["kind", "decoder", "score"]]
    words = [f"{name} {number(score)}" for name, score in zip(bounds["decoder"], bounds["score"], strict=True)]
    return bounds.assign(words=words)


def _bound_lines(bounds: pd.DataFrame, frame: Frame) -> list[alt.Chart]:
    layers = []
    for kind, rows in bounds.groupby("kind"):
        base = alt.Chart(rows)
        text = base.mark_text(color=GREY, align="right", baseline="bottom", dx=-4, dy=-2)
        layers.append(base.mark_rule(color=GREY, strokeDash=BOUND_DASHES[kind]).encode(y=frame.y))
        layers.append(text.encode(x=alt.value("width"), y=frame.y, text="words:N"))
    return layers


def _limit_lines(limits: Sequence[Limit], frame: Frame) -> list[alt.Chart]:
    base = alt.Chart(pd.DataFrame([{"cost": limit.value, "words": limit.words} for limit in limits]))
    if not limits:
        return []
    text = base.mark_text(color=GREY, angle=270, baseline="top", dy=4, align="left", y={"expr": "height * 0.7"})
    return [
        base.mark_rule(color=GREY, strokeDash=[1, 2]).encode(x=frame.x),
        text.encode(x=frame.x, text="words:N"),
    ]
