"""Anonymous memory as a file, through which judge and worker pass whatever is large: it has no path."""

import errno
import fcntl
import os
import time
from typing import Any

SEAL_TRIES, SEAL_WAIT_S = 30, 0.1


def memory_file(name: str, content: bytes | None = None) -> Any:
    """An anonymous file: sealed when it has content, empty and writable otherwise."""
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    file = os.fdopen(descriptor, "wb+")
    if content is not None:
        file.write(content)
        file.flush()
        _seal(descriptor)
    return file


def _seal(descriptor: int) -> None:
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    for tries_left in reversed(range(SEAL_TRIES)):
        try:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            return
        except OSError as error:
            # The kernel may hold a page for a moment, while it moves memory about.
            if error.errno != errno.EBUSY or not tries_left:
                raise
            time.sleep(SEAL_WAIT_S)
