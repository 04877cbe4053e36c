"""What a board is about, by the shipped suites' files: a title to show, and the signal that is decoded."""

import functools

from harness.data.shipped import heading, known_suites

MODALITIES = {"spikes": "Spikes", "lfp": "LFP", "eeg": "EEG", "other": "Other"}
"""Signal -> how it is written; a suite that is not shipped may decode anything."""


@functools.cache
def title_of(suite: str) -> str:
    """The title of a suite; one that is not shipped is called by its name.

    Args:
        suite: As records have it: `primate-lfp@1`, `primate-lfp/spikes@1`.
    """
    name, _, task = suite.partition("@")[0].partition("/")
    path = known_suites().get(name)
    title = heading(path).title if path else name
    return f"{title}; {task.replace('-', ' ')}" if task else title


@functools.cache
def modality_of(suite: str) -> str:
    """The signal that a suite's decoders read, a key of `MODALITIES`; a further task may be named after its own."""
    name, _, task = suite.partition("@")[0].partition("/")
    path = known_suites().get(name)
    read = (task, *heading(path).inputs) if path else ()
    return next((signal for signal in MODALITIES if signal in read), "other") if task not in MODALITIES else task
