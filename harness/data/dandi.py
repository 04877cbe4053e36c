"""Where the DANDI archive keeps an asset, asked through its own client. The only room of `dandi`.

The client says what an asset is and where its bytes are; `transfer` moves them, because a resumed download must see
whether the server honoured the range, which the client's own download does not show.
"""

import logging
import os
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from harness.data.suites import Dandi
from harness.data.transfer import RETRIED, Patience, Unreachable, innermost
from harness.errors import BadData, MissingData

DANDI_API = "https://api.dandiarchive.org/api"
DRAFT = "draft"


class _Bounded(HTTPAdapter):
    """Gives up after few attempts. The client's own rule is a dozen, most of a minute, without any timeout."""

    def __init__(self, patience: Patience) -> None:
        retry = Retry(
            patience.attempts - 1,
            backoff_factor=patience.wait_s,
            status_forcelist=RETRIED,
            respect_retry_after_header=False,
        )
        super().__init__(max_retries=retry)
        self.timeout_s = patience.timeout_s

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            return super().send(request, *args, **(kwargs | {"timeout": self.timeout_s}))
        except (requests.ConnectionError, requests.exceptions.RetryError) as error:
            raise Unreachable(f"{request.url}: {innermost(error)}") from None


def blob_url(source: Dandi, api: str) -> str | None:
    """The content-addressed place of a draft's asset, which stays when the draft moves on.

    None for published versions, and where `api` names a mirror, which then serves everything.
    """
    return source.s3_url if source.version == DRAFT and api == DANDI_API else None


def content_url(source: Dandi, *, api: str, patience: Patience) -> str:
    """Look a pinned asset up and say where its bytes are.

    Raises:
        Unreachable: If the archive does not answer.
        MissingData: If that version of the dandiset has no such asset.
        BadData: If the archive says that the asset is another file than the pinned one.
    """
    direct = blob_url(source, api)
    if direct:
        return direct
    asset = _asset(source, api=api, patience=patience)
    stated = asset.get_raw_metadata().get("digest", {}).get("dandi:sha2-256", source.sha256)
    if (asset.size, stated) != (source.size, source.sha256.lower()):
        raise BadData(
            f"{source.path} in dandiset {source.dandiset}/{source.version} is now {asset.size} bytes, sha256 {stated}; "
            f"pinned are {source.size} bytes, sha256 {source.sha256}; pin the newest published version in a new "
            f"version of the suite"
        )
    return str(asset.base_download_url)


def _asset(source: Dandi, *, api: str, patience: Patience) -> Any:
    # The client would ask a telemetry server whether it is up to date.
    os.environ.setdefault("DANDI_NO_ET", "1")
    # It logs every failure, with a traceback; the same is in our errors, in one sentence.
    logging.getLogger("dandi").setLevel(logging.CRITICAL)
    from dandi.consts import DandiInstance
    from dandi.dandiapi import DandiAPIClient
    from dandi.exceptions import NotFoundError

    # Naming the instance in full saves the client two questions, asked without a timeout.
    with DandiAPIClient(dandi_instance=DandiInstance(name="archive", gui=None, api=api)) as client:
        client.session.mount("http://", _Bounded(patience))
        client.session.mount("https://", _Bounded(patience))
        try:
            return client.get_dandiset(source.dandiset, source.version).get_asset(source.asset_id)
        except NotFoundError:
            raise MissingData(
                f"{source.path}: dandiset {source.dandiset}/{source.version} at {api} has no asset {source.asset_id}; "
                f"a draft may have moved on: pin the newest published version in a new version of the suite"
            ) from None
        except (requests.RequestException, ValueError, KeyError) as error:
            raise Unreachable(f"{api} does not answer as a DANDI archive does: {error}") from None
