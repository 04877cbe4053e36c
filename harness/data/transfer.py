"""One file over HTTP into a part file: resumed where it stopped, retried while that helps, refused if it is another.

Every byte is on disk before the next is asked for, so a killed process loses at most one chunk.
"""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import requests

from harness.data.cache import readable_size
from harness.data.pins import Pin
from harness.errors import BadData, MissingData

CHUNK_BYTES = 1 << 16
RETRIED = (408, 425, 429, 500, 502, 503, 504)
LONGEST_WAIT_S = 60.0
MARGIN_BYTES = 500_000_000
"""A file whose size nobody states may fill the disk up to this."""


class Unreachable(MissingData):
    """A host does not answer, or answers with nothing but errors; says which and how, not what to do about it."""


class _Cut(Exception):
    """One attempt failed in a way that another may not."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How long to insist. Attempts count only those in a row that brought no new byte."""

    attempts: int = 6
    wait_s: float = 0.5
    timeout_s: float = 20.0


@dataclass(frozen=True)
class Watch:
    """Whom one transfer tells how far it is, and who can stop it."""

    progressed: Callable[[int], None] = lambda n_bytes: None
    stop: Event = field(default_factory=Event)


def transfer(url: str, part: Path, pin: Pin, *, patience: Patience, watch: Watch) -> None:
    """Complete `part` from `url`. The caller checks the digest.

    Raises:
        Unreachable: If the attempts are used up.
        MissingData: If the host does not have the file, or does not give it.
        BadData: If the host answers with something else than the pinned file, or with more than that.
        CancelledError: If `watch.stop` is set.
    """
    furthest, failures = arrived(part), 0
    while not _complete(part, pin):
        try:
            _attempt(url, part, pin, timeout_s=patience.timeout_s, watch=watch)
            return
        except _Cut as cut:
            reached = arrived(part)
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            if failures >= patience.attempts:
                raise Unreachable(
                    f"{url} brought nothing beyond byte {furthest} in {failures} attempts, the last: {cut}"
                ) from None
            if watch.stop.wait(max(patience.wait_s * 2 ** (failures - 1), cut.wait_s)):
                raise CancelledError from None


def innermost(error: Exception) -> str:
    """The innermost cause in a chain of wrapped network errors."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"


def _attempt(url: str, part: Path, pin: Pin, *, timeout_s: float, watch: Watch) -> None:
    """Ask once for what is still missing and write what comes."""
    offset = arrived(part)
    # A compressed body would make lengths and ranges mean something else than bytes of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
            if response.status_code == 416:
                _check_end(response, part)
                return
            _refuse_status(response, pin)
            start = _start(response, offset, pin)
            _write(response, part, pin, start=start, watch=watch)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Cut(innermost(error)) from None
    except requests.RequestException as error:
        raise BadData(f"{pin.name} cannot be fetched from {url}: {error}; correct the address") from None
    if pin.size and arrived(part) < pin.size:
        raise _Cut(f"the body ended at byte {arrived(part)} of {pin.size}")


def _write(response: requests.Response, part: Path, pin: Pin, *, start: int, watch: Watch) -> None:
    chunks = response.iter_content(CHUNK_BYTES)
    first = next(chunks, b"")
    _refuse_html(response, first, pin)
    _refuse_size(response, pin, start=start)
    # Unbuffered: what was written must survive a kill -9 of this process.
    with part.open("r+b" if part.exists() else "wb", buffering=0) as file:
        file.truncate(start)
        file.seek(start)
        while first:
            _refuse_excess(part, pin, n_bytes=file.tell() + len(first))
            file.write(first)
            watch.progressed(file.tell())
            if watch.stop.is_set():
                raise CancelledError
            first = next(chunks, b"")


def _start(response: requests.Response, offset: int, pin: Pin) -> int:
    """The byte at which the body begins: `offset` if the server honoured the range, 0 if it ignored it."""
    if response.status_code == 200:
        return 0
    given = response.headers.get("Content-Range", "")
    match = re.match(r"bytes (\d+)-", given)
    if response.status_code != 206 or not match or int(match[1]) != offset:
        raise BadData(
            f"{pin.name}: {response.url} answered a request for the bytes from {offset} with {given or 'no range'} "
            f"(status {response.status_code}); nothing was taken; try again later or another host"
        )
    return offset


def _check_end(response: requests.Response, part: Path) -> None:
    """Nothing follows the last byte that is there: either the file is complete, or it is not this file."""
    if response.headers.get("Content-Range", "") != f"bytes */{arrived(part)}":
        part.unlink()
        raise _Cut("what an earlier run left does not fit the file; it was removed")


def _refuse_status(response: requests.Response, pin: Pin) -> None:
    status = response.status_code
    if status in RETRIED:
        after = response.headers.get("Retry-After", "")
        wait_s = float(after) if after.isdigit() else 0.0
        raise _Cut(f"status {status} {response.reason}", min(wait_s, LONGEST_WAIT_S))
    if status >= 400:
        raise MissingData(
            f"{pin.name} is not to be had: {response.url} answered {status} {response.reason}; its host no longer "
            f"has it there or does not give it: put a copy into the cache with `harness data add PATH`, or pin the "
            f"file's new place in a new version of the suite"
        )


def _refuse_html(response: requests.Response, first: bytes, pin: Pin) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" or first[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        length = response.headers.get("Content-Length", "")
        size = readable_size(int(length) if length.isdigit() else len(first))
        raise BadData(
            f"got an HTML page ({kind or 'no content type'}, {size}) where {pin.name} ({readable_size(pin.size)}) was "
            f"expected, from {response.url}; that is usually a login, error or consent page: open it in a browser, "
            f"and put a copy of the file into the cache with `harness data add PATH`"
        )


def _refuse_size(response: requests.Response, pin: Pin, *, start: int) -> None:
    length = response.headers.get("Content-Length", "")
    if pin.size and length.isdigit() and start + int(length) != pin.size:
        raise BadData(
            f"{pin.name} was refused: {response.url} offers {start + int(length)} bytes where {pin.size} are pinned; "
            f"the file there is truncated or another version; try again later, or pin a new version of the suite"
        )


def _refuse_excess(part: Path, pin: Pin, *, n_bytes: int) -> None:
    """Stop a body that goes on beyond the pinned size or, where none is pinned, to the end of the disk."""
    if pin.size and n_bytes > pin.size:
        part.unlink()
        raise BadData(
            f"{pin.name} was refused: its host sent more than the {pin.size} bytes that are pinned; it has another "
            f"version or is broken: try again later, or pin a new version of the suite"
        )
    free_bytes = shutil.disk_usage(part.parent).free if pin.size is None else MARGIN_BYTES
    if free_bytes < MARGIN_BYTES:
        raise MissingData(
            f"{pin.name}, whose size nobody states, is more than {readable_size(n_bytes)}, and only "
            f"{readable_size(free_bytes)} are free; make room, or delete what has arrived: {part}"
        )


def _complete(part: Path, pin: Pin) -> bool:
    if pin.size and arrived(part) > pin.size:
        part.unlink()
    return pin.size is not None and arrived(part) == pin.size


def arrived(part: Path) -> int:
    """How many bytes of a file are there from this or an earlier run."""
    return part.stat().st_size if part.exists() else 0
