"""What running a record again needs: its suite, data, decoder, predictions and artefact, each checked by its hash."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.identity import content_id
from harness.data.suites import Session, Suite, load_suite
from harness.errors import BadData, MissingData, UsageError
from harness.judge.profiles import Profile, load_profile
from harness.registry import DecoderRef, find
from harness.results import cells
from harness.results.records import Record, sha256
from harness.results.store import Store
from harness.source import source_sha256


@dataclass(frozen=True)
class Again:
    """What is needed to run a record again.

    suite: The variant that the record names.
    files: Session -> file, checked against the record's hashes.
    profile: That it is run on.
    """

    record: Record
    store: Store
    suite: Suite
    files: Mapping[str, Path]
    profile: Profile

    @property
    def sessions(self) -> list[Session]:
        """The scored ones, in the record's order."""
        known = {s.id: s for s in self.suite.in_tier(self.record.tier)}
        return [known[s.session] for s in self.record.sessions]


def suite_of(record: Record, where: str = "") -> Suite:
    """The suite, or variant of it, that a record names.

    Args:
        record: Of it.
        where: A YAML file of a suite that is none of the shipped ones.

    Raises:
        UsageError: If this harness has it in another version, or not at all.
    """
    wanted, _, version = record.suite.partition("@")
    suite = load_suite(where or wanted.partition("/")[0])
    found = next((v for v in suite.variants(record.tier) if v.label == record.suite), None)
    if found is None:
        raise UsageError(
            f"the record is of {record.suite}, tier {record.tier}; this harness has {suite.label} (version "
            f"{version} is asked for): install the harness that the record names, {_harness_of(record)}"
        )
    return found


def ready(
    record: Record,
    store: Store,
    locate: Callable[[Sequence[Session]], Mapping[str, Path]],
    *,
    suite: str = "",
    profile: str = "",
) -> Again:
    """Find the data of a record.

    Args:
        record: Read and unedited.
        store: Where its predictions and artefact are.
        locate: Files of sessions.
        suite: See `suite_of`.
        profile: Another than the record's: answers do not depend on it.

    Raises:
        UsageError: If its suite is not known.
        BadData: If a recording is another one than the record's.
    """
    found_suite = suite_of(record, suite)
    sessions = found_suite.in_tier(record.tier)
    unknown = {s.session for s in record.sessions} - {s.id for s in sessions}
    if unknown:
        raise UsageError(f"{record.suite} has no recording {min(unknown)!r} in tier {record.tier}; was it renamed?")
    files = locate(sessions)
    by_id = {s.id: s for s in sessions}
    for one in record.sessions:
        found = content_id(by_id[one.session], files[one.session])
        if found != one.sha256:
            raise BadData(
                f"recording {one.session!r} here is {found}, the record speaks of {one.sha256}: the data or its "
                f"generator has changed since; get the file that the record names"
            )
    hardware = load_profile(profile or record.profile.name.partition("@")[0])
    return Again(record, store, found_suite, files, hardware)


def decoder_of(record: Record) -> DecoderRef:
    """The installed decoder that a record is about.

    Raises:
        UsageError: If there is none of its name, or its source is another.
    """
    said = record.decoder
    if said.version == "file":
        raise UsageError(
            f"the record is of a loose file, {said.entry_point}, which nobody else has; put the decoder into a "
            f"package (harness new NAME) and evaluate that"
        )
    ref = find(said.name)
    if (found := source_sha256(ref)) != said.source_sha256:
        raise UsageError(
            f"{said.name} {ref.version} is installed with source {found[:12]}, the record is of version "
            f"{said.version} with source {said.source_sha256[:12]}; install that one"
        )
    return ref


def answers_of(store: Store, record: Record) -> dict[str, np.ndarray]:
    """The arrays of a record's predictions file.

    Raises:
        MissingData, BadData: If there is none, or not the record's.
    """
    if record.predictions_sha256 is None:
        return {}
    content = _checked(store.predictions(record), record.predictions_sha256, "predictions")
    try:
        return cells.npz_to_arrays(content)
    except Exception as error:  # a damaged or hostile archive may raise anything
        raise BadData(f"{store.predictions(record)} cannot be read: {type(error).__name__}; restore it") from None


def artifact_of(store: Store, record: Record) -> bytes:
    """A record's artefact.

    Raises:
        MissingData, BadData: If there is none, or not the record's.
    """
    if record.artifact_sha256 is None:
        raise MissingData("the record has no artefact, for nothing was learned; train again with --retrain")
    return _checked(store.artifact(record), record.artifact_sha256, "artefact")


def _checked(path: Path, digest: str, what: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        raise MissingData(f"the {what} of the record are not in its store: {path}; get them, or --retrain") from None
    if (found := sha256(content)) != digest:
        raise BadData(f"{path} hashes to {found}, the record says {digest}: it is of another run; restore it")
    return content


def _harness_of(record: Record) -> str:
    return f"version {record.environment.get('harness', 'unknown')}"
