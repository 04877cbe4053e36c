"""Print the suite's rows of the held-out Makin sessions from a manifest of what is known of their files.

    python tools/lfp_rows.py MANIFEST.json

One row per line, in flow style. What no source states of a raw file is left out and named in its `unknown`: a row stays
out of the scored tiers until someone with the file fills that in.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LABELS_RECORD = "3854034"
WANTED = {"labels": ("size", "md5", "sha256"), "broadband": ("record", "size", "md5", "licence")}
"""What has to be known of each raw file."""

KEYS = ("record", "path", "url", "size", "md5", "sha256", "licence")


def main(arguments: list[str]) -> int:
    """Print the rows; 2 if no manifest is named."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    manifest = json.loads(Path(arguments[0]).read_bytes())
    held_out = manifest["peer_heldout"]["makin"]
    for row in manifest["sessions"]:
        if row.get("session_id") in held_out:
            print(f"  - {json.dumps(suite_row(row), ensure_ascii=False)}")
    return 0


def suite_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One session: its two raw files, and what is not known of them."""
    name = row["session_id"]
    made_from = {
        "labels": raw_file({**row["labels_file"], "record": LABELS_RECORD}, WANTED["labels"]),
        "broadband": raw_file(row["lfp_file"], WANTED["broadband"]),
    }
    return {
        "id": name,
        "subject": row["subject"],
        "group": row["group"],
        "layout": "prepared",
        "split": "in-time",
        "tiers": ["unpinned"],
        "tasks": ["velocity", "spikes"],
        "source": {"host": "file", "path": f"{name}.nwb", "made_from": made_from},
    }


def raw_file(known: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """What is known of one raw file, and what is not."""
    stated = {key: known[key] for key in KEYS if known.get(key) is not None}
    unknown = [key for key in wanted if key not in stated]
    return {**stated, "unknown": unknown} if unknown else stated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
