"""Charts of decisions: accuracy over the time since the cue, and what is taken for what."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from harness.results.records import Trials
from leaderboard_app.plots import COLOURS, GREY, SHAPES
from leaderboard_app.recordings import Answered
from leaderboard_app.trace_plots import LEGEND, LEGEND_LINE_PX, PADDING

CURVE_PX, CELL_PX, MATRIX_PX = 240, 64, 240
EVERY_MARK = 5
SHADES, INK = ("#f1f5fc", "#8db4ec"), "#16202c"
"""Of the matrix: dark numbers on light cells, on the light and the dark page."""


def curves(decoders: Sequence[Answered]) -> pd.DataFrame:
    """Balanced accuracy of each decoder that has any, as rows of (series, offset_s, accuracy)."""
    tables = [pd.DataFrame(columns=["series", "offset_s", "accuracy"])]
    for one in decoders:
        if trials := one.result.trials:
            points = zip(trials.offset_s, trials.balanced_accuracy, strict=False)
            tables.append(pd.DataFrame([(one.label, *point) for point in points], columns=tables[0].columns))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def decided_at(decoders: Sequence[Answered]) -> float | None:
    """When decisions were due, in seconds since the cue, found in the records of one recording.

    They do not say it, but their curves pass there through the accuracy of their confusion matrix. None if that is so
    at several times, for all decoders.
    """
    shared: set[float] | None = None
    for trials in filter(None, (one.result.trials for one in decoders)):
        wanted, points = _balanced(trials), zip(trials.offset_s, trials.balanced_accuracy, strict=False)
        times = {t for t, value in points if math.isclose(value, wanted, rel_tol=0, abs_tol=1e-9)}
        shared = times if shared is None else shared & times
    return shared.pop() if shared and len(shared) == 1 else None


def _balanced(trials: Trials) -> float:
    """Mean of the share of right decisions of each class that has trials."""
    rows = matrix(trials).query("actual == decided and total > 0")
    return float(rows["share"].mean())


def curve_chart(rows: pd.DataFrame, *, chance: float | None, decision_s: float | None) -> alt.LayerChart:
    """Accuracy over the time since the cue, with chance and the time of the decision.

    Args:
        rows: What `curves` returns.
        chance: What knowing nothing scores.
        decision_s: When the scored decision is due.
    """
    names = list(dict.fromkeys(rows["series"]))
    n = range(len(names))
    base = alt.Chart(rows).encode(
        x=alt.X("offset_s:Q", title="Seconds since the cue", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False)),
        y=alt.Y("accuracy:Q", title="Balanced accuracy", scale=alt.Scale(domain=[0, 1])),
        color=_by_series(alt.Color, names, [COLOURS[i % len(COLOURS)] for i in n]),
        tooltip=[
            alt.Tooltip("series:N", title="Decoder"),
            alt.Tooltip("offset_s:Q", title="Seconds since the cue", format=".2f"),
            alt.Tooltip("accuracy:Q", title="Balanced accuracy", format=".2f"),
        ],
    )
    lines = base.mark_line(strokeWidth=1.8)
    some = base.transform_filter(alt.FieldOneOfPredicate("offset_s", _some_times(rows)))
    marks = some.mark_point(size=45, filled=True, opacity=1)
    marks = marks.encode(shape=_by_series(alt.Shape, names, [SHAPES[i % len(SHAPES)] for i in n]))
    said = [_said("accuracy", chance, "chance"), _said("offset_s", decision_s, "decision")]
    return alt.layer(*filter(None, said), lines, marks).properties(
        height=CURVE_PX + LEGEND_LINE_PX * len(names), padding=PADDING
    )


def _by_series(channel: type, names: Sequence[str], values: Sequence[object]) -> object:
    legend = alt.Legend(**LEGEND | {"symbolSize": 90})
    return channel("series:N", scale=alt.Scale(domain=list(names), range=list(values)), legend=legend)


def _some_times(rows: pd.DataFrame) -> list[float]:
    return sorted(set(rows["offset_s"]))[::EVERY_MARK]


def _said(field: str, value: float | None, words: str) -> alt.LayerChart | None:
    """A dashed line with its name: along for a level, up for a time."""
    if value is None:
        return None
    base = alt.Chart(pd.DataFrame({field: [value], "words": [words]}))
    if field == "accuracy":
        text = base.mark_text(color=GREY, align="right", baseline="top", dx=-4, dy=4).encode(
            x=alt.value("width"), y="accuracy:Q", text="words:N"
        )
        return base.mark_rule(color=GREY, strokeDash=[6, 3]).encode(y="accuracy:Q") + text
    text = base.mark_text(color=GREY, align="left", baseline="bottom", dx=4, dy=-4).encode(
        x="offset_s:Q", y=alt.value("height"), text="words:N"
    )
    return base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(x="offset_s:Q") + text


def matrix(trials: Trials) -> pd.DataFrame:
    """Rows of (actual, decided, trials, total, share): how many, of how many of that class, and which share that is."""
    rows = []
    for actual, counts in zip(trials.classes, trials.confusion, strict=False):
        for decided, n in zip(trials.classes, counts, strict=False):
            rows.append({"actual": actual, "decided": decided, "trials": n, "total": sum(counts)})
    table = pd.DataFrame(rows, columns=["actual", "decided", "trials", "total"])
    return table.assign(share=table["trials"] / table["total"].clip(lower=1))


def matrix_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """The table of `matrix`, darker where the share is larger."""
    classes = list(dict.fromkeys(rows["actual"]))
    rows = rows.assign(words=[f"{share:.0%}" for share in rows["share"]])
    axis = alt.Axis(labelAngle=0, labelLimit=CELL_PX, labelFlush=False, labelBound=False, grid=False)
    base = alt.Chart(rows).encode(
        x=alt.X("decided:N", sort=classes, title="Decided", axis=axis),
        y=alt.Y("actual:N", sort=classes, title="True class", axis=axis),
    )
    shade = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=list(SHADES)), legend=None)
    cells = base.mark_rect(stroke=GREY, strokeWidth=0.5).encode(color=shade)
    counts = base.mark_text(fontSize=16, fontWeight="bold", dy=-8, color=INK).encode(text="trials:Q")
    shares = base.mark_text(fontSize=12, dy=10, color=INK).encode(text="words:N")
    size_px = min(CELL_PX * len(classes), MATRIX_PX)
    square = {"width": size_px, "height": size_px, "autosize": alt.AutoSizeParams(type="pad")}
    return alt.layer(cells, counts, shares).properties(**square, padding=PADDING)
