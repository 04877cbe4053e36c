"""A small archive on loopback: the DANDI endpoints that the client asks, files with ranges, bad manners on demand."""

import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

from harness.data.suites import Dandi, Session, Source, Zenodo

DATE = "2026-01-01T00:00:00Z"


@dataclass
class Manners:
    """How one file is served. `times` counts how often it is served badly; then it is served well.

    status: Answer with this status instead.
    cut_at: Close the connection at this byte of the file.
    cut_after: Close the connection after so many bytes of each body.
    stall_s: Sleep so long before the body.
    rate_bytes_s: Serve so slowly.
    body: Serve this instead of the file.
    shift_range: Answer a range with one that begins so many bytes later.
    redirects: Send the client on so many times first.
    """

    times: int = 1_000_000
    status: int = 0
    retry_after_s: int | None = None
    cut_at: int | None = None
    cut_after: int | None = None
    stall_s: float = 0.0
    rate_bytes_s: float | None = None
    body: bytes | None = None
    content_type: str = "application/octet-stream"
    ignore_range: bool = False
    shift_range: int = 0
    without_length: bool = False
    redirects: int = 0


@dataclass
class Archive:
    """What the server holds, and what it has seen."""

    files: dict[str, bytes] = field(default_factory=dict)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    manners: dict[str, Manners] = field(default_factory=dict)
    api_status: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    n_sent: Counter[str] = field(default_factory=Counter)
    n_gets: Counter[str] = field(default_factory=Counter)
    root: str = ""

    @property
    def api(self) -> str:
        return f"{self.root}/api"

    def zenodo(self, name: str, content: bytes, **changes: Any) -> Zenodo:
        """Serve a file behind plain HTTP and return its source, pinned by md5 and size."""
        self.files[name] = content
        row = {
            "host": "zenodo",
            "record": "1",
            "path": name,
            "url": f"{self.root}/files/{name}",
            "size": len(content),
            "md5": hashlib.md5(content).hexdigest(),
            "licence": "CC-BY-4.0",
        }
        return Zenodo(**(row | changes))

    def dandi(self, name: str, content: bytes, **changes: Any) -> Dandi:
        """Serve a file as an asset of a published dandiset and return its source."""
        self.files[name] = content
        digest = hashlib.sha256(content).hexdigest()
        asset_id = f"{digest[:8]}-0000-4000-8000-000000000000"
        row = {
            "host": "dandi",
            "dandiset": "000999",
            "version": "0.260101.0000",
            "asset_id": asset_id,
            "path": name,
            "size": len(content),
            "sha256": digest,
            "licence": "CC0-1.0",
        }
        self.assets[asset_id] = {
            "asset_id": asset_id,
            "blob": f"{digest[:8]}-0000-4000-8000-00000000000b",
            "zarr": None,
            "path": name,
            "size": len(content),
            "created": DATE,
            "modified": DATE,
            "metadata": {
                "path": name,
                "contentSize": len(content),
                "digest": {"dandi:sha2-256": digest},
                "contentUrl": [f"{self.api}/assets/{asset_id}/download/", f"{self.root}/files/{name}"],
            },
        }
        return Dandi(**(row | changes))


@contextmanager
def serving() -> Iterator[Archive]:
    """Run an archive on a free port of loopback."""
    archive = Archive()
    handler = type("BoundHandler", (_Handler,), {"archive": archive})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    archive.root = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()


def session(name: str, source: Source, *, tiers: tuple[str, ...] = ("mini",)) -> Session:
    """A session of a suite, of which only the source matters here."""
    return Session(id=name, subject="A", group="test", layout="l", split="s", tiers=tiers, source=source)


@contextmanager
def only_loopback() -> Iterator[None]:
    """Fail at the end if the block looked up or connected to anything but this machine."""
    outside: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            outside.append(address)
            raise ConnectionRefusedError(address)
        connect(self, address)

    def look_up_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost"):
            outside.append(host)
            raise socket.gaierror(host)
        return look_up(host, *args, **kwargs)

    with patch.object(socket.socket, "connect", connect_here), patch.object(socket, "getaddrinfo", look_up_here):
        yield
    assert not outside, f"a test reached out to {outside}"


class _Handler(BaseHTTPRequestHandler):
    archive: Archive
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.archive.requests.append((self.command, self.path))
        path, _, query = self.path.partition("?")
        if path.startswith("/files/"):
            self._file(path.removeprefix("/files/"), query)
        elif path.startswith("/api/") or path == "/server-info":
            self._api(path)
        else:
            self._send(200, b"an archive", "text/plain")

    def _api(self, path: str) -> None:
        if self.archive.api_status:
            self._send(self.archive.api_status, b"busy", "text/plain")
        elif re.fullmatch("/api/info/|/server-info", path):
            self._json(self._info())
        elif match := re.fullmatch(r"/api/dandisets/\d+/versions/[^/]+/assets/([^/]+)/info/", path):
            self._json(self.archive.assets.get(match[1]))
        elif match := re.fullmatch("/api/assets/([^/]+)/download/", path):
            name = self.archive.assets[match[1]]["path"]
            self._redirect(f"{self.archive.root}/files/{name}")
        else:
            self._json(None)

    def _info(self) -> dict[str, Any]:
        return {
            "version": "0.0.1",
            "services": {"api": {"url": self.archive.api}},
            "cli-minimal-version": "0.1.0",
            "cli-bad-versions": [],
        }

    def _file(self, name: str, query: str) -> None:
        manners = self.archive.manners.get(name, Manners())
        if name not in self.archive.files:
            self._send(404, b"no such file", "text/plain")
            return
        n_redirected = int(query or 0)
        if n_redirected < manners.redirects:
            self._redirect(f"/files/{name}?{n_redirected + 1}")
            return
        if self.command == "GET":
            self.archive.n_gets[name] += 1
            self.archive.ranges.append(self.headers.get("Range", ""))
        bad = manners.times > 0
        manners.times -= 1
        self._serve(name, manners if bad else Manners())

    def _serve(self, name: str, manners: Manners) -> None:
        if manners.status:
            after = {} if manners.retry_after_s is None else {"Retry-After": str(manners.retry_after_s)}
            self._send(manners.status, b"bad luck", "text/plain", **after)
            return
        content = self.archive.files[name] if manners.body is None else manners.body
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and not manners.ignore_range else 0
        if start and start >= len(content):
            self._send(416, b"", "text/plain", **{"Content-Range": f"bytes */{len(content)}"})
            return
        first = start + manners.shift_range if start else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", manners.content_type)
        if start:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if not manners.without_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        time.sleep(manners.stall_s)
        body = content[start : manners.cut_at]
        self._body(name, body[: manners.cut_after], manners.rate_bytes_s)

    def _body(self, name: str, body: bytes, rate_bytes_s: float | None) -> None:
        step = 1 << 14
        for k in range(0, len(body), step):
            piece = body[k : k + step]
            self.archive.n_sent[name] += len(piece)
            try:
                self.wfile.write(piece)
            except OSError:
                return  # the client has left
            if rate_bytes_s:
                time.sleep(len(piece) / rate_bytes_s)

    def _json(self, content: dict[str, Any] | None) -> None:
        if content is None:
            self._send(404, b'{"detail": "Not found."}', "application/json")
        else:
            self._send(200, json.dumps(content).encode(), "application/json")

    def _redirect(self, url: str) -> None:
        self._send(302, b"", "text/plain", Location=url)

    def _send(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
