"""Reading JSON documents that may come from anybody: bounded, checked, and of an older schema brought up to date."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from harness.errors import BadData
from harness.results.records import SCHEMA, Record, document_id

MOST_BYTES = 32 << 20
Document = dict[str, Any]
Upgrade = Callable[[Document], Document]
T = TypeVar("T", bound=BaseModel)

UPGRADES: Mapping[int, Upgrade] = {}
"""Schema of a record -> what makes a document of the next one of it. Schema 1 is the first."""


def read_record(path: Path) -> Record:
    """Read and check one record file; of an older schema it is brought up to date, under the id that it has.

    Raises:
        BadData: If the file is no record, or its content does not match its id.
    """
    record, document = read_model(path, Record, "record", upgrades=UPGRADES, newest=SCHEMA)
    if (found := document_id(document)) != record.id or record.id != path.stem:
        raise BadData(f"{path} was edited: its content hashes to {found}, it says {record.id}; restore it")
    return record


def read_model(
    path: Path, model: type[T], what: str, *, upgrades: Mapping[int, Upgrade] | None = None, newest: int = 1
) -> tuple[T, Document]:
    """A document as its model, and as it was written.

    Args:
        path: Of the file.
        model: Strict.
        what: For the message.
        upgrades: See `UPGRADES`.
        newest: Schema of `model`.

    Raises:
        BadData: If it is too large, no JSON, of a newer schema, or not of the model.
    """
    document = read_document(path, what)
    try:
        return model.model_validate_json(json.dumps(upgraded(document, path, upgrades or {}, newest))), document
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} is no readable {what}: {_first_line(error)}; move it away or restore it") from None


def read_document(path: Path, what: str) -> Document:
    """A JSON object.

    Raises:
        BadData: If it is none, or too large to be one of ours.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes, at most {MOST_BYTES:,} are read")
        found = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
    except (ValueError, OSError, RecursionError) as error:
        raise BadData(f"{path} is no readable {what}: {_first_line(error)}; move it away or restore it") from None
    return found


def upgraded(document: Document, path: Path, upgrades: Mapping[int, Upgrade], newest: int) -> Document:
    """The document in the newest schema.

    Raises:
        BadData: If it is of a newer one.
    """
    schema = document.get("schema")
    if isinstance(schema, int) and schema > newest:
        raise BadData(
            f"{path} is of schema {schema}, written by a newer harness; "
            f"this one reads up to {newest}: install a newer one"
        )
    while isinstance(schema, int) and schema in upgrades:
        document = {**upgrades[schema](document), "schema": schema + 1}
        schema += 1
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _first_line(error: BaseException) -> str:
    return ascii(str(error).splitlines()[0][:300])[1:-1] if str(error) else type(error).__name__
