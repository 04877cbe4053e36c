"""All files of the static copy, as bytes that follow from the store alone: pages, plots, tables, lists."""

import contextlib
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.results.records import Record
from leaderboard_app.published import published
from leaderboard_app.reading import Row, listing, records
from leaderboard_app.runs import Board, newest, runs_of
from leaderboard_app.static_rows import as_cells, bound_or_ranked, published_cells, unranked
from leaderboard_app.suites import title_of
from leaderboard_app.table import ranking
from leaderboard_app.tracks import EVERYBODY, first_choice, tracks_of
from leaderboard_app.trade_off_plot import DRAWN, score_latency
from leaderboard_app.trust import Marks, marks_of
from leaderboard_app.wording import as_csv, metric_name

Files = dict[str, bytes]
"""Path inside the copy -> content."""

MANIFEST = "files.json"
"""Lists all other files of a copy with their SHA-256; a folder that has it is one of ours."""

WIDTHS_PX = {"": 720, "-narrow": 300}

LOOK = {
    "axis": {"labelFontSize": 12, "titleFontSize": 13},
    "legend": {"labelFontSize": 12, "columnPadding": 28, "labelLimit": 260},
    "text": {"fontSize": 12},
}
"""A picture cannot be asked for details, so its text is larger than on the site."""

SAFE = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
"""Names that may stay as they are."""


def files_of(root: Path) -> Files:
    """All files of the copy of one store: the same store gives the same bytes.

    Args:
        root: The store's folder.
    """
    found = listing(root)
    newest_utc = _minute(max((row["started_utc"] for row in found.rows), default=""))
    files: Files = {}
    boards = []
    for board, rows in found.boards.values():
        if held := records(root, rows):
            files |= _board_files(board, held, newest_utc, marks_of(root, held))
            boards.append(_about(board, held))
    files["records.json"] = _json([_listed(root, row) for row in found.rows])
    files["index.html"] = _page("index.html", boards=boards, bad_files=found.bad_files, newest_utc=newest_utc)
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return files | {MANIFEST: _json({"made_by": "harness board --static", "sha256": sums})}


def _board_files(board: Board, held: Sequence[Record], newest_utc: str, marks: Marks) -> Files:
    """The page of one board, and a CSV, a JSON and two widths of a plot for each track."""
    names = tracks_of(held) or {EVERYBODY: 1}
    files: Files = {}
    tracks = []
    for name, version in names.items():
        table = ranking(held, name, marks)
        own, shown = _track_files(board, held, table, name=name, label=f"{name}@{version}")
        files |= own
        tracks.append(shown)
    first = list(names).index(first_choice(names))
    files["index.html"] = _page(
        "board.html",
        board=_about(board, held),
        tracks=tracks,
        first=tracks[first]["stem"],
        published=published_cells(published(board.suite)),
        newest_utc=newest_utc,
    )
    return {f"{file_name(board.key)}/{path}": content for path, content in files.items()}


def _track_files(
    board: Board, held: Sequence[Record], table: pd.DataFrame, *, name: str, label: str
) -> tuple[Files, dict[str, Any]]:
    """The files of one track, and what the board's page shows of it."""
    stem = f"track-{file_name(name)}"
    metric, bin_s = newest(held).metric, newest(held).bin_s
    files = {f"{stem}.csv": as_csv(table).encode(), f"{stem}.json": _as_json(board, held, table, label=label)}
    charts = {}
    timed = table[(table["kind"] == "ranked") & (table["p99_ms"] > 0)]
    if not timed.empty:
        charts = {f"{stem}{suffix}.svg": width_px for suffix, width_px in WIDTHS_PX.items()}
        spec = score_latency(table[DRAWN], metric=metric, bin_s=bin_s).to_dict(validate=False)
        files |= {path: svg(spec, width_px).encode() for path, width_px in charts.items()}
    shown = {
        "stem": stem,
        "label": label,
        "ranked": as_cells(table, bound_or_ranked(metric, name)),
        "unranked": as_cells(table, unranked(metric)),
        "charts": list(charts),
        "chart_alt": f"{metric_name(metric)} against p99 latency of {len(timed)} decoders, as in the table",
        "noisy": bool(table["noisy"].any()),
    }
    return files, shown


def _as_json(board: Board, held: Sequence[Record], table: pd.DataFrame, *, label: str) -> bytes:
    """The unrounded table, and the records behind it."""
    rows = [{name: _value(value) for name, value in row.items()} for row in table.to_dict("records")]
    behind = [
        {"decoder": run.label, "seed": r.seed, "status": r.status, "id": r.id}
        for run in runs_of(held)
        for r in run.records
    ]
    facts = {"suite": board.suite, "tier": board.tier, "simulated": board.simulated, "profile": board.profile}
    return _json({"board": facts, "track": label, "metric": newest(held).metric, "rows": rows, "records": behind})


def _value(value: Any) -> Any:
    """A cell as JSON knows it; what is not known is null."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _about(board: Board, held: Sequence[Record]) -> dict[str, Any]:
    """What a heading says of a board."""
    latest = newest(held)
    return {
        "title": title_of(board.suite),
        "parts": board.title,
        "simulated": board.simulated,
        "folder": file_name(board.key),
        "metric": metric_name(latest.metric),
        "n_decoders": len({run.label for run in runs_of(held)}),
        "n_records": len(held),
        "n_sessions": len(latest.sessions),
        "bin_ms": f"{latest.bin_s * 1000:g}",
        "ahead_ms": f"{latest.label_look_ahead_s * 1000:g}" if latest.label_look_ahead_s else "",
        "chance": "" if latest.chance is None else f"{latest.chance:g}",
        "newest_utc": _minute(latest.started_utc),
    }


def _listed(root: Path, row: Row) -> dict[str, str]:
    """One record as the copy lists it."""
    with contextlib.suppress(OSError):
        return {
            "id": row["id"],
            "path": row["path"],
            "sha256": hashlib.sha256((root / row["path"]).read_bytes()).hexdigest(),
        }
    return {"id": row["id"], "path": row["path"], "sha256": ""}


def svg(spec: dict[str, Any], width_px: int) -> str:
    """A Vega-Lite chart as SVG, drawn without a browser and without a request; on white, whatever the page's colour."""
    sized = spec | {"width": width_px, "background": "white"}
    version = "v" + ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return _numbered(str(vl_convert.vegalite_to_svg(sized, vl_version=version, config=LOOK, allowed_base_urls=[])))


def _numbered(drawn: str) -> str:
    """Clip paths counted from 0: the library counts on from one chart to the next, and equal charts would differ."""
    order = {name: f"clip{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'id="(clip\d+)"', drawn)))}
    return re.sub(r'(?<=id=")clip\d+(?=")|(?<=url\(#)clip\d+(?=\))', lambda m: order.get(m[0], m[0]), drawn)


def file_name(text: str) -> str:
    """A name that is safe as a file's and in an address; one that had to change ends in a hash, so none collide."""
    if SAFE.fullmatch(text):
        return text
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
    return f"{clean}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def _minute(started_utc: str) -> str:
    return started_utc[:16].replace("T", " ")


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _page(template: str, **content: Any) -> bytes:
    pages = Environment(
        loader=PackageLoader("leaderboard_app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(template).render(**content).encode()
