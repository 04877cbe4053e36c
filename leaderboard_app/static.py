"""A copy of the leaderboard in a folder: HTML without script, SVG, CSV and JSON, to be read without any server."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from harness.errors import HarnessError, UsageError
from leaderboard_app.static_pages import MANIFEST, Files, files_of


def write_copy(root: Path, folder: Path) -> Path:
    """Write the copy of a store; what was in the folder stays whole until the new copy is complete.

    Args:
        root: The store's folder.
        folder: Made if it is missing; else empty, or an earlier copy.

    Raises:
        UsageError: If there is no such store, the folder holds other files, or it cannot be written.
    """
    if not root.is_dir():
        raise UsageError(f"there is no store {root}; name the folder that holds the records: --store")
    folder = folder.resolve()
    refuse_foreign(folder)
    files = files_of(root)
    try:
        _swap_in(files, folder)
    except OSError as error:
        raise UsageError(
            f"a copy cannot be written to {folder}: {error.strerror}; name another folder: --static"
        ) from None
    return folder / "index.html"


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder in which something lies that no copy has put there.

    Raises:
        UsageError: If so, or if it is no folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; a copy needs a folder of its own: --static DIR")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    if foreign := sorted(there - _own(folder)):
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise UsageError(
            f"{folder} holds files that are not of a copy of the leaderboard ({', '.join(foreign[:3])}{more}); "
            "they would be lost: name an empty or a new folder, or move them away"
        )


def _own(folder: Path) -> set[str]:
    """The files of an earlier copy, by its own list."""
    try:
        return {MANIFEST, *json.loads((folder / MANIFEST).read_bytes())["sha256"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _swap_in(files: Files, folder: Path) -> None:
    """Write beside the folder, then take its place: whoever looks finds the old copy or the new one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    new, old = work / "new", work / "old"
    try:
        for path, content in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(work, ignore_errors=True)


def main() -> None:
    """What `harness board --static` runs."""
    parser = argparse.ArgumentParser(prog="leaderboard_app.static", description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        print(f"Leaderboard of {arguments.store}: {write_copy(arguments.store, arguments.out)}")
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
