"""Decoders by name: entry points of the group `harness.decoders`, or `path/to/file.py:Class`.

Looking a decoder up never imports it: foreign code runs in workers only. Only `load` imports.
"""

import ast
import dataclasses
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.decoder import Decoder
from harness.errors import DecoderError, UsageError

GROUP = "harness.decoders"
TORCH_HELPER = Path(__file__).parent / "torch_decoder.py"
MAX_FILES = 1000
"""Each becomes a mount of its own in a worker."""


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
    """Names of the classes that a file defines or imports at its top level, without running it."""
    names = []
    for node in _parsed(file).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    return names


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise DecoderError(f"{path} is no valid Python: {error}; mend it first") from None


def load(ref: DecoderRef) -> type[Decoder]:
    """Import a decoder's class. This runs the decoder author's code.

    Raises:
        DecoderError: If the module cannot be imported, or the class is missing or is no dataclass `Decoder`.
    """
    try:
        module = _import_file(Path(ref.module)) if ref.is_file else importlib.import_module(ref.module)
        found = getattr(module, ref.class_name)
    except Exception as error:
        raise DecoderError(f"decoder {ref.name!r}: {ref.entry_point} cannot be imported: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, Decoder) and dataclasses.is_dataclass(found)):
        raise DecoderError(f"decoder {ref.name!r}: {ref.entry_point} must be a @dataclass subclass of harness.Decoder")
    return found


def construct(ref: DecoderRef, settings: Mapping[str, Any]) -> Decoder:
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
        adapter: TypeAdapter[Any] = TypeAdapter(_resolve(kind, cls) if isinstance(kind, str) else kind)
        try:
            values[name] = _validated(adapter, given)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UsageError(f"decoder {ref.name!r}: {name}={given!r} is not a {kind}: {reason}") from None
    return cls(**values)


def _validated(adapter: TypeAdapter[Any], given: Any) -> Any:
    """A value of the field's type; text that is none may be its JSON: `--set memory_s=[0.3,1]`, `--set alpha=null`."""
    try:
        return adapter.validate_python(given)
    except ValidationError:
        if isinstance(given, str):
            with suppress(ValidationError):
                return adapter.validate_json(given)
        raise


def source_root(ref: DecoderRef) -> Path:
    """The file, or top-level package folder, that a worker must be able to read to import the decoder."""
    if ref.is_file:
        return Path(ref.module)
    top = ref.module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise DecoderError(f"decoder {ref.name!r}: package {top!r} is not installed; install the plugin again")
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin


@dataclass(frozen=True)
class Source:
    """What of a decoder a worker may read, and all that its hash covers: the two are the same.

    root: The file, or the top-level package folder.
    files: In name order: the modules that the decoder imports from its package, and all files of the package that are
        no Python source, such as tables and compiled modules. Caches and hidden files are left out.
    """

    root: Path
    files: tuple[Path, ...]


def source(ref: DecoderRef) -> Source:
    """Find a decoder's own files, without running them.

    Raises:
        DecoderError: If they are not there, are no valid Python, or are too many.
    """
    root = source_root(ref)
    own = {path for path in _closure(ref) if path == root or root in path.parents}
    own |= {path for path in _below(root) if path.suffix != ".py"}
    if len(own) > MAX_FILES:
        raise DecoderError(
            f"decoder {ref.name!r}: {root} holds {len(own)} files; {MAX_FILES} are allowed; "
            f"put the decoder into a package of its own, without what it does not need"
        )
    return Source(root, tuple(sorted(own)))


def source_sha256(ref: DecoderRef) -> str:
    """Hash of the decoder's own source, names and contents, and of the harness's torch helper where it is used."""
    found = source(ref)
    named = {path.relative_to(found.root.parent).as_posix(): path for path in found.files}
    if TORCH_HELPER in _closure(ref):
        named["harness/torch_decoder.py"] = TORCH_HELPER
    digest = hashlib.sha256(ref.entry_point.rpartition("/")[2].encode())
    for name, path in sorted(named.items()):
        with path.open("rb") as file:
            digest.update(name.encode(errors="surrogateescape") + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def source_bytes(ref: DecoderRef) -> int:
    """Size of the decoder's own source, in bytes: constants can hide there that no artefact holds."""
    return sum(path.stat().st_size for path in source(ref).files)


def _below(root: Path) -> Iterator[Path]:
    """The files of a package, apart from caches and hidden ones."""
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            yield path


def _closure(ref: DecoderRef) -> set[Path]:
    """The decoder's file and all that it imports from its own package, and the harness's torch helper."""
    root = source_root(ref)
    start = root if root.is_file() else _module_file(ref.module, root)
    if start is None:
        raise DecoderError(f"decoder {ref.name!r}: module {ref.module!r} is not in {root}; install the plugin again")
    found: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        # Python runs the __init__.py of every package that a module lies in.
        todo += [init for folder in path.parents if root in (folder, *folder.parents) and (init := _init(folder))]
        for module in _imports(path, _package_of(path, root)):
            if module == "harness.torch_decoder":
                todo.append(TORCH_HELPER)
            elif root.is_dir() and module.partition(".")[0] == root.name and (file := _module_file(module, root)):
                todo.append(file)
    return found


def _imports(path: Path, package: str) -> Iterator[str]:
    """Every module, or name of a module, that a file imports; relative ones resolved in `package`."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*outer, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _package_of(path: Path, root: Path) -> str:
    return ".".join(path.parent.relative_to(root.parent).parts) if root in path.parents else ""


def _module_file(module: str, package: Path) -> Path | None:
    # In Python's own order: a folder with an __init__.py hides a file of the same name.
    path = package.joinpath(*module.split(".")[1:])
    file = path.with_name(f"{path.name}.py")
    return _init(path) or (file if file.is_file() else None)


def _init(folder: Path) -> Path | None:
    path = folder / "__init__.py"
    return path if path.is_file() else None


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
