"""Waiting for what other processes do."""

import time


def once(condition, within_s=60):
    """Wait until something is so; what it then is."""
    until = time.monotonic() + within_s
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return found
