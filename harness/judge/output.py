"""What a worker prints: its end is kept, a flood ends the worker."""

import os
import signal
import subprocess
import threading
from contextlib import suppress

GRACE_S = 2.0


class Output:
    """Reads what a worker prints, keeps the end of it, and kills a worker that floods."""

    KEPT = 500

    def __init__(self, process: subprocess.Popen[bytes], limit: int) -> None:
        assert process.stdout is not None
        self.flooded = False
        self._process, self._limit, self._pipe, self._kept = process, limit, process.stdout, b""
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        n_read = 0
        while chunk := os.read(self._pipe.fileno(), 65536):
            n_read += len(chunk)
            self._kept = (self._kept + chunk)[-self.KEPT :]
            if n_read > self._limit and not self.flooded:
                self.flooded = True
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        self._thread.join(GRACE_S)
        return self._kept.decode(errors="replace").strip()

    def close(self) -> None:
        self._thread.join(GRACE_S)
        if not self._thread.is_alive():
            self._pipe.close()
