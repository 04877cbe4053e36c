"""Put records, without predictions and artefacts, into the published folder that comes with the harness.

    PYTHONPATH=. python tools/publish_records.py STORE [STORE ...] --into submissions/results

Of every board, decoder, hyper-parameters and seed the newest record is taken, a finished one before a failed one,
unless the folder has one that is as new. Records are copied byte for byte, so that their hashes hold, and nothing
leaves.
"""

import argparse
import json
from pathlib import Path

from harness.results.published import Published, open_store
from harness.results.reading import read_record
from harness.results.records import Record


def subject_of(record: Record) -> str:
    """What one record is wanted of."""
    what = [record.suite, record.tier, record.profile.name, record.decoder.name, record.decoder.parameters, record.seed]
    return json.dumps(what, sort_keys=True)


def worth(record: Record) -> tuple[bool, str]:
    """More for a finished one, then for a newer one."""
    return record.status == "ok", record.started_utc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--into", type=Path, required=True)
    arguments = parser.parse_args()
    into = Published(arguments.into)
    there: dict[str, tuple[bool, str]] = {}
    for record in into.records():
        there[subject_of(record)] = max(worth(record), there.get(subject_of(record), (False, "")))
    wanted: dict[str, tuple[Record, Path]] = {}
    for path in (path for root in arguments.stores for path in open_store(root).paths()):
        record = read_record(path)
        known = wanted.get(subject_of(record))
        if known is None or worth(record) > worth(known[0]):
            wanted[subject_of(record)] = (record, path)
    new = [pair for name, pair in wanted.items() if name not in there or worth(pair[0]) > there[name]]
    for record, path in sorted(new, key=lambda pair: (pair[0].started_utc, pair[0].id)):
        into.add("record", record.id, {into.record_path(record): path.read_bytes()})
    print(f"{len(new)} records added to {arguments.into}")


if __name__ == "__main__":
    main()
