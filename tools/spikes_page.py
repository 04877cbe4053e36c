"""Write what the spiking papers claim beside what was measured here, from the records of a store.

    PYTHONPATH=. python tools/spikes_page.py STORE docs/results/spikes.md docs/images/spikes-pareto.png COMMANDS.txt

Published numbers come from datasets/published_results.csv, measured ones from records; COMMANDS.txt holds the commands
that made the records. Running the tool again on the same store gives the same page.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from harness.results.records import Record
from harness.results.store import Store
from leaderboard_app.runs import Board, newest, runs_of
from leaderboard_app.table import ranking
from tools.results_page import board_section

CSV = Path(__file__).parent.parent / "datasets" / "published_results.csv"
METHODS = {
    "hybrid-snn-bm": "BMnet",
    "hybrid-snn-rt": "RTnet",
    "hybrid-snn-srt": "sRTnet",
    "hybrid-snn-rt-causal": "",
    "hybrid-snn-srt-causal": "",
    "ann2d": "ANN2D (ANN2)",
    "ann3d": "ANN3D (ANN3)",
    "snn2d": "SNN2",
    "snn3d": "SNN3D (SNN3)",
    "tiny-rsnn": "tinyRSNN",
    "big-rsnn": "bigRSNN",
    **{
        f"{cell}-{size}": f"{label}-{size}"
        for cell, label in (("gru", "GRU"), ("sgru", "sGRU"), ("lif", "LIF"))
        for size in ("t1", "t2")
    },
}
"""Our name of a decoder -> the name under which its numbers were published; empty for what is ours."""
TWO_AREAS, ONE_AREA = "neurobench-simulated", "neurobench-simulated-m1"


def main() -> None:
    """Read the store, write page and picture."""
    store, page, image, commands = sys.argv[1:5]
    boards: dict[Board, list[Record]] = {}
    for record in Store(Path(store)).records():
        boards.setdefault(Board.of(record), []).append(record)
    boards = dict(sorted(boards.items(), key=lambda item: (item[0].simulated, item[0])))
    draw(boards, Path(image))
    picture = Path(image).name
    sections = [text for board, records in boards.items() for text in board_section(board, records)]
    head = ["# Spikes: what was claimed, what was measured", HOW.format(commands=Path(commands).read_text().strip())]
    parts = [
        *head,
        *comparison(boards),
        f"## Score against operations\n\n![Score against operations](../images/{picture})",
        *sections,
    ]
    Path(page).write_text("\n\n".join(parts) + "\n")


HOW = """Written by `tools/spikes_page.py` from records and `datasets/published_results.csv`; the records were made by

```
{commands}
```"""
PROTOCOL = """## The 4 ms protocol

Published: means over NeuroBench's six recordings of two monkeys. Measured: simulated sessions, the same protocol, since
the machine that ran this could not reach the recordings. So the *levels* of R2 are two different things; what can be
compared is what a decoder costs, and the *order* of R2. Operations are effective ones per step of 4 ms, here counted by
the judge (docs/cost.md), there by NeuroBench; bytes are the artefact's. ACs of the first layer follow the rate of input
spikes, which is the simulated sessions' own. Look-ahead is the decoder's; that this protocol's spikes are a bin older
than need be is 4 ms more for everybody (in the records' `delays_ms` as `filter`)."""
AREAS = """### One area against two

Published: M1 and S1 together beat M1 alone on two of Loco's three recordings. Here: the same simulated recordings with
the channels of M1 alone, and with those of both areas."""
BESIDE = ("decoder", "published as", "R2 published", "R2 here", "bytes published", "bytes here", "MACs published")
BESIDE += (
    "MACs here",
    "ACs published",
    "ACs here",
    "element-wise here",
    "look-ahead + bin ms",
    "with interpolation ms",
)
PAIRS = ("tier", "network", "R2 full", "R2 compressed", "lost", "bytes full", "bytes compressed", "ratio")
PAIRS += ("operations/s full", "operations/s compressed")


def comparison(boards: Mapping[Board, Sequence[Record]]) -> Iterator[str]:
    """The 4 ms protocol on simulated sessions, beside the published numbers of six real ones."""
    found = {board.tier: records for board, records in boards.items() if "neurobench" in board.suite}
    if not found:
        return
    yield PROTOCOL
    for tier, records in sorted(found.items()):
        yield f"### {tier}\n\n{_beside(records)}"
    yield from _compression(found)
    yield from _areas(found)


def published() -> pd.DataFrame:
    """Means over the six recordings: method x metric."""
    table = pd.read_csv(CSV)
    table = table[
        (table["dataset"] == "NeuroBench Primate Reaching")
        & (table["session_or_split"].isin(["mean of 6 sessions", "leaderboard row"]))
    ]
    values = pd.to_numeric(table["value"], errors="coerce")
    return table.assign(value=values).pivot_table(index="method", columns="metric", values="value", aggfunc="first")


def _beside(records: Sequence[Record]) -> str:
    theirs = published()
    lines = _head(BESIDE)
    runs = {run.label: newest(run.records) for run in runs_of(records)}
    for name, method in METHODS.items():
        for label in sorted(label for label, record in runs.items() if record.decoder.name == name):
            row = theirs.loc[method] if method in theirs.index else pd.Series(dtype=float)
            lines.append(_line(label, runs[label], method, row))
    return "\n".join(lines)


def _line(label: str, r: Record, method: str, theirs: pd.Series) -> str:
    cost, d = r.cost, r.delays_ms
    score = f"{r.scores[r.metric].value:.3f}" if r.metric in r.scores else f"{r.status}"
    cells = [label, method, _text(theirs.get("R2"), 3), score]
    cells += [_text(theirs.get("footprint_bytes")), f"{cost.artifact_bytes:,}"]
    for kind, name in (("macs", "MACs"), ("acs", "ACs")):
        rate = getattr(cost, f"{kind}_per_s")
        cells += [_text(theirs.get(f"synops_eff_{name}_per_step")), _text(None if rate is None else rate * r.bin_s)]
    cells.append(_text(None if cost.elementwise_per_s is None else cost.elementwise_per_s * r.bin_s))
    algorithmic = sum(d.get(name, 0.0) for name in ("look_ahead", "bin"))
    cells += [f"{algorithmic:.0f}", f"{algorithmic + d.get('interpolation', 0.0):.0f}"]
    return "| " + " | ".join(cells) + " |"


def _head(names: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]


def _text(value: float | None, digits: int = 0) -> str:
    return "" if value is None or pd.isna(value) else f"{value:,.{digits}f}"


def _compression(found: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """What quantisation and sparsity cost and save."""
    lines = _head(PAIRS)
    for tier, records in sorted(found.items()):
        published_form = [r for r in records if r.status == "ok" and r.decoder.parameters.get("interpolated", True)]
        by_name = {r.decoder.name: r for r in sorted(published_form, key=lambda r: r.started_utc)}
        for full, small in (("hybrid-snn-rt", "hybrid-snn-srt"), ("hybrid-snn-rt-causal", "hybrid-snn-srt-causal")):
            if full in by_name and small in by_name:
                lines.append(_pair(tier, by_name[full], by_name[small]))
    if len(lines) > 2:
        theirs = published()["R2"]
        lost = theirs["RTnet"] - theirs["sRTnet"]
        yield f"### Compression\n\nPublished loss from RTnet to sRTnet: {lost:.3f} in R2.\n\n" + "\n".join(lines)


def _pair(tier: str, full: Record, small: Record) -> str:
    a, b = (r.scores[r.metric].value for r in (full, small))
    sizes = [r.cost.artifact_bytes for r in (full, small)]
    rates = [None if r.cost.effective_per_bin is None else r.cost.effective_per_bin / r.bin_s for r in (full, small)]
    cells = [
        tier,
        full.decoder.name,
        f"{a:.3f}",
        f"{b:.3f}",
        f"{a - b:.3f}",
        f"{sizes[0]:,}",
        f"{sizes[1]:,}",
        f"{sizes[0] / sizes[1]:.1f}",
    ]
    return "| " + " | ".join([*cells, *map(_text, rates)]) + " |"


def _areas(found: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Two areas against one of them, on the same recordings."""
    if not {TWO_AREAS, ONE_AREA} <= set(found):
        return
    scores = {
        tier: {(r.decoder.name, r.seed): r.scores[r.metric].value for r in found[tier] if r.status == "ok"}
        for tier in (ONE_AREA, TWO_AREAS)
    }
    both = sorted(set(scores[ONE_AREA]) & set(scores[TWO_AREAS]))
    lines = _head(("decoder", "seed", "R2 M1", "R2 M1 + S1", "gained"))
    for name, seed in both:
        one, two = (scores[tier][name, seed] for tier in (ONE_AREA, TWO_AREAS))
        lines.append(f"| {name} | {seed} | {one:.3f} | {two:.3f} | {two - one:+.3f} |")
    yield AREAS + "\n\n" + "\n".join(lines)


def draw(boards: Mapping[Board, Sequence[Record]], image: Path) -> None:
    """One panel per board: score against effective operations, the best at each price joined by a line."""
    mpl.rcParams |= {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    tables = {board: _priced(ranking(records, "offline")) for board, records in boards.items()}
    tables = {board: table for board, table in tables.items() if len(table)}
    n_columns = min(2, len(tables))
    n_rows = -(-len(tables) // n_columns)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=(6.4 * n_columns, 4.2 * n_rows), squeeze=False)
    for ax in axes.flat[len(tables) :]:
        ax.remove()
    for ax, (board, table) in zip(axes.flat, tables.items(), strict=False):
        _panel(ax, table)
        ax.set_title(board.title)
    figure.tight_layout()
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _priced(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of decoders with a price and a score worth drawing, cheapest first."""
    known = table["kind"].isin(["ranked", "unranked"]) & (table["operations_per_s"] > 0) & (table["score"] > 0)
    return table[known].sort_values("operations_per_s")


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    price, score = table["operations_per_s"].to_numpy(), table["score"].to_numpy()
    sizes = 12 + 60 * (table["artifact_bytes"].to_numpy() / 131_072).clip(0, 4)
    best = score >= pd.Series(score).cummax().to_numpy()
    ax.scatter(price, score, s=sizes, c=["#c8442f" if top else "#8a8a8a" for top in best], alpha=0.8, linewidths=0)
    ax.step(price[best], score[best], where="post", color="#c8442f", linewidth=0.8)
    ax.axvline(5e6, color="#2f6fc8", linewidth=0.8, linestyle=":")
    # Neighbours in price are often neighbours in score: labels take turns above and below.
    for i, (x, y, name) in enumerate(zip(price, score, table["decoder"], strict=True)):
        ax.annotate(name, (x, y), xytext=(4, -9 if i % 2 else 3), textcoords="offset points", fontsize=6.5)
    ax.set_xscale("log")
    ax.set_xlabel("effective operations a second (dotted: the implant budget); area: bytes")
    ax.set_ylabel("R²")


if __name__ == "__main__":
    main()
