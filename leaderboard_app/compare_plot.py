"""The plot of a comparison: by how much one decoder is better, recording by recording."""

import altair as alt
import pandas as pd

from leaderboard_app.comparison import by_recording, digits
from leaderboard_app.pairs import Difference
from leaderboard_app.plots import COLOURS, GREY
from leaderboard_app.wording import interval, metric_name, number

ROW_PX, LEAST_PX, ROOMY = 26, 10, 40
"""Height of a recording's row: of few, and of more than `ROOMY`."""
NAME_PX = 115
LOOKS = {"a": (COLOURS[0], "circle"), "b": (COLOURS[1], "square"), "": (GREY, "diamond")}


def differences(d: Difference) -> alt.LayerChart:
    """Draw each recording's difference with its interval where there is one, and the mean over them as a band.

    To the right `a` is better, to the left `b`, whichever way the metric counts.

    Args:
        d: A comparison with at least one recording.
    """
    table = _towards_a(d)
    words = {"a": f"{d.a} is better", "b": f"{d.b} is better", "": "equal"}
    table["who"] = table["ahead"].map(words)
    order = table.sort_values("advantage", ascending=False)["session"].tolist()
    title = f"How much better, {metric_name(d.metric)}"
    y = alt.Y(
        "session:N",
        sort=order,
        title=None,
        axis=alt.Axis(labelLimit=NAME_PX, labelOverlap=len(table) > ROOMY, grid=False),
    )
    x = alt.X("advantage:Q", title=title, axis=alt.Axis(tickCount=5, grid=False))
    shown = [(words[mark], *LOOKS[mark]) for mark in LOOKS if mark in set(table["ahead"])]
    names, colours, shapes = ([s[i] for s in shown] for i in range(3))
    colour = alt.Color("who:N", title=None, scale=alt.Scale(domain=names, range=colours))
    shape = alt.Shape("who:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    base = alt.Chart(table)
    bars = base.mark_rule(strokeWidth=1.5).encode(y=y, x=alt.X("from:Q", title=title), x2="to:Q", color=colour)
    marks = base.mark_point(size=80, filled=True, opacity=1).encode(
        y=y, x=x, color=colour, shape=shape, tooltip=_tooltip(d)
    )
    row_px = ROW_PX if len(table) <= ROOMY else LEAST_PX
    return (
        alt.layer(*_mean(d), bars.transform_filter("isValid(datum.from)"), marks)
        .properties(
            height=row_px * len(table) + ROW_PX,
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
            padding={"left": 5, "right": 15, "top": 10, "bottom": 5},
        )
        .configure_legend(orient="bottom", columns=1, symbolSize=90, symbolOpacity=1, labelLimit=300)
    )


def _towards_a(d: Difference) -> pd.DataFrame:
    """Differences with their sign so that more means `a` is better; the ends of an interval change places."""
    table = by_recording(d)
    ends = ("low", "high") if d.sign > 0 else ("high", "low")
    return table.assign(
        advantage=d.sign * table["difference"],
        **{"from": d.sign * table[ends[0]], "to": d.sign * table[ends[1]]},
        interval=[interval(low, high) for low, high in zip(table["low"], table["high"], strict=True)],
    )


def _tooltip(d: Difference) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("session:N", title="Recording"),
        alt.Tooltip("a:Q", title=d.a, format=".2f"),
        alt.Tooltip("b:Q", title=d.b, format=".2f"),
        alt.Tooltip("difference:Q", title="Difference", format=".3f"),
        alt.Tooltip("interval:N", title="95 % interval"),
    ]


def _mean(d: Difference) -> list[alt.Chart]:
    """A line at 0, and the mean over recordings with its interval as a band."""
    ends = sorted((d.sign * d.low, d.sign * d.high)) if d.how != "none" else [None, None]
    data = pd.DataFrame({"mean": [d.sign * d.mean], "from": ends[:1], "to": ends[1:], "zero": [0.0]})
    data["words"] = f"mean {number(d.sign * d.mean, digits(d))}"
    base = alt.Chart(data)
    zero = base.mark_rule(color=GREY, strokeWidth=1.5).encode(x="zero:Q")
    mean = base.mark_rule(color=GREY, strokeDash=[6, 3]).encode(x="mean:Q")
    text = base.mark_text(color=GREY, baseline="bottom", dy=-2).encode(x="mean:Q", y=alt.value(0), text="words:N")
    if d.how == "none":
        return [zero, mean, text]
    return [base.mark_rect(color=GREY, opacity=0.16).encode(x="from:Q", x2="to:Q"), zero, mean, text]
