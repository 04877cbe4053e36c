"""How numbers and foreign text are shown; rounding happens here and nowhere before."""

import json
import re
import string

import numpy as np
import pandas as pd

WORD_JOINER = "\u2060"
METRICS = {
    "r2": "R²",
    "r2_weighted": "R² (variance-weighted)",
    "pearson": "Pearson r",
    "rmse": "RMSE",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "cohen_kappa": "Cohen's κ",
    "f1_weighted": "Weighted F1",
}


def metric_name(metric: str) -> str:
    """A metric as people write it; unknown ones as they are."""
    return METRICS.get(metric, metric)


def number(value: float, digits: int = 2) -> str:
    """A rounded number, with no minus on zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def short(value: float) -> str:
    """Three digits and a thousand's prefix, as in 12.3 M."""
    for size, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """A 95 % interval with two decimals; empty where there is none."""
    return "" if pd.isna(low) or pd.isna(high) else f"{number(low)} to {number(high)}"


def without_minus_zero(values: pd.Series, digits: int = 2) -> pd.Series:
    """Numbers of which none is shown as "-0.00" with so many digits; all others as they are."""
    return values.where(values.abs() >= 0.5 * 10**-digits, values.abs())


def other_tracks(names: str, track: str) -> str:
    """The tracks that a row of `table.ranking` is in, without the one that is looked at."""
    return ", ".join(name for name in names.split(", ") if name != track)


def notes(row: pd.Series) -> str:
    """What sets a row of `table.ranking` apart from a quiet, self-reported run in a sandbox."""
    failed = "" if row["status"] == "ok" else row["status"]
    no_sandbox = "no sandbox" if "process" in row["isolation"] else ""
    trusted = "" if row["trust"] == "self-reported" else row["trust"]
    learned = "learned from test data" if row["contaminated"] else ""
    return ", ".join(filter(None, [failed, trusted, learned, "noisy" if row["noisy"] else "", no_sandbox]))


def plain(text: str) -> str:
    """Foreign text as Markdown that shows exactly its characters: no links, images, colours, icons or formulas.

    An invisible word joiner keeps Markdown from making a link of a bare address, which no backslash does.
    """
    unlinked = re.sub(r"(://|\bwww(?=\.)|@(?=[\w-]+\.))", rf"\1{WORD_JOINER}", " ".join(text.split()))
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", unlinked)


def as_json(table: pd.DataFrame) -> str:
    """The unrounded table as a list of rows; what is not known is null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return json.dumps(rows, default=_plain_number, ensure_ascii=False)


def _plain_number(value: object) -> object:
    """NumPy's numbers as JSON has them."""
    return value.item() if isinstance(value, np.generic) else str(value)


def as_parquet(table: pd.DataFrame) -> bytes:
    """The unrounded table."""
    return table.to_parquet(index=False)


def as_csv(table: pd.DataFrame) -> str:
    """The unrounded table; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    safe = table.copy()
    for column in safe.select_dtypes(["object", "string"]):
        safe[column] = safe[column].astype(str).str.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
    return safe.to_csv(index=False)
