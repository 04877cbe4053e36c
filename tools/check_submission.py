"""What a pull request to submissions/results is held to; the workflow `submission.yml` calls it.

    python tools/check_submission.py --base CHAIN [--folder submissions/results] [--comment FILE]
    python tools/check_submission.py --base CHAIN --sources

CHAIN is chain.jsonl as the target branch has it. The folder must be whole and only be added to; of every new record the
predictions are scored again, and one recording of one of them, picked at random, is run again in the sandbox. What came
of it is written as Markdown. --sources prints what pip has to install for that, one line each.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.again import Again, ready
from harness.data.suites import Session
from harness.errors import HarnessError
from harness.judge.sandbox import why_no_sandbox
from harness.results.integrity import all_problems
from harness.results.published import Published, chain_lines
from harness.results.reading import read_record
from harness.results.receipts import Receipt
from harness.results.records import Record
from harness.results.signing import signer_of
from harness.verify import rerun, rescore_record

Locate = Callable[[Sequence[Session]], Mapping[str, Path]]
MOST_TOLD = 20


class Silent:
    """Watches without a word: a log of a workflow needs no bars."""

    def total(self, n_jobs: int) -> None: ...

    def done(self, what: str) -> None: ...

    def under_way(self, what: str, progress: object) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("submissions/results"))
    parser.add_argument("--comment", type=Path)
    parser.add_argument("--sources", action="store_true")
    arguments = parser.parse_args()
    before = arguments.base.read_bytes().splitlines() if arguments.base.is_file() else []
    if arguments.sources:
        print("\n".join(sources(Published(arguments.folder), before)))
        return
    ok, text = review(Published(arguments.folder), before, _locate, rng=random.SystemRandom())
    (arguments.comment.write_text(text) if arguments.comment else print(text))
    sys.exit(0 if ok else 5)


def review(folder: Published, before: list[bytes], locate: Locate, *, rng: random.Random) -> tuple[bool, str]:
    """Whether a folder may be merged, and why, as Markdown.

    Args:
        folder: As the pull request has it.
        before: Lines of the chain on the target branch.
        locate: Files of sessions.
        rng: Picks the recording that is run again.
    """
    n_records, problems = all_problems(folder.root, begins_with=before)
    if problems:
        return False, _page(False, [f"- {_quoted(one)}" for one in problems[:MOST_TOLD]], n_records, len(problems))
    new = new_records(folder, before)
    lines, ok = [], True
    runs: list[Again] = []
    for record in new:
        try:
            again = ready(record, folder, locate)
            receipt = rescore_record(again)
            ok = ok and receipt.verdict == "same"
            lines.append(_line(record, receipt, "scored again"))
            runs.append(again)
        except HarnessError as error:
            ok = False
            lines.append(f"- **{_name(record)}**: {_quoted(str(error))}")
    if runs and ok:
        told, ok = _run_one(rng.choice(runs), rng)
        lines.append(told)
    return ok, _page(ok, lines or ["- No new record."], n_records, 0)


def _run_one(again: Again, rng: random.Random) -> tuple[str, bool]:
    """Run one recording of a record again."""
    name = rng.choice([s.session for s in again.record.sessions])
    if why := why_no_sandbox():
        return f"- Nothing was run again, for {_quoted(why)}.", False
    try:
        receipt = rerun(again, Silent(), retrain=False, n_workers=1, only=[name])
    except HarnessError as error:
        return f"- **{_name(again.record)}**, {_quoted(name)}: {_quoted(str(error))}", False
    return _line(again.record, receipt, f"recording {_quoted(name)}, picked at random, was run again"), (
        receipt.verdict != "differs"
    )


def new_records(folder: Published, before: list[bytes]) -> list[Record]:
    """The records of the lines that have been added."""
    links = [json.loads(line) for line in chain_lines(folder.root)[len(before) :]]
    return [
        read_record(folder.root / name)
        for link in links
        if link["kind"] == "record"
        for name in link["files"]
        if Path(name).stem == link["id"] and name.endswith(".json")
    ]


def sources(folder: Published, before: list[bytes]) -> list[str]:
    """What pip installs the decoders of new records from: a repository at its commit, or a released distribution."""
    found = []
    for record in new_records(folder, before):
        try:
            source = json.loads(folder.outside(record).read_bytes())["source"]
            repository, commit = source.get("repository", ""), source.get("commit", "")
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue
        if urlsplit(str(repository)).scheme == "https" and str(commit).isalnum():
            found.append(f"git+{repository}@{commit}")
        elif source.get("distribution"):
            found.append(f"{source['distribution']}=={record.decoder.version}")
    return sorted({line for line in found if line.isascii() and line.isprintable() and " " not in line})


def _line(record: Record, receipt: Receipt, what: str) -> str:
    signer = signer_of(record.id, record.signature)
    differing = [s for s in receipt.sessions if s.verdict == "differs"]
    where = "" if not differing else f"; first in {_quoted(differing[0].session)}"
    largest = max((s.max_difference for s in receipt.sessions if s.max_difference is not None), default=None)
    amount = "" if largest is None else f", largest difference {largest:.3g}"
    signed = f", signed by {_quoted(signer)}" if signer else ""
    return f"- **{_name(record)}**: {what}: **{receipt.verdict}**{amount}{where}{signed}"


def _name(record: Record) -> str:
    return f"{_quoted(record.decoder.name)} on {_quoted(record.suite)}, seed {record.seed}"


def _quoted(text: str) -> str:
    """Foreign text in a comment: one line of code, which can hold no link and mention nobody."""
    return f"`{ascii(text)[1:-1].replace('`', '')[:300]}`"


def _page(ok: bool, lines: list[str], n_records: int, n_problems: int) -> str:
    head = "may be merged" if ok else "may not be merged as it is"
    more = [f"- and {n_problems - MOST_TOLD} more"] if n_problems > MOST_TOLD else []
    return "\n".join([f"### This submission {head}", "", f"{n_records} records in the folder.", "", *lines, *more, ""])


def _locate(sessions: Sequence[Session]) -> Mapping[str, Path]:
    from harness.data.cache import default_cache
    from harness.data.download import locate

    return locate(sessions, default_cache())


if __name__ == "__main__":
    main()
