"""Put records, without predictions and artefacts, into the store that comes with the harness.

    PYTHONPATH=. python tools/publish_records.py STORE [STORE ...] --into submissions/results

Of every board, decoder, hyper-parameters and seed the newest record is kept, a finished one before a failed one; other
ones leave, those of earlier versions too. Records are copied byte
for byte, so that their hashes hold.
"""

import argparse
import json
import shutil
from pathlib import Path

from harness.results.reading import read_record
from harness.results.records import Record
from harness.results.store import Store


def subject_of(record: Record) -> str:
    """What one record at most is kept of."""
    what = [record.suite, record.tier, record.profile.name, record.decoder.name, record.decoder.parameters, record.seed]
    return json.dumps(what, sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--into", type=Path, required=True)
    arguments = parser.parse_args()
    into = Store(arguments.into)
    kept: dict[str, tuple[bool, str, Path]] = {}
    for path in [path for root in (arguments.into, *arguments.stores) for path in Store(root).paths()]:
        record = read_record(path)
        worth = (record.status == "ok", record.started_utc, path)
        kept[subject_of(record)] = max(worth, kept.get(subject_of(record), worth))
    wanted = {into.record_path(read_record(path)): path for _, _, path in kept.values()}
    for target, path in wanted.items():
        if target != path:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for path in into.paths():
        if path not in wanted:
            path.unlink()
    print(f"{len(wanted)} records in {arguments.into}")


if __name__ == "__main__":
    main()
