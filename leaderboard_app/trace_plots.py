"""Charts of a window: inputs and traces under one another on one time axis, and the path through the plane.

Each is a chart of its own, so that it takes the page's width; all have one time axis and equally wide margins.
"""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from leaderboard_app.plots import COLOURS, GREY
from leaderboard_app.traces import TRUE, Bands, Window

DASHES = ((1, 0), (6, 3), (2, 2), (9, 3, 2, 3))
"""Of up to four decoders, beside their colours; the truth is broad and grey."""
TRUE_WIDTH_PX, WIDTH_PX = 3.5, 1.7
MARGIN_PX, LEGEND_LINE_PX = 46, 20
PADDING = {"left": 2, "right": 10, "top": 4, "bottom": 2}
TRACE_PX, RASTER_PX, SIGNAL_PX, PATH_PX, SCORED_PX = 200, 190, 210, 260, 7
SECONDS = "Second of the test part"
LEGEND = {"orient": "top", "title": None, "labelLimit": 260, "columns": 1, "symbolSize": 300, "symbolStrokeWidth": 2}


def trace_chart(rows: pd.DataFrame, scored: pd.DataFrame, window: Window, *, title: str, legend: bool) -> alt.Chart:
    """One output: the truth broad and grey, decoders over it, and the scored bins as a bar along the foot.

    Args:
        rows: What `traces.traces` returns.
        scored: What `traces.stretches_of` returns; empty if nobody knows.
        window: Its time axis.
        title: Of the vertical axis.
        legend: Whether to say which line is whose.
    """
    base = alt.Chart(rows).encode(
        x=_time(window),
        y=alt.Y("value:Q", title=title, axis=_left(), scale=alt.Scale(zero=False)),
        detail="stretch:N",
        tooltip=[
            alt.Tooltip("series:N", title="Who"),
            alt.Tooltip("seconds:Q", title="Second", format=".2f"),
            alt.Tooltip("value:Q", title=title, format=".3g"),
        ],
    )
    names = list(dict.fromkeys(rows["series"]))
    chart = alt.layer(_scored_bar(scored, window), base.mark_line(clip=True).encode(**_whose(names, legend=legend)))
    height_px = TRACE_PX + (LEGEND_LINE_PX * len(names) if legend else 0)
    return chart.properties(height=height_px, padding=PADDING).configure_axis(titleLimit=TRACE_PX)


def _whose(names: Sequence[str], *, legend: bool) -> dict[str, object]:
    """Colour, dashes and width of each series."""
    decoders = [name for name in names if name != TRUE]
    order = [*(name for name in names if name == TRUE), *decoders]
    looks = {TRUE: (GREY, DASHES[0])}
    looks |= {name: (COLOURS[i], DASHES[i % len(DASHES)]) for i, name in enumerate(decoders[: len(COLOURS)])}
    colours, dashes = zip(*(looks[name] for name in order), strict=True)
    shown = alt.Legend(**LEGEND) if legend else None

    def scale(values: Sequence[object]) -> alt.Scale:
        return alt.Scale(domain=order, range=list(values))

    return {
        "color": alt.Color("series:N", scale=scale(colours), legend=shown),
        "strokeDash": alt.StrokeDash("series:N", scale=scale([list(dash) for dash in dashes]), legend=shown),
        "strokeWidth": alt.condition(alt.datum.series == TRUE, alt.value(TRUE_WIDTH_PX), alt.value(WIDTH_PX)),
    }


def _scored_bar(scored: pd.DataFrame, window: Window) -> alt.Chart:
    # A line, for of a chart whose height is fitted nobody knows where a rectangle of some pixels would end.
    bar = alt.Chart(scored).mark_rule(color=GREY, strokeWidth=SCORED_PX, opacity=0.7, clip=True)
    return bar.encode(x=_time(window, "from_s"), x2="until_s:Q", y=alt.value("height"))


def raster_chart(rows: pd.DataFrame, channels: Sequence[str], window: Window, *, title: str) -> alt.Chart:
    """A mark for each bin in which a unit fired.

    Args:
        rows: What `traces.spikes` returns.
        channels: What the units are called.
        window: Its time axis.
        title: Of the vertical axis.
    """
    names = dict(enumerate(channels))
    n_units = len(channels)
    scale = alt.Scale(domain=[-0.5, n_units - 0.5], nice=False)
    marks = alt.Chart(rows.assign(name=rows["unit"].map(names))).mark_tick(
        color=COLOURS[0],
        orient="vertical",
        thickness=1.2,
        size=max(2.2, min(10, RASTER_PX / max(1, rows["unit"].nunique()))),
        opacity=1,
        clip=True,
    )
    return marks.encode(
        x=_time(window).title(None),
        y=alt.Y("unit:Q", title=title, scale=scale, axis=_left(grid=False, tickMinStep=1)),
        tooltip=[
            alt.Tooltip("name:N", title="Unit"),
            alt.Tooltip("seconds:Q", title="Second", format=".2f"),
            alt.Tooltip("spikes:Q", title="Spikes in the bin"),
        ],
    ).properties(height=RASTER_PX, padding=PADDING)


def signal_chart(drawn: Bands, channels: Sequence[str], window: Window, *, title: str) -> alt.Chart:
    """Channels under one another, each from a bin's lowest to its highest sample.

    Args:
        drawn: What `traces.bands` returns.
        channels: What they are called.
        window: Its time axis.
        title: Of the vertical axis.
    """
    names = {-i: name for i, name in enumerate(channels)}
    words = "; ".join(f"datum.value == {row} ? {name!r}" for row, name in _safe(names).items()).replace(";", " :")
    rows = drawn.rows.assign(name=(-drawn.rows["channel"]).map(names))
    axis = _left(values=list(names), labelExpr=f"{words} : ''", grid=False, labelOverlap=False)
    scale = alt.Scale(domain=[-len(names) + 0.4, 0.6], nice=False)
    areas = alt.Chart(rows).mark_area(color=COLOURS[0], stroke=COLOURS[0], strokeWidth=1, clip=True)
    return areas.encode(
        x=_time(window).title(None),
        y=alt.Y("low:Q", title=title, scale=scale, axis=axis, stack=None),
        y2="high:Q",
        detail="channel:N",
        tooltip=[alt.Tooltip("name:N", title="Channel"), alt.Tooltip("seconds:Q", title="Second", format=".2f")],
    ).properties(height=SIGNAL_PX, padding=PADDING)


def _safe(names: Mapping[int, str]) -> dict[int, str]:
    """Names that may stand in an expression of a chart: a foreign one could be more than a name."""
    kept = {row: "".join(c for c in name if c.isalnum() or c in "-_. ")[:8] for row, name in names.items()}
    return {row: name or str(-row) for row, name in kept.items()}


def path_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """The way through the plane, x and y to one scale; a ring where each way begins.

    rows: What `traces.paths` returns.
    """
    x, y = (_around(rows[name]) for name in ("x", "y"))
    span = max(x[1] - x[0], y[1] - y[0])
    base = alt.Chart(rows).encode(
        x=_plane("x", x, span), y=_plane("y", y, span), detail="piece:N", order=alt.Order("order:Q")
    )
    names = list(dict.fromkeys(rows["series"]))
    lines = base.mark_line(clip=True).encode(**_whose(names, legend=True), tooltip=["series:N", "seconds:Q"])
    first = alt.Chart(rows[(rows["order"] == 0) & (rows["series"] == TRUE)])
    rings = first.mark_point(color=GREY, size=60, strokeWidth=2).encode(x=_plane("x", x, span), y=_plane("y", y, span))
    square = {"width": PATH_PX, "height": PATH_PX, "autosize": alt.AutoSizeParams(type="pad")}
    return alt.layer(lines, rings).properties(**square, padding=PADDING)


def _around(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _plane(name: str, ends: tuple[float, float], span: float) -> alt.X | alt.Y:
    """An axis of the plane, `span` long around the middle of what is drawn."""
    half = span * 0.52
    middle = (ends[0] + ends[1]) / 2
    scale = alt.Scale(domain=[middle - half, middle + half], nice=False)
    channel = alt.X if name == "x" else alt.Y
    return channel(f"{name}:Q", title=name, scale=scale, axis=alt.Axis(tickCount=5))


def _time(window: Window, name: str = "seconds") -> alt.X:
    axis = alt.Axis(grid=False, tickCount=8)
    return alt.X(f"{name}:Q", title=SECONDS, axis=axis, scale=alt.Scale(domain=list(window.span_s), nice=False))


def _left(**more: object) -> alt.Axis:
    """An axis as wide as those of the other charts."""
    return alt.Axis(**({"minExtent": MARGIN_PX, "maxExtent": MARGIN_PX, "tickCount": 4, "labelLimit": 30} | more))
