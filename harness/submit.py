"""From a record on a laptop to the folder of a pull request; what could not be repeated is refused, with reasons."""

import importlib.metadata
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.again import answers_of, suite_of
from harness.data.cards import Card, read_card, shipped_cards
from harness.data.sources import File
from harness.data.suites import Session, known_suites
from harness.errors import BadData, HarnessError, UsageError
from harness.registry import DecoderRef, find, known
from harness.results import names
from harness.results.published import Published
from harness.results.reading import read_document
from harness.results.records import Record, sha256
from harness.results.store import Store
from harness.source import Source, source, source_root, source_sha256

CARD = "card.yaml"
MOST_KEPT_BYTES = 10 << 20
"""Of one file in a repository; larger ones stay at an address of their own."""
OWN_PACKAGES = ("baselines",)


@dataclass(frozen=True)
class Submission:
    """All that is written for one record.

    refused: Why it may not be, each in a sentence; nothing is written unless it is empty.
    """

    record: Record
    files: Mapping[Path, bytes]
    refused: list[str]


def prepared(record: Record, store: Store, into: Published, *, address: str = "", signature: str = "") -> Submission:
    """Look a record over, and gather its files.

    Args:
        record: Read and unedited.
        store: Where its predictions and artefact are.
        into: The folder of the pull request.
        address: Where files lie that are too large for a repository; `<address>/<id>.npz` and `.safetensors`.
        signature: Of its id.
    """
    if unusable := _unusable_names(record):
        return Submission(record, {}, unusable)
    origin, card, refused = _decoder(record)
    refused = [*_mistaken(record, into), *_suite(record), *_measured(record), *refused]
    files: dict[Path, bytes] = {}
    try:
        files[into.record_path(record)] = _signed(store.record_path(record), signature)
        kept, outside = _arrays(record, store, into, address)
        files |= kept
        files[into.outside(record)] = json.dumps({"source": origin, "outside": outside}, indent=1).encode() + b"\n"
    except HarnessError as error:
        refused.append(str(error))
    if card:
        files[into.card(record)] = card
    return Submission(record, files, refused)


def _signed(path: Path, signature: str) -> bytes:
    """A record's file as it is; or with a signature, and else as it was written, by whichever version."""
    document = read_document(path, "record")
    if not signature:
        return path.read_bytes()
    return json.dumps(document | {"signature": signature}, indent=1, ensure_ascii=False).encode()


def write(one: Submission, into: Published) -> None:
    """Write a submission that nothing speaks against.

    Raises:
        UsageError: If something does, or other content is there already.
    """
    if one.refused:
        raise UsageError(f"record {one.record.id[:12]} cannot be submitted: {'; '.join(one.refused)}")
    into.add("record", one.record.id, one.files)


def next_steps(submissions: Iterable[Submission], into: Published) -> str:
    """The commands of a pull request."""
    decoders = sorted({one.record.decoder.name for one in submissions})
    name = decoders[0] if len(decoders) == 1 else f"{len(decoders)}-decoders"
    return "\n".join(
        [
            "Now, in your fork of the repository:",
            f"  git switch -c submit-{name}",
            f"  git add {into.root}",
            f'  git commit -m "Submit {", ".join(decoders)}"',
            f"  git push -u origin submit-{name}",
            "and open a pull request. A check there validates the folder, scores the predictions again and runs one "
            "recording, picked at random, in the sandbox.",
        ]
    )


def _unusable_names(record: Record) -> list[str]:
    """What speaks against using its names as folders."""
    found = []
    for text, rule, what in (
        (record.suite, names.SUITE, "suite"),
        (record.decoder.name, names.DECODER, "decoder"),
        (record.decoder.version, names.VERSION, "version"),
    ):
        try:
            names.refuse_name(text, rule, what)
        except BadData as error:
            found.append(str(error))
    return found


def _mistaken(record: Record, into: Published) -> list[str]:
    """Whether a reader would take it for another decoder."""
    there = {path.parent.parent.name for path in into.paths()} | set(known())
    other = names.mistaken_for(record.decoder.name, there)
    return [f"decoder {record.decoder.name!r} would be taken for {other!r}, which is there; rename it"] if other else []


def _suite(record: Record) -> list[str]:
    """What speaks against its data."""
    if record.suite.partition("@")[0].partition("/")[0] not in known_suites():
        return [f"suite {record.suite!r} is none of the shipped ones; evaluate on one of: {', '.join(known_suites())}"]
    try:
        sessions = {s.id: s for s in suite_of(record).in_tier(record.tier)}
    except HarnessError as error:
        return [str(error)]
    missing = [s.session for s in record.sessions if s.session not in sessions]
    if missing:
        return [f"tier {record.tier} of {record.suite} has no recording {missing[0]!r}; evaluate again"]
    scored = {s.id for s in sessions.values() if s.role != "source"}
    found = [
        f"recording {name!r} of the tier is not in it; evaluate all of them"
        for name in sorted(scored - {s.session for s in record.sessions})[:1]
    ]
    return found + [
        f"recording {name!r} is not pinned by a digest, so nobody can tell whether theirs is the same; pin it"
        for name in (s.session for s in record.sessions)
        if not _is_pinned(sessions[name])
    ]


def _is_pinned(session: Session) -> bool:
    return not isinstance(session.source, File) or session.source.sha256 is not None


def _measured(record: Record) -> list[str]:
    """What speaks against how it was measured."""
    if not record.profile.noisy:
        return []
    return [
        f"its latency was measured beside other work ({record.profile.noisy_why}); evaluate again on a quiet machine "
        f"with --rerun all"
    ]


def _decoder(record: Record) -> tuple[dict[str, Any], bytes, list[str]]:
    """Where others get the decoder, its card, and what speaks against it."""
    if record.decoder.version == "file":
        why = (
            "its decoder is a loose file, which has no version and which nobody can install; make a package of it "
            "(harness new NAME) and evaluate that"
        )
        return {}, b"", [why]
    try:
        ref = find(record.decoder.name)
        found = source_sha256(ref)
        origin, refused = _origin(ref)
    except HarnessError as error:
        return {}, b"", [str(error)]
    if found != record.decoder.source_sha256:
        refused.append(
            f"the source of {ref.name!r}, its card included, has changed since it ran "
            f"({record.decoder.source_sha256[:12]} then, {found[:12]} now); evaluate again"
        )
    try:
        return origin, _card(record, ref), refused
    except HarnessError as error:
        return origin, b"", [*refused, str(error)]


def _origin(ref: DecoderRef) -> tuple[dict[str, Any], list[str]]:
    """Where others get the decoder's source, and what speaks against it."""
    found = source(ref)
    distribution = importlib.metadata.packages_distributions().get(ref.module.partition(".")[0], [""])[0]
    said: dict[str, Any] = {"distribution": distribution, "version": ref.version}
    top = found.root if found.root.is_dir() else found.root.parent
    if (commit := _git(top, "rev-parse", "HEAD")) is not None and _git(top, "ls-files", "--", ".") != "":
        said["commit"] = commit
        said["repository"] = _git(top, "config", "--get", "remote.origin.url") or ""
        if changed := _uncommitted(top, found):
            return said, [f"its source is not committed: {', '.join(changed[:5])}; commit it, then evaluate again"]
        return said, []
    urls = _urls(distribution)
    if not urls:
        return said, [
            f"nothing says where others get the source of {distribution or ref.module!r}: it is in no git repository "
            f"and names no address; add [project.urls] with Source = 'https://...' to its pyproject.toml"
        ]
    return said | {"urls": urls}, []


def _uncommitted(top: Path, found: Source) -> list[str]:
    status = _git(top, "status", "--porcelain", "--ignored", "--", *map(str, found.files)) or ""
    return [line[3:] for line in status.splitlines()]


def _git(folder: Path, *command: str) -> str | None:
    """What git says of a folder; None if it is in no repository, or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def _urls(distribution: str) -> list[str]:
    try:
        metadata = importlib.metadata.metadata(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return []
    named = [text.partition(",")[2].strip() for text in metadata.get_all("Project-URL") or []]
    return sorted({*named, *(metadata.get_all("Home-page") or [])} - {"UNKNOWN", ""})


def _card(record: Record, ref: DecoderRef) -> bytes:
    """The decoder's card, as its package brings it.

    Raises:
        UsageError: If there is none, it is no card, or it is not of this decoder.
    """
    if ref.module.partition(".")[0] in OWN_PACKAGES and record.decoder.name in shipped_cards():
        return b""
    root = source_root(ref)
    path = (root if root.is_dir() else root.parent) / CARD
    if not path.is_file():
        raise UsageError(
            f"there is no card: write {path}, which says what the decoder is, after which paper, by whom, under which "
            f"licence and what it learned from; `harness new NAME` writes one to begin with"
        )
    card: Card = read_card(path)
    if record.decoder.name not in card.decoders:
        raise UsageError(f"{path} is the card of {', '.join(card.decoders)}; add {record.decoder.name!r} to `decoders`")
    return path.read_bytes()


def _arrays(
    record: Record, store: Store, into: Published, address: str
) -> tuple[dict[Path, bytes], dict[str, dict[str, Any]]]:
    """Predictions and artefact: those to write, and of those that are too large hash, size and address.

    Raises:
        HarnessError: If one is missing or not the record's, or too large and without an address.
    """
    answers_of(store, record)
    kept: dict[Path, bytes] = {}
    outside: dict[str, dict[str, Any]] = {}
    for there, target, digest, what in (
        (store.predictions(record), into.predictions(record), record.predictions_sha256, "predictions"),
        (store.artifact(record), into.artifact(record), record.artifact_sha256, "artefact"),
    ):
        if digest is None:
            continue
        if not there.is_file():
            raise UsageError(f"its {what} are not in the store ({there.name}); evaluate again")
        content = there.read_bytes()
        if sha256(content) != digest:
            raise BadData(f"{there} is not the {what} that the record states; evaluate again")
        if len(content) <= MOST_KEPT_BYTES:
            kept[target] = content
        elif not address.startswith("https://"):
            raise UsageError(
                f"its {what} have {len(content):,} bytes, at most {MOST_KEPT_BYTES:,} go into the repository; put the "
                f"file somewhere lasting and name the folder's address: --address https://..."
            )
        else:
            url = f"{address.rstrip('/')}/{target.name}"
            outside[target.name] = {"sha256": digest, "bytes": len(content), "address": url}
    return kept, outside
