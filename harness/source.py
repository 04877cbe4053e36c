"""Which files a decoder is made of, found without running them, and their hash."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DecoderError
from harness.registry import DecoderRef, parsed

HARNESS = Path(__file__).parent
ADAPTERS = {
    "from_falcon": "harness.adapters.falcon",
    "from_sklearn": "harness.adapters.sklearn",
    "from_torch": "harness.adapters.torch",
}
"""What the public face gives them as -> where they are."""
TORCH_HELPERS = ("harness.optimiser", "harness.torch_decoder", "harness.torch_training")
MAX_FILES = 1000
"""Each becomes a mount of its own in a worker."""


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
    """Hash of the decoder's own source, names and contents, and of the harness's helpers that it uses."""
    found = source(ref)
    named = {path.relative_to(found.root.parent).as_posix(): path for path in found.files}
    helpers = (path for path in _closure(ref) if HARNESS in path.parents)
    named |= {path.relative_to(HARNESS.parent).as_posix(): path for path in helpers}
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
    """The decoder's file and all that it imports from its own package, and of the harness's helpers."""
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
            if helper := _helper(module):
                todo.append(helper)
            elif root.is_dir() and module.partition(".")[0] == root.name and (file := _module_file(module, root)):
                todo.append(file)
    return found


def _helper(module: str) -> Path | None:
    """The file of a part of the harness that learns and answers with a decoder: for PyTorch, or an adapter's."""
    if module not in TORCH_HELPERS and not module.startswith("harness.adapters."):
        return None
    file = HARNESS.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return file if file.is_file() else None


def _imports(path: Path, package: str) -> Iterator[str]:
    """Every module, or name of a module, that a file imports; relative ones resolved in `package`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*outer, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
            yield from (ADAPTERS[alias.name] for alias in node.names if alias.name in ADAPTERS)
        elif isinstance(node, ast.Attribute) and node.attr in ADAPTERS:  # import harness
            yield ADAPTERS[node.attr]
        elif isinstance(node, ast.Name) and node.id in ADAPTERS:  # from harness import *
            yield ADAPTERS[node.id]


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
