"""Write datasets/suites/primate-reaching.yaml from a manifest of verified public files.

    python tools/suite_from_manifest.py MANIFEST.json > datasets/suites/primate-reaching.yaml

The same manifest gives the same bytes. Sessions stand one per line, in flow style: 260 of them load in a tenth of the
time that block style takes.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HEAD = Path(__file__).with_name("primate-reaching.head.yaml")

FAMILIES = {
    "nlb-mc_rtt": ("nlb-rtt", "nlb-rtt"),
    "nlb-mc_maze_small": ("nlb-hand", "nlb-maze"),
    "nlb-mc_maze_medium": ("nlb-hand", "nlb-maze"),
    "nlb-mc_maze_large": ("nlb-hand", "nlb-maze"),
    "nlb-mc_maze": ("nlb-hand", "nlb-maze"),
    "nlb-area2_bump": ("nlb-hand", "nlb-area2"),
    "odoherty-sabes": ("odoherty-mat", "reaches-50-25-25"),
    "falcon-m1a": ("falcon-m1", "in-time"),
    "falcon-m1b": ("falcon-m1", "in-time"),
    "falcon-m2": ("falcon-m2", "in-time"),
    "falcon-h1": ("falcon-h1", "in-time"),
    "churchland-shenoy": ("stanford", "in-time"),
    "even-chen": ("stanford", "in-time"),
}
"""Group -> (layout, split); Perich-Miller depends on the task."""

DANDI_KEYS = ("dandiset", "version", "asset_id", "path", "size", "sha256", "s3_url", "licence")
ZENODO_KEYS = ("path", "url", "size", "sha256", "md5", "licence")
# Subjects that the generator was not calibrated on.
SIMULATED = [(subject, session) for subject in (11, 12, 13, 14) for session in (0, 1)]
TWO_AREAS = (21, 22)
NEUROBENCH = "neurobench"


def main(arguments: list[str]) -> int:
    """Print the suite; 2 if no manifest is named."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdout.write(suite_text(json.loads(Path(arguments[0]).read_bytes())))
    return 0


def suite_text(manifest: Mapping[str, Any]) -> str:
    """The whole suite file."""
    recorded = [session_row(row) for row in manifest["sessions"] if has_behaviour(row)]
    rows = [*simulated_rows(), *(one for row in recorded for one in by_protocol(row)), *two_area_rows()]
    return HEAD.read_text() + "".join(f"  - {json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def has_behaviour(row: Mapping[str, Any]) -> bool:
    """Files of the NLB challenge's hidden test have none."""
    return not str(row["role"]).startswith("no-behaviour")


def simulated_rows() -> Iterator[dict[str, Any]]:
    """Four subjects of two sessions."""
    for subject, session in SIMULATED:
        parameters = {"subject_seed": subject, "session": session, "minutes": 4, "n_units": 96}
        yield {
            "id": f"simulated-{subject}-{session}",
            "subject": f"simulated-{subject}",
            "group": "simulated",
            "layout": "simulated",
            "split": "in-time",
            "tiers": ["simulated"],
            "source": {"host": "simulated", "generator": "reaching", "parameters": parameters},
        }


def two_area_rows() -> Iterator[dict[str, Any]]:
    """NeuroBench's protocol on simulated sessions: with both areas, and of the same recordings with M1 alone."""
    for suffix in ("", "-m1"):
        for subject in TWO_AREAS:
            parameters = {"subject_seed": subject, "session": 0, "minutes": 4, "n_units": 192, "areas": ["M1", "S1"]}
            yield {
                "id": f"neurobench-simulated{suffix}-{subject}",
                "subject": f"simulated-{subject}",
                "group": f"neurobench-simulated{suffix}",
                "layout": f"simulated-4ms{suffix}",
                "split": "reaches-without-gap",
                "tiers": [f"neurobench-simulated{suffix}"],
                "source": {"host": "simulated", "generator": "reaching", "parameters": parameters},
                "tasks": [NEUROBENCH],
            }


def by_protocol(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A recording of NeuroBench's twice: in our protocol, and in theirs, which has another split."""
    if NEUROBENCH not in row["tiers"]:
        yield dict(row)
        return
    yield {**row, "tiers": [tier for tier in row["tiers"] if tier != NEUROBENCH]}
    theirs = {"layout": "odoherty-4ms", "split": "reaches-without-gap", "tiers": [NEUROBENCH], "tasks": [NEUROBENCH]}
    yield {**row, "id": f"{row['id']}-{NEUROBENCH}", **theirs}


def session_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One session of the suite from one row of the manifest."""
    layout, split = family(row)
    made = {
        "id": short_id(row),
        "subject": re.split(r"[-_]held", row["subject"])[0],
        "group": row["group"],
        "layout": layout,
        "split": split,
        "tiers": tiers(row),
        "source": source(row),
    }
    return made | ({"tasks": ["emg"]} if layout == "falcon-m1" else {})


def family(row: Mapping[str, Any]) -> tuple[str, str]:
    """(layout, split) of a row."""
    if row["group"] == "perich-miller":
        return ("perich", "perich-co" if "_ses-CO-" in row["path"] else "perich-rt")
    return FAMILIES[row["group"]]


def tiers(row: Mapping[str, Any]) -> list[str]:
    """Scored tiers need a digest; minival files repeat trials of their calibration file, so they stand apart."""
    if not (row.get("sha256") or row.get("md5")):
        return ["unpinned"]
    if row["role"] == "held-in-minival":
        return ["falcon-minival"]
    return ["neurobench" if tier == "neurobench6" else tier for tier in row["tiers"]]


def short_id(row: Mapping[str, Any]) -> str:
    """A name that fits a table and a file system."""
    group, stem = row["group"], Path(row["path"]).stem
    if group.startswith("nlb-"):
        return group.removeprefix("nlb-").replace("_", "-")
    if group == "odoherty-sabes":
        return stem
    made = re.search(r"ses-([^_]+)", stem)
    if made is None:
        raise ValueError(f"{row['path']}: no session in the file's name; teach short_id this family")
    if group == "perich-miller":
        return f"{row['subject']}-{made[1]}"
    if group.startswith("falcon-"):
        return f"{group}-{made[1]}-{row['role']}"
    return f"{row['subject']}-{made[1]}"


def source(row: Mapping[str, Any]) -> dict[str, Any]:
    """Where the file is and what it must be; what nobody states is left out."""
    if row["host"] == "dandi":
        return {"host": "dandi"} | {key: row[key] for key in DANDI_KEYS}
    found = {"host": "zenodo", "record": row["zenodo_record"]} | {key: row[key] for key in ZENODO_KEYS}
    return {key: value for key, value in found.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
