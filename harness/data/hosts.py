"""Which hosts a session comes from, and whether they answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Thread
from urllib.parse import urlsplit

import requests

from harness.data.dandi import DANDI_API, blob_url
from harness.data.suites import Dandi, Physionet, Session, Zenodo
from harness.data.transfer import Patience, innermost

PHYSIONET = "https://physionet.org/files"


@dataclass(frozen=True)
class Access:
    """How hosts are asked.

    dandi_api: Another than the archive's own is a mirror: it serves drafts too.
    physionet: The folder of all data sets, at PhysioNet or at a mirror.
    """

    dandi_api: str = DANDI_API
    patience: Patience = field(default_factory=Patience)
    n_parallel: int = 4
    physionet: str = PHYSIONET


def origin(session: Session, access: Access) -> str:
    """An address at the host that is asked first for this session; empty for one that no host has."""
    source = session.source
    if isinstance(source, Dandi):
        blob = blob_url(source, access.dandi_api)
        return _root(blob) if blob else f"{access.dandi_api.rstrip('/')}/info/"
    if isinstance(source, Physionet):
        return _root(access.physionet)
    return _root(source.url) if isinstance(source, Zenodo) else ""


def reachable(sessions: Sequence[Session], *, access: Access | None = None, timeout_s: float = 3.0) -> bool:
    """Whether all hosts of these sessions answer, found out within `timeout_s`."""
    return not silent_hosts(sessions, access or Access(), timeout_s=timeout_s)


def silent_hosts(sessions: Sequence[Session], access: Access, *, timeout_s: float) -> dict[str, str]:
    """The hosts that do not answer: name -> why. Any HTTP status is an answer."""
    urls = {urlsplit(url).netloc: url for s in sessions if (url := origin(s, access))}
    reasons = dict.fromkeys(sorted(urls), f"no answer within {timeout_s:g} s")
    # Looking a name up has no timeout of its own, so a thread that may be left behind does it.
    threads = [Thread(target=_probe, args=(host, urls[host], timeout_s, reasons), daemon=True) for host in urls]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return {host: reason for host, reason in reasons.items() if reason}


def _probe(host: str, url: str, timeout_s: float, reasons: dict[str, str]) -> None:
    try:
        with requests.get(url, timeout=timeout_s, stream=True):
            reasons[host] = ""
    except requests.RequestException as error:
        reasons[host] = innermost(error)


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"
