"""Decoders by name: entry points of the group `harness.decoders`, or `path/to/file.py:Class`.

Looking a decoder up never imports it: foreign code runs in workers only. Only `load` imports.
"""

import ast
import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DecoderError, UsageError

if TYPE_CHECKING:
    from harness.decoder import Decoder

GROUP = "harness.decoders"
MAKES_A_CLASS = (ast.Call, ast.Name, ast.Attribute)
"""What a class may be assigned from: `Mine = from_sklearn(...)`, or another name of a class."""


@dataclass(frozen=True)
class DecoderRef:
    """Where a decoder's class is.

    name: What tables show.
    entry_point: "package.module:Class" or "/absolute/path/file.py:Class".
    version: Version of the distribution that brings it; "file" for a path.
    """

    name: str
    entry_point: str
    version: str

    @property
    def module(self) -> str:
        return self.entry_point.rpartition(":")[0]

    @property
    def class_name(self) -> str:
        return self.entry_point.rpartition(":")[2]

    @property
    def is_file(self) -> bool:
        return self.module.endswith(".py")


def known() -> dict[str, DecoderRef]:
    """All installed decoders, by name."""
    from importlib.metadata import entry_points  # Not in workers, which start often and look nothing up.

    return {
        e.name: DecoderRef(e.name, e.value, e.dist.version if e.dist else "unknown")
        for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)
    }


def find(name: str) -> DecoderRef:
    """Look up an installed name or a `path/to/file.py:Class`.

    Raises:
        UsageError: If there is neither such a name nor such a file.
    """
    path, colon, class_name = name.rpartition(":")
    if colon and path.endswith(".py"):
        file = Path(path).resolve()
        if not file.is_file():
            raise UsageError(f"decoder file {path!r} does not exist; give an existing file as path/to/file.py:Class")
        if class_name not in _classes(file):
            known_there = ", ".join(_classes(file)) or "none"
            raise UsageError(f"{path} has no class {class_name!r}; its classes: {known_there}; write {path}:Class")
        return DecoderRef(f"{file.name}:{class_name}", f"{file}:{class_name}", "file")
    decoders = known()
    if name not in decoders:
        raise UsageError(
            f"unknown decoder {name!r}; known: {', '.join(decoders)}; or name a file as path/to/file.py:Class"
        )
    return decoders[name]


def _classes(file: Path) -> list[str]:
    """Names of the classes that a file defines, makes or imports at its top level, without running it."""
    names = []
    for node in parsed(file).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign) and isinstance(node.value, MAKES_A_CLASS):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        DecoderError: If it is no valid Python.
    """
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise DecoderError(f"{path} is no valid Python: {error}; mend it first") from None


def load(ref: DecoderRef) -> "type[Decoder]":
    """Import a decoder's class. This runs the decoder author's code.

    Raises:
        DecoderError: If the module cannot be imported, or the class is missing or is no dataclass `Decoder`.
    """
    from harness.decoder import Decoder

    try:
        module = _import_file(Path(ref.module)) if ref.is_file else importlib.import_module(ref.module)
        found = getattr(module, ref.class_name)
    except Exception as error:
        raise DecoderError(f"decoder {ref.name!r}: {ref.entry_point} cannot be imported: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, Decoder) and dataclasses.is_dataclass(found)):
        raise DecoderError(f"decoder {ref.name!r}: {ref.entry_point} must be a @dataclass subclass of harness.Decoder")
    return found


def construct(ref: DecoderRef, settings: Mapping[str, Any]) -> "Decoder":
    """Build a decoder with some hyper-parameters set, given as values or as text (`--set field=value`).

    Raises:
        UsageError: If a field does not exist or its value has the wrong type.
    """
    cls = load(ref)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        raise UsageError(f"decoder {ref.name!r} has no field {unknown[0]!r}; it has: {', '.join(fields)}")
    values = {}
    for name, given in settings.items():
        kind = fields[name].type
        try:
            values[name] = _of_type(_resolve(kind, cls) if isinstance(kind, str) else kind, given)
        except ValueError as error:
            raise UsageError(f"decoder {ref.name!r}: {name}={given!r} is not a {kind}: {error}") from None
    return cls(**values)


def _of_type(kind: Any, given: Any) -> Any:
    """A value of a type; text that is none may be its JSON: `--set memory_s=[0.3,1]`, `--set alpha=null`.

    Raises:
        ValueError: If it is none; the text says why.
    """
    from pydantic import TypeAdapter, ValidationError  # A third of a worker's start; most decoders are given nothing.

    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        if isinstance(given, str):
            with suppress(ValidationError):
                return adapter.validate_json(given)
        raise ValueError(error.errors()[0]["msg"]) from None


def module_of_file(path: Path) -> str:
    """The module that a decoder's file is imported as: a file called signal.py must not be everybody's `signal`."""
    return f"decoder_file_{path.stem}"


def _import_file(path: Path) -> Any:
    name = module_of_file(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _resolve(annotation: str, cls: type) -> Any:
    return eval(annotation, vars(sys.modules[cls.__module__]))
