"""Every error a user can meet, in one tree.

Each message says what was given, what is allowed and what to do next. The command line prints the message alone
and leaves with the error's `exit_code`.
"""


class HarnessError(Exception):
    """Root of all errors of this project."""

    exit_code: int = 1


class UsageError(HarnessError, ValueError):
    """A name, option, suite or file that the user gave cannot be used."""

    exit_code = 2


class DecoderError(HarnessError, RuntimeError):
    """A decoder broke the contract or could not be run."""

    exit_code = 3


class MissingData(HarnessError, FileNotFoundError):
    """A recording is neither in the cache nor to be had from its host."""

    exit_code = 4


class BadData(HarnessError, ValueError):
    """A recording is there, but is not what the suite pins or cannot be read."""

    exit_code = 4


class Excluded(BadData):
    """A recording is what the suite pins, but a written rule keeps it out: the reason is the message."""


class NotWritten(HarnessError, OSError):
    """A folder is full, may not be written, or is on a disk without file locks; nothing in it is half written."""

    exit_code = 2


class VerificationDiffers(HarnessError, RuntimeError):
    """A record, run again, gave something else."""

    exit_code = 5
