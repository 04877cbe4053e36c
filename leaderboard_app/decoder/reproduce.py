"""How to run a record again: the command, and the hashes that tell whether the same came out."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.data.shipped import heading, known_suites
from harness.results.records import Record
from leaderboard_app.runs import newest

FETCHED = ("simulated", "mini", "core", "full", "neurobench", "falcon", "s001", "xl")
"""Beginnings of the names of tiers whose recordings the harness makes or fetches; others are a lab's own files."""
FULL_AUDIT = "same_seed_gives_same_outputs"


def command(records: Sequence[Record]) -> str:
    """The `harness eval` that makes records like these again; empty if a name in them cannot be typed.

    All hyper-parameters are written out, defaults too: which of them were given is not in a record, and a default may
    be another one in the next version.

    Args:
        records: The seeds of one run.
    """
    one = newest(records)
    suite, _, task = one.suite.partition("@")[0].partition("/")
    given = [("--suite", suite), *([("--task", task)] if task else []), ("--tier", one.tier)]
    given += [("--decoder", one.decoder.name)]
    given += [("--seed", str(seed)) for seed in sorted({r.seed for r in records})]
    parameters = sorted(one.decoder.parameters.items())
    given += [("--set", f"{name}={_written(value)}") for name, value in parameters if name != "seed"]
    given += [("--profile", one.profile.name.partition("@")[0])]
    given += [("--audit", "full")] if FULL_AUDIT in one.audit else []
    given += [] if one.tier.startswith(FETCHED) or one.simulated else [("--data-root", "FOLDER")]
    if not all(value.isprintable() for _, value in given):
        return ""
    return " \\\n  ".join(["harness eval", *(f"{option} {shlex.quote(value)}" for option, value in given)])


def _written(value: Any) -> str:
    """As `--set` reads it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def cautions(records: Sequence[Record]) -> list[str]:
    """What a reader has to know or do before the command gives the same."""
    one = newest(records)
    name, version = one.suite.partition("/")[0].partition("@")[0], one.suite.partition("@")[2]
    path = known_suites().get(name)
    label = f"{name}@{version}"
    said = []
    if path is None:
        said.append(f"The suite {name} does not come with the harness: give its YAML file to --suite.")
    elif (installed := heading(path).label) != label:
        said.append(f"The record is of {label}; what is installed here is {installed}, whose numbers do not compare.")
    if one.decoder.version == "file":
        said.append("The decoder is a file of its author: give its path to --decoder.")
    elif not one.decoder.entry_point.startswith("baselines."):
        said.append("The decoder is of another package, which has to be installed first.")
    if "--data-root" in command(records):
        said.append("FOLDER is where the recordings are, which the suite expects to be there already.")
    if "/" not in one.suite and path is not None and "\nfurther_tasks:" in path.read_text():
        said.append("The suite has further tasks; all that this decoder can read are run, unless --task picks one.")
    return said


def hashes(records: Sequence[Record]) -> pd.DataFrame:
    """What pins each record: seed, record id, and digests of answers, of what was learned and of the source."""
    rows = [
        {
            "seed": r.seed,
            "record": r.id,
            "predictions": r.predictions_sha256 or "",
            "artefact": r.artifact_sha256 or "",
            "source": r.decoder.source_sha256,
            "started_utc": r.started_utc,
        }
        for r in sorted(records, key=lambda r: r.seed)
    ]
    return pd.DataFrame(rows)
