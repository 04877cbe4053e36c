"""Receipts: what came of running a record again, and how far a record may be trusted for that."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.errors import BadData
from harness.results.published import Published
from harness.results.reading import read_model
from harness.results.records import Part, Record, document_id
from harness.results.signing import signer_of
from harness.results.store import Store, write_whole

SCHEMA = 1

How = Literal["restored", "retrained", "rescored"]
Verdict = Literal["same", "within-interval", "differs"]
Trust = Literal["self-reported", "reproduced", "reference"]

RUN_AGAIN: tuple[How, ...] = ("restored", "retrained")


class Compared(Part):
    """One recording, then and now.

    max_difference: Of two answers; None where no answers could be compared.
    first_bin: The first bin of the test part whose answers differ by more than the tolerance.
    scores: Of this time.
    """

    session: str
    verdict: Verdict
    max_difference: float | None = None
    first_bin: int | None = None
    scores: dict[str, float] = Field(default_factory=dict)


class Receipt(Part):
    """One verification of one record.

    how: The artefact was restored, or it was trained again; or answers alone were scored again.
    tolerance: Largest difference of answers that is called the same; 0: bit for bit.
    signature: Of the id, by whoever ran it; see `harness.results.signing`.
    """

    schema_: int = Field(SCHEMA, alias="schema")
    id: str = ""
    record: str
    how: How
    verdict: Verdict
    tolerance: float
    sessions: list[Compared]
    environment: dict[str, Any]
    started_utc: str
    seconds: float
    signature: str | None = None


def sealed(receipt: Receipt) -> Receipt:
    """The receipt with its id filled in."""
    return receipt.model_copy(update={"id": document_id(receipt.model_dump(mode="json", by_alias=True))})


def keep(receipt: Receipt, record: Record, store: Store) -> Path:
    """Write a sealed receipt beside its record, once; into the chain too where there is one."""
    path = store.receipts(record) / f"{receipt.id}.json"
    content = receipt.model_dump_json(by_alias=True, indent=1).encode()
    if isinstance(store, Published):
        store.add("receipt", receipt.id, {path: content})
    elif not path.exists():
        write_whole(path, content)
    return path


def read_receipt(path: Path) -> Receipt:
    """Read and check one receipt.

    Raises:
        BadData: If the file is no receipt, or its content does not match its id.
    """
    receipt, document = read_model(path, Receipt, "receipt")
    if not receipt.id == document_id(document) == path.stem:
        raise BadData(f"{path} was edited: its content hashes to {document_id(document)}; restore it")
    return receipt


def receipts_in(folder: Path) -> list[Receipt]:
    """All whole receipts of a folder; others are left out: they raise no trust."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            found.append(read_receipt(path))
        except BadData:
            continue
    return found


def trust(record_id: str, receipts: Iterable[Receipt], reference_keys: Iterable[str] = ()) -> Trust:
    """The tier of a record: what its receipts say, of which those that name another record count nothing.

    Args:
        record_id: Of the record.
        receipts: Those that lie beside it.
        reference_keys: Public keys of reference machines.
    """
    keys = set(reference_keys)
    good = [r for r in receipts if r.record == record_id and r.how in RUN_AGAIN and r.verdict != "differs"]
    if any(signer_of(r.id, r.signature) in keys for r in good):
        return "reference"
    return "reproduced" if good else "self-reported"
