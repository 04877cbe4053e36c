"""Write the page on far larger use from what tools/scale.py measured.

PYTHONPATH=. python tools/scale_page.py docs/results/scale.json docs/scale.md
"""

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tools.markdown import table

KINDS = {"first": "a run's first", "others": "another"}
PARTS = ("whole", "alone", "audit", "count")
HEAD = """# Far larger use

Written by `tools/scale_page.py` from [what `tools/scale.py` measured](results/scale.json); every number is measured
there, or simulated from what was measured."""

COSTS = """## What a cell costs

One decoder with one seed on one recording, by the published records, on two cores of a shared machine. Learning is all
its stages; the test pass is the scored pass, its repeats, the audit, the paced pass and counting.

{table}

Parts of a test pass, in seconds, each on a simulated recording of primate-reaching; only the first recording of a run
has a paced pass. What is timed, with its calibrations, has the machine alone; a pass
that somebody disturbs takes up to three times as long, and is not counted so here:

{parts}"""

SCHEDULES = """## Simulated schedules

Machines of 16 cores, three seeds a decoder; costs are drawn from the first board above, whose recordings are of five
minutes. Learning fills all cores; of a run's test passes {alone:.0%} are timed and have their machine alone, the rest
fills all cores again, as with `--workers` (the Dask engine still gives a machine one test pass at a time).

{table}"""

STORE = """## The store

A fit takes {fits:,.0f} kB, a cell {cells:,.0f} kB, a record {records:,.0f} kB: the {n_cells:,} cells of the largest
run would fill {terabytes:,.1f} TB in {folders:,} folders. To plan a test takes {plan_ms:.2f} ms, to ask a decoder what
it reads {describe_s:.1f} s, once for each of its sources. {listed:,} records are indexed in {first_s:.1f} s, once, and
listed again in {again_s:.2f} s."""

BREAKS = """## What breaks first, and the plan

1. **What is timed.** A latency that is to be believed has a machine to itself, so one core of sixteen works: test
   passes take {test_share:.0%} of the time of the largest run. Of a run's first test pass {timed_first:.0%} are timed
   (median of the decoders above), for it is streamed in real time too; of the others {timed_others:.0%}. Machines with
   few cores cost least.
2. **Listing a store** looks at every record's file: {million_s:,.0f} s for a million records, at each visit. The index
   has to be told of new records by who writes them, as the chain of the published folder is, and not look for them.
3. **Two folders a cell** on one file system are too many from some millions on. The cells of a run should be packed
   into one file when its record is written; keys and records stay as they are.
4. **One process plans a run**: {plan_h:,.1f} h for the largest one before its first cell begins, and all its tests in
   memory. A run should be cut by decoder, on which no other's result depends.
5. **Recordings** are fetched and prepared once for each machine, and the prepared cache is bounded. A machine should
   be given all decoders of a recording and not all recordings of a decoder.
6. **Hostile or broken decoders** cost their whole limit: a fit may take as long as its profile allows. Thousands of
   unknown decoders want a first look at one short recording (`harness check`) before they get the rest."""


def page(found: dict[str, Any]) -> str:
    """The page of a measurement."""
    passes, schedules = found["test_passes"], found["schedules"]
    largest = max(schedules, key=lambda s: (s["cells"], s["machines"]))
    size, listed, planned = found["bytes"], found["listing"], found["planning"]
    first, others = (median(one[which]["alone"] / one[which]["whole"] for one in passes.values()) for which in KINDS)
    store = STORE.format(
        **{kind: size[kind] / 1e3 for kind in ("fits", "cells", "records")},
        n_cells=largest["cells"],
        terabytes=largest["cells"] * (size["fits"] + size["cells"]) / 1e12,
        folders=2 * largest["cells"],
        plan_ms=planned["test_s"] * 1e3,
        describe_s=planned["describe_s"],
        listed=listed["records"],
        first_s=listed["first_s"],
        again_s=listed["again_s"],
    )
    breaks = BREAKS.format(
        test_share=largest["test_h"] / (largest["test_h"] + largest["learn_h"]),
        timed_first=first,
        timed_others=others,
        million_s=listed["again_s"] / listed["records"] * 1e6,
        plan_h=largest["cells"] * planned["test_s"] / 3600,
    )
    costs = COSTS.format(table=_costs(found["costs"]), parts=_parts(passes))
    return (
        "\n\n".join([HEAD, costs, SCHEDULES.format(table=_schedules(schedules), alone=found["alone"]), store, breaks])
        + "\n"
    )


def _costs(costs: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for board, found in costs.items():
        learn, test = ([one[key] for one in found] for key in ("learn_s", "test_s"))
        seconds = [f"{median(some):.1f}, {max(some):.0f}" for some in (learn, test)]
        lines.append([board, str(len(found)), *seconds])
    return table(["board", "runs", "learning s: median, most", "test pass s: median, most"], lines)


def _parts(passes: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = []
    for decoder, found in passes.items():
        for kind, name in KINDS.items():
            one = found[kind]
            rest = one["whole"] - one["alone"] - one["audit"] - one["count"]
            lines.append([f"{decoder}, {name}", *(f"{one[part]:.2f}" for part in PARTS), f"{rest:.2f}"])
    return table(["decoder, recording", "whole", "timed", "audit", "counting", "rest"], lines)


def _schedules(schedules: list[dict[str, Any]]) -> str:
    lines = []
    for s in schedules:
        numbers = [f"{s[name]:,}" for name in ("decoders", "recordings", "cells", "machines")]
        lines.append([*numbers, f"{s['learn_h']:,.1f}", f"{s['test_h']:,.1f}", f"{s['busy']:.0%}"])
    heads = ["decoders", "recordings", "cells", "machines", "learning h", "test passes h", "cores' time used"]
    return table(heads, lines)


def main() -> None:
    """Write the page."""
    measured, out = map(Path, sys.argv[1:3])
    out.write_text(page(json.loads(measured.read_text())))


if __name__ == "__main__":
    main()
