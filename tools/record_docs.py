"""Write docs/record.md and the JSON Schemas beside it from the models: `PYTHONPATH=. python tools/record_docs.py`."""

import inspect
import json
import re
from pathlib import Path

from pydantic import BaseModel

from harness.results.published import Link
from harness.results.receipts import Receipt
from harness.results.records import Record

DOCS = Path(__file__).parent.parent / "docs"
EXPLAINED = re.compile(r"^([a-z_0-9]+(?:, [a-z_0-9]+)*): (.*)")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEAD = """\
# The record

Written by `python tools/record_docs.py` from the models in `harness/results`; `docs/record.schema.json` and
`docs/receipt.schema.json` are the same for machines.

- A record is one JSON document: one run of one decoder with one seed on the recordings of one tier. Nothing edits
  it: its `id` is the SHA-256 of its canonical text (keys sorted, no spaces, UTF-8) without `id` and `signature`.
- Numbers are as measured, unrounded; a name says its unit (`_s`, `_ms`, `_nj`, `_bytes`). Times of day are UTC.
  What is not known is null.
- `schema` counts. A harness reads all schemas up to its own, through one function for each step
  (`harness.results.reading.UPGRADES`), and the id stays that of the document as it was written; of a newer schema
  it says so and stops.
- Predictions (`.npz`: answers of each recording as `<session>/outputs`, bootstrap draws as `<session>/draws`, round
  trips) and the artefact (`.safetensors`) are files of their own, named by the record's id and pinned in it by
  their hashes.
- A receipt is what `harness verify` leaves: it names its record, and its `id` is made in the same way.
- `chain.jsonl` of a published folder has one line for each record or receipt; each holds the hash of the line
  before.


"""


def main() -> None:
    (DOCS / "record.md").write_text(page())
    for name, model in (("record", Record), ("receipt", Receipt)):
        (DOCS / f"{name}.schema.json").write_text(schema(model))


def schema(model: type[BaseModel]) -> str:
    """The JSON Schema of a document."""
    return json.dumps({"$schema": DIALECT, **model.model_json_schema(by_alias=True)}, indent=1, sort_keys=True) + "\n"


def page() -> str:
    """One table for each model, the record's own first."""
    return HEAD + "\n".join(_table(model) for top in (Record, Receipt, Link) for model in _with_parts(top))


def _with_parts(top: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and those that it is made of, each once, in the order of its fields."""
    found = [top]
    for field in top.model_fields.values():
        for part in _models_in(field.annotation):
            found += [model for model in _with_parts(part) if model not in found]
    return found


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models_in(inner)]


def _table(model: type[BaseModel]) -> str:
    about, explained = _explained(inspect.getdoc(model) or "")
    shapes = model.model_json_schema(by_alias=True)["properties"]
    rows = [f"| `{name}` | {_shape(shape)} | {explained.get(name, '')} |" for name, shape in shapes.items()]
    return "\n".join([f"## {model.__name__}", "", about, "", "| field | type | |", "|---|---|---|", *rows, ""])


def _explained(text: str) -> tuple[str, dict[str, str]]:
    """The docstring's own words, and what it says of single fields."""
    about: list[str] = []
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if match := EXPLAINED.match(line):
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif names and line.startswith("    "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            names = []
            about.append(line.strip())
    return " ".join(about), {name: text.replace("|", "\\|") for name, text in found.items()}


def _shape(shape: dict[str, object]) -> str:
    """A type in words."""
    if "anyOf" in shape:
        return " or ".join(_shape(one) for one in shape["anyOf"])
    if "$ref" in shape:
        name = str(shape["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in shape:
        return " or ".join(f"`{value}`" for value in shape["enum"])
    if shape.get("type") == "array":
        return f"list of {_shape(shape['items'])}" if "items" in shape else "list"
    if isinstance(inner := shape.get("additionalProperties"), dict):
        return f"name -> {_shape(inner)}"
    return str(shape.get("type", "anything"))


if __name__ == "__main__":
    main()
