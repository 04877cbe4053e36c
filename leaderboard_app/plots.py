"""What plots share: colours, shapes, and which bounds are drawn."""

import pandas as pd

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
COLOURS = ("#3b7dd8", "#d9730d", "#1f9e77", "#c2559d", "#8a6fd1", "#a8861b", "#d64550", "#5f7f8f")
"""Each readable (3:1) on white and on the dark page; shapes tell apart what colour-blind readers cannot."""

GREY = "#7d8590"
FAR_BELOW = 0.15
BOUND_DASHES = {"reference": [6, 3], "floor": [2, 3]}


def best_bound(table: pd.DataFrame, shown: pd.DataFrame, kind: str, up: int) -> pd.DataFrame:
    """The best row of a kind, unless it is far below all decoders that are shown; `up` is -1 for an error."""
    worst = (shown[["low", "score", "high"]] * up).min(axis=1).min()
    rows = table[table["kind"] == kind]
    best = rows.loc[(rows["score"] * up).nlargest(1).index]
    return best[best["score"] * up > worst - FAR_BELOW]
