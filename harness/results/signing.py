"""Signatures: ed25519 over an id, which is itself the hash of all that it stands for."""

import base64
import binascii
import os
from pathlib import Path

from harness.errors import BadData, UsageError

KIND = "ed25519"
OWNER_ONLY = 0o600


def default_key_file() -> Path:
    """Where a user's own key is."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "neural-decoder-harness" / "key"


def new_key(path: Path) -> str:
    """Make a private key in a file that only its owner can read; returns the public key as text.

    Raises:
        UsageError: If the file is there already: a key that is overwritten is lost.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        raise UsageError(f"{path} holds a key already; use it, or name another file: --key") from None
    except OSError as error:
        raise UsageError(f"a key cannot be written to {path}: {error.strerror}; name another file: --key") from None
    with os.fdopen(handle, "wb") as file:
        file.write(f"{KIND}-private:{_encoded(key.private_bytes_raw())}\n".encode())
    return f"{KIND}:{_encoded(key.public_key().public_bytes_raw())}"


def sign(identifier: str, path: Path) -> str:
    """A signature of an id: `ed25519:<public key>:<signature>`, both in base64.

    Raises:
        UsageError: If the file holds no key, or others can read it.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        open_to_others, text = path.stat().st_mode & 0o077, path.read_text().strip()
        kind, _, encoded = text.partition(":")
        if kind != f"{KIND}-private":
            raise ValueError
        key = Ed25519PrivateKey.from_private_bytes(_decoded(encoded))
    except (OSError, ValueError):
        raise UsageError(f"{path} holds no key; make one with: harness keys new") from None
    if open_to_others:
        raise UsageError(f"{path} can be read by others; make it your own with: chmod 600 {path}")
    public, signature = key.public_key().public_bytes_raw(), key.sign(identifier.encode())
    return f"{KIND}:{_encoded(public)}:{_encoded(signature)}"


def signer_of(identifier: str, signature: str | None) -> str:
    """The public key that signed this id, `ed25519:<public key>`; empty if nobody did, whatever the text is."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    kind, _, rest = (signature or "").partition(":")
    public, _, signed = rest.partition(":")
    if kind != KIND:
        return ""
    try:
        Ed25519PublicKey.from_public_bytes(_decoded(public)).verify(_decoded(signed), identifier.encode())
    except (InvalidSignature, ValueError):
        return ""
    return f"{KIND}:{public}"


def read_keys(path: Path) -> dict[str, str]:
    """Public keys of a text file, one a line with the name of its owner behind it: key -> name.

    Raises:
        BadData: If a line is none.
    """
    found = {}
    for i, line in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        key, _, owner = line.partition("#")[0].strip().partition(" ")
        if not key:
            continue
        kind, _, public = key.partition(":")
        if kind != KIND or not _is_key(public):
            raise BadData(f"{path}, line {i}: {key[:80]!a} is no public key; write '{KIND}:... owner'")
        found[key] = owner.strip()
    return found


def _is_key(text: str) -> bool:
    try:
        return len(_decoded(text)) == 32
    except ValueError:
        return False


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes:
    """Undo `_encoded`.

    Raises:
        ValueError: If the text is no base64, or not the one text for these bytes.
    """
    try:
        raw = base64.b64decode(text.encode("ascii", errors="replace"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if _encoded(raw) != text:
        raise ValueError("not canonical base64")
    return raw
