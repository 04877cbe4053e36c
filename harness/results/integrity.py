"""Whether a folder of results is what it was when it was written."""

from pathlib import Path

from harness.errors import BadData
from harness.results.published import Published, open_store, problems
from harness.results.reading import read_record
from harness.results.receipts import read_receipt
from harness.results.records import Record
from harness.results.signing import signer_of
from harness.results.store import Store, file_sha256


def all_problems(root: Path, *, begins_with: list[bytes] | None = None) -> tuple[int, list[str]]:
    """How many records a folder has, and what is wrong with it, each in a sentence.

    Args:
        root: A store, published or one's own.
        begins_with: Lines that the chain of a published one must begin with.
    """
    store, found = open_store(root), []
    if isinstance(store, Published) or begins_with is not None:
        found += problems(root, begins_with=begins_with)
    paths = store.paths()
    for path in paths:
        try:
            found += _of_record(store, path, read_record(path))
        except BadData as error:
            found.append(str(error))
    return len(paths), found


def _of_record(store: Store, path: Path, record: Record) -> list[str]:
    """What is wrong with a record's place, its files, its signature or its receipts."""
    found = []
    if path != store.record_path(record):
        found.append(f"{path} does not lie where its suite, decoder and version belong")
    if record.signature and not signer_of(record.id, record.signature):
        found.append(f"{path} has a signature that is not of its id")
    for file, digest, what in (
        (store.predictions(record), record.predictions_sha256, "predictions"),
        (store.artifact(record), record.artifact_sha256, "artefact"),
    ):
        if file.is_file() and file_sha256(file) != digest:
            found.append(f"{file} is not the {what} that the record states")
    folder = store.receipts(record)
    for one in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            receipt = read_receipt(one)
        except BadData as error:
            found.append(str(error))
            continue
        if receipt.record != record.id:
            found.append(f"{one} is a receipt of another record")
        if receipt.signature and not signer_of(receipt.id, receipt.signature):
            found.append(f"{one} has a signature that is not of its id")
    return found
