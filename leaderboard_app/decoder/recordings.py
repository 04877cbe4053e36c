"""Scores of one decoder, recording by recording: a dot for each seed, between what is possible and what is chance."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from harness.results.records import Record
from leaderboard_app.plots import COLOURS, FAR_BELOW, GREY, SHAPES
from leaderboard_app.runs import newest
from leaderboard_app.wording import metric_name, number

UPRIGHT, CROSS = "M0,-1.3L0,1.3", "M-0.7,-0.7L0.7,0.7M-0.7,0.7L0.7,-0.7"
"""Shapes of Vega: a bar for what is possible, a cross for chance."""
BOUNDS = {"reference": UPRIGHT, "floor": CROSS}
ROW_PX, AXIS_PX, LEGEND_ROW_PX = 24, 105, 24


def scores_of(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each number that can be drawn: `recording`, `kind` (seed | reference | floor), `what`, `score`.

    Args:
        records: One for each seed; references and floors are those of the newest, for they are the recordings'.
    """
    rows = [
        {"recording": s.session, "kind": "seed", "what": f"seed {r.seed}", "score": s.scores[r.metric]}
        for r in sorted(records, key=lambda r: r.seed)
        for s in r.sessions
        if r.metric in s.scores
    ]
    for session in newest(records).sessions:
        for kind, stated in (("reference", session.reference), ("floor", session.floor)):
            rows += [
                {"recording": session.session, "kind": kind, "what": f"{kind}: {name.replace('_', ' ')}", "score": v}
                for name, v in stated.items()
            ]
    return pd.DataFrame(rows, columns=["recording", "kind", "what", "score"])


def far_below(scores: pd.DataFrame) -> pd.DataFrame:
    """The bounds that would squeeze the dots together, were they drawn."""
    dots = scores[scores["kind"] == "seed"]["score"]
    margin = max(FAR_BELOW, float(dots.max() - dots.min())) if len(dots) else 0.0
    lowest = dots.min() - margin if len(dots) else float("-inf")
    return scores[(scores["kind"] != "seed") & (scores["score"] < lowest)]


def strip_plot(scores: pd.DataFrame, *, metric: str, recordings: Sequence[str]) -> alt.LayerChart:
    """One line for each recording, a dot for each seed, the mean over all, and the bounds that are near.

    Args:
        scores: What `scores_of` returns.
        metric: Name of the score.
        recordings: All of them, in order, also those without a score.
    """
    drawn = scores.drop(far_below(scores).index)
    dots = drawn[drawn["kind"] == "seed"]
    axis = alt.Axis(title=None, labelLimit=110, labelOverlap=False, grid=True, ticks=False, domain=False)
    y = alt.Y("recording:N", scale=alt.Scale(domain=list(recordings)), axis=axis)
    x = alt.X("score:Q", title=metric_name(metric), scale=alt.Scale(zero=False, nice=True))
    x = x.axis(tickCount=6)
    tooltip = [
        alt.Tooltip("recording:N", title="Recording"),
        alt.Tooltip("what:N", title="What"),
        alt.Tooltip("score:Q", title="Score", format=".2f"),
    ]
    points = (
        alt.Chart(drawn)
        .mark_point(size=60, filled=False, strokeWidth=2, opacity=1)
        .encode(x=x, y=y, color=_colours(drawn), shape=_shapes(drawn), tooltip=tooltip)
    )
    mean = pd.DataFrame({"score": [dots["score"].mean()]}) if len(dots) else pd.DataFrame({"score": []})
    mean["words"] = [f"mean {number(value)}" for value in mean["score"]]
    line = alt.Chart(mean).mark_rule(color=COLOURS[0], strokeWidth=1.5).encode(x="score:Q")
    label = alt.Chart(mean).mark_text(color=COLOURS[0], baseline="bottom", dy=-3)
    height_px = ROW_PX * len(recordings) + AXIS_PX + LEGEND_ROW_PX * (1 + len(_kinds(drawn)) // 2)
    return (
        alt.layer(line, points, label.encode(x="score:Q", y=alt.value(0), text="words:N"))
        .properties(height=height_px, padding={"left": 5, "right": 15, "top": 18, "bottom": 5})
        .configure_legend(orient="bottom", columns=2, symbolSize=90, title=None, labelLimit=150)
    )


def _kinds(scores: pd.DataFrame) -> dict[str, str]:
    """What is drawn -> its kind, seeds first."""
    return dict(zip(scores["what"], scores["kind"], strict=True))


def _shapes(scores: pd.DataFrame) -> alt.Shape:
    kinds = _kinds(scores)
    shapes = [BOUNDS.get(kind) or SHAPES[i % len(SHAPES)] for i, kind in enumerate(kinds.values())]
    return alt.Shape("what:N", sort=list(kinds), scale=alt.Scale(domain=list(kinds), range=shapes))


def _colours(scores: pd.DataFrame) -> alt.Color:
    kinds = _kinds(scores)
    colours = [COLOURS[0] if kind == "seed" else GREY for kind in kinds.values()]
    return alt.Color("what:N", sort=list(kinds), scale=alt.Scale(domain=list(kinds), range=colours))
